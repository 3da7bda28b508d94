package e2e

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestPaths(t *testing.T) {
	t.Parallel()
	s := start(t)
	tests := []struct {
		target   string
		location string // empty: 404
	}{
		{"/users/me", "/users/me/"},
		{"/users/me?q=1", "/users/me/?q=1"},
		{"//users/me/", "/users/me/"},
		{"/./users/me/", "/users/me/"},
		{"/x/../users/me/", "/users/me/"},
		{"/users/me/../me/", "/users/me/"},
		{"//users/%6de/", "/users/%6de/"},
		{"/revoke/", "/revoke"},
		{"/users/me/password/", "/users/me/password"},
		{"/users/me/sessions", "/users/me/sessions/"},
		{"/users/me/sessions?keep=current", "/users/me/sessions/?keep=current"},
		{"/users/me/sessions/x/", "/users/me/sessions/x"},
		{"/users/me/sessions/x/../", "/users/me/sessions/"},
		{"/users/alice", "/users/alice/"},
		{"/users/me%2f", "/users/me%2f/"}, // the name is me/
		{"/users/a%2Fb/sessions", "/users/a%2Fb/sessions/"},
		{"/users/alice/sessions/x/", "/users/alice/sessions/x"},
		{"/users/me/events", "/users/me/events/"},
		{"/events?after=1", "/events/?after=1"},
		{"http://evil.example/users/me", "/users/me/"},
		{"http://evil.example//users/me/", "/users/me/"},
		{"//evil.example/users/me", "/evil.example/users/me"},

		{"/nowhere", ""},
		{"/nowhere/", ""},
		{"/users/%2e/me/", ""},
		{"/users/x/%2e%2e/me/", ""},
		{"/users%2fme/", ""},
		{"/users%2fme", ""},
		{"/users/me/%2f", ""},
		{"/users/%2f", ""},
		{"/%2f", ""},
		{"/users/me/sessions/%2f", ""},
		{"/users/me/sessions/%2F", ""},
		{"/token%2f", ""},
		{"/users/me/%00", ""},
		{"/users/me/;a=b", ""},
		{"/users/me/.json", ""},
		{"/users/me/x.css", ""},
		{"/users/me/%2fx.css", ""},
		{"/users/me/%0d%0aSet-Cookie:x=1", ""},
		{"/users/me/sessions/x/y", ""},
		{"/users/me/sessions%2fx", ""},
		{"/users/me/password/x", ""},
		{"/users/alice/password", ""},
		{"/users/alice/events/", ""},
		{"/events/1", ""},
		{"/Users/me/", ""},
		{`/\evil.example/`, ""},
	}
	for _, tt := range tests {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			t.Run(method+" "+tt.target, func(t *testing.T) {
				a := s.ask(t, head(method+" "+tt.target+" HTTP/1.1", "Host: evil.example"))
				if tt.location == "" {
					checkProblem(t, a, 404, "Not Found")
					return
				}
				if got := whereTo(t, tt.target, a); a.StatusCode != 307 || got != "http://evil.example"+tt.location {
					t.Errorf("got %d to %q; want 307 to %q", a.StatusCode, got, tt.location)
				}
				checkShape(t, a)
			})
		}
	}
}

// whereTo returns where an answer leads, relative to the target of its request. It may name
// neither a host nor a path from the root, which a proxy could have moved.
func whereTo(t *testing.T, target string, a answer) string {
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = "http://evil.example" + target
	}
	base, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	location := a.Header.Get("Location")
	to, err := base.Parse(location)
	if err != nil || !strings.HasPrefix(location, ".") {
		t.Fatalf("Location %q, %v; want a relative path", location, err)
	}
	return to.String()
}

// allowed is the Allow header of every path.
var allowed = map[string]string{
	"/token":               "POST",
	"/revoke":              "POST",
	"/users/":              "GET, HEAD, POST",
	"/users/me/":           "DELETE, GET, HEAD, PATCH",
	"/users/me/password":   "POST",
	"/users/me/sessions/":  "DELETE, GET, HEAD",
	"/users/me/sessions/x": "DELETE",
	"/users/me/events/":    "GET, HEAD",

	"/users/alice/":           "DELETE, GET, HEAD, PATCH",
	"/users/a%2fb/":           "DELETE, GET, HEAD, PATCH",
	"/users/alice/sessions/":  "DELETE, GET, HEAD",
	"/users/alice/sessions/x": "DELETE",
	"/events/":                "GET, HEAD",

	"/livez":        "GET, HEAD",
	"/readyz":       "GET, HEAD",
	"/":             "GET, HEAD",
	"/docs":         "GET, HEAD",
	"/openapi.json": "GET, HEAD",

	"/latchkey.js":   "GET, HEAD",
	"/latchkey.d.ts": "GET, HEAD",
}

func TestMethods(t *testing.T) {
	t.Parallel()
	s := start(t)
	methods := []string{
		"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "TRACK", "CONNECT",
		"PROPFIND", "QUERY", "FOO", "get", "POST-", strings.Repeat("M", 4<<10),
	}
	for path, allow := range allowed {
		for _, method := range methods {
			if slices.Contains(strings.Split(allow, ", "), method) {
				continue
			}
			t.Run(method[:min(8, len(method))]+" "+path, func(t *testing.T) {
				a := s.ask(t, head(method+" "+path+" HTTP/1.1", "Host: h", "X-Echo: echo-me"))
				if method != "HEAD" {
					checkProblem(t, a, 405, "Method Not Allowed")
				}
				if got := a.Header.Get("Allow"); a.StatusCode != 405 || got != allow {
					t.Errorf("got %d and Allow %q; want 405 and %q", a.StatusCode, got, allow)
				}
				if strings.Contains(a.body, "echo-me") {
					t.Errorf("%q repeats the request", a.body)
				}
			})
		}
	}
}

// TestTargetsWithoutPath sends the two forms of a request that name no path
// (RFC 9112 §3.2.3 and §3.2.4). Nothing here answers to them.
func TestTargetsWithoutPath(t *testing.T) {
	t.Parallel()
	s := start(t)
	tests := []struct {
		name    string
		request string
		status  []int // one of them
	}{
		{"CONNECT to another host", head("CONNECT evil.example:443 HTTP/1.1", "Host: evil.example:443"), []int{404, 405}},
		{"OPTIONS of the server", head("OPTIONS * HTTP/1.1", "Host: evil.example"), []int{404, 405}},
		{"GET of the server", head("GET * HTTP/1.1", "Host: evil.example"), []int{400, 404}},
		{"the preface of HTTP/2 in clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := s.ask(t, tt.request)
			if !slices.Contains(tt.status, a.StatusCode) || strings.Contains(a.body, "evil") {
				t.Errorf("got %d %q, Location %q; want one of %d", a.StatusCode, a.body, a.Header.Get("Location"), tt.status)
			}
			checkShape(t, a)
		})
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.register(t, "alice")
	token := s.logIn(t, "alice")
	tests := []struct {
		name   string
		lines  []string
		status int
	}{
		{"with a token", []string{"Authorization: Bearer " + token}, 200},
		{"without one", nil, 401},
		{"with a bad one", []string{"Authorization: Bearer x"}, 401},
	}
	for _, path := range []string{"/users/me/", "/users/me/sessions/"} {
		for _, tt := range tests {
			t.Run(path+" "+tt.name, func(t *testing.T) { checkHead(t, s, path, tt.lines, tt.status) })
		}
	}
}

// checkHead reports an answer to HEAD that is not that to GET without its body.
func checkHead(t *testing.T, s *server, path string, lines []string, status int) {
	t.Helper()
	get := s.ask(t, head(append([]string{"GET " + path + " HTTP/1.1", "Host: h"}, lines...)...))
	c := s.dial(t)
	c.send(head(append([]string{"HEAD " + path + " HTTP/1.1", "Host: h", "Connection: close"}, lines...)...))
	a := c.answer("HEAD")
	if a.StatusCode != status || !c.isClosed() {
		t.Errorf("got %d, or bytes behind the head; want %d and no more", a.StatusCode, status)
	}
	for _, header := range []string{"Content-Type", "Content-Length", "WWW-Authenticate", "Cache-Control", "X-Content-Type-Options"} {
		if got, want := a.Header.Get(header), get.Header.Get(header); got != want {
			t.Errorf("%s: %q; GET has %q", header, got, want)
		}
	}
}
