package e2e

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readExample returns a file of examples/ with other addresses. Each must be in it.
func readExample(t testing.TB, path string, addresses map[string]string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../examples", path))
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for from, to := range addresses {
		if !strings.Contains(text, from) {
			t.Fatalf("%s does not have %s", path, from)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	return text
}

// audience is that of the service of the examples.
const audience = "notes"

// startIssuer starts a server whose tokens other services can verify: its ISSUER is its URL.
// The user alice may read, bob may not.
func startIssuer(t testing.TB, settings ...string) *server {
	t.Helper()
	file, addr := listenerFile(t, "127.0.0.1:0")
	s := startIssuerOn(t, file, addr, withRoot(settings...)...)
	file.Close() // who comes when the server has gone is refused
	s.register(t, "alice")
	s.register(t, "bob")
	s.setScopes(t, "alice", "read")
	s.setScopes(t, "bob", "reader", "write")
	return s
}

// startIssuerOn starts such a server on a socket.
func startIssuerOn(t testing.TB, socket *os.File, addr string, settings ...string) *server {
	t.Helper()
	env := append([]string{"ISSUER=http://" + addr, "AUDIENCE=" + audience}, settings...)
	return startAs(t, invocation{under: oneSocket, files: []*os.File{socket}, env: env})
}

// setScopes lets root give a user these scopes, and no others.
func (s *server) setScopes(t testing.TB, username string, scopes ...string) {
	t.Helper()
	body, _ := json.Marshal(map[string][]string{"scopes": append([]string{}, scopes...)}) // strings never fail
	checkStatus(t, s.patch(t, s.logIn(t, root), username, string(body)), http.StatusOK)
}

// A jwt is a token that a test takes apart and puts together again.
type jwt struct{ header, claims map[string]any }

func readJWT(t testing.TB, token string) jwt {
	t.Helper()
	var j jwt
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts; want 3", len(parts))
	}
	for i, into := range []*map[string]any{&j.header, &j.claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return j
}

// signedBy returns the token with a signature of k, or with none if its header says so.
func (j jwt) signedBy(t testing.TB, k key) string {
	t.Helper()
	header, _ := json.Marshal(j.header) // what was read from JSON never fails
	claims, _ := json.Marshal(j.claims)
	enc := base64.RawURLEncoding.EncodeToString
	text := enc(header) + "." + enc(claims)
	if j.header["alg"] == "none" {
		return text + "."
	}
	return text + "." + enc(k.sign(t, text))
}

// publicPEM is the public key of k as a text.
func publicPEM(t testing.TB, k key) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.private.Public())
	return pemText(t, "PUBLIC KEY", der, err)
}

// An echo is a request as a service behind a proxy sees it.
type echo struct {
	Method string      `json:"method"`
	Header http.Header `json:"header"`
	Size   int64       `json:"size"` // of the body
}

// echoed returns the request to which a is the answer.
func (a answer) echoed(t testing.TB) echo {
	t.Helper()
	var e echo
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("got %d %.300s, %v; want the service's answer", a.StatusCode, a.body, err)
	}
	return e
}

// at returns s as somebody sees it who comes by another address.
func (s *server) at(addr net.Addr) *server {
	other := *s
	other.addr, other.url = addr.String(), "http://"+addr.String()
	other.client = &http.Client{Timeout: patience}
	return &other
}

// checkCode reports an answer of a proxy or a service that has another status, or that is a 401
// without a challenge.
func checkCode(t testing.TB, a answer, status int) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("%s %s: %d %.200s; want %d", a.Request.Method, a.Request.URL.Path, a.StatusCode, a.body, status)
	}
	if challenge := a.Header.Get("WWW-Authenticate"); a.StatusCode == http.StatusUnauthorized && !strings.HasPrefix(challenge, "Bearer") {
		t.Errorf("401 with the challenge %q; want Bearer", challenge)
	}
}
