package e2e

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

// derived is the key that a server makes from a secret and a salt. It shares nothing with the program,
// and must never change: all tokens would end with an upgrade.
func derived(t testing.TB, algorithm, secret string, salt []byte) key {
	t.Helper()
	if algorithm == "HS256" {
		return key{algorithm: algorithm, secret: secret}
	}
	for counter := range 8 {
		info := "latchkey signing key" + algorithm + string(rune(counter))
		seed, err := hkdf.Key(sha256.New, []byte(secret), salt, info, 32)
		if err != nil {
			t.Fatal(err)
		}
		if algorithm == "EdDSA" {
			return key{algorithm: algorithm, private: ed25519.NewKeyFromSeed(seed)}
		}
		if private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed); err == nil {
			return key{algorithm: algorithm, private: private}
		}
	}
	t.Fatal("no counter gives a key")
	return key{}
}

// A jwk is a public key as a key set shows it (RFC 7517, RFC 8037).
type jwk struct {
	Kty string `json:"kty"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
	Kid string `json:"kid"`
	Alg string `json:"alg"`
	Use string `json:"use"`
}

// jwk is the public half of a key.
func (k key) jwk(t testing.TB) jwk {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	j := jwk{Alg: k.algorithm, Use: "sig"}
	var members string // in the order of RFC 7638 §3.2
	switch public := k.private.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		j.Kty, j.Crv, j.X, j.Y = "EC", public.Params().Name, b64(point[1:33]), b64(point[33:])
		members = fmt.Sprintf(`{"crv":%q,"kty":"EC","x":%q,"y":%q}`, j.Crv, j.X, j.Y)
	case ed25519.PublicKey:
		j.Kty, j.Crv, j.X = "OKP", "Ed25519", b64(public)
		members = fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":%q}`, j.X)
	case *rsa.PublicKey:
		j.Kty, j.N, j.E = "RSA", b64(public.N.Bytes()), b64(big.NewInt(int64(public.E)).Bytes())
		members = fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, j.E, j.N)
	}
	sum := sha256.Sum256([]byte(members))
	j.Kid = b64(sum[:])
	return j
}

// kid is the name of a key: none for HS256.
func (k key) kid(t testing.TB) string {
	t.Helper()
	if k.private == nil {
		return ""
	}
	return k.jwk(t).Kid
}

// header is that of a token by the key, with its kid.
func (k key) header(t testing.TB) string {
	t.Helper()
	if k.private == nil {
		return `{"alg":"HS256","typ":"JWT"}`
	}
	return fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"JWT"}`, k.algorithm, k.kid(t))
}

// mintNamed is mint with the kid of the key in the header.
func (k key) mintNamed(t testing.TB, username string) string {
	t.Helper()
	return k.mintWith(t, k.header(t), fmt.Sprintf(`"sub":%q`, username))
}

// mintWith is mintOf with another header.
func (k key) mintWith(t testing.TB, header, claims string) string {
	t.Helper()
	return jws(header, claims, func(text string) []byte { return k.sign(t, text) })
}

// jws is a token with a header, some claims and the times that it needs, signed by a function. Its
// clock rounds up to the next second, as that of mintOf does.
func jws(header, claims string, sign func(text string) []byte) string {
	now := time.Now().Unix() + 1
	return signed(header, fmt.Sprintf(`{%s,"iat":%d,"exp":%d}`, claims, now, now+60), sign)
}

// signed is a token of any header and payload.
func signed(header, payload string, sign func(text string) []byte) string {
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(header)) + "." + b64([]byte(payload))
	return text + "." + b64(sign(text))
}

// verifies reports whether a token is by the key, as a service would that has nothing else.
func (j jwk) verifies(t testing.TB, token string) bool {
	t.Helper()
	last := strings.LastIndex(token, ".")
	sig, err := base64.RawURLEncoding.DecodeString(token[last+1:])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(token[:last]))
	switch j.Kty {
	case "EC":
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slicesOf(t, "\x04", j.X, j.Y))
		if err != nil || len(sig) != 64 {
			t.Fatalf("%+v, a signature of %d bytes: %v", j, len(sig), err)
		}
		return ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	case "OKP":
		return ed25519.Verify(slicesOf(t, "", j.X), []byte(token[:last]), sig)
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(slicesOf(t, "", j.N)), E: int(new(big.Int).SetBytes(slicesOf(t, "", j.E)).Int64())}
	return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], sig) == nil
}

// slicesOf is a prefix and what some texts in base64url stand for.
func slicesOf(t testing.TB, prefix string, texts ...string) []byte {
	t.Helper()
	all := []byte(prefix)
	for _, text := range texts {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, raw...)
	}
	return all
}

// keySet fetches the public keys of a server, which has some.
func (s *server) keySet(t testing.TB) []jwk {
	t.Helper()
	a := s.do(t, "GET", jwksPath, "")
	checkPublic(t, a)
	return jwksIn(t, a.body)
}

// jwksIn returns the keys in the text of a key set.
func jwksIn(t testing.TB, text string) []jwk {
	t.Helper()
	var set struct {
		Keys []jwk `json:"keys"`
	}
	strictly(t, text, &set)
	return set.Keys
}

// kids are the names of the public keys of a server, in their order: none if it has no key.
func (s *server) kids(t testing.TB) []string {
	t.Helper()
	a := s.do(t, "GET", jwksPath, "")
	if a.StatusCode == 404 {
		return nil
	}
	var kids []string
	for _, j := range jwksIn(t, a.body) {
		kids = append(kids, j.Kid)
	}
	return kids
}

// kidOf returns which key a token says it is by.
func kidOf(t testing.TB, token string) string {
	t.Helper()
	var header struct{ Kid string }
	part(t, token, 0, &header)
	return header.Kid
}

// claimsOf returns what a token says.
func claimsOf(t testing.TB, token string) map[string]any {
	t.Helper()
	var claims map[string]any
	part(t, token, 1, &claims)
	return claims
}

// part reads the header or the payload of a token.
func part(t testing.TB, token string, i int, into any) {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[i])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(into); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
}

// A row is a generation of the ring as a test puts it into a database.
type row struct {
	algorithm string
	signs     time.Duration // from now on; negative: that long ago
	secret    string        // aKey if it is empty
	revokes   bool          // the older ones
}

// newSalt returns a salt as the server makes them.
func newSalt() []byte {
	salt := make([]byte, 32)
	rand.Read(salt) // never fails
	return salt
}

// fillRing puts a user, alice, and a ring into a new database, and returns the keys. Each key was
// made two hours before it signs.
func (p place) fillRing(t testing.TB, rows ...row) []key {
	t.Helper()
	p.add(t, "alice")
	p.change(t, "DELETE FROM signing_keys")
	var keys []key
	for i, r := range rows {
		keys = append(keys, p.addRow(t, i+1, r))
	}
	return keys
}

// addRow puts one generation into a database.
func (p place) addRow(t testing.TB, generation int, r row) key {
	t.Helper()
	salt, secret := newSalt(), aKey
	if r.algorithm == "HS256" {
		salt = nil
	}
	if r.secret != "" {
		secret = r.secret
	}
	k := derived(t, r.algorithm, secret, salt)
	p.insertRow(t, generation, k.kid(t), r.algorithm, salt, time.Now().Add(r.signs), r.revokes)
	return k
}

// insertRow puts a row into a database, whatever it says.
func (p place) insertRow(t testing.TB, generation int, kid, algorithm string, salt []byte, signs time.Time, revokes bool) {
	t.Helper()
	blob := fmt.Sprintf("x'%x'", salt)
	if p.dialect == "postgres" {
		blob = fmt.Sprintf(`'\x%x'`, salt)
	}
	created := signs.Add(-2 * time.Hour)
	p.change(t, fmt.Sprintf(`INSERT INTO signing_keys (generation, kid, algorithm, salt, created_at, signs_from, revokes_older)
		VALUES (%d, '%s', '%s', %s, %d, %d, %t)`, generation, kid, algorithm, blob, created.UnixMicro(), signs.UnixMicro(), revokes))
}

// checkSigns reports a login whose token is not by this key.
func checkSigns(t testing.TB, s *server, k key) {
	t.Helper()
	token := s.logIn(t, "alice")
	if kid := checkHeader(t, token, k); kid != k.kid(t) {
		t.Errorf("a token has the kid %q; want %q", kid, k.kid(t))
	}
	checkMe(t, s.me(t, token), "alice")
}
