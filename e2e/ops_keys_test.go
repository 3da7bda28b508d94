package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A key signs tokens with one algorithm. It is written against the RFCs and
// shares nothing with the program.
type key struct {
	algorithm string
	secret    string        // of HS256
	private   crypto.Signer // of the others
}

func newKey(t testing.TB, algorithm string) key {
	t.Helper()
	k := key{algorithm: algorithm}
	var err error
	switch algorithm {
	case "HS256":
		k.secret = rand.Text() + rand.Text()
	case "RS256":
		k.private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, k.private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sign returns the signature of a JWS (RFC 7518 §3, RFC 8037 §3.1).
func (k key) sign(t testing.TB, text string) []byte {
	t.Helper()
	sum := sha256.Sum256([]byte(text))
	var sig []byte
	var err error
	switch private := k.private.(type) {
	case nil:
		sig = k.mac(text)
	case *rsa.PrivateKey:
		sig, err = private.Sign(rand.Reader, sum[:], crypto.SHA256)
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, private, sum[:]); err == nil {
			sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case ed25519.PrivateKey:
		sig = ed25519.Sign(private, []byte(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func (k key) mac(text string) []byte {
	h := hmac.New(sha256.New, []byte(k.secret))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// verifies reports whether the key has signed text.
func (k key) verifies(text string, sig []byte) bool {
	sum := sha256.Sum256([]byte(text))
	switch private := k.private.(type) {
	case nil:
		return hmac.Equal(sig, k.mac(text))
	case *rsa.PrivateKey:
		return rsa.VerifyPKCS1v15(&private.PublicKey, crypto.SHA256, sum[:], sig) == nil
	case *ecdsa.PrivateKey:
		r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
		return len(sig) == 64 && ecdsa.Verify(&private.PublicKey, sum[:], r, s)
	case ed25519.PrivateKey:
		return ed25519.Verify(private.Public().(ed25519.PublicKey), []byte(text), sig)
	}
	return false
}

// mint makes a token as another program with the same key would: without a
// session.
func (k key) mint(t testing.TB, username string) string {
	t.Helper()
	return k.mintOf(t, fmt.Sprintf(`"sub":%q`, username))
}

// mintOf makes a token of these claims and the times that it needs. Its clock rounds up to
// the next second: one made in the second of the user's registration is refused.
func (k key) mintOf(t testing.TB, claims string) string {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	now := time.Now().Unix() + 1
	text := enc(fmt.Appendf(nil, `{"alg":%q,"typ":"JWT"}`, k.algorithm)) + "." +
		enc(fmt.Appendf(nil, `{%s,"iat":%d,"exp":%d}`, claims, now, now+60))
	return text + "." + enc(k.sign(t, text))
}

// settings are those of a server that signs with the key.
func (k key) settings(t testing.TB) []string {
	t.Helper()
	if k.private == nil {
		return []string{"SECRET_KEY=" + k.secret}
	}
	return []string{"ALGORITHM=" + k.algorithm, "PRIVATE_KEY=" + pkcs8(t, k.private)}
}

// fallback is the setting of a server that still believes the key.
func (k key) fallback(t testing.TB) string {
	t.Helper()
	if k.private == nil {
		return "SECRET_KEY_FALLBACKS=" + rand.Text() + rand.Text() + "," + k.secret
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "old.pem"), pkcs8(t, k.private))
	return "PRIVATE_KEY_FALLBACKS_DIR=" + dir
}

// pkcs8 returns the PEM text of a private key in PKCS #8.
func pkcs8(t testing.TB, private any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	return pemText(t, "PRIVATE KEY", der, err)
}

// traditional returns the PEM text of a private key in PKCS #1 or SEC 1.
func traditional(t testing.TB, private any) string {
	t.Helper()
	switch private := private.(type) {
	case *rsa.PrivateKey:
		return pemText(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(private), nil)
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(private)
		return pemText(t, "EC PRIVATE KEY", der, err)
	}
	return pkcs8(t, private)
}

func pemText(t testing.TB, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		k := newKey(t, algorithm)
		path := filepath.Join(t.TempDir(), "key.pem")
		writeFile(t, path, traditional(t, k.private))
		kids := make(map[string]bool)
		for _, setting := range []string{
			"PRIVATE_KEY=" + pkcs8(t, k.private),
			"PRIVATE_KEY_FILE=" + path,
		} {
			name, _, _ := strings.Cut(setting, "=")
			t.Run(algorithm+" by "+name, func(t *testing.T) {
				s := start(t, "ALGORITHM="+algorithm, setting)
				s.register(t, "alice")
				token := s.logIn(t, "alice")
				checkMe(t, s.me(t, token), "alice")
				kids[checkHeader(t, token, k)] = true
			})
		}
		if len(kids) != 1 {
			t.Errorf("%s: one key has the kids %v; want one kid", algorithm, kids)
		}
	}
}

// checkHeader reports a token that k has not signed, or whose header does not
// say so. It returns the kid.
func checkHeader(t testing.TB, token string, k key) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	raw, err1 := base64.RawURLEncoding.DecodeString(parts[0])
	sig, err2 := base64.RawURLEncoding.DecodeString(parts[2])
	var header struct{ Alg, Typ, Kid string }
	if err := json.Unmarshal(raw, &header); err != nil || err1 != nil || err2 != nil {
		t.Fatalf("bad token: %v, %v, %v", err, err1, err2)
	}
	if header.Alg != k.algorithm || header.Typ != "JWT" || (header.Kid == "") != (k.private == nil) {
		t.Errorf("header %s; want %s, JWT and a kid for all but HS256", raw, k.algorithm)
	}
	if !k.verifies(parts[0]+"."+parts[1], sig) {
		t.Error("the signature is not by the key in the settings")
	}
	return header.Kid
}

// TestRotation restarts a server with a new key, with and without the old one
// as a fallback. The store is memory: the user has to register again.
func TestRotation(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		older, newer := newKey(t, algorithm), newKey(t, algorithm)
		tests := []struct {
			name     string
			settings []string
			signs    key
			believes bool // the old key
		}{
			{"before", older.settings(t), older, true},
			{"during", append(newer.settings(t), older.fallback(t)), newer, true},
			{"after", newer.settings(t), newer, false},
		}
		for _, tt := range tests {
			t.Run(algorithm+" "+tt.name, func(t *testing.T) {
				s := startAs(t, invocation{env: tt.settings, fast: true})
				s.register(t, "alice")
				token := s.logIn(t, "alice")
				checkHeader(t, token, tt.signs)
				checkMe(t, s.me(t, token), "alice")
				checkMe(t, s.me(t, tt.signs.mint(t, "alice")), "alice")
				if a := s.me(t, older.mint(t, "alice")); tt.believes {
					checkMe(t, a, "alice")
				} else {
					checkProblem(t, a, 401, "Could not validate credentials")
				}
			})
		}
	}
}

// TestSecretKeyFile reads the key from a file and cuts one newline off it.
func TestSecretKeyFile(t *testing.T) {
	t.Parallel()
	k := newKey(t, "HS256")
	tests := []struct {
		name     string
		text     string
		believes bool
	}{
		{"the key alone", k.secret, true},
		{"the key and a newline", k.secret + "\n", true},
		{"the key and two newlines, of which one belongs to it", k.secret + "\n\n", false},
		{"the key behind a space, which belongs to it", " " + k.secret, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secret")
			writeFile(t, path, tt.text)
			s := start(t, "SECRET_KEY_FILE="+path)
			s.register(t, "alice")
			if a := s.me(t, k.mint(t, "alice")); tt.believes {
				checkMe(t, a, "alice")
			} else {
				checkProblem(t, a, 401, "Could not validate credentials")
			}
		})
	}
}

// rsa2048 returns the PEM text of one and the same RSA key: it takes long to
// make one.
func rsa2048(t testing.TB) string {
	t.Helper()
	private, err := oneRSAKey()
	if err != nil {
		t.Fatal(err)
	}
	return traditional(t, private)
}

var oneRSAKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
