package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestEventOptions: which events the options ask for, and which options are refused.
func TestEventOptions(t *testing.T) {
	now := testTime
	for _, tt := range []struct {
		name  string
		given map[string][]string
		want  eventQuery
		err   string
	}{
		{"none", nil, eventQuery{}, ""},
		{"all", map[string][]string{"user": {"BOB"}, "event": {loginFailed}, "since": {"90m"}, "after": {"7"}},
			eventQuery{After: 7, Since: now.Add(-90 * time.Minute), Key: "bob", Name: loginFailed}, ""},
		{"days", map[string][]string{"since": {"7d"}}, eventQuery{Since: now.Add(-7 * day)}, ""},
		{"an event that there is not", map[string][]string{"event": {"login"}}, eventQuery{}, `there is no event "login"; want one of authn_account_disabled, `},
		{"no user", map[string][]string{"user": {""}}, eventQuery{}, "-user: want the name of a user"},
		{"a negative age", map[string][]string{"since": {"-1h"}}, eventQuery{}, `-since: "-1h"; want a duration`},
		{"an age without a unit", map[string][]string{"since": {"24"}}, eventQuery{}, `-since: "24"; want a duration`},
		{"many days", map[string][]string{"since": {"70000d"}}, eventQuery{}, `-since: "70000d"; want a duration`},
		{"a negative ID", map[string][]string{"after": {"-1"}}, eventQuery{}, `-after: "-1"; want the ID of an event`},
		{"no ID", map[string][]string{"after": {""}}, eventQuery{}, `-after: ""; want the ID of an event`},
	} {
		in := &invocation{given: tt.given}
		got, err := in.eventQuery(now)
		if tt.err == "" && (err != nil || got != tt.want) || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %+v, %v; want %+v, %q", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// An outageStore is a store of events that fails while it is told to.
type outageStore struct {
	store
	isOut atomic.Bool
}

func (s *outageStore) Events(ctx context.Context, q eventQuery, limit int) ([]Event, error) {
	if s.isOut.Load() {
		return nil, errUnavailable
	}
	return s.store.Events(ctx, q, limit)
}

// TestFollowEvents: events are printed as they come, each once, also after an outage.
func TestFollowEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &outageStore{store: newMemStore()}
		add := func(names ...string) {
			for _, name := range names {
				if err := s.AddEvents(ctx, []Event{{Name: name}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		add(loginFailed, userCreated)
		var out safeBuffer
		in := &invocation{program: &program{stdout: &out}}
		ended := make(chan error)
		go func() { ended <- in.followEvents(ctx, s, eventQuery{Name: loginFailed}) }()
		printed := func(ids ...int) {
			t.Helper()
			time.Sleep(followInterval)
			synctest.Wait()
			var want []string
			for _, id := range ids {
				want = append(want, fmt.Sprintf(`{"id":%d,`, id))
			}
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			for i, line := range lines {
				if len(lines) != len(want) || !strings.HasPrefix(line, want[i]) {
					t.Errorf("printed %q; want the events %v", lines, ids)
					return
				}
			}
		}
		printed(1)
		add(userCreated, loginFailed)
		printed(1, 4)
		printed(1, 4)
		s.isOut.Store(true)
		add(loginFailed)
		printed(1, 4)
		s.isOut.Store(false)
		printed(1, 4, 5)
		cancel()
		if err := <-ended; !errors.Is(err, errInterrupted) && !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
	})
}
