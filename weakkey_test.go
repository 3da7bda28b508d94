package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

func TestWeakKeys(t *testing.T) {
	pem := "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n"
	tests := []struct{ name, key, reason string }{
		{"31 bytes", goodKey[:31], "has 31 bytes"},
		{"one byte 40 times", strings.Repeat("k", 40), "pattern of 1 byte"},
		{"zeros", strings.Repeat("\x00", 32), "pattern of 1 byte"},
		{"spaces", strings.Repeat(" ", 40), "white space"},
		{"a word again and again", strings.Repeat("password", 4), "pattern of 8 bytes"},
		{"a word again and again, cut off", strings.Repeat("sesame", 7)[:37], "pattern of 6 bytes"},
		{"two bytes in some order", "azzazaazzaazazzazaazazzaazzazaaz", "2 different bytes"},

		{"FastAPI's key", "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", "everybody knows"},
		{"FastAPI's key in capitals", "09D25E094FAA6CA2556C818166B7A9563B93F7099F6F0F4CAA6CF63B88E8D3E7", "everybody knows"},
		{"FastAPI's key before a newline", "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7\n", "everybody knows"},
		{"FastAPI's key in spaces and quotes", ` "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7" `, "everybody knows"},
		{"Flask's key", "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf", "everybody knows"},
		{"the exercise's key", "your-secret-key", "everybody knows"},
		{"the exercise's key in capitals", "YOUR-SECRET-KEY", "everybody knows"},
		{"the exercise's key, made longer", "your-secret-key-your-secret-key-1234", "everybody knows"},
		{"jwt.io's old key", "your-256-bit-secret", "everybody knows"},
		{"jwt.io's old key, made longer", "your-256-bit-secret-which-is-long-enough", "everybody knows"},
		{"jwt.io's new key", "a-string-secret-at-least-256-bits-long", "everybody knows"},
		{"jwt.io's key of 512 bits", "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long", "everybody knows"},
		{"RFC 7515's key", "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow", "everybody knows"},
		{"change-me", "change-me", "everybody knows"},
		{"change-me, made longer", "Change_Me_To_Something_Long_And_Random!!", "everybody knows"},
		{"a placeholder with words between", "please CHANGE THIS before you go live, will you", "everybody knows"},
		{"a command that was not carried out", "$(openssl rand -hex 32) # a key of 32 bytes", "everybody knows"},

		{"a PEM text", pem, "PEM"},
		{"a PEM text on one line", strings.ReplaceAll(pem, "\n", `\n`), "PEM"},
		{"a PEM text in base64", base64.StdEncoding.EncodeToString([]byte(pem)), "PEM"},
		{"a public key of SSH", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGx0eXBlIGtleSB0aGF0IGlz u@h", "SSH"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fallback := strings.ReplaceAll(tt.key, ",", "") // which separates them
			for _, environ := range [][]string{{"SECRET_KEY=" + tt.key}, {"SECRET_KEY=" + goodKey, "SECRET_KEY_FALLBACKS=" + goodKey + "," + fallback}} {
				got := runCheck(t, environ)
				name, _, _ := strings.Cut(environ[len(environ)-1], "=")
				if got.code != 2 || !strings.HasPrefix(got.stderr, name+": ") || strings.Contains(got.stderr, "\n") ||
					!strings.Contains(got.stderr, tt.reason) || !strings.Contains(got.stderr, "openssl rand -hex 32") {
					t.Errorf("exit code %d, %q; want one line with %q", got.code, got.stderr, tt.reason)
				}
				if len(tt.key) > 10 && strings.Contains(got.stderr, tt.key) {
					t.Errorf("%q shows the key", got.stderr)
				}
			}
		})
	}
}

// TestKeyInTheWrongPlace: a secret key in another variable is not printed.
func TestKeyInTheWrongPlace(t *testing.T) {
	for _, name := range []string{"ALGORITHM", "LOG_LEVEL", "LOG_FORMAT", "TRUSTED_PROXIES", "THROTTLE", "PBKDF2_ITERATIONS", "ALLOW_REGISTRATION", "ADDR", "CORS_ORIGINS"} {
		got := runCheck(t, []string{"SECRET_KEY=" + goodKey, name + "=" + goodKey})
		if got.code != 2 || !strings.Contains(got.stderr, name+": ") {
			t.Errorf("%s: exit code %d, %q", name, got.code, got.stderr)
		}
		checkNoSecret(t, got, goodKey)
	}
}

// TestDoubtfulKeys: a key that somebody thought up is taken, with a warning.
func TestDoubtfulKeys(t *testing.T) {
	for _, tt := range []struct{ name, key, reason string }{
		{"a longer word again and again", strings.Repeat("opensesame", 4), "pattern of 10 bytes"},
		{"half a key, twice", strings.Repeat(goodKey[:16], 2), "pattern of 16 bytes"},
		{"hexadecimal digits in order", "0123456789abcdef0123456789abcdef", "pattern of 16 bytes"},
		{"the alphabet", "abcdefghijklmnopqrstuvwxyz012345", "sequence"},
		{"the alphabet backwards", "zyxwvutsrqponmlkjihgfedcba987654", "sequence"},
		{"runs of digits", "0000111122223333444455556666777788889999", "sequence"},
		{"words", "my-super-secret-key-for-development-only", "thought up"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := readConfig(everything, nil, []string{"SECRET_KEY=" + tt.key}, false)
			if err != nil || len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], tt.reason) || strings.Contains(cfg.Warnings[0], tt.key) {
				t.Errorf("%v, %q; want a warning of %q", err, cfg.Warnings, tt.reason)
			}
		})
	}
}

// TestRandomKeysAreTaken: of ten thousand random keys none is refused.
func TestRandomKeysAreTaken(t *testing.T) {
	t.Parallel()
	encodings := map[string]func([]byte) string{
		"bytes":                     func(b []byte) string { return string(b) },
		"hex":                       hex.EncodeToString,
		"hex of 16 bytes":           func(b []byte) string { return hex.EncodeToString(b[:16]) },
		"hex in capitals":           func(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) },
		"base64":                    base64.StdEncoding.EncodeToString,
		"base64url without padding": base64.RawURLEncoding.EncodeToString,
		"base32":                    func([]byte) string { return rand.Text() + rand.Text() },
	}
	for name, encode := range encodings {
		t.Run(name, func(t *testing.T) {
			for range 10_000 {
				key := make([]byte, 32)
				rand.Read(key)
				if problem := weakness(encode(key)) + doubt(encode(key)); problem != "" {
					t.Fatalf("%q %s", encode(key), problem)
				}
			}
		})
	}
}

// TestKeysWithQuotesAndSpaces: they are part of the key, as they were for other programs,
// and never silently.
func TestKeysWithQuotesAndSpaces(t *testing.T) {
	for _, key := range []string{`"` + goodKey + `"`, "'" + goodKey + "'", " " + goodKey, goodKey + "\n", "\t" + goodKey + " ", `"` + goodKey, goodKey + "\r", "\ufeff" + goodKey} {
		for _, environ := range [][]string{{"SECRET_KEY=" + key}, {"SECRET_KEY=" + goodKey, "SECRET_KEY_FALLBACKS=" + goodKey + "," + key}} {
			cfg, err := readConfig(everything, nil, environ, false)
			if err != nil {
				t.Fatalf("%q: %v", environ, err)
			}
			if all := append([][]byte{cfg.Secret}, cfg.SecretFallbacks...); string(all[len(all)-1]) != key {
				t.Errorf("the key is %q; want %q", all, key)
			}
			if len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], "part of it") || strings.Contains(cfg.Warnings[0], goodKey) {
				t.Errorf("%q: warnings %q; want one", environ, cfg.Warnings)
			}
		}
	}
}
