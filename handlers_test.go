package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestConformance replays what the original answered and compares by the rules
// of the recording: the status, WWW-Authenticate, Location, the JSON of a
// success, and the detail of a failure.
func TestConformance(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/recorded.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []recordedCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for name, open := range everyStore {
		t.Run(name, func(t *testing.T) {
			users := open(t)
			s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.store = users })
			for _, c := range cases {
				t.Run(c.Name, func(t *testing.T) { s.replayCase(t, c) })
			}
		})
	}
}

// A recordedCase is a few requests and what the original answered. If Differs
// says why, ours answers the last of them otherwise, with the status Here.
type recordedCase struct {
	Name    string
	Differs string
	Here    int
	Steps   []recordedStep
}

func (s *testServer) replayCase(t *testing.T, c recordedCase) {
	token := ""
	for i, step := range c.Steps {
		got := s.replay(t, step, token)
		if issued := got.field("access_token"); issued != "" {
			token = issued
		}
		if c.Differs != "" && i == len(c.Steps)-1 {
			if c.Here != 0 && got.status != c.Here {
				t.Errorf("status %d, want %d: %s", got.status, c.Here, c.Differs)
			}
			return
		}
		compare(t, step, got)
	}
}

// checkMe checks what every answer of GET /users/me/ has to have.
func checkMe(t *testing.T, a answer) {
	t.Helper()
	status, challenge := 401, "Bearer"
	if a.body == alice {
		status, challenge = 200, ""
	}
	if a.status != status || a.header.Get("WWW-Authenticate") != challenge {
		t.Errorf("status %d, WWW-Authenticate %q", a.status, a.header.Get("WWW-Authenticate"))
	}
	if a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q", a.header.Get("Cache-Control"))
	}
}

// checkLog checks that every line of the log is one JSON object and that no
// secret is in it.
func (s *testServer) checkLog(secrets ...string) {
	s.t.Helper()
	log := s.log.String()
	for line := range strings.Lines(log) {
		if !json.Valid([]byte(line)) {
			s.t.Errorf("the log has the line %q", line)
		}
	}
	for _, secret := range append(secrets, goodPassword, "correct+horse", testSecret, "$pbkdf2") {
		if strings.Contains(log, secret) {
			s.t.Errorf("the log holds the secret %q:\n%s", secret, log)
		}
	}
}

// TestSameRefusal: the 401 tells nothing, to the byte and to the header, about
// why a token is not good.
func TestSameRefusal(t *testing.T) {
	s := startServer(t)
	token := s.signUp()
	now := s.clock.Now().Unix()
	var first string
	for i, bad := range []string{
		"x", token + "x", mint(hs256, fmt.Sprintf(`{"sub":"alice","exp":%d}`, now-1), testSecret),
		mint(hs256, fmt.Sprintf(`{"sub":"nobody","iat":%d,"exp":%d}`, now, now+9), testSecret),
		mint(hs256, fmt.Sprintf(`{"sub":"alice","iat":%d,"exp":%d}`, now, now+9), "another key of more than 32 bytes"),
		mint(`{"alg":"none"}`, `{"sub":"alice"}`, ""), strings.Repeat("a", 5000),
	} {
		got := s.me("Authorization: Bearer " + bad)
		got.header.Del("Date")
		got.header.Del("X-Request-Id")
		text := fmt.Sprint(got.status, got.header, got.body)
		if i == 0 {
			first = text
		}
		if text != first {
			t.Errorf("%.40q is answered\n%s, and others\n%s", bad, text, first)
		}
	}
}

// TestLoginForm: what may stand in the form, seen from outside; how it may be
// written is in TestParseForm.
func TestLoginForm(t *testing.T) {
	s := startServer(t)
	s.signUp()
	missing := func(field string) string {
		return `{"type":"missing","loc":["body","` + field + `"],"msg":"Field required"}`
	}
	for _, tt := range []struct {
		name, body string
		status     int
		contains   string
	}{
		{"the user", goodLogin, 200, `"token_type":"bearer","expires_in":1800,"refresh_token":"`},
		{"with everything that the grant knows", goodLogin + "&grant_type=password&scope=&client_id=a&client_secret=b", 200, "access_token"},
		{"unknown fields", goodLogin + "&x=1", 200, "access_token"},
		{"a scope that nobody has", goodLogin + "&scope=admin", 200, "access_token"},
		{"the name in capitals", "username=ALICE&password=correct+horse+battery", 200, "access_token"},
		{"the name in full width", "username=%EF%BD%81lice&password=correct+horse+battery", 200, "access_token"},
		{"a name before a space, as phones add it", "username=alice+&password=correct+horse+battery", 200, "access_token"},
		{"a name after a space", "username=+alice&password=correct+horse+battery", 200, "access_token"},
		{"a name between spaces of all kinds", "username=%09%E3%80%80%C2%A0Alice%E2%80%A8%C2%85%0d%0a&password=correct+horse+battery", 200, "access_token"},
		{"a name before a zero-width space", "username=alice%E2%80%8B&password=correct+horse+battery", 200, "access_token"},
		{"a name after a byte order mark", "username=%EF%BB%BFalice&password=correct+horse+battery", 200, "access_token"},
		{"a name between directional marks", "username=%E2%80%8Ealice%E2%80%8F&password=correct+horse+battery", 200, "access_token"},
		{"a name of 150 characters between 60,000 spaces", "username=" + strings.Repeat("+", 30_000) + strings.Repeat("a", 150) + strings.Repeat("+", 30_000) + "&password=x", 401, badLogin},
		{"a name of white space", "username=+%09%E3%80%80&password=x", 422, missing("username")},
		{"a name of white space and no password", "username=+", 422, missing("username") + "," + missing("password")},
		{"a space inside the name", "username=ali+ce&password=correct+horse+battery", 401, badLogin},
		{"a name before a NUL", "username=alice%00&password=correct+horse+battery", 422, "NUL"},
		{"a name before a space and a NUL", "username=alice+%00&password=correct+horse+battery", 422, "NUL"},
		{"a space before the password", "username=alice&password=+correct+horse+battery", 401, badLogin},
		{"a line end after the password", goodLogin + "%0a", 401, badLogin},
		{"a password of white space", "username=alice&password=+", 401, badLogin},
		{"a wrong password", "username=alice&password=x", 401, badLogin},
		{"the password in capitals", "username=alice&password=CORRECT+HORSE+BATTERY", 401, badLogin},
		{"a space behind the password", goodLogin + "+", 401, badLogin},
		{"a no-break space in the password", "username=alice&password=correct%C2%A0horse+battery", 401, badLogin},
		{"an unknown name", "username=nobody&password=correct+horse+battery", 401, badLogin},
		{"a name with a line end inside", "username=al%0aice&password=correct+horse+battery", 401, badLogin},
		{"a name of SQL", "username=%27+OR+1%3D1--&password=x", 401, badLogin},
		{"a negative number for a name", "username=-1&password=x", 401, badLogin},
		{"the reserved name", "username=me&password=x", 401, badLogin},
		{"a password with a semicolon", "username=alice&password=x;y", 401, badLogin},
		{"a password of 60,000 characters", "username=alice&password=" + strings.Repeat("x", 60_000), 401, badLogin},
		{"a name of 150 characters", "username=" + strings.Repeat("a", 150) + "&password=x", 401, badLogin},
		{"a name of 151 characters", "username=" + strings.Repeat("a", 151) + "&password=x", 422, "string_too_long"},
		{"a name of 60,000 characters", "username=" + strings.Repeat("a", 60_000) + "&password=x", 422, "string_too_long"},
		{"a name with a NUL", "username=a%00b&password=x", 422, "NUL"},
		{"a name that is not UTF-8", "username=%ff&password=x", 422, "string_unicode"},
		{"a password that is not UTF-8", "username=alice&password=%ff", 422, "string_unicode"},
		{"no name", "password=x", 422, missing("username")},
		{"no password", "username=alice", 422, missing("password")},
		{"an empty password", "username=alice&password=", 422, missing("password")},
		{"nothing", "", 422, missing("username") + "," + missing("password")},
		{"a semicolon for the ampersand", "username=alice;password=x", 422, missing("password")},
		{"names in another case", "Username=alice&Password=x", 422, missing("username")},
		{"a password in a list", "username=alice&password[]=x", 422, missing("password")},
		{"a password in an object", "username=alice&password[$ne]=x", 422, missing("password")},
		{"a broken escape", "username=alice&password=%zz", 400, `"error":"invalid_request"`},
		{"half a form", "username=%zz&password=correct+horse+battery", 400, `"error":"invalid_request"`},
		{"the password twice", goodLogin + "&password=correct+horse+battery", 400, `"error":"invalid_request"`},
		{"grant_type twice", goodLogin + "&grant_type=password&grant_type=refresh_token", 400, `"error":"invalid_request"`},
		{"another grant", goodLogin + "&grant_type=authorization_code", 400, `"error":"unsupported_grant_type"`},
		{"the grant in capitals", goodLogin + "&grant_type=PASSWORD", 400, `"error":"unsupported_grant_type"`},
		{"101 fields", goodLogin + "&" + manyFields(99), 413, `"error":"invalid_request"`},
		{"66,000 bytes", goodLogin + "&x=" + strings.Repeat("x", 66_000), 413, `{"detail":"Request Entity Too Large"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.login(tt.body)
			if got.status != tt.status || !strings.Contains(got.body, tt.contains) {
				t.Errorf("%d %s, want %d with %s", got.status, got.body, tt.status, tt.contains)
			}
			checkOAuthFailure(t, got)
		})
	}
	s.checkLog("OR 1=1", "nobody", "access_token")
}

// TestLoginInNFD: who has registered a name in NFD logs in with the same bytes.
func TestLoginInNFD(t *testing.T) {
	s := startServer(t)
	name := strings.Repeat("e\u0301", 150)
	if got := s.register(name, goodPassword); got.status != 200 {
		t.Fatalf("register: %d %s", got.status, got.body)
	}
	if got := s.login("username=" + name + "&password=correct+horse+battery"); got.status != 200 {
		t.Errorf("login: %d %s", got.status, got.body)
	}
}

// checkOAuthFailure checks what a failure at the token endpoint has beside its
// detail: RFC 6749 §5.2.
func checkOAuthFailure(t testing.TB, a answer) {
	t.Helper()
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", a.header)
	}
	if challenge := a.header.Get("WWW-Authenticate"); (challenge == "Bearer") != (a.status == 401) {
		t.Errorf("WWW-Authenticate %q with %d", challenge, a.status)
	}
	if a.status == 200 {
		return
	}
	description := a.field("error_description")
	if a.field("error") == "" || description == "" || regexp.MustCompile(`[^\x20\x21\x23-\x5B\x5D-\x7E]`).MatchString(description) {
		t.Errorf("error %q, error_description %q", a.field("error"), description)
	}
}

// TestTwoContentTypes: a body that two readers could read in two ways is read in none.
func TestTwoContentTypes(t *testing.T) {
	s := startServer(t)
	token := s.signUp()
	for _, tt := range []struct {
		name, method, path, body string
		types                    []string
		status                   int
	}{
		{"a form", "POST", "/token", goodLogin, []string{urlEncoded, "text/plain"}, 400},
		{"a form, the same twice", "POST", "/token", goodLogin, []string{urlEncoded, urlEncoded}, 400},
		{"a form, joined by a proxy", "POST", "/token", goodLogin, []string{urlEncoded + ", " + urlEncoded}, 400},
		{"a form and a multipart one", "POST", "/token", goodLogin, []string{urlEncoded + ";a=b, " + multipartType}, 400},
		{"a form and nothing", "POST", "/token", goodLogin, []string{urlEncoded, ""}, 400},
		{"a multipart form", "POST", "/token", multipartBody(field("username", "alice")), []string{multipartType, "multipart/form-data; boundary=YbY"}, 400},
		{"a token to revoke", "POST", "/revoke", "token=x", []string{urlEncoded, "application/json"}, 400},
		{"a registration", "POST", "/users/", `{"username":"bob","password":"` + goodPassword + `"}`, []string{"application/json", "text/plain"}, 400},
		{"a registration, joined", "POST", "/users/", `{"username":"bob","password":"` + goodPassword + `"}`, []string{"application/json;a=b,text/plain"}, 400},
		{"a change", "PATCH", "/users/me/", `{}`, []string{"application/json", "application/json"}, 400},
		{"a password", "POST", "/users/me/password", changeTo(goodPassword, newPassword), []string{"text/plain", "application/json"}, 400},
		{"a comma in quotes", "PATCH", "/users/me/", `{}`, []string{`application/json; a="b, c"`}, 200},
		{"no body to read", "GET", "/users/me/", "", []string{"text/plain", "application/json"}, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			headers := []string{"Authorization: Bearer " + token}
			for _, one := range tt.types {
				headers = append(headers, "Content-Type: "+one)
			}
			got := s.do(tt.method, tt.path, tt.body, headers...)
			if got.status != tt.status || got.status == 400 && got.field("detail") != "More than one Content-Type" {
				t.Errorf("got %d %s; want %d", got.status, got.body, tt.status)
			}
			if oauth := tt.path == "/token" || tt.path == "/revoke"; oauth != (got.field("error") == "invalid_request") {
				t.Errorf("error: %q", got.field("error"))
			}
		})
	}
}

func TestLoginElsewhere(t *testing.T) {
	s := startServer(t)
	s.signUp()
	withQuery := func(query, body string) answer {
		return s.do("POST", "/token?"+query, body, "Content-Type: "+urlEncoded)
	}
	if got := withQuery(goodLogin, ""); got.status != 422 {
		t.Errorf("credentials in the query: %d", got.status)
	}
	if got := withQuery("username=bob&password=x", goodLogin); got.status != 200 {
		t.Errorf("credentials in the body, others in the query: %d", got.status)
	}
	if got := s.do("POST", "/token", goodLogin, "Content-Type: "+urlEncoded, "Authorization: Basic Ym9iOng="); got.status != 200 {
		t.Errorf("client authentication is ignored: %d", got.status)
	}
	for _, coding := range []string{"gzip", "deflate", "br", "GZIP", "identity, gzip"} {
		if got := s.do("POST", "/token", goodLogin, "Content-Type: "+urlEncoded, "Content-Encoding: "+coding); got.status != 415 {
			t.Errorf("Content-Encoding %s: %d", coding, got.status)
		}
	}
	if got := s.do("POST", "/token", goodLogin, "Content-Type: "+urlEncoded, "Content-Encoding: identity"); got.status != 200 {
		t.Errorf("Content-Encoding identity: %d", got.status)
	}
	file := part{`Content-Disposition: form-data; name="password"; filename="p"`, goodPassword}
	got := s.do("POST", "/token", multipartBody(field("username", "alice"), file), "Content-Type: "+multipartType)
	if got.status != 422 || !strings.Contains(got.body, "string_type") {
		t.Errorf("a password as a file: %d %s", got.status, got.body)
	}
	s.checkLog()
}

// TestDisabledUser: a disabled user is answered like one who does not exist,
// and a token from before is refused.
func TestDisabledUser(t *testing.T) {
	s := startServer(t)
	token := s.signUp()
	u, err := s.acc.store.UserByKey(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := disableUser(t.Context(), s.acc.store, u.ID, s.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if got := s.me("Authorization: Bearer " + token); got.body != badToken {
		t.Errorf("me: %d %s", got.status, got.body)
	}
	if got := s.login(goodLogin); got.status != 401 || got.body != badLogin {
		t.Errorf("login: %d %s", got.status, got.body)
	}
}

// TestPoisonedHash: a stored hash that is none lets nobody in, and nobody can
// tell it from a wrong password.
func TestPoisonedHash(t *testing.T) {
	s := startServer(t)
	for i, stored := range []string{"", "*", goodPassword, "$pbkdf2-sha256$0$$", "$pbkdf2-sha256$1$$", "$pbkdf2-sha256$99999999999$aaaa$aaaa"} {
		name := fmt.Sprint("user", i)
		if _, err := s.acc.store.CreateUser(t.Context(), User{Username: name, Key: name, PasswordHash: stored}); err != nil {
			t.Fatal(err)
		}
		for _, password := range []string{"correct+horse+battery", "*", "%20"} {
			if got := s.login("username=" + name + "&password=" + password); got.body != badLogin {
				t.Errorf("stored %q: %s", stored, got.body)
			}
		}
	}
}

func TestRoot(t *testing.T) {
	s := startServer(t)
	s.signUp()
	if got := s.do("GET", "/", ""); got.status != 200 || !strings.HasPrefix(got.body, "<!doctype html>") || strings.Contains(got.body, "alice") {
		t.Errorf("without EXPOSE_USERS: %d %s", got.status, got.body)
	}
	exposed := startServer(t, func(_ *accounts, cfg *edgeSettings) { cfg.ExposeUsers = true })
	if got := exposed.do("GET", "/", ""); got.body != "{}" {
		t.Errorf("an empty store: %s", got.body)
	}
	exposed.signUp()
	users, err := allUsersOf(t.Context(), exposed.acc.store)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"alice":{"username":"alice","email":null,"full_name":null,"hashed_password":"` + users[0].PasswordHash + `"}}`
	for _, header := range []string{
		"Host: rebound.example", "Origin: http://localhost:3000", "Origin: null",
		"Forwarded: for=1.2.3.4", "Via: 1.1 proxy", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: h",
		"X-Forwarded-Of-My-Own: x", "X-Forwarded: x", "Forwarded-For: 1.2.3.4", "x-real-ip: 1.2.3.4", "X-Original-URI: /", "X-Original-Forwarded-For: 1.2.3.4",
		"X-Client-IP: 1.2.3.4", "X-Cluster-Client-IP: 1.2.3.4", "True-Client-IP: 1.2.3.4", "CF-Connecting-IP: 1.2.3.4", "CF-Ray: x",
		"Fly-Client-IP: 1.2.3.4", "Fastly-Client-IP: 1.2.3.4", "X-Envoy-External-Address: 1.2.3.4", "X-Amzn-Trace-Id: x", "X-Forwarded-For: ",
	} {
		if got := exposed.do("GET", "/", "", header); got.status != 403 || strings.Contains(got.body, "alice") {
			t.Errorf("%s: %d %s", header, got.status, got.body)
		}
	}
	if got := exposed.do("GET", "/", "", "User-Agent: curl", "X-Request-ID: x", "X-Requested-With: XMLHttpRequest", "Authorization: Bearer x", "X-Api-Key: x"); got.status != 200 || got.body != want {
		t.Errorf("%d %s, want %s", got.status, got.body, want)
	}
	w := exposed.dial(t)
	io.WriteString(w, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n") // as nginx asks
	if old, _ := io.ReadAll(w); !bytes.Contains(old, []byte("403")) || bytes.Contains(old, []byte("alice")) {
		t.Errorf("HTTP/1.0: %s", old)
	}
}
