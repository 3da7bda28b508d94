package main

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// ask asks /verify as a proxy would, with a bearer token.
func (s *testServer) ask(path, token string) answer {
	s.t.Helper()
	return s.do("GET", path, "", "Authorization: Bearer "+token)
}

// TestVerifyScopes: a token passes if its user has all scopes that the path names.
func TestVerifyScopes(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "read write")
		token := s.begin("alice").access
		many := strings.Repeat("a", maxScopeLen)
		for _, tt := range []struct {
			name, path string
			status     int
			needed     string // of a 403
		}{
			{"nothing", "/verify", 200, ""},
			{"any", "/verify/any", 200, ""},
			{"any, and a path", "/verify/any/x", 200, ""},
			{"a scope that she has", "/verify/read", 200, ""},
			{"a scope, and a slash", "/verify/read/", 200, ""},
			{"two scopes that she has", "/verify/write,read", 200, ""},
			{"a scope twice", "/verify/read,read", 200, ""},
			{"a scope that she does not have", "/verify/root", 403, "root"},
			{"one that she has and one that she does not have", "/verify/write,root", 403, "root write"},
			{"a longer name", "/verify/reader", 403, "reader"},
			{"a shorter name", "/verify/rea", 403, "rea"},
			{"other letters", "/verify/READ", 403, "READ"},
			{"any in other letters", "/verify/Any", 403, "Any"},
			{"64 characters", "/verify/" + many, 403, many},
			{"32 scopes", "/verify/" + scopeList(32), 403, strings.ReplaceAll(scopeList(32), ",", " ")},
		} {
			t.Run(tt.name, func(t *testing.T) {
				got := s.ask(tt.path, token)
				body, challenge := "", ""
				if tt.status == 403 {
					body, challenge = notPermitted, `Bearer error="insufficient_scope", scope="`+tt.needed+`"`
				}
				if got.status != tt.status || got.body != body || got.header.Get("WWW-Authenticate") != challenge {
					t.Errorf("%d %s %v; want %d %s", got.status, got.body, got.header, tt.status, challenge)
				}
				if _, told := got.header["Remote-User"]; told != (tt.status == 200) {
					t.Errorf("%d with the headers %v", got.status, got.header)
				}
			})
		}
	})
}

// TestVerifyNoScope: a path that names no scope is a typing error, and lets nobody pass.
func TestVerifyNoScope(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "read write")
		token := s.begin("alice").access
		for name, path := range map[string]string{
			"no scope":                   "/verify/",
			"no scope, and a path":       "/verify//read",
			"a comma":                    "/verify/,",
			"a comma first":              "/verify/,read",
			"a comma last":               "/verify/read,",
			"any and a scope":            "/verify/any,read",
			"a space":                    "/verify/read%20write",
			"a plus":                     "/verify/read+write",
			"an escaped comma":           "/verify/read%2Cwrite",
			"an escaped letter":          "/verify/%72ead",
			"an escaped slash":           "/verify/read%2fany",
			"a NUL":                      "/verify/read%00",
			"a letter that is not ASCII": "/verify/gr%C3%B6%C3%9Fe",
			"65 characters":              "/verify/a" + strings.Repeat("a", maxScopeLen),
			"33 scopes":                  "/verify/" + scopeList(33),
			"a variable of a proxy":      "/verify/$scope",
			"a dot":                      "/verify/./any",
			"two dots":                   "/verify/../any",
		} {
			got := s.ask(path, token)
			if got.status != 404 || got.body != `{"detail":"Not Found"}` || got.header.Get("WWW-Authenticate") != "" || got.header.Get("Remote-User") != "" {
				t.Errorf("%s: %d %s %v", name, got.status, got.body, got.header)
			}
		}
	})
}

// scopeList returns n scopes in alphabetical order with commas between them.
func scopeList(n int) string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("s%02d", i))
	}
	return strings.Join(names, ",")
}

// TestVerifyLooksAtNothingElse: a client that wants to pass chooses the method, most of the path,
// the query, the body and other headers. None of them changes the answer.
func TestVerifyLooksAtNothingElse(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.signUp()
	s.grant("alice", "read")
	token := s.begin("alice").access
	for _, target := range []string{
		"/verify/read", "/verify/read?scope=any", "/verify/read?a=1&access_token=x", "/verify/read/../any",
		"/verify/read/%2e%2e/any", "/verify/read/./x", "/verify/read//x", "/verify/read//evil.example/", "/verify/read/x%2fy",
		"/verify/read/%2f", "/verify/read/robots.txt", "/verify/read/livez", "/verify/read/token", "/verify/read/users/me",
		"/verify/read/.well-known/jwks.json", "/verify/read/%", "/verify/read/%00", "http://evil.example/verify/read/x",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"} {
			for _, more := range []string{
				"", "X-Forwarded-Method: OPTIONS", "X-Original-Method: OPTIONS", "X-Forwarded-Uri: /public", "X-Original-URL: /public",
				"X-Forwarded-Host: evil.example", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site",
				"Origin: https://evil.example\r\nAccess-Control-Request-Method: GET", "Cookie: access_token=x; session=y",
				"Content-Encoding: gzip", "Content-Type: a/b, c/d", "Upgrade: websocket\r\nConnection: Upgrade", "Remote-User: root",
			} {
				for authorization, want := range map[string]string{
					"Authorization: Bearer " + token: "200", "Authorization: Bearer x": "401", "X-Nothing: x": "401",
				} {
					got := s.raw(method+" "+target+" HTTP/1.1", "Host: h", authorization, cmp.Or(more, "X-Nothing: y"))
					if strings.Contains(target, "/%") && !strings.Contains(target, "/%2") && !strings.Contains(target, "%00") {
						want = "400" // net/http refuses a broken escape
					}
					if !strings.HasPrefix(got, "HTTP/1.1 "+want+" ") || strings.Contains(got, "Location") || strings.Contains(got, "Access-Control") || strings.Contains(got, "Vary") {
						t.Fatalf("%s %s with %q and %.22q: %s; want %s", method, target, more, authorization, got, want)
					}
				}
			}
		}
	}
	s.checkLog(token, "evil", "robots")
}

// raw sends lines as they are and returns what comes back, until the server closes the connection
// or has sent a whole head.
func (s *testServer) raw(lines ...string) string {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, strings.Join(lines, "\r\n")+"\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatalf("%q: %v", lines, err)
	}
	var head strings.Builder
	fmt.Fprintf(&head, "HTTP/1.1 %s\r\n", resp.Status)
	if resp.Close {
		head.WriteString("Connection: close\r\n")
	}
	resp.Header.Write(&head)
	return head.String()
}

// TestVerifyPaths: only /verify and what is below it belongs to proxies.
func TestVerifyPaths(t *testing.T) {
	s := startServer(t)
	token := s.signUp()
	for path, want := range map[string]int{
		"/verifyx": 404, "/Verify": 404, "/%76erify": 404, "//verify": 307, "/x/../verify": 307, "/./verify/any": 307,
		"/verify%2fany": 404, "/verify;a=b": 404, "/users/verify/": 403, "/verify?x": 200,
	} {
		if got := s.ask(path, token); got.status != want {
			t.Errorf("%s: %d %s; want %d", path, got.status, got.body, want)
		}
	}
}

// TestVerifyBodies: the body of the request that a proxy holds is not read, and nobody waits
// for it.
func TestVerifyBodies(t *testing.T) {
	s := startServer(t)
	token := s.signUp()
	for _, tt := range []struct {
		name    string
		headers []string
		closes  bool
	}{
		{"none", nil, false},
		{"an empty one", []string{"Content-Length: 0"}, false},
		{"one that never comes", []string{"Content-Length: 60000"}, true},
		{"one of a terabyte", []string{"Content-Length: 1000000000000"}, true},
		{"chunks that never come", []string{"Transfer-Encoding: chunked"}, true},
		{"one that waits to be asked for", []string{"Content-Length: 60000", "Expect: 100-continue"}, true},
	} {
		for authorization, want := range map[string]string{"Bearer " + token: "200", "Bearer x": "401"} {
			start := time.Now()
			got := s.raw(append([]string{"POST /verify/any HTTP/1.1", "Host: h", "Authorization: " + authorization}, tt.headers...)...)
			if !strings.HasPrefix(got, "HTTP/1.1 "+want) || strings.Contains(got, "Connection: close") != tt.closes || time.Since(start) > 4*time.Second {
				t.Errorf("%s: %s after %v; want %s, closed: %v", tt.name, got, time.Since(start), want, tt.closes)
			}
		}
	}
}

// TestVerifyRefusals: a credential that is no good here is refused as by GET /users/me/.
func TestVerifyRefusals(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		p := s.begin("alice")
		now := s.clock.Now().Unix()
		for _, headers := range [][]string{
			nil, {"Authorization: "}, {"Authorization: Bearer"}, {"Authorization: Bearer x"}, {"Authorization: " + p.access},
			{"Authorization: Bearer " + p.refresh}, {"Authorization: Digest x"}, {"Cookie: access_token=" + p.access},
			{"Authorization: Bearer " + p.access, "Authorization: Bearer " + p.access},
			{"Authorization: Bearer " + mint(hs256, fmt.Sprintf(`{"sub":"alice","iat":%d,"exp":%d}`, now, now+9), "another key of more than 32 bytes")},
		} {
			got, want := s.do("GET", "/verify/any", "", headers...), s.me(headers...)
			for _, name := range []string{"Date", "X-Request-Id", "Vary"} {
				got.header.Del(name)
				want.header.Del(name)
			}
			if got.status != 401 || got.body != want.body || !maps.EqualFunc(got.header, want.header, slices.Equal[[]string]) {
				t.Errorf("%q: %d %s %v; want %s %v", headers, got.status, got.body, got.header, want.body, want.header)
			}
		}
		if got := s.do("GET", "/verify?access_token="+p.access, ""); got.status != 401 {
			t.Errorf("a token in the query: %d", got.status)
		}
		s.checkLog(p.access, p.refresh)
	})
}

// TestVerifyFollows: what ends a session or takes a scope counts from the next request, on every
// replica.
func TestVerifyFollows(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "read")
		replica := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.store = s.acc.store })
		first, second := s.begin("alice"), s.begin("alice")
		expect := func(what string, p pair, want int) {
			t.Helper()
			for i, at := range []*testServer{s, replica} {
				if got := at.ask("/verify/read", p.access); got.status != want {
					t.Errorf("%s, at replica %d: %d %s; want %d", what, i, got.status, got.body, want)
				}
			}
		}
		expect("at first", first, 200)
		s.grant("alice", "write")
		expect("without the scope", first, 403)
		s.grant("alice", "read write")
		expect("with it again", first, 200)
		s.revoke(first.refresh)
		expect("after a logout", first, 401)
		expect("in the other session", second, 200)
		u, err := s.acc.userByName(t.Context(), "alice")
		if err == nil {
			err = disableUser(t.Context(), s.acc.store, u.ID, s.clock.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
		expect("disabled", second, 401)
		if slices.ContainsFunc(s.lastEvents(100), func(line string) bool { return strings.HasPrefix(line, authorizationFailed) }) {
			t.Error("a refusal of a proxy's request is an event")
		}
	})
}

// TestVerifyOutage: a store that does not answer is no refusal.
func TestVerifyOutage(t *testing.T) {
	users := &faulty{store: newMemStore()}
	s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.store = users })
	token := s.signUp()
	users.at = users.calls + 1
	got := s.ask("/verify/any", token)
	if got.status != 503 || got.header.Get("Retry-After") == "" || got.body != `{"detail":"Service Unavailable"}` {
		t.Errorf("%d %s %v", got.status, got.body, got.header)
	}
	if got := s.ask("/verify/any", token); got.status != 200 {
		t.Errorf("afterwards: %d", got.status)
	}
}

// TestVerifyIdentity: the headers say who passes, each once, in ASCII, and decode to what the store has.
func TestVerifyIdentity(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		text := func(s string) *string { return &s }
		tested := []User{
			{Username: "plain"},
			{Username: "a\u0301bc", Email: text("a@example.com"), Scopes: "admin read"},
			{Username: "用户", Email: text("ñ@例え.jp")},
			{Username: "%41"},
			{Username: "a,b"},
			{Username: "x: y"},
			{Username: strings.Repeat("😀", maxUsername), Scopes: scopes(strings.ReplaceAll(scopeList(maxScopes), ",", " "))},
			{Username: "a\"b\\c;d=e"},
		}
		for i, u := range tested {
			u.UID, u.Key, u.PasswordHash = newUID(), usernameKey(u.Username), "$hash"
			u, err := s.acc.store.CreateUser(t.Context(), u)
			if err != nil {
				t.Fatal(err)
			}
			now := s.clock.Now()
			session := Session{ID: newSessionID(), UserID: u.ID, CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(time.Hour)}
			mustBegin(t, s.acc.store, session)
			tokens, err := s.acc.tokensOf(u, session, now)
			if err != nil {
				t.Fatal(err)
			}
			got := s.ask("/verify/any", tokens.AccessToken)
			name, err := url.PathUnescape(got.header.Get("Remote-User"))
			email, err2 := url.PathUnescape(got.header.Get("Remote-Email"))
			if got.status != 200 || err != nil || err2 != nil || name != u.Username || email != deref(u.Email) ||
				got.header.Get("Remote-Uid") != u.UID || got.header.Get("Remote-Groups") != strings.ReplaceAll(string(u.Scopes), " ", ",") {
				t.Errorf("user %d: %d %v", i, got.status, got.header)
			}
			want := []string{"Cache-Control", "Content-Length", "Date", "Referrer-Policy", "Remote-Email", "Remote-Groups", "Remote-Uid", "Remote-User", "X-Content-Type-Options", "X-Request-Id"}
			if has := slices.Sorted(maps.Keys(got.header)); !slices.Equal(has, want) {
				t.Errorf("user %d: the headers %q; want %q", i, has, want)
			}
			for name, values := range got.header {
				if len(values) != 1 || strings.Trim(values[0], asciiText) != "" {
					t.Errorf("user %d: %s: %q", i, name, values)
				}
			}
		}
	})
}

// asciiText is what a header may hold here.
var asciiText = func() string {
	var b strings.Builder
	for c := byte(' '); c <= '~'; c++ {
		b.WriteByte(c)
	}
	return b.String()
}()

// FuzzHeaderText: what is encoded is visible ASCII, and decodes to what it was. So no two texts
// are encoded alike.
func FuzzHeaderText(f *testing.F) {
	for _, text := range []string{"", "alice", "%41", "A", "%", "%%25", "a b", "a\r\nSet-Cookie: x", "用户", "\x00\xff\x7f", "a,b", "~!"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		encoded := headerText(text)
		for _, c := range []byte(encoded) {
			if c < '!' || c > '~' {
				t.Fatalf("%q is encoded as %q", text, encoded)
			}
		}
		if decoded, err := url.PathUnescape(encoded); err != nil || decoded != text {
			t.Errorf("%q is encoded as %q, which is %q, %v", text, encoded, decoded, err)
		}
	})
}

// FuzzVerifyPath: whatever follows the first segment changes nothing, and a path opens for every
// user only if it says so.
func FuzzVerifyPath(f *testing.F) {
	for _, path := range []string{"", "/any", "/read", "/read,write/x", "//any", "/%61ny", "/../any", "/read/../any", "/any/read", "/,any"} {
		f.Add(path, "x/../any")
	}
	f.Fuzz(func(t *testing.T, path, more string) {
		if path != "" {
			path = "/" + strings.TrimLeft(path, "/")
		}
		required, ok := requiredScopes(verifyRoute + path)
		segment, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if ok && required == "" && segment != anyUser && path != "" {
			t.Errorf("%q asks for nothing", path)
		}
		if ok && required != "" && slices.ContainsFunc(strings.Split(segment, ","), func(name string) bool { return !required.has(name) }) {
			t.Errorf("%q asks for %q", path, required)
		}
		if path == "" {
			return
		}
		if again, ok2 := requiredScopes(verifyRoute + path + "/" + more); again != required || ok2 != ok {
			t.Errorf("%q asks for %q, and with %q after it for %q", path, required, more, again)
		}
	})
}
