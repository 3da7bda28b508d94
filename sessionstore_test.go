package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
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
					t.Errorf("EndSessions: %v", err)
				}
			})
		}
		all.Wait()
		if list, err := s.Sessions(t.Context(), u.ID, testTime, 9); err != nil || len(list) > 1 {
			t.Errorf("left are %+v, %v; want one at most", list, err)
		}
	}
}

func testStoreProfiles(t *testing.T, s store) {
	other := mustCreate(t, s, testUser("bob"))
	u := mustCreate(t, s, testUser("alice"))
	newEmail, newName, empty := "new@example.com", "New Name", ""
	set := func(text *string) optionalText { return optionalText{true, text} }
	for _, step := range []struct {
		name            string
		change          userChange
		email, fullName *string
	}{
		{"nothing", userChange{}, u.Email, u.FullName},
		{"the address", userChange{Email: set(&newEmail)}, &newEmail, u.FullName},
		{"the name", userChange{FullName: set(&newName)}, &newEmail, &newName},
		{"the address away", noEmail, nil, &newName},
		{"a name that is empty", userChange{FullName: set(&empty)}, nil, &empty},
		{"both", userChange{Email: set(&newEmail), FullName: set(nil)}, &newEmail, nil},
	} {
		u.Email, u.FullName = step.email, step.fullName
		changed, err := s.UpdateUser(t.Context(), u.ID, step.change)
		found, err2 := s.UserByKey(t.Context(), "alice")
		if err != nil || err2 != nil || !reflect.DeepEqual(changed, u) || !reflect.DeepEqual(found, u) {
			t.Errorf("%s: changed to %+v, %v; found %+v, %v; want %+v", step.name, changed, err, found, err2, u)
		}
	}
	if _, err := s.UpdateUser(t.Context(), u.ID+other.ID, noEmail); !errors.Is(err, errNotFound) {
		t.Errorf("nobody's: %v", err)
	}
	if got, err := s.UserByKey(t.Context(), "bob"); err != nil || !reflect.DeepEqual(got, other) {
		t.Errorf("the other user is %+v, %v; want %+v", got, err, other)
	}
}

var noEmail = userChange{Email: optionalText{Set: true}}

func testStorePasswords(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	beginSome(t, s, u, "a", "b")
	for _, step := range []struct {
		name          string
		current, next string
		keep          string
		want          error
		open          map[string]bool
	}{
		{"from another hash than the user's", "$other", "$new", "a", errNotFound, map[string]bool{"a": true, "b": true}},
		{"from a pattern", "%", "$new", "a", errNotFound, map[string]bool{"a": true, "b": true}},
		{"by one session", "$hash", "$new", "a", nil, map[string]bool{"a": true, "b": false}},
		{"by the other, with the old hash", "$hash", "$newer", "b", errNotFound, map[string]bool{"a": true, "b": false}},
		{"by the other, which has ended", "$new", "$newer", "b", nil, map[string]bool{"a": false, "b": false}},
	} {
		err := setPassword(t.Context(), s, u.ID, step.current, step.next, inSeconds(7), step.keep)
		if !errors.Is(err, step.want) {
			t.Errorf("%s: %v; want %v", step.name, err, step.want)
		}
		checkOpen(t, s, step.name, step.open)
	}
	u.PasswordHash, u.TokensValidAfter = "$newer", inSeconds(7)
	if got, err := s.UserByKey(t.Context(), "alice"); err != nil || !reflect.DeepEqual(got, u) {
		t.Errorf("the user is %+v, %v; want %+v", got, err, u)
	}
	if err := setPassword(t.Context(), s, u.ID+1, "$newer", "$newest", testTime, ""); !errors.Is(err, errNotFound) {
		t.Errorf("nobody's: %v", err)
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
				t.Errorf("ChangePassword: %v", err)
			}
		})
		all.Wait()
		for i := range 5 {
			checkOpen(t, s, "after the change", map[string]bool{id(i): false})
		}
	}
}

func testStoreDisabled(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	beginSome(t, s, u, "a", "b")
	if err := disableUser(t.Context(), s, u.ID, inSeconds(7)); err != nil {
		t.Fatal(err)
	}
	checkOpen(t, s, "a disabled user", map[string]bool{"a": false, "b": false})
	u.Disabled, u.TokensValidAfter = true, inSeconds(7)
	if got, err := s.UserByKey(t.Context(), "alice"); err != nil || !reflect.DeepEqual(got, u) {
		t.Errorf("the user is %+v, %v; want %+v", got, err, u)
	}
	if err := s.CreateSession(t.Context(), Session{ID: "c", UserID: u.ID}, "$hash", noLimit); !errors.Is(err, errNotFound) {
		t.Errorf("a new session: %v", err)
	}
	if err := disableUser(t.Context(), s, u.ID+1, testTime); !errors.Is(err, errNotFound) {
		t.Errorf("nobody: %v", err)
	}
}

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
