package e2e

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// TestShutdownDelay: after the signal readyz says so to everybody who connects, and requests
// are served as before.
func TestShutdownDelay(t *testing.T) {
	t.Parallel()
	s := launchAndWait(t, invocation{env: []string{"SHUTDOWN_DELAY_SECONDS=300"}})
	s.register(t, "alice")
	token := s.logIn(t, "alice")
	before := s.dial(t)
	s.signal(syscall.SIGTERM)
	waitFor(t, "the signal to be seen", func() bool { return len(s.log.events("stopping")) == 1 })
	for range 3 { // each on a connection of its own
		checkProblem(t, s.ask(t, head("GET /readyz HTTP/1.1", "Host: h")), 503, "Shutting down")
		if a := s.ask(t, head("GET /livez HTTP/1.1", "Host: h")); a.StatusCode != 200 {
			t.Errorf("livez: %d", a.StatusCode)
		}
		checkMe(t, s.ask(t, head("GET /users/me/ HTTP/1.1", "Host: h", "Authorization: Bearer "+token)), "alice")
	}
	checkMe(t, s.me(t, s.logIn(t, "alice")), "alice")
	before.send(head("GET /users/me/ HTTP/1.1", "Host: h", "Authorization: Bearer "+token))
	checkMe(t, before.answer("GET"), "alice")
	s.signal(syscall.SIGHUP) // which ends nothing
	checkMe(t, s.me(t, token), "alice")

	begin := time.Now()
	waitFor(t, "the program to end", func() bool { // the first signal may still be handled
		s.signal(syscall.SIGTERM)
		return s.hasExited()
	})
	if took, code := time.Since(begin), s.exitCode(t); code == 0 || took > 3*time.Second {
		t.Errorf("a second signal: exit code %d after %v; want it not 0, and at once", code, took)
	}
}

// TestShutdownDelayEnds: after the delay the server drains as it does without one.
func TestShutdownDelayEnds(t *testing.T) {
	t.Parallel()
	s := launchAndWait(t, invocation{env: []string{"SHUTDOWN_DELAY_SECONDS=1", slowHash}})
	s.register(t, "alice")
	s.client.CloseIdleConnections()
	begin := time.Now()
	s.signal(syscall.SIGTERM)
	c := s.beginLogin(t)
	waitFor(t, "new connections to be refused", func() bool {
		probe, err := net.Dial("tcp", s.addr)
		if err == nil {
			probe.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if took := time.Since(begin); took < time.Second {
		t.Errorf("connections are refused after %v", took)
	}
	c.send(loginForm("alice"))
	if a := c.answer("POST"); a.token() == "" {
		t.Errorf("the login under way got %d %s", a.StatusCode, a.body)
	}
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
}

// TestIdleTimeout: an idle connection ends when the setting says so, and not before.
func TestIdleTimeout(t *testing.T) {
	long(t)
	for name, tls := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var settings []string
			if tls {
				settings = tlsSettings(t)
			}
			short := start(t, append(settings, "IDLE_TIMEOUT_SECONDS=10")...)
			other := start(t, settings...) // two minutes
			begin := time.Now()
			ends, stays := idle(t, short, tls), idle(t, other, tls)
			<-ends
			if took := time.Since(begin); took < 9*time.Second || took > allow(14*time.Second) {
				t.Errorf("closed after %v; want 10 s", took)
			}
			select {
			case <-stays:
				t.Error("closed, though two minutes are not over")
			case <-time.After(2 * time.Second):
			}
		})
	}
}

// idle asks something on a new connection and leaves it alone. It returns what is closed when
// the server has closed it.
func idle(t *testing.T, s *server, byTLS bool) <-chan struct{} {
	t.Helper()
	var c io.Reader
	if byTLS {
		h := s.dialHTTP2(t)
		h.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(getMe...), EndHeaders: true, EndStream: true})
		if got := h.fate(1); got != "status 401" {
			t.Fatalf("got %s", got)
		}
		c = h.c
	} else {
		w := s.dial(t)
		w.send(head("GET /users/me/ HTTP/1.1", "Host: h"))
		checkProblem(t, w.answer("GET"), 401, "Not authenticated")
		c = w.r
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		io.Copy(io.Discard, c)
	}()
	return closed
}
