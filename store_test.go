package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMemStore(t *testing.T) {
	testStore(t, func(*testing.T) store { return newMemStore() })
}

// testStore is what every store has to pass; open returns an empty one.
func testStore(t *testing.T, open func(*testing.T) store) {
	for name, test := range map[string]func(*testing.T, store){
		"users":              testStoreUsers,
		"sessions":           testStoreSessions,
		"expiry":             testStoreExpiry,
		"one name, 100 want": testStoreRace,
		"copies":             testStoreCopies,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// testUser returns a user as accounts would create it.
func testUser(name string) User {
	email, fullName := name+"@example.com", "Full Name"
	return User{
		Username: name, Key: usernameKey(name), Email: &email, FullName: &fullName, PasswordHash: "$hash",
		CreatedAt: testTime.UTC(), TokensValidAfter: testTime.UTC(),
	}
}

func mustCreate(t *testing.T, s store, u User) User {
	t.Helper()
	created, err := s.CreateUser(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

func testStoreUsers(t *testing.T, s store) {
	if _, err := s.UserByKey(t.Context(), "alice"); !errors.Is(err, errNotFound) {
		t.Errorf("a user of an empty store: %v", err)
	}
	if users, err := s.Users(t.Context()); err != nil || len(users) != 0 {
		t.Errorf("an empty store has the users %v, %v", users, err)
	}
	created := mustCreate(t, s, testUser("Alice"))
	if created.ID == 0 {
		t.Error("the user has no ID")
	}
	got, err := s.UserByKey(t.Context(), "alice")
	if err != nil || got.ID != created.ID || got.Username != "Alice" || *got.Email != "Alice@example.com" ||
		*got.FullName != "Full Name" || got.PasswordHash != "$hash" || got.Disabled ||
		!got.CreatedAt.Equal(testTime) || !got.TokensValidAfter.Equal(testTime) {
		t.Errorf("UserByKey = %+v, %v", got, err)
	}
	if _, err := s.UserByKey(t.Context(), "Alice"); !errors.Is(err, errNotFound) {
		t.Errorf("a name that is no key: %v", err)
	}
	if _, err := s.CreateUser(t.Context(), testUser("ALICE")); !errors.Is(err, errExists) {
		t.Errorf("the same key again: %v", err)
	}
	bare := mustCreate(t, s, User{Username: "bob", Key: "bob"})
	if bare.ID == created.ID {
		t.Error("two users have one ID")
	}
	long := mustCreate(t, s, testUser(strings.Repeat("é", 150)))
	users, err := s.Users(t.Context())
	if err != nil || len(users) != 3 || users[0].ID != created.ID || users[1].ID != bare.ID || users[2].ID != long.ID {
		t.Errorf("Users = %+v, %v", users, err)
	}
	if users[1].Email != nil || users[1].FullName != nil || !users[1].TokensValidAfter.IsZero() {
		t.Errorf("a user without anything: %+v", users[1])
	}
}

func testStoreSessions(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	want := Session{ID: "s1", UserID: u.ID, CreatedAt: testTime, ExpiresAt: testTime.Add(time.Minute), Client: client{"::1", "agent", "id"}}
	if err := s.CreateSession(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	gotUser, got, err := s.UserBySession(t.Context(), "s1")
	if !got.CreatedAt.Equal(want.CreatedAt) || !got.ExpiresAt.Equal(want.ExpiresAt) {
		t.Errorf("UserBySession = %+v; want the times of %+v", got, want)
	}
	got.CreatedAt, got.ExpiresAt = want.CreatedAt, want.ExpiresAt // the zone may differ
	if err != nil || gotUser.ID != u.ID || gotUser.Username != "alice" || got != want {
		t.Errorf("UserBySession = %+v, %+v, %v", gotUser, got, err)
	}
	if _, _, err := s.UserBySession(t.Context(), "S1"); !errors.Is(err, errNotFound) {
		t.Errorf("no session: %v", err)
	}
	if err := s.CreateSession(t.Context(), Session{ID: "s2", UserID: u.ID + 1}); !errors.Is(err, errNotFound) {
		t.Errorf("a session of nobody: %v", err)
	}
}

func testStoreExpiry(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	for _, i := range []int{3, 0, 9, 1, 2, 8, 4, 7, 5, 6} {
		session := Session{ID: fmt.Sprint("s", i), UserID: u.ID, ExpiresAt: testTime.Add(time.Duration(i) * time.Second)}
		if err := s.CreateSession(t.Context(), session); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		seconds, limit, deleted int
	}{{-1, 100, 0}, {0, 100, 1}, {4, 3, 3}, {4, 3, 1}, {4, 3, 0}, {100, 100, 5}, {100, 100, 0}} {
		n, err := s.DeleteExpiredSessions(t.Context(), testTime.Add(time.Duration(step.seconds)*time.Second), step.limit)
		if err != nil || n != step.deleted {
			t.Errorf("after %d s, at most %d: deleted %d, %v; want %d", step.seconds, step.limit, n, err, step.deleted)
		}
	}
	if _, _, err := s.UserBySession(t.Context(), "s9"); !errors.Is(err, errNotFound) {
		t.Errorf("a deleted session: %v", err)
	}
	if _, err := s.UserByKey(t.Context(), "alice"); err != nil {
		t.Errorf("the user of a deleted session: %v", err)
	}
}

func testStoreRace(t *testing.T, s store) {
	var mu sync.Mutex
	var won []User
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			u := testUser("alice")
			u.PasswordHash = fmt.Sprint(i)
			created, err := s.CreateUser(t.Context(), u)
			if err == nil {
				mu.Lock()
				won = append(won, created)
				mu.Unlock()
				return
			}
			if !errors.Is(err, errExists) {
				t.Errorf("a loser: %v", err)
			}
		})
	}
	all.Wait()
	got, err := s.UserByKey(t.Context(), "alice")
	if len(won) != 1 || err != nil || got.PasswordHash != won[0].PasswordHash {
		t.Errorf("%d winners; the store has %+v, %v", len(won), got, err)
	}
}

// testStoreCopies: what a store returns is the caller's to change.
func testStoreCopies(t *testing.T, s store) {
	mustCreate(t, s, testUser("alice"))
	u, err := s.UserByKey(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	u.Username, u.Disabled = "mallory", true
	again, err := s.UserByKey(t.Context(), "alice")
	if err != nil || again.Username != "alice" || again.Disabled {
		t.Errorf("the store has changed with a copy: %+v, %v", again, err)
	}
}
