package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// readConfig reads the settings that a command needs: those that were given as flags, by the
// names of their variables, and those in the environment, whose entries have the form
// "NAME=value". Its error is a configError. terminal says whether the log goes to one.
func readConfig(needs need, given map[string]string, environ []string, terminal bool) (config, error) {
	r := settingReader{
		table: settings, needs: needs, terminal: terminal,
		values: make(map[string]string), source: make(map[string]string), unread: make(map[string]bool),
	}
	r.environment(environ)
	r.flags(given)
	r.cutEnds()
	unknown := r.unknownVariables()
	var cfg config
	for s := range r.settings() {
		if s.kind.read != nil {
			s.kind.read(&r, s.name, &cfg)
		}
	}
	r.applyRules(&cfg)
	if len(r.problems) > 0 {
		return config{}, configError(append(r.problems, unknown...)) // a missing setting may be a misspelt one
	}
	cfg.Warnings = append(unknown, r.warnings...)
	cfg.InEffect = r.inEffect()
	return cfg, nil
}

// applyRules reads the settings that depend on each other.
func (r *settingReader) applyRules(c *config) {
	if r.needs&forTokens != 0 {
		c.Secret, c.SecretFallbacks = r.secrets()
		c.Algorithm = r.values["ALGORITHM"]
		c.OwnKeys, c.OlderKeys = r.ownKeys()
		r.checkIssuer(c)
		r.checkSessions(c)
	}
	if r.needs&forReady != 0 {
		c.ServerCert = r.serverCert("TLS_CERT_FILE")
	}
	if r.needs&forServer != 0 {
		c.Certificate = r.certificate()
		host, _, _ := net.SplitHostPort(c.Addr)
		c.CORSOrigins = r.origins("CORS_ORIGINS", isLoopback(host))
		r.checkExposure(c.ExposeUsers, isLoopback(host))
		c.AdminUsername, c.AdminPassword = r.firstAdmin(c.MinPasswordLength)
		r.checkMetrics(c)
	}
}

// checkMetrics refuses metrics at the address of the API. Port 0 may be used for both. It
// also warns about public addresses.
func (r *settingReader) checkMetrics(c *config) {
	host, port, _ := net.SplitHostPort(c.MetricsAddr)
	switch {
	case c.MetricsAddr == "":
	case c.MetricsAddr == c.Addr && port != "0":
		r.bad("METRICS_ADDR", "%s is ADDR, too; want a port of its own, such as localhost:9090", c.MetricsAddr)
	case !isPrivate(host):
		r.warn("METRICS_ADDR", "everybody who reaches %s can read the metrics, which tell whether a login named a user; want a loopback or private address, such as localhost:9090", c.MetricsAddr)
	}
}

func (r *settingReader) checkExposure(exposed, local bool) {
	switch {
	case exposed && !local:
		r.bad("EXPOSE_USERS", "shows every password hash; want ADDR on a loopback address, such as localhost:8000")
	case exposed:
		r.warn("EXPOSE_USERS", "GET / shows every password hash to every program on this machine; want false for all but the exercise")
	}
}

// firstAdmin reads who is to be the first administrator, if anybody.
func (r *settingReader) firstAdmin(minPassword int) (username, password string) {
	name, password := r.values["ADMIN_USERNAME"], r.values["ADMIN_PASSWORD"]
	switch {
	case r.unread["ADMIN_PASSWORD"], name == "" && password == "":
		return "", ""
	case name == "":
		r.bad("ADMIN_USERNAME", "is not set; want a name, or no ADMIN_PASSWORD")
		return "", ""
	case password == "":
		r.bad("ADMIN_PASSWORD", "is not set; want a password, or no ADMIN_USERNAME")
		return "", ""
	}
	username, bad := parseUsername(name)
	if bad != nil {
		r.bad("ADMIN_USERNAME", "%s", bad.reason())
	}
	switch bad := checkPassword(password, username, minPassword); {
	case !utf8.ValidString(password):
		r.bad("ADMIN_PASSWORD", "is not UTF-8")
	case strings.ContainsAny(password, "\r\n"):
		r.bad("ADMIN_PASSWORD", "has a line break in it; want one line")
	case bad != nil:
		r.bad("ADMIN_PASSWORD", "%s", bad.reason())
	case trimEnds(password) != password || hasQuoteAtEnd(password):
		r.warn("ADMIN_PASSWORD", "the password begins or ends with white space or a quote, which is part of it")
	}
	return username, password
}

// checkSessions makes sessions last no shorter than an access token, which would end with
// its session.
func (r *settingReader) checkSessions(c *config) {
	limits := &c.Sessions
	if min(limits.absolute, limits.idle) < c.AccessTokenLife {
		r.warnings = append(r.warnings, "ACCESS_TOKEN_EXPIRE_MINUTES is longer than REFRESH_TOKEN_EXPIRE_DAYS or REFRESH_TOKEN_IDLE_DAYS; sessions will last as long as an access token")
	}
	if limits.grace > c.AccessTokenLife/3 {
		r.warnings = append(r.warnings, "REFRESH_GRACE_SECONDS is more than a third of ACCESS_TOKEN_EXPIRE_MINUTES: a thief of a refresh token could refresh in step with its owner and never be noticed")
	}
	limits.absolute = max(limits.absolute, c.AccessTokenLife)
	limits.idle = max(limits.idle, c.AccessTokenLife)
}

// ownKeys reads PRIVATE_KEY and its fallbacks. If there is no PRIVATE_KEY, the server makes its keys
// itself, and older has the fallbacks.
func (r *settingReader) ownKeys() (own keySet, older []tokenKey) {
	algorithm := r.values["ALGORITHM"]
	_, isPublic := keyKinds[algorithm]
	switch {
	case algorithm != "HS256" && !isPublic:
		r.bad("ALGORITHM", "%s; want HS256, RS256, ES256 or EdDSA", shown(algorithm))
	case algorithm == "HS256" && r.isSet("PRIVATE_KEY"):
		r.bad("PRIVATE_KEY", "is not used with HS256; want ALGORITHM set to ES256, EdDSA or RS256, or no key")
	case r.unread["PRIVATE_KEY"]:
	case r.isSet("PRIVATE_KEY"):
		key, err := newPrivateKey(algorithm, []byte(r.values["PRIVATE_KEY"]))
		if err != nil {
			r.bad("PRIVATE_KEY", "%v", err)
		}
		return fixedKeys(key, r.publicKeys("PRIVATE_KEY_FALLBACKS_DIR")...), nil
	case algorithm == "HS256" && r.values["PRIVATE_KEY_FALLBACKS_DIR"] != "":
		r.bad("PRIVATE_KEY_FALLBACKS_DIR", "is not used with HS256; want it empty, or another ALGORITHM")
	case isPublic && !derivable[algorithm]:
		r.bad("PRIVATE_KEY", "is not set; want %s, which %s needs, or ALGORITHM=ES256, whose keys the server makes itself", keyKinds[algorithm], algorithm)
	default:
		return nil, r.publicKeys("PRIVATE_KEY_FALLBACKS_DIR")
	}
	return nil, nil
}

// checkIssuer warns of tokens that other services cannot verify, or should not.
func (r *settingReader) checkIssuer(c *config) {
	if c.Algorithm == "EdDSA" {
		r.warn("ALGORITHM", "Spring and .NET cannot verify EdDSA; want ES256, unless none of your services uses them")
	}
	if !isIssuerURL(c.Issuer) {
		if strings.Contains(c.Issuer, "://") {
			r.warn("ISSUER", "%s is not an https URL without query and fragment, or http on this machine: services cannot discover the server by it", shown(c.Issuer))
		}
		return
	}
	if c.Algorithm == "HS256" {
		r.warn("ALGORITHM", "services need SECRET_KEY to verify HS256, and could then make tokens; want ES256")
	}
	if len(c.Audience) == 0 {
		r.warn("AUDIENCE", "is not set: a token is good at every service that trusts ISSUER, and .NET and go-oidc refuse it; want the name of your service")
	}
}

// secrets reads the keys that sign access tokens under HS256, and from which the keys of
// refresh tokens are derived. If SECRET_KEY is not set, it makes a random one.
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
func (r *settingReader) publicKeys(name string) []tokenKey {
	dir := r.values[name]
	if dir == "" {
		return nil
	}
	files, err := os.ReadDir(dir) // not Glob, for which [ is special
	if err != nil {
		r.bad(name, "%s: %v; want a directory of *.pem files", shown(dir), withoutPath(err))
		return nil
	}
	var keys []tokenKey
	found := false
	for _, file := range files {
		if filepath.Ext(file.Name()) != ".pem" {
			continue
		}
		found = true
		path := filepath.Join(dir, file.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			r.bad(name, "%v; want a PEM file", err)
			continue
		}
		key, err := newPublicKey(text)
		if err != nil {
			r.bad(name, "%s: %v", path, err)
			continue
		}
		if holdsPrivateKey(text) {
			r.warnIfReadable(name, path)
		}
		keys = append(keys, key)
	}
	if !found {
		r.bad(name, "no *.pem file in %s", shown(dir))
	}
	return keys
}

// serverCert returns the certificate that the server shows, in DER, or nil if it has none. It
// needs no TLS_KEY_FILE, which a health check may not be allowed to read.
func (r *settingReader) serverCert(name string) []byte {
	path := r.values[name]
	if path == "" {
		return nil
	}
	chain, err := os.ReadFile(path)
	if err != nil {
		r.bad(name, "%s: %v; want a PEM file", shown(path), withoutPath(err))
		return nil
	}
	cert := leafOf(chain)
	if cert == nil {
		r.bad(name, "%s has no certificate; want a certificate chain in PEM", shown(path))
	}
	return cert
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
