package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A config is everything that can be set from outside; the table of settings
// says what each field means.
type config struct {
	Addr        string
	Certificate *certificate  // nil: plain HTTP
	IdleTimeout time.Duration // of a connection
	edgeSettings

	DatabaseURL     string // may have a password in it
	Keys            keySet
	RefreshKeys     refreshKeys
	AccessTokenLife time.Duration
	Sessions        sessionLimits
	Issuer          string
	Audience        string

	Rounds            int
	MinPasswordLength int
	RegistrationOpen  bool
	Throttle          *throttle // nil: off

	LogLevel      slog.Level
	LogJSON       bool
	ShutdownDelay time.Duration // before connections are refused
	Shutdown      time.Duration // after that, for requests under way

	// Warnings is what an operator should know before it matters.
	Warnings []string
}

// exampleKeys are secrets that stand in tutorials: everybody knows them.
var exampleKeys = []string{
	"your-secret-key",
	"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", // FastAPI's documentation
}

// A configError is all that is wrong with the settings, one line each. No line
// shows a secret.
type configError []string

func (e configError) Error() string { return strings.Join(e, "\n") }

// readConfig reads the settings from flags and the environment. It returns
// flag.ErrHelp if they ask for help, and otherwise a configError. terminal says
// whether the log goes to one.
func readConfig(args []string, lookup func(string) (string, bool), terminal bool) (config, error) {
	r := settingReader{values: make(map[string]string), set: make(map[string]bool), unread: make(map[string]bool)}
	r.environment(lookup)
	if err := r.flags(args); err != nil {
		return config{}, err
	}
	cfg := r.config(terminal)
	if len(r.problems) > 0 {
		return config{}, configError(r.problems)
	}
	return cfg, nil
}

// A settingReader turns texts into a config and collects what is wrong with
// them.
type settingReader struct {
	values   map[string]string
	set      map[string]bool // by somebody, not by the table
	unread   map[string]bool // set to a file that cannot be read
	warnings []string
	problems []string
}

// bad notes a problem with a setting.
func (r *settingReader) bad(name, format string, args ...any) {
	r.problems = append(r.problems, name+": "+fmt.Sprintf(format, args...))
}

// environment takes every setting's text from the environment, or its default.
func (r *settingReader) environment(lookup func(string) (string, bool)) {
	for _, s := range settings {
		r.values[s.name] = s.fallback
		if value, ok := lookup(s.name); ok {
			r.values[s.name], r.set[s.name] = value, true
		}
		if path, ok := lookup(s.name + "_FILE"); ok && s.secret {
			r.secretFile(s.name, path)
		}
	}
	if value, _ := lookup("METRICS_ADDR"); value != "" {
		r.warnings = append(r.warnings, "METRICS_ADDR: this version does not know it yet")
	}
}

// secretFile takes a secret's text from a file.
func (r *settingReader) secretFile(name, path string) {
	if r.set[name] {
		r.bad(name, "%s_FILE is set too; want only one of them", name)
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		if bad, ok := errors.AsType[*fs.PathError](err); ok {
			err = bad.Err // the path may be the secret, given by mistake
		}
		r.bad(name+"_FILE", "%v; want the path of a file that holds the value", err)
		r.unread[name] = true
		return
	}
	r.warnIfReadable(name+"_FILE", path)
	value, ok := strings.CutSuffix(string(text), "\r\n")
	if !ok {
		value = strings.TrimSuffix(value, "\n")
	}
	r.values[name], r.set[name] = value, true
}

// warnIfReadable warns of a file with a secret that everybody on the machine
// can read.
func (r *settingReader) warnIfReadable(name, path string) {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
		r.warnings = append(r.warnings, fmt.Sprintf("%s: everybody on this machine can read %s; want mode 0600", name, path))
	}
}

// flags takes the texts that stand on the command line.
func (r *settingReader) flags(args []string) error {
	set := flag.NewFlagSet("latchkey", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, s := range settings {
		if s.flag != "" {
			set.Func(s.flag, s.meaning, func(value string) error {
				r.values[s.name], r.set[s.name] = value, true
				return nil
			})
		}
	}
	switch err := set.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		problem, _, _ := strings.Cut(err.Error(), "=") // what follows may be a secret
		r.problems = append(r.problems, problem+"; see latchkey -h")
	case set.NArg() > 0:
		r.problems = append(r.problems, fmt.Sprintf("unexpected argument %q; see latchkey -h", strings.SplitN(set.Arg(0), "=", 2)[0]))
	}
	return nil
}

func (r *settingReader) config(terminal bool) config {
	secret, fallbacks := r.secrets()
	cfg := config{
		Addr:              r.address("ADDR"),
		Certificate:       r.certificate(),
		DatabaseURL:       r.databaseURL("DATABASE_URL"),
		Keys:              r.keys(secret, fallbacks),
		RefreshKeys:       newRefreshKeys(secret, fallbacks),
		AccessTokenLife:   time.Duration(r.integer("ACCESS_TOKEN_EXPIRE_MINUTES", 1, 525_600)) * time.Minute,
		Issuer:            r.claim("ISSUER"),
		Audience:          r.claim("AUDIENCE"),
		Rounds:            r.integer("PBKDF2_ITERATIONS", 100_000, maxRounds),
		MinPasswordLength: r.integer("MIN_PASSWORD_LENGTH", 1, 64),
		RegistrationOpen:  r.boolean("ALLOW_REGISTRATION"),
		IdleTimeout:       r.seconds("IDLE_TIMEOUT_SECONDS", 10, 3600),
		LogLevel:          r.logLevel(),
		LogJSON:           r.logJSON(terminal),
		ShutdownDelay:     r.seconds("SHUTDOWN_DELAY_SECONDS", 0, 300),
		Shutdown:          r.seconds("SHUTDOWN_SECONDS", 0, 3600),
	}
	host, _, _ := net.SplitHostPort(cfg.Addr)
	local := isLoopback(host)
	cfg.edgeSettings = edgeSettings{
		CORSOrigins:    r.origins("CORS_ORIGINS", local),
		TrustedProxies: r.prefixes("TRUSTED_PROXIES"),
		ExposeUsers:    r.boolean("EXPOSE_USERS"),
	}
	if cfg.ExposeUsers && !local {
		r.bad("EXPOSE_USERS", "shows every password hash; want ADDR on a loopback address, such as localhost:8000")
	}
	if r.throttle() {
		cfg.Throttle = newThrottle(secret, fallbacks)
	}
	cfg.Sessions = r.sessions(cfg.AccessTokenLife)
	cfg.Warnings = r.warnings
	return cfg
}

func (r *settingReader) throttle() bool {
	value := r.values["THROTTLE"]
	if value != "on" && value != "off" {
		r.bad("THROTTLE", "%q; want on or off", value)
	}
	return value == "on"
}

// sessions reads how long sessions last: no shorter than an access token, which would
// end with its session.
func (r *settingReader) sessions(accessTokenLife time.Duration) sessionLimits {
	absolute := time.Duration(r.integer("REFRESH_TOKEN_EXPIRE_DAYS", 1, 3650)) * day
	idle := time.Duration(r.integer("REFRESH_TOKEN_IDLE_DAYS", 1, 3650)) * day
	if min(absolute, idle) < accessTokenLife {
		r.warnings = append(r.warnings, "ACCESS_TOKEN_EXPIRE_MINUTES is longer than REFRESH_TOKEN_EXPIRE_DAYS or REFRESH_TOKEN_IDLE_DAYS; sessions will last as long as an access token")
	}
	grace := r.seconds("REFRESH_GRACE_SECONDS", 0, 600)
	if grace > accessTokenLife/3 {
		r.warnings = append(r.warnings, "REFRESH_GRACE_SECONDS is more than a third of ACCESS_TOKEN_EXPIRE_MINUTES: a thief of a refresh token could refresh in step with its owner and never be noticed")
	}
	return sessionLimits{
		absolute: max(absolute, accessTokenLife),
		idle:     max(idle, accessTokenLife),
		grace:    grace,
	}
}

func (r *settingReader) integer(name string, least, most int) int {
	n, err := strconv.Atoi(r.values[name])
	if err != nil || n < least || n > most {
		r.bad(name, "%q; want a whole number from %d to %d", r.values[name], least, most)
	}
	return n
}

func (r *settingReader) seconds(name string, least, most int) time.Duration {
	return time.Duration(r.integer(name, least, most)) * time.Second
}

func (r *settingReader) boolean(name string) bool {
	value := r.values[name]
	if value != "true" && value != "false" {
		r.bad(name, "%q; want true or false", value)
	}
	return value == "true"
}

// claim reads a text that every token will hold.
func (r *settingReader) claim(name string) string {
	text := r.values[name]
	if len(text) > 255 || !utf8.ValidString(text) {
		r.bad(name, "%d bytes; want at most 255, in UTF-8", len(text))
	}
	return text
}

func (r *settingReader) address(name string) string {
	addr := r.values[name]
	_, port, err := net.SplitHostPort(addr)
	if _, err2 := strconv.ParseUint(port, 10, 16); err != nil || err2 != nil {
		r.bad(name, "%q; want host:port, such as localhost:8000 or :8000", addr)
	}
	return addr
}

func (r *settingReader) databaseURL(name string) string {
	url := r.values[name]
	if err := checkDatabaseURL(url); err != nil {
		r.bad(name, "%v", err)
	}
	return url
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

func (r *settingReader) prefixes(name string) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, item := range r.list(name) {
		prefix, err := netip.ParsePrefix(item)
		if addr, err2 := netip.ParseAddr(item); err2 == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil || prefix.Addr().Is4In6() {
			r.bad(name, "%q; want a CIDR, such as 10.0.0.0/8", item)
			continue
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes
}

func (r *settingReader) origins(name string, local bool) []string {
	if !r.set[name] && local {
		return strings.Split(loopbackOrigins, ",")
	}
	origins := r.list(name)
	for _, origin := range origins {
		switch {
		case origin == "*" && len(origins) > 1:
			r.bad(name, "* together with other origins; want either * alone or a list of origins")
		case origin != "*" && !isOrigin(origin):
			r.bad(name, "%q; want origins such as https://app.example or http://localhost:*", origin)
		}
	}
	return origins
}

// isOrigin reports whether text is an origin as browsers send it, or one on this
// machine with * for the port.
func isOrigin(text string) bool {
	base, anyPort := strings.CutSuffix(text, ":*")
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return false
	}
	if anyPort && (u.Port() != "" || !isLoopback(u.Hostname())) {
		return false
	}
	if _, err := strconv.ParseUint(cmp.Or(u.Port(), "80"), 10, 16); err != nil || strings.ContainsAny(u.Hostname(), "*,") {
		return false
	}
	return base == u.Scheme+"://"+strings.ToLower(u.Host) && !strings.HasSuffix(base, ":")
}

// keys reads the keys for tokens. Their settings hang together.
func (r *settingReader) keys(secret []byte, fallbacks [][]byte) keySet {
	algorithm := r.values["ALGORITHM"]
	switch _, asymmetric := keyKinds[algorithm]; {
	case algorithm == "HS256" && r.set["PRIVATE_KEY"]:
		r.bad("PRIVATE_KEY", "is not used with HS256; want ALGORITHM set to RS256, ES256 or EdDSA, or no key")
	case algorithm == "HS256" && r.values["PRIVATE_KEY_FALLBACKS_DIR"] != "":
		r.bad("PRIVATE_KEY_FALLBACKS_DIR", "is not used with HS256; want it empty, or another ALGORITHM")
	case algorithm == "HS256":
		return newSecretKeys(secret, fallbacks)
	case !asymmetric:
		r.bad("ALGORITHM", "%q; want HS256, RS256, ES256 or EdDSA", algorithm)
	case r.unread["PRIVATE_KEY"]:
	case !r.set["PRIVATE_KEY"]:
		r.bad("PRIVATE_KEY", "is not set; %s needs %s", algorithm, keyKinds[algorithm])
	default:
		keys, err := newPrivateKeys(algorithm, []byte(r.values["PRIVATE_KEY"]), r.publicKeys("PRIVATE_KEY_FALLBACKS_DIR", algorithm))
		if err != nil {
			r.bad("PRIVATE_KEY", "%v", err)
		}
		return keys
	}
	return keySet{}
}

// secrets reads what access tokens are signed with under HS256, and what the keys of
// refresh tokens are derived from. Without one it makes one up.
func (r *settingReader) secrets() (secret []byte, fallbacks [][]byte) {
	if r.values["SECRET_KEY_FALLBACKS"] != "" {
		for older := range strings.SplitSeq(r.values["SECRET_KEY_FALLBACKS"], ",") { // to the byte: no space is cut
			r.checkSecret("SECRET_KEY_FALLBACKS", older)
			fallbacks = append(fallbacks, []byte(older))
		}
	}
	if !r.set["SECRET_KEY"] {
		switch {
		case r.unread["SECRET_KEY"]:
		case r.values["DATABASE_URL"] != "":
			r.bad("SECRET_KEY", "is not set; want at least %d bytes that outlive this run, as the users do, such as the output of: openssl rand -hex 32", minSecretSize)
		default:
			r.warnings = append(r.warnings, "SECRET_KEY is not set: a random key is used, and every token ends with this run")
		}
		return randomBytes(minSecretSize), fallbacks
	}
	r.checkSecret("SECRET_KEY", r.values["SECRET_KEY"])
	if strings.Contains(r.values["SECRET_KEY"], ",") {
		r.warnings = append(r.warnings, "SECRET_KEY has a comma in it, and so can never be one of SECRET_KEY_FALLBACKS")
	}
	return []byte(r.values["SECRET_KEY"]), fallbacks
}

func (r *settingReader) checkSecret(name, secret string) {
	switch {
	case slices.Contains(exampleKeys, secret):
		r.bad(name, "is an example from a tutorial, which everybody knows; want the output of: openssl rand -hex 32")
	case len(secret) < minSecretSize:
		r.bad(name, "has %d bytes; want at least %d, such as the output of: openssl rand -hex 32", len(secret), minSecretSize)
	}
}

// publicKeys reads the keys in a directory, if one is set.
func (r *settingReader) publicKeys(name, algorithm string) []any {
	dir := r.values[name]
	if dir == "" {
		return nil
	}
	paths, _ := filepath.Glob(filepath.Join(dir, "*.pem"))
	if len(paths) == 0 {
		r.bad(name, "no *.pem file in %q", dir)
	}
	var keys []any
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			r.bad(name, "%v; want a PEM file", err)
			continue
		}
		key, err := parsePublic(algorithm, text)
		if err != nil {
			r.bad(name, "%s: %v", path, err)
			continue
		}
		if bytes.Contains(text, []byte("PRIVATE KEY")) {
			r.warnIfReadable(name, path)
		}
		keys = append(keys, key)
	}
	return keys
}

func (r *settingReader) certificate() *certificate {
	certFile, keyFile := r.values["TLS_CERT_FILE"], r.values["TLS_KEY_FILE"]
	if certFile == "" && keyFile == "" {
		return nil
	}
	if certFile == "" || keyFile == "" {
		r.bad("TLS_CERT_FILE", "want TLS_KEY_FILE and TLS_CERT_FILE, both or neither")
		return nil
	}
	readable := r.isReadable("TLS_CERT_FILE")
	if !r.isReadable("TLS_KEY_FILE") || !readable {
		return nil
	}
	cert, err := loadCertificate(certFile, keyFile, time.Now())
	if err != nil {
		r.bad("TLS_CERT_FILE", "%v", err)
		return nil
	}
	r.warnIfReadable("TLS_KEY_FILE", keyFile)
	return cert
}

// isReadable reports whether a setting names a file that can be read, and notes it if not.
func (r *settingReader) isReadable(name string) bool {
	_, err := os.ReadFile(r.values[name])
	if err != nil {
		r.bad(name, "%v; want a PEM file", err)
	}
	return err == nil
}

func (r *settingReader) logLevel() slog.Level {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	level, ok := levels[r.values["LOG_LEVEL"]]
	if !ok {
		r.bad("LOG_LEVEL", "%q; want debug, info, warn or error", r.values["LOG_LEVEL"])
	}
	return level
}

func (r *settingReader) logJSON(terminal bool) bool {
	switch format := r.values["LOG_FORMAT"]; {
	case format == "json", format == "" && !terminal:
		return true
	case format != "text" && format != "":
		r.bad("LOG_FORMAT", "%q; want text or json", format)
	}
	return false
}
