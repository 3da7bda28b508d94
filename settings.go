package main

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"
)

var settings = []setting{
	{name: "ADDR", flag: "addr", fallback: "localhost:8000", needs: forServer | forReady, kind: as((*settingReader).address, func(c *config) *string { return &c.Addr }),
		meaning: "listen address; port 0 picks one, which the \"listening\" log line names"},
	{name: "METRICS_ADDR", needs: forServer, kind: as((*settingReader).optionalAddress, func(c *config) *string { return &c.MetricsAddr }),
		meaning: "address that serves /metrics for Prometheus, over plain HTTP. Empty: nothing is measured"},
	{name: "DATABASE_URL", flag: "db", secret: true, needs: forUsers | forTokens | forDatabase, kind: as((*settingReader).databaseURL, func(c *config) *string { return &c.DatabaseURL }),
		meaning: "empty: memory. sqlite:path/to/file.db. postgres://... (any libpq URL, several hosts allowed). SQLAlchemy's spelling works"},
	{name: "SECRET_KEY", secret: true, verbatim: true, needs: forTokens,
		meaning: "signs refresh tokens, and with HS256 access tokens; other keys are made from it; at least 32 bytes. Default with users in memory: random for this run"},
	{name: "SECRET_KEY_FALLBACKS", secret: true, verbatim: true, needs: forTokens,
		meaning: "comma-separated older keys that still verify"},
	{name: "ALGORITHM", fallback: "HS256", needs: forTokens,
		meaning: "what new tokens are signed with: HS256, ES256 or EdDSA, whose keys the server makes itself from SECRET_KEY; RS256, or any but HS256, with PRIVATE_KEY"},
	{name: "PRIVATE_KEY", secret: true, needs: forTokens,
		meaning: "PEM text of the key (PKCS #8, SEC 1 or PKCS #1), also in base64 or with \\n for line ends"},
	{name: "PRIVATE_KEY_FALLBACKS_DIR", needs: forTokens,
		meaning: "directory of PEM files whose keys still verify, of any algorithm"},
	{name: "ACCESS_TOKEN_EXPIRE_MINUTES", fallback: "30", needs: forTokens, kind: duration(time.Minute, 1, 525_600, func(c *config) *time.Duration { return &c.AccessTokenLife }),
		meaning: "life of an access token"},
	{name: "REFRESH_TOKEN_EXPIRE_DAYS", fallback: "30", needs: forTokens, kind: duration(day, 1, 3650, func(c *config) *time.Duration { return &c.Sessions.absolute }),
		meaning: "life of a session from its login"},
	{name: "REFRESH_TOKEN_IDLE_DAYS", fallback: "14", needs: forTokens, kind: duration(day, 1, 3650, func(c *config) *time.Duration { return &c.Sessions.idle }),
		meaning: "a session ends if it is not refreshed for this many days"},
	{name: "REFRESH_GRACE_SECONDS", fallback: "60", needs: forTokens, kind: duration(time.Second, 0, 600, func(c *config) *time.Duration { return &c.Sessions.grace }),
		meaning: "how long a refresh token that was just replaced gets the same successor again"},
	{name: "PBKDF2_ITERATIONS", fallback: "600000", needs: forUsers, kind: integer(100_000, maxRounds, func(c *config) *int { return &c.Rounds }),
		meaning: "rounds of a new password hash"},
	{name: "MIN_PASSWORD_LENGTH", fallback: "8", needs: forUsers, kind: integer(1, 64, func(c *config) *int { return &c.MinPasswordLength }),
		meaning: "code points; checked at registration and change, never at login"},
	{name: "EVENTS_DAYS", fallback: "90", needs: forUsers, kind: duration(day, 0, 3650, func(c *config) *time.Duration { return &c.EventAge }),
		meaning: "how long events are kept in the store; 0: none are"},
	{name: "ALLOW_REGISTRATION", fallback: "true", needs: forServer, kind: either("true", "false", func(c *config) *bool { return &c.RegistrationOpen }),
		meaning: "false: POST /users/ answers 403"},
	{name: "ADMIN_USERNAME", needs: forServer,
		meaning: "an administrator whom the start creates unless somebody has the name; with ADMIN_PASSWORD"},
	{name: "ADMIN_PASSWORD", secret: true, verbatim: true, needs: forServer,
		meaning: "password of the new administrator; not used once there is one"},
	{name: "CORS_ORIGINS", needs: forServer,
		meaning: "comma-separated origins whose pages may call; * for all. Default on a loopback address: " + loopbackOrigins},
	{name: "TRUSTED_PROXIES", needs: forServer, kind: as((*settingReader).prefixes, func(c *config) *[]netip.Prefix { return &c.TrustedProxies }),
		meaning: "comma-separated CIDRs whose X-Forwarded-For is believed"},
	{name: "THROTTLE", fallback: "on", needs: forServer, kind: either("on", "off", func(c *config) *bool { return &c.Throttled }),
		meaning: "off: no limits on guessing passwords and on registering (behind a gateway, or for a load test)"},
	{name: "ISSUER", needs: forTokens, kind: as((*settingReader).claim, func(c *config) *string { return &c.Issuer }),
		meaning: "if set: put into tokens as iss and required of them. An https URL (or http on this machine) lets services discover the server"},
	{name: "AUDIENCE", needs: forTokens, kind: as((*settingReader).audience, func(c *config) *audience { return &c.Audience }),
		meaning: "comma-separated; if set: put into tokens as aud, of which a token must have one"},
	{name: "EXPOSE_USERS", fallback: "false", needs: forServer, kind: either("true", "false", func(c *config) *bool { return &c.ExposeUsers }),
		meaning: "the original's GET /, which shows every password hash; on loopback only"},
	{name: "TLS_CERT_FILE", needs: forServer | forReady,
		meaning: "PEM certificate chain; with TLS_KEY_FILE: HTTPS (TLS 1.2+, HTTP/2)"},
	{name: "TLS_KEY_FILE", needs: forServer,
		meaning: "PEM key of TLS_CERT_FILE"},
	{name: "IDLE_TIMEOUT_SECONDS", fallback: "120", needs: forServer, kind: duration(time.Second, 10, 3600, func(c *config) *time.Duration { return &c.IdleTimeout }),
		meaning: "how long a connection may be idle; longer than the load balancer keeps it"},
	{name: "LOG_LEVEL", fallback: "info", needs: forServer, kind: as((*settingReader).logLevel, func(c *config) *slog.Level { return &c.LogLevel }),
		meaning: "debug, info, warn or error"},
	{name: "LOG_FORMAT", needs: forServer, kind: as((*settingReader).logJSON, func(c *config) *bool { return &c.LogJSON }),
		meaning: "text or json. Default: text on a terminal, else json"},
	{name: "SHUTDOWN_DELAY_SECONDS", fallback: "0", needs: forServer, kind: duration(time.Second, 0, 300, func(c *config) *time.Duration { return &c.ShutdownDelay }),
		meaning: "after SIGTERM, how long requests are still taken while /readyz answers 503"},
	{name: "SHUTDOWN_SECONDS", fallback: "30", needs: forServer, kind: duration(time.Second, 0, 3600, func(c *config) *time.Duration { return &c.Shutdown }),
		meaning: "how long a stop waits for requests under way"},
}

// describe returns what a setting means, with its limits, its flag and its default.
func (s setting) describe() string {
	var extras []string
	if s.kind.limits != "" {
		extras = append(extras, s.kind.limits)
	}
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
