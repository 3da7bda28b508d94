package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A hashCensus counts users by the scheme of their password hash.
type hashCensus struct {
	hasher  *hasher
	users   int
	counts  map[string]int
	samples map[string]passwordHash // one of each scheme
}

// maxSchemes is how many schemes a hashCensus counts one by one. There are as many as there are
// costs.
const maxSchemes = 40

// newHashCensus returns a census for a server whose new hashes have this many rounds.
func newHashCensus(rounds int) *hashCensus {
	return &hashCensus{hasher: newHasher(rounds), counts: make(map[string]int), samples: make(map[string]passwordHash)}
}

// Schemes that are none.
const (
	schemeNone   = "no password"
	schemeBroken = "not usable"
	schemeOther  = "others"
)

func (c *hashCensus) add(u User) {
	c.users++
	scheme := schemeNone
	if u.PasswordHash != "" {
		scheme = schemeBroken
		if hash, err := parseHash(u.PasswordHash); err == nil {
			scheme = c.schemeOf(hash)
		}
	}
	c.counts[scheme]++
}

// schemeOf returns the scheme under which a hash is counted.
func (c *hashCensus) schemeOf(hash passwordHash) string {
	scheme := hash.scheme()
	if _, ok := c.samples[scheme]; ok {
		return scheme
	}
	if len(c.samples) >= maxSchemes {
		return schemeOther
	}
	c.samples[scheme] = hash
	return scheme
}

// String returns the number of users, and of each scheme.
func (c *hashCensus) String() string {
	if c.users == 0 {
		return "0"
	}
	return fmt.Sprintf("%s (%s)", thousands(c.users), c.schemes())
}

// schemes returns the number of users of each scheme, the most frequent first.
func (c *hashCensus) schemes() string {
	schemes := slices.SortedFunc(maps.Keys(c.counts), func(a, b string) int {
		return cmp.Or(c.counts[b]-c.counts[a], strings.Compare(a, b))
	})
	var parts []string
	for _, scheme := range schemes {
		parts = append(parts, scheme+": "+thousands(c.counts[scheme]))
	}
	return strings.Join(parts, "; ")
}

// costlier is how many times the work of a new hash a scheme must take to be worth a warning.
const costlier = 1.1

// warning says which schemes take more work than new hashes, or returns "". It computes one hash
// of each scheme, each of which takes up to two seconds.
func (c *hashCensus) warning(ctx context.Context) string {
	var found []string
	most := 0
	for _, scheme := range slices.Sorted(maps.Keys(c.samples)) {
		if ctx.Err() != nil {
			return ""
		}
		work := c.hasher.workOf(c.samples[scheme])
		if most = max(most, work); float64(work) > costlier*float64(c.hasher.rounds) {
			found = append(found, fmt.Sprintf("%s (%.1f times)", scheme, float64(work)/float64(c.hasher.rounds)))
		}
	}
	if found == nil {
		return ""
	}
	return fmt.Sprintf("some hashes take longer to verify than new ones: %s. Until one was verified after a start, a slow failed login reveals such a user. To prevent that, set PBKDF2_ITERATIONS=%d",
		strings.Join(found, ", "), min(most, maxRounds))
}
