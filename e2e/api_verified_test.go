package e2e

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestVerifyNames: each name is one header in ASCII, and what it decodes to is the name.
func TestVerifyNames(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	for _, name := range []string{
		"a\u0301", "用户", "%41", "A%", "a,b", "x: y", "a b", "a=b;c", `a"b\c`, "a+b", strings.Repeat("𠀀", 150), strings.Repeat("é", 75) + strings.Repeat("%", 75),
		"ßẞ", "root\u00a0x", "a/b", "a\tb",
	} {
		t.Run(name[:min(12, len(name))], func(t *testing.T) {
			a := s.do(t, "POST", "/users/", newUser(name, password), jsonType)
			if a.StatusCode == 422 {
				t.Skipf("the name may not be had: %s", a.body)
			}
			checkStatus(t, a, 200)
			var shown struct{ Username string }
			token := s.logIn(t, name)
			decode(t, s.me(t, token).body, &shown)
			a = s.verify(t, "/verify", token)
			checkVerified(t, a, shown.Username)
			if raw := a.Header.Get("Remote-User"); strings.Contains(name, "%") && !strings.Contains(raw, "%25") {
				t.Errorf("Remote-User: %q; want another text for a per cent sign than for an escape", raw)
			}
		})
	}
}

// TestVerifyHeaders: what the headers hold, and that they are there when empty, in the same order.
func TestVerifyHeaders(t *testing.T) {
	t.Parallel()
	s, tokens := withScopes(t, map[string]string{"alice": "read a:b", "bob": ""})
	for email, want := range map[string]string{
		"null":                 "",
		`"a@example.org"`:      "a@example.org",
		`"müller@example.org"`: "m%C3%BCller@example.org",
		`"a%41+b@example.org"`: "a%2541+b@example.org",
	} {
		checkStatus(t, s.authorized(t, "PATCH", "/users/me/", `{"email":`+email+`}`, tokens["alice"]), 200)
		a := s.verify(t, "/verify", tokens["alice"])
		checkVerified(t, a, "alice")
		if got := a.Header.Get("Remote-Email"); got != want {
			t.Errorf("for %s Remote-Email is %q; want %q", email, got, want)
		}
		if got := a.Header.Get("Remote-Groups"); got != "a:b,read" {
			t.Errorf("Remote-Groups: %q; want a:b,read", got)
		}
		if got, want := a.Header.Get("Remote-Uid"), claimsOf(t, tokens["alice"])["uid"]; got != want {
			t.Errorf("Remote-Uid: %q; want %q, as in the token", got, want)
		}
	}
	var order []string
	for name, token := range tokens {
		lines := s.rawHead(t, head("GET /verify HTTP/1.1", "Host: h", "Authorization: Bearer "+token))
		var names, identity []string
		for _, line := range lines[1:] {
			field, _, _ := strings.Cut(line, ":")
			names = append(names, field)
			if strings.HasPrefix(field, "Remote-") {
				identity = append(identity, field)
			}
		}
		if slices.Sort(identity); len(identity) != len(identityHeaders) {
			t.Errorf("%s has %q; want %q", name, identity, identityHeaders)
		}
		if order == nil {
			order = names
		}
		if !slices.Equal(names, order) || lines[0] != "HTTP/1.1 200 OK" {
			t.Errorf("%s has %s, %q; another user %q", name, lines[0], names, order)
		}
	}
}

// rawHead returns the status line and the headers of an answer as they come.
func (s *server) rawHead(t testing.TB, request string) []string {
	t.Helper()
	c := s.dial(t)
	c.send(request)
	var lines []string
	for in := bufio.NewReader(c); ; {
		line, err := in.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); err != nil || line == "" {
			return lines
		}
		lines = append(lines, line)
	}
}

// TestVerifyBodies: a body is neither waited for nor looked at.
func TestVerifyBodies(t *testing.T) {
	t.Parallel()
	s, tokens := withScopes(t, map[string]string{"alice": "read"})
	form := "access_token=" + tokens["alice"]
	for name, tt := range map[string]struct {
		lines []string
		body  string
	}{
		"60 KiB":                        {[]string{"Content-Length: 61440"}, strings.Repeat("a", 61440)},
		"200 KiB":                       {[]string{"Content-Length: 204800"}, strings.Repeat("a", 204800)},
		"a length without a body":       {[]string{"Content-Length: 1000"}, ""},
		"a length beyond all measure":   {[]string{"Content-Length: 9000000000000"}, ""},
		"chunks that do not come":       {[]string{"Transfer-Encoding: chunked"}, ""},
		"a client that wants to ask":    {[]string{"Content-Length: 1000", "Expect: 100-continue"}, ""},
		"a form with the token":         {[]string{formType, contentLength(form)}, form},
		"JSON that is none":             {[]string{jsonType, "Content-Length: 1"}, "{"},
		"a coding that nobody reads":    {[]string{"Content-Encoding: gzip", "Content-Length: 1"}, "x"},
		"a type that nobody would read": {[]string{"Content-Type: x", "Content-Length: 1"}, "x"},
	} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(method+" with "+name, func(t *testing.T) {
				for _, token := range []string{tokens["alice"], ""} {
					lines := append([]string{method + " /verify/read HTTP/1.1", "Host: h", "Authorization: Bearer " + token}, tt.lines...)
					begin := time.Now()
					a := s.ask(t, head(lines...)+tt.body)
					if took := time.Since(begin); took > allow(time.Second) {
						t.Errorf("the answer takes %v", took)
					}
					if token == "" {
						checkStatus(t, a, 401)
					} else {
						checkVerified(t, a, "alice")
					}
				}
			})
		}
	}
}

// TestVerifySmuggling: a body that nobody reads is not taken for the next request.
func TestVerifySmuggling(t *testing.T) {
	t.Parallel()
	s, tokens := withScopes(t, map[string]string{"alice": "read"})
	inner := head("GET /users/me/ HTTP/1.1", "Host: h", "Authorization: Bearer "+tokens["alice"])
	for name, request := range map[string]string{
		"a body":          head("GET /verify HTTP/1.1", "Host: h", contentLength(inner)) + inner,
		"a chunk":         head("POST /verify HTTP/1.1", "Host: h", "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner),
		"a large body":    head("PUT /verify/read HTTP/1.1", "Host: h", "Content-Length: 400000") + strings.Repeat(inner, 400_000/len(inner)),
		"two lengths":     head("GET /verify HTTP/1.1", "Host: h", "Content-Length: 0", contentLength(inner)) + inner,
		"a body of HEAD":  head("HEAD /verify HTTP/1.1", "Host: h", contentLength(inner)) + inner,
		"an expected one": head("POST /verify HTTP/1.1", "Host: h", contentLength(inner), "Expect: 100-continue") + inner,
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			c.send(request)
			method, _, _ := strings.Cut(request, " ")
			c.answer(method)
			c.Conn.(*net.TCPConn).CloseWrite()
			if a, err := c.read("GET"); err == nil && a.StatusCode == 200 {
				t.Errorf("the body was answered: %s", a.body)
			}
		})
	}
}

// basic is the header with which a client says who it is (RFC 7617).
func basic(username, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
}
