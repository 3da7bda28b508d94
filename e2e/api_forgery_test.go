package e2e

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// introspect asks as an administrator what a token is.
func (s *server) introspect(t testing.TB, caller, token string) answer {
	t.Helper()
	return s.do(t, "POST", "/introspect", url.Values{"token": {token}}.Encode(), formType, "Authorization: Bearer "+caller)
}

// inactive is all that is said of a token that is not good.
const inactive = `{"active":false}`

// checkInactive reports an answer that says more of a token than that it is not good.
func checkInactive(t testing.TB, a answer) {
	t.Helper()
	if a.StatusCode != 200 || a.body != inactive {
		t.Errorf("got %d %s; want 200 %s", a.StatusCode, a.body, inactive)
	}
	checkShape(t, a)
}

// checkUseless reports a token that is good anywhere. The caller is an administrator.
func checkUseless(t testing.TB, s *server, caller, token string) {
	t.Helper()
	checkProblem(t, s.me(t, token), 401, "Could not validate credentials")
	checkProblem(t, s.authorized(t, "GET", "/verify", "", token), 401, "Could not validate credentials")
	checkInactive(t, s.introspect(t, caller, token))
}

// checkUseful reports a token that is not alice's everywhere.
func checkUseful(t testing.TB, s *server, caller, token string) {
	t.Helper()
	checkMe(t, s.me(t, token), "alice")
	checkVerified(t, s.authorized(t, "GET", "/verify", "", token), "alice")
	if a := s.introspect(t, caller, token); a.StatusCode != 200 || !strings.HasPrefix(a.body, `{"active":true`) {
		t.Errorf("introspection: %d %s; want an active token", a.StatusCode, a.body)
	}
}

// publicForms are the texts in which a public key is known to everybody.
func publicForms(t testing.TB, k key) map[string]string {
	t.Helper()
	j := k.jwk(t)
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	pemText := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	forms := map[string]string{
		"the JWK":                     string(text),
		"the PEM":                     pemText,
		"the PEM without its newline": strings.TrimSuffix(pemText, "\n"),
		"the DER":                     string(der),
		"the kid":                     j.Kid,
		"the bytes of the kid":        string(slicesOf(t, "", j.Kid)),
		"x as text":                   j.X,
		"x and y":                     string(slicesOf(t, "", j.X, j.Y)),
		"n":                           string(slicesOf(t, "", j.N)),
		"nothing":                     "",
		"32 zeros":                    string(make([]byte, 32)),
	}
	if public, ok := k.private.Public().(*rsa.PublicKey); ok {
		forms["the PEM of PKCS #1"] = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(public)}))
	}
	return forms
}

// confusions are tokens whose MAC is by something that everybody knows: RFC 8725 §2.1.
func confusions(t testing.TB, k key) map[string]string {
	t.Helper()
	tokens := make(map[string]string)
	for name, secret := range publicForms(t, k) {
		mac := key{algorithm: "HS256", secret: secret}
		tokens["a MAC by "+name] = mac.mint(t, "alice")
		tokens["a MAC by "+name+", with the kid"] = mac.mintWith(t, fmt.Sprintf(`{"alg":"HS256","kid":%q}`, k.kid(t)), `"sub":"alice"`)
		tokens["a MAC by "+name+" by the name of our algorithm"] = mac.mintWith(t, k.header(t), `"sub":"alice"`)
	}
	ours := key{algorithm: "HS256", secret: aKey}
	tokens["a MAC by our secret"] = ours.mint(t, "alice")
	tokens["a MAC by our secret, with the kid"] = ours.mintWith(t, fmt.Sprintf(`{"alg":"HS256","kid":%q}`, k.kid(t)), `"sub":"alice"`)
	tokens["a MAC by our secret by the name of our algorithm"] = ours.mintWith(t, k.header(t), `"sub":"alice"`)
	tokens["our signature by the name of HS256"] = k.mintWith(t, fmt.Sprintf(`{"alg":"HS256","kid":%q}`, k.kid(t)), `"sub":"alice"`)
	return tokens
}

// renamed are tokens with our own signature by the name of another algorithm.
func renamed(t testing.TB, k key) map[string]string {
	t.Helper()
	tokens := make(map[string]string)
	for _, algorithm := range []string{
		"none", "None", "", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519",
		"Ed448", "ML-DSA-44", strings.ToLower(k.algorithm), k.algorithm + " ", k.algorithm + "\x00",
	} {
		if algorithm != k.algorithm {
			header, _ := json.Marshal(map[string]string{"alg": algorithm, "kid": k.kid(t), "typ": "JWT"}) // strings never fail
			tokens[fmt.Sprintf("our signature by the name of %q", algorithm)] = k.mintWith(t, string(header), `"sub":"alice"`)
		}
	}
	return tokens
}

// strangers are tokens by a key of somebody else, who says it is ours or that we should take it.
func strangers(t testing.TB, k key) map[string]string {
	t.Helper()
	other := newKey(t, k.algorithm)
	kid := k.kid(t)
	own, err := json.Marshal(other.jwk(t))
	if err != nil {
		t.Fatal(err)
	}
	tokens := make(map[string]string)
	for name, header := range map[string]string{
		"with our kid":            fmt.Sprintf(`{"alg":%q,"kid":%q}`, k.algorithm, kid),
		"without a kid":           fmt.Sprintf(`{"alg":%q}`, k.algorithm),
		"with its kid":            other.header(t),
		"with itself as jwk":      fmt.Sprintf(`{"alg":%q,"kid":%q,"jwk":%s}`, k.algorithm, kid, own),
		"with itself at an URL":   fmt.Sprintf(`{"alg":%q,"kid":%q,"jku":"https://evil.example/jwks.json"}`, k.algorithm, kid),
		"with a certificate":      fmt.Sprintf(`{"alg":%q,"kid":%q,"x5c":["MIIB"],"x5u":"https://evil.example"}`, k.algorithm, kid),
		"with a path as kid":      fmt.Sprintf(`{"alg":%q,"kid":"../../../../dev/null"}`, k.algorithm),
		"with a statement as kid": fmt.Sprintf(`{"alg":%q,"kid":"x' OR '1'='1"}`, k.algorithm),
	} {
		tokens["another key "+name] = other.mintWith(t, header, `"sub":"alice"`)
	}
	if k.algorithm != "ES256" {
		return tokens
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tokens["a key of P-384 with our kid"] = jws(fmt.Sprintf(`{"alg":"ES384","kid":%q}`, kid), `"sub":"alice"`, func(text string) []byte {
		sum := sha512.Sum384([]byte(text))
		r, s, _ := ecdsa.Sign(rand.Reader, p384, sum[:])
		return append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...)
	})
	for name, raw := range map[string][]byte{
		"zeros": make([]byte, 64), "ones": []byte(strings.Repeat("\xff", 64)), "the order twice": slices.Concat(order(), order()), "nothing": nil,
	} {
		tokens["a signature of "+name] = jws(k.header(t), `"sub":"alice"`, func(string) []byte { return raw })
	}
	return tokens
}

// order is that of P-256: no part of a signature reaches it.
func order() []byte { return elliptic.P256().Params().N.FillBytes(make([]byte, 32)) }

// oddHeaders are tokens that our key has signed, whose header is no header.
func oddHeaders(t testing.TB, k key) map[string]string {
	t.Helper()
	kid := k.kid(t)
	tokens := make(map[string]string)
	for name, member := range map[string]string{
		"a kid that is a number":    `"kid":1`,
		"a kid that is a list":      fmt.Sprintf(`"kid":[%q]`, kid),
		"a kid that is an object":   fmt.Sprintf(`"kid":{"kid":%q}`, kid),
		"a kid that is true":        `"kid":true`,
		"a kid that is there twice": fmt.Sprintf(`"kid":%q,"kid":%[1]q`, kid),
		"two kids":                  fmt.Sprintf(`"kid":"x","kid":%q`, kid),
		"two algorithms":            fmt.Sprintf(`"kid":%q,"alg":%q`, kid, k.algorithm),
		"a kid of 5,000 letters":    fmt.Sprintf(`"kid":%q`, strings.Repeat("k", 5000)),
		"crit":                      `"crit":["exp"]`,
		"b64":                       `"b64":false`,
		"zip":                       `"zip":"DEF"`,
		"a typ of something else":   `"typ":"refresh"`,
		"a typ that is a logout's":  `"typ":"logout+jwt"`,
		"a typ that is a number":    `"typ":1`,
		"a lone surrogate as kid":   `"kid":"\ud800"`,
		"an escape that is no JSON": `"kid":"\x41"`,
		"a kid that is no UTF-8":    "\"kid\":\"\xff\"",
		"a kid with a raw line end": "\"kid\":\"\n\"",
		"a member without a value":  `"kid"`,
	} {
		tokens["our signature, and "+name] = k.mintWith(t, fmt.Sprintf(`{"alg":%q,%s}`, k.algorithm, member), `"sub":"alice"`)
	}
	return tokens
}

// foreign are tokens by keys of other kinds, for a server with a shared secret.
func foreign(t testing.TB) map[string]string {
	t.Helper()
	tokens := make(map[string]string)
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		k := newKey(t, algorithm)
		tokens["a key of "+algorithm] = k.mint(t, "alice")
		tokens["a key of "+algorithm+" with its kid"] = k.mintNamed(t, "alice")
	}
	// What the secret would be a key of, if somebody took it for a seed or a scalar.
	seed := slicesOf(t, "", strings.TrimRight(base64.RawURLEncoding.EncodeToString([]byte(aKey)[:32]), "="))
	eddsa := key{algorithm: "EdDSA", private: ed25519.NewKeyFromSeed(seed)}
	tokens["the secret as a seed"] = eddsa.mintNamed(t, "alice")
	if private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed); err == nil {
		tokens["the secret as a scalar"] = key{algorithm: "ES256", private: private}.mintNamed(t, "alice")
	}
	for _, algorithm := range []string{"ES256", "EdDSA"} {
		tokens["a derived key of "+algorithm+" that the ring does not have"] = derived(t, algorithm, aKey, nil).mintNamed(t, "alice")
	}
	return tokens
}

// TestForgeries: whatever a server signs with, it takes no token that this key has not signed by
// the name of its own algorithm.
func TestForgeries(t *testing.T) {
	t.Parallel()
	for name, m := range modes(t) {
		t.Run(name, func(t *testing.T) {
			if name == "ES256, a key of one's own" || name == "EdDSA, a key of one's own" {
				long(t)
			}
			t.Parallel()
			s := m.start(t, withRoot("THROTTLE=off")...)
			s.register(t, "alice")
			caller := s.logIn(t, root)
			checkUseful(t, s, caller, m.key.mintNamed(t, "alice"))
			forged := foreign(t)
			if m.key.private != nil {
				forged = renamed(t, m.key)
				maps.Copy(forged, confusions(t, m.key))
				maps.Copy(forged, strangers(t, m.key))
				maps.Copy(forged, oddHeaders(t, m.key))
			}
			for name, token := range forged {
				t.Run(name, func(t *testing.T) { checkUseless(t, s, caller, token) })
			}
			checkUseful(t, s, caller, m.key.mintNamed(t, "alice"))
			checkUseful(t, s, caller, m.key.mint(t, "alice"))
		})
	}
}

// TestMirroredSignature: the other signature of ECDSA is as good as the first, and so has to end
// with it.
func TestMirroredSignature(t *testing.T) {
	t.Parallel()
	s := startAs(t, invocation{env: inMemory(t).with("ALGORITHM=ES256"), fast: true})
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	checkMe(t, s.me(t, g.Access), "alice")
	last := strings.LastIndex(g.Access, ".")
	sig := slicesOf(t, "", g.Access[last+1:])
	mirrored := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(sig[32:]))
	other := g.Access[:last+1] + base64.RawURLEncoding.EncodeToString(append(sig[:32:32], mirrored.FillBytes(make([]byte, 32))...))
	s.revoke(t, g.Access)
	checkProblem(t, s.me(t, g.Access), 401, "Could not validate credentials")
	checkProblem(t, s.me(t, other), 401, "Could not validate credentials")
}

// TestAudiences: a token is for this server if it names one of the audiences, whole.
func TestAudiences(t *testing.T) {
	t.Parallel()
	const iss = `"iss":"` + anIssuer + `",`
	tests := []struct {
		name   string
		claims string
		good   bool
	}{
		{"the first audience", iss + `"aud":"one"`, true},
		{"the second one", iss + `"aud":"two"`, true},
		{"a list with one of them", iss + `"aud":["x","two"]`, true},
		{"a list of both", iss + `"aud":["one","two"]`, true},
		{"the audience of another", iss + `"aud":"three"`, false},
		{"a list without them", iss + `"aud":["three","four"]`, false},
		{"an empty list", iss + `"aud":[]`, false},
		{"an empty text", iss + `"aud":""`, false},
		{"a number", iss + `"aud":1`, false},
		{"a list with a number", iss + `"aud":[1]`, false},
		{"a list with a number beside one of them", iss + `"aud":["one",1]`, false},
		{"a list in a list", iss + `"aud":[["one"]]`, false},
		{"an object", iss + `"aud":{"one":true}`, false},
		{"null", iss + `"aud":null`, false},
		{"the beginning of one", iss + `"aud":"on"`, false},
		{"one that begins as ours", iss + `"aud":"one1"`, false},
		{"ours in capitals", iss + `"aud":"ONE"`, false},
		{"the whole setting", iss + `"aud":"one,two"`, false},
		{"ours and a space", iss + `"aud":"one "`, false},
		{"no audience", `"iss":"` + anIssuer + `"`, false},
		{"no issuer", `"aud":"one"`, false},
		{"neither", `"x":1`, false},
		{"another issuer", `"iss":"https://evil.example","aud":"one"`, false},
		{"our issuer with a slash", `"iss":"` + anIssuer + `/","aud":"one"`, false},
		{"our issuer in a list", `"iss":["` + anIssuer + `"],"aud":"one"`, false},
		{"our issuer in capitals", `"iss":"` + strings.ToUpper(anIssuer) + `","aud":"one"`, false},
		{"an audience twice", iss + `"aud":"three","aud":"one"`, false},
		{"an audience in capitals", iss + `"AUD":"one"`, false},
	}
	for _, m := range []string{"HS256", "ES256"} {
		s := startAs(t, invocation{env: inMemory(t).with(withRoot("ALGORITHM="+m, "ISSUER="+anIssuer, "AUDIENCE=one, two")...), fast: true})
		s.register(t, "alice")
		caller := s.logIn(t, root)
		k := derived(t, m, aKey, nil)
		for _, tt := range tests {
			t.Run(m+", "+tt.name, func(t *testing.T) {
				token := k.mintWith(t, k.header(t), `"sub":"alice",`+tt.claims)
				if tt.good {
					checkUseful(t, s, caller, token)
				} else {
					checkUseless(t, s, caller, token)
				}
			})
		}
	}
}

// TestExpiryWhileKnown: a token that the server has just taken ends at its time all the same.
func TestExpiryWhileKnown(t *testing.T) {
	long(t)
	t.Parallel()
	s := inMemory(t).start(t, "ALGORITHM=ES256")
	s.register(t, "alice")
	k := derived(t, "ES256", aKey, nil)
	now := time.Now().Unix()
	token := signed(k.header(t), fmt.Sprintf(`{"sub":"alice","iat":%d,"exp":%d}`, now+1, now+3), func(text string) []byte { return k.sign(t, text) })
	waitFor(t, "the token to begin", func() bool { return s.verify(t, "/verify", token).StatusCode == 200 })
	begin := time.Now()
	waitFor(t, "the token to end", func() bool { return s.verify(t, "/verify", token).StatusCode == 401 })
	if took := time.Since(begin); took > allow(4*time.Second) {
		t.Errorf("the token lives for %v; want 3 s", took)
	}
	checkProblem(t, s.me(t, token), 401, "Could not validate credentials")
}

// TestAudienceClaim: one audience is a text, several are a list, and none is no claim.
func TestAudienceClaim(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]any{"": nil, "one": "one", "one,two": []any{"one", "two"}} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			s := inMemory(t).start(t, "AUDIENCE="+setting)
			s.register(t, "alice")
			token := s.logIn(t, "alice")
			checkMe(t, s.me(t, token), "alice")
			if got := claimsOf(t, token)["aud"]; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("aud is %v; want %v", got, want)
			}
		})
	}
}
