package main

import (
	"context"
	"database/sql"
	"time"
)

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

// sessionFields are where the sessionColumns go.
func sessionFields(s *Session) []any {
	return []any{
		&s.ID, &s.UserID, (*micros)(&s.CreatedAt), (*micros)(&s.LastUsedAt), (*micros)(&s.ExpiresAt),
		&s.Generation, &s.IP, &s.UserAgent,
	}
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
