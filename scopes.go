package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// scopes is a set of permissions in OAuth's form (RFC 6749 §3.3): sorted words without duplicates,
// separated by spaces.
type scopes string

const (
	scopeAdmin = "admin" // may administer users

	maxScopes = 32 // of one user
)

var scopeSyntax = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// newScopes returns the scopes with these names. The error says which name cannot be one, or
// that they are too many.
func newScopes(names ...string) (scopes, error) {
	names = slices.Sorted(slices.Values(names))
	names = slices.Compact(names)
	for _, name := range names {
		if !scopeSyntax.MatchString(name) {
			return "", fmt.Errorf("%s is not a valid scope; want 1 to 64 characters from A-Z a-z 0-9 . _ : -", quoted(name))
		}
		if name == "any" {
			return "", errors.New(`"any" is reserved; want another scope`)
		}
	}
	if len(names) > maxScopes {
		return "", fmt.Errorf("%d scopes; want at most %d", len(names), maxScopes)
	}
	return scopes(strings.Join(names, " ")), nil
}

// names returns the scopes one by one. It is never nil.
func (s scopes) names() []string { return strings.Fields(string(s)) }

// has reports whether a scope is among them.
func (s scopes) has(name string) bool { return slices.Contains(s.names(), name) }

// within returns the scopes that are in limit, too.
func (s scopes) within(limit scopes) scopes { return s.only(limit.names()) }

// only returns those of the scopes that have one of these names, which may be any texts.
func (s scopes) only(names []string) scopes {
	kept := slices.DeleteFunc(s.names(), func(name string) bool { return !slices.Contains(names, name) })
	return scopes(strings.Join(kept, " "))
}

// allow returns an error that names the scopes of wanted that are not among s.
func (s scopes) allow(wanted scopes) error {
	if kept := wanted.within(s); kept != wanted {
		excess := slices.DeleteFunc(wanted.names(), s.has)
		return fmt.Errorf("not granted: %s; want at most what the user may do", strings.Join(excess, " "))
	}
	return nil
}

// with returns s and more scopes. Its errors are those of newScopes.
func (s scopes) with(more ...string) (scopes, error) {
	return newScopes(append(s.names(), more...)...)
}

// without returns s without some scopes. Its errors are those of newScopes.
func (s scopes) without(less ...string) (scopes, error) {
	return newScopes(slices.DeleteFunc(s.names(), func(name string) bool { return slices.Contains(less, name) })...)
}
