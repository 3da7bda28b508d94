package main

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// TestSweep: expired sessions go, in batches, and nothing else does.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sessions := newMemStore()
		acc := &accounts{store: sessions, log: slog.New(slog.DiscardHandler), now: time.Now}
		u := mustCreate(t, sessions, testUser("alice"))
		for i := range sweepBatch + 2 {
			life := 10 * time.Minute
			if i == 0 {
				life = time.Hour
			}
			err := sessions.CreateSession(t.Context(), Session{ID: newSessionID(), UserID: u.ID, ExpiresAt: time.Now().Add(life)})
			if err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		go acc.sweep(ctx, time.Minute)
		for _, step := range []struct {
			after time.Duration
			left  int
		}{{9*time.Minute + 30*time.Second, sweepBatch + 2}, {time.Minute, 1}, {time.Hour, 0}} {
			time.Sleep(step.after)
			synctest.Wait()
			sessions.mu.RLock()
			got := len(sessions.sessions)
			sessions.mu.RUnlock()
			if got != step.left {
				t.Errorf("after %v more %d sessions are left, want %d", step.after, got, step.left)
			}
		}
		cancel()
		synctest.Wait()
	})
}
