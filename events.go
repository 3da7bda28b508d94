package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// What can happen, by the names of OWASP's logging vocabulary where it has one.
const (
	loginSucceeded       = "authn_login_success"
	loginFailed          = "authn_login_fail"
	rateExceeded         = "excess_rate_limit_exceeded"
	tokenReused          = "authn_token_reuse"
	tokenRevoked         = "authn_token_revoked"
	passwordChanged      = "authn_password_change"
	passwordChangeFailed = "authn_password_change_fail"
	userCreated          = "user_created"
	userUpdated          = "user_updated"
	userDeleted          = "user_deleted"
	usersImported        = "user_imported"
	usersExported        = "user_exported"
	permissionsChanged   = "privilege_permissions_changed"
	accountDisabled      = "authn_account_disabled"
	accountEnabled       = "authn_account_enabled"
	authorizationFailed  = "authz_fail"
	systemStarted        = "sys_startup"
	systemStopped        = "sys_shutdown"

	// sessionRenewed is only logged: clients refresh all the time.
	sessionRenewed = "session_renewed"
)

// An eventKind says how an event is logged, and how many like it are kept in a minute for one
// account: from one source, and in all. 0 means any number.
type eventKind struct {
	level                 slog.Level
	perSource, perAccount int
}

// eventKinds has every event that is kept. The numbers limit the events that a client can repeat
// without hashing a password: otherwise one client could push out all other events.
var eventKinds = map[string]eventKind{
	loginSucceeded:       {},
	loginFailed:          {level: slog.LevelWarn},
	rateExceeded:         {level: slog.LevelWarn, perSource: 1, perAccount: 60},
	tokenReused:          {level: slog.LevelWarn},
	tokenRevoked:         {perAccount: 60},
	passwordChanged:      {},
	passwordChangeFailed: {level: slog.LevelWarn},
	userCreated:          {},
	userUpdated:          {perAccount: 10},
	userDeleted:          {},
	usersImported:        {},
	usersExported:        {},
	permissionsChanged:   {},
	accountDisabled:      {},
	accountEnabled:       {},
	authorizationFailed:  {level: slog.LevelWarn, perAccount: 10},
	systemStarted:        {},
	systemStopped:        {},
}

// eventNames returns the names of all events that are kept, sorted.
func eventNames() []string { return slices.Sorted(maps.Keys(eventKinds)) }

const (
	eventDelay       = time.Second // in which events gather
	eventBatch       = 1000        // of which none waits for more to come
	maxWaitingEvents = 10_000      // while the store takes none
)

// A recorder logs events, and puts them into the store, many together. A crash loses the last ones,
// which the log has. If the store takes none, the oldest are dropped: no login waits for them, or
// fails.
type recorder struct {
	store   eventStore // nil: events are only logged
	metrics *metrics
	log     *slog.Logger
	now     func() time.Time
	full    chan struct{} // eventBatch events wait
	turn    chan struct{} // has an element while a batch is written

	mu       sync.Mutex // guards the fields below
	waiting  []Event    // oldest first
	dropped  int        // not yet logged
	isFaulty bool       // the store took no events the last time
	recent   *lru.Cache[string, minute]
}

// A minute counts events from its beginning.
type minute struct {
	began  time.Time
	events int
}

// maxRecent is how many kinds of repeated events are counted. One takes some 200 bytes.
const maxRecent = 10_000

func newRecorder(store eventStore, measured *metrics, log *slog.Logger, now func() time.Time) *recorder {
	return &recorder{
		store: store, metrics: measured, log: log, now: now,
		full: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		recent: newCache[string, minute](maxRecent),
	}
}

// newEvent returns an event that concerns u, or nobody if u is the zero User.
func (r *recorder) newEvent(name string, u User, from client, detail string) Event {
	return Event{
		At: r.now(), Name: name, UID: u.UID, Username: u.Username,
		Actor: from.Actor, IP: from.IP, UserAgent: from.UserAgent, RequestID: from.RequestID, Detail: detail,
	}
}

// note logs an event, and puts it into the store within a second or so. It neither fails nor waits.
func (r *recorder) note(ctx context.Context, name string, u User, from client, detail string) {
	e := r.newEvent(name, u, from, detail)
	r.logEvent(ctx, e)
	r.add(e)
}

// report is note for what somebody does to the accounts of others, which must not happen unseen. It
// returns after the events are stored, also if ctx ends meanwhile. If it fails, the events wait to
// be stored later.
func (r *recorder) report(ctx context.Context, events ...Event) error {
	for _, e := range events {
		r.logEvent(ctx, e)
	}
	r.add(events...)
	if err := r.flush(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("done, but not recorded yet: %w", err)
	}
	return nil
}

// logEvent logs an event.
func (r *recorder) logEvent(ctx context.Context, e Event) {
	attrs := []slog.Attr{
		slog.String("username", e.Username),
		slog.String("source", e.IP),
		slog.String("request_id", e.RequestID),
	}
	if e.Actor != "" {
		attrs = append(attrs, slog.String("actor", e.Actor))
	}
	if e.Detail != "" {
		attrs = append(attrs, slog.String("detail", e.Detail))
	}
	r.log.LogAttrs(ctx, eventKinds[e.Name].level, e.Name, attrs...)
}

// add has events wait for the next batch, except those that come too often.
func (r *recorder) add(events ...Event) {
	if r.store == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		if !r.admitLocked(e) {
			continue
		}
		r.waiting = append(r.waiting, e)
		if len(r.waiting) == eventBatch {
			select {
			case r.full <- struct{}{}:
			default:
			}
		}
	}
	r.trimLocked()
}

// admitLocked counts an event, and reports whether it is within the limits of its kind. They do
// not hold for administrators.
func (r *recorder) admitLocked(e Event) bool {
	if e.Actor != "" {
		return true
	}
	kind, key := eventKinds[e.Name], e.Name+" "+e.UID
	return r.isFewLocked(key+" "+sourceOf(e.IP), e.At, kind.perSource) && r.isFewLocked(key, e.At, kind.perAccount)
}

// isFewLocked counts an event with this key, and reports whether there are at most atMost in this
// minute.
func (r *recorder) isFewLocked(key string, at time.Time, atMost int) bool {
	if atMost == 0 {
		return true
	}
	m, _ := r.recent.Get(key)
	if age := at.Sub(m.began); age < 0 || age >= time.Minute {
		m = minute{began: at}
	}
	m.events++
	r.recent.Add(key, m)
	return m.events <= atMost
}

// trimLocked drops the oldest of too many events.
func (r *recorder) trimLocked() {
	if excess := len(r.waiting) - maxWaitingEvents; excess > 0 {
		r.dropped += excess
		r.waiting = slices.Clone(r.waiting[excess:])
	}
}

// run writes the events that wait, until ctx is done.
func (r *recorder) run(ctx context.Context) {
	tick := time.NewTicker(eventDelay)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.full:
		}
		r.flushSafely(ctx)
	}
}

// flushSafely is flush for a goroutine of its own: if the store panics, the process goes on.
func (r *recorder) flushSafely(ctx context.Context) {
	defer func() {
		if p := recover(); p != nil {
			r.log.ErrorContext(ctx, "cannot record events", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	r.flush(ctx) // which logs its failure
}

// flush writes all events that wait. Others that write at the same time are waited for, so that
// events stay in order. If it fails, the events go on waiting.
func (r *recorder) flush(ctx context.Context) error {
	patience, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-patience.Done():
		return fmt.Errorf("%w: it is slow to take events", errUnavailable)
	}
	for {
		batch := r.take()
		if len(batch) == 0 {
			return nil
		}
		err := r.store.AddEvents(ctx, batch)
		r.noteOutcome(ctx, batch, err)
		if err != nil {
			return err
		}
	}
}

// readerPatience is how long somebody who reads events waits for the latest to be written.
const readerPatience = 500 * time.Millisecond

// read returns the events that find finds in the store, or none if none are kept. Those that wait
// are written first, so that nobody looks for what has just happened in vain.
func (r *recorder) read(ctx context.Context, find func() ([]Event, error)) ([]Event, error) {
	if r.store == nil {
		return nil, nil
	}
	r.hasten(ctx)
	return find()
}

// hasten has the events that wait written now, and waits until they are, but not for longer than
// readerPatience.
func (r *recorder) hasten(ctx context.Context) {
	if r.isIdle() {
		return
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		r.flushSafely(context.WithoutCancel(ctx))
	}()
	select {
	case <-written:
	case <-time.After(readerPatience):
	}
}

// isIdle reports whether no event waits, and none is being written.
func (r *recorder) isIdle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting) == 0 && len(r.turn) == 0
}

// take returns the next events to write, which wait no longer.
func (r *recorder) take() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(eventBatch, len(r.waiting))
	batch := r.waiting[:n:n]
	r.waiting = r.waiting[n:]
	return batch
}

// noteOutcome puts events back that were not written, and logs once that the store takes none, and
// once that it does again. What no store can ever hold is dropped.
func (r *recorder) noteOutcome(ctx context.Context, batch []Event, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, errUnstorable):
		r.dropped += len(batch)
	case err != nil:
		r.waiting = append(batch, r.waiting...)
		r.trimLocked()
	}
	if faulty := err != nil; faulty != r.isFaulty && ctx.Err() == nil {
		r.isFaulty = faulty
		if faulty {
			r.log.ErrorContext(ctx, "cannot record events; they wait", "err", err)
		} else {
			r.log.InfoContext(ctx, "events are recorded again")
		}
	}
	if r.dropped > 0 {
		r.log.ErrorContext(ctx, "events dropped: the store does not take them", "events", r.dropped)
		r.metrics.eventsDropped(r.dropped)
		r.dropped = 0
	}
}
