package main

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
)

// testStoreLaterExpiry: a session that was used again is not deleted at its first
// expiry, and one that has ended is in nobody's way.
func testStoreLaterExpiry(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	beginSome(t, s, u, "a", "b", "c", "d")
	for id, expiry := range map[string]int{"b": 90, "d": 75} {
		if err := s.RotateSession(t.Context(), id, 0, inSeconds(1), inSeconds(expiry)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.EndSession(t.Context(), u.ID, "c"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ seconds, deleted int }{{59, 0}, {60, 1}, {74, 0}, {75, 1}, {89, 0}, {90, 1}, {99, 0}} {
		n, err := s.DeleteExpiredSessions(t.Context(), inSeconds(step.seconds), 9)
		if err != nil || n != step.deleted {
			t.Errorf("after %d s: deleted %d, %v; want %d", step.seconds, n, err, step.deleted)
		}
	}
}

// testStoreManyExpiries: of sessions that were refreshed and ended in any order each is
// deleted in its own second.
func testStoreManyExpiries(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	random := rand.New(rand.NewPCG(1, 2))
	expiry := make(map[string]int)
	for i := range 60 {
		id := fmt.Sprint("s", i)
		expiry[id] = 1 + random.IntN(20)
		mustBegin(t, s, Session{ID: id, UserID: u.ID, ExpiresAt: inSeconds(expiry[id])})
	}
	for i := range 60 {
		id := fmt.Sprint("s", random.IntN(60))
		if _, open := expiry[id]; !open {
			continue
		}
		if i%3 == 0 {
			if err := s.EndSession(t.Context(), u.ID, id); err != nil {
				t.Fatal(err)
			}
			delete(expiry, id)
			continue
		}
		_, session, err := s.UserBySession(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		expiry[id] = 1 + random.IntN(40) // also earlier than before
		if err := s.RotateSession(t.Context(), id, session.Generation, inSeconds(0), inSeconds(expiry[id])); err != nil {
			t.Fatal(err)
		}
	}
	for second := range 41 {
		want := 0
		for _, at := range expiry {
			if at == second {
				want++
			}
		}
		if n, err := s.DeleteExpiredSessions(t.Context(), inSeconds(second), 99); err != nil || n != want {
			t.Errorf("in second %d: deleted %d, %v; want %d", second, n, err, want)
		}
	}
}

// testStoreLimit: of too many sessions those unused for longest end, but not the one that
// begins, and neither those of others nor what has ended or expired counts.
func testStoreLimit(t *testing.T, s store) {
	bob := mustCreate(t, s, testUser("bob"))
	alice := mustCreate(t, s, testUser("alice"))
	beginSome(t, s, bob, "bob's", "bob's other")
	begin := func(id string, created, used, atMost int) {
		t.Helper()
		err := s.CreateSession(t.Context(), Session{
			ID: id, UserID: alice.ID, CreatedAt: inSeconds(created), LastUsedAt: inSeconds(used), ExpiresAt: inSeconds(created + 60),
		}, "$hash", atMost)
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	check := func(what string, want ...string) {
		t.Helper()
		sessions, err := s.Sessions(t.Context(), alice.ID, inSeconds(50), 99)
		var ids []string
		for _, session := range sessions {
			ids = append(ids, session.ID)
		}
		if err != nil || !reflect.DeepEqual(ids, want) {
			t.Errorf("%s: left are %q, %v; want %q", what, ids, err, want)
		}
	}
	begin("a", 1, 1, 3)
	begin("b", 2, 2, 3)
	begin("c", 3, 3, 3)
	check("as many as may be", "c", "b", "a")
	begin("d", 4, 4, 3)
	check("one more", "d", "c", "b")
	if err := s.RotateSession(t.Context(), "b", 0, inSeconds(5), inSeconds(70)); err != nil {
		t.Fatal(err)
	}
	begin("e", 6, 6, 3)
	check("one more, after the oldest was used", "e", "b", "d")
	begin("late", 0, 0, 3)
	check("one by a clock that is behind", "e", "b", "late")
	begin("twin", 0, 0, 3)
	check("one more by that clock", "e", "b", "twin")
	begin("f", 7, 7, 9)
	begin("g", 8, 8, 9)
	check("with a higher limit", "g", "f", "e", "b", "twin")
	begin("h", 9, 9, 2)
	check("with a lower limit", "h", "g")
	begin("i", 10, 10, 1)
	check("with a limit of one", "i")
	if err := endSessions(t.Context(), s, alice.ID, testTime, "i"); err != nil {
		t.Fatal(err)
	}
	begin("j", 11, 11, 2)
	check("one that was kept and a new one", "j", "i")
	mustBegin(t, s, Session{ID: "brief", UserID: alice.ID, CreatedAt: inSeconds(12), LastUsedAt: inSeconds(13), ExpiresAt: inSeconds(14)})
	begin("k", 14, 14, 3)
	check("with one that has expired", "k", "j", "i")
	mustBegin(t, s, Session{ID: "briefer", UserID: alice.ID, CreatedAt: inSeconds(1), LastUsedAt: inSeconds(2), ExpiresAt: inSeconds(14)})
	begin("l", 15, 15, 3)
	check("one more, with one that expired and was unused for longer", "l", "k", "j")
	checkOpen(t, s, "in the end", map[string]bool{"bob's": true, "bob's other": true, "a": false, "d": false, "h": false, "j": true})
}

// testStoreLimitRace: of many that begin at once no more are left than may be, and all of
// those are as good as ever.
func testStoreLimitRace(t *testing.T, s store) {
	const atMost = 5
	u := mustCreate(t, s, testUser("alice"))
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			err := s.CreateSession(t.Context(), Session{
				ID: fmt.Sprint(i), UserID: u.ID, CreatedAt: inSeconds(0), LastUsedAt: inSeconds(i), ExpiresAt: inSeconds(60),
			}, "$hash", atMost)
			if err != nil {
				t.Errorf("CreateSession: %v", err)
			}
		})
	}
	all.Wait()
	sessions, err := s.Sessions(t.Context(), u.ID, inSeconds(50), 99)
	if err != nil || len(sessions) == 0 || len(sessions) > atMost {
		t.Errorf("%d sessions are left, %v; want 1 to %d", len(sessions), err, atMost)
	}
	for _, session := range sessions {
		if err := s.RotateSession(t.Context(), session.ID, 0, inSeconds(51), inSeconds(90)); err != nil {
			t.Errorf("a refresh of what is left: %v", err)
		}
	}
}

// testStoreEnded: to delete what has ended takes nothing from anybody.
func testStoreEnded(t *testing.T, s store) {
	bob := mustCreate(t, s, testUser("bob"))
	alice := mustCreate(t, s, testUser("alice"))
	beginSome(t, s, bob, "bob's")
	beginSome(t, s, alice, "a", "b", "c", "d")
	for _, step := range []struct {
		name string
		do   func() error
		open map[string]bool
	}{
		{"nothing", func() error { return nil }, map[string]bool{"a": true, "b": true, "c": true, "d": true, "bob's": true}},
		{"the end of one", func() error { return s.EndSession(t.Context(), alice.ID, "d") }, map[string]bool{"a": true, "b": true, "c": true, "d": false}},
		{"the end of all but one", func() error { return endSessions(t.Context(), s, alice.ID, testTime, "b") }, map[string]bool{"a": false, "b": true, "c": false}},
		{"the same again", func() error { return endSessions(t.Context(), s, alice.ID, testTime, "b") }, map[string]bool{"a": false, "b": true, "c": false}},
		{"a new one", func() error { beginSome(t, s, alice, "e"); return nil }, map[string]bool{"b": true, "e": true}},
		{"a change of the password", func() error {
			return setPassword(t.Context(), s, alice.ID, "$hash", "$new", testTime, "e")
		}, map[string]bool{"b": false, "e": true}},
		{"the end of bob", func() error { return disableUser(t.Context(), s, bob.ID, testTime) }, map[string]bool{"bob's": false, "e": true}},
		{"the end of all", func() error { return endSessions(t.Context(), s, alice.ID, testTime, "") }, map[string]bool{"e": false}},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		checkOpen(t, s, step.name, step.open)
		for n, more := 0, true; more; n++ {
			done, err := s.DeleteEndedSessions(t.Context(), 1)
			if err != nil || n > 20 {
				t.Fatalf("%s: %d, %v after %d rounds", step.name, done, err, n)
			}
			more = done > 0
		}
		checkOpen(t, s, step.name+", deleted", step.open)
	}
}

// TestEndedSessionsAreDeleted: in a database the rows of what has ended go too, in batches,
// and those that were kept stay.
func TestEndedSessionsAreDeleted(t *testing.T) {
	for name, empty := range everyDatabase {
		t.Run(name, func(t *testing.T) {
			db := mustOpen(t, empty(t)).(sqlStore)
			for i := range 10 {
				u := mustCreate(t, db, testUser(fmt.Sprint("user", i)))
				var ids []string
				for j := range 12 {
					ids = append(ids, fmt.Sprint(i, "/", j))
				}
				beginSome(t, db, u, ids...)
				if i%2 == 0 {
					continue
				}
				if err := endSessions(t.Context(), db, u.ID, testTime, ids[0]); err != nil {
					t.Fatal(err)
				}
			}
			if n, err := db.writeMany(t.Context(), updateSweptEpochs, 25); n != 0 || err != nil {
				t.Errorf("before anything is deleted, %d users are marked, %v; want none", n, err)
			}
			for round, want := range []int{25, 25, 5} { // 5 users have 11 sessions that have ended
				before := db.count(t, "sessions")
				if _, err := db.DeleteEndedSessions(t.Context(), 25); err != nil {
					t.Fatal(err)
				}
				if got := before - db.count(t, "sessions"); got != want {
					t.Errorf("round %d: %d rows are deleted; want %d", round, got, want)
				}
			}
			if left, unswept := db.count(t, "sessions"), db.count(t, "users WHERE "+isUnswept); left != 5*12+5 || unswept != 0 {
				t.Errorf("%d rows are left, and %d users to look at; want 65 and none", left, unswept)
			}
		})
	}
}

// count returns how many rows of a table there are.
func (s sqlStore) count(t testing.TB, table string) (n int) {
	t.Helper()
	if err := s.schemaDB.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
