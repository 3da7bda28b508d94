package main

import (
	"context"
	"time"
)

func (s sqlStore) LoginHistory(ctx context.Context, account string, userID int64, source string) (loginHistory, error) {
	var g loginHistory
	err := s.read(ctx, func(ctx context.Context) error {
		return s.queryRow(ctx, selectLoginHistory, account, userID, source).
			Scan(&g.Failures, (*micros)(&g.LastAt), (*micros)(&g.SeenAt))
	})
	return g, err
}

func (s sqlStore) AddFailure(ctx context.Context, account string, now, stale time.Time) error {
	return s.writeOne(ctx, insertFailure, account, now.UnixMicro(), stale.UnixMicro())
}

func (s sqlStore) ClearFailures(ctx context.Context, account string) error {
	_, err := s.writeMany(ctx, deleteFailures, account)
	return err
}

func (s sqlStore) RememberSource(ctx context.Context, userID int64, source string, now time.Time) error {
	if err := s.writeOne(ctx, insertSource, source, now.UnixMicro(), userID); err != nil {
		return err
	}
	_, err := s.writeMany(ctx, deleteSources, userID, maxSources)
	return err
}

func (s sqlStore) ForgetSources(ctx context.Context, userID int64, keep string) error {
	_, err := s.writeMany(ctx, deleteOtherSources, userID, keep)
	return err
}

func (s sqlStore) DeleteOldFailures(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := s.writeMany(ctx, deleteOldFailures, before.UnixMicro(), limit)
	return int(n), err
}
