package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A testServer is the whole API on a real connection, with a cheap hasher and a
// clock that the test sets.
type testServer struct {
	*httptest.Server
	t     testing.TB
	acc   *accounts
	log   *safeBuffer
	clock *testClock
}

// A testClock says what time it is until the test says otherwise.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A safeBuffer is a bytes.Buffer for several goroutines.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// startServer starts a server on the memory store; set changes its accounts
// and its settings first.
func startServer(t testing.TB, set ...func(*accounts, *edgeSettings)) *testServer {
	t.Helper()
	log := new(safeBuffer)
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	clock := &testClock{now: testTime.Add(time.Second / 3)} // no test may count on whole seconds
	acc := &accounts{
		guard:             guard{store: newMemStore(), passwords: newHasher(10), hashes: newQueue(4), log: logger, now: clock.Now},
		tokens:            secretSigner(t),
		refreshTokens:     newRefreshKeys([]byte(testSecret), nil),
		lists:             newQueue(4),
		searches:          newQueue(4),
		readings:          newQueue(4),
		apiKeyUses:        newCache[apiKeyUse, struct{}](maxAPIKeyUses),
		limits:            sessionLimits{absolute: 30 * day, idle: 14 * day, grace: 10 * time.Second},
		registrationOpen:  true,
		minPasswordLength: 8,
	}
	cfg := edgeSettings{CORSOrigins: strings.Split(loopbackOrigins, ",")}
	for _, f := range set {
		f(acc, &cfg)
	}
	acc.events = newRecorder(acc.store, acc.metrics, logger, clock.Now)
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = newServer(newHandler(cfg, acc, logger), time.Minute, logger)
	srv.Start()
	t.Cleanup(srv.Close)
	return &testServer{srv, t, acc, log, clock}
}

// An answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   string
}

// json returns the decoded body, or nil if it is no JSON.
func (a answer) json() any {
	var v any
	if json.Unmarshal([]byte(a.body), &v) != nil {
		return nil
	}
	return v
}

// field returns a string in the JSON object that was answered.
func (a answer) field(name string) string {
	object, _ := a.json().(map[string]any)
	text, _ := object[name].(string)
	return text
}

// testClient follows no redirect and unpacks nothing.
var testClient = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{DisableCompression: true},
}

// do sends a request with headers given as "Name: value".
func (s *testServer) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
		if name == "Host" {
			r.Host = value
		}
	}
	resp, err := testClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := answer{resp.StatusCode, resp.Header, string(text)}
	checkDocumented(s.t, method, path, a)
	return a
}

func (s *testServer) register(username, password string) answer {
	s.t.Helper()
	body, _ := json.Marshal(map[string]string{"username": username, "password": password})
	return s.do("POST", "/users/", string(body), "Content-Type: application/json")
}

func (s *testServer) login(body string) answer {
	s.t.Helper()
	return s.do("POST", "/token", body, "Content-Type: "+urlEncoded)
}

const (
	goodPassword = "correct horse battery"
	goodLogin    = "username=alice&password=correct+horse+battery"
)

// signUp registers alice and returns a token of hers.
func (s *testServer) signUp() string {
	s.t.Helper()
	if a := s.register("alice", goodPassword); a.status != 200 {
		s.t.Fatalf("register: %d %s", a.status, a.body)
	}
	token := s.login(goodLogin).field("access_token")
	if token == "" {
		s.t.Fatal("no token")
	}
	return token
}

func (s *testServer) me(headers ...string) answer {
	s.t.Helper()
	return s.do("GET", "/users/me/", "", headers...)
}

// Bodies that several tests expect, to the byte.
const (
	notAuthenticated = `{"detail":"Not authenticated"}`
	badToken         = `{"detail":"Could not validate credentials"}`
	badLogin         = `{"detail":"Incorrect username or password","error":"invalid_grant","error_description":"Incorrect username or password"}`
	alice            = `{"username":"alice","email":null,"full_name":null}`
)

// TestServerLimits: what a client can hold ends; 0 would be never.
func TestServerLimits(t *testing.T) {
	srv := newServer(nil, 2*time.Minute, slog.New(slog.DiscardHandler))
	if srv.ReadHeaderTimeout != 5*time.Second || srv.ReadTimeout != 10*time.Second || srv.WriteTimeout != 30*time.Second ||
		srv.IdleTimeout != 2*time.Minute || srv.MaxHeaderBytes != 8<<10 {
		t.Errorf("%v %v %v %v %v", srv.ReadHeaderTimeout, srv.ReadTimeout, srv.WriteTimeout, srv.IdleTimeout, srv.MaxHeaderBytes)
	}
}

// BenchmarkHandler measures what our part of a request takes, without net/http's.
func BenchmarkHandler(b *testing.B) {
	s := startServer(b)
	token := s.signUp()
	log := newLogger(config{LogJSON: true}, startLogWriter(b.Context(), io.Discard))
	h := newHandler(edgeSettings{CORSOrigins: strings.Split(loopbackOrigins, ",")}, s.acc, log)
	for name, path := range map[string]string{"me": "/users/me/", "verify": "/verify/any", "livez": "/livez"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequest("GET", path, nil)
			r.Header.Set("Authorization", "Bearer "+token)
			got := discarder{header: make(http.Header)}
			for b.Loop() { // as net/http would hand over the next request of a connection
				clear(got.header)
				delete(r.Header, requestIDHeader)
				r.RemoteAddr, r.Pattern = "192.0.2.1:1234", ""
				h.ServeHTTP(&got, r)
			}
			if got.status != http.StatusOK {
				b.Fatalf("answered %d", got.status)
			}
		})
	}
}
