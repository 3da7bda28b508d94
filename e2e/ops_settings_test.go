package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// aKey is long enough for SECRET_KEY and stands in no tutorial.
const aKey = "b1946ac92492d2347c6235b4d2611184b1946ac92492d2347c6235b4d2611184"

// A badSetting is refused with one line that begins with its variable and says
// what it would accept.
type badSetting struct {
	name    string
	setting string // the first of env
	says    string
	others  []string
}

// badSettings are some of those that settings_test.go has; they name files, which writeKeys has
// written, where they have to.
var badSettings = []badSetting{
	{"ADDR without a port", "ADDR=localhost", "host:port", nil},
	{"SECRET_KEY of 31 bytes", "SECRET_KEY=" + aKey[:31], "32", nil},
	{"SECRET_KEY_FILE that is missing", "SECRET_KEY_FILE=nowhere", "no such file", nil},
	{"ALGORITHM none", "ALGORITHM=none", "HS256, RS256, ES256 or EdDSA", nil},
	{"ACCESS_TOKEN_EXPIRE_MINUTES 15m", "ACCESS_TOKEN_EXPIRE_MINUTES=15m", "whole number", nil},
	{"EXPOSE_USERS on every address", "EXPOSE_USERS=true", "loopback", []string{"ADDR=:8000"}},
	{"DATABASE_URL with a raw password", "DATABASE_URL=postgres://u:open#sesame/x@db/x", "%XX", []string{"SECRET_KEY=" + aKey}},
	{"DATABASE_URL without a key", "SECRET_KEY", "outlive this run", []string{"DATABASE_URL=sqlite:users.db"}},

	{"PRIVATE_KEY_FILE that is missing", "PRIVATE_KEY_FILE=nowhere.pem", "no such file", []string{"ALGORITHM=RS256"}},
	{"RSA of 1024 bits", "PRIVATE_KEY_FILE=rsa1024.pem", "2048", []string{"ALGORITHM=RS256"}},
	{"TLS_KEY_FILE of another certificate", "TLS_CERT_FILE=cert.pem", "does not match", []string{"TLS_KEY_FILE=p256.pem"}},
	{"TLS_CERT_FILE that has expired", "TLS_CERT_FILE=expired.pem", "expired", []string{"TLS_KEY_FILE=certkey.pem"}},
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKeys(t, dir)
	for _, tt := range badSettings {
		t.Run(tt.name, func(t *testing.T) {
			i := invocation{args: []string{"check"}, env: tt.others, dir: dir}
			variable, _, isSet := strings.Cut(tt.setting, "=")
			if isSet {
				i.env = append([]string{tt.setting}, tt.others...)
			}
			checkRefused(t, i, []string{variable}, tt.says)
		})
	}
}

// checkRefused reports a run that does not end with one line for each of the
// variables, or shows a secret.
func checkRefused(t *testing.T, i invocation, variables []string, says string) {
	t.Helper()
	got := i.run(t)
	if got.code != 2 || got.stdout != "" {
		t.Errorf("exit code %d, output %q; want 2 and no output", got.code, got.stdout)
	}
	lines := strings.Split(strings.TrimSuffix(got.stderr, "\n"), "\n")
	if len(lines) != len(variables) {
		t.Errorf("%d lines; want %d: %s", len(lines), len(variables), got.stderr)
	}
	for _, variable := range variables {
		if !slices.ContainsFunc(lines, func(line string) bool { return names(line, variable) }) {
			t.Errorf("no line begins with %s: %s", variable, got.stderr)
		}
	}
	if !strings.Contains(got.stderr, says) {
		t.Errorf("%q does not say %q", got.stderr, says)
	}
	for _, secret := range secretsIn(i.env) {
		if strings.Contains(got.stderr, secret) {
			t.Errorf("%q shows the secret %q", got.stderr, secret)
		}
	}
}

// names reports whether a line is about a variable. What stands in the file of
// a secret may be reported as the secret's.
func names(line, variable string) bool {
	name, _, _ := strings.Cut(line, ": ")
	return name == variable || name == strings.TrimSuffix(variable, "_FILE")
}

func TestAllBadSettingsAtOnce(t *testing.T) {
	t.Parallel()
	i := invocation{env: []string{
		"ADDR=localhost", "SECRET_KEY=" + aKey[:31], "SECRET_KEY_FALLBACKS=your-secret-key", "ALGORITHM=HS255",
		"PRIVATE_KEY_FILE=nowhere.pem", "ACCESS_TOKEN_EXPIRE_MINUTES=15m", "REFRESH_TOKEN_EXPIRE_DAYS=0",
		"REFRESH_TOKEN_IDLE_DAYS=forever", "REFRESH_GRACE_SECONDS=601", "PBKDF2_ITERATIONS=1000000000",
		"MIN_PASSWORD_LENGTH=0", "ALLOW_REGISTRATION=maybe", "CORS_ORIGINS=*,https://x", "TRUSTED_PROXIES=any",
		"EXPOSE_USERS=yes", "TLS_CERT_FILE=nowhere.pem", "LOG_LEVEL=loud", "LOG_FORMAT=xml", "SHUTDOWN_SECONDS=-1",
		"THROTTLE=maybe",
	}}
	var variables []string
	for _, setting := range i.env {
		variable, _, _ := strings.Cut(setting, "=")
		variables = append(variables, variable)
	}
	for _, command := range []string{"serve", "check"} {
		t.Run(command, func(t *testing.T) {
			i.args = []string{command}
			checkRefused(t, i, variables, "want")
		})
	}
}

func TestSettingsTakeEffect(t *testing.T) {
	t.Parallel()
	k := newKey(t, "HS256")
	secret := "SECRET_KEY=" + k.secret
	tests := []struct {
		name     string
		settings []string
		check    func(t *testing.T, s *server)
	}{
		{"ALLOW_REGISTRATION false", []string{"ALLOW_REGISTRATION=false"}, func(t *testing.T, s *server) {
			checkProblem(t, s.do(t, "POST", "/users/", `{"username":"alice","password":"`+password+`"}`, jsonType), 403, "Registration is closed")
		}},
		{"MIN_PASSWORD_LENGTH over the password's", []string{"MIN_PASSWORD_LENGTH=19"}, func(t *testing.T, s *server) {
			if a := s.do(t, "POST", "/users/", `{"username":"alice","password":"`+password+`"}`, jsonType); a.StatusCode != 422 {
				t.Errorf("got %d %s; want 422", a.StatusCode, a.body)
			}
		}},
		{"MIN_PASSWORD_LENGTH of just the password's", []string{"MIN_PASSWORD_LENGTH=18"}, func(t *testing.T, s *server) {
			s.register(t, "alice")
		}},
		{"ACCESS_TOKEN_EXPIRE_MINUTES 1", []string{"ACCESS_TOKEN_EXPIRE_MINUTES=1"}, func(t *testing.T, s *server) {
			s.register(t, "alice")
			if a := s.do(t, "POST", "/token", loginForm("alice"), formType); !strings.Contains(a.body, `"expires_in":60`) {
				t.Errorf("%s; want it to expire in 60 s", a.body)
			}
		}},
		{"REFRESH_TOKEN_IDLE_DAYS 1", []string{"REFRESH_TOKEN_IDLE_DAYS=1"}, checkSessionDays(1)},
		{"REFRESH_TOKEN_EXPIRE_DAYS 2, which is less than idle", []string{"REFRESH_TOKEN_EXPIRE_DAYS=2"}, checkSessionDays(2)},
		{"access tokens that live longer than sessions", []string{"REFRESH_TOKEN_EXPIRE_DAYS=1", "ACCESS_TOKEN_EXPIRE_MINUTES=4320"}, checkSessionDays(3)},
		{"EXPOSE_USERS true", []string{"EXPOSE_USERS=true"}, func(t *testing.T, s *server) {
			s.register(t, "alice")
			if a := s.do(t, "GET", "/", ""); !strings.HasPrefix(a.body, `{"alice":{"username":"alice",`) {
				t.Errorf("got %d %s; want alice", a.StatusCode, a.body)
			}
		}},
		{"EXPOSE_USERS by default", nil, func(t *testing.T, s *server) {
			s.register(t, "alice")
			if a := s.do(t, "GET", "/", ""); strings.Contains(a.body, "alice") {
				t.Errorf("GET / shows %s", a.body)
			}
		}},
		{"ISSUER", []string{secret, "ISSUER=us"}, checkForeignToken(k, 401)},
		{"AUDIENCE", []string{secret, "AUDIENCE=us"}, checkForeignToken(k, 401)},
		{"neither", []string{secret}, checkForeignToken(k, 200)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.check(t, startAs(t, invocation{env: tt.settings, fast: true})) })
	}
}

// checkSessionDays wants a session to end after so many days, though it is used.
func checkSessionDays(days int) func(*testing.T, *server) {
	return func(t *testing.T, s *server) {
		s.register(t, "alice")
		g := checkGoesOn(t, s, s.signIn(t, "alice"), "alice")
		one := s.current(t, g.Access)
		if life := one.ExpiresAt.Sub(one.CreatedAt); life.Round(time.Minute) != time.Duration(days)*24*time.Hour {
			t.Errorf("the session lives for %v; want %d days", life, days)
		}
	}
}

// checkForeignToken wants this status for a token without iss and aud, and
// success for one of the server's own.
func checkForeignToken(k key, status int) func(*testing.T, *server) {
	return func(t *testing.T, s *server) {
		s.register(t, "alice")
		checkMe(t, s.me(t, s.logIn(t, "alice")), "alice")
		if a := s.me(t, k.mint(t, "alice")); a.StatusCode != status {
			t.Errorf("got %d for a token of another program; want %d", a.StatusCode, status)
		}
	}
}

// TestReadableKeys wants a warning of, or no start with, a private key that
// everybody on the machine can read: in a directory that is open, too.
func TestReadableKeys(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		path string
		env  []string
	}{
		{"SECRET_KEY_FILE", "secret", []string{"SECRET_KEY_FILE=secret"}},
		{"PRIVATE_KEY_FILE", "p256.pem", []string{"ALGORITHM=ES256", "PRIVATE_KEY_FILE=p256.pem"}},
		{"PRIVATE_KEY_FALLBACKS_DIR", "old/p256.pem", []string{"ALGORITHM=ES256", "PRIVATE_KEY_FILE=p256.pem", "PRIVATE_KEY_FALLBACKS_DIR=old"}},
		{"TLS_KEY_FILE", "certkey.pem", []string{"TLS_CERT_FILE=cert.pem", "TLS_KEY_FILE=certkey.pem"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			writeKeys(t, dir)
			check := invocation{args: []string{"check"}, env: append([]string{"ADDR=localhost:0"}, tt.env...), dir: dir}
			if got := check.run(t); strings.Contains(got.stdout+got.stderr, tt.path) {
				t.Errorf("mode 0600 is complained about: %s%s", got.stdout, got.stderr)
			}
			path := filepath.Join(dir, tt.path)
			if err := errors.Join(os.Chmod(path, 0o604), os.Chmod(filepath.Dir(path), 0o755)); err != nil {
				t.Fatal(err)
			}
			if got := check.run(t); !strings.Contains(got.stdout+got.stderr, tt.path) {
				t.Errorf("mode 0604 passes without a word: %s%s", got.stdout, got.stderr)
			}
		})
	}
}

// writeKeys writes the files that the tables name.
func writeKeys(t *testing.T, dir string) {
	t.Helper()
	for _, sub := range []string{"none", "p384", "public", "old"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p256 := newKey(t, "ES256").private
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa1024, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(p256.Public())
	public := pemText(t, "PUBLIC KEY", der, err)
	cert := newCert(t)
	for path, text := range map[string]string{
		"secret":            aKey + "\n",
		"rsa.pem":           rsa2048(t),
		"rsa1024.pem":       pkcs8(t, rsa1024),
		"p256.pem":          traditional(t, p256),
		"old/p256.pem":      pkcs8(t, p256),
		"p384.pem":          pkcs8(t, p384),
		"p384/p384.pem":     pkcs8(t, p384),
		"ed25519.pem":       pkcs8(t, newKey(t, "EdDSA").private),
		"public.pem":        public,
		"public/public.pem": public,
		"two.pem":           pkcs8(t, p256) + pkcs8(t, p256),
		"empty.pem":         "",
		"garbage.pem":       pemText(t, "PRIVATE KEY", []byte("garbage"), nil),
		"cert.pem":          cert.pem(t, time.Now().Add(time.Hour)),
		"expired.pem":       cert.pem(t, time.Now().Add(-time.Second)),
		"certkey.pem":       pkcs8(t, cert.private),
	} {
		writeFile(t, filepath.Join(dir, path), text)
	}
}

// A cert is what certificates for localhost are made of.
type cert struct{ private *ecdsa.PrivateKey }

func newCert(t testing.TB) cert {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return cert{private}
}

// pem returns the PEM text of a certificate that is good until notAfter.
func (c cert) pem(t testing.TB, notAfter time.Time) string {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"localhost"},
		NotBefore:    notAfter.Add(-2 * time.Hour),
		NotAfter:     notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &c.private.PublicKey, c.private)
	return pemText(t, "CERTIFICATE", der, err)
}
