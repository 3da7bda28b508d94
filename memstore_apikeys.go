package main

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// compareAge orders the API keys of a user: the oldest comes first.
func compareAge(a, b *APIKey) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

func (m *memStore) CreateAPIKey(ctx context.Context, k APIKey, atMost int) error {
	if err := checkAPIKey(k); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := foundUser(ctx, m.users[k.UserID])
	if err != nil {
		return err
	}
	if u.Disabled {
		return errNotFound
	}
	if m.apiKeys[k.ID] != nil {
		return errExists
	}
	m.deleteAPIKeysLocked(u.ID, func(other *APIKey) bool { return other.isExpired(k.CreatedAt) })
	if len(m.apiKeysOf[u.ID]) >= atMost {
		return errTooMany
	}
	k = storedAPIKey(k)
	m.apiKeys[k.ID] = &k
	m.apiKeysOf[u.ID] = append(m.apiKeysOf[u.ID], &k)
	slices.SortFunc(m.apiKeysOf[u.ID], compareAge)
	return nil
}

func (m *memStore) UserByAPIKey(ctx context.Context, id string) (User, APIKey, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	k := m.apiKeys[id]
	if k == nil {
		return User{}, APIKey{}, cmp.Or(ctx.Err(), errNotFound)
	}
	u, err := foundUser(ctx, m.users[k.UserID])
	if err != nil {
		return User{}, APIKey{}, err
	}
	return u, storedAPIKey(*k), nil
}

func (m *memStore) APIKeys(ctx context.Context, userID int64, now time.Time) ([]APIKey, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var keys []APIKey
	for _, k := range m.apiKeysOf[userID] {
		if !k.isExpired(now) {
			keys = append(keys, storedAPIKey(*k))
		}
	}
	return keys, ctx.Err()
}

func (m *memStore) UseAPIKey(ctx context.Context, id string, at time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.apiKeys[id]
	if k == nil {
		return errNotFound
	}
	if at = storedTime(at); at.After(k.LastUsedAt) {
		k.LastUsedAt = at
	}
	return nil
}

func (m *memStore) DeleteAPIKey(ctx context.Context, userID int64, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.deleteAPIKeysLocked(userID, func(k *APIKey) bool { return k.ID == id }); n == 0 {
		return errNotFound
	}
	return nil
}

func (m *memStore) DeleteAPIKeys(ctx context.Context, userID int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.deleteAPIKeysLocked(userID, func(*APIKey) bool { return true }), nil
}

func (m *memStore) DeleteExpiredAPIKeys(ctx context.Context, now time.Time, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for userID := range m.apiKeysOf {
		m.deleteAPIKeysLocked(userID, func(k *APIKey) bool {
			goes := n < limit && k.isExpired(now)
			if goes {
				n++
			}
			return goes
		})
	}
	return n, nil
}

// deleteAPIKeysLocked deletes the keys of a user that goes picks, and returns how many.
func (m *memStore) deleteAPIKeysLocked(userID int64, goes func(*APIKey) bool) int {
	before := len(m.apiKeysOf[userID])
	left := slices.DeleteFunc(m.apiKeysOf[userID], func(k *APIKey) bool {
		if !goes(k) {
			return false
		}
		delete(m.apiKeys, k.ID)
		return true
	})
	m.apiKeysOf[userID] = left
	if len(left) == 0 {
		delete(m.apiKeysOf, userID)
	}
	return before - len(left)
}
