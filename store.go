package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

var (
	errNotFound    = errors.New("not found")
	errExists      = errors.New("username taken")
	errUnavailable = errors.New("the store does not answer")
	errUnstorable  = errors.New("a text that not every store can hold")
)

// A store keeps users and their sessions. Its methods are safe for concurrent
// use, each is atomic and carried out once it has returned nil, and what they
// return shares no memory that the store will write. Times come back in UTC, to
// the microsecond.
//
// Every method may also return an error that wraps errUnavailable, after a few
// seconds at most: a read can simply be repeated; a write was carried out wholly
// or not at all, and nobody knows which. With a ctx that is done beforehand
// nothing is carried out, and the error wraps ctx.Err().
//
// Texts are valid UTF-8 without NUL, and a Key has at most maxUsernameKey bytes:
// creating anything else is errUnstorable, and looking for it errNotFound.
type store interface {
	// CreateUser adds u and returns it with its ID, which no other user ever had.
	// It returns errExists if a user with this Key is there already: that is the
	// store's to decide, not a look-up's before it.
	CreateUser(ctx context.Context, u User) (User, error)

	// UserByKey returns the user with this Key, or errNotFound.
	UserByKey(ctx context.Context, key string) (User, error)

	// UserBySession returns a session and the user it belongs to, or
	// errNotFound. Whether the session has expired is the caller's question.
	UserBySession(ctx context.Context, sessionID string) (User, Session, error)

	// Users returns all users in the order of their creation.
	Users(ctx context.Context) ([]User, error)

	// ReplacePasswordHash replaces the hash of a user, if it is still this one.
	// It returns errNotFound if it is not, or if the user is gone: whoever came
	// first has won.
	ReplacePasswordHash(ctx context.Context, userID int64, current, next string) error

	// DeleteUser deletes a user and all sessions of theirs, or returns
	// errNotFound.
	DeleteUser(ctx context.Context, userID int64) error

	// CreateSession adds a session of an existing user, or returns errNotFound
	// if the user is gone.
	CreateSession(ctx context.Context, s Session) error

	// DeleteExpiredSessions deletes at most limit sessions that have expired at
	// now, and returns how many it has deleted.
	DeleteExpiredSessions(ctx context.Context, now time.Time, limit int) (int, error)

	// Ping returns nil if the store can be read.
	Ping(ctx context.Context) error

	// Close frees what the store holds. No method is called after it.
	Close() error
}

// checkUser returns errUnstorable for a user whom not every store can hold.
func checkUser(u User) error {
	if len(u.Key) > maxUsernameKey {
		return fmt.Errorf("%w: a key of %d bytes; want at most %d", errUnstorable, len(u.Key), maxUsernameKey)
	}
	return checkStorable(u.Username, u.Key, deref(u.Email), deref(u.FullName), u.PasswordHash)
}

// checkSession returns errUnstorable for a session that not every store can hold.
func checkSession(s Session) error { return checkStorable(s.ID, s.IP, s.UserAgent) }

func checkStorable(texts ...string) error {
	for _, text := range texts {
		if !isStorable(text) {
			return fmt.Errorf("%w: want UTF-8 without NULs", errUnstorable)
		}
	}
	return nil
}

// isStorable reports whether every store can hold text: PostgreSQL takes no NUL and
// nothing but UTF-8.
func isStorable(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// storedTime is how a store keeps a time.
func storedTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// memStore is the store of a server that was started without a database.
type memStore struct {
	mu       sync.RWMutex // guards the fields below
	lastID   int64
	users    map[int64]*User // which are replaced, never changed
	byKey    map[string]*User
	sessions map[string]Session
	expiring []expiry // of every session, the first to come first
}

// An expiry says when a session ends by itself.
type expiry struct {
	at        time.Time
	sessionID string
}

var _ store = (*memStore)(nil)

func newMemStore() *memStore {
	return &memStore{
		users:    make(map[int64]*User),
		byKey:    make(map[string]*User),
		sessions: make(map[string]Session),
	}
}

func (m *memStore) CreateUser(ctx context.Context, u User) (User, error) {
	if err := cmp.Or(ctx.Err(), checkUser(u)); err != nil {
		return User{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byKey[u.Key] != nil {
		return User{}, errExists
	}
	m.lastID++
	u.ID = m.lastID
	u.CreatedAt, u.TokensValidAfter = storedTime(u.CreatedAt), storedTime(u.TokensValidAfter)
	m.putLocked(u)
	return u, nil
}

func (m *memStore) UserByKey(ctx context.Context, key string) (User, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return foundUser(ctx, m.byKey[key])
}

func (m *memStore) UserBySession(ctx context.Context, sessionID string) (User, Session, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := m.sessions[sessionID]
	u, err := foundUser(ctx, m.users[s.UserID]) // no user has ID 0
	if err != nil {
		return User{}, Session{}, err
	}
	return u, s, nil
}

// putLocked makes u the user with its ID and its Key.
func (m *memStore) putLocked(u User) {
	m.users[u.ID] = &u
	m.byKey[u.Key] = &u
}

// foundUser returns a copy of u, errNotFound if there is none, or ctx.Err().
func foundUser(ctx context.Context, u *User) (User, error) {
	if err := ctx.Err(); err != nil {
		return User{}, err
	}
	if u == nil {
		return User{}, errNotFound
	}
	return *u, nil
}

func (m *memStore) Users(ctx context.Context) ([]User, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	users := make([]User, 0, len(m.users))
	for _, u := range m.users {
		users = append(users, *u)
	}
	slices.SortFunc(users, func(a, b User) int { return cmp.Compare(a.ID, b.ID) })
	return users, ctx.Err()
}

func (m *memStore) ReplacePasswordHash(ctx context.Context, userID int64, current, next string) error {
	if err := checkStorable(next); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := foundUser(ctx, m.users[userID])
	if err != nil {
		return err
	}
	if u.PasswordHash != current {
		return errNotFound
	}
	u.PasswordHash = next
	m.putLocked(u)
	return nil
}

// DeleteUser leaves the sessions to be deleted when they expire: without their
// user they are found no more, and no other user gets its ID.
func (m *memStore) DeleteUser(ctx context.Context, userID int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := foundUser(ctx, m.users[userID])
	if err != nil {
		return err
	}
	delete(m.users, u.ID)
	delete(m.byKey, u.Key)
	return nil
}

func (m *memStore) CreateSession(ctx context.Context, s Session) error {
	if err := checkSession(s); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := foundUser(ctx, m.users[s.UserID]); err != nil {
		return err
	}
	s.CreatedAt, s.ExpiresAt = storedTime(s.CreatedAt), storedTime(s.ExpiresAt)
	m.sessions[s.ID] = s
	// Lives are alike, so that the place is nearly always the last.
	i, _ := slices.BinarySearchFunc(m.expiring, s.ExpiresAt, func(e expiry, at time.Time) int { return e.at.Compare(at) })
	m.expiring = slices.Insert(m.expiring, i, expiry{s.ExpiresAt, s.ID})
	return nil
}

func (m *memStore) DeleteExpiredSessions(ctx context.Context, now time.Time, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for n < min(limit, len(m.expiring)) && !now.Before(m.expiring[n].at) {
		delete(m.sessions, m.expiring[n].sessionID)
		n++
	}
	m.expiring = m.expiring[n:]
	return n, nil
}

func (m *memStore) Ping(ctx context.Context) error { return ctx.Err() }

func (m *memStore) Close() error { return nil }
