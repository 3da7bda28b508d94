package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A badSetting is refused with one line that begins with its variable and says
// what it would accept.
type badSetting struct {
	name    string
	setting string // the first of the environment
	says    string
	others  []string
}

var badSettings = []badSetting{
	{"ADDR without a host and a colon", "ADDR=8000", "host:port", nil},
	{"ADDR with an empty port", "ADDR=localhost:", "host:port", nil},
	{"ADDR with port 65536", "ADDR=localhost:65536", "host:port", nil},
	{"ADDR with port -1", "ADDR=localhost:-1", "host:port", nil},
	{"ADDR that is a URL", "ADDR=http://localhost:8000", "host:port", nil},
	{"ADDR in IPv6 without brackets", "ADDR=::1:8000", "host:port", nil},
	{"ADDR that is empty", "ADDR=", "host:port", nil},
	{"METRICS_ADDR without a port", "METRICS_ADDR=localhost", "host:port", nil},
	{"METRICS_ADDR with port 65536", "METRICS_ADDR=localhost:65536", "host:port", nil},
	{"METRICS_ADDR that is a URL", "METRICS_ADDR=http://localhost:9090/metrics", "host:port", nil},
	{"METRICS_ADDR that is ADDR", "METRICS_ADDR=localhost:8123", "a port of its own", []string{"ADDR=localhost:8123"}},
	{"METRICS_ADDR that is ADDR on every address", "METRICS_ADDR=:8000", "a port of its own", []string{"ADDR=:8000"}},

	{"SECRET_KEY that is empty", "SECRET_KEY=", "32", nil},
	{"SECRET_KEY of the exercise", "SECRET_KEY=your-secret-key", "openssl rand", nil},
	{"SECRET_KEY of FastAPI's documentation", "SECRET_KEY=09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", "openssl rand", nil},
	{"SECRET_KEY and SECRET_KEY_FILE", "SECRET_KEY=" + goodKey, "only one", []string{"SECRET_KEY_FILE=secret"}},
	{"SECRET_KEY_FILE that is a directory", "SECRET_KEY_FILE=.", "is a directory", nil},
	{"SECRET_KEY_FILE without a path", "SECRET_KEY_FILE=", "no such file", nil},
	{"SECRET_KEY_FALLBACKS with a short key", "SECRET_KEY_FALLBACKS=" + goodKey + "," + goodKey[:31], "32", nil},
	{"SECRET_KEY_FALLBACKS with a comma at the end", "SECRET_KEY_FALLBACKS=" + goodKey + ",", "32", nil},
	{"SECRET_KEY_FALLBACKS with an example", "SECRET_KEY_FALLBACKS=your-secret-key," + goodKey, "openssl rand", nil},
	{"SECRET_KEY_FALLBACKS and its file", "SECRET_KEY_FALLBACKS=" + goodKey, "only one", []string{"SECRET_KEY_FALLBACKS_FILE=secret"}},

	{"ALGORITHM HS255", "ALGORITHM=HS255", "HS256, RS256, ES256 or EdDSA", nil},
	{"ALGORITHM HS512", "ALGORITHM=HS512", "HS256, RS256, ES256 or EdDSA", nil},
	{"ALGORITHM in small letters", "ALGORITHM=hs256", "HS256, RS256, ES256 or EdDSA", nil},
	{"ALGORITHM that is empty", "ALGORITHM=", "HS256, RS256, ES256 or EdDSA", nil},

	{"ACCESS_TOKEN_EXPIRE_MINUTES 0", "ACCESS_TOKEN_EXPIRE_MINUTES=0", "from 1 to", nil},
	{"ACCESS_TOKEN_EXPIRE_MINUTES -1", "ACCESS_TOKEN_EXPIRE_MINUTES=-1", "from 1 to", nil},
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

	{"DATABASE_URL of an unknown kind", "DATABASE_URL=mysql://u:opensesame@db/x", "sqlite:path/to/file.db, postgres://", []string{"SECRET_KEY=" + goodKey}},
	{"DATABASE_URL of a file alone", "DATABASE_URL=users.db", "sqlite:path/to/file.db", []string{"SECRET_KEY=" + goodKey}},
	{"DATABASE_URL with capitals", "DATABASE_URL=SQLITE:users.db", "sqlite:path/to/file.db", []string{"SECRET_KEY=" + goodKey}},
	{"DATABASE_URL without a path", "DATABASE_URL=sqlite:", "path of a file", []string{"SECRET_KEY=" + goodKey}},
	{"DATABASE_URL of SQLite's memory", "DATABASE_URL=sqlite::memory:", "path of a file", []string{"SECRET_KEY=" + goodKey}},
	{"DATABASE_URL whose slashes may mean two things", "DATABASE_URL=sqlite://users.db", "path of a file", []string{"SECRET_KEY=" + goodKey}},
	{"DATABASE_URL with a port that is none", "DATABASE_URL=postgres://u:opensesame@db:http/x", "postgres://user:password@host", []string{"SECRET_KEY=" + goodKey}},
	{"DATABASE_URL with a TLS mode that is none", "DATABASE_URL=postgres://u:opensesame@db/x?sslmode=on", "postgres://user:password@host", []string{"SECRET_KEY=" + goodKey}},
	{"DATABASE_URL with one connection", "DATABASE_URL=postgres://u:opensesame@db/x?pool_max_conns=1", "at least 2", []string{"SECRET_KEY=" + goodKey}},
	{"DATABASE_URL without a secret, though tokens are signed by a private key", "SECRET_KEY", "outlive this run", []string{"DATABASE_URL=sqlite:users.db", "ALGORITHM=ES256", "PRIVATE_KEY_FILE=p256.pem"}},
	{"DATABASE_URL twice", "DATABASE_URL_FILE=url.txt", "only one of them", []string{"SECRET_KEY=" + goodKey, "DATABASE_URL=sqlite:users.db"}},
}

// badKeys are settings that name files, which writeKeyFiles has written.
var badKeys = []badSetting{
	{"PRIVATE_KEY missing", "PRIVATE_KEY", "RSA key", []string{"ALGORITHM=RS256"}},
	{"PRIVATE_KEY that is no PEM", "PRIVATE_KEY=" + goodKey, "PEM", []string{"ALGORITHM=RS256"}},
	{"a key file with HS256", "PRIVATE_KEY_FILE=rsa.pem", "not used with HS256", nil},
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
	{"TLS_CERT_FILE that is missing", "TLS_CERT_FILE=nowhere.pem", "no such file", []string{"TLS_KEY_FILE=certkey.pem"}},
	{"TLS_CERT_FILE that is a key", "TLS_CERT_FILE=certkey.pem", "certificate", []string{"TLS_KEY_FILE=certkey.pem"}},
	{"TLS_CERT_FILE missing beside its key", "TLS_CERT_FILE", "both or neither", []string{"TLS_KEY_FILE=certkey.pem"}},
	{"TLS_KEY_FILE that is missing", "TLS_KEY_FILE=nowhere.pem", "no such file", []string{"TLS_CERT_FILE=cert.pem"}},
}

func TestBadSettings(t *testing.T) {
	t.Chdir(t.TempDir())
	writeKeyFiles(t)
	for _, tt := range append(badSettings, badKeys...) {
		t.Run(tt.name, func(t *testing.T) {
			environ := tt.others
			variable, value, isSet := strings.Cut(tt.setting, "=")
			if isSet {
				environ = append([]string{tt.setting}, tt.others...)
			}
			got := runCheck(t, environ)
			line := strings.TrimSuffix(got.stderr, "\n")
			name, _, _ := strings.Cut(line, ": ")
			if got.code != 2 || got.stdout != "" || strings.Contains(line, "\n") || !strings.Contains(line, tt.says) ||
				name != variable && name != strings.TrimSuffix(variable, "_FILE") {
				t.Errorf("exit code %d, %q, %q; want 2 and a line about %s that says %q", got.code, got.stdout, got.stderr, variable, tt.says)
			}
			if found := strings.Contains(value, "opensesame"); found {
				checkNoSecret(t, got, "opensesame")
			}
			if strings.HasPrefix(variable, "SECRET_KEY") && len(value) > 20 && !strings.HasSuffix(variable, "_FILE") {
				checkNoSecret(t, got, value[:20])
			}
		})
	}
}

func TestGoodSettings(t *testing.T) {
	t.Chdir(t.TempDir())
	writeKeyFiles(t)
	tests := []struct {
		name string
		env  []string
	}{
		{"ADDR without a host", []string{"ADDR=:0"}},
		{"ADDR in IPv6", []string{"ADDR=[::1]:0"}},
		{"METRICS_ADDR with port 0, as ADDR has", []string{"ADDR=localhost:0", "METRICS_ADDR=localhost:0"}},
		{"ADDR with port 65535", []string{"ADDR=localhost:65535"}},
		{"SECRET_KEY of 32 bytes", []string{"SECRET_KEY=" + goodKey[:32]}},
		{"SECRET_KEY_FILE", []string{"SECRET_KEY_FILE=secret"}},
		{"SECRET_KEY_FALLBACKS of two", []string{"SECRET_KEY=" + goodKey, "SECRET_KEY_FALLBACKS=" + goodKey[1:] + "," + goodKey[2:]}},
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
		{"a secret beside a private key", []string{"SECRET_KEY=" + goodKey, "DATABASE_URL=sqlite:new.db", "ALGORITHM=ES256", "PRIVATE_KEY_FILE=p256.pem"}},
		{"DATABASE_URL of a new file", []string{"SECRET_KEY=" + goodKey, "DATABASE_URL=sqlite:new.db"}},
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
			got := runCheck(t, tt.env)
			if got.code != 0 || got.stderr != "" || !strings.Contains(got.stdout, "ok: ") {
				t.Errorf("exit code %d, %s%s; want 0 and ok", got.code, got.stdout, got.stderr)
			}
		})
	}
}

// TestSettingsWarnings wants a warning of settings that are good, but do not do what
// they say.
func TestSettingsWarnings(t *testing.T) {
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
		{"a secret", []string{"SECRET_KEY=" + goodKey}, "SECRET_KEY is not set", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := runCheck(t, tt.env)
			if got.code != 0 || strings.Contains(got.stdout, "warning: "+tt.says) != tt.warned {
				t.Errorf("exit code %d, %s; want 0, and the warning %q: %v", got.code, got.stdout, tt.says, tt.warned)
			}
		})
	}
}

// writeKeyFiles writes the files that the tables name into the working directory.
func writeKeyFiles(t *testing.T) {
	t.Helper()
	p256, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsa1024, err3 := rsa.GenerateKey(rand.Reader, 1024)
	rsa2048, err4 := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, err5 := ed25519.GenerateKey(rand.Reader)
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil {
			t.Fatal(err)
		}
	}
	pair := newPemPair(t, 1, time.Now().Add(-time.Minute))
	private := func(key any) string { return string(pemPrivate(t, key)) }
	public := string(pemPublic(t, p256.Public()))
	for path, text := range map[string]string{
		"secret":            goodKey + "\n",
		"url.txt":           "sqlite:users.db",
		"rsa.pem":           private(rsa2048),
		"rsa1024.pem":       private(rsa1024),
		"p256.pem":          private(p256),
		"p384.pem":          private(p384),
		"p384/p384.pem":     private(p384),
		"ed25519.pem":       private(ed),
		"public.pem":        public,
		"public/public.pem": public,
		"two.pem":           private(p256) + private(p256),
		"empty.pem":         "",
		"garbage.pem":       string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("garbage")})),
		"cert.pem":          pair.cert,
		"certkey.pem":       pair.key,
		"none/README":       "no key",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
