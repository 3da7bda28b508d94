package main

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func testSigner(t testing.TB, keys keySet) *signer {
	t.Helper()
	s := newSigner(30*time.Minute, "", nil)
	s.use(keys)
	return s
}

func secretSigner(t testing.TB) *signer {
	return testSigner(t, secretKeys([]byte(testSecret), nil))
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

// claimsOf returns the claims of a token, unverified.
func claimsOf(t *testing.T, token string) object {
	t.Helper()
	parts := strings.Split(token, ".")
	text, err := b64.DecodeString(parts[1])
	var claims object
	if err == nil {
		err = json.Unmarshal(text, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestTokenRoundTrip(t *testing.T) {
	for name, keys := range testKeySets(t) {
		t.Run(name, func(t *testing.T) {
			s := testSigner(t, keys)
			token, err := s.createAccessToken(grant{User: User{Username: "alice"}, SessionID: "session-1"}, testTime, testTime.Add(30*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.verify(token, testTime)
			if err != nil || c.Subject != "alice" || c.SessionID != "session-1" || c.IssuedAt != unixSeconds(testTime) {
				t.Errorf("verify = %+v, %v", c, err)
			}
			header, _, _ := strings.Cut(token, ".")
			if header != keys[0].header {
				t.Errorf("header = %q, want the one that is passed unread, %q", header, keys[0].header)
			}
			if len(token) > maxTokenSize/4 {
				t.Errorf("a token of %d bytes comes near the limit", len(token))
			}
		})
	}
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
			if !tt.ok && (!errors.Is(err, errBadToken) || c.Subject != "") {
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

func TestIssuerAndAudience(t *testing.T) {
	keys := secretKeys([]byte(testSecret), nil)
	s := newSigner(time.Minute, "https://id.example", audience{"api"})
	s.use(keys)
	own, err := s.createAccessToken(grant{User: User{Username: "alice"}, SessionID: "s"}, testTime, testTime.Add(30*time.Minute))
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
