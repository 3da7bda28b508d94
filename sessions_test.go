package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// onEveryStore runs test on a server over each kind of store, on which alice and bob
// are registered.
func onEveryStore(t *testing.T, test func(t *testing.T, s *testServer)) {
	for kind, open := range everyStore {
		t.Run(kind, func(t *testing.T) {
			s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.store = open(t) })
			s.register("alice", goodPassword)
			s.register("bob", goodPassword)
			test(t, s)
		})
	}
}

// A pair is the tokens of a session.
type pair struct{ access, refresh string }

func (a answer) tokens() pair { return pair{a.field("access_token"), a.field("refresh_token")} }

// begin logs somebody in.
func (s *testServer) begin(username string) pair {
	s.t.Helper()
	a := s.login("username=" + username + "&password=correct+horse+battery")
	if a.status != 200 {
		s.t.Fatalf("login: %d %s", a.status, a.body)
	}
	return a.tokens()
}

// refresh uses a refresh token.
func (s *testServer) refresh(token string) answer {
	s.t.Helper()
	return s.login(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}.Encode())
}

// revoke sends the body of a revocation.
func (s *testServer) revoke(token string) answer {
	s.t.Helper()
	return s.do("POST", "/revoke", url.Values{"token": {token}}.Encode(), "Content-Type: "+urlEncoded)
}

// as sends a request with an access token and perhaps a JSON body.
func (s *testServer) as(p pair, method, path, body string) answer {
	s.t.Helper()
	return s.do(method, path, body, "Authorization: Bearer "+p.access, "Content-Type: application/json")
}

// invalidGrant is the body of a refresh that failed, to the byte.
func invalidGrant(reason string) string {
	return `{"detail":"` + reason + `","error":"invalid_grant","error_description":"` + reason + `"}`
}

const (
	notValid = "refresh token not valid"
	expired  = "refresh token expired"
	reused   = "refresh token already used; the session has ended"
	ended    = "the session has ended"
)

// checkGrant reports a refresh that was not answered with this reason, or with tokens
// if it is empty.
func checkGrant(t testing.TB, what string, a answer, reason string) {
	t.Helper()
	checkOAuthFailure(t, a)
	if reason == "" && (a.status != 200 || a.tokens().refresh == "") || reason != "" && (a.status != 400 || a.body != invalidGrant(reason)) {
		t.Errorf("%s: %d %s; want the reason %q", what, a.status, a.body, reason)
	}
}

// checkEnded reports tokens that are still good.
func (s *testServer) checkEnded(what string, p pair) {
	s.t.Helper()
	if a := s.me("Authorization: Bearer " + p.access); a.body != badToken {
		s.t.Errorf("%s: the access token is answered %d %s", what, a.status, a.body)
	}
	if a := s.refresh(p.refresh); a.status != 400 {
		s.t.Errorf("%s: the refresh token is answered %d %s", what, a.status, a.body)
	}
}

// checkGood reports tokens that are not good, and returns their successors.
func (s *testServer) checkGood(what string, p pair) pair {
	s.t.Helper()
	if a := s.me("Authorization: Bearer " + p.access); a.status != 200 {
		s.t.Errorf("%s: the access token is answered %d %s", what, a.status, a.body)
	}
	a := s.refresh(p.refresh)
	if a.status != 200 {
		s.t.Errorf("%s: the refresh token is answered %d %s", what, a.status, a.body)
	}
	return a.tokens()
}

// TestRevoke: any token of a session logs it out; everything else is answered alike.
func TestRevoke(t *testing.T) {
	t.Parallel()
	foreign := mint(hs256, `{"sub":"alice","exp":9999999999}`, testSecret)
	for _, tt := range []struct {
		name  string
		token func(s *testServer, first, last pair) string
		out   bool
	}{
		{"the refresh token", func(_ *testServer, _, last pair) string { return last.refresh }, true},
		{"the access token", func(_ *testServer, _, last pair) string { return last.access }, true},
		{"a refresh token that was replaced", func(_ *testServer, first, _ pair) string { return first.refresh }, true},
		{"an older access token", func(_ *testServer, first, _ pair) string { return first.access }, true},
		{"an access token that has expired", func(s *testServer, _, last pair) string {
			s.clock.Advance(time.Hour)
			return last.access
		}, true},
		{"garbage", func(*testServer, pair, pair) string { return "garbage" }, false},
		{"a token without a session", func(*testServer, pair, pair) string { return foreign }, false},
		{"a token that others have signed", func(*testServer, pair, pair) string { return mint(hs256, `{"sub":"alice"}`, testSecret+"x") }, false},
		{"a refresh token with a newline", func(_ *testServer, _, last pair) string { return last.refresh + "\n" }, false},
		{"an access token with a newline", func(_ *testServer, _, last pair) string { return last.access + "\r\n" }, false},
		{"invalid UTF-8", func(*testServer, pair, pair) string { return "\xff\x00" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEveryStore(t, func(t *testing.T, s *testServer) {
				first, other := s.begin("alice"), s.begin("alice")
				last := s.refresh(first.refresh).tokens()
				token := tt.token(s, first, last)
				for range 2 {
					if got := s.revoke(token); got.status != 200 || got.body != "{}" || got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store" {
						t.Errorf("%d %q %v", got.status, got.body, got.header)
					}
				}
				if tt.out {
					s.checkEnded("the session", last)
				} else {
					s.checkGood("the session", last)
				}
				checkGrant(t, "another session", s.refresh(other.refresh), "")
				s.checkLog(first.refresh, last.refresh)
			})
		})
	}
}

func TestRevokeForm(t *testing.T) {
	s := startServer(t)
	s.signUp()
	tokens := s.begin("alice")
	for _, tt := range []struct {
		name, body, contentType string
		status                  int
	}{
		{"no token", "token_type_hint=refresh_token", urlEncoded, 400},
		{"an empty token", "token=", urlEncoded, 400},
		{"nothing", "", urlEncoded, 400},
		{"two tokens", "token=a&token=b", urlEncoded, 400},
		{"a token of 4,097 characters", "token=" + strings.Repeat("a", 4097), urlEncoded, 400},
		{"a broken escape", "token=%zz", urlEncoded, 400},
		{"JSON", `{"token":"a"}`, "application/json", 400},
		{"plain text", "token=a", "text/plain", 400},
		{"66,000 bytes", "token=a&x=" + strings.Repeat("x", 66_000), urlEncoded, 413},
		{"101 fields", "token=a&" + manyFields(100), urlEncoded, 413},
		{"a hint that is wrong", "token=" + tokens.refresh + "&token_type_hint=access_token", urlEncoded, 200},
		{"a hint that nobody knows", "token=a&token_type_hint=x", urlEncoded, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.do("POST", "/revoke", tt.body, "Content-Type: "+tt.contentType)
			if got.status != tt.status {
				t.Errorf("%d %s; want %d", got.status, got.body, tt.status)
			}
			if got.status != 200 && got.field("error") != "invalid_request" {
				t.Errorf("error %q", got.field("error"))
			}
		})
	}
	s.checkEnded("in spite of the wrong hint", tokens)
	if got := s.do("POST", "/revoke?token=x", "", "Content-Type: "+urlEncoded); got.status != 400 {
		t.Errorf("a token in the query: %d", got.status)
	}
}

// TestSessions: people see their sessions and end those that they choose.
func TestSessions(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		phone := s.do("POST", "/token", goodLogin, "Content-Type: "+urlEncoded, "User-Agent: phone <1>").tokens()
		s.clock.Advance(time.Minute)
		laptop, bob := s.begin("alice"), s.begin("bob")
		s.clock.Advance(time.Minute)
		phone = s.refresh(phone.refresh).tokens()

		list := s.sessions(laptop)
		if len(list) != 2 {
			t.Fatalf("the list is %v", list)
		}
		at := func(d time.Duration) string {
			return s.clock.Now().UTC().Truncate(time.Microsecond).Add(d).Format(time.RFC3339Nano)
		}
		want := []object{
			{"created_at": at(-2 * time.Minute), "last_used_at": at(0), "expires_at": at(14 * day), "ip": "127.0.0.1", "user_agent": "phone <1>", "current": false},
			{"created_at": at(-time.Minute), "last_used_at": at(-time.Minute), "expires_at": at(14*day - time.Minute), "ip": "127.0.0.1", "user_agent": "Go-http-client/1.1", "current": true},
		}
		for i, session := range list {
			for name, value := range want[i] {
				if session[name] != value {
					t.Errorf("session %d: %s is %v; want %v", i, name, session[name], value)
				}
			}
		}
		lost, own := list[0]["id"].(string), list[1]["id"].(string)
		for _, step := range []struct {
			name, id string
			as       pair
			status   int
		}{
			{"somebody else's", lost, bob, 404},
			{"one that is not there", newSessionID(), laptop, 404},
			{"a word", "current", laptop, 404},
			{"a NUL", "%00", laptop, 404},
			{"invalid UTF-8", "%ff", laptop, 404},
			{"7,000 characters", strings.Repeat("a", 7000), laptop, 404},
			{"the lost one", lost, laptop, 204},
			{"the lost one again", lost, laptop, 404},
			{"one's own", own, laptop, 204},
		} {
			got := s.as(step.as, "DELETE", "/users/me/sessions/"+step.id, "")
			if got.status != step.status || got.status == 204 && got.body != "" || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s; want %d", step.name, got.status, got.body, step.status)
			}
			if step.id == lost && step.as == laptop {
				s.checkEnded("the lost one", phone)
			}
		}
		s.checkEnded("one's own", laptop)
		s.checkGood("somebody else", bob)
	})
}

// sessions returns the list that one of them sees.
func (s *testServer) sessions(p pair) []object {
	s.t.Helper()
	a := s.as(p, "GET", "/users/me/sessions/", "")
	var list []object
	for _, session := range a.json().([]any) {
		list = append(list, session.(object))
	}
	return list
}

// TestSessionsWithoutSession: a token that was made elsewhere sees the sessions and is
// none of them.
func TestSessionsWithoutSession(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		now := s.clock.Now().Unix() + 1 // after the registration, which was in the middle of a second
		foreign := pair{access: mint(hs256, fmt.Sprintf(`{"sub":"alice","iat":%d,"exp":%d}`, now, now+600), testSecret)}
		if got := s.as(foreign, "GET", "/users/me/sessions/", ""); got.status != 200 || got.body != "[]" {
			t.Errorf("no session: %d %s", got.status, got.body)
		}
		tokens := s.begin("alice")
		if list := s.sessions(foreign); len(list) != 1 || list[0]["current"] != false {
			t.Errorf("the list is %v", list)
		}
		s.clock.Advance(time.Second)
		if got := s.as(foreign, "DELETE", "/users/me/sessions/?keep=current", ""); got.status != 204 {
			t.Errorf("ending the others: %d %s", got.status, got.body)
		}
		s.checkEnded("the others", tokens)
		if got := s.me("Authorization: Bearer " + foreign.access); got.body != badToken {
			t.Errorf("the token made elsewhere: %d %s", got.status, got.body)
		}
	})
}

func TestEndSessions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		query          string
		status         int
		current, other bool // are still good
	}{
		{"", 204, false, false},
		{"?", 204, false, false},
		{"?keep=current", 204, true, false},
		{"?x=y&keep=current", 422, true, true},
		{"?Keep=current", 422, true, true},
		{"?kepp=current", 422, true, true},
		{"?keep=", 422, true, true},
		{"?keep=all", 422, true, true},
		{"?keep=CURRENT", 422, true, true},
		{"?keep=current&keep=current", 422, true, true},
		{"?keep=%63urrent", 204, true, false},
		{"?keep=current&x=%zz", 422, true, true},
		{"?keep=current;x", 422, true, true},
	} {
		t.Run(tt.query, func(t *testing.T) {
			onEveryStore(t, func(t *testing.T, s *testServer) {
				current, other, bob := s.begin("alice"), s.begin("alice"), s.begin("bob")
				got := s.as(current, "DELETE", "/users/me/sessions/"+tt.query, "")
				if got.status != tt.status || got.status == 422 && !strings.Contains(got.body, `"loc":["query","keep"],"msg":"Input should be 'current'"`) {
					t.Errorf("%d %s; want %d", got.status, got.body, tt.status)
				}
				for p, in := range map[pair]bool{current: tt.current, other: tt.other, bob: true} {
					if in {
						s.checkGood("one that stays", p)
					} else {
						s.checkEnded("one that ends", p)
					}
				}
				s.checkGood("a new login", s.begin("alice"))
			})
		})
	}
}

// TestSessionOfToken: a token is good only with its own session, and its own user's,
// whatever it says itself.
func TestSessionOfToken(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		tokens := s.begin("alice")
		id, _, err := s.acc.refreshTokens.parse(tokens.refresh)
		if err != nil {
			t.Fatal(err)
		}
		now := s.clock.Now()
		for _, tt := range []struct {
			name, username, session string
			after                   time.Duration
			want                    string
		}{
			{"the user's", "alice", id, 0, alice},
			{"in capitals", "ALICE", id, 0, badToken},
			{"somebody else's", "bob", id, 0, badToken},
			{"no session's", "alice", newSessionID(), 0, badToken},
			{"in the last second of the session", "alice", id, 14*day - time.Second, alice},
			{"when the session has expired", "alice", id, 14 * day, badToken},
		} {
			s.clock.Advance(now.Add(tt.after).Sub(s.clock.Now()))
			token, err := s.acc.tokens.createAccessToken(tt.username, tt.session, s.clock.Now(), s.clock.Now().Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if got := s.me("Authorization: Bearer " + token); got.body != tt.want {
				t.Errorf("%s: %d %s; want %s", tt.name, got.status, got.body, tt.want)
			}
		}
	})
}

// TestShorterLimits: sessions from before the settings were lowered end as if they had
// begun with them, when they are next refreshed.
func TestShorterLimits(t *testing.T) {
	s := startServer(t)
	s.signUp()
	tokens := s.begin("alice")
	s.clock.Advance(10 * day)
	tokens = s.refresh(tokens.refresh).tokens()
	s.acc.limits.absolute = 20 * day
	s.clock.Advance(10*day - time.Second)
	got := s.refresh(tokens.refresh)
	checkGrant(t, "a second before the new limit", got, "")
	s.clock.Advance(time.Second)
	checkGrant(t, "at the new limit", s.refresh(got.tokens().refresh), expired)
	s.acc.limits.absolute = 5 * day
	younger := s.begin("alice")
	s.acc.limits.absolute = day
	s.clock.Advance(day)
	checkGrant(t, "stored for longer than the new limit", s.refresh(younger.refresh), expired)
}

// TestClientHangsUp: what somebody has asked for is done, even if they do not wait for
// the answer.
func TestClientHangsUp(t *testing.T) {
	const form, object = "application/x-www-form-urlencoded", "application/json"
	for _, tt := range []struct {
		name, pattern, contentType string
		body                       func(tokens issuedTokens) string
		out                        bool // the session has ended
	}{
		{"a refresh", "POST /token", form, func(tokens issuedTokens) string {
			return "grant_type=refresh_token&refresh_token=" + tokens.RefreshToken
		}, false},
		{"a log-out", "POST /revoke", form, func(tokens issuedTokens) string { return "token=" + tokens.RefreshToken }, true},
		{"an end", "DELETE /users/me/sessions/{id}", "", nil, true},
		{"an end of all", "DELETE /users/me/sessions/", "", nil, true},
		{"a change of the password", "POST /users/me/password", object, func(issuedTokens) string {
			return fmt.Sprintf(`{"current_password": %q, "new_password": %q}`, goodPassword, newPassword)
		}, true},
		{"a change of the address", "PATCH /users/me/", object, func(issuedTokens) string { return `{"email": null}` }, false},
		{"a deletion", "DELETE /users/me/", "", nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			acc := quietAccounts(t, newMemStore())
			if _, err := acc.register(t.Context(), newUser{Username: "alice", Password: goodPassword}, client{}); err != nil {
				t.Fatal(err)
			}
			tokens := mustLogin(t, acc, credentials{"alice", goodPassword})
			_, s, err := acc.currentUser(t.Context(), tokens.AccessToken)
			if err != nil {
				t.Fatal(err)
			}
			own := mustLogin(t, acc, credentials{"alice", goodPassword})
			gone, hangUp := context.WithCancel(t.Context())
			hangUp()
			method, path, _ := strings.Cut(strings.ReplaceAll(tt.pattern, "{id}", s.ID), " ")
			body := ""
			if tt.body != nil {
				body = tt.body(tokens)
			}
			r := httptest.NewRequestWithContext(gone, method, path, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+own.AccessToken)
			r.Header.Set("Content-Type", tt.contentType)
			w := httptest.NewRecorder()
			newHandler(edgeSettings{}, acc, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
			if w.Code/100 != 2 {
				t.Errorf("it is not done: %d %s", w.Code, w.Body)
			}
			if anyGood(t.Context(), acc, tokens) == tt.out {
				t.Errorf("the session has ended: %v; want %v", !tt.out, tt.out)
			}
		})
	}
}

// TestEndedWhileSending: a session that ends while somebody is slow to send the body of a
// request changes nothing any more.
func TestEndedWhileSending(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		thief, owner := s.begin("alice"), s.begin("alice")
		body, rest := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), "PATCH", s.URL+"/users/me/", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+thief.access)
		r.Header.Set("Content-Type", "application/json")
		answered := make(chan int)
		go func() {
			resp, err := testClient.Do(r)
			if err != nil {
				t.Error(err)
				close(answered)
				return
			}
			defer resp.Body.Close()
			answered <- resp.StatusCode
		}()
		io.WriteString(rest, `{"email":`) // returns when it has been sent
		if got := s.as(owner, "DELETE", "/users/me/sessions/?keep=current", ""); got.status != 204 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		io.WriteString(rest, `"thief@example.com"}`)
		rest.Close()
		if status := <-answered; status != 401 {
			t.Errorf("the thief's change: %d", status)
		}
		if got := s.as(owner, "GET", "/users/me/", ""); got.body != alice {
			t.Errorf("the owner is %s", got.body)
		}
	})
}

func TestIsRecent(t *testing.T) {
	const d = time.Minute
	for _, tt := range []struct {
		name string
		age  time.Duration
		want bool
	}{
		{"now", 0, true},
		{"a moment before it is over", d - 1, true},
		{"when it is over", d, false},
		{"long ago", 400 * day, false},
		{"by a clock that is ahead by the skew", -clockSkew, true},
		{"by a clock that is a moment further ahead", -clockSkew - 1, false},
		{"by a clock that has gone back by years", -4000 * day, false},
	} {
		if got := isRecent(testTime, testTime.Add(tt.age), d); got != tt.want {
			t.Errorf("%s: %v; want %v", tt.name, got, tt.want)
		}
	}
	if isRecent(time.Time{}, testTime, d) || isRecent(testTime, time.Time{}, d) {
		t.Error("a difference that no duration can hold is recent")
	}
}

// TestFreshLoginClock: a login of long ago does not get fresh again when the clock goes
// back.
func TestFreshLoginClock(t *testing.T) {
	s := startServer(t)
	s.signUp()
	u, session, err := s.acc.currentUser(t.Context(), s.begin("alice").access)
	if err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(-time.Hour)
	if err := s.acc.deleteUser(t.Context(), u, session, client{}); !errors.Is(err, errStaleLogin) {
		t.Errorf("%v; want errStaleLogin", err)
	}
	s.clock.Advance(time.Hour)
	if err := s.acc.deleteUser(t.Context(), u, session, client{}); err != nil {
		t.Errorf("by the right time: %v", err)
	}
}

// TestSessionListLength: how many sessions the list has, and which. The one that asks is
// among them, whether it was used of late or not.
func TestSessionListLength(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		first := s.begin("alice")
		u, own, err := s.acc.currentUser(t.Context(), first.access)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 129 {
			used := s.clock.Now().Add(time.Duration(i+1) * time.Second)
			begun := Session{ID: newSessionID(), UserID: u.ID, CreatedAt: used, LastUsedAt: used, ExpiresAt: used.Add(day)}
			if err := s.acc.store.CreateSession(t.Context(), begun, u.PasswordHash, maxSessions); err != nil {
				t.Fatal(err)
			}
		}
		foreign := pair{access: mint(hs256, fmt.Sprintf(`{"sub":"alice","iat":%d,"exp":%d}`, s.clock.Now().Unix()+1, s.clock.Now().Unix()+600), testSecret)}
		for _, tt := range []struct {
			query  string
			length int
		}{
			{"", 100}, {"?", 100}, {"?limit=100", 100}, {"?limit=1", 1}, {"?limit=2", 2}, {"?limit=129", 129},
			{"?limit=130", 130}, {"?limit=131", 130}, {"?limit=1000", 130}, {"?Limit=5", 100}, {"?keep=current&x=%zz", 100},
		} {
			get := func(p pair) []any {
				got := s.as(p, "GET", "/users/me/sessions/"+tt.query, "")
				list, _ := got.json().([]any)
				if got.status != 200 || len(list) != tt.length {
					t.Errorf("%q: %d with %d sessions; want %d", tt.query, got.status, len(list), tt.length)
				}
				for i := 1; i < len(list); i++ {
					if list[i-1].(object)["last_used_at"].(string) < list[i].(object)["last_used_at"].(string) {
						t.Fatalf("%q: number %d was used later than the one before", tt.query, i)
					}
				}
				return list
			}
			list := get(first)
			if last := list[len(list)-1].(object); last["id"] != own.ID || last["current"] != true {
				t.Errorf("%q: the last is %v; want the one that asks", tt.query, last)
			}
			list = get(foreign)
			if last := list[len(list)-1].(object); last["id"] == "" || (last["id"] == own.ID) != (tt.length == 130) {
				t.Errorf("%q: to a token without a session the last is %v", tt.query, last)
			}
		}
		s.refresh(first.refresh) // by the frozen clock, which is no later
		s.clock.Advance(time.Hour)
		now := s.refresh(s.begin("alice").refresh).tokens()
		if list := s.sessions(now); len(list) != 100 || list[0]["current"] != true {
			t.Errorf("the one that was used last: %v", list[0])
		}
	})
}

// TestSessionListLimit: what may stand in the query, in pydantic's words.
func TestSessionListLimit(t *testing.T) {
	s := startServer(t)
	s.signUp()
	tokens := s.begin("alice")
	const (
		noInteger = `{"type":"int_parsing","loc":["query","limit"],"msg":"Input should be a valid integer, unable to parse string as an integer"}`
		tooSmall  = `{"type":"greater_than_equal","loc":["query","limit"],"msg":"Input should be greater than or equal to 1","ctx":{"ge":1}}`
		tooLarge  = `{"type":"less_than_equal","loc":["query","limit"],"msg":"Input should be less than or equal to 1000","ctx":{"le":1000}}`
	)
	for _, tt := range []struct{ query, want string }{
		{"limit=1", ""}, {"limit=1000", ""}, {"limit=+5", ""}, {"limit=%2B5", ""}, {"limit=007", ""}, {"limit=%205%20", ""},
		{"%6cimit=5", ""}, {"limit=0&limit=5", ""}, {"x=%zz&limit=5;&limit=5", ""}, {"limits=0", ""},
		{"limit", noInteger}, {"limit=", noInteger}, {"limit=+", noInteger}, {"limit=ten", noInteger}, {"limit=1e2", noInteger},
		{"limit=10.5", noInteger}, {"limit=0x10", noInteger}, {"limit=5;x", noInteger}, {"limit=5;", noInteger}, {"limit=%zz", noInteger},
		{"limit=%00", noInteger}, {"limit=%FF", noInteger}, {"limit=%D9%A3", noInteger}, {"limit=null", noInteger}, {"limit=5,6", noInteger},
		{"limit=" + strings.Repeat("x", 7000), noInteger}, {"limit=5&limit=x", noInteger},
		{"limit=0", tooSmall}, {"limit=-0", tooSmall}, {"limit=-1", tooSmall}, {"limit=-99999999999999999999", tooSmall}, {"limit=5&limit=0", tooSmall},
		{"limit=1001", tooLarge}, {"limit=99999999999999999999", tooLarge}, {"limit=" + strings.Repeat("9", 7000), tooLarge},
	} {
		got := s.as(tokens, "GET", "/users/me/sessions/?"+tt.query, "")
		if tt.want == "" && got.status != 200 || tt.want != "" && (got.status != 422 || got.body != `{"detail":[`+tt.want+`]}`) {
			t.Errorf("%.40s: %d %s; want %s", tt.query, got.status, got.body, tt.want)
		}
	}
	if got := s.do("GET", "/users/me/sessions/?limit=x", ""); got.body != notAuthenticated {
		t.Errorf("without a token: %d %s", got.status, got.body)
	}
}

// FuzzLimit: whatever the query, the limit is one of those that may be, or the error says
// of what it is.
func FuzzLimit(f *testing.F) {
	for _, query := range []string{"", "limit=5", "limit=0&limit=1000", "limit=-1", "limit=%31", "limit=%zz", "a;b&limit", "&&=&limit=x"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		n, err := parseLimit(query)
		bad, isField := errors.AsType[fieldErrors](err)
		if err == nil && (n < 1 || n > maxSessionsShown) || err != nil && (!isField || len(bad) != 1 || n != 0) {
			t.Errorf("%q: %d, %v", query, n, err)
		}
		values, err := url.ParseQuery(query)
		if err == nil && !values.Has("limit") && n != sessionsShown {
			t.Errorf("%q, without a limit: %d", query, n)
		}
	})
}

// TestSessionLimit: with as many sessions as may be, a login ends the one that was unused
// for longest, and no other.
func TestSessionLimit(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.signUp()
	oldest, second, bob := s.begin("alice"), s.begin("alice"), pair{}
	s.register("bob", goodPassword)
	bob = s.begin("bob")
	s.clock.Advance(time.Second)
	u, err := s.acc.store.UserByKey(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	for range maxSessions - 3 { // sign-up has begun one too
		now := s.clock.Now()
		begun := Session{ID: newSessionID(), UserID: u.ID, CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(day)}
		if err := s.acc.store.CreateSession(t.Context(), begun, u.PasswordHash, maxSessions); err != nil {
			t.Fatal(err)
		}
	}
	length := func(p pair) int {
		list, _ := s.as(p, "GET", "/users/me/sessions/?limit=1000", "").json().([]any)
		return len(list)
	}
	if n := length(oldest); n != maxSessions {
		t.Fatalf("%d sessions; want %d", n, maxSessions)
	}
	s.clock.Advance(time.Second)
	oldest = s.checkGood("the oldest, which is used now", oldest)
	newest := oldest
	for range 2 {
		newest = s.begin("alice")
		if n := length(newest); n != maxSessions {
			t.Errorf("after a login %d sessions; want %d", n, maxSessions)
		}
	}
	s.checkEnded("the one that was unused for longest", second)
	s.checkGood("the newest", newest)
	s.checkGood("the oldest, which was used", oldest)
	s.checkGood("another user", bob)
}

// TestEndOthersTogether: of two sessions that end all others at the same moment one is
// left, or none; and who has ended the other knows.
func TestEndOthersTogether(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		for range 10 {
			both := []pair{s.begin("alice"), s.begin("alice")}
			statuses := make([]int, len(both))
			var all sync.WaitGroup
			for i, p := range both {
				all.Go(func() { statuses[i] = s.as(p, "DELETE", "/users/me/sessions/?keep=current", "").status })
			}
			all.Wait()
			left := 0
			for i, p := range both {
				if statuses[i] != 204 && statuses[i] != 401 {
					t.Errorf("answered %d; want 204 or 401", statuses[i])
				}
				if got := s.me("Authorization: Bearer " + p.access); got.status == 200 {
					left++
				}
			}
			if left > 1 || statuses[0] == 401 && statuses[1] == 401 {
				t.Errorf("%d are left, after %v; want one at most", left, statuses)
			}
			s.checkGood("a new login", s.begin("alice"))
		}
	})
}

// reregistering is a store in which an account is deleted, and its name registered anew by
// somebody with the same password, when its old owner wants to change that.
type reregistering struct {
	store
	anew User
}

func (r reregistering) UpdateUser(ctx context.Context, userID int64, change userChange) (User, error) {
	if err := r.DeleteUser(ctx, userID); err == nil {
		if _, err := r.CreateUser(ctx, r.anew); err != nil {
			return User{}, err
		}
	}
	return r.store.UpdateUser(ctx, userID, change)
}

// TestUpdatePasswordWhileReregistered: somebody whose account is deleted meanwhile does
// not change the password of the person who has the name now.
func TestUpdatePasswordWhileReregistered(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		tokens, users := s.begin("alice"), s.acc.store
		anew, err := users.UserByKey(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		s.acc.store = reregistering{users, anew}
		if got := s.as(tokens, "POST", "/users/me/password", changeTo(goodPassword, newPassword)); got.body != badToken {
			t.Errorf("%d %s; want %s", got.status, got.body, badToken)
		}
		s.acc.store = users
		if hash := s.hashOf(t, "alice"); hash != anew.PasswordHash {
			t.Error("the password of the new person has changed")
		}
	})
}

// TestSessionListsWaitForEachOther: a list that finds no place is 503 after a while, and
// nobody else has to wait.
func TestSessionListsWaitForEachOther(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.register("alice", "correct horse battery")
	p := s.begin("alice")
	s.acc.lists = newQueue(1)
	if err := s.acc.lists.enter(nil); err != nil {
		t.Fatal(err)
	}
	if got := s.as(p, "GET", "/users/me/", ""); got.status != 200 {
		t.Errorf("another request gets %d", got.status)
	}
	if got := s.as(p, "GET", "/users/me/sessions/", ""); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("a list gets %d %v; want 503", got.status, got.header)
	}
	s.acc.lists.leave()
	if got := s.as(p, "GET", "/users/me/sessions/", ""); got.status != 200 {
		t.Errorf("with a place it gets %d", got.status)
	}
}
