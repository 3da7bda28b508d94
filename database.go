package main

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	goosedb "github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

// A row is one that a statement has found: of database/sql or of pgx.
type row interface {
	Scan(fields ...any) error
}

// connections is a pool that carries out statements, each prepared once for every
// connection.
type connections interface {
	// exec returns how many rows the statement concerned.
	exec(ctx context.Context, s statement, args ...any) (int64, error)

	// queryRow returns the only row, whose Scan returns sql.ErrNoRows if there is
	// none.
	queryRow(ctx context.Context, s statement, args ...any) row

	// queryAll calls scan for every row.
	queryAll(ctx context.Context, scan func(row) error, s statement, args ...any) error

	// noteFault hears of every statement that has failed, to look after the other
	// connections.
	noteFault(fault)

	Close() error
}

// scanAll calls scan for every row that is left.
func scanAll(rows interface {
	row
	Next() bool
	Err() error
}, scan func(row) error) error {
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// A fault is what a database's error says of the statement that it is about.
type fault int

const (
	faultOther   fault = iota // it would fail again, or may have been carried out
	faultUndone               // it was not carried out, and may succeed the next time
	faultDemoted              // it was not carried out: this server takes no writes any more
	faultLost                 // the connection is lost, and nobody knows
	faultNoUser               // it was not carried out: it refers to a user who is gone
)

// A database is an open SQLite file or PostgreSQL server, and what differs
// between the two.
type database struct {
	connections
	name     string  // for people, without any secret
	schemaDB *sql.DB // the same database, for looking at the schema and changing it
	dialect  goosedb.Dialect

	// findTable is a query that says whether the table $1 is there.
	findTable string

	// faultOf says what an error of the driver means.
	faultOf func(error) fault

	// explain adds to an error of the driver what people should look at.
	explain func(error) error

	// newLock returns what lets one process at a time change the schema.
	newLock func(*slog.Logger) (lock.Locker, error)

	// warnings is what an operator should know before it matters.
	warnings []string
}

const (
	schemaTable     = "schema_version"
	schemaLockTable = "schema_lock"
)

// How long the start and the end wait for a database to answer.
const (
	connectTimeout = 10 * time.Second
	migrateTimeout = 5 * time.Minute
	closeTimeout   = 3 * time.Second
)

// Close waits for the database to agree, though not for one that has gone silent:
// of each connection the driver takes leave for seconds.
func (d *database) Close() error {
	closed := make(chan error, 1)
	go func() { closed <- errors.Join(d.schemaDB.Close(), d.connections.Close()) }() // SQLite's writer twice, which is no error
	select {
	case err := <-closed:
		return err
	case <-time.After(closeTimeout):
		return fmt.Errorf("%s does not answer that its connections are closed", d.name)
	}
}

//go:embed migrations
var migrations embed.FS

// migrate brings the schema up to what this program needs. Several processes may
// try at once: one does it, and the others wait. It refuses a schema that is newer
// than the program.
func (d *database) migrate(ctx context.Context, log *slog.Logger) error {
	current, target, err := d.schemaVersions(ctx)
	if err != nil || current == target {
		return err
	}
	locker, err := d.newLock(log)
	if err != nil {
		return err
	}
	provider, err := d.migrator(goose.WithLocker(locker))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("cannot migrate the schema of %s; want a user who may create tables there: %s", d.name, oneLine(err))
	}
	log.Info("schema migrated", "from", current, "to", target)
	return nil
}

// schemaVersions returns the version of the schema, 0 for an empty database, and
// the one that this program needs. It is an error if the first is newer. Nothing
// is written.
func (d *database) schemaVersions(ctx context.Context) (current, target int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	provider, err := d.migrator()
	if err != nil {
		return 0, 0, err
	}
	sources := provider.ListSources()
	target = sources[len(sources)-1].Version
	current, err = d.currentVersion(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("cannot open %s: %s", d.name, oneLine(err))
	}
	if current > target {
		return 0, 0, fmt.Errorf("%s has version %d of the schema, and this program knows none after %d; want a newer latchkey, or a backup from before", d.name, current, target)
	}
	return current, target, nil
}

// currentVersion returns the version of the schema, 0 if no table says one.
func (d *database) currentVersion(ctx context.Context) (int64, error) {
	var exists bool
	err := d.schemaDB.QueryRowContext(ctx, d.findTable, schemaTable).Scan(&exists)
	if err != nil || !exists {
		return 0, err
	}
	versions, err := goosedb.NewStore(d.dialect, schemaTable)
	if err != nil {
		return 0, err
	}
	return versions.GetLatestVersion(ctx, d.schemaDB)
}

func (d *database) migrator(options ...goose.ProviderOption) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations/"+string(d.dialect))
	if err != nil {
		return nil, err
	}
	options = append(options, goose.WithTableName(schemaTable), goose.WithDisableGlobalRegistry(true))
	return goose.NewProvider(d.dialect, d.schemaDB, files, options...)
}

// oneLine returns the text of an error for one line of the log: pgx has a line for
// every host.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// pause waits a little, never as long as the others that wait for the same row,
// and reports whether ctx is still good.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(5*time.Millisecond + rand.N(20*time.Millisecond)):
		return true
	}
}
