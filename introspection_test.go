package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// introspect asks what a token is good for, with an API key of somebody who may ask.
func (s *testServer) introspect(by apiKeyPair, token string) answer {
	s.t.Helper()
	return s.do("POST", "/introspect", url.Values{"token": {token}}.Encode(), "Content-Type: "+urlEncoded, "Authorization: "+by.basic())
}

// An apiKeyPair is the ID of an API key and the key.
type apiKeyPair struct{ id, key string }

// basic is the header of a client that uses HTTP Basic, and form are the fields of one that does not.
func (k apiKeyPair) basic() string { return basic(k.id + ":" + k.key) }
func (k apiKeyPair) form() string  { return "&client_id=" + k.id + "&client_secret=" + k.key }

// newKey makes an API key with a scope.
func (s *testServer) newKey(login pair, scope string) apiKeyPair {
	s.t.Helper()
	id, key := s.makeKey(login, `,"scope":"`+scope+`"`)
	return apiKeyPair{id, key}
}

// newIntrospector registers a service and returns its API key.
func (s *testServer) newIntrospector() apiKeyPair {
	s.t.Helper()
	s.register("service", goodPassword)
	s.grant("service", "introspect")
	return s.newKey(s.begin("service"), "introspect")
}

const inactive = `{"active":false}`

// TestIntrospectToken: a token is described as it would be accepted at that moment.
func TestIntrospectToken(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		service := s.newIntrospector()
		s.grant("alice", "admin read write")
		p := s.begin("alice")
		claims := s.claimsOf(p.access)
		at := s.clock.Now().Unix()
		u, err := s.acc.userByName(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		check := func(what, token, format string, args ...any) {
			t.Helper()
			if a := s.introspect(service, token); a.status != 200 || a.body != fmt.Sprintf(format, args...) || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s; want %s", what, a.status, a.body, fmt.Sprintf(format, args...))
			}
		}
		const session = `{"active":true,"scope":"%s","roles":[%s],"username":"alice","token_type":"Bearer","exp":%d,"iat":%d,"sub":"alice","uid":"%s","jti":"%s","sid":"%s"}`
		rest := []any{at + 1800, at, u.UID, claims["jti"], claims["sid"]}
		check("an access token", p.access, session, append([]any{"admin read write", `"admin","read","write"`}, rest...)...)
		s.grant("alice", "read root write")
		check("after other scopes were granted", p.access, session, append([]any{"read root write", `"read","root","write"`}, rest...)...)
		s.grant("alice", "")
		check("without any scope", p.access, `{"active":true,"username":"alice","token_type":"Bearer","exp":%d,"iat":%d,"sub":"alice","uid":"%s","jti":"%s","sid":"%s"}`, rest...)
		s.grant("alice", "read write")
		narrow := s.login(goodLogin + "&scope=write").tokens()
		if a := s.introspect(service, narrow.access); a.field("scope") != "write" {
			t.Errorf("a narrowed session: %s", a.body)
		}

		id, key := s.makeKey(p, `,"scope":"read","expires_in_days":1`)
		made := s.clock.Now().Unix()
		check("an API key", key, `{"active":true,"scope":"read","roles":["read"],"client_id":"%s","username":"alice","token_type":"Bearer","exp":%d,"iat":%d,"sub":"alice","uid":"%s"}`,
			id, made+24*3600, made, u.UID)
		jwt := s.exchange(id, key, "").field("access_token")
		check("the token of an API key", jwt, `{"active":true,"scope":"read","roles":["read"],"client_id":"%s","username":"alice","token_type":"Bearer","exp":%d,"iat":%d,"sub":"alice","uid":"%s","jti":"%s"}`,
			id, made+1800, made, u.UID, s.claimsOf(jwt)["jti"])
		check("itself", service.key, `{"active":true,"scope":"introspect","roles":["introspect"],"client_id":"%s","username":"service","token_type":"Bearer","exp":%d,"iat":%d,"sub":"service","uid":"%s"}`,
			service.id, made+90*24*3600, made, s.uidOf("service"))
		s.grant("alice", "write")
		if a := s.introspect(service, key); a.field("scope") != "" || !strings.Contains(a.body, `"active":true`) {
			t.Errorf("a key whose scope its owner lacks: %s", a.body)
		}

		s.clock.Advance(24 * time.Hour)
		for _, token := range []string{p.access, key, jwt} {
			check("an expired one", token, inactive)
		}
		s.checkLog(p.access, p.refresh, key, jwt, service.key)
	})
}

func (s *testServer) uidOf(username string) string {
	s.t.Helper()
	u, err := s.acc.userByName(s.t.Context(), username)
	if err != nil {
		s.t.Fatal(err)
	}
	return u.UID
}

// TestIntrospectNothing: whatever would not be accepted here gets the same answer, to the byte and the
// header.
func TestIntrospectNothing(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		service := s.newIntrospector()
		p, ended := s.begin("alice"), s.begin("alice")
		s.revoke(ended.refresh)
		_, deleted := s.makeKey(p, "")
		if a := s.as(p, "DELETE", "/users/me/keys/", ""); a.status != 204 {
			t.Fatal(a.body)
		}
		bob := s.begin("bob")
		u, err := s.acc.userByName(t.Context(), "bob")
		if err == nil {
			err = disableUser(t.Context(), s.acc.store, u.ID, s.clock.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
		now := s.clock.Now().Unix()
		signed := func(claims, key string) string { return mint(hs256, fmt.Sprintf(claims, now, now+60), key) }
		for what, token := range map[string]string{
			"garbage":                          "x",
			"spaces":                           " ",
			"a password":                       goodPassword,
			"a name":                           "alice",
			"60 KiB":                           strings.Repeat("a", 60<<10),
			"60 KiB that begin like a key":     apiKeyPrefix + strings.Repeat("A", 60<<10),
			"a refresh token":                  p.refresh,
			"a token of an ended session":      ended.access,
			"the refresh token of it":          ended.refresh,
			"a token of a disabled user":       bob.access,
			"a deleted key":                    deleted,
			"the ID of a key":                  service.id,
			"a key with another secret":        service.key[:len(service.key)-1] + "_",
			"a token with a space after it":    p.access + " ",
			"a token with its scheme":          "Bearer " + p.access,
			"a token of another issuer":        signed(`{"sub":"alice","iat":%d,"exp":%d}`, "another key of more than 32 bytes"),
			"a token for an audience":          signed(`{"sub":"alice","iat":%d,"exp":%d,"aud":"x"}`, testSecret),
			"a token with a session of nobody": signed(`{"sub":"alice","iat":%d,"exp":%d,"sid":"x"}`, testSecret),
			"a token with a key of nobody":     signed(`{"sub":"alice","iat":%d,"exp":%d,"client_id":"AAAAAAAAAAAAAAAA"}`, testSecret),
			"a token without a signature":      mint(`{"alg":"none"}`, `{"sub":"alice"}`, ""),
		} {
			a := s.introspect(service, token)
			for _, name := range []string{"Date", "X-Request-Id"} {
				a.header.Del(name)
			}
			want := "map[Cache-Control:[no-store] Content-Length:[16] Content-Type:[application/json] Referrer-Policy:[no-referrer] Vary:[Origin] X-Content-Type-Options:[nosniff]]"
			if a.status != 200 || a.body != inactive || fmt.Sprint(a.header) != want {
				t.Errorf("%s: %d %s %v", what, a.status, a.body, a.header)
			}
		}
		if a := s.introspect(service, p.access); !strings.Contains(a.body, `"active":true`) {
			t.Errorf("a good token: %s", a.body)
		}
	})
}

// TestIntrospectForeignToken: tokens that another program has made with our key are good here, and are
// described by what we know.
func TestIntrospectForeignToken(t *testing.T) {
	s := startServer(t, func(acc *accounts, _ *edgeSettings) {
		acc.tokens.issuer, acc.tokens.audience = "https://login.example", audience{"a", "b"}
	})
	s.signUp()
	service := s.newIntrospector()
	s.clock.Advance(2 * time.Second)
	now := s.clock.Now().Unix()
	for _, tt := range []struct{ name, claims, want string }{
		{"with fractions of seconds", `{"sub":"ALICE","iat":%d.75,"exp":%d.5,"iss":"https://login.example","aud":["b","c"]}`,
			`{"active":true,"username":"alice","token_type":"Bearer","exp":%[2]d,"iat":%[1]d,"sub":"alice","uid":"%[3]s","aud":["b","c"],"iss":"https://login.example"}`},
		{"with claims of its own", `{"sub":"alice","iat":%d,"exp":%d,"iss":"https://login.example","aud":"a","scope":"admin","roles":["admin"],"client_id":"x","jti":"y","username":"root","active":false}`,
			`{"active":true,"username":"alice","token_type":"Bearer","exp":%[2]d,"iat":%[1]d,"sub":"alice","uid":"%[3]s","aud":"a","iss":"https://login.example","jti":"y"}`},
		{"of another issuer", `{"sub":"alice","iat":%d,"exp":%d,"iss":"https://evil.example","aud":"a"}`, inactive},
		{"of another audience", `{"sub":"alice","iat":%d,"exp":%d,"iss":"https://login.example","aud":"c"}`, inactive},
	} {
		token := mint(hs256, fmt.Sprintf(tt.claims, now-1, now+60), testSecret)
		want := tt.want
		if want != inactive {
			want = fmt.Sprintf(want, now-1, now+60, s.uidOf("alice"))
		}
		if a := s.introspect(service, token); a.body != want {
			t.Errorf("%s: %s; want %s", tt.name, a.body, want)
		}
	}
}

// An asker is a way to ask at /introspect, and what comes of it.
type asker struct {
	name, header, form string
	status             int
	body               string // of a failure
}

// checkAsker asks about a good token, a bad one, and none. Who may not ask learns nothing about them.
func (s *testServer) checkAsker(by asker, good string) {
	s.t.Helper()
	headers := []string{"Content-Type: " + urlEncoded}
	if by.header != "" {
		headers = append(headers, "Authorization: "+by.header)
	}
	for token, want := range map[string]string{good: `{"active":true`, "x": inactive, "": `the field token is missing`} {
		status := by.status
		switch {
		case by.body != "":
			want = by.body
		case token == "":
			status = 400
		}
		a := s.do("POST", "/introspect", "token="+token+by.form, headers...)
		if a.status != status || !strings.Contains(a.body, want) {
			s.t.Errorf("%s, of %.5q: %d %s; want %d %s", by.name, token, a.status, a.body, status, want)
		}
		if got := a.header.Get("WWW-Authenticate"); got != by.challenge() {
			s.t.Errorf("%s: WWW-Authenticate %q; want %q", by.name, got, by.challenge())
		}
	}
}

// challenge returns what WWW-Authenticate must say.
func (by asker) challenge() string {
	switch {
	case by.status == 403:
		return `Bearer error="insufficient_scope", scope="introspect"`
	case by.status != 401:
		return ""
	case strings.HasPrefix(by.header, "Basic"):
		return `Basic realm="latchkey"`
	}
	return "Bearer"
}

// TestWhoMayIntrospect: programs with the scope introspect, and administrators.
func TestWhoMayIntrospect(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		service := s.newIntrospector()
		s.grant("alice", "admin introspect read")
		p := s.begin("alice")
		narrow := s.login(goodLogin + "&scope=introspect+read").tokens()
		admin, plain := s.newKey(p, "admin"), s.newKey(p, "read")
		jwt := s.exchange(service.id, service.key, "").field("access_token")
		adminJWT := s.exchange(admin.id, admin.key, "").field("access_token")
		user := s.begin("bob")
		const missing = `{"detail":"Not enough permissions","error":"insufficient_scope","error_description":"Not enough permissions"}`
		for _, tt := range []asker{
			{"a key with introspect, by Basic", service.basic(), "", 200, ""},
			{"the same, with its ID in the form", service.basic(), "&client_id=" + service.id, 200, ""},
			{"a key with introspect, in the form", "", service.form(), 200, ""},
			{"a key with introspect, as bearer", "Bearer " + service.key, "", 200, ""},
			{"the same, with some client_id", "Bearer " + service.key, "&client_id=x", 200, ""},
			{"the token of a key with introspect", "Bearer " + jwt, "", 200, ""},
			{"a key with admin, by Basic", admin.basic(), "", 200, ""},
			{"a key with admin, as bearer", "Bearer " + admin.key, "", 200, ""},
			{"the token of a key with admin", "Bearer " + adminJWT, "", 200, ""},
			{"an administrator", "Bearer " + p.access, "", 200, ""},
			{"a key without the scope, by Basic", plain.basic(), "", 403, missing},
			{"a key without the scope, in the form", "", plain.form(), 403, missing},
			{"a key without the scope, as bearer", "Bearer " + plain.key, "", 403, missing},
			{"a user", "Bearer " + user.access, "", 403, missing},
			{"a person with introspect", "Bearer " + narrow.access, "", 403, missing},
		} {
			s.checkAsker(tt, p.access)
		}
		if !slices.ContainsFunc(s.lastEvents(30), func(line string) bool { return line == authorizationFailed+"|bob||POST /introspect" }) {
			t.Errorf("a user who asks is no event: %q", s.lastEvents(30))
		}
		s.grant("service", "")
		s.checkAsker(asker{"a service that may no longer", service.basic(), "", 403, missing}, p.access)
	})
}

// TestNobodyIntrospects: who does not prove who they are, or does so in two ways, learns nothing.
func TestNobodyIntrospects(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		service := s.newIntrospector()
		p := s.begin("alice")
		other := s.newKey(p, "")
		const (
			twoWays = `{"detail":"Malformed form: the client authenticates in two ways; want HTTP Basic or the form, not both","error":"invalid_request"`
			bearer  = `{"detail":"Could not validate credentials","error":"invalid_token","error_description":"Could not validate credentials"}`
		)
		for _, tt := range []asker{
			{"nobody", "", "", 401, badClient},
			{"an ID without a key", "", "&client_id=" + service.id, 401, badClient},
			{"a key without its ID", "", "&client_secret=" + service.key, 401, badClient},
			{"a key with the ID of another", basic(other.id + ":" + service.key), "", 401, badClient},
			{"a key with its owner's name", basic("service:" + service.key), "", 401, badClient},
			{"a name and a password", basic("alice:" + goodPassword), "", 401, badClient},
			{"Basic that is broken", "Basic x", "", 401, badClient},
			{"a key by Basic and in the form", service.basic(), service.form(), 400, twoWays},
			{"a key as bearer and in the form", "Bearer " + service.key, service.form(), 400, twoWays},
			{"another scheme", "Digest x", "", 401, badClient},
			{"a bad token", "Bearer x", "", 401, bearer},
			{"a refresh token", "Bearer " + p.refresh, "", 401, bearer},
		} {
			s.checkAsker(tt, p.access)
		}
	})
}

// TestIntrospectForm: where a token may stand.
func TestIntrospectForm(t *testing.T) {
	s := startServer(t)
	token := s.signUp()
	service := s.newIntrospector()
	for _, tt := range []struct {
		name, path, body, mediaType string
		status                      int
		contains                    string
	}{
		{"in the form", "/introspect", "token=" + token, urlEncoded, 200, `"active":true`},
		{"with a hint", "/introspect", "token_type_hint=access_token&token=" + token, urlEncoded, 200, `"active":true`},
		{"with a wrong hint", "/introspect", "token_type_hint=refresh_token&token=" + token, urlEncoded, 200, `"active":true`},
		{"with an unknown hint", "/introspect", "token_type_hint=x&token=" + token, urlEncoded, 200, `"active":true`},
		{"as multipart", "/introspect", multipartBody(field("token", token)), multipartType, 200, `"active":true`},
		{"twice", "/introspect", "token=" + token + "&token=" + token, urlEncoded, 400, `"error":"invalid_request","error_description":"Malformed form: a field is repeated"`},
		{"in the query", "/introspect?token=" + token, "", urlEncoded, 400, `"error":"invalid_request"`},
		{"as JSON", "/introspect", `{"token":"` + token + `"}`, "application/json", 400, `"error":"invalid_request"`},
		{"none", "/introspect", "", urlEncoded, 400, `"error":"invalid_request"`},
		{"an empty one", "/introspect", "token=", urlEncoded, 400, `"error":"invalid_request"`},
		{"more than 64 KiB", "/introspect", "token=" + strings.Repeat("a", 64<<10), urlEncoded, 413, `"error":"invalid_request"`},
	} {
		a := s.do("POST", tt.path, tt.body, "Content-Type: "+tt.mediaType, "Authorization: "+service.basic())
		if a.status != tt.status || !strings.Contains(a.body, tt.contains) {
			t.Errorf("%s: %d %s; want %d with %s", tt.name, a.status, a.body, tt.status, tt.contains)
		}
	}
	if a := s.do("GET", "/introspect?token="+token, "", "Authorization: "+service.basic()); a.status != 405 {
		t.Errorf("GET: %d %s", a.status, a.body)
	}
	s.checkLog(token)
}

// TestIntrospectOutage: a store that does not answer makes no token inactive.
func TestIntrospectOutage(t *testing.T) {
	users := &faulty{store: newMemStore()}
	s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.store = users })
	s.signUp()
	s.grant("alice", "admin")
	p, other := s.begin("alice"), s.begin("alice")
	for at := range 3 {
		users.at = users.calls + at + 1
		a := s.do("POST", "/introspect", "token="+other.access, "Content-Type: "+urlEncoded, "Authorization: Bearer "+p.access)
		if at < 2 && (a.status != 503 || a.header.Get("Retry-After") == "" || strings.Contains(a.body, "active")) {
			t.Errorf("if the store fails at call %d: %d %s", at, a.status, a.body)
		}
		if at == 2 && !strings.Contains(a.body, `"active":true`) {
			t.Errorf("without a failure: %d %s", a.status, a.body)
		}
	}
}
