package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// storeTimeout is how long a method of a sqlStore may take, waiting for a
// connection and all attempts included: a lost database is known as such within
// five seconds.
const storeTimeout = 4 * time.Second

// maxAttempts is how often a statement is sent that the database has undone, or
// a read that it has lost.
const maxAttempts = 3

// sqlStore keeps users in a database. Its statements are the same for SQLite and
// PostgreSQL: what every database does alike, and no check before an insert.
type sqlStore struct{ *database }

var _ store = sqlStore{}

// A statement is one of those that a sqlStore carries out.
type statement int

const (
	insertUser statement = iota
	selectUserByKey
	selectUserBySession
	selectUsers
	updatePasswordHash
	deleteUser
	insertSession
	deleteExpiredSessions
	selectOne
)

const userColumns = `u.id, u.username, u.username_key, u.email, u.full_name,
	u.password_hash, u.disabled, u.created_at, u.tokens_valid_after`

// statementTexts are the statements. Their parameters stand in order: SQLite
// counts $3 as the first if it comes first.
var statementTexts = [...]string{
	insertUser: `
		INSERT INTO users (username, username_key, email, full_name,
			password_hash, disabled, created_at, tokens_valid_after)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (username_key) DO NOTHING
		RETURNING id`,
	selectUserByKey: `SELECT ` + userColumns + ` FROM users u WHERE u.username_key = $1`,
	selectUserBySession: `
		SELECT ` + userColumns + `, s.created_at, s.expires_at, s.ip, s.user_agent
		FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.id = $1`,
	selectUsers: `SELECT ` + userColumns + ` FROM users u ORDER BY u.id`,
	updatePasswordHash: `
		UPDATE users SET password_hash = $1 WHERE id = $2 AND password_hash = $3`,
	deleteUser: `DELETE FROM users WHERE id = $1`,
	insertSession: `
		INSERT INTO sessions (id, user_id, created_at, expires_at, ip, user_agent)
		SELECT $1, u.id, $2, $3, $4, $5 FROM users u WHERE u.id = $6`,
	deleteExpiredSessions: `
		DELETE FROM sessions WHERE id IN (
			SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
	selectOne: `SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1) AS first`,
}

// writes reports whether a statement changes something.
func (s statement) writes() bool {
	switch s {
	case insertUser, updatePasswordHash, deleteUser, insertSession, deleteExpiredSessions:
		return true
	}
	return false
}

// A row is one that a statement has found: of database/sql or of pgx.
type row interface {
	Scan(fields ...any) error
}

// connections is a pool that carries out statements, each prepared once for every
// connection.
type connections interface {
	// exec returns how many rows the statement concerned.
	exec(ctx context.Context, s statement, args ...any) (int64, error)

	// queryRow returns the only row, whose Scan returns sql.ErrNoRows if there is
	// none.
	queryRow(ctx context.Context, s statement, args ...any) row

	// queryAll calls scan for every row.
	queryAll(ctx context.Context, s statement, scan func(row) error) error

	// dropIdle closes the connections that are not in use.
	dropIdle()

	Close() error
}

func (s sqlStore) CreateUser(ctx context.Context, u User) (User, error) {
	if err := checkUser(u); err != nil {
		return User{}, err
	}
	u.CreatedAt, u.TokensValidAfter = storedTime(u.CreatedAt), storedTime(u.TokensValidAfter)
	err := s.write(ctx, func(ctx context.Context) error {
		return s.queryRow(ctx, insertUser, u.Username, u.Key, u.Email, u.FullName, u.PasswordHash,
			u.Disabled, u.CreatedAt.UnixMicro(), u.TokensValidAfter.UnixMicro()).Scan(&u.ID)
	})
	if errors.Is(err, errNotFound) {
		return User{}, errExists // no row was inserted
	}
	if err != nil {
		return User{}, err
	}
	return u, nil
}

func (s sqlStore) UserByKey(ctx context.Context, key string) (User, error) {
	if !isText(key) {
		return User{}, errNotFound
	}
	var u User
	err := s.read(ctx, func(ctx context.Context) error {
		return s.queryRow(ctx, selectUserByKey, key).Scan(userFields(&u)...)
	})
	return u, err
}

func (s sqlStore) UserBySession(ctx context.Context, sessionID string) (User, Session, error) {
	if !isText(sessionID) {
		return User{}, Session{}, errNotFound
	}
	var u User
	session := Session{ID: sessionID}
	err := s.read(ctx, func(ctx context.Context) error {
		return s.queryRow(ctx, selectUserBySession, sessionID).Scan(append(userFields(&u),
			(*micros)(&session.CreatedAt), (*micros)(&session.ExpiresAt), &session.IP, &session.UserAgent)...)
	})
	if err != nil {
		return User{}, Session{}, err
	}
	session.UserID = u.ID
	return u, session, nil
}

func (s sqlStore) Users(ctx context.Context) ([]User, error) {
	var users []User
	err := s.read(ctx, func(ctx context.Context) error {
		users = nil // of an attempt that failed
		return s.queryAll(ctx, selectUsers, func(r row) error {
			users = append(users, User{})
			return r.Scan(userFields(&users[len(users)-1])...)
		})
	})
	return users, err
}

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

// userFields are where the userColumns go, with room for a session's.
func userFields(u *User) []any {
	return append(make([]any, 0, 13),
		&u.ID, &u.Username, &u.Key, &u.Email, &u.FullName,
		&u.PasswordHash, &u.Disabled, (*micros)(&u.CreatedAt), (*micros)(&u.TokensValidAfter))
}

// micros is a time.Time that is read from microseconds since 1970, which are
// alike in every database and every zone.
type micros time.Time

func (m *micros) Scan(value any) error {
	n, ok := value.(int64)
	if !ok {
		return fmt.Errorf("%T in the place of a time", value)
	}
	*m = micros(time.UnixMicro(n).UTC())
	return nil
}

func (s sqlStore) ReplacePasswordHash(ctx context.Context, userID int64, current, next string) error {
	if err := checkTexts(next); err != nil {
		return err
	}
	if !isText(current) {
		return errNotFound
	}
	return s.writeOne(ctx, updatePasswordHash, next, userID, current)
}

func (s sqlStore) DeleteUser(ctx context.Context, userID int64) error {
	return s.writeOne(ctx, deleteUser, userID)
}

func (s sqlStore) CreateSession(ctx context.Context, session Session) error {
	if err := checkSession(session); err != nil {
		return err
	}
	return s.writeOne(ctx, insertSession, session.ID,
		session.CreatedAt.UnixMicro(), session.ExpiresAt.UnixMicro(), session.IP, session.UserAgent, session.UserID)
}

func (s sqlStore) DeleteExpiredSessions(ctx context.Context, now time.Time, limit int) (int, error) {
	n, err := s.writeMany(ctx, deleteExpiredSessions, now.UnixMicro(), limit)
	return int(n), err
}

func (s sqlStore) Ping(ctx context.Context) error {
	return s.read(ctx, func(ctx context.Context) error {
		var n int
		return s.queryRow(ctx, selectOne).Scan(&n)
	})
}

// writeOne carries out a statement that concerns one row, or returns errNotFound
// if there is none.
func (s sqlStore) writeOne(ctx context.Context, what statement, args ...any) error {
	n, err := s.writeMany(ctx, what, args...)
	if err == nil && n == 0 {
		return errNotFound
	}
	return err
}

// writeMany carries out a statement and returns how many rows it concerned.
func (s sqlStore) writeMany(ctx context.Context, what statement, args ...any) (n int64, err error) {
	err = s.write(ctx, func(ctx context.Context) error {
		n, err = s.exec(ctx, what, args...)
		return err
	})
	return n, err
}

// A fault is what a database's error says of the statement that it is about.
type fault int

const (
	faultOther   fault = iota // it would fail again, or may have been carried out
	faultUndone               // it was not carried out, and may succeed the next time
	faultDemoted              // it was not carried out: this server takes no writes any more
	faultLost                 // the connection is lost, and nobody knows
	faultNoUser               // it was not carried out: it refers to a user who is gone
)

// read calls op, which changes nothing, until it succeeds; see attempt.
func (s sqlStore) read(ctx context.Context, op func(context.Context) error) error {
	return s.attempt(ctx, op, true)
}

// write calls op until it succeeds; see attempt. It is not called again when it
// may have been carried out.
func (s sqlStore) write(ctx context.Context, op func(context.Context) error) error {
	return s.attempt(ctx, op, false)
}

// attempt calls op until it succeeds or its failure is final, at most maxAttempts
// times and for storeTimeout. It returns sentinels only: no row is errNotFound,
// and what remains wraps errUnavailable.
func (s sqlStore) attempt(ctx context.Context, op func(context.Context) error, repeatable bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for n := 1; ; n++ {
		err := op(limited)
		if err == nil {
			return nil
		}
		kind := s.fault(err)
		switch {
		case errors.Is(err, sql.ErrNoRows), kind == faultNoUser:
			return errNotFound
		case kind == faultDemoted:
			s.dropIdle()
		}
		again := kind == faultUndone || kind == faultDemoted || kind == faultLost && repeatable
		if !again || n == maxAttempts || !pause(limited) {
			if s.explain != nil {
				err = s.explain(err)
			}
			return fmt.Errorf("%w: %w", errUnavailable, err)
		}
	}
}

// pause waits a little, never as long as the others that wait for the same row,
// and reports whether ctx is still good.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(5*time.Millisecond + rand.N(20*time.Millisecond)):
		return true
	}
}
