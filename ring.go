package main

import (
	"fmt"
	"slices"
	"time"
)

const (
	maxLead       = 366 * day // between the time when a key is made and the time when it signs
	maxGeneration = 1 << 31
)

// A generation is a SigningKey with the keys that it stands for.
type generation struct {
	SigningKey
	keys         keySet // without their times; with HS256 there is one for each secret
	fromFallback bool   // it was derived from an older secret than SECRET_KEY
}

// generationOf returns the generation of k. SECRET_KEY comes first among the secrets. ok is false if
// no secret gives the key that k names: another replica has another SECRET_KEY, or one was dropped
// too early, or somebody has written nonsense into the database.
func generationOf(k SigningKey, secrets [][]byte) (g generation, ok bool) {
	if !isPlausible(k) {
		return generation{}, false
	}
	if k.Algorithm == "HS256" {
		return generation{SigningKey: k, keys: secretKeys(secrets[0], secrets[1:])}, true
	}
	for i, secret := range secrets {
		if key, err := deriveKey(secret, k.Salt, k.Algorithm); err == nil && key.id == k.KeyID {
			return generation{k, fixedKeys(key), i > 0}, true
		}
	}
	return generation{}, false
}

// isPlausible reports whether this program can have written k.
func isPlausible(k SigningKey) bool {
	lead := k.SignsFrom.Sub(k.CreatedAt)
	if k.Generation < 1 || k.Generation > maxGeneration || k.CreatedAt.Unix() < 0 || lead < 0 || lead > maxLead {
		return false
	}
	if k.Algorithm == "HS256" {
		return k.KeyID == "" && len(k.Salt) == 0
	}
	return derivable[k.Algorithm] && len(k.Salt) == saltLength
}

// A ring is what a server makes of the rows in the store.
type ring struct {
	rows        []SigningKey
	generations []generation // which our secrets explain, oldest first
	unexplained []SigningKey
	revoked     []SigningKey // by a later generation
}

// newRing sorts rows, which are in the order of their numbers.
func newRing(rows []SigningKey, secrets [][]byte) ring {
	r := ring{rows: rows}
	seen := make(map[string]bool)
	for _, k := range rows {
		g, ok := generationOf(k, secrets)
		if !ok || k.KeyID != "" && seen[k.KeyID] {
			r.unexplained = append(r.unexplained, k)
			continue
		}
		seen[k.KeyID] = true
		if k.RevokesOlder {
			r.revoke()
		}
		r.generations = append(r.generations, g)
	}
	return r
}

// revoke revokes all rows so far.
func (r *ring) revoke() {
	for _, g := range r.generations {
		r.revoked = append(r.revoked, g.SigningKey)
	}
	r.revoked = append(r.revoked, r.unexplained...)
	r.generations, r.unexplained = nil, nil
}

// retires returns when a later generation than that with this index begins to sign. It is the zero
// time if none does.
func (r ring) retires(index int) time.Time {
	var end time.Time
	for _, later := range r.generations[index+1:] {
		if end.IsZero() || later.SignsFrom.Before(end) {
			end = later.SignsFrom
		}
	}
	return end
}

// keys returns the keys of a ring whose keys verify for retention after they have signed.
func (r ring) keys(retention time.Duration) keySet {
	var set keySet
	for i, g := range slices.Backward(r.generations) {
		var expires time.Time
		if end := r.retires(i); !end.IsZero() {
			expires = end.Add(retention)
		}
		for _, k := range g.keys {
			set = append(set, timedKey{k.tokenKey, g.SignsFrom, expires})
		}
	}
	return set
}

// signing returns the index of the generation that signs at now: the latest whose time has come, or
// the first.
func (r ring) signing(now time.Time) int {
	for i, g := range slices.Backward(r.generations) {
		if !now.Before(g.SignsFrom) {
			return i
		}
	}
	return 0
}

// waiting returns the latest generation if it does not sign yet.
func (r ring) waiting(now time.Time) (g generation, ok bool) {
	if len(r.generations) == 0 {
		return generation{}, false
	}
	last := r.generations[len(r.generations)-1]
	return last, now.Before(last.SignsFrom)
}

// warnings returns what an operator should know about a ring.
func (r ring) warnings(now time.Time) []string {
	var all []string
	for _, k := range r.unexplained {
		all = append(all, fmt.Sprintf("signing key %s (generation %d) is not used: it does not belong to SECRET_KEY or its fallbacks, as those of another server with another SECRET_KEY do not", quoted(k.KeyID), k.Generation))
	}
	if i := r.signing(now); i < len(r.generations) && r.generations[i].fromFallback {
		all = append(all, fmt.Sprintf("signing key %s comes from SECRET_KEY_FALLBACKS; keep that fallback until a day after another key signs", r.generations[i].KeyID))
	}
	return all
}

// isForeign reports whether the latest row is not from our secrets.
func (r ring) isForeign() bool {
	last := len(r.unexplained) - 1
	return last >= 0 && (len(r.generations) == 0 || r.unexplained[last].Generation > r.generations[len(r.generations)-1].Generation)
}

// nextNumber returns the number of the next generation.
func (r ring) nextNumber() int64 {
	var highest int64
	for _, k := range r.rows {
		if k.Generation <= maxGeneration {
			highest = max(highest, k.Generation)
		}
	}
	return highest + 1
}

func isSameKey(a, b SigningKey) bool {
	return a.Generation == b.Generation && a.KeyID == b.KeyID && a.Algorithm == b.Algorithm && slices.Equal(a.Salt, b.Salt) &&
		a.CreatedAt.Equal(b.CreatedAt) && a.SignsFrom.Equal(b.SignsFrom) && a.RevokesOlder == b.RevokesOlder
}
