package main

import (
	"log/slog"
	"strings"
	"time"
)

// A config is everything that can be set from outside; the table of settings
// says what each field means.
type config struct {
	Addr        string
	Certificate *certificate  // nil: plain HTTP
	ServerCert  []byte        // for ready: the server's own certificate, in DER; nil: plain HTTP
	IdleTimeout time.Duration // of a connection
	MetricsAddr string        // empty: nothing is measured
	edgeSettings

	DatabaseURL     string // may have a password in it
	Secret          []byte
	SecretFallbacks [][]byte
	Algorithm       string
	OwnKeys         keySet     // of PRIVATE_KEY; nil: the server makes its keys itself
	OlderKeys       []tokenKey // then: of PRIVATE_KEY_FALLBACKS_DIR
	AccessTokenLife time.Duration
	Sessions        sessionLimits
	Issuer          string
	Audience        audience

	Rounds            int
	MinPasswordLength int
	RegistrationOpen  bool
	AdminUsername     string // empty: the start creates no administrator
	AdminPassword     string
	Throttled         bool
	EventAge          time.Duration // 0: none are kept

	LogLevel      slog.Level
	LogJSON       bool
	ShutdownDelay time.Duration // before connections are refused
	Shutdown      time.Duration // after that, for requests under way

	// Warnings is what an operator should know before it matters.
	Warnings []string

	// InEffect is what latchkey check prints.
	InEffect []settingInEffect
}

// secrets returns SECRET_KEY and its fallbacks.
func (c config) secrets() [][]byte { return append([][]byte{c.Secret}, c.SecretFallbacks...) }

// A configError lists everything that is wrong with the settings, one line each. No line
// shows a secret.
type configError []string

func (e configError) Error() string { return strings.Join(e, "\n") }

// A settingInEffect is a setting as it was understood, without secrets.
type settingInEffect struct{ name, value, source string }
