package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestCORSOrigins(t *testing.T) {
	t.Parallel()
	const app = "https://app.example"
	tests := []struct {
		name     string
		settings []string
		allowed  []string
		refused  []string
	}{
		{
			"by default on a loopback address", nil,
			[]string{"http://localhost:3000", "http://localhost", "http://127.0.0.1:5500", "http://127.0.0.1", "http://localhost:65535"},
			[]string{
				"https://localhost:3000", "http://localhost:3000.evil", "http://localhost.evil:3000", "http://localhost:65536", "http://localhost:",
				"http://localhost:3000/", "http://localhost:3000@evil", "http://127.0.0.1.evil", "http://127.0.0.2:80", "http://sub.localhost:80",
				"http://localhost: 80", "http://localhost:+80", "HTTP://LOCALHOST:3000", "https://evil.example", "null", "", "*",
			},
		},
		{
			"by default on every address", []string{"ADDR=:0"},
			nil, []string{"http://localhost:3000", "http://127.0.0.1:5500", "https://evil.example", "null"},
		},
		{
			"of one origin", []string{"CORS_ORIGINS=" + app},
			[]string{app},
			[]string{
				"http://app.example", app + ":443", app + ":8443", app + ".evil", app + "/", "https://sub.app.example", "https://evilapp.example",
				"https://APP.example", "http://localhost:3000", "null", "", "*", app + " " + app, app + ", " + app, app + "\t" + app,
				app + strings.Repeat("a", 7<<10),
			},
		},
		{
			"of two origins", []string{"CORS_ORIGINS=" + app + ", https://other.example:8443"},
			[]string{app, "https://other.example:8443"},
			[]string{"https://other.example", "https://evil.example"},
		},
		{
			"switched off", []string{"CORS_ORIGINS="},
			nil, []string{"http://localhost:3000", app, "null"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, tt.settings...)
			for _, origin := range tt.allowed {
				t.Run("allows "+origin, func(t *testing.T) { checkAllowed(t, s, origin) })
			}
			for _, origin := range tt.refused {
				t.Run("refuses "+origin[:min(40, len(origin))], func(t *testing.T) { checkNotAllowed(t, s, "Origin: "+origin) })
			}
		})
	}
}

// preflight is what a browser asks before a page may register somebody.
func preflight(lines ...string) string {
	return head(append([]string{
		"OPTIONS /users/ HTTP/1.1", "Host: h",
		"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type",
	}, lines...)...)
}

// checkAllowed reports an origin that may not do what it should.
func checkAllowed(t *testing.T, s *server, origin string) {
	t.Helper()
	for _, request := range []string{
		preflight("Origin: " + origin),
		head("GET /users/me/ HTTP/1.1", "Host: h", "Origin: "+origin),
		head("GET /users/me HTTP/1.1", "Host: h", "Origin: "+origin),
		head("GET /nowhere HTTP/1.1", "Host: h", "Origin: "+origin),
		head("GET /token HTTP/1.1", "Host: h", "Origin: "+origin),
		head("POST /users/ HTTP/1.1", "Host: h", "Origin: "+origin, "Content-Length: 65537"),
	} {
		a := s.ask(t, request)
		line, _, _ := strings.Cut(request, "\r\n")
		if got := a.Header.Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != origin {
			t.Errorf("%s: Access-Control-Allow-Origin %q; want %q", line, got, origin)
		}
		if vary := strings.Join(a.Header.Values("Vary"), ", "); !strings.Contains(vary, "Origin") {
			t.Errorf("%s: Vary %q; want Origin in it", line, vary)
		}
		checkNeverAllowed(t, a)
	}
}

// checkNeverAllowed reports what no page may ever do.
func checkNeverAllowed(t *testing.T, a answer) {
	t.Helper()
	for _, header := range []string{"Access-Control-Allow-Credentials", "Access-Control-Allow-Private-Network"} {
		if got := a.Header.Values(header); len(got) > 0 {
			t.Errorf("%s: %q; want none", header, got)
		}
	}
	checkShape(t, a)
}

// checkNotAllowed reports any answer that lets a page with these headers in.
func checkNotAllowed(t *testing.T, s *server, lines ...string) {
	t.Helper()
	requests := []string{preflight(lines...)}
	for path := range allowed {
		if strings.HasPrefix(path, "/latchkey.") {
			continue // public
		}
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			requests = append(requests, head(append([]string{method + " " + path + " HTTP/1.1", "Host: h"}, lines...)...))
		}
	}
	for _, request := range requests {
		a := s.ask(t, request)
		for name, values := range a.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%.40q: %s: %q; want none", request, name, values)
			}
		}
	}
}

// TestCORSOfModule: every page may load the client, whatever else it may do.
func TestCORSOfModule(t *testing.T) {
	t.Parallel()
	for _, origins := range []string{"", "https://app.example", "*"} {
		s := start(t, "CORS_ORIGINS="+origins)
		for _, origin := range []string{"https://app.example", "https://evil.example", "null", ""} {
			for _, path := range []string{"/latchkey.js", "/latchkey.d.ts"} {
				a := s.do(t, "GET", path, "", "Origin: "+origin)
				if got := a.Header.Values("Access-Control-Allow-Origin"); a.StatusCode != 200 || len(got) != 1 || got[0] != "*" {
					t.Errorf("CORS_ORIGINS=%s, %s for %q: %d, Access-Control-Allow-Origin %q; want *", origins, path, origin, a.StatusCode, got)
				}
				if got := a.Header.Values("Access-Control-Allow-Credentials"); len(got) > 0 {
					t.Errorf("Access-Control-Allow-Credentials: %q; want none", got)
				}
			}
		}
	}
}

func TestCORSWithTwoOrigins(t *testing.T) {
	t.Parallel()
	s := start(t, "CORS_ORIGINS=https://app.example")
	checkNotAllowed(t, s, "Origin: https://app.example", "Origin: https://app.example")
	checkNotAllowed(t, s, "Origin: https://app.example", "Origin: https://evil.example")
	checkNotAllowed(t, s, "Origin: https://evil.example", "Origin: https://app.example")
	checkNotAllowed(t, s, "Origin: https://app.example\r\n https://evil.example")
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	s := start(t, "CORS_ORIGINS=https://app.example")
	tests := []struct {
		name            string
		path            string
		method, headers string // asked for
		allowed         bool
	}{
		{"registering", "/users/", "POST", "content-type", true},
		{"reading oneself", "/users/me/", "GET", "authorization", true},
		{"reading oneself, and a type", "/users/me/", "GET", "authorization,content-type", true},
		{"logging in", "/token", "POST", "", true},
		{"logging out", "/revoke", "POST", "", true},
		{"changing oneself", "/users/me/", "PATCH", "authorization,content-type", true},
		{"deleting oneself", "/users/me/", "DELETE", "authorization", true},
		{"ending a session", "/users/me/sessions/x", "DELETE", "authorization", true},
		{"a header of one's own", "/users/", "POST", "x-of-my-own", true},
		{"headers for tracing", "/token", "POST", "authorization,baggage,sentry-trace,traceparent", true},
		{"a method that nobody needs", "/users/", "TRACE", "", false},
		{"another method that nobody needs", "/users/me/", "PUT", "", false},
		{"a method in small letters", "/users/", "post", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := s.ask(t, head("OPTIONS "+tt.path+" HTTP/1.1", "Host: h", "Origin: https://app.example",
				"Access-Control-Request-Method: "+tt.method, "Access-Control-Request-Headers: "+tt.headers,
				"Access-Control-Request-Private-Network: true"))
			if a.StatusCode != 204 {
				t.Errorf("got %d; want 204", a.StatusCode)
			}
			checkNeverAllowed(t, a)
			for name, want := range map[string]string{
				"Access-Control-Allow-Origin":  "https://app.example",
				"Access-Control-Allow-Methods": tt.method,
				"Access-Control-Allow-Headers": tt.headers,
				"Access-Control-Max-Age":       "600",
			} {
				if !tt.allowed {
					want = ""
				}
				if got := a.Header.Get(name); got != want {
					t.Errorf("%s: %q; want %q", name, got, want)
				}
			}
		})
	}
}

func TestCORSForAll(t *testing.T) {
	t.Parallel()
	s := start(t, "CORS_ORIGINS=*")
	for _, origin := range []string{"https://app.example", "null"} {
		a := s.ask(t, head("GET /users/me/ HTTP/1.1", "Host: h", "Origin: "+origin))
		if got := a.Header.Get("Access-Control-Allow-Origin"); got != "*" && got != origin {
			t.Errorf("Access-Control-Allow-Origin: %q; want * or %s", got, origin)
		}
		checkNeverAllowed(t, a)
	}
}

// TestFormOfAnotherSite sends what a page can make a browser send without a
// preflight.
func TestFormOfAnotherSite(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, contentType := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", ""} {
		t.Run(contentType, func(t *testing.T) {
			a := s.do(t, "POST", "/users/", `{"username":"eve","password":"`+password+`"}`, "Origin: https://evil.example", "Content-Type: "+contentType)
			checkProblem(t, a, 403, "Pages of this origin may not call; see CORS_ORIGINS")
			if len(s.log.events("user_created")) > 0 {
				t.Error("there is a user")
			}
		})
	}
}

// TestPagesInBrowser: a page that may call sends whatever headers it likes, and a page that
// may not cannot spend its visitor's guesses.
func TestPagesInBrowser(t *testing.T) {
	long(t)
	t.Parallel()
	open := func(t *testing.T, origins string) (*server, *browser) {
		s := start(t, origins)
		s.register(t, "alice")
		b := openBrowser(t)
		b.run(t, chromedp.Navigate(otherOrigin(t)))
		return s, b
	}
	guess := func(s *server, options string) string {
		return `return (await fetch("` + s.url + `/token", {method: "POST", ` + options + `, body: new URLSearchParams({username: "alice", password: "wrong"})})).status`
	}
	t.Run("one that may", func(t *testing.T) {
		s, b := open(t, "CORS_ORIGINS=http://localhost:*")
		if got := b.evaluate(t, guess(s, `headers: {traceparent: "00-a-b-01", baggage: "a=b", "X-Requested-With": "XMLHttpRequest", Authorization: "Bearer x"}`)); got != "401" {
			t.Errorf("got %s; want 401", got)
		}
	})
	t.Run("one that may not", func(t *testing.T) {
		s, b := open(t, "CORS_ORIGINS=")
		if got := b.evaluate(t, guess(s, `mode: "no-cors"`)); got != "0" {
			t.Errorf("the page sees the status %s; want none", got)
		}
		refused := s.events(t, "refused: pages of this origin may not do this, see CORS_ORIGINS")
		if failed := s.events(t, "authn_login_fail"); len(refused) != 1 || len(failed) != 0 {
			t.Errorf("%d requests are refused, and %d logins failed; want one and none", len(refused), len(failed))
		}
	})
}
