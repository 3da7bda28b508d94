package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// TestKeyClients lets OAuth libraries of others work with API keys.
func TestKeyClients(t *testing.T) {
	t.Parallel()
	if os.Getenv("CLIENT_TOOLS") == "" {
		t.Skip("SKIPPED: needs Node and Java; make clients runs it")
	}
	s := startIssuer(t, newKey(t, "ES256").settings(t)...)
	job, introspector := s.jobKey(t), s.introspector(t)
	for _, folder := range []string{"openid-client", "spring-introspection", "oauth4webapi-services"} {
		t.Run(folder, func(t *testing.T) {
			runClient(t, folder, "ISSUER="+s.url, "TOKEN="+s.logIn(t, "alice"),
				"KEY_ID="+job.ID, "KEY="+job.Key, "INTROSPECTOR_ID="+introspector.ID, "INTROSPECTOR_KEY="+introspector.Key)
		})
	}
}

// jobKey makes a key of alice's that may read.
func (s *server) jobKey(t testing.TB) apiKey {
	return s.makeKey(t, s.logIn(t, "alice"), `{"name":"a job","scope":"read"}`)
}

// introspector makes a key that may ask about tokens.
func (s *server) introspector(t testing.TB) apiKey {
	t.Helper()
	s.setScopes(t, "bob", "introspect")
	return s.makeKey(t, s.logIn(t, "bob"), `{"name":"a service","scope":"introspect"}`)
}

// TestServicesOfPrograms: a service that verifies tokens accepts one that a program got with an
// API key. It ends with the key for those who ask.
func TestServicesOfPrograms(t *testing.T) {
	t.Parallel()
	s := startIssuer(t, "ALGORITHM=ES256", "SECRET_KEY="+aKey)
	service := startService(t, s, serviceExample{"keyfunc", goService("keyfunc")})
	job, introspector := s.jobKey(t), s.introspector(t)
	token := s.exchange(t, job).Access
	checkNotes(t, service.authorized(t, "GET", "/notes/", "", token), readJWT(t, token))
	checkCode(t, service.authorized(t, "GET", "/notes/", "", job.Key), http.StatusUnauthorized)
	for _, good := range []string{token, job.Key} {
		if a := s.introspect(t, introspector.Key, good); !strings.HasPrefix(a.body, `{"active":true,"scope":"read",`) {
			t.Errorf("introspection: %d %s; want an active token that may read", a.StatusCode, a.body)
		}
	}
	s.dropKey(t, s.logIn(t, "alice"), job.ID)
	checkCode(t, service.authorized(t, "GET", "/notes/", "", token), http.StatusOK) // until it expires
	for _, ended := range []string{token, job.Key} {
		checkInactive(t, s.introspect(t, introspector.Key, ended))
	}
}
