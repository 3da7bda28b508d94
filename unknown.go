package main

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// aliases are the names that other programs have for our settings. Without a warning nobody
// would notice that a variable of such a name is not read.
var aliases = map[string]string{
	"PORT": "ADDR", "HOST": "ADDR", "ADDRESS": "ADDR", "BIND": "ADDR", "BIND_ADDR": "ADDR", "BIND_ADDRESS": "ADDR",
	"LISTEN": "ADDR", "LISTEN_ADDR": "ADDR", "LISTEN_ADDRESS": "ADDR", "HTTP_ADDR": "ADDR", "HTTP_PORT": "ADDR",
	"SERVER_ADDR": "ADDR", "SERVER_PORT": "ADDR", "UVICORN_HOST": "ADDR", "UVICORN_PORT": "ADDR",

	"DB_URL": "DATABASE_URL", "DB_URI": "DATABASE_URL", "DB_DSN": "DATABASE_URL", "DSN": "DATABASE_URL",
	"DATABASE_DSN": "DATABASE_URL", "DATABASE_URI": "DATABASE_URL",
	"POSTGRES_URL": "DATABASE_URL", "POSTGRES_DSN": "DATABASE_URL", "POSTGRESQL_URL": "DATABASE_URL", "PG_URL": "DATABASE_URL",
	"SQLALCHEMY_DATABASE_URL": "DATABASE_URL", "SQLALCHEMY_DATABASE_URI": "DATABASE_URL", "SQLITE_URL": "DATABASE_URL",

	"SECRET": "SECRET_KEY", "JWT_SECRET": "SECRET_KEY", "JWT_SECRET_KEY": "SECRET_KEY", "JWT_KEY": "SECRET_KEY",
	"JWT_SIGNING_KEY": "SECRET_KEY", "SIGNING_KEY": "SECRET_KEY", "TOKEN_SECRET": "SECRET_KEY", "AUTH_SECRET": "SECRET_KEY",
	"APP_SECRET": "SECRET_KEY", "APP_SECRET_KEY": "SECRET_KEY", "SECRET_KEY_BASE": "SECRET_KEY",
	"FLASK_SECRET_KEY": "SECRET_KEY", "DJANGO_SECRET_KEY": "SECRET_KEY",

	"JWT_ALGORITHM": "ALGORITHM", "JWT_ALG": "ALGORITHM", "JWT_PRIVATE_KEY": "PRIVATE_KEY", "JWT_PRIVATE_KEY_FILE": "PRIVATE_KEY_FILE",
	"JWT_ISSUER": "ISSUER", "JWT_AUDIENCE": "AUDIENCE",
	"ACCESS_TOKEN_EXPIRE": "ACCESS_TOKEN_EXPIRE_MINUTES", "ACCESS_TOKEN_EXPIRE_SECONDS": "ACCESS_TOKEN_EXPIRE_MINUTES",
	"ACCESS_TOKEN_EXPIRATION": "ACCESS_TOKEN_EXPIRE_MINUTES", "JWT_EXPIRE_MINUTES": "ACCESS_TOKEN_EXPIRE_MINUTES",
	"REFRESH_TOKEN_EXPIRE_MINUTES": "REFRESH_TOKEN_EXPIRE_DAYS",

	"ALLOWED_ORIGINS": "CORS_ORIGINS", "CORS_ALLOWED_ORIGINS": "CORS_ORIGINS", "CORS_ALLOW_ORIGINS": "CORS_ORIGINS",
	"BACKEND_CORS_ORIGINS": "CORS_ORIGINS", "TRUSTED_PROXY": "TRUSTED_PROXIES", "FORWARDED_ALLOW_IPS": "TRUSTED_PROXIES",
	"RATE_LIMIT": "THROTTLE", "TLS_CERT": "TLS_CERT_FILE", "TLS_KEY": "TLS_KEY_FILE", "SSL_CERTFILE": "TLS_CERT_FILE", "SSL_KEYFILE": "TLS_KEY_FILE",
	"SSL_KEY_FILE": "TLS_KEY_FILE",
}

// notOurs are variables of others whose names happen to be close to one of ours.
var notOurs = []string{
	"SSL_CERT_FILE", // where Go and OpenSSL look for the certificates of authorities
	"ISSUE",         // the number of one, in builds
	"DATABASE_SSL",  // of Strapi, for one
}

// unknownVariables returns warnings about variables that seem to be meant for settings that the
// command reads. They contain no values, which may be secrets.
func (r *settingReader) unknownVariables() []string {
	known := r.knownVariables()
	var warnings []string
	for _, v := range r.environ {
		if slices.Contains(known, v.name) || slices.Contains(notOurs, v.name) || !isVariable.MatchString(v.name) {
			continue
		}
		if name, ok := strings.CutSuffix(v.name, "_FILE"); ok && r.reads(name) {
			warnings = append(warnings, fmt.Sprintf("%s is not a setting: %s is no secret, and is not read from a file", v.name, name))
			continue
		}
		if meant := r.meant(v, known); r.reads(meant) {
			warnings = append(warnings, fmt.Sprintf("%s is not a setting, and has no effect; did you mean %s?", v.name, example(meant)))
		}
	}
	return warnings
}

// example returns a setting as a warning names it.
func example(setting string) string {
	if setting == "ADDR" {
		return "ADDR=host:port"
	}
	return setting
}

// isVariable matches names that cannot garble a terminal.
var isVariable = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// knownVariables returns the name of every variable that is read.
func (r *settingReader) knownVariables() []string {
	var names []string
	for _, s := range r.table {
		names = append(names, s.name)
		if s.secret {
			names = append(names, s.name+"_FILE")
		}
	}
	return names
}

// meant returns the variable that somebody probably had in mind, or "".
func (r *settingReader) meant(v variable, known []string) string {
	name := strings.ToUpper(v.name) // pydantic's settings ignore case
	if setting := aliases[name]; setting != "" {
		if v.value == "" || r.hasEffect(setting, v.value) || setting == "ADDR" && !saysWhere(v.value) {
			return ""
		}
		return setting
	}
	if base, ok := strings.CutSuffix(name, "_FILE"); ok && slices.Contains(known, aliases[base]+"_FILE") {
		return aliases[base] + "_FILE"
	}
	if own := strings.TrimPrefix(name, "LATCHKEY_"); slices.Contains(known, own) {
		return own
	}
	return nearest(name, known)
}

// reads reports whether the command reads a setting, or the file of one. Another command may
// have a use for its aliases.
func (r *settingReader) reads(name string) bool {
	for s := range r.settings() {
		if s.name == name || s.name+"_FILE" == name {
			return true
		}
	}
	return false
}

// hasEffect reports whether a setting has the value of its alias already, as in
// ADDR=:$PORT, which platforms that choose the port ask for.
func (r *settingReader) hasEffect(setting, value string) bool {
	now := r.values[setting]
	return now == value || setting == "ADDR" && (strings.HasSuffix(now, ":"+value) || strings.HasPrefix(now, value+":"))
}

// saysWhere reports whether a value is a port, or an address to listen on. HOST is often the name
// of the machine, and ADDRESS that of a house.
func saysWhere(value string) bool {
	isPort := func(text string) bool {
		_, err := strconv.ParseUint(text, 10, 16)
		return err == nil
	}
	if _, port, err := net.SplitHostPort(value); err == nil {
		return isPort(port)
	}
	_, err := netip.ParseAddr(strings.Trim(value, "[]"))
	return err == nil || isPort(value) || value == "localhost"
}

// nearest returns the name that differs least from text, or "" if none is near. A near name
// differs by at most two letters, and by at most one in three: short words are often close to each
// other by chance.
func nearest(text string, names []string) string {
	best, least := "", 3
	for _, name := range names {
		if d := editDistance(text, name); d < least && d <= len(name)/3 {
			best, least = name, d
		}
	}
	return best
}

// editDistance returns how many letters have to be inserted, deleted, replaced or
// swapped with their neighbour to turn a into b. It returns 3 for what is 3 or more.
func editDistance(a, b string) int {
	if max(len(a), len(b))-min(len(a), len(b)) > 2 {
		return 3
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replace := last[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, replace)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return min(last[len(b)], 3)
}
