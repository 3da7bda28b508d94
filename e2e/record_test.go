package e2e

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A record is what a program has written to its standard error.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// events returns the lines that have this message.
func (r *record) events(msg string) []map[string]any {
	var found []map[string]any
	for line := range strings.Lines(r.String()) {
		var event map[string]any
		if json.Unmarshal([]byte(line), &event) == nil && event["msg"] == msg {
			found = append(found, event)
		}
	}
	return found
}

// aSecret is what no log may hold: an access token, the header that carries it, a
// password hash, and a refresh token, which is 56 bytes in base64url.
var aSecret = regexp.MustCompile(`eyJ[\w-]+\.|Bearer|pbkdf2-sha256|(^|[^\w-])[\w-]{74}[AEIMQUYcgkosw048]([^\w-]|$)`)

// check reports lines that are no JSON object, and secrets.
func (r *record) check(t testing.TB, secrets []string) {
	t.Helper()
	for line := range strings.Lines(r.String()) {
		var event struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Time == "" || event.Level == "" || event.Msg == "" {
			t.Errorf("a log line is not a JSON object with time, level and msg: %q", line)
		}
		for _, secret := range append(secrets, password, aSecret.FindString(line)) {
			if secret != "" && strings.Contains(line, secret) {
				t.Errorf("the log holds the secret %q: %q", secret, line)
			}
		}
	}
}

// secretsIn returns the values in env that nobody may print, in such pieces as
// would stand on one line.
func secretsIn(env []string) []string {
	var secrets []string
	for _, assignment := range env {
		name, value, _ := strings.Cut(assignment, "=")
		if !slices.Contains([]string{"SECRET_KEY", "SECRET_KEY_FALLBACKS", "PRIVATE_KEY", "DATABASE_URL"}, name) ||
			strings.HasPrefix(value, "sqlite:") { // a path, which the log may name
			continue
		}
		if u, err := url.Parse(value); err == nil && u.User != nil {
			password, _ := u.User.Password()
			value += "," + password
		}
		for _, piece := range strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == '\n' }) {
			if len(piece) > 6 && !strings.HasPrefix(piece, "-----") {
				secrets = append(secrets, piece)
			}
		}
	}
	return secrets
}
