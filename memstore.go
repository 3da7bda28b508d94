package main

import (
	"context"
	"sync"
	"time"
)

// memStore is the store of a server that was started without a database.
type memStore struct {
	mu       sync.RWMutex // guards the fields below
	lastID   int64
	users    map[int64]*User // which are replaced, never changed
	byKey    map[string]*User
	byUID    map[string]*User
	keys     []string // of byKey, sorted
	sessions memSessions
	failures *streakCache            // by account
	sources  map[int64][]knownSource // of a user, the last maxSources, the latest last

	events      []Event // oldest first
	lastEventID int64

	signingKeys []SigningKey        // in the order of their generations
	apiKeys     map[string]*APIKey  // by ID
	apiKeysOf   map[int64][]*APIKey // of users who have any, oldest first
}

var _ store = (*memStore)(nil)

func newMemStore() *memStore {
	return &memStore{
		users:    make(map[int64]*User),
		byKey:    make(map[string]*User),
		byUID:    make(map[string]*User),
		sessions: newMemSessions(),
		failures: newStreakCache(),
		sources:  make(map[int64][]knownSource),

		apiKeys:   make(map[string]*APIKey),
		apiKeysOf: make(map[int64][]*APIKey),
	}
}

func (m *memStore) Ping(ctx context.Context) error { return ctx.Err() }

func (m *memStore) Close() error { return nil }

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

// A knownSource is one from which a user has logged in, and when.
type knownSource struct {
	source string
	at     time.Time
}

// putLocked makes u the user with its ID, its Key and its UID.
func (m *memStore) putLocked(u User) {
	m.users[u.ID] = &u
	m.byKey[u.Key] = &u
	m.byUID[u.UID] = &u
}
