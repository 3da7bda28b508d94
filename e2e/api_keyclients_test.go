package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"testing"
)

// TestKeyClients lets OAuth libraries of others work with API keys.
func TestKeyClients(t *testing.T) {
	t.Parallel()
	if os.Getenv("CLIENT_TOOLS") == "" {
		t.Skip("SKIPPED: needs Node; make clients runs it")
	}
	s := startIssuer(t, newKey(t, "ES256").settings(t)...)
	job, introspector := s.jobKey(t), s.introspector(t)
	for _, folder := range []string{"openid-client", "oauth4webapi-services"} {
		t.Run(folder, func(t *testing.T) {
			runClient(t, folder, "ISSUER="+s.url, "TOKEN="+s.logIn(t, "alice"),
				"KEY_ID="+job.id, "KEY="+job.text, "INTROSPECTOR_ID="+introspector.id, "INTROSPECTOR_KEY="+introspector.text)
		})
	}
}

// makeKey lets somebody who has just logged in make a key.
func (s *server) makeKey(t testing.TB, token, scope string) apiKey {
	t.Helper()
	a := s.authorized(t, "POST", "/users/me/keys/", fmt.Sprintf(`{"name":"a job","scope":%q}`, scope), token)
	checkStatus(t, a, http.StatusOK)
	var made struct{ Key string }
	err := json.Unmarshal([]byte(a.body), &made)
	m := aKeyLine.FindStringSubmatch(made.Key + "\n")
	if m == nil {
		t.Fatalf("an answer of %d bytes, %v; want one with a key", len(a.body), err)
	}
	return apiKey{made.Key, m[1], m[2]}
}

// jobKey makes a key of alice's that may read.
func (s *server) jobKey(t testing.TB) apiKey { return s.makeKey(t, s.logIn(t, "alice"), "read") }

// introspector makes a key that may ask about tokens.
func (s *server) introspector(t testing.TB) apiKey {
	t.Helper()
	s.setScopes(t, "bob", "introspect")
	return s.makeKey(t, s.logIn(t, "bob"), "introspect")
}

// TestServicesOfPrograms: a service that verifies tokens accepts one that a program got with an
// API key. It ends with the key for those who ask.
func TestServicesOfPrograms(t *testing.T) {
	t.Parallel()
	s := startIssuer(t, "ALGORITHM=ES256", "SECRET_KEY="+aKey)
	service := startService(t, s, serviceExample{"keyfunc", goService("keyfunc")})
	job, introspector := s.jobKey(t), s.introspector(t)
	token := s.tokenFor(t, job).token()
	checkNotes(t, service.authorized(t, "GET", "/notes/", "", token), readJWT(t, token))
	checkCode(t, service.authorized(t, "GET", "/notes/", "", job.text), http.StatusUnauthorized)
	for _, good := range []string{token, job.text} {
		if !s.isActive(t, introspector, good) {
			t.Errorf("%.3s… is not active", good)
		}
	}
	checkEmpty(t, s.authorized(t, "DELETE", "/users/me/keys/"+job.id, "", s.logIn(t, "alice")), http.StatusNoContent)
	checkCode(t, service.authorized(t, "GET", "/notes/", "", token), http.StatusOK) // until it expires
	for _, ended := range []string{token, job.text} {
		if s.isActive(t, introspector, ended) {
			t.Errorf("%.3s… outlives the key", ended)
		}
	}
}

// isActive asks about a token, with an API key that may.
func (s *server) isActive(t testing.TB, by apiKey, token string) bool {
	t.Helper()
	a := s.do(t, "POST", "/introspect", url.Values{"token": {token}}.Encode(), formType, "Authorization: Bearer "+by.text)
	checkStatus(t, a, http.StatusOK)
	var answer struct{ Active bool }
	if err := json.Unmarshal([]byte(a.body), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Active
}
