package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// TestSmuggling sends bodies whose end two servers may see in two places. Behind the
// body stands a request, which is answered only if the body is over by every reading.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.register(t, "alice")
	bearer := "Authorization: Bearer " + s.logIn(t, "alice")
	inner := head("GET /users/me/ HTTP/1.1", "Host: h", bearer)
	post := func(lines ...string) string {
		return head(append([]string{"POST /token HTTP/1.1", "Host: h", formType}, lines...)...)
	}
	long := fmt.Sprintf("Content-Length: %d", len(inner))
	tests := []struct {
		name    string
		request string
		reached bool // whether the inner request may be answered
	}{
		{"a body that is a request", post(long) + inner, false},
		{"a chunk that is a request", post("Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner), false},
		{"a GET with a body that is a request", head("GET /livez HTTP/1.1", "Host: h", long) + inner, false},
		{"a trailer that is a request", post("Transfer-Encoding: chunked", "Trailer: X-A") + "0\r\nX-A: b\r\n" + strings.TrimSuffix(inner, "\r\n") + "\r\n", false},
		{"a coding in another header", post("Content-Length: 0", "X-Transfer-Encoding: chunked") + inner, true},
		{"a coding after a space", post("Transfer-Encoding : chunked", long) + inner, false},
		{"a coding after a tab", post("Transfer-Encoding:\tchunked", long) + inner, false},
		{"a coding in quotes", post(`Transfer-Encoding: "chunked"`, long) + inner, false},
		{"a coding with a vertical tab", post("Transfer-Encoding: \vchunked", long) + inner, false},
		{"a coding that is folded", post("Transfer-Encoding:\r\n chunked", long) + inner, false},
		{"two codings", post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", long) + inner, false},
		{"a length behind a NUL", post("Content-Length: 0\x00", long) + inner, false},
		{"two lengths", post("Content-Length: 0", long) + inner, false},
		{"a length and a list", post("Content-Length: 0, "+strings.TrimPrefix(long, "Content-Length: ")) + inner, false},
		{"a chunk size with 0x", post("Transfer-Encoding: chunked") + "0x0\r\n\r\n" + inner, false},
		{"a chunk size with a sign", post("Transfer-Encoding: chunked") + "+0\r\n\r\n" + inner, false},
		{"a chunk size with a bare LF", post("Transfer-Encoding: chunked") + "1\na\r\n0\r\n\r\n" + inner, false},
		{"a chunk that is longer than its size", post("Transfer-Encoding: chunked") + "1\r\nab\r\n0\r\n\r\n" + inner, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dial(t)
			c.send(tt.request)
			c.answer("POST")
			if !tt.reached {
				c.Conn.(*net.TCPConn).CloseWrite() // there is nothing more to come
			}
			a, err := c.read("GET")
			if reached := err == nil && a.StatusCode != 400; reached != tt.reached {
				t.Errorf("the inner request was answered: %t, with %v; want %t", reached, a, tt.reached)
			}
		})
	}
	t.Run("a token in a trailer", func(t *testing.T) {
		a := s.ask(t, head("GET /users/me/ HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Trailer: Authorization")+"0\r\n"+bearer+"\r\n\r\n")
		checkProblem(t, a, 401, "Not authenticated")
	})
}

// TestLengthBesideCoding: RFC 9112 §6.1 lets the coding win, and ends the connection.
func TestLengthBesideCoding(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.dial(t)
	c.send(head("POST /token HTTP/1.1", "Host: h", formType, "Content-Length: 6", "Transfer-Encoding: chunked") +
		"0\r\n\r\n" + head("GET /livez HTTP/1.1", "Host: h"))
	c.answer("POST")
	if !c.isClosed() {
		t.Error("what stands behind the body was answered")
	}
}

// TestHalfClosedReaders: who has said all that it wants to read closes its half of the
// connection, and still waits for the answer, wherever the users are.
func TestHalfClosedReaders(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(testing.TB) place{"memory": inMemory, "SQLite": inFile} {
		t.Run(name, func(t *testing.T) {
			s := where(t).start(t)
			s.register(t, "alice")
			bearer := "Authorization: Bearer " + s.logIn(t, "alice")
			got := make(map[int]int)
			for i := range 200 {
				c := s.dial(t)
				c.send(head("GET "+[]string{"/users/me/", "/users/me/sessions/"}[i%2]+" HTTP/1.1", "Host: h", bearer))
				c.Conn.(*net.TCPConn).CloseWrite()
				got[c.answer("GET").StatusCode]++
			}
			if got[200] != 200 {
				t.Errorf("the answers are %v; want 200 all the time", got)
			}
		})
	}
}
