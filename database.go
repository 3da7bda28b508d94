package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A row is a row that a statement has returned.
type row interface {
	Scan(fields ...any) error
}

// A statement is a text of SQL that is prepared once for every connection. Both databases
// understand it alike. Its parameters stand in order, because SQLite counts $3 as the first
// if it comes first.
type statement struct {
	text    string
	purpose purpose
	place   int // among statements
}

// A purpose says what a statement does, and so what it may share with others; see batch.go.
type purpose int

const (
	toRead   purpose = iota
	toLookUp         // to read one row by its key
	toWrite
)

// statements are all that the store uses: the start and check try to prepare each.
var statements []*statement

// reading returns a new statement that changes nothing.
func reading(text string) *statement { return register(&statement{text: text, purpose: toRead}) }

// lookingUp returns a new statement that reads at most one row, by its key. Look-ups of several
// requests may share a round trip.
func lookingUp(text string) *statement { return register(&statement{text: text, purpose: toLookUp}) }

// writing returns a new statement that changes something.
func writing(text string) *statement { return register(&statement{text: text, purpose: toWrite}) }

func register(s *statement) *statement {
	s.place = len(statements)
	statements = append(statements, s)
	return s
}

// connections is a pool that carries out statements, and what it knows of its database.
type connections interface {
	// exec returns how many rows the statement concerned.
	exec(ctx context.Context, s *statement, args ...any) (int64, error)

	// queryRow scans the only row into fields, or returns sql.ErrNoRows if there is none. After
	// another error, what is in fields means nothing.
	queryRow(ctx context.Context, fields []any, s *statement, args ...any) error

	// queryAll calls scan for every row.
	queryAll(ctx context.Context, scan func(row) error, s *statement, args ...any) error

	// addEvents adds events with the next IDs, in one transaction. It first changes the row of
	// event_ids, so that other transactions wait until this one ends. It returns sql.ErrNoRows
	// if there is no such row.
	addEvents(ctx context.Context, events []Event) error

	// addUsers does what AddUsers of the store does: SQLite in several transactions, so that
	// others can write in between, and PostgreSQL in one.
	addUsers(ctx context.Context, users []User) ([]bool, error)

	// ready makes connections that need a schema. It is called once.
	ready(ctx context.Context) error

	// faultOf says what an error of the driver means.
	faultOf(error) fault

	// noteFault is told of every failed statement, because the fault may concern other
	// connections, too.
	noteFault(fault)

	// isTemporary reports whether the database may soon do, without help, what it has failed to
	// do: because it is starting up, or another process has locked it.
	isTemporary(error) bool

	// explain puts first what people should look at in an error of the driver.
	explain(error) error

	// cure returns what to do about an error of the start, or "".
	cure(error) string

	// prepare compiles a statement, so that the database says what is wrong with it.
	prepare(ctx context.Context, conn *sql.Conn, text string) error

	Close() error
}

// An openMode says what a command may do to a database.
type openMode int

const (
	// leaveSchema refuses a schema of another version instead of changing it.
	leaveSchema openMode = iota

	// readWrite brings the schema up to date. A SQLite file must exist, so that a misspelt path
	// does not look like success.
	readWrite

	// readWriteCreate also creates a SQLite file if there is none.
	readWriteCreate
)

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

// A fault says what a database's error means for the statement that failed.
type fault int

const (
	faultOther      fault = iota // it would fail again, or it may have been carried out
	faultUndone                  // it was not carried out, and may succeed the next time
	faultDemoted                 // it was not carried out: this server takes no writes any more
	faultUnprepared              // it was not carried out: the server does not know what was prepared on this connection
	faultStalePlan               // it was not carried out: a table has changed since it was prepared
	faultLost                    // the connection is lost: it may have been carried out
	faultUserGone                // it was not carried out: it refers to a user who is gone
)

// isUndone reports whether the statement was not carried out, and may succeed if it is sent
// again.
func (f fault) isUndone() bool {
	switch f {
	case faultUndone, faultDemoted, faultUnprepared, faultStalePlan:
		return true
	}
	return false
}

// A database is an open SQLite file or PostgreSQL server.
type database struct {
	connections
	name     string  // for people, without any secret
	schemaDB *sql.DB // the same database, for looking at the schema and changing it
	schema   schemaDialect

	// warnings are for the operator.
	warnings []string
}

// How long the start and the end wait for a database to answer.
const (
	connectTimeout = 10 * time.Second
	closeTimeout   = 3 * time.Second
)

// Close closes all connections. It gives up on a database that has gone silent, because the
// driver waits for seconds at each connection.
func (d *database) Close() error {
	closed := make(chan error, 1)
	go func() { closed <- errors.Join(d.schemaDB.Close(), d.connections.Close()) }()
	select {
	case err := <-closed:
		return err
	case <-time.After(closeTimeout):
		return fmt.Errorf("%s does not answer that its connections are closed", d.name)
	}
}

// explained is a driver's error in words for people.
type explained struct {
	text string
	error
}

func (e explained) Error() string { return e.text }

func (e explained) Unwrap() error { return e.error }

// oneLine returns the text of an error as one line for the log: pgx writes a line for every
// host.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// pause waits for a short random time, so that those that wait for the same row do not all
// try at once. It reports whether ctx is still good.
func pause(ctx context.Context) bool {
	return sleep(ctx, 5*time.Millisecond+rand.N(20*time.Millisecond))
}

// sleep waits, and reports whether ctx is still good.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// schemaTable has a row for version 0 and for every migration that was applied. It has the
// format of goose, which earlier versions of this program used.
const schemaTable = "schema_version"

// A schemaDialect holds the statements about the schema that differ between databases.
type schemaDialect struct {
	folder string // of the migrations

	// findTable is a query that says whether the name schemaTable is taken.
	findTable string

	// createTable makes schemaTable, with version 0 in it.
	createTable string

	// lockTable makes other processes that want to change the schema wait for the end
	// of this transaction.
	lockTable string

	// settle precedes the migrations.
	settle string
}

// storeTimeout is how long a method of a sqlStore may take, waiting for a
// connection and all attempts included: a lost database is known as such within
// five seconds.
const storeTimeout = 4 * time.Second

// maxAttempts is how often a statement is sent if the database undoes it, or a read if the
// connection is lost.
const maxAttempts = 3
