package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

func algOf(t testing.TB, token string) string {
	t.Helper()
	header, _, _ := strings.Cut(token, ".")
	algorithm, _, ok := parseHeader(header)
	if !ok {
		t.Fatalf("the header of %q cannot be read", token)
	}
	return algorithm
}

// signWith returns a token that a key has signed at now.
func signWith(t testing.TB, key tokenKey, now time.Time) string {
	t.Helper()
	s := newSigner(30*time.Minute, "", nil)
	s.use(fixedKeys(key))
	token, err := s.createAccessToken(grant{User: User{Username: "alice"}, SessionID: "s"}, now, now.Add(30*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestKeyConfusion: no key verifies by another algorithm than its own, whichever keys there are.
func TestKeyConfusion(t *testing.T) {
	s := newMemStore()
	addTestUser(t, s)
	ring := startedRing(t, s, &testClock{now: testTime}, "ES256", testSecret).signer.keys() // HS256 signs, and ES256 waits
	es256, edDSA := derivedKey(t, "ES256"), derivedKey(t, "EdDSA")
	secret := secretKeys([]byte(testSecret), nil)
	for _, tt := range []struct {
		name string
		keys keySet
		key  tokenKey // whose tokens are forged
	}{
		{"ES256", fixedKeys(es256), es256},
		{"EdDSA", fixedKeys(edDSA), edDSA},
		{"ES256 and the secret", append(fixedKeys(es256), secret...), es256},
		{"EdDSA and the secret", append(fixedKeys(edDSA), secret...), edDSA},
		{"a ring", ring, ring[0].tokenKey},
	} {
		server := testSigner(t, tt.keys)
		for name, token := range confusions(t, tt.key) {
			if _, err := server.verify(token, testTime); err == nil {
				t.Errorf("a server with %s takes %s", tt.name, name)
			}
		}
		good := signAs(t, tt.key, fmt.Sprintf(`{"alg":%q,"kid":"other"}`, tt.key.method.Alg()))
		if _, err := server.verify(good, testTime); err != nil {
			t.Errorf("a server with %s minds another kid", tt.name)
		}
	}
}

// derivedKey returns a key that the server could have made.
func derivedKey(t testing.TB, algorithm string) tokenKey {
	t.Helper()
	key, err := deriveKey([]byte(testSecret), bytes.Repeat([]byte{1}, saltLength), algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// confusions returns tokens by what is wrong with them: MACs keyed by what everybody knows of a key,
// MACs by the server's secret that pass for signatures, and signatures of the key under other names.
func confusions(t testing.TB, key tokenKey) map[string]string {
	t.Helper()
	header := func(algorithm string) string { return fmt.Sprintf(`{"alg":%q,"kid":%q}`, algorithm, key.id) }
	tokens := make(map[string]string)
	for name, public := range map[string]string{
		"the PEM text": string(pemPublic(t, key.public)), "its x": key.jwk.X, "its x and y": key.jwk.X + key.jwk.Y, "its kid": key.id, "nothing": "",
	} {
		for _, h := range []string{hs256, header("HS256"), header("ES256"), header("none")} {
			tokens[fmt.Sprintf("a MAC under %s, keyed by %s", h, name)] = mint(h, payload(""), public)
		}
	}
	for _, algorithm := range []string{"ES256", "EdDSA", "RS256"} {
		tokens["a MAC by the secret under alg "+algorithm] = mint(header(algorithm), payload(""), testSecret)
	}
	for _, algorithm := range []string{"HS256", "HS384", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "RS256", "PS256", "ML-DSA-44", "none", "es256", "ES256 ", ""} {
		if algorithm != key.method.Alg() {
			tokens["the signature of its key under alg "+algorithm] = signAs(t, key, header(algorithm))
		}
	}
	return tokens
}

// signAs returns a token with any header that a key has signed.
func signAs(t testing.TB, key tokenKey, header string) string {
	t.Helper()
	text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload("")))
	signature, err := key.method.Sign(text, key.private)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64.EncodeToString(signature)
}
