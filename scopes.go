package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// scopes is a set of permissions in OAuth's form (RFC 6749 §3.3): sorted words without duplicates,
// separated by spaces.
type scopes string

const (
	scopeAdmin      = "admin"      // may administer users
	scopeIntrospect = "introspect" // may ask what tokens of others are good for

	// anyUser is no scope: where scopes are required, it stands for every user.
	anyUser = "any"

	maxScopes   = 32 // of one user
	maxScopeLen = 64 // bytes
)

// isScopeName reports whether a scope can have this name.
func isScopeName(name string) bool {
	if name == "" || len(name) > maxScopeLen || name == anyUser {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && c != '.' && c != '_' && c != ':' && c != '-' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// newScopes returns the scopes with these names. The error says which name cannot be one, or
// that they are too many.
func newScopes(names ...string) (scopes, error) {
	names = slices.Sorted(slices.Values(names))
	names = slices.Compact(names)
	for _, name := range names {
		if name == anyUser {
			return "", errors.New(`"any" is reserved; want another scope`)
		}
		if !isScopeName(name) {
			return "", fmt.Errorf("%s is not a valid scope; want 1 to 64 characters from A-Z a-z 0-9 . _ : -", quoted(name))
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
func (s scopes) has(name string) bool {
	for one := range strings.FieldsSeq(string(s)) {
		if one == name {
			return true
		}
	}
	return false
}

// hasAll reports whether all of some scopes are among them.
func (s scopes) hasAll(of scopes) bool {
	for name := range strings.FieldsSeq(string(of)) {
		if !s.has(name) {
			return false
		}
	}
	return true
}

// within returns the scopes that are in limit, too.
func (s scopes) within(limit scopes) scopes { return s.only(limit.names()) }

// only returns those of the scopes that have one of these names, which may be any texts.
func (s scopes) only(names []string) scopes {
	kept := slices.DeleteFunc(s.names(), func(name string) bool { return !slices.Contains(names, name) })
	return scopes(strings.Join(kept, " "))
}

// askedScopes returns what a session keeps of the text in which its login asks for scopes: the names
// that can be scopes, at most maxScopes, and those in granted first. It is nil if the login asks for
// none, as the forms of Swagger UI and FastAPI do: scope=. A text with nothing but other names asks
// for some and gets none.
func askedScopes(text string, granted scopes) *scopes {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	var has, others []string
	for name := range strings.FieldsSeq(text) {
		switch {
		case !isScopeName(name), slices.Contains(has, name), slices.Contains(others, name):
		case granted.has(name):
			has = append(has, name)
		case len(others) < maxScopes:
			others = append(others, name)
		}
	}
	kept := append(has, others...)
	kept = kept[:min(len(kept), maxScopes)]
	slices.Sort(kept)
	return new(scopes(strings.Join(kept, " ")))
}

// mayRepeat reports whether a refresh may ask for the scopes in a text, if its login asked for these.
// It may repeat what the login asked for, and what cannot be a scope. If the login asked for none, or
// for so many that some were not kept, it may ask for any: it gets no more in any case.
func mayRepeat(asked *scopes, text string) bool {
	if asked == nil || len(asked.names()) == maxScopes {
		return true
	}
	for name := range strings.FieldsSeq(text) {
		if isScopeName(name) && !asked.has(name) {
			return false
		}
	}
	return true
}

// missing returns the scopes of wanted that are not among s.
func (s scopes) missing(wanted scopes) scopes {
	return scopes(strings.Join(slices.DeleteFunc(wanted.names(), s.has), " "))
}

// with returns s and more scopes. Its errors are those of newScopes.
func (s scopes) with(more ...string) (scopes, error) {
	return newScopes(append(s.names(), more...)...)
}

// without returns s without some scopes. Its errors are those of newScopes.
func (s scopes) without(less ...string) (scopes, error) {
	return newScopes(slices.DeleteFunc(s.names(), func(name string) bool { return slices.Contains(less, name) })...)
}
