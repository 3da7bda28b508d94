package main

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"
)

// sweepBatch is how many rows are deleted or changed at once, so that nobody waits long for the
// store.
const sweepBatch = 1000

// sweep calls sweepOnce regularly until ctx is done. It also logs when the clock was set,
// because tokens and sessions live by it.
func (a *accounts) sweep(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	at, seen := a.now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := a.now()
			if jump := clockJump(at, now, time.Since(seen)); jump != 0 {
				a.log.LogAttrs(ctx, slog.LevelWarn, "the clock was set, or the machine has slept",
					slog.String("by", jump.String()), slog.Time("from", at), slog.Time("to", now))
			}
			at, seen = now, time.Now()
			a.sweepOnce(ctx)
		}
	}
}

// maxDrift is how far the clock may be corrected between two sweeps without a warning.
const maxDrift = time.Minute

// clockJump returns by how much the wall clock was set between two readings, or 0 if that
// is at most maxDrift. elapsed is the time between them by a clock that cannot be set.
func clockJump(before, after time.Time, elapsed time.Duration) time.Duration {
	jump := after.Round(0).Sub(before.Round(0)) - elapsed // Round strips the monotonic reading
	if jump.Abs() <= maxDrift {
		return 0
	}
	return jump.Round(time.Second)
}

// sweepOnce deletes expired and ended sessions, expired API keys, old failures and old events. It also
// prepares users for searches.
func (a *accounts) sweepOnce(ctx context.Context) {
	now := a.now()
	a.inBatches(ctx, "delete expired sessions", func(limit int) (int, error) {
		n, err := a.store.DeleteExpiredSessions(ctx, now, limit)
		a.metrics.ended(endedByExpiry, n)
		return n, err
	})
	a.inBatches(ctx, "delete ended sessions", func(limit int) (int, error) {
		return a.store.DeleteEndedSessions(ctx, limit)
	})
	a.inBatches(ctx, "delete expired API keys", func(limit int) (int, error) {
		return a.store.DeleteExpiredAPIKeys(ctx, now, limit)
	})
	a.inBatches(ctx, "delete old failures", func(limit int) (int, error) {
		return a.store.DeleteOldFailures(ctx, now.Add(-failureMemory), limit)
	})
	a.inBatches(ctx, "delete old events", func(limit int) (int, error) {
		return a.store.DeleteOldEvents(ctx, now.Add(-a.eventAge), limit)
	})
	a.inBatches(ctx, "prepare users for searches", func(limit int) (int, error) {
		return a.store.FoldUsers(ctx, limit)
	})
}

// inBatches calls do until it does less than it was allowed to. If it fails or panics, the next
// sweep tries again. what says what it does.
func (a *accounts) inBatches(ctx context.Context, what string, do func(limit int) (int, error)) {
	defer func() {
		if p := recover(); p != nil {
			a.log.ErrorContext(ctx, "cannot "+what, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	for ctx.Err() == nil {
		n, err := do(sweepBatch)
		if err != nil && ctx.Err() == nil { // a stop is no failure
			a.log.ErrorContext(ctx, "cannot "+what, "err", err)
		}
		if err != nil || n < sweepBatch {
			return
		}
	}
}
