package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A wire is a connection on which a test writes every byte itself.
type wire struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (s *testServer) dial(t testing.TB) *wire {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return &wire{c, t, bufio.NewReader(c)}
}

// ask sends a request, whose first line is followed by others, and perhaps by a body.
func (w *wire) ask(request, body string, headers ...string) (*http.Response, string) {
	w.t.Helper()
	lines := append([]string{request + " HTTP/1.1", "Host: h"}, headers...)
	io.WriteString(w, strings.Join(lines, "\r\n")+"\r\n\r\n"+body) // the answer shows what has come
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(w.r, &http.Request{Method: method})
	if err != nil {
		w.t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, string(text)
}

// TestBodyThatNeverComes: a request whose operation has no use for a body is answered without
// it, and so is one that fails before the body matters. The connection ends, so that no body
// that comes late can pass for a request.
func TestBodyThatNeverComes(t *testing.T) {
	s := startServer(t)
	bearer := "Authorization: Bearer " + s.signUp()
	for _, tt := range []struct {
		name, request string
		headers       []string
		status        int
		isBounded     bool // 413 if ten MiB are announced
	}{
		{"who am I", "GET /users/me/", []string{bearer}, 200, false},
		{"who am I, without its body", "HEAD /users/me/", []string{bearer}, 200, false},
		{"who am I, of nobody", "GET /users/me/", nil, 401, false},
		{"who am I, of a bad token", "GET /users/me/", []string{"Authorization: Bearer x"}, 401, false},
		{"a packed body that nobody unpacks", "GET /users/me/", []string{bearer, "Content-Encoding: gzip"}, 200, false},
		{"a body that waits for leave", "GET /users/me/", []string{bearer, "Expect: 100-continue"}, 200, false},
		{"the sessions", "GET /users/me/sessions/", []string{bearer}, 200, false},
		{"ending a session", "DELETE /users/me/sessions/x", []string{bearer}, 404, false},
		{"ending all sessions with a bad query", "DELETE /users/me/sessions/?keep=x", []string{bearer}, 422, false},
		{"deleting oneself, as nobody", "DELETE /users/me/", nil, 401, false},
		{"a change without a token", "PATCH /users/me/", []string{"Content-Type: application/json"}, 401, true},
		{"a change with another scheme", "PATCH /users/me/", []string{"Authorization: Basic dTpw"}, 401, true},
		{"a change with two tokens", "PATCH /users/me/", []string{bearer, bearer}, 401, true},
		{"a packed change", "PATCH /users/me/", []string{bearer, "Content-Encoding: gzip"}, 415, true},
		{"a password without a token", "POST /users/me/password", nil, 401, true},
		{"a packed form", "POST /token", []string{"Content-Encoding: br"}, 415, true},
		{"a form of a page elsewhere", "POST /token", []string{"Origin: https://evil.example"}, 403, false},
		{"no path of ours", "GET /nope", nil, 404, false},
		{"no path of ours, posted to", "POST /nope", nil, 404, false},
		{"an escaped slash", "GET /%2f", nil, 404, false},
		{"another method", "PUT /token", nil, 405, false},
		{"a missing slash", "GET /users/me", nil, 307, false},
		{"a missing slash, posted to", "POST /users", nil, 307, false},
		{"a path to clean", "POST //token", nil, 307, false},
		{"a preflight", "OPTIONS /users/", []string{"Origin: http://localhost:3000", "Access-Control-Request-Method: POST"}, 204, false},
		{"a preflight that is refused", "OPTIONS /users/", []string{"Origin: https://evil.example", "Access-Control-Request-Method: POST"}, 204, false},
		{"a health check", "GET /livez", nil, 200, false},
		{"another health check", "GET /readyz", nil, 200, false},
		{"the account page", "GET /", nil, 200, false},
		{"the document", "GET /openapi.json", nil, 200, false},
		{"the page", "GET /docs", nil, 200, false},
		{"a file of the page", "GET /docs/docs.js", nil, 200, false},
	} {
		for name, length := range map[string]string{
			"three bytes": "Content-Length: 3",
			"ten MiB":     "Content-Length: 10485760",
			"chunks":      "Transfer-Encoding: chunked",
		} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				t.Parallel()
				w, begin := s.dial(t), time.Now()
				resp, _ := w.ask(tt.request, "", append([]string{length}, tt.headers...)...)
				want := tt.status
				if name == "ten MiB" && tt.isBounded {
					want = 413
				}
				if resp.StatusCode != want || !resp.Close {
					t.Errorf("got %d, and a connection that ends: %t; want %d and the end", resp.StatusCode, resp.Close, want)
				}
				if took := time.Since(begin); took > 5*time.Second {
					t.Errorf("answered after %v; want it at once", took)
				}
			})
		}
	}
}

// TestLateBody: a body that comes after the answer is not a request, whatever it looks like.
func TestLateBody(t *testing.T) {
	s := startServer(t)
	bearer := "Authorization: Bearer " + s.signUp()
	inner := "GET /users/me/ HTTP/1.1\r\nHost: h\r\n" + bearer + "\r\n\r\n"
	length := fmt.Sprintf("Content-Length: %d", len(inner))
	for _, tt := range []struct{ name, request, header string }{
		{"to an operation without one", "GET /livez", length},
		{"to no operation", "POST /nope", length},
		{"to a change without a token", "PATCH /users/me/", length},
		{"longer than allowed", "POST /token", "Content-Length: 70000"},
		{"after chunks were announced", "GET /livez", "Transfer-Encoding: chunked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := s.dial(t)
			w.ask(tt.request, "", tt.header)
			io.WriteString(w, inner)
			w.Conn.(*net.TCPConn).CloseWrite()
			if rest, _ := io.ReadAll(w.r); len(rest) > 0 {
				t.Errorf("answered with %.100q; want the end", rest)
			}
		})
	}
}

// TestKeepAlive: a connection goes on if the body of its last request has come to its end.
func TestKeepAlive(t *testing.T) {
	s := startServer(t)
	s.signUp()
	w := s.dial(t)
	for _, tt := range []struct {
		name, request, body string
		headers             []string
		status              int
	}{
		{"no body", "GET /users/me/", "", nil, 401},
		{"a body without a byte", "GET /users/me/", "", []string{"Content-Length: 0"}, 401},
		{"a login", "POST /token", goodLogin, []string{"Content-Type: " + urlEncoded}, 200},
		{"a login that fails", "POST /token", "username=alice&password=x", []string{"Content-Type: " + urlEncoded}, 401},
		{"too many fields", "POST /token", manyFields(101), []string{"Content-Type: " + urlEncoded}, 413},
		{"a body that is no JSON", "POST /users/", "x", []string{"Content-Type: application/json"}, 422},
		{"a redirect", "GET /users/me", "", nil, 307},
		{"the last", "GET /livez", "", nil, 200},
	} {
		headers := tt.headers
		if tt.body != "" {
			headers = append(headers, fmt.Sprintf("Content-Length: %d", len(tt.body)))
		}
		if resp, _ := w.ask(tt.request, tt.body, headers...); resp.StatusCode != tt.status || resp.Close {
			t.Fatalf("%s: got %d, and the end of the connection: %t; want %d and no end", tt.name, resp.StatusCode, resp.Close, tt.status)
		}
	}
}
