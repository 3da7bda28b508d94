package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A lossyLine is a forwarder that a test can make lose the server's next answer.
type lossyLine struct {
	*forwarder
	armed atomic.Bool   // whether the next answer is lost
	after atomic.Int64  // how many bytes of it come through
	mute  atomic.Bool   // whether the connection then hangs instead of breaking
	hung  chan struct{} // closed when a connection that hangs is to break
	free  sync.Once
}

// release breaks the connection that hangs.
func (l *lossyLine) release() { l.free.Do(func() { close(l.hung) }) }

// newLossyLine returns a line to the server of a URL, and the URL of the same database through it.
func newLossyLine(t testing.TB, base string) (line *lossyLine, its string) {
	t.Helper()
	f, its := newForwarder(t, base)
	line = &lossyLine{forwarder: f, hung: make(chan struct{})}
	f.answer = line.answer
	f.start(t)
	t.Cleanup(line.release) // before the forwarder waits for its connections
	return line, its
}

func (l *lossyLine) answer(client, server net.Conn) {
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

// TestBadRowInPipeline: if the server refuses one look-up, or one row cannot be read, the others
// succeed.
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

// TestCutPipeline: if a connection breaks or hangs in the middle of a batch, all get their answers.
// They do not wait for a connection that hangs.
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
					t.Error("the answers came only after the connection that hangs")
				}
			})
		}
	}
}

// TestHangingAlone: a look-up on a connection that hangs delays no other.
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

// TestTerminatedAll: PostgreSQL ends all connections over and over, while 64 clients look up.
func TestTerminatedAll(t *testing.T) {
	url := newPostgres(t)
	s, _ := openPool(t, url+"&application_name=victims", slog.New(slog.DiscardHandler))
	makeCrowd(t, s, 64)
	stop := keepAsking(t, s)
	defer stop()
	for range repeated(50) {
		time.Sleep(200 * time.Millisecond) // longer than the three tries of a look-up take
		execute(t, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victims'")
	}
}

// TestNobodyThere: ten thousand requests at once for sessions that do not exist are answered, and the
// pool stays small.
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

// TestHalfCancelled: half of the callers of a batch give up while the server is slow, and return at
// once. The others get their answers.
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
			t.Errorf("after giving up: %v; want %v", err, context.Canceled)
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

// TestStaleBatch: a batch of 50 succeeds after a table has changed since its statement was prepared.
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
