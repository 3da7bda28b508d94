package main

import (
	"context"
	"errors"
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
			token, err := s.acc.tokens.createAccessToken(grant{User: User{Username: tt.username}, SessionID: tt.session}, s.clock.Now(), s.clock.Now().Add(time.Hour))
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
	who, err := s.acc.currentUser(t.Context(), s.begin("alice").access)
	if err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(-time.Hour)
	if err := s.acc.deleteOwnAccount(t.Context(), who.User, who.Session, client{}); !errors.Is(err, errStaleLogin) {
		t.Errorf("%v; want errStaleLogin", err)
	}
	s.clock.Advance(time.Hour)
	if err := s.acc.deleteOwnAccount(t.Context(), who.User, who.Session, client{}); err != nil {
		t.Errorf("by the right time: %v", err)
	}
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
