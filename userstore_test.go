package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func testStoreUsers(t *testing.T, s store) {
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping of an empty store: %v", err)
	}
	if _, err := s.UserByKey(t.Context(), "alice"); !errors.Is(err, errNotFound) {
		t.Errorf("a user of an empty store: %v", err)
	}
	if users, err := allUsersOf(t.Context(), s); err != nil || len(users) != 0 {
		t.Errorf("an empty store has the users %v, %v", users, err)
	}
	want := testUser("Alice")
	want.Disabled = true
	created := mustCreate(t, s, want)
	if created.ID == 0 {
		t.Error("the user has no ID")
	}
	want.ID = created.ID
	if other := mustCreate(t, s, User{Username: "mallory", Key: "mallory"}); !isUID(other.UID) || other.UID == created.UID {
		t.Errorf("a user without a UID gets %q", other.UID)
	} else if err := s.DeleteUser(t.Context(), other.ID); err != nil {
		t.Fatal(err)
	}
	got, err := s.UserByKey(t.Context(), "alice")
	if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(created, want) {
		t.Errorf("created %+v, found %+v, %v; want %+v", created, got, err, want)
	}
	if _, err := s.UserByKey(t.Context(), "Alice"); !errors.Is(err, errNotFound) {
		t.Errorf("a name that is no key: %v", err)
	}
	bare := mustCreate(t, s, User{Username: "bob", Key: "bob"})
	if bare.ID == created.ID {
		t.Error("two users have one ID")
	}
	empty := ""
	blank := mustCreate(t, s, User{Username: "carol", Key: "carol", Email: &empty, FullName: &empty})
	users, err := allUsersOf(t.Context(), s)
	if err != nil || !reflect.DeepEqual(users, []User{created, bare, blank}) {
		t.Errorf("Users = %+v, %v", users, err)
	}
	if users[1].Email != nil || users[1].FullName != nil || *users[2].Email != "" || *users[2].FullName != "" {
		t.Errorf("null and empty texts are mixed up: %+v", users[1:])
	}
}

// testStoreNames: names are unique by their key, and shown as registered.
func testStoreNames(t *testing.T, s store) {
	for _, tt := range []struct {
		name  string
		taken bool
	}{
		{"Alice", false},
		{"Alice", true},
		{"ALICE", true},
		{"Ａｌｉｃｅ", true},
		{"alice ", false}, // no name, but another key
		{"Straße", false},
		{"STRASSE", true},
		{"cafe\u0301", false},
		{"CAFÉ", true},
		{"cafe", false},
		{"-1", false},
		{"' OR 1=1 --", false},
		{"$1", false},
		{"%", false},
		{"_", false},
		{"NULL", false},
		{"🔑🗝️", false},
		{strings.Repeat("é", 150), false},
		{strings.Repeat("𝒜", 150) + "x", false}, // 150 letters and one more, as a key
		{strings.Repeat("\U0002F9F4", 150), false},
		{strings.Repeat("x", maxUsernameKey), false},
	} {
		created, err := s.CreateUser(t.Context(), testUser(tt.name))
		if tt.taken {
			if !errors.Is(err, errExists) {
				t.Errorf("%q, which is taken: %v", tt.name, err)
			}
			continue
		}
		found, err2 := s.UserByKey(t.Context(), usernameKey(tt.name))
		if err != nil || err2 != nil || found.ID != created.ID || found.Username != tt.name {
			t.Errorf("%q: created %+v, %v; found %+v, %v", tt.name, created, err, found, err2)
		}
	}
	longest := strings.Repeat("long ", 12<<10)
	u := testUser("verbose")
	u.FullName = &longest
	mustCreate(t, s, u)
	if got, err := s.UserByKey(t.Context(), "verbose"); err != nil || *got.FullName != longest {
		t.Errorf("a full name of 60 KiB: %v", err)
	}
}

// testStoreTimes: times come back in UTC, to the microsecond, and the zero time as
// such.
func testStoreTimes(t *testing.T, s store) {
	newYork, now := time.FixedZone("New York", -4*60*60), time.Now()
	for i, tt := range []struct {
		name     string
		in, want time.Time
	}{
		{"the zero time", time.Time{}, time.Time{}},
		{"the epoch", time.Unix(0, 0), time.Unix(0, 0).UTC()},
		{"just before the epoch", time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC)},
		{"another zone", time.Date(2026, 10, 25, 1, 30, 0, 123_456_789, newYork), time.Date(2026, 10, 25, 5, 30, 0, 123_456_000, time.UTC)},
		{"beyond 31 bits", time.Date(2038, 1, 19, 3, 14, 8, 1000, time.UTC), time.Date(2038, 1, 19, 3, 14, 8, 1000, time.UTC)},
		{"beyond 32 bits", time.Date(2106, 2, 7, 6, 28, 16, 0, time.Local), time.Date(2106, 2, 7, 6, 28, 16, 0, time.Local).UTC()},
		{"the last of the year 9999", time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)},
		{"a monotonic reading, which must not come back", now, now.UTC().Truncate(time.Microsecond)},
	} {
		u := testUser(fmt.Sprint("user", i))
		u.CreatedAt, u.TokensValidAfter = tt.in, tt.in
		created := mustCreate(t, s, u)
		id := fmt.Sprint("session", i)
		mustBegin(t, s, Session{ID: id, UserID: created.ID, CreatedAt: tt.in, ExpiresAt: tt.in})
		got, session, err := s.UserBySession(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for what, at := range map[string]time.Time{
			"created as returned": created.CreatedAt, "created": got.CreatedAt, "tokens valid": got.TokensValidAfter,
			"begun": session.CreatedAt, "expires": session.ExpiresAt,
		} {
			if at != tt.want {
				t.Errorf("%s: %s comes back as %#v; want %#v", tt.name, what, at, tt.want)
			}
		}
	}
}

// testStoreTexts: what a store cannot hold is refused when it comes, and not found.
func testStoreTexts(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	for name, bad := range map[string]string{
		"NUL": "a\x00b", "invalid UTF-8": "a\xff", "a lone surrogate": "\xed\xa0\x80", "Latin-1": "caf\xe9",
	} {
		for field, spoil := range map[string]func(*User){
			"Username":     func(u *User) { u.Username = bad },
			"Key":          func(u *User) { u.Key = bad },
			"Email":        func(u *User) { u.Email = &bad },
			"FullName":     func(u *User) { u.FullName = &bad },
			"PasswordHash": func(u *User) { u.PasswordHash = bad },
		} {
			bob := testUser("bob")
			spoil(&bob)
			if _, err := s.CreateUser(t.Context(), bob); !errors.Is(err, errUnstorable) {
				t.Errorf("%s as %s: CreateUser: %v", name, field, err)
			}
		}
		for field, session := range map[string]Session{
			"ID": {ID: bad, UserID: u.ID}, "IP": {ID: "s", UserID: u.ID, IP: bad}, "UserAgent": {ID: "s", UserID: u.ID, UserAgent: bad},
		} {
			if err := s.CreateSession(t.Context(), session, "$hash", noLimit); !errors.Is(err, errUnstorable) {
				t.Errorf("%s as %s: CreateSession: %v", name, field, err)
			}
		}
		if _, err := s.UserByKey(t.Context(), bad); !errors.Is(err, errNotFound) {
			t.Errorf("%s: UserByKey: %v", name, err)
		}
		if _, _, err := s.UserBySession(t.Context(), bad); !errors.Is(err, errNotFound) {
			t.Errorf("%s: UserBySession: %v", name, err)
		}
		if err := replaceHash(t.Context(), s, u.ID, "$hash", bad); !errors.Is(err, errUnstorable) {
			t.Errorf("%s: another hash: %v", name, err)
		}
		if err := replaceHash(t.Context(), s, u.ID, bad, "$new"); !errors.Is(err, errNotFound) {
			t.Errorf("%s: a hash in place of such a one: %v", name, err)
		}
		if err := setPassword(t.Context(), s, u.ID, "$hash", bad, testTime, ""); !errors.Is(err, errUnstorable) {
			t.Errorf("%s: another password: %v", name, err)
		}
		if err := setPassword(t.Context(), s, u.ID, bad, "$new", testTime, ""); !errors.Is(err, errNotFound) {
			t.Errorf("%s: a password in place of such a one: %v", name, err)
		}
		for field, change := range map[string]userChange{"Email": {Email: optionalText{true, &bad}}, "FullName": {FullName: optionalText{true, &bad}}} {
			if _, err := s.UpdateUser(t.Context(), u.ID, change); !errors.Is(err, errUnstorable) {
				t.Errorf("%s as %s: a profile: %v", name, field, err)
			}
		}
		if err := s.RotateSession(t.Context(), bad, 0, testTime, testTime); !errors.Is(err, errNotFound) {
			t.Errorf("%s: RotateSession: %v", name, err)
		}
		if err := s.EndSession(t.Context(), u.ID, bad); !errors.Is(err, errNotFound) {
			t.Errorf("%s: EndSession: %v", name, err)
		}
	}
	for _, size := range []int{maxUsernameKey + 1, 3000, 60_000} {
		name := strings.Repeat("x", size)
		if _, err := s.CreateUser(t.Context(), testUser(name)); !errors.Is(err, errUnstorable) {
			t.Errorf("a name of %d bytes: %v", size, err)
		}
		if _, err := s.UserByKey(t.Context(), name); !errors.Is(err, errNotFound) {
			t.Errorf("a look-up of %d bytes: %v", size, err)
		}
	}
	if users, err := allUsersOf(t.Context(), s); err != nil || len(users) != 1 {
		t.Errorf("something was stored: %+v, %v", users, err)
	}
}

func testStoreHashes(t *testing.T, s store) {
	other := mustCreate(t, s, testUser("bob"))
	u := mustCreate(t, s, testUser("alice"))
	for _, step := range []struct {
		name          string
		id            int64
		current, next string
		want          error
	}{
		{"another hash than the user's", u.ID, "$other", "$new", errNotFound},
		{"no hash", u.ID, "", "$new", errNotFound},
		{"a pattern", u.ID, "%", "$new", errNotFound},
		{"the hash in other letters", u.ID, "$HASH", "$new", errNotFound},
		{"no user", u.ID + 1, "$hash", "$new", errNotFound},
		{"the user's hash", u.ID, "$hash", "$new", nil},
		{"the one before", u.ID, "$hash", "$again", errNotFound},
		{"the new one", u.ID, "$new", "$newer", nil},
		{"the same again", u.ID, "$newer", "$newer", nil},
	} {
		if err := replaceHash(t.Context(), s, step.id, step.current, step.next); !errors.Is(err, step.want) {
			t.Errorf("%s: %v; want %v", step.name, err, step.want)
		}
	}
	u.PasswordHash = "$newer"
	if got, err := s.UserByKey(t.Context(), "alice"); err != nil || !reflect.DeepEqual(got, u) {
		t.Errorf("the user is %+v, %v; want %+v", got, err, u)
	}
	if got, err := s.UserByKey(t.Context(), "bob"); err != nil || !reflect.DeepEqual(got, other) {
		t.Errorf("the other user is %+v, %v; want %+v", got, err, other)
	}
}

// testStoreLostUpdates: of those that replace one hash at the same time, one has
// done it, and knows.
func testStoreLostUpdates(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	current := u.PasswordHash
	for round := range 10 {
		var winner atomic.Pointer[string]
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				next := fmt.Sprintf("$%d/%d", round, i)
				switch err := replaceHash(t.Context(), s, u.ID, current, next); {
				case err == nil && winner.Swap(&next) != nil:
					t.Error("a second winner")
				case err != nil && !errors.Is(err, errNotFound):
					t.Errorf("a loser: %v", err)
				}
			})
		}
		all.Wait()
		got, err := s.UserByKey(t.Context(), "alice")
		if winner.Load() == nil || err != nil || got.PasswordHash != *winner.Load() {
			t.Fatalf("the store has %q, %v; want that of the winner", got.PasswordHash, err)
		}
		current = got.PasswordHash
	}
}

func testStoreDeletion(t *testing.T, s store) {
	bob := mustCreate(t, s, testUser("bob"))
	u := mustCreate(t, s, testUser("alice"))
	mustBegin(t, s, Session{ID: "alice's", UserID: u.ID, ExpiresAt: testTime})
	mustBegin(t, s, Session{ID: "bob's", UserID: bob.ID, ExpiresAt: testTime})
	if err := s.DeleteUser(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteUser(t.Context(), u.ID); !errors.Is(err, errNotFound) {
		t.Errorf("deleting nobody: %v", err)
	}
	if _, err := s.UserByKey(t.Context(), "alice"); !errors.Is(err, errNotFound) {
		t.Errorf("the deleted user: %v", err)
	}
	if _, _, err := s.UserBySession(t.Context(), "alice's"); !errors.Is(err, errNotFound) {
		t.Errorf("a session of the deleted user: %v", err)
	}
	if err := s.CreateSession(t.Context(), Session{ID: "new", UserID: u.ID}, "$hash", noLimit); !errors.Is(err, errNotFound) {
		t.Errorf("a new session of the deleted user: %v", err)
	}
	if err := replaceHash(t.Context(), s, u.ID, "$hash", "$new"); !errors.Is(err, errNotFound) {
		t.Errorf("a new hash for the deleted user: %v", err)
	}
	if got, _, err := s.UserBySession(t.Context(), "bob's"); err != nil || got.ID != bob.ID {
		t.Errorf("the session of another user: %+v, %v", got, err)
	}
	again := mustCreate(t, s, testUser("alice"))
	if again.ID == u.ID {
		t.Error("whoever takes the name gets the ID of the deleted user")
	}
	if _, _, err := s.UserBySession(t.Context(), "alice's"); !errors.Is(err, errNotFound) {
		t.Errorf("a session of the deleted user, after the name was taken again: %v", err)
	}
	if users, err := allUsersOf(t.Context(), s); err != nil || !reflect.DeepEqual(users, []User{bob, again}) {
		t.Errorf("Users = %+v, %v", users, err)
	}
}

// testStoreDeletionRace: a session that begins while its user is deleted is either
// refused or gone with the user.
func testStoreDeletionRace(t *testing.T, s store) {
	for round := range 20 {
		u := mustCreate(t, s, testUser("alice"))
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				err := s.CreateSession(t.Context(), Session{ID: fmt.Sprint(round, "/", i), UserID: u.ID}, "$hash", noLimit)
				if err != nil && !errors.Is(err, errNotFound) {
					t.Errorf("CreateSession: %v", err)
				}
			})
		}
		all.Go(func() {
			if err := s.DeleteUser(t.Context(), u.ID); err != nil {
				t.Errorf("DeleteUser: %v", err)
			}
		})
		all.Wait()
		for i := range 5 {
			if _, _, err := s.UserBySession(t.Context(), fmt.Sprint(round, "/", i)); !errors.Is(err, errNotFound) {
				t.Errorf("a session outlives its user: %v", err)
			}
		}
	}
}

func testStoreRace(t *testing.T, s store) {
	var mu sync.Mutex
	var won []User
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			u := testUser([]string{"alice", "ALICE", "Ａｌｉｃｅ"}[i%3])
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
	users, err := allUsersOf(t.Context(), s)
	if err != nil || len(won) != 1 || !reflect.DeepEqual(users, won) {
		t.Errorf("the winners are %+v; the store has %+v, %v", won, users, err)
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
