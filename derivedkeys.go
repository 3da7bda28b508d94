package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// Access tokens are signed with keys that the server derives from SECRET_KEY and a random salt
// (HKDF, RFC 5869). The store has the salt, and no key. A stolen database signs nothing. Nor does a
// stolen SECRET_KEY without the database, except with HS256. Replicas agree on the keys without
// telling each other anything secret.

// saltLength is the length of the salt of a signing key, in bytes.
const saltLength = sha256.Size

// derivable are the algorithms whose keys can be derived. RSA is not among them: Go cannot make
// the same RSA key twice from a seed.
var derivable = map[string]bool{"ES256": true, "EdDSA": true}

// deriveKey returns the key of an algorithm that belongs to a secret and a salt, always the same.
func deriveKey(secret, salt []byte, algorithm string) (tokenKey, error) {
	for counter := range byte(255) {
		seed, err := hkdf.Key(sha256.New, secret, salt, "latchkey signing key"+algorithm+string([]byte{counter}), ed25519.SeedSize)
		if err != nil {
			return tokenKey{}, err
		}
		if private, err := newPrivate(algorithm, seed); err == nil {
			return newKeyPair(algorithm, private), nil
		}
	}
	return tokenKey{}, fmt.Errorf("no key of %s can be derived", algorithm)
}

// newPrivate returns the private key that a seed of 32 bytes encodes. About one seed in 2^32 is not
// a scalar of P-256.
func newPrivate(algorithm string, seed []byte) (crypto.Signer, error) {
	switch algorithm {
	case "ES256":
		return ecdsa.ParseRawPrivateKey(elliptic.P256(), seed)
	case "EdDSA":
		return ed25519.NewKeyFromSeed(seed), nil
	}
	return nil, errors.New("no such algorithm")
}
