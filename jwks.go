package main

import (
	"encoding/json"
	"time"
)

// A publication is the public keys of a keySet, as services read them, from one moment until another.
type publication struct {
	keys        int
	jwks        []byte // RFC 7517 §5
	from, until time.Time
}

// publish returns what is published at now.
func (s keySet) publish(now time.Time) (*publication, error) {
	keys := s.published(now)
	jwks, err := encodeJWKS(keys)
	return &publication{len(keys), jwks, now, s.nextChange(now)}, err
}

// isOf reports whether p is what is published at now.
func (p *publication) isOf(now time.Time) bool {
	return p != nil && !now.Before(p.from) && !isOver(p.until, now)
}

// nextChange returns when the next key begins to sign or expires, or the zero time.
func (s keySet) nextChange(now time.Time) time.Time {
	var next time.Time
	for _, k := range s {
		for _, at := range []time.Time{k.signsFrom, k.expires} {
			if at.After(now) && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	return next
}

// encodeJWKS returns the JWK Set of keys.
func encodeJWKS(keys []tokenKey) ([]byte, error) {
	set := struct {
		Keys []jwk `json:"keys"`
	}{make([]jwk, 0, len(keys))}
	for _, k := range keys {
		set.Keys = append(set.Keys, k.jwk)
	}
	return json.Marshal(set)
}
