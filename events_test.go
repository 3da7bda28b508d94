package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// An eventSink is a store of events that can fail and panic.
type eventSink struct {
	eventStore
	mu      sync.Mutex
	fault   error
	panics  bool
	batches [][]Event
}

func (s *eventSink) AddEvents(_ context.Context, events []Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panics {
		panic("the store is on fire")
	}
	if s.fault == nil {
		s.batches = append(s.batches, slices.Clone(events))
	}
	return s.fault
}

func (s *eventSink) set(fault error, panics bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.panics = fault, panics
}

// written returns the details of the events in the store, and in how many batches they came.
func (s *eventSink) written() (details []string, batches int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, batch := range s.batches {
		for _, e := range batch {
			details = append(details, e.Detail)
		}
	}
	return details, len(s.batches)
}

// startRecorder runs a recorder, in a synctest bubble.
func startRecorder(t *testing.T) (*recorder, *eventSink, *safeBuffer) {
	log, sink := new(safeBuffer), new(eventSink)
	r := newRecorder(sink, nil, slog.New(slog.NewTextHandler(log, nil)), time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go r.run(ctx)
	return r, sink, log
}

// logins returns n events, whose details count from first on.
func logins(first, n int) []Event {
	var events []Event
	for i := range n {
		events = append(events, Event{Name: loginSucceeded, At: testTime, Detail: fmt.Sprint(first + i)})
	}
	return events
}

func checkWritten(t *testing.T, what string, sink *eventSink, first, n, batches int) {
	t.Helper()
	synctest.Wait()
	details, in := sink.written()
	var want []string
	for _, e := range logins(first, n) {
		want = append(want, e.Detail)
	}
	if !slices.Equal(details, want) || in != batches {
		t.Errorf("%s: %d events in %d batches; want %d from %d on, in %d", what, len(details), in, n, first, batches)
	}
}

// TestRecorder: events gather for a second, or until they are many.
func TestRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sink, _ := startRecorder(t)
		r.add(logins(0, 3)...)
		time.Sleep(eventDelay - time.Nanosecond)
		checkWritten(t, "before a second is over", sink, 0, 0, 0)
		time.Sleep(time.Nanosecond)
		checkWritten(t, "after a second", sink, 0, 3, 1)
		time.Sleep(10 * eventDelay)
		checkWritten(t, "while nothing happens", sink, 0, 3, 1)
		r.add(logins(3, eventBatch)...)
		checkWritten(t, "as soon as there are many", sink, 0, 3+eventBatch, 2)
		r.add(logins(3+eventBatch, 2*eventBatch)...)
		checkWritten(t, "in batches", sink, 0, 3+3*eventBatch, 4)
		r.add(logins(3+3*eventBatch, 1)...)
		if err := r.flush(t.Context()); err != nil {
			t.Error(err)
		}
		checkWritten(t, "at the end", sink, 0, 4+3*eventBatch, 5)
	})
}

// TestRecorderOutage: while the store takes nothing, events wait, and the oldest are dropped and
// counted; when it is back they are written in order.
func TestRecorderOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sink, log := startRecorder(t)
		sink.set(errUnavailable, false)
		r.add(logins(0, 5)...)
		if err := r.flush(t.Context()); !errors.Is(err, errUnavailable) {
			t.Errorf("flush = %v", err)
		}
		time.Sleep(time.Minute)
		checkWritten(t, "during the outage", sink, 0, 0, 0)
		if n := strings.Count(log.String(), "cannot record events"); n != 1 {
			t.Errorf("the outage is logged %d times: %s", n, log)
		}
		sink.set(nil, false)
		time.Sleep(eventDelay)
		checkWritten(t, "after the outage", sink, 0, 5, 1)
		if !strings.Contains(log.String(), "events are recorded again") || strings.Contains(log.String(), "dropped") {
			t.Errorf("the log after the outage: %s", log)
		}

		sink.set(errUnavailable, false)
		r.add(logins(5, maxWaitingEvents+7)...)
		time.Sleep(time.Minute)
		sink.set(nil, false)
		time.Sleep(eventDelay)
		synctest.Wait()
		details, _ := sink.written()
		if len(details) != 5+maxWaitingEvents || details[5] != "12" || details[len(details)-1] != fmt.Sprint(maxWaitingEvents+11) {
			t.Errorf("%d events are written, the first after the gap is %s", len(details), details[5])
		}
		if !strings.Contains(log.String(), "events dropped: the store does not take them\" events=7\n") {
			t.Errorf("the log of dropped events: %s", log)
		}
	})
}

// TestRecorderBadEvent: what no store can hold does not keep others from being written.
func TestRecorderBadEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sink, log := startRecorder(t)
		r.add(slices.Concat([]Event{{Name: loginFailed, Detail: "\x00"}}, logins(0, 1))...)
		time.Sleep(eventDelay)
		checkWritten(t, "beside a bad event", sink, 0, 1, 1)
		if !strings.Contains(log.String(), "events=1") {
			t.Errorf("the log of dropped events: %s", log)
		}
	})
}

// TestRecorderPanic: if the store panics, the process goes on, and no event is lost.
func TestRecorderPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sink, log := startRecorder(t)
		sink.set(nil, true)
		r.add(logins(0, 1)...)
		time.Sleep(eventDelay)
		synctest.Wait()
		sink.set(nil, false)
		r.add(logins(1, 1)...)
		time.Sleep(eventDelay)
		checkWritten(t, "after a panic", sink, 0, 2, 1)
		if !strings.Contains(log.String(), "on fire") {
			t.Errorf("the log has %s", log)
		}
	})
}

// TestRecorderClose: events that cannot be written before a stop are counted and logged.
func TestRecorderClose(t *testing.T) {
	for fault, want := range map[error]string{nil: "", errUnavailable: "events=3\n"} {
		log, sink := new(safeBuffer), new(eventSink)
		sink.set(fault, false)
		r := newRecorder(sink, nil, slog.New(slog.NewTextHandler(log, nil)), time.Now)
		r.add(logins(0, 3)...)
		r.close(t.Context())
		if details, _ := sink.written(); (len(details) == 3) != (fault == nil) || !strings.HasSuffix(log.String(), want) || want == "" && log.String() != "" {
			t.Errorf("%v: %d events are written, and the log has %s", fault, len(details), log)
		}
	}
}

// TestRecorderKeepsAdministrators: if events are dropped, those of administrators go last.
func TestRecorderKeepsAdministrators(t *testing.T) {
	r := newRecorder(new(eventSink), nil, slog.New(slog.DiscardHandler), time.Now)
	r.add(Event{Name: userDeleted, Actor: "root"})
	r.add(logins(0, maxWaitingEvents+1)...)
	if len(r.waiting) != maxWaitingEvents || r.waiting[0].Actor != "root" || r.waiting[1].Detail != "2" || r.dropped != 2 {
		t.Errorf("%d events wait, the first by %q, then login %s, and %d are dropped", len(r.waiting), r.waiting[0].Actor, r.waiting[1].Detail, r.dropped)
	}
	r.add(slices.Repeat([]Event{{Name: userDeleted, Actor: "root"}}, 2*maxWaitingEvents)...)
	if len(r.waiting) != maxWaitingEvents || r.waiting[0].Actor != "root" {
		t.Errorf("%d events wait, the first by %q", len(r.waiting), r.waiting[0].Actor)
	}
}

// TestReport: what an administrator does is written before it is answered, after what happened
// before; if others are writing, that is waited for, but not for ever.
func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sink, _ := startRecorder(t)
		r.note(t.Context(), loginSucceeded, User{}, client{}, "0")
		if err := r.report(t.Context(), r.newEvent(userDeleted, User{}, client{Actor: "root"}, "1")); err != nil {
			t.Error(err)
		}
		checkWritten(t, "at once", sink, 0, 2, 1)

		sink.set(errUnavailable, false)
		err := r.report(t.Context(), r.newEvent(userDeleted, User{}, client{Actor: "root"}, "2"))
		if !errors.Is(err, errUnavailable) {
			t.Errorf("report = %v", err)
		}
		sink.set(nil, false)
		time.Sleep(eventDelay)
		checkWritten(t, "a second later", sink, 0, 3, 2)

		r.turn <- struct{}{} // somebody writes for ever
		began := time.Now()
		if err := r.report(t.Context()); !errors.Is(err, errUnavailable) || time.Since(began) != storeTimeout {
			t.Errorf("report = %v after %v", err, time.Since(began))
		}
	})
}

// TestPerMinute: what costs a client nothing does not push out other events.
func TestPerMinute(t *testing.T) {
	at := func(name, ip, uid string, after time.Duration, actor string) Event {
		return Event{Name: name, IP: ip, UID: uid, At: testTime.Add(after), Actor: actor}
	}
	for _, tt := range []struct {
		name   string
		events []Event
		want   int
	}{
		{"throttled for a minute", slices.Repeat([]Event{at(rateExceeded, "192.0.2.1", "a", 0, "")}, 100), 1},
		{"throttled in two minutes", []Event{at(rateExceeded, "192.0.2.1", "a", 0, ""), at(rateExceeded, "192.0.2.1", "a", time.Minute, "")}, 2},
		{"throttled just before a minute is over", []Event{at(rateExceeded, "192.0.2.1", "a", 0, ""), at(rateExceeded, "192.0.2.1", "a", time.Minute-1, "")}, 1},
		{"throttled again after the clock was set back", []Event{at(rateExceeded, "192.0.2.1", "a", 0, ""), at(rateExceeded, "192.0.2.1", "a", -1, "")}, 2},
		{"throttled at two accounts", []Event{at(rateExceeded, "192.0.2.1", "a", 0, ""), at(rateExceeded, "192.0.2.1", "b", 0, "")}, 2},
		{"throttled from two sources", []Event{at(rateExceeded, "192.0.2.1", "a", 0, ""), at(rateExceeded, "192.0.2.2", "a", 0, "")}, 2},
		{"throttled from one network", []Event{at(rateExceeded, "2001:db8::1", "a", 0, ""), at(rateExceeded, "2001:db8::2", "a", 0, "")}, 1},
		{"refused as no administrator", slices.Repeat([]Event{at(authorizationFailed, "192.0.2.1", "a", 0, "")}, 100), 10},
		{"refused, from many addresses", fromMany(Event{Name: authorizationFailed, UID: "a", At: testTime}), 10},
		{"throttled as nobody, from many addresses", fromMany(Event{Name: rateExceeded, At: testTime}), 60},
		{"sessions that are ended", slices.Repeat([]Event{{Name: tokenRevoked, UID: "a"}}, 100), 60},
		{"failed logins at nobody's names", slices.Repeat([]Event{{Name: loginFailed}}, 1000), 600},
		{"failed logins at a user's name", slices.Repeat([]Event{{Name: loginFailed, UID: "a"}}, 1000), 1000},
		{"one's own profile", slices.Repeat([]Event{at(userUpdated, "192.0.2.1", "a", 0, "")}, 100), 10},
		{"profiles by an administrator", slices.Repeat([]Event{at(userUpdated, "192.0.2.1", "a", 0, "root")}, 100), 100},
		{"logins", slices.Repeat([]Event{at(loginSucceeded, "192.0.2.1", "a", 0, "")}, 100), 100},
	} {
		r := newRecorder(new(eventSink), nil, slog.New(slog.DiscardHandler), time.Now)
		r.add(tt.events...)
		if len(r.waiting) != tt.want {
			t.Errorf("%s: %d events are kept; want %d", tt.name, len(r.waiting), tt.want)
		}
	}
}

// fromMany returns an event from each of a hundred addresses.
func fromMany(e Event) []Event {
	var events []Event
	for i := range 100 {
		e.IP = fmt.Sprint("192.0.2.", i)
		events = append(events, e)
	}
	return events
}

// TestOnlyLogged: without a store, events are only logged.
func TestOnlyLogged(t *testing.T) {
	log := new(safeBuffer)
	r := newRecorder(nil, nil, slog.New(slog.NewTextHandler(log, nil)), time.Now)
	r.note(t.Context(), loginFailed, User{}, client{}, "")
	if err := r.report(t.Context(), r.newEvent(userDeleted, User{}, client{Actor: "root"}, "x")); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"level=WARN msg=authn_login_fail", "level=INFO msg=user_deleted", "actor=root", "detail=x"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %q: %s", want, log)
		}
	}
}

// TestDocumentedEvents: the document of the API has every event that is kept.
func TestDocumentedEvents(t *testing.T) {
	documented := pathItem("/events/")["get"].(object)["parameters"].([]any)[1].(object)["schema"].(object)["enum"].([]any)
	if fmt.Sprint(documented) != fmt.Sprint(eventNames()) {
		t.Errorf("the document has the events %v; want %v", documented, eventNames())
	}
}

// TestSweepEvents: events that are too old are deleted in the background; with an age of 0, all.
func TestSweepEvents(t *testing.T) {
	for age, left := range map[time.Duration]int{0: 0, day: 1, 3 * day: 2} {
		s := startServer(t)
		s.acc.eventAge = age
		for _, at := range []time.Duration{-2 * day, -time.Hour} {
			if err := s.acc.store.AddEvents(t.Context(), []Event{testEvent("alice", userUpdated, s.clock.Now().Add(at))}); err != nil {
				t.Fatal(err)
			}
		}
		s.acc.sweepOnce(t.Context())
		if ids := eventIDs(t, s.acc.store); len(ids) != left {
			t.Errorf("age %v: the events %v are left; want %d", age, ids, left)
		}
	}
}
