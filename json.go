package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxJSONDepth is how deep a JSON text may be nested. Nothing that clients
// send us is deeper than two.
const maxJSONDepth = 32

var (
	// errNotJSON is a text that is no JSON, or JSON that two readers could
	// understand differently.
	errNotJSON = errors.New("JSON decode error")

	// errNotObject is JSON that is something else than an object.
	errNotObject = errors.New("not a JSON object")
)

// A member is one name and value of a JSON object. The value is still encoded.
type member struct {
	name  string
	value json.RawMessage
}

// parseObject returns the members of the JSON object (RFC 8259) in data, in
// their order. The values share memory with data.
//
// It is stricter than [json.Unmarshal], which takes the last of two equal
// names, matches names without regard to case, and turns invalid UTF-8 and lone
// surrogates into U+FFFD, so that two different names become one. Those texts
// are errNotJSON here, as RFC 7493 (I-JSON) §2 asks; so is one nested deeper
// than maxJSONDepth. Other JSON than an object is errNotObject.
func parseObject(data []byte) ([]member, error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, errNotJSON
	}
	s := scanner{data: data}
	s.space()
	if s.data[s.pos] != '{' {
		return nil, errNotObject
	}
	return s.object(1)
}

// parseString returns the text of a JSON string that parseObject has passed,
// and false for any other value.
func parseString(value json.RawMessage) (string, bool) {
	if value[0] != '"' {
		return "", false
	}
	if slices.Contains(value, '\\') {
		var text string
		err := json.Unmarshal(value, &text)
		return text, err == nil
	}
	return string(value[1 : len(value)-1]), true
}

// A scanner walks over JSON that json.Valid has accepted: it need not look for
// errors of syntax, and an index never leaves data.
type scanner struct {
	data []byte
	pos  int
}

func (s *scanner) space() {
	for s.pos < len(s.data) && isJSONSpace(s.data[s.pos]) {
		s.pos++
	}
}

func isJSONSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// object reads the object at pos, which is nested depth deep.
func (s *scanner) object(depth int) ([]member, error) {
	var members []member
	seen := make(map[string]struct{})
	for s.next('}') {
		name, err := s.string()
		if err != nil {
			return nil, err
		}
		if _, twice := seen[name]; twice {
			return nil, errNotJSON
		}
		seen[name] = struct{}{}
		s.space()
		s.pos++ // the colon
		value, err := s.value(depth)
		if err != nil {
			return nil, err
		}
		members = append(members, member{name, value})
	}
	return members, nil
}

func (s *scanner) array(depth int) error {
	for s.next(']') {
		if _, err := s.value(depth); err != nil {
			return err
		}
	}
	return nil
}

// next moves behind the bracket or comma at pos, and behind the closing
// bracket if that follows. It reports whether there is another element.
func (s *scanner) next(closing byte) bool {
	s.space()
	if s.data[s.pos] != closing {
		s.pos++
		s.space()
	}
	if s.data[s.pos] != closing {
		return true
	}
	s.pos++
	return false
}

// value moves behind the value at pos and returns it.
func (s *scanner) value(depth int) (json.RawMessage, error) {
	s.space()
	start := s.pos
	var err error
	switch c := s.data[s.pos]; {
	case (c == '{' || c == '[') && depth == maxJSONDepth:
		err = errNotJSON
	case c == '{':
		_, err = s.object(depth + 1)
	case c == '[':
		err = s.array(depth + 1)
	case c == '"':
		_, err = s.string()
	default:
		s.scalar()
	}
	return s.data[start:s.pos], err
}

// scalar moves behind a number, true, false or null.
func (s *scanner) scalar() {
	for s.pos < len(s.data) && !isJSONSpace(s.data[s.pos]) {
		switch s.data[s.pos] {
		case ',', ']', '}':
			return
		}
		s.pos++
	}
}

// string moves behind the string at pos and returns its text.
func (s *scanner) string() (string, error) {
	start := s.pos
	escaped := false
	for s.pos++; s.data[s.pos] != '"'; s.pos++ {
		if s.data[s.pos] == '\\' {
			escaped = true
			s.pos++
		}
	}
	s.pos++
	token := s.data[start:s.pos]
	if escaped && hasLoneSurrogate(token) {
		return "", errNotJSON
	}
	text, _ := parseString(token)
	return text, nil
}

// hasLoneSurrogate reports whether a JSON string has half of a UTF-16 pair in
// its \u escapes: it stands for no character, and no UTF-8 can hold it
// (RFC 8259 §8.2).
func hasLoneSurrogate(token []byte) bool {
	for i := 0; i < len(token); i++ {
		if token[i] != '\\' {
			continue
		}
		unit := escapedUnit(token[i:])
		if !utf16.IsSurrogate(unit) {
			i++ // what is escaped may itself be a backslash
			continue
		}
		if utf16.DecodeRune(unit, escapedUnit(token[i+6:])) == utf8.RuneError {
			return true
		}
		i += 11
	}
	return false
}

// escapedUnit returns the UTF-16 unit of the \uXXXX escape that token starts
// with, or 0 if it starts with something else.
func escapedUnit(token []byte) rune {
	if len(token) < 6 || token[0] != '\\' || token[1] != 'u' {
		return 0
	}
	unit, _ := strconv.ParseUint(string(token[2:6]), 16, 16)
	return rune(unit)
}
