package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// storeTimeout is how long a method of a sqlStore may take, waiting for a
// connection and all attempts included: a lost database is known as such within
// five seconds.
const storeTimeout = 4 * time.Second

// sqlStore keeps users in a database. Its statements are the same for SQLite and
// PostgreSQL. They use only SQL that both treat alike, and never check before an insert.
type sqlStore struct{ *database }

var _ store = sqlStore{}

// openDatabase opens the database at a URL that checkDatabaseURL has found good.
// A SQLite file that is not there is created if create is true, and is an
// fs.ErrNotExist otherwise.
func openDatabase(url string, create bool, log *slog.Logger) (*database, error) {
	if path, ok := strings.CutPrefix(url, sqlitePrefix); ok {
		return openSQLite(path, create, log)
	}
	return openPostgres(url, log)
}

func (s sqlStore) CreateUser(ctx context.Context, u User) (User, error) {
	if err := checkUser(u); err != nil {
		return User{}, err
	}
	u.CreatedAt, u.TokensValidAfter = storedTime(u.CreatedAt), storedTime(u.TokensValidAfter)
	err := s.writeRow(ctx, []any{&u.ID}, insertUser, u.Username, u.Key, u.Email, u.FullName, u.PasswordHash,
		u.Disabled, u.CreatedAt.UnixMicro(), u.TokensValidAfter.UnixMicro())
	if errors.Is(err, errNotFound) {
		return User{}, errExists // no row was inserted
	}
	if err != nil {
		return User{}, err
	}
	return u, nil
}

func (s sqlStore) UserByKey(ctx context.Context, key string) (User, error) {
	if !isStorable(key) {
		return User{}, errNotFound
	}
	var u User
	err := s.read(ctx, func(ctx context.Context) error {
		return s.queryRow(ctx, selectUserByKey, key).Scan(userFields(&u)...)
	})
	return u, err
}

func (s sqlStore) UserBySession(ctx context.Context, sessionID string) (User, Session, error) {
	if !isStorable(sessionID) {
		return User{}, Session{}, errNotFound
	}
	var u User
	var session Session
	err := s.read(ctx, func(ctx context.Context) error {
		return s.queryRow(ctx, selectUserBySession, sessionID).Scan(append(userFields(&u), sessionFields(&session)...)...)
	})
	if err != nil {
		return User{}, Session{}, err
	}
	return u, session, nil
}

func (s sqlStore) Users(ctx context.Context) ([]User, error) {
	var users []User
	err := s.read(ctx, func(ctx context.Context) error {
		users = nil // of an attempt that failed
		return s.queryAll(ctx, func(r row) error {
			users = append(users, User{})
			return r.Scan(userFields(&users[len(users)-1])...)
		}, selectUsers)
	})
	return users, err
}

// userFields are where the userColumns go.
func userFields(u *User) []any {
	return []any{
		&u.ID, &u.Username, &u.Key, &u.Email, &u.FullName,
		&u.PasswordHash, &u.Disabled, (*micros)(&u.CreatedAt), (*micros)(&u.TokensValidAfter),
	}
}

// sessionFields are where the sessionColumns go.
func sessionFields(s *Session) []any {
	return []any{
		&s.ID, &s.UserID, (*micros)(&s.CreatedAt), (*micros)(&s.LastUsedAt), (*micros)(&s.ExpiresAt),
		&s.Generation, &s.IP, &s.UserAgent,
	}
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
	if err := checkStorable(next); err != nil {
		return err
	}
	if !isStorable(current) {
		return errNotFound
	}
	return s.writeOne(ctx, updatePasswordHash, next, userID, current)
}

func (s sqlStore) ChangePassword(ctx context.Context, userID int64, current, next string, validAfter time.Time, keep string) error {
	if err := checkStorable(next); err != nil {
		return err
	}
	if !isStorable(current) {
		return errNotFound
	}
	return s.writeOne(ctx, changePassword, keep, validAfter.UnixMicro(), next, userID, current)
}

func (s sqlStore) UpdateProfile(ctx context.Context, userID int64, change profileChange) (User, error) {
	if err := checkProfile(change); err != nil {
		return User{}, err
	}
	var u User
	err := s.writeRow(ctx, userFields(&u), updateProfile, change.Email.Set, change.Email.Value,
		change.FullName.Set, change.FullName.Value, userID)
	if err != nil {
		return User{}, err
	}
	return u, nil
}

func (s sqlStore) DisableUser(ctx context.Context, userID int64, validAfter time.Time) error {
	return s.writeOne(ctx, disableUser, "", validAfter.UnixMicro(), userID)
}

func (s sqlStore) DeleteUser(ctx context.Context, userID int64) error {
	return s.writeOne(ctx, deleteUser, userID)
}

func (s sqlStore) CreateSession(ctx context.Context, session Session, passwordHash string, atMost int) error {
	if err := checkSession(session); err != nil {
		return err
	}
	if !isStorable(passwordHash) {
		return errNotFound
	}
	err := s.writeOne(ctx, insertSession, session.ID,
		session.CreatedAt.UnixMicro(), session.LastUsedAt.UnixMicro(), session.ExpiresAt.UnixMicro(),
		session.IP, session.UserAgent, session.UserID, passwordHash)
	if err != nil {
		return err
	}
	return s.deleteUnused(ctx, session, atMost-1)
}

// deleteUnused deletes the sessions of a user that have been unused for longest, until at
// most left are open besides current. After a lost connection it tries again, because a
// second DELETE does no harm.
func (s sqlStore) deleteUnused(ctx context.Context, current Session, left int) error {
	const batch = 1000 // of the many that may be left from before there was a limit
	for n := int64(batch); n == batch; {
		err := s.attempt(ctx, func(ctx context.Context) (err error) {
			n, err = s.exec(ctx, deleteUnusedSessions, current.UserID, current.ID, current.CreatedAt.UnixMicro(), batch, left)
			return err
		}, true)
		if err != nil {
			return err
		}
	}
	return nil
}

func (s sqlStore) Sessions(ctx context.Context, userID int64, now time.Time, limit int) ([]Session, error) {
	var sessions []Session
	err := s.read(ctx, func(ctx context.Context) error {
		sessions = nil // of an attempt that failed
		return s.queryAll(ctx, func(r row) error {
			sessions = append(sessions, Session{})
			return r.Scan(sessionFields(&sessions[len(sessions)-1])...)
		}, selectSessions, userID, now.UnixMicro(), limit)
	})
	return sessions, err
}

func (s sqlStore) RotateSession(ctx context.Context, sessionID string, generation int64, now, expiresAt time.Time) error {
	if !isStorable(sessionID) {
		return errNotFound
	}
	return s.writeOne(ctx, rotateSession, now.UnixMicro(), expiresAt.UnixMicro(), sessionID, generation)
}

// EndSession is tried again when the connection breaks: a second DELETE does no harm,
// and if it finds no row, the first was carried out.
func (s sqlStore) EndSession(ctx context.Context, userID int64, sessionID string) error {
	if !isStorable(sessionID) {
		return errNotFound
	}
	again := false
	return s.attempt(ctx, func(ctx context.Context) error {
		n, err := s.exec(ctx, deleteSession, sessionID, userID)
		if err == nil && n == 0 && !again {
			return sql.ErrNoRows
		}
		again = true
		return err
	}, true)
}

func (s sqlStore) EndSessions(ctx context.Context, userID int64, validAfter time.Time, keep string) error {
	return s.writeOne(ctx, endSessions, keep, validAfter.UnixMicro(), userID)
}

func (s sqlStore) LoginHistory(ctx context.Context, account string, userID int64, source string) (loginHistory, error) {
	var g loginHistory
	err := s.read(ctx, func(ctx context.Context) error {
		return s.queryRow(ctx, selectLoginHistory, account, userID, source).
			Scan(&g.Failures, (*micros)(&g.LastAt), (*micros)(&g.SeenAt))
	})
	return g, err
}

func (s sqlStore) AddFailure(ctx context.Context, account string, now, stale time.Time) error {
	return s.writeOne(ctx, insertFailure, account, now.UnixMicro(), stale.UnixMicro())
}

func (s sqlStore) ClearFailures(ctx context.Context, account string) error {
	_, err := s.writeMany(ctx, deleteFailures, account)
	return err
}

func (s sqlStore) RememberSource(ctx context.Context, userID int64, source string, now time.Time) error {
	if err := s.writeOne(ctx, insertSource, source, now.UnixMicro(), userID); err != nil {
		return err
	}
	_, err := s.writeMany(ctx, deleteSources, userID, maxSources)
	return err
}

func (s sqlStore) ForgetSources(ctx context.Context, userID int64, keep string) error {
	_, err := s.writeMany(ctx, deleteOtherSources, userID, keep)
	return err
}

func (s sqlStore) DeleteOldFailures(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := s.writeMany(ctx, deleteOldFailures, before.UnixMicro(), limit)
	return int(n), err
}

func (s sqlStore) DeleteExpiredSessions(ctx context.Context, now time.Time, limit int) (int, error) {
	n, err := s.writeMany(ctx, deleteExpiredSessions, now.UnixMicro(), limit)
	return int(n), err
}

// DeleteEndedSessions marks users who have no ended session left, so that they are not
// looked at again until their next EndSessions. It may miss a session that another
// transaction begins at that moment with an older epoch; that row stays until it expires.
func (s sqlStore) DeleteEndedSessions(ctx context.Context, limit int) (int, error) {
	n, err := s.writeMany(ctx, deleteEndedSessions, limit)
	if err == nil && n < int64(limit) {
		n, err = s.writeMany(ctx, updateSweptEpochs, limit)
	}
	return int(n), err
}

func (s sqlStore) Ping(ctx context.Context) error {
	return s.read(ctx, func(ctx context.Context) error {
		var n int
		return s.queryRow(ctx, probeUsers).Scan(&n)
	})
}

// writeRow carries out a statement that returns the row it has written, and scans
// that into fields.
func (s sqlStore) writeRow(ctx context.Context, fields []any, what statement, args ...any) error {
	return s.write(ctx, func(ctx context.Context) error {
		err := s.queryRow(ctx, what, args...).Scan(fields...)
		return cmp.Or(err, ctx.Err()) // database/sql may lose the error of a commit that was too late
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
// times and for storeTimeout. It returns ctx.Err() if ctx is done beforehand,
// errNotFound for no row, and otherwise what wraps errUnavailable.
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
		kind := s.faultOf(err)
		if errors.Is(err, sql.ErrNoRows) || kind == faultUserGone {
			return errNotFound
		}
		s.noteFault(kind)
		again := kind.isUndone() || kind == faultLost && repeatable
		if !again || n == maxAttempts || !pause(limited) {
			return fmt.Errorf("%w: %w", errUnavailable, s.explain(err))
		}
	}
}
