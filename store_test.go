package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"reflect"
	"runtime"
	"strings"
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
		"many users at once":                testStoreBulk,
		"many names and UIDs":               testStoreLookup,
		"user by user":                      testStoreEach,
		"scopes":                            testStoreScopes,
		"events":                            testStoreEvents,
		"events that cannot be stored":      testStoreEventTexts,
		"events, 8 add some":                testStoreEventRace,
		"old events":                        testStoreOldEvents,
		"signing keys":                      testStoreSigningKeys,
		"one generation, 20 add it":         testStoreSigningKeyRace,
		"copies of signing keys":            testStoreSigningKeyCopies,
		"API keys":                          testStoreAPIKeys,
		"API keys that are refused":         testStoreAPIKeyRefusals,
		"API keys that are used":            testStoreAPIKeyUse,
		"API keys that are deleted":         testStoreAPIKeyEnd,
		"a limit of API keys":               testStoreAPIKeyLimit,
		"a limit, 100 add API keys":         testStoreAPIKeyRace,
		"API keys that expire":              testStoreAPIKeyExpiry,
		"API keys go with their owner":      testStoreAPIKeyOwner,
		"a user goes, 5 add API keys":       testStoreAPIKeyDeletionRace,
		"copies of API keys":                testStoreAPIKeyCopies,
		"scopes that a login asks for":      testStoreAsked,
		"users who are looked for":          testStoreFind,
		"texts that have changed":           testStoreFindChanged,
		"page by page":                      testStoreFindPages,
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
		UID: newUID(), Scopes: "admin read:all", CreatedAt: testTime.UTC(), TokensValidAfter: testTime.UTC(),
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

// allUsersOf returns the users that Users yields.
func allUsersOf(ctx context.Context, s userStore) ([]User, error) {
	var users []User
	for u, err := range s.Users(ctx) {
		if err != nil {
			return users, err
		}
		users = append(users, u)
	}
	return users, nil
}

// firstError returns the first error of a loop, which must end with it.
func firstError(users iter.Seq2[User, error]) (first error) {
	for _, err := range users {
		if first != nil {
			return errors.New("the loop goes on after " + first.Error())
		}
		first = err
	}
	return first
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
	k := mustAddAPIKey(t, s, testAPIKey("K", u))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := map[string]func() error{
		"CreateUser":               func() error { _, err := s.CreateUser(ctx, testUser("bob")); return err },
		"UserByKey":                func() error { _, err := s.UserByKey(ctx, "alice"); return err },
		"UserBySession":            func() error { _, _, err := s.UserBySession(ctx, "s"); return err },
		"AddUsers":                 func() error { _, err := s.AddUsers(ctx, []User{testUser("bob")}); return err },
		"UsersByKeyOrUID":          func() error { _, err := s.UsersByKeyOrUID(ctx, []string{"alice"}, nil); return err },
		"Users":                    func() error { return firstError(s.Users(ctx)) },
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
		"FindUsers":                func() error { _, err := s.FindUsers(ctx, userQuery{}, 1); return err },
		"FoldUsers":                func() error { _, err := s.FoldUsers(ctx, 1); return err },
		"AddEvents":                func() error { return s.AddEvents(ctx, []Event{{Name: "user_updated"}}) },
		"Events":                   func() error { _, err := s.Events(ctx, eventQuery{}, 1); return err },
		"UserEvents":               func() error { _, err := s.UserEvents(ctx, u.UID, 1); return err },
		"DeleteOldEvents":          func() error { _, err := s.DeleteOldEvents(ctx, testTime, 1); return err },
		"SigningKeys":              func() error { _, err := s.SigningKeys(ctx); return err },
		"AddSigningKey":            func() error { return s.AddSigningKey(ctx, SigningKey{Number: 1}) },
		"DeleteSigningKey":         func() error { return s.DeleteSigningKey(ctx, 1) },
		"CreateAPIKey":             func() error { return s.CreateAPIKey(ctx, testAPIKey("L", u), keyLimit) },
		"UserByAPIKey":             func() error { _, _, err := s.UserByAPIKey(ctx, "K"); return err },
		"APIKeys":                  func() error { _, err := s.APIKeys(ctx, u.ID, testTime); return err },
		"UseAPIKey":                func() error { return s.UseAPIKey(ctx, "K", testTime) },
		"DeleteAPIKey":             func() error { return s.DeleteAPIKey(ctx, u.ID, "K") },
		"DeleteAPIKeys":            func() error { _, err := s.DeleteAPIKeys(ctx, u.ID); return err },
		"DeleteExpiredAPIKeys":     func() error { _, err := s.DeleteExpiredAPIKeys(ctx, inSeconds(999), 1); return err },
		"Ping":                     func() error { return s.Ping(ctx) },
	}
	called := map[string]bool{"Close": true}
	for name := range calls {
		method, _, _ := strings.Cut(name, ",")
		called[method] = true
	}
	methods := make(map[string]bool)
	for method := range reflect.TypeFor[store]().Methods() {
		methods[method.Name] = true
	}
	if !maps.Equal(called, methods) {
		t.Errorf("the methods %v are tested; want those of a store, %v", called, methods)
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	users, err := allUsersOf(t.Context(), s)
	if err != nil || !reflect.DeepEqual(users, []User{u}) {
		t.Errorf("the store has %+v, %v; want %+v", users, err, u)
	}
	if _, _, err := s.UserBySession(t.Context(), "s"); err != nil {
		t.Errorf("the session: %v", err)
	}
	checkStoredKey(t, s, "the API key", u, k)
	if keys := signingKeysOf(t, s); len(keys) != 0 {
		t.Errorf("the ring is %+v; want none", keys)
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
