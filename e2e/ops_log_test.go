package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestLogThatNobodyReads: a reader of the log that sleeps or has gone holds up
// neither requests nor the end.
func TestLogThatNobodyReads(t *testing.T) {
	long(t)
	for name, leave := range map[string]func(*os.File){
		"a reader that sleeps":  func(*os.File) {},
		"a reader that is gone": func(r *os.File) { r.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			cmd := exec.Command(program)
			cmd.Env = invocation{env: []string{"ADDR=localhost:0"}}.environment()
			cmd.Stderr = w
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			defer cmd.Process.Kill()
			addr := readAddr(t, r)
			leave(r)
			client := &http.Client{Timeout: patience}
			for range 2000 { // some 350 KB of log; a pipe holds 64
				resp, err := client.Get("http://" + addr + "/nope")
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			client.CloseIdleConnections()
			cmd.Process.Signal(syscall.SIGTERM)
			kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
			defer kill.Stop()
			if err := cmd.Wait(); err != nil {
				t.Errorf("the program ends with %v", err)
			}
		})
	}
}

// readAddr reads the log up to the line that names the address.
func readAddr(t *testing.T, log *os.File) string {
	t.Helper()
	listening := regexp.MustCompile(`"msg":"listening","addr":"([^"]+)"`)
	for lines := bufio.NewScanner(log); lines.Scan(); {
		if m := listening.FindSubmatch(lines.Bytes()); m != nil {
			return string(m[1])
		}
	}
	t.Fatal("the log names no address")
	return ""
}

// TestFloodInLog: a flood of refused guesses leaves a few lines a second, and the number of
// those that are left out.
func TestFloodInLog(t *testing.T) {
	t.Parallel()
	s := startAs(t, invocation{fast: true})
	s.register(t, "alice")
	const clients, each = 50, 40 // at once, because each refusal takes as long as a hash
	const flood = clients * each
	var count atomic.Int64
	var all sync.WaitGroup
	begin := time.Now()
	for c := range clients {
		all.Go(func() {
			for i := range each {
				body := fmt.Sprintf("username=alice&password=wrong-%d-%d", c, i)
				if a := s.do(t, "POST", "/token", body, formType); a.StatusCode == 429 {
					count.Add(1)
				}
			}
		})
	}
	all.Wait()
	refused := int(count.Load())
	seconds := int(time.Since(begin)/time.Second) + 2
	for of, kind := range map[string]func() []map[string]any{
		"excess_rate_limit_exceeded": func() []map[string]any { return s.log.events("excess_rate_limit_exceeded") },
		"request, refused throttled": func() []map[string]any {
			return slices.DeleteFunc(s.log.events("request"), func(line map[string]any) bool { return line["status"] != 429.0 })
		},
	} {
		total := func() int {
			n := len(kind())
			for _, line := range s.log.events("log lines left out") {
				if line["of"] == of {
					n += int(line["lines"].(float64))
				}
			}
			return n
		}
		waitFor(t, "the count of "+of, func() bool { return total() >= refused })
		if n := len(kind()); total() != refused || n > 10*seconds || refused < flood/2 {
			t.Errorf("%s: %d of %d lines in %d s, %d counted", of, n, refused, seconds, total())
		}
	}
	if n := len(s.log.events("authn_login_fail")); n != flood-refused {
		t.Errorf("%d failed logins are logged, want %d", n, flood-refused)
	}
}

// TestRefusalsAreNotLogged: what is no request costs nothing on the disk, however
// often it comes.
func TestRefusalsAreNotLogged(t *testing.T) {
	t.Parallel()
	s := start(t, "LOG_LEVEL=debug")
	before := s.log.String()
	var all sync.WaitGroup
	for _, tt := range refusals() {
		if tt.status == 417 {
			continue // a request like any other, with one line
		}
		all.Go(func() {
			for range 50 {
				c, err := net.Dial("tcp", s.addr)
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(patience))
				c.Write([]byte(tt.request))
				c.Read(make([]byte, 1024))
				c.Close()
			}
		})
	}
	all.Wait()
	s.awaitAlone(t)
	checkPrompt(t, s)
	lines := strings.TrimPrefix(s.log.String(), before)
	for line := range strings.Lines(lines) {
		if !strings.Contains(line, `"route":"GET /users/me/{$}","status":401`) { // of checkPrompt
			t.Errorf("the log has %s", line)
			break
		}
	}
}

// TestHandshakesAreLoggedShortly: a client that speaks no TLS, or hangs up, may cost
// one short line, as any request does.
func TestHandshakesAreLoggedShortly(t *testing.T) {
	t.Parallel()
	s := startTLS(t)
	before := len(s.log.String())
	for i := range crush {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		c.Write([]byte([]string{"", "\x16\x03\x01\x02\x00\x01", strings.Repeat("a", 16<<10), head("GET / HTTP/1.1", "Host: h")}[i%4]))
		c.Close()
	}
	s.awaitAlone(t)
	checkPrompt(t, s)
	if each := (len(s.log.String()) - before) / crush; each > 400 {
		t.Errorf("%d bytes of log for each; want one line of 400 at most", each)
	}
}
