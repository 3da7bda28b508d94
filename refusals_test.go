package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowAccounts are accounts in a bubble of synctest, where a round of the hash takes a
// millisecond: alice, who has logged in at home.
func slowAccounts(t *testing.T, rounds int) *accounts {
	acc := quietAccounts(t, newMemStore())
	acc.hashes = newQueue(1)
	acc.throttle = newThrottle([]byte(testSecret), nil)
	acc.passwords = newHasher(rounds)
	acc.passwords.derive = func(password string, salt []byte, rounds int) []byte {
		time.Sleep(time.Duration(rounds) * time.Millisecond)
		return pbkdf2Key(password, salt, 1)
	}
	if _, err := acc.register(t.Context(), newUser{Username: "alice", Password: goodPassword}, client{IP: home}); err != nil {
		t.Fatal(err)
	}
	return acc
}

// took returns how long a wrong guess takes, which has to be answered with want, and adds
// to ends when a wait ends that it is told of.
func took(t *testing.T, ctx context.Context, acc *accounts, source, name, want string, ends ...map[time.Time]bool) time.Duration {
	t.Helper()
	began := time.Now()
	_, err := acc.authenticateUser(t.Context(), name, fmt.Sprint("wrong ", began.UnixNano()), client{IP: source, request: ctx})
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%s from %s: %v; want %s", name, source, err, want)
	}
	for _, end := range ends {
		throttled, _ := errors.AsType[throttledError](err)
		end[began.Add(throttled.wait)] = true
	}
	return time.Since(began)
}

const refusal, failure = "too many failures", "wrong username or password"

// TestRefusalsTakeAsLong: the clock does not tell a guess that was refused from one that
// was only said to be.
func TestRefusalsTakeAsLong(t *testing.T) {
	for _, tt := range []struct {
		name          string
		hangUp, queue bool
		want          time.Duration
	}{
		{"as long as a hash", false, false, 100 * time.Millisecond},
		{"also if the client closes its half of the connection", true, false, 100 * time.Millisecond},
		{"as long as the queue and a hash", false, true, 300 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				acc := slowAccounts(t, 100)
				for i := range freeSourceFailures + 3 {
					if d := took(t, t.Context(), acc, home, fmt.Sprint("name", i), failure); d != 100*time.Millisecond {
						t.Errorf("a failure takes %v", d)
					}
					if freeSourceFailures <= i+1 && i < freeSourceFailures+2 {
						time.Sleep(longestWait)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.hangUp {
					cancel()
				}
				busy := func() {
					if !tt.queue {
						return
					}
					if err := acc.hashes.enter(t.Context()); err != nil {
						t.Error(err)
					}
					time.AfterFunc(200*time.Millisecond, acc.hashes.leave)
				}
				busy()
				took(t, t.Context(), acc, "203.0.113.7", "nobody", failure)
				ends := make(map[time.Time]bool)
				for _, name := range []string{"alice", "nobody", "alice", "bob"} {
					busy()
					if d := took(t, ctx, acc, home, name, refusal, ends); d != tt.want {
						t.Errorf("%s: %v; want %v", name, d, tt.want)
					}
					synctest.Wait()
					time.Sleep(200*time.Millisecond - min(tt.want, 200*time.Millisecond)) // until nobody is busy
				}
				if len(ends) != 1 {
					t.Errorf("they are told to wait until %v", ends)
				}
			})
		})
	}
}

// TestRefusalsWhileBusy: when too many wait for their hash, an owner's source is refused
// as strangers are, and not 503.
func TestRefusalsWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acc := slowAccounts(t, 100)
		for i := range freeSourceFailures {
			took(t, t.Context(), acc, home, fmt.Sprint("name", i), failure)
		}
		if err := acc.hashes.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := took(t, t.Context(), acc, home, "alice", refusal); d != queuePatience {
			t.Errorf("after %v; want %v", d, queuePatience)
		}
		took(t, t.Context(), acc, "203.0.113.7", "alice", errBusy.Error())
	})
}

// TestPretenceIsBounded: a hash that took very long makes others wait for some seconds at
// most.
func TestPretenceIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		p.note(time.Hour)
		began := time.Now()
		p.pretendToHash()
		if d := time.Since(began); d != longestPretence {
			t.Errorf("%v", d)
		}
	})
}

// TestRefusalsAfterABurst: a refusal waits for those who hash now, and not as long as one
// that has failed before did.
func TestRefusalsAfterABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acc := slowAccounts(t, 100)
		acc.learnPace(t.Context())
		for i := range freeSourceFailures {
			took(t, t.Context(), acc, home, fmt.Sprint("name", i), failure)
		}
		var burst sync.WaitGroup
		for i := range 5 {
			burst.Go(func() { took(t, t.Context(), acc, "203.0.113.7", fmt.Sprint("other", i), failure) })
		}
		burst.Wait()
		for _, name := range []string{"alice", "nobody"} {
			if d := took(t, t.Context(), acc, home, name, refusal); d != 100*time.Millisecond {
				t.Errorf("%s: %v; want 100 ms", name, d)
			}
		}
	})
}

// TestFirstRefusal: after a start, a refusal takes as long as a hash too.
func TestFirstRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acc := slowAccounts(t, 100)
		acc.learnPace(t.Context())
		account := acc.throttle.accountNames("nobody")[0]
		for range freeFailures {
			if err := acc.store.AddFailure(t.Context(), account, time.Now(), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		if d := took(t, t.Context(), acc, "203.0.113.7", "nobody", refusal); d != 100*time.Millisecond {
			t.Errorf("%v; want 100 ms", d)
		}
	})
}
