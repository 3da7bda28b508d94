package main

import (
	"context"
	"time"
)

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
