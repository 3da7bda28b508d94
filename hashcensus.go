package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A hashCensus counts users by the scheme of their password hash.
type hashCensus struct {
	hasher *hasher
	users  int
	counts map[string]int
	sample map[string]passwordHash // one of each scheme
}

// maxSchemes is how many schemes a hashCensus counts one by one. There are as many as there are
// costs.
const maxSchemes = 40

// newHashCensus returns a census for a server whose new hashes have this many rounds.
func newHashCensus(rounds int) *hashCensus {
	return &hashCensus{newHasher(rounds), 0, make(map[string]int), make(map[string]passwordHash)}
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
			scheme = c.noteScheme(hash)
		}
	}
	c.counts[scheme]++
}

// noteScheme returns the scheme under which a hash is counted.
func (c *hashCensus) noteScheme(hash passwordHash) string {
	scheme := hash.scheme()
	if _, ok := c.sample[scheme]; ok {
		return scheme
	}
	if len(c.sample) >= maxSchemes {
		return schemeOther
	}
	c.sample[scheme] = hash
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

// dearer is how much more work than a new hash a scheme must be to be worth a warning.
const dearer = 1.1

// warning says which schemes are more work than new hashes, or returns "". It computes a hash of
// each, which takes up to a second or two.
func (c *hashCensus) warning() string {
	var found []string
	most := 0
	for _, scheme := range slices.Sorted(maps.Keys(c.sample)) {
		_, _, work := c.hasher.compare(c.sample[scheme], "")
		if most = max(most, work); float64(work) > dearer*float64(c.hasher.rounds) {
			found = append(found, fmt.Sprintf("%s (%.1f times)", scheme, float64(work)/float64(c.hasher.rounds)))
		}
	}
	if found == nil {
		return ""
	}
	return fmt.Sprintf("hashes that take longer to check than new ones: %s; until the server has met one, its failed logins take longer than others; PBKDF2_ITERATIONS=%d hides even that",
		strings.Join(found, ", "), min(most, maxRounds))
}

// thousands returns a number with commas.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
