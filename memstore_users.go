package main

import (
	"cmp"
	"context"
	"slices"
	"time"
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

// putLocked makes u the user with its ID and its Key.
func (m *memStore) putLocked(u User) {
	m.users[u.ID] = &u
	m.byKey[u.Key] = &u
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

// endSessionsLocked is EndSessions for a copy of a user that will be put back.
func (m *memStore) endSessionsLocked(u *User, validAfter time.Time, keep string) {
	if validAfter = storedTime(validAfter); validAfter.After(u.TokensValidAfter) {
		u.TokensValidAfter = validAfter
	}
	m.sessions.deleteOf(u.ID, func(s *memSession) bool { return s.ID != keep })
}
