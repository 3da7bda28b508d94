package main

import "strings"

// A statement is the place of a text in statementTexts, and of what is prepared
// from it.
type statement int

const (
	insertUser statement = iota
	selectUserByKey
	selectUserBySession
	selectUsers
	updatePasswordHash
	changePassword
	updateProfile
	disableUser
	deleteUser
	insertSession
	selectSessions
	rotateSession
	deleteSession
	endSessions
	deleteUnusedSessions
	deleteExpiredSessions
	deleteEndedSessions
	updateSweptEpochs
	selectLoginHistory
	insertFailure
	deleteFailures
	insertSource
	deleteSources
	deleteOtherSources
	deleteOldFailures
	probeUsers
)

// userColumns are those of a User, in the order of userFields, and sessionColumns
// those of a Session, in the order of sessionFields.
const (
	userColumns = `users.id, users.username, users.username_key, users.email, users.full_name,
		users.password_hash, users.disabled, users.created_at, users.tokens_valid_after`
	sessionColumns = `sessions.id, sessions.user_id, sessions.created_at, sessions.last_used_at,
		sessions.expires_at, sessions.generation, sessions.ip, sessions.user_agent`
)

// A session has ended when all sessions of its user were ended after it began, but
// for the one that was kept. So a single row ends any number of them, and with it
// whatever is under way: a session that begins at that moment in another transaction
// has the older epoch. The rows are deleted in the background.
const (
	isOpen      = `(sessions.epoch = users.session_epoch OR sessions.id = users.kept_session)`
	isOpenAlone = `EXISTS (SELECT 1 FROM users WHERE users.id = sessions.user_id AND ` + isOpen + `)` // where users is not joined
)

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

// endSessionsSet is the SET clause that ends all sessions of a user but $1, if that is
// an open one of theirs, and refuses tokens without a session from before $2.
const endSessionsSet = `
	session_epoch = session_epoch + 1,
	kept_session = (
		SELECT sessions.id FROM sessions
		WHERE sessions.id = $1 AND sessions.user_id = users.id AND ` + isOpen + `),
	tokens_valid_after = CASE WHEN tokens_valid_after < $2 THEN $2 ELSE tokens_valid_after END`

// statementTexts are the statements. Their parameters stand in order: SQLite
// counts $3 as the first if it comes first.
var statementTexts = [...]string{
	insertUser: `
		INSERT INTO users (username, username_key, email, full_name,
			password_hash, disabled, created_at, tokens_valid_after)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (username_key) DO NOTHING
		RETURNING id`,
	selectUserByKey: `SELECT ` + userColumns + ` FROM users WHERE username_key = $1`,
	selectUserBySession: `
		SELECT ` + userColumns + `, ` + sessionColumns + `
		FROM sessions JOIN users ON users.id = sessions.user_id
		WHERE sessions.id = $1 AND ` + isOpen,
	selectUsers: `SELECT ` + userColumns + ` FROM users ORDER BY id`,
	updatePasswordHash: `
		UPDATE users SET password_hash = $1 WHERE id = $2 AND password_hash = $3`,
	changePassword: `
		UPDATE users SET ` + endSessionsSet + `, password_hash = $3
		WHERE id = $4 AND password_hash = $5`,
	updateProfile: `
		UPDATE users SET
			email     = CASE WHEN $1 THEN $2 ELSE email END,
			full_name = CASE WHEN $3 THEN $4 ELSE full_name END
		WHERE id = $5
		RETURNING ` + userColumns,
	disableUser: `UPDATE users SET ` + endSessionsSet + `, disabled = true WHERE id = $3`,
	deleteUser:  `DELETE FROM users WHERE id = $1`,
	insertSession: `
		INSERT INTO sessions (id, user_id, epoch, created_at, last_used_at, expires_at, ip, user_agent)
		SELECT $1, id, session_epoch, $2, $3, $4, $5, $6
		FROM users WHERE id = $7 AND password_hash = $8 AND NOT disabled`,
	selectSessions: `
		SELECT ` + sessionColumns + `
		FROM sessions JOIN users ON users.id = sessions.user_id
		WHERE sessions.user_id = $1 AND sessions.expires_at > $2 AND ` + isOpen + `
		ORDER BY sessions.last_used_at DESC, sessions.id LIMIT $3`,
	rotateSession: `
		UPDATE sessions SET generation = generation + 1, last_used_at = $1, expires_at = $2
		WHERE id = $3 AND generation = $4 AND expires_at > $1 AND ` + isOpenAlone,
	deleteSession: `DELETE FROM sessions WHERE id = $1 AND user_id = $2 AND ` + isOpenAlone,
	endSessions:   `UPDATE users SET ` + endSessionsSet + ` WHERE id = $3`,
	deleteUnusedSessions: `
		DELETE FROM sessions WHERE (id, generation) IN ( -- with its generation: one that is refreshed meanwhile is not unused
			SELECT sessions.id, sessions.generation
			FROM sessions JOIN users ON users.id = sessions.user_id
			WHERE sessions.user_id = $1 AND sessions.id <> $2 AND sessions.expires_at > $3 AND ` + isOpen + `
			ORDER BY sessions.last_used_at DESC, sessions.id LIMIT $4 OFFSET $5)`,
	deleteExpiredSessions: `
		DELETE FROM sessions WHERE expires_at <= $1 AND id IN ( -- again, for it may have been refreshed meanwhile
			SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
	deleteEndedSessions: `
		DELETE FROM sessions WHERE id IN (
			SELECT sessions.id FROM ` + unsweptUsers + ` JOIN sessions ON ` + hasEnded + ` LIMIT $1)`,

	// It sets the epoch that was read, because a later one may come meanwhile.
	updateSweptEpochs: `
		UPDATE users SET swept_epoch = unswept.session_epoch FROM ` + unsweptUsers + `
		WHERE users.id = unswept.id AND users.session_epoch > users.swept_epoch
			AND NOT EXISTS (SELECT 1 FROM sessions WHERE ` + hasEnded + `)`,
	selectLoginHistory: `
		SELECT COALESCE((SELECT failures FROM login_failures WHERE account = $1), 0),
			COALESCE((SELECT last_at FROM login_failures WHERE account = $1), 0),
			COALESCE((SELECT last_at FROM login_sources WHERE user_id = $2 AND source = $3), 0)`,
	insertFailure: `
		INSERT INTO login_failures (account, failures, last_at) VALUES ($1, 1, $2)
		ON CONFLICT (account) DO UPDATE SET
			last_at  = CASE WHEN excluded.last_at > login_failures.last_at THEN excluded.last_at ELSE login_failures.last_at END,
			failures = CASE WHEN login_failures.last_at <= $3 THEN 1 ELSE login_failures.failures + 1 END`,
	deleteFailures: `DELETE FROM login_failures WHERE account = $1`,
	insertSource: `
		INSERT INTO login_sources (user_id, source, last_at)
		SELECT id, $1, $2 FROM users WHERE id = $3
		ON CONFLICT (user_id, source) DO UPDATE SET last_at = excluded.last_at`,
	deleteSources: `
		DELETE FROM login_sources WHERE user_id = $1 AND source NOT IN (
			SELECT source FROM login_sources WHERE user_id = $1 ORDER BY last_at DESC, source LIMIT $2)`,
	deleteOtherSources: `DELETE FROM login_sources WHERE user_id = $1 AND source <> $2`,
	deleteOldFailures: `
		DELETE FROM login_failures WHERE last_at < $1 AND account IN (
			SELECT account FROM login_failures WHERE last_at < $1 ORDER BY last_at LIMIT $2)`,

	// What Ping asks: of a table, so that a missing one is noticed; and count, so
	// that an empty one has a row too.
	probeUsers: `SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1) AS first`,
}

// writes reports whether s changes something.
func (s statement) writes() bool {
	return !strings.HasPrefix(strings.TrimSpace(statementTexts[s]), "SELECT")
}
