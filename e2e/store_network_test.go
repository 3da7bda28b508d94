package e2e

import (
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/pgtest"
)

// checkOutage reports what is not the answer of a server without its database.
func checkOutage(t testing.TB, a answer) {
	t.Helper()
	checkProblem(t, a, 503, "Service Unavailable")
	if got := a.Header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After: %q; want 1", got)
	}
	isOAuth := a.Request.URL.Path == "/token" || a.Request.URL.Path == "/revoke"
	if oauth := strings.Contains(a.body, `"error":"temporarily_unavailable"`); oauth != isOAuth {
		t.Errorf("%s: %s; want OAuth's fields at /token and /revoke only", a.Request.URL.Path, a.body)
	}
}

// allow returns what a time may come to on this machine: the race detector slows
// everything down, and other tests run meanwhile.
func allow(d time.Duration) time.Duration {
	if isRace() {
		return 2 * d
	}
	return d
}

// promptly reports an answer that takes longer than a lost database may.
func promptly(t testing.TB, ask func() answer) answer {
	t.Helper()
	begin := time.Now()
	a := ask()
	if took := time.Since(begin); took > allow(5*time.Second) {
		t.Errorf("%s %s took %v; want 5 s at most", a.Request.Method, a.Request.URL.Path, took)
	}
	return a
}

// recovers waits until a token is good again, and a login possible, and reports
// it if that takes longer than within.
func recovers(t testing.TB, s *server, token string, within time.Duration) {
	t.Helper()
	begin := time.Now()
	waitFor(t, "the database to be back", func() bool { return s.me(t, token).StatusCode == 200 })
	if took := time.Since(begin); took > allow(within) {
		t.Errorf("it took %v until a token was good again; want %v at most", took, within)
	}
	s.logIn(t, "alice")
	checkStatus(t, s.do(t, "GET", "/readyz", ""), 200)
}

// through is the URL of a database behind a proxy.
func through(p *proxy, database string, parameters ...string) string {
	return (&pgtest.Cluster{Port: p.port}).URL(database, parameters...)
}

// startBehindProxy starts a server with a database of its own and alice in it.
func startBehindProxy(t *testing.T, c *pgtest.Cluster) (s *server, p *proxy, url, token string) {
	t.Helper()
	p = startProxy(t, c.Port)
	database := newDatabase(t, c)
	s = start(t, append(keptIn(through(p, database)), "EVENTS_DAYS=0")...) // no event takes a cut that is meant for a request
	s.register(t, "alice")
	return s, p, c.URL(database), s.logIn(t, "alice")
}

// testCutReads: what only reads is tried again on another connection, though not
// for ever.
func testCutReads(t *testing.T, c *pgtest.Cluster) {
	s, p, _, _ := startBehindProxy(t, c)
	token := key{algorithm: "HS256", secret: aKey}.mint(t, "alice") // without a session, the name is looked up
	for _, answered := range []bool{false, true} {
		for _, times := range []int{1, 2, 3} {
			p.cutNext(times, cut{marker: "alice", answered: answered})
			a := promptly(t, func() answer { return s.me(t, token) })
			if times < 3 {
				checkMe(t, a, "alice")
			} else {
				checkOutage(t, a)
			}
			if n := p.cuts(); n != 0 {
				t.Errorf("answered %v: of %d cuts %d did not happen", answered, times, n)
			}
			checkMe(t, s.me(t, token), "alice")
		}
	}
	p.cutNext(2, cut{marker: "alice"})
	s.logIn(t, "alice")
}

// testCutWrites: a write whose answer is lost may have been carried out, and is
// not repeated by the server.
func testCutWrites(t *testing.T, c *pgtest.Cluster) {
	s, p, url, _ := startBehindProxy(t, c)
	for name, answered := range map[string]bool{"early": false, "late": true} {
		p.cutNext(1, cut{marker: name, answered: answered})
		checkOutage(t, s.do(t, "POST", "/users/", newUser(name, password), jsonType))
		exists := count(t, url, "SELECT count(*) FROM users WHERE username = $1", name)
		again := map[int]int{0: 200, 1: 400}[exists]
		checkStatus(t, s.do(t, "POST", "/users/", newUser(name, password), jsonType), again)
		if answered != (exists == 1) {
			t.Errorf("%s: %d users; want 1 if the database has answered", name, exists)
		}

		p.cutNext(1, cut{marker: "Agent " + name, answered: answered})
		checkOutage(t, s.do(t, "POST", "/token", loginForm(name), formType, "User-Agent: Agent "+name))
		checkMe(t, s.me(t, s.logIn(t, name)), name)
		if n := p.cuts(); n != 0 {
			t.Errorf("%s: the session was not cut off", name)
		}
	}
}

// testAllCut: a database that drops every connection and takes new ones is no
// outage for those who read.
func testAllCut(t *testing.T, c *pgtest.Cluster) {
	s, p, _, token := startBehindProxy(t, c)
	for name, lose := range map[string]func(){"reset": p.breakAll, "closed": p.hangUp} {
		fillPool(t, s, p, token)
		lose()
		for range 20 {
			if a := s.me(t, token); a.StatusCode != 200 {
				t.Errorf("%s: %d %s; want 200", name, a.StatusCode, a.body)
			}
		}
	}
}

// fillPool makes the server use all ten connections that it may have.
func fillPool(t testing.TB, s *server, p *proxy, token string) {
	t.Helper()
	p.shape(func() { p.latency = 100 * time.Millisecond })
	waitFor(t, "ten connections", func() bool {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { s.try(t.Context(), "GET", "/users/me/", "", "Authorization: Bearer "+token) })
		}
		all.Wait()
		return p.open() == 10
	})
	p.shape(func() { p.latency = 0 })
}

// testSilence: a network that swallows everything is an outage of its own length.
func testSilence(t *testing.T, c *pgtest.Cluster) {
	long(t)
	s, p, _, token := startBehindProxy(t, c)
	fillPool(t, s, p, token)
	p.silence(true)
	var all sync.WaitGroup
	all.Go(func() { checkOutage(t, promptly(t, func() answer { return s.me(t, token) })) })
	all.Go(func() { checkOutage(t, promptly(t, func() answer { return s.do(t, "GET", "/readyz", "") })) })
	all.Go(func() {
		checkOutage(t, promptly(t, func() answer { return s.do(t, "POST", "/token", loginForm("alice"), formType) }))
	})
	checkStatus(t, s.do(t, "GET", "/livez", ""), 200)
	all.Wait()
	p.flow()
	recovers(t, s, token, 10*time.Second)
}

// testHalfOpen: connections whose other side is gone are given up for new ones,
// all of them once one is seen to be lost.
func testHalfOpen(t *testing.T, c *pgtest.Cluster) {
	long(t)
	s, p, _, token := startBehindProxy(t, c)
	fillPool(t, s, p, token)
	p.silence(false)
	recovers(t, s, token, 10*time.Second)
}

// testSilentStop: a stop waits neither for those connections.
func testSilentStop(t *testing.T, c *pgtest.Cluster) {
	long(t)
	s, p, _, token := startBehindProxy(t, c)
	fillPool(t, s, p, token)
	p.silence(true)
	begin := time.Now()
	if code := s.stop(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
	if took := time.Since(begin); took > allow(5*time.Second) {
		t.Errorf("the stop took %v; want some seconds", took)
	}
}

func testLatency(t *testing.T, c *pgtest.Cluster) {
	long(t)
	s, p, _, token := startBehindProxy(t, c)
	p.shape(func() { p.latency = 5 * time.Second })
	checkOutage(t, promptly(t, func() answer { return s.me(t, token) }))
	checkStatus(t, s.do(t, "GET", "/livez", ""), 200)
	p.flow()
	recovers(t, s, token, 10*time.Second)
}
