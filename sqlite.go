package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
)

// sqliteBusyTimeout is how long a statement waits for a writer in another
// process: less than storeTimeout, so that the error says why.
const sqliteBusyTimeout = 3 * time.Second

// openSQLite opens a file with one connection that writes and several that read. Another
// process on the same machine may open the same file: SQLite's locks allow that.
func openSQLite(path string, mode openMode, log *slog.Logger) (*database, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	warnings, err := prepareFile(path, mode)
	if err != nil {
		return nil, fmt.Errorf("cannot open the SQLite file %s: %w", path, err)
	}
	c := &sqliteConnections{watch: fileWatch{path: path, log: log}, prepared: make([]atomic.Pointer[sql.Stmt], len(statements))}
	busy := busyTimeout(sqliteBusyTimeout)
	writerDSN := sqliteDSN(path, busy, "synchronous(full)", "foreign_keys(on)", "journal_mode(wal)") // WAL: which the file remembers
	c.writer, err = driver.Open(writerDSN, func(conn *sqlite3.Conn) error { return conn.BusyHandler(waitForLock()) })
	if err != nil {
		return nil, err
	}
	c.writer.SetMaxOpenConns(1)
	readerDSN := sqliteDSN(path, busy, "query_only(on)")
	schemaDSN := sqliteDSN(path, busyTimeout(connectTimeout), "foreign_keys(on)")
	if mode == leaveSchema && isSealed(path) {
		readerDSN, schemaDSN = sealedDSN(path), sealedDSN(path)
	}
	c.reader, err = driver.Open(readerDSN, c.beginReader)
	if err != nil {
		return nil, errors.Join(err, c.writer.Close())
	}
	readers := max(4, cores)
	c.reader.SetMaxOpenConns(readers)
	c.reader.SetMaxIdleConns(readers)
	schemaDB, err := sql.Open("sqlite3", schemaDSN)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	schemaDB.SetMaxIdleConns(-1)
	return &database{
		connections: c,
		name:        "SQLite file " + path,
		schemaDB:    schemaDB,
		schema:      sqliteSchema,
		warnings:    warnings,
	}, nil
}

// lockPoll is how often a writer asks for a lock that another process has.
const lockPoll = 2 * time.Millisecond

// waitForLock returns a handler that waits for a lock until sqliteBusyTimeout. SQLite's own asks
// only every tenth of a second after a while: it would hardly ever find the moment between two
// transactions of an import.
func waitForLock() func(ctx context.Context, count int) bool {
	var began time.Time
	return func(ctx context.Context, count int) bool {
		if count == 0 {
			began = time.Now()
		}
		return time.Since(began) < sqliteBusyTimeout && sleep(ctx, lockPoll)
	}
}

// sqliteSchema needs no lock of its own: the transaction has the whole file.
var sqliteSchema = schemaDialect{
	folder:    "sqlite3",
	findTable: `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '` + schemaTable + `')`,
	createTable: `
		CREATE TABLE ` + schemaTable + ` (
			id         INTEGER PRIMARY KEY AUTOINCREMENT,
			version_id INTEGER NOT NULL,
			is_applied INTEGER NOT NULL,
			tstamp     TIMESTAMP DEFAULT (datetime('now'))
		);
		INSERT INTO ` + schemaTable + ` (version_id, is_applied) VALUES (0, 1);`,
}

func (c *sqliteConnections) prepare(ctx context.Context, conn *sql.Conn, text string) error {
	stmt, err := conn.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	return stmt.Close()
}

// cure sees one code, ERROR, for every statement that does not fit the tables: SQLite has no
// others.
func (c *sqliteConnections) cure(err error) string {
	switch {
	case errors.Is(err, sqlite3.ERROR):
		return "another application keeps its tables there: want a file of its own"
	case errors.Is(err, sqlite3.NOTADB):
		return "it is another kind of file, or encrypted: want a SQLite database, or a path where there is no file"
	case errors.Is(err, sqlite3.CORRUPT):
		return "it is damaged: want a backup"
	case errors.Is(err, sqlite3.BUSY):
		return "another process is writing to it"
	}
	return ""
}

// ready makes the first connection. If two processes turn a file to WAL at the same moment,
// SQLite fails one of them without waiting, so it tries again.
func (c *sqliteConnections) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	for {
		var n int // a read, with which SQLite opens all its files
		err := c.writer.QueryRowContext(ctx, "SELECT count(*) FROM "+schemaTable).Scan(&n)
		if err == nil {
			return c.watch.begin()
		}
		if !errors.Is(err, sqlite3.BUSY) || !pause(ctx) {
			return fmt.Errorf("cannot use the SQLite file %s: %w", c.watch.path, c.explain(err))
		}
	}
}

// beginReader prepares a new connection that reads. It makes plans independent of values: in a
// file that somebody has ANALYZEd, SQLite would otherwise compile a statement anew for every
// value (sqlite.org/queryplanner-ng.html, "Query Planner Stability
// Guarantee"), which takes twice as long as to look it up.
func (c *sqliteConnections) beginReader(conn *sqlite3.Conn) error {
	if err := c.watch.look(); err != nil {
		return err
	}
	_, err := conn.Config(sqlite3.DBCONFIG_ENABLE_QPSG, true)
	return err
}

// faultOf returns faultOther: there is one writer, so no statement is ever undone.
func (c *sqliteConnections) faultOf(error) fault { return faultOther }

func (c *sqliteConnections) isTemporary(error) bool { return false }

// explain says more about a failed write than "disk I/O error": go-sqlite3 0.37 loses the
// system's error, even that the disk is full. It leaves out the statement with which the
// driver first reads the file.
func (c *sqliteConnections) explain(err error) error {
	if errors.Is(err, sqlite3.IOERR_WRITE) {
		return fmt.Errorf("%w: cannot write: the disk may be full, or the file read-only", err)
	}
	if reason, ok := errors.AsType[*sqlite3.Error](err); ok {
		return reason
	}
	return err
}

// sqliteConnections holds one connection that writes and several that read.
type sqliteConnections struct {
	reader, writer *sql.DB
	watch          fileWatch
	contention     contention                 // of bulk loads
	prepared       []atomic.Pointer[sql.Stmt] // by the place of the statement
}

func (c *sqliteConnections) exec(ctx context.Context, s *statement, args ...any) (int64, error) {
	stmt, err := c.stmt(ctx, s)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	if err := c.watch.look(); err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (c *sqliteConnections) queryRow(ctx context.Context, s *statement, args ...any) row {
	stmt, err := c.stmt(ctx, s)
	if err != nil {
		return failedRow{err}
	}
	r := stmt.QueryRowContext(ctx, args...)
	if s.writes {
		return writtenRow{r, &c.watch}
	}
	return r
}

// A writtenRow is a row that a statement has written. If the file is no longer there, neither
// the row nor its absence means anything.
type writtenRow struct {
	row
	watch *fileWatch
}

func (r writtenRow) Scan(fields ...any) error {
	err := r.row.Scan(fields...)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return cmp.Or(r.watch.look(), err)
}

func (c *sqliteConnections) queryAll(ctx context.Context, scan func(row) error, s *statement, args ...any) error {
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

// stmt returns s, prepared, if the file is still there. It prepares a statement when it is
// first used, because there may be no tables when the pool opens.
func (c *sqliteConnections) stmt(ctx context.Context, s *statement) (*sql.Stmt, error) {
	if err := c.watch.lookNowAndThen(); err != nil {
		return nil, err
	}
	prepared := &c.prepared[s.place]
	if stmt := prepared.Load(); stmt != nil {
		return stmt, nil
	}
	db := c.reader
	if s.writes {
		db = c.writer
	}
	stmt, err := db.PrepareContext(ctx, s.text)
	if err != nil {
		return nil, err
	}
	if !prepared.CompareAndSwap(nil, stmt) {
		stmt.Close() // another request was quicker
	}
	return prepared.Load(), nil
}

func (c *sqliteConnections) noteFault(fault) {} // the others are not affected

func (c *sqliteConnections) Close() error {
	return errors.Join(c.reader.Close(), c.writer.Close())
}

// A failedRow is a row that could not be read.
type failedRow struct{ error }

func (r failedRow) Scan(...any) error { return r.error }

func busyTimeout(d time.Duration) string {
	return "busy_timeout(" + strconv.FormatInt(d.Milliseconds(), 10) + ")"
}

// sqliteDSN returns a data source name that gives these pragmas to every connection of the
// pool. Transactions take the write lock when they begin, because a transaction that reads
// first could fail to get it. Connections never create the file: if it is moved away while
// the server runs, it must not be replaced by an empty one.
func sqliteDSN(path string, pragmas ...string) string {
	query := url.Values{"mode": {"rw"}, "_txlock": {"immediate"}, "_pragma": pragmas}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
}

// isSealed reports whether nobody writes to a file, and SQLite cannot put its own files beside it.
func isSealed(path string) bool {
	_, err := os.Stat(path + "-wal")
	return errors.Is(err, fs.ErrNotExist) && checkDirectory(filepath.Dir(path)) != nil
}

// sealedDSN is sqliteDSN for such a file: SQLite then reads it without locks.
func sealedDSN(path string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=ro&immutable=1"
}
