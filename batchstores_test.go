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

// TestEachTheirOwn: 64 clients who ask at once are answered with their own user, whatever the others do.
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

// TestEndsAtOnce: a session that one replica has ended is over at the other with the next request, while 64
// others ask.
func TestEndsAtOnce(t *testing.T) {
	for name, empty := range everyDatabase {
		t.Run(name, func(t *testing.T) {
			url := empty(t)
			here, there := mustOpen(t, url), mustOpen(t, url)
			makeCrowd(t, here, 64)
			var stop atomic.Bool
			var others sync.WaitGroup
			for i := range 64 {
				others.Go(func() {
					for !stop.Load() {
						checkOwn(t, here, i)
					}
				})
			}
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
			stop.Store(true)
			others.Wait()
		})
	}
}

// TestWriteTogetherFromTwo: two processes that write to one file in groups lose nothing of each other's.
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
			name := fmt.Sprint("user", i/2, "-", n) // which somebody at the other process wants, too
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

// inOneBatch calls ask n times, one call after the other, while a lane is busy: it carries out all of
// them together.
func inOneBatch(t testing.TB, l *lane, n int, ask func(i int)) {
	t.Helper()
	inOneBatchWhile(t, l, n, ask, func() {})
}

// inOneBatchWhile is inOneBatch, and calls meanwhile when the batch has begun.
func inOneBatchWhile(t testing.TB, l *lane, n int, ask func(i int), meanwhile func()) {
	t.Helper()
	if l.patience == lanePatience { // for which a busy machine may be too slow
		l.patience = time.Minute
	}
	deadline := time.Now().Add(20 * time.Second)
	for isBusy(l) && time.Now().Before(deadline) { // its last callers have their answers before it is free
		time.Sleep(100 * time.Microsecond)
	}
	if state := l.enter(&call{}); state != laneFree || len(l.next()) != 1 {
		t.Fatal("the lane is in use")
	}
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
