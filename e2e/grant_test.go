package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A grant is what POST /token gives: for a password, and then again and again for
// the latest refresh token.
type grant struct {
	Access    string `json:"access_token"`
	Type      string `json:"token_type"`
	ExpiresIn int    `json:"expires_in"`
	Refresh   string `json:"refresh_token"`
	Scope     string `json:"scope"`
}

// granted returns the grant in an answer, which must be one.
func (a answer) granted(t testing.TB) grant {
	t.Helper()
	var g grant
	if err := json.Unmarshal([]byte(a.body), &g); err != nil || a.StatusCode != 200 {
		t.Fatalf("got %d %s, %v; want 200 and tokens", a.StatusCode, a.body, err)
	}
	if g.Access == "" || g.Type != "bearer" || g.ExpiresIn < 1 || len(g.Refresh) != 75 {
		t.Errorf("got %s; want two tokens, bearer, and some seconds", a.body)
	}
	checkShape(t, a)
	return g
}

// generation returns which refresh token of its session this is: the login's is 0.
func (g grant) generation(t testing.TB) int {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(g.Refresh)
	if err != nil || len(raw) != 56 {
		t.Fatalf("a refresh token of %d bytes, %v; want 56", len(raw), err)
	}
	return int(binary.BigEndian.Uint64(raw[16:])) // behind the session's ID
}

// signIn begins a session of a user, with headers such as "User-Agent: Phone".
func (s *server) signIn(t testing.TB, username string, headers ...string) grant {
	t.Helper()
	return s.do(t, "POST", "/token", loginForm(username), append(headers, formType)...).granted(t)
}

// refresh asks for the successor of a refresh token.
func (s *server) refresh(t testing.TB, token string) answer {
	t.Helper()
	return s.do(t, "POST", "/token", refreshBody(token), formType)
}

func refreshBody(token string) string {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}.Encode()
}

// revoke ends the session of a token, or does nothing: it always says the same.
func (s *server) revoke(t testing.TB, token string) {
	t.Helper()
	checkRevoked(t, s.do(t, "POST", "/revoke", url.Values{"token": {token}}.Encode(), formType))
}

// checkRevoked reports an answer of /revoke that is no success, or no JSON: clients parse it.
func checkRevoked(t testing.TB, a answer) {
	t.Helper()
	if a.StatusCode != 200 || a.body != "{}" {
		t.Errorf("got %d %q; want 200 {}", a.StatusCode, a.body)
	}
	checkShape(t, a)
}

// authorized sends a request of whoever has this access token.
func (s *server) authorized(t testing.TB, method, path, body, token string) answer {
	t.Helper()
	headers := []string{"Authorization: Bearer " + token}
	if body != "" {
		headers = append(headers, jsonType)
	}
	return s.do(t, method, path, body, headers...)
}

// A session is one of those that GET /users/me/sessions/ shows.
type session struct {
	ID         string    `json:"id"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	IP         string    `json:"ip"`
	UserAgent  string    `json:"user_agent"`
	Current    bool      `json:"current"`
}

// sessions lists those of a user, and checks that each has a place of its own in it.
func (s *server) sessions(t testing.TB, token string) []session {
	t.Helper()
	a := s.authorized(t, "GET", "/users/me/sessions/", "", token)
	checkStatus(t, a, 200)
	var list []session
	body := json.NewDecoder(strings.NewReader(a.body))
	body.DisallowUnknownFields()
	if err := body.Decode(&list); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return list
}

// current returns the session of a token.
func (s *server) current(t testing.TB, token string) session {
	t.Helper()
	for _, one := range s.sessions(t, token) {
		if one.Current {
			return one
		}
	}
	t.Fatal("no session is the current one")
	return session{}
}

// events returns the lines of the log that have this message, when everything is in it
// that has happened up to now.
func (s *server) events(t testing.TB, msg string) []map[string]any {
	t.Helper()
	id := rand.Text()
	s.do(t, "GET", "/livez", "", "X-Request-ID: "+id)
	waitFor(t, "the log", func() bool {
		return slices.ContainsFunc(s.log.events("request"), func(line map[string]any) bool { return line["request_id"] == id })
	})
	return s.log.events(msg)
}

// checkEmpty reports an answer that says more than its status.
func checkEmpty(t testing.TB, a answer, status int) {
	t.Helper()
	if a.StatusCode != status || a.body != "" {
		t.Errorf("%s %s: %d %q; want %d and no body", a.Request.Method, a.Request.URL.Path, a.StatusCode, a.body, status)
	}
	checkShape(t, a)
}

// checkOAuthProblem reports an answer that is not this failure in both of its
// languages, OAuth's and FastAPI's.
func checkOAuthProblem(t testing.TB, a answer, code, description string) {
	t.Helper()
	checkProblem(t, a, 400, description)
	want := fmt.Sprintf(`{"detail":%q,"error":%q,"error_description":%[1]q}`, description, code)
	if a.body != want {
		t.Errorf("got %s; want %s", a.body, want)
	}
}

// checkOAuthCode reports an answer that is not a 400 with this code of RFC 6749.
func checkOAuthCode(t testing.TB, a answer, code string) {
	t.Helper()
	checkStatus(t, a, http.StatusBadRequest)
	var body struct {
		Detail      string
		Error       string
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.Error != code || body.Detail == "" || body.Description != body.Detail {
		t.Errorf("%s, %v; want %s with a detail", a.body, err, code)
	}
}

// checkEnded reports a session of which any token is still good.
func checkEnded(t testing.TB, s *server, g grant) {
	t.Helper()
	checkProblem(t, s.me(t, g.Access), 401, "Could not validate credentials")
	checkOAuthProblem(t, s.refresh(t, g.Refresh), "invalid_grant", "the session has ended")
}

// checkGoesOn reports a session of which any token is not good, and returns what its
// refresh token is exchanged for.
func checkGoesOn(t testing.TB, s *server, g grant, username string) grant {
	t.Helper()
	checkMe(t, s.me(t, g.Access), username)
	next := s.refresh(t, g.Refresh).granted(t)
	checkMe(t, s.me(t, next.Access), username)
	if got, want := next.generation(t), g.generation(t)+1; got != want {
		t.Errorf("after generation %d comes %d", want-1, got)
	}
	return next
}

// refreshAtOnce asks n times at once for the successor of one token, at these
// servers in turn.
func refreshAtOnce(t testing.TB, n int, token string, servers ...*server) []answer {
	t.Helper()
	return atOnce(t, n, func(i int) (answer, error) {
		return servers[i%len(servers)].try(t.Context(), "POST", "/token", refreshBody(token), formType)
	})
}

// atOnce sends n requests at the same time and returns their answers.
func atOnce(t testing.TB, n int, send func(i int) (answer, error)) []answer {
	t.Helper()
	answers := make([]answer, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			var err error
			answers[i], err = send(i)
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return answers
}

// checkOneSuccessor reports answers that do not all have the same refresh token, and
// returns one of them.
func checkOneSuccessor(t testing.TB, answers []answer) grant {
	t.Helper()
	first := answers[0].granted(t)
	for _, a := range answers {
		if g := a.granted(t); g.Refresh != first.Refresh {
			t.Errorf("the generations %d and %d follow one token", first.generation(t), g.generation(t))
		}
	}
	return first
}
