package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
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
		{"PUT of the users", "PUT", "/users/", 405, "Allow", "POST"},
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

func TestRequestID(t *testing.T) {
	s := startServer(t)
	for _, tt := range []struct {
		name, id string
		kept     bool
	}{
		{"letters", "abcXYZ", true},
		{"all kinds", "a.B_3-", true},
		{"64 characters", strings.Repeat("a", 64), true},
		{"65 characters", strings.Repeat("a", 65), false},
		{"a space", "a b", false},
		{"a quote", `a"b`, false},
		{"UTF-8", "é", false},
		{"a colon", "a:b", false},
		{"nothing", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.do("GET", "/nope", "", "X-Request-ID: "+tt.id).header.Get("X-Request-Id")
			if (got == tt.id) != tt.kept || !isRequestID(got) {
				t.Errorf("id %q, want it kept: %v", got, tt.kept)
			}
			if !strings.Contains(s.log.String(), `"request_id":"`+got+`"`) {
				t.Errorf("id %q is not in the log", got)
			}
		})
	}
	got := s.do("GET", "/nope", "", "X-Request-ID: a", "X-Request-ID: b").header.Values("X-Request-Id")
	if len(got) != 1 || got[0] == "a" || got[0] == "b" {
		t.Errorf("two ids: answered %q", got)
	}
}

// TestSource: whom we take for the source, behind proxies and without.
func TestSource(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		name, remote string
		forwarded    []string
		trusted      []netip.Prefix
		want         string
	}{
		{"nobody is trusted", "10.0.0.1:5", []string{"1.2.3.4"}, nil, "10.0.0.1"},
		{"the peer is not trusted", "9.9.9.9:5", []string{"1.2.3.4"}, trusted, "9.9.9.9"},
		{"one proxy", "10.0.0.1:5", []string{"1.2.3.4"}, trusted, "1.2.3.4"},
		{"a proxy that sends nothing", "10.0.0.1:5", nil, trusted, "10.0.0.1"},
		{"the client lies on the left", "10.0.0.1:5", []string{"6.6.6.6, 1.2.3.4"}, trusted, "1.2.3.4"},
		{"two proxies", "10.0.0.1:5", []string{"6.6.6.6, 1.2.3.4, 10.0.0.2"}, trusted, "1.2.3.4"},
		{"two headers", "10.0.0.1:5", []string{"6.6.6.6", "1.2.3.4, 10.0.0.2"}, trusted, "1.2.3.4"},
		{"only proxies", "10.0.0.1:5", []string{"10.0.0.3, 10.0.0.2"}, trusted, "10.0.0.3"},
		{"no address", "10.0.0.1:5", []string{"1.2.3.4, x\ny"}, trusted, "10.0.0.1"},
		{"IPv6", "[fd00::1]:5", []string{"2001:db8::1"}, trusted, "2001:db8::1"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:5", []string{"::ffff:1.2.3.4"}, trusted, "1.2.3.4"},
		{"a zone is dropped", "10.0.0.1:5", []string{"fe80::1%eth0"}, trusted, "fe80::1"},
		{"a socket without a port", "@", nil, trusted, "@"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: tt.remote, Header: http.Header{"X-Forwarded-For": tt.forwarded}}
			if got := source(hostOf(r.RemoteAddr), r.Header, tt.trusted); got != tt.want {
				t.Errorf("source = %q, want %q", got, tt.want)
			}
		})
	}
}

// failing is a store that is out of order.
type failing struct{ store }

var errOutage = errors.New("the disk is on fire at /var/lib/secret")

func (failing) CreateUser(context.Context, User) (User, error)  { return User{}, errOutage }
func (failing) UserByKey(context.Context, string) (User, error) { panic("nobody expected this") }
func (failing) UserBySession(context.Context, string) (User, Session, error) {
	return User{}, Session{}, errOutage
}

// TestFailure: an outage or a panic is a 500 that says nothing; its cause is in
// the log under the request's id. It is never a wrong 401.
func TestFailure(t *testing.T) {
	s := startServer(t)
	token := s.signUp()
	s.acc.store = failing{s.acc.store}
	for name, got := range map[string]answer{
		"an outage":              s.register("bob", goodPassword),
		"an outage with a token": s.me("Authorization: Bearer " + token),
		"a panic":                s.login(goodLogin),
	} {
		if got.status != 500 || got.field("detail") != "Internal Server Error" || strings.Contains(got.body, "fire") {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		id := got.header.Get("X-Request-Id")
		cause := ""
		for line := range strings.Lines(s.log.String()) {
			if strings.Contains(line, id) && strings.Contains(line, "request failed") {
				cause = line
			}
		}
		if !strings.Contains(cause, "fire") && !strings.Contains(cause, "nobody expected this at latchkey.failing.UserByKey") {
			t.Errorf("%s: the log says %q", name, cause)
		}
	}
	s.checkLog(token)
}

// away is a store that does not answer.
type away struct{ store }

func (away) CreateUser(context.Context, User) (User, error)  { return User{}, errAway }
func (away) UserByKey(context.Context, string) (User, error) { return User{}, errAway }
func (away) UserBySession(context.Context, string) (User, Session, error) {
	return User{}, Session{}, errAway
}
func (away) Ping(context.Context) error { return errAway }

var errAway = fmt.Errorf("%w: no route to db.internal", errUnavailable)

// TestUnavailable: a store that does not answer is a 503 that says when to try
// again, and its cause is in the log. It is never a wrong 401.
func TestUnavailable(t *testing.T) {
	s := startServer(t)
	token := s.signUp()
	tokens := s.begin("alice")
	s.acc.store = away{s.acc.store}
	plain := `{"detail":"Service Unavailable"}`
	oauth := `{"detail":"Service Unavailable","error":"temporarily_unavailable","error_description":"Service Unavailable"}`
	for name, tt := range map[string]struct {
		got  answer
		body string
	}{
		"a registration": {s.register("bob", goodPassword), plain},
		"a login":        {s.login(goodLogin), oauth},
		"a refresh":      {s.refresh(tokens.refresh), oauth},
		"a log-out":      {s.revoke(tokens.refresh), oauth},
		"the sessions":   {s.as(tokens, "GET", "/users/me/sessions/", ""), plain},
		"a token":        {s.me("Authorization: Bearer " + token), plain},
		"readyz":         {s.do("GET", "/readyz", ""), plain},
	} {
		if tt.got.status != 503 || tt.got.body != tt.body || tt.got.header.Get("Retry-After") != "1" {
			t.Errorf("%s: %d %s, Retry-After %q", name, tt.got.status, tt.got.body, tt.got.header.Get("Retry-After"))
		}
		if log := s.log.String(); !strings.Contains(log, `"err":"the store does not answer: no route to db.internal","request_id":"`+tt.got.header.Get("X-Request-Id")) {
			t.Errorf("%s: the log does not say why: %s", name, log)
		}
	}
	if got := s.do("GET", "/livez", ""); got.status != 200 || got.body != `{"status":"ok"}` {
		t.Errorf("livez: %d %s", got.status, got.body)
	}
	s.checkLog(token)
}

// TestReady: a server is ready until it stops.
func TestReady(t *testing.T) {
	s := startServer(t)
	if got := s.do("GET", "/readyz", ""); got.status != 200 || got.body != `{"status":"ok"}` {
		t.Errorf("readyz: %d %s", got.status, got.body)
	}
	s.acc.stop()
	if got := s.do("GET", "/readyz", ""); got.status != 503 || got.body != `{"detail":"Shutting down"}` {
		t.Errorf("readyz of a server that stops: %d %s", got.status, got.body)
	}
	if got := s.do("GET", "/livez", ""); got.status != 200 {
		t.Errorf("livez of a server that stops: %d %s", got.status, got.body)
	}
}

// TestPanicBehindHeader: half an answer is cut off, not completed, and the log
// says why.
func TestPanicBehindHeader(t *testing.T) {
	out := new(safeBuffer)
	log := slog.New(slog.NewJSONHandler(out, nil))
	served := make(chan struct{})
	h := logged(log, recovered(log, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half")
		panic("no more")
	})))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(served)
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()
	resp, err := http.Get(srv.URL)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("the answer looks complete")
	}
	<-served
	if got := out.String(); !strings.Contains(got, "panic: no more at latchkey.TestPanicBehindHeader") || !strings.Contains(got, `"msg":"request"`) {
		t.Errorf("the log says %s", got)
	}
}

// TestRequestLine: one line a request, with the route and without the path.
func TestRequestLine(t *testing.T) {
	s := startServer(t)
	token := s.signUp()
	s.do("GET", "/users/me/?token="+token, "", "User-Agent: a\tb", "X-Request-ID: the-id")
	s.do("GET", "/nope/"+token, "", "X-Request-ID: other-id")
	s.do(strings.Repeat("X", 5000), "/nope", "", "X-Request-ID: long-id")
	want := map[string]string{"the-id": "GET /users/me/{$}", "other-id": "", "long-id": ""}
	for line := range strings.Lines(s.log.String()) {
		var entry struct {
			Msg, Method, Route, Source string
			ID                         string `json:"request_id"`
			Status                     int
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		route, ours := want[entry.ID]
		if !ours {
			continue
		}
		delete(want, entry.ID)
		if entry.Msg != "request" || entry.Route != route || entry.Source != "127.0.0.1" || entry.Status < 400 || len(entry.Method) > 16 {
			t.Errorf("line %s", line)
		}
	}
	if len(want) != 0 {
		t.Errorf("no line for %v", want)
	}
	s.checkLog(token)
}

// TestSecurityEvents: who did what stands in the log by OWASP's names.
func TestSecurityEvents(t *testing.T) {
	s := startServer(t)
	s.signUp()
	s.login("username=alice&password=wrong")
	s.login("username=" + goodPassword + "&password=typed+into+the+wrong+field")
	tokens := s.begin("alice")
	s.as(tokens, "PATCH", "/users/me/", `{"email":null}`)
	s.as(tokens, "POST", "/users/me/password", changeTo("wrong", newPassword))
	s.as(tokens, "POST", "/users/me/password", changeTo(goodPassword, goodPassword))
	s.refresh(tokens.refresh)
	s.clock.Advance(10 * time.Second)
	s.refresh(tokens.refresh)
	s.revoke(s.begin("alice").refresh)
	s.as(s.begin("alice"), "DELETE", "/users/me/", "")
	for _, want := range []string{
		`"level":"INFO","msg":"user_updated","username":"alice","source":"127.0.0.1"`,
		`"level":"INFO","msg":"user_deleted","username":"alice","source":"127.0.0.1"`,
		`"level":"INFO","msg":"authn_password_change","username":"alice","source":"127.0.0.1"`,
		`"level":"WARN","msg":"authn_password_change_fail","username":"alice","source":"127.0.0.1"`,
		`"level":"INFO","msg":"session_renewed","username":"alice","source":"127.0.0.1"`,
		`"level":"WARN","msg":"authn_token_reuse","username":"alice","source":"127.0.0.1"`,
		`"level":"INFO","msg":"authn_token_revoked","username":"alice","source":"127.0.0.1"`,
		`"level":"INFO","msg":"user_created","username":"alice","source":"127.0.0.1"`,
		`"level":"INFO","msg":"authn_login_success","username":"alice","source":"127.0.0.1"`,
		`"level":"WARN","msg":"authn_login_fail","username":"alice","source":"127.0.0.1"`,
		`"level":"WARN","msg":"authn_login_fail","username":"","source":"127.0.0.1"`,
	} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, s.log)
		}
	}
	s.checkLog("wrong field", newPassword, tokens.refresh)
}

func TestCORS(t *testing.T) {
	s := startServer(t, func(_ *accounts, cfg *edgeSettings) {
		cfg.CORSOrigins = []string{"https://app.example", "http://localhost:*"}
	})
	for _, tt := range []struct {
		name    string
		origins []string
		allowed bool
	}{
		{"an origin on the list", []string{"https://app.example"}, true},
		{"localhost with a port", []string{"http://localhost:3000"}, true},
		{"localhost without a port", []string{"http://localhost"}, true},
		{"no origin", nil, false},
		{"another origin", []string{"https://evil.example"}, false},
		{"null", []string{"null"}, false},
		{"another scheme", []string{"http://app.example"}, false},
		{"a port", []string{"https://app.example:444"}, false},
		{"a subdomain", []string{"https://x.app.example"}, false},
		{"a longer name", []string{"https://app.example.evil.example"}, false},
		{"a name that ends alike", []string{"https://notapp.example"}, false},
		{"capitals", []string{"https://APP.example"}, false},
		{"a slash behind", []string{"https://app.example/"}, false},
		{"localhost and more", []string{"http://localhost.evil.example"}, false},
		{"localhost with a port that is none", []string{"http://localhost:80.evil.example"}, false},
		{"localhost with a port too high", []string{"http://localhost:65536"}, false},
		{"localhost with a user", []string{"http://localhost:3000@evil.example"}, false},
		{"two origins", []string{"https://app.example", "https://evil.example"}, false},
		{"two origins in one header", []string{"https://app.example, https://evil.example"}, false},
		{"8,000 bytes", []string{"https://" + strings.Repeat("a", 8000)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var headers []string
			for _, origin := range tt.origins {
				headers = append(headers, "Origin: "+origin)
			}
			got := s.me(headers...)
			checkCORS(t, got, tt.origins, tt.allowed)
			preflight := s.do("OPTIONS", "/users/me/", "", append(headers, "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization", "Access-Control-Request-Private-Network: true")...)
			checkCORS(t, preflight, tt.origins, tt.allowed)
			if allow := preflight.header.Get("Access-Control-Allow-Headers"); (allow == "authorization") != tt.allowed {
				t.Errorf("preflight: %d, headers %q", preflight.status, allow)
			}
		})
	}
	off := startServer(t, func(_ *accounts, cfg *edgeSettings) { cfg.CORSOrigins = nil })
	checkCORS(t, off.me("Origin: https://app.example"), nil, false)
	all := startServer(t, func(_ *accounts, cfg *edgeSettings) { cfg.CORSOrigins = []string{"*"} })
	if got := all.me("Origin: https://any.example").header.Get("Access-Control-Allow-Origin"); got != "https://any.example" && got != "*" {
		t.Errorf("*: %q", got)
	}
}

func checkCORS(t *testing.T, a answer, origins []string, allowed bool) {
	t.Helper()
	want := ""
	if allowed {
		want = origins[0]
	}
	if got := a.header.Get("Access-Control-Allow-Origin"); got != want {
		t.Errorf("Access-Control-Allow-Origin %q, want %q", got, want)
	}
	for _, name := range []string{"Access-Control-Allow-Credentials", "Access-Control-Allow-Private-Network"} {
		if got := a.header.Get(name); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if origins != nil && !strings.Contains(strings.Join(a.header.Values("Vary"), ","), "Origin") {
		t.Errorf("Vary: %q", a.header.Values("Vary"))
	}
}

// TestPreflightHeaders: a page that may call may send whatever headers it likes.
func TestPreflightHeaders(t *testing.T) {
	s := startServer(t)
	for _, asked := range [][]string{
		{"authorization"},
		{"authorization,baggage,content-type,sentry-trace"},
		{"authorization,traceparent,x-request-id,x-requested-with"},
		{"x-of-my-own"},
		{"authorization", "x-of-my-own"}, // a gateway has split them
		{strings.Repeat("x-long-", 500)},
	} {
		headers := []string{"Origin: http://localhost:3000", "Access-Control-Request-Method: PATCH"}
		for _, names := range asked {
			headers = append(headers, "Access-Control-Request-Headers: "+names)
		}
		got := s.do("OPTIONS", "/users/me/", "", headers...)
		if allowed := got.header.Values("Access-Control-Allow-Headers"); got.status != 204 || !slices.Equal(allowed, asked) {
			t.Errorf("%.60q: %d, allowed %.60q", asked, got.status, allowed)
		}
		if vary := strings.Join(got.header.Values("Vary"), ", "); vary != "Origin, Access-Control-Request-Method, Access-Control-Request-Headers" {
			t.Errorf("Vary: %q", vary)
		}
		if got := got.header.Get("Access-Control-Allow-Credentials"); got != "" {
			t.Errorf("credentials: %q", got)
		}
	}
}

// TestRefusedPreflight: why a page may not call stands in the log, which shows it to the
// operator. No browser tells more than "CORS error".
func TestRefusedPreflight(t *testing.T) {
	for name, origins := range map[string][]string{"a list": {"https://app.example"}, "no list": nil} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, func(_ *accounts, cfg *edgeSettings) { cfg.CORSOrigins = origins })
			ask := func(origin, method string) {
				s.do("OPTIONS", "/token", "", "Origin: "+origin, "Access-Control-Request-Method: "+method, "X-Request-ID: the-id")
			}
			ask("https://app.example:8443", "POST")
			ask("https://"+strings.Repeat("a", 5000), strings.Repeat("M", 5000))
			s.do("OPTIONS", "/token", "") // asks for nobody
			logged := 0
			for line := range strings.Lines(s.log.String()) {
				if !strings.Contains(line, foreignOrigin) {
					continue
				}
				logged++
				if len(line) > 600 || !strings.Contains(line, `"request_id":"the-id"`) {
					t.Errorf("line %s", line)
				}
			}
			if logged != 2 || !strings.Contains(s.log.String(), `"origin":"https://app.example:8443","method":"OPTIONS","preflight_for":"POST"`) {
				t.Errorf("%d lines: %s", logged, s.log)
			}
			if origins != nil {
				ask("https://app.example", "PUT")
				ask("https://app.example", "POST")
				if !strings.Contains(s.log.String(), `"preflight_for":"PUT"`) || strings.Contains(s.log.String(), `"origin":"https://app.example","method":"OPTIONS","preflight_for":"POST"`) {
					t.Errorf("the log says %s", s.log)
				}
			}
		})
	}
}

// TestForeignPages: what a page makes its visitor's browser send is refused before it counts,
// unless its origin may call. Others are not browsers, or send no such mark.
func TestForeignPages(t *testing.T) {
	const app = "https://app.example"
	listed := []string{app, "http://localhost:*"}
	for _, tt := range []struct {
		name    string
		origins []string
		headers []string
		refused bool
	}{
		{"no browser", listed, nil, false},
		{"a page of another site", listed, []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site"}, true},
		{"a page of another site in an old browser", listed, []string{"Origin: https://evil.example"}, true},
		{"a page of another site that hides its origin", listed, []string{"Origin: null", "Sec-Fetch-Site: cross-site"}, true},
		{"the same in an old browser", listed, []string{"Origin: null"}, true},
		{"a page without an origin", listed, []string{"Sec-Fetch-Site: cross-site"}, true},
		{"a page of another subdomain", listed, []string{"Origin: https://other.example.com", "Sec-Fetch-Site: same-site"}, true},
		{"another port of our host", listed, []string{"Host: h.example:8000", "Origin: http://h.example:3000", "Sec-Fetch-Site: same-site"}, true},
		{"another port in an old browser", listed, []string{"Host: h.example:8000", "Origin: http://h.example:3000"}, true},
		{"our own page", listed, []string{"Host: h.example", "Origin: https://h.example", "Sec-Fetch-Site: same-origin"}, false},
		{"our own page in an old browser", listed, []string{"Host: h.example", "Origin: https://h.example"}, false},
		{"our own page behind a proxy that changes Host", listed, []string{"Host: 127.0.0.1:8000", "Origin: https://h.example", "Sec-Fetch-Site: same-origin"}, false},
		{"the user's own doing", listed, []string{"Sec-Fetch-Site: none"}, false},
		{"a mark that no browser has", listed, []string{"Origin: https://h.example", "Sec-Fetch-Site: x"}, true},
		{"a listed page", listed, []string{"Origin: " + app, "Sec-Fetch-Site: cross-site"}, false},
		{"a listed page in an old browser", listed, []string{"Origin: " + app}, false},
		{"a listed page of the same site", listed, []string{"Origin: http://localhost:3000", "Sec-Fetch-Site: same-site"}, false},
		{"a page that looks like a listed one", listed, []string{"Origin: http://localhost:3000.evil.example", "Sec-Fetch-Site: cross-site"}, true},
		{"a listed page beside another", listed, []string{"Origin: " + app, "Origin: https://evil.example"}, true},
		{"two marks", listed, []string{"Origin: https://evil.example", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"}, true},
		{"any page, where all may call", []string{"*"}, []string{"Origin: https://any.example", "Sec-Fetch-Site: cross-site"}, false},
		{"a page that hides its origin, where all may call", []string{"*"}, []string{"Origin: null", "Sec-Fetch-Site: cross-site"}, false},
		{"a page without an origin, where all may call", []string{"*"}, []string{"Sec-Fetch-Site: cross-site"}, false},
		{"any page, where none may call", nil, []string{"Origin: http://localhost:3000", "Sec-Fetch-Site: same-site"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startServer(t, func(_ *accounts, cfg *edgeSettings) { cfg.CORSOrigins = tt.origins })
			token := s.signUp()
			got := s.do("POST", "/token", "username=alice&password=wrong", append(tt.headers, "Content-Type: "+urlEncoded)...)
			want := badLogin
			if tt.refused {
				want = `{"detail":"Pages of this origin may not call; see CORS_ORIGINS","error":"invalid_request","error_description":"Pages of this origin may not call; see CORS_ORIGINS"}`
			}
			if got.body != want || tt.refused && got.status != 403 {
				t.Errorf("got %d %s; want %s", got.status, got.body, want)
			}
			if failed := strings.Contains(s.log.String(), "authn_login_fail"); failed == tt.refused {
				t.Errorf("a login has failed: %t", failed)
			}
			if told := strings.Contains(s.log.String(), foreignOrigin); told != tt.refused {
				t.Errorf("the log says so: %t", told)
			}
			for _, path := range []string{"/users/me/", "/livez"} {
				if got := s.do("GET", path, "", append(tt.headers, "Authorization: Bearer "+token)...); got.status != 200 {
					t.Errorf("reading %s: %d", path, got.status)
				}
			}
		})
	}
}

// TestForeignPagesEverywhere: no operation that changes something is open to them.
func TestForeignPagesEverywhere(t *testing.T) {
	s := startServer(t)
	for _, op := range operations(edgeSettings{}, s.acc) {
		method, path, _ := strings.Cut(strings.TrimSuffix(op.pattern, "{$}"), " ")
		got := s.do(method, strings.ReplaceAll(path, "{id}", "x"), "{}", "Origin: https://evil.example", "Content-Type: text/plain")
		if (got.status == 403) == (method == "GET") {
			t.Errorf("%s %s: %d %s", method, path, got.status, got.body)
		}
	}
}

// TestForeignPageWithoutHost: HTTP/1.0 needs no Host, and an origin without one is not equal
// to it.
func TestForeignPageWithoutHost(t *testing.T) {
	r := httptest.NewRequest("POST", "/token", nil)
	r.Host = ""
	if r.Header.Set("Origin", "null"); !isForeign(r, nil) {
		t.Error("the page passes")
	}
	if r.Header.Del("Origin"); isForeign(r, nil) {
		t.Error("no browser, and yet refused")
	}
}

// TestUntoldProxy: a proxy that TRUSTED_PROXIES does not name is named in the log, once.
func TestUntoldProxy(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, tt := range []struct {
		name, remote, header string
		trusted              []netip.Prefix
		warned               bool
	}{
		{"a proxy, and nobody is trusted", "10.0.0.1:5", "X-Forwarded-For", nil, true},
		{"a proxy by IPv6", "[fd00::1]:5", "X-Forwarded-For", trusted, true},
		{"another proxy than ours", "9.9.9.9:5", "X-Forwarded-For", trusted, true},
		{"a proxy that speaks RFC 7239", "9.9.9.9:5", "Forwarded", trusted, true},
		{"a proxy that speaks nginx", "9.9.9.9:5", "X-Real-IP", trusted, true},
		{"a socket without an address", "@", "X-Forwarded-For", nil, true},
		{"our proxy", "10.0.0.1:5", "X-Forwarded-For", trusted, false},
		{"a client", "9.9.9.9:5", "User-Agent", trusted, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := new(safeBuffer)
			h := identified(slog.New(slog.NewJSONHandler(out, nil)), tt.trusted, http.NotFoundHandler())
			for range 3 {
				r := httptest.NewRequest("GET", "/", nil)
				r.RemoteAddr = tt.remote
				r.Header.Set(tt.header, "1.2.3.4")
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
			peer, _, _ := strings.Cut(strings.Trim(tt.remote, "["), "]")
			peer = strings.TrimSuffix(peer, ":5")
			said := strings.Count(out.String(), `"level":"WARN"`)
			if tt.warned != (said == 1) || said > 1 || tt.warned && (!strings.Contains(out.String(), peer+" is not in TRUSTED_PROXIES") || !strings.Contains(out.String(), "header "+http.CanonicalHeaderKey(tt.header))) {
				t.Errorf("%d warnings: %s", said, out)
			}
		})
	}
}

// TestAbortedHandler: a handler that wants its connection cut gets that, and nothing is said
// of a failure.
func TestAbortedHandler(t *testing.T) {
	out := new(safeBuffer)
	log := slog.New(slog.NewJSONHandler(out, nil))
	served := make(chan struct{})
	h := logged(log, recovered(log, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(served)
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()
	resp, err := testClient.Get(srv.URL)
	if err == nil {
		resp.Body.Close()
		t.Errorf("answered with %d; want no answer", resp.StatusCode)
	}
	<-served
	if got := out.String(); strings.Contains(got, "request failed") || !strings.Contains(got, `"msg":"request"`) {
		t.Errorf("the log says %s", got)
	}
}

// FuzzLogLine: whatever a client sends, a log line is one JSON object on one
// line.
func FuzzLogLine(f *testing.F) {
	f.Add("GET", "/x", "id", "1.2.3.4", "name")
	f.Add("G\nT", "/\u2028", "a\r\nSet-Cookie: x", "x\x1b[31m", "a\n{\"level\":\"ERROR\"}")
	f.Fuzz(func(t *testing.T, method, path, id, forwarded, username string) {
		log := new(safeBuffer)
		logger := slog.New(slog.NewJSONHandler(log, nil))
		acc := &accounts{guard: guard{log: logger}}
		h := identified(logger, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, logged(logger, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			acc.event(r.Context(), slog.LevelWarn, "authn_login_fail", username, sender(r))
			writeError(w, r, logger, errors.New(path))
		})))
		r := httptest.NewRequest("GET", "/", nil)
		r.Method, r.URL.Path = method, path
		r.Header = http.Header{"X-Request-Id": {id}, "X-Forwarded-For": {forwarded}, "User-Agent": {path}}
		h.ServeHTTP(httptest.NewRecorder(), r)
		lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		for _, line := range lines {
			if !json.Valid([]byte(line)) || strings.ContainsAny(line, "\x1b\r") {
				t.Errorf("line %q", line)
			}
		}
		if len(lines) != 3 {
			t.Errorf("%d lines, want 3: %q", len(lines), lines)
		}
	})
}
