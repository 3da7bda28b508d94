package main

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// inOneBatch calls ask n times, in this order, while a lane is busy. The lane then carries out all of
// them together.
func inOneBatch(t testing.TB, l *lane, n int, ask func(i int)) {
	t.Helper()
	inOneBatchWhile(t, l, n, ask, func() {})
}

// inOneBatchWhile is inOneBatch. It calls meanwhile when the batch has begun.
func inOneBatchWhile(t testing.TB, l *lane, n int, ask func(i int), meanwhile func()) {
	t.Helper()
	if l.patience == lanePatience { // a busy machine may be slower
		l.patience = time.Minute
	}
	deadline := time.Now().Add(20 * time.Second)
	for isBusy(l) && time.Now().Before(deadline) { // its last callers have their answers before it is free
		time.Sleep(100 * time.Microsecond)
	}
	if l.enter(&call{}) != laneFree || len(l.next()) != 1 { // a call of ours keeps the lane busy
		t.Fatal("the lane is in use")
	}
	crowd(l)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { ask(i) })
		for countWaiting(l) <= i {
			if time.Now().After(deadline) {
				t.Fatalf("call %d does not wait in the lane", i)
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
	l.release()
	meanwhile()
	all.Wait()
}

// crowd makes a lane crowded, so that no call passes beside it.
func crowd(l *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.small = 0
}

func countWaiting(l *lane) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

func isBusy(l *lane) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy
}

// makeCrowd adds user0, user1 and so on, each with a session.
func makeCrowd(t testing.TB, s store, n int) {
	t.Helper()
	users := make([]User, n)
	for i := range users {
		users[i] = testUser(fmt.Sprint("user", i))
	}
	if _, err := s.AddUsers(t.Context(), users); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		u, err := s.UserByKey(t.Context(), fmt.Sprint("user", i))
		if err != nil {
			t.Fatal(err)
		}
		mustBegin(t, s, Session{ID: fmt.Sprint("session", i), UserID: u.ID, CreatedAt: testTime, LastUsedAt: testTime, ExpiresAt: inSeconds(60)})
	}
}

// checkOwn looks up a session of makeCrowd, and reports an answer that is not its own user.
func checkOwn(t testing.TB, s store, i int) {
	t.Helper()
	u, session, err := s.UserBySession(t.Context(), fmt.Sprint("session", i))
	if err != nil || u.Username != fmt.Sprint("user", i) || session.ID != fmt.Sprint("session", i) {
		t.Errorf("session%d: %q, %q, %v", i, u.Username, session.ID, err)
	}
}

// checkBadRow looks up a user. The row of user7 cannot be read.
func checkBadRow(t testing.TB, s store, i int) {
	t.Helper()
	name := fmt.Sprint("user", i)
	got, err := s.UserByKey(t.Context(), name)
	if i == 7 && !errors.Is(err, errUnavailable) {
		t.Errorf("the bad row: %v; want errUnavailable", err)
	}
	if i != 7 && (err != nil || got.Username != name) {
		t.Errorf("%s: %q, %v", name, got.Username, err)
	}
}

// modes are the ways in which pgx sends statements.
var modes = []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"}

// inMode returns a URL with a default_query_exec_mode.
func inMode(url, mode string) string { return url + "&default_query_exec_mode=" + mode }

// keepAsking has 64 clients check their own sessions over and over, until stop is called.
func keepAsking(t testing.TB, s store) (stop func()) {
	t.Helper()
	var done atomic.Bool
	var clients sync.WaitGroup
	for i := range 64 {
		clients.Go(func() {
			for !done.Load() {
				checkOwn(t, s, i)
			}
		})
	}
	return func() { done.Store(true); clients.Wait() }
}

// TestEachTheirOwn: 64 clients ask at once, and each gets its own user.
func TestEachTheirOwn(t *testing.T) {
	t.Parallel()
	ways := map[string]func(testing.TB) string{"SQLite": newSQLite}
	for _, mode := range modes {
		ways["PostgreSQL, "+mode] = func(t testing.TB) string { return inMode(newPostgres(t), mode) }
	}
	for name, empty := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mustOpen(t, empty(t))
			makeCrowd(t, s, 64)
			together(64, func(i int) {
				for range repeated(2000) {
					checkOwn(t, s, i)
				}
			})
		})
	}
}

// TestEndsAtOnce: if one replica ends a session, the next request to another fails, also while 64
// clients share its batches.
func TestEndsAtOnce(t *testing.T) {
	for name, empty := range everyDatabase {
		t.Run(name, func(t *testing.T) {
			url := empty(t)
			here, there := mustOpen(t, url), mustOpen(t, url)
			makeCrowd(t, here, 64)
			stop := keepAsking(t, here)
			defer stop()
			u, err := there.UserByKey(t.Context(), "user0")
			if err != nil {
				t.Fatal(err)
			}
			for round := range repeated(1000) {
				id := fmt.Sprint("victim", round)
				mustBegin(t, there, Session{ID: id, UserID: u.ID, CreatedAt: testTime, LastUsedAt: testTime, ExpiresAt: inSeconds(60)})
				if _, _, err := here.UserBySession(t.Context(), id); err != nil {
					t.Errorf("round %d: a session that has begun: %v", round, err)
				}
				if err := there.EndSession(t.Context(), u.ID, id); err != nil {
					t.Errorf("round %d: EndSession: %v", round, err)
				}
				if _, _, err := here.UserBySession(t.Context(), id); !errors.Is(err, errNotFound) {
					t.Errorf("round %d: a session that has ended: %v; want errNotFound", round, err)
				}
			}
		})
	}
}

// TestWriteTogetherFromTwo: two processes write to one file in batches, and neither loses a write of
// the other.
func TestWriteTogetherFromTwo(t *testing.T) {
	url := newSQLite(t)
	var stores []store
	for range 2 {
		s, err := openStore(t.Context(), url, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		stores = append(stores, s)
	}
	const clients, each = 64, 5
	var added, taken atomic.Int64
	together(clients, func(i int) {
		for n := range each {
			name := fmt.Sprint("user", i/2, "-", n) // a client of the other process wants it, too
			switch _, err := stores[i%2].CreateUser(t.Context(), testUser(name)); {
			case err == nil:
				added.Add(1)
			case errors.Is(err, errExists):
				taken.Add(1)
			default:
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	if added.Load() != clients*each/2 || taken.Load() != clients*each/2 {
		t.Errorf("%d were added, and %d names were taken; want %d of each", added.Load(), taken.Load(), clients*each/2)
	}
	if users, err := allUsersOf(t.Context(), stores[0]); err != nil || len(users) != clients*each/2 {
		t.Errorf("%d users, %v", len(users), err)
	}
}
