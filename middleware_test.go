package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// failing is a store that is out of order.
type failing struct{ store }

var errOutage = errors.New("the disk is on fire at /var/lib/secret")

func (failing) CreateUser(context.Context, User) (User, error)  { return User{}, errOutage }
func (failing) UserByKey(context.Context, string) (User, error) { panic("nobody expected this") }
func (failing) UserBySession(context.Context, string) (User, Session, error) {
	return User{}, Session{}, errOutage
}

// TestFailure: an outage or a panic is a 500 that says nothing; its cause is in
// the log under the request's id. It is never a wrong 401.
func TestFailure(t *testing.T) {
	s := startServer(t)
	token := s.signUp()
	s.acc.store = failing{s.acc.store}
	for name, got := range map[string]answer{
		"an outage":              s.register("bob", goodPassword),
		"an outage with a token": s.me("Authorization: Bearer " + token),
		"a panic":                s.login(goodLogin),
	} {
		if got.status != 500 || got.field("detail") != "Internal Server Error" || strings.Contains(got.body, "fire") {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		id := got.header.Get("X-Request-Id")
		cause := ""
		for line := range strings.Lines(s.log.String()) {
			if strings.Contains(line, id) && strings.Contains(line, "request failed") {
				cause = line
			}
		}
		if !strings.Contains(cause, "fire") && !strings.Contains(cause, "nobody expected this at latchkey.failing.UserByKey") {
			t.Errorf("%s: the log says %q", name, cause)
		}
	}
	s.checkLog(token)
}

// away is a store that does not answer.
type away struct{ store }

func (away) CreateUser(context.Context, User) (User, error)  { return User{}, errAway }
func (away) UserByKey(context.Context, string) (User, error) { return User{}, errAway }
func (away) UserBySession(context.Context, string) (User, Session, error) {
	return User{}, Session{}, errAway
}
func (away) Ping(context.Context) error { return errAway }

var errAway = fmt.Errorf("%w: no route to db.internal", errUnavailable)

// TestUnavailable: a store that does not answer is a 503 that says when to try
// again, and its cause is in the log. It is never a wrong 401.
func TestUnavailable(t *testing.T) {
	s := startServer(t)
	token := s.signUp()
	tokens := s.begin("alice")
	s.acc.store = away{s.acc.store}
	plain := `{"detail":"Service Unavailable"}`
	oauth := `{"detail":"Service Unavailable","error":"temporarily_unavailable","error_description":"Service Unavailable"}`
	for name, tt := range map[string]struct {
		got  answer
		body string
	}{
		"a registration": {s.register("bob", goodPassword), plain},
		"a login":        {s.login(goodLogin), oauth},
		"a refresh":      {s.refresh(tokens.refresh), oauth},
		"a log-out":      {s.revoke(tokens.refresh), oauth},
		"the sessions":   {s.as(tokens, "GET", "/users/me/sessions/", ""), plain},
		"a token":        {s.me("Authorization: Bearer " + token), plain},
		"readyz":         {s.do("GET", "/readyz", ""), plain},
	} {
		if tt.got.status != 503 || tt.got.body != tt.body || tt.got.header.Get("Retry-After") != "1" {
			t.Errorf("%s: %d %s, Retry-After %q", name, tt.got.status, tt.got.body, tt.got.header.Get("Retry-After"))
		}
		if log := s.log.String(); !strings.Contains(log, `"err":"the store does not answer: no route to db.internal","request_id":"`+tt.got.header.Get("X-Request-Id")) {
			t.Errorf("%s: the log does not say why: %s", name, log)
		}
	}
	if got := s.do("GET", "/livez", ""); got.status != 200 || got.body != `{"status":"ok"}` {
		t.Errorf("livez: %d %s", got.status, got.body)
	}
	s.checkLog(token)
}

// TestReady: a server is ready until it stops.
func TestReady(t *testing.T) {
	s := startServer(t)
	if got := s.do("GET", "/readyz", ""); got.status != 200 || got.body != `{"status":"ok"}` {
		t.Errorf("readyz: %d %s", got.status, got.body)
	}
	s.acc.stop()
	if got := s.do("GET", "/readyz", ""); got.status != 503 || got.body != `{"detail":"Shutting down"}` {
		t.Errorf("readyz of a server that stops: %d %s", got.status, got.body)
	}
	if got := s.do("GET", "/livez", ""); got.status != 200 {
		t.Errorf("livez of a server that stops: %d %s", got.status, got.body)
	}
}

// TestPanicBehindHeader: half an answer is cut off, not completed, and the log
// says why.
func TestPanicBehindHeader(t *testing.T) {
	out := new(safeBuffer)
	log := slog.New(slog.NewJSONHandler(out, nil))
	served := make(chan struct{})
	h := logged(log, nil, recovered(log, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half")
		panic("no more")
	})))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(served)
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()
	resp, err := http.Get(srv.URL)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("the answer looks complete")
	}
	<-served
	if got := out.String(); !strings.Contains(got, "panic: no more at latchkey.TestPanicBehindHeader") || !strings.Contains(got, `"msg":"request"`) {
		t.Errorf("the log says %s", got)
	}
}

// TestRequestLine: one line a request, with the route and without the path.
func TestRequestLine(t *testing.T) {
	s := startServer(t)
	token := s.signUp()
	s.do("GET", "/users/me/?token="+token, "", "User-Agent: a\tb", "X-Request-ID: the-id")
	s.do("GET", "/nope/"+token, "", "X-Request-ID: other-id")
	s.do(strings.Repeat("X", 5000), "/nope", "", "X-Request-ID: long-id")
	want := map[string]string{"the-id": "GET /users/me/{$}", "other-id": "", "long-id": ""}
	for line := range strings.Lines(s.log.String()) {
		var entry struct {
			Msg, Method, Route, Source string
			ID                         string `json:"request_id"`
			Status                     int
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		route, ours := want[entry.ID]
		if !ours {
			continue
		}
		delete(want, entry.ID)
		if entry.Msg != "request" || entry.Route != route || entry.Source != "127.0.0.1" || entry.Status < 400 || len(entry.Method) > 16 {
			t.Errorf("line %s", line)
		}
	}
	if len(want) != 0 {
		t.Errorf("no line for %v", want)
	}
	s.checkLog(token)
}

// TestSecurityEvents: who did what stands in the log by OWASP's names.
func TestSecurityEvents(t *testing.T) {
	s := startServer(t)
	s.signUp()
	s.login("username=alice&password=wrong")
	s.login("username=" + goodPassword + "&password=typed+into+the+wrong+field")
	tokens := s.begin("alice")
	s.as(tokens, "PATCH", "/users/me/", `{"email":null}`)
	s.as(tokens, "POST", "/users/me/password", changeTo("wrong", newPassword))
	s.as(tokens, "POST", "/users/me/password", changeTo(goodPassword, goodPassword))
	s.refresh(tokens.refresh)
	s.clock.Advance(10 * time.Second)
	s.refresh(tokens.refresh)
	s.revoke(s.begin("alice").refresh)
	s.as(s.begin("alice"), "DELETE", "/users/me/", "")
	for _, want := range []string{
		`"level":"INFO","msg":"user_updated","username":"alice","source":"127.0.0.1"`,
		`"level":"INFO","msg":"user_deleted","username":"alice","source":"127.0.0.1"`,
		`"level":"INFO","msg":"authn_password_change","username":"alice","source":"127.0.0.1"`,
		`"level":"WARN","msg":"authn_password_change_fail","username":"alice","source":"127.0.0.1"`,
		`"level":"INFO","msg":"session_renewed","username":"alice","source":"127.0.0.1"`,
		`"level":"WARN","msg":"authn_token_reuse","username":"alice","source":"127.0.0.1"`,
		`"level":"INFO","msg":"authn_token_revoked","username":"alice","source":"127.0.0.1"`,
		`"level":"INFO","msg":"user_created","username":"alice","source":"127.0.0.1"`,
		`"level":"INFO","msg":"authn_login_success","username":"alice","source":"127.0.0.1"`,
		`"level":"WARN","msg":"authn_login_fail","username":"alice","source":"127.0.0.1"`,
		`"level":"WARN","msg":"authn_login_fail","username":"","source":"127.0.0.1"`,
	} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, s.log)
		}
	}
	s.checkLog("wrong field", newPassword, tokens.refresh)
}

// TestAbortedHandler: a handler that wants its connection cut gets that, and nothing is said
// of a failure.
func TestAbortedHandler(t *testing.T) {
	out := new(safeBuffer)
	log := slog.New(slog.NewJSONHandler(out, nil))
	served := make(chan struct{})
	h := logged(log, nil, recovered(log, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(served)
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()
	resp, err := testClient.Get(srv.URL)
	if err == nil {
		resp.Body.Close()
		t.Errorf("answered with %d; want no answer", resp.StatusCode)
	}
	<-served
	if got := out.String(); strings.Contains(got, "request failed") || !strings.Contains(got, `"msg":"request"`) {
		t.Errorf("the log says %s", got)
	}
}

// FuzzLogLine: whatever a client sends, a log line is one JSON object on one
// line.
func FuzzLogLine(f *testing.F) {
	f.Add("GET", "/x", "id", "1.2.3.4", "name")
	f.Add("G\nT", "/\u2028", "a\r\nSet-Cookie: x", "x\x1b[31m", "a\n{\"level\":\"ERROR\"}")
	f.Fuzz(func(t *testing.T, method, path, id, forwarded, username string) {
		log := new(safeBuffer)
		logger := slog.New(quickLog{slog.NewJSONHandler(log, nil), log})
		events := newRecorder(nil, nil, logger, time.Now)
		h := identified(logger, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, logged(logger, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			events.note(r.Context(), loginFailed, User{Username: username}, sender(r), path)
			writeError(w, r, logger, errors.New(path))
		})))
		r := httptest.NewRequest("GET", "/", nil)
		r.Method, r.URL.Path = method, path
		r.Header = http.Header{"X-Request-Id": {id}, "X-Forwarded-For": {forwarded}, "User-Agent": {path}}
		h.ServeHTTP(httptest.NewRecorder(), r)
		lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		for _, line := range lines {
			if !json.Valid([]byte(line)) || strings.ContainsAny(line, "\x1b\r") {
				t.Errorf("line %q", line)
			}
		}
		if len(lines) != 3 {
			t.Errorf("%d lines, want 3: %q", len(lines), lines)
		}
	})
}
