package main

import (
	"fmt"
	"strings"
)

// A setting is one row of the table that latchkey -h prints. A secret can also
// be read from the file that <name>_FILE names, and is never printed.
type setting struct {
	name     string
	flag     string
	fallback string
	meaning  string
	secret   bool
}

var settings = []setting{
	{"ADDR", "addr", "localhost:8000", "listen address; port 0 picks one, which the \"listening\" log line names", false},
	{"DATABASE_URL", "db", "", "empty: memory. sqlite:path/to/file.db. postgres://... (any libpq URL, several hosts allowed). SQLAlchemy's spelling works", true},
	{"SECRET_KEY", "", "", "signs refresh tokens, and with HS256 access tokens; at least 32 bytes. Default with users in memory: random for this run", true},
	{"SECRET_KEY_FALLBACKS", "", "", "comma-separated older keys that still verify", true},
	{"ALGORITHM", "", "HS256", "HS256, RS256, ES256 or EdDSA; all but HS256 need PRIVATE_KEY", false},
	{"PRIVATE_KEY", "", "", "PEM text of the key (PKCS #8, SEC 1 or PKCS #1), also in base64 or with \\n for line ends", true},
	{"PRIVATE_KEY_FALLBACKS_DIR", "", "", "directory of PEM files whose keys still verify", false},
	{"ACCESS_TOKEN_EXPIRE_MINUTES", "", "30", "life of an access token", false},
	{"REFRESH_TOKEN_EXPIRE_DAYS", "", "30", "life of a session from its login, 1 to 3650", false},
	{"REFRESH_TOKEN_IDLE_DAYS", "", "14", "a session ends if it is not refreshed for this many days, 1 to 3650", false},
	{"REFRESH_GRACE_SECONDS", "", "60", "how long a refresh token that was just replaced gets the same successor again, 0 to 600", false},
	{"PBKDF2_ITERATIONS", "", "600000", "rounds of a new password hash, 100000 to 10000000", false},
	{"MIN_PASSWORD_LENGTH", "", "8", "code points, 1 to 64; checked at registration and change, never at login", false},
	{"ALLOW_REGISTRATION", "", "true", "false: POST /users/ answers 403", false},
	{"CORS_ORIGINS", "", "", "comma-separated origins whose pages may call; * for all. Default on a loopback address: " + loopbackOrigins, false},
	{"TRUSTED_PROXIES", "", "", "comma-separated CIDRs whose X-Forwarded-For is believed", false},
	{"THROTTLE", "", "on", "off: no limits on guessing passwords and on registering (behind a gateway, or for a load test)", false},
	{"ISSUER", "", "", "if set: put into tokens as iss and required of them", false},
	{"AUDIENCE", "", "", "if set: put into tokens as aud and required of them", false},
	{"EXPOSE_USERS", "", "false", "the original's GET /, which shows every password hash; on loopback only", false},
	{"TLS_CERT_FILE", "", "", "PEM certificate chain; with TLS_KEY_FILE: HTTPS (TLS 1.2+, HTTP/2)", false},
	{"TLS_KEY_FILE", "", "", "PEM key of TLS_CERT_FILE", false},
	{"IDLE_TIMEOUT_SECONDS", "", "120", "how long a connection may be idle, 10 to 3600; longer than the load balancer keeps it", false},
	{"LOG_LEVEL", "", "info", "debug, info, warn or error", false},
	{"LOG_FORMAT", "", "", "text or json. Default: text on a terminal, else json", false},
	{"SHUTDOWN_DELAY_SECONDS", "", "0", "after SIGTERM, how long requests are still taken while /readyz answers 503, 0 to 300", false},
	{"SHUTDOWN_SECONDS", "", "30", "how long a stop waits for requests under way, 0 to 3600", false},
}

const loopbackOrigins = "http://localhost:*,http://127.0.0.1:*"

// describe returns what a setting means, with its flag and its default.
func (s setting) describe() string {
	var extras []string
	if s.flag != "" {
		extras = append(extras, "flag -"+s.flag)
	}
	if s.fallback != "" {
		extras = append(extras, "default "+s.fallback)
	}
	if len(extras) == 0 {
		return s.meaning
	}
	return s.meaning + " (" + strings.Join(extras, ", ") + ")"
}

// A settingReader turns texts into a config and collects what is wrong with
// them.
type settingReader struct {
	environ  []variable
	values   map[string]string
	source   map[string]string // of a value that is not the table's
	unread   map[string]bool   // set to a file that cannot be read
	warnings []string
	problems []string
}

// A variable is one of the environment.
type variable struct{ name, value string }

// isSet reports whether a setting has been given a value.
func (r *settingReader) isSet(name string) bool { return r.source[name] != "" }

// bad notes a problem with a setting.
func (r *settingReader) bad(name, format string, args ...any) {
	r.problems = append(r.problems, name+": "+fmt.Sprintf(format, args...))
}

// warn notes what is doubtful about a setting.
func (r *settingReader) warn(name, format string, args ...any) {
	r.warnings = append(r.warnings, name+": "+fmt.Sprintf(format, args...))
}

// list splits a comma-separated text; an empty one is an empty list.
func (r *settingReader) list(name string) []string {
	if r.values[name] == "" {
		return nil
	}
	var items []string
	for item := range strings.SplitSeq(r.values[name], ",") {
		items = append(items, strings.TrimSpace(item))
	}
	return items
}

// lookup is os.LookupEnv for the environment that we were given.
func (r *settingReader) lookup(name string) (string, bool) {
	for _, v := range r.environ {
		if v.name == name {
			return v.value, true
		}
	}
	return "", false
}
