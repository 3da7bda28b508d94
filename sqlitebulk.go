package main

import (
	"context"
	"database/sql"
)

// bulkPragmas make the one connection that writes fit for many rows in random order: more of
// the indexes stays in memory, and the log of changes may grow to 80 MB before it is copied
// into the file. Without them a million users take five times as long.
const bulkPragmas = "PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 20000"

func (c *sqliteConnections) addUsers(ctx context.Context, users []User) ([]bool, error) {
	insert, err := c.stmt(ctx, insertUser)
	if err != nil {
		return nil, err
	}
	if _, err := c.writer.ExecContext(ctx, bulkPragmas); err != nil {
		return nil, err
	}
	tx, err := c.writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	added, err := insertEach(ctx, tx.StmtContext(ctx, insert), users)
	if err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	return added, c.watch.look()
}

// insertEach says of each user whether insert has added them.
func insertEach(ctx context.Context, insert *sql.Stmt, users []User) ([]bool, error) {
	added := make([]bool, len(users))
	for i, u := range users {
		result, err := insert.ExecContext(ctx, insertedValues(u)...)
		if err != nil {
			return nil, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return nil, err
		}
		added[i] = n > 0
	}
	return added, nil
}
