package e2e

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// testSessionTimes moves the clock by moving the times in the database.
func testSessionTimes(t *testing.T, p place) {
	s := p.start(t)
	s.register(t, "alice")
	old := s.signIn(t, "alice")
	p.change(t, "UPDATE sessions SET created_at = created_at - 600000000")
	checkProblem(t, s.authorized(t, "DELETE", "/users/me/", "", old.Access), 403, "Sign in again to delete this account")
	old = checkGoesOn(t, s, old, "alice")
	checkProblem(t, s.authorized(t, "DELETE", "/users/me/", "", old.Access), 403, "Sign in again to delete this account")

	fresh := s.signIn(t, "alice")
	p.change(t, "UPDATE sessions SET expires_at = last_used_at WHERE generation = 1")
	checkProblem(t, s.me(t, old.Access), 401, "Could not validate credentials")
	checkOAuthProblem(t, s.refresh(t, old.Refresh), "invalid_grant", "refresh token expired")
	if list := s.sessions(t, fresh.Access); len(list) != 1 || !list[0].Current {
		t.Errorf("got %+v; want the session that has not expired", list)
	}
	s.revoke(t, old.Refresh)
	checkGoesOn(t, s, fresh, "alice")
	p.change(t, "UPDATE sessions SET created_at = created_at - 590000000")
	checkEmpty(t, s.authorized(t, "DELETE", "/users/me/", "", fresh.Access), 204)
	if n := p.number(t, "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM sessions)"); n != 0 {
		t.Errorf("a deleted account leaves %d rows", n)
	}
}

// testDisabled: who is disabled has no session any more.
func testDisabled(t *testing.T, p place) {
	s := p.start(t)
	s.register(t, "alice")
	s.register(t, "bob")
	alice, bob := s.signIn(t, "alice"), s.signIn(t, "bob")
	p.change(t, "UPDATE users SET disabled = true WHERE username = 'alice'")
	checkEnded(t, s, alice)
	for _, to := range account {
		checkStatus(t, s.authorized(t, to.method, to.path, "", alice.Access), 401)
	}
	checkProblem(t, s.logInWith(t, password), 401, "Incorrect username or password")
	checkGoesOn(t, s, bob, "bob")
}

// testSessionRestart: a server goes on where the one before has stopped: with what
// was refreshed, what has just been replaced, and what has ended.
func testSessionRestart(t *testing.T, p place) {
	before := p.start(t)
	before.register(t, "alice")
	kept, replaced, ended := before.signIn(t, "alice"), before.signIn(t, "alice"), before.signIn(t, "alice")
	before.revoke(t, ended.Refresh)
	successor := before.refresh(t, replaced.Refresh).granted(t)
	before.stop(t)

	after := p.start(t, "REFRESH_GRACE_SECONDS=60")
	checkGoesOn(t, after, kept, "alice")
	checkEnded(t, after, ended)
	checkOneSuccessor(t, []answer{after.refresh(t, replaced.Refresh), after.refresh(t, replaced.Refresh)})
	if got := after.refresh(t, replaced.Refresh).granted(t); got.Refresh != successor.Refresh {
		t.Error("after the restart a token has another successor than before")
	}
	checkGoesOn(t, after, successor, "alice")
	if n := len(after.sessions(t, kept.Access)); n != 2 {
		t.Errorf("%d sessions after the restart; want 2", n)
	}
}

// testSecretRotation: while the old secret is a fallback, nobody is logged out, and
// whoever refreshes meanwhile needs it no more.
func testSecretRotation(t *testing.T, p place) {
	older, newer := newKey(t, "HS256"), newKey(t, "HS256")
	before := p.start(t, older.settings(t)...)
	before.register(t, "alice")
	active, lazy, replaced := before.signIn(t, "alice"), before.signIn(t, "alice"), before.signIn(t, "alice")
	before.refresh(t, replaced.Refresh).granted(t)
	before.stop(t)

	during := p.start(t, append(newer.settings(t), older.fallback(t), "REFRESH_GRACE_SECONDS=60")...)
	checkMe(t, during.me(t, lazy.Access), "alice")
	active = checkGoesOn(t, during, active, "alice")
	checkHeader(t, active.Access, newer)
	replaced = during.refresh(t, replaced.Refresh).granted(t) // whose answer was lost
	during.stop(t)

	after := p.start(t, newer.settings(t)...)
	active = checkGoesOn(t, after, active, "alice")
	checkGoesOn(t, after, replaced, "alice")
	checkProblem(t, after.me(t, lazy.Access), 401, "Could not validate credentials")
	checkOAuthProblem(t, after.refresh(t, lazy.Refresh), "invalid_grant", "refresh token not valid")
	after.revoke(t, lazy.Refresh)
	if n := len(after.sessions(t, active.Access)); n != 3 {
		t.Errorf("%d sessions are left; want all 3, for nobody can end one without a good token", n)
	}
}

// testPrivateKeyReplaced: a new private key without the old one ends the access
// tokens, and no session: the secret is the same.
func testPrivateKeyReplaced(t *testing.T, p place) {
	var g grant
	for _, algorithm := range []string{"ES256", "ES256", "EdDSA", "HS256"} {
		k := newKey(t, algorithm)
		s := p.start(t, append(k.settings(t), "SECRET_KEY="+aKey)...)
		if g == (grant{}) {
			s.register(t, "alice")
			g = s.signIn(t, "alice")
		} else {
			checkProblem(t, s.me(t, g.Access), 401, "Could not validate credentials")
		}
		g = s.refresh(t, g.Refresh).granted(t)
		checkMe(t, s.me(t, g.Access), "alice")
		s.stop(t)
	}
	p.checkGeneration(t, 4)
}

// A traveller is a client who has nothing but the last tokens that it was given.
type traveller struct {
	name  string
	last  grant
	steps atomic.Int64
}

// travel refreshes again and again, until the server is gone.
func (v *traveller) travel(t testing.TB, s *server) {
	for {
		a, err := s.try(t.Context(), "POST", "/token", refreshBody(v.last.Refresh), formType)
		if err != nil {
			return
		}
		if a.token() == "" {
			t.Errorf("%s got %d %s; want the next tokens", v.name, a.StatusCode, a.body)
			return
		}
		v.last = a.granted(t)
		v.steps.Add(1)
	}
}

// testKilledRefreshing kills the server while clients refresh. With the last token
// that it has, each of them goes on at the next server, whatever became of the answer
// that it was waiting for.
func testKilledRefreshing(t *testing.T, p place) {
	var travellers []*traveller
	first := p.start(t)
	for n := range 4 {
		v := &traveller{name: fmt.Sprintf("traveller%d", n)}
		first.register(t, v.name)
		v.last = first.signIn(t, v.name)
		travellers = append(travellers, v)
	}
	first.stop(t)
	for range 6 {
		s := launchAndWait(t, invocation{env: p.with("REFRESH_GRACE_SECONDS=60"), fast: true})
		killUnderWay(t, s, travellers)
	}
	last := p.start(t, "REFRESH_GRACE_SECONDS=60")
	for _, v := range travellers {
		generation := v.last.generation(t)
		v.last = last.refresh(t, v.last.Refresh).granted(t)
		checkGoesOn(t, last, v.last, v.name)
		if got := v.last.generation(t); got != generation+1 {
			t.Errorf("%s had generation %d, and gets %d; want the next", v.name, generation, got)
		}
	}
	if n := p.number(t, "SELECT count(*) FROM sessions"); n != len(travellers) {
		t.Errorf("%d sessions; want %d, for nobody has logged in again", n, len(travellers))
	}
}

// killUnderWay lets clients refresh at a server, each some times, and kills it.
func killUnderWay(t *testing.T, s *server, travellers []*traveller) {
	t.Helper()
	var all sync.WaitGroup
	for _, v := range travellers {
		all.Go(func() { v.travel(t, s) })
		enough := v.steps.Load() + int64(1+rand.N(5))
		waitFor(t, "refreshes", func() bool { return v.steps.Load() >= enough || t.Failed() })
	}
	anyMoment()
	s.kill(t)
	all.Wait()
}
