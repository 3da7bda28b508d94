package e2e

import (
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/pgtest"
)

// visibly makes the text of each statement pass with it, so that a cut can see it.
const visibly = "default_query_exec_mode=exec"

// startVisibly starts a server behind a proxy that sees its statements, with alice
// in the database. The place is that database without the proxy.
func startVisibly(t *testing.T, c *pgtest.Cluster, more ...string) (*server, *proxy, place) {
	t.Helper()
	p := startProxy(t, c.Port)
	database := newDatabase(t, c)
	s := start(t, keptIn(through(p, database, visibly), more...)...)
	s.register(t, "alice")
	return s, p, placeAt(c.URL(database))
}

// The statements that change sessions.
const (
	aRotation = "UPDATE sessions"
	anEnd     = "DELETE FROM sessions"
)

// checkCut reports cuts that have not happened.
func checkCut(t testing.TB, p *proxy) {
	t.Helper()
	if n := p.cuts(); n != 0 {
		t.Errorf("%d cuts did not happen", n)
	}
}

// testKilledBeforeAnswer kills a server that has rotated a session and does not know
// it yet. The client goes on at the next one, with the same token.
func testKilledBeforeAnswer(t *testing.T, c *pgtest.Cluster) {
	proxy := startProxy(t, c.Port)
	database := newDatabase(t, c)
	p := placeAt(c.URL(database))
	doomed := launchAndWait(t, invocation{env: keptIn(through(proxy, database, visibly))})
	doomed.register(t, "alice")
	g := doomed.signIn(t, "alice")

	proxy.cutNext(1, cut{marker: aRotation, silent: true})
	var client sync.WaitGroup
	client.Go(func() {
		a, err := doomed.try(t.Context(), "POST", "/token", refreshBody(g.Refresh), formType)
		if err == nil && a.StatusCode != 503 { // which is for a kill that comes late
			t.Errorf("got %d %s; want no answer", a.StatusCode, a.body)
		}
	})
	waitFor(t, "the rotation", func() bool { return p.number(t, "SELECT generation FROM sessions") == 1 })
	doomed.signal(syscall.SIGKILL)
	client.Wait()
	checkCut(t, proxy)

	s := start(t, p.with("REFRESH_GRACE_SECONDS=60")...)
	checkMe(t, s.me(t, g.Access), "alice")
	next := s.refresh(t, g.Refresh).granted(t)
	p.checkGeneration(t, 1)
	if n := next.generation(t); n != 1 {
		t.Errorf("the client gets generation %d; want 1, the successor of its own", n)
	}
	checkGoesOn(t, s, next, "alice")
}

// testCutRefreshes: a refresh whose connection breaks is not answered with tokens
// that may not be stored, and can be tried again.
func testCutRefreshes(t *testing.T, c *pgtest.Cluster) {
	s, proxy, p := startVisibly(t, c, "REFRESH_GRACE_SECONDS=60")
	g := s.signIn(t, "alice")
	for step, answered := range []bool{false, true, true, false} {
		proxy.cutNext(1, cut{marker: aRotation, answered: answered})
		checkOutage(t, promptly(t, func() answer { return s.refresh(t, g.Refresh) }))
		checkCut(t, proxy)
		if answered {
			p.checkGeneration(t, step+1)
		} else {
			p.checkGeneration(t, step)
		}
		checkMe(t, s.me(t, g.Access), "alice")
		g = s.refresh(t, g.Refresh).granted(t)
		p.checkGeneration(t, step+1)
	}
	checkGoesOn(t, s, g, "alice")
}

// testRefreshBeforeOutage: the database rotates a session, the answer is lost, and then
// nobody reaches the database for a while. The client goes on trying with the token that it
// has, and gets in if the outage is shorter than the grace.
func testRefreshBeforeOutage(t *testing.T, c *pgtest.Cluster) {
	s, proxy, p := startVisibly(t, c)
	for _, tt := range []struct {
		lasts time.Duration
		in    bool
	}{{12 * time.Second, true}, {50 * time.Second, true}, {63 * time.Second, false}} {
		t.Run(tt.lasts.String(), func(t *testing.T) {
			p.change(t, "DELETE FROM sessions")
			g := s.signIn(t, "alice")
			proxy.cutNext(1, cut{marker: aRotation, answered: true})
			checkOutage(t, promptly(t, func() answer { return s.refresh(t, g.Refresh) }))
			checkCut(t, proxy)
			proxy.lead(closedPort(t))
			proxy.breakAll()
			for range 2 {
				checkOutage(t, promptly(t, func() answer { return s.refresh(t, g.Refresh) }))
			}
			p.checkGeneration(t, 1)
			p.change(t, fmt.Sprintf("UPDATE sessions SET last_used_at = last_used_at - %d", tt.lasts.Microseconds()))
			proxy.lead(c.Port)
			var a answer
			waitFor(t, "an answer", func() bool { a = s.refresh(t, g.Refresh); return a.StatusCode != 503 })
			if !tt.in {
				checkOAuthProblem(t, a, "invalid_grant", "refresh token already used; the session has ended")
				return
			}
			next := a.granted(t)
			p.checkGeneration(t, 1)
			checkGoesOn(t, s, next, "alice")
		})
	}
	if n := len(s.events(t, "authn_token_reuse")); n != 1 {
		t.Errorf("%d warnings of a theft; want 1, of the longest outage", n)
	}
}

// closedPort is one on which nobody listens.
func closedPort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// testCutEnds: the end of a session is tried again when the connection breaks. What
// has failed for good can be asked for again, and what has succeeded is over.
func testCutEnds(t *testing.T, c *pgtest.Cluster) {
	long(t)
	s, proxy, _ := startVisibly(t, c)
	here := s.signIn(t, "alice")
	for _, tt := range endCuts {
		t.Run(tt.name, func(t *testing.T) {
			g := s.signIn(t, "alice")
			revoke := func() answer {
				return promptly(t, func() answer { return s.do(t, "POST", "/revoke", "token="+g.Refresh, formType) })
			}
			proxy.cutNext(tt.times, cut{marker: anEnd, answered: tt.answered})
			a := revoke()
			checkCut(t, proxy)
			if tt.times == 3 {
				checkOutage(t, a)
				a = revoke()
			}
			checkRevoked(t, a)
			checkEnded(t, s, g)

			g = s.signIn(t, "alice")
			id := s.current(t, g.Access).ID
			proxy.cutNext(min(tt.times, 2), cut{marker: anEnd, answered: tt.answered})
			checkEmpty(t, s.authorized(t, "DELETE", "/users/me/sessions/"+id, "", here.Access), 204)
			checkCut(t, proxy)
			checkEnded(t, s, g)
		})
	}
	checkGoesOn(t, s, here, "alice")
}

// endCuts are the ways in which the end of a session is cut off: a server tries it
// three times.
var endCuts = []struct {
	name     string
	times    int
	answered bool
}{
	{"once, before the database knows", 1, false},
	{"once, before its answer", 1, true},
	{"twice, before the database knows", 2, false},
	{"twice, before its answer", 2, true},
	{"each time, before the database knows", 3, false},
	{"each time, before its answer", 3, true},
}

// testCutTheft: a thief gets nothing while the end of the session fails, and the
// session ends as soon as it can.
func testCutTheft(t *testing.T, c *pgtest.Cluster) {
	s, proxy, _ := startVisibly(t, c, "REFRESH_GRACE_SECONDS=0")
	other := s.signIn(t, "alice")
	for _, tt := range endCuts {
		t.Run(tt.name, func(t *testing.T) {
			first := s.signIn(t, "alice")
			next := checkGoesOn(t, s, first, "alice")
			before := len(s.events(t, "authn_token_reuse"))
			replay := func() answer { return promptly(t, func() answer { return s.refresh(t, first.Refresh) }) }
			proxy.cutNext(tt.times, cut{marker: anEnd, answered: tt.answered})
			a := replay()
			checkCut(t, proxy)
			if tt.times == 3 {
				checkOutage(t, a)
				a = replay()
			}
			checkStatus(t, a, 400)
			checkEnded(t, s, next)
			if n := len(s.events(t, "authn_token_reuse")) - before; n != 1 && !(tt.times == 3 && tt.answered) {
				t.Errorf("%d warnings of the theft; want 1", n)
			}
		})
	}
	checkGoesOn(t, s, other, "alice")
}

// testSilentSessions: while the database says nothing, nobody is told that a token is
// bad, and nothing is done by half.
func testSilentSessions(t *testing.T, c *pgtest.Cluster) {
	long(t)
	proxy := startProxy(t, c.Port)
	s := start(t, keptIn(through(proxy, newDatabase(t, c)))...)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	proxy.silence(true)
	var all sync.WaitGroup
	ask := func(method, path, body string, headers ...string) {
		all.Go(func() {
			checkOutage(t, promptly(t, func() answer { return s.do(t, method, path, body, headers...) }))
		})
	}
	ask("POST", "/token", refreshBody(g.Refresh), formType)
	ask("POST", "/revoke", "token="+g.Refresh, formType)
	ask("POST", "/revoke", "token="+g.Access, formType)
	for _, to := range account {
		if to.method != "HEAD" {
			ask(to.method, to.path, "{}", jsonType, "Authorization: Bearer "+g.Access)
		}
	}
	all.Wait()
	s.revoke(t, "garbage") // which asks nobody
	proxy.flow()
	recovers(t, s, g.Access, 10*time.Second)
	checkGoesOn(t, s, g, "alice")
}

// testNothingPrepared does everything once as behind a pooler that keeps no prepared
// statements.
func testNothingPrepared(t *testing.T, c *pgtest.Cluster) {
	runEach(t, "", sessionTests, func(t testing.TB) place { return placeAt(c.URL(newDatabase(t, c), visibly)) })
}
