package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	goosedb "github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

// sqliteBusyTimeout is how long a statement waits for a writer in another
// process: less than storeTimeout, so that the error says why.
const sqliteBusyTimeout = 3 * time.Second

// openSQLite opens a file with one connection that writes and several that read
// beside it. A second process may open the same file, if it is on the same
// machine: SQLite's locks see to it.
func openSQLite(path string, create bool) (*database, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	warnings, err := prepareFile(path, create)
	if err != nil {
		return nil, fmt.Errorf("cannot open the SQLite file %s: %w", path, err)
	}
	busy := "busy_timeout(" + strconv.FormatInt(sqliteBusyTimeout.Milliseconds(), 10) + ")"
	pragmas := []string{busy, "synchronous(full)", "foreign_keys(on)"}
	if create {
		pragmas = append(pragmas, "journal_mode(wal)") // which the file remembers
	}
	writer, err := sql.Open("sqlite3", sqliteDSN(path, pragmas...))
	if err != nil {
		return nil, err
	}
	writer.SetMaxOpenConns(1)
	if create {
		if err := connect(writer); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot open the SQLite file %s: %w", path, err), writer.Close())
		}
	}
	reader, err := driver.Open(sqliteDSN(path, busy, "query_only(on)"), compileOnce)
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	readers := max(4, runtime.GOMAXPROCS(0))
	reader.SetMaxOpenConns(readers)
	reader.SetMaxIdleConns(readers)
	return &database{
		connections: &sqliteConnections{reader: reader, writer: writer},
		name:        "SQLite file " + path,
		schemaDB:    writer,
		dialect:     goosedb.DialectSQLite3,
		findTable:   `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = $1)`,
		faultOf:     func(error) fault { return faultOther }, // one writer: nobody undoes its work
		explain:     explainSQLite,
		newLock: func(*slog.Logger) (lock.Locker, error) {
			return fileLock{flock.New(path+"-lock", flock.SetPermissions(0o600))}, nil
		},
		warnings: warnings,
	}, nil
}

// connect makes the first connection. Two processes that turn a file to WAL at the
// same moment are in each other's way, and SQLite gives one of them up without
// waiting.
func connect(db *sql.DB) error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	for {
		err := db.PingContext(ctx)
		if !errors.Is(err, sqlite3.BUSY) || !pause(ctx) {
			return err
		}
	}
}

// compileOnce makes plans independent of values. In a file that somebody has ANALYZEd,
// SQLite would otherwise compile a statement anew for every value (sqlite.org/queryplanner-ng.html,
// "Query Planner Stability Guarantee"), which takes twice as long as to look it up.
func compileOnce(c *sqlite3.Conn) error {
	_, err := c.Config(sqlite3.DBCONFIG_ENABLE_QPSG, true)
	return err
}

// explainSQLite says more of a failed write than "disk I/O error": go-sqlite3
// 0.37 loses what the system has said, even that the disk is full.
func explainSQLite(err error) error {
	if errors.Is(err, sqlite3.IOERR_WRITE) {
		return fmt.Errorf("%w: cannot write: the disk may be full, or the file read-only", err)
	}
	return err
}

// sqliteConnections are one that writes and several that read.
type sqliteConnections struct {
	reader, writer *sql.DB
	prepared       [len(statementTexts)]atomic.Pointer[sql.Stmt]
}

func (c *sqliteConnections) exec(ctx context.Context, s statement, args ...any) (int64, error) {
	stmt, err := c.stmt(ctx, s)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (c *sqliteConnections) queryRow(ctx context.Context, s statement, args ...any) row {
	stmt, err := c.stmt(ctx, s)
	if err != nil {
		return failedRow{err}
	}
	return stmt.QueryRowContext(ctx, args...)
}

func (c *sqliteConnections) queryAll(ctx context.Context, scan func(row) error, s statement, args ...any) error {
	stmt, err := c.stmt(ctx, s)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return scanAll(rows, scan)
}

// stmt returns s, prepared when it is first used: when the pool opens there may be
// no tables yet.
func (c *sqliteConnections) stmt(ctx context.Context, s statement) (*sql.Stmt, error) {
	if stmt := c.prepared[s].Load(); stmt != nil {
		return stmt, nil
	}
	db := c.reader
	if s.writes() {
		db = c.writer
	}
	stmt, err := db.PrepareContext(ctx, statementTexts[s])
	if err != nil {
		return nil, err
	}
	if !c.prepared[s].CompareAndSwap(nil, stmt) {
		stmt.Close() // another was quicker
	}
	return c.prepared[s].Load(), nil
}

func (c *sqliteConnections) noteFault(fault) {} // the others are not affected

func (c *sqliteConnections) Close() error {
	return errors.Join(c.reader.Close(), c.writer.Close())
}

// A failedRow is a row that was never read.
type failedRow struct{ error }

func (r failedRow) Scan(...any) error { return r.error }

// sqliteDSN returns the name under which every connection that the pool opens has
// these pragmas. Its transactions take the write lock when they begin: one that
// has read first could fail to get it. They never create the file: one that is moved
// away while we run must not be replaced by an empty one.
func sqliteDSN(path string, pragmas ...string) string {
	query := url.Values{"mode": {"rw"}, "_txlock": {"immediate"}, "_pragma": pragmas}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
}

// prepareFile returns what keeps SQLite from working with a file, in words that
// SQLite has not, and warnings. A file that is not there is an fs.ErrNotExist, or is
// created if create is true, for its owner only; keepFilesPrivate sees to those that
// SQLite puts beside it.
func prepareFile(path string, create bool) (warnings []string, err error) {
	if err := checkDirectory(filepath.Dir(path)); err != nil {
		return nil, err
	}
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("want a file that this user may read and write: %w", withoutPath(err))
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("want a regular file")
	}
	if info.Mode().Perm()&0o077 != 0 {
		warnings = append(warnings, fmt.Sprintf("others on this machine may open %s, with every password hash in it; want mode 0600", path))
	}
	return warnings, nil
}

// checkDirectory returns what keeps SQLite from putting its files beside the users'.
func checkDirectory(dir string) error {
	probe, err := os.CreateTemp(dir, ".latchkey-*")
	if err != nil { // %v: without its directory, the file is not just one to be created
		return fmt.Errorf("want a directory that takes new files, for SQLite puts some beside it: %v", withoutPath(err))
	}
	probe.Close()
	return os.Remove(probe.Name())
}

// withoutPath takes away what the caller says better.
func withoutPath(err error) error {
	if bad, ok := errors.AsType[*fs.PathError](err); ok {
		return bad.Err
	}
	return err
}

// fileLock is a lock that a process has until it ends, however that happens.
type fileLock struct{ *flock.Flock }

func (l fileLock) Lock(ctx context.Context, _ *sql.DB) error {
	_, err := l.TryLockContext(ctx, 20*time.Millisecond)
	return err
}

func (l fileLock) Unlock(context.Context, *sql.DB) error { return l.Close() }
