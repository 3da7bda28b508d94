package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// inSeconds is a time after testTime, as a store returns it.
func inSeconds(n int) time.Time { return testTime.UTC().Add(time.Duration(n) * time.Second) }

// beginSome begins sessions of a user, with these IDs, that were used one second after
// the other and live for a minute.
func beginSome(t testing.TB, s store, u User, ids ...string) {
	t.Helper()
	for i, id := range ids {
		mustBegin(t, s, Session{ID: id, UserID: u.ID, CreatedAt: testTime, LastUsedAt: inSeconds(i), ExpiresAt: inSeconds(60)})
	}
}

// checkOpen reports sessions that have ended and should not have, or the other way.
func checkOpen(t testing.TB, s store, what string, want map[string]bool) {
	t.Helper()
	for id, open := range want {
		_, _, err := s.UserBySession(t.Context(), id)
		if open && err != nil || !open && !errors.Is(err, errNotFound) {
			t.Errorf("%s: session %s: %v; want it open: %v", what, id, err, open)
		}
	}
}

func testStoreList(t *testing.T, s store) {
	bob := mustCreate(t, s, testUser("bob"))
	alice := mustCreate(t, s, testUser("alice"))
	beginSome(t, s, bob, "bob's")
	beginSome(t, s, alice, "a", "c", "b")
	mustBegin(t, s, Session{ID: "d", UserID: alice.ID, LastUsedAt: inSeconds(2), ExpiresAt: inSeconds(30)})
	for _, tt := range []struct {
		name  string
		user  int64
		now   time.Time
		limit int
		want  []string
	}{
		{"the latest used first, and then by ID", alice.ID, inSeconds(3), 9, []string{"b", "d", "c", "a"}},
		{"two of them", alice.ID, inSeconds(3), 2, []string{"b", "d"}},
		{"in the last second of one", alice.ID, inSeconds(29), 9, []string{"b", "d", "c", "a"}},
		{"when that has expired", alice.ID, inSeconds(30), 9, []string{"b", "c", "a"}},
		{"when all have expired", alice.ID, inSeconds(60), 9, nil},
		{"another user's", bob.ID, inSeconds(3), 9, []string{"bob's"}},
		{"nobody's", alice.ID + bob.ID, inSeconds(3), 9, nil},
	} {
		sessions, err := s.Sessions(t.Context(), tt.user, tt.now, tt.limit)
		var ids []string
		for _, session := range sessions {
			ids = append(ids, session.ID)
		}
		if err != nil || !reflect.DeepEqual(ids, tt.want) {
			t.Errorf("%s: %q, %v; want %q", tt.name, ids, err, tt.want)
		}
		for _, session := range sessions {
			if _, same, err := s.UserBySession(t.Context(), session.ID); err != nil || same != session {
				t.Errorf("%s: %+v is %+v elsewhere, %v", tt.name, session, same, err)
			}
		}
	}
}

// testStoreGenerations: a session goes from one generation to the next, and by no
// other way.
func testStoreGenerations(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	beginSome(t, s, u, "s", "other")
	for _, step := range []struct {
		name        string
		id          string
		generation  int64
		now, expire int
		want        error
	}{
		{"a generation that is to come", "s", 1, 10, 100, errNotFound},
		{"a session that is not there", "S", 0, 10, 100, errNotFound},
		{"when it has expired", "s", 0, 60, 100, errNotFound},
		{"in its last second", "s", 0, 59, 100, nil},
		{"the same generation again", "s", 0, 59, 100, errNotFound},
		{"the next, after the first expiry", "s", 1, 99, 110, nil},
		{"the next, when that has expired", "s", 2, 110, 120, errNotFound},
	} {
		err := s.RotateSession(t.Context(), step.id, step.generation, inSeconds(step.now), inSeconds(step.expire))
		if !errors.Is(err, step.want) {
			t.Errorf("%s: %v; want %v", step.name, err, step.want)
		}
	}
	want := Session{
		ID: "s", UserID: u.ID, CreatedAt: inSeconds(0), Generation: 2,
		LastUsedAt: inSeconds(99), ExpiresAt: inSeconds(110),
	}
	if _, got, err := s.UserBySession(t.Context(), "s"); err != nil || got != want {
		t.Errorf("the session is %+v, %v; want %+v", got, err, want)
	}
	if _, got, err := s.UserBySession(t.Context(), "other"); err != nil || got.Generation != 0 {
		t.Errorf("another session is %+v, %v", got, err)
	}
}

func testStoreRotationRace(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	beginSome(t, s, u, "s")
	var won atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			err := s.RotateSession(t.Context(), "s", 0, inSeconds(1), inSeconds(60))
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, errNotFound) {
				t.Errorf("a loser: %v", err)
			}
		})
	}
	all.Wait()
	if _, got, err := s.UserBySession(t.Context(), "s"); err != nil || got.Generation != 1 || won.Load() != 1 {
		t.Errorf("%d have won; the session is %+v, %v", won.Load(), got, err)
	}
}

func testStoreEnd(t *testing.T, s store) {
	bob := mustCreate(t, s, testUser("bob"))
	alice := mustCreate(t, s, testUser("alice"))
	beginSome(t, s, alice, "a", "b")
	for _, step := range []struct {
		name string
		user User
		id   string
		want error
		open map[string]bool
	}{
		{"somebody else's", bob, "a", errNotFound, map[string]bool{"a": true, "b": true}},
		{"one that is not there", alice, "c", errNotFound, map[string]bool{"a": true, "b": true}},
		{"without a name", alice, "", errNotFound, map[string]bool{"a": true, "b": true}},
		{"one's own", alice, "a", nil, map[string]bool{"a": false, "b": true}},
		{"the same again", alice, "a", errNotFound, map[string]bool{"a": false, "b": true}},
	} {
		if err := s.EndSession(t.Context(), step.user.ID, step.id); !errors.Is(err, step.want) {
			t.Errorf("%s: %v; want %v", step.name, err, step.want)
		}
		checkOpen(t, s, step.name, step.open)
	}
	if err := s.RotateSession(t.Context(), "a", 0, inSeconds(1), inSeconds(60)); !errors.Is(err, errNotFound) {
		t.Errorf("a refresh of what has ended: %v", err)
	}
}

func testStoreEnds(t *testing.T, s store) {
	bob := mustCreate(t, s, testUser("bob"))
	alice := mustCreate(t, s, testUser("alice"))
	beginSome(t, s, bob, "bob's")
	beginSome(t, s, alice, "a", "b", "c")
	alice.TokensValidAfter = inSeconds(5)
	for _, step := range []struct {
		name       string
		keep       string
		validAfter int
		open       map[string]bool
	}{
		{"all but one", "b", 5, map[string]bool{"a": false, "b": true, "c": false, "bob's": true}},
		{"all but the same one, by a clock that is behind", "b", 1, map[string]bool{"b": true, "bob's": true}},
		{"all but one that has ended", "a", 1, map[string]bool{"a": false, "b": false, "bob's": true}},
		{"all but somebody else's", "bob's", 1, map[string]bool{"b": false, "bob's": true}},
		{"all", "", 1, map[string]bool{"a": false, "b": false, "c": false, "bob's": true}},
	} {
		if err := endSessions(t.Context(), s, alice.ID, inSeconds(step.validAfter), step.keep); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		checkOpen(t, s, step.name, step.open)
		if got, err := s.UserByKey(t.Context(), "alice"); err != nil || !reflect.DeepEqual(got, alice) {
			t.Errorf("%s: the user is %+v, %v; want %+v", step.name, got, err, alice)
		}
	}
	if err := endSessions(t.Context(), s, alice.ID+bob.ID, testTime, ""); !errors.Is(err, errNotFound) {
		t.Errorf("nobody's: %v", err)
	}
	if list, err := s.Sessions(t.Context(), alice.ID, testTime, 9); err != nil || len(list) != 0 {
		t.Errorf("the list still has %+v, %v", list, err)
	}
	for _, id := range []string{"a", "b", "c"} {
		if err := s.EndSession(t.Context(), alice.ID, id); !errors.Is(err, errNotFound) {
			t.Errorf("the end of %s, which has ended: %v", id, err)
		}
		if err := s.RotateSession(t.Context(), id, 0, inSeconds(1), inSeconds(60)); !errors.Is(err, errNotFound) {
			t.Errorf("a refresh of %s, which has ended: %v", id, err)
		}
	}
	beginSome(t, s, alice, "new")
	checkOpen(t, s, "a login after the end", map[string]bool{"new": true, "b": false})
}

// testStoreKept: of two sessions that each end all others at the same time, one is
// left, and who is ended does not come back by keeping itself.
func testStoreKept(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	for round := range 20 {
		ids := []string{fmt.Sprint("a", round), fmt.Sprint("b", round)}
		beginSome(t, s, u, ids...)
		var all sync.WaitGroup
		for _, id := range ids {
			all.Go(func() {
				if err := endSessions(t.Context(), s, u.ID, testTime, id); err != nil {
					t.Errorf("the end of all sessions: %v", err)
				}
			})
		}
		all.Wait()
		if list, err := s.Sessions(t.Context(), u.ID, testTime, 9); err != nil || len(list) > 1 {
			t.Errorf("left are %+v, %v; want one at most", list, err)
		}
	}
}

// testStorePasswordRace: a session that begins with a password while it is changed is
// refused, or has ended.
func testStorePasswordRace(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	for round := range 20 {
		current, next := "$hash", fmt.Sprint("$", round)
		if round > 0 {
			current = fmt.Sprint("$", round-1)
		}
		id := func(i int) string { return fmt.Sprint(round, "/", i) }
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				err := s.CreateSession(t.Context(), Session{ID: id(i), UserID: u.ID, ExpiresAt: inSeconds(60)}, current, noLimit)
				if err != nil && !errors.Is(err, errNotFound) {
					t.Errorf("CreateSession: %v", err)
				}
			})
		}
		all.Go(func() {
			if err := setPassword(t.Context(), s, u.ID, current, next, testTime, ""); err != nil {
				t.Errorf("another password: %v", err)
			}
		})
		all.Wait()
		for i := range 5 {
			checkOpen(t, s, "after the change", map[string]bool{id(i): false})
		}
	}
}

func testStoreSessions(t *testing.T, s store) {
	mustCreate(t, s, testUser("bob"))
	u := mustCreate(t, s, testUser("alice"))
	want := Session{
		ID: "s1", UserID: u.ID,
		CreatedAt: testTime.UTC(), LastUsedAt: testTime.UTC().Add(time.Second), ExpiresAt: testTime.UTC().Add(time.Minute),
		IP: "::1", UserAgent: "agent",
	}
	mustBegin(t, s, want)
	gotUser, got, err := s.UserBySession(t.Context(), "s1")
	if err != nil || !reflect.DeepEqual(gotUser, u) || got != want {
		t.Errorf("UserBySession = %+v, %+v, %v; want %+v", gotUser, got, err, want)
	}
	if _, _, err := s.UserBySession(t.Context(), "S1"); !errors.Is(err, errNotFound) {
		t.Errorf("no session: %v", err)
	}
	for _, tt := range []struct {
		name, hash string
		user       int64
	}{{"a session of nobody", "$hash", u.ID + 1}, {"another password hash", "$other", u.ID}, {"no password hash", "", u.ID}, {"a NUL", "\x00", u.ID}} {
		if err := s.CreateSession(t.Context(), Session{ID: "s2", UserID: tt.user}, tt.hash, noLimit); !errors.Is(err, errNotFound) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, _, err := s.UserBySession(t.Context(), "s2"); !errors.Is(err, errNotFound) {
		t.Errorf("one of these has begun: %v", err)
	}
}

// testStoreAsked: the scopes that a login has asked for stay with its session, none and "" too.
func testStoreAsked(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	for id, asked := range map[string]*scopes{"unasked": nil, "nothing": new(scopes("")), "some": new(scopes("read write:all"))} {
		begun := Session{ID: id, UserID: u.ID, CreatedAt: inSeconds(0), LastUsedAt: inSeconds(0), ExpiresAt: inSeconds(60), Asked: asked}
		mustBegin(t, s, begun)
		if err := s.RotateSession(t.Context(), id, 0, inSeconds(1), inSeconds(90)); err != nil {
			t.Fatal(err)
		}
		begun.LastUsedAt, begun.ExpiresAt, begun.Generation = inSeconds(1), inSeconds(90), 1
		if _, got, err := s.UserBySession(t.Context(), id); err != nil || !reflect.DeepEqual(got, begun) {
			t.Errorf("%s: UserBySession = %+v, %v; want %+v", id, got, err, begun)
		}
		list, err := s.Sessions(t.Context(), u.ID, inSeconds(1), 9)
		if err != nil || !slices.ContainsFunc(list, func(one Session) bool { return reflect.DeepEqual(one, begun) }) {
			t.Errorf("%s: Sessions = %+v, %v; want %+v among them", id, list, err, begun)
		}
	}
	for name, asked := range map[string]scopes{"a NUL": "\x00", "no UTF-8": "\xff"} {
		err := s.CreateSession(t.Context(), Session{ID: name, UserID: u.ID, Asked: &asked}, "$hash", noLimit)
		if !errors.Is(err, errUnstorable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func testStoreExpiry(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	for _, i := range []int{3, 0, 9, 1, 2, 8, 4, 7, 5, 6} {
		mustBegin(t, s, Session{ID: fmt.Sprint("s", i), UserID: u.ID, ExpiresAt: testTime.Add(time.Duration(i) * time.Second)})
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
