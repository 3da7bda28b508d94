package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"
)

// testEvent returns an event whose texts are all there.
func testEvent(username, name string, at time.Time) Event {
	return Event{
		At: at.UTC(), Name: name, UID: "uid of " + usernameKey(username), Username: username, Key: usernameKey(username), Actor: "root",
		IP: "192.0.2.7", UserAgent: "curl", RequestID: "r1", Detail: "email",
	}
}

// testStoreEvents: events are found by what they are about, in the order of their IDs.
func testStoreEvents(t *testing.T, s store) {
	later := testTime.Add(time.Hour)
	all := []Event{
		testEvent("Alice", "authn_login_success", testTime),
		testEvent("bob", "authn_login_success", testTime),
		{At: later.UTC(), Name: "authn_login_fail", IP: "192.0.2.7"},
		testEvent("ALICE", "authn_login_fail", later),
		testEvent("alice", "user_updated", later),
	}
	for _, batch := range [][]Event{all[:2], nil, all[2:]} {
		if err := s.AddEvents(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	for i := range all {
		all[i].ID = int64(i + 1)
	}
	for _, tt := range []struct {
		name  string
		q     eventQuery
		limit int
		want  []Event
	}{
		{"all", eventQuery{}, 9, all},
		{"the first two", eventQuery{}, 2, all[:2]},
		{"those after the second", eventQuery{After: 2}, 2, all[2:4]},
		{"none after the last", eventQuery{After: 5}, 9, nil},
		{"those of a user", eventQuery{Key: "alice"}, 9, []Event{all[0], all[3], all[4]}},
		{"those of a user after the first", eventQuery{Key: "alice", After: 1}, 1, all[3:4]},
		{"those of one kind", eventQuery{Name: "authn_login_fail"}, 9, all[2:4]},
		{"those of one kind and user", eventQuery{Name: "authn_login_fail", Key: "alice"}, 9, all[3:4]},
		{"those since a time", eventQuery{Since: later}, 9, all[2:]},
		{"those of a user since a time", eventQuery{Since: later, Key: "alice"}, 9, all[3:]},
		{"none since a later time", eventQuery{Since: later.Add(time.Microsecond)}, 9, nil},
		{"none of a user who has none", eventQuery{Key: "carol"}, 9, nil},
	} {
		if found, err := s.Events(t.Context(), tt.q, tt.limit); err != nil || !reflect.DeepEqual(found, tt.want) {
			t.Errorf("%s: %+v, %v", tt.name, found, err)
		}
	}
	for uid, want := range map[string][]Event{"uid of alice": {all[4], all[3]}, "uid of bob": {all[1]}, "": nil, "uid of carol": nil} {
		if found, err := s.UserEvents(t.Context(), uid, 2); err != nil || !reflect.DeepEqual(found, want) {
			t.Errorf("the events of %q: %+v, %v", uid, found, err)
		}
	}
}

// testStoreEventTexts: events that not every store can hold are refused, with those beside them.
func testStoreEventTexts(t *testing.T, s store) {
	for _, bad := range []Event{{Detail: "\x00"}, {UserAgent: "\xff"}, {Username: "\x00"}} {
		if err := s.AddEvents(t.Context(), []Event{testEvent("alice", "user_updated", testTime), bad}); err == nil {
			t.Errorf("%+v is added", bad)
		}
	}
	if found, err := s.Events(t.Context(), eventQuery{}, 9); err != nil || len(found) > 0 {
		t.Errorf("the store has %+v, %v", found, err)
	}
}

// testStoreEventRace: somebody who asks for events after the last they have seen gets each once,
// in order, while others add some.
func testStoreEventRace(t *testing.T, s store) {
	const writers, batches, size = 8, 15, 7
	var adding sync.WaitGroup
	for w := range writers {
		adding.Go(func() {
			for b := range batches {
				events := slices.Repeat([]Event{{At: testTime, Name: "user_updated", Detail: fmt.Sprint(w, " ", b)}}, size)
				if err := s.AddEvents(t.Context(), events); err != nil {
					t.Error(err)
				}
			}
		})
	}
	finished, finish := context.WithCancel(t.Context())
	go func() { adding.Wait(); finish() }()
	var seen []Event
	for last := int64(0); ; {
		over := finished.Err() != nil // before the last look
		some, err := s.Events(t.Context(), eventQuery{After: last}, 50)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, some...)
		if len(some) > 0 {
			last = some[len(some)-1].ID
		} else if over {
			break
		}
	}
	if len(seen) != writers*batches*size {
		t.Fatalf("%d events are seen; want %d", len(seen), writers*batches*size)
	}
	for i, e := range seen {
		if e.ID != int64(i+1) || e.Detail != seen[i-i%size].Detail {
			t.Fatalf("event %d is %+v; want IDs in order, and batches whole", i+1, e)
		}
	}
}

// testStoreOldEvents: events go by their own time, whatever their place.
func testStoreOldEvents(t *testing.T, s store) {
	var all []Event
	for _, days := range []int{9, 1, 5, 2, 3} { // the clock was set
		all = append(all, testEvent("alice", "user_updated", testTime.Add(time.Duration(days)*day)))
	}
	if err := s.AddEvents(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		days, limit, deleted int
		left                 []int64
	}{
		{1, 9, 0, []int64{1, 2, 3, 4, 5}},
		{2, 9, 1, []int64{1, 3, 4, 5}},
		{4, 9, 2, []int64{1, 3}},
		{99, 1, 1, nil}, // one of them
		{99, 9, 1, nil},
		{99, 9, 0, nil},
	} {
		n, err := s.DeleteOldEvents(t.Context(), testTime.Add(time.Duration(step.days)*day), step.limit)
		if err != nil || n != step.deleted {
			t.Errorf("day %d, limit %d: deleted %d, %v; want %d", step.days, step.limit, n, err, step.deleted)
		}
		if left := eventIDs(t, s); step.limit > 1 && !slices.Equal(left, step.left) {
			t.Errorf("day %d, limit %d: the events %v are left; want %v", step.days, step.limit, left, step.left)
		}
	}
	if err := s.AddEvents(t.Context(), all[:1]); err != nil {
		t.Fatal(err)
	}
	if left := eventIDs(t, s); !slices.Equal(left, []int64{6}) {
		t.Errorf("an event after all were deleted: %v; want a greater ID than any before", left)
	}
}

func eventIDs(t *testing.T, s store) (ids []int64) {
	t.Helper()
	events, err := s.Events(t.Context(), eventQuery{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

// TestEventsAreBounded: of too many events the oldest go, however young they are.
func TestEventsAreBounded(t *testing.T) {
	t.Parallel()
	for name, empty := range everyDatabase {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, empty(t)).(sqlStore)
			if err := s.AddEvents(t.Context(), slices.Repeat([]Event{testEvent("alice", "user_updated", testTime)}, 5)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.schemaDB.ExecContext(t.Context(), `UPDATE event_ids SET last_id = 1000003`); err != nil {
				t.Fatal(err)
			}
			if n, err := s.DeleteOldEvents(t.Context(), testTime, 100); err != nil || n != 3 {
				t.Errorf("deleted %d, %v; want 3", n, err)
			}
			if left := eventIDs(t, s); !slices.Equal(left, []int64{4, 5}) {
				t.Errorf("the events %v are left", left)
			}
			if _, err := s.schemaDB.ExecContext(t.Context(), `DELETE FROM event_ids`); err != nil {
				t.Fatal(err)
			}
			if err := s.AddEvents(t.Context(), []Event{{Name: "user_updated"}}); !errors.Is(err, errUnavailable) || errors.Is(err, errNotFound) {
				t.Errorf("without a last ID: %v", err)
			}
		})
	}
	t.Run("memory", func(t *testing.T) {
		s := newMemStore()
		for range 11 {
			if err := s.AddEvents(t.Context(), slices.Repeat([]Event{testEvent("alice", "user_updated", testTime)}, maxMemEvents/10)); err != nil {
				t.Fatal(err)
			}
		}
		if left := eventIDs(t, s); len(s.events) != maxMemEvents || left[0] != maxMemEvents/10+1 {
			t.Errorf("%d events are left, from %d on", len(s.events), left[0])
		}
	})
}
