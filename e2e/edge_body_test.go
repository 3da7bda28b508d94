package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestLargeBodies(t *testing.T) {
	t.Parallel()
	s := start(t)
	const limit = 64 << 10
	chunked := func(size int) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", size, strings.Repeat("a", size)) }
	for path, reads := range map[string]bool{"/token": true, "/users/": true, "/users/me/": false, "/nowhere": false} {
		tests := []struct {
			name  string
			lines []string
			body  string
			large bool
		}{
			{"a length of 64 KiB", []string{fmt.Sprintf("Content-Length: %d", limit)}, strings.Repeat("a", limit), false},
			{"a length of one byte more, of which none comes", []string{fmt.Sprintf("Content-Length: %d", limit+1)}, "", reads},
			{"a length of 1 TiB", []string{"Content-Length: 1099511627776"}, "a", reads},
			{"a length that waits for leave", []string{fmt.Sprintf("Content-Length: %d", limit+1), "Expect: 100-continue"}, "", reads},
			{"chunks of 64 KiB", []string{"Transfer-Encoding: chunked"}, chunked(limit), false},
			{"chunks of one byte more", []string{"Transfer-Encoding: chunked"}, chunked(limit + 1), reads},
		}
		for _, tt := range tests {
			t.Run(tt.name+" to "+path, func(t *testing.T) {
				c, begin := s.dial(t), time.Now()
				c.send(head(append([]string{"POST " + path + " HTTP/1.1", "Host: h"}, tt.lines...)...) + tt.body)
				a := c.answer("POST")
				if !tt.large {
					if a.StatusCode == 413 {
						t.Errorf("got 413 %s", a.body)
					}
					checkShape(t, a)
					return
				}
				checkProblem(t, a, 413, "Request Entity Too Large")
				if took := time.Since(begin); took > bodyLimit/2 {
					t.Errorf("answered after %v; want it without waiting for the body", took)
				}
				c.Conn.(*net.TCPConn).CloseWrite() // or net/http waits for what is to come
				if !a.Close || !c.isClosed() {
					t.Error("the connection stays open")
				}
			})
		}
	}
}

// TestCutBodies sends the login of a user, and then less than was announced:
// nobody may be logged in by a part of a form.
func TestCutBodies(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.register(t, "alice")
	form := loginForm("alice")
	tests := []struct {
		name  string
		lines string
		body  string
	}{
		{"a length of 100", "Content-Length: 100", form},
		{"chunks without the last", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n", len(form), form)},
		{"a chunk that is cut off", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s", len(form)+1, form)},
		{"a chunk of a bad size", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\nxyz\r\n", len(form), form)},
		{"a chunk of a negative size", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n-1\r\n", len(form), form)},
		{"a chunk of a size over 64 bits", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\nfffffffffffffffff\r\n", len(form), form)},
	}
	for _, tt := range tests {
		for _, how := range []string{"half", "wholly"} {
			t.Run(tt.name+", "+how+" closed", func(t *testing.T) {
				c := s.dial(t)
				c.send(head("POST /token HTTP/1.1", "Host: h", formType, tt.lines) + tt.body)
				if how == "wholly" {
					c.Close()
					return
				}
				c.Conn.(*net.TCPConn).CloseWrite()
				checkProblem(t, c.answer("POST"), 400, "There was an error parsing the body")
				if !c.isClosed() {
					t.Error("the connection stays open")
				}
			})
		}
	}
	waitFor(t, "every request to be logged", func() bool { return len(s.log.events("request")) == 1+2*len(tests) })
	for _, event := range []string{"authn_login_success", "authn_login_fail"} {
		if len(s.log.events(event)) > 0 {
			t.Errorf("the log has %s", event)
		}
	}
}

// TestUploadsLeaveNoFiles sends files, whole and cut off, which net/http would
// write to the disk.
func TestUploadsLeaveNoFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, "TMPDIR="+dir)
	upload := strings.Join([]string{
		"--b", `Content-Disposition: form-data; name="username"; filename="u"`, "",
		strings.Repeat("a", 60<<10), "--b--", "",
	}, "\r\n")
	const multipart = "Content-Type: multipart/form-data; boundary=b"
	for range 100 {
		if a := s.do(t, "POST", "/token", upload, multipart); a.StatusCode != 422 {
			t.Fatalf("got %d %s; want 422", a.StatusCode, a.body)
		}
	}
	c := s.dial(t)
	c.send(head("POST /token HTTP/1.1", "Host: h", multipart, contentLength(upload)) + upload[:len(upload)-9])
	c.Close()
	waitFor(t, "every request to be logged", func() bool { return len(s.log.events("request")) == 101 })
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("%v, and %d files in the temporary directory; want none", err, len(files))
	}
}
