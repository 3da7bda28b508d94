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
	deleteUser
	insertSession
	deleteExpiredSessions
	probeUsers
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

	// What Ping asks: of a table, so that a missing one is noticed; and count, so
	// that an empty one has a row too.
	probeUsers: `SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1) AS first`,
}

// writes reports whether s changes something.
func (s statement) writes() bool {
	return !strings.HasPrefix(strings.TrimSpace(statementTexts[s]), "SELECT")
}
