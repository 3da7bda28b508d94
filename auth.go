package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/pbkdf2"
)

// maxRounds is how much work a stored hash may ask for: some two seconds.
const maxRounds = 10_000_000

// Sizes of passlib's pbkdf2_sha256, in bytes.
const (
	maxSaltSize = 1024
	saltSize    = 16
	keySize     = sha256.Size
)

// A hasher turns passwords into passlib's pbkdf2_sha256 strings, and back into
// a yes or no. Tests make one with few rounds.
type hasher struct {
	rounds  int
	dearest atomic.Int64 // the most rounds of any hash seen so far
	decoy   pbkdf2Hash   // what a password is checked against when there is no hash
	derive  func(password string, salt []byte, rounds int) []byte
}

func newHasher(rounds int) *hasher {
	// Nobody will ever find a password whose hash is this random key.
	return &hasher{
		rounds: rounds, decoy: pbkdf2Hash{rounds, randomBytes(saltSize), randomBytes(keySize)}, derive: pbkdf2Key,
	}
}

// hashPassword returns the string to store for password.
func (h *hasher) hashPassword(password string) string {
	salt := randomBytes(saltSize)
	return pbkdf2Hash{h.rounds, salt, h.derive(password, salt, h.rounds)}.String()
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
	price := h.price(hash.rounds)
	made = h.derive(password, hash.salt, hash.rounds)
	same := subtle.ConstantTimeCompare(made, hash.key) == 1
	if same && mayPass && err == nil {
		return true, made
	}
	if missing := price - hash.rounds; missing > 0 {
		h.derive(password, hash.salt, missing)
	}
	return false, made
}

// price records a hash of this many rounds, and returns the cost of a no: the most rounds
// seen so far, and at least today's.
func (h *hasher) price(rounds int) int {
	for {
		dearest := h.dearest.Load()
		if dearest >= int64(rounds) || h.dearest.CompareAndSwap(dearest, int64(rounds)) {
			return int(max(dearest, int64(rounds), int64(h.rounds)))
		}
	}
}

// isCheap reports whether stored is a hash that took less work than those made
// today.
func (h *hasher) isCheap(stored string) bool {
	hash, err := parseHash(stored)
	return err == nil && hash.rounds < h.rounds
}

// A pbkdf2Hash is a password hash that describes itself:
// $pbkdf2-sha256$<rounds>$<salt>$<key>, the last two in ab64.
type pbkdf2Hash struct {
	rounds int
	salt   []byte
	key    []byte
}

const hashPrefix = "$pbkdf2-sha256$"

// errBadHash means that a stored hash cannot be verified, so that nobody can log in with it.
var errBadHash = errors.New("not a pbkdf2-sha256 hash")

// parseHash reads a pbkdf2_sha256 string of passlib. It accepts exactly what String writes.
// The string may come from an import or an intruder, so its rounds are bounded, and its key
// must have the full length: an empty key never equals an empty key.
func parseHash(stored string) (pbkdf2Hash, error) {
	rest, ok := strings.CutPrefix(stored, hashPrefix)
	fields := strings.SplitN(rest, "$", 4)
	if !ok || len(fields) != 3 {
		return pbkdf2Hash{}, errBadHash
	}
	rounds, err := strconv.Atoi(fields[0])
	if err != nil || rounds < 1 || rounds > maxRounds || strconv.Itoa(rounds) != fields[0] {
		return pbkdf2Hash{}, errBadHash
	}
	salt, err1 := decodeAB64(fields[1])
	key, err2 := decodeAB64(fields[2])
	if err1 != nil || err2 != nil || len(salt) > maxSaltSize || len(key) != keySize {
		return pbkdf2Hash{}, errBadHash
	}
	return pbkdf2Hash{rounds, salt, key}, nil
}

func (h pbkdf2Hash) String() string {
	return hashPrefix + strconv.Itoa(h.rounds) + "$" + ab64.EncodeToString(h.salt) + "$" + ab64.EncodeToString(h.key)
}

func pbkdf2Key(password string, salt []byte, rounds int) []byte {
	return pbkdf2.Key([]byte(password), salt, rounds, keySize, sha256.New)
}

// ab64 is passlib's base64: the standard alphabet with a period for the plus,
// and no padding.
var ab64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./").
	WithPadding(base64.NoPadding).Strict()

func decodeAB64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") { // which package base64 skips
		return nil, errBadHash
	}
	return ab64.DecodeString(s)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails; see crypto/rand
	return b
}
