package main

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// TestDerivedKeys: a secret and a salt give the same key for ever: restarts and replicas must
// agree, and no version of this program may change it.
func TestDerivedKeys(t *testing.T) {
	secret, salt := []byte(testSecret), bytes.Repeat([]byte{7}, saltLength)
	for algorithm, want := range map[string]string{
		"ES256": "SUBHLkyqBGsZHCOBFli4SU6E7dg9si2JUyKwjd9Z-Us",
		"EdDSA": "2ZhYpmmaIy4CqQGTRQrxWsgyvO-b9Z9iRAxUKqgJltY",
	} {
		key, err := deriveKey(secret, salt, algorithm)
		if err != nil || key.id != want {
			t.Errorf("%s: %s, %v; want %s", algorithm, key.id, err, want)
		}
		for name, other := range map[string]func() (tokenKey, error){
			"another secret":    func() (tokenKey, error) { return deriveKey([]byte(otherSecret), salt, algorithm) },
			"another salt":      func() (tokenKey, error) { return deriveKey(secret, make([]byte, saltLength), algorithm) },
			"the two exchanged": func() (tokenKey, error) { return deriveKey(salt, secret, algorithm) },
		} {
			if k, err := other(); err != nil || k.id == key.id {
				t.Errorf("%s: %s gives the key %s, %v", algorithm, name, k.id, err)
			}
		}
	}
	if _, err := deriveKey(secret, salt, "RS256"); err == nil {
		t.Error("a key for RS256 is derived")
	}
}

// TestScalarOfP256: bytes that are no scalar of P-256 are not taken, so that the next counter is
// tried.
func TestScalarOfP256(t *testing.T) {
	order, _ := hex.DecodeString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
	for name, seed := range map[string][]byte{"zero": make([]byte, 32), "the order": order, "all ones": bytes.Repeat([]byte{255}, 32)} {
		if _, err := newPrivate("ES256", seed); err == nil {
			t.Errorf("%s is taken for a scalar", name)
		}
	}
}

// TestStolenDatabase: what the store has of a key signs nothing.
func TestStolenDatabase(t *testing.T) {
	clock := &testClock{now: testTime}
	s := newMemStore()
	r := startedRing(t, s, clock, "ES256", testSecret)
	row := signingKeysOf(t, s)[0]
	for name, secret := range map[string]string{"the salt": string(row.Salt), "the kid": row.KeyID, "the salt in hex": hex.EncodeToString(row.Salt)} {
		if r.accepts(mint(hs256, payload(""), secret)) {
			t.Errorf("a token of HS256, keyed by %s, is good", name)
		}
		for _, salt := range [][]byte{row.Salt, []byte(row.KeyID), nil} {
			if key, err := deriveKey([]byte(secret), salt, "ES256"); err == nil && r.accepts(signWith(t, key, clock.Now())) {
				t.Errorf("a key that is made of %s signs", name)
			}
		}
	}
	private, err := newPrivate("ES256", row.Salt)
	if err == nil && r.accepts(signWith(t, newKeyPair("ES256", private), clock.Now())) {
		t.Error("the salt is the key")
	}
}
