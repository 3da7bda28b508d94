package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/crypto/pbkdf2"
)

// A hasher turns passwords into passlib's pbkdf2_sha256 strings, and compares passwords with
// those and with the hashes of other programs. Tests make one with few rounds.
//
// Work is counted in rounds of PBKDF2 with SHA-256.
type hasher struct {
	rounds int
	decoy  pbkdf2Hash // what a password is checked against when there is no hash
	derive func(password string, salt []byte, rounds int) []byte

	mu       sync.Mutex     // guards the fields below
	work     map[string]int // of each scheme that it has met, the least that was measured
	perRound float64        // what a round takes, in nanoseconds; 0 before it is needed
}

func newHasher(rounds int) *hasher {
	h := &hasher{rounds: rounds, derive: pbkdf2Key, work: make(map[string]int)}
	// Nobody will ever find a password whose hash is this random key.
	h.decoy = ourHash(rounds, randomBytes(saltSize), randomBytes(keySize))
	return h
}

func pbkdf2Key(password string, salt []byte, rounds int) []byte {
	return pbkdf2.Key([]byte(password), salt, rounds, keySize, sha256.New)
}

// ourHash returns a hash in the form that new ones have.
func ourHash(rounds int, salt, key []byte) pbkdf2Hash {
	return pbkdf2Hash{prfs["sha256"], rounds, string(salt), key, formatPasslib, ""}
}

// hashPassword returns the string to store for password.
func (h *hasher) hashPassword(password string) string {
	salt := randomBytes(saltSize)
	return ourHash(h.rounds, salt, h.derive(password, salt, h.rounds)).String()
}

// verifyPassword reports whether password is the one that stored was made from, and mayPass
// is true. It also returns the output of the hash function, for repeats. Every refusal costs
// the same, so that its time does not reveal who has an account: a wrong password, mayPass
// false, a stored hash that does not parse, and the empty hash of an unknown user.
func (h *hasher) verifyPassword(password, stored string, mayPass bool) (ok bool, made []byte) {
	hash, err := parseHash(stored)
	if err != nil {
		hash = h.decoy
	}
	same, made, work := h.compare(hash, password)
	if same && mayPass && err == nil {
		return true, made
	}
	if missing := h.price() - work; missing > 0 {
		h.derive(password, []byte(h.decoy.salt), missing)
	}
	return false, made
}

// compare compares a password with a hash, and returns how much work that was. For hashes that
// one thread computes it returns the least work that was ever measured, because the load on the
// other half of a core slows the rounds that follow as much.
func (h *hasher) compare(hash passwordHash, password string) (same bool, made []byte, work int) {
	if p, ok := hash.(pbkdf2Hash); ok && p.prf.name == "sha256" {
		made = h.derive(password, []byte(p.salt), p.count)
		return subtle.ConstantTimeCompare(made, p.key) == 1, made, h.record(hash.scheme(), p.count)
	}
	verify := func() int {
		took := measure(usesThreads(hash), func() { same, made = hash.verify(password) })
		return int(min(float64(took)/h.calibrate(), maxRounds))
	}
	work = verify()
	if usesThreads(hash) && work > h.price() {
		debug.FreeOSMemory()       // the next line needs as much again
		work = min(work, verify()) // other load makes a measurement of passing time larger
	}
	if made == nil { // repeats must not recognize the password by something that is quick to try
		rounds := h.rounds / 10
		made, work = h.derive(password, []byte(h.decoy.salt), rounds), work+rounds
	}
	least := h.record(hash.scheme(), work)
	if usesThreads(hash) { // alone in the queue, it takes now this long and now that
		return same, made, work
	}
	return same, made, least
}

// workOf returns how much work it is to compare a password with a hash. It computes the hash
// unless that is known.
func (h *hasher) workOf(hash passwordHash) int {
	if p, ok := hash.(pbkdf2Hash); ok && p.prf.name == "sha256" {
		return p.count
	}
	_, _, work := h.compare(hash, "")
	return work
}

// calibration is how long calibrate works.
const calibration = 50 * time.Millisecond

// calibrate returns how many nanoseconds a round takes. It measures once.
func (h *hasher) calibrate() float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.perRound == 0 {
		const step = 1000
		rounds, end := 0, time.Now().Add(calibration)
		took := measure(false, func() {
			for rounds == 0 || time.Now().Before(end) {
				pbkdf2Key("", []byte(h.decoy.salt), step)
				rounds += step
			}
		})
		h.perRound = float64(took) / float64(rounds)
	}
	return h.perRound
}

// record notes the work that a hash of a scheme took, and returns the least that was ever
// measured, because other load can only make a measurement larger.
func (h *hasher) record(scheme string, work int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if least, ok := h.work[scheme]; ok && least <= work {
		return least
	}
	h.work[scheme] = work
	return work
}

// price returns the work that every refusal must cost: that of the most expensive scheme seen
// so far, and at least that of a new hash.
func (h *hasher) price() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	price := h.rounds
	for _, work := range h.work {
		price = max(price, work)
	}
	return price
}

// isCheap reports whether stored is a hash that new ones should replace: of another program,
// or of fewer rounds.
func (h *hasher) isCheap(stored string) bool {
	hash, err := parseHash(stored)
	if err != nil {
		return false
	}
	ours, ok := hash.(pbkdf2Hash)
	return !ok || !ours.isOurs() || ours.count < h.rounds
}

// needsWhole reports whether a stored hash needs so much memory, or threads of its own, that
// no other should be compared at the same time.
func needsWhole(stored string) bool {
	const much = 64 << 20
	hash, err := parseHash(stored)
	return err == nil && (hash.memory() > much || usesThreads(hash))
}

// usesThreads reports whether a hash is computed by other threads than the caller's.
func usesThreads(hash passwordHash) bool {
	_, ok := hash.(argon2Hash)
	return ok
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails; see crypto/rand
	return b
}
