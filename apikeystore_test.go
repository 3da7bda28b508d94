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

// keyLimit is how many API keys a user may have in these tests.
const keyLimit = 50

// testAPIKey returns an API key of a user that was made at testTime.
func testAPIKey(id string, owner User) APIKey {
	return APIKey{
		ID: id, UserID: owner.ID, Name: "Backups", Hash: []byte{0, 0xff, '\'', '\\'}, Scopes: "read write:all",
		CreatedAt: inSeconds(0), ExpiresAt: inSeconds(60),
	}
}

func mustAddAPIKey(t testing.TB, s store, k APIKey) APIKey {
	t.Helper()
	if err := s.CreateAPIKey(t.Context(), k, keyLimit); err != nil {
		t.Fatal(err)
	}
	return k
}

// apiKeyIDs returns the IDs of the keys that APIKeys returns.
func apiKeyIDs(t testing.TB, s store, u User, now time.Time) []string {
	t.Helper()
	keys, err := s.APIKeys(t.Context(), u.ID, now)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

// checkStoredKey reports a key that the store does not return as it should.
func checkStoredKey(t testing.TB, s store, what string, owner User, want APIKey) {
	t.Helper()
	u, got, err := s.UserByAPIKey(t.Context(), want.ID)
	if err != nil || !reflect.DeepEqual(u, owner) || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: UserByAPIKey = %+v, %+v, %v; want %+v", what, u, got, err, want)
	}
}

// testStoreAPIKeys: keys come back as they were made, with their owner.
func testStoreAPIKeys(t *testing.T, s store) {
	bob, alice := mustCreate(t, s, testUser("bob")), mustCreate(t, s, testUser("alice"))
	full := mustAddAPIKey(t, s, testAPIKey("B", alice))
	bare := mustAddAPIKey(t, s, APIKey{ID: "A", UserID: alice.ID, CreatedAt: inSeconds(-1)})
	used := testAPIKey("C", alice)
	used.LastUsedAt = inSeconds(9)
	mustAddAPIKey(t, s, used)
	bobs := mustAddAPIKey(t, s, testAPIKey("D", bob))
	for what, k := range map[string]APIKey{"with everything": full, "that never expires and can do nothing": bare, "that was used": used} {
		checkStoredKey(t, s, "a key "+what, alice, k)
	}
	checkStoredKey(t, s, "a key of another user", bob, bobs)
	for _, id := range []string{"", "b", "E", "\x00", "\xff"} {
		if _, _, err := s.UserByAPIKey(t.Context(), id); !errors.Is(err, errNotFound) {
			t.Errorf("the ID %q: %v", id, err)
		}
	}
	keys, err := s.APIKeys(t.Context(), alice.ID, inSeconds(59))
	if err != nil || !reflect.DeepEqual(keys, []APIKey{bare, full, used}) {
		t.Errorf("APIKeys = %+v, %v; want the oldest first, and then by ID", keys, err)
	}
	if ids := apiKeyIDs(t, s, alice, inSeconds(60)); !slices.Equal(ids, []string{"A"}) {
		t.Errorf("when two have expired the list is %q", ids)
	}
	checkStoredKey(t, s, "when it has expired", alice, full)
	nobody := User{ID: alice.ID + bob.ID}
	if ids := apiKeyIDs(t, s, nobody, inSeconds(0)); len(ids) != 0 {
		t.Errorf("nobody has %q", ids)
	}
}

// testStoreAPIKeyRefusals: what is refused leaves the keys as they are.
func testStoreAPIKeyRefusals(t *testing.T, s store) {
	bob, alice := mustCreate(t, s, testUser("bob")), mustCreate(t, s, testUser("alice"))
	kept := mustAddAPIKey(t, s, testAPIKey("A", alice))
	locked := mustCreate(t, s, testUser("locked"))
	if err := disableUser(t.Context(), s, locked.ID, testTime); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*APIKey)) APIKey {
		k := testAPIKey("B", alice)
		change(&k)
		return k
	}
	for _, tt := range []struct {
		name string
		k    APIKey
		want error
	}{
		{"an ID that is taken", with(func(k *APIKey) { k.ID = "A" }), errExists},
		{"an ID that another user has taken", testAPIKey("A", bob), errExists},
		{"nobody's key", with(func(k *APIKey) { k.UserID = 999 }), errNotFound},
		{"the key of a disabled user", testAPIKey("B", locked), errNotFound},
		{"an ID with a NUL", with(func(k *APIKey) { k.ID = "\x00" }), errUnstorable},
		{"a name with a NUL", with(func(k *APIKey) { k.Name = "a\x00" }), errUnstorable},
		{"a name that is not UTF-8", with(func(k *APIKey) { k.Name = "\xff" }), errUnstorable},
		{"scopes with a NUL", with(func(k *APIKey) { k.Scopes = "\x00" }), errUnstorable},
		{"none of these", with(func(*APIKey) {}), nil},
	} {
		if err := s.CreateAPIKey(t.Context(), tt.k, keyLimit); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v; want %v", tt.name, err, tt.want)
		}
	}
	checkStoredKey(t, s, "the first", alice, kept)
	for u, want := range map[*User][]string{&alice: {"A", "B"}, &bob: nil, &locked: nil} {
		if ids := apiKeyIDs(t, s, *u, testTime); !slices.Equal(ids, want) {
			t.Errorf("%s has %q; want %q", u.Username, ids, want)
		}
	}
}

// testStoreAPIKeyUse: the last use never goes back, even if an older one is written later.
func testStoreAPIKeyUse(t *testing.T, s store) {
	alice := mustCreate(t, s, testUser("alice"))
	k, other := mustAddAPIKey(t, s, testAPIKey("A", alice)), mustAddAPIKey(t, s, testAPIKey("B", alice))
	for _, step := range []struct{ at, want int }{{5, 5}, {3, 5}, {5, 5}, {9, 9}, {99, 99}} { // the last after it has expired
		if err := s.UseAPIKey(t.Context(), "A", inSeconds(step.at).Add(time.Nanosecond)); err != nil {
			t.Errorf("a use at %d: %v", step.at, err)
		}
		k.LastUsedAt = inSeconds(step.want)
		checkStoredKey(t, s, fmt.Sprint("after a use at ", step.at), alice, k)
	}
	checkStoredKey(t, s, "another key", alice, other)
	for _, id := range []string{"", "a", "C", "\x00"} {
		if err := s.UseAPIKey(t.Context(), id, testTime); !errors.Is(err, errNotFound) {
			t.Errorf("the use of %q: %v", id, err)
		}
	}
}

// testStoreAPIKeyEnd: users delete keys of their own, one by one or all.
func testStoreAPIKeyEnd(t *testing.T, s store) {
	bob, alice := mustCreate(t, s, testUser("bob")), mustCreate(t, s, testUser("alice"))
	mustAddAPIKey(t, s, testAPIKey("D", bob))
	for _, id := range []string{"A", "B", "C"} {
		mustAddAPIKey(t, s, testAPIKey(id, alice))
	}
	for _, step := range []struct {
		name string
		user User
		id   string
		want error
		left []string // of alice
	}{
		{"somebody else's", bob, "A", errNotFound, []string{"A", "B", "C"}},
		{"one that is not there", alice, "E", errNotFound, []string{"A", "B", "C"}},
		{"without an ID", alice, "", errNotFound, []string{"A", "B", "C"}},
		{"a NUL", alice, "\x00", errNotFound, []string{"A", "B", "C"}},
		{"one's own", alice, "B", nil, []string{"A", "C"}},
		{"the same again", alice, "B", errNotFound, []string{"A", "C"}},
	} {
		if err := s.DeleteAPIKey(t.Context(), step.user.ID, step.id); !errors.Is(err, step.want) {
			t.Errorf("%s: %v; want %v", step.name, err, step.want)
		}
		if left := apiKeyIDs(t, s, alice, testTime); !slices.Equal(left, step.left) {
			t.Errorf("%s: %q are left; want %q", step.name, left, step.left)
		}
	}
	for _, want := range []int{2, 0} {
		if n, err := s.DeleteAPIKeys(t.Context(), alice.ID); err != nil || n != want {
			t.Errorf("DeleteAPIKeys = %d, %v; want %d", n, err, want)
		}
	}
	for id, want := range map[string]error{"A": errNotFound, "B": errNotFound, "C": errNotFound, "D": nil} {
		if _, _, err := s.UserByAPIKey(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", id, err, want)
		}
	}
	mustAddAPIKey(t, s, testAPIKey("B", bob)) // an ID that is free again
}

// testStoreAPIKeyLimit: a user can have only a limited number of unexpired keys.
func testStoreAPIKeyLimit(t *testing.T, s store) {
	bob, alice := mustCreate(t, s, testUser("bob")), mustCreate(t, s, testUser("alice"))
	add := func(id string, owner User, at int) error {
		k := testAPIKey(id, owner)
		k.CreatedAt = inSeconds(at)
		k.ExpiresAt = inSeconds(at + 60)
		return s.CreateAPIKey(t.Context(), k, 3)
	}
	mustAddAPIKey(t, s, APIKey{ID: "for ever", UserID: alice.ID, CreatedAt: testTime})
	for _, step := range []struct {
		id   string
		user User
		at   int
		want error
	}{
		{"second", alice, 1, nil}, {"third", alice, 2, nil}, {"fourth", alice, 3, errTooMany},
		{"for ever", alice, 3, errExists}, // which says more than that there are too many
		{"bob's", bob, 3, nil},
		{"before the second expires", alice, 60, errTooMany},
		{"when it expires", alice, 61, nil},
		{"one too many", alice, 61, errTooMany},
	} {
		if err := add(step.id, step.user, step.at); !errors.Is(err, step.want) {
			t.Errorf("%s: %v; want %v", step.id, err, step.want)
		}
	}
	if ids := apiKeyIDs(t, s, alice, inSeconds(61)); !slices.Equal(ids, []string{"for ever", "third", "when it expires"}) {
		t.Errorf("the keys are %q", ids)
	}
	if err := s.DeleteAPIKey(t.Context(), alice.ID, "for ever"); err != nil {
		t.Fatal(err)
	}
	if err := add("in the place of what was deleted", alice, 61); err != nil {
		t.Error(err)
	}
	if err := s.CreateAPIKey(t.Context(), testAPIKey("none", bob), 0); !errors.Is(err, errTooMany) {
		t.Errorf("at most none: %v", err)
	}
}

// testStoreAPIKeyRace: of many who add keys at the same time as many succeed as there is room for.
func testStoreAPIKeyRace(t *testing.T, s store) {
	for _, there := range []int{keyLimit - 1, 0} {
		u := mustCreate(t, s, testUser(fmt.Sprint("user", there)))
		for i := range there {
			mustAddAPIKey(t, s, testAPIKey(fmt.Sprint(u.ID, "/", i), u))
		}
		var added atomic.Int32
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				err := s.CreateAPIKey(t.Context(), testAPIKey(fmt.Sprint(u.ID, "/new", i), u), keyLimit)
				if err == nil {
					added.Add(1)
				} else if !errors.Is(err, errTooMany) {
					t.Errorf("a loser: %v", err)
				}
			})
		}
		all.Wait()
		if ids := apiKeyIDs(t, s, u, testTime); int(added.Load()) != keyLimit-there || len(ids) != keyLimit {
			t.Errorf("with %d keys %d more were added, and there are %d; want %d", there, added.Load(), len(ids), keyLimit)
		}
	}
}

// testStoreAPIKeyExpiry: what has expired is deleted, in batches, and nothing that has not.
func testStoreAPIKeyExpiry(t *testing.T, s store) {
	alice, bob := mustCreate(t, s, testUser("alice")), mustCreate(t, s, testUser("bob"))
	for i := range 6 {
		k := testAPIKey(fmt.Sprint(i), []User{alice, alice, bob}[i%3])
		k.CreatedAt, k.ExpiresAt = inSeconds(-1), inSeconds(i)
		mustAddAPIKey(t, s, k)
	}
	mustAddAPIKey(t, s, APIKey{ID: "for ever", UserID: alice.ID, CreatedAt: inSeconds(-1)})
	for _, step := range []struct{ seconds, limit, want int }{
		{-1, 9, 0}, {0, 9, 1}, {0, 9, 0}, {3, 2, 2}, {3, 2, 1}, {3, 2, 0}, {99, 9, 2}, {99, 9, 0},
	} {
		n, err := s.DeleteExpiredAPIKeys(t.Context(), inSeconds(step.seconds), step.limit)
		if n != step.want || err != nil {
			t.Errorf("after %d s, at most %d: %d, %v; want %d", step.seconds, step.limit, n, err, step.want)
		}
	}
	if ids := apiKeyIDs(t, s, alice, inSeconds(-1)); !slices.Equal(ids, []string{"for ever"}) {
		t.Errorf("%q are left", ids)
	}
}

// testStoreAPIKeyOwner: keys go with their owner, and stay when the owner is disabled.
func testStoreAPIKeyOwner(t *testing.T, s store) {
	bob, alice := mustCreate(t, s, testUser("bob")), mustCreate(t, s, testUser("alice"))
	mustAddAPIKey(t, s, testAPIKey("A", alice))
	bobs := mustAddAPIKey(t, s, testAPIKey("B", bob))
	if err := disableUser(t.Context(), s, alice.ID, testTime); err != nil {
		t.Fatal(err)
	}
	if u, _, err := s.UserByAPIKey(t.Context(), "A"); err != nil || !u.Disabled {
		t.Errorf("the key of a disabled user: %+v, %v", u, err)
	}
	if err := s.DeleteUser(t.Context(), alice.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.UserByAPIKey(t.Context(), "A"); !errors.Is(err, errNotFound) {
		t.Errorf("the key of a user who is gone: %v", err)
	}
	if err := s.UseAPIKey(t.Context(), "A", testTime); !errors.Is(err, errNotFound) {
		t.Errorf("its use: %v", err)
	}
	checkStoredKey(t, s, "another user's", bob, bobs)
	mustAddAPIKey(t, s, testAPIKey("A", bob))
}

// testStoreAPIKeyDeletionRace: a user who goes while keys are added leaves none.
func testStoreAPIKeyDeletionRace(t *testing.T, s store) {
	for round := range 10 {
		u := mustCreate(t, s, testUser("alice"))
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				err := s.CreateAPIKey(t.Context(), testAPIKey(fmt.Sprint(round, "/", i), u), keyLimit)
				if err != nil && !errors.Is(err, errNotFound) {
					t.Errorf("CreateAPIKey: %v", err)
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
			if _, _, err := s.UserByAPIKey(t.Context(), fmt.Sprint(round, "/", i)); !errors.Is(err, errNotFound) {
				t.Errorf("a key is left: %v", err)
			}
		}
	}
}

// testStoreAPIKeyCopies: a key that was given or taken is the caller's to change.
func testStoreAPIKeyCopies(t *testing.T, s store) {
	alice := mustCreate(t, s, testUser("alice"))
	k := mustAddAPIKey(t, s, testAPIKey("A", alice))
	k.Hash[0] = 1
	list, err := s.APIKeys(t.Context(), alice.ID, testTime)
	if err != nil {
		t.Fatal(err)
	}
	list[0].Hash[1] = 1
	_, got, err := s.UserByAPIKey(t.Context(), "A")
	if err != nil {
		t.Fatal(err)
	}
	got.Hash[2] = 1
	checkStoredKey(t, s, "after changes of copies", alice, testAPIKey("A", alice))
}
