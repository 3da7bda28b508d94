package main

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// Limits on guessing passwords. They count failures in a row: a success ends the streak.
const (
	// freeFailures is how many wrong passwords for one account are free: for all strangers
	// together, and for each familiar source.
	freeFailures = 10

	// freeSourceFailures is how many wrong passwords from one source are free, for any
	// accounts. Many people may share a source.
	freeSourceFailures = 30

	// maxStrangerFailures is how many wrong guesses at an account end the guessing of all but
	// its owner's sources, until they are forgotten.
	maxStrangerFailures = 100

	// longestWait is the longest wait. Waits begin with a second and double.
	longestWait = 15 * time.Minute

	// sourceMemory is how long a source stays familiar after a login, and sourceRenewal
	// how often a login from it is recorded.
	sourceMemory  = 180 * day
	sourceRenewal = day
)

// Limits on what one source may do: register, and repeat a wrong password, which does not
// count as another failure but costs as much to hash.
const (
	freeBurst = 100
	freePause = time.Second // for one more
)

// A throttledError says how long a client has to wait.
type throttledError struct{ wait time.Duration }

func (e throttledError) Error() string {
	return fmt.Sprintf("too many failures: the next attempt may come in %v", e.wait)
}

// wait returns how long after now the next guess is allowed, given the number of free
// guesses.
func (s streak) wait(now time.Time, free int) time.Duration {
	if s.Failures < free || !now.Before(s.LastAt.Add(failureMemory)) {
		return 0
	}
	pause := longestWait
	if doublings := s.Failures - free; doublings < 10 { // 2^10 s are more than 15 minutes
		pause = min(time.Second<<doublings, longestWait)
	}
	return min(max(0, s.LastAt.Add(pause).Sub(now)), pause)
}

// A throttle decides who may try a password or register, and when. It remembers the sources
// that this process has seen. The failures of an account are in the store, for all replicas.
//
// A source that the owner of an account has logged in from is familiar. It waits only for its
// own failures there, and not for those of others, so that nobody can lock people out of
// their accounts (OWASP Authentication Cheat Sheet, "Account Lockout").
type throttle struct {
	accountKeys [][]byte

	mu            sync.Mutex // guards the fields below
	streaks       *streakCache
	repeats       *repeats
	repeating     *lru.Cache[string, *rate.Limiter]
	registrations *lru.Cache[string, *rate.Limiter]
}

// newThrottle returns a throttle that names accounts by keyed hashes. It counts each failure
// under a key for secret and one for every fallback, so that replicas count together while a
// new secret is rolled out.
func newThrottle(secret []byte, fallbacks [][]byte) *throttle {
	t := &throttle{
		streaks: newStreakCache(), repeats: newRepeats(),
		repeating: newCache[string, *rate.Limiter](maxRemembered), registrations: newCache[string, *rate.Limiter](maxRemembered),
	}
	for _, s := range append([][]byte{secret}, fallbacks...) {
		key, err := hkdf.Key(sha256.New, s, nil, "latchkey account", sha256.Size)
		if err != nil {
			panic(err) // unreachable: the size is a valid constant
		}
		t.accountKeys = append(t.accountKeys, key)
	}
	return t
}

// accountNames returns the accounts under which the failures of a name are counted, one for
// each key. They do not reveal the name, because people type passwords in its place.
func (t *throttle) accountNames(usernameKey string) []string {
	var names []string
	for _, key := range t.accountKeys {
		name := b64.EncodeToString(mac(key, []byte(usernameKey)))
		if !slices.Contains(names, name) { // a fallback may be the secret itself
			names = append(names, name)
		}
	}
	return names
}

// A standing is what is known of a source that tries to log in to an account.
type standing struct {
	accounts []string // see throttle.accountNames
	source   string
	streaks  []streak  // of the accounts
	SeenAt   time.Time // when the owner last logged in from the source

	// wait is how long a stranger would have to wait. A source of the owner may be admitted
	// all the same, but must not see that it is one: see guard.try.
	wait     time.Duration
	admitted bool
}

// isFamiliar reports whether the owner of the account has logged in from the source.
func (s standing) isFamiliar(now time.Time) bool { return now.Before(s.SeenAt.Add(sourceMemory)) }

// familiarKey returns the key under which a familiar source's failures for this account are
// counted. It is not the source alone, so that people who share the source and fail at other
// accounts do not make the owner wait.
func (s standing) familiarKey() string { return s.source + " " + s.accounts[0] }

// admitAttempt sets the wait of who, and whether it may try now: if a stranger may, or if it
// is familiar and need not wait for its own failures.
func (t *throttle) admitAttempt(who standing, now time.Time) standing {
	t.mu.Lock()
	defer t.mu.Unlock()
	who.wait = t.streaks.get(who.source).wait(now, freeSourceFailures)
	for _, s := range who.streaks {
		who.wait = max(who.wait, s.wait(now, freeFailures))
		if s.Failures >= maxStrangerFailures {
			who.wait = max(who.wait, s.LastAt.Add(failureMemory).Sub(now))
		}
	}
	who.admitted = who.wait == 0 || who.isFamiliar(now) && t.streaks.get(who.familiarKey()).wait(now, freeFailures) == 0
	return who
}

// noteFailure counts a wrong password of who. made is what the hash function made of it. It
// reports whether the failure counts for the account, too.
//
// A failure of a familiar source while strangers must wait counts only for that source:
// outside it looks like a refused attempt, and refused attempts do not count.
func (t *throttle) noteFailure(who standing, made []byte, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	repeater := who.source
	if who.wait > 0 {
		repeater = who.familiarKey() // what is hidden must not change what is seen
	}
	if t.repeats.note(repeater+" "+who.accounts[0], made, now) && allow(t.repeating, repeater, now) {
		return false
	}
	if who.isFamiliar(now) {
		t.countLocked(who.familiarKey(), now)
	}
	if who.wait > 0 {
		return false
	}
	t.countLocked(who.source, now)
	return true
}

func (t *throttle) countLocked(key string, now time.Time) {
	t.streaks.put(key, t.streaks.get(key).after(now, now.Add(-failureMemory)))
}

// noteSuccess ends the streak of who.
func (t *throttle) noteSuccess(who standing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streaks.remove(who.source)
	t.streaks.remove(who.familiarKey())
}

// admitRegistration returns a throttledError if a source may not register now.
func (t *throttle) admitRegistration(source string, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if allow(t.registrations, source, now) {
		return nil
	}
	return throttledError{freePause}
}

// allow takes one from the bucket of a source, and reports whether there was one.
func allow(buckets *lru.Cache[string, *rate.Limiter], source string, now time.Time) bool {
	bucket, ok := buckets.Get(source)
	if !ok {
		bucket = rate.NewLimiter(rate.Every(freePause), freeBurst)
		buckets.Add(source, bucket)
	}
	return bucket.AllowN(now, 1)
}
