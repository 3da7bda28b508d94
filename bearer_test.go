package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

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
