package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// createUser registers a user.
func createUser(acc *accounts) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := acc.admitRegistration(r.Context(), sender(r)); err != nil {
			return err
		}
		members, err := readObject(r)
		if err != nil {
			return err
		}
		req, err := parseNewUser(members, acc.minPasswordLength)
		if err != nil {
			return err
		}
		u, err := acc.register(r.Context(), req, sender(r))
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, u.response())
	}
}

// loginForAccessToken is the token endpoint of the resource owner password
// credentials grant (RFC 6749 §4.3) and of refresh tokens (§6). Without a grant_type
// it is a login, as in FastAPI.
func loginForAccessToken(acc *accounts) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		fields, err := readForm(r)
		if err != nil {
			return err
		}
		var tokens tokenResponse
		switch fields.values["grant_type"] {
		case "", "password":
			tokens, err = loginByForm(acc, r, fields)
		case "refresh_token":
			tokens, err = refreshByForm(acc, r, fields)
		default:
			err = errUnsupportedGrant
		}
		if err != nil {
			return err
		}
		tokens.Scope = grantedScope(fields)
		return writeJSON(w, http.StatusOK, tokens)
	}
}

func loginByForm(acc *accounts, r *http.Request, fields form) (tokenResponse, error) {
	login, err := parseLogin(fields)
	if err != nil {
		return tokenResponse{}, err
	}
	return acc.login(r.Context(), login, sender(r))
}

func refreshByForm(acc *accounts, r *http.Request, fields form) (tokenResponse, error) {
	token, err := tokenField(fields, "refresh_token")
	if err != nil {
		return tokenResponse{}, err
	}
	return acc.refresh(r.Context(), token, sender(r))
}

// revokeToken ends the session of a token (RFC 7009). The token shows its own kind;
// token_type_hint is ignored (§2.1).
func revokeToken(acc *accounts) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		fields, err := readForm(r)
		if err != nil {
			return err
		}
		token, err := tokenField(fields, "token")
		if err != nil {
			return err
		}
		if err := acc.revoke(r.Context(), token, sender(r)); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, struct{}{}) // clients parse it, though RFC 7009 §2.2 has them ignore it
	}
}

// readUsersMe answers with the signed-in user.
func readUsersMe(w http.ResponseWriter, _ *http.Request, u User, _ Session) error {
	return writeJSON(w, http.StatusOK, u.response())
}

// updateUsersMe changes the signed-in user's own data.
func updateUsersMe(acc *accounts) userHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, u User, _ Session) error {
		members, err := readObject(r)
		if err != nil {
			return err
		}
		change, err := parseProfileChange(members)
		if err != nil {
			return err
		}
		u, err = acc.updateProfile(r.Context(), u, change, sender(r))
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, u.response())
	}
}

// updatePassword changes the signed-in user's password.
func updatePassword(acc *accounts) userHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, u User, s Session) error {
		members, err := readObject(r)
		if err != nil {
			return err
		}
		change, err := parsePasswordChange(members, u.Username, acc.minPasswordLength)
		if err != nil {
			return err
		}
		return noContent(w, acc.changePassword(r.Context(), u, s, change, sender(r)))
	}
}

// deleteUsersMe deletes the signed-in user.
func deleteUsersMe(acc *accounts) userHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, u User, s Session) error {
		return noContent(w, acc.deleteUser(r.Context(), u, s, sender(r)))
	}
}

// readSessions answers with the sessions of the signed-in user.
func readSessions(acc *accounts) userHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, u User, s Session) error {
		limit, err := parseLimit(r.URL.RawQuery)
		if err != nil {
			return err
		}
		body, err := encodeSessions(r.Context(), acc, u, s, limit)
		if err != nil {
			return err
		}
		body.send(w, http.StatusOK)
		return nil
	}
}

// encodeSessions encodes a list of sessions, in its turn. It is sent after that, because a
// client that is slow to take it must not keep others waiting.
func encodeSessions(ctx context.Context, acc *accounts, u User, s Session, limit int) (*encoder, error) {
	if err := acc.lists.enter(ctx); err != nil {
		return nil, err
	}
	defer acc.lists.leave()
	sessions, err := acc.listSessions(ctx, u, s, limit)
	if err != nil {
		return nil, err
	}
	return encodeJSON(sessions)
}

// deleteSessions ends all sessions of the signed-in user, or with ?keep=current all
// others.
func deleteSessions(acc *accounts) userHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, u User, s Session) error {
		keep, err := parseKeep(r.URL.RawQuery, s.ID)
		if err != nil {
			return err
		}
		return noContent(w, acc.endSessions(r.Context(), u, keep, sender(r)))
	}
}

// deleteOneSession ends one session of the signed-in user. That of somebody else is not
// found: whether it exists is not theirs to know.
func deleteOneSession(acc *accounts) userHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, u User, _ Session) error {
		return noContent(w, acc.endSession(r.Context(), u, r.PathValue("id"), sender(r)))
	}
}

// root sends people to the documentation.
func root(w http.ResponseWriter, r *http.Request) error {
	redirect(w, r, "/docs", "")
	return nil
}

// readLivez says that the process runs. It asks nobody else: a restart would not
// bring a lost database back.
func readLivez(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, healthy)
}

// readReadyz says whether requests should be sent here.
func readReadyz(acc *accounts) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := acc.ready(r.Context()); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, healthy)
	}
}

// healthy is what health checks answer.
var healthy = map[string]string{"status": "ok"}

// readUsers is the original's GET /: every user, with the password hash. A page of
// another origin may not read it, nor one whose host's name has been pointed here
// (DNS rebinding), nor a client of a proxy.
func readUsers(acc *accounts) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !isLoopback((&url.URL{Host: r.Host}).Hostname()) || r.Header.Get("Origin") != "" || isForwarded(r) {
			return errNotLocal
		}
		users, err := acc.exposedUsers(r.Context())
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, users)
	}
}

// A userHandlerFunc is a handlerFunc for a signed-in user. The session is the zero one
// if the token was made elsewhere.
type userHandlerFunc func(w http.ResponseWriter, r *http.Request, u User, s Session) error

// authed calls h with the user and the session that the request's bearer token names. It
// reads the body first: a session that ends while somebody is slow to send it has ended.
func authed(acc *accounts, h userHandlerFunc) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		token, err := bearerToken(r.Header["Authorization"])
		if err != nil {
			return err
		}
		if r.Body != http.NoBody {
			body, err := readBody(r)
			if err != nil {
				return err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		u, s, err := acc.currentUser(r.Context(), token)
		if err != nil {
			return err
		}
		return h(w, r, u, s)
	}
}

// bearerToken returns the token of a request's Authorization headers
// (RFC 6750 §2.1), or errNoToken if they are not for us. Two of them are
// errBadToken: a proxy may have judged by the other one.
func bearerToken(headers []string) (string, error) {
	if len(headers) == 0 {
		return "", errNoToken
	}
	if len(headers) > 1 {
		return "", errBadToken
	}
	scheme, token, _ := strings.Cut(strings.Trim(headers[0], " \t"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errNoToken
	}
	return strings.Trim(token, " \t"), nil
}

// maxUserAgent is how much of a User-Agent header a session keeps, in bytes.
const maxUserAgent = 256

// sender returns who sent r. The middleware has put the source's address into
// RemoteAddr, and the request's id into its header.
func sender(r *http.Request) client {
	agent := r.UserAgent()
	if len(agent) > maxUserAgent {
		agent = strings.Clone(agent[:maxUserAgent])
	}
	return client{
		IP:        r.RemoteAddr,
		UserAgent: strings.ToValidUTF8(agent, "?"), // no longer than before
		RequestID: r.Header.Get(requestIDHeader),
	}
}
