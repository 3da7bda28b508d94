package main

import (
	"context"
)

// selectUsersByText finds more users than asked for, because databases do not agree on case:
// userQuery.matches decides. A search text that is null may be any.
var selectUsersByText = reading(`
	SELECT ` + userColumns + ` FROM users WHERE username_key IN (
		SELECT username_key FROM users
		WHERE username_key > $1 AND disabled = COALESCE($2, disabled)
			AND ' ' || scopes || ' ' LIKE $3 ESCAPE '\'
			AND (search LIKE $4 ESCAPE '\' OR search IS NULL)
		ORDER BY username_key LIMIT $5)
	ORDER BY username_key`)

// selectUsersByEmail sorts by an expression, so that no database reads all users in the order of
// their keys until it meets the few.
var selectUsersByEmail = reading(`
	SELECT ` + userColumns + ` FROM users
	WHERE lower(email) = lower($1) AND email IS NOT NULL AND username_key > $2
	ORDER BY username_key || '' LIMIT $3`)

// FindUsers reads on until it has enough users, or storeTimeout is over.
func (s sqlStore) FindUsers(ctx context.Context, q userQuery, limit int) ([]User, error) {
	var found []User
	err := s.read(ctx, func(ctx context.Context) error {
		found = nil // of an attempt that failed
		for rest := q; ; {
			rows, err := s.usersAfter(ctx, rest, limit)
			if err != nil {
				return err
			}
			for _, u := range rows {
				if q.matches(u) && len(found) < limit {
					found = append(found, u)
				}
			}
			if len(rows) < limit || len(found) == limit {
				return nil
			}
			rest.After = rows[len(rows)-1].Key
		}
	})
	return found, err
}

// usersAfter returns at most limit users, among whom are all that q asks for.
func (s sqlStore) usersAfter(ctx context.Context, q userQuery, limit int) ([]User, error) {
	what, args := selectUsersByText, []any{q.After, q.Disabled, "%", "%", limit}
	if q.Scope != "" {
		args[2] = containing(" " + q.Scope + " ")
	}
	if q.Text != "" {
		args[3] = containing(q.Text)
	}
	if q.Email != "" {
		what, args = selectUsersByEmail, []any{q.Email, q.After, limit}
	}
	return s.queryUsers(ctx, what, args...)
}

var selectUnfolded = reading(`SELECT ` + userColumns + ` FROM users WHERE search IS NULL ORDER BY id LIMIT $1`)

// It changes nothing if the fields are no longer those that were read.
var updateSearch = writing(`
	UPDATE users SET search = $1
	WHERE id = $2 AND search IS NULL AND email IS NOT DISTINCT FROM $3 AND full_name IS NOT DISTINCT FROM $4`)

func (s sqlStore) FoldUsers(ctx context.Context, limit int) (n int, err error) {
	var users []User
	err = s.read(ctx, func(ctx context.Context) error {
		users, err = s.queryUsers(ctx, selectUnfolded, limit)
		return err
	})
	if err != nil || len(users) == 0 {
		return 0, err
	}
	err = s.write(ctx, func(ctx context.Context) error {
		return s.transact(ctx, func(tx executor) error {
			for _, u := range users {
				if _, err := tx.exec(ctx, updateSearch, searchText(u), u.ID, u.Email, u.FullName); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return len(users), err
}
