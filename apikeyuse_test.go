package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestKeyOperations: what a program may do with a key of an administrator, and with a token that it got
// with the key. Every other operation is closed to it, also those to come.
func TestKeyOperations(t *testing.T) {
	open := []string{ // for programs
		"GET /users/me/{$}", "GET /users/{$}", "GET /users/{username}/{$}", "PATCH /users/{username}/{$}", "DELETE /users/{username}/{$}",
		"GET /users/{username}/sessions/{$}", "DELETE /users/{username}/sessions/{$}", "DELETE /users/{username}/sessions/{id}", "GET /events/{$}",
	}
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "admin")
		id, key := s.makeKey(s.begin("alice"), `,"scope":"admin"`)
		token := s.exchange(id, key, "").field("access_token")
		for _, op := range operations(edgeSettings{}, &api{s.acc}) {
			method, path, _ := strings.Cut(strings.TrimSuffix(op.pattern, "{$}"), " ")
			path = strings.NewReplacer("{username}", "nobody", "{id}", id).Replace(path)
			if op.pattern == "POST /introspect" {
				continue // it is meant for programs: TestWhoMayIntrospect
			}
			if s.do(method, path, "", "Content-Type: application/json").status != 401 {
				continue // everybody may do it
			}
			for what, credential := range map[string]string{"key": key, "token": token} {
				got := s.as(pair{access: credential}, method, path, `{}`)
				isOpen := got.body != notForKeys
				if isOpen != slices.Contains(open, op.pattern) || isOpen && (got.status == 401 || got.status == 403) || !isOpen && got.status != 403 {
					t.Errorf("%s with a %s: %d %s", op.pattern, what, got.status, got.body)
				}
			}
		}
		if got := s.as(pair{access: key}, "GET", "/users/me/", ""); got.body != alice {
			t.Errorf("the owner is %s", got.body)
		}
		got := s.as(pair{access: key}, "POST", "/users/", `{"username":"carol","password":"correct horse battery","scopes":["read"]}`)
		if u, err := s.acc.userByName(t.Context(), "carol"); got.status != 200 || err != nil || u.Scopes != "read" {
			t.Errorf("a user whom a key makes: %d %s, %v %v", got.status, got.body, u.Scopes, err)
		}
		if got := s.revoke(key); got.status != 200 || s.me("Authorization: Bearer "+key).status != 200 {
			t.Errorf("after a revocation, which is for sessions, the key is refused: %d", got.status)
		}
		if got := s.revoke(token); got.status != 200 || s.me("Authorization: Bearer "+token).status != 200 {
			t.Errorf("after a revocation, which is for sessions, its token is refused: %d", got.status)
		}
		s.checkLog(key, token)
	})
}

// TestKeyScopes: a key can do what is in its scope and granted to its owner, at every moment.
func TestKeyScopes(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "admin read")
		login := s.begin("alice")
		_, narrow := s.makeKey(login, `,"scope":"read"`)
		id, wide := s.makeKey(login, `,"scope":"admin read"`)
		token, less := s.exchange(id, wide, "").field("access_token"), s.exchange(id, wide, "read").field("access_token")
		_, none := s.makeKey(login, "")
		check := func(when string, want map[string]int) {
			t.Helper()
			for credential, status := range want {
				if got := s.as(pair{access: credential}, "GET", "/users/", ""); got.status != status || status == 403 && got.body != notPermitted {
					t.Errorf("%s: %.8s… %d %s; want %d", when, credential, got.status, got.body, status)
				}
			}
		}
		check("at first", map[string]int{narrow: 403, wide: 200, token: 200, less: 403, none: 403})
		s.grant("alice", "read")
		check("when it was taken from the owner", map[string]int{narrow: 403, wide: 403, token: 403, less: 403, none: 403})
		s.grant("alice", "admin read write")
		check("when it is given back", map[string]int{narrow: 403, wide: 200, token: 200, less: 403, none: 403})
		if got := s.exchange(id, wide, ""); got.field("scope") != "admin read" {
			t.Errorf("the key has the scope %q; want no more than it had", got.field("scope"))
		}
	})
}

// TestKeysEnd: what ends a key and the tokens that were got with it, and what does not.
func TestKeysEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		do    func(t *testing.T, s *testServer, login pair, id string)
		lives bool
		late  bool // a token that was got before has expired
	}{
		{"nothing", func(*testing.T, *testServer, pair, string) {}, true, false},
		{"a change of the password", func(t *testing.T, s *testServer, login pair, _ string) {
			checkEmptyAnswer(t, s.as(login, "POST", "/users/me/password", changeTo(goodPassword, newPassword)))
		}, true, false},
		{"the end of all sessions", func(t *testing.T, s *testServer, login pair, _ string) {
			checkEmptyAnswer(t, s.as(login, "DELETE", "/users/me/sessions/", ""))
		}, true, false},
		{"a password that the command line sets", func(t *testing.T, s *testServer, _ pair, _ string) {
			s.edit("alice", userEdit{Password: new(newPassword)})
		}, true, false},
		{"the last second", func(_ *testing.T, s *testServer, _ pair, _ string) {
			s.clock.Advance(day - 30*time.Minute - time.Second)
		}, true, true},
		{"its expiry", func(_ *testing.T, s *testServer, _ pair, _ string) { s.clock.Advance(day - 30*time.Minute) }, false, true},
		{"its deletion", func(t *testing.T, s *testServer, login pair, id string) {
			checkEmptyAnswer(t, s.as(login, "DELETE", "/users/me/keys/"+id, ""))
		}, false, false},
		{"the deletion of all", func(t *testing.T, s *testServer, login pair, _ string) {
			checkEmptyAnswer(t, s.as(login, "DELETE", "/users/me/keys/", ""))
		}, false, false},
		{"an administrator who disables the owner", func(_ *testing.T, s *testServer, _ pair, _ string) {
			s.edit("alice", userEdit{Disabled: new(true)})
		}, false, false},
		{"an owner who is enabled again", func(_ *testing.T, s *testServer, _ pair, _ string) {
			s.edit("alice", userEdit{Disabled: new(true)})
			s.edit("alice", userEdit{Disabled: new(false)})
		}, true, false},
		{"the deletion of the account", func(t *testing.T, s *testServer, login pair, _ string) {
			checkEmptyAnswer(t, s.as(login, "DELETE", "/users/me/", ""))
		}, false, false},
		{"the deletion of the account, and another of the same name", func(t *testing.T, s *testServer, login pair, _ string) {
			checkEmptyAnswer(t, s.as(login, "DELETE", "/users/me/", ""))
			s.register("alice", goodPassword)
		}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEveryStore(t, func(t *testing.T, s *testServer) {
				id, key := s.makeKey(s.begin("alice"), `,"expires_in_days":1`)
				s.clock.Advance(30 * time.Minute)
				login := s.begin("alice")
				s.do("GET", "/users/me/", "", "Authorization: Bearer "+key)
				token := s.exchange(id, key, "").field("access_token")
				tt.do(t, s, login, id)
				s.checkKey("the key", id, key, tt.lives)
				good := tt.lives && !tt.late
				if got := s.me("Authorization: Bearer " + token); (got.status == 200) != good || !good && got.body != badToken {
					t.Errorf("its token: %d %s; want it to be good: %v", got.status, got.body, good)
				}
			})
		})
	}
}

// edit changes a user, as the command line does.
func (s *testServer) edit(username string, edit userEdit) {
	s.t.Helper()
	u, err := s.acc.userByName(s.t.Context(), username)
	if err == nil {
		_, err = s.acc.updateUser(s.t.Context(), u, edit, client{Actor: "cli:test"})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func checkEmptyAnswer(t testing.TB, a answer) {
	t.Helper()
	if a.status != 204 || a.body != "" {
		t.Errorf("%d %s; want 204", a.status, a.body)
	}
}

// checkKey reports a key that is not good, or good although it should not live.
func (s *testServer) checkKey(what, id, key string, lives bool) {
	s.t.Helper()
	me, issued := s.me("Authorization: Bearer "+key), s.exchange(id, key, "")
	if lives && (me.status != 200 || issued.status != 200) || !lives && (me.body != badToken || issued.body != badClient) {
		s.t.Errorf("%s: %d %s, %d %s; want it to live: %v", what, me.status, me.body, issued.status, issued.body, lives)
	}
}

// TestBadKeys: nothing but the whole key is good, and no answer says what was wrong.
func TestBadKeys(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		id, key := s.makeKey(s.begin("alice"), "")
		otherID, other := s.makeKey(s.begin("bob"), "")
		_, unknown := newAPIKey()
		secret := key[len(key)-apiKeySecretSize:]
		for name, bad := range map[string]string{
			"the ID":                            id,
			"the secret":                        secret,
			"half a key":                        key[:30],
			"a key and more":                    key + "A",
			"a key in small letters":            strings.ToLower(key),
			"a key that nobody has":             unknown,
			"the secret of another key":         apiKeyPrefix + id + "_" + other[len(other)-apiKeySecretSize:],
			"the hash":                          fmt.Sprintf("%x", hashAPIKey(key)),
			"a key with a dot, as tokens have":  key + ".x.y",
			"a token with the key as its owner": mint(hs256, `{"sub":"`+id+`","exp":9999999999}`, testSecret),
		} {
			if got := s.me("Authorization: Bearer " + bad); got.status != 401 || got.body != badToken {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
			if got := s.exchange(id, bad, ""); got.status != 401 || got.body != badClient || got.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s, for a token: %d %s", name, got.status, got.body)
			}
		}
		for name, got := range map[string]answer{
			"another key's ID":    s.exchange(otherID, key, ""),
			"the owner's name":    s.exchange("alice", key, ""),
			"the owner's account": s.exchange("alice", goodPassword, ""),
			"no ID":               s.exchange("", key, ""),
			"no secret":           s.exchange(id, "", ""),
		} {
			if got.status != 401 || got.body != badClient {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
		if got := s.login(url.Values{"username": {"alice"}, "password": {key}}.Encode()); got.status != 401 || got.body != badLogin {
			t.Errorf("a key as the password: %d %s", got.status, got.body)
		}
		if got := s.refresh(key); got.body != invalidGrant(notValid) {
			t.Errorf("a key as a refresh token: %d %s", got.status, got.body)
		}
		s.checkLog(key, other, secret)
	})
}

// TestClientCredentialsGrant: which scopes a token has, how long it lives, and what is in it.
func TestClientCredentialsGrant(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "a b c")
		login := s.begin("alice")
		id, key := s.makeKey(login, `,"scope":"a b"`)
		plainID, plain := s.makeKey(login, "")
		for _, tt := range []struct {
			name, id, key, scope string
			status               int
			want                 string
		}{
			{"none", id, key, "", 200, "a b"},
			{"white space", id, key, "  ", 200, "a b"},
			{"less", id, key, "b", 200, "b"},
			{"more", id, key, "c b d", 200, "b"},
			{"what only the owner has", id, key, "c", 400, "invalid_scope"},
			{"what nobody has", id, key, "admin", 400, "invalid_scope"},
			{"what OpenID clients ask for", id, key, "openid offline_access", 400, "invalid_scope"},
			{"what can be no scope", id, key, `"\,`, 400, "invalid_scope"},
			{"none, of a key without any", plainID, plain, "", 200, ""},
			{"one, of a key without any", plainID, plain, "a", 400, "invalid_scope"},
		} {
			got := s.exchange(tt.id, tt.key, tt.scope)
			if got.status != tt.status || tt.status == 200 && got.field("scope") != tt.want || tt.status == 400 && got.field("error") != tt.want {
				t.Errorf("%s: %d %s; want %d %s", tt.name, got.status, got.body, tt.status, tt.want)
			}
			if strings.Contains(got.body, "refresh_token") || strings.Contains(got.body, "id_token") || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %s, %v", tt.name, got.body, got.header)
			}
		}
		got := s.exchange(id, key, "b")
		c := s.claimsOf(got.field("access_token"))
		u, err := s.acc.userByName(t.Context(), "alice")
		if err != nil || c["sub"] != "alice" || c["uid"] != u.UID || c["client_id"] != id || c["scope"] != "b" || fmt.Sprint(c["roles"]) != "[b]" || c["sid"] != nil {
			t.Errorf("the claims are %v, %v", c, err)
		}
		if got.json().(object)["expires_in"] != 1800.0 || got.field("token_type") != "bearer" {
			t.Errorf("the answer is %s", got.body)
		}
	})
}

// claimsOf returns the payload of a token.
func (s *testServer) claimsOf(token string) (claims object) {
	s.t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		s.t.Fatalf("%q is no token", token)
	}
	text, err := b64.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, &claims)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return claims
}

// TestTokenEndsWithKey: the last token of a key lives no longer than the key.
func TestTokenEndsWithKey(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		id, key := s.makeKey(s.begin("alice"), `,"expires_in_days":1`)
		s.clock.Advance(day - 90*time.Second)
		got := s.exchange(id, key, "")
		if got.json().(object)["expires_in"] != 90.0 {
			t.Errorf("90 seconds before the end: %s", got.body)
		}
		s.clock.Advance(90*time.Second - time.Millisecond)
		if got := s.exchange(id, key, ""); got.json().(object)["expires_in"] != 1.0 {
			t.Errorf("a millisecond before the end: %s", got.body)
		}
		s.clock.Advance(time.Millisecond)
		s.checkKey("at the end", id, key, false)
	})
}

// TestBasicAtToken: a client may use HTTP Basic, and is then asked for it.
func TestBasicAtToken(t *testing.T) {
	s := startServer(t)
	s.signUp()
	id, key := s.makeKey(s.begin("alice"), "")
	const grantType = "grant_type=client_credentials"
	for _, tt := range []struct {
		name, form, header string
		status             int
		challenge          string
	}{
		{"good", grantType, basic(id + ":" + key), 200, ""},
		{"good, with the ID in the form", grantType + "&client_id=" + id, basic(id + ":" + key), 200, ""},
		{"a wrong key", grantType, basic(id + ":" + key[:40] + "AAAAA"), 401, `Basic realm="latchkey"`},
		{"malformed", grantType, "basic x", 401, `Basic realm="latchkey"`},
		{"both ways", grantType + "&client_id=" + id + "&client_secret=" + key, basic(id + ":" + key), 400, ""},
		{"a bearer token", grantType, "Bearer " + key, 401, "Bearer"},
		{"at another grant, where it is ignored", goodLogin, basic("x:y"), 200, ""},
		{"a wrong password at another grant", "username=alice&password=x", basic("x:y"), 401, "Bearer"},
	} {
		got := s.do("POST", "/token", tt.form, "Content-Type: "+urlEncoded, "Authorization: "+tt.header)
		if got.status != tt.status || got.header.Get("WWW-Authenticate") != tt.challenge {
			t.Errorf("%s: %d %s, %q; want %d, %q", tt.name, got.status, got.body, got.header.Get("WWW-Authenticate"), tt.status, tt.challenge)
		}
	}
	if got := s.do("POST", "/token?client_id="+id+"&client_secret="+key, grantType, "Content-Type: "+urlEncoded); got.body != badClient {
		t.Errorf("a key in the URL: %d %s", got.status, got.body)
	}
}

// TestForeignClients: a token that was made elsewhere may name a client, unless that could be a key.
func TestForeignClients(t *testing.T) {
	s := startServer(t)
	s.signUp()
	id, key := s.makeKey(s.begin("alice"), "")
	s.register("bob", goodPassword)
	s.clock.Advance(time.Second) // a token counts whole seconds
	now := s.clock.Now().Unix()
	for _, tt := range []struct {
		name, clientID string
		good           bool
	}{
		{"a name", `"my-app"`, true},
		{"an empty text", `""`, true},
		{"a number", `7`, true},
		{"null", `null`, true},
		{"sixteen small letters", `"abcdefghijklmnop"`, true},
		{"a key that is there", `"` + id + `"`, true},
		{"a key that is not there", `"AAAAAAAAAAAAAAAA"`, false},
	} {
		token := mint(hs256, fmt.Sprintf(`{"sub":"alice","iat":%d,"exp":%d,"client_id":%s}`, now, now+60, tt.clientID), testSecret)
		if got := s.me("Authorization: Bearer " + token); (got.status == 200) != tt.good {
			t.Errorf("%s: %d %s; want it to be good: %v", tt.name, got.status, got.body, tt.good)
		}
	}
	token := mint(hs256, fmt.Sprintf(`{"sub":"bob","iat":%d,"exp":%d,"client_id":%q}`, now, now+60, id), testSecret)
	if got := s.me("Authorization: Bearer " + token); got.body != badToken {
		t.Errorf("a key of somebody else: %d %s", got.status, got.body)
	}
	s.checkKey("the key", id, key, true)
}

// A keylessStore finds no keys because it does not answer.
type keylessStore struct{ store }

func (keylessStore) UserByAPIKey(context.Context, string) (User, APIKey, error) {
	return User{}, APIKey{}, fmt.Errorf("%w: test", errUnavailable)
}

// TestKeyOutage: an outage never looks like a wrong key.
func TestKeyOutage(t *testing.T) {
	s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.store = keylessStore{acc.store} })
	id, key := newAPIKey()
	for name, got := range map[string]answer{
		"a key":            s.me("Authorization: Bearer " + key),
		"a token of a key": s.me("Authorization: Bearer " + mint(hs256, fmt.Sprintf(`{"sub":"alice","exp":%d,"client_id":%q}`, s.clock.Now().Unix()+60, id), testSecret)),
		"a client":         s.exchange(id, key, ""),
	} {
		if got.status != 503 || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if _, err := s.acc.apiKeyIdentity(t.Context(), key); !errors.Is(err, errUnavailable) {
		t.Errorf("apiKeyIdentity returns %v", err)
	}
}
