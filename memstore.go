package main

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// memStore is the store of a server that was started without a database.
type memStore struct {
	mu       sync.RWMutex // guards the fields below
	lastID   int64
	users    map[int64]*User // which are replaced, never changed
	byKey    map[string]*User
	sessions memSessions
	failures *streakCache            // by account
	sources  map[int64][]knownSource // of a user, the last maxSources, the latest last
}

// A knownSource is one from which a user has logged in, and when.
type knownSource struct {
	source string
	at     time.Time
}

var _ store = (*memStore)(nil)

func newMemStore() *memStore {
	return &memStore{
		users:    make(map[int64]*User),
		byKey:    make(map[string]*User),
		sessions: newMemSessions(),
		failures: newStreakCache(),
		sources:  make(map[int64][]knownSource),
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
	s := m.sessions.byID[sessionID]
	if s == nil {
		return User{}, Session{}, cmp.Or(ctx.Err(), errNotFound)
	}
	u, err := foundUser(ctx, m.users[s.UserID])
	if err != nil {
		return User{}, Session{}, err
	}
	return u, s.Session, nil
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
	_, err := m.update(ctx, userID, func(u *User) bool {
		if u.PasswordHash != current {
			return false
		}
		u.PasswordHash = next
		return true
	})
	return err
}

func (m *memStore) ChangePassword(ctx context.Context, userID int64, current, next string, validAfter time.Time, keep string) error {
	if err := checkStorable(next); err != nil {
		return err
	}
	_, err := m.update(ctx, userID, func(u *User) bool {
		if u.PasswordHash != current {
			return false
		}
		u.PasswordHash = next
		m.endSessionsLocked(u, validAfter, keep)
		return true
	})
	return err
}

func (m *memStore) UpdateProfile(ctx context.Context, userID int64, change profileChange) (User, error) {
	if err := checkProfile(change); err != nil {
		return User{}, err
	}
	return m.update(ctx, userID, func(u *User) bool {
		if change.Email.Set {
			u.Email = change.Email.Value
		}
		if change.FullName.Set {
			u.FullName = change.FullName.Value
		}
		return true
	})
}

func (m *memStore) DisableUser(ctx context.Context, userID int64, validAfter time.Time) error {
	_, err := m.update(ctx, userID, func(u *User) bool {
		u.Disabled = true
		m.endSessionsLocked(u, validAfter, "")
		return true
	})
	return err
}

// update replaces a user by what change makes of a copy, and returns that. It
// returns errNotFound if there is no such user, or if change returns false.
func (m *memStore) update(ctx context.Context, userID int64, change func(*User) bool) (User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := foundUser(ctx, m.users[userID])
	if err != nil {
		return User{}, err
	}
	if !change(&u) {
		return User{}, errNotFound
	}
	m.putLocked(u)
	return u, nil
}

func (m *memStore) DeleteUser(ctx context.Context, userID int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := foundUser(ctx, m.users[userID])
	if err != nil {
		return err
	}
	m.sessions.deleteOf(userID, func(*memSession) bool { return true })
	delete(m.users, u.ID)
	delete(m.byKey, u.Key)
	delete(m.sources, u.ID)
	return nil
}

func (m *memStore) LoginHistory(ctx context.Context, account string, userID int64, source string) (loginHistory, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var g loginHistory
	g.streak = m.failures.get(account)
	for _, known := range m.sources[userID] {
		if known.source == source {
			g.SeenAt = known.at
		}
	}
	return g, ctx.Err()
}

func (m *memStore) AddFailure(ctx context.Context, account string, now, stale time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures.put(account, m.failures.get(account).after(now, stale))
	return nil
}

func (m *memStore) ClearFailures(ctx context.Context, account string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures.remove(account)
	return nil
}

func (m *memStore) RememberSource(ctx context.Context, userID int64, source string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := foundUser(ctx, m.users[userID]); err != nil {
		return err
	}
	others := slices.DeleteFunc(m.sources[userID], func(known knownSource) bool { return known.source == source })
	known := append(others, knownSource{source, storedTime(now)})
	m.sources[userID] = known[max(0, len(known)-maxSources):]
	return nil
}

func (m *memStore) ForgetSources(ctx context.Context, userID int64, keep string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sources[userID] = slices.DeleteFunc(m.sources[userID], func(known knownSource) bool { return known.source != keep })
	if len(m.sources[userID]) == 0 {
		delete(m.sources, userID)
	}
	return nil
}

func (m *memStore) DeleteOldFailures(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for n < limit && m.failures.removeOldest(before) {
		n++
	}
	return n, nil
}

func (m *memStore) Ping(ctx context.Context) error { return ctx.Err() }

func (m *memStore) Close() error { return nil }

func (m *memStore) CreateSession(ctx context.Context, s Session, passwordHash string, atMost int) error {
	if err := checkSession(s); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := foundUser(ctx, m.users[s.UserID])
	if err != nil {
		return err
	}
	if u.PasswordHash != passwordHash || u.Disabled {
		return errNotFound
	}
	m.sessions.endUnused(u.ID, s.CreatedAt, atMost-1)
	s.CreatedAt, s.LastUsedAt, s.ExpiresAt = storedTime(s.CreatedAt), storedTime(s.LastUsedAt), storedTime(s.ExpiresAt)
	m.sessions.add(s)
	return nil
}

func (m *memStore) Sessions(ctx context.Context, userID int64, now time.Time, limit int) ([]Session, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.sessions.latest(userID, now, limit), ctx.Err()
}

func (m *memStore) RotateSession(ctx context.Context, sessionID string, generation int64, now, expiresAt time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions.byID[sessionID]
	if s == nil || s.Generation != generation || !now.Before(s.ExpiresAt) {
		return errNotFound
	}
	m.sessions.rotate(s, storedTime(now), storedTime(expiresAt))
	return nil
}

func (m *memStore) EndSession(ctx context.Context, userID int64, sessionID string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions.byID[sessionID]
	if s == nil || s.UserID != userID {
		return errNotFound
	}
	m.sessions.delete(s)
	return nil
}

func (m *memStore) EndSessions(ctx context.Context, userID int64, validAfter time.Time, keep string) error {
	_, err := m.update(ctx, userID, func(u *User) bool {
		m.endSessionsLocked(u, validAfter, keep)
		return true
	})
	return err
}

// endSessionsLocked is EndSessions for a copy of a user that will be put back.
func (m *memStore) endSessionsLocked(u *User, validAfter time.Time, keep string) {
	if validAfter = storedTime(validAfter); validAfter.After(u.TokensValidAfter) {
		u.TokensValidAfter = validAfter
	}
	m.sessions.deleteOf(u.ID, func(s *memSession) bool { return s.ID != keep })
}

func (m *memStore) DeleteExpiredSessions(ctx context.Context, now time.Time, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sessions.deleteExpired(now, limit), nil
}

// DeleteEndedSessions has nothing to do: this store deletes a session when it ends.
func (m *memStore) DeleteEndedSessions(ctx context.Context, _ int) (int, error) { return 0, ctx.Err() }
