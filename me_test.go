package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestUpdateMe: what people may change of themselves. Each row starts from
// what the rows before it left.
func TestUpdateMe(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		tokens := s.begin("alice")
		user := func(email, fullName string) string {
			return `{"username":"alice","email":` + email + `,"full_name":` + fullName + `}`
		}
		forbidden := func(field string) string {
			return `{"type":"extra_forbidden","loc":["body","` + field + `"],"msg":"Extra inputs are not permitted"}`
		}
		for _, tt := range []struct {
			name, body string
			status     int
			contains   string
		}{
			{"nothing", `{}`, 200, user("null", "null")},
			{"an address", `{"email":"Alice@EXAMPLE.com"}`, 200, user(`"Alice@example.com"`, "null")},
			{"a name", `{"full_name":"Alice <A>"}`, 200, user(`"Alice@example.com"`, `"Alice <A>"`)},
			{"a name that is empty", `{"full_name":""}`, 200, user(`"Alice@example.com"`, `""`)},
			{"the address away", `{"email":null}`, 200, user("null", `""`)},
			{"both", `{"email":"a@example.com","full_name":null}`, 200, user(`"a@example.com"`, "null")},
			{"what nobody may set", `{"disabled":true,"id":7,"hashed_password":"x","scopes":["admin"],"tokens_valid_after":0}`, 200, user(`"a@example.com"`, "null")},
			{"names in capitals", `{"EMAIL":null,"Full_Name":"x"}`, 200, user(`"a@example.com"`, "null")},
			{"a username", `{"username":"bob"}`, 422, forbidden("username")},
			{"the same username", `{"username":"alice","email":null}`, 422, forbidden("username")},
			{"a username that is null", `{"username":null}`, 422, forbidden("username")},
			{"a password", `{"password":"another password"}`, 422, forbidden("password")},
			{"an address that is none", `{"email":"a","full_name":"x"}`, 422, `"loc":["body","email"],"msg":"value is not a valid email address: `},
			{"an address that is a number", `{"email":1}`, 422, `"type":"string_type","loc":["body","email"]`},
			{"a name that is a list", `{"full_name":[]}`, 422, `"type":"string_type","loc":["body","full_name"]`},
			{"a name with a NUL", `{"full_name":"a\u0000"}`, 422, "NUL"},
			{"a member twice", `{"email":null,"email":null}`, 422, "json_invalid"},
			{"null", `null`, 422, "model_attributes_type"},
			{"a list", `[]`, 422, "model_attributes_type"},
			{"an empty body", ``, 422, "missing"},
			{"66,000 bytes", `{"full_name":"` + strings.Repeat("x", 66_000) + `"}`, 413, "Too Large"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				got := s.as(tokens, "PATCH", "/users/me/", tt.body)
				if got.status != tt.status || !strings.Contains(got.body, tt.contains) {
					t.Errorf("%d %s; want %d with %s", got.status, got.body, tt.status, tt.contains)
				}
			})
		}
		if got := s.me("Authorization: Bearer " + tokens.access); got.body != user(`"a@example.com"`, "null") {
			t.Errorf("in the end: %s", got.body)
		}
		if got := s.do("PATCH", "/users/me/", `{"email":null}`, "Content-Type: application/json"); got.body != notAuthenticated {
			t.Errorf("without a token: %s", got.body)
		}
		if got := s.do("PATCH", "/users/me/", `{"email":null}`, "Content-Type: text/plain", "Authorization: Bearer "+tokens.access); got.status != 422 {
			t.Errorf("as plain text: %d", got.status)
		}
	})
}

// newPassword is what alice changes hers to.
const newPassword = "staple of the battery"

// changeTo is a change of alice's password.
func changeTo(current, next string) string {
	body, _ := json.Marshal(map[string]string{"current_password": current, "new_password": next}) // strings never fail
	return string(body)
}

// TestUpdatePassword: a new password ends all other sessions, and the old one opens
// nothing any more.
func TestUpdatePassword(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		now := s.clock.Now().Unix() + 1 // after the registration, which was in the middle of a second
		current, thief, bob := s.begin("alice"), s.begin("alice"), s.begin("bob")
		foreign := "Authorization: Bearer " + mint(hs256, fmt.Sprintf(`{"sub":"alice","iat":%d,"exp":%d}`, now, now+600), testSecret)
		if got := s.me(foreign); got.body != alice {
			t.Errorf("a token made elsewhere: %s", got.body)
		}
		s.clock.Advance(time.Second)
		got := s.as(current, "POST", "/users/me/password", changeTo(goodPassword, newPassword))
		if got.status != 204 || got.body != "" || got.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %q", got.status, got.body)
		}
		current = s.checkGood("the session that changed it", current)
		s.checkEnded("the thief", thief)
		s.checkGood("another user", bob)
		if got := s.me(foreign); got.body != badToken {
			t.Errorf("a token made elsewhere, before: %s", got.body)
		}
		if got := s.login(goodLogin); got.body != badLogin {
			t.Errorf("the old password: %d %s", got.status, got.body)
		}
		if got := s.login("username=alice&password=" + newPassword); got.status != 200 {
			t.Errorf("the new password: %d %s", got.status, got.body)
		}
		s.checkGood("the session that changed it, later", current)
		s.checkLog(newPassword, current.access, current.refresh)
	})
}

// TestUpdatePasswordBody: what a change may say. No bad row changes anything.
func TestUpdatePasswordBody(t *testing.T) {
	s := startServer(t)
	s.signUp()
	tokens, other := s.begin("alice"), s.begin("alice")
	for _, tt := range []struct {
		name, body string
		status     int
		contains   string
	}{
		{"a wrong password", changeTo("wrong horse battery", newPassword), 400, `{"detail":"Incorrect password"}`},
		{"a short password and NULs", changeTo(goodPassword, "short\x00\x00\x00"), 422, "string_too_short"},
		{"a common password and a NUL", changeTo(goodPassword, "password\x00"), 422, "too common"},
		{"an empty password", changeTo("", newPassword), 400, `{"detail":"Incorrect password"}`},
		{"the password and a NUL", changeTo(goodPassword+"\x00x", newPassword), 400, `{"detail":"Incorrect password"}`},
		{"a password of 60,000 characters", changeTo(strings.Repeat("x", 60_000), newPassword), 400, `{"detail":"Incorrect password"}`},
		{"no current password", `{"new_password":"` + newPassword + `"}`, 422, `"type":"missing","loc":["body","current_password"]`},
		{"no new password", `{"current_password":"` + goodPassword + `"}`, 422, `"type":"missing","loc":["body","new_password"]`},
		{"a current password that is null", `{"current_password":null,"new_password":"` + newPassword + `"}`, 422, `"type":"string_type","loc":["body","current_password"]`},
		{"a new password that is short", changeTo(goodPassword, "1234567"), 422, `"type":"string_too_short","loc":["body","new_password"]`},
		{"a new password that is common", changeTo(goodPassword, "password123"), 422, "too common"},
		{"a new password that is the username", changeTo(goodPassword, "ALICE"), 422, "new_password"},
		{"a new password of 4,097 characters", changeTo(goodPassword, strings.Repeat("xy", 2048)+"x"), 422, "string_too_long"},
		{"both are wrong, which tells nothing of the first", changeTo("wrong", "short"), 422, "new_password"},
		{"nothing", ``, 422, "missing"},
		{"a list", `[]`, 422, "model_attributes_type"},
		{"a member twice", `{"current_password":"a","current_password":"b","new_password":"c"}`, 422, "json_invalid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.as(tokens, "POST", "/users/me/password", tt.body)
			if got.status != tt.status || !strings.Contains(got.body, tt.contains) {
				t.Errorf("%d %s; want %d with %s", got.status, got.body, tt.status, tt.contains)
			}
			for _, secret := range []string{goodPassword, newPassword, "wrong"} {
				if strings.Contains(got.body, secret) {
					t.Errorf("the answer holds %q: %s", secret, got.body)
				}
			}
		})
	}
	s.checkGood("another session", other)
	if got := s.login(goodLogin); got.status != 200 {
		t.Errorf("the password: %d %s", got.status, got.body)
	}
	if got := s.do("POST", "/users/me/password", changeTo(goodPassword, newPassword), "Content-Type: application/json"); got.body != notAuthenticated {
		t.Errorf("without a token: %s", got.body)
	}
	if got := s.as(tokens, "POST", "/users/me/password", changeTo(goodPassword, goodPassword)); got.status != 204 {
		t.Errorf("the same password again: %d %s", got.status, got.body)
	}
	if n := strings.Count(s.log.String(), "authn_password_change_fail"); n != 4 {
		t.Errorf("the log has %d failures; want 4", n)
	}
	s.checkLog(newPassword, "wrong horse")
}

// strengthening is a store in which a hash becomes stronger when somebody wants to
// change the password.
type strengthening struct {
	store
	hash string
}

func (s strengthening) UpdateUser(ctx context.Context, userID int64, change userChange) (User, error) {
	if current := *change.IfPasswordHash; change.EndSessions != nil && current != s.hash {
		if err := replaceHash(ctx, s.store, userID, current, s.hash); err != nil {
			return User{}, err
		}
	}
	return s.store.UpdateUser(ctx, userID, change)
}

// TestUpdatePasswordWhileStrengthened: a login that makes the hash stronger at the same
// moment is in nobody's way.
func TestUpdatePasswordWhileStrengthened(t *testing.T) {
	withOldHash(t, 19, func(t *testing.T, s *testServer, token string) {
		users, stronger := s.acc.store, s.acc.passwords.hashPassword(goodPassword)
		s.acc.store = strengthening{users, stronger}
		if got := s.as(pair{access: token}, "POST", "/users/me/password", changeTo(goodPassword, newPassword)); got.status != 204 {
			t.Errorf("%d %s", got.status, got.body)
		}
		s.acc.store = users
		if got := s.login("username=alice&password=" + newPassword); got.status != 200 {
			t.Errorf("the new password: %d %s", got.status, got.body)
		}
	})
}

// TestUpdatePasswordWhileChanged: who is overtaken by another change has to know the
// password that is now the current one.
func TestUpdatePasswordWhileChanged(t *testing.T) {
	withOldHash(t, 20, func(t *testing.T, s *testServer, token string) {
		users, other := s.acc.store, s.acc.passwords.hashPassword("another password")
		s.acc.store = strengthening{users, other}
		got := s.as(pair{access: token}, "POST", "/users/me/password", changeTo(goodPassword, newPassword))
		if got.status != 400 || got.body != `{"detail":"Incorrect password"}` {
			t.Errorf("%d %s", got.status, got.body)
		}
		s.acc.store = users
		if hash := s.hashOf(t, "alice"); hash != other {
			t.Errorf("the hash is %s; want %s", hash, other)
		}
	})
}

// TestDeleteMe: a deleted account leaves nothing to whoever takes its name.
func TestDeleteMe(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after time.Duration // from the login
		gone  bool
	}{
		{"at once", 0, true},
		{"in the last second of the tenth minute", 10*time.Minute - time.Second, true},
		{"after ten minutes", 10 * time.Minute, false},
		{"a second later", 10*time.Minute + time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEveryStore(t, func(t *testing.T, s *testServer) {
				other, bob := s.begin("alice"), s.begin("bob")
				current := s.begin("alice")
				foreign := pair{access: mint(hs256, fmt.Sprintf(`{"sub":"alice","iat":%d,"exp":%d}`, s.clock.Now().Unix()+1, s.clock.Now().Unix()+3600), testSecret)}
				s.clock.Advance(tt.after)
				current = s.refresh(current.refresh).tokens() // a refresh is no login
				if got := s.as(foreign, "DELETE", "/users/me/", ""); got.status != 403 {
					t.Errorf("with a token made elsewhere: %d %s", got.status, got.body)
				}
				got := s.as(current, "DELETE", "/users/me/", "")
				if !tt.gone {
					if got.status != 403 || got.body != `{"detail":"Sign in again to delete this account"}` {
						t.Errorf("%d %s", got.status, got.body)
					}
					s.checkGood("who may not delete the account", current)
					return
				}
				if got.status != 204 || got.body != "" {
					t.Errorf("%d %s", got.status, got.body)
				}
				s.checkDeleted(t, current, other)
				s.checkGood("another user", bob)
				s.clock.Advance(time.Second)
				if got := s.register("Alice", newPassword); got.status != 200 {
					t.Errorf("the name is still taken: %d %s", got.status, got.body)
				}
				s.checkDeleted(t, current, other, foreign)
			})
		})
	}
}

// checkDeleted reports tokens that are good for anything after their user was deleted.
func (s *testServer) checkDeleted(t *testing.T, tokens ...pair) {
	t.Helper()
	for _, p := range tokens {
		for _, request := range []string{"GET /users/me/", "DELETE /users/me/", "GET /users/me/sessions/", "DELETE /users/me/sessions/"} {
			method, path, _ := strings.Cut(request, " ")
			if got := s.as(p, method, path, ""); got.body != badToken {
				t.Errorf("%s: %d %s", request, got.status, got.body)
			}
		}
		if p.refresh != "" {
			checkGrant(t, "a refresh", s.refresh(p.refresh), ended)
		}
	}
	if got := s.login(goodLogin); got.body != badLogin {
		t.Errorf("the old password: %d %s", got.status, got.body)
	}
}
