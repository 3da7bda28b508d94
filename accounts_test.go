package main

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestSweep: expired sessions go, in batches, and nothing else does.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sessions := newMemStore()
		acc := &accounts{store: sessions, log: slog.New(slog.DiscardHandler), now: time.Now}
		u := mustCreate(t, sessions, testUser("alice"))
		for i := range sweepBatch + 2 {
			life := 10 * time.Minute
			if i == 0 {
				life = time.Hour
			}
			err := sessions.CreateSession(t.Context(), Session{ID: newSessionID(), UserID: u.ID, ExpiresAt: time.Now().Add(life)})
			if err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		go acc.sweep(ctx, time.Minute)
		for _, step := range []struct {
			after time.Duration
			left  int
		}{{9*time.Minute + 30*time.Second, sweepBatch + 2}, {time.Minute, 1}, {time.Hour, 0}} {
			time.Sleep(step.after)
			synctest.Wait()
			sessions.mu.RLock()
			got := len(sessions.sessions)
			sessions.mu.RUnlock()
			if got != step.left {
				t.Errorf("after %v more %d sessions are left, want %d", step.after, got, step.left)
			}
		}
		cancel()
		synctest.Wait()
	})
}

// TestStrengthenHash: a good login replaces a hash that cost less than one made
// today, and nothing else does.
func TestStrengthenHash(t *testing.T) {
	for kind, open := range everyStore {
		t.Run(kind, func(t *testing.T) {
			for _, tt := range []struct {
				name     string
				rounds   int // of the stored hash; those of today are 20
				password string
				replaced bool
			}{
				{"cheaper", 19, goodPassword, true},
				{"cheaper, wrong password", 19, "wrong", false},
				{"of today", 20, goodPassword, false},
				{"dearer", 21, goodPassword, false},
			} {
				t.Run(tt.name, func(t *testing.T) {
					s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.store = open(t) })
					s.acc.passwords = newHasher(tt.rounds)
					token := s.signUp()
					before, _ := s.acc.store.UserByKey(t.Context(), "alice")
					s.acc.passwords = newHasher(20)
					s.login("username=alice&password=" + url.QueryEscape(tt.password))
					after, err := s.acc.store.UserByKey(t.Context(), "alice")
					if err != nil || (after.PasswordHash != before.PasswordHash) != tt.replaced {
						t.Errorf("%s became %s, %v", before.PasswordHash, after.PasswordHash, err)
					}
					if tt.replaced && !strings.HasPrefix(after.PasswordHash, "$pbkdf2-sha256$20$") {
						t.Errorf("the new hash is %s", after.PasswordHash)
					}
					if got := s.login(goodLogin); got.status != 200 {
						t.Errorf("the next login: %d %s", got.status, got.body)
					}
					if got := s.me("Authorization: Bearer " + token); got.status != 200 {
						t.Errorf("the token from before: %d %s", got.status, got.body)
					}
				})
			}
		})
	}
}

// changing is a store in which the password is changed while somebody logs in with
// the old one.
type changing struct {
	store
	hash string
}

func (c changing) UserByKey(ctx context.Context, key string) (User, error) {
	u, err := c.store.UserByKey(ctx, key)
	if err != nil {
		return u, err
	}
	return u, c.ReplacePasswordHash(ctx, u.ID, u.PasswordHash, c.hash)
}

// TestStrengthenHashKeepsChange: a stronger hash of the old password does not undo
// a change made meanwhile.
func TestStrengthenHashKeepsChange(t *testing.T) {
	for kind, open := range everyStore {
		t.Run(kind, func(t *testing.T) {
			s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.store = open(t) })
			s.acc.passwords = newHasher(19)
			s.signUp()
			s.acc.passwords = newHasher(20)
			users, changed := s.acc.store, s.acc.passwords.hashPassword("another password")
			s.acc.store = changing{users, changed}
			s.login(goodLogin)
			if u, err := users.UserByKey(t.Context(), "alice"); err != nil || u.PasswordHash != changed {
				t.Errorf("the hash is %s, %v; want %s", u.PasswordHash, err, changed)
			}
		})
	}
}

// TestStrengthenHashTogether: 50 logins at once leave one good hash.
func TestStrengthenHashTogether(t *testing.T) {
	for kind, open := range everyStore {
		t.Run(kind, func(t *testing.T) {
			s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.store = open(t) })
			s.acc.passwords = newHasher(19)
			s.signUp()
			s.acc.passwords = newHasher(20)
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					if got := s.login(goodLogin); got.status != 200 {
						t.Errorf("%d %s", got.status, got.body)
					}
				})
			}
			all.Wait()
			u, err := s.acc.store.UserByKey(t.Context(), "alice")
			if err != nil || s.acc.passwords.isCheap(u.PasswordHash) || !s.acc.passwords.verifyPassword(goodPassword, u.PasswordHash) {
				t.Errorf("the hash is %s, %v", u.PasswordHash, err)
			}
		})
	}
}
