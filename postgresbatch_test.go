package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A lossyLine leads to PostgreSQL. A test can have it lose what the server says next.
type lossyLine struct {
	target string
	links  sync.WaitGroup

	armed atomic.Bool   // whether the next answer is lost
	after atomic.Int64  // how many bytes of it come through
	mute  atomic.Bool   // whether that connection hangs then, instead of breaking
	hung  chan struct{} // closed when it is to break at last
	free  sync.Once
}

// release breaks the connection that hangs.
func (l *lossyLine) release() { l.free.Do(func() { close(l.hung) }) }

// newLossyLine returns a line to the server of a URL, and a URL that leads through it.
func newLossyLine(t testing.TB, base string) (line *lossyLine, its string) {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	line = &lossyLine{target: u.Host, hung: make(chan struct{})}
	u.Host = ln.Addr().String()
	line.links.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			line.links.Go(func() { line.pass(client) })
		}
	})
	t.Cleanup(func() { ln.Close(); line.release(); line.links.Wait() })
	return line, u.String()
}

func (l *lossyLine) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	l.links.Go(func() {
		io.Copy(server, client)
		server.Close()
	})
	for buf := make([]byte, 64<<10); ; {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if l.armed.CompareAndSwap(true, false) {
			client.Write(buf[:min(n, int(l.after.Load()))])
			if l.mute.Load() {
				<-l.hung
			}
			return
		}
		client.Write(buf[:n])
	}
}

// makeCrowd adds users with these numbers, each with a session.
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

// checkOwn reports a session that is not answered with its own user.
func checkOwn(t testing.TB, s store, i int) {
	t.Helper()
	u, session, err := s.UserBySession(t.Context(), fmt.Sprint("session", i))
	if err != nil || u.Username != fmt.Sprint("user", i) || session.ID != fmt.Sprint("session", i) {
		t.Errorf("session%d: %q, %q, %v", i, u.Username, session.ID, err)
	}
}

// modes are the ways in which pgx sends statements.
var modes = []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"}

// inMode returns a URL with a default_query_exec_mode.
func inMode(url, mode string) string { return url + "&default_query_exec_mode=" + mode }

// TestBadRowInPipeline: a look-up that fails, at the server or where its row is read, fails alone.
func TestBadRowInPipeline(t *testing.T) {
	for name, spoil := range map[string]string{
		"a row that cannot be read": `ALTER TABLE users ALTER COLUMN username DROP NOT NULL; UPDATE users SET username = NULL WHERE username_key = 'user7'`,
		"a statement that fails": `
			CREATE FUNCTION picky(name TEXT) RETURNS TEXT STABLE LANGUAGE plpgsql AS
				$$ BEGIN IF name = 'user7' THEN RAISE 'no'; END IF; RETURN name; END $$;
			ALTER TABLE users RENAME TO all_users;
			ALTER TABLE all_users RENAME COLUMN username TO name;
			CREATE VIEW users AS SELECT *, picky(name) AS username FROM all_users`,
	} {
		for _, mode := range modes {
			t.Run(name+", "+mode, func(t *testing.T) {
				t.Parallel()
				url := newPostgres(t)
				s, pool := openPool(t, inMode(url, mode), slog.New(slog.DiscardHandler))
				makeCrowd(t, s, 50)
				execute(t, url, spoil)
				for range 2 {
					inOneBatch(t, &pool.lookUps, 50, func(i int) { checkBadRow(t, s, i) })
				}
			})
		}
	}
}

// TestCutPipeline: if a connection breaks or hangs in the middle of a batch, nobody notices. Nobody waits
// for one that hangs.
func TestCutPipeline(t *testing.T) {
	url := newPostgres(t)
	makeCrowd(t, mustOpen(t, url), 50)
	for _, mute := range []bool{false, true} {
		for _, after := range []int64{0, 1, 700, 3000} {
			t.Run(fmt.Sprintf("after %d bytes, hangs: %v", after, mute), func(t *testing.T) {
				line, its := newLossyLine(t, url)
				s, pool := openPool(t, its, slog.New(slog.DiscardHandler))
				defer line.release()
				ask := func(i int) { checkOwn(t, s, i) }
				inOneBatch(t, &pool.lookUps, 50, ask) // which prepares the statement
				pool.lookUps.patience = 300 * time.Millisecond
				line.after.Store(after)
				line.mute.Store(mute)
				inOneBatch(t, &pool.lookUps, 50, func(i int) {
					if i == 49 {
						line.armed.Store(true)
					}
					ask(i)
				})
				if line.armed.Load() {
					t.Error("nothing was lost")
				}
				if mute && !isBusy(&pool.lookUps) {
					t.Error("all have waited for the connection that hangs")
				}
			})
		}
	}
}

// TestHangingAlone: a look-up on a connection that hangs holds up only itself.
func TestHangingAlone(t *testing.T) {
	url := newPostgres(t)
	makeCrowd(t, mustOpen(t, url), 50)
	line, its := newLossyLine(t, url)
	s, _ := openPool(t, its, slog.New(slog.DiscardHandler))
	defer line.release()
	checkOwn(t, s, 0)
	line.mute.Store(true)
	line.armed.Store(true)
	ctx, giveUp := context.WithCancel(t.Context())
	var alone sync.WaitGroup
	alone.Go(func() {
		if _, _, err := s.UserBySession(ctx, "session0"); !errors.Is(err, context.Canceled) {
			t.Errorf("on the connection that hangs: %v", err)
		}
	})
	for line.armed.Load() {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	for range 4 {
		together(50, func(i int) { checkOwn(t, s, i) })
	}
	t.Logf("four times 50 are answered after %v", time.Since(began))
	giveUp() // before its time is up
	alone.Wait()
}

// TestTerminatedTogether: PostgreSQL ends a connection with 50 look-ups in it.
func TestTerminatedTogether(t *testing.T) {
	url := newPostgres(t)
	s, pool := openPool(t, url+"&application_name=victim", slog.New(slog.DiscardHandler))
	makeCrowd(t, s, 50)
	admin, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	lock := func(statement string) {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Error(err)
		}
	}
	terminated := func() (n int) {
		err := admin.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE application_name = 'victim' AND wait_event_type = 'Lock'`).Scan(&n)
		if err != nil {
			t.Error(err)
		}
		return n
	}
	for range 3 {
		lock("BEGIN; LOCK TABLE users")
		inOneBatchWhile(t, &pool.lookUps, 50, func(i int) { checkOwn(t, s, i) }, func() {
			for terminated() == 0 {
				time.Sleep(time.Millisecond)
			}
			lock("COMMIT")
		})
	}
}

// TestTerminatedAll: PostgreSQL ends all connections over and over, while 64 look up.
func TestTerminatedAll(t *testing.T) {
	url := newPostgres(t)
	s, _ := openPool(t, url+"&application_name=victims", slog.New(slog.DiscardHandler))
	makeCrowd(t, s, 64)
	var stop atomic.Bool
	var clients sync.WaitGroup
	for i := range 64 {
		clients.Go(func() {
			for !stop.Load() {
				checkOwn(t, s, i)
			}
		})
	}
	for range repeated(50) {
		time.Sleep(200 * time.Millisecond) // a look-up is tried three times
		execute(t, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victims'")
	}
	stop.Store(true)
	clients.Wait()
}

// TestNobodyThere: ten thousand who ask at once for what is not there are told so, by few connections.
func TestNobodyThere(t *testing.T) {
	s, pool := openPool(t, newPostgres(t), slog.New(slog.DiscardHandler))
	began := time.Now()
	together(10_000, func(i int) {
		if _, _, err := s.UserBySession(t.Context(), fmt.Sprint("nobody", i)); !errors.Is(err, errNotFound) {
			t.Errorf("UserBySession: %v; want errNotFound", err)
		}
	})
	if n := pool.pool.Stat().NewConnsCount(); n > pgMaxConns {
		t.Errorf("%d connections were made; want %d at most", n, pgMaxConns)
	}
	t.Logf("answered after %v by %d connections", time.Since(began), pool.pool.Stat().NewConnsCount())
}

// TestHalfCancelled: half of a batch leaves while the server is slow, and is not held by it. The others get
// their answers.
func TestHalfCancelled(t *testing.T) {
	url := newPostgres(t)
	s, pool := openPool(t, url, slog.New(slog.DiscardHandler))
	makeCrowd(t, s, 50)
	admin, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	if _, err := admin.Exec(t.Context(), "BEGIN; LOCK TABLE users"); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	var left atomic.Int64
	inOneBatchWhile(t, &pool.lookUps, 50, func(i int) {
		if i%2 == 0 {
			checkOwn(t, s, i)
			return
		}
		if _, _, err := s.UserBySession(ctx, fmt.Sprint("session", i)); !errors.Is(err, context.Canceled) {
			t.Errorf("who has left got %v", err)
		}
		left.Add(1)
	}, func() {
		leave()
		for left.Load() < 25 {
			time.Sleep(time.Millisecond)
		}
		if _, err := admin.Exec(t.Context(), "COMMIT"); err != nil {
			t.Error(err)
		}
	})
	checkOwn(t, s, 1)
}

// TestStaleBatch: a table changes after its statement was prepared, and 50 ask together.
func TestStaleBatch(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			url := newPostgres(t)
			s, pool := openPool(t, inMode(url, mode), slog.New(slog.DiscardHandler))
			makeCrowd(t, s, 50)
			ask := func(i int) { checkOwn(t, s, i) }
			for _, change := range []string{
				"SELECT 1",
				"ALTER TABLE users ALTER COLUMN full_name TYPE VARCHAR(500)",
				"ALTER TABLE sessions ALTER COLUMN generation TYPE INTEGER",
				"ALTER TABLE users DROP COLUMN full_name, ADD COLUMN full_name TEXT",
			} {
				execute(t, url, change)
				pool.staleUntil.Store(0) // so that the next are prepared again
				inOneBatch(t, &pool.lookUps, 50, ask)
				together(50, ask)
			}
		})
	}
}
