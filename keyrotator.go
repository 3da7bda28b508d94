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

// A keyRotator gives the signer the keys that the server makes itself, one generation after the
// other. Each is published before it signs, so that other services know it by then, and verifies for
// some time after the next one signs. All replicas read the same ring from the store.
type keyRotator struct {
	store     store
	signer    *signer // gets the keys
	secrets   [][]byte
	algorithm string        // of new generations
	fallbacks []tokenKey    // of PRIVATE_KEY_FALLBACKS_DIR, which verify, too
	retention time.Duration // how long a key verifies after it has signed
	inMemory  bool
	events    *recorder
	log       *slog.Logger
	now       func() time.Time

	reads sync.Mutex // held while the ring is read, so that older rows never replace newer ones

	mu           sync.Mutex    // guards the fields below
	ring         ring          // as it was read last
	readErr      error         // why the ring could not be read the last time
	signingID    string        // the kid of the key that signed when last looked
	verifyingIDs []string      // the kids of the keys that verified then
	asked        time.Time     // when lookAgain read the ring last
	reading      chan struct{} // is closed when lookAgain has read it; nil if it does not read
}

const (
	publishLead  = time.Hour // between the time when a start makes a key and the time when it signs
	minRetention = day
	ringPeriod   = 30 * time.Second // how often a replica reads the ring
	askPeriod    = 10 * time.Second // how often tokens can make it read the ring
)

// adopt makes the signer use the keys in rows. If none of them comes from our secrets, the previous
// keys stay in use.
func (r *keyRotator) adopt(ctx context.Context, rows []SigningKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.EqualFunc(rows, r.ring.rows, isSameKey) {
		return
	}
	current := newRing(rows, r.secrets, r.retention)
	for _, warning := range current.warnings(r.now()) {
		r.log.WarnContext(ctx, warning)
	}
	if len(current.generations) == 0 {
		r.log.ErrorContext(ctx, "no signing key in the database comes from SECRET_KEY; the previous keys stay in use")
		return
	}
	r.ring = current
	r.signer.use(r.keysOf(current))
}

// keysOf returns the keys of a ring, with the fallbacks.
func (r *keyRotator) keysOf(current ring) keySet { return current.keys().with(r.fallbacks...) }

// watch reads the ring regularly until ctx is done.
func (r *keyRotator) watch(ctx context.Context) {
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

// reread reads the ring and deletes dead rows. If the store does not answer, the previous keys stay
// in use.
func (r *keyRotator) reread(ctx context.Context) {
	defer func() {
		if p := recover(); p != nil {
			r.log.ErrorContext(ctx, "cannot read the signing keys", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	r.reads.Lock()
	defer r.reads.Unlock()
	rows, err := r.store.SigningKeys(ctx)
	if ctx.Err() != nil {
		return // a stop is no failure
	}
	r.noteRead(ctx, err)
	if err == nil {
		r.adopt(ctx, rows)
		r.deleteDead(ctx)
	}
	r.logChanges(ctx)
}

// noteRead remembers whether the ring could be read. It logs once that the store does not answer, and
// once that it does again.
func (r *keyRotator) noteRead(ctx context.Context, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil && r.readErr == nil:
		r.log.ErrorContext(ctx, "cannot read the signing keys; the previous ones stay in use", "err", err)
	case err == nil && r.readErr != nil:
		r.log.InfoContext(ctx, "signing keys can be read again")
	}
	r.readErr = err
}

// deleteDead deletes the rows that are of no use any more.
func (r *keyRotator) deleteDead(ctx context.Context) {
	r.mu.Lock()
	dead := r.ring.dead(r.now())
	r.mu.Unlock()
	for _, k := range dead {
		if err := r.store.DeleteSigningKey(ctx, k.Number); err != nil {
			return // the next time will do
		}
	}
}

// logChanges logs which key signs now, and which no longer verify, if that has changed since the
// last time.
func (r *keyRotator) logChanges(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, keys := r.now(), r.signer.keys()
	key, _ := keys.signing(now)
	verifying := keys.ids(now)
	if r.verifyingIDs != nil && key.id != r.signingID {
		r.log.InfoContext(ctx, signingKeyActive, "kid", keyName(key.id), "algorithm", key.method.Alg())
	}
	for _, id := range r.verifyingIDs {
		if !slices.Contains(verifying, id) {
			r.log.InfoContext(ctx, signingKeyRetired, "kid", keyName(id))
		}
	}
	r.signingID, r.verifyingIDs = key.id, verifying
}

// keyName names the key with a kid for people.
func keyName(id string) string { return cmp.Or(id, "SECRET_KEY") }

// lookAgain reads the ring because a token names an unknown key, which another replica may have just
// made. It reads at most once every askPeriod. Concurrent callers wait for that read. It returns
// errUnknownKey if it does not read, or why it could not.
func (r *keyRotator) lookAgain(ctx context.Context) error {
	if r == nil {
		return errUnknownKey
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch reading := r.reading; {
	case reading != nil:
		r.mu.Unlock()
		<-reading
		r.mu.Lock()
	case isRecent(r.asked, r.now(), askPeriod):
		return cmp.Or(r.readErr, errUnknownKey)
	default:
		read := make(chan struct{})
		r.asked, r.reading = r.now(), read
		r.mu.Unlock()
		r.reread(ctx)
		r.mu.Lock()
		r.reading = nil
		close(read)
	}
	return r.readErr
}
