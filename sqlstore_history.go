package main

import (
	"context"
	"time"
)

var selectLoginHistory = reading(`
	SELECT COALESCE((SELECT failures FROM login_failures WHERE account = $1), 0),
		COALESCE((SELECT last_at FROM login_failures WHERE account = $1), 0),
		COALESCE((SELECT last_at FROM login_sources WHERE user_id = $2 AND source = $3), 0)`)

func (s sqlStore) LoginHistory(ctx context.Context, account string, userID int64, source string) (loginHistory, error) {
	var history loginHistory
	err := s.read(ctx, func(ctx context.Context) error {
		fields := []any{&history.Failures, (*micros)(&history.LastAt), (*micros)(&history.SeenAt)}
		return s.queryRow(ctx, fields, selectLoginHistory, account, userID, source)
	})
	return history, err
}

var insertFailure = writing(`
	INSERT INTO login_failures (account, failures, last_at) VALUES ($1, 1, $2)
	ON CONFLICT (account) DO UPDATE SET
		last_at  = CASE WHEN excluded.last_at > login_failures.last_at THEN excluded.last_at ELSE login_failures.last_at END,
		failures = CASE WHEN login_failures.last_at <= $3 THEN 1 ELSE login_failures.failures + 1 END`)

func (s sqlStore) AddFailure(ctx context.Context, account string, now, stale time.Time) error {
	return s.writeOne(ctx, insertFailure, account, now.UnixMicro(), stale.UnixMicro())
}

var deleteFailures = writing(`DELETE FROM login_failures WHERE account = $1`)

func (s sqlStore) ClearFailures(ctx context.Context, account string) error {
	_, err := s.writeMany(ctx, deleteFailures, account)
	return err
}

var insertSource = writing(`
	INSERT INTO login_sources (user_id, source, last_at)
	SELECT id, $1, $2 FROM users WHERE id = $3
	ON CONFLICT (user_id, source) DO UPDATE SET last_at = excluded.last_at`)

var deleteSources = writing(`
	DELETE FROM login_sources WHERE user_id = $1 AND source NOT IN (
		SELECT source FROM login_sources WHERE user_id = $1 ORDER BY last_at DESC, source LIMIT $2)`)

func (s sqlStore) RememberSource(ctx context.Context, userID int64, source string, now time.Time) error {
	if err := s.writeOne(ctx, insertSource, source, now.UnixMicro(), userID); err != nil {
		return err
	}
	_, err := s.writeMany(ctx, deleteSources, userID, maxSources)
	return err
}

var deleteOtherSources = writing(`DELETE FROM login_sources WHERE user_id = $1 AND source <> $2`)

func (s sqlStore) ForgetSources(ctx context.Context, userID int64, keep string) error {
	_, err := s.writeMany(ctx, deleteOtherSources, userID, keep)
	return err
}

var deleteOldFailures = writing(`
	DELETE FROM login_failures WHERE last_at < $1 AND account IN (
		SELECT account FROM login_failures WHERE last_at < $1 ORDER BY last_at LIMIT $2)`)

func (s sqlStore) DeleteOldFailures(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := s.writeMany(ctx, deleteOldFailures, before.UnixMicro(), limit)
	return int(n), err
}
