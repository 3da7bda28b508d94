package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// move moves a file, or fails.
func move(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// anotherDatabase makes a database with a user in it.
func anotherDatabase(t testing.TB) (path string) {
	t.Helper()
	url := newSQLite(t)
	s, err := openStore(t.Context(), url, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateUser(t.Context(), testUser("somebody else")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(url, sqlitePrefix)
}

// TestLostFile: who removes or replaces the file of a running server is told so. Nobody
// is told of a success that ends up in a file which nobody will open again.
func TestLostFile(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose func(t testing.TB, path string)
		back func(t testing.TB, path string) // nil: never
	}{
		{"it is removed", remove, nil},
		{"it is moved away", func(t testing.TB, path string) { move(t, path, path+".old") }, func(t testing.TB, path string) { move(t, path+".old", path) }},
		{"its directory is moved away",
			func(t testing.TB, path string) { move(t, filepath.Dir(path), filepath.Dir(path)+".old") },
			func(t testing.TB, path string) { move(t, filepath.Dir(path)+".old", filepath.Dir(path)) }},
		{"another takes its place", func(t testing.TB, path string) { move(t, anotherDatabase(t), path) }, nil},
		{"another takes its place for a while",
			func(t testing.TB, path string) { move(t, path, path+".old"); move(t, anotherDatabase(t), path) },
			func(t testing.TB, path string) { move(t, path+".old", path) }},
		{"the log is removed", func(t testing.TB, path string) { remove(t, path+"-wal") }, nil},
		{"the log is moved away",
			func(t testing.TB, path string) { move(t, path+"-wal", path+".old") },
			func(t testing.TB, path string) { move(t, path+".old", path+"-wal") }},
		{"the index of the log is removed", func(t testing.TB, path string) { remove(t, path+"-shm") }, nil},
		{"everything is removed", func(t testing.TB, path string) { remove(t, path); remove(t, path+"-wal"); remove(t, path+"-shm") }, nil},
	} {
		for _, first := range []string{"with a row", "without", "that finds none"} {
			t.Run(tt.name+", a write "+first, func(t *testing.T) { testLostFile(t, first, tt.lose, tt.back) })
		}
	}
}

// testLostFile lets the loss be found by a write that returns a row, by one without, or by one that
// changes nothing.
func testLostFile(t *testing.T, first string, lose, back func(testing.TB, string)) {
	path := filepath.Join(t.TempDir(), "sub", "users.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	notes := newNotebook()
	s, err := openStore(t.Context(), sqlitePrefix+path, notes.log())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	u, err := s.CreateUser(t.Context(), testUser("alice"))
	if err != nil {
		t.Fatal(err)
	}

	lose(t, path)
	writes := map[string]func() error{
		"with a row": func() error { _, err := s.CreateUser(t.Context(), testUser("bob")); return err },
		"without":    func() error { return s.AddFailure(t.Context(), "a", testTime, testTime) },

		"that finds none": func() error { return replaceHash(t.Context(), s, u.ID, "$other", "$next") },
	}
	if err := writes[first](); !errors.Is(err, errUnavailable) {
		t.Errorf("a write: %v; want errUnavailable", err)
	}
	for _, read := range []func() error{
		func() error { _, err := s.UserByKey(t.Context(), u.Key); return err },
		func() error { _, err := allUsersOf(t.Context(), s); return err },
		func() error { return s.Ping(t.Context()) },
	} {
		if err := read(); !errors.Is(err, errUnavailable) {
			t.Errorf("a read: %v; want errUnavailable", err)
		}
	}
	checkSaidOnce(t, notes, "the database is lost")
	if back == nil {
		return
	}
	back(t, path)
	if got, err := s.UserByKey(t.Context(), u.Key); err != nil || got.ID != u.ID {
		t.Errorf("a read of the file that is back: %v, %v", got, err)
	}
	if _, err := s.CreateUser(t.Context(), testUser("carol")); err != nil {
		t.Errorf("a write to the file that is back: %v", err)
	}
	checkSaidOnce(t, notes, "the database is back")
}

func checkSaidOnce(t testing.TB, notes *notebook, text string) {
	t.Helper()
	if n := strings.Count(notes.String(), text); n != 1 {
		t.Errorf("the log says %d times %q; want once: %s", n, text, notes)
	}
}

// TestLostFileIsReadNoMore: even where nobody writes, a file that is gone is noticed
// within a second.
func TestLostFileIsReadNoMore(t *testing.T) {
	url := newSQLite(t)
	s := mustOpen(t, url)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	remove(t, strings.TrimPrefix(url, sqlitePrefix))
	began := time.Now()
	for s.Ping(t.Context()) == nil {
		if time.Since(began) > 3*time.Second { // one, and some for a busy machine
			t.Fatal("it is still read")
		}
	}
}

// TestFileInUse: what other programs may do to a file in use is no loss.
func TestFileInUse(t *testing.T) {
	url := newSQLite(t)
	s := mustOpen(t, url)
	for i, statement := range []string{"PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "ANALYZE", "CREATE TABLE others (id INTEGER)"} {
		executeIn(t, url, statement)
		if _, err := s.CreateUser(t.Context(), testUser(fmt.Sprint("user", i))); err != nil {
			t.Errorf("after %s: %v", statement, err)
		}
	}
}

// TestNoDatabase: what is no SQLite database is said to be none, in the same words by
// check and by the start, and is left as it is.
func TestNoDatabase(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t testing.TB, path string)
		says string // empty: it is fine
	}{
		{"a text", func(t testing.TB, path string) { mustWrite(t, path, "alice:secret\n") }, "file is not a database; it is another kind of file, or encrypted"},
		{"a long text", func(t testing.TB, path string) { mustWrite(t, path, strings.Repeat("not a database ", 5000)) }, "file is not a database"},
		{"a directory", func(t testing.TB, path string) { os.Mkdir(path, 0o700) }, "is a directory"},
		{"a damaged database", func(t testing.TB, path string) {
			move(t, anotherDatabase(t), path)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			mustWrite(t, path, string(text[:100])+strings.Repeat("\xff", len(text)-100))
		}, "it is damaged"},
		{"an empty file", func(t testing.TB, path string) { mustWrite(t, path, "") }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := newSQLite(t)
			tt.make(t, strings.TrimPrefix(url, sqlitePrefix))
			if tt.says == "" {
				mustOpen(t, url)
				return
			}
			_, checked := inspectStore(t.Context(), config{DatabaseURL: url, Rounds: 100_000})
			_, started := openStore(t.Context(), url, slog.New(slog.DiscardHandler))
			if checked == nil || started == nil || checked.Error() != started.Error() || !strings.Contains(checked.Error(), tt.says) || strings.Contains(checked.Error(), "pragma") {
				t.Errorf("check: %v\nstart: %v\nwant the same, with %q", checked, started, tt.says)
			}
		})
	}
}

func mustWrite(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestForeignRows: which values that other programs have written into a user can be read.
func TestForeignRows(t *testing.T) {
	for _, tt := range []struct {
		name, change string
		readable     bool
	}{
		{"a text as bytes", "full_name = CAST('Alice' AS BLOB)", true},
		{"a hash as bytes", "password_hash = CAST(password_hash AS BLOB)", true},
		{"scopes as bytes", "scopes = x''", true},
		{"a number as a text", "email = 5", true},
		{"false as a word", "disabled = 'false'", true},
		{"false as PostgreSQL exports it", "disabled = 'f'", true},
		{"false as a fraction", "disabled = 0.0", true},
		{"another word in the place of false", "disabled = 'never'", false},
		{"no word in the place of false", "disabled = ''", false},
		{"bytes in the place of false", "disabled = x'00'", false},
		{"a time as a text", "created_at = CAST(created_at AS TEXT)", true},
		{"a time with a fraction", "created_at = created_at + 0.5", false},
		{"a word in the place of a time", "created_at = 'yesterday'", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := newSQLite(t)
			s := mustOpen(t, url)
			want := mustCreate(t, s, testUser("alice"))
			executeIn(t, url, "UPDATE users SET "+tt.change)
			got, err := s.UserByKey(t.Context(), want.Key)
			if tt.readable && (err != nil || got.Disabled || got.PasswordHash != want.PasswordHash || !got.CreatedAt.Equal(want.CreatedAt)) {
				t.Errorf("%+v, %v; want %+v", got, err, want)
			}
			if !tt.readable && !errors.Is(err, errUnavailable) {
				t.Errorf("%+v, %v; want errUnavailable", got, err)
			}
		})
	}
}

// TestNoRollback: what a connection could not undo is not left to its next user, whose writes would be
// a part of it.
func TestNoRollback(t *testing.T) {
	url := newSQLite(t)
	mustOpen(t, url) // makes the tables
	pool := newSQLitePool(1, sqliteDSN(strings.TrimPrefix(url, sqlitePrefix)), func(*sqlite3.Conn) error { return nil })
	err := pool.use(t.Context(), func(conn *sqliteConn) error {
		deny := func(sqlite3.AuthorizerActionCode, string, string, string, string) sqlite3.AuthorizerReturnCode {
			return sqlite3.AUTH_DENY
		}
		return errors.Join(conn.Exec("BEGIN IMMEDIATE; DELETE FROM event_ids"), conn.SetAuthorizer(deny))
	})
	if err != nil {
		t.Fatal(err)
	}
	err = pool.use(t.Context(), func(conn *sqliteConn) error {
		var n int
		return conn.run(&call{statement: probeUsers, fields: []any{&n}})
	})
	if err != nil {
		t.Errorf("the next user gets %v", err)
	}
	if err := errors.Join(pool.Close(), mustOpen(t, url).AddEvents(t.Context(), []Event{testEvent("alice", "authn_login_success", testTime)})); err != nil {
		t.Errorf("what was not committed is there: %v", err)
	}
}

// TestSlowOpening: while a connection is being opened, for which a disk may need long, others can be used.
func TestSlowOpening(t *testing.T) {
	opening, opened := make(chan struct{}), make(chan struct{})
	var slow atomic.Bool
	pool := newSQLitePool(2, ":memory:", func(*sqlite3.Conn) error {
		if slow.Load() {
			close(opening)
			<-opened
		}
		return nil
	})
	nothing := func(*sqliteConn) error { return nil }
	var last sync.WaitGroup
	used := make(chan error, 1)
	go func() {
		first := pool.use(t.Context(), func(*sqliteConn) error {
			slow.Store(true)
			last.Go(func() { pool.use(t.Context(), nothing) })
			<-opening
			return nil
		})
		used <- errors.Join(first, pool.use(t.Context(), nothing))
	}()
	select {
	case err := <-used:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a connection that is open cannot be used")
	}
	close(opened)
	last.Wait()
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
}
