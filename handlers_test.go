package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
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

// TestBearerHeader: what may stand in Authorization.
func TestBearerHeader(t *testing.T) {
	s := startServer(t)
	token := s.signUp()
	b := "Authorization: Bearer "
	for _, tt := range []struct {
		name    string
		headers []string
		want    string
	}{
		{"a good token", []string{b + token}, alice},
		{"the scheme in small letters", []string{"Authorization: bearer " + token}, alice},
		{"two spaces", []string{b + " " + token}, alice},
		{"spaces behind", []string{b + token + "  "}, alice},
		{"a tab behind", []string{b + token + "\t"}, alice},
		{"cookies are ignored", []string{b + token, "Cookie: access_token=x"}, alice},
		{"no header", nil, notAuthenticated},
		{"an empty header", []string{"Authorization: "}, notAuthenticated},
		{"spaces only", []string{"Authorization:    "}, notAuthenticated},
		{"another scheme", []string{"Authorization: Basic dTpw"}, notAuthenticated},
		{"the token under another scheme", []string{"Authorization: Token " + token}, notAuthenticated},
		{"the token under DPoP", []string{"Authorization: DPoP " + token}, notAuthenticated},
		{"the token without a scheme", []string{"Authorization: " + token}, notAuthenticated},
		{"a tab for the space", []string{"Authorization: Bearer\t" + token}, notAuthenticated},
		{"a colon behind the scheme", []string{"Authorization: Bearer: " + token}, notAuthenticated},
		{"only the scheme", []string{"Authorization: Bearer"}, badToken},
		{"two tokens", []string{b + token + " " + token}, badToken},
		{"two credentials in one header", []string{b + token + ", Bearer " + token}, badToken},
		{"the header twice", []string{b + token, b + token}, badToken},
		{"another scheme first", []string{"Authorization: Basic dTpw", b + token}, badToken},
		{"another scheme second", []string{b + token, "Authorization: Basic dTpw"}, badToken},
		{"quotes", []string{b + `"` + token + `"`}, badToken},
		{"a token of 7,000 bytes", []string{b + strings.Repeat("a", 7000)}, badToken},
		{"7,000 dots", []string{b + strings.Repeat(".", 7000)}, badToken},
		{"the token in a cookie", []string{"Cookie: access_token=" + token}, notAuthenticated},
		{"the token in X-Authorization", []string{"X-Authorization: Bearer " + token}, notAuthenticated},
		{"the token in Proxy-Authorization", []string{"Proxy-Authorization: Bearer " + token}, notAuthenticated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.me(tt.headers...)
			if got.body != tt.want {
				t.Errorf("body %s, want %s", got.body, tt.want)
			}
			checkMe(t, got)
		})
	}
	if got := s.me("Authorization: Bearer "+token, "X-Request-ID: a"); got.status != 200 {
		t.Errorf("the token is no longer good: %d", got.status)
	}
	for _, path := range []string{"?access_token=" + token, "?token=" + token} {
		if got := s.do("GET", "/users/me/"+path, ""); got.body != notAuthenticated {
			t.Errorf("a token in the URL: %s", got.body)
		}
	}
	if got := s.do("GET", "/users/me/", "access_token="+token, "Content-Type: "+urlEncoded); got.body != notAuthenticated {
		t.Errorf("a token in the body: %s", got.body)
	}
	s.checkLog(token)
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

// TestTokensLife follows a token through what may happen to it.
func TestTokensLife(t *testing.T) {
	s := startServer(t)
	token := s.signUp()
	bearer := "Authorization: Bearer " + token
	s.clock.Advance(30*time.Minute - time.Second)
	if got := s.me(bearer); got.body != alice {
		t.Errorf("in its last second: %s", got.body)
	}
	s.clock.Advance(time.Second)
	if got := s.me(bearer); got.body != badToken {
		t.Errorf("when it has expired: %s", got.body)
	}
	second := s.login(goodLogin).field("access_token")
	if second == token || s.me("Authorization: Bearer "+second).body != alice {
		t.Error("a second login does not help")
	}
}

// TestTokensWithoutSession has tokens that somebody else made with our key, as
// python-jose does.
func TestTokensWithoutSession(t *testing.T) {
	s := startServer(t)
	s.signUp()
	imported := User{Username: "Ｂｏｂ", Key: "bob", PasswordHash: "*"} // tokens_valid_after is 0
	if _, err := s.acc.store.CreateUser(t.Context(), imported); err != nil {
		t.Fatal(err)
	}
	if _, err := s.acc.store.CreateUser(t.Context(), User{Username: "eve", Key: "eve", Disabled: true}); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(time.Second) // into the second after the registration
	now := s.clock.Now().Unix()
	claims := func(format string, args ...any) string {
		return mint(hs256, fmt.Sprintf(format, args...), testSecret)
	}
	bob := `{"username":"Ｂｏｂ","email":null,"full_name":null}`
	for _, tt := range []struct{ name, token, want string }{
		{"an imported user's needs no iat", claims(`{"sub":"Ｂｏｂ","exp":%d}`, now+60), bob},
		{"an imported user's in another case", claims(`{"sub":"BOB","exp":%d}`, now+60), bob},
		{"an imported user's needs exp", claims(`{"sub":"Ｂｏｂ"}`), badToken},
		{"a registered user's needs iat", claims(`{"sub":"alice","exp":%d}`, now+60), badToken},
		{"a registered user's with iat", claims(`{"sub":"alice","iat":%d,"exp":%d}`, now, now+60), alice},
		{"made in the second in which the user registered", claims(`{"sub":"alice","iat":%d,"exp":%d}`, now-1, now+60), badToken},
		{"of nobody", claims(`{"sub":"nobody","iat":%d,"exp":%d}`, now, now+60), badToken},
		{"of a name that nobody can have", claims(`{"sub":"a\u0000","iat":%d,"exp":%d}`, now, now+60), badToken},
		{"of a disabled user", claims(`{"sub":"eve","exp":%d}`, now+60), badToken},
		{"with a session that is not there", claims(`{"sub":"alice","iat":%d,"exp":%d,"sid":"x"}`, now, now+60), badToken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := s.me("Authorization: Bearer " + tt.token); got.body != tt.want {
				t.Errorf("body %s, want %s", got.body, tt.want)
			}
		})
	}
}

// TestTokensWithoutSessionEnd: what ends all sessions also ends the tokens that were made
// elsewhere before, by however little, and those that may have been.
func TestTokensWithoutSessionEnd(t *testing.T) {
	t.Parallel()
	events := map[string]func(s *testServer, name string, p pair) answer{
		"the end of all sessions": func(s *testServer, _ string, p pair) answer {
			return s.as(p, "DELETE", "/users/me/sessions/", "")
		},
		"a change of the password": func(s *testServer, _ string, p pair) answer {
			return s.as(p, "POST", "/users/me/password", changeTo(goodPassword, newPassword))
		},
		"another person with the name": func(s *testServer, name string, p pair) answer {
			if got := s.as(p, "DELETE", "/users/me/", ""); got.status != 204 {
				return got
			}
			return s.register(name, newPassword)
		},
	}
	rows := []struct {
		name  string
		iat   time.Duration // after the event
		asked time.Duration // after the event
		ok    bool
	}{
		{"at that moment", 0, 0, true},
		{"at that moment, and hours later", 0, 23 * time.Hour, true},
		{"a millisecond before", -time.Millisecond, time.Minute, false},
		{"in the same second, by a clock without fractions", -time.Second / 3, time.Minute, false},
		{"in the same second, by a clock that rounds up", 2 * time.Second / 3, 0, false},
		{"a second ahead", time.Second, 0, false},
		{"a little more than a second ahead", time.Second + time.Millisecond, 0, false},
		{"some seconds ahead", 5 * time.Second, 0, false},
		{"some seconds ahead, some seconds later", 9 * time.Second, 2 * time.Second, false},
		{"almost as far ahead as may be", clockSkew - time.Millisecond, 0, false},
		{"as far ahead as may be", clockSkew, 0, true},
		{"as far ahead as may be, and before", clockSkew - time.Second, -time.Second, false},
		{"further ahead", clockSkew + time.Millisecond, 0, false},
	}
	for event, do := range events {
		t.Run(event, func(t *testing.T) {
			onEveryStore(t, func(t *testing.T, s *testServer) {
				for i, tt := range rows {
					name := fmt.Sprint("user", i)
					s.register(name, goodPassword)
					s.clock.Advance(time.Minute)
					if got := do(s, name, s.begin(name)); got.status/100 != 2 {
						t.Fatalf("%d %s", got.status, got.body)
					}
					at := s.clock.Now()
					token := mint(hs256, fmt.Sprintf(`{"sub":%q,"iat":%f,"exp":%d}`,
						name, unixSeconds(at.Add(tt.iat)), at.Add(24*time.Hour).Unix()), testSecret)
					s.clock.Advance(tt.asked)
					// Right after a registration, a date that was rounded up to the next second is good.
					ok := tt.ok || event == "another person with the name" && tt.iat > 0 && tt.iat <= time.Second
					if got := s.me("Authorization: Bearer " + token); (got.status == 200) != ok {
						t.Errorf("%s: %d %s; want it accepted: %v", tt.name, got.status, got.body, ok)
					}
				}
			})
		})
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
		{"another grant", goodLogin + "&grant_type=client_credentials", 400, `"error":"unsupported_grant_type"`},
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

// TestRegistration: what a registration may say, and what it cannot set. Each
// bad row is one step from a good one.
func TestRegistration(t *testing.T) {
	s := startServer(t)
	s.register("taken", goodPassword)
	name := 0
	// user returns a registration of a new name; more is further members.
	user := func(more string) string {
		name++
		return fmt.Sprintf(`{"username":"u%d","password":"correct horse battery"%s}`, name, more)
	}
	named := func(username string) string {
		return `{"username":` + username + `,"password":"correct horse battery"}`
	}
	secret := func(password string) string {
		name++
		return fmt.Sprintf(`{"username":"u%d","password":%s}`, name, password)
	}
	quoted := func(text string) string {
		b, _ := json.Marshal(text)
		return string(b)
	}
	for _, tt := range []struct {
		name, body string
		status     int
		contains   string
	}{
		{"a user", user(""), 200, `"email":null,"full_name":null}`},
		{"a name of one character", named(`"ㄱ"`), 200, "ㄱ"},
		{"a name of 150 characters", named(quoted(strings.Repeat("é", 150))), 200, "é"},
		{"a name in NFD is kept in NFC", named(`"re\u0301ne\u0301"`), 200, `"username":"réné"`},
		{"a name with a space inside", named(`"Hong Gildong"`), 200, "Hong Gildong"},
		{"a name of a negative number", named(`"-1"`), 200, `"-1"`},
		{"a name with HTML", named(`"<b>&</b>"`), 200, `"<b>&</b>"`},
		{"a name taken", named(`"taken"`), 400, `{"detail":"Username already registered"}`},
		{"a name taken, in capitals", named(`"TAKEN"`), 400, `{"detail":"Username already registered"}`},
		{"a name taken, in full width", named(`"ｔａｋｅｎ"`), 400, `{"detail":"Username already registered"}`},
		{"a name taken, with a Kelvin sign", named(`"ta\u212Aen"`), 400, `{"detail":"Username already registered"}`},
		{"an empty name", named(`""`), 422, `"type":"string_too_short","loc":["body","username"]`},
		{"a name of 151 characters", named(quoted(strings.Repeat("é", 151))), 422, `"type":"string_too_long"`},
		{"a name with a NUL", named(`"a\u0000b"`), 422, "control"},
		{"a name with a newline", named(`"a\nb"`), 422, "control"},
		{"a name with an escape sequence", named(`"\u001b[31m"`), 422, "control"},
		{"a name with a right-to-left override", named(`"a\u202eb"`), 422, "format"},
		{"a name with a zero-width space", named(`"a\u200bb"`), 422, "format"},
		{"a name with a private character", named(`"a\ue000b"`), 422, "unassigned"},
		{"a name with an unassigned character", named(`"a\u0378b"`), 422, "unassigned"},
		{"a name with a line separator", named(`"a\u2028b"`), 422, "unassigned"},
		{"a name with a Hangul filler", named(`"timer\u3164"`), 422, "control"},
		{"a name with a variation selector", named(`"timer\ufe0f"`), 422, "control"},
		{"a name with a combining grapheme joiner", named(`"ti\u034fmer"`), 422, "control"},
		{"a name with an invisible vowel", named(`"timer\u17b4"`), 422, "control"},
		{"a name of a Braille blank", named(`"\u2800"`), 422, "control"},
		{"a name in small Cherokee", named(`"\uab70bc"`), 200, "bc"},
		{"the same name in capitals", named(`"\u13a0bc"`), 400, "already registered"},
		{"a name behind a space", named(`" a"`), 422, "white space"},
		{"a name before a no-break space", named(`"a\u00a0"`), 422, "white space"},
		{"the reserved name", named(`"me"`), 422, "'me'"},
		{"the reserved name in full width", named(`"ＭＥ"`), 422, "'me'"},
		{"a name that is a number", named(`1`), 422, `"type":"string_type"`},
		{"a name that is null", named(`null`), 422, `"type":"string_type"`},
		{"a name that is a list", named(`["a"]`), 422, `"type":"string_type"`},
		{"a name that is an object", named(`{"$ne":""}`), 422, `"type":"string_type"`},
		{"no name", `{"password":"correct horse battery"}`, 422, `"type":"missing","loc":["body","username"]`},

		{"a password of 8 emoji", secret(`"🙂🙃🙂🙃🙂🙃🙂🙃"`), 200, "username"},
		{"a password of 7 emoji", secret(`"🙂🙃🙂🙃🙂🙃🙂"`), 422, `"type":"string_too_short","loc":["body","password"],"msg":"String should have at least 8 characters","ctx":{"min_length":8}`},
		{"a password of 4,096 characters", secret(quoted(strings.Repeat("xy", 2048))), 200, "username"},
		{"a password of 4,097 characters", secret(quoted(strings.Repeat("xy", 2048) + "x")), 422, `"type":"string_too_long"`},
		{"a password with a NUL", secret(`"nul\u0000inside!"`), 200, "username"},
		{"a password with a NUL at the start", secret(`"\u0000nul first!"`), 200, "username"},
		{"a password with a NUL at the end", secret(`"correct horse\u0000"`), 200, "username"},
		{"one letter and seven NULs", secret(`"a` + strings.Repeat(`\u0000`, 7) + `"`), 422, "string_too_short"},
		{"seven characters and a NUL", secret(`"seven77\u0000"`), 422, "string_too_short"},
		{"only NULs", secret(`"` + strings.Repeat(`\u0000`, 100) + `"`), 422, "string_too_short"},
		{"a common password and a NUL", secret(`"password\u0000"`), 422, "too common"},
		{"a common password and many NULs", secret(`"Qwertyuiop` + strings.Repeat(`\u0000`, 90) + `"`), 422, "too common"},
		{"one letter over and over, and a NUL", secret(`"aaaaaaaaaaaaaaa\u0000"`), 422, "too common"},
		{"the name and a NUL", `{"username":"aName2027","password":"Aname2027\u0000"}`, 422, "must not be the username"},
		{"the name in another width, and NULs", `{"username":"ｔｅｓｔｕｓｅｒｙ","password":"testusery\u0000\u0000"}`, 422, "must not be the username"},
		{"4,090 characters and 7 NULs", secret(`"` + strings.Repeat("xy", 2045) + strings.Repeat(`\u0000`, 7) + `"`), 422, "string_too_long"},
		{"the name with more spaces", `{"username":"Hong Gildong 9","password":"hong  gildong\u3000\u30009"}`, 422, "must not be the username"},
		{"an empty password", secret(`""`), 422, "string_too_short"},
		{"a password that is null", secret(`null`), 422, "string_type"},
		{"a password that is the name", `{"username":"aName2026","password":"Aname2026"}`, 422, "must not be the username"},
		{"a password that is the name in another width", `{"username":"ｔｅｓｔｕｓｅｒｘ","password":"testuserx"}`, 422, "must not be the username"},
		{"a common password", secret(`"password"`), 422, "too common"},
		{"a common password in capitals", secret(`"Password123"`), 422, "too common"},
		{"15 times a", secret(`"aaaaaaaaaaaaaaa"`), 422, "too common"},
		{"two lines of common passwords", secret(`"password\n12345678"`), 200, "username"},

		{"all fields", user(`,"email":"a@example.com","full_name":"Ä 🙂\n"`), 200, `"email":"a@example.com","full_name":"Ä 🙂\n"}`},
		{"an empty full name", user(`,"full_name":""`), 200, `"full_name":""`},
		{"a full name with an escape sequence", user(`,"full_name":"\u001b[31m"`), 200, `\u001b`},
		{"a full name with a NUL", user(`,"full_name":"a\u0000b"`), 422, "NUL"},
		{"a full name that is a number", user(`,"full_name":1`), 422, "string_type"},
		{"an empty e-mail address", user(`,"email":""`), 422, `"loc":["body","email"],"msg":"value is not a valid email address: `},
		{"an e-mail address with a header behind", user(`,"email":"a@example.com\r\nBcc: b@example.com"`), 422, "valid email"},
		{"an e-mail address that is null", user(`,"email":null`), 200, `"email":null`},

		{"a password hash", user(`,"hashed_password":"$pbkdf2-sha256$1$$"`), 200, "username"},
		{"privileges", user(`,"is_admin":true,"scopes":["admin"],"role":"admin","disabled":"false"`), 200, "username"},
		{"an id", user(`,"id":1,"ID":1,"created_at":"1970-01-01","token_version":99`), 200, "username"},
		{"names of JavaScript and MongoDB", user(`,"__proto__":{"admin":true},"constructor":1,"$gt":""`), 200, "username"},
		{"numbers out of range", user(`,"x":1e999,"y":-0,"z":` + strings.Repeat("9", 400)), 200, "username"},
		{"5,000 other members", user(manyMembers(5000)), 200, "username"},
		{"a name of 60,000 characters among the members", user(`,"` + strings.Repeat("x", 60_000) + `":1`), 200, "username"},
		{"members in capitals", `{"Username":"a","PASSWORD":"correct horse battery"}`, 422, `["body","username"]`},
		{"a member with a long s", `{"username":"x1","paſſword":"correct horse battery"}`, 422, `"type":"missing","loc":["body","password"]`},
		{"a member with a Kelvin sign", `{"username":"x1","password":"correct horse battery","\u212Aey":1}`, 200, "x1"},
		{"the same member twice", `{"username":"a","username":"b","password":"correct horse battery"}`, 422, `"type":"json_invalid"`},
		{"nested in an object", `{"user":{"username":"a","password":"correct horse battery"}}`, 422, "missing"},
		{"nothing", ``, 422, `{"detail":[{"type":"missing","loc":["body"],"msg":"Field required"}]}`},
		{"null", `null`, 422, `"type":"model_attributes_type","loc":["body"]`},
		{"a list", `[]`, 422, "model_attributes_type"},
		{"a byte order mark", "\ufeff" + user(""), 422, "json_invalid"},
		{"something behind", user("") + " x", 422, "json_invalid"},
		{"invalid UTF-8", "{\"username\":\"\xff\"}", 422, "json_invalid"},
		{"65,537 bytes", user(`,"x":"` + strings.Repeat("x", 65_537) + `"`), 413, `{"detail":"Request Entity Too Large"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.do("POST", "/users/", tt.body, "Content-Type: application/json")
			if got.status != tt.status || !strings.Contains(got.body, tt.contains) {
				t.Errorf("%d %s, want %d with %s", got.status, got.body, tt.status, tt.contains)
			}
			for _, secret := range []string{"correct horse", "hashed", "$pbkdf2", "input"} {
				if strings.Contains(got.body, secret) {
					t.Errorf("the answer holds %q: %s", secret, got.body)
				}
			}
		})
	}
	users, err := s.acc.store.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		if u.Disabled || !strings.HasPrefix(u.PasswordHash, "$pbkdf2-sha256$10$") || u.TokensValidAfter.IsZero() {
			t.Errorf("somebody has set more of %+v than may be set", u)
		}
	}
	s.checkLog("Password123")
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":1`, i)
	}
	return b.String()
}

func TestRegistrationTypes(t *testing.T) {
	s := startServer(t)
	for i, tt := range []struct {
		contentType string
		status      int
	}{
		{"application/json", 200},
		{"application/json; charset=utf-8", 200},
		{"Application/JSON", 200},
		{"application/vnd.x+json", 200},
		{"application/json;;", 200},
		{"application/jsonx", 422},
		{"text/json", 422},
		{"text/plain", 422}, // a form of another origin can send this without a preflight
		{"text/plain; x=application/json", 422},
		{urlEncoded, 422},
		{"*/*", 422},
		{"", 422},
	} {
		body := fmt.Sprintf(`{"username":"type%d","password":"correct horse battery"}`, i)
		if got := s.do("POST", "/users/", body, "Content-Type: "+tt.contentType); got.status != tt.status {
			t.Errorf("%q: %d %s, want %d", tt.contentType, got.status, got.body, tt.status)
		}
	}
}

func TestRegistrationClosed(t *testing.T) {
	s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.registrationOpen = false })
	got := s.register("alice", goodPassword)
	if got.status != 403 || got.body != `{"detail":"Registration is closed"}` {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestRegistrationRace: of a hundred who want one name at once, one gets it.
func TestRegistrationRace(t *testing.T) {
	s := startServer(t)
	codes := make(chan int, 100)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			name := []string{"alice", "ALICE", "Ａlice"}[i%3]
			codes <- s.register(name, fmt.Sprint("password of number ", i)).status
		})
	}
	all.Wait()
	close(codes)
	count := make(map[int]int)
	for code := range codes {
		count[code]++
	}
	if count[200] != 1 || count[400] != 99 {
		t.Errorf("answers: %v; want one 200 and 99 of 400", count)
	}
}

func TestRoot(t *testing.T) {
	s := startServer(t)
	if got := s.do("GET", "/", ""); got.status != 307 || got.header.Get("Location") != "./docs" || got.body != "" {
		t.Errorf("%d to %q: %s", got.status, got.header.Get("Location"), got.body)
	}
	exposed := startServer(t, func(_ *accounts, cfg *edgeSettings) { cfg.ExposeUsers = true })
	if got := exposed.do("GET", "/", ""); got.body != "{}" {
		t.Errorf("an empty store: %s", got.body)
	}
	exposed.signUp()
	users, err := exposed.acc.store.Users(t.Context())
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

// FuzzBearer: bearerToken never panics, and what it returns stood in the
// header behind the word Bearer.
func FuzzBearer(f *testing.F) {
	for _, header := range []string{"Bearer x", "bearer  y ", "Bearer", "Basic z", "Bearer\tx", ""} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		token, err := bearerToken([]string{header})
		if err == nil && !(strings.EqualFold(strings.Trim(header, " \t")[:6], "bearer") && strings.HasSuffix(strings.TrimRight(header, " \t"), token)) {
			t.Errorf("%q gives %q", header, token)
		}
		if err != nil && (token != "" || err != errNoToken) {
			t.Errorf("%q gives %q, %v", header, token, err)
		}
	})
}
