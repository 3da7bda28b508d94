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

// eventLevels has every name of an event that is kept, and the level of its log line.
var eventLevels = map[string]slog.Level{
	loginSucceeded:       slog.LevelInfo,
	loginFailed:          slog.LevelWarn,
	rateExceeded:         slog.LevelWarn,
	tokenReused:          slog.LevelWarn,
	tokenRevoked:         slog.LevelInfo,
	passwordChanged:      slog.LevelInfo,
	passwordChangeFailed: slog.LevelWarn,
	userCreated:          slog.LevelInfo,
	userUpdated:          slog.LevelInfo,
	userDeleted:          slog.LevelInfo,
	usersImported:        slog.LevelInfo,
	usersExported:        slog.LevelInfo,
	permissionsChanged:   slog.LevelInfo,
	accountDisabled:      slog.LevelInfo,
	accountEnabled:       slog.LevelInfo,
	authorizationFailed:  slog.LevelWarn,
	systemStarted:        slog.LevelInfo,
	systemStopped:        slog.LevelInfo,
}

// eventNames returns the names of all events, sorted.
func eventNames() []string { return slices.Sorted(maps.Keys(eventLevels)) }

// Details of tokenRevoked.
const (
	byLogout     = "logout"
	oneByUser    = "one session, by the user"
	allByUser    = "all sessions, by the user"
	othersByUser = "all other sessions, by the user"
	oneByAdmin   = "one session, by an administrator"
	allByAdmin   = "all sessions, by an administrator"
)

// perMinute returns how many events like e go into the store in a minute, from one source and in
// all, for the same account; 0 means any number. It limits those that cost a client nothing:
// otherwise one client could push out all others. Each of the rest took a password hash, or a
// login before it.
func perMinute(e Event) (ofSource, ofAccount int) {
	switch {
	case e.Actor != "":
		return 0, 0
	case e.Name == rateExceeded:
		return 1, 60
	case e.Name == authorizationFailed, e.Name == userUpdated, e.Detail == allByUser, e.Detail == othersByUser:
		return 0, 10
	}
	return 0, 0
}

const (
	eventDelay       = time.Second // in which events gather
	eventBatch       = 1000        // of which none waits for more to come
	maxWaitingEvents = 10_000      // while the store takes none
)

// A recorder puts events into the store, many together. A crash loses the last ones, which the log
// has. If the store takes none, the oldest are dropped: no login waits for them, or fails.
// A nil recorder does nothing.
type recorder struct {
	store   eventStore
	metrics *metrics
	log     *slog.Logger
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

// maxRecent is how many kinds of events perMinute distinguishes. One takes some 200 bytes.
const maxRecent = 10_000

func newRecorder(store eventStore, log *slog.Logger) *recorder {
	return &recorder{
		store: store, log: log,
		full: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		recent: newCache[string, minute](maxRecent),
	}
}

// add has events wait for the next batch, except those that come too often.
func (r *recorder) add(events ...Event) {
	if r == nil {
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

// admitLocked counts an event, and reports whether it is within perMinute.
func (r *recorder) admitLocked(e Event) bool {
	ofSource, ofAccount := perMinute(e)
	key := e.Name + " " + e.UID
	return r.isFewLocked(key+" "+sourceOf(e.IP), e.At, ofSource) && r.isFewLocked(key, e.At, ofAccount)
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
		r.waiting = append([]Event(nil), r.waiting[excess:]...)
	}
}

// run writes the events that wait, until ctx is done.
func (r *recorder) run(ctx context.Context) {
	if r == nil {
		return
	}
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
	if r == nil {
		return nil
	}
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
