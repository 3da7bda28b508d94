package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// unlimited is the timeout of what may take as long as the caller's context allows.
const unlimited time.Duration = 0

// sqlStore keeps users in a database. Its statements are the same for SQLite and PostgreSQL.
// They use only SQL that both treat alike, and leave checks to constraints.
type sqlStore struct{ *database }

var _ store = sqlStore{}

// openDatabase opens the database at a URL that checkDatabaseURL has found good.
// If a SQLite file is not there, readWriteCreate creates it; another mode returns an
// fs.ErrNotExist.
func openDatabase(url string, mode openMode, log *slog.Logger) (*database, error) {
	if path, ok := sqlitePath(url); ok {
		return openSQLite(path, mode, log)
	}
	return openPostgres(url, mode, log)
}

// micros is a time.Time that is stored as microseconds since 1970, which mean the same in
// every database and every time zone.
type micros time.Time

func (m *micros) Scan(value any) error {
	n, ok := value.(int64)
	if !ok {
		return fmt.Errorf("%T in the place of a time", value)
	}
	*m = micros(time.UnixMicro(n).UTC())
	return nil
}

// optionalMicros is micros for a time that may be missing: then the column is null, and the time zero.
type optionalMicros time.Time

func (m *optionalMicros) Scan(value any) error {
	if value == nil {
		*m = optionalMicros{}
		return nil
	}
	return (*micros)(m).Scan(value)
}

// optionalTime returns what is stored of a time for optionalMicros.
func optionalTime(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	return new(t.UnixMicro())
}

// octets are bytes as storedBytes returns them.
type octets []byte

func (o *octets) Scan(value any) error {
	b, ok := value.([]byte)
	if !ok {
		return fmt.Errorf("%T in the place of bytes", value)
	}
	*o = storedBytes(b) // because the driver may write into b
	return nil
}

// probeUsers is what Ping asks. It reads a table, to notice if that is missing, and it counts, so
// that an empty table has an answer too.
var probeUsers = reading(`SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1) AS first`)

func (s sqlStore) Ping(ctx context.Context) error {
	return s.read(ctx, func(ctx context.Context) error {
		var n int
		return s.queryRow(ctx, []any{&n}, probeUsers)
	})
}

// writeRow carries out a statement that returns the row it has written, and scans
// that into fields.
func (s sqlStore) writeRow(ctx context.Context, fields []any, what *statement, args ...any) error {
	return s.write(ctx, func(ctx context.Context) error {
		return s.queryRow(ctx, fields, what, args...)
	})
}

// writeOne carries out a statement that concerns one row, or returns errNotFound
// if there is none.
func (s sqlStore) writeOne(ctx context.Context, what *statement, args ...any) error {
	n, err := s.writeMany(ctx, what, args...)
	if err == nil && n == 0 {
		return errNotFound
	}
	return err
}

// deleteOne is writeOne for a DELETE. It tries again when the connection breaks, as writeAgain does: if
// the second DELETE finds no row, the first was carried out.
func (s sqlStore) deleteOne(ctx context.Context, what *statement, args ...any) error {
	again := false
	return s.attempt(ctx, storeTimeout, func(ctx context.Context) error {
		n, err := s.exec(ctx, what, args...)
		if err == nil && n == 0 && !again {
			return sql.ErrNoRows
		}
		again = true
		return err
	}, true)
}

// writeMany carries out a statement and returns how many rows it concerned.
func (s sqlStore) writeMany(ctx context.Context, what *statement, args ...any) (n int64, err error) {
	err = s.write(ctx, func(ctx context.Context) error {
		n, err = s.exec(ctx, what, args...)
		return err
	})
	return n, err
}

// writeAgain is writeMany for a statement that does no harm if it is carried out twice: it tries again
// when the connection breaks. n is what the last try concerned.
func (s sqlStore) writeAgain(ctx context.Context, what *statement, args ...any) (n int64, err error) {
	err = s.attempt(ctx, storeTimeout, func(ctx context.Context) error {
		n, err = s.exec(ctx, what, args...)
		return err
	}, true)
	return n, err
}

// readRows carries out a statement that changes nothing, and returns its rows. fields returns where
// the columns of one go.
func readRows[T any](ctx context.Context, s sqlStore, fields func(*T) []any, what *statement, args ...any) (rows []T, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		rows, err = queryRows(ctx, s, fields, what, args...)
		return err
	})
	return rows, err
}

// queryRows is readRows for a caller that has an attempt under way.
func queryRows[T any](ctx context.Context, s sqlStore, fields func(*T) []any, what *statement, args ...any) ([]T, error) {
	var rows []T
	err := s.queryAll(ctx, func(r row) error {
		rows = append(rows, *new(T))
		return r.Scan(fields(&rows[len(rows)-1])...)
	}, what, args...)
	return rows, err
}

// read is attempt for an op that changes nothing, and so may be called again.
func (s sqlStore) read(ctx context.Context, op func(context.Context) error) error {
	return s.attempt(ctx, storeTimeout, op, true)
}

// write is attempt for an op that is not called again if it may have been carried out.
func (s sqlStore) write(ctx context.Context, op func(context.Context) error) error {
	return s.attempt(ctx, storeTimeout, op, false)
}

// attempt calls op until it succeeds or its failure is final: at most maxAttempts times, and
// for timeout, unless that is unlimited. It returns ctx.Err() if ctx is done beforehand,
// errNotFound if there is no row, and otherwise an error that wraps errUnavailable.
func (s sqlStore) attempt(ctx context.Context, timeout time.Duration, op func(context.Context) error, repeatable bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	limited := ctx
	if timeout != unlimited {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	for n := 1; ; n++ {
		err := op(limited)
		if err == nil {
			return nil
		}
		kind := s.faultOf(err)
		if errors.Is(err, sql.ErrNoRows) || kind == faultUserGone {
			return errNotFound
		}
		s.noteFault(kind)
		again := kind.isUndone() || kind == faultLost && repeatable
		if !again || n == maxAttempts || !pause(limited) {
			unavailable := errUnavailable
			if s.isTemporary(err) {
				unavailable = errNotYet
			}
			return fmt.Errorf("%w: %w", unavailable, s.explain(err))
		}
	}
}
