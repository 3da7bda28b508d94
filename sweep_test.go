package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestSweep: expired sessions go, in batches, and nothing else does.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sessions := newMemStore()
		acc := &accounts{guard: guard{store: sessions, log: slog.New(slog.DiscardHandler), now: time.Now}}
		u := mustCreate(t, sessions, testUser("alice"))
		for i := range sweepBatch + 2 {
			life := 10 * time.Minute
			if i == 0 {
				life = time.Hour
			}
			mustBegin(t, sessions, Session{ID: newSessionID(), UserID: u.ID, ExpiresAt: time.Now().Add(life)})
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
			got := len(sessions.sessions.byID)
			sessions.mu.RUnlock()
			if got != step.left {
				t.Errorf("after %v more %d sessions are left, want %d", step.after, got, step.left)
			}
		}
		cancel()
		synctest.Wait()
	})
}

// TestSweepOnce: what is of no use any more goes, to the second, and nothing else does.
func TestSweepOnce(t *testing.T) {
	for kind, open := range everyStore {
		t.Run(kind, func(t *testing.T) {
			s := open(t)
			now := testTime
			acc := &accounts{guard: guard{store: s, log: slog.New(slog.DiscardHandler), now: func() time.Time { return now }}}
			u := mustCreate(t, s, testUser("alice"))
			for id, expires := range map[string]time.Duration{"expired": 0, "open": time.Second} {
				mustBegin(t, s, Session{ID: id, UserID: u.ID, ExpiresAt: now.Add(expires)})
			}
			for _, failure := range []struct {
				account string
				age     time.Duration
			}{{"old", failureMemory + time.Second}, {"young", failureMemory - time.Second}} { // as they happen
				at := now.Add(-failure.age)
				if err := s.AddFailure(t.Context(), failure.account, at, at.Add(-time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			kept, expired := testAPIKey("kept", u), testAPIKey("expired", u)
			kept.CreatedAt, expired.CreatedAt = inSeconds(-9), inSeconds(-9)
			kept.ExpiresAt, expired.ExpiresAt = inSeconds(1), inSeconds(0)
			mustAddAPIKey(t, s, kept)
			mustAddAPIKey(t, s, expired)
			acc.sweepOnce(t.Context())
			checkOpen(t, s, "after the sweep", map[string]bool{"expired": false, "open": true})
			if ids := apiKeyIDs(t, s, u, inSeconds(-9)); !slices.Equal(ids, []string{"kept"}) {
				t.Errorf("after the sweep the API keys are %q", ids)
			}
			for account, want := range map[string]int{"old": 0, "young": 1} {
				if g, err := s.LoginHistory(t.Context(), account, 0, ""); err != nil || g.Failures != want {
					t.Errorf("the %s failure: %+v, %v; want %d", account, g, err, want)
				}
			}
			if err := endSessions(t.Context(), s, u.ID, now, ""); err != nil {
				t.Fatal(err)
			}
			acc.sweepOnce(t.Context())
			if db, ok := s.(sqlStore); ok && db.count(t, "sessions") != 0 {
				t.Error("the row of a session that was ended is still there")
			}
			now = now.Add(2 * time.Second)
			acc.sweepOnce(t.Context())
			if g, err := s.LoginHistory(t.Context(), "young", 0, ""); err != nil || g.Failures != 0 {
				t.Errorf("the failure that was young: %+v, %v; want it forgotten", g, err)
			}
		})
	}
}

// panicking is a store that cannot delete sessions that have expired.
type panicking struct{ store }

func (panicking) DeleteExpiredSessions(context.Context, time.Time, int) (int, error) { panic("oh") }

// TestSweepPanics: a panic in the background ends neither the process nor the rest of the
// sweep, and the log has it.
func TestSweepPanics(t *testing.T) {
	log, s := new(safeBuffer), newMemStore()
	later := func() time.Time { return testTime.Add(2 * failureMemory) }
	acc := &accounts{guard: guard{store: panicking{s}, log: slog.New(slog.NewJSONHandler(log, nil)), now: later}}
	if err := s.AddFailure(t.Context(), "a", testTime, testTime.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	acc.sweepOnce(t.Context())
	if g, err := s.LoginHistory(t.Context(), "a", 0, ""); err != nil || g.Failures != 0 {
		t.Errorf("the old failure: %+v, %v; want it forgotten", g, err)
	}
	for _, part := range []string{`"level":"ERROR","msg":"cannot delete expired sessions","panic":"oh"`, "panicking.DeleteExpiredSessions"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log has no %s:\n%s", part, log)
		}
	}
}

func TestClockJump(t *testing.T) {
	for _, tt := range []struct {
		name          string
		wall, elapsed time.Duration
		want          time.Duration
	}{
		{"nothing", time.Minute, time.Minute, 0},
		{"no time at all", 0, 0, 0},
		{"corrected by a second", time.Minute + time.Second, time.Minute, 0},
		{"set forward by a minute", 2 * time.Minute, time.Minute, 0},
		{"set forward by a little more", 2*time.Minute + time.Second, time.Minute, time.Minute + time.Second},
		{"set back by a minute", 0, time.Minute, 0},
		{"set back by a little more", -time.Second, time.Minute, -time.Minute - time.Second},
		{"set back by an hour", -59 * time.Minute, time.Minute, -time.Hour},
		{"set forward by years", 4000*day + time.Minute, time.Minute, 4000 * day},
		{"a look that came late", time.Hour, time.Hour, 0},
		{"set back during a look that came late", 0, time.Hour, -time.Hour},
	} {
		if got := clockJump(testTime, testTime.Add(tt.wall), tt.elapsed); got != tt.want {
			t.Errorf("%s: %v; want %v", tt.name, got, tt.want)
		}
	}
	now := time.Now() // with a reading of the clock that cannot be set, which must not count
	if got := clockJump(now, now.Add(time.Hour).Round(0), time.Minute); got != 59*time.Minute {
		t.Errorf("between two readings of different kinds: %v; want 59m", got)
	}
}

// TestSweepNotesJump: the log has one line for each time that the clock was set.
func TestSweepNotesJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var set atomic.Int64
		log := new(safeBuffer)
		acc := &accounts{guard: guard{
			store: newMemStore(), log: slog.New(slog.NewJSONHandler(log, nil)),
			now: func() time.Time { return time.Now().Add(time.Duration(set.Load())) },
		}}
		ctx, cancel := context.WithCancel(t.Context())
		go acc.sweep(ctx, time.Minute)
		for i, step := range []struct {
			by    time.Duration
			lines int // so far
		}{{0, 0}, {30 * time.Second, 0}, {-time.Hour, 1}, {0, 1}, {2 * time.Hour, 2}, {0, 2}, {59 * time.Second, 2}} {
			time.Sleep(30 * time.Second)
			set.Add(int64(step.by))
			time.Sleep(30*time.Second + time.Millisecond)
			synctest.Wait()
			if n := strings.Count(log.String(), `"level":"WARN","msg":"the clock was set, or the machine has slept"`); n != step.lines {
				t.Errorf("step %d: the log has %d lines of it; want %d:\n%s", i, n, step.lines, log)
			}
		}
		if !strings.Contains(log.String(), fmt.Sprintf(`"by":%q`, "-1h0m0s")) {
			t.Errorf("the log does not say by how much:\n%s", log)
		}
		cancel()
		synctest.Wait()
	})
}
