package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

// An API key is lk_ID_SECRET. Both parts are base32 (RFC 4648 §6), which has no 0, 1 or 8 to confuse
// with letters; a double click selects the whole key. The prefix lets scanners find leaked keys.
const (
	apiKeyPrefix     = "lk_"
	apiKeyIDSize     = 16 // characters, 80 bits
	apiKeySecretSize = 26 // characters, 130 bits
	apiKeySize       = len(apiKeyPrefix) + apiKeyIDSize + 1 + apiKeySecretSize
)

// newAPIKey returns a new key and the ID in it.
func newAPIKey() (id, key string) {
	id = rand.Text()[:apiKeyIDSize]
	return id, apiKeyPrefix + id + "_" + rand.Text()[:apiKeySecretSize]
}

// parseAPIKey returns the ID in a key, or false if the text cannot be a key.
func parseAPIKey(text string) (id string, ok bool) {
	rest, hasPrefix := strings.CutPrefix(text, apiKeyPrefix)
	if !hasPrefix || len(text) != apiKeySize {
		return "", false
	}
	id, secret, _ := strings.Cut(rest, "_")
	return id, isAPIKeyID(id) && isBase32(secret)
}

// isAPIKeyID reports whether a text can be the ID of a key.
func isAPIKeyID(text string) bool { return len(text) == apiKeyIDSize && isBase32(text) }

func isBase32(text string) bool { return strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == "" }

// hashAPIKey returns what the store keeps of a key. A fast hash is enough, because nobody can try
// all secrets of 130 bits.
func hashAPIKey(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}

// isHashOf reports whether hash is that of key. The time it takes does not depend on what is in
// hash. An empty hash is that of no key.
func isHashOf(hash []byte, key string) bool {
	return subtle.ConstantTimeCompare(hash, hashAPIKey(key)) == 1
}

// An apiKeyUse is an API key and the hour of its use, in Unix time.
type apiKeyUse struct {
	id   string
	hour int64
}

// maxAPIKeyUses is how many uses of API keys are remembered, so that each is written once.
const maxAPIKeyUses = 10_000
