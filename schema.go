package main

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations
var migrationFiles embed.FS

const migrateTimeout = 5 * time.Minute

// migrate brings the schema up to date in one transaction, which changes nothing if it fails.
// Several processes may try at once: one does it, and the others wait. It refuses a schema
// that is newer than the program, and tables of another application.
func (d *database) migrate(ctx context.Context, log *slog.Logger) error {
	from, to, err := d.bringUp(ctx, true)
	if err != nil {
		return err
	}
	if from < to {
		log.Info("schema migrated", "from", from, "to", to)
	}
	return d.ready(ctx)
}

// rehearse fails if migrate would, and leaves the database as it is. It returns the
// version of the schema, 0 for an empty database, and the one that this program needs.
func (d *database) rehearse(ctx context.Context) (current, target int64, err error) {
	return d.bringUp(ctx, false)
}

// errNoSchema means that a database has no tables of ours yet.
var errNoSchema = errors.New("it has no users yet: want one start of the server, which makes its tables")

// checkVersion fails unless the schema is the one that this program needs.
func (d *database) checkVersion(ctx context.Context) error {
	return d.onSchema(ctx, func(conn *sql.Conn) error {
		from, to, err := d.versions(ctx, conn)
		if err != nil {
			return err
		}
		if from == 0 && to > 0 {
			return errNoSchema
		}
		if from < to {
			return fmt.Errorf("its schema has version %d, and this program needs %d: want one start of the server, which migrates it", from, to)
		}
		return d.prepareAll(ctx, conn)
	})
}

// bringUp migrates the schema, and checks that all statements fit it. It undoes the changes if
// keep is false.
func (d *database) bringUp(ctx context.Context, keep bool) (from, to int64, err error) {
	err = d.onSchema(ctx, func(conn *sql.Conn) error {
		from, to, err = d.bringUpOn(ctx, conn, keep)
		return err
	})
	return from, to, err
}

func (d *database) bringUpOn(ctx context.Context, conn *sql.Conn, keep bool) (from, to int64, err error) {
	for n := 1; ; n++ {
		from, to, err = d.versions(ctx, conn)
		if err != nil {
			return 0, 0, err
		}
		if from == to {
			return from, to, d.prepareAll(ctx, conn)
		}
		err = d.applyMigrations(ctx, conn, keep)
		if err == nil {
			return from, to, nil
		}
		if n == maxAttempts || !d.wasOvertaken(ctx, conn, from, err) || !pause(ctx) {
			return 0, 0, err
		}
	}
}

// wasOvertaken reports whether migrations from a version failed because another process was
// applying them.
func (d *database) wasOvertaken(ctx context.Context, conn *sql.Conn, from int64, err error) bool {
	now, _, lookErr := d.versions(ctx, conn)
	return lookErr == nil && now > from || d.faultOf(err) == faultUndone
}

// onSchema calls op with a connection, and explains its error.
func (d *database) onSchema(ctx context.Context, op func(*sql.Conn) error) error {
	limited, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := d.schemaDB.Conn(limited)
	if err == nil {
		defer conn.Close()
		err = op(conn)
	}
	if err == nil {
		return nil
	}
	text := fmt.Sprintf("cannot use %s: %s", d.name, oneLine(d.explain(err)))
	if cure := d.cure(err); cure != "" {
		text += "; " + cure
	}
	return explained{text, err}
}

func (d *database) versions(ctx context.Context, conn *sql.Conn) (current, target int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	all, err := d.schema.migrations()
	if err != nil {
		return 0, 0, err
	}
	target = all[len(all)-1].version
	_, current, err = d.currentVersion(ctx, conn)
	if err == nil && current > target {
		err = fmt.Errorf("it has version %d of the schema, and this program knows none after %d; want a newer latchkey, or a backup from before", current, target)
	}
	return current, target, err
}

// currentVersion returns whether there is a schemaTable, and which version it has.
func (d *database) currentVersion(ctx context.Context, db rowQuerier) (exists bool, version int64, err error) {
	err = db.QueryRowContext(ctx, d.schema.findTable).Scan(&exists)
	if err != nil || !exists {
		return false, 0, err
	}
	err = db.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM "+schemaTable+" WHERE is_applied").Scan(&version)
	if err != nil {
		return true, 0, fmt.Errorf("%s: %w", schemaTable, err)
	}
	return true, version, nil
}

// A rowQuerier is a connection or a transaction.
type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// applyMigrations applies the missing migrations, and undoes them if keep is false.
func (d *database) applyMigrations(ctx context.Context, conn *sql.Conn, keep bool) error {
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := d.runMigrations(ctx, tx); err != nil {
		return err
	}
	if err := d.prepareAll(ctx, conn); err != nil || !keep {
		return err
	}
	return tx.Commit()
}

func (d *database) runMigrations(ctx context.Context, tx *sql.Tx) error {
	exists, _, err := d.currentVersion(ctx, tx)
	if err != nil {
		return err
	}
	begin := d.schema.createTable
	if exists {
		begin = d.schema.lockTable
	}
	if _, err := tx.ExecContext(ctx, begin+d.schema.settle); err != nil {
		return err
	}
	_, current, err := d.currentVersion(ctx, tx) // again: another process may have held the lock
	if err != nil {
		return err
	}
	all, err := d.schema.migrations()
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.version <= current {
			continue
		}
		note := fmt.Sprintf("INSERT INTO %s (version_id, is_applied) VALUES (%d, true)", schemaTable, m.version)
		for _, text := range []string{m.text, note} {
			if _, err := tx.ExecContext(ctx, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepareAll returns an error if a statement does not fit the tables, because another program
// made them.
func (d *database) prepareAll(ctx context.Context, conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	for _, s := range statements {
		if err := d.prepare(ctx, conn, s.text); err != nil {
			return err
		}
	}
	return nil
}

// A migration makes one version of the schema from the one before.
type migration struct {
	version int64 // the number that begins the name of the file
	text    string
}

// migrations returns all in order.
func (s schemaDialect) migrations() ([]migration, error) {
	names, err := fs.Glob(migrationFiles, "migrations/"+s.folder+"/*.sql")
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, name := range names {
		text, err := fs.ReadFile(migrationFiles, name)
		if err != nil {
			return nil, err
		}
		number, _, _ := strings.Cut(name[strings.LastIndex(name, "/")+1:], "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, migration{version, string(text)})
	}
	return all, nil
}
