package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

var (
	errNotFound = errors.New("not found")
	errExists   = errors.New("username taken")
)

// A store keeps users and their sessions. Its methods are safe for concurrent
// use, each is atomic, and what they return shares no memory that the store
// will write. An error that is none of the sentinels named here is an outage.
type store interface {
	// CreateUser adds u and returns it with its ID. It returns errExists if a
	// user with this Key is there already: that is the store's to decide, not a
	// look-up's before it.
	CreateUser(ctx context.Context, u User) (User, error)

	// UserByKey returns the user with this Key, or errNotFound.
	UserByKey(ctx context.Context, key string) (User, error)

	// UserBySession returns a session and the user it belongs to, or
	// errNotFound. Whether the session has expired is the caller's question.
	UserBySession(ctx context.Context, sessionID string) (User, Session, error)

	// Users returns all users in the order of their creation.
	Users(ctx context.Context) ([]User, error)

	// CreateSession adds a session of an existing user, or returns errNotFound
	// if the user is gone.
	CreateSession(ctx context.Context, s Session) error

	// DeleteExpiredSessions deletes at most limit sessions that have expired at
	// now, and returns how many it has deleted.
	DeleteExpiredSessions(ctx context.Context, now time.Time, limit int) (int, error)
}

// memStore is the store of a server that was started without a database.
type memStore struct {
	mu       sync.RWMutex // guards the fields below
	lastID   int64
	users    map[int64]User
	idOf     map[string]int64 // Key → ID
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
		users:    make(map[int64]User),
		idOf:     make(map[string]int64),
		sessions: make(map[string]Session),
	}
}

func (m *memStore) CreateUser(_ context.Context, u User) (User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.idOf[u.Key]; taken {
		return User{}, errExists
	}
	m.lastID++
	u.ID = m.lastID
	m.users[u.ID] = u
	m.idOf[u.Key] = u.ID
	return u, nil
}

func (m *memStore) UserByKey(_ context.Context, key string) (User, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.userLocked(m.idOf[key])
}

func (m *memStore) UserBySession(_ context.Context, sessionID string) (User, Session, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s, ok := m.sessions[sessionID]
	if !ok {
		return User{}, Session{}, errNotFound
	}
	u, err := m.userLocked(s.UserID)
	return u, s, err
}

// userLocked returns the user with this ID, or errNotFound. No user has ID 0.
func (m *memStore) userLocked(id int64) (User, error) {
	u, ok := m.users[id]
	if !ok {
		return User{}, errNotFound
	}
	return u, nil
}

func (m *memStore) Users(context.Context) ([]User, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	users := make([]User, 0, len(m.users))
	for _, u := range m.users {
		users = append(users, u)
	}
	slices.SortFunc(users, func(a, b User) int { return cmp.Compare(a.ID, b.ID) })
	return users, nil
}

func (m *memStore) CreateSession(_ context.Context, s Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.userLocked(s.UserID); err != nil {
		return err
	}
	m.sessions[s.ID] = s
	// Lives are alike, so that the place is nearly always the last.
	i, _ := slices.BinarySearchFunc(m.expiring, s.ExpiresAt, func(e expiry, at time.Time) int { return e.at.Compare(at) })
	m.expiring = slices.Insert(m.expiring, i, expiry{s.ExpiresAt, s.ID})
	return nil
}

func (m *memStore) DeleteExpiredSessions(_ context.Context, now time.Time, limit int) (int, error) {
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
