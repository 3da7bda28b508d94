package main

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// Limits on guessing, which count failures in a row: a success ends the row.
const (
	// freeGuesses is how often a password may be guessed wrong at one account, or by
	// a source that its owner has logged in from, before the next has to wait.
	freeGuesses = 10

	// freeOfSource is the same for one source, at whatever accounts. Many people may
	// share it.
	freeOfSource = 30

	// strangersEnd is after how many wrong guesses only sources may guess at an
	// account that its owner has logged in from.
	strangersEnd = 100

	// longestWait is the longest that anybody has to wait; it begins with a second
	// and doubles.
	longestWait = 15 * time.Minute

	// forgetGuesses is after how long without a wrong guess the count starts anew.
	forgetGuesses = 24 * time.Hour

	// forgetSource is after how long without a login a source is a stranger again.
	forgetSource = 180 * day
)

// Limits on registering, for one source.
const (
	registrationBurst = 100
	registrationPause = time.Second // for one more
)

// maxThrottled is how many sources, and accounts, the process remembers: others make
// it forget those that it has not seen for the longest time. One takes some 200 bytes.
const maxThrottled = 50_000

// A streak is how often somebody has guessed wrong in a row, and when last.
type streak struct {
	Failures int
	LastAt   time.Time
}

// guesses are what a store knows of those at an account.
type guesses struct {
	streak
	Familiar bool // the owner has logged in before from the source that asks
}

// A throttledError says for how long somebody has to wait.
type throttledError struct{ wait time.Duration }

func (e throttledError) Error() string {
	return fmt.Sprintf("too many failures: the next attempt may come in %v", e.wait)
}

// after returns s with another failure at now. If the last one was not after stale, it
// is the first.
func (s streak) after(now, stale time.Time) streak {
	if !s.LastAt.After(stale) {
		s.Failures = 0
	}
	return streak{s.Failures + 1, storedTime(now)}
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
	return max(0, s.LastAt.Add(pause).Sub(now))
}

// A throttle decides who may guess a password or register, and when. It knows what
// the sources of this process have done. What has happened to an account the store
// knows, for all replicas.
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

func newCache[K comparable, V any]() *lru.Cache[K, V] {
	cache, err := lru.New[K, V](maxThrottled)
	if err != nil {
		panic(err) // unreachable: the size is positive
	}
	return cache
}

// account returns what a name is called where its failures are counted. It does not
// say which name that is: people type passwords there.
func (t *throttle) account(usernameKey string) string {
	return b64.EncodeToString(mac(t.accountKey, []byte(usernameKey)))
}

// sourceOf returns the part of an address that one customer of a provider has: of IPv6
// the first 64 bits (RFC 6177), of IPv4 all. A text that is no address is its own source.
func sourceOf(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return ip
	}
	return prefix.String()
}

// admitGuess returns a throttledError if a source may not guess at an account now.
func (t *throttle) admitGuess(g guesses, account, source string, now time.Time) error {
	wait := t.streakOf(g, account, source).wait(now, freeOf(g))
	if !g.Familiar {
		wait = max(wait, g.wait(now, freeGuesses))
		if g.Failures >= strangersEnd && now.Before(g.LastAt.Add(forgetGuesses)) {
			wait = longestWait
		}
	}
	if wait > 0 {
		return throttledError{wait}
	}
	return nil
}

func freeOf(g guesses) int {
	if g.Familiar {
		return freeGuesses
	}
	return freeOfSource
}

// streakKey is under what the failures of a source are counted: those of a familiar
// one at each account by itself, so that nobody who shares it with the owner and guesses
// elsewhere is in their way.
func streakKey(g guesses, account, source string) string {
	if g.Familiar {
		return source + " " + account
	}
	return source
}

func (t *throttle) streakOf(g guesses, account, source string) streak {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, _ := t.streaks.Get(streakKey(g, account, source))
	return s
}

// noteFailure counts a wrong guess of a source.
func (t *throttle) noteFailure(g guesses, account, source string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := streakKey(g, account, source)
	s, _ := t.streaks.Get(key)
	t.streaks.Add(key, s.after(now, now.Add(-forgetGuesses)))
}

// noteSuccess ends the row of a source's failures.
func (t *throttle) noteSuccess(account, source string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streaks.Remove(source)
	t.streaks.Remove(streakKey(guesses{Familiar: true}, account, source))
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
