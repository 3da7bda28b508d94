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
	"time"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver" // registers sqlite3
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
	busy := busyTimeout(sqliteBusyTimeout)
	writerDSN := sqliteDSN(path, busy, "synchronous(full)", "foreign_keys(on)", "journal_mode(wal)") // WAL: which the file remembers
	readerDSN := sqliteDSN(path, busy, "query_only(on)")
	schemaDSN := sqliteDSN(path, busyTimeout(connectTimeout), "foreign_keys(on)")
	if mode == leaveSchema && isSealed(path) {
		readerDSN, schemaDSN = sealedDSN(path), sealedDSN(path)
	}
	c := newSQLiteConnections(writerDSN, readerDSN, path, log)
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

// sqliteConnections holds one connection that writes and several that read.
type sqliteConnections struct {
	reader, writer *sqlitePool
	lookUps        lane // several share a snapshot
	writes         lane // several share a commit, which waits for the disk
	watch          fileWatch
	contention     contention // of bulk loads
}

func newSQLiteConnections(writerDSN, readerDSN, path string, log *slog.Logger) *sqliteConnections {
	c := &sqliteConnections{watch: fileWatch{path: path, log: log}}
	c.writer = newSQLitePool(1, writerDSN, beginWriter)
	c.reader = newSQLitePool(max(4, cores), readerDSN, c.beginReader)
	c.writes = lane{alone: c.writeAlone, together: c.writeTogether}
	c.lookUps = lane{alone: c.readAlone, together: c.lookUpTogether, patience: lanePatience}
	return c
}

// beginReader prepares a new connection that reads. It makes plans independent of values: in a
// file that somebody has ANALYZEd, SQLite would otherwise compile a statement anew for every value
// (sqlite.org/queryplanner-ng.html, "Query Planner Stability Guarantee"), which takes twice as long
// as to look it up.
func (c *sqliteConnections) beginReader(conn *sqlite3.Conn) error {
	if err := c.watch.look(); err != nil {
		return err
	}
	_, err := conn.Config(sqlite3.DBCONFIG_ENABLE_QPSG, true)
	return err
}

func beginWriter(conn *sqlite3.Conn) error { return conn.BusyHandler(waitForLock()) }

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
		err := c.writer.use(ctx, func(conn *sqliteConn) error {
			return conn.Exec("SELECT count(*) FROM " + schemaTable) // a read, with which SQLite opens all its files
		})
		if err == nil {
			return c.watch.begin()
		}
		if !errors.Is(err, sqlite3.BUSY) || !pause(ctx) {
			return fmt.Errorf("cannot use the SQLite file %s: %w", c.watch.path, c.explain(err))
		}
	}
}

// faultOf returns faultOther: there is one writer, so no statement is ever undone.
func (c *sqliteConnections) faultOf(error) fault { return faultOther }

func (c *sqliteConnections) isTemporary(err error) bool {
	code, ok := errors.AsType[sqlite3.ErrorCode](err)
	return ok && code.Temporary()
}

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

func (c *sqliteConnections) exec(ctx context.Context, s *statement, args ...any) (int64, error) {
	one := &call{statement: s, args: args}
	err := c.carryOut(ctx, one)
	return one.concerned, err
}

func (c *sqliteConnections) queryRow(ctx context.Context, fields []any, s *statement, args ...any) error {
	return c.carryOut(ctx, &call{statement: s, args: args, fields: fields})
}

// carryOut carries out a call if the file is still there.
func (c *sqliteConnections) carryOut(ctx context.Context, one *call) error {
	if err := c.watch.lookNowAndThen(); err != nil {
		return err
	}
	switch one.statement.purpose {
	case toWrite:
		return c.writes.do(ctx, one)
	case toLookUp:
		return c.lookUps.do(ctx, one)
	}
	return c.readAlone(ctx, one)
}

func (c *sqliteConnections) queryAll(ctx context.Context, scan func(row) error, s *statement, args ...any) error {
	if err := c.watch.lookNowAndThen(); err != nil {
		return err
	}
	return c.reader.use(ctx, func(conn *sqliteConn) error { return conn.readAll(scan, s, args) })
}

func (c *sqliteConnections) readAlone(ctx context.Context, one *call) error {
	return c.reader.use(ctx, func(conn *sqliteConn) error { return conn.run(one) })
}

// lookUpTogether carries out look-ups in one transaction, so that SQLite locks the file once. A
// look-up that fails is carried out again, alone.
func (c *sqliteConnections) lookUpTogether(batch []*call) {
	c.reader.use(context.Background(), func(conn *sqliteConn) error {
		if err := conn.Exec("BEGIN"); err != nil {
			return err
		}
		for _, one := range batch {
			err := one.answer(func() error { return conn.run(one) })
			if err == nil || errors.Is(err, sql.ErrNoRows) {
				one.settle(err)
			}
		}
		return conn.Exec("COMMIT")
	})
}

// writeAlone leaves the commit to SQLite. If the file is no longer there afterwards, neither the
// row nor its absence means anything.
func (c *sqliteConnections) writeAlone(ctx context.Context, one *call) error {
	err := c.writer.use(ctx, func(conn *sqliteConn) error { return conn.run(one) })
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return cmp.Or(c.watch.look(), err)
}

// writeTogether carries out writes in one transaction. A write that breaks a constraint undoes
// nothing of the others. If SQLite undoes the transaction before its commit, each write is carried
// out alone. If the commit fails, all of them fail, because SQLite may have carried them out.
func (c *sqliteConnections) writeTogether(batch []*call) {
	results := make([]error, len(batch))
	err := c.writer.use(context.Background(), func(conn *sqliteConn) error {
		if err := conn.Exec("BEGIN IMMEDIATE"); err != nil {
			return err
		}
		for i, one := range batch {
			results[i] = one.answer(func() error { return conn.run(one) })
			if conn.GetAutocommit() { // the transaction is undone, because the disk is full, for example
				return errAlone
			}
		}
		return cmp.Or(conn.Exec("COMMIT"), c.watch.look())
	})
	for i, one := range batch {
		one.settle(cmp.Or(err, results[i]))
	}
}

func (c *sqliteConnections) noteFault(fault) {} // the others are not affected

func (c *sqliteConnections) Close() error {
	return errors.Join(c.reader.Close(), c.writer.Close())
}

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
