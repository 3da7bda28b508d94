package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// checkUsers opens a store again and compares the users in it: want says of each whether they exist.
func checkUsers(t testing.TB, url string, want map[string]bool) {
	t.Helper()
	s := mustOpen(t, url)
	for name, there := range want {
		_, err := s.UserByKey(t.Context(), name)
		if there && err != nil || !there && !errors.Is(err, errNotFound) {
			t.Errorf("%s: %v; want them there: %v", name, err, there)
		}
	}
}

// TestWritesTogether: writes in one transaction that find nothing, or break a constraint, undo nothing
// of the others.
func TestWritesTogether(t *testing.T) {
	s, c, _, url := openFaulty(t)
	u := mustCreate(t, s, testUser("alice"))
	beginSome(t, s, u, "a", "b", "c", "d", "e", "f")
	executeIn(t, url, `
		CREATE TRIGGER picky BEFORE INSERT ON users WHEN new.username LIKE 'aborts%' BEGIN SELECT RAISE(ABORT, 'no'); END;
		CREATE TRIGGER sullen BEFORE INSERT ON users WHEN new.username LIKE 'fails%' BEGIN SELECT RAISE(FAIL, 'no'); END`)
	create := func(ctx context.Context, name string) error {
		_, err := s.CreateUser(ctx, testUser(name))
		return err
	}
	kinds := []struct {
		name string
		do   func(ctx context.Context, round int) error
		want error
	}{
		{"a new user", func(ctx context.Context, round int) error { return create(ctx, fmt.Sprint("user", round)) }, nil},
		{"a name that is taken", func(ctx context.Context, _ int) error { return create(ctx, "Alice") }, errExists},
		{"a refresh", func(ctx context.Context, round int) error {
			return s.RotateSession(ctx, string(rune('a'+round)), 0, inSeconds(1), inSeconds(60))
		}, nil},
		{"a refresh of a session that is not there", func(ctx context.Context, _ int) error {
			return s.RotateSession(ctx, "nowhere", 0, inSeconds(1), inSeconds(60))
		}, errNotFound},
		{"a session whose ID is taken", func(ctx context.Context, _ int) error {
			return s.CreateSession(ctx, Session{ID: "a", UserID: u.ID, ExpiresAt: inSeconds(60)}, u.PasswordHash, maxSessions)
		}, errUnavailable},
		{"a user whom a trigger refuses", func(ctx context.Context, round int) error { return create(ctx, fmt.Sprint("aborts", round)) }, errUnavailable},
		{"a user at whom a trigger fails", func(ctx context.Context, round int) error { return create(ctx, fmt.Sprint("fails", round)) }, errUnavailable},
		{"a session of nobody", func(ctx context.Context, round int) error {
			return s.CreateSession(ctx, Session{ID: fmt.Sprint("nobody's", round), UserID: 999, ExpiresAt: inSeconds(60)}, u.PasswordHash, maxSessions)
		}, errNotFound},
	}
	const rounds = 6
	inOneBatch(t, &c.writes, rounds*len(kinds), func(i int) {
		kind := kinds[i%len(kinds)]
		if err := kind.do(t.Context(), i/len(kinds)); !errors.Is(err, kind.want) {
			t.Errorf("%s: %v; want %v", kind.name, err, kind.want)
		}
	})
	want := make(map[string]bool)
	for round := range rounds {
		want[fmt.Sprint("user", round)], want[fmt.Sprint("aborts", round)], want[fmt.Sprint("fails", round)] = true, false, false
		if _, session, err := s.UserBySession(t.Context(), string(rune('a'+round))); err != nil || session.Generation != 1 {
			t.Errorf("session %d has generation %d, %v; want 1", round, session.Generation, err)
		}
	}
	checkUsers(t, url, want)
}

// TestWrittenOnce: a write is carried out once, whether it finds a row or not, alone and with others.
func TestWrittenOnce(t *testing.T) {
	s, c, _, url := openFaulty(t)
	executeIn(t, url, `
		CREATE TABLE attempts (name TEXT);
		CREATE TRIGGER attempted BEFORE INSERT ON users BEGIN INSERT INTO attempts VALUES (new.username); END`)
	names := []string{"alice", "Alice", "ALICE", "bob"}
	create := func(i int) { s.CreateUser(t.Context(), testUser(names[i])) }
	create(0)
	create(1)
	inOneBatch(t, &c.writes, 2, func(i int) { create(i + 2) })
	var n int
	if err := openEmpty(t, url).schemaDB.QueryRow("SELECT count(*) FROM attempts").Scan(&n); err != nil || n != len(names) {
		t.Errorf("%d attempts, %v; want %d", n, err, len(names))
	}
}

// TestUndoneTogether: if SQLite undoes the whole transaction because of one write, only that one fails.
func TestUndoneTogether(t *testing.T) {
	s, c, _, url := openFaulty(t)
	executeIn(t, url, `CREATE TRIGGER rude BEFORE INSERT ON users WHEN new.username = 'user7' BEGIN SELECT RAISE(ROLLBACK, 'no'); END`)
	want := make(map[string]bool)
	for i := range 20 {
		want[fmt.Sprint("user", i)] = i != 7
	}
	inOneBatch(t, &c.writes, 20, func(i int) {
		u, err := s.CreateUser(t.Context(), testUser(fmt.Sprint("user", i)))
		if (err == nil) != (i != 7) {
			t.Errorf("user%d: %v", i, err)
		}
		if got, err2 := s.UserByKey(t.Context(), u.Key); err == nil && (err2 != nil || got.ID != u.ID) {
			t.Errorf("user%d was told the ID %d, and has %d, %v", i, u.ID, got.ID, err2)
		}
	})
	checkUsers(t, url, want)
}

// TestFailedCommits: if the disk fails at the commit, all writes of the transaction fail. If it fails
// for a moment before the commit, none does.
func TestFailedCommits(t *testing.T) {
	long := strings.Repeat("x", 60_000) // 60 of these do not fit into SQLite's memory: it writes before it commits
	for _, tt := range []struct {
		name            string
		fullName        string
		onWrite, onSync *func() error
		want            error
	}{
		{"the disk is full at the commit", "Full Name", once(sqlite3.FULL), nil, errUnavailable},
		{"the disk fails at the commit", "Full Name", once(sqlite3.IOERR_WRITE), nil, errUnavailable},
		{"the disk cannot sync", "Full Name", nil, once(sqlite3.IOERR_FSYNC), errUnavailable},
		{"the disk is full for good", "Full Name", always(sqlite3.FULL), nil, errUnavailable},
		{"the disk is full for a moment before the commit", long, once(sqlite3.FULL), nil, nil},
		{"the disk fails for a moment before the commit", long, once(sqlite3.IOERR_WRITE), nil, nil},
		{"the disk is full for good, before the commit", long, always(sqlite3.FULL), nil, errUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, c, disk, url := openFaulty(t)
			create := func(i int) error {
				u := testUser(fmt.Sprint("user", i))
				u.FullName = &tt.fullName
				_, err := s.CreateUser(t.Context(), u)
				return err
			}
			mustCreate(t, s, testUser("before"))
			disk.onWrite.Store(tt.onWrite)
			disk.onSync.Store(tt.onSync)
			want := map[string]bool{"before": true}
			inOneBatch(t, &c.writes, 60, func(i int) {
				if err := create(i); !errors.Is(err, tt.want) {
					t.Errorf("user%d: %v; want %v", i, err, tt.want)
				}
			})
			for i := range 60 {
				want[fmt.Sprint("user", i)] = tt.want == nil
			}
			checkUsers(t, url, want)
			disk.onWrite.Store(nil)
			disk.onSync.Store(nil)
			for i := range 60 {
				if err := create(i); err != nil && !want[fmt.Sprint("user", i)] {
					t.Errorf("user%d, when the disk is well again: %v", i, err)
				}
				want[fmt.Sprint("user", i)] = true
			}
			checkUsers(t, url, want)
		})
	}
}

// TestAnsweredAfterSync: a write is answered, and seen by others, only when it is on the disk. A caller
// who gives up does not wait for the disk.
func TestAnsweredAfterSync(t *testing.T) {
	s, c, disk, url := openFaulty(t)
	var answered, left atomic.Int64
	syncing, synced := make(chan struct{}, 10), make(chan struct{})
	disk.onSync.Store(new(func() error {
		syncing <- struct{}{}
		<-synced
		return nil
	}))
	impatient, leave := context.WithCancel(t.Context())
	go func() {
		<-syncing
		checkUsers(t, url, map[string]bool{"user0": false, "user1": false})
		if n := answered.Load(); n != 0 {
			t.Errorf("%d are answered before the disk has it", n)
		}
		leave()
		for left.Load() < 20 {
			time.Sleep(time.Millisecond)
		}
		close(synced)
	}()
	inOneBatch(t, &c.writes, 40, func(i int) {
		ctx := t.Context()
		if i%2 == 1 {
			ctx = impatient
		}
		_, err := s.CreateUser(ctx, testUser(fmt.Sprint("user", i)))
		if i%2 == 0 {
			answered.Add(1)
		}
		if i%2 == 0 && err != nil || i%2 == 1 && !errors.Is(err, context.Canceled) {
			t.Errorf("user%d: %v", i, err)
		}
		left.Add(int64(i % 2))
	})
	checkUsers(t, url, map[string]bool{"user0": true, "user38": true})
}

// TestLostTogether: if the file is moved away during a commit, all are told that it is gone.
func TestLostTogether(t *testing.T) {
	s, c, disk, url := openFaulty(t)
	path := strings.TrimPrefix(url, sqlitePrefix)
	disk.onSync.Store(new(func() error {
		move(t, path, path+".old")
		disk.onSync.Store(nil)
		return nil
	}))
	inOneBatch(t, &c.writes, 20, func(i int) {
		if _, err := s.CreateUser(t.Context(), testUser(fmt.Sprint("user", i))); !errors.Is(err, errUnavailable) {
			t.Errorf("user%d: %v; want errUnavailable", i, err)
		}
	})
}

// TestLockedTogether: the writes of a batch wait while another process writes, and reads do not.
func TestLockedTogether(t *testing.T) {
	s, c, _, url := openFaulty(t)
	u := mustCreate(t, s, testUser("alice"))
	other, err := sqlite3.Open(strings.TrimPrefix(url, sqlitePrefix))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	inOneBatchWhile(t, &c.writes, 20, func(i int) {
		if _, err := s.CreateUser(t.Context(), testUser(fmt.Sprint("user", i))); err != nil {
			t.Errorf("user%d: %v", i, err)
		}
	}, func() {
		if got, err := s.UserByKey(t.Context(), u.Key); err != nil || got.ID != u.ID {
			t.Errorf("a read meanwhile: %v, %v", got, err)
		}
		time.Sleep(50 * time.Millisecond)
		if err := other.Exec("COMMIT"); err != nil {
			t.Error(err)
		}
	})
}

// TestBadRowTogether: if one row cannot be read, the look-ups of the others succeed.
func TestBadRowTogether(t *testing.T) {
	s, c, _, url := openFaulty(t)
	for i := range 50 {
		mustCreate(t, s, testUser(fmt.Sprint("user", i)))
	}
	executeIn(t, url, "UPDATE users SET disabled = 'never' WHERE username = 'user7'")
	inOneBatch(t, &c.lookUps, 50, func(i int) { checkBadRow(t, s, i) })
}

// explosive is where a column goes that must not be read.
type explosive struct{}

func (explosive) Scan(any) error { panic("boom") }

// TestPanicTogether: after a panic while a row is read, the others get their answers, and later reads
// see new users: the statement does not hold on to its snapshot.
func TestPanicTogether(t *testing.T) {
	for _, together := range []bool{false, true} {
		t.Run(fmt.Sprint("together: ", together), func(t *testing.T) {
			s, c, _, _ := openFaulty(t)
			u := mustCreate(t, s, testUser("alice"))
			ask := func(i int) {
				if i != 3 {
					if got, err := s.UserByKey(t.Context(), u.Key); err != nil || got.ID != u.ID {
						t.Errorf("a read: %v, %v", got, err)
					}
					return
				}
				defer func() {
					if recover() == nil {
						t.Error("the panic does not reach its caller")
					}
				}()
				fields := userFields(new(User))
				fields[0] = explosive{}
				c.queryRow(t.Context(), fields, selectUserByKey, u.Key)
			}
			if together {
				inOneBatch(t, &c.lookUps, 10, ask)
			} else {
				ask(3)
			}
			for i := range 3 {
				name := fmt.Sprint("later", i)
				mustCreate(t, s, testUser(name))
				if _, err := s.UserByKey(t.Context(), name); err != nil {
					t.Errorf("a user who came after the panic: %v", err)
				}
			}
			if n := countUsers(t, s); n != 4 {
				t.Errorf("%d users are seen after the panic; want 4", n)
			}
		})
	}
}

// countUsers counts by another statement than that of the look-ups.
func countUsers(t testing.TB, s sqlStore) int {
	t.Helper()
	users, err := allUsersOf(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return len(users)
}
