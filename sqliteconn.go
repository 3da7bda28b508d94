package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/ncruces/go-sqlite3"
)

// A sqlitePool has connections to one file. Each serves one goroutine at a time.
type sqlitePool struct {
	dsn   string
	begin func(*sqlite3.Conn) error // prepares a new connection
	turns chan struct{}             // has a place for every connection that is in use

	mu     sync.Mutex
	idle   []*sqliteConn // the last one was used last, and remembers most of the file
	closed bool
}

func newSQLitePool(size int, dsn string, begin func(*sqlite3.Conn) error) *sqlitePool {
	return &sqlitePool{dsn: dsn, begin: begin, turns: make(chan struct{}, size)}
}

// use calls op with a connection. When ctx is done, SQLite interrupts what it is doing.
func (p *sqlitePool) use(ctx context.Context, op func(*sqliteConn) error) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case p.turns <- struct{}{}:
	}
	defer func() { <-p.turns }()
	conn, err := p.take(ctx)
	if err != nil {
		return err
	}
	defer p.giveBack(conn)
	conn.SetInterrupt(ctx)
	return op(conn)
}

var errPoolClosed = errors.New("the database is closed")

// take returns an idle connection, or a new one. Others need not wait until that is open.
func (p *sqlitePool) take(ctx context.Context) (*sqliteConn, error) {
	if conn, err := p.takeIdle(); conn != nil || err != nil {
		return conn, err
	}
	return p.open(ctx)
}

func (p *sqlitePool) open(ctx context.Context) (*sqliteConn, error) {
	conn, err := sqlite3.OpenContext(ctx, p.dsn)
	if err != nil {
		return nil, err
	}
	if err := p.begin(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &sqliteConn{Conn: conn, prepared: make([]*sqlite3.Stmt, len(statements))}, nil
}

// takeIdle returns the idle connection that was used last, or nil if there is none.
func (p *sqlitePool) takeIdle() (*sqliteConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errPoolClosed
	}
	last := len(p.idle) - 1
	if last < 0 {
		return nil, nil
	}
	conn := p.idle[last]
	p.idle = p.idle[:last]
	return conn, nil
}

// giveBack undoes what a failure has left half done. If that fails, it closes the connection: what the
// next caller writes would be a part of it, and not be committed.
func (p *sqlitePool) giveBack(conn *sqliteConn) {
	conn.SetInterrupt(context.Background())
	if !conn.GetAutocommit() && conn.Exec("ROLLBACK") != nil {
		conn.Close()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, conn)
}

// Close closes all connections when they are no longer in use.
func (p *sqlitePool) Close() error {
	for range cap(p.turns) {
		p.turns <- struct{}{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var failed []error
	for _, conn := range p.idle {
		failed = append(failed, conn.Close())
	}
	p.idle, p.closed = nil, true
	for range cap(p.turns) {
		<-p.turns
	}
	return errors.Join(failed...)
}

// A sqliteConn is a connection with the statements that were prepared on it. It does without
// database/sql, which takes longer for a look-up than SQLite itself.
type sqliteConn struct {
	*sqlite3.Conn
	prepared []*sqlite3.Stmt // by the place of the statement; nil before its first use
}

func (c *sqliteConn) Close() error {
	for _, stmt := range c.prepared {
		stmt.Close() // does nothing to nil
	}
	return c.Conn.Close()
}

// stmt returns s prepared. It prepares s at its first use, because there may be no tables before.
func (c *sqliteConn) stmt(s *statement) (stmt *sqlite3.Stmt, err error) {
	if c.prepared[s.place] == nil {
		c.prepared[s.place], _, err = c.Prepare(s.text)
	}
	return c.prepared[s.place], err
}

// run carries out a call that has at most one row. It returns sql.ErrNoRows if there is none.
func (c *sqliteConn) run(one *call) error {
	stmt, err := c.stmt(one.statement)
	if err != nil {
		return err
	}
	if err := bindAll(stmt, one.args); err != nil {
		return err
	}
	if one.fields == nil {
		err := stmt.Exec()
		one.concerned = c.Changes()
		return err
	}
	defer stmt.Reset() // also after a panic: a statement that is not reset holds on to its snapshot
	if !stmt.Step() {
		return cmp.Or(stmt.Err(), sql.ErrNoRows)
	}
	err = sqliteRow{stmt}.Scan(one.fields...)
	if one.statement.purpose == toWrite {
		stepToEnd(stmt)
	}
	return cmp.Or(err, stmt.Err())
}

// stepToEnd carries out the rest of a statement: SQLite commits a write after its last row. One more
// step would carry it out again.
func stepToEnd(stmt *sqlite3.Stmt) {
	for stmt.Step() {
	}
}

// readAll calls scan for every row.
func (c *sqliteConn) readAll(scan func(row) error, s *statement, args []any) error {
	stmt, err := c.stmt(s)
	if err != nil {
		return err
	}
	defer stmt.Reset()
	if err := bindAll(stmt, args); err != nil {
		return err
	}
	for stmt.Step() {
		if err := scan(sqliteRow{stmt}); err != nil {
			return err
		}
	}
	return stmt.Err()
}

// bindAll sets the parameters of a statement.
func bindAll(s *sqlite3.Stmt, values []any) error {
	for i, value := range values {
		if err := bind(s, i+1, value); err != nil {
			return err
		}
	}
	return nil
}

func bind(s *sqlite3.Stmt, place int, value any) error {
	switch v := value.(type) {
	case string:
		return s.BindText(place, v)
	case int64:
		return s.BindInt64(place, v)
	case int:
		return s.BindInt(place, v)
	case bool:
		return s.BindBool(place, v)
	case []byte:
		return s.BindBlob(place, v)
	case *string:
		return bindOptional(s, place, v)
	case *int64:
		return bindOptional(s, place, v)
	case *bool:
		return bindOptional(s, place, v)
	}
	return fmt.Errorf("%T in the place of a parameter", value)
}

func bindOptional[T string | int64 | bool](s *sqlite3.Stmt, place int, value *T) error {
	if value == nil {
		return s.BindNull(place)
	}
	return bind(s, place, *value)
}

// A sqliteRow is the row at which a statement stands.
type sqliteRow struct{ *sqlite3.Stmt }

func (r sqliteRow) Scan(fields ...any) error {
	for i, field := range fields {
		if err := r.scan(i, field); err != nil {
			return fmt.Errorf("column %s: %w", r.ColumnName(i), err)
		}
	}
	return nil
}

func (r sqliteRow) scan(column int, field any) error {
	kind := r.ColumnType(column)
	switch f := field.(type) {
	case *string:
		*f = r.ColumnText(column)
		return expect(kind, sqlite3.TEXT, sqlite3.BLOB) // some programs bind bytes, such as what Python's bcrypt returns
	case *int64:
		*f = r.ColumnInt64(column)
		return expect(kind, sqlite3.INTEGER)
	case *int:
		*f = r.ColumnInt(column)
		return expect(kind, sqlite3.INTEGER)
	case *bool:
		return r.scanBool(column, f)
	case *scopes:
		return r.scan(column, (*string)(f))
	case **string:
		return scanOptional(r, column, f)
	case **int:
		return scanOptional(r, column, f)
	case **scopes:
		return scanOptional(r, column, f)
	case sql.Scanner:
		return f.Scan(r.value(column, kind))
	}
	return fmt.Errorf("%T in the place of a field", field)
}

// scanOptional leaves nil for a null.
func scanOptional[T any](r sqliteRow, column int, field **T) error {
	if *field = nil; r.ColumnType(column) == sqlite3.NULL {
		return nil
	}
	*field = new(T)
	return r.scan(column, *field)
}

// scanBool also takes the words that PostgreSQL exports, which SQLite's column of numbers keeps as text.
func (r sqliteRow) scanBool(column int, field *bool) (err error) {
	if r.ColumnType(column) == sqlite3.TEXT {
		*field, err = strconv.ParseBool(r.ColumnText(column))
		return err
	}
	*field = r.ColumnBool(column)
	return expect(r.ColumnType(column), sqlite3.INTEGER)
}

// expect returns an error if a value has none of the types that its column may have, because SQLite
// lets other programs write any type into any column.
func expect(got sqlite3.Datatype, want ...sqlite3.Datatype) error {
	if !slices.Contains(want, got) {
		return fmt.Errorf("%v in the place of %v", got, want[0])
	}
	return nil
}

// value returns a value as a sql.Scanner expects it.
func (r sqliteRow) value(column int, kind sqlite3.Datatype) any {
	switch kind {
	case sqlite3.INTEGER:
		return r.ColumnInt64(column)
	case sqlite3.TEXT:
		return r.ColumnText(column)
	case sqlite3.BLOB:
		return r.ColumnRawBlob(column)
	case sqlite3.FLOAT:
		return r.ColumnFloat(column)
	}
	return nil
}
