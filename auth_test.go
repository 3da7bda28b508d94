package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// testSecret is the key that the recorded answers and tokens were made with.
const testSecret = "5f2b1c7e9a0d4c3b8e6f7a1d2c3b4a5968778695a4b3c2d1e0f1a2b3c4d5e6f7"

var testTime = time.Unix(1_800_000_000, 0)

// skip skips a test for want of something, and says so even without -v. Where
// everything is there, CI=true makes it a failure.
func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("nothing may be skipped here: " + why)
	}
	fmt.Fprintf(os.Stderr, "SKIP: %s: %s\n", t.Name(), why)
	t.SkipNow()
}

// readVectors decodes a JSON file into v, or skips the test if it is not there.
func readVectors(t *testing.T, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		skip(t, "there are no test vectors at "+path)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}

func testSigner(t testing.TB, keys keySet) *signer {
	t.Helper()
	s, err := newSigner(keys, 30*time.Minute, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func secretSigner(t testing.TB) *signer {
	return testSigner(t, newSecretKeys([]byte(testSecret), nil))
}

// mint makes a JWT of any two texts, signed with HMAC.
func mint(header, payload, secret string) string {
	signed := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + b64.EncodeToString(mac.Sum(nil))
}

const hs256 = `{"alg":"HS256","typ":"JWT"}`

// payload returns claims that are good at testTime, with others added.
func payload(more string) string {
	return fmt.Sprintf(`{"sub":"alice","iat":%d,"exp":%d%s}`, testTime.Unix(), testTime.Unix()+60, more)
}

func TestTokenRoundTrip(t *testing.T) {
	for name, keys := range testKeySets(t) {
		t.Run(name, func(t *testing.T) {
			s := testSigner(t, keys)
			token, err := s.createAccessToken("alice", "session-1", testTime, testTime.Add(30*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.verify(token, testTime)
			if err != nil || c.Subject != "alice" || c.SessionID != "session-1" || c.IssuedAt != unixSeconds(testTime) {
				t.Errorf("verify = %+v, %v", c, err)
			}
			header, _, _ := strings.Cut(token, ".")
			if header != s.header {
				t.Errorf("header = %q, want the one that is passed unread, %q", header, s.header)
			}
			if len(token) > maxTokenSize/4 {
				t.Errorf("a token of %d bytes comes near the limit", len(token))
			}
		})
	}
}

// testKeySets returns new keys for each algorithm.
func testKeySets(t testing.TB) map[string]keySet {
	t.Helper()
	sets := map[string]keySet{"HS256": newSecretKeys([]byte(testSecret), nil)}
	for algorithm, key := range testPrivateKeys(t) {
		keys, err := newPrivateKeys(algorithm, pemPrivate(t, key), nil)
		if err != nil {
			t.Fatal(err)
		}
		sets[algorithm] = keys
	}
	return sets
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

func TestTokenLimits(t *testing.T) {
	t.Parallel()
	s := secretSigner(t)
	claims := func(format string, args ...any) string { return mint(hs256, fmt.Sprintf(format, args...), testSecret) }
	now := testTime.Unix()
	day := int64(24 * 60 * 60)
	for _, tt := range []struct {
		name, token string
		ok          bool
	}{
		{"it is its last second", claims(`{"sub":"a","exp":%d}`, now+1), true},
		{"it has just expired", claims(`{"sub":"a","exp":%d}`, now), false},
		{"it is its last tenth of a second", claims(`{"sub":"a","exp":%d.1}`, now), true},
		{"it expired a tenth of a second ago", claims(`{"sub":"a","exp":%d.9}`, now-1), false},
		{"it expired as little ago as can be written", claims(`{"sub":"a","exp":%d.99999999999999999999}`, now-1), false},
		{"exp is a day and a tenth ahead", claims(`{"sub":"a","exp":%d.1}`, now+day), false},
		{"iat is ahead by the clock skew and a tenth", claims(`{"sub":"a","exp":%d,"iat":%d.1}`, now+60, now+10), false},
		{"nbf is ahead by the clock skew and a tenth", claims(`{"sub":"a","exp":%d,"nbf":%d.1}`, now+60, now+10), false},
		{"nbf is ahead by the clock skew but a tenth", claims(`{"sub":"a","exp":%d,"nbf":%d.9}`, now+60, now+9), true},
		{"exp is a day ahead", claims(`{"sub":"a","exp":%d}`, now+day), true},
		{"exp is a day and a second ahead", claims(`{"sub":"a","exp":%d}`, now+day+1), false},
		{"exp is in the year 33,658", claims(`{"sub":"a","exp":1000000000000}`), false},
		{"exp is 1e18", claims(`{"sub":"a","exp":1000000000000000000}`), false},
		{"exp does not fit into 64 bits", claims(`{"sub":"a","exp":9223372036854775808}`), false},
		{"iat is ahead by the clock skew", claims(`{"sub":"a","exp":%d,"iat":%d}`, now+60, now+10), true},
		{"iat is further ahead", claims(`{"sub":"a","exp":%d,"iat":%d}`, now+60, now+11), false},
		{"nbf is ahead by the clock skew", claims(`{"sub":"a","exp":%d,"nbf":%d}`, now+60, now+10), true},
		{"nbf is further ahead", claims(`{"sub":"a","exp":%d,"nbf":%d}`, now+60, now+11), false},
		{"it is as long as may be", longToken(maxTokenSize), true},
		{"it is a byte longer", longToken(maxTokenSize + 1), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := s.verify(tt.token, testTime); (err == nil) != tt.ok {
				t.Errorf("verify = %v, want ok %v", err, tt.ok)
			}
		})
	}
}

// longToken returns a good token of n bytes.
func longToken(n int) string {
	for pad := n / 2; ; pad++ {
		token := mint(hs256, payload(`,"x":"`+strings.Repeat("x", pad)+`"`), testSecret)
		for space := 0; len(token) < n && space < 3; space++ {
			token = mint(hs256+strings.Repeat(" ", space), payload(`,"x":"`+strings.Repeat("x", pad)+`"`), testSecret)
		}
		if len(token) >= n {
			return token
		}
	}
}

// TestTokenForgeries holds the verifier against tokens that are one step away
// from a good one, after RFC 8725 and the attacks of jwt_tool.
func TestTokenForgeries(t *testing.T) {
	s := secretSigner(t)
	good := mint(hs256, payload(""), testSecret)
	if _, err := s.verify(good, testTime); err != nil {
		t.Fatalf("the good token: %v", err)
	}
	header, rest, _ := strings.Cut(good, ".")
	body, sig, _ := strings.Cut(rest, ".")
	signed := func(header, payload string) string { return mint(header, payload, testSecret) }
	alg := func(value string) string { return signed(`{"alg":`+value+`,"typ":"JWT"}`, payload("")) }
	typ := func(value string) string { return signed(`{"alg":"HS256","typ":`+value+`}`, payload("")) }
	withHeader := func(member string) string { return signed(`{"alg":"HS256",`+member+`}`, payload("")) }
	b := func(text string) string { return b64.EncodeToString([]byte(text)) }

	for _, tt := range []struct {
		name, token string
		ok          bool
	}{
		{"an empty text", "", false},
		{"only dots", "..", false},
		{"two parts", header + "." + body, false},
		{"four parts", good + "." + sig, false},
		{"5 parts, as a JWE has", good + ".a.b", false},
		{"many dots", strings.Repeat(".", 4000), false},
		{"too many dots", strings.Repeat(".", 100_000), false},
		{"JSON serialization", `{"payload":"` + body + `","signatures":[{"protected":"` + header + `","signature":"` + sig + `"}]}`, false},

		{"no signature", header + "." + body + ".", false},
		{"no header", "." + body + "." + sig, false},
		{"no payload", header + ".." + sig, false},
		{"another payload", header + "." + b(`{"sub":"bob","exp":9999999999}`) + "." + sig, false},
		{"another header", b(`{"alg":"HS256"}`) + "." + body + "." + sig, false},
		{"the signature cut by a group", good[:len(good)-4], false},
		{"the signature twice", good + sig, false},
		{"a character more", good + "A", false},
		{"signed with another key", mint(hs256, payload(""), testSecret+"x"), false},
		{"signed with nothing", mint(hs256, payload(""), ""), false},

		{"a newline behind", good + "\n", false},
		{"CR LF behind", good + "\r\n", false},
		{"a newline in the signature", good[:len(good)-5] + "\n" + good[len(good)-5:], false},
		{"a newline in the header", good[:5] + "\n" + good[5:], false},
		{"a space behind", good + " ", false},
		{"a tab inside", good[:9] + "\t" + good[9:], false},
		{"padding", good + "=", false},
		{"a NUL behind", good + "\x00", false},
		{"the standard alphabet", strings.NewReplacer("-", "+", "_", "/").Replace(tokenWithBoth(t)), false},

		{"typ JWT in small letters", typ(`"jwt"`), true},
		{"typ at+jwt", typ(`"at+jwt"`), true},
		{"no typ", signed(`{"alg":"HS256"}`, payload("")), true},
		{"typ of another kind of token", typ(`"dpop+jwt"`), false},
		{"typ of a security event", typ(`"secevent+jwt"`), false},
		{"typ refresh", typ(`"refresh"`), false},
		{"typ null", typ(`null`), false},
		{"alg none, unsigned", b(`{"alg":"none"}`) + "." + body + ".", false},
		{"alg none, signed", alg(`"none"`), false},
		{"alg in small letters", alg(`"hs256"`), false},
		{"alg with a space behind", alg(`"HS256 "`), false},
		{"alg with a NUL behind", alg(`"HS256\u0000"`), false},
		{"alg with an escape", alg(`"HS25\u0036"`), true},
		{"alg HS384, signed with SHA-256", alg(`"HS384"`), false},
		{"alg RS256, signed with HMAC", alg(`"RS256"`), false},
		{"alg empty", alg(`""`), false},
		{"alg null", alg(`null`), false},
		{"alg a number", alg(`256`), false},
		{"alg a list", alg(`["HS256"]`), false},
		{"alg an object", alg(`{}`), false},
		{"alg true", alg(`true`), false},
		{"no alg", signed(`{"typ":"JWT"}`, payload("")), false},
		{"alg twice", signed(`{"alg":"none","alg":"HS256"}`, payload("")), false},
		{"ALG instead of alg", signed(`{"ALG":"HS256"}`, payload("")), false},
		{"crit", withHeader(`"crit":["exp"]`), false},
		{"crit of nothing", withHeader(`"crit":[]`), false},
		{"b64 false", withHeader(`"b64":false`), false},
		{"b64 false, said to be critical", withHeader(`"crit":["b64"],"b64":false`), false},
		{"zip", withHeader(`"zip":"DEF"`), false},
		{"enc", withHeader(`"enc":"A128GCM"`), false},
		{"a kid that is a path", withHeader(`"kid":"../../../../dev/null"`), true},
		{"a kid that is a path, signed with nothing", mint(`{"alg":"HS256","kid":"/dev/null"}`, payload(""), ""), false},
		{"a kid that is a number", withHeader(`"kid":7`), false},
		{"a kid that is null", withHeader(`"kid":null`), false},
		{"a kid that is a list", withHeader(`"kid":["a"]`), false},
		{"a jwk in the header, signed with it", attackersJWK(t), false},
		{"a header that is null", signed(`null`, payload("")), false},
		{"a header that is a list", signed(`["HS256"]`, payload("")), false},

		{"a payload that is null", signed(hs256, `null`), false},
		{"a payload that is a list", signed(hs256, `[]`), false},
		{"a payload that is a string", signed(hs256, `"x"`), false},
		{"a payload that is a number", signed(hs256, `1`), false},
		{"an empty payload", signed(hs256, ``), false},
		{"an empty object", signed(hs256, `{}`), false},
		{"a deep payload", signed(hs256, payload(`,"x":`+strings.Repeat("[", 1300)+strings.Repeat("]", 1300))), false},
		{"a byte order mark", signed(hs256, "\ufeff"+payload("")), false},
		{"something behind the payload", signed(hs256, payload("")+"x"), false},
		{"a second payload", signed(hs256, payload("")+payload("")), false},
		{"invalid UTF-8", signed(hs256, payload(",\"x\":\"\xff\"")), false},
		{"a lone surrogate", signed(hs256, payload(`,"x":"\ud800"`)), false},
		{"sub twice", signed(hs256, payload(`,"sub":"bob"`)), false},
		{"a name twice, deep inside", signed(hs256, payload(`,"x":[{"a":1,"a":2}]`)), false},
		{"sub in capitals only", signed(hs256, `{"SUB":"alice","exp":1800000060}`), false},
		{"exp in capitals only", signed(hs256, `{"sub":"alice","EXP":1800000060}`), false},
		{"sub in capitals too", signed(hs256, payload(`,"SUB":"bob"`)), true},
		{"no sub", signed(hs256, `{"exp":1800000060}`), false},
		{"an empty sub", signed(hs256, `{"sub":"","exp":1800000060}`), false},
		{"sub a number", signed(hs256, `{"sub":1,"exp":1800000060}`), false},
		{"sub null", signed(hs256, `{"sub":null,"exp":1800000060}`), false},
		{"no exp", signed(hs256, `{"sub":"alice"}`), false},
		{"exp null", signed(hs256, `{"sub":"alice","exp":null}`), false},
		{"exp a string", signed(hs256, `{"sub":"alice","exp":"1800000060"}`), false},
		{"exp a list", signed(hs256, `{"sub":"alice","exp":[1800000060]}`), false},
		{"exp a fraction", signed(hs256, `{"sub":"alice","exp":1800000060.5}`), true},
		{"exp with an exponent", signed(hs256, `{"sub":"alice","exp":1.80000006E+9}`), true},
		{"exp with a negative exponent", signed(hs256, `{"sub":"alice","exp":180000006000e-2}`), true},
		{"exp with leading zeros", signed(hs256, `{"sub":"alice","exp":01800000060}`), false},
		{"exp with a plus", signed(hs256, `{"sub":"alice","exp":+1800000060}`), false},
		{"exp that ends with a point", signed(hs256, `{"sub":"alice","exp":1800000060.}`), false},
		{"exp in hexadecimal", signed(hs256, `{"sub":"alice","exp":0x6b49d23c}`), false},
		{"exp with underscores", signed(hs256, `{"sub":"alice","exp":1_800_000_060}`), false},
		{"exp NaN", signed(hs256, `{"sub":"alice","exp":NaN}`), false},
		{"exp infinite", signed(hs256, `{"sub":"alice","exp":Infinity}`), false},
		{"exp inf", signed(hs256, `{"sub":"alice","exp":inf}`), false},
		{"exp true", signed(hs256, `{"sub":"alice","exp":true}`), false},
		{"exp zero", signed(hs256, `{"sub":"alice","exp":0}`), false},
		{"exp zero, below it", signed(hs256, `{"sub":"alice","exp":-0}`), false},
		{"exp the smallest fraction below zero", signed(hs256, `{"sub":"alice","exp":-1e-400}`), false},
		{"exp a fraction below zero", signed(hs256, `{"sub":"alice","exp":-0.5}`), false},
		{"exp 1e18", signed(hs256, `{"sub":"alice","exp":1e18}`), false},
		{"exp 1e400", signed(hs256, `{"sub":"alice","exp":1e400}`), false},
		{"exp below zero", signed(hs256, `{"sub":"alice","exp":-1}`), false},
		{"iat a string", signed(hs256, `{"sub":"alice","exp":1800000060,"iat":"1800000000"}`), false},
		{"iat a fraction", signed(hs256, `{"sub":"alice","exp":1800000060,"iat":1799999999.75}`), true},
		{"iat 1e400", signed(hs256, `{"sub":"alice","exp":1800000060,"iat":1e400}`), false},
		{"iat 1e18", signed(hs256, `{"sub":"alice","exp":1800000060,"iat":1e18}`), false},
		{"iat below zero", signed(hs256, `{"sub":"alice","exp":1800000060,"iat":-1.5}`), false},
		{"nbf a fraction", signed(hs256, payload(`,"nbf":1799999999.75`)), true},
		{"nbf 1e18", signed(hs256, payload(`,"nbf":1e18`)), false},
		{"nbf below zero", signed(hs256, payload(`,"nbf":-1`)), false},
		{"iat null", signed(hs256, `{"sub":"alice","exp":1800000060,"iat":null}`), false},
		{"no iat", signed(hs256, `{"sub":"alice","exp":1800000060}`), true},
		{"nbf a string", signed(hs256, payload(`,"nbf":"1800000000"`)), false},
		{"nbf null", signed(hs256, payload(`,"nbf":null`)), false},
		{"an empty sid", signed(hs256, payload(`,"sid":""`)), false},
		{"sid a number", signed(hs256, payload(`,"sid":1`)), false},
		{"sid null", signed(hs256, payload(`,"sid":null`)), false},
		{"jti a number", signed(hs256, payload(`,"jti":1`)), false},
		{"an audience that nobody asked for", signed(hs256, payload(`,"aud":"x"`)), false},
		{"an issuer that nobody asked for", signed(hs256, payload(`,"iss":"x"`)), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := s.verify(tt.token, testTime)
			if (err == nil) != tt.ok {
				t.Errorf("verify = %v, want ok %v", err, tt.ok)
			}
			if tt.ok && c.Subject != "alice" {
				t.Errorf("subject = %q, want alice", c.Subject)
			}
			if !tt.ok && (err != errBadToken || c.Subject != "") {
				t.Errorf("verify = %+v, %v; want nothing but errBadToken", c, err)
			}
		})
	}
}

// tokenWithBoth returns a good token with both characters in which base64url
// differs from base64.
func tokenWithBoth(t *testing.T) string {
	for i := range 1000 {
		token := mint(hs256, payload(fmt.Sprintf(`,"x":"~~~???%d"`, i)), testSecret)
		if strings.Contains(token, "-") && strings.Contains(token, "_") {
			return token
		}
	}
	t.Fatal("no token has both - and _")
	return ""
}

// attackersJWK returns a token that brings the key it is signed with along:
// CVE-2018-0114.
func attackersJWK(t *testing.T) string {
	key := testPrivateKeys(t)["RS256"].(*rsa.PrivateKey)
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{"sub": "alice", "exp": testTime.Unix() + 60})
	token.Header["jwk"] = map[string]string{"kty": "RSA", "e": "AQAB", "n": b64.EncodeToString(key.N.Bytes())}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestTokenBytes changes every byte of a token in turn: none may be changed
// without notice, and the last character of the signature has no spare bits.
func TestTokenBytes(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	s := secretSigner(t)
	good := mint(hs256, payload(""), testSecret)
	for i := range good {
		for _, c := range []byte(alphabet + ".=+/ \n\x00\xff") {
			if c == good[i] {
				continue
			}
			if _, err := s.verify(good[:i]+string([]byte{c})+good[i+1:], testTime); err == nil {
				t.Fatalf("byte %d changed from %q to %q, and the token is still good", i, good[i], c)
			}
		}
	}
}

// TestTokenOfPublicKey tries what turns a public key into a shared secret where
// the header chooses the algorithm: CVE-2015-9235, CVE-2024-33663.
func TestTokenOfPublicKey(t *testing.T) {
	for algorithm, private := range testPrivateKeys(t) {
		keys, err := newPrivateKeys(algorithm, pemPrivate(t, private), nil)
		if err != nil {
			t.Fatal(err)
		}
		s := testSigner(t, keys)
		text := string(pemPublic(t, keys.public[0]))
		der, _ := pem.Decode([]byte(text))
		for name, secret := range map[string]string{
			"the PEM text":                 text,
			"the PEM text without its end": strings.TrimSuffix(text, "\n"),
			"the DER bytes":                string(der.Bytes),
			"the kid":                      keys.id,
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
			token, err := testSigner(t, attacker).createAccessToken("alice", "s", testTime, testTime.Add(30*time.Minute))
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
		oldKeys, err := newPrivateKeys(algorithm, pemPrivate(t, older), nil)
		if err != nil {
			t.Fatal(err)
		}
		token, err := testSigner(t, oldKeys).createAccessToken("alice", "s", testTime, testTime.Add(30*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		newer := pemPrivate(t, testPrivateKeys(t)[algorithm])
		for form, fallback := range map[string][]byte{
			"private": pemPrivate(t, older),
			"public":  pemPublic(t, oldKeys.public[0]),
		} {
			public, err := parsePublic(algorithm, fallback)
			if err != nil {
				t.Fatal(err)
			}
			keys, err := newPrivateKeys(algorithm, newer, []any{public})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := testSigner(t, keys).verify(token, testTime); err != nil {
				t.Errorf("%s: the old key as a %s fallback does not verify", algorithm, form)
			}
		}
		keys, _ := newPrivateKeys(algorithm, newer, nil)
		if _, err := testSigner(t, keys).verify(token, testTime); err == nil {
			t.Errorf("%s: a token of a key that was taken away is still good", algorithm)
		}
	}

	newSecret := strings.Repeat("n", 32)
	token := mint(hs256, payload(""), testSecret)
	rotated := testSigner(t, newSecretKeys([]byte(newSecret), [][]byte{[]byte(testSecret)}))
	if _, err := rotated.verify(token, testTime); err != nil {
		t.Error("HS256: the old key as a fallback does not verify")
	}
	fresh, err := rotated.createAccessToken("alice", "s", testTime, testTime.Add(30*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := testSigner(t, newSecretKeys([]byte(newSecret), nil)).verify(fresh, testTime); err != nil {
		t.Error("HS256: new tokens are not signed with the new key")
	}
}

func TestIssuerAndAudience(t *testing.T) {
	keys := newSecretKeys([]byte(testSecret), nil)
	s, err := newSigner(keys, time.Minute, "https://id.example", "api")
	if err != nil {
		t.Fatal(err)
	}
	own, err := s.createAccessToken("alice", "s", testTime, testTime.Add(30*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	claims := func(more string) string { return mint(hs256, payload(more), testSecret) }
	for _, tt := range []struct {
		name, token string
		ok          bool
	}{
		{"its own", own, true},
		{"both right", claims(`,"iss":"https://id.example","aud":"api"`), true},
		{"one audience of several", claims(`,"iss":"https://id.example","aud":["web","api"]`), true},
		{"no issuer", claims(`,"aud":"api"`), false},
		{"another issuer", claims(`,"iss":"https://id.example/","aud":"api"`), false},
		{"a list of issuers", claims(`,"iss":["https://id.example"],"aud":"api"`), false},
		{"issuer null", claims(`,"iss":null,"aud":"api"`), false},
		{"no audience", claims(`,"iss":"https://id.example"`), false},
		{"another audience", claims(`,"iss":"https://id.example","aud":"API"`), false},
		{"other audiences", claims(`,"iss":"https://id.example","aud":["web"]`), false},
		{"no audience in the list", claims(`,"iss":"https://id.example","aud":[]`), false},
		{"audience a number", claims(`,"iss":"https://id.example","aud":1`), false},
		{"audiences of which one is a number", claims(`,"iss":"https://id.example","aud":["api",1]`), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := s.verify(tt.token, testTime); (err == nil) != tt.ok {
				t.Errorf("verify = %v, want ok %v", err, tt.ok)
			}
		})
	}
}

// TestPythonJoseTokens verifies tokens that python-jose made. They expire in
// the year 2100, so the limit on far dates is lifted.
func TestPythonJoseTokens(t *testing.T) {
	var vectors struct {
		Tokens []struct {
			Name, Token string
			Claims      struct{ Sub string }
		}
	}
	readVectors(t, "testdata/passlib.json", &vectors)
	s := secretSigner(t)
	for _, v := range vectors.Tokens {
		if _, err := s.verify(v.Token, testTime); err == nil {
			t.Errorf("%s: exp in the year 2100 is accepted", v.Name)
		}
		s.maxAhead = 100 * 365 * 24 * time.Hour
		c, err := s.verify(v.Token, testTime)
		if err != nil || c.Subject != v.Claims.Sub {
			t.Errorf("%s: verify = %+v, %v; want subject %q", v.Name, c, err, v.Claims.Sub)
		}
		s.maxAhead = 24 * time.Hour
	}
}

// TestWycheproofJWS holds keySet.open and acceptsHeader against the vectors of
// C2SP/wycheproof for the algorithms that we offer.
func TestWycheproofJWS(t *testing.T) {
	var vectors struct {
		TestGroups []struct {
			Comment         string
			Private, Public jwk
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
		s := &signer{keys: keySet{method: key.method(), public: []any{public}}}
		for _, tt := range group.Tests {
			tried++
			header, _, err := s.keys.open(tt.JWS)
			got := err == nil && s.acceptsHeader(header)
			if want := tt.Result == "valid"; got != want && !known[tt.TcID] && !strings.Contains(tt.JWS, "?") {
				t.Errorf("%s, %d %s: accepted %v, want %v", group.Comment, tt.TcID, tt.Comment, got, want)
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d vectors tried", tried)
	}
}

// A jwk is a JSON Web Key (RFC 7517) of the test vectors.
type jwk struct {
	Kty, Alg, Crv, K, N, E, X, Y string
}

func (k jwk) method() jwt.SigningMethod {
	switch k.Alg {
	case "HS256", "RS256", "ES256", "EdDSA":
		return jwt.GetSigningMethod(k.Alg)
	}
	return nil
}

func (k jwk) public(t *testing.T) any {
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

func TestPasswordHash(t *testing.T) {
	h := newHasher(1000)
	for _, password := range []string{"correct horse battery", "", " ", "nul\x00inside", "비밀번호", strings.Repeat("x", 4096)} {
		stored := h.hashPassword(password)
		if !strings.HasPrefix(stored, "$pbkdf2-sha256$1000$") {
			t.Errorf("stored = %q", stored)
		}
		if !h.verifies(password, stored) {
			t.Errorf("%.20q does not verify against its own hash", password)
		}
		// Not password + "\x00": HMAC pads its key with zeros (RFC 2104 §2).
		for _, wrong := range []string{password + "x", password + "\x00x", strings.ToUpper(password) + " ", "x" + password} {
			if h.verifies(wrong, stored) {
				t.Errorf("%.20q verifies against the hash of %.20q", wrong, password)
			}
		}
	}
	if h.verifies("", "") || h.verifies("x", "") {
		t.Error("a user who does not exist can log in")
	}
}

func TestSaltsDiffer(t *testing.T) {
	h := newHasher(1)
	seen := make(map[string]bool)
	for range 10_000 {
		hash, err := parseHash(h.hashPassword("the same"))
		if err != nil || len(hash.salt) != saltSize || seen[string(hash.salt)] {
			t.Fatalf("salt %x, %v", hash.salt, err)
		}
		seen[string(hash.salt)] = true
	}
}

func TestStoredHashes(t *testing.T) {
	const salt, key = "AAECAwQFBgcICQoLDA0ODw", "cuWP8A8DPrQmaXx9wEBt8CmIzd3xX3zUBCqSKefXeKA"
	for _, tt := range []struct {
		name, stored string
		ok           bool
	}{
		{"as passlib writes it", "$pbkdf2-sha256$29000$" + salt + "$" + key, true},
		{"one round", "$pbkdf2-sha256$1$" + salt + "$" + key, true},
		{"as many rounds as may be", "$pbkdf2-sha256$10000000$" + salt + "$" + key, true},
		{"a round more", "$pbkdf2-sha256$10000001$" + salt + "$" + key, false},
		{"no salt", "$pbkdf2-sha256$29000$$" + key, true},
		{"a salt of 1024 bytes", "$pbkdf2-sha256$1$" + ab64.EncodeToString(make([]byte, 1024)) + "$" + key, true},
		{"a salt of 1025 bytes", "$pbkdf2-sha256$1$" + ab64.EncodeToString(make([]byte, 1025)) + "$" + key, false},
		{"no rounds", "$pbkdf2-sha256$$" + salt + "$" + key, false},
		{"zero rounds", "$pbkdf2-sha256$0$" + salt + "$" + key, false},
		{"rounds below zero", "$pbkdf2-sha256$-1$" + salt + "$" + key, false},
		{"rounds with a plus", "$pbkdf2-sha256$+1212$" + salt + "$" + key, false},
		{"rounds with a leading zero", "$pbkdf2-sha256$01212$" + salt + "$" + key, false},
		{"rounds behind a space", "$pbkdf2-sha256$ 1212$" + salt + "$" + key, false},
		{"rounds before a space", "$pbkdf2-sha256$1212 $" + salt + "$" + key, false},
		{"rounds with an exponent", "$pbkdf2-sha256$1e3$" + salt + "$" + key, false},
		{"rounds with an underscore", "$pbkdf2-sha256$1_212$" + salt + "$" + key, false},
		{"rounds in Arabic digits", "$pbkdf2-sha256$٣$" + salt + "$" + key, false},
		{"rounds beyond 32 bits", "$pbkdf2-sha256$4294967296$" + salt + "$" + key, false},
		{"rounds beyond 64 bits", "$pbkdf2-sha256$99999999999999999999$" + salt + "$" + key, false},
		{"no key", "$pbkdf2-sha256$29000$" + salt, false},
		{"an empty key", "$pbkdf2-sha256$29000$" + salt + "$", false},
		{"a key of 31 bytes", "$pbkdf2-sha256$29000$" + salt + "$" + ab64.EncodeToString(make([]byte, 31)), false},
		{"a key of 33 bytes", "$pbkdf2-sha256$29000$" + salt + "$" + ab64.EncodeToString(make([]byte, 33)), false},
		{"a key with spare bits", "$pbkdf2-sha256$29000$" + salt + "$" + key[:42] + "B", false},
		{"a plus for the period", "$pbkdf2-sha256$29000$" + salt + "$+" + key[1:], false},
		{"padding", "$pbkdf2-sha256$29000$" + salt + "==$" + key + "=", false},
		{"a newline behind", "$pbkdf2-sha256$29000$" + salt + "$" + key + "\n", false},
		{"a newline in the salt", "$pbkdf2-sha256$29000$AAEC\nAwQFBgcICQoLDA0ODw$" + key, false},
		{"a field more", "$pbkdf2-sha256$29000$" + salt + "$" + key + "$", false},
		{"a prefix in capitals", "$PBKDF2-SHA256$29000$" + salt + "$" + key, false},
		{"SHA-1", "$pbkdf2$29000$" + salt + "$" + key, false},
		{"SHA-512", "$pbkdf2-sha512$29000$" + salt + "$" + key, false},
		{"Django's", "pbkdf2_sha256$29000$salt$" + key, false},
		{"bcrypt", "$2b$04$2JBvE9YP5iC3OP7PvqZjUuHBWxO6MQ.lDwrlYgBYOEp3YESoT2id6", false},
		{"the password itself", "secretpassword", false},
		{"a star, as for locked accounts", "*", false},
		{"an exclamation mark", "!", false},
		{"nothing", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hash, err := parseHash(tt.stored)
			if (err == nil) != tt.ok {
				t.Fatalf("parseHash = %v, want ok %v", err, tt.ok)
			}
			if tt.ok && hash.String() != tt.stored {
				t.Errorf("it is written again as %q", hash)
			}
			if !tt.ok && newHasher(1).verifies("secretpassword", tt.stored) {
				t.Error("it lets somebody in")
			}
		})
	}
}

func TestPasslibHashes(t *testing.T) {
	t.Parallel()
	var vectors struct {
		Hashes []struct {
			Format, Password, Hash, Why string
			Verifies                    bool
		}
	}
	readVectors(t, "testdata/passlib.json", &vectors)
	tried := 0
	for _, v := range vectors.Hashes {
		if v.Format != "passlib pbkdf2_sha256" {
			continue
		}
		tried++
		if got := newHasher(1).verifies(v.Password, v.Hash); got != v.Verifies {
			t.Errorf("%.60s (%s): verifies %v, want %v", v.Hash, v.Why, got, v.Verifies)
		}
	}
	if tried == 0 {
		t.Error("no hash of passlib's tried")
	}
}

func TestWycheproofPBKDF2(t *testing.T) {
	t.Parallel()
	var vectors struct {
		TestGroups []struct {
			Tests []struct {
				TcID, IterationCount, DkLen int
				Password, Salt, Dk          string
			}
		}
	}
	readVectors(t, "../shared/wycheproof/pbkdf2_hmacsha256_test.json", &vectors)
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, group := range vectors.TestGroups {
		for _, tt := range group.Tests {
			// Our key is the first block of output; the later ones do not change it.
			got := pbkdf2Key(string(unhex(tt.Password)), unhex(tt.Salt), tt.IterationCount)
			n := min(keySize, tt.DkLen)
			if want := unhex(tt.Dk); string(got[:n]) != string(want[:n]) {
				t.Errorf("%d: key = %x, want %x", tt.TcID, got[:n], want[:n])
			}
		}
	}
}

// FuzzStoredHash: what parses is written again to the same byte.
func FuzzStoredHash(f *testing.F) {
	f.Add(newHasher(1).hashPassword("x"))
	f.Add("$pbkdf2-sha256$29000$$cuWP8A8DPrQmaXx9wEBt8CmIzd3xX3zUBCqSKefXeKA")
	f.Add("$pbkdf2-sha256$029000$$")
	f.Fuzz(func(t *testing.T, stored string) {
		hash, err := parseHash(stored)
		if err == nil && hash.String() != stored {
			t.Errorf("%q is written again as %q", stored, hash)
		}
		if err == nil && (hash.rounds < 1 || hash.rounds > maxRounds || len(hash.key) != keySize) {
			t.Errorf("%q parses to %+v", stored, hash)
		}
	})
}

// FuzzNumericDate: a date is read as any reader of JSON reads the number, to the
// microsecond, and nothing else is a date.
func FuzzNumericDate(f *testing.F) {
	for _, text := range []string{"0", "-0", "1800000060", "1800000060.25", "18e8", "1e400", "1e-400", "null", `"1"`, "[1]", "NaN", "0x1p4", "01"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) || text != strings.Trim(text, " \t\r\n") {
			return // which parseObject never returns
		}
		seconds, ok := parseDate(json.RawMessage(text))
		isNumber := strings.Contains("-0123456789", text[:1])
		if ok && (!isNumber || seconds < 0 || math.IsInf(seconds, 0)) {
			t.Fatalf("%s is read as %v", text, seconds)
		}
		exact, known := new(big.Float).SetPrec(200).SetString(text) // not of the largest exponents
		if known && exact.Sign() >= 0 && exact.Cmp(big.NewFloat(1e10)) < 0 {
			want, _ := exact.Float64()
			if !ok || math.Abs(seconds-want) > 1e-6 {
				t.Errorf("%s is read as %v, %v; want %v", text, seconds, ok, want)
			}
		}
	})
}

// FuzzToken: only what we signed verifies, and no byte of it can be changed.
func FuzzToken(f *testing.F) {
	s := secretSigner(f)
	good, err := s.createAccessToken("alice", "s", testTime, testTime.Add(30*time.Minute))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(mint(hs256, payload(""), testSecret))
	f.Add(mint(`{"alg":"none"}`, payload(""), ""))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		_, err := s.verify(token, testTime)
		if err != nil {
			return
		}
		signed := token[:strings.LastIndexByte(token, '.')]
		mac := hmac.New(sha256.New, []byte(testSecret))
		mac.Write([]byte(signed))
		if token != signed+"."+b64.EncodeToString(mac.Sum(nil)) {
			t.Errorf("%q verifies, and we have not signed it", token)
		}
	})
}

// FuzzSignedToken: whatever two texts somebody with our key signs, the verifier
// does not panic, and takes no claims that a lenient reader would see otherwise.
func FuzzSignedToken(f *testing.F) {
	s := secretSigner(f)
	f.Add(hs256, payload(""))
	f.Add(`{"alg":"HS256","crit":[]}`, payload(`,"aud":[1,"x"]`))
	f.Add(`{"alg":"HS256","kid":"x"}`, `{"sub":"a","exp":1800000001,"SUB":"b"}`)
	f.Fuzz(func(t *testing.T, header, body string) {
		c, err := s.verify(mint(header, body, testSecret), testTime)
		if err != nil {
			return
		}
		var lenient map[string]any
		if err := json.Unmarshal([]byte(body), &lenient); err != nil || lenient["sub"] != c.Subject {
			t.Errorf("%q: subject %q; encoding/json sees %v, %v", body, c.Subject, lenient["sub"], err)
		}
	})
}
