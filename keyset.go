package main

import (
	"slices"
	"time"
)

// A keySet holds the keys of access tokens, the newest first. It never changes, so it can be read
// without a lock.
type keySet []timedKey

// A timedKey is a key in its time. It verifies until it expires.
type timedKey struct {
	tokenKey
	signsFrom time.Time // until a newer key signs
	expires   time.Time // zero: never
}

// fixedKeys returns keys without times: one that signs, and others that still verify.
func fixedKeys(signing tokenKey, older ...tokenKey) keySet {
	return keySet{{tokenKey: signing}}.with(older...)
}

// with returns s with older keys, which only verify, except those that are in s already: readers of
// a JWK Set want each kid once.
func (s keySet) with(older ...tokenKey) keySet {
	for _, key := range older {
		if key.id != "" && s.has(key.id) {
			continue
		}
		key.private = nil
		s = append(s, timedKey{tokenKey: key})
	}
	return s
}

// has reports whether a key has this kid.
func (s keySet) has(id string) bool {
	return slices.ContainsFunc(s, func(k timedKey) bool { return k.id == id })
}

// secretKeys returns the keys of HS256: the secret signs, and older ones still verify.
func secretKeys(secret []byte, fallbacks [][]byte) keySet {
	var older []tokenKey
	for _, fallback := range fallbacks {
		older = append(older, newSecretKey(fallback))
	}
	return fixedKeys(newSecretKey(secret), older...)
}

// signing returns the key that signs at now. If none signs yet, because the clock of this machine
// is behind, it is the oldest. ok is false if no key can sign.
func (s keySet) signing(now time.Time) (key tokenKey, ok bool) {
	for _, k := range s {
		if k.private == nil {
			continue
		}
		if !now.Before(k.signsFrom) {
			return k.tokenKey, true
		}
		key, ok = k.tokenKey, true
	}
	return key, ok
}

func (k timedKey) isExpired(now time.Time) bool { return isOver(k.expires, now) }

// ids returns the kids of the keys that verify at now.
func (s keySet) ids(now time.Time) []string {
	ids := []string{}
	for _, k := range s {
		if !k.isExpired(now) && !slices.Contains(ids, k.id) {
			ids = append(ids, k.id)
		}
	}
	return ids
}

// published returns the keys whose public part other services may know at now: the one that
// signs, then those that will, then those that did.
func (s keySet) published(now time.Time) []tokenKey {
	var keys []tokenKey
	signing, _ := s.signing(now)
	for _, k := range s {
		switch {
		case k.id == "", k.isExpired(now):
		case k.id == signing.id:
			keys = slices.Insert(keys, 0, k.tokenKey)
		default:
			keys = append(keys, k.tokenKey)
		}
	}
	return keys
}
