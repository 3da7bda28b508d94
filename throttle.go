package main

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// Limits on guessing, which count failures in a row: a success ends the row.
const (
	// freeGuesses is how many wrong guesses at one account are free: for all strangers
	// together, and for each familiar source.
	freeGuesses = 10

	// freeOfSource is the same for one source, at whatever accounts. Many people may
	// share it.
	freeOfSource = 30

	// strangersEnd is how many wrong guesses at an account end the guessing of all but
	// its owner's sources, until they are forgotten.
	strangersEnd = 100

	// longestWait is the longest that anybody has to wait; it begins with a second
	// and doubles.
	longestWait = 15 * time.Minute

	// forgetGuesses is after how long without a wrong guess the count starts anew.
	forgetGuesses = 24 * time.Hour

	// forgetSource is after how long without a login a source is a stranger again, and
	// renewSource how often a login there is remembered.
	forgetSource = 180 * day
	renewSource  = day
)

// Limits on registering, for one source.
const (
	registrationBurst = 100
	registrationPause = time.Second // for one more
)

// A throttledError says for how long somebody has to wait.
type throttledError struct{ wait time.Duration }

func (e throttledError) Error() string {
	return fmt.Sprintf("too many failures: the next attempt may come in %v", e.wait)
}

// wait returns how long after now the next guess may come, if so many were free.
func (s streak) wait(now time.Time, free int) time.Duration {
	if s.Failures < free || !now.Before(s.LastAt.Add(forgetGuesses)) {
		return 0
	}
	pause := longestWait
	if doublings := s.Failures - free; doublings < 10 { // 2^10 s are more than 15 minutes
		pause = min(time.Second<<doublings, longestWait)
	}
	return min(max(0, s.LastAt.Add(pause).Sub(now)), pause)
}

// A throttle decides who may guess a password or register, and when. It knows what
// the sources of this process have done. The failures at an account are in the store,
// for all replicas.
//
// A source that the owner of an account has logged in from waits only for its own
// failures there, and not for those of others: nobody can lock people out of their
// accounts (OWASP Authentication Cheat Sheet, "Account Lockout").
type throttle struct {
	accountKey []byte

	mu            sync.Mutex // guards the fields below
	streaks       *lru.Cache[string, streak]
	registrations *lru.Cache[string, *rate.Limiter]
}

// newThrottle returns a throttle that knows accounts by a key derived from secret.
func newThrottle(secret []byte) *throttle {
	key, err := hkdf.Key(sha256.New, secret, nil, "latchkey account", sha256.Size)
	if err != nil {
		panic(err) // unreachable: the size is a valid constant
	}
	return &throttle{
		accountKey: key, streaks: newCache[string, streak](), registrations: newCache[string, *rate.Limiter](),
	}
}

// account returns what a name is called where its failures are counted. It does not
// say which name that is: people type passwords there.
func (t *throttle) account(usernameKey string) string {
	return b64.EncodeToString(mac(t.accountKey, []byte(usernameKey)))
}

// A guesser is a source at an account.
type guesser struct {
	account string
	source  string
	guesses // at the account
}

// isFamiliar reports whether the owner of the account has logged in from the source.
func (g guesser) isFamiliar(now time.Time) bool { return now.Before(g.SeenAt.Add(forgetSource)) }

// homeKey is under what the failures of a familiar source are counted: at each account by
// itself, so that nobody who shares the source with the owner and guesses elsewhere is in
// their way. Those of a stranger are counted under the source.
func (g guesser) homeKey() string { return g.source + " " + g.account }

// admitGuess returns a throttledError if g may not guess now.
func (t *throttle) admitGuess(g guesser, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var wait time.Duration
	if g.isFamiliar(now) {
		own, _ := t.streaks.Get(g.homeKey())
		wait = own.wait(now, freeGuesses)
	} else {
		own, _ := t.streaks.Get(g.source)
		wait = max(own.wait(now, freeOfSource), g.wait(now, freeGuesses))
		if g.Failures >= strangersEnd {
			wait = max(wait, g.LastAt.Add(forgetGuesses).Sub(now))
		}
	}
	if wait > 0 {
		return throttledError{wait}
	}
	return nil
}

// noteFailure counts a wrong guess of g.
func (t *throttle) noteFailure(g guesser, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := g.source
	if g.isFamiliar(now) {
		key = g.homeKey()
	}
	s, _ := t.streaks.Get(key)
	t.streaks.Add(key, s.after(now, now.Add(-forgetGuesses)))
}

// noteSuccess ends the row of g's failures.
func (t *throttle) noteSuccess(g guesser) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streaks.Remove(g.source)
	t.streaks.Remove(g.homeKey())
}

// admitRegistration returns a throttledError if a source may not register now.
func (t *throttle) admitRegistration(source string, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	bucket, ok := t.registrations.Get(source)
	if !ok {
		bucket = rate.NewLimiter(rate.Every(registrationPause), registrationBurst)
		t.registrations.Add(source, bucket)
	}
	if bucket.AllowN(now, 1) {
		return nil
	}
	return throttledError{registrationPause}
}
