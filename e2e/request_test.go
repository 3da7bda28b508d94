package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// password is every user's.
const password = "plain-sailing-7341"

// An answer is a response that has been read to its end.
type answer struct {
	*http.Response
	body string
}

// do sends a request with headers such as "Accept: text/html".
func (s *server) do(t testing.TB, method, path, body string, headers ...string) answer {
	t.Helper()
	a, err := s.try(t.Context(), method, path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// try is do for a server that may be gone. Any goroutine may call it.
func (s *server) try(ctx context.Context, method, path, body string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Add(name, value)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp, string(text)}, err
}

// register makes a user.
func (s *server) register(t testing.TB, username string) {
	t.Helper()
	if a := s.do(t, "POST", "/users/", newUser(username, password), jsonType); a.StatusCode != 200 {
		t.Fatalf("POST /users/: %d %s", a.StatusCode, a.body)
	}
}

// newUser is the body with which a user registers.
func newUser(username, password string) string {
	body, _ := json.Marshal(map[string]string{"username": username, "password": password}) // strings never fail
	return string(body)
}

// loginForm is the body with which a user logs in.
func loginForm(username string) string {
	return url.Values{"username": {username}, "password": {password}}.Encode()
}

const (
	jsonType = "Content-Type: application/json"
	formType = "Content-Type: application/x-www-form-urlencoded"
)

// logIn returns a token of a user.
func (s *server) logIn(t testing.TB, username string) string {
	t.Helper()
	a := s.do(t, "POST", "/token", loginForm(username), formType)
	token := a.token()
	if token == "" {
		t.Fatalf("POST /token: %d %s", a.StatusCode, a.body)
	}
	return token
}

// token returns the token that a login was answered with, or "".
func (a answer) token() string {
	var body struct {
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.StatusCode != 200 {
		return ""
	}
	return body.Access
}

// me asks whose token this is.
func (s *server) me(t testing.TB, token string) answer {
	t.Helper()
	return s.do(t, "GET", "/users/me/", "", "Authorization: Bearer "+token)
}

// checkMe reports an answer that does not name the user.
func checkMe(t testing.TB, a answer, username string) {
	t.Helper()
	want := fmt.Sprintf(`{"username":%q,"email":null,"full_name":null}`, username)
	if a.StatusCode != 200 || a.body != want {
		t.Errorf("got %d %s; want 200 %s", a.StatusCode, a.body, want)
	}
	checkShape(t, a)
}

// checkProblem reports an answer that is not this failure.
func checkProblem(t testing.TB, a answer, status int, detail string) {
	t.Helper()
	var body struct{ Detail any }
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.StatusCode != status || body.Detail != detail {
		t.Errorf("got %d %.200q; want %d with the detail %q", a.StatusCode, a.body, status, detail)
	}
	checkShape(t, a)
}

var aRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// checkShape reports what is wrong with the headers that every answer has.
func checkShape(t testing.TB, a answer) {
	t.Helper()
	want := map[string]string{
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "no-referrer",
		"Cache-Control":          "no-store",
		"Server":                 "",
		"Content-Type":           "",
	}
	if a.body != "" {
		want["Content-Type"] = "application/json"
	}
	if a.StatusCode == http.StatusUnauthorized {
		want["WWW-Authenticate"] = "Bearer"
	}
	for name, value := range want {
		if got := strings.Join(a.Header.Values(name), ", "); got != value && a.Request.Method != http.MethodHead {
			t.Errorf("%s: %q; want %q", name, got, value)
		}
	}
	if ids := a.Header.Values("X-Request-ID"); len(ids) != 1 || !aRequestID.MatchString(ids[0]) {
		t.Errorf("X-Request-ID: %q; want one id", ids)
	}
	if a.StatusCode == http.StatusMethodNotAllowed && a.Header.Get("Allow") == "" {
		t.Error("405 without Allow")
	}
	if strings.HasSuffix(a.body, "\n") {
		t.Errorf("the body %q ends with a newline", a.body)
	}
}
