package main

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// grow lets a key fail n times.
func (c *streakCache) grow(key string, n int, at time.Time) {
	for range n {
		c.put(key, c.get(key).after(at, at.Add(-failureMemory)))
	}
}

// TestStreakCache: what is forgotten when many others fail.
func TestStreakCache(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		failures     int // of the victim
		others, each int // that fail afterwards, each so often
		forgotten    bool
		day          bool // later
	}{
		{name: "ten failures, and many that failed once", failures: 10, others: 60_000, each: 1},
		{name: "ten failures, and many that failed seven times", failures: 10, others: 60_000, each: 7},
		{name: "two failures, and many that failed once", failures: 2, others: 60_000, each: 1},
		{name: "one failure, and almost as many as there is room for", failures: 1, others: maxRemembered - 1, each: 1},
		{name: "one failure, and as many as there is room for", failures: 1, others: maxRemembered, each: 1, forgotten: true},
		{name: "ten failures, and as many that failed as often", failures: 10, others: maxRemembered, each: 10, forgotten: true},
		{name: "a hundred failures, and many that failed ten times", failures: 100, others: 60_000, each: 10},
		{name: "a hundred failures more than a day ago", failures: 100, others: maxRemembered, each: 1, day: true, forgotten: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, now := newStreakCache(), testTime
			c.grow("victim", tt.failures, now)
			if tt.day {
				now = now.Add(failureMemory + time.Second)
			}
			for i := range tt.others {
				c.grow(fmt.Sprint(i), tt.each, now)
			}
			if got := c.get("victim").Failures; (got == 0) != tt.forgotten || got != 0 && got != tt.failures {
				t.Errorf("%d failures are remembered", got)
			}
			if c.len() > maxRemembered {
				t.Errorf("%d are remembered; want %d at most", c.len(), maxRemembered)
			}
		})
	}
}

// TestStreaksCanBegin: many long streaks do not keep a new one from growing.
func TestStreaksCanBegin(t *testing.T) {
	t.Parallel()
	c := newStreakCache()
	for i := range maxRemembered + 1000 {
		c.put(fmt.Sprint(i), streak{100, testTime})
	}
	for n := 1; n <= freeFailures; n++ {
		for i := range 2000 { // in turn
			c.grow(fmt.Sprint("new", i), 1, testTime)
		}
		if got := c.get("new0").Failures; got != n {
			t.Fatalf("%d failures are remembered; want %d", got, n)
		}
	}
	if c.len() != maxRemembered {
		t.Errorf("%d are remembered", c.len())
	}
}

// TestVictimIsRemembered: in a store in memory, and among the sources.
func TestVictimIsRemembered(t *testing.T) {
	t.Parallel()
	s, th := newMemStore(), newThrottle([]byte(testSecret), nil)
	for range freeSourceFailures {
		g := standing{accounts: []string{"victim"}, source: "attacker"}
		th.noteFailure(g, randomBytes(4), testTime)
		if err := s.AddFailure(context.Background(), "victim", testTime, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxRemembered + 1 {
		failAt(t, s, th, fmt.Sprint("name", i), fmt.Sprint("source", i))
	}
	if g, err := s.LoginHistory(t.Context(), "victim", 0, ""); err != nil || g.Failures != freeSourceFailures {
		t.Errorf("at the account: %+v, %v", g, err)
	}
	if got := th.streaks.get("attacker").Failures; got != freeSourceFailures {
		t.Errorf("of the source: %d", got)
	}
}
