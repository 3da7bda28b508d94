package main

import (
	"cmp"
	"context"
	"time"
)

// bulkPragmas tune the writing connection for many rows in random order: more of the indexes
// stays in memory, and the log of changes may grow to 80 MB before it is copied into the file.
// Without them a million users take three times as long.
const bulkPragmas = "PRAGMA cache_size = -49152; PRAGMA wal_autocheckpoint = 20000"

// addUsers frees the lock for a moment after each transaction, because other processes ask for it
// only every lockPoll. As long as they do, its transactions are short.
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

// addBatch adds users in one transaction, and returns the version of the data before it.
func (c *sqliteConnections) addBatch(ctx context.Context, users []User) (added []bool, version int64, err error) {
	err = c.writer.use(ctx, func(conn *sqliteConn) error {
		if version, err = conn.dataVersion(); err != nil {
			return err
		}
		if err := conn.Exec(bulkPragmas); err != nil {
			return err
		}
		added, err = conn.insertUsers(users)
		return err
	})
	if err != nil {
		return nil, 0, err // the commit may have failed
	}
	return added, version, nil
}

// dataVersion returns a number that changes when another connection has written.
func (c *sqliteConn) dataVersion() (version int64, err error) {
	stmt, _, err := c.Prepare("PRAGMA data_version")
	if err != nil {
		return 0, err
	}
	defer stmt.Close()
	if stmt.Step() {
		version = stmt.ColumnInt64(0)
	}
	return version, stmt.Err()
}

// insertUsers inserts users in one transaction, and says of each whether it was inserted.
func (c *sqliteConn) insertUsers(users []User) (added []bool, err error) {
	tx, err := c.BeginImmediate()
	if err != nil {
		return nil, err
	}
	defer tx.End(&err) // commits, or rolls back if err is not nil
	for _, u := range users {
		insert := &call{statement: insertUser, args: insertedValues(u)}
		if err := c.run(insert); err != nil {
			return nil, err
		}
		added = append(added, insert.concerned > 0)
	}
	return added, nil
}

var (
	updateLastEventID = writing(`UPDATE event_ids SET last_id = last_id + $1 WHERE only_row = 1 RETURNING last_id`)

	insertEvent = writing(`INSERT INTO events (` + eventColumns + `) VALUES (` + parameters(1, 1+len(eventValues(Event{}))) + `)`)
)

func (c *sqliteConnections) addEvents(ctx context.Context, events []Event) error {
	err := c.writer.use(ctx, func(conn *sqliteConn) error { return conn.insertEvents(events) })
	return cmp.Or(err, c.watch.look())
}

// insertEvents inserts events in one transaction. It returns sql.ErrNoRows if event_ids has no row.
func (c *sqliteConn) insertEvents(events []Event) (err error) {
	tx, err := c.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err) // commits, or rolls back if err is not nil
	var last int64
	err = c.run(&call{statement: updateLastEventID, args: []any{len(events)}, fields: []any{&last}})
	if err != nil {
		return err
	}
	for i, e := range events {
		id := last - int64(len(events)-1-i)
		if err := c.run(&call{statement: insertEvent, args: append([]any{id}, eventValues(e)...)}); err != nil {
			return err
		}
	}
	return nil
}
