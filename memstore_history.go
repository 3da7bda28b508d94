package main

import (
	"context"
	"slices"
	"time"
)

func (m *memStore) LoginHistory(ctx context.Context, account string, userID int64, source string) (loginHistory, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var history loginHistory
	history.streak = m.failures.get(account)
	for _, known := range m.sources[userID] {
		if known.source == source {
			history.SeenAt = known.at
		}
	}
	return history, ctx.Err()
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
