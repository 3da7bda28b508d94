package main

import (
	"cmp"
	"context"
	"slices"
)

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

func (m *memStore) UpdateUser(ctx context.Context, userID int64, change userChange) (User, error) {
	if err := checkChange(change); err != nil {
		return User{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := foundUser(ctx, m.users[userID])
	if err != nil {
		return User{}, err
	}
	if change.IfPasswordHash != nil && u.PasswordHash != *change.IfPasswordHash {
		return User{}, errNotFound
	}
	change.applyTo(&u)
	if end := change.EndSessions; end != nil {
		m.sessions.deleteOf(u.ID, func(s *memSession) bool { return s.ID != end.Keep })
	}
	m.putLocked(u)
	return u, nil
}

// applyTo changes u, but not its sessions.
func (c userChange) applyTo(u *User) {
	if c.Email.Set {
		u.Email = c.Email.Value
	}
	if c.FullName.Set {
		u.FullName = c.FullName.Value
	}
	if c.PasswordHash != nil {
		u.PasswordHash = *c.PasswordHash
	}
	if c.Disabled != nil {
		u.Disabled = *c.Disabled
	}
	if c.EndSessions != nil {
		if validAfter := storedTime(c.EndSessions.ValidAfter); validAfter.After(u.TokensValidAfter) {
			u.TokensValidAfter = validAfter
		}
	}
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
