package main

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// withOldHash runs test on a server over each kind of store, on which alice's hash
// has so many rounds and those made from now on have 20.
func withOldHash(t *testing.T, rounds int, test func(t *testing.T, s *testServer, token string)) {
	for kind, open := range everyStore {
		t.Run(kind, func(t *testing.T) {
			s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.store = open(t) })
			s.acc.passwords = newHasher(rounds)
			token := s.signUp()
			s.acc.passwords = newHasher(20)
			test(t, s, token)
		})
	}
}

func (s *testServer) hashOf(t *testing.T, username string) string {
	t.Helper()
	u, err := s.acc.store.UserByKey(t.Context(), username)
	if err != nil {
		t.Fatal(err)
	}
	return u.PasswordHash
}

// TestStrengthenHash: a good login replaces a hash that cost less than one made
// today, and nothing else does.
func TestStrengthenHash(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		rounds   int
		password string
		replaced bool
	}{
		{"a cheaper hash is replaced", 19, goodPassword, true},
		{"a cheaper hash is kept if the password is wrong", 19, "wrong", false},
		{"a hash of today is kept", 20, goodPassword, false},
		{"a dearer hash is kept", 21, goodPassword, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withOldHash(t, tt.rounds, func(t *testing.T, s *testServer, token string) {
				before := s.hashOf(t, "alice")
				s.login("username=alice&password=" + url.QueryEscape(tt.password))
				after := s.hashOf(t, "alice")
				if (after != before) != tt.replaced || tt.replaced && !strings.HasPrefix(after, "$pbkdf2-sha256$20$") {
					t.Errorf("%s became %s", before, after)
				}
				if got := s.login(goodLogin); got.status != 200 {
					t.Errorf("the next login: %d %s", got.status, got.body)
				}
				if got := s.me("Authorization: Bearer " + token); got.status != 200 {
					t.Errorf("the token from before: %d %s", got.status, got.body)
				}
			})
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
	return u, replaceHash(ctx, c, u.ID, u.PasswordHash, c.hash)
}

// TestStrengthenHashKeepsChange: a stronger hash of the old password does not undo
// a change made meanwhile, and the old password opens nothing any more.
func TestStrengthenHashKeepsChange(t *testing.T) {
	withOldHash(t, 19, func(t *testing.T, s *testServer, _ string) {
		users, changed := s.acc.store, s.acc.passwords.hashPassword("another password")
		s.acc.store = changing{users, changed}
		if got := s.login(goodLogin); got.status != 401 {
			t.Errorf("the login: %d %s", got.status, got.body)
		}
		s.acc.store = users
		if got := s.hashOf(t, "alice"); got != changed {
			t.Errorf("the hash is %s; want %s", got, changed)
		}
	})
}

// TestStrengthenHashTogether: 50 logins at once leave one good hash.
func TestStrengthenHashTogether(t *testing.T) {
	withOldHash(t, 19, func(t *testing.T, s *testServer, _ string) {
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if got := s.login(goodLogin); got.status != 200 {
					t.Errorf("%d %s", got.status, got.body)
				}
			})
		}
		all.Wait()
		hash := s.hashOf(t, "alice")
		if s.acc.passwords.isCheap(hash) || !s.acc.passwords.verifies(goodPassword, hash) {
			t.Errorf("the hash is %s", hash)
		}
	})
}

// verifies reports whether h takes password for the one that stored was made from.
func (h *hasher) verifies(password, stored string) bool {
	ok, _ := h.verifyPassword(password, stored, true)
	return ok
}
