package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A notebook is a log that a test reads while it is written.
type notebook struct {
	mu    sync.Mutex // guards text
	text  strings.Builder
	wrote chan struct{} // gets one word for every line that is not read yet
}

func newNotebook() *notebook { return &notebook{wrote: make(chan struct{}, 1000)} }

func (n *notebook) Write(line []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text.Write(line)
	select {
	case n.wrote <- struct{}{}:
	default:
	}
	return len(line), nil
}

func (n *notebook) log() *slog.Logger { return slog.New(slog.NewTextHandler(n, nil)) }

func (n *notebook) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// await returns when the log has a text in it.
func (n *notebook) await(t testing.TB, text string) {
	t.Helper()
	for !strings.Contains(n.String(), text) {
		select {
		case <-n.wrote:
		case <-time.After(20 * time.Second):
			t.Fatalf("the log does not say %q: %s", text, n)
		}
	}
}

// openPool opens a store in PostgreSQL whose pool a test has to hand.
func openPool(t testing.TB, url string, log *slog.Logger) (sqlStore, *pgConnections) {
	t.Helper()
	db, err := openDatabase(url, readWriteCreate, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.migrate(t.Context(), log); err != nil {
		t.Fatal(err)
	}
	return sqlStore{db}, db.connections.(*pgConnections)
}

// together calls f n times at once.
func together(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// TestConnectionLimit: where the server allows fewer connections than the pool may have,
// everybody is served by those that are there.
func TestConnectionLimit(t *testing.T) {
	for _, limit := range []int{1, 2} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			_, its := newLimited(t, limit)
			s, pool := openPool(t, its, slog.New(slog.DiscardHandler))
			together(40, func(i int) {
				if _, err := s.CreateUser(t.Context(), testUser(fmt.Sprint("user", i))); err != nil {
					t.Errorf("CreateUser: %v", err)
				}
			})
			if n := pool.pool.Stat().TotalConns(); n > int32(limit) {
				t.Errorf("%d connections; want %d", n, limit)
			}
			// Not one attempt for every request.
			if n := pool.pool.Stat().NewConnsCount(); n > int64(pgMaxConns+limit+5) {
				t.Errorf("%d connections were tried for 40 requests; want some", n)
			}
		})
	}
}

// newLimited returns the URL of a database for a role that may use Latchkey's tables on at
// most n connections, and a function that changes the limit; -1 is none.
func newLimited(t testing.TB, n int) (limit func(int), url string) {
	t.Helper()
	base := newPostgres(t)
	mustOpen(t, base)
	role, url := newRole(t, base)
	execute(t, base, fmt.Sprintf("GRANT USAGE ON SCHEMA %[1]s TO %[2]s; GRANT ALL ON ALL TABLES IN SCHEMA %[1]s TO %[2]s; GRANT ALL ON ALL SEQUENCES IN SCHEMA %[1]s TO %[2]s", schemaOf(t, base), role))
	limit = func(n int) {
		t.Helper()
		execute(t, base, fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT %d", role, n))
	}
	limit(n)
	return limit, url
}

func schemaOf(t testing.TB, base string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("search_path")
}

// TestPoolGrowsAgain: a limit that is lifted is found out.
func TestPoolGrowsAgain(t *testing.T) {
	limit, its := newLimited(t, 1)
	s, pool := openPool(t, its, slog.New(slog.DiscardHandler))
	pool.growAfter = 10 * time.Millisecond
	ask := func(int) {
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("Ping: %v", err)
		}
	}
	together(20, ask)
	if n := pool.pool.Stat().TotalConns(); n != 1 {
		t.Fatalf("%d connections; want 1", n)
	}
	limit(-1)
	for deadline := time.Now().Add(20 * time.Second); pool.pool.Stat().TotalConns() < 3; {
		together(20, ask)
		if time.Now().After(deadline) {
			t.Fatalf("%d connections; want more", pool.pool.Stat().TotalConns())
		}
	}
}

// TestNoConnectionAtAll: a server that takes none is known as such when the time is up,
// for its own reason, and is not asked all the time.
func TestNoConnectionAtAll(t *testing.T) {
	limit, its := newLimited(t, -1)
	s, pool := openPool(t, its, slog.New(slog.DiscardHandler))
	limit(0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var reasons atomic.Int64
	together(20, func(int) {
		err := s.Ping(ctx)
		if !errors.Is(err, errUnavailable) {
			t.Errorf("Ping: %v", err)
		}
		if strings.Contains(err.Error(), "53300") {
			reasons.Add(1)
		}
	})
	if reasons.Load() == 0 {
		t.Error("no error says that there are too many connections")
	}
	if n := pool.pool.Stat().NewConnsCount(); n > 30 {
		t.Errorf("%d connections were tried in a second; want one for each of the pool, and a few more", n)
	}
	tried := pool.pool.Stat().NewConnsCount()
	var waiting sync.WaitGroup
	waiting.Go(func() {
		together(20, func(int) {
			if err := s.Ping(t.Context()); err != nil {
				t.Errorf("a limit that is lifted while others wait: %v", err)
			}
		})
	})
	for pool.pool.Stat().NewConnsCount() < tried+3 {
		runtime.Gosched()
	}
	limit(1)
	waiting.Wait()
}

// useAll makes every connection of a pool, and calls f with it.
func useAll(t testing.TB, pool *pgxpool.Pool, f func(*pgx.Conn)) {
	t.Helper()
	var all []*pgxpool.Conn
	for range pool.Config().MaxConns {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
		f(conn.Conn())
	}
	for _, conn := range all {
		conn.Release()
	}
}

// TestLostStatements: where prepared statements get lost, as in PgBouncer's transaction
// mode, nobody notices but the reader of the log.
func TestLostStatements(t *testing.T) {
	notes := newNotebook()
	s, pool := openPool(t, newPostgres(t), notes.log())
	u, err := s.CreateUser(t.Context(), testUser("alice"))
	if err != nil {
		t.Fatal(err)
	}
	together(50, func(int) { s.UserByKey(t.Context(), u.Key) }) // which prepares it
	useAll(t, pool.pool, func(conn *pgx.Conn) {
		// Not by pgx's name for it, for then it would know.
		if _, err := conn.PgConn().Exec(t.Context(), "DEALLOCATE ALL").ReadAll(); err != nil {
			t.Error(err)
		}
	})
	together(50, func(i int) {
		if got, err := s.UserByKey(t.Context(), u.Key); err != nil || got.ID != u.ID {
			t.Errorf("a read: %v, %v", got, err)
		}
		if _, err := s.CreateUser(t.Context(), testUser(fmt.Sprint("user", i))); err != nil {
			t.Errorf("a write: %v", err)
		}
	})
	if n := strings.Count(notes.String(), "default_query_exec_mode=exec"); n != 1 {
		t.Errorf("the log names the parameter %d times; want once: %s", n, notes)
	}
}

// TestChangedTables: a column that changes its type under a running server is no
// failure, though every connection has prepared its statements for the old type.
func TestChangedTables(t *testing.T) {
	for _, change := range []string{
		"ALTER TABLE users ALTER COLUMN full_name TYPE VARCHAR(500)",
		"ALTER TABLE users ALTER COLUMN username TYPE VARCHAR(500), ADD COLUMN notes TEXT",
		"ALTER TABLE users ALTER COLUMN disabled TYPE BOOLEAN, DROP COLUMN full_name, ADD COLUMN full_name VARCHAR(300)",
	} {
		t.Run(change, func(t *testing.T) {
			url := newPostgres(t)
			notes := newNotebook()
			s, pool := openPool(t, url, notes.log())
			u, err := s.CreateUser(t.Context(), testUser("alice"))
			if err != nil {
				t.Fatal(err)
			}
			session := Session{ID: "phone", UserID: u.ID, ExpiresAt: inSeconds(60)}
			if err := s.CreateSession(t.Context(), session, u.PasswordHash, maxSessions); err != nil {
				t.Fatal(err)
			}
			ask := func(int) {
				if got, err := s.UserByKey(t.Context(), u.Key); err != nil || got.ID != u.ID {
					t.Errorf("a read: %v, %v", got, err)
				}
				if _, _, err := s.UserBySession(t.Context(), session.ID); err != nil {
					t.Errorf("another read: %v", err)
				}
				if _, err := s.UpdateUser(t.Context(), u.ID, userChange{}); err != nil {
					t.Errorf("a write: %v", err)
				}
			}
			useAll(t, pool.pool, func(*pgx.Conn) {})
			for range 5 { // so that each has prepared them
				together(50, ask)
			}
			for range 2 {
				execute(t, url, change)
				together(50, ask)
				change = "ALTER TABLE users ALTER COLUMN full_name TYPE TEXT"
			}
			if strings.Contains(notes.String(), "default_query_exec_mode") {
				t.Errorf("the log speaks of PgBouncer: %s", notes)
			}
		})
	}
}

// TestStalePlans: one statement that was prepared for another table casts doubt on all
// connections, and behind a pooler even on those that are made next.
func TestStalePlans(t *testing.T) {
	url := newPostgres(t)
	s, pool := openPool(t, url, slog.New(slog.DiscardHandler))
	before := make(map[uint32]bool)
	useAll(t, pool.pool, func(conn *pgx.Conn) {
		before[conn.PgConn().PID()] = true
		conn.QueryRow(t.Context(), selectUserByKey.text, "nobody").Scan()
	})
	execute(t, url, "ALTER TABLE users ALTER COLUMN full_name TYPE VARCHAR(500)")
	if _, err := s.UserByKey(t.Context(), "nobody"); !errors.Is(err, errNotFound) {
		t.Errorf("UserByKey: %v", err)
	}
	useAll(t, pool.pool, func(conn *pgx.Conn) {
		if before[conn.PgConn().PID()] {
			t.Errorf("connection %d is still in use", conn.PgConn().PID())
		}
	})
	if args := pool.withMode([]any{"nobody"}); len(args) != 2 || args[0] != pgx.QueryExecModeExec {
		t.Errorf("the next statement is sent with %v; want it not to be prepared", args)
	}
}

// A forwarder is a port where at first nobody listens, and later a server.
type forwarder struct {
	addr, target string
	links        sync.WaitGroup
	answer       func(client, server net.Conn) // passes on what the server says
}

// newForwarder leads to the server of a URL, and returns a URL that leads there.
func newForwarder(t testing.TB, base string) (f *forwarder, its string) {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f = &forwarder{addr: ln.Addr().String(), target: u.Host}
	f.answer = func(client, server net.Conn) { io.Copy(client, server) }
	ln.Close()
	u.Host = f.addr
	return f, u.String()
}

func (f *forwarder) start(t testing.TB) {
	t.Helper()
	ln, err := net.Listen("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close(); f.links.Wait() })
	f.links.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			f.links.Go(func() { f.pass(client) })
		}
	})
}

func (f *forwarder) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", f.target)
	if err != nil {
		return
	}
	f.links.Go(func() {
		io.Copy(server, client)
		server.Close()
	})
	f.answer(client, server)
}

// TestWaitForDatabase: a start waits for a database that is not there yet, and check
// does not.
func TestWaitForDatabase(t *testing.T) {
	f, its := newForwarder(t, newPostgres(t))
	if _, err := inspectStore(t.Context(), config{DatabaseURL: its, Rounds: 100_000}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("check: %v; want that the connection is refused", err)
	}
	notes := newNotebook()
	opened := make(chan error, 1)
	go func() {
		s, err := openStoreWithin(t.Context(), its, time.Hour, notes.log())
		if err == nil {
			err = errors.Join(s.Ping(t.Context()), s.Close())
		}
		opened <- err
	}()
	notes.await(t, "waiting for the database")
	f.start(t)
	if err := <-opened; err != nil {
		t.Errorf("a database that comes later: %v", err)
	}
	if n := strings.Count(notes.String(), "waiting for"); n != 1 {
		t.Errorf("the log says %d times that it waits; want once: %s", n, notes)
	}
}

// TestWaitEnds: after its time, or when the process is told to stop.
func TestWaitEnds(t *testing.T) {
	_, its := newForwarder(t, newPostgres(t))
	if _, err := openStoreWithin(t.Context(), its, time.Second, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("after a second: %v; want that the connection is refused", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	notes := newNotebook()
	opened := make(chan error, 1)
	go func() {
		_, err := openStoreWithin(ctx, its, time.Hour, notes.log())
		opened <- err
	}()
	notes.await(t, "waiting for the database")
	stop()
	select {
	case err := <-opened:
		if err == nil {
			t.Error("it has opened a database that is not there")
		}
	case <-time.After(5 * time.Second):
		t.Error("it goes on waiting after it was told to stop")
	}
}

// TestFinalFailures are reported at once: nobody mends them by waiting.
func TestFinalFailures(t *testing.T) {
	base := newPostgres(t)
	for _, tt := range []struct{ name, from, to, says string }{
		{"a database that is not there", "/postgres?", "/nowhere?", `database "nowhere" does not exist (SQLSTATE 3D000)`},
		{"a role that is not there", "latchkey@", "nobody@", `role "nobody" does not exist (SQLSTATE 28000)`},
		{"a server without TLS", "sslmode=disable", "sslmode=require", "server refused TLS connection"},
		{"a parameter that is not there", "?", "?sesion_timeout=1&", `unrecognized configuration parameter "sesion_timeout" (SQLSTATE 42704)`},
		{"a role that is not there, TLS if possible", "latchkey@", "nobody@", `role "nobody" does not exist (SQLSTATE 28000)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			its := strings.Replace(base, tt.from, tt.to, 1)
			if strings.Contains(tt.name, "if possible") {
				its = strings.Replace(its, "sslmode=disable", "sslmode=prefer", 1)
			}
			if its == base {
				t.Fatalf("%s has no %s", base, tt.from)
			}
			_, err := openStoreWithin(t.Context(), its, time.Hour, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "TLS") != strings.Contains(tt.says, "TLS") {
				t.Errorf("got %v; want %s", err, tt.says)
			}
		})
	}
}

// TestAddUsersWithoutTemporaryTables: a role that may make no temporary tables adds users all
// the same.
func TestAddUsersWithoutTemporaryTables(t *testing.T) {
	t.Parallel()
	base := newPostgres(t)
	role, its := newRole(t, base)
	name := "db_" + strings.ToLower(rand.Text()[:10])
	execute(t, base, "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, base, "DROP DATABASE "+name+" WITH (FORCE)") })
	other := func(from string) string {
		u, err := url.Parse(from)
		if err != nil {
			t.Fatal(err)
		}
		u.Path, u.RawQuery = "/"+name, ""
		return u.String()
	}
	execute(t, base, "REVOKE TEMPORARY ON DATABASE "+name+" FROM PUBLIC; GRANT CREATE ON DATABASE "+name+" TO "+role)
	execute(t, other(base), "GRANT ALL ON SCHEMA public TO "+role)
	s := mustOpen(t, other(its))
	mustCreate(t, s, testUser("bob"))
	carol := testUser("carol")
	carol.Email, carol.FullName = nil, nil
	added, err := s.AddUsers(t.Context(), []User{testUser("alice"), testUser("Bob"), carol})
	if err != nil || !slices.Equal(added, []bool{true, false, true}) {
		t.Errorf("added %v, %v", added, err)
	}
	found, err := s.UserByKey(t.Context(), "carol")
	carol.ID = found.ID
	if err != nil || !reflect.DeepEqual(found, carol) {
		t.Errorf("found %+v, %v; want %+v", found, err, carol)
	}
}
