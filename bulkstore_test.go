package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"testing"
)

var isUID = regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString

// testStoreBulk: many users are added at once, and those who are there stay as they are.
func testStoreBulk(t *testing.T, s store) {
	there := mustCreate(t, s, testUser("bob"))
	intruder := testUser("eve")
	intruder.UID = there.UID
	batch := []User{testUser("alice"), testUser("BOB"), intruder, testUser("carol"), testUser("Carol")}
	batch[3].Email, batch[3].FullName, batch[3].PasswordHash = nil, nil, ""
	batch[4].UID = ""
	added, err := s.AddUsers(t.Context(), batch)
	if err != nil || !slices.Equal(added, []bool{true, false, false, true, false}) {
		t.Fatalf("AddUsers = %v, %v", added, err)
	}
	users, err := allUsersOf(t.Context(), s)
	if err != nil || len(users) != 3 {
		t.Fatalf("the store has %+v, %v", users, err)
	}
	batch[0].ID, batch[3].ID = users[1].ID, users[2].ID
	if want := []User{there, batch[0], batch[3]}; !reflect.DeepEqual(users, want) {
		t.Errorf("the store has %+v; want %+v", users, want)
	}
	if added, err := s.AddUsers(t.Context(), nil); err != nil || len(added) != 0 {
		t.Errorf("nobody is added: %v, %v", added, err)
	}
	bad := testUser("frank")
	bad.FullName = new("\x00")
	if _, err := s.AddUsers(t.Context(), []User{testUser("dave"), bad}); !errors.Is(err, errUnstorable) {
		t.Errorf("a batch with a user that no store can hold: %v", err)
	}
	if _, err := s.UserByKey(t.Context(), "dave"); !errors.Is(err, errNotFound) {
		t.Errorf("one of a batch that was refused: %v", err)
	}
}

// testStoreLookup: users are found by any of many names and UIDs.
func testStoreLookup(t *testing.T, s store) {
	alice, bob := mustCreate(t, s, testUser("Alice")), mustCreate(t, s, testUser("bob"))
	mustCreate(t, s, testUser("carol"))
	many := make([]string, maxLookup)
	for i := range many {
		many[i] = fmt.Sprint("nobody", i)
	}
	many[maxLookup-1] = "alice"
	for _, tt := range []struct {
		name       string
		keys, uids []string
		want       []User
	}{
		{"nobody is asked for", nil, nil, nil},
		{"an empty name and an empty UID are nobody's", []string{""}, []string{""}, nil},
		{"the last of as many names as may be", many, nil, []User{alice}},
		{"a UID", nil, []string{bob.UID}, []User{bob}},
		{"the name and the UID of one user", []string{"bob"}, []string{bob.UID}, []User{bob}},
		{"the name of one and the UID of another", []string{"alice"}, []string{bob.UID}, []User{alice, bob}},
		{"a name is not a UID", []string{bob.UID}, []string{"alice"}, nil},
	} {
		got, err := s.UsersByKeyOrUID(t.Context(), tt.keys, tt.uids)
		slices.SortFunc(got, func(a, b User) int { return int(a.ID - b.ID) })
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
}

// testStoreEach: a loop over all users may end early, and others may write meanwhile.
func testStoreEach(t *testing.T, s store) {
	for i := range 10 {
		mustCreate(t, s, testUser(fmt.Sprint("user", i)))
	}
	for range 20 { // more often than there are connections
		for _, err := range s.Users(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	seen := 0
	for _, err := range s.Users(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 1 {
			mustCreate(t, s, testUser("late"))
		}
	}
	if seen != 10 {
		t.Errorf("%d users are there at the beginning; want 10", seen)
	}
}

// testStoreScopes: scopes change only if nobody else has changed them.
func testStoreScopes(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	change := func(from, to scopes) (User, error) {
		return s.UpdateUser(context.WithoutCancel(t.Context()), u.ID, userChange{Scopes: &to, IfScopes: &from})
	}
	if changed, err := change(u.Scopes, "write"); err != nil || changed.Scopes != "write" || changed.Username != "alice" {
		t.Errorf("changed to %+v, %v", changed, err)
	}
	if _, err := change(u.Scopes, "admin"); !errors.Is(err, errNotFound) {
		t.Errorf("a change of scopes that are others by now: %v", err)
	}
	if changed, err := change("write", ""); err != nil || changed.Scopes != "" {
		t.Errorf("taken away: %+v, %v", changed, err)
	}
	if found, err := s.UserByKey(t.Context(), "alice"); err != nil || found.Scopes != "" || found.UID != u.UID {
		t.Errorf("found %+v, %v", found, err)
	}
}

// TestUsersAreYieldedOnce: a read that fails after some users is not begun again.
func TestUsersAreYieldedOnce(t *testing.T) {
	s := mustOpen(t, newSQLite(t)).(sqlStore)
	for _, name := range []string{"a", "b", "c", "d"} {
		mustCreate(t, s, testUser(name))
	}
	failing := &failsOnce{connections: s.connections}
	s.database = &database{connections: failing, schemaDB: s.schemaDB}
	var names []string
	var failed error
	for u, err := range s.Users(t.Context()) {
		if names = append(names, u.Username); err != nil {
			failed = err
		}
	}
	if !slices.Equal(names, []string{"a", "b", ""}) || !errors.Is(failed, errUnavailable) {
		t.Errorf("yielded %q, and then %v", names, failed)
	}
}

// failsOnce fails a query at its third row with a fault that would allow another attempt.
type failsOnce struct{ connections }

var errUndone = errors.New("undone")

func (f *failsOnce) faultOf(err error) fault {
	if errors.Is(err, errUndone) {
		return faultUndone
	}
	return f.connections.faultOf(err)
}

func (f *failsOnce) queryAll(ctx context.Context, scan func(row) error, s *statement, args ...any) error {
	n := 0
	return f.connections.queryAll(ctx, func(r row) error {
		if n++; n == 3 {
			return errUndone
		}
		return scan(r)
	}, s, args...)
}
