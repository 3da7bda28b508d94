package main

import (
	"strings"
	"testing"
)

func TestParseAPIKey(t *testing.T) {
	const id, secret = "ABCDEFGHIJKLMN27", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"a key", "lk_" + id + "_" + secret, true},
		{"nothing", "", false},
		{"only the beginning", "lk_", false},
		{"the ID alone", id, false},
		{"half a key", "lk_" + id, false},
		{"no secret", "lk_" + id + "_", false},
		{"another beginning", "lq_" + id + "_" + secret, false},
		{"a beginning in capitals", "LK_" + id + "_" + secret, false},
		{"a digit that base32 lacks", "lk_ABCDEFGHIJKLMN21_" + secret, false},
		{"a small letter in the secret", "lk_" + id + "_" + strings.Replace(secret, "M", "m", 1), false},
		{"a letter less", "lk_" + id + "_" + secret[1:], false},
		{"a letter more", "lk_" + id + "_" + secret + "A", false},
		{"the separator one letter early", "lk_" + id[1:] + "_A" + secret, false},
		{"no separator", "lk_" + id + "A" + secret, false},
		{"a separator in the secret", "lk_" + id + "_" + secret[:25] + "_", false},
		{"a newline after it", "lk_" + id + "_" + secret[:25] + "\n", false},
		{"a space before", " lk_" + id + "_" + secret, false},
	} {
		got, ok := parseAPIKey(tt.text)
		if ok != tt.ok || ok && got != id {
			t.Errorf("%s: %q, %v; want %v", tt.name, got, ok, tt.ok)
		}
	}
}

// TestNewAPIKey: keys can be parsed, differ, and are known by their hash and no other.
func TestNewAPIKey(t *testing.T) {
	seen := make(map[string]bool)
	_, before := newAPIKey()
	for range 100 {
		id, key := newAPIKey()
		if got, ok := parseAPIKey(key); !ok || got != id || seen[id] {
			t.Fatalf("%s has the ID %q; want %q, which no other key has", key, got, id)
		}
		if !isHashOf(hashAPIKey(key), key) || isHashOf(hashAPIKey(before), key) || isHashOf(nil, key) || isHashOf(hashAPIKey(key)[:31], key) {
			t.Fatalf("%s: not its own hash counts, or another", key)
		}
		seen[id], before = true, key
	}
}

// FuzzParseAPIKey: whatever parses is made of the parts that it must have.
func FuzzParseAPIKey(f *testing.F) {
	_, key := newAPIKey()
	for _, text := range []string{key, key + "\n", "lk__", "lk_" + strings.Repeat("_", 43), strings.ToLower(key)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := parseAPIKey(text)
		if !ok {
			return
		}
		secret := strings.TrimPrefix(text, "lk_"+id+"_")
		if len(id) != 16 || len(secret) != 26 || "lk_"+id+"_"+secret != text {
			t.Errorf("%q is a key", text)
		}
		if _, other := secretSigner(t).verify(text, testTime); other == nil {
			t.Errorf("%q is an access token, too", text)
		}
	})
}
