package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
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
	apiKeyCreated        = "authn_token_created" // an API key
	apiKeyDeleted        = "authn_token_delete"  // the same
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
	signingKeyAdded      = "signing_key_added"
	systemStarted        = "sys_startup"
	systemStopped        = "sys_shutdown"

	// sessionRenewed is only logged: clients refresh all the time.
	sessionRenewed = "session_renewed"

	// These are only logged, too: every replica notices them for itself.
	signingKeyActive  = "signing_key_active"
	signingKeyRetired = "signing_key_retired"
)

// An eventKind says how an event is logged, and how many like it are kept in a minute: for one
// account from one source, for one account in all, and where it concerns nobody. 0 means any number.
type eventKind struct {
	level                            slog.Level
	perSource, perAccount, perNobody int
}

// eventKinds has every event that is kept. The numbers limit the events that a client can repeat
// without hashing a password: otherwise one client could push out all other events.
var eventKinds = map[string]eventKind{
	loginSucceeded:       {},
	loginFailed:          {level: slog.LevelWarn, perNobody: 600},
	rateExceeded:         {level: slog.LevelWarn, perSource: 1, perAccount: 60},
	tokenReused:          {level: slog.LevelWarn},
	tokenRevoked:         {perAccount: 60},
	apiKeyCreated:        {perAccount: 60},
	apiKeyDeleted:        {perAccount: 60},
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
	signingKeyAdded:      {},
	systemStarted:        {},
	systemStopped:        {},
}

// eventNames returns the names of all events that are kept, sorted.
func eventNames() []string { return slices.Sorted(maps.Keys(eventKinds)) }

const (
	eventDelay       = time.Second // how long events wait for others
	eventBatch       = 1000        // when this many wait, they are written at once
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
	if from.APIKeyID != "" {
		detail = strings.TrimPrefix(detail+"; by API key "+from.APIKeyID, "; ")
	}
	return Event{
		At: r.now(), Name: name, UID: u.UID, Username: u.Username, Key: u.Key,
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
	return r.flush(context.WithoutCancel(ctx))
}

// record is report for what has been done.
func (r *recorder) record(ctx context.Context, events ...Event) error {
	if err := r.report(ctx, events...); err != nil {
		return fmt.Errorf("done, but not recorded yet: %w", err)
	}
	return nil
}

// tell notes what users have done to their own account, and records what others have done to it.
func (r *recorder) tell(ctx context.Context, name string, u User, by client, detail string) error {
	if by.Actor != "" {
		return r.record(ctx, r.newEvent(name, u, by, detail))
	}
	r.note(ctx, name, u, by, detail)
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
		if checkEvents([]Event{e}) != nil { // or the store would refuse it with all others
			r.dropped++
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
	inAll := kind.perAccount
	if e.UID == "" {
		inAll = max(inAll, kind.perNobody)
	}
	return r.isFewLocked(key+" "+sourceOf(e.IP), e.At, kind.perSource) && r.isFewLocked(key, e.At, inAll)
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

// trimLocked drops the oldest of too many events, but those of administrators last.
func (r *recorder) trimLocked() {
	excess := len(r.waiting) - maxWaitingEvents
	if excess <= 0 {
		return
	}
	r.dropped += excess
	r.waiting = slices.DeleteFunc(r.waiting, func(e Event) bool {
		drop := excess > 0 && e.Actor == ""
		if drop {
			excess--
		}
		return drop
	})
	r.waiting = r.waiting[max(0, excess):]
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
		r.flush(ctx) // which logs its failure
	}
}

// close writes the events that wait. It logs how many could not be written.
func (r *recorder) close(ctx context.Context) {
	r.flush(ctx) // which logs its failure
	if left := r.take(maxWaitingEvents); len(left) > 0 {
		r.log.ErrorContext(ctx, "events dropped: the store did not take them before the stop", "events", len(left))
		r.metrics.eventsDropped(len(left))
	}
}

// flush writes all events that wait, within storeTimeout. Others that write at the same time are
// waited for, so that events stay in order. If it fails, the events go on waiting.
func (r *recorder) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return fmt.Errorf("%w: it is slow to take events", errUnavailable)
	}
	for {
		batch := r.take(eventBatch)
		if len(batch) == 0 {
			return nil
		}
		err := r.write(ctx, batch)
		r.settle(batch, err)
		if err != nil {
			return err
		}
	}
}

// write writes events. If the store panics, the process goes on.
func (r *recorder) write(ctx context.Context, events []Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.ErrorContext(ctx, "cannot record events", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: panic: %v", errUnavailable, p)
		}
	}()
	err = r.store.AddEvents(ctx, events)
	if err != nil && !errors.Is(err, errUnavailable) {
		err = fmt.Errorf("%w: %w", errUnavailable, err)
	}
	return err
}

// readerPatience is how long a reader of events waits until the latest are written.
const readerPatience = 500 * time.Millisecond

// read returns the events that find finds in the store, or none if none are kept. Those that wait
// are written first, so that a reader finds what has just happened.
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
		return // there is nothing to wait for, or no sense in it
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		r.flush(context.WithoutCancel(ctx)) // which logs its failure
	}()
	select {
	case <-written:
	case <-time.After(readerPatience):
	}
}

// isIdle reports whether no event waits and none is being written, or the store takes none.
func (r *recorder) isIdle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.isFaulty || len(r.waiting) == 0 && len(r.turn) == 0
}

// take returns the next events to write, at most atMost, which wait no longer.
func (r *recorder) take(atMost int) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(atMost, len(r.waiting))
	batch := r.waiting[:n:n]
	r.waiting = r.waiting[n:]
	return batch
}

// settle puts events back that were not written, and logs once that the store takes none, and once
// that it does again.
func (r *recorder) settle(batch []Event, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.waiting = append(batch, r.waiting...)
		r.trimLocked()
	}
	if faulty := err != nil; faulty != r.isFaulty {
		r.isFaulty = faulty
		if faulty {
			r.log.Error("cannot record events; they wait", "err", err)
		} else {
			r.log.Info("events are recorded again")
		}
	}
	if r.dropped > 0 {
		r.log.Error("events dropped: the store does not take them", "events", r.dropped)
		r.metrics.eventsDropped(r.dropped)
		r.dropped = 0
	}
}
