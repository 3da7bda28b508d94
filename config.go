package main

import (
	"log/slog"
	"net"
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

	// InEffect is what latchkey check prints.
	InEffect []settingInEffect
}

// A configError is all that is wrong with the settings, one line each. No line
// shows a secret.
type configError []string

func (e configError) Error() string { return strings.Join(e, "\n") }

// readConfig reads the settings from flags and from the environment, whose entries
// have the form "NAME=value". It returns errHelp or errVersion if the flags ask for
// that, and otherwise a configError. terminal says whether the log goes to one.
func readConfig(args, environ []string, terminal bool) (config, error) {
	r := settingReader{values: make(map[string]string), source: make(map[string]string), unread: make(map[string]bool)}
	r.environment(environ)
	if err := r.flags(args); err != nil {
		return config{}, err
	}
	r.cutEnds()
	unknown := r.unknownVariables()
	cfg := r.config(terminal)
	if len(r.problems) > 0 {
		return config{}, configError(append(r.problems, unknown...)) // a missing setting may be a misspelt one
	}
	cfg.Warnings = append(unknown, r.warnings...)
	cfg.InEffect = r.inEffect()
	return cfg, nil
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
	switch {
	case cfg.ExposeUsers && !local:
		r.bad("EXPOSE_USERS", "shows every password hash; want ADDR on a loopback address, such as localhost:8000")
	case cfg.ExposeUsers:
		r.warn("EXPOSE_USERS", "GET / shows every password hash to every program on this machine; want false for all but the exercise")
	}
	if r.throttle() {
		cfg.Throttle = newThrottle(secret, fallbacks)
	}
	cfg.Sessions = r.sessions(cfg.AccessTokenLife)
	return cfg
}

func (r *settingReader) throttle() bool { return r.either("THROTTLE", "on", "off") }

func (r *settingReader) boolean(name string) bool { return r.either(name, "true", "false") }

// either reads one of two words, in any case: Python writes True. It refuses other words for
// them, and says which of the two is meant.
func (r *settingReader) either(name, yes, no string) bool {
	value := strings.ToLower(r.values[name])
	if value == yes || value == no {
		r.values[name] = value
		return value == yes
	}
	hint := ""
	switch {
	case slices.Contains([]string{"1", "yes", "y", "t", "true", "on", "enabled"}, value):
		hint = ": " + yes
	case slices.Contains([]string{"0", "no", "n", "f", "false", "off", "disabled"}, value):
		hint = ": " + no
	}
	r.bad(name, "%s; want %s or %s%s", shown(r.values[name]), yes, no, hint)
	return false
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
		r.bad(name, "%s; want a whole number from %d to %d", shown(r.values[name]), least, most)
	}
	return n
}

func (r *settingReader) seconds(name string, least, most int) time.Duration {
	return time.Duration(r.integer(name, least, most)) * time.Second
}

// claim reads a text that every token will hold.
func (r *settingReader) claim(name string) string {
	text := r.values[name]
	if len(text) > 255 || !utf8.ValidString(text) {
		r.bad(name, "%d bytes; want at most 255, in UTF-8", len(text))
	}
	return text
}

func (r *settingReader) databaseURL(name string) string {
	url := fromSQLAlchemy(r.values[name])
	if err := checkDatabaseURL(url); err != nil {
		r.bad(name, "%v", err)
	}
	if path, ok := strings.CutPrefix(url, sqlitePrefix); ok && url != r.values[name] && strings.Contains(path, "/") && !strings.ContainsAny(path[:1], "./") {
		r.warn(name, "three slashes begin a path from the working directory, as in SQLAlchemy; want four for an absolute one, or sqlite: and the path")
	}
	r.values[name] = url
	return url
}

// keys reads the keys for tokens. Their settings hang together.
func (r *settingReader) keys(secret []byte, fallbacks [][]byte) keySet {
	algorithm := r.values["ALGORITHM"]
	switch _, asymmetric := keyKinds[algorithm]; {
	case algorithm == "HS256" && r.isSet("PRIVATE_KEY"):
		r.bad("PRIVATE_KEY", "is not used with HS256; want ALGORITHM set to RS256, ES256 or EdDSA, or no key")
	case algorithm == "HS256" && r.values["PRIVATE_KEY_FALLBACKS_DIR"] != "":
		r.bad("PRIVATE_KEY_FALLBACKS_DIR", "is not used with HS256; want it empty, or another ALGORITHM")
	case algorithm == "HS256":
		return newSecretKeys(secret, fallbacks)
	case !asymmetric:
		r.bad("ALGORITHM", "%s; want HS256, RS256, ES256 or EdDSA", shown(algorithm))
	case r.unread["PRIVATE_KEY"]:
	case !r.isSet("PRIVATE_KEY"):
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
	if !r.isSet("SECRET_KEY") {
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
	switch problem, doubt := weakness(secret), doubt(secret); {
	case problem != "":
		r.bad(name, "%s; %s", problem, wantKey)
	case trimEnds(secret) != secret || hasQuoteAtEnd(secret):
		r.warn(name, "the key begins or ends with white space or a quote, which is part of it; want it without, unless other programs sign with it, too")
	case doubt != "":
		r.warn(name, "the key %s; %s", doubt, wantKey)
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
		r.bad(name, "no *.pem file in %s", shown(dir))
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
		if holdsPrivateKey(text) {
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
	c := &certificate{certFile: certFile, keyFile: keyFile}
	pair, certErr, keyErr := c.read()
	if certErr != nil {
		r.bad("TLS_CERT_FILE", "%s: %v; want a PEM file", shown(certFile), withoutPath(certErr))
	}
	if keyErr != nil {
		r.bad("TLS_KEY_FILE", "%s: %v; want a PEM file", shown(keyFile), withoutPath(keyErr))
	}
	if certErr != nil || keyErr != nil {
		return nil
	}
	if err := c.use(pair, time.Now()); err != nil {
		r.bad("TLS_CERT_FILE", "%v", err)
		return nil
	}
	r.warnIfReadable("TLS_KEY_FILE", keyFile)
	return c
}

func (r *settingReader) logLevel() slog.Level {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
		"warning": slog.LevelWarn, // Python's name
	}
	level, ok := levels[strings.ToLower(r.values["LOG_LEVEL"])]
	if !ok {
		r.bad("LOG_LEVEL", "%s; want debug, info, warn or error", shown(r.values["LOG_LEVEL"]))
	}
	r.values["LOG_LEVEL"] = strings.ToLower(level.String())
	return level
}

func (r *settingReader) logJSON(terminal bool) bool {
	format := strings.ToLower(r.values["LOG_FORMAT"])
	switch {
	case format == "" && terminal:
		format = "text"
	case format == "":
		format = "json"
	case format != "text" && format != "json":
		r.bad("LOG_FORMAT", "%s; want text or json", shown(r.values["LOG_FORMAT"]))
	}
	r.values["LOG_FORMAT"] = format
	return format == "json"
}
