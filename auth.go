package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
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
	perRound time.Duration  // a thousand times what a round takes
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
// is true. It also returns what it made of the password, for repeats. Every no costs the
// same, so that the time does not tell who has an account: a wrong password, a user who may
// not pass, a stored hash that does not parse, and the empty hash of a user who does not
// exist.
func (h *hasher) verifyPassword(password, stored string, mayPass bool) (ok bool, made []byte) {
	hash, err := parseHash(stored)
	if err != nil {
		hash = h.decoy
	}
	same, made, spent := h.compare(hash, password)
	price := h.price(hash.scheme(), spent)
	if same && mayPass && err == nil {
		return true, made
	}
	h.spend(password, price-spent)
	return false, made
}

// compare compares a password with a hash, and returns how much work that was.
func (h *hasher) compare(hash passwordHash, password string) (same bool, made []byte, spent int) {
	if p, ok := hash.(pbkdf2Hash); ok && p.prf.name == "sha256" {
		made = h.derive(password, []byte(p.salt), p.count)
		return subtle.ConstantTimeCompare(made, p.key) == 1, made, p.count
	}
	perRound := h.calibrate()
	watch := startStopwatch(usesThreads(hash))
	same, made = hash.verify(password)
	spent = int(1000 * watch.stop() / perRound)
	if made == nil { // repeats must not recognize the password by something that is quick to try
		rounds := h.rounds / 10
		made, spent = h.derive(password, []byte(h.decoy.salt), rounds), spent+rounds
	}
	return same, made, spent
}

// calibrate returns a thousand times what a round takes, and at least a nanosecond.
func (h *hasher) calibrate() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.perRound == 0 {
		rounds := max(h.rounds/10, 1000)
		watch := startStopwatch(false)
		pbkdf2Key("", []byte(h.decoy.salt), rounds)
		h.perRound = max(1000*watch.stop()/time.Duration(rounds), 1)
	}
	return h.perRound
}

// spend does work of no use.
func (h *hasher) spend(password string, rounds int) {
	if rounds > 0 {
		h.derive(password, []byte(h.decoy.salt), rounds)
	}
}

// price records the work that a hash took, and returns the price of a no: the dearest scheme
// that was met, and at least today's hash. Of several measurements the least counts, because
// others on the machine can only make them larger.
func (h *hasher) price(scheme string, spent int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if least, ok := h.work[scheme]; !ok || spent < least {
		h.work[scheme] = spent
	}
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
	return !ok || ours.prf.name != "sha256" || ours.of != "" || ours.count < h.rounds
}

// needsWhole reports whether a stored hash needs so much memory, or threads of its own, that
// no other should be compared at the same time.
func needsWhole(stored string) bool {
	const much = 64 << 20
	hash, err := parseHash(stored)
	return err == nil && (hash.memory() > much || usesThreads(hash) && hash.(argon2Hash).lanes > 1)
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
