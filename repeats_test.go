package main

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestRepeats: the same wrong password for the same name from the same source counts once.
// Each row begins after nine failures from other sources, one before the last that is free.
func TestRepeats(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		try  func(s *testServer)
		free bool // whether somebody else may then guess
	}{
		{"none", func(*testServer) {}, true},
		{"one guess", func(s *testServer) { s.from(home, "alice", "wrong") }, false},
		{"another guess and then the same", func(s *testServer) { s.from(home, "alice", "w"); s.from(home, "alice", "wrong") }, false},
		{"the password with another letter", func(s *testServer) { s.from(home, "alice", "first!") }, false},
		{"the same again", func(s *testServer) { s.from(home, "alice", "first") }, true},
		{"the same again and again", func(s *testServer) {
			for range 50 {
				s.from(home, "alice", "first")
			}
		}, true},
		{"the same again for the name in another case", func(s *testServer) { s.from(home, " ALICE", "first") }, true},
		{"the same from the same address, as IPv6", func(s *testServer) { s.from("::ffff:"+home, "alice", "first") }, true},
		{"the same from another source", func(s *testServer) { s.from("192.0.2.2", "alice", "first") }, false},
		{"the same, a moment before it is forgotten", func(s *testServer) {
			s.clock.Advance(repeatWindow - time.Second)
			s.from(home, "alice", "first")
		}, true},
		{"the same, when it is forgotten", func(s *testServer) {
			s.clock.Advance(repeatWindow)
			s.from(home, "alice", "first")
		}, false},
		{"the same, now and then for an hour", func(s *testServer) {
			for range 6 {
				s.clock.Advance(repeatWindow - time.Second)
				s.from(home, "alice", "first")
			}
		}, true},
		{"the same by a clock that has gone back", func(s *testServer) {
			s.clock.Advance(-time.Hour)
			s.from(home, "alice", "first")
		}, true},
		{"the same as the current password of a change", func(s *testServer) {
			tokens := s.begin("alice")
			s.do("POST", "/users/me/password", changeTo("first", newPassword),
				"Content-Type: application/json", "Authorization: Bearer "+tokens.access, "X-Forwarded-For: "+home)
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			throttled(t, func(t *testing.T, s *testServer) {
				s.register("alice", goodPassword)
				s.from(home, "alice", "first")
				for i := range freeFailures - 2 {
					s.from(fmt.Sprint("203.0.113.", i), "alice", "wrong")
				}
				tt.try(s)
				want, after := 401, ""
				if !tt.free {
					want, after = 429, "1"
				}
				checkLogin(t, "somebody else", s.from("198.51.100.1", "alice", "wrong"), want, after)
			})
		})
	}
}

// TestRepeatsOfASource: a device that repeats an old password locks out neither itself nor
// others at its address; at a name without a user it is the same.
func TestRepeatsOfASource(t *testing.T) {
	s := startThrottled(t, newMemStore())
	s.register("alice", goodPassword)
	for range freeBurst {
		checkLogin(t, "the device", s.from(home, "alice", "old password"), 401, "")
		s.clock.Advance(time.Second)
		checkLogin(t, "a device of nobody", s.from("192.0.2.2", "nobody", "old password"), 401, "")
	}
	checkLogin(t, "the owner", s.from(home, "alice", goodPassword), 200, "")
}

// TestRepeatsTogether: the same wrong password many times at once counts once.
func TestRepeatsTogether(t *testing.T) {
	throttled(t, func(t *testing.T, s *testServer) {
		s.register("alice", goodPassword)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { s.from(home, "alice", "wrong") })
		}
		all.Wait()
		g, err := s.acc.store.LoginHistory(t.Context(), s.acc.throttle.accountNames("alice")[0], 0, "")
		if err != nil || g.Failures != 1 {
			t.Errorf("%+v, %v; want 1 failure", g, err)
		}
	})
}

// TestRepeatsAreBounded: repeating costs a hash each time, and so does not go on for ever
// without counting.
func TestRepeatsAreBounded(t *testing.T) {
	s := startThrottled(t, newMemStore())
	n := 0
	for s.from(home, "nobody", "wrong").status == 401 {
		if n++; n > 2*freeBurst {
			t.Fatal("it goes on for ever")
		}
	}
	if n != 1+freeBurst+freeFailures-1 {
		t.Errorf("%d guesses", n)
	}
}

// TestRepeatTags: what is kept of a password is of use to this process alone.
func TestRepeatTags(t *testing.T) {
	one, other := newRepeats(), newRepeats()
	for _, r := range []*repeats{one, other} {
		if r.note("who", []byte("made"), testTime) || !r.note("who", []byte("made"), testTime) {
			t.Error("the second is not recognized, or the first is")
		}
	}
	a, _ := one.recent.Get("who")
	b, _ := other.recent.Get("who")
	if a[0].tag == b[0].tag {
		t.Error("two processes keep the same")
	}
	for i := range repeatsKept {
		one.note("who", fmt.Append(nil, i), testTime.Add(time.Second))
	}
	if one.note("who", []byte("made"), testTime.Add(2*time.Second)) {
		t.Errorf("more than %d are kept", repeatsKept)
	}
}
