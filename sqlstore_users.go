package main

import (
	"context"
	"errors"
)

var insertUser = writing(`
	INSERT INTO users (username, username_key, email, full_name,
		password_hash, disabled, created_at, tokens_valid_after)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
	ON CONFLICT (username_key) DO NOTHING
	RETURNING id`)

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

var selectUserByKey = reading(`SELECT ` + userColumns + ` FROM users WHERE username_key = $1`)

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

var selectUserBySession = reading(`
	SELECT ` + userColumns + `, ` + sessionColumns + `
	FROM sessions JOIN users ON users.id = sessions.user_id
	WHERE sessions.id = $1 AND ` + isOpen)

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

var selectUsers = reading(`SELECT ` + userColumns + ` FROM users ORDER BY id`)

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

// userColumns are the columns of a User, in the order of userFields.
const userColumns = `users.id, users.username, users.username_key, users.email, users.full_name,
	users.password_hash, users.disabled, users.created_at, users.tokens_valid_after`

// userFields returns where the userColumns of a row go.
func userFields(u *User) []any {
	return []any{
		&u.ID, &u.Username, &u.Key, &u.Email, &u.FullName,
		&u.PasswordHash, &u.Disabled, (*micros)(&u.CreatedAt), (*micros)(&u.TokensValidAfter),
	}
}

// updateUser has a CASE or COALESCE for each thing that may change. $7 ends all sessions but
// $8, if that is an open one of this user's, and refuses tokens without a session from before $9.
var updateUser = writing(`
	UPDATE users SET
		email         = CASE WHEN $1 THEN $2 ELSE email END,
		full_name     = CASE WHEN $3 THEN $4 ELSE full_name END,
		password_hash = COALESCE($5, password_hash),
		disabled      = COALESCE($6, disabled),
		session_epoch = CASE WHEN $7 THEN session_epoch + 1 ELSE session_epoch END,
		kept_session  = CASE WHEN $7 THEN (
			SELECT sessions.id FROM sessions
			WHERE sessions.id = $8 AND sessions.user_id = users.id AND ` + isOpen + `
		) ELSE kept_session END,
		tokens_valid_after = CASE WHEN $7 AND tokens_valid_after < $9 THEN $9 ELSE tokens_valid_after END
	WHERE id = $10 AND password_hash = COALESCE($11, password_hash)
	RETURNING ` + userColumns)

func (s sqlStore) UpdateUser(ctx context.Context, userID int64, change userChange) (User, error) {
	if err := checkChange(change); err != nil {
		return User{}, err
	}
	if !isStorable(deref(change.IfPasswordHash)) {
		return User{}, errNotFound
	}
	var end sessionsEnd
	if change.EndSessions != nil {
		end = *change.EndSessions
	}
	var u User
	err := s.writeRow(ctx, userFields(&u), updateUser,
		change.Email.Set, change.Email.Value, change.FullName.Set, change.FullName.Value, change.PasswordHash, change.Disabled,
		change.EndSessions != nil, end.Keep, end.ValidAfter.UnixMicro(), userID, change.IfPasswordHash)
	if err != nil {
		return User{}, err
	}
	return u, nil
}

var deleteUser = writing(`DELETE FROM users WHERE id = $1`)

func (s sqlStore) DeleteUser(ctx context.Context, userID int64) error {
	return s.writeOne(ctx, deleteUser, userID)
}
