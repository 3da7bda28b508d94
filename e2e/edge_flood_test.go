package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http/httptrace"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestLoginFlood: more people log in than the cores can serve. Each is served or told to
// come again, and nobody else has to wait for them.
func TestLoginFlood(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t, behindProxy("PBKDF2_ITERATIONS=600000")...)
	s.register(t, "alice")
	token := s.logIn(t, "alice")
	var r rush
	r.begin(t, s)
	answers := 0
	for ; r.goesOn(); answers++ {
		checkMe(t, promptly(t, func() answer { return s.me(t, token) }), "alice")
		checkStatus(t, promptly(t, func() answer { return s.do(t, "GET", "/livez", "") }), 200)
		checkStatus(t, promptly(t, func() answer { return s.do(t, "GET", "/readyz", "") }), 200)
	}
	if answers < 10 {
		t.Errorf("%d rounds of answers meanwhile; want many", answers)
	}
	r.check(t)
	s.logIn(t, "alice")
}

// A rush is many logins at once, half of them of somebody and half of nobody.
type rush struct {
	waiting atomic.Int64

	mu       sync.Mutex // guards the fields below
	served   map[string]int
	refusals map[string][]string // what those were answered who have to come again
}

// begin lets 64 clients for each core log in: a hash takes some 50 ms, and they are to
// wait for longer than 2 s.
func (r *rush) begin(t *testing.T, s *server) {
	r.served, r.refusals = make(map[string]int), make(map[string][]string)
	var clients sync.WaitGroup
	for n := range 64 * runtime.NumCPU() {
		r.waiting.Add(1)
		c := s.dial(t)
		clients.Go(func() {
			defer r.waiting.Add(-1)
			if n%2 == 0 {
				got, err := c.rawLogin(loginForm("alice"), stranger(n))
				r.note(t, "somebody", got, "200", err)
			} else {
				got, err := c.rawLogin(guessForm(fmt.Sprintf("nobody%d", n)), stranger(n))
				r.note(t, "nobody", got, "401", err)
			}
		})
	}
	t.Cleanup(clients.Wait)
}

// note keeps what somebody was answered, who is served with this status.
func (r *rush) note(t *testing.T, who, got, status string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil && strings.HasPrefix(got, "HTTP/1.1 "+status):
		r.served[who]++
	case err == nil && strings.HasPrefix(got, "HTTP/1.1 503 ") && strings.Contains(got, "\r\nRetry-After: 1\r\n"):
		r.refusals[who] = append(r.refusals[who], got)
	default:
		t.Errorf("%s got %q, %v; want %s or 503", who, got, err, status)
	}
}

// check reports a rush in which one kind of name is not treated as the other.
func (r *rush) check(t *testing.T) {
	t.Helper()
	for _, who := range []string{"somebody", "nobody"} {
		if r.served[who] == 0 || len(r.refusals[who]) == 0 {
			t.Errorf("of %s %d are served and %d refused; want some of both", who, r.served[who], len(r.refusals[who]))
		}
	}
	all := slices.Concat(r.refusals["somebody"], r.refusals["nobody"])
	if different := slices.Compact(slices.Sorted(slices.Values(all))); len(different) > 1 {
		t.Errorf("who is refused gets\n%q; want one answer for every name", different)
	}
}

// goesOn reports whether anybody has not been answered.
func (r *rush) goesOn() bool { return r.waiting.Load() > 0 }

// TestHangUp: whoever hangs up while they wait for a place leave it to the next.
func TestHangUp(t *testing.T) {
	t.Parallel()
	const many = 200 // who would keep two cores busy for some 10 s
	tests := []struct {
		name     string
		settings []string
		come     func(t *testing.T, s *server, n int) (leave func())
	}{
		{"connections", nil, comeByConnections},
		{"streams of HTTP/2", tlsSettings(t), comeByStreams},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := inMemory(t).start(t, append(tt.settings, slowHash, "LOG_LEVEL=debug")...) // every line
			s.register(t, "alice")
			tt.come(t, s, many)()
			waitFor(t, "a place", func() bool {
				return s.do(t, "POST", "/token", loginForm("alice"), formType).StatusCode == 200
			})
			answered := func() []map[string]any { return s.log.events("request") }
			waitFor(t, "the log", func() bool { return len(answered()) >= many+2 })
			left := 0
			for _, line := range answered() {
				if took, _ := line["duration_us"].(float64); line["status"] == 503.0 && took < 1.9e6 {
					left++
				}
			}
			if left < many/2 { // the others were served, or have waited for 2 s
				t.Errorf("%d of %d who have hung up are known to have left", left, many)
			}
		})
	}
}

// comeByConnections lets n clients log in, each on its connection, which leave closes.
func comeByConnections(t *testing.T, s *server, n int) (leave func()) {
	var clients []*conn
	for range n {
		clients = append(clients, s.beginLogin(t))
	}
	for _, c := range clients {
		c.send(loginForm("alice"))
	}
	return func() {
		for _, c := range clients {
			c.Close()
		}
	}
}

// comeByStreams lets n clients log in on the connection that there is, each by a stream,
// which leave resets.
func comeByStreams(t *testing.T, s *server, n int) (leave func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var sent atomic.Int64
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { sent.Add(1) },
	})
	var clients sync.WaitGroup
	for range n {
		clients.Go(func() {
			a, err := s.try(traced, "POST", "/token", loginForm("alice"), formType)
			if err == nil && a.StatusCode != 200 && a.StatusCode != 503 {
				t.Errorf("got %d %s; want 200, or 503 in need", a.StatusCode, a.body)
			}
		})
	}
	waitFor(t, "all to be sent", func() bool { return sent.Load() == int64(n) })
	return func() {
		cancel()
		clients.Wait()
	}
}

// TestStopWhileLoginsWait: a stop cuts off none of those who wait for a place.
func TestStopWhileLoginsWait(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t, slowHash)
	s.register(t, "alice")
	var waiting []*conn
	for range 20 {
		waiting = append(waiting, s.beginLogin(t))
	}
	for _, c := range waiting {
		c.send(loginForm("alice"))
	}
	s.signal(syscall.SIGTERM)
	served := 0
	for _, c := range waiting {
		a := c.answer("POST")
		if a.StatusCode == 200 {
			served++
			continue
		}
		checkUnavailable(t, a)
	}
	if served == 0 {
		t.Error("nobody is served")
	}
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
}

// TestHalfClosed: a client that has said all closes its half of the connection, and
// still waits for the answer.
func TestHalfClosed(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t, slowHash)
	s.register(t, "alice")
	tests := []struct {
		name, path, contentType, body string
	}{
		{"a login", "/token", formType, loginForm("alice")},
		{"a registration", "/users/", jsonType, newUser("bob", password)},
		{"a change", "/users/me/password", jsonType, change(password, nextPassword)},
	}
	bearer := "Authorization: Bearer " + s.logIn(t, "alice")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dial(t)
			c.send(head("POST "+tt.path+" HTTP/1.1", "Host: h", tt.contentType, bearer, contentLength(tt.body)) + tt.body)
			if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if a := c.answer("POST"); a.StatusCode != 200 && a.StatusCode != 204 {
				t.Errorf("got %d %s; want success", a.StatusCode, a.body)
			}
		})
	}
	checkMe(t, s.me(t, s.logIn(t, "bob")), "bob")
}

// TestRegistrations: of one source 100 may register, and then one a second.
func TestRegistrations(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t, behindProxy()...)
	begin := time.Now()
	admitted := 0
	for _, a := range registerAtOnce(t, s, 120, func(n int) string { return fmt.Sprintf("2001:db8:1:2::%x", n+1) }) {
		switch a.StatusCode {
		case 200:
			admitted++
		case 503: // it has waited for 2 s
			checkUnavailable(t, a)
			admitted++
		default:
			checkThrottled(t, a, 1)
		}
	}
	if most := 101 + int(time.Since(begin).Seconds()); admitted < 100 || admitted > most {
		t.Errorf("%d may register; want 100 to %d", admitted, most)
	}
	for n, address := range []string{"2001:db8:1:3::1", home} {
		a := s.do(t, "POST", "/users/", newUser(fmt.Sprintf("elsewhere%d", n), password), jsonType, from(address))
		checkStatus(t, a, 200)
	}
	s.signIn(t, "elsewhere0", from("2001:db8:1:2::1")) // who may not register may log in
}

// registerAtOnce registers n users, each from an address.
func registerAtOnce(t testing.TB, s *server, n int, address func(n int) string) []answer {
	t.Helper()
	return atOnce(t, n, func(i int) (answer, error) {
		body := newUser(fmt.Sprintf("newcomer%d", i), password)
		return s.try(t.Context(), "POST", "/users/", body, jsonType, from(address(i)))
	})
}
