package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
)

// bulkPragmas tune the writing connection for many rows in random order: more of the indexes
// stays in memory, and the log of changes may grow to 80 MB before it is copied into the file.
// Without them a million users take three times as long.
const bulkPragmas = "PRAGMA cache_size = -49152; PRAGMA wal_autocheckpoint = 20000"

// addUsers leaves the lock to others for a moment after each transaction, who ask for it every
// lockPoll. While they do, its transactions are short.
func (c *sqliteConnections) addUsers(ctx context.Context, users []User) (added []bool, err error) {
	for len(users) > 0 {
		n := c.contention.limit(len(users))
		some, version, err := c.addBatch(ctx, users[:n])
		if err != nil {
			return added, err
		}
		c.contention.note(version)
		added, users = append(added, some...), users[n:]
		time.Sleep(2 * lockPoll)
	}
	return added, c.watch.look()
}

// addBatch adds users in one transaction, and returns the version of the data before it. It uses
// the connection without database/sql, which would take a fifth longer.
func (c *sqliteConnections) addBatch(ctx context.Context, users []User) (added []bool, version int64, err error) {
	conn, err := c.writer.Conn(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	if err := conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version); err != nil {
		return nil, 0, err
	}
	err = conn.Raw(func(raw any) error {
		db := raw.(driver.Conn).Raw()
		defer db.SetInterrupt(db.SetInterrupt(ctx))
		if err := db.Exec(bulkPragmas); err != nil {
			return err
		}
		added, err = insertAll(db, users)
		return err
	})
	if err != nil {
		return nil, 0, err // the commit may have failed
	}
	return added, version, nil
}

// insertAll inserts users in one transaction, and says of each whether it was inserted.
func insertAll(db *sqlite3.Conn, users []User) (added []bool, err error) {
	insert, _, err := db.Prepare(insertUser.text)
	if err != nil {
		return nil, err
	}
	defer insert.Close()
	tx, err := db.BeginImmediate()
	if err != nil {
		return nil, err
	}
	defer tx.End(&err) // commits, or rolls back if err is not nil
	for _, u := range users {
		if err := bindAll(insert, insertedValues(u)); err != nil {
			return nil, err
		}
		if err := insert.Exec(); err != nil {
			return nil, err
		}
		added = append(added, db.Changes() > 0)
	}
	return added, nil
}

// bindAll sets the parameters of a statement.
func bindAll(s *sqlite3.Stmt, values []any) error {
	for i, value := range values {
		var err error
		switch v := value.(type) {
		case string:
			err = s.BindText(i+1, v)
		case *string:
			if v == nil {
				err = s.BindNull(i + 1)
			} else {
				err = s.BindText(i+1, *v)
			}
		case bool:
			err = s.BindBool(i+1, v)
		case int64:
			err = s.BindInt64(i+1, v)
		default:
			err = fmt.Errorf("%T in the place of a parameter", value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	updateLastEventID = `UPDATE event_ids SET last_id = last_id + ? WHERE only_row = 1 RETURNING last_id`

	insertEvent = `INSERT INTO events (` + eventColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

func (c *sqliteConnections) addEvents(ctx context.Context, events []Event) error {
	tx, err := c.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var last int64
	if err := tx.QueryRowContext(ctx, updateLastEventID, len(events)).Scan(&last); err != nil {
		return err
	}
	insert, err := tx.PrepareContext(ctx, insertEvent)
	if err != nil {
		return err
	}
	defer insert.Close()
	for i, e := range events {
		id := last - int64(len(events)-1-i)
		if _, err := insert.ExecContext(ctx, append([]any{id}, eventValues(e)...)...); err != nil {
			return err
		}
	}
	return cmp.Or(tx.Commit(), c.watch.look())
}
