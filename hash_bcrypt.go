package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Limits on the cost of a bcrypt hash: the work doubles with each.
const (
	minBcryptCost = 4
	maxBcryptCost = 14
)

// bcryptWrappings are what stands before a bcrypt hash, and what the wrapping makes of the
// password first.
var bcryptWrappings = []struct {
	before, of string
	prepare    func(password string) []byte
}{
	{"bcrypt_sha256$", "django bcrypt-sha256", func(password string) []byte {
		sum := sha256.Sum256([]byte(password))
		return hex.AppendEncode(nil, sum[:])
	}},
	{"bcrypt$", "django bcrypt", func(password string) []byte { return []byte(password) }},
	{"$wp", "wordpress bcrypt", func(password string) []byte {
		mac := hmac.New(sha512.New384, []byte("wp-sha384"))
		mac.Write([]byte(password))
		return base64.StdEncoding.AppendEncode(nil, mac.Sum(nil))
	}},
	{"", "bcrypt", func(password string) []byte { return []byte(password) }},
}

// A bcryptHash is a hash by bcrypt. It reads 72 bytes of a password and ignores the rest, as
// the program did that made it.
type bcryptHash struct {
	wrapping int // in bcryptWrappings
	variant  byte
	cost     int
	digest   string // salt and key, in bcrypt's base64
}

// parseBcrypt reads $2b$<cost>$<salt and key>, also with a wrapping of Django or WordPress.
func parseBcrypt(stored string) (passwordHash, error) {
	h := bcryptHash{}
	for !strings.HasPrefix(stored, bcryptWrappings[h.wrapping].before) {
		h.wrapping++
	}
	f := strings.Split(strings.TrimPrefix(stored, bcryptWrappings[h.wrapping].before), "$")
	if len(f) != 4 || len(f[1]) != 2 || !strings.Contains("aby", f[1][1:]) || f[1][0] != '2' || !isBcryptDigest(f[3]) {
		return nil, errBadHash
	}
	var err error
	if h.cost, err = number(f[2]); err != nil {
		return nil, err
	}
	if err := bound("bcrypt cost", h.cost, minBcryptCost, maxBcryptCost); err != nil {
		return nil, err
	}
	h.variant, h.digest = f[1][1], f[3]
	return h, nil
}

// isBcryptDigest reports whether text is a salt of 16 bytes and a key of 23, without spare
// bits.
func isBcryptDigest(text string) bool {
	const saltEnd = 22
	enc := base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").WithPadding(base64.NoPadding).Strict()
	if len(text) != 53 || strings.ContainsAny(text, "\r\n") {
		return false
	}
	_, err1 := enc.DecodeString(text[:saltEnd])
	_, err2 := enc.DecodeString(text[saltEnd:])
	return err1 == nil && err2 == nil
}

func (h bcryptHash) plain() string { return fmt.Sprintf("$2%c$%02d$%s", h.variant, h.cost, h.digest) }

func (h bcryptHash) String() string { return bcryptWrappings[h.wrapping].before + h.plain() }

func (h bcryptHash) scheme() string {
	return fmt.Sprintf("%s %d", bcryptWrappings[h.wrapping].of, h.cost)
}

func (h bcryptHash) family() string { return familyBcrypt }

func (h bcryptHash) verify(password string) (bool, []byte) {
	prepared := bcryptWrappings[h.wrapping].prepare(password)
	return bcrypt.CompareHashAndPassword([]byte(h.plain()), prepared) == nil, nil
}

func (h bcryptHash) memory() int { return 0 }
