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
)

// pgKeepAlive notices within some 30 s that the other side of a quiet connection
// is gone.
var pgKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// parsePostgres reads a libpq URL, with the parameters of pgxpool. What is wrong
// with it is said without the URL, which has a password in it; the parser's own
// error repeats parts of it. Of several hosts it takes one that can be written to.
func parsePostgres(url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("want a PostgreSQL URL such as postgres://user:password@host:5432/name?sslmode=verify-full, with special characters in the password as %XX")
	}
	if !strings.Contains(url, "pool_max_conns=") {
		cfg.MaxConns = pgMaxConns
	}
	if cfg.MaxConns < 2 {
		return nil, errors.New("pool_max_conns: want at least 2")
	}
	conn := cfg.ConnConfig
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = pgConnectTimeout
	}
	if conn.ValidateConnect == nil && len(hosts(conn)) > 1 {
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	conn.DialFunc = (&net.Dialer{KeepAliveConfig: pgKeepAlive}).DialContext
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

// openPostgres returns a pool of connections, of which none is made yet. Those
// that were idle for a second are asked whether they are alive before they are
// used again.
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
		connections: pgConnections{pool},
		name:        fmt.Sprintf("PostgreSQL database %s at %s", cfg.ConnConfig.Database, strings.Join(hosts(cfg.ConnConfig), ", ")),
		schema:      stdlib.OpenDBFromPool(pool),
		dialect:     goosedb.DialectPostgres,
		hasSchema: `SELECT EXISTS (
			SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1)`,
		fault:   pgFault,
		newLock: pgLock,
	}, nil
}

// pgConnections is a pool of pgx, which prepares what it is given once for every
// connection.
type pgConnections struct{ pool *pgxpool.Pool }

func (c pgConnections) exec(ctx context.Context, s statement, args ...any) (int64, error) {
	tag, err := c.pool.Exec(ctx, statementTexts[s], args...)
	return tag.RowsAffected(), err
}

func (c pgConnections) queryRow(ctx context.Context, s statement, args ...any) row {
	return c.pool.QueryRow(ctx, statementTexts[s], args...)
}

func (c pgConnections) queryAll(ctx context.Context, s statement, scan func(row) error) error {
	rows, err := c.pool.Query(ctx, statementTexts[s])
	if err != nil {
		return err
	}
	defer rows.Close()
	return scanAll(rows, scan)
}

func (c pgConnections) dropIdle() { c.pool.Reset() }

func (c pgConnections) Close() error {
	c.pool.Close()
	return nil
}

// pgLock is a row of a table, for not every relative of PostgreSQL has advisory
// locks. A process that dies with it keeps the others waiting for 30 s.
func pgLock(log *slog.Logger) (lock.Locker, error) {
	return lock.NewPostgresTableLocker(
		lock.WithTableName(schemaLockTable),
		lock.WithTableLockTimeout(200*time.Millisecond, 300),
		lock.WithTableLogger(log))
}

// pgFault reads the SQLSTATE of an error
// (https://www.postgresql.org/docs/current/errcodes-appendix.html).
func pgFault(err error) fault {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case !ok && pgconn.SafeToRetry(err):
		return faultUndone // it was not even sent
	case !ok && !errors.Is(err, sql.ErrNoRows) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled):
		return faultLost
	case !ok:
		return faultOther
	}
	switch answer.Code {
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return faultUndone
	case "25006": // read_only_sql_transaction: a failover has made it a standby
		return faultDemoted
	case "23503": // foreign_key_violation
		return faultNoUser
	case "57P01", "57P02", "57P03": // admin_shutdown, crash_shutdown, cannot_connect_now
		return faultLost
	}
	return faultOther
}
