package main

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
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
