package main

import (
	"testing"
	"unicode"
)

// TestUsernameKeyFoldsAll: no two names differ only in the case of a letter, in
// whatever script.
func TestUsernameKeyFoldsAll(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		other := unicode.SimpleFold(r)
		if other == r || checkUsername(string(r)) != nil || checkUsername(string(other)) != nil {
			continue
		}
		if a, b := usernameKey(string(r)), usernameKey(string(other)); a != b {
			t.Errorf("%q and %q have the keys %q and %q", r, other, a, b)
		}
	}
}

func TestUsernameKey(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		same       bool
	}{
		{"case", "Alice", "aLICE", true},
		{"width", "ａｌｉｃｅ", "alice", true},
		{"composition", "re\u0301ne\u0301", "réné", true},
		{"sharp s", "STRASSE", "straße", true},
		{"final sigma", "ΟΔΥΣΣΕΥΣ", "οδυσσευς", true},
		{"ligature", "ﬁn", "fin", true},
		{"Kelvin sign", "\u212A", "k", true},
		{"two spaces", "a  b", "a\u00a0b", true},
		{"a space more", "ab", "a b", false},
		{"an accent", "rene", "réné", false},
		{"another script", "а", "a", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a, b := usernameKey(tt.a), usernameKey(tt.b); (a == b) != tt.same {
				t.Errorf("%q and %q have the keys %q and %q; want the same: %v", tt.a, tt.b, a, b, tt.same)
			}
		})
	}
}
