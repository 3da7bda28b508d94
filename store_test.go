package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// everyStore opens an empty store of each kind.
var everyStore = map[string]func(testing.TB) store{
	"memory":     func(testing.TB) store { return newMemStore() },
	"SQLite":     func(t testing.TB) store { return mustOpen(t, newSQLite(t)) },
	"PostgreSQL": func(t testing.TB) store { return mustOpen(t, newPostgres(t)) },
}

func TestStores(t *testing.T) {
	t.Parallel()
	for name, open := range everyStore {
		t.Run(name, func(t *testing.T) { testStore(t, open) })
	}
}

// testStore is what every store has to pass.
func testStore(t *testing.T, open func(testing.TB) store) {
	for name, test := range map[string]func(*testing.T, store){
		"users":                             testStoreUsers,
		"names":                             testStoreNames,
		"times":                             testStoreTimes,
		"what not every store can hold":     testStoreTexts,
		"sessions":                          testStoreSessions,
		"sessions of a user":                testStoreList,
		"generations":                       testStoreGenerations,
		"one generation, 50 want the next":  testStoreRotationRace,
		"a session ends":                    testStoreEnd,
		"all sessions end":                  testStoreEnds,
		"what has ended is not kept":        testStoreKept,
		"a limit of sessions":               testStoreLimit,
		"a limit, 40 begin":                 testStoreLimitRace,
		"what has ended is deleted":         testStoreEnded,
		"an old password begins nothing":    testStorePasswordRace,
		"expiry":                            testStoreExpiry,
		"expiry of what was used again":     testStoreLaterExpiry,
		"many expiries":                     testStoreManyExpiries,
		"hashes are replaced once":          testStoreHashes,
		"no hash is lost":                   testStoreLostUpdates,
		"the history of logins":             testStoreLoginHistory,
		"old failures":                      testStoreOldFailures,
		"profiles":                          testStoreProfiles,
		"passwords":                         testStorePasswords,
		"a user who is disabled":            testStoreDisabled,
		"a user goes with their sessions":   testStoreDeletion,
		"a user goes while others log in":   testStoreDeletionRace,
		"one name, 100 want it":             testStoreRace,
		"copies":                            testStoreCopies,
		"a context that is done beforehand": testStoreCancelled,
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

func mustCreate(t testing.TB, s store, u User) User {
	t.Helper()
	created, err := s.CreateUser(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// replaceHash replaces the hash of a user, if it still is current.
func replaceHash(ctx context.Context, s userStore, userID int64, current, next string) error {
	_, err := s.UpdateUser(ctx, userID, userChange{PasswordHash: &next, IfPasswordHash: &current})
	return err
}

// setPassword is replaceHash for another password, which ends all sessions but keep.
func setPassword(ctx context.Context, s userStore, userID int64, current, next string, validAfter time.Time, keep string) error {
	_, err := s.UpdateUser(ctx, userID, userChange{PasswordHash: &next, IfPasswordHash: &current, EndSessions: &sessionsEnd{keep, validAfter}})
	return err
}

// disableUser disables a user and ends all their sessions.
func disableUser(ctx context.Context, s userStore, userID int64, validAfter time.Time) error {
	_, err := s.UpdateUser(ctx, userID, userChange{Disabled: new(true), EndSessions: &sessionsEnd{ValidAfter: validAfter}})
	return err
}

// endSessions ends all sessions of a user but keep.
func endSessions(ctx context.Context, s userStore, userID int64, validAfter time.Time, keep string) error {
	_, err := s.UpdateUser(ctx, userID, userChange{EndSessions: &sessionsEnd{keep, validAfter}})
	return err
}

// noLimit is for tests that begin as many sessions as they like.
const noLimit = math.MaxInt32

func mustBegin(t testing.TB, s store, session Session) {
	t.Helper()
	if err := s.CreateSession(t.Context(), session, "$hash", noLimit); err != nil {
		t.Fatal(err)
	}
}

func testStoreUsers(t *testing.T, s store) {
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping of an empty store: %v", err)
	}
	if _, err := s.UserByKey(t.Context(), "alice"); !errors.Is(err, errNotFound) {
		t.Errorf("a user of an empty store: %v", err)
	}
	if users, err := s.Users(t.Context()); err != nil || len(users) != 0 {
		t.Errorf("an empty store has the users %v, %v", users, err)
	}
	want := testUser("Alice")
	want.Disabled = true
	created := mustCreate(t, s, want)
	if created.ID == 0 {
		t.Error("the user has no ID")
	}
	want.ID = created.ID
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
	users, err := s.Users(t.Context())
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
			t.Errorf("%s: ReplacePasswordHash: %v", name, err)
		}
		if err := replaceHash(t.Context(), s, u.ID, bad, "$new"); !errors.Is(err, errNotFound) {
			t.Errorf("%s: ReplacePasswordHash of such a hash: %v", name, err)
		}
		if err := setPassword(t.Context(), s, u.ID, "$hash", bad, testTime, ""); !errors.Is(err, errUnstorable) {
			t.Errorf("%s: ChangePassword: %v", name, err)
		}
		if err := setPassword(t.Context(), s, u.ID, bad, "$new", testTime, ""); !errors.Is(err, errNotFound) {
			t.Errorf("%s: ChangePassword of such a hash: %v", name, err)
		}
		for field, change := range map[string]userChange{"Email": {Email: optionalText{true, &bad}}, "FullName": {FullName: optionalText{true, &bad}}} {
			if _, err := s.UpdateUser(t.Context(), u.ID, change); !errors.Is(err, errUnstorable) {
				t.Errorf("%s as %s: UpdateProfile: %v", name, field, err)
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
	if users, err := s.Users(t.Context()); err != nil || len(users) != 1 {
		t.Errorf("something was stored: %+v, %v", users, err)
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
	if users, err := s.Users(t.Context()); err != nil || !reflect.DeepEqual(users, []User{bob, again}) {
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
	users, err := s.Users(t.Context())
	if err != nil || len(won) != 1 || !reflect.DeepEqual(users, won) {
		t.Errorf("the winners are %+v; the store has %+v, %v", won, users, err)
	}
}

// testStoreCopies: what a store takes and returns is the caller's to change.
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

// testStoreCancelled: with a context that is done, nothing is done.
func testStoreCancelled(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	mustBegin(t, s, Session{ID: "s", UserID: u.ID, ExpiresAt: testTime})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := map[string]func() error{
		"CreateUser":               func() error { _, err := s.CreateUser(ctx, testUser("bob")); return err },
		"UserByKey":                func() error { _, err := s.UserByKey(ctx, "alice"); return err },
		"UserBySession":            func() error { _, _, err := s.UserBySession(ctx, "s"); return err },
		"Users":                    func() error { _, err := s.Users(ctx); return err },
		"UpdateUser, the hash":     func() error { return replaceHash(ctx, s, u.ID, u.PasswordHash, "$new") },
		"UpdateUser, the password": func() error { return setPassword(ctx, s, u.ID, u.PasswordHash, "$new", testTime, "") },
		"UpdateUser, the profile":  func() error { _, err := s.UpdateUser(ctx, u.ID, noEmail); return err },
		"UpdateUser, disabled":     func() error { return disableUser(ctx, s, u.ID, testTime) },
		"Sessions":                 func() error { _, err := s.Sessions(ctx, u.ID, testTime, 1); return err },
		"RotateSession":            func() error { return s.RotateSession(ctx, "s", 0, testTime.Add(-1), testTime) },
		"EndSession":               func() error { return s.EndSession(ctx, u.ID, "s") },
		"LoginHistory":             func() error { _, err := s.LoginHistory(ctx, "a", u.ID, "x"); return err },
		"AddFailure":               func() error { return s.AddFailure(ctx, "a", testTime, testTime) },
		"ClearFailures":            func() error { return s.ClearFailures(ctx, "a") },
		"RememberSource":           func() error { return s.RememberSource(ctx, u.ID, "x", testTime) },
		"ForgetSources":            func() error { return s.ForgetSources(ctx, u.ID, "x") },
		"DeleteOldFailures":        func() error { _, err := s.DeleteOldFailures(ctx, testTime, 1); return err },
		"UpdateUser, the sessions": func() error { return endSessions(ctx, s, u.ID, testTime, "") },
		"DeleteUser":               func() error { return s.DeleteUser(ctx, u.ID) },
		"CreateSession":            func() error { return s.CreateSession(ctx, Session{ID: "s2", UserID: u.ID}, "$hash", noLimit) },
		"DeleteExpiredSessions":    func() error { _, err := s.DeleteExpiredSessions(ctx, testTime, math.MaxInt32); return err },
		"DeleteEndedSessions":      func() error { _, err := s.DeleteEndedSessions(ctx, 1); return err },
		"Ping":                     func() error { return s.Ping(ctx) },
	}
	for method := range reflect.TypeFor[store]().Methods() {
		isIt := func(name string) bool { return strings.HasPrefix(name+",", method.Name+",") }
		if method.Name != "Close" && !slices.ContainsFunc(slices.Collect(maps.Keys(calls)), isIt) {
			t.Errorf("%s is not tested", method.Name)
		}
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	users, err := s.Users(t.Context())
	if err != nil || !reflect.DeepEqual(users, []User{u}) {
		t.Errorf("the store has %+v, %v; want %+v", users, err, u)
	}
	if _, _, err := s.UserBySession(t.Context(), "s"); err != nil {
		t.Errorf("the session: %v", err)
	}
}

// BenchmarkMemStore measures what a user takes in memory, with an address and a
// full name, and how long it takes to find one of many.
func BenchmarkMemStore(b *testing.B) {
	for _, users := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(users, " users"), func(b *testing.B) {
			before := liveBytes()
			s := newMemStore()
			hash := newHasher(1).hashPassword(goodPassword)
			for i := range users {
				u := testUser(fmt.Sprint("user", i))
				u.PasswordHash = strings.Clone(hash)
				mustCreate(b, s, u)
			}
			size := liveBytes() - before
			for i := range users {
				begun := Session{ID: fmt.Sprint(i), UserID: int64(i + 1), ExpiresAt: testTime.Add(time.Duration(i) * time.Second)}
				if err := s.CreateSession(b.Context(), begun, hash, noLimit); err != nil {
					b.Fatal(err)
				}
			}
			i := 0
			for b.Loop() {
				i = (i + 7919) % users
				if _, _, err := s.UserBySession(b.Context(), fmt.Sprint(i)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(size)/float64(users), "B/user")
		})
	}
}

// liveBytes returns the size of what is in use on the heap.
func liveBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
