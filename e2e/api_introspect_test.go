package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// An introspection is what POST /introspect says of a token that is good (RFC 7662 §2.2).
type introspection struct {
	Active   bool     `json:"active"`
	Scope    string   `json:"scope"`
	Roles    []string `json:"roles"`
	ClientID string   `json:"client_id"`
	Username string   `json:"username"`
	Sub      string   `json:"sub"`
	UID      string   `json:"uid"`
	Type     string   `json:"token_type"`
	Exp      int64    `json:"exp"`
	Iat      int64    `json:"iat"`
	Iss      string   `json:"iss"`
	Aud      any      `json:"aud"`
	Jti      string   `json:"jti"`
	Sid      string   `json:"sid"`
}

// active returns what an answer says of a token, which must be good.
func (a answer) active(t testing.TB) introspection {
	t.Helper()
	checkStatus(t, a, 200)
	checkShape(t, a)
	var in introspection
	strictly(t, a.body, &in)
	if !in.Active || in.Type != "Bearer" {
		t.Errorf("%s; want an active token of type Bearer", a.body)
	}
	return in
}

// introspectors starts a server with root, alice who may read, a service that may introspect, and
// the service's key. THROTTLE is off.
func introspectors(t testing.TB, settings ...string) (*server, map[string]string, apiKey) {
	t.Helper()
	s, tokens := withScopes(t, map[string]string{"alice": "read write", "service": "introspect"}, settings...)
	return s, tokens, s.makeKey(t, tokens["service"], `{"name":"gateway","scope":"introspect"}`)
}

// TestIntrospection: what is said of a token is what is in it, and what is granted now.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	s, tokens, k := introspectors(t, "ISSUER="+anIssuer, "AUDIENCE=one,two")
	claims := claimsOf(t, tokens["alice"])
	want := introspection{
		Active: true, Scope: "read write", Roles: []string{"read", "write"}, Username: "alice", Sub: "alice", UID: claims["uid"].(string), Type: "Bearer",
		Exp: int64(claims["exp"].(float64)), Iat: int64(claims["iat"].(float64)), Iss: anIssuer, Aud: claims["aud"], Jti: claims["jti"].(string), Sid: claims["sid"].(string),
	}
	got := s.introspect(t, k.Key, tokens["alice"]).active(t)
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v; want %+v", got, want)
	}

	s.grantTo(t, tokens[root], "alice", "read", "other")
	if got := s.introspect(t, k.Key, tokens["alice"]).active(t); got.Scope != "other read" && got.Scope != "read" || !slices.Contains(got.Roles, "read") || slices.Contains(got.Roles, "write") {
		t.Errorf("after write was taken away the scope is %q, %q", got.Scope, got.Roles)
	}
	s.grantTo(t, tokens[root], "alice")
	if a := s.introspect(t, k.Key, tokens["alice"]); strings.Contains(a.body, `"scope"`) || a.active(t).Scope != "" {
		t.Errorf("after all was taken away: %s; want no scope", a.body)
	}

	own := s.introspect(t, k.Key, k.Key).active(t)
	if own.Scope != "introspect" || own.Username != "service" || own.ClientID != k.ID || own.Sid != "" || own.Exp != k.ExpiresAt.Unix() || own.Iat != k.CreatedAt.Unix() {
		t.Errorf("a key says of itself %+v; want its id, its scope and its times", own)
	}
	jwt := s.exchange(t, k).Access
	if in := s.introspect(t, jwt, jwt).active(t); in.ClientID != k.ID || in.Sid != "" || in.Jti == "" || in.Scope != "introspect" {
		t.Errorf("a token for a key says of itself %+v", in)
	}
}

// TestIntrospectionCallers: who may ask, and how they say who they are.
func TestIntrospectionCallers(t *testing.T) {
	t.Parallel()
	s, tokens, k := introspectors(t)
	weak := s.makeKey(t, tokens["alice"], `{"name":"a","scope":"read"}`)
	bare := s.makeKey(t, tokens["service"], `{"name":"b"}`)
	admins := s.makeKey(t, tokens[root], `{"name":"c","scope":"admin"}`)
	token := "token=" + tokens["alice"]
	own := func(k apiKey) string { return token + "&client_id=" + k.ID + "&client_secret=" + k.Key }
	for _, tt := range []struct {
		name   string
		header string
		body   string
		status int
	}{
		{"a key as Bearer", "Authorization: Bearer " + k.Key, token, 200},
		{"a key by Basic", basic(k.ID, k.Key), token, 200},
		{"a key in the form", "", own(k), 200},
		{"a token for a key", "Authorization: Bearer " + s.exchange(t, k).Access, token, 200},
		{"an administrator's token", "Authorization: Bearer " + tokens[root], token, 200},
		{"an administrator's key", "Authorization: Bearer " + admins.Key, token, 200},
		{"an administrator's key by Basic", basic(admins.ID, admins.Key), token, 200},
		{"a key without the scope", "Authorization: Bearer " + weak.Key, token, 403},
		{"a key without the scope by Basic", basic(weak.ID, weak.Key), token, 403},
		{"a key without the scope in the form", "", own(weak), 403},
		{"a key without a scope, of who has it", "Authorization: Bearer " + bare.Key, token, 403},
		{"a user's token", "Authorization: Bearer " + tokens["alice"], token, 403},
		{"nobody", "", token, 401},
		{"a bad token", "Authorization: Bearer x", token, 401},
		{"a wrong key", "Authorization: Bearer " + changed(k.Key, 30), token, 401},
		{"a wrong key by Basic", basic(k.ID, changed(k.Key, 30)), token, 401},
		{"a wrong key in the form", "", token + "&client_id=" + k.ID + "&client_secret=" + changed(k.Key, 30), 401},
		{"another's id by Basic", basic(weak.ID, k.Key), token, 401},
		{"a password by Basic", basic(root, password), token, 401},
		{"a password in the form", "", token + "&client_id=" + root + "&client_secret=" + password, 401},
		{"an id alone", "", token + "&client_id=" + k.ID, 401},
		{"a key by Basic and in the form", basic(k.ID, k.Key), own(k), 400},
		{"an id twice", "", own(k) + "&client_id=" + k.ID, 400},
		{"the token that it asks about", "Authorization: Bearer " + tokens["service"], "token=" + tokens["service"], -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			headers := []string{formType}
			if tt.header != "" {
				headers = append(headers, tt.header)
			}
			a := s.do(t, "POST", "/introspect", tt.body, headers...)
			if tt.status == -1 { // a session's token of somebody who has the scope: the contract names keys and administrators
				t.Logf("a session with the scope introspect: %d %s", a.StatusCode, a.body)
				return
			}
			if a.StatusCode != tt.status {
				t.Errorf("got %d %s; want %d", a.StatusCode, a.body, tt.status)
			}
			if a.StatusCode != 200 && strings.Contains(a.body, "alice") {
				t.Errorf("a refusal says %s", a.body)
			}
			if a.StatusCode == 401 && a.Header.Get("WWW-Authenticate") == "" {
				t.Error("401 without WWW-Authenticate")
			}
			if a.StatusCode != 200 && (!strings.Contains(a.body, `"error":"`) || !strings.Contains(a.body, `"detail":"`)) {
				t.Errorf("%s; want both an error and a detail", a.body)
			}
		})
	}
	// Who may not ask learns nothing, be the token good or bad.
	good := s.do(t, "POST", "/introspect", token, formType, "Authorization: Bearer "+weak.Key)
	bad := s.do(t, "POST", "/introspect", "token=x", formType, "Authorization: Bearer "+weak.Key)
	if withoutIDs(good) != withoutIDs(bad) {
		t.Errorf("%s and %s; want the same", withoutIDs(good), withoutIDs(bad))
	}
}

// TestInactive: of what would not be accepted here nothing is said but that, in the same bytes.
func TestInactive(t *testing.T) {
	t.Parallel()
	s, tokens, k := introspectors(t, "ISSUER="+anIssuer, "AUDIENCE=one")
	for _, name := range []string{"bob", "carol", "dora"} {
		s.register(t, name)
	}
	g, ended := s.signIn(t, "alice"), s.signIn(t, "alice")
	s.revoke(t, ended.Access)
	bob, carol := s.logIn(t, "bob"), s.logIn(t, "carol")
	dead := s.makeKey(t, s.logIn(t, "dora"), `{"name":"a"}`)
	ofDead := s.exchange(t, dead).Access
	checkStatus(t, s.patch(t, tokens[root], "bob", `{"disabled":true}`), 200)
	checkStatus(t, s.authorized(t, "DELETE", userPath("carol"), "", tokens[root]), 204)
	s.dropKey(t, s.logIn(t, "dora"), dead.ID)
	ours := key{algorithm: "HS256", secret: aKey}
	const iss, aud = `"iss":"` + anIssuer + `"`, `"aud":"one"`
	past := time.Now().Add(-time.Hour).Unix()
	tests := map[string]string{
		"garbage":                      "x",
		"two dots":                     "..",
		"a blank":                      " ",
		"a NUL":                        "\x00",
		"no text":                      "\xff\xfe",
		"60 KiB":                       strings.Repeat("a", 60_000),
		"60 KiB of dots":               strings.Repeat(".", 60_000),
		"an expired token":             signed(ours.header(t), fmt.Sprintf(`{"sub":"alice",%s,%s,"iat":%d,"exp":%d}`, iss, aud, past, past+60), func(text string) []byte { return ours.mac(text) }),
		"a token of another issuer":    ours.mintOf(t, `"sub":"alice","iss":"https://evil.example",`+aud),
		"a token for another audience": ours.mintOf(t, `"sub":"alice","aud":"x",`+iss),
		"a token without audience":     ours.mintOf(t, `"sub":"alice",`+iss),
		"a token of nobody":            ours.mintOf(t, `"sub":"nobody",`+iss+","+aud),
		"a token of another key":       key{algorithm: "HS256", secret: aKey + "x"}.mintOf(t, `"sub":"alice",`+iss+","+aud),
		"a token of no session":        ours.mintOf(t, `"sub":"alice","sid":"x",`+iss+","+aud),
		"a token of no key":            ours.mintOf(t, `"sub":"alice","client_id":"AAAAAAAAAAAAAAAA",`+iss+","+aud),
		"an unsigned token":            g.Access[:strings.LastIndex(g.Access, ".")+1],
		"a token with a line end":      g.Access + "\n",
		"a token with a line in it":    g.Access[:30] + "\r\n" + g.Access[30:],
		"a token between blanks":       " " + g.Access + " ",
		"a token and its scheme":       "Bearer " + g.Access,
		"a token, twice":               g.Access + " " + g.Access,
		"a token of an ended session":  ended.Access,
		"a token of a disabled user":   bob,
		"a token of a deleted user":    carol,
		"a refresh token":              g.Refresh,
		"an old refresh token":         ended.Refresh,
		"a deleted key":                dead.Key,
		"a token of a deleted key":     ofDead,
		"a key with a wrong secret":    changed(k.Key, 30),
		"a key with a line end":        k.Key + "\n",
		"the id of a key":              k.ID,
		"the id of a session":          s.current(t, g.Access).ID,
		"a token and another field":    g.Access + ";x=y",
		"a name":                       "alice",
		"a password":                   password,
	}
	first := ""
	for name, token := range tests {
		t.Run(name, func(t *testing.T) {
			a := s.introspect(t, k.Key, token)
			checkInactive(t, a)
			if got := withoutIDs(a); first == "" {
				first = got
			} else if got != first {
				t.Errorf("%s; others get %s", got, first)
			}
		})
	}
	s.introspect(t, k.Key, g.Access).active(t)
	checkGoesOn(t, s, g, "alice")
}

// TestIntrospectionForms: what is no request of RFC 7662 is refused.
func TestIntrospectionForms(t *testing.T) {
	t.Parallel()
	s, tokens, k := introspectors(t)
	alice := tokens["alice"]
	auth := "Authorization: Bearer " + k.Key
	for name, body := range map[string]string{
		"no form":                  "",
		"no token":                 "token_type_hint=access_token",
		"empty":                    "token=",
		"two":                      "token=" + alice + "&token=" + alice,
		"two, of which one is bad": "token=x&token=" + alice,
		"two hints":                "token=" + alice + "&token_type_hint=a&token_type_hint=b",
		"broken":                   "token=" + alice + "%",
		"a broken name":            "token=" + alice + "&=%",
		"in the name":              alice,
		"another case":             "Token=" + alice,
	} {
		t.Run(name, func(t *testing.T) {
			checkOAuthCode(t, s.do(t, "POST", "/introspect", body, formType, auth), "invalid_request")
		})
	}
	checkOAuthCode(t, s.do(t, "POST", "/introspect?token="+alice, "", formType, auth), "invalid_request")
	checkOAuthCode(t, s.do(t, "POST", "/introspect", `{"token":"`+alice+`"}`, jsonType, auth), "invalid_request")
	checkOAuthCode(t, s.do(t, "POST", "/introspect", "token="+alice, "Content-Type: text/plain", auth), "invalid_request")
	checkStatus(t, s.do(t, "POST", "/introspect", "token="+alice, formType, auth, "Content-Encoding: gzip"), 415)
	checkStatus(t, s.do(t, "POST", "/introspect", "token="+strings.Repeat("a", 70_000), formType, auth), 413)
	for _, hint := range []string{"access_token", "refresh_token", "api_key", "x", "", strings.Repeat("h", 5000)} {
		a := s.do(t, "POST", "/introspect", url.Values{"token": {alice}, "token_type_hint": {hint}}.Encode(), formType, auth)
		if in := a.active(t); in.Username != "alice" {
			t.Errorf("with the hint %.20q: %+v", hint, in)
		}
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		a := s.do(t, method, "/introspect?token="+alice, "", auth)
		if a.StatusCode != 405 || a.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow: %s; want 405 and POST", method, a.StatusCode, a.Header.Get("Allow"))
		}
	}
	if a := s.do(t, "POST", "/introspect/", "token="+alice, formType, auth); a.StatusCode != 307 {
		t.Errorf("with a slash: %d; want 307", a.StatusCode)
	}
	a := s.ask(t, head("POST /introspect HTTP/1.1", "Host: h", formType, contentLength("token="+alice), auth, "Authorization: Bearer x")+"token="+alice)
	checkStatus(t, a, 401)
}

// TestIntrospectionFollows: what ends a token, or a caller, is known with the next question.
func TestIntrospectionFollows(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	here, admin := p.startWithRoot(t)
	there := p.startUnthrottled(t)
	for _, name := range []string{"alice", "service"} {
		here.register(t, name)
	}
	here.grantTo(t, admin, "service", "introspect")
	k := here.makeKey(t, here.logIn(t, "service"), `{"name":"a","scope":"introspect"}`)
	for name, end := range map[string]func(token string){
		"logout":         func(token string) { here.revoke(t, token) },
		"the end of all": func(token string) { checkEmpty(t, here.authorized(t, "DELETE", "/users/me/sessions/", "", token), 204) },
		"an administrator's end": func(string) {
			checkEmpty(t, here.authorized(t, "DELETE", userPath("alice", "sessions", ""), "", admin), 204)
		},
		"disabling": func(string) {
			checkStatus(t, here.patch(t, admin, "alice", `{"disabled":true}`), 200)
		},
	} {
		t.Run(name, func(t *testing.T) {
			token := here.logIn(t, "alice")
			there.introspect(t, k.Key, token).active(t)
			end(token)
			checkInactive(t, there.introspect(t, k.Key, token))
			checkInactive(t, here.introspect(t, k.Key, token))
			checkStatus(t, here.patch(t, admin, "alice", `{"disabled":false}`), 200)
		})
	}
	here.grantTo(t, admin, "service")
	checkStatus(t, there.introspect(t, k.Key, admin), 403)
	here.grantTo(t, admin, "service", "introspect")
	there.introspect(t, k.Key, admin).active(t)
	checkEmpty(t, here.authorized(t, "DELETE", keysPath, "", here.logIn(t, "service")), 204)
	checkStatus(t, there.introspect(t, k.Key, admin), 401)
}
