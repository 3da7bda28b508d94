package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A conn is a connection on which a test writes every byte itself.
type conn struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

// dial connects to the server, by TLS if it speaks that.
func (s *server) dial(t testing.TB) *conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	if strings.HasPrefix(s.url, "https:") {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	return &conn{c, t, bufio.NewReader(c)}
}

// head is the head of a request, from its lines.
func head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

func contentLength(body string) string { return fmt.Sprintf("Content-Length: %d", len(body)) }

// send writes text. The server may have hung up already, as it should on some:
// the answer, or its absence, shows it.
func (c *conn) send(text string) { io.WriteString(c, text) }

// answer reads the next answer, which is to a request with this method.
func (c *conn) answer(method string) answer {
	c.t.Helper()
	a, err := c.read(method)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	return a
}

func (c *conn) read(method string) (answer, error) {
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp, string(body)}, err
}

// isClosed reports whether the server closes the connection without another
// answer. It waits for that.
func (c *conn) isClosed() bool {
	_, err := c.r.ReadByte()
	timeout, ok := err.(net.Error)
	return err != nil && !(ok && timeout.Timeout())
}

// ask sends one request, or what looks like one, on a connection of its own.
func (s *server) ask(t testing.TB, request string) answer {
	t.Helper()
	c := s.dial(t)
	c.send(request)
	method, _, _ := strings.Cut(request, " ")
	return c.answer(method)
}
