package main

import (
	"cmp"
	"context"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// A keyRing is the signing keys that the server makes itself, one generation after the other. Each
// is published before it signs, so that other services know it by then, and verifies for some time
// after the next one signs. All replicas read the same ring from the store.
type keyRing struct {
	store     store
	signer    *signer // gets the keys
	secrets   [][]byte
	algorithm string        // of new generations
	retention time.Duration // how long a key verifies after it has signed
	inMemory  bool
	events    *recorder
	log       *slog.Logger
	now       func() time.Time

	mu       sync.Mutex    // guards the fields below
	ring     ring          // as it was read last
	isFaulty bool          // the store did not answer the last time
	signing  string        // the kid of the key that signed when last looked
	alive    []string      // the kids of the keys that verified then
	asked    time.Time     // when lookAgain read the ring last
	reading  chan struct{} // is closed when lookAgain has read it; nil if it does not read
}

const (
	publishLead  = time.Hour // between the time when a start makes a key and the time when it signs
	minRetention = day
	ringPeriod   = 30 * time.Second // how often a replica reads the ring
	askPeriod    = 10 * time.Second // how often tokens can make it read the ring
	sweepDelay   = time.Hour        // between the end of a key and its deletion: clocks differ
)

// adopt gives the keys of rows to the signer, unless they are none: a server keeps what it has
// then.
func (r *keyRing) adopt(ctx context.Context, rows []SigningKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.EqualFunc(rows, r.ring.rows, isSameKey) {
		return
	}
	now := newRing(rows, r.secrets)
	for _, warning := range now.warnings(r.now()) {
		r.log.WarnContext(ctx, warning)
	}
	if len(now.generations) == 0 {
		r.log.ErrorContext(ctx, "no signing key in the database belongs to SECRET_KEY; the keys of before stay in use")
		return
	}
	r.ring = now
	r.signer.use(now.keys(r.retention))
}

// watch reads the ring regularly until ctx is done.
func (r *keyRing) watch(ctx context.Context) {
	if r == nil {
		return
	}
	tick := time.NewTicker(ringPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.reread(ctx)
		}
	}
}

// reread reads the ring, and deletes what is void. While the store does not answer, the keys that
// it has stay in use.
func (r *keyRing) reread(ctx context.Context) {
	defer func() {
		if p := recover(); p != nil {
			r.log.ErrorContext(ctx, "cannot read the signing keys", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	rows, err := r.store.SigningKeys(ctx)
	if ctx.Err() != nil {
		return
	}
	r.noteFault(ctx, err)
	if err == nil {
		r.adopt(ctx, rows)
		r.deleteVoid(ctx)
	}
	r.logChanges(ctx)
}

// noteFault logs once that the store does not answer, and once that it does again.
func (r *keyRing) noteFault(ctx context.Context, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	faulty := err != nil
	if faulty == r.isFaulty {
		return
	}
	r.isFaulty = faulty
	if faulty {
		r.log.ErrorContext(ctx, "cannot read the signing keys; those of before stay in use", "err", err)
		return
	}
	r.log.InfoContext(ctx, "signing keys are read again")
}

// deleteVoid deletes the rows of keys that have been revoked, or have expired some time ago.
func (r *keyRing) deleteVoid(ctx context.Context) {
	for _, k := range r.void() {
		if err := r.store.DeleteSigningKey(ctx, k.Generation); err != nil {
			return // the next time will do
		}
	}
}

func (r *keyRing) void() []SigningKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	void := r.ring.revoked
	for i, g := range r.ring.generations {
		if end := r.ring.retires(i); !end.IsZero() && !r.now().Before(end.Add(r.retention+sweepDelay)) {
			void = append(void, g.SigningKey)
		}
	}
	return void
}

// logChanges logs which key signs now, and which no longer verify, if that has changed since the
// last time.
func (r *keyRing) logChanges(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, keys := r.now(), r.signer.keys()
	key, _ := keys.signing(now)
	alive := keys.ids(now)
	if r.alive != nil && key.id != r.signing {
		r.log.InfoContext(ctx, signingKeyActive, "kid", keyName(key.id), "algorithm", key.method.Alg())
	}
	for _, id := range r.alive {
		if !slices.Contains(alive, id) {
			r.log.InfoContext(ctx, signingKeyRetired, "kid", keyName(id))
		}
	}
	r.signing, r.alive = key.id, alive
}

// keyName names the key with a kid for people.
func keyName(id string) string { return cmp.Or(id, "SECRET_KEY") }

// lookAgain reads the ring because a token names a key that is not in it: another replica may have
// made the key a moment ago. It reads at most once in askPeriod, whoever asks; others who ask
// meanwhile wait for it. It reports whether the ring was read.
func (r *keyRing) lookAgain(ctx context.Context) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	if reading := r.reading; reading != nil {
		r.mu.Unlock()
		<-reading
		return true
	}
	if isRecent(r.asked, r.now(), askPeriod) {
		r.mu.Unlock()
		return false
	}
	read := make(chan struct{})
	r.asked, r.reading = r.now(), read
	r.mu.Unlock()
	r.reread(ctx)
	r.mu.Lock()
	r.reading = nil
	r.mu.Unlock()
	close(read)
	return true
}
