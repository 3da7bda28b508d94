package main

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// A passwordHash is a stored hash of a password. Its text says how it was made.
type passwordHash interface {
	// String returns the hash as it is stored.
	String() string

	// scheme names the algorithm and its cost for people, as in "django pbkdf2-sha256 1000000".
	scheme() string

	// family names the algorithm alone: one of hashFamilies.
	family() string

	// verify reports whether the password is the one that the hash was made from. made is
	// what the hash function made of it, or nil if that cannot be had. Both answers take
	// the same time.
	verify(password string) (ok bool, made []byte)

	// memory returns how much memory verify needs, in bytes, if that is worth mentioning.
	memory() int
}

// Families of hashes. A decoy is what a password is checked against when there is no hash.
const (
	familyOurs   = "ours"
	familyPBKDF2 = "pbkdf2"
	familyBcrypt = "bcrypt"
	familyArgon2 = "argon2"
	familyScrypt = "scrypt"
	familyPhpass = "phpass"
	familyDecoy  = "decoy"
)

// hashFamilies are the families of hashes that can be stored.
var hashFamilies = []string{familyOurs, familyPBKDF2, familyBcrypt, familyArgon2, familyScrypt, familyPhpass}

var (
	// errBadHash means that nobody can log in with a stored hash: it is of no kind that
	// we know, or damaged.
	errBadHash = errors.New("a hash that Latchkey cannot verify")

	// errFastHash means that a hash can be tried billions of times a second.
	errFastHash = errors.New("a hash that is too fast to be safe")
)

// A costError says that a hash would take too much time or memory, or so little that it is
// damaged.
type costError struct{ what, want string }

func (e costError) Error() string { return e.what + "; want " + e.want }

// bound returns a costError unless least <= n <= most.
func bound(what string, n, least, most int) error {
	if n < least || n > most {
		return costError{fmt.Sprintf("%s is %d", what, n), fmt.Sprintf("%d to %d", least, most)}
	}
	return nil
}

// number reads a whole number of at most ten digits. It returns the largest int32 for a larger
// one, which is out of every bound. Signs and leading zeros are noticed by parseHash.
func number(text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || len(text) > 10 {
		return 0, errBadHash
	}
	return int(min(n, math.MaxInt32)), nil
}

// numbers reads whole numbers.
func numbers(texts ...string) ([]int, error) {
	all := make([]int, len(texts))
	for i, text := range texts {
		var err error
		if all[i], err = number(text); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// checkSizes returns errBadHash unless a salt has 1 to maxSaltSize bytes and a key 16 to 64.
func checkSizes(salt string, key []byte) error {
	if len(salt) < 1 || len(salt) > maxSaltSize || len(key) < 16 || len(key) > 64 {
		return errBadHash
	}
	return nil
}

// Sizes of what is in a hash, in bytes.
const (
	maxSaltSize = 1024
	saltSize    = 16 // of ours, as of passlib's
	keySize     = sha256.Size
)

// maxHashMemory is how much memory a stored hash may ask for, in bytes.
const maxHashMemory = 256 << 20

var rawStdBase64 = base64.RawStdEncoding.Strict()
