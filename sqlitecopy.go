package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// A snapshot is what a copy of a database holds.
type snapshot struct {
	version         int64 // of the schema
	users, sessions int   // -1: the schema is newer than this program
	bytes           int64
}

func (s snapshot) String() string {
	size := thousands(s.bytes) + " bytes"
	if s.users < 0 {
		return fmt.Sprintf("%s; users and sessions are not counted, because the schema has version %d, which is newer than this program", size, s.version)
	}
	return fmt.Sprintf("%s, %s, %s", countOf(s.users, "user"), countOf(s.sessions, "open session"), size)
}

// copySQLite writes one moment of a SQLite database to an empty file, and checks what it wrote.
// It takes a schema of any version, because a backup comes before an upgrade, and does not
// change the database. It reads in a transaction of its own, so others go on writing.
func copySQLite(ctx context.Context, db *database, to string, now time.Time) (snapshot, error) {
	to, err := filepath.Abs(to) // a name that begins with "file:" would be a URI
	if err != nil {
		return snapshot{}, err
	}
	defer os.Remove(to + "-journal") // there if SQLite was interrupted
	var copied snapshot
	var writeErr error // does not concern the database
	err = db.onSchema(ctx, func(conn *sql.Conn) error {
		if copied.version, err = db.copiedVersion(ctx, conn); err != nil {
			return err
		}
		files := &db.connections.(*sqliteConnections).watch
		if err := files.begin(); err != nil { // also leaves the files beside it to the server
			return err
		}
		writeErr, err = vacuumInto(ctx, conn, to)
		return cmp.Or(err, files.compare())
	})
	if err := cmp.Or(err, writeErr); err != nil {
		return snapshot{}, err
	}
	if err := inspectCopy(ctx, db, to, now, &copied); err != nil {
		return snapshot{}, fmt.Errorf("the backup cannot be used, and is removed: %w", err)
	}
	return copied, nil
}

// vacuumInto copies a database to a file. It tells errors of the file from those of the database.
func vacuumInto(ctx context.Context, conn *sql.Conn, to string) (writeErr, err error) {
	_, err = conn.ExecContext(ctx, "VACUUM INTO $1", to) // https://sqlite.org/lang_vacuum.html
	if errors.Is(err, sqlite3.IOERR_WRITE) || errors.Is(err, sqlite3.FULL) {
		return fmt.Errorf("cannot write the backup, because the disk may be full: %w", err), nil
	}
	return nil, err
}

// copiedVersion returns the version of a schema, which must be ours.
func (d *database) copiedVersion(ctx context.Context, conn *sql.Conn) (int64, error) {
	_, version, err := d.currentVersion(ctx, conn)
	if err == nil && version == 0 {
		err = errors.New("it has no users of Latchkey: want the path of the server's database")
	}
	return version, err
}

// inspectCopy checks a copy and counts what it has.
func inspectCopy(ctx context.Context, db *database, path string, now time.Time, copied *snapshot) error {
	dsn := sealedDSN(path) // which leaves no files beside it
	file, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return err
	}
	defer file.Close()
	var verdict string
	if err := file.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return errors.New(verdict)
	}
	copied.users, copied.sessions = -1, -1
	all, err := db.schema.migrations()
	if err != nil || copied.version > all[len(all)-1].version {
		return err
	}
	if err := file.QueryRowContext(ctx, "SELECT count(*) FROM users").Scan(&copied.users); err != nil {
		return err
	}
	return file.QueryRowContext(ctx, countOpen(copied.version), now.UnixMicro()).Scan(&copied.sessions)
}

// countOpen returns a query for the number of open sessions, in a schema of this version.
func countOpen(version int64) string {
	query := "SELECT count(*) FROM sessions WHERE expires_at > $1"
	if version == 1 { // which did not know how to end all of a user's at once
		return query
	}
	return query + " AND " + isOpenAlone
}
