package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
)

// importedFields are the members that a user of a file may have.
var importedFields = strings.Split(importedList, ", ")

const importedList = "username, password_hash, hashed_password, email, full_name, disabled, scopes, created_at, tokens_valid_after, uid"

// parseImportedUser reads the members of a user of a file. It returns everything that is wrong. The
// first member that it does not know is wrong, too: a misspelt one must not vanish. A user without
// a date was created at now.
func parseImportedUser(members []member, now time.Time) (User, fieldErrors) {
	var bad fieldErrors
	for _, m := range members {
		if wrong := checkMember(m.name); wrong != nil {
			bad.add("", wrong)
			break // there may be thousands
		}
	}
	fields := memberValues(members)
	u := User{
		UID:              bad.uid(fields),
		Username:         bad.importedName(fields),
		Email:            bad.email(fields),
		FullName:         bad.fullName(fields),
		PasswordHash:     bad.importedHash(fields),
		Disabled:         bad.boolean(fields, "disabled", "want true or false"),
		Scopes:           bad.scopeList(fields, `want a list of strings, such as ["admin"]`),
		CreatedAt:        bad.date(fields, "created_at", now),
		TokensValidAfter: bad.date(fields, "tokens_valid_after", now),
	}
	if isAbsent(fields, "created_at") {
		u.CreatedAt = now
	}
	u.Key = usernameKey(u.Username)
	return u, bad
}

// checkMember returns what is wrong with the name of a member, or nil. It does not repeat what may
// be a hash.
func checkMember(name string) *fieldError {
	const want = "; want " + importedList
	switch {
	case name == "password":
		return &fieldError{Msg: "password: import takes only hashes; want password_hash, or use latchkey users add"}
	case slices.Contains(importedFields, name):
		return nil
	case strings.Contains(name, "$"):
		return &fieldError{Msg: "there is an unknown member" + want}
	}
	return &fieldError{Msg: "there is an unknown member " + quoted(name) + want}
}

// importedName returns the name of a user. It refuses names that no path of the API can have.
func (e *fieldErrors) importedName(fields map[string]json.RawMessage) string {
	text, ok := e.requiredString(fields, "username")
	if !ok {
		return ""
	}
	name, bad := parseUsername(text)
	if bad == nil && slices.Contains([]string{".", "..", "/"}, name) {
		bad = valueError("a user cannot have this name, because it cannot stand in a URL path")
	}
	e.add("username", bad)
	return name
}

// importedHash returns the password hash of a user, or "" for null.
func (e *fieldErrors) importedHash(fields map[string]json.RawMessage) string {
	name := "password_hash"
	value, ok := fields[name]
	if other, both := fields["hashed_password"]; both {
		if ok {
			e.add(name, &fieldError{Msg: "hashed_password means the same; want one of them"})
			return ""
		}
		name, value, ok = "hashed_password", other, true
	}
	if string(value) == "null" {
		return ""
	}
	if !ok {
		e.add(name, &fieldError{Msg: "missing; want a hash, or null for a user who cannot log in yet"})
		return ""
	}
	hash, ok := e.requiredString(fields, name)
	if !ok {
		return ""
	}
	if _, err := parseHash(hash); err != nil {
		e.add(name, &fieldError{Msg: hashProblem(err)})
	}
	return hash
}

// hashProblem says why a hash cannot be imported, and what to do.
func hashProblem(err error) string {
	return err.Error() + "; reset it: import the user with password_hash null"
}

// date returns a time, or the zero time if there is none. It refuses times that are more than
// a day after now.
func (e *fieldErrors) date(fields map[string]json.RawMessage, name string, now time.Time) time.Time {
	text, ok := e.optionalString(fields, name)
	if !ok {
		return time.Time{}
	}
	var t time.Time
	if err := t.UnmarshalText([]byte(text)); err != nil {
		e.add(name, &fieldError{Msg: "want an RFC 3339 time with a zone, such as 2026-11-25T08:30:00Z"})
		return time.Time{}
	}
	switch t = t.UTC(); {
	case t.Year() < 1:
		e.add(name, &fieldError{Msg: "want a year from 1 on"})
	case t.After(now.Add(day)):
		e.add(name, &fieldError{Msg: "is more than a day in the future"})
	}
	return t
}

var uidSyntax = regexp.MustCompile(`^[0-9a-f]{32}$`)

// uid returns the UID of a user, or "" for a new one.
func (e *fieldErrors) uid(fields map[string]json.RawMessage) string {
	uid, ok := e.optionalString(fields, "uid")
	if ok && !uidSyntax.MatchString(uid) {
		e.add("uid", &fieldError{Msg: "want 32 hexadecimal digits in lower case, as export writes it, or none"})
	}
	return uid
}

// An exportedUser is a line of an export, in the order of its members.
type exportedUser struct {
	UID              string     `json:"uid"`
	Username         string     `json:"username"`
	PasswordHash     *string    `json:"password_hash"`
	Email            *string    `json:"email"`
	FullName         *string    `json:"full_name"`
	Disabled         bool       `json:"disabled"`
	Scopes           []string   `json:"scopes"`
	CreatedAt        time.Time  `json:"created_at"`
	TokensValidAfter *time.Time `json:"tokens_valid_after"`
}

func newExportedUser(u User) exportedUser {
	e := exportedUser{
		UID: u.UID, Username: u.Username, Email: u.Email, FullName: u.FullName,
		Disabled: u.Disabled, Scopes: u.Scopes.names(), CreatedAt: u.CreatedAt,
	}
	if u.PasswordHash != "" {
		e.PasswordHash = &u.PasswordHash
	}
	if !u.TokensValidAfter.IsZero() {
		e.TokensValidAfter = &u.TokensValidAfter
	}
	return e
}
