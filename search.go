package main

import (
	"strings"
)

// A userQuery says which users FindUsers returns. The zero value of a field stands for every user.
type userQuery struct {
	Text     string // foldText of what the name, the e-mail address or the full name contains
	Email    string // without regard to ASCII case
	Disabled *bool
	Scope    string
	After    string // a Key
}

// matches reports whether the query asks for u, whatever the Key.
func (q userQuery) matches(u User) bool {
	switch {
	case q.Disabled != nil && u.Disabled != *q.Disabled,
		q.Scope != "" && !u.Scopes.has(q.Scope),
		q.Email != "" && (u.Email == nil || lowerASCII(*u.Email) != lowerASCII(q.Email)):
		return false
	}
	return q.Text == "" || strings.Contains(searchText(u), q.Text)
}

// matches reports whether the query asks for e.
func (q eventQuery) matches(e Event) bool {
	return e.ID > q.After && !e.At.Before(storedTime(q.Since)) &&
		(q.Key == "" || e.Key == q.Key) && (q.Name == "" || e.Name == q.Name)
}

// fieldMark stands between the fields of a searchText. foldText returns no text that has it.
const fieldMark = "\x1f"

// maxSearched is how much of a full name is searched, in bytes: folded, it may be eleven times as
// long.
const maxSearched = 1024

// searchText returns what of u is searched, folded.
func searchText(u User) string {
	fullName := deref(u.FullName)
	if len(fullName) > maxSearched {
		fullName = strings.ToValidUTF8(fullName[:maxSearched], "")
	}
	return u.Key + fieldMark + foldText(deref(u.Email)) + fieldMark + foldText(fullName)
}

// foldText returns a text that is the same for all spellings of a word, as usernameKey is.
func foldText(text string) string { return strings.ReplaceAll(usernameKey(text), fieldMark, " ") }

// lowerASCII returns text with A to Z in lower case, and all else as it is.
func lowerASCII(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, text)
}

// containing returns the pattern of SQL's LIKE, with ! as its ESCAPE, for texts that contain word.
func containing(word string) string {
	return "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(word) + "%"
}
