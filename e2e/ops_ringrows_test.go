package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// likelyBadRows are those that make test has time for.
var likelyBadRows = []string{"an algorithm that nobody knows", "another's kid", "a salt of a million bytes", "no kid and a salt", "a kid of a shared secret"}

// TestRingBadRows: rows that make no sense are passed over, and said in the log.
func TestRingBadRows(t *testing.T) {
	t.Parallel()
	salt := newSalt()
	kid := derived(t, "ES256", aKey, salt).kid(t)
	past := time.Now().Add(-30 * time.Minute)
	for name, insert := range map[string]func(p place){
		"an algorithm that nobody knows": func(p place) { p.insertRow(t, 2, kid, "ES512", salt, past, false) },
		"no algorithm":                   func(p place) { p.insertRow(t, 2, kid, "", salt, past, false) },
		"none for an algorithm":          func(p place) { p.insertRow(t, 2, kid, "none", salt, past, false) },
		"RS256":                          func(p place) { p.insertRow(t, 2, kid, "RS256", salt, past, false) },
		"another's kid":                  func(p place) { p.insertRow(t, 2, kid+"x", "ES256", salt, past, false) },
		"the kid of another algorithm":   func(p place) { p.insertRow(t, 2, kid, "EdDSA", salt, past, false) },
		"a kid and no salt":              func(p place) { p.insertRow(t, 2, kid, "ES256", nil, past, false) },
		"a salt of a million bytes":      func(p place) { p.insertRow(t, 2, kid, "ES256", bytes.Repeat([]byte{1}, 1_000_000), past, false) },
		"a kid of a million letters":     func(p place) { p.insertRow(t, 2, strings.Repeat("k", 1_000_000), "ES256", salt, past, false) },
		"no kid and a salt":              func(p place) { p.insertRow(t, 2, "", "ES256", salt, past, false) },
		"a kid of a shared secret":       func(p place) { p.insertRow(t, 2, kid, "HS256", salt, past, false) },
		"a number below zero":            func(p place) { p.insertRow(t, -5, kid, "ES512", salt, past, false) },
		"the largest number":             func(p place) { p.insertRow(t, 1<<63-1, kid+"x", "ES256", salt, past, false) },
		"a kid with an escape":           func(p place) { p.insertRow(t, 2, "a\x1b[31m\nlevel=ERROR", "ES256", salt, past, false) },
	} {
		t.Run(name, func(t *testing.T) {
			if !slices.Contains(likelyBadRows, name) {
				long(t)
			}
			t.Parallel()
			p := inFile(t)
			keys := p.fillRing(t, row{algorithm: "ES256", signs: -time.Hour})
			insert(p)
			s := p.start(t, "ALGORITHM=ES256")
			checkMe(t, s.me(t, keys[0].mintNamed(t, "alice")), "alice")
			checkMe(t, s.me(t, s.logIn(t, "alice")), "alice")
			if set := s.kids(t); len(set) == 0 || set[0] != keys[0].kid(t) || slices.Contains(set, kid) {
				t.Errorf("the set is %q; want %q first, and not %q", set, keys[0].kid(t), kid)
			}
			if !strings.Contains(s.log.String(), `"level":"WARN"`) && !strings.Contains(s.log.String(), `"level":"ERROR"`) {
				t.Errorf("nothing warns of the row: %.2000s", s.log)
			}
		})
	}
}

// TestRingBadTimes: times that no clock shows stop nothing.
func TestRingBadTimes(t *testing.T) {
	t.Parallel()
	for name, signs := range map[string]int64{
		"2106": 4_294_967_296_000_000, "before 1970": -86_400_000_000, "the first microsecond": 0, "the last": 1<<63 - 1, "the first of all": -1 << 63,
	} {
		t.Run(name, func(t *testing.T) {
			if name != "the last" && name != "before 1970" {
				long(t)
			}
			t.Parallel()
			p := inFile(t)
			keys := p.fillRing(t, row{algorithm: "ES256", signs: -time.Hour}, row{algorithm: "ES256", signs: time.Hour})
			p.change(t, fmt.Sprintf("UPDATE signing_keys SET created_at = %d, signs_from = %[1]d WHERE generation = 2", signs))
			s := p.start(t, "ALGORITHM=ES256")
			token := s.logIn(t, "alice")
			checkMe(t, s.me(t, token), "alice")
			set := s.keySet(t)
			if len(set) == 0 || set[0].Kid != kidOf(t, token) || !set[0].verifies(t, token) {
				t.Errorf("the set is %+v; want the key of a token first", set)
			}
			if signs > time.Now().UnixMicro() {
				checkMe(t, s.me(t, keys[0].mintNamed(t, "alice")), "alice")
			}
		})
	}
}

// TestRingThief: a thief of the database who lacks the secret has no key.
func TestRingThief(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	p := inFileAt(path)
	s := p.start(t, "ALGORITHM=ES256")
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	k := s.makeKey(t, g.Access, `{"name":"a"}`)
	if n := p.number(t, "SELECT count(*) FROM signing_keys WHERE length(salt) = 32"); n != 1 {
		t.Fatalf("%d generations with a salt of 32 bytes; want 1", n)
	}
	salt, err := hex.DecodeString(ask(t, path, "SELECT hex(salt) FROM signing_keys"))
	if err != nil {
		t.Fatal(err)
	}
	ours := derived(t, "ES256", aKey, salt)
	if ours.kid(t) != kidOf(t, g.Access) {
		t.Fatalf("the key that we derive is %q; the server's %q", ours.kid(t), kidOf(t, g.Access))
	}
	checkMe(t, s.me(t, ours.mintNamed(t, "alice")), "alice")
	forged := map[string]string{
		"the salt as a secret":             key{algorithm: "HS256", secret: string(salt)}.mint(t, "alice"),
		"the kid as a secret":              key{algorithm: "HS256", secret: ours.kid(t)}.mint(t, "alice"),
		"the key of no secret":             derived(t, "ES256", "", salt).mintWith(t, ours.header(t), `"sub":"alice"`),
		"the key of the salt":              derived(t, "ES256", string(salt), salt).mintWith(t, ours.header(t), `"sub":"alice"`),
		"the key of the salt in hex":       derived(t, "ES256", hex.EncodeToString(salt), nil).mintWith(t, ours.header(t), `"sub":"alice"`),
		"the key of another algorithm":     derived(t, "EdDSA", aKey, salt).mintNamed(t, "alice"),
		"the key of a first salt":          derived(t, "ES256", aKey, nil).mintNamed(t, "alice"),
		"the key of a salt that is longer": derived(t, "ES256", aKey, append(salt, 1)).mintNamed(t, "alice"),
	}
	for name, token := range forged {
		t.Run(name, func(t *testing.T) { checkProblem(t, s.me(t, token), 401, "Could not validate credentials") })
	}
	s.stop(t)
	private, err := ours.private.(interface{ Bytes() ([]byte, error) }).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	checkNotIn(t, filepath.Dir(path), map[string][]byte{
		"the private key": private, "SECRET_KEY": []byte(aKey), "the API key": []byte(k.Key), "the secret of the API key": []byte(k.secret()),
		"a PEM": []byte("PRIVATE KEY"), "an access token": []byte(g.Access), "a refresh token": []byte(g.Refresh),
	})
}

// checkNotIn reports files of a folder that hold a secret, as it is or as text.
func checkNotIn(t *testing.T, dir string, secrets map[string][]byte) {
	t.Helper()
	for _, name := range filesIn(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for what, secret := range secrets {
			for _, form := range []string{string(secret), hex.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret)} {
				if bytes.Contains(bytes.ToLower(data), bytes.ToLower([]byte(form))) {
					t.Errorf("%s holds %s", name, what)
				}
			}
		}
	}
}
