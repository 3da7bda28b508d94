package e2e

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// keysPath is where users make keys.
const keysPath = "/users/me/keys/"

// An apiKey is one as its user sees it. Key is there when it is made, and never again.
type apiKey struct {
	ID         string     `json:"id"`
	Key        string     `json:"key,omitempty"`
	Name       string     `json:"name"`
	Scope      string     `json:"scope"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

// aKeyText is a key as text, and what may stand in for it nowhere.
var aKeyText = regexp.MustCompile(`^lk_([A-Z2-7]{16})_[A-Z2-7]{26}$`)

// secret is the part of a key that nobody may see.
func (k apiKey) secret() string { return k.Key[20:] }

// makeKey makes a key by a body such as {"name":"a"}.
func (s *server) makeKey(t testing.TB, token, body string) apiKey {
	t.Helper()
	a := s.authorized(t, "POST", keysPath, body, token)
	checkStatus(t, a, 200)
	checkShape(t, a)
	var k apiKey
	strictly(t, a.body, &k)
	if parts := aKeyText.FindStringSubmatch(k.Key); parts == nil || parts[1] != k.ID {
		t.Fatalf("%+v; want a key with its id in it", k)
	}
	return k
}

// keys lists those of a user.
func (s *server) keys(t testing.TB, token string) []apiKey {
	t.Helper()
	a := s.authorized(t, "GET", keysPath, "", token)
	checkStatus(t, a, 200)
	checkShape(t, a)
	var list []apiKey
	strictly(t, a.body, &list)
	for _, k := range list {
		if k.Key != "" {
			t.Errorf("the list shows a key: %s", a.body)
		}
	}
	return list
}

// dropKey deletes a key.
func (s *server) dropKey(t testing.TB, token, id string) {
	t.Helper()
	checkEmpty(t, s.authorized(t, "DELETE", keysPath+id, "", token), 204)
}

// decode reads JSON, whatever else is in it.
func decode(t testing.TB, body string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("%.300s: %v", body, err)
	}
}

// credentials is the form with which a program asks for a token, and more of it.
func credentials(id, secret string, more ...string) string {
	form := url.Values{"grant_type": {"client_credentials"}}
	if id != "" {
		form.Set("client_id", id)
	}
	if secret != "" {
		form.Set("client_secret", secret)
	}
	return strings.Join(append([]string{form.Encode()}, more...), "&")
}

// A clientGrant is what a program gets for a key.
type clientGrant struct {
	Access    string `json:"access_token"`
	Type      string `json:"token_type"`
	ExpiresIn int    `json:"expires_in"`
	Scope     string `json:"scope"`
}

// clientGrant returns the one in an answer. There is nothing else in it: no refresh token.
func (a answer) clientGrant(t testing.TB) clientGrant {
	t.Helper()
	checkStatus(t, a, 200)
	checkShape(t, a)
	var g clientGrant
	strictly(t, a.body, &g)
	if g.Access == "" || g.Type != "bearer" || g.ExpiresIn < 1 {
		t.Fatalf("%s; want a token, bearer, and some seconds", a.body)
	}
	return g
}

// exchange gets a token for a key.
func (s *server) exchange(t testing.TB, k apiKey, more ...string) clientGrant {
	t.Helper()
	return s.do(t, "POST", "/token", credentials(k.ID, k.Key, more...), formType).clientGrant(t)
}

// checkKeyDead reports a key that is good for anything, or a token that was got for it. The caller
// is an administrator.
func checkKeyDead(t testing.TB, s *server, caller string, k apiKey, tokens ...string) {
	t.Helper()
	for _, token := range append([]string{k.Key}, tokens...) {
		checkUseless(t, s, caller, token)
	}
	checkProblem(t, s.do(t, "GET", "/verify", "", basic("", k.Key)), 401, "Could not validate credentials")
	checkInvalidClient(t, s.do(t, "POST", "/token", credentials(k.ID, k.Key), formType), "Bearer")
}

// checkInvalidClient reports an answer that is not the refusal of a client.
func checkInvalidClient(t testing.TB, a answer, challenge string) {
	t.Helper()
	var body struct {
		Detail      string
		Error       string
		Description string `json:"error_description"`
	}
	err := json.Unmarshal([]byte(a.body), &body)
	if err != nil || a.StatusCode != 401 || body.Error != "invalid_client" || body.Detail == "" || body.Detail != body.Description {
		t.Errorf("got %d %s; want 401 invalid_client", a.StatusCode, a.body)
	}
	if got := strings.Join(a.Header.Values("WWW-Authenticate"), " | "); got != challenge {
		t.Errorf("WWW-Authenticate: %s; want %s", got, challenge)
	}
	if got := a.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %s; want no-store", got)
	}
}
