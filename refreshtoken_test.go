package main

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

// TestRefreshToken: what a key has made it reads back, and nothing else.
func TestRefreshToken(t *testing.T) {
	keys := newRefreshKeys([]byte(testSecret), nil)
	id := newSessionID()
	for _, generation := range []int64{0, 1, 255, 256, math.MaxInt64} {
		token, err := keys.token(id, generation)
		gotID, got, err2 := keys.parse(token)
		if err != nil || err2 != nil || gotID != id || got != generation {
			t.Errorf("%s of %s, %d: %v; read as %s, %d, %v", token, id, generation, err, gotID, got, err2)
		}
		if again, _ := keys.token(id, generation); again != token {
			t.Error("the successor is not the same for everybody")
		}
	}
	for _, bad := range []string{"", "s", id[:21], id + "AA", strings.Repeat("*", 22)} {
		if token, err := keys.token(bad, 0); err == nil {
			t.Errorf("a token %s for the session %q", token, bad)
		}
	}
}

// TestRefreshTokenFormat: tokens that are out there stay good with the next version.
func TestRefreshTokenFormat(t *testing.T) {
	keys := newRefreshKeys([]byte("0123456789abcdef0123456789abcdef"), nil)
	const want = "AAECAwQFBgcICQoLDA0ODwAAAAAAAAECGkNXm3o9tS_skB98_-2IamzxqPyUHAT4eDZfZnFONuE"
	if got, err := keys.token("AAECAwQFBgcICQoLDA0ODw", 258); err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

// TestRefreshTokenForged: every way to write another token than ours.
func TestRefreshTokenForged(t *testing.T) {
	keys := newRefreshKeys([]byte(testSecret), nil)
	good, err := keys.token(newSessionID(), 7)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b64.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	forged := map[string]string{
		"nothing": "", "a space": " ", "cut": good[:74], "doubled": good + good, "a character more": good + "A",
		"in capitals": strings.ToUpper(good), "padding": good + "=", "a newline behind": good + "\n",
		"a newline for the last character": good[:74] + "\n", "a space before": " " + good,
		"a full stop": good[:37] + "." + good[37:], "the standard alphabet": strings.Repeat("+/", 37) + "A",
		"invalid UTF-8": good[:74] + "\xff", "a NUL": good[:74] + "\x00", "75 dots": strings.Repeat(".", 75),
		"signed with the secret itself": b64.EncodeToString(append(raw[:24:24], mac([]byte(testSecret), raw[:24])...)),
		"signed with an empty key":      b64.EncodeToString(append(raw[:24:24], mac(nil, raw[:24])...)),
		"signed with another secret":    mustToken(t, newRefreshKeys([]byte("another key of more than 32 bytes"), nil)),
		"an access token":               mint(hs256, `{"sub":"alice"}`, testSecret),
	}
	for i := range raw {
		flipped := append([]byte(nil), raw...)
		flipped[i] ^= 1
		forged[fmt.Sprint("a bit flipped in byte ", i)] = b64.EncodeToString(flipped)
	}
	for name, token := range forged {
		if id, generation, err := keys.parse(token); !errors.Is(err, errBadRefreshToken) || id != "" || generation != 0 {
			t.Errorf("%s: %s, %d, %v", name, id, generation, err)
		}
	}
	accepted := 0
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if _, _, err := keys.parse(good[:74] + string(c)); err == nil {
			accepted++
		}
	}
	if accepted != 1 {
		t.Errorf("%d of 64 last characters are accepted; want 1", accepted)
	}
}

func mustToken(t testing.TB, keys refreshKeys) string {
	t.Helper()
	token, err := keys.token(newSessionID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestRefreshKeysRotate: tokens of an older secret are read, and new ones made with the
// new.
func TestRefreshKeysRotate(t *testing.T) {
	oldSecret, newSecret := []byte(strings.Repeat("o", 32)), []byte(strings.Repeat("n", 32))
	before, after := newRefreshKeys(oldSecret, nil), newRefreshKeys(newSecret, [][]byte{oldSecret})
	if _, _, err := after.parse(mustToken(t, before)); err != nil {
		t.Errorf("a token from before the rotation: %v", err)
	}
	if _, _, err := before.parse(mustToken(t, after)); err == nil {
		t.Error("a token from after the rotation is signed with the old key")
	}
	if _, _, err := newRefreshKeys(newSecret, nil).parse(mustToken(t, before)); err == nil {
		t.Error("a token of a key that is gone is still read")
	}
}

// FuzzRefreshToken: what is read is what would be written, to the byte.
func FuzzRefreshToken(f *testing.F) {
	keys := newRefreshKeys([]byte(testSecret), nil)
	f.Add(mustToken(f, keys))
	f.Add("")
	f.Add(strings.Repeat("A", 75))
	f.Fuzz(func(t *testing.T, token string) {
		id, generation, err := keys.parse(token)
		if err != nil {
			return
		}
		if again, err := keys.token(id, generation); err != nil || again != token {
			t.Errorf("%q is read as %s, %d, whose token is %q, %v", token, id, generation, again, err)
		}
	})
}
