package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// identityHeaders tell a proxy who asks.
var identityHeaders = []string{"Remote-User", "Remote-Uid", "Remote-Groups", "Remote-Email"}

// checkVerified reports an answer that does not let a request of this user pass.
func checkVerified(t testing.TB, a answer, username string) {
	t.Helper()
	if a.StatusCode != 200 || a.body != "" {
		t.Errorf("got %d %q; want 200 and no body", a.StatusCode, a.body)
		return
	}
	for _, name := range identityHeaders {
		values := a.Header.Values(name)
		if len(values) != 1 {
			t.Errorf("%s: %q; want one value", name, values)
			return
		}
		for _, c := range []byte(values[0]) {
			if c < 0x21 || c > 0x7e {
				t.Errorf("%s: %q has the byte %#x", name, values[0], c)
			}
		}
	}
	if got, err := url.PathUnescape(a.Header.Get("Remote-User")); got != username || err != nil {
		t.Errorf("Remote-User: %q, %v; want %s", a.Header.Get("Remote-User"), err, username)
	}
	if cookies := a.Header.Values("Set-Cookie"); len(cookies) != 0 || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("cookies %q, Cache-Control: %q; want none, no-store", cookies, a.Header.Get("Cache-Control"))
	}
}

// checkForbidden reports an answer that lets a request pass that lacks these scopes, whose text may
// be left open.
func checkForbidden(t testing.TB, a answer, scope string) {
	t.Helper()
	if a.StatusCode != 403 || a.body != `{"detail":"Not enough permissions"}` {
		t.Errorf("got %d %q; want 403", a.StatusCode, a.body)
	}
	checkNobody(t, a)
	if got, want := a.Header.Get("WWW-Authenticate"), fmt.Sprintf(`Bearer error="insufficient_scope", scope="%s"`, scope); scope != "" && got != want {
		t.Errorf("WWW-Authenticate: %s; want %s", got, want)
	}
}

// checkNobody reports a refusal that names somebody, or leads elsewhere.
func checkNobody(t testing.TB, a answer) {
	t.Helper()
	for _, name := range append([]string{"Location", "Set-Cookie"}, identityHeaders...) {
		if got := a.Header.Values(name); len(got) != 0 {
			t.Errorf("a %d has %s: %q", a.StatusCode, name, got)
		}
	}
}

// verify asks whether a request may pass.
func (s *server) verify(t testing.TB, path, token string) answer {
	t.Helper()
	return s.authorized(t, "GET", path, "", token)
}

// withScopes starts a server in memory with root and a user for each name with the scopes that
// the map gives, and returns their tokens.
func withScopes(t testing.TB, users map[string]string, settings ...string) (*server, map[string]string) {
	t.Helper()
	s, admin := inMemory(t).startWithRoot(t, settings...)
	tokens := map[string]string{root: admin}
	for name, scopes := range users {
		s.register(t, name)
		s.grantTo(t, admin, name, strings.Fields(scopes)...)
		tokens[name] = s.logIn(t, name)
	}
	return s, tokens
}

// grantTo gives a user these scopes, and no others.
func (s *server) grantTo(t testing.TB, admin, username string, scopes ...string) {
	t.Helper()
	list := make([]string, 0, len(scopes))
	for _, scope := range scopes {
		list = append(list, quoted(scope))
	}
	checkStatus(t, s.patch(t, admin, username, `{"scopes":[`+strings.Join(list, ",")+`]}`), 200)
}

// TestVerifyScopes: all scopes in the first part of the path are needed, by their exact names.
func TestVerifyScopes(t *testing.T) {
	t.Parallel()
	s, tokens := withScopes(t, map[string]string{"none": "", "reader": "read", "writer": "read write", "near": "reader READ rea read.x", "dots": "any.x"})
	long := strings.Repeat("s", 64)
	tests := []struct {
		path    string
		allowed string // who may pass, parted by spaces
		needed  string // the scopes that the others are told
	}{
		{"/verify", "none reader writer near dots Root", ""},
		{"/verify?scope=read", "none reader writer near dots Root", ""},
		{"/verify/any", "none reader writer near dots Root", ""},
		{"/verify/any/read", "none reader writer near dots Root", ""},
		{"/verify/any/admin/..", "none reader writer near dots Root", ""},
		{"/verify/read", "reader writer", "read"},
		{"/verify/read/", "reader writer", "read"},
		{"/verify/read?scope=any", "reader writer", "read"},
		{"/verify/read?a=1&b=%zz;c", "reader writer", "read"},
		{"/verify/read?", "reader writer", "read"},
		{"/verify/read/any", "reader writer", "read"},
		{"/verify/read/../any", "reader writer", "read"},
		{"/verify/read/./any", "reader writer", "read"},
		{"http://evil.example/verify/read/../any", "reader writer", "read"},
		{"http://evil.example/verify/any/../read", "none reader writer near dots Root", ""},
		{"/verify/read/../../verify/any", "reader writer", "read"},
		{"/verify/read/../../../livez", "reader writer", "read"},
		{"/verify/read/%2e%2e/any", "reader writer", "read"},
		{"/verify/read/%2E%2e/%2e./any", "reader writer", "read"},
		{"/verify/read//x", "reader writer", "read"},
		{"/verify/read//", "reader writer", "read"},
		{"/verify/read///any", "reader writer", "read"},
		{"/verify/read/x%2fy", "reader writer", "read"},
		{"/verify/read/%00", "reader writer", "read"},
		{"/verify/read/%ff%c0%af", "reader writer", "read"},
		{"/verify/read/%0d%0aRemote-User:%20root", "reader writer", "read"},
		{"/verify/read/;any", "reader writer", "read"},
		{"/verify/read/*", "reader writer", "read"},
		{"/verify/read/{scopes}", "reader writer", "read"},
		{"/verify/read/robots.txt", "reader writer", "read"},
		{"/verify/read/livez", "reader writer", "read"},
		{"/verify/read/readyz", "reader writer", "read"},
		{"/verify/read/.well-known/jwks.json", "reader writer", "read"},
		{"/verify/read/openapi.json", "reader writer", "read"},
		{"/verify/read/docs", "reader writer", "read"},
		{"/verify/read/favicon.ico", "reader writer", "read"},
		{"/verify/read/" + strings.Repeat("a/", 2000), "reader writer", "read"},
		{"/verify/read,write", "writer", "read write"},
		{"/verify/write,read", "writer", "read write"},
		{"/verify/read,read", "reader writer", ""},
		{"/verify/read,write/any", "writer", "read write"},
		{"/verify/READ", "near", "READ"},
		{"/verify/reader", "near", "reader"},
		{"/verify/Read", "", "Read"},
		{"/verify/any.x", "dots", "any.x"},
		{"/verify/ANY", "", "ANY"},
		{"/verify/admin", "Root", "admin"},
		{"/verify/" + long, "", long},
	}
	for _, tt := range tests {
		t.Run(tt.path[:min(60, len(tt.path))], func(t *testing.T) {
			request := func(more ...string) answer {
				return s.ask(t, head(append([]string{"GET " + tt.path + " HTTP/1.1", "Host: h"}, more...)...))
			}
			checkProblem(t, request(), 401, "Not authenticated")
			for name, token := range tokens {
				a := request("Authorization: Bearer " + token)
				if slices.Contains(strings.Fields(tt.allowed), name) {
					checkVerified(t, a, name)
				} else {
					checkForbidden(t, a, tt.needed)
				}
			}
		})
	}
}

// TestVerifyTypos: a path that names no scope opens nothing, even for those who may do everything.
func TestVerifyTypos(t *testing.T) {
	t.Parallel()
	s, tokens := withScopes(t, map[string]string{"alice": "read write"})
	for _, path := range []string{
		"/verify/read,", "/verify/,read", "/verify/read,,write", "/verify/,", "/verify/read%20write", "/verify/read+write", "/verify/read;write", "/verify/read%2cwrite;",
		"/verify/*", "/verify/read*", "/verify/{scopes}", "/verify/r%00ead", "/verify/read%00", "/verify/%20read", "/verify/r%C3%A9ad", "/verify/%ff", "/verify/read%0a",
		"/verify/read@x", "/verify/" + strings.Repeat("s", 65), "/verify/read," + strings.Repeat("s", 65), "/verify/$scope", "/verify/read|write", "/verify/~", "/verify/a=b",
		`/verify/read\..\any`, "/verify/read%5c..%5cany", "/verify/..", "/verify/.", "/verify/../any", "/verify/./any", "/verify/%2e%2e/any", "/verify/../users/me/",
		"/verifyx", "/verify.json", "/Verify", "/VERIFY/any", "/verif", "/x/verify", "/verify%2fany", "/verify;x", "/verify%00",
	} {
		t.Run(path[:min(40, len(path))], func(t *testing.T) {
			a := s.ask(t, head("GET "+path+" HTTP/1.1", "Host: h", "Authorization: Bearer "+tokens["alice"]))
			checkProblem(t, a, 404, "Not Found")
			checkNobody(t, a)
			a = s.ask(t, head("GET "+path+" HTTP/1.1", "Host: h"))
			if a.StatusCode != 404 && a.StatusCode != 401 {
				t.Errorf("without a token: %d; want 404 or 401", a.StatusCode)
			}
			checkNobody(t, a)
		})
	}
	// What could be read in two ways lets nobody pass who could not by both.
	s.register(t, "bob")
	bob := s.logIn(t, "bob")
	for _, path := range []string{
		"/verify/", "/verify//", "/verify//any", "//verify/any", "/verify/any,read", "/verify/read,any", "/verify/read%2cwrite", "/verify/read%2Fany", "/verify/rea%64", "/verify/any%2fread", "/verify/read#/../any", "/verify/read%23",
		"/./verify/any", "/x/../verify/any", "/verify//../any", "/%76erify/read",
	} {
		t.Run("two ways, "+path, func(t *testing.T) {
			for _, token := range []string{bob, "x", ""} {
				a := s.ask(t, head("GET "+path+" HTTP/1.1", "Host: h", "Authorization: Bearer "+token))
				if a.StatusCode == 200 && (token != bob || strings.Contains(path, "read") || strings.Contains(path, "rea%64")) {
					t.Errorf("%d with the headers %v", a.StatusCode, a.Header)
				}
				t.Logf("%s with %.8q: %d", path, token, a.StatusCode)
			}
		})
	}
}

// TestVerifyMethods: a proxy asks with the method of its client, or with its own.
func TestVerifyMethods(t *testing.T) {
	t.Parallel()
	s, tokens := withScopes(t, map[string]string{"alice": "read"})
	methods := []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "REPORT", "QUERY", "FOO", "get", "TRACE", "SEARCH"}
	for _, method := range methods {
		for _, path := range []string{"/verify", "/verify/read", "/verify/read/x/../y"} {
			t.Run(method+" "+path, func(t *testing.T) {
				request := func(more ...string) answer {
					return s.ask(t, head(append([]string{method + " " + path + " HTTP/1.1", "Host: h"}, more...)...))
				}
				checkVerified(t, request("Authorization: Bearer "+tokens["alice"]), "alice")
				if a := request(); method == "HEAD" {
					checkEmpty(t, a, 401)
				} else {
					checkProblem(t, a, 401, "Not authenticated")
				}
				if a := request("Authorization: Bearer " + tokens[root]); path != "/verify" && (a.StatusCode != 403 || method == "HEAD" && a.body != "") {
					t.Errorf("without the scope: %d %q; want 403", a.StatusCode, a.body)
				}
			})
		}
	}
}

// TestVerifyClaims: nothing but Authorization lets a request pass, whatever the proxy or its
// client says besides.
func TestVerifyClaims(t *testing.T) {
	t.Parallel()
	s, tokens := withScopes(t, map[string]string{"alice": "read"}, "TRUSTED_PROXIES=127.0.0.1/32,::1/128")
	alice := tokens["alice"]
	for name, lines := range map[string][]string{
		"a preflight":                 {"Origin: http://localhost:3000", "Access-Control-Request-Method: GET"},
		"a preflight with headers":    {"Origin: http://localhost:3000", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization"},
		"the method of a preflight":   {"X-Forwarded-Method: OPTIONS", "X-Original-Method: OPTIONS"},
		"a public path":               {"X-Forwarded-Uri: /public", "X-Original-URI: /livez", "X-Original-URL: /livez", "X-Rewrite-URL: /livez"},
		"another path":                {"X-Forwarded-Prefix: /verify/any", "X-Forwarded-Uri: /verify/any"},
		"the names in headers":        {"Remote-User: alice", "Remote-Groups: read", "X-Remote-User: alice", "X-Forwarded-User: alice"},
		"the token in a cookie":       {"Cookie: access_token=" + alice + "; Authorization=Bearer " + alice},
		"the token in other headers":  {"X-Authorization: Bearer " + alice, "Proxy-Authorization: Bearer " + alice, "X-Forwarded-Authorization: Bearer " + alice, "X-Api-Key: " + alice},
		"a header with an underscore": {"Author_ization: Bearer " + alice},
		"a loopback address":          {"X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1"},
		"an override of the method":   {"X-HTTP-Method-Override: OPTIONS"},
	} {
		for _, method := range []string{"GET", "OPTIONS", "POST"} {
			for _, path := range []string{"/verify", "/verify/read", "/verify/any/x"} {
				t.Run(method+" "+path+" with "+name, func(t *testing.T) {
					request := head(append([]string{method + " " + path + "?access_token=" + alice + " HTTP/1.1", "Host: h"}, lines...)...)
					a := s.ask(t, request)
					checkProblem(t, a, 401, "Not authenticated")
					checkNobody(t, a)
				})
			}
		}
		t.Run("a good token with "+name, func(t *testing.T) {
			a := s.ask(t, head(append([]string{"OPTIONS /verify/read HTTP/1.1", "Host: h", "Authorization: Bearer " + alice}, lines...)...))
			checkVerified(t, a, "alice")
		})
	}
}

// TestVerifyAuthorization: headers that two readers could take apart differently let nobody pass.
func TestVerifyAuthorization(t *testing.T) {
	t.Parallel()
	s, tokens := withScopes(t, map[string]string{"alice": "read"})
	alice := tokens["alice"]
	key := s.makeKey(t, alice, `{"name":"a","scope":"read"}`).Key
	const none, bad = "Not authenticated", "Could not validate credentials"
	for kind, token := range map[string]string{"a token": alice, "a key": key} {
		for _, tt := range []struct {
			name   string
			lines  []string
			detail string // "" if it is good
		}{
			{"plain", []string{"Authorization: Bearer " + token}, ""},
			{"in small letters", []string{"authorization: bearer " + token}, ""},
			{"in capitals", []string{"AUTHORIZATION: BEARER " + token}, ""},
			{"between blanks", []string{"Authorization:  \t Bearer " + token + " \t "}, ""},
			{"twice the same", []string{"Authorization: Bearer " + token, "Authorization: Bearer " + token}, bad},
			{"beside a bad one", []string{"Authorization: Bearer " + token, "Authorization: Bearer x"}, bad},
			{"after a bad one", []string{"Authorization: Bearer x", "Authorization: Bearer " + token}, bad},
			{"beside Basic", []string{"Authorization: Bearer " + token, "Authorization: Basic OnBhc3M="}, bad},
			{"beside nothing", []string{"Authorization: Bearer " + token, "Authorization:"}, bad},
			{"after an empty one", []string{"Authorization:", "Authorization: Bearer " + token}, bad},
			{"in a list", []string{"Authorization: Bearer " + token + ", Bearer " + token}, bad},
			{"with a comma", []string{"Authorization: Bearer " + token + ","}, bad},
			{"and another", []string{"Authorization: Bearer " + token + " " + token}, bad},
			{"in quotes", []string{`Authorization: Bearer "` + token + `"`}, bad},
			{"escaped", []string{"Authorization: Bearer %" + fmt.Sprintf("%02x", token[0]) + token[1:]}, bad},
			{"padded", []string{"Authorization: Bearer " + token + "="}, bad},
			{"as another scheme", []string{"Authorization: Token " + token}, none},
			{"as JWT", []string{"Authorization: JWT " + token}, none},
			{"as ApiKey", []string{"Authorization: ApiKey " + token}, none},
			{"without a scheme", []string{"Authorization: " + token}, none},
			{"without a blank", []string{"Authorization: Bearer" + token}, none},
			{"8 KiB long", []string{"Authorization: Bearer " + strings.Repeat("a", 8<<10)}, bad},
			{"8 KiB long, a key's beginning", []string{"Authorization: Bearer lk_" + strings.Repeat("A", 8<<10)}, bad},
			{"empty", []string{"Authorization:"}, none},
		} {
			t.Run(kind+" "+tt.name, func(t *testing.T) {
				a := s.ask(t, head(append([]string{"GET /verify/read HTTP/1.1", "Host: h"}, tt.lines...)...))
				if tt.detail == "" {
					checkVerified(t, a, "alice")
					return
				}
				checkProblem(t, a, 401, tt.detail)
				checkNobody(t, a)
			})
		}
		t.Run(kind+" after a tab", func(t *testing.T) {
			a := s.ask(t, head("GET /verify/read HTTP/1.1", "Host: h", "Authorization: Bearer\t"+token))
			checkStatus(t, a, 401)
		})
	}
}
