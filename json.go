package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxJSONDepth is the deepest nesting of a JSON text. Nothing that clients send us is
// deeper than two.
const maxJSONDepth = 32

var (
	// errNotJSON means that a text is not JSON, or JSON that two readers could understand
	// differently.
	errNotJSON = errors.New("JSON decode error")

	// errNotObject means that a text is JSON, but not an object.
	errNotObject = errors.New("not a JSON object")
)

// A member is one name and value of a JSON object. The value is still encoded.
type member struct {
	name  string
	value json.RawMessage
}

// parseObject returns the members of the JSON object (RFC 8259) in data, in their order.
// The values share memory with data.
//
// It is stricter than [json.Unmarshal], which takes the last of two equal names, matches
// names without regard to case, and turns invalid UTF-8 and lone surrogates into U+FFFD, so
// that two different names become one. Here such a text is errNotJSON, as RFC 7493 (I-JSON)
// §2 asks. So is a text that is nested deeper than maxJSONDepth. Any other JSON than an
// object is errNotObject.
func parseObject(data []byte) ([]member, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	if dec.PeekKind() != '{' {
		if utf8.Valid(data) && json.Valid(data) {
			return nil, errNotObject
		}
		return nil, errNotJSON
	}
	dec.ReadToken()
	var members []member
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, errNotJSON
		}
		m := member{name: name.String()}
		if m.value, err = readValue(dec, data); err != nil {
			return nil, errNotJSON
		}
		members = append(members, m)
	}
	dec.ReadToken()
	if _, err := dec.ReadToken(); err != io.EOF {
		return nil, errNotJSON
	}
	return members, nil
}

// readValue returns the next value of data, which dec reads.
func readValue(dec *jsontext.Decoder, data []byte) (json.RawMessage, error) {
	start, depth := dec.InputOffset(), dec.StackDepth()
	for {
		if _, err := dec.ReadToken(); err != nil {
			return nil, err
		}
		if dec.StackDepth() > maxJSONDepth {
			return nil, errNotJSON
		}
		if dec.StackDepth() == depth {
			return bytes.TrimLeft(data[start:dec.InputOffset()], ": \t\r\n"), nil
		}
	}
}

// parseString returns the text of a JSON string that parseObject has passed,
// and false for any other value.
func parseString(value json.RawMessage) (string, bool) {
	text, err := jsontext.AppendUnquote(make([]byte, 0, len(value)), value)
	return string(text), err == nil
}
