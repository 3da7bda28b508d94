package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"net/netip"
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
		{"a version to come", []string{"METRICS_ADDR=:9090"}, "does not know it yet", "", false},
	})
}

func TestDatabaseURLs(t *testing.T) {
	const inQuotes = "white space or quotes"
	checkSettings(t, []settingRow{
		{"a relative path", []string{"DATABASE_URL=sqlite:users.db"}, "", "sqlite:users.db", false},
		{"an absolute path", []string{"DATABASE_URL=sqlite:/var/lib/users.db"}, "", "sqlite:/var/lib/users.db", false},
		{"SQLAlchemy's relative path", []string{"DATABASE_URL=sqlite:///./app.db"}, "", "sqlite:./app.db", false},
		{"SQLAlchemy's relative path of one word", []string{"DATABASE_URL=sqlite:///app.db"}, "", "sqlite:app.db", false},
		{"SQLAlchemy's relative path that may be meant as absolute", []string{"DATABASE_URL=sqlite:///data/app.db"}, "want four", "sqlite:data/app.db", false},
		{"SQLAlchemy's absolute path", []string{"DATABASE_URL=sqlite:////data/app.db"}, "", "sqlite:/data/app.db", false},
		{"SQLAlchemy's path with a driver", []string{"DATABASE_URL=sqlite+aiosqlite:///./app.db"}, "", "sqlite:./app.db", false},
		{"SQLAlchemy's absolute path with a driver", []string{"DATABASE_URL=sqlite+pysqlite:////data/app.db"}, "", "sqlite:/data/app.db", false},
		{"SQLAlchemy's memory", []string{"DATABASE_URL=sqlite://"}, "path of a file", "", true},
		{"SQLAlchemy's memory by name", []string{"DATABASE_URL=sqlite+aiosqlite:///:memory:"}, "path of a file", "", true},
		{"a path with parameters of Python", []string{"DATABASE_URL=sqlite:///./app.db?check_same_thread=False"}, "without parameters", "", true},
		{"a path after two slashes", []string{"DATABASE_URL=sqlite://app.db"}, "path of a file", "", true},
		{"a file: URL", []string{"DATABASE_URL=sqlite:///file:app.db"}, "path of a file", "", true},
		{"a path with ? in it", []string{"DATABASE_URL=sqlite:what?.db"}, "", "sqlite:what?.db", false},
		{"a path in quotes", []string{`DATABASE_URL="sqlite:///./app.db"`}, inQuotes, "sqlite:./app.db", false},

		{"PostgreSQL", []string{"DATABASE_URL=postgres://u:opensesame@h:1/db"}, "", "postgres://h:1/db", false},
		{"PostgreSQL on two hosts", []string{"DATABASE_URL=postgresql://u@h1,h2/db?sslmode=disable"}, "", "postgres://h1:5432,h2:5432/db", false},
		{"PostgreSQL with asyncpg", []string{"DATABASE_URL=postgresql+asyncpg://u:opensesame@h/db?ssl=require"}, "", "postgres://h:5432/db", false},
		{"PostgreSQL with psycopg2", []string{"DATABASE_URL=postgresql+psycopg2://u:opensesame@h/db"}, "", "postgres://h:5432/db", false},
		{"PostgreSQL with psycopg", []string{"DATABASE_URL=postgresql+psycopg://u:opensesame@h/db"}, "", "postgres://h:5432/db", false},
		{"PostgreSQL with a password of escapes", []string{"DATABASE_URL=postgres://u:%40%2F%23@h/db"}, "", "postgres://h:5432/db", false},
		{"PostgreSQL with an @ in the password", []string{"DATABASE_URL=postgres://u:a@b@h/db"}, "%XX", "", true},
		{"PostgreSQL with an @ in the user, as Azure had it", []string{"DATABASE_URL=postgres://u%40srv:opensesame@h/db"}, "", "postgres://h:5432/db", false},
		{"PostgreSQL with an @ in a parameter", []string{"DATABASE_URL=postgres://h/db?user=u@srv&password=a@b"}, "", "postgres://h:5432/db", false},
		{"PostgreSQL with a password that becomes a parameter", []string{"DATABASE_URL=postgres://u:1/x?a@h/db?sslmode=disable"}, "%XX", "", true},
		{"another database", []string{"DATABASE_URL=mysql+pymysql://u:opensesame@h/db"}, "want sqlite:path", "", true},
		{"keys and values", []string{"DATABASE_URL=host=h user=u password=opensesame"}, "want sqlite:path", "", true},
	})
}

func TestFromSQLAlchemy(t *testing.T) {
	tests := []struct{ name, url, want string }{
		{"asyncpg's ssl is sslmode", "postgresql+asyncpg://h/db?ssl=verify-full", "postgresql://h/db?sslmode=verify-full"},
		{"asyncpg's ssl is sslmode after others", "postgresql+asyncpg://h/db?application_name=x&ssl=require", "postgresql://h/db?application_name=x&sslmode=require"},
		{"asyncpg's ssl=true is require", "postgresql+asyncpg://h/db?ssl=true", "postgresql://h/db?sslmode=require"},
		{"asyncpg without parameters", "postgres+asyncpg://h/db", "postgres://h/db"},
		{"libpq's own sslmode stays", "postgresql+psycopg://h/db?sslmode=require", "postgresql://h/db?sslmode=require"},
		{"what is ours stays", "postgres://u:+asyncpg@h/db?ssl=true", "postgres://u:+asyncpg@h/db?ssl=true"},
		{"an unknown dialect stays", "mysql+pymysql://h/db", "mysql+pymysql://h/db"},
		{"nothing stays", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fromSQLAlchemy(tt.url); got != tt.want {
				t.Errorf("got %s; want %s", got, tt.want)
			}
		})
	}
}

func FuzzFromSQLAlchemy(f *testing.F) {
	for _, url := range append(badURLs, "sqlite:///./app.db", "sqlite+aiosqlite:////x", "postgresql+asyncpg://h/db?ssl=true") {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		ours := fromSQLAlchemy(url)
		if again := fromSQLAlchemy(ours); again != ours && checkDatabaseURL(ours) == nil {
			t.Errorf("%q is %q, which is %q", url, ours, again)
		}
	})
}

func TestOrigins(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"an origin", "https://app.example.com", "https://app.example.com"},
		{"another port", "https://app.example.com:8443", "https://app.example.com:8443"},
		{"the default port of https", "https://app.example.com:443", "https://app.example.com"},
		{"the default port of http", "http://app.example.com:80", "http://app.example.com"},
		{"the default port of the other scheme", "http://app.example.com:443", "http://app.example.com:443"},
		{"a port with zeros before it", "https://app.example.com:0443", "https://app.example.com"},
		{"an empty port", "https://app.example.com:", "https://app.example.com"},
		{"capitals", "HTTPS://App.Example.COM", "https://app.example.com"},
		{"a slash at the end", "https://app.example.com/", "https://app.example.com"},
		{"a path", "https://app.example.com/login?x#y", "https://app.example.com"},
		{"a query", "https://app.example.com?x", "https://app.example.com"},
		{"everything at once", "HTTPS://u:p@App.example.com:443/#/login", "https://app.example.com"},
		{"no scheme", "app.example.com", "https://app.example.com"},
		{"no scheme, on this machine", "localhost:3000", "http://localhost:3000"},
		{"letters outside ASCII", "https://Bücher.example", "https://xn--bcher-kva.example"},
		{"IPv4", "http://192.0.2.1:3000", "http://192.0.2.1:3000"},
		{"IPv6", "http://[::1]:3000", "http://[::1]:3000"},
		{"IPv6 in its long form", "http://[2001:DB8:0:0:0:0:0:1]:80", "http://[2001:db8::1]"},
		{"any port here", "http://localhost:*", "http://localhost:*"},
		{"any port of IPv6 here", "http://[::1]:*", "http://[::1]:*"},
		{"any port here, with a slash", "http://LOCALHOST:*/", "http://localhost:*"},
		{"any port elsewhere", "https://app.example.com:*", ""},
		{"any host", "https://*.example.com", ""},
		{"null", "null", ""},
		{"a file", "file:///x", ""},
		{"an extension", "chrome-extension://abcdef", ""},
		{"port 65536", "https://app.example.com:65536", ""},
		{"two in one", "https://a.example https://b.example", ""},
		{"nothing", "", ""},
		{"a scheme alone", "https://", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := asOrigin(tt.text); got != tt.want {
				t.Errorf("got %q; want %q", got, tt.want)
			}
			_, err := readConfig(everything, nil, []string{"CORS_ORIGINS=https://other.example," + tt.text}, false)
			if taken := err == nil; taken != (tt.want == tt.text && tt.text != "") {
				t.Errorf("CORS_ORIGINS with it: %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v does not say %q", err, tt.want)
			}
		})
	}
}

// FuzzOrigin: an origin that is recommended is taken.
func FuzzOrigin(f *testing.F) {
	for _, text := range []string{"https://app.example.com:443/", "localhost:3000", "http://[::1]:*", "https://Bücher.example", "u@h.example"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if want := asOrigin(text); want != "" && asOrigin(want) != want {
			t.Errorf("%q is %q, which is %q", text, want, asOrigin(want))
		}
	})
}

func TestTrustedProxiesThatHoldEverybody(t *testing.T) {
	tests := []struct {
		name, cidrs string
		warned      bool
	}{
		{"all of IPv4", "0.0.0.0/0", true},
		{"all of IPv6", "::/0", true},
		{"all of IPv6 that is in use", "2000::/3", true},
		{"half of IPv4", "128.0.0.0/1", true},
		{"IPv4 in two halves", "0.0.0.0/1,128.0.0.0/1", true},
		{"half of IPv4 in quarters", "0.0.0.0/2,64.0.0.0/2", true},
		{"half of IPv6 that is in use", "2000::/4", true},
		{"everything beside a proxy", "10.0.0.1,0.0.0.0/0", true},
		{"a quarter, twice", "0.0.0.0/2,0.0.0.0/2", false},
		{"a quarter, and what is in it", "0.0.0.0/2,0.0.0.0/3,32.0.0.0/3", false},
		{"private networks", "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,fe80::/10", false},
		{"loopback", "127.0.0.0/8,::1", false},
		{"none", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := readConfig(everything, nil, []string{"SECRET_KEY=" + goodKey, "TRUSTED_PROXIES=" + tt.cidrs}, false)
			warned := slices.ContainsFunc(cfg.Warnings, func(w string) bool { return strings.HasPrefix(w, "TRUSTED_PROXIES: ") })
			if err != nil || warned != tt.warned {
				t.Errorf("%v, warnings %q; want one: %v", err, cfg.Warnings, tt.warned)
			}
		})
	}
	if prefixes := []netip.Prefix{netip.MustParsePrefix("1.0.0.0/8")}; coversMost(prefixes) || coversMost(nil) {
		t.Error("a 256th is most of the Internet")
	}
}

func TestUnknownVariables(t *testing.T) {
	tests := []struct {
		name    string
		environ []string
		meant   string // "": no warning
	}{
		{"a letter is missing", []string{"SECRT_KEY=x"}, "SECRET_KEY"},
		{"a letter too many", []string{"SECRET_KEYS=x"}, "SECRET_KEY"},
		{"another letter", []string{"THROTTLA=off"}, "THROTTLE"},
		{"two letters swapped", []string{"DATABSAE_URL=x"}, "DATABASE_URL"},
		{"two letters swapped, twice", []string{"ESCRET_KYE=x"}, "SECRET_KEY"},
		{"two letters are missing", []string{"DTABASEURL=x"}, "DATABASE_URL"},
		{"a hyphen", []string{"SECRET-KEY=x"}, "SECRET_KEY"},
		{"three letters too many", []string{"SECRET_KEYABC=x"}, ""},
		{"small letters", []string{"secret_key=x"}, "SECRET_KEY"},
		{"our name before it", []string{"LATCHKEY_ADDR=:1"}, "ADDR"},
		{"a file of a misspelt name", []string{"SECRT_KEY_FILE=x"}, "SECRET_KEY_FILE"},
		{"a misspelt file", []string{"PRIVATE_KEY_FLIE=x"}, "PRIVATE_KEY_FILE"},
		{"a file of what is no secret", []string{"ISSUER_FILE=x"}, "ISSUER"},
		{"a short name", []string{"ADR=:1"}, "ADDR"},
		{"the singular", []string{"TRUSTED_PROXY=::1"}, "TRUSTED_PROXIES"},
		{"the singular of another", []string{"CORS_ORIGIN=x"}, "CORS_ORIGINS"},
		{"throttle with one t", []string{"THROTLE=off"}, "THROTTLE"},
		{"a setting beside it", []string{"THROTLE=off", "THROTTLE=on"}, "THROTTLE"},

		{"PORT", []string{"PORT=8080"}, "ADDR"},
		{"PORT beside another address", []string{"PORT=8080", "ADDR=localhost:1"}, "ADDR"},
		{"PORT that is in ADDR", []string{"PORT=8080", "ADDR=:8080"}, ""},
		{"HOST", []string{"HOST=0.0.0.0"}, "ADDR"},
		{"HOST that is in ADDR", []string{"HOST=0.0.0.0", "ADDR=0.0.0.0:1"}, ""},
		{"PORT that is empty", []string{"PORT="}, ""},
		{"JWT_SECRET", []string{"JWT_SECRET=x"}, "SECRET_KEY"},
		{"JWT_SECRET_KEY", []string{"JWT_SECRET_KEY=x"}, "SECRET_KEY"},
		{"SECRET", []string{"SECRET=x"}, "SECRET_KEY"},
		{"JWT_SECRET_FILE", []string{"JWT_SECRET_FILE=x"}, "SECRET_KEY_FILE"},
		{"DB_URL", []string{"DB_URL=x"}, "DATABASE_URL"},
		{"DATABASE_URI", []string{"DATABASE_URI=x"}, "DATABASE_URL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := readConfig(everything, nil, append([]string{"SECRET_KEY=" + goodKey}, tt.environ...), false)
			if err != nil {
				t.Fatal(err)
			}
			name, _, _ := strings.Cut(tt.environ[0], "=")
			if tt.meant == "" && len(cfg.Warnings) != 0 {
				t.Errorf("warnings %q; want none", cfg.Warnings)
			}
			if tt.meant != "" && (len(cfg.Warnings) != 1 || !strings.HasPrefix(cfg.Warnings[0], name+" is not a setting") || !strings.Contains(cfg.Warnings[0], tt.meant)) {
				t.Errorf("warnings %q; want one of %s and %s", cfg.Warnings, name, tt.meant)
			}
		})
	}
}

// TestMisspeltSettingThatIsRequired: the list of problems names the misspelt variable,
// and not its value.
func TestMisspeltSettingThatIsRequired(t *testing.T) {
	got := runCheck(t, []string{"DATABASE_URL=sqlite:users.db", "SECRT_KEY=" + aMarker})
	if got.code != 2 || !strings.Contains(got.stderr, "SECRET_KEY: is not set") || !strings.Contains(got.stderr, "did you mean SECRET_KEY?") {
		t.Errorf("exit code %d, %q; want both lines", got.code, got.stderr)
	}
	checkNoSecret(t, got, aMarker)
}

// TestCommonVariables: there is no warning about what is usual in the environment of a shell, a
// service, a container or a build. testdata/environ has the names.
func TestCommonVariables(t *testing.T) {
	names, err := os.ReadFile("testdata/environ")
	if err != nil {
		t.Fatal(err)
	}
	environ := []string{"SECRET_KEY=" + goodKey}
	for name := range strings.FieldsSeq(string(names)) {
		environ = append(environ, name+"=some value")
	}
	if cfg, err := readConfig(everything, nil, environ, false); err != nil || len(environ) < 200 || len(cfg.Warnings) != 0 {
		t.Errorf("%v; of %d variables there are the warnings %q; want none", err, len(environ), cfg.Warnings)
	}
}

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
			if last := cfg.Keys.public[len(cfg.Keys.public)-1]; string(last.([]byte)) != key {
				t.Errorf("the key is %q; want %q", last, key)
			}
			if len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], "part of it") || strings.Contains(cfg.Warnings[0], goodKey) {
				t.Errorf("%q: warnings %q; want one", environ, cfg.Warnings)
			}
		}
	}
}

// TestPEMInSettings: a key is taken from a variable, a file and a directory in the form
// that people have it in, and quotes around it are a warning.
func TestPEMInSettings(t *testing.T) {
	text := pemKeys(t)["P-256 after its parameters"].text
	forms := map[string]bool{text: false, strings.ReplaceAll(text, "\n", `\n`): false, "'" + text + "'\n": true, base64.StdEncoding.EncodeToString([]byte(text)): false}
	for text, quoted := range forms {
		dir := t.TempDir()
		path := filepath.Join(dir, "key.pem")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		environ := []string{"SECRET_KEY=" + goodKey, "ALGORITHM=ES256", "PRIVATE_KEY_FALLBACKS_DIR=" + dir, "PRIVATE_KEY=" + text}
		cfg, err := readConfig(everything, nil, environ, false)
		if err != nil || len(cfg.Keys.public) != 2 {
			t.Fatalf("%v, %d keys; want 2", err, len(cfg.Keys.public))
		}
		warnings := strings.Join(cfg.Warnings, "\n")
		if !strings.Contains(warnings, "can read "+path) || strings.Contains(warnings, "PRIVATE_KEY: white space or quotes") != quoted {
			t.Errorf("warnings %q; want one of the file, and one of the quotes: %v", warnings, quoted)
		}
	}
}

func TestReadableSecretFiles(t *testing.T) {
	tests := []struct {
		name    string
		file    string
		dirMode os.FileMode
		mode    os.FileMode
		warned  bool
	}{
		{"open to its owner", "key", 0o755, 0o600, false},
		{"open to a group", "key", 0o755, 0o640, false},
		{"open to everybody", "key", 0o755, 0o644, true},
		{"open to everybody who knows its name", "key", 0o711, 0o444, true},
		{"open to everybody in a directory that is not", "key", 0o700, 0o444, false},
		{"open to everybody in a directory of a group", "key", 0o750, 0o444, false},
		{"a secret of Kubernetes", "..2026_11_25_12_00_00.123456789/key", 0o755, 0o644, false},
		{"a secret of Kubernetes in a directory of its own", "..2026_11_25_12_00_00.123456789/sub/key", 0o755, 0o644, false},
		{"a credential of systemd", "credentials/key", 0o755, 0o444, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path, link := filepath.Join(dir, tt.file), filepath.Join(dir, "link")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			err1 := os.WriteFile(path, []byte(goodKey), tt.mode)
			err2 := os.Chmod(path, tt.mode)
			err3 := os.Chmod(filepath.Dir(path), tt.dirMode)
			err4 := os.Symlink(tt.file, link)
			if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
				t.Fatal(err1, err2, err3, err4)
			}
			for _, named := range []string{path, link} {
				cfg, err := readConfig(everything, nil, []string{"SECRET_KEY_FILE=" + named, "CREDENTIALS_DIRECTORY=" + filepath.Join(dir, "credentials")}, false)
				if warned := len(cfg.Warnings) == 1 && strings.Contains(cfg.Warnings[0], named); err != nil || warned != tt.warned {
					t.Errorf("%v, warnings %q; want one: %v", err, cfg.Warnings, tt.warned)
				}
			}
		})
	}
}

func TestSecretMounts(t *testing.T) {
	for path, want := range map[string]bool{
		"/run/secrets/key":         true,
		"/run/secrets/app/key":     true,
		"/var/run/secrets/key":     true,
		"/run/credentials/x/key":   true,
		"/run/secrets.d/1/key":     true,
		"/run/secretsx/key":        false,
		"/etc/x/..2026_1/key":      true,
		"/etc/latchkey/key":        false,
		"/home/u/run/secrets/key":  false,
		"/run/secret/key":          false,
		"/etc/latchkey/..key":      false,
		"/srv/run/credentials/key": false,
	} {
		if got := isSecretMount(path, ""); got != want {
			t.Errorf("%s: %v; want %v", path, got, want)
		}
	}
	if !isSecretMount("/etc/key", "/") {
		t.Error("what systemd names does not count")
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
	if cfg, err := readConfig(forUsers, nil, []string{db, "SECRET_KYE=x"}, false); err != nil || len(cfg.Warnings) != 1 {
		t.Errorf("a misspelt variable: %v, %q; want a warning", err, cfg.Warnings)
	}
}

// TestSettingsTable: a row says who needs it, and its default is good.
func TestSettingsTable(t *testing.T) {
	for _, s := range settings {
		if s.needs == 0 || s.needs&^everything != 0 || s.meaning == "" {
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

// TestOwnWords: what an error may quote are the words of our own command line.
func TestOwnWords(t *testing.T) {
	var want []string
	for _, c := range commands() {
		want = append(want, c.name)
	}
	for _, s := range settings {
		if s.flag != "" {
			want = append(want, s.flag)
		}
	}
	if slices.Sort(want); !slices.Equal(want, slices.Sorted(slices.Values(ownWords))) {
		t.Errorf("they are %q; want %q", ownWords, want)
	}
}
