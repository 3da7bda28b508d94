package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/internal/pgtest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// mustOpen opens the store at a URL until the test ends.
func mustOpen(t testing.TB, url string) store {
	t.Helper()
	s, err := openStore(t.Context(), url, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// cluster is the PostgreSQL server of these tests, if one has called startCluster;
// TestMain ends it.
var cluster *pgtest.Cluster

var startCluster = sync.OnceValue(func() (err error) {
	cluster, err = pgtest.Start("max_connections=300")
	return err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if cluster != nil {
		cluster.Close()
	}
	os.Exit(code)
}

// newPostgres returns the URL of an empty schema, in the database that
// TEST_DATABASE_URL names or on a server of its own; without both the test is
// skipped.
func newPostgres(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED: PostgreSQL, because of -short")
	}
	base := os.Getenv("TEST_DATABASE_URL")
	if base == "" {
		err := startCluster()
		if errors.Is(err, pgtest.ErrNotInstalled) {
			skip(t, err.Error()+", and TEST_DATABASE_URL is not set")
		}
		if err != nil {
			t.Fatal(err)
		}
		base = cluster.URL("postgres")
	}
	schema := "test_" + strings.ToLower(rand.Text())
	execute(t, base, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { execute(t, base, "DROP SCHEMA "+schema+" CASCADE") })
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String()
}

// newSQLite returns the URL of a file that is not there yet.
func newSQLite(t testing.TB) string {
	return sqlitePrefix + filepath.Join(t.TempDir(), "users.db")
}

// execute carries out a statement on a connection of its own.
func execute(t testing.TB, url, statement string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // which is done in a clean-up
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatal(err)
	}
}

// everyDatabase returns the URL of an empty database of each kind.
var everyDatabase = map[string]func(testing.TB) string{"SQLite": newSQLite, "PostgreSQL": newPostgres}

// TestMigrateTogether: of those that open an empty database at the same moment one
// makes the schema, and all find it.
func TestMigrateTogether(t *testing.T) {
	t.Parallel()
	for name, empty := range everyDatabase {
		t.Run(name, func(t *testing.T) {
			url := empty(t)
			var all sync.WaitGroup
			for i := range 10 {
				all.Go(func() {
					s, err := openStore(t.Context(), url, slog.New(slog.DiscardHandler))
					if err != nil {
						t.Errorf("openStore: %v", err)
						return
					}
					defer s.Close()
					if _, err := s.CreateUser(t.Context(), testUser(fmt.Sprint("user", i))); err != nil {
						t.Errorf("CreateUser: %v", err)
					}
				})
			}
			all.Wait()
			if users, err := allUsersOf(t.Context(), mustOpen(t, url)); err != nil || len(users) != 10 {
				t.Errorf("%d users, %v; want 10", len(users), err)
			}
		})
	}
}

// TestSchemaVersions: what is older is brought up, what is newer is refused and
// left alone, and looking changes nothing.
func TestSchemaVersions(t *testing.T) {
	for name, empty := range everyDatabase {
		t.Run(name, func(t *testing.T) {
			url := empty(t)
			db := openEmpty(t, url)
			for range 2 { // looking changes nothing
				if current, target, err := db.rehearse(t.Context()); current != 0 || target < 1 || err != nil {
					t.Fatalf("an empty database: %d of %d, %v", current, target, err)
				}
			}
			if err := db.migrate(t.Context(), slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
			if current, target, err := db.rehearse(t.Context()); current != target || err != nil {
				t.Errorf("after the migration: %d of %d, %v", current, target, err)
			}
			if _, err := db.schemaDB.Exec("INSERT INTO " + schemaTable + " (version_id, is_applied) VALUES (99, true)"); err != nil {
				t.Fatal(err)
			}
			_, err := openStore(t.Context(), url, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), "version 99") {
				t.Errorf("a newer schema: %v", err)
			}
		})
	}
}

// TestAttempts: what is tried again, how often, and what it comes to.
func TestAttempts(t *testing.T) {
	lost := io.ErrUnexpectedEOF
	for _, tt := range []struct {
		name          string
		failures      []error // of one attempt after the other, until one succeeds
		read, write   error
		reads, writes int // how often each is attempted
	}{
		{"no failure", nil, nil, nil, 1, 1},
		{"no row", []error{sql.ErrNoRows}, errNotFound, errNotFound, 1, 1},
		{"a user who is gone", []error{pgError("23503")}, errNotFound, errNotFound, 1, 1},
		{"a conflict of transactions", []error{pgError("40001")}, nil, nil, 2, 2},
		{"a deadlock", []error{pgError("40P01"), pgError("40P01")}, nil, nil, 3, 3},
		{"conflicts without end", []error{pgError("40001"), pgError("40001"), pgError("40001"), pgError("40001")}, errUnavailable, errUnavailable, 3, 3},
		{"a server that has become a standby", []error{pgError("25006")}, nil, nil, 2, 2},
		{"a statement that another client has prepared", []error{pgError("42P05")}, nil, nil, 2, 2},
		{"a statement that was prepared on another connection", []error{pgError("26000")}, nil, nil, 2, 2},
		{"a plan that is stale, on two connections", []error{pgError("0A000"), pgError("0A000")}, nil, nil, 3, 3},
		{"a connection that is lost", []error{lost}, nil, errUnavailable, 2, 1},
		{"a server that shuts down", []error{pgError("57P01")}, nil, errUnavailable, 2, 1},
		{"a connection that is lost, and then no row", []error{lost, sql.ErrNoRows}, errNotFound, errUnavailable, 2, 1},
		{"connections that are lost without end", []error{lost, lost, lost, lost}, errUnavailable, errUnavailable, 3, 1},
		{"a full disk", []error{pgError("53100")}, errUnavailable, errUnavailable, 1, 1},
		{"a statement that is wrong", []error{pgError("42601")}, errUnavailable, errUnavailable, 1, 1},
		{"a deadline", []error{context.DeadlineExceeded}, errUnavailable, errUnavailable, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sqlStore{&database{connections: noConnections{}}}
			for _, way := range []struct {
				do       func(context.Context, func(context.Context) error) error
				want     error
				attempts int
			}{{s.read, tt.read, tt.reads}, {s.write, tt.write, tt.writes}} {
				attempts := 0
				err := way.do(t.Context(), func(context.Context) error {
					attempts++
					if attempts > len(tt.failures) {
						return nil
					}
					return tt.failures[attempts-1]
				})
				if !errors.Is(err, way.want) || attempts != way.attempts {
					t.Errorf("%v after %d attempts; want %v after %d", err, attempts, way.want, way.attempts)
				}
				if errors.Is(err, errUnavailable) && !errors.Is(err, tt.failures[attempts-1]) {
					t.Errorf("%v does not say why", err)
				}
			}
		})
	}
}

func pgError(code string) error { return &pgconn.PgError{Code: code} }

// noConnections are those of a database that is not needed.
type noConnections struct{ connections }

func (noConnections) faultOf(err error) fault { return pgFault(err) }

func (noConnections) noteFault(fault) {}

func (noConnections) isTemporary(err error) bool { return errors.Is(err, errStarting) }

func (noConnections) explain(err error) error { return err }

var errStarting = errors.New("the database is starting")

// TestNotYet: only what a database may soon do is worth the wait of a start, and both failures are
// those of a store that does not answer.
func TestNotYet(t *testing.T) {
	s := sqlStore{&database{connections: noConnections{}}}
	for failure, want := range map[error]bool{errStarting: true, errors.New("the disk is full"): false} {
		err := s.write(t.Context(), func(context.Context) error { return failure })
		if got := errors.Is(err, errNotYet); got != want || !errors.Is(err, errUnavailable) || !errors.Is(err, failure) {
			t.Errorf("%v: a start waits: %t; want %t", err, got, want)
		}
		if want := "the store does not answer: " + failure.Error(); err.Error() != want {
			t.Errorf("%q; want %q", err, want)
		}
	}
}

// TestAttemptTimesOut: a database that does not answer is known as such within
// five seconds.
func TestAttemptTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqlStore{&database{connections: noConnections{}}}
		began := time.Now()
		err := s.read(t.Context(), func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if took := time.Since(began); !errors.Is(err, errUnavailable) || took > 5*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// migrateTo brings an empty database to an older version of the schema.
func migrateTo(t *testing.T, db *database, version int64) {
	t.Helper()
	all, err := db.schema.migrations()
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{db.schema.createTable}
	for _, m := range all[:version] {
		texts = append(texts, m.text, fmt.Sprintf("INSERT INTO %s (version_id, is_applied) VALUES (%d, true)", schemaTable, m.version))
	}
	for _, text := range texts {
		if _, err := db.schemaDB.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
}

// oldSessions is how a program of the third version of the schema adds users, and begins and
// ends sessions: it knows nothing of a limit, of UIDs and of scopes.
type oldSessions struct{ sqlStore }

func (o oldSessions) addUser(t *testing.T, name string) User {
	t.Helper()
	u := testUser(name)
	err := o.schemaDB.QueryRowContext(t.Context(), `
		INSERT INTO users (username, username_key, password_hash, disabled, created_at, tokens_valid_after)
		VALUES ($1, $1, $2, false, 0, 0) RETURNING id`, name, u.PasswordHash).Scan(&u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// find returns sql.ErrNoRows unless a session is open.
func (o oldSessions) find(ctx context.Context, id string) error {
	var userID int64
	return o.schemaDB.QueryRowContext(ctx, `
		SELECT users.id FROM sessions JOIN users ON users.id = sessions.user_id
		WHERE sessions.id = $1 AND `+isOpen, id).Scan(&userID)
}

// endOthers ends all sessions of a user but one.
func (o oldSessions) endOthers(ctx context.Context, userID int64, keep string) error {
	return o.write(ctx, func(ctx context.Context) error { // which tries again after a deadlock
		_, err := o.schemaDB.ExecContext(ctx, `
			UPDATE users SET session_epoch = session_epoch + 1, kept_session = (
				SELECT sessions.id FROM sessions WHERE sessions.id = $1 AND sessions.user_id = users.id AND `+isOpen+`)
			WHERE id = $2`, keep, userID)
		return err
	})
}

// insertOldSession is insertSession of schema version 3.
var insertOldSession = writing(`
	INSERT INTO sessions (id, user_id, epoch, created_at, last_used_at, expires_at, ip, user_agent)
	SELECT $1, id, session_epoch, $2, $3, $4, '', '' FROM users WHERE id = $5`)

func (o oldSessions) begin(ctx context.Context, s Session) error {
	return o.write(ctx, func(ctx context.Context) error {
		_, err := o.exec(ctx, insertOldSession, s.ID, s.CreatedAt.UnixMicro(), s.LastUsedAt.UnixMicro(), s.ExpiresAt.UnixMicro(), s.UserID)
		return err
	})
}

// serve does what requests of a user do, over and over, until stop is closed.
func (o oldSessions) serve(ctx context.Context, u User, stop <-chan struct{}) error {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		id := fmt.Sprint(u.ID, "/", n)
		s := Session{ID: id, UserID: u.ID, CreatedAt: inSeconds(n), LastUsedAt: inSeconds(n), ExpiresAt: inSeconds(n + 9999)}
		if err := o.find(ctx, id); !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("a session that is not there: %w", err)
		}
		if err := errors.Join(o.begin(ctx, s), o.RotateSession(ctx, id, 0, inSeconds(n), inSeconds(n+9999)),
			o.endOthers(ctx, u.ID, id)); err != nil {
			return err
		}
		if err := o.find(ctx, id); err != nil {
			return fmt.Errorf("a session that was kept: %w", err)
		}
	}
}

// TestMigrateWhileServing: programs of the version before go on serving while the schema
// gets its order and its marks for sessions, and afterwards. What they have ended is
// deleted, and what they have left is in the right order.
func TestMigrateWhileServing(t *testing.T) {
	for name, empty := range everyDatabase {
		t.Run(name, func(t *testing.T) {
			url := empty(t)
			db := openEmpty(t, url)
			migrateTo(t, db, 3)
			old := oldSessions{sqlStore{db}}
			u := old.addUser(t, "alice")
			for i, used := range []time.Time{time.UnixMicro(0), inSeconds(2), inSeconds(1)} { // the first was never used
				s := Session{ID: fmt.Sprint("s", i), UserID: u.ID, CreatedAt: inSeconds(3 * i / 2), LastUsedAt: used, ExpiresAt: inSeconds(9999)}
				if err := old.begin(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			stop := make(chan struct{})
			var all sync.WaitGroup
			for i := range 3 {
				busy := old.addUser(t, fmt.Sprint("busy", i))
				all.Go(func() {
					if err := old.serve(t.Context(), busy, stop); err != nil {
						t.Errorf("the old program: %v", err)
					}
				})
			}
			s := mustOpen(t, url).(sqlStore)
			for range 3 {
				if _, err := s.DeleteEndedSessions(t.Context(), 1000); err != nil {
					t.Error(err)
				}
			}
			late := old.addUser(t, "late") // by a program of the old version
			close(stop)
			all.Wait()
			uids := make(map[string]bool)
			users, err := allUsersOf(t.Context(), s)
			for _, u := range users {
				if uids[u.UID] = true; !isUID(u.UID) {
					t.Errorf("%s has the UID %q", u.Username, u.UID)
				}
			}
			if err != nil || len(users) != 5 || len(uids) != 5 || users[4].ID != late.ID {
				t.Errorf("the users are %+v, %v; want each with a UID", users, err)
			}
			list, err := s.Sessions(t.Context(), u.ID, inSeconds(9), 9)
			if err != nil || len(list) != 3 || list[0].ID != "s1" || list[0].Asked != nil || list[2].ID != "s0" || list[2].LastUsedAt != inSeconds(0) {
				t.Errorf("the list is %+v, %v; want s1, s2, and s0, whose login was its last use", list, err)
			}
			for n := 1; n > 0; {
				if n, err = s.DeleteEndedSessions(t.Context(), 1000); err != nil {
					t.Fatal(err)
				}
			}
			if left := s.count(t, "sessions"); left != 3+3 {
				t.Errorf("%d rows are left; want those of alice and one of each who was busy", left)
			}
			if err := old.begin(t.Context(), Session{ID: "later", UserID: u.ID, CreatedAt: inSeconds(9), LastUsedAt: inSeconds(9), ExpiresAt: inSeconds(9999)}); err != nil {
				t.Errorf("a login at the old program: %v", err)
			}
		})
	}
}

// TestLimitSparesUsed: a session that is refreshed at the moment when it would have to end
// as the one that was unused for longest goes on.
func TestLimitSparesUsed(t *testing.T) {
	url := newPostgres(t)
	s := mustOpen(t, url)
	u := mustCreate(t, s, testUser("alice"))
	beginSome(t, s, u, "a", "b")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	refresh, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := refresh.Exec(t.Context(), rotateSession.text, inSeconds(9).UnixMicro(), inSeconds(99).UnixMicro(), "a", 0); err != nil {
		t.Fatal(err)
	}
	var login sync.WaitGroup
	login.Go(func() {
		begun := Session{ID: "c", UserID: u.ID, CreatedAt: inSeconds(9), LastUsedAt: inSeconds(9), ExpiresAt: inSeconds(99)}
		if err := s.CreateSession(t.Context(), begun, "$hash", 2); err != nil {
			t.Errorf("CreateSession: %v", err)
		}
	})
	for waits := false; !waits; { // for the refresh, whose row it wants to delete
		err := refresh.QueryRow(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_locks
			WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))`).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := refresh.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	login.Wait()
	checkOpen(t, s, "after the login", map[string]bool{"a": true, "c": true})
}
