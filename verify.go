package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
)

// The routes of /verify, for the log and the metrics. Their methods are any.
const (
	verifyRoute       = "/verify"
	verifyScopesRoute = "/verify/{scopes}"
)

// verifying answers requests to /verify and passes others on to next. A proxy asks there whether
// it may pass a request on: nginx's auth_request, Caddy's forward_auth, Envoy's ext_authz.
//
// It belongs in front of routing and CORS. Some proxies ask with the method and the path of the
// request that they hold, so no method and no path may be special here, and a redirect or a
// preflight's 204 would be a wrong answer.
func (a *api) verifying(log *slog.Logger, next http.Handler) http.Handler {
	verify := serve(log, a.verify)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route := verifyRouteOf(r.URL)
		if route == "" {
			next.ServeHTTP(w, r)
			return
		}
		r.Pattern = route
		verify.ServeHTTP(w, r)
	})
}

// verifyRouteOf returns the route of a URL at /verify or below, and "" for every other.
func verifyRouteOf(u *url.URL) string {
	if !strings.HasPrefix(u.Path, verifyRoute) { // most requests: their path need not be escaped again
		return ""
	}
	switch rest, ours := strings.CutPrefix(u.EscapedPath(), verifyRoute); {
	case ours && rest == "":
		return verifyRoute
	case ours && rest[0] == '/':
		return verifyScopesRoute
	}
	return ""
}

// verify answers whether the request's credential is good for the scopes that the path names. It
// looks at nothing else: the rest of the path, the query, cookies and X-Forwarded-* are those of
// a client that wants to pass. Success is exactly 200, because Envoy takes any other 2xx for a
// refusal.
func (a *api) verify(ctx context.Context, w http.ResponseWriter, r *http.Request, _ client) error {
	required, ok := requiredScopes(r.URL.EscapedPath())
	if !ok {
		return errNotFound
	}
	who, err := a.verifiedIdentity(ctx, r.Header["Authorization"])
	if err != nil {
		return err
	}
	if !who.Scopes.hasAll(required) {
		return missingScopes(required)
	}
	setIdentity(w.Header(), who)
	w.WriteHeader(http.StatusOK)
	return nil
}

// verifiedIdentity returns whom Authorization headers stand for. Programs such as git and pip, which
// know only HTTP Basic, send an API key as the password. A user's password is not accepted, nor
// compared to anything.
func (a *api) verifiedIdentity(ctx context.Context, headers []string) (identity, error) {
	if usesBasic(headers) {
		return a.basicIdentity(ctx, headers)
	}
	token, err := bearerToken(headers)
	if err != nil {
		return identity{}, err
	}
	return a.accounts.currentUser(ctx, token)
}

// basicIdentity returns whom an API key in HTTP Basic stands for, or errBadToken. The name must be
// empty or that of the key's owner: the service behind the proxy may believe the name.
func (a *api) basicIdentity(ctx context.Context, headers []string) (identity, error) {
	name, key, ok := basicCredentials(headers)
	if !ok {
		return identity{}, errBadToken
	}
	who, err := a.accounts.apiKeyIdentity(ctx, key)
	if err == nil && name != "" && (expands(name) || usernameKey(name) != who.User.Key) {
		err = errBadToken
	}
	return who, err
}

// requiredScopes returns the scopes that an escaped path below /verify asks for, which are none
// for /verify itself and for /verify/any. ok is false if the path names something that cannot be
// a scope: a typing error in a proxy's configuration must not let anybody in.
func requiredScopes(path string) (required scopes, ok bool) {
	path = strings.TrimPrefix(path, verifyRoute)
	if path == "" {
		return "", true
	}
	segment, _, _ := strings.Cut(path[1:], "/")
	switch segment {
	case anyUser:
		return "", true
	case ".", "..": // a proxy may clean them away, and what comes next would count
		return "", false
	}
	required, err := newScopes(strings.Split(segment, ",")...)
	return required, err == nil
}

// setIdentity sets the headers that tell a proxy whom it passes on. All four are always there: if
// one were missing, some proxies would pass on the client's own (GHSA-7r4p-vjf4-gxv4).
func setIdentity(header http.Header, who identity) {
	values := []string{ // one allocation: every request that a proxy passes on comes here
		headerText(who.User.Username),
		who.User.UID,
		strings.ReplaceAll(string(who.Scopes), " ", ","),
		headerText(deref(who.User.Email)),
	}
	header["Remote-User"] = values[0:1:1]
	header["Remote-Uid"] = values[1:2:2]
	header["Remote-Groups"] = values[2:3:3]
	header["Remote-Email"] = values[3:4:4]
}

// headerText returns text as a header can carry it: bytes other than 0x21 to 0x7E, and the
// percent sign, are percent-encoded.
func headerText(text string) string {
	if !strings.ContainsFunc(text, needsEscape) {
		return text
	}
	const digits = "0123456789ABCDEF"
	escaped := make([]byte, 0, 3*len(text))
	for i := range len(text) {
		c := text[i]
		if needsEscape(rune(c)) {
			escaped = append(escaped, '%', digits[c>>4], digits[c&15])
			continue
		}
		escaped = append(escaped, c)
	}
	return string(escaped)
}

func needsEscape(c rune) bool { return c < '!' || c > '~' || c == '%' }
