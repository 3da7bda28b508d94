package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A refusal is a status for what is no request.
type refusal struct {
	name    string
	request string
	status  int
}

// refusals is what net/http answers before any of our code sees it.
func refusals() []refusal {
	me := func(lines ...string) string { return head(append([]string{"GET /users/me/ HTTP/1.1"}, lines...)...) }
	post := func(lines ...string) string {
		return head(append([]string{"POST /token HTTP/1.1", "Host: h"}, lines...)...)
	}
	return []refusal{
		{"no Host", me(), 400},
		{"two Hosts", me("Host: h", "Host: evil.example"), 400},
		{"a Host with a space", me("Host: h evil.example"), 400},
		{"a Host with a path", me("Host: h/evil"), 400},
		{"HTTP/0.9", "GET /users/me/\r\n\r\n", 400},
		{"HTTP/9.9", head("GET /users/me/ HTTP/9.9", "Host: h"), 505},
		{"HTTP/2.0 in clear", head("GET /users/me/ HTTP/2.0", "Host: h"), 505},
		{"a request line with two spaces", head("GET  /users/me/ HTTP/1.1", "Host: h"), 400},
		{"a request line without a method", head(" /users/me/ HTTP/1.1", "Host: h"), 400},
		{"a method with a control character", head("GE\x01T /users/me/ HTTP/1.1", "Host: h"), 400},
		{"a path that does not begin with a slash", head("GET users/me/ HTTP/1.1", "Host: h"), 400},
		{"a path with a broken escape", head("GET /users/%zz/ HTTP/1.1", "Host: h"), 400},
		{"a path with a control character", head("GET /users/\x01/ HTTP/1.1", "Host: h"), 400},
		{"a URI of 13 KiB", head("GET /"+strings.Repeat("a", 13<<10)+" HTTP/1.1", "Host: h"), 431},
		{"a token of 13 KiB", me("Host: h", "Authorization: Bearer "+strings.Repeat("a", 13<<10)), 431},
		{"100,000 dots for a token", me("Host: h", "Authorization: Bearer "+strings.Repeat(".", 100_000)), 431},
		{"2,000 headers", me(append(slices.Repeat([]string{"X-Many: 1"}, 2000), "Host: h")...), 431},
		{"a NUL in a header", me("Host: h", "Authorization: Bearer a\x00b"), 400},
		{"a bare CR in a header", me("Host: h", "Authorization: Bearer a\rb"), 400},
		{"a space before the colon", me("Host: h", "Authorization : Bearer a"), 400},
		{"a header without a colon", me("Host: h", "Authorization"), 400},
		{"a header without a name", me("Host: h", ": Bearer a"), 400},
		{"a header folded before the first", me(" folded", "Host: h"), 400},
		{"Content-Length twice and different", post("Content-Length: 5", "Content-Length: 6"), 400},
		{"Content-Length -1", post("Content-Length: -1"), 400},
		{"Content-Length +0", post("Content-Length: +0"), 400},
		{"Content-Length 5 5", post("Content-Length: 5 5"), 400},
		{"Content-Length 5, 5", post("Content-Length: 5, 5"), 400},
		{"Content-Length 0x5", post("Content-Length: 0x5"), 400},
		{"Content-Length empty", post("Content-Length:"), 400},
		{"Content-Length over 64 bits", post("Content-Length: 99999999999999999999"), 400},
		{"Transfer-Encoding xchunked", post("Transfer-Encoding: xchunked"), 501},
		{"Transfer-Encoding identity", post("Transfer-Encoding: identity"), 501},
		{"Transfer-Encoding gzip, chunked", post("Transfer-Encoding: gzip, chunked"), 501},
		{"Transfer-Encoding chunked, identity", post("Transfer-Encoding: chunked, identity"), 501},
		{"Transfer-Encoding twice", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 501},
		{"Expect something else", post("Expect: 200-ok"), 417},
	}
}

// TestRefusedByTransport wants a status, a few words that do not repeat the
// request, and the end of the connection.
func TestRefusedByTransport(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, tt := range refusals() {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dial(t)
			c.send(tt.request)
			a := c.answer("GET")
			if a.StatusCode != tt.status {
				t.Errorf("got %d %.100q; want %d", a.StatusCode, a.body, tt.status)
			}
			if strings.Contains(a.body, "evil") || strings.Contains(a.body, "Bearer") || len(a.body) > 100 {
				t.Errorf("%q tells more than the status", a.body)
			}
			if !c.isClosed() {
				t.Error("the connection stays open")
			}
		})
	}
	checkProblem(t, s.ask(t, head("GET /users/me/ HTTP/1.1", "Host: h")), 401, "Not authenticated")
}

// TestOddRequests sends what is unusual and allowed: each is answered as the
// plain request is.
func TestOddRequests(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.register(t, "alice")
	bearer := "Authorization: Bearer " + s.logIn(t, "alice")
	tests := []struct {
		name  string
		lines []string
	}{
		{"nothing odd", nil},
		{"an Upgrade to WebSocket", []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}},
		{"an Upgrade to HTTP/2 in clear", []string{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"}},
		{"1,000 ranges", []string{"Range: bytes=0-1" + strings.Repeat(",2-3", 999)}},
		{"Accept text/html", []string{"Accept: text/html"}},
		{"Accept nothing", []string{"Accept: */*;q=0"}},
		{"an Accept of 7 KiB", []string{"Accept: " + strings.Repeat("a/b,", 7<<8)}},
		{"Accept-Encoding gzip", []string{"Accept-Encoding: gzip, br"}},
		{"conditions that a cache sends", []string{`If-None-Match: *`, "If-Modified-Since: Mon, 23 Nov 2026 16:00:00 GMT"}},
		{"another method in a header", []string{"X-HTTP-Method-Override: DELETE"}},
		{"another path in a header", []string{"X-Original-URL: /token", "X-Rewrite-URL: /token"}},
		{"another host in a header", []string{"X-Forwarded-Host: evil.example", "Forwarded: host=evil.example"}},
		{"Content-Length twice and equal", []string{"Content-Length: 0", "Content-Length: 0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkMe(t, s.ask(t, head(append([]string{"GET /users/me/ HTTP/1.1", "Host: h", bearer}, tt.lines...)...)), "alice")
		})
	}
	for _, target := range []string{"/users/me/?next=//evil", "/users/me/?" + strings.Repeat("q", 5<<10), "/users/%6de/", "http://evil.example/users/me/"} {
		t.Run("the target "+target[:min(30, len(target))], func(t *testing.T) {
			checkMe(t, s.ask(t, head("GET "+target+" HTTP/1.1", "Host: evil.example", bearer)), "alice")
		})
	}
}

func TestAuthorizationOnTheWire(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.register(t, "alice")
	token := s.logIn(t, "alice")
	const refused, none = "Could not validate credentials", "Not authenticated"
	tests := []struct {
		name   string
		lines  []string
		detail string // empty: it is alice
	}{
		{"folded before the token", []string{"Authorization: Bearer\r\n " + token}, ""},
		{"folded within the token", []string{"Authorization: Bearer " + token[:9] + "\r\n " + token[9:]}, refused},
		{"an underscore in the name", []string{"Author_ization: Bearer " + token}, none},
		{"the name in capitals", []string{"AUTHORIZATION: Bearer " + token}, ""},
		{"a tab after Bearer", []string{"Authorization: Bearer\t" + token}, none},
		{"spaces around", []string{"Authorization:   Bearer " + token + " \t "}, ""},
		{"two headers", []string{"Authorization: Bearer " + token, "Authorization: Bearer " + token}, refused},
		{"a header and its folded twin", []string{"Authorization: Bearer " + token + "\r\n Bearer " + token}, refused},
		{"7 KiB of dots", []string{"Authorization: Bearer " + strings.Repeat(".", 7<<10)}, refused},
		{"a token of 11 KiB", []string{"Authorization: Bearer " + strings.Repeat("a", 11<<10)}, refused},
		{"a token in UTF-8", []string{"Authorization: Bearer " + token + "é"}, refused},
		{"the token for a proxy", []string{"Proxy-Authorization: Bearer " + token}, none},
		{"the token in a cookie", []string{"Cookie: access_token=" + token}, none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := s.ask(t, head(append([]string{"GET /users/me/ HTTP/1.1", "Host: h"}, tt.lines...)...))
			if tt.detail == "" {
				checkMe(t, a, "alice")
			} else {
				checkProblem(t, a, 401, tt.detail)
			}
		})
	}
	t.Run("HTTP/1.0 without Host", func(t *testing.T) {
		checkMe(t, s.ask(t, head("GET /users/me/ HTTP/1.0", "Authorization: Bearer "+token)), "alice")
	})
	t.Run("the token in the query", func(t *testing.T) {
		checkProblem(t, s.do(t, "GET", "/users/me/?access_token="+token, ""), 401, none)
	})
}

// TestOneConnection sends many requests without waiting for answers, which have
// to come in the same order.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, n := range []int{100, 2500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := s.dial(t)
			go func() {
				for i := range n {
					c.send(head("GET /users/me/ HTTP/1.1", "Host: h", fmt.Sprintf("X-Request-ID: number-%d", i)))
				}
			}()
			for i := range n {
				a := c.answer("GET")
				if got, want := a.Header.Get("X-Request-ID"), fmt.Sprintf("number-%d", i); a.StatusCode != 401 || got != want {
					t.Fatalf("got %d for %s; want 401 for %s", a.StatusCode, got, want)
				}
			}
		})
	}
}

func TestRequestIDOnTheWire(t *testing.T) {
	t.Parallel()
	s := start(t)
	tests := []struct {
		name   string
		lines  []string
		echoed string // empty: one of the server's own
	}{
		{"none", nil, ""},
		{"every kind of character", []string{"X-Request-ID: Az09._-"}, "Az09._-"},
		{"the name in small letters", []string{"x-request-id: abc"}, "abc"},
		{"spaces around", []string{"X-Request-ID:  abc \t"}, "abc"},
		{"64 characters", []string{"X-Request-ID: " + strings.Repeat("a", 64)}, strings.Repeat("a", 64)},
		{"65 characters", []string{"X-Request-ID: " + strings.Repeat("a", 65)}, ""},
		{"10 KiB", []string{"X-Request-ID: " + strings.Repeat("a", 10<<10)}, ""},
		{"empty", []string{"X-Request-ID:"}, ""},
		{"two", []string{"X-Request-ID: abc", "X-Request-ID: def"}, ""},
		{"two, of which one is empty", []string{"X-Request-ID: abc", "X-Request-ID:"}, ""},
		{"a comma", []string{"X-Request-ID: a,b"}, ""},
		{"a space", []string{"X-Request-ID: a b"}, ""},
		{"a fold", []string{"X-Request-ID: a\r\n b"}, ""},
		{"UTF-8", []string{"X-Request-ID: é"}, ""},
		{"invalid UTF-8", []string{"X-Request-ID: a\xff"}, ""},
		{"a quote", []string{`X-Request-ID: a"b`}, ""},
		{"a tag", []string{"X-Request-ID: <b>"}, ""},
		{"an escaped line end", []string{"X-Request-ID: a%0d%0aSet-Cookie:x=1"}, ""},
		{"a line end, and so another header", []string{"X-Request-ID: a\r\nSet-Cookie: x=1"}, "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := s.ask(t, head(append([]string{"GET /users/me/ HTTP/1.1", "Host: h"}, tt.lines...)...))
			checkProblem(t, a, 401, "Not authenticated")
			got := a.Header.Get("X-Request-ID")
			if tt.echoed != "" && got != tt.echoed || tt.echoed == "" && !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(got) {
				t.Errorf("got %q; want %q or, if that is empty, a new one", got, tt.echoed)
			}
			if len(a.Header.Values("Set-Cookie")) > 0 {
				t.Error("the answer sets a cookie")
			}
		})
	}
}

// TestHostileLog sends what would break out of a log line. Every request that
// reaches our code is one line; that each line is JSON, start checks.
func TestHostileLog(t *testing.T) {
	t.Parallel()
	s := start(t, "TRUSTED_PROXIES=127.0.0.0/8,::1/128", "LOG_LEVEL=debug")
	n := 0
	for _, request := range hostileRequests() {
		if a := s.ask(t, request); a.Header.Get("X-Request-ID") != "" {
			n++
		}
	}
	if n == 0 {
		t.Fatal("no request has come through")
	}
	waitFor(t, "every request to be logged", func() bool { return len(s.log.events("request")) >= n })
	if got := len(s.log.events("request")); got != n || len(s.log.events("fake")) > 0 {
		t.Errorf("%d lines for %d requests, and %d that are made up", got, n, len(s.log.events("fake")))
	}
	if raw := regexp.MustCompile(`[\x00-\x09\x0b-\x1f\x7f]|\x{2028}|\x{2029}|\x{85}`).FindString(s.log.String()); raw != "" {
		t.Errorf("the log holds the control character %q", raw)
	}
}

// hostileRequests puts hostile text wherever a request has room for it.
func hostileRequests() []string {
	const fake = `"}{"level":"ERROR","msg":"fake"}`
	var requests []string
	for _, value := range []string{
		fake, "\x1b[31m" + fake, "\t" + fake, "a\r\n " + fake, "\u2028\u2029\u0085" + fake, "\xff\xfe" + fake, strings.Repeat("a", 7<<10) + fake,
	} {
		for _, header := range []string{"User-Agent", "Referer", "X-Forwarded-For", "X-Request-ID", "Origin", "Cookie", "Content-Type", "Content-Encoding", "Authorization"} {
			requests = append(requests, head("GET /users/me/ HTTP/1.1", "Host: h", header+": "+value))
		}
	}
	for _, target := range []string{"/%0a" + fake, "/users/me/?q=%0a%1b[31m", "/%ff%fe", "/\xff\xfe", "/\u2028", "/\x1b[31m"} {
		requests = append(requests, head("GET "+target+" HTTP/1.1", "Host: h"))
	}
	for _, method := range []string{"GE\x1bT", `"GET"`, strings.Repeat("M", 60), "MÉTHODE"} {
		requests = append(requests, head(method+" /users/me/ HTTP/1.1", "Host: h"))
	}
	for _, username := range []string{"a\n" + fake, "a\r\n" + fake, "\x1b[31m", "\u2028", "\xff", strings.Repeat("a", 60<<10)} {
		for _, form := range []string{loginForm(username), loginForm("alice") + "&scope=" + username} {
			requests = append(requests, head("POST /token HTTP/1.1", "Host: h", formType, contentLength(form))+form)
		}
	}
	return requests
}
