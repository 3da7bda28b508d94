package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestRoutes: paths and methods as a well-behaved client can send them, and how
// failures look. What only raw TCP can send is in e2e.
func TestRoutes(t *testing.T) {
	s := startServer(t)
	for _, tt := range []struct {
		name, method, path string
		status             int
		header, value      string
	}{
		{"an unknown path", "GET", "/nope", 404, "", ""},
		{"an unknown path with a slash", "GET", "/nope/", 404, "", ""},
		{"below me", "GET", "/users/me/x", 404, "", ""},
		{"web cache deception", "GET", "/users/me/x.css", 404, "Cache-Control", "no-store"},
		{"an escaped slash", "GET", "/users%2fme/", 404, "", ""},
		{"an escaped slash behind", "GET", "/users/me/%2fx.css", 404, "", ""},
		{"an escaped dot", "GET", "/users/%2e/me/", 404, "", ""},
		{"escaped dots", "GET", "/users/x/%2e%2e/me/", 404, "", ""},
		{"a NUL", "GET", "/users/me/%00", 404, "", ""},
		{"parameters of a path", "GET", "/users/me/;a=b", 404, "", ""},
		{"a file type", "GET", "/users/me/.json", 404, "", ""},
		{"capitals", "GET", "/Users/me/", 404, "", ""},
		{"an escaped letter is the letter", "GET", "/users/%6de/", 401, "WWW-Authenticate", "Bearer"},
		{"a query that nobody reads", "GET", "/users/me/?next=//evil", 401, "", ""},
		{"HEAD where GET is", "HEAD", "/users/me/", 401, "WWW-Authenticate", "Bearer"},
		{"HEAD of nothing", "HEAD", "/nope", 404, "", ""},
		{"GET of the token endpoint", "GET", "/token", 405, "Allow", "POST"},
		{"PUT of the users", "PUT", "/users/", 405, "Allow", "GET, HEAD, POST"},
		{"PUT of me", "PUT", "/users/me/", 405, "Allow", "DELETE, GET, HEAD, PATCH"},
		{"GET of the password", "GET", "/users/me/password", 405, "Allow", "POST"},
		{"GET of a session", "GET", "/users/me/sessions/x", 405, "Allow", "DELETE"},
		{"HEAD of the sessions", "HEAD", "/users/me/sessions/", 401, "WWW-Authenticate", "Bearer"},
		{"POST of the sessions", "POST", "/users/me/sessions/", 405, "Allow", "DELETE, GET, HEAD"},
		{"GET of the revocation", "GET", "/revoke", 405, "Allow", "POST"},
		{"below a session", "DELETE", "/users/me/sessions/x/y", 404, "", ""},
		{"a session that is an escaped slash", "DELETE", "/users/me/sessions/%2f", 404, "", ""},
		{"a user who is an escaped slash", "GET", "/users/me/%2F", 404, "", ""},
		{"an escaped slash for the root", "GET", "/%2f", 404, "", ""},
		{"an escaped slash in a session", "DELETE", "/users/me/sessions/x%2fy", 401, "WWW-Authenticate", "Bearer"},
		{"PROPFIND", "PROPFIND", "/users/me/", 405, "Allow", "DELETE, GET, HEAD, PATCH"},
		{"a method of one's own", "FOO", "/token", 405, "Allow", "POST"},
		{"a method in small letters", "get", "/users/me/", 405, "Allow", "DELETE, GET, HEAD, PATCH"},
		{"TRACE", "TRACE", "/users/me/", 405, "Allow", "DELETE, GET, HEAD, PATCH"},
		{"OPTIONS without CORS", "OPTIONS", "/users/me/", 405, "Allow", "DELETE, GET, HEAD, PATCH"},
		{"no slash behind me", "GET", "/users/me", 307, "Location", "/users/me/"},
		{"no slash behind me, with a wrong method", "POST", "/users/me", 307, "Location", "/users/me/"},
		{"no slash behind users", "POST", "/users", 307, "Location", "/users/"},
		{"no slash behind users, with a wrong method", "GET", "/users", 307, "Location", "/users/"},
		{"no slash and a query", "GET", "/users/me?x=1&y=%2F", 307, "Location", "/users/me/?x=1&y=%2F"},
		{"a slash too many", "POST", "/token/", 307, "Location", "/token"},
		{"a slash too many behind the revocation", "POST", "/revoke/", 307, "Location", "/revoke"},
		{"a slash too many behind the password", "POST", "/users/me/password/", 307, "Location", "/users/me/password"},
		{"a slash too many behind a session", "DELETE", "/users/me/sessions/x/", 307, "Location", "/users/me/sessions/x"},
		{"no slash behind the sessions", "DELETE", "/users/me/sessions?keep=current", 307, "Location", "/users/me/sessions/?keep=current"},
		{"a slash too many behind the docs", "GET", "/docs/", 307, "Location", "/docs"},
		{"two slashes", "GET", "/users//me/", 307, "Location", "/users/me/"},
		{"two slashes first", "GET", "//users/me/", 307, "Location", "/users/me/"},
		{"two slashes and another host", "GET", "//evil.example/x", 307, "Location", "/evil.example/x"},
		{"two slashes and an escape", "GET", "//users/%6de/", 307, "Location", "/users/%6de/"},
		{"no slash behind an escape", "GET", "/users/%6de", 307, "Location", "/users/%6de/"},
		{"an escaped slash at the end", "GET", "/users%2fme", 404, "", ""},
		{"an escaped slash too many", "POST", "/token%2f", 404, "", ""},
		{"a dot", "POST", "/./token", 307, "Location", "/token"},
		{"two dots", "POST", "/x/../token", 307, "Location", "/token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.do(tt.method, tt.path, "")
			if got.status != tt.status {
				t.Errorf("status %d, want %d; %s", got.status, tt.status, got.body)
			}
			value := got.header.Get(tt.header)
			if tt.header == "Location" {
				value = follow(t, tt.path, value)
			}
			if tt.header != "" && value != tt.value {
				t.Errorf("%s: %q, want %q", tt.header, value, tt.value)
			}
			checkShape(t, tt.method, got)
		})
	}
}

// follow returns where a Location leads from a path. It has to lead there also if the path
// stands below a prefix, which a proxy has cut off.
func follow(t *testing.T, path, location string) string {
	t.Helper()
	const prefix = "http://proxy.example/auth"
	base, err := url.Parse(prefix + path)
	if err != nil {
		t.Fatal(err)
	}
	target, err := base.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	path, ok := strings.CutPrefix(target.String(), prefix)
	if !ok {
		t.Errorf("Location %q leads from %s to %s", location, base, target)
	}
	return path
}

// TestRelativePath: what is no path of ours, but could be read as another host's.
func TestRelativePath(t *testing.T) {
	for _, tt := range []struct{ name, from, to, want string }{
		{"a missing slash", "/users/me", "/users/me/", "../users/me/"},
		{"a missing slash at the top", "/users", "/users/", "./users/"},
		{"a surplus slash", "/token/", "/token", "../token"},
		{"the root", "/", "/docs", "./docs"},
		{"no path", "", "/docs", "./docs"},
		{"a segment like a scheme", "/./javascript:alert(1)", "/javascript:alert(1)", "./javascript:alert(1)"},
		{"a segment like a host and a port", "//evil.example:80", "/evil.example:80", "../evil.example:80"},
		{"a segment like a scheme at the end", "/users/me/sessions/a:b/", "/users/me/sessions/a:b", "../../../../users/me/sessions/a:b"},
		{"two slashes first", "//users/me/", "/users/me/", "../../../users/me/"},
		{"three slashes first", "///evil.example", "/evil.example", "../../evil.example"},
		{"dots that cancel", "/x/../token", "/token", "./token"},
		{"dots above the root", "/../../token", "/token", "./token"},
		{"an escaped slash", "/users/me/sessions/a%2fb/", "/users/me/sessions/a%2fb", "../../../../users/me/sessions/a%2fb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := relativePath(tt.from, tt.to); got != tt.want {
				t.Errorf("relativePath = %q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzRedirect: wherever a redirect leads, it stays on the host and below the prefix of the
// proxy.
func FuzzRedirect(f *testing.F) {
	log := slog.New(slog.DiscardHandler)
	h := newHandler(edgeSettings{}, &accounts{guard: guard{log: log}}, log)
	for _, target := range []string{"/users/me", "//evil.example/%2f..", "/./a:b", "/token/?//evil.example", "/users/me/sessions/%5cevil/", "/%2e/x//"} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || !strings.HasPrefix(target, "/") {
			return
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, &http.Request{Method: "PUT", URL: u, Header: http.Header{}, Body: http.NoBody, RequestURI: target, RemoteAddr: "192.0.2.1:1"})
		location := w.Header().Get("Location")
		if w.Code != http.StatusTemporaryRedirect {
			return
		}
		base := &url.URL{Scheme: "http", Host: "proxy.example", Path: "/auth" + u.Path}
		if u.RawPath != "" {
			base.RawPath = "/auth" + u.RawPath
		}
		to, err := base.Parse(location)
		if err != nil || to.Host != base.Host || to.Scheme != base.Scheme || !strings.HasPrefix(location, ".") {
			t.Fatalf("%q leads to %q: %v, %v", target, location, to, err)
		}
	})
}

// checkShape checks what every answer of ours has.
func checkShape(t *testing.T, method string, a answer) {
	t.Helper()
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Server": ""} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if !isRequestID(a.header.Get("X-Request-Id")) {
		t.Errorf("X-Request-Id: %q", a.header.Get("X-Request-Id"))
	}
	if a.status < 400 || method == "HEAD" {
		return
	}
	if a.header.Get("Content-Type") != "application/json" || a.field("detail") != http.StatusText(a.status) && a.status != 401 {
		t.Errorf("%d is answered %s as %q", a.status, a.body, a.header.Get("Content-Type"))
	}
	if strings.HasSuffix(a.body, "\n") {
		t.Error("a newline stands behind the JSON")
	}
}
