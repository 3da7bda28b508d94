package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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

func (k timedKey) isExpired(now time.Time) bool {
	return !k.expires.IsZero() && !now.Before(k.expires)
}

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

var (
	// errBadToken means that an access token is not valid. It does not say why: clients do not
	// need to know, and attackers would like to.
	errBadToken = errors.New("access token not good")

	// errUnknownKey is errBadToken for a token whose kid names no key of the set: another
	// replica may have made the key a moment ago.
	errUnknownKey = fmt.Errorf("%w: unknown key", errBadToken)
)

// maxTokenSize is the maximum length of a token of any kind, in bytes. Ours have about 300.
const maxTokenSize = 4 << 10

// open returns the payload of a compact JWS (RFC 7515 §7.1), and the key that has signed it.
// Otherwise it returns errBadToken or errUnknownKey. It does not check whether the key has
// expired.
//
// A key has one algorithm, and the token must name it: nothing that an attacker writes can make
// a key verify by another one (RFC 8725 §3.1). The token's kid chooses no key, because there are
// few.
func (s keySet) open(token string) (payload []byte, by timedKey, err error) {
	if len(token) > maxTokenSize || strings.ContainsAny(token, "\r\n") { // which package base64 skips
		return nil, timedKey{}, errBadToken
	}
	header, rest, ok1 := strings.Cut(token, ".")
	body, sig, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.Contains(sig, ".") {
		return nil, timedKey{}, errBadToken
	}
	signature, err := b64.DecodeString(sig)
	if err != nil {
		return nil, timedKey{}, errBadToken
	}
	by, err = s.signerOf(header, token[:len(token)-len(sig)-1], signature)
	if err != nil {
		return nil, timedKey{}, err
	}
	payload, err = b64.DecodeString(body)
	if err != nil {
		return nil, timedKey{}, errBadToken
	}
	return payload, by, nil
}

// signerOf returns the key that has signed text, which begins with an encoded JOSE header.
func (s keySet) signerOf(header, text string, signature []byte) (timedKey, error) {
	for _, k := range s {
		if k.header == header && k.method.Verify(text, signature, k.public) == nil {
			return k, nil
		}
	}
	algorithm, id, ok := parseHeader(header)
	if !ok {
		return timedKey{}, errBadToken
	}
	for _, k := range s {
		if k.method.Alg() == algorithm && k.header != header && k.method.Verify(text, signature, k.public) == nil {
			return k, nil
		}
	}
	if id != "" && !s.has(id) {
		return timedKey{}, errUnknownKey
	}
	return timedKey{}, errBadToken
}

// parseHeader reads the JOSE header of a token that another program may have made with our key.
func parseHeader(encoded string) (algorithm, id string, ok bool) {
	header, err := b64.DecodeString(encoded)
	if err != nil {
		return "", "", false
	}
	members, err := parseObject(header)
	if err != nil {
		return "", "", false
	}
	for _, m := range members {
		text, isText := parseString(m.value)
		switch m.name {
		case "alg":
			algorithm = text
		case "kid":
			if id = text; !isText {
				return "", "", false
			}
		case "typ": // RFC 8725 §3.11
			if !strings.EqualFold(text, "JWT") && !strings.EqualFold(text, "at+jwt") {
				return "", "", false
			}
		case "crit", "b64", "zip", "enc": // they would change what the rest means
			return "", "", false
		}
	}
	return algorithm, id, true
}
