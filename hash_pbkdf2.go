package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"golang.org/x/crypto/pbkdf2"
)

// Limits on the rounds of a stored hash: some two seconds. A round of SHA-512 takes as long
// as five of SHA-256.
const (
	maxRounds       = 10_000_000
	maxRoundsSHA512 = 2_000_000
)

// cutKeySize is the size of the keys that ASP.NET Core Identity makes with SHA-512, in bytes. They
// are half a key, which is enough, and come in passlib's spelling because they have none.
const cutKeySize = 32

// A prf is a hash function under PBKDF2.
type prf struct {
	name      string
	new       func() hash.Hash
	size      int
	maxRounds int
}

var prfs = map[string]prf{
	"sha1":   {"sha1", sha1.New, sha1.Size, maxRounds},
	"sha256": {"sha256", sha256.New, sha256.Size, maxRounds},
	"sha512": {"sha512", sha512.New, sha512.Size, maxRoundsSHA512},
}

// A pbkdf2Hash is a hash by PBKDF2 (RFC 8018 §5.2), in one of three spellings.
type pbkdf2Hash struct {
	prf    prf
	count  int
	salt   string
	key    []byte
	format func(h pbkdf2Hash) string
	of     string // whose spelling it is
}

func (h pbkdf2Hash) String() string { return h.format(h) }

func (h pbkdf2Hash) scheme() string { return fmt.Sprintf("%spbkdf2-%s %d", h.of, h.prf.name, h.count) }

func (h pbkdf2Hash) family() string {
	if h.isOurs() {
		return familyOurs
	}
	return familyPBKDF2
}

// isOurs reports whether new hashes have this form, if perhaps another number of rounds.
func (h pbkdf2Hash) isOurs() bool { return h.prf.name == "sha256" && h.of == "" }

func (h pbkdf2Hash) verify(password string) (bool, []byte) {
	made := pbkdf2.Key([]byte(password), []byte(h.salt), h.count, len(h.key), h.prf.new)
	return subtle.ConstantTimeCompare(made, h.key) == 1, made
}

func (h pbkdf2Hash) memory() int { return 0 }

// newPBKDF2 returns a hash if it is within its limits.
func newPBKDF2(name, count, salt string, key []byte, keyErr error, of string, format func(pbkdf2Hash) string) (passwordHash, error) {
	fn, ok := prfs[name]
	isCut := of == "" && name == "sha512" && len(key) == cutKeySize
	if !ok || keyErr != nil || len(key) != fn.size && !isCut || len(salt) > maxSaltSize {
		return nil, errBadHash
	}
	n, err := number(count)
	if err != nil {
		return nil, err
	}
	if err := bound("number of PBKDF2 rounds", n, 1, fn.maxRounds); err != nil {
		return nil, err
	}
	return pbkdf2Hash{fn, n, salt, key, format, of}, nil
}

// parsePasslibPBKDF2 reads $pbkdf2-sha256$<rounds>$<salt>$<key> of passlib, the last two in
// ab64; it is the spelling of our own hashes, too. $pbkdf2$ is SHA-1.
func parsePasslibPBKDF2(stored string) (passwordHash, error) {
	f := strings.Split(stored, "$")
	if len(f) != 5 {
		return nil, errBadHash
	}
	name := "sha1"
	if _, after, ok := strings.Cut(f[1], "-"); ok {
		name = after
	}
	salt, err := decodeAB64(f[3])
	if err != nil {
		return nil, errBadHash
	}
	key, err := decodeAB64(f[4])
	return newPBKDF2(name, f[2], string(salt), key, err, "", formatPasslib)
}

func formatPasslib(h pbkdf2Hash) string {
	name := "pbkdf2-" + h.prf.name
	if h.prf.name == "sha1" {
		name = "pbkdf2"
	}
	return fmt.Sprintf("$%s$%d$%s$%s", name, h.count, ab64.EncodeToString([]byte(h.salt)), ab64.EncodeToString(h.key))
}

// parseDjangoPBKDF2 reads pbkdf2_sha256$<rounds>$<salt>$<key> of Django, the key in base64.
func parseDjangoPBKDF2(stored string) (passwordHash, error) {
	f := strings.Split(stored, "$")
	if len(f) != 4 || f[2] == "" {
		return nil, errBadHash
	}
	key, err := base64.StdEncoding.Strict().DecodeString(f[3])
	return newPBKDF2(strings.TrimPrefix(f[0], "pbkdf2_"), f[1], f[2], key, err, "django ", func(h pbkdf2Hash) string {
		return fmt.Sprintf("pbkdf2_%s$%d$%s$%s", h.prf.name, h.count, h.salt, base64.StdEncoding.EncodeToString(h.key))
	})
}

// parseWerkzeugPBKDF2 reads pbkdf2:sha256:<rounds>$<salt>$<key> of Werkzeug, the key in hex.
func parseWerkzeugPBKDF2(stored string) (passwordHash, error) {
	f := strings.Split(stored, "$")
	if len(f) != 3 || f[1] == "" {
		return nil, errBadHash
	}
	method := strings.Split(f[0], ":")
	if len(method) != 3 {
		return nil, errBadHash
	}
	key, err := hex.DecodeString(f[2])
	return newPBKDF2(method[1], method[2], f[1], key, err, "werkzeug ", func(h pbkdf2Hash) string {
		return fmt.Sprintf("pbkdf2:%s:%d$%s$%x", h.prf.name, h.count, h.salt, h.key)
	})
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
