package main

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	goosedb "github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

// A database is an open SQLite file or PostgreSQL server, and what differs
// between the two.
type database struct {
	connections
	name    string  // for people, without any secret
	schema  *sql.DB // the same database, for looking at the schema and changing it
	dialect goosedb.Dialect

	// hasSchema is a query that says whether the table of the schema's version is
	// there.
	hasSchema string

	// fault says what an error of the driver means.
	fault func(error) fault

	// explain adds to an error what people should look at. It may be nil.
	explain func(error) error

	// newLock returns what lets one process at a time change the schema.
	newLock func(*slog.Logger) (lock.Locker, error)

	// warnings is what an operator should know before it matters.
	warnings []string
}

const (
	sqlitePrefix    = "sqlite:"
	schemaTable     = "schema_version"
	schemaLockTable = "schema_lock"
)

// connectTimeout is how long the start waits for a database to answer.
const connectTimeout = 10 * time.Second

// checkDatabaseURL returns what is wrong with a URL, without repeating it: it may
// have a password in it.
func checkDatabaseURL(url string) error {
	path, isFile := strings.CutPrefix(url, sqlitePrefix)
	switch {
	case url == "":
		return nil
	case isFile && (path == "" || path == ":memory:" || strings.HasPrefix(path, "//")):
		return errors.New("want the path of a file behind sqlite:, such as sqlite:users.db or sqlite:/var/lib/latchkey/users.db")
	case isFile:
		return nil
	case isPostgres(url):
		_, err := parsePostgres(url)
		return err
	}
	return errors.New("want sqlite:path/to/file.db, postgres://user:password@host:5432/name, or nothing for memory")
}

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// openDatabase opens the database at a URL that checkDatabaseURL has found good.
// A SQLite file that is not there is created if create is true, and is an
// fs.ErrNotExist otherwise.
func openDatabase(url string, create bool) (*database, error) {
	if path, ok := strings.CutPrefix(url, sqlitePrefix); ok {
		return openSQLite(path, create)
	}
	return openPostgres(url)
}

func (d *database) Close() error {
	return errors.Join(d.schema.Close(), d.connections.Close())
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
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("cannot migrate the schema of %s: %w", d.name, err)
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
	current, err = d.schemaVersion(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("cannot open %s: %s", d.name, oneLine(err))
	}
	if current > target {
		return 0, 0, fmt.Errorf("%s has version %d of the schema, and this program knows none after %d; want a newer latchkey, or a backup from before", d.name, current, target)
	}
	return current, target, nil
}

func (d *database) schemaVersion(ctx context.Context) (int64, error) {
	var exists bool
	err := d.schema.QueryRowContext(ctx, d.hasSchema, schemaTable).Scan(&exists)
	if err != nil || !exists {
		return 0, err
	}
	versions, err := goosedb.NewStore(d.dialect, schemaTable)
	if err != nil {
		return 0, err
	}
	return versions.GetLatestVersion(ctx, d.schema)
}

func (d *database) migrator(options ...goose.ProviderOption) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations/"+string(d.dialect))
	if err != nil {
		return nil, err
	}
	options = append(options, goose.WithTableName(schemaTable), goose.WithDisableGlobalRegistry(true))
	return goose.NewProvider(d.dialect, d.schema, files, options...)
}

// oneLine returns the text of an error that has several lines.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
