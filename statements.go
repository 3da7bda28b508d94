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
	deleteExpiredSessions
	probeUsers
)

// userColumns are those of a User, in the order of userFields, and sessionColumns
// those of a Session, in the order of sessionFields.
const (
	userColumns = `id, username, username_key, email, full_name,
		password_hash, disabled, created_at, tokens_valid_after`
	sessionColumns = `s.id, s.user_id, s.created_at, s.last_used_at, s.expires_at,
		s.generation, s.ip, s.user_agent`
)

// A session has ended when all sessions of its user were ended after it began, but
// for the one that was kept. So a single row ends any number of them, and with it
// whatever is under way: a session that begins at that moment in another transaction
// has the older epoch. The rows go when they expire.
const (
	isOpen   = `(s.epoch = u.session_epoch OR s.id = u.kept_session)`
	itIsOpen = `EXISTS (SELECT 1 FROM users u WHERE u.id = s.user_id AND ` + isOpen + `)`
)

// endOthers is what ends all sessions of a user but $1, if that is an open one of
// theirs, and refuses tokens from before $2.
const endOthers = `
	session_epoch = session_epoch + 1,
	kept_session = (
		SELECT s.id FROM sessions s WHERE s.id = $1 AND s.user_id = u.id AND ` + isOpen + `),
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
		SELECT u.id, u.username, u.username_key, u.email, u.full_name,
			u.password_hash, u.disabled, u.created_at, u.tokens_valid_after, ` + sessionColumns + `
		FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.id = $1 AND ` + isOpen,
	selectUsers: `SELECT ` + userColumns + ` FROM users ORDER BY id`,
	updatePasswordHash: `
		UPDATE users SET password_hash = $1 WHERE id = $2 AND password_hash = $3`,
	changePassword: `
		UPDATE users AS u SET ` + endOthers + `, password_hash = $3
		WHERE id = $4 AND password_hash = $5`,
	updateProfile: `
		UPDATE users SET
			email     = CASE WHEN $1 THEN $2 ELSE email END,
			full_name = CASE WHEN $3 THEN $4 ELSE full_name END
		WHERE id = $5
		RETURNING ` + userColumns,
	disableUser: `UPDATE users AS u SET ` + endOthers + `, disabled = true WHERE id = $3`,
	deleteUser:  `DELETE FROM users WHERE id = $1`,
	insertSession: `
		INSERT INTO sessions (id, user_id, epoch, created_at, last_used_at, expires_at, ip, user_agent)
		SELECT $1, u.id, u.session_epoch, $2, $3, $4, $5, $6
		FROM users u WHERE u.id = $7 AND u.password_hash = $8 AND NOT u.disabled`,
	selectSessions: `
		SELECT ` + sessionColumns + `
		FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.user_id = $1 AND s.expires_at > $2 AND ` + isOpen + `
		ORDER BY s.last_used_at DESC, s.id LIMIT $3`,
	rotateSession: `
		UPDATE sessions AS s SET generation = generation + 1, last_used_at = $1, expires_at = $2
		WHERE s.id = $3 AND s.generation = $4 AND s.expires_at > $1 AND ` + itIsOpen,
	deleteSession: `DELETE FROM sessions AS s WHERE s.id = $1 AND s.user_id = $2 AND ` + itIsOpen,
	endSessions:   `UPDATE users AS u SET ` + endOthers + ` WHERE id = $3`,
	deleteExpiredSessions: `
		DELETE FROM sessions WHERE id IN (
			SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,

	// What Ping asks: of a table, so that a missing one is noticed; and count, so
	// that an empty one has a row too.
	probeUsers: `SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1) AS first`,
}

// writes reports whether s changes something.
func (s statement) writes() bool {
	return !strings.HasPrefix(strings.TrimSpace(statementTexts[s]), "SELECT")
}
