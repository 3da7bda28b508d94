package main

import (
	"strings"
	"testing"
	"time"
)

// TestRefreshGrace: the token that was just replaced gets the same successor again, for
// some seconds; afterwards, whoever has it ends the session.
func TestRefreshGrace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		grace  time.Duration
		after  time.Duration
		reason string
	}{
		{"at once", 10 * time.Second, 0, ""},
		{"in the last second of the grace", 10 * time.Second, 9 * time.Second, ""},
		{"when the grace is over", 10 * time.Second, 10 * time.Second, reused},
		{"a second after the grace", 10 * time.Second, 11 * time.Second, reused},
		{"long after the grace", 10 * time.Second, 10 * day, reused},
		{"at once, without a grace", 0, 0, reused},
		{"after an outage of 12 s", time.Minute, 12 * time.Second, ""},
		{"in the last second of the usual grace", time.Minute, 59 * time.Second, ""},
		{"after the usual grace", time.Minute, time.Minute, reused},
		{"after a minute and three seconds of the longest grace", 10 * time.Minute, 63 * time.Second, ""},
		{"in the last second of the longest grace", 10 * time.Minute, 599 * time.Second, ""},
		{"after the longest grace", 10 * time.Minute, 10 * time.Minute, reused},
		{"by a clock that is behind by the skew", time.Minute, -clockSkew, ""},
		{"by a clock that is behind by a little more", time.Minute, -clockSkew - time.Millisecond, reused},
		{"by a replica that is five minutes behind", 10 * time.Minute, -5 * time.Minute, reused},
		{"by a clock that has gone back an hour", time.Minute, -time.Hour, reused},
		{"by a clock that has gone back, without a grace", 0, -time.Second, reused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEveryStore(t, func(t *testing.T, s *testServer) {
				s.acc.limits.grace = tt.grace
				first, other := s.begin("alice"), s.begin("alice")
				second := s.refresh(first.refresh).tokens()
				s.clock.Advance(tt.after)
				got := s.refresh(first.refresh)
				checkGrant(t, "the first token again", got, tt.reason)
				if tt.reason != "" {
					s.checkEnded("after the reuse", second)
					checkGrant(t, "the first token once more", s.refresh(first.refresh), ended)
					checkGrant(t, "another session of the user", s.refresh(other.refresh), "")
					return
				}
				if got.tokens().refresh != second.refresh {
					t.Error("the first token has two successors")
				}
				s.checkGood("the successor", second)
				s.checkGood("what came with it", pair{got.tokens().access, got.tokens().refresh})
			})
		})
	}
}

// TestRefreshClockGoesBack: a clock that goes back makes no token good again that was
// replaced a minute ago, unless to the moment when it was.
func TestRefreshClockGoesBack(t *testing.T) {
	for _, tt := range []struct {
		back   time.Duration
		reason string
	}{
		{0, reused},
		{time.Second, ""},
		{time.Minute, ""},
		{time.Minute + clockSkew, ""},
		{time.Minute + clockSkew + time.Second, reused},
		{time.Hour, reused},
		{400 * day, reused},
	} {
		t.Run(tt.back.String(), func(t *testing.T) {
			onEveryStore(t, func(t *testing.T, s *testServer) {
				s.acc.limits.grace = time.Minute
				first := s.begin("alice")
				second := s.refresh(first.refresh).tokens()
				s.clock.Advance(time.Minute - tt.back)
				checkGrant(t, "the first token again", s.refresh(first.refresh), tt.reason)
				s.clock.Advance(tt.back)
				if tt.reason == "" {
					s.checkGood("by the right time", second)
					return
				}
				s.checkEnded("by the right time", second)
				if !strings.Contains(s.log.String(), "authn_token_reuse") {
					t.Error("the log says nothing of the reuse")
				}
			})
		})
	}
}

// TestRefreshLostAnswer: a store that is lost when it has rotated a session, and comes
// back later, throws nobody out who goes on trying with the token that they have.
func TestRefreshLostAnswer(t *testing.T) {
	for _, tt := range []struct {
		name         string
		grace, after time.Duration
		reason       string
	}{
		{"12 s later", time.Minute, 12 * time.Second, ""},
		{"59 s later", time.Minute, 59 * time.Second, ""},
		{"63 s later", time.Minute, 63 * time.Second, reused},
		{"63 s later, with a longer grace", 10 * time.Minute, 63 * time.Second, ""},
		{"599 s later, with the longest grace", 10 * time.Minute, 599 * time.Second, ""},
		{"600 s later", 10 * time.Minute, 600 * time.Second, reused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEveryStore(t, func(t *testing.T, s *testServer) {
				s.acc.limits.grace = tt.grace
				first, users := s.begin("alice"), s.acc.store
				lossy := &faulty{store: users, at: 2, late: true}
				s.acc.store = lossy
				if got := s.refresh(first.refresh); got.status != 503 {
					t.Fatalf("the first try: %d %s", got.status, got.body)
				}
				for range 3 { // the store cannot even be asked
					lossy.at, lossy.late = lossy.calls+1, false
					s.clock.Advance(tt.after / 4)
					if got := s.refresh(first.refresh); got.status != 503 {
						t.Fatalf("during the outage: %d %s", got.status, got.body)
					}
				}
				s.acc.store = users
				s.clock.Advance(tt.after / 4)
				got := s.refresh(first.refresh)
				checkGrant(t, "when it is back", got, tt.reason)
				if tt.reason == "" {
					s.checkGood("what it has got", got.tokens())
				}
			})
		})
	}
}

// TestThiefWithinGrace: what somebody with a copy of a refresh token can do while it was
// only just replaced, and what not: they share the one session with its owner, until one
// of them comes late, or the owner ends it.
func TestThiefWithinGrace(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(s *testServer, thief, owner pair, replaced string) // the session
	}{
		{"the owner comes late", func(s *testServer, _, _ pair, replaced string) {
			s.clock.Advance(s.acc.limits.grace)
			checkGrant(s.t, "the owner, late", s.refresh(replaced), reused)
		}},
		{"the thief comes late", func(s *testServer, _, _ pair, replaced string) {
			s.clock.Advance(9 * s.acc.limits.grace)
			checkGrant(s.t, "the thief, late", s.refresh(replaced), reused)
		}},
		{"an older one is used, at once", func(s *testServer, _, owner pair, replaced string) {
			s.refresh(owner.refresh)
			checkGrant(s.t, "the one before the last", s.refresh(replaced), reused)
		}},
		{"the owner logs out", func(s *testServer, _, owner pair, _ string) { s.revoke(owner.refresh) }},
		{"the owner logs out with a replaced token", func(s *testServer, _, _ pair, replaced string) { s.revoke(replaced) }},
		{"the owner ends all sessions", func(s *testServer, _, owner pair, _ string) {
			s.as(owner, "DELETE", "/users/me/sessions/", "")
		}},
		{"the owner changes the password elsewhere", func(s *testServer, _, _ pair, _ string) {
			s.as(s.begin("alice"), "POST", "/users/me/password", changeTo(goodPassword, newPassword))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEveryStore(t, func(t *testing.T, s *testServer) {
				s.acc.limits.grace = time.Minute
				shared, elsewhere := s.begin("alice"), s.begin("bob")
				replaced := shared.refresh
				var thief, owner pair
				for range 5 {
					thief = s.refresh(shared.refresh).tokens()
					s.clock.Advance(s.acc.limits.grace - time.Second)
					owner = s.refresh(shared.refresh).tokens()
					if thief.refresh != owner.refresh {
						t.Fatal("there is a second line of descent")
					}
					replaced, shared = shared.refresh, owner
				}
				if list := s.sessions(owner); len(list) != 1 {
					t.Errorf("the owner sees %d sessions; want the one that is shared", len(list))
				}
				tt.end(s, thief, owner, replaced)
				s.checkEnded("the thief", thief)
				s.checkEnded("the owner", owner)
				s.checkGood("another user", elsewhere)
			})
		})
	}
}

// TestRefreshGraceIsNotExtended: using the replaced token does not extend the grace.
func TestRefreshGraceIsNotExtended(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		first := s.begin("alice").refresh
		s.refresh(first)
		for range 3 {
			s.clock.Advance(3 * time.Second)
			checkGrant(t, "within the grace", s.refresh(first), "")
		}
		s.clock.Advance(time.Second)
		checkGrant(t, "after it", s.refresh(first), reused)
	})
}
