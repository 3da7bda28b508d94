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

var badSettings = []badSetting{
	{"ADDR without a port", "ADDR=localhost", "host:port", nil},
	{"ADDR without a host and a colon", "ADDR=8000", "host:port", nil},
	{"ADDR with an empty port", "ADDR=localhost:", "host:port", nil},
	{"ADDR with port 65536", "ADDR=localhost:65536", "host:port", nil},
	{"ADDR with port -1", "ADDR=localhost:-1", "host:port", nil},
	{"ADDR that is a URL", "ADDR=http://localhost:8000", "host:port", nil},
	{"ADDR in IPv6 without brackets", "ADDR=::1:8000", "host:port", nil},
	{"ADDR that is empty", "ADDR=", "host:port", nil},

	{"SECRET_KEY of 31 bytes", "SECRET_KEY=" + aKey[:31], "32", nil},
	{"SECRET_KEY that is empty", "SECRET_KEY=", "32", nil},
	{"SECRET_KEY of the exercise", "SECRET_KEY=your-secret-key", "openssl rand", nil},
	{"SECRET_KEY of FastAPI's documentation", "SECRET_KEY=09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", "openssl rand", nil},
	{"SECRET_KEY and SECRET_KEY_FILE", "SECRET_KEY=" + aKey, "only one", []string{"SECRET_KEY_FILE=secret"}},
	{"SECRET_KEY_FILE that is missing", "SECRET_KEY_FILE=nowhere", "no such file", nil},
	{"SECRET_KEY_FILE that is a directory", "SECRET_KEY_FILE=.", "is a directory", nil},
	{"SECRET_KEY_FILE without a path", "SECRET_KEY_FILE=", "no such file", nil},
	{"SECRET_KEY_FALLBACKS with a short key", "SECRET_KEY_FALLBACKS=" + aKey + "," + aKey[:31], "32", nil},
	{"SECRET_KEY_FALLBACKS with a comma at the end", "SECRET_KEY_FALLBACKS=" + aKey + ",", "32", nil},
	{"SECRET_KEY_FALLBACKS with an example", "SECRET_KEY_FALLBACKS=your-secret-key," + aKey, "openssl rand", nil},
	{"SECRET_KEY_FALLBACKS and its file", "SECRET_KEY_FALLBACKS=" + aKey, "only one", []string{"SECRET_KEY_FALLBACKS_FILE=secret"}},

	{"ALGORITHM none", "ALGORITHM=none", "HS256, RS256, ES256 or EdDSA", nil},
	{"ALGORITHM HS255", "ALGORITHM=HS255", "HS256, RS256, ES256 or EdDSA", nil},
	{"ALGORITHM HS512", "ALGORITHM=HS512", "HS256, RS256, ES256 or EdDSA", nil},
	{"ALGORITHM in small letters", "ALGORITHM=hs256", "HS256, RS256, ES256 or EdDSA", nil},
	{"ALGORITHM that is empty", "ALGORITHM=", "HS256, RS256, ES256 or EdDSA", nil},

	{"ACCESS_TOKEN_EXPIRE_MINUTES 0", "ACCESS_TOKEN_EXPIRE_MINUTES=0", "from 1 to", nil},
	{"ACCESS_TOKEN_EXPIRE_MINUTES -1", "ACCESS_TOKEN_EXPIRE_MINUTES=-1", "from 1 to", nil},
	{"ACCESS_TOKEN_EXPIRE_MINUTES 15m", "ACCESS_TOKEN_EXPIRE_MINUTES=15m", "whole number", nil},
	{"ACCESS_TOKEN_EXPIRE_MINUTES 1.5", "ACCESS_TOKEN_EXPIRE_MINUTES=1.5", "whole number", nil},
	{"ACCESS_TOKEN_EXPIRE_MINUTES over 64 bits", "ACCESS_TOKEN_EXPIRE_MINUTES=99999999999999999999", "whole number", nil},
	{"ACCESS_TOKEN_EXPIRE_MINUTES over 292 years", "ACCESS_TOKEN_EXPIRE_MINUTES=153722868", "from 1 to", nil},
	{"REFRESH_TOKEN_EXPIRE_DAYS 0", "REFRESH_TOKEN_EXPIRE_DAYS=0", "from 1 to 3650", nil},
	{"REFRESH_TOKEN_EXPIRE_DAYS 3651", "REFRESH_TOKEN_EXPIRE_DAYS=3651", "from 1 to 3650", nil},
	{"REFRESH_TOKEN_EXPIRE_DAYS 30d", "REFRESH_TOKEN_EXPIRE_DAYS=30d", "whole number", nil},
	{"REFRESH_TOKEN_EXPIRE_DAYS that is empty", "REFRESH_TOKEN_EXPIRE_DAYS=", "whole number", nil},
	{"REFRESH_TOKEN_IDLE_DAYS 0", "REFRESH_TOKEN_IDLE_DAYS=0", "from 1 to 3650", nil},
	{"REFRESH_TOKEN_IDLE_DAYS 3651", "REFRESH_TOKEN_IDLE_DAYS=3651", "from 1 to 3650", nil},
	{"REFRESH_TOKEN_IDLE_DAYS 0.5", "REFRESH_TOKEN_IDLE_DAYS=0.5", "whole number", nil},
	{"REFRESH_GRACE_SECONDS -1", "REFRESH_GRACE_SECONDS=-1", "from 0 to 600", nil},
	{"REFRESH_GRACE_SECONDS 601", "REFRESH_GRACE_SECONDS=601", "from 0 to 600", nil},
	{"IDLE_TIMEOUT_SECONDS 9", "IDLE_TIMEOUT_SECONDS=9", "from 10 to 3600", nil},
	{"SHUTDOWN_DELAY_SECONDS 301", "SHUTDOWN_DELAY_SECONDS=301", "from 0 to 300", nil},
	{"REFRESH_GRACE_SECONDS 10s", "REFRESH_GRACE_SECONDS=10s", "whole number", nil},
	{"PBKDF2_ITERATIONS 99999", "PBKDF2_ITERATIONS=99999", "from 100000 to 10000000", nil},
	{"PBKDF2_ITERATIONS 10000001", "PBKDF2_ITERATIONS=10000001", "from 100000 to 10000000", nil},
	{"PBKDF2_ITERATIONS 600_000", "PBKDF2_ITERATIONS=600_000", "from 100000 to 10000000", nil},
	{"PBKDF2_ITERATIONS 6e5", "PBKDF2_ITERATIONS=6e5", "from 100000 to 10000000", nil},
	{"MIN_PASSWORD_LENGTH 0", "MIN_PASSWORD_LENGTH=0", "from 1 to 64", nil},
	{"MIN_PASSWORD_LENGTH 65", "MIN_PASSWORD_LENGTH=65", "from 1 to 64", nil},
	{"MIN_PASSWORD_LENGTH that is empty", "MIN_PASSWORD_LENGTH=", "from 1 to 64", nil},
	{"SHUTDOWN_SECONDS -1", "SHUTDOWN_SECONDS=-1", "whole number", nil},
	{"SHUTDOWN_SECONDS 30s", "SHUTDOWN_SECONDS=30s", "whole number", nil},

	{"ALLOW_REGISTRATION no", "ALLOW_REGISTRATION=no", "true or false", nil},
	{"ALLOW_REGISTRATION that is empty", "ALLOW_REGISTRATION=", "true or false", nil},
	{"EXPOSE_USERS 1", "EXPOSE_USERS=1", "true or false", nil},
	{"EXPOSE_USERS on every address", "EXPOSE_USERS=true", "loopback", []string{"ADDR=:8000"}},
	{"EXPOSE_USERS on 0.0.0.0", "EXPOSE_USERS=true", "loopback", []string{"ADDR=0.0.0.0:8000"}},
	{"EXPOSE_USERS on [::]", "EXPOSE_USERS=true", "loopback", []string{"ADDR=[::]:8000"}},
	{"EXPOSE_USERS on a name that begins with localhost", "EXPOSE_USERS=true", "loopback", []string{"ADDR=localhost.example:8000"}},

	{"CORS_ORIGINS of * and another", "CORS_ORIGINS=*,https://x", "* alone", nil},
	{"CORS_ORIGINS of another and *", "CORS_ORIGINS=https://x,*", "* alone", nil},
	{"CORS_ORIGINS without a scheme", "CORS_ORIGINS=app.example", "origins such as", nil},
	{"CORS_ORIGINS with a slash at the end", "CORS_ORIGINS=https://app.example/", "origins such as", nil},
	{"CORS_ORIGINS with a path", "CORS_ORIGINS=https://app.example/x", "origins such as", nil},
	{"CORS_ORIGINS with a user", "CORS_ORIGINS=https://u@app.example", "origins such as", nil},
	{"CORS_ORIGINS with capitals", "CORS_ORIGINS=https://App.example", "origins such as", nil},
	{"CORS_ORIGINS null", "CORS_ORIGINS=null", "origins such as", nil},
	{"CORS_ORIGINS of a file", "CORS_ORIGINS=file:///x", "origins such as", nil},
	{"CORS_ORIGINS with * for a part of the host", "CORS_ORIGINS=https://*.example", "origins such as", nil},
	{"CORS_ORIGINS with any port elsewhere", "CORS_ORIGINS=https://app.example:*", "origins such as", nil},
	{"CORS_ORIGINS with port 65536", "CORS_ORIGINS=https://app.example:65536", "origins such as", nil},
	{"CORS_ORIGINS with an empty port", "CORS_ORIGINS=https://app.example:", "origins such as", nil},
	{"CORS_ORIGINS with a comma at the end", "CORS_ORIGINS=https://app.example,", "origins such as", nil},

	{"TRUSTED_PROXIES with 33 bits of IPv4", "TRUSTED_PROXIES=10.0.0.0/33", "CIDR", nil},
	{"TRUSTED_PROXIES with three bytes", "TRUSTED_PROXIES=10.0.0/8", "CIDR", nil},
	{"TRUSTED_PROXIES by name", "TRUSTED_PROXIES=proxy.example", "CIDR", nil},
	{"TRUSTED_PROXIES with a comma at the end", "TRUSTED_PROXIES=10.0.0.0/8,", "CIDR", nil},

	{"THROTTLE true", "THROTTLE=true", "on or off", nil},
	{"THROTTLE 0", "THROTTLE=0", "on or off", nil},
	{"THROTTLE that is empty", "THROTTLE=", "on or off", nil},

	{"LOG_LEVEL trace", "LOG_LEVEL=trace", "debug, info, warn or error", nil},
	{"LOG_LEVEL that is empty", "LOG_LEVEL=", "debug, info, warn or error", nil},
	{"LOG_LEVEL info+1", "LOG_LEVEL=info+1", "debug, info, warn or error", nil},
	{"LOG_FORMAT xml", "LOG_FORMAT=xml", "text or json", nil},

	{"DATABASE_URL of an unknown kind", "DATABASE_URL=mysql://u:opensesame@db/x", "sqlite:path/to/file.db, postgres://", []string{"SECRET_KEY=" + aKey}},
	{"DATABASE_URL of a file alone", "DATABASE_URL=users.db", "sqlite:path/to/file.db", []string{"SECRET_KEY=" + aKey}},
	{"DATABASE_URL with capitals", "DATABASE_URL=SQLITE:users.db", "sqlite:path/to/file.db", []string{"SECRET_KEY=" + aKey}},
	{"DATABASE_URL without a path", "DATABASE_URL=sqlite:", "path of a file", []string{"SECRET_KEY=" + aKey}},
	{"DATABASE_URL of SQLite's memory", "DATABASE_URL=sqlite::memory:", "path of a file", []string{"SECRET_KEY=" + aKey}},
	{"DATABASE_URL whose slashes may mean two things", "DATABASE_URL=sqlite://users.db", "path of a file", []string{"SECRET_KEY=" + aKey}},
	{"DATABASE_URL with a port that is none", "DATABASE_URL=postgres://u:opensesame@db:http/x", "postgres://user:password@host", []string{"SECRET_KEY=" + aKey}},
	{"DATABASE_URL with a raw password", "DATABASE_URL=postgres://u:open#sesame/x@db/x", "%XX", []string{"SECRET_KEY=" + aKey}},
	{"DATABASE_URL with a TLS mode that is none", "DATABASE_URL=postgres://u:opensesame@db/x?sslmode=on", "postgres://user:password@host", []string{"SECRET_KEY=" + aKey}},
	{"DATABASE_URL with one connection", "DATABASE_URL=postgres://u:opensesame@db/x?pool_max_conns=1", "at least 2", []string{"SECRET_KEY=" + aKey}},
	{"DATABASE_URL without a key", "SECRET_KEY", "outlive this run", []string{"DATABASE_URL=sqlite:users.db"}},
	{"DATABASE_URL without a secret, though tokens are signed by a private key", "SECRET_KEY", "outlive this run", []string{"DATABASE_URL=sqlite:users.db", "ALGORITHM=ES256", "PRIVATE_KEY_FILE=p256.pem"}},
	{"DATABASE_URL twice", "DATABASE_URL_FILE=url.txt", "only one of them", []string{"SECRET_KEY=" + aKey, "DATABASE_URL=sqlite:users.db"}},
}

// badKeys are settings that name files, which writeKeys has written.
var badKeys = []badSetting{
	{"PRIVATE_KEY missing", "PRIVATE_KEY", "RSA key", []string{"ALGORITHM=RS256"}},
	{"PRIVATE_KEY that is no PEM", "PRIVATE_KEY=" + aKey, "PEM", []string{"ALGORITHM=RS256"}},
	{"PRIVATE_KEY_FILE that is missing", "PRIVATE_KEY_FILE=nowhere.pem", "no such file", []string{"ALGORITHM=RS256"}},
	{"a key file with HS256", "PRIVATE_KEY_FILE=rsa.pem", "not used with HS256", nil},
	{"RSA of 1024 bits", "PRIVATE_KEY_FILE=rsa1024.pem", "2048", []string{"ALGORITHM=RS256"}},
	{"RSA for ES256", "PRIVATE_KEY_FILE=rsa.pem", "P-256", []string{"ALGORITHM=ES256"}},
	{"P-384 for ES256", "PRIVATE_KEY_FILE=p384.pem", "P-256", []string{"ALGORITHM=ES256"}},
	{"Ed25519 for RS256", "PRIVATE_KEY_FILE=ed25519.pem", "RSA key", []string{"ALGORITHM=RS256"}},
	{"P-256 for EdDSA", "PRIVATE_KEY_FILE=p256.pem", "Ed25519 key", []string{"ALGORITHM=EdDSA"}},
	{"a public key", "PRIVATE_KEY_FILE=public.pem", "private", []string{"ALGORITHM=ES256"}},
	{"a certificate", "PRIVATE_KEY_FILE=cert.pem", "PRIVATE KEY", []string{"ALGORITHM=ES256"}},
	{"two keys in one file", "PRIVATE_KEY_FILE=two.pem", "one key", []string{"ALGORITHM=ES256"}},
	{"an empty key file", "PRIVATE_KEY_FILE=empty.pem", "PEM", []string{"ALGORITHM=ES256"}},
	{"a PEM block with garbage in it", "PRIVATE_KEY_FILE=garbage.pem", "PEM", []string{"ALGORITHM=ES256"}},

	{"PRIVATE_KEY_FALLBACKS_DIR that is missing", "PRIVATE_KEY_FALLBACKS_DIR=nowhere", "nowhere", []string{"ALGORITHM=ES256", "PRIVATE_KEY_FILE=p256.pem"}},
	{"PRIVATE_KEY_FALLBACKS_DIR without a key", "PRIVATE_KEY_FALLBACKS_DIR=none", ".pem", []string{"ALGORITHM=ES256", "PRIVATE_KEY_FILE=p256.pem"}},
	{"PRIVATE_KEY_FALLBACKS_DIR with a key of another kind", "PRIVATE_KEY_FALLBACKS_DIR=p384", "P-256", []string{"ALGORITHM=ES256", "PRIVATE_KEY_FILE=p256.pem"}},

	{"TLS_CERT_FILE alone", "TLS_CERT_FILE=cert.pem", "both or neither", nil},
	{"TLS_KEY_FILE of another certificate", "TLS_CERT_FILE=cert.pem", "does not match", []string{"TLS_KEY_FILE=p256.pem"}},
	{"TLS_CERT_FILE that is missing", "TLS_CERT_FILE=nowhere.pem", "no such file", []string{"TLS_KEY_FILE=certkey.pem"}},
	{"TLS_CERT_FILE that has expired", "TLS_CERT_FILE=expired.pem", "expired", []string{"TLS_KEY_FILE=certkey.pem"}},
	{"TLS_CERT_FILE that is a key", "TLS_CERT_FILE=certkey.pem", "certificate", []string{"TLS_KEY_FILE=certkey.pem"}},
	{"TLS_CERT_FILE missing beside its key", "TLS_CERT_FILE", "both or neither", []string{"TLS_KEY_FILE=certkey.pem"}},
	{"TLS_KEY_FILE that is missing", "TLS_KEY_FILE=nowhere.pem", "no such file", []string{"TLS_CERT_FILE=cert.pem"}},
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKeys(t, dir)
	for _, tt := range slices.Concat(badSettings, badKeys) {
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

// anyPort returns settings with a port that is free, unless they name one: check
// listens there for a moment.
func anyPort(env []string) []string { return append([]string{"ADDR=localhost:0"}, env...) }

func TestGoodSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKeys(t, dir)
	tests := []struct {
		name string
		env  []string
	}{
		{"ADDR without a host", []string{"ADDR=:0"}},
		{"ADDR in IPv6", []string{"ADDR=[::1]:0"}},
		{"ADDR with port 65535", []string{"ADDR=localhost:65535"}},
		{"SECRET_KEY of 32 bytes", []string{"SECRET_KEY=" + aKey[:32]}},
		{"SECRET_KEY_FILE", []string{"SECRET_KEY_FILE=secret"}},
		{"SECRET_KEY_FALLBACKS of two", []string{"SECRET_KEY=" + aKey, "SECRET_KEY_FALLBACKS=" + aKey[1:] + "," + aKey[2:]}},
		{"SECRET_KEY_FALLBACKS that is empty", []string{"SECRET_KEY_FALLBACKS="}},
		{"RSA of 2048 bits", []string{"ALGORITHM=RS256", "PRIVATE_KEY_FILE=rsa.pem"}},
		{"P-256", []string{"ALGORITHM=ES256", "PRIVATE_KEY_FILE=p256.pem"}},
		{"Ed25519", []string{"ALGORITHM=EdDSA", "PRIVATE_KEY_FILE=ed25519.pem"}},
		{"a public key as fallback", []string{"ALGORITHM=ES256", "PRIVATE_KEY_FILE=p256.pem", "PRIVATE_KEY_FALLBACKS_DIR=public"}},
		{"the least numbers", []string{"ACCESS_TOKEN_EXPIRE_MINUTES=1", "PBKDF2_ITERATIONS=100000", "MIN_PASSWORD_LENGTH=1", "SHUTDOWN_SECONDS=0"}},
		{"the most rounds", []string{"PBKDF2_ITERATIONS=10000000", "MIN_PASSWORD_LENGTH=64"}},
		{"the shortest sessions", []string{"REFRESH_TOKEN_EXPIRE_DAYS=1", "REFRESH_TOKEN_IDLE_DAYS=1", "REFRESH_GRACE_SECONDS=0"}},
		{"the longest sessions", []string{"REFRESH_TOKEN_EXPIRE_DAYS=3650", "REFRESH_TOKEN_IDLE_DAYS=3650", "REFRESH_GRACE_SECONDS=600"}},
		{"sessions that are idle for longer than they live", []string{"REFRESH_TOKEN_EXPIRE_DAYS=1", "REFRESH_TOKEN_IDLE_DAYS=2"}},
		{"access tokens that live as long as sessions", []string{"ACCESS_TOKEN_EXPIRE_MINUTES=1440", "REFRESH_TOKEN_EXPIRE_DAYS=1", "REFRESH_TOKEN_IDLE_DAYS=1"}},
		{"a secret beside a private key", []string{"SECRET_KEY=" + aKey, "DATABASE_URL=sqlite:new.db", "ALGORITHM=ES256", "PRIVATE_KEY_FILE=p256.pem"}},
		{"DATABASE_URL of a new file", []string{"SECRET_KEY=" + aKey, "DATABASE_URL=sqlite:new.db"}},
		{"EXPOSE_USERS on localhost", []string{"EXPOSE_USERS=true"}},
		{"EXPOSE_USERS on 127.0.0.2", []string{"EXPOSE_USERS=true", "ADDR=127.0.0.2:0"}},
		{"EXPOSE_USERS on [::1]", []string{"EXPOSE_USERS=true", "ADDR=[::1]:0"}},
		{"EXPOSE_USERS false on every address", []string{"EXPOSE_USERS=false", "ADDR=:0"}},
		{"CORS_ORIGINS of * alone", []string{"CORS_ORIGINS=*"}},
		{"CORS_ORIGINS of two with a space between", []string{"CORS_ORIGINS=https://app.example, http://localhost:*"}},
		{"CORS_ORIGINS that is empty", []string{"CORS_ORIGINS="}},
		{"TRUSTED_PROXIES of IPv4 and IPv6", []string{"TRUSTED_PROXIES=10.0.0.0/8,fd00::/8,192.0.2.1"}},
		{"THROTTLE on", []string{"THROTTLE=on"}},
		{"THROTTLE off", []string{"THROTTLE=off"}},
		{"HTTPS", []string{"TLS_CERT_FILE=cert.pem", "TLS_KEY_FILE=certkey.pem"}},
		{"logs for a program", []string{"LOG_LEVEL=debug", "LOG_FORMAT=json"}},
		{"logs for people", []string{"LOG_LEVEL=error", "LOG_FORMAT=text"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := invocation{args: []string{"check"}, env: anyPort(tt.env), dir: dir}.run(t)
			if got.code != 0 || got.stderr != "" || !strings.Contains(got.stdout, "ok: ") {
				t.Errorf("exit code %d, %s%s; want 0 and ok", got.code, got.stdout, got.stderr)
			}
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
		t.Run(tt.name, func(t *testing.T) { tt.check(t, start(t, tt.settings...)) })
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

// TestSettingsWarnings wants a warning of settings that are good, but do not do what
// they say.
func TestSettingsWarnings(t *testing.T) {
	t.Parallel()
	const longer = "ACCESS_TOKEN_EXPIRE_MINUTES is longer"
	tests := []struct {
		name   string
		env    []string
		says   string
		warned bool
	}{
		{"access tokens that live as long as sessions", []string{"ACCESS_TOKEN_EXPIRE_MINUTES=1440", "REFRESH_TOKEN_EXPIRE_DAYS=1"}, longer, false},
		{"access tokens that live a minute longer", []string{"ACCESS_TOKEN_EXPIRE_MINUTES=1441", "REFRESH_TOKEN_EXPIRE_DAYS=1"}, longer, true},
		{"access tokens that outlive idle sessions by a minute", []string{"ACCESS_TOKEN_EXPIRE_MINUTES=2881", "REFRESH_TOKEN_IDLE_DAYS=2"}, longer, true},
		{"access tokens that live as long as idle sessions", []string{"ACCESS_TOKEN_EXPIRE_MINUTES=2880", "REFRESH_TOKEN_IDLE_DAYS=2"}, longer, false},
		{"no secret", nil, "SECRET_KEY is not set", true},
		{"a secret", []string{"SECRET_KEY=" + aKey}, "SECRET_KEY is not set", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := invocation{args: []string{"check"}, env: anyPort(tt.env)}.run(t)
			if got.code != 0 || strings.Contains(got.stdout, "warning: "+tt.says) != tt.warned {
				t.Errorf("exit code %d, %s; want 0, and the warning %q: %v", got.code, got.stdout, tt.says, tt.warned)
			}
		})
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
			check := invocation{args: []string{"check"}, env: anyPort(tt.env), dir: dir}
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
