package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	goosedb "github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

const (
	pgMaxConns       = 10              // at most, unless the URL says pool_max_conns
	pgConnectTimeout = 2 * time.Second // per host, within storeTimeout

	// pgPingTimeout is short, for a request may meet two dead connections before
	// it gets a new one.
	pgPingTimeout = 500 * time.Millisecond
)

// pgKeepAlive notices within some 30 s that the other side of a quiet connection
// is gone.
var pgKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// parsePostgres reads a libpq URL, with the parameters of pgxpool. What is wrong
// with it is said without the URL, which has a password in it; the parser's own
// error repeats parts of it. Unless the URL says otherwise, only a server that can be
// written to will do: a standby may not have heard of a session yet, and the answer
// would be a wrong 401.
func parsePostgres(url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil || strings.Contains(cfg.ConnConfig.Database, "@") { // behind a slash in the password
		return nil, errors.New("want a PostgreSQL URL such as postgres://user:password@host:5432/name?sslmode=verify-full, with special characters in the password as %XX")
	}
	if !strings.Contains(url, "pool_max_conns=") { // cfg does not say whether it was set
		cfg.MaxConns = pgMaxConns
	}
	if cfg.MaxConns < 2 { // goose holds one, and its lock needs another
		return nil, errors.New("pool_max_conns: want at least 2")
	}
	conn := cfg.ConnConfig
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = pgConnectTimeout
	}
	if !strings.Contains(url, "target_session_attrs=") {
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // acquire does
	conn.DialFunc = (&net.Dialer{Timeout: pgConnectTimeout, KeepAliveConfig: pgKeepAlive}).DialContext
	return cfg, nil
}

// hosts returns the addresses that cfg names, each once.
func hosts(cfg *pgx.ConnConfig) []string {
	all := []string{net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))}
	for _, other := range cfg.Fallbacks { // a host is there twice if TLS is only preferred
		addr := net.JoinHostPort(other.Host, strconv.Itoa(int(other.Port)))
		if !slices.Contains(all, addr) {
			all = append(all, addr)
		}
	}
	return all
}

// openPostgres returns a pool of connections, of which none is made yet.
func openPostgres(url string) (*database, error) {
	cfg, err := parsePostgres(url)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	return &database{
		connections: &pgConnections{pool: pool},
		name:        fmt.Sprintf("PostgreSQL database %s at %s", cfg.ConnConfig.Database, strings.Join(hosts(cfg.ConnConfig), ", ")),
		schemaDB:    stdlib.OpenDBFromPool(pool),
		dialect:     goosedb.DialectPostgres,
		findTable: `SELECT EXISTS (
			SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1)`,
		faultOf: pgFault,
		explain: func(err error) error { return err },
		newLock: pgLock,
	}, nil
}

// pgConnections is a pool of pgx, which prepares what it is given once for every
// connection.
type pgConnections struct {
	pool    *pgxpool.Pool
	faultAt atomic.Int64 // when a statement has failed last, in nanoseconds since 1970
}

func (c *pgConnections) exec(ctx context.Context, s statement, args ...any) (n int64, err error) {
	err = c.use(ctx, func(conn *pgxpool.Conn) error {
		tag, err := conn.Exec(ctx, statementTexts[s], args...)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

func (c *pgConnections) queryRow(ctx context.Context, s statement, args ...any) row {
	return pgRow{c, ctx, s, args}
}

// A pgRow is a row that is asked for when it is scanned.
type pgRow struct {
	*pgConnections
	ctx  context.Context
	s    statement
	args []any
}

func (r pgRow) Scan(fields ...any) error {
	return r.use(r.ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(r.ctx, statementTexts[r.s], r.args...).Scan(fields...)
	})
}

func (c *pgConnections) queryAll(ctx context.Context, scan func(row) error, s statement, args ...any) error {
	return c.use(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, statementTexts[s], args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		return scanAll(rows, scan)
	})
}

// use calls op with a connection that is alive as far as we know.
func (c *pgConnections) use(ctx context.Context, op func(*pgxpool.Conn) error) error {
	conn, err := c.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.release(conn)
	return op(conn)
}

// acquire returns a connection that is to be released. One that was not used for a
// second, or not since a statement has failed, has to prove first that it is alive:
// what has happened to one has often happened to all.
func (c *pgConnections) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	for {
		conn, err := c.pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		used, ok := conn.Conn().PgConn().CustomData()[lastUse].(time.Time)
		if !ok || time.Since(used) < time.Second && used.UnixNano() > c.faultAt.Load() {
			return conn, nil
		}
		if isAlive(ctx, conn) {
			return conn, nil
		}
		c.release(conn)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// lastUse is under what a connection remembers when it was used last.
const lastUse = "latchkey: last use"

func isAlive(ctx context.Context, conn *pgxpool.Conn) bool {
	ctx, cancel := context.WithTimeout(ctx, pgPingTimeout)
	defer cancel()
	return conn.Ping(ctx) == nil
}

// release gives a connection back. One that has failed is taken out of the pool at
// once: the pool would count it for as long as pgx takes leave of the server, which
// is 15 s if that has gone silent.
func (c *pgConnections) release(conn *pgxpool.Conn) {
	if conn.Conn().IsClosed() {
		conn.Hijack()
		return
	}
	conn.Conn().PgConn().CustomData()[lastUse] = time.Now()
	conn.Release()
}

// noteFault drops all connections to a server that takes no writes any more, and
// makes them suspect after any other fault; see acquire.
func (c *pgConnections) noteFault(kind fault) {
	if kind == faultDemoted {
		c.pool.Reset()
		return
	}
	c.faultAt.Store(time.Now().UnixNano())
}

func (c *pgConnections) Close() error {
	c.pool.Close()
	return nil
}

// pgLock is a row of a table, for not every relative of PostgreSQL has advisory
// locks. A process that dies with it keeps the others waiting for 30 s (goose's
// lease); they try for a minute.
func pgLock(log *slog.Logger) (lock.Locker, error) {
	return lock.NewPostgresTableLocker(
		lock.WithTableName(schemaLockTable),
		lock.WithTableLockTimeout(200*time.Millisecond, 300),
		lock.WithTableLogger(log))
}

// pgFaults says what an answer of the server means, by its SQLSTATE
// (https://www.postgresql.org/docs/current/errcodes-appendix.html). Any other is
// faultOther.
var pgFaults = map[string]fault{
	"40001": faultUndone,  // serialization_failure
	"40P01": faultUndone,  // deadlock_detected
	"25006": faultDemoted, // read_only_sql_transaction: a failover has made it a standby
	"23503": faultNoUser,  // foreign_key_violation
	"57P01": faultLost,    // admin_shutdown
	"57P02": faultLost,    // crash_shutdown
	"57P03": faultLost,    // cannot_connect_now
}

// pgFault says what an error of pgx means: the server's answer, or that there was
// none.
func pgFault(err error) fault {
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgFaults[answer.Code]
	}
	switch {
	case pgconn.SafeToRetry(err):
		return faultUndone // it was not even sent
	case errors.Is(err, sql.ErrNoRows), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return faultOther
	}
	return faultLost
}
