package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// testKeySets returns new keys for each algorithm.
func testKeySets(t testing.TB) map[string]keySet {
	t.Helper()
	sets := map[string]keySet{"HS256": secretKeys([]byte(testSecret), nil)}
	for algorithm, key := range testPrivateKeys(t) {
		sets[algorithm] = privateKeys(t, algorithm, key)
	}
	return sets
}

// privateKeys returns a key set that signs with a private key, and that older keys verify, too.
func privateKeys(t testing.TB, algorithm string, private any, older ...tokenKey) keySet {
	t.Helper()
	key, err := newPrivateKey(algorithm, pemPrivate(t, private))
	if err != nil {
		t.Fatal(err)
	}
	return fixedKeys(key, older...)
}

func testPrivateKeys(t testing.TB) map[string]any {
	t.Helper()
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, err3 := ed25519.GenerateKey(rand.Reader)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	return map[string]any{"RS256": rsaKey, "ES256": ecKey, "EdDSA": edKey}
}

func pemPrivate(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func pemPublic(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// TestTokenOfPublicKey tries what turns a public key into a shared secret where
// the header chooses the algorithm: CVE-2015-9235, CVE-2024-33663.
func TestTokenOfPublicKey(t *testing.T) {
	for algorithm, private := range testPrivateKeys(t) {
		keys := privateKeys(t, algorithm, private)
		s := testSigner(t, keys)
		text := string(pemPublic(t, keys[0].public))
		der, _ := pem.Decode([]byte(text))
		for name, secret := range map[string]string{
			"the PEM text":                 text,
			"the PEM text without its end": strings.TrimSuffix(text, "\n"),
			"the DER bytes":                string(der.Bytes),
			"the kid":                      keys[0].id,
			"nothing":                      "",
		} {
			for _, header := range []string{hs256, `{"alg":"` + algorithm + `"}`, `{"alg":"none"}`} {
				if _, err := s.verify(mint(header, payload(""), secret), testTime); err == nil {
					t.Errorf("%s: a token with header %s is good if HMAC is keyed by %s", algorithm, header, name)
				}
			}
		}
	}
}

func TestTokenOfAnotherKey(t *testing.T) {
	ours, theirs := testKeySets(t), testKeySets(t)
	for name, keys := range ours {
		s := testSigner(t, keys)
		for other, attacker := range theirs {
			if name == "HS256" && other == "HS256" {
				continue // the same secret
			}
			token, err := testSigner(t, attacker).createAccessToken(grant{User: User{Username: "alice"}, SessionID: "s"}, testTime, testTime.Add(30*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.verify(token, testTime); err == nil {
				t.Errorf("a server with %s takes a token that an attacker signed with %s", name, other)
			}
		}
	}
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	private := testPrivateKeys(t)
	for algorithm, older := range private {
		oldKeys := privateKeys(t, algorithm, older)
		token, err := testSigner(t, oldKeys).createAccessToken(grant{User: User{Username: "alice"}, SessionID: "s"}, testTime, testTime.Add(30*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		newer := testPrivateKeys(t)[algorithm]
		for form, fallback := range map[string][]byte{
			"private": pemPrivate(t, older),
			"public":  pemPublic(t, oldKeys[0].public),
		} {
			public, err := newPublicKey(fallback)
			if err != nil {
				t.Fatal(err)
			}
			keys := privateKeys(t, algorithm, newer, public)
			if _, err := testSigner(t, keys).verify(token, testTime); err != nil {
				t.Errorf("%s: the old key as a %s fallback does not verify", algorithm, form)
			}
		}
		keys := privateKeys(t, algorithm, newer)
		if _, err := testSigner(t, keys).verify(token, testTime); err == nil {
			t.Errorf("%s: a token of a key that was taken away is still good", algorithm)
		}
	}

	newSecret := strings.Repeat("n", 32)
	token := mint(hs256, payload(""), testSecret)
	rotated := testSigner(t, secretKeys([]byte(newSecret), [][]byte{[]byte(testSecret)}))
	if _, err := rotated.verify(token, testTime); err != nil {
		t.Error("HS256: the old key as a fallback does not verify")
	}
	fresh, err := rotated.createAccessToken(grant{User: User{Username: "alice"}, SessionID: "s"}, testTime, testTime.Add(30*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := testSigner(t, secretKeys([]byte(newSecret), nil)).verify(fresh, testTime); err != nil {
		t.Error("HS256: new tokens are not signed with the new key")
	}
}

// TestWycheproofJWS holds keySet.open against the vectors of
// C2SP/wycheproof for the algorithms that we offer.
func TestWycheproofJWS(t *testing.T) {
	var vectors struct {
		TestGroups []struct {
			Comment         string
			Private, Public vectorKey
			Tests           []struct {
				TcID                 int
				Comment, JWS, Result string
			}
		}
	}
	readVectors(t, "../shared/wycheproof/json_web_signature_test.json", &vectors)
	// Wycheproof calls these invalid for reasons that are none to us: they are
	// to the letter the valid number 357 (367, 370).
	known := map[int]bool{367: true, 370: true}
	tried := 0
	for _, group := range vectors.TestGroups {
		key := group.Public
		if key.Kty == "" {
			key = group.Private
		}
		public := key.public(t)
		if key.method() == nil || public == nil {
			continue
		}
		keys := fixedKeys(newTokenKey(key.Alg, "", nil, public))
		for _, tt := range group.Tests {
			tried++
			_, _, err := keys.open(tt.JWS)
			got := err == nil
			if want := tt.Result == "valid"; got != want && !known[tt.TcID] && !strings.Contains(tt.JWS, "?") {
				t.Errorf("%s, %d %s: accepted %v, want %v", group.Comment, tt.TcID, tt.Comment, got, want)
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d vectors tried", tried)
	}
}

// A vectorKey is a JSON Web Key (RFC 7517) of the test vectors.
type vectorKey struct {
	Kty, Alg, Crv, Kid, K, N, E, X, Y string
}

func (k vectorKey) method() jwt.SigningMethod {
	switch k.Alg {
	case "HS256", "RS256", "ES256", "EdDSA":
		return jwt.GetSigningMethod(k.Alg)
	}
	return nil
}

func (k vectorKey) public(t *testing.T) any {
	t.Helper()
	number := func(s string) *big.Int {
		bytes, err := b64.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return new(big.Int).SetBytes(bytes)
	}
	switch k.Kty {
	case "oct":
		return number(k.K).Bytes()
	case "RSA":
		return &rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}
	case "EC":
		if k.Crv == "P-256" {
			point := append([]byte{4}, append(number(k.X).FillBytes(make([]byte, 32)), number(k.Y).FillBytes(make([]byte, 32))...)...)
			key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
			if err != nil {
				t.Fatal(err)
			}
			return key
		}
	}
	return nil
}
