package main

import (
	"fmt"
	"slices"
	"time"
)

const (
	maxLead      = 366 * day // between the time when a key is made and the time when it signs
	maxKeyNumber = 1 << 31
	maxYear      = 9999 // of RFC 3339; far later times overflow
)

// A ring holds the signing keys of the store, sorted by what they are good for.
type ring struct {
	rows        []SigningKey
	generations []generation // which our secrets give, oldest first
	foreign     []SigningKey // which our secrets do not give
	revoked     []SigningKey // by a later generation
	retention   time.Duration
}

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
	if k.Number < 1 || k.Number > maxKeyNumber || lead < 0 || lead > maxLead {
		return false
	}
	if k.CreatedAt.Before(time.Unix(0, 0)) || k.CreatedAt.Year() > maxYear {
		return false
	}
	if k.Algorithm == "HS256" {
		return k.KeyID == "" && len(k.Salt) == 0
	}
	return derivable[k.Algorithm] && len(k.Salt) == saltLength
}

// newRing sorts rows, which are in the order of their numbers. Keys verify for retention after they
// have signed.
func newRing(rows []SigningKey, secrets [][]byte, retention time.Duration) ring {
	r := ring{rows: rows, retention: retention}
	seen := make(map[string]bool)
	for _, k := range rows {
		g, ok := generationOf(k, secrets)
		if !ok || k.KeyID != "" && seen[k.KeyID] {
			r.foreign = append(r.foreign, k)
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

// revoke revokes all generations so far. Foreign rows are left alone: another server may use them.
func (r *ring) revoke() {
	for _, g := range r.generations {
		r.revoked = append(r.revoked, g.SigningKey)
	}
	r.generations = nil
}

// newest returns the latest generation. There must be one.
func (r ring) newest() generation { return r.generations[len(r.generations)-1] }

// signingIndex returns the index of the generation that signs at now: the latest whose time has
// come, or else the first.
func (r ring) signingIndex(now time.Time) int {
	for i, g := range slices.Backward(r.generations) {
		if !now.Before(g.SignsFrom) {
			return i
		}
	}
	return 0
}

// expires returns when the generation at index stops verifying: some time after a later one begins
// to sign. It returns the zero time if there is none.
func (r ring) expires(index int) time.Time {
	var retires time.Time
	for _, later := range r.generations[index+1:] {
		if retires.IsZero() || later.SignsFrom.Before(retires) {
			retires = later.SignsFrom
		}
	}
	if retires.IsZero() {
		return retires
	}
	return retires.Add(r.retention)
}

// keys returns the keys of all generations, the newest first.
func (r ring) keys() keySet {
	var set keySet
	for i, g := range slices.Backward(r.generations) {
		for _, k := range g.keys {
			set = append(set, timedKey{k.tokenKey, g.SignsFrom, r.expires(i)})
		}
	}
	return set
}

// isForeign reports whether there are rows of other secrets, and none of ours but those of HS256,
// which every secret gives.
func (r ring) isForeign() bool {
	isOurs := slices.ContainsFunc(r.generations, func(g generation) bool { return g.KeyID != "" })
	return len(r.foreign) > 0 && !isOurs
}

// endsForeign reports whether our secrets do not give the latest row.
func (r ring) endsForeign() bool {
	last := len(r.foreign) - 1
	return last >= 0 && (len(r.generations) == 0 || r.foreign[last].Number > r.newest().Number)
}

// nextNumber returns the number of the next row: the first that is free after the newest generation.
func (r ring) nextNumber() int64 {
	number := int64(1)
	if len(r.generations) > 0 {
		number = r.newest().Number + 1
	}
	for slices.ContainsFunc(r.rows, func(k SigningKey) bool { return k.Number == number }) {
		number++
	}
	return number
}

// dead returns the rows that are of no use: revoked, or expired for longer than sweepDelay.
func (r ring) dead(now time.Time) []SigningKey {
	dead := slices.Clone(r.revoked)
	for i, g := range r.generations {
		if end := r.expires(i); !end.IsZero() && !now.Before(end.Add(sweepDelay)) {
			dead = append(dead, g.SigningKey)
		}
	}
	return dead
}

// sweepDelay is the time between the end of a key and its deletion, because clocks differ.
const sweepDelay = time.Hour

// warnings returns what an operator should know about a ring.
func (r ring) warnings(now time.Time) []string {
	var all []string
	for _, k := range r.foreign {
		all = append(all, fmt.Sprintf("signing key %s is not used: it was made from another SECRET_KEY; want the same SECRET_KEY and fallbacks on every server", quoted(k.KeyID)))
	}
	if i := r.signingIndex(now); i < len(r.generations) && r.generations[i].fromFallback {
		all = append(all, fmt.Sprintf("signing key %s comes from SECRET_KEY_FALLBACKS; keep that fallback until a day after another key signs", quoted(r.generations[i].KeyID)))
	}
	return all
}

func isSameKey(a, b SigningKey) bool {
	return a.Number == b.Number && a.KeyID == b.KeyID && a.Algorithm == b.Algorithm && slices.Equal(a.Salt, b.Salt) &&
		a.CreatedAt.Equal(b.CreatedAt) && a.SignsFrom.Equal(b.SignsFrom) && a.RevokesOlder == b.RevokesOlder
}
