package main

import (
	"context"
	"time"
)

// A session carries the epoch of its user from when it began. Ending all sessions raises the
// user's epoch: one row changes, and every session with the old epoch is over, except the one
// that was kept. A session that begins at that moment in another transaction still gets the old
// epoch, and so is over too. Rows of ended sessions are deleted in the background.
const (
	isOpen      = `(sessions.epoch = users.session_epoch OR sessions.id = users.kept_session)`
	isOpenAlone = `EXISTS (SELECT 1 FROM users WHERE users.id = sessions.user_id AND ` + isOpen + `)` // where users is not joined
)

// sessionColumns are the columns of a Session, in the order of sessionFields.
const sessionColumns = `sessions.id, sessions.user_id, sessions.created_at, sessions.last_used_at,
	sessions.expires_at, sessions.generation, sessions.ip, sessions.user_agent,
	sessions.asked_scope`

// sessionFields returns where the sessionColumns of a row go.
func sessionFields(s *Session) []any {
	return []any{
		&s.ID, &s.UserID, (*micros)(&s.CreatedAt), (*micros)(&s.LastUsedAt), (*micros)(&s.ExpiresAt),
		&s.Generation, &s.IP, &s.UserAgent,
		&s.Asked,
	}
}

var insertSession = writing(`
	INSERT INTO sessions (id, user_id, epoch, created_at, last_used_at, expires_at, ip, user_agent, asked_scope)
	SELECT $1, id, session_epoch, $2, $3, $4, $5, $6, $7
	FROM users WHERE id = $8 AND password_hash = $9 AND NOT disabled`)

func (s sqlStore) CreateSession(ctx context.Context, session Session, passwordHash string, atMost int) error {
	if err := checkSession(session); err != nil {
		return err
	}
	if !isStorable(passwordHash) {
		return errNotFound
	}
	err := s.writeOne(ctx, insertSession, session.ID,
		session.CreatedAt.UnixMicro(), session.LastUsedAt.UnixMicro(), session.ExpiresAt.UnixMicro(),
		session.IP, session.UserAgent, (*string)(session.Asked), session.UserID, passwordHash)
	if err != nil {
		return err
	}
	return s.deleteUnused(ctx, session, atMost-1)
}

var deleteUnusedSessions = writing(`
	DELETE FROM sessions WHERE (id, generation) IN ( -- with its generation, because a session that is refreshed meanwhile is not unused
		SELECT sessions.id, sessions.generation
		FROM sessions JOIN users ON users.id = sessions.user_id
		WHERE sessions.user_id = $1 AND sessions.id <> $2 AND sessions.expires_at > $3 AND ` + isOpen + `
		ORDER BY sessions.last_used_at DESC, sessions.id LIMIT $4 OFFSET $5)`)

// deleteUnused deletes the sessions of a user that have been unused for longest, until at
// most left are open besides current. After a lost connection it tries again, because a
// second DELETE does no harm.
func (s sqlStore) deleteUnused(ctx context.Context, current Session, left int) error {
	const batch = 1000 // of the many that may be left from before there was a limit
	for n := int64(batch); n == batch; {
		err := s.attempt(ctx, storeTimeout, func(ctx context.Context) (err error) {
			n, err = s.exec(ctx, deleteUnusedSessions, current.UserID, current.ID, current.CreatedAt.UnixMicro(), batch, left)
			return err
		}, true)
		if err != nil {
			return err
		}
	}
	return nil
}

var selectSessions = reading(`
	SELECT ` + sessionColumns + `
	FROM sessions JOIN users ON users.id = sessions.user_id
	WHERE sessions.user_id = $1 AND sessions.expires_at > $2 AND ` + isOpen + `
	ORDER BY sessions.last_used_at DESC, sessions.id LIMIT $3`)

func (s sqlStore) Sessions(ctx context.Context, userID int64, now time.Time, limit int) ([]Session, error) {
	return readRows(ctx, s, sessionFields, selectSessions, userID, now.UnixMicro(), limit)
}

var rotateSession = writing(`
	UPDATE sessions SET generation = generation + 1, last_used_at = $1, expires_at = $2
	WHERE id = $3 AND generation = $4 AND expires_at > $1 AND ` + isOpenAlone)

func (s sqlStore) RotateSession(ctx context.Context, sessionID string, generation int64, now, expiresAt time.Time) error {
	if !isStorable(sessionID) {
		return errNotFound
	}
	return s.writeOne(ctx, rotateSession, now.UnixMicro(), expiresAt.UnixMicro(), sessionID, generation)
}

var deleteSession = writing(`DELETE FROM sessions WHERE id = $1 AND user_id = $2 AND ` + isOpenAlone)

func (s sqlStore) EndSession(ctx context.Context, userID int64, sessionID string) error {
	if !isStorable(sessionID) {
		return errNotFound
	}
	return s.deleteOne(ctx, deleteSession, sessionID, userID)
}

var deleteExpiredSessions = writing(`
	DELETE FROM sessions WHERE expires_at <= $1 AND id IN ( -- again, because it may have been refreshed meanwhile
		SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`)

func (s sqlStore) DeleteExpiredSessions(ctx context.Context, now time.Time, limit int) (int, error) {
	n, err := s.writeMany(ctx, deleteExpiredSessions, now.UnixMicro(), limit)
	return int(n), err
}

// Ended sessions are looked for among the first few users who may have any. A partial index
// holds just the users for whom isUnswept is true; databases use it where the condition is
// written as in the migration. hasEnded is not NOT isOpen, which is null if no session was
// kept.
const (
	isUnswept    = `session_epoch > swept_epoch`
	unsweptUsers = `(SELECT id, session_epoch, kept_session FROM users WHERE ` + isUnswept + ` ORDER BY id LIMIT $1) AS unswept`
	hasEnded     = `sessions.user_id = unswept.id AND sessions.epoch <> unswept.session_epoch
		AND (unswept.kept_session IS NULL OR sessions.id <> unswept.kept_session)`
)

var deleteEndedSessions = writing(`
	DELETE FROM sessions WHERE id IN (
		SELECT sessions.id FROM ` + unsweptUsers + ` JOIN sessions ON ` + hasEnded + ` LIMIT $1)`)

// It sets the epoch that was read, because a later one may come meanwhile.
var updateSweptEpochs = writing(`
	UPDATE users SET swept_epoch = unswept.session_epoch FROM ` + unsweptUsers + `
	WHERE users.id = unswept.id AND users.session_epoch > users.swept_epoch
		AND NOT EXISTS (SELECT 1 FROM sessions WHERE ` + hasEnded + `)`)

// DeleteEndedSessions marks users who have no ended session left, so that they are not
// looked at again until all their sessions are ended again. It may miss a session that another
// transaction begins at that moment with an older epoch; that row stays until it expires.
func (s sqlStore) DeleteEndedSessions(ctx context.Context, limit int) (int, error) {
	n, err := s.writeMany(ctx, deleteEndedSessions, limit)
	if err == nil && n < int64(limit) {
		n, err = s.writeMany(ctx, updateSweptEpochs, limit)
	}
	return int(n), err
}
