package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// These find more users than asked for, because databases do not agree on case: userQuery.matches
// decides. selectUsersWithoutText is for any text: with the condition on it, PostgreSQL would read
// a trigram index for nothing.
var (
	selectUsersByText      = wantedUsers(isWanted(2) + ` AND ` + hasText(4))
	selectUsersWithoutText = wantedUsers(isWanted(2) + ` AND $4 = '%'`)
)

func wantedUsers(condition string) *statement {
	return reading(`
		SELECT ` + userColumns + ` FROM users WHERE username_key IN (
			SELECT username_key FROM users
			WHERE username_key > $1 AND ` + condition + `
			ORDER BY username_key LIMIT $5)
		ORDER BY username_key`)
}

// selectNextUsers is selectUsersByText among the next $2 users. PostgreSQL expects that few users
// are wanted, and then reads the whole table even for a page of all of them. Here it reads the index
// of names until the page is full. A number in the place of $2 would make it read small tables
// whole, once it has a plan for all values.
var selectNextUsers = reading(`
	SELECT ` + userColumns + ` FROM users WHERE username_key IN (
		SELECT username_key FROM (
			SELECT username_key, disabled, scopes, search FROM users
			WHERE username_key > $1 ORDER BY username_key LIMIT $2
		) AS next
		WHERE ` + isWanted(3) + ` AND ` + hasText(5) + `
		ORDER BY username_key LIMIT $6)
	ORDER BY username_key`)

// nextUsers is how many users are read in the order of their names, before the whole table: those
// take some 20 ms.
const nextUsers = 20_000

// isWanted returns a condition with two parameters, from $first on: whether users are disabled, or
// null, and a pattern of their scopes.
func isWanted(first int) string {
	return fmt.Sprintf(`disabled = COALESCE($%d, disabled) AND ' ' || scopes || ' ' LIKE $%d ESCAPE '!'`, first, first+1)
}

// hasText returns a condition whose parameter is a pattern of search texts. A text that is null may
// be any.
func hasText(parameter int) string {
	return fmt.Sprintf(`(search LIKE $%d ESCAPE '!' OR search IS NULL)`, parameter)
}

// selectUsersByEmail sorts by an expression, so that no database reads all users in the order of
// their keys until it meets the few.
var selectUsersByEmail = reading(`
	SELECT ` + userColumns + ` FROM users
	WHERE lower(email) = lower($1) AND email IS NOT NULL AND username_key > $2
	ORDER BY username_key || '' LIMIT $3`)

// leastRead is how many users are read at once, at least: most of them may turn out not to match.
const leastRead = 100

// FindUsers reads on until it has enough users, or storeTimeout is over.
func (s sqlStore) FindUsers(ctx context.Context, q userQuery, limit int) ([]User, error) {
	var found []User
	err := s.read(ctx, func(ctx context.Context) error {
		found = nil // of an attempt that failed
		some := max(limit, leastRead)
		for rest := q; ; {
			rows, err := s.usersAfter(ctx, rest, some)
			if err != nil {
				return err
			}
			for _, u := range rows {
				if q.matches(u) && len(found) < limit {
					found = append(found, u)
				}
			}
			if len(rows) < some || len(found) == limit {
				return nil
			}
			rest.After = rows[len(rows)-1].Key
		}
	})
	return found, err
}

// usersAfter returns at most limit users, among whom are all that q asks for.
func (s sqlStore) usersAfter(ctx context.Context, q userQuery, limit int) ([]User, error) {
	if q.Email != "" {
		return queryRows(ctx, s, userFields, selectUsersByEmail, q.Email, q.After, limit)
	}
	scope, text, all := "%", "%", selectUsersWithoutText
	if q.Scope != "" {
		scope = containing(" " + q.Scope + " ")
	}
	if q.Text != "" {
		text, all = containing(q.Text), selectUsersByText
	}
	users, err := queryRows(ctx, s, userFields, selectNextUsers, q.After, nextUsers, q.Disabled, scope, text, limit)
	if err != nil || len(users) == limit {
		return users, err
	}
	return queryRows(ctx, s, userFields, all, q.After, q.Disabled, scope, text, limit)
}

var selectUnfolded = reading(`SELECT ` + userColumns + ` FROM users WHERE search IS NULL ORDER BY id LIMIT $1`)

// foldedAtOnce is how many users one statement folds.
const foldedAtOnce = 100

// updateSearch changes nobody whose fields are no longer those that were read.
var updateSearch = writing(`
	UPDATE users SET search = folded.column1
	FROM (VALUES ` + foldedValues() + `) AS folded
	WHERE users.id = folded.column2 AND users.search IS NULL
		AND users.email IS NOT DISTINCT FROM folded.column3 AND users.full_name IS NOT DISTINCT FROM folded.column4
		AND users.id BETWEEN ` + fmt.Sprintf("$%d AND $%d", 4*foldedAtOnce+1, 4*foldedAtOnce+2) + ` -- of all who are not folded, or PostgreSQL would read them all`)

// foldedValues returns the parameters of foldedAtOnce users. Values alone would have no types.
func foldedValues() string {
	var rows []string
	for i := range foldedAtOnce {
		rows = append(rows, fmt.Sprintf("(CAST($%d AS TEXT), CAST($%d AS BIGINT), CAST($%d AS TEXT), CAST($%d AS TEXT))", 4*i+1, 4*i+2, 4*i+3, 4*i+4))
	}
	return strings.Join(rows, ", ")
}

func (s sqlStore) FoldUsers(ctx context.Context, limit int) (int, error) {
	var users []User
	err := s.read(ctx, func(ctx context.Context) (err error) {
		users, err = queryRows(ctx, s, userFields, selectUnfolded, limit)
		return err
	})
	if err != nil {
		return 0, err
	}
	for some := range slices.Chunk(users, foldedAtOnce) {
		var args []any
		for _, u := range some {
			args = append(args, searchText(u), u.ID, u.Email, u.FullName)
		}
		for len(args) < 4*foldedAtOnce {
			args = append(args, "", int64(0), (*string)(nil), (*string)(nil)) // nobody
		}
		args = append(args, some[0].ID, some[len(some)-1].ID)
		if _, err := s.writeMany(ctx, updateSearch, args...); err != nil {
			return 0, err
		}
	}
	return len(users), nil
}
