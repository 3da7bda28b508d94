package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
)

var insertUser = writing(`
	INSERT INTO users (` + insertedList + `)
	VALUES (` + parameters(1, len(insertedColumns)) + `)
	ON CONFLICT DO NOTHING
	RETURNING id`)

// insertedColumns are the columns of a new user, in the order of insertedValues.
var insertedColumns = []string{
	"uid", "username", "username_key", "email", "full_name",
	"password_hash", "disabled", "scopes", "created_at", "tokens_valid_after", "search",
}

var insertedList = strings.Join(insertedColumns, ", ")

// insertedValues returns the values of the insertedColumns of u.
func insertedValues(u User) []any {
	return []any{
		u.UID, u.Username, u.Key, u.Email, u.FullName,
		u.PasswordHash, u.Disabled, string(u.Scopes), u.CreatedAt.UnixMicro(), u.TokensValidAfter.UnixMicro(), searchText(u),
	}
}

func (s sqlStore) CreateUser(ctx context.Context, u User) (User, error) {
	if err := checkUser(u); err != nil {
		return User{}, err
	}
	u = storedUser(u)
	err := s.writeRow(ctx, []any{&u.ID}, insertUser, insertedValues(u)...)
	if errors.Is(err, errNotFound) {
		return User{}, errExists // no row was inserted
	}
	if err != nil {
		return User{}, err
	}
	return u, nil
}

var selectUserByKey = lookingUp(`SELECT ` + userColumns + ` FROM users WHERE username_key = $1`)

func (s sqlStore) UserByKey(ctx context.Context, key string) (User, error) {
	if !isStorable(key) {
		return User{}, errNotFound
	}
	var u User
	err := s.read(ctx, func(ctx context.Context) error {
		return s.queryRow(ctx, userFields(&u), selectUserByKey, key)
	})
	return u, err
}

var selectUserBySession = lookingUp(`
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
		return s.queryRow(ctx, append(userFields(&u), sessionFields(&session)...), selectUserBySession, sessionID)
	})
	if err != nil {
		return User{}, Session{}, err
	}
	return u, session, nil
}

var selectUsers = reading(`SELECT ` + userColumns + ` FROM users ORDER BY id`)

func (s sqlStore) Users(ctx context.Context) iter.Seq2[User, error] {
	return func(yield func(User, error) bool) {
		errStopped := errors.New("the loop has ended")
		begun := false
		err := s.attempt(ctx, unlimited, func(ctx context.Context) error {
			err := s.queryAll(ctx, func(r row) error {
				var u User
				if err := r.Scan(userFields(&u)...); err != nil {
					return err
				}
				if begun = true; !yield(u, nil) {
					return errStopped
				}
				return nil
			}, selectUsers)
			if err != nil && begun && !errors.Is(err, errStopped) {
				return fmt.Errorf("after some users: %v", s.explain(err)) // %v: no attempt may yield them again
			}
			return err
		}, false)
		if err != nil && !errors.Is(err, errStopped) {
			yield(User{}, err)
		}
	}
}

// selectUsersByKeyOrUID has a fixed number of parameters, so that it is prepared once.
var selectUsersByKeyOrUID = reading(`
	SELECT ` + userColumns + ` FROM users
	WHERE username_key IN (` + parameters(1, maxLookup) + `) OR uid IN (` + parameters(1+maxLookup, maxLookup) + `)`)

// parameters returns n parameters of a statement, from $first on.
func parameters(first, n int) string {
	var all []string
	for i := range n {
		all = append(all, "$"+strconv.Itoa(first+i))
	}
	return strings.Join(all, ", ")
}

func (s sqlStore) UsersByKeyOrUID(ctx context.Context, keys, uids []string) ([]User, error) {
	args := make([]any, 2*maxLookup)
	for i := range args {
		args[i] = "" // which is no key, and no UID
	}
	for i, key := range keys {
		args[i] = key
	}
	for i, uid := range uids {
		args[maxLookup+i] = uid
	}
	return readRows(ctx, s, userFields, selectUsersByKeyOrUID, args...)
}

// addTimeout is how long AddUsers may take.
const addTimeout = time.Minute

func (s sqlStore) AddUsers(ctx context.Context, users []User) (added []bool, err error) {
	rows := make([]User, len(users))
	for i, u := range users {
		if err := checkUser(u); err != nil {
			return nil, err
		}
		rows[i] = storedUser(u)
	}
	err = s.attempt(ctx, addTimeout, func(ctx context.Context) error {
		added, err = s.addUsers(ctx, rows)
		return err
	}, false)
	return added, err
}

// userColumns are the columns of a User, in the order of userFields.
const userColumns = `users.id, users.username, users.username_key, users.email, users.full_name,
	users.password_hash, users.disabled, users.created_at, users.tokens_valid_after,
	users.uid, users.scopes`

// userFields returns where the userColumns of a row go.
func userFields(u *User) []any {
	return []any{
		&u.ID, &u.Username, &u.Key, &u.Email, &u.FullName,
		&u.PasswordHash, &u.Disabled, (*micros)(&u.CreatedAt), (*micros)(&u.TokensValidAfter),
		&u.UID, (*string)(&u.Scopes),
	}
}

// updateUser has a CASE or COALESCE for each thing that may change. $8 ends all sessions but
// $9, if that is an open one of this user's, and refuses tokens without a session from before
// $10. The search text becomes null, until FoldUsers makes it anew.
var updateUser = writing(`
	UPDATE users SET
		email         = CASE WHEN $1 THEN $2 ELSE email END,
		full_name     = CASE WHEN $3 THEN $4 ELSE full_name END,
		search        = CASE WHEN $1 OR $3 THEN NULL ELSE search END,
		password_hash = COALESCE($5, password_hash),
		disabled      = COALESCE($6, disabled),
		scopes        = COALESCE($7, scopes),
		session_epoch = CASE WHEN $8 THEN session_epoch + 1 ELSE session_epoch END,
		kept_session  = CASE WHEN $8 THEN (
			SELECT sessions.id FROM sessions
			WHERE sessions.id = $9 AND sessions.user_id = users.id AND ` + isOpen + `
		) ELSE kept_session END,
		tokens_valid_after = CASE WHEN $8 AND tokens_valid_after < $10 THEN $10 ELSE tokens_valid_after END
	WHERE id = $11 AND password_hash = COALESCE($12, password_hash) AND scopes = COALESCE($13, scopes)
		AND disabled = COALESCE($14, disabled)
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
		change.Email.Set, change.Email.Value, change.FullName.Set, change.FullName.Value,
		change.PasswordHash, change.Disabled, (*string)(change.Scopes),
		change.EndSessions != nil, end.Keep, end.ValidAfter.UnixMicro(),
		userID, change.IfPasswordHash, (*string)(change.IfScopes), change.IfDisabled)
	if err != nil {
		return User{}, err
	}
	return u, nil
}

var deleteUser = writing(`DELETE FROM users WHERE id = $1`)

func (s sqlStore) DeleteUser(ctx context.Context, userID int64) error {
	return s.writeOne(ctx, deleteUser, userID)
}
