package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A settingRow is what latchkey check makes of an environment.
type settingRow struct {
	name    string
	environ []string
	says    string // a warning, or with refused a problem; none if it is empty
	value   string // in effect, of the first of environ
	refused bool
}

func checkSettings(t *testing.T, tests []settingRow) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := readConfig(everything, nil, append(tt.environ, "SECRET_KEY="+goodKey), false)
			warnings := strings.Join(cfg.Warnings, "\n")
			if tt.refused {
				if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n") {
					t.Fatalf("problems %v; want one that says %q", err, tt.says)
				}
				return
			}
			if err != nil || !strings.Contains(warnings, tt.says) || tt.says == "" && warnings != "" {
				t.Fatalf("problems %v, warnings %q; want none, and the warning %q", err, warnings, tt.says)
			}
			name, _, _ := strings.Cut(tt.environ[0], "=")
			i := slices.IndexFunc(cfg.InEffect, func(s settingInEffect) bool { return s.name == strings.TrimSuffix(name, "_FILE") })
			if tt.value != "" && cfg.InEffect[i].value != tt.value {
				t.Errorf("%s is %q; want %q", name, cfg.InEffect[i].value, tt.value)
			}
		})
	}
}

func TestValuesAsPeopleWriteThem(t *testing.T) {
	const ends = "white space or quotes at the ends"
	checkSettings(t, []settingRow{
		{"true as Python prints it", []string{"ALLOW_REGISTRATION=True"}, "", "true", false},
		{"false as Python prints it", []string{"ALLOW_REGISTRATION=False"}, "", "false", false},
		{"true in capitals", []string{"ALLOW_REGISTRATION=TRUE"}, "", "true", false},
		{"1 for true says what is right", []string{"ALLOW_REGISTRATION=1"}, "want true or false: true", "", true},
		{"no for false says what is right", []string{"ALLOW_REGISTRATION=No"}, "want true or false: false", "", true},
		{"off for true or false says what is right", []string{"EXPOSE_USERS=OFF"}, "want true or false: false", "", true},
		{"on in capitals", []string{"THROTTLE=ON"}, "", "on", false},
		{"off with a capital", []string{"THROTTLE=Off"}, "", "off", false},
		{"false for off says what is right", []string{"THROTTLE=False"}, "want on or off: off", "", true},
		{"a log level in capitals", []string{"LOG_LEVEL=INFO"}, "", "info", false},
		{"a log level by Python's name", []string{"LOG_LEVEL=WARNING"}, "", "warn", false},
		{"a log level that is none", []string{"LOG_LEVEL=critical"}, "want debug, info, warn or error", "", true},
		{"a log format in capitals", []string{"LOG_FORMAT=JSON"}, "", "json", false},

		{"a number in quotes", []string{`PBKDF2_ITERATIONS="700000"`}, ends, "700000", false},
		{"a number in single quotes", []string{"PBKDF2_ITERATIONS='700000'"}, ends, "700000", false},
		{"a number before a newline", []string{"PBKDF2_ITERATIONS=700000\r\n"}, ends, "700000", false},
		{"a number in quotes within spaces", []string{"PBKDF2_ITERATIONS= \" 700000 \" "}, ends, "700000", false},
		{"a number with one quote", []string{"PBKDF2_ITERATIONS=\"700000"}, "whole number", "", true},
		{"a number with units", []string{"SHUTDOWN_SECONDS=30s"}, "whole number", "", true},
		{"an address before a space", []string{"ADDR=localhost:8123 "}, ends, "localhost:8123", false},
		{"a word before a space", []string{"THROTTLE=on "}, ends, "on", false},
		{"an issuer in the quotes of a word processor", []string{"ISSUER=“us”"}, ends, "us", false},
		{"an issuer that ends with a quote", []string{"ISSUER=us'"}, "begins or ends with a quote", "us'", false},
		{"an issuer with a quote inside", []string{"ISSUER=us's own"}, "", "us's own", false},
		{"an issuer after a byte order mark", []string{"ISSUER=\ufeffus"}, ends, "us", false},
		{"nothing in quotes", []string{`CORS_ORIGINS=""`}, ends, "-", false},
		{"a list with spaces", []string{"TRUSTED_PROXIES=10.0.0.0/8, 192.0.2.1"}, "", "", false},
		{"a path of a secret before a newline", []string{"DATABASE_URL_FILE=/dev/null\n"}, ends, "memory", false},

		{"exposed users", []string{"EXPOSE_USERS=true"}, "every password hash", "true", false},
		{"metrics for everybody", []string{"METRICS_ADDR=:9090"}, "loopback or private address", ":9090", false},
		{"metrics at an address of the Internet", []string{"METRICS_ADDR=203.0.113.1:9090"}, "loopback or private address", "203.0.113.1:9090", false},
		{"metrics at a name", []string{"METRICS_ADDR=metrics.example:9090"}, "loopback or private address", "metrics.example:9090", false},
		{"metrics at a name that begins with localhost", []string{"METRICS_ADDR=localhost.example:9090"}, "loopback or private address", "localhost.example:9090", false},
		{"metrics at an IPv4 address of the Internet, in IPv6", []string{"METRICS_ADDR=[::ffff:203.0.113.1]:9090"}, "loopback or private address", "[::ffff:203.0.113.1]:9090", false},
		{"metrics on this machine", []string{"METRICS_ADDR=localhost:9090"}, "", "localhost:9090", false},
		{"metrics on this machine, in IPv6", []string{"METRICS_ADDR=[::1]:9090"}, "", "[::1]:9090", false},
		{"metrics in a private network", []string{"METRICS_ADDR=10.1.2.3:9090"}, "", "10.1.2.3:9090", false},
		{"metrics in a private network, in IPv6", []string{"METRICS_ADDR=[fd00::1]:9090"}, "", "[fd00::1]:9090", false},
		{"no metrics", []string{"METRICS_ADDR="}, "", "-", false},
	})
}

// TestPEMInSettings: a key is taken from a variable, a file and a directory in the form
// that people have it in, and quotes around it are a warning.
func TestPEMInSettings(t *testing.T) {
	keys := pemKeys(t)
	for _, form := range []struct {
		of     func(text string) string
		quoted bool
	}{
		{func(text string) string { return text }, false},
		{func(text string) string { return strings.ReplaceAll(text, "\n", `\n`) }, false},
		{func(text string) string { return "'" + text + "'\n" }, true},
		{func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }, false},
	} {
		text, older, quoted := form.of(keys["P-256 after its parameters"].text), form.of(keys["Ed25519"].text), form.quoted
		dir := filepath.Join(t.TempDir(), "keys[1]")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "key.pem")
		if err := os.WriteFile(path, []byte(older), 0o644); err != nil {
			t.Fatal(err)
		}
		environ := []string{"SECRET_KEY=" + goodKey, "ALGORITHM=ES256", "PRIVATE_KEY_FALLBACKS_DIR=" + dir, "PRIVATE_KEY=" + text}
		cfg, err := readConfig(everything, nil, environ, false)
		if err != nil || len(cfg.OwnKeys) != 2 {
			t.Fatalf("%v, %d keys; want 2", err, len(cfg.OwnKeys))
		}
		warnings := strings.Join(cfg.Warnings, "\n")
		if !strings.Contains(warnings, "can read "+path) || strings.Contains(warnings, "PRIVATE_KEY: white space or quotes") != quoted {
			t.Errorf("warnings %q; want one of the file, and one of the quotes: %v", warnings, quoted)
		}
	}
}

// TestCommandsReadWhatTheyNeed: a command that needs only users asks for no key, and does not
// mind what is wrong with settings that it has no use for.
func TestCommandsReadWhatTheyNeed(t *testing.T) {
	const db = "DATABASE_URL=sqlite:users.db"
	for _, tt := range []struct {
		name    string
		needs   need
		environ []string
		problem string
	}{
		{"users need no key", forUsers, []string{db}, ""},
		{"users do not mind a weak key", forUsers, []string{db, "SECRET_KEY=secret"}, ""},
		{"users do not mind a key's file that is missing", forUsers, []string{db, "SECRET_KEY_FILE=/nowhere"}, ""},
		{"users do not mind an address that is none", forUsers, []string{db, "ADDR=here"}, ""},
		{"users do not mind a certificate that is missing", forUsers, []string{db, "TLS_CERT_FILE=/nowhere"}, ""},
		{"users mind a database that is none", forUsers, []string{"DATABASE_URL=mysql://h/db"}, "DATABASE_URL"},
		{"users mind too few rounds", forUsers, []string{db, "PBKDF2_ITERATIONS=1"}, "PBKDF2_ITERATIONS"},
		{"tokens mind a weak key", forTokens, []string{"SECRET_KEY=secret"}, "SECRET_KEY"},
		{"tokens do not mind an address that is none", forTokens, []string{"ADDR=here"}, ""},
		{"a server minds an address that is none", forServer, []string{"ADDR=here"}, "ADDR"},
		{"a health check minds an address that is none", forReady, []string{"ADDR=here"}, "ADDR"},
		{"a health check minds a certificate that is missing", forReady, []string{"TLS_CERT_FILE=/nowhere"}, "TLS_CERT_FILE"},
		{"a health check minds a certificate that is none", forReady, []string{"TLS_CERT_FILE=config_test.go"}, "TLS_CERT_FILE"},
		{"a health check does not mind a database that is none", forReady, []string{"DATABASE_URL=mysql://h/db"}, ""},
		{"a backup minds a database that is none", forDatabase, []string{"DATABASE_URL=mysql://h/db"}, "DATABASE_URL"},
		{"a backup does not mind too few rounds", forDatabase, []string{db, "PBKDF2_ITERATIONS=1"}, ""},
		{"everything with a database needs a key", everything, []string{db}, "SECRET_KEY"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := readConfig(tt.needs, nil, tt.environ, false)
			if tt.problem == "" && err != nil || tt.problem != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.problem+": ")) {
				t.Errorf("problems %v; want %q", err, tt.problem)
			}
			for _, s := range cfg.InEffect {
				i := slices.IndexFunc(settings, func(row setting) bool { return row.name == s.name })
				if settings[i].needs&tt.needs == 0 {
					t.Errorf("%s is in effect", s.name)
				}
			}
		})
	}
	if cfg, err := readConfig(forUsers, nil, []string{db, "PBKDF2_ITERATION=x"}, false); err != nil || len(cfg.Warnings) != 1 {
		t.Errorf("a misspelt variable: %v, %q; want a warning", err, cfg.Warnings)
	}
}

// TestSettingsTable: a row says who needs it, and its default is good.
func TestSettingsTable(t *testing.T) {
	for _, s := range settings {
		if s.needs&everything == 0 || s.meaning == "" {
			t.Errorf("%s: needs %b, meaning %q", s.name, s.needs, s.meaning)
		}
		if s.kind.limits != "" && !strings.Contains(s.describe(), s.kind.limits) {
			t.Errorf("%s does not say its limits", s.name)
		}
	}
	if cfg, err := readConfig(everything, nil, nil, false); err != nil || cfg.Addr == "" || cfg.Sessions.idle != 14*day || !cfg.Throttled {
		t.Errorf("the defaults are %+v, %v", cfg, err)
	}
}
