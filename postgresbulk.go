package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

var (
	createStaging = `CREATE TEMPORARY TABLE latchkey_staging ON COMMIT DROP AS
		SELECT ` + insertedList + ` FROM users WITH NO DATA`

	insertStaged = `INSERT INTO users (` + insertedList + `)
		SELECT ` + insertedList + ` FROM latchkey_staging ON CONFLICT DO NOTHING RETURNING uid`

	// insertFromArrays does the same with an array for each column.
	insertFromArrays = `INSERT INTO users (` + insertedList + `)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
			$6::text[], $7::boolean[], $8::text[], $9::bigint[], $10::bigint[], $11::text[])
		ON CONFLICT DO NOTHING RETURNING uid`
)

// addUsers copies the users into a temporary table, which takes half as long as to send them in
// arrays. If the server or the role does not allow temporary tables, it sends arrays.
func (c *pgConnections) addUsers(ctx context.Context, users []User) (added []bool, err error) {
	err = c.use(ctx, func(conn *pgxpool.Conn) error {
		added, err = addByCopy(ctx, conn, users)
		if isUnsupported(err) {
			added, err = addByArrays(ctx, conn, users)
		}
		return err
	})
	return added, err
}

// isUnsupported reports whether a server does not know, or does not allow, what it was sent.
func isUnsupported(err error) bool {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch answer.Code {
	case "0A000", "42501", "42601": // feature_not_supported, insufficient_privilege, syntax_error
		return true
	}
	return false
}

func addByCopy(ctx context.Context, conn *pgxpool.Conn, users []User) ([]bool, error) {
	var added []bool
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, createStaging, pgx.QueryExecModeExec); err != nil {
			return err
		}
		rows := pgx.CopyFromSlice(len(users), func(i int) ([]any, error) { return insertedValues(users[i]), nil })
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"latchkey_staging"}, insertedColumns, rows); err != nil {
			return err
		}
		var err error
		added, err = queryAdded(ctx, tx, users, insertStaged)
		return err
	})
	if err != nil {
		return nil, err // the commit may have failed
	}
	return added, nil
}

func addByArrays(ctx context.Context, conn *pgxpool.Conn, users []User) ([]bool, error) {
	rows := make([][]any, len(users))
	for i, u := range users {
		rows[i] = insertedValues(u)
	}
	args := make([]any, len(insertedValues(User{})))
	for i, value := range insertedValues(User{}) {
		switch value.(type) {
		case string:
			args[i] = column[string](rows, i)
		case *string:
			args[i] = column[*string](rows, i)
		case bool:
			args[i] = column[bool](rows, i)
		case int64:
			args[i] = column[int64](rows, i)
		default:
			return nil, fmt.Errorf("%T in the place of a column", value)
		}
	}
	return queryAdded(ctx, conn, users, insertFromArrays, args...)
}

// column returns the values of one column.
func column[T any](rows [][]any, i int) []T {
	values := make([]T, len(rows))
	for n, row := range rows {
		values[n] = row[i].(T)
	}
	return values
}

// queryAdded carries out a statement that returns the UIDs of the users it has added, and says of
// each of users whether it is among them.
func queryAdded(ctx context.Context, db interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}, users []User, text string, args ...any) ([]bool, error) {
	rows, err := db.Query(ctx, text, append([]any{pgx.QueryExecModeExec}, args...)...) // which works behind any pooler
	if err != nil {
		return nil, err
	}
	uids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	returned := make(map[string]bool, len(uids))
	for _, uid := range uids {
		returned[uid] = true
	}
	added := make([]bool, len(users))
	for i, u := range users {
		added[i] = returned[u.UID]
	}
	return added, nil
}

// insertEvents takes the IDs and uses them in one statement, so that no server keeps others waiting
// for longer than that takes, however far the database is.
var insertEvents = `
	WITH ids AS (UPDATE event_ids SET last_id = last_id + $1 WHERE only_row = 1 RETURNING last_id - $1 AS last_before)
	INSERT INTO events (` + eventColumns + `)
	SELECT ids.last_before + e.place, ` + eventColumnsButID + `
	FROM ids, unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
		$7::text[], $8::text[], $9::text[], $10::text[], $11::text[])
		WITH ORDINALITY AS e (` + eventColumnsButID + `, place)`

func (c *pgConnections) addEvents(ctx context.Context, events []Event) error {
	rows := make([][]any, len(events))
	for i, e := range events {
		rows[i] = eventValues(e)
	}
	args := []any{pgx.QueryExecModeExec, int64(len(events)), column[int64](rows, 0)}
	for i := 1; i < len(rows[0]); i++ {
		args = append(args, column[string](rows, i))
	}
	return c.use(ctx, func(conn *pgxpool.Conn) error {
		tag, err := conn.Exec(ctx, insertEvents, args...)
		if err == nil && tag.RowsAffected() == 0 {
			err = pgx.ErrNoRows
		}
		return err
	})
}
