package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A fieldError says what is wrong with one field, in the words of pydantic v2.
// It never repeats the value, which may be a password.
type fieldError struct {
	Type string         `json:"type"`
	Loc  []any          `json:"loc"`
	Msg  string         `json:"msg"`
	Ctx  map[string]any `json:"ctx,omitempty"`
}

// valueError is a fieldError for a rule of our own.
func valueError(reason string) *fieldError {
	return &fieldError{Type: "value_error", Msg: "Value error, " + reason}
}

func extraForbidden() *fieldError {
	return &fieldError{Type: "extra_forbidden", Msg: "Extra inputs are not permitted"}
}

// reason returns what is wrong, for people at a terminal.
func (e *fieldError) reason() string { return strings.TrimPrefix(e.Msg, "Value error, ") }

// checkLength compares the length of text, in code points, with its limits.
func checkLength(text string, atLeast, atMost int) *fieldError {
	switch n := utf8.RuneCountInString(text); {
	case n < atLeast:
		return &fieldError{
			Type: "string_too_short",
			Msg:  "String should have at least " + plural(atLeast, "character"),
			Ctx:  map[string]any{"min_length": atLeast},
		}
	case n > atMost:
		return &fieldError{
			Type: "string_too_long",
			Msg:  "String should have at most " + plural(atMost, "character"),
			Ctx:  map[string]any{"max_length": atMost},
		}
	}
	return nil
}

// checkRange compares a number with its limits.
func checkRange(n, least, most int) *fieldError {
	switch {
	case n < least:
		return &fieldError{
			Type: "greater_than_equal",
			Msg:  "Input should be greater than or equal to " + strconv.Itoa(least),
			Ctx:  map[string]any{"ge": least},
		}
	case n > most:
		return &fieldError{
			Type: "less_than_equal",
			Msg:  "Input should be less than or equal to " + strconv.Itoa(most),
			Ctx:  map[string]any{"le": most},
		}
	}
	return nil
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// fieldErrors lists everything that is wrong with a request's fields.
type fieldErrors []fieldError

// Error lists them, each after the name of its field.
func (e fieldErrors) Error() string {
	var parts []string
	for _, bad := range e {
		parts = append(parts, fmt.Sprint(bad.Loc[len(bad.Loc)-1], ": ", bad.Msg))
	}
	return strings.Join(parts, "; ")
}

func (e fieldErrors) err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// add notes what is wrong with a field of the body. It does nothing if bad is nil. An empty
// field means the body itself.
func (e *fieldErrors) add(field string, bad *fieldError) {
	if bad == nil {
		return
	}
	bad.Loc = []any{"body"}
	if field != "" {
		bad.Loc = append(bad.Loc, field)
	}
	*e = append(*e, *bad)
}

func (e *fieldErrors) missing(field string) {
	e.add(field, &fieldError{Type: "missing", Msg: "Field required"})
}

func (e *fieldErrors) notString(field string) {
	e.add(field, &fieldError{Type: "string_type", Msg: "Input should be a valid string"})
}

// requiredString returns the text of a member that must be there, and whether
// it is one; if not, it notes why.
func (e *fieldErrors) requiredString(fields map[string]json.RawMessage, name string) (string, bool) {
	value, ok := fields[name]
	if !ok {
		e.missing(name)
		return "", false
	}
	text, ok := parseString(value)
	if !ok {
		e.notString(name)
	}
	return text, ok
}

// optionalString is requiredString for a member that may be absent or null.
func (e *fieldErrors) optionalString(fields map[string]json.RawMessage, name string) (string, bool) {
	if value, ok := fields[name]; !ok || string(value) == "null" {
		return "", false
	}
	return e.requiredString(fields, name)
}

// isAbsent reports whether a member is not there, or null.
func isAbsent(fields map[string]json.RawMessage, name string) bool {
	value, ok := fields[name]
	return !ok || string(value) == "null"
}

// boolean returns a member that is true or false, or false if it is absent. Otherwise it notes
// what is wanted.
func (e *fieldErrors) boolean(fields map[string]json.RawMessage, name, wanted string) bool {
	switch value := fields[name]; {
	case isAbsent(fields, name), string(value) == "false":
		return false
	case string(value) == "true":
		return true
	}
	e.add(name, &fieldError{Type: "bool_type", Msg: wanted})
	return false
}

// scopeList returns the member scopes, or none if it is absent. If it is no list, it notes what is
// wanted.
func (e *fieldErrors) scopeList(fields map[string]json.RawMessage, wanted string) scopes {
	if isAbsent(fields, "scopes") {
		return ""
	}
	var names []string
	if json.Unmarshal(fields["scopes"], &names) != nil {
		e.add("scopes", &fieldError{Type: "list_type", Msg: wanted})
		return ""
	}
	list, err := newScopes(names...)
	if err != nil {
		e.add("scopes", valueError(err.Error()))
	}
	return list
}

// formText returns the text of a field that must be there; if it is not, it
// notes why.
func (e *fieldErrors) formText(f form, name string) string {
	text := f.values[name]
	switch {
	case f.files[name]:
		e.notString(name)
	case text == "":
		e.missing(name)
	case !utf8.ValidString(text):
		e.add(name, &fieldError{Type: "string_unicode", Msg: "Input should be a valid string, unable to parse raw data as a unicode string"})
		return ""
	}
	return text
}
