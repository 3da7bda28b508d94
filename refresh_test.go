package main

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRefresh follows a session for weeks: each refresh gives another refresh token and
// an access token that is good.
func TestRefresh(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		tokens := s.begin("alice")
		seen := map[string]bool{tokens.refresh: true, tokens.access: true}
		for n := range 29 {
			s.clock.Advance(24 * time.Hour)
			if got := s.me("Authorization: Bearer " + tokens.access); got.body != badToken {
				t.Errorf("day %d: yesterday's access token: %s", n, got.body)
			}
			tokens = s.refresh(tokens.refresh).tokens()
			if got := s.me("Authorization: Bearer " + tokens.access); got.body != alice || seen[tokens.refresh] || seen[tokens.access] {
				t.Fatalf("day %d: %d %s", n, got.status, got.body)
			}
			seen[tokens.refresh], seen[tokens.access] = true, true
		}
		s.checkLog(slices.Collect(maps.Keys(seen))...)
	})
}

// TestRefreshLife: a session ends when it was not used for long, and long after its
// login, to the second.
func TestRefreshLife(t *testing.T) {
	t.Parallel()
	const idle, most = 14 * day, 30 * day
	for _, tt := range []struct {
		name   string
		steps  []time.Duration // from one use to the next
		reason string          // of the last
	}{
		{"at once", []time.Duration{0}, ""},
		{"unused for a second less than allowed", []time.Duration{idle - time.Second}, ""},
		{"unused for as long as allowed", []time.Duration{idle}, expired},
		{"unused for a second more than allowed", []time.Duration{idle + time.Second}, expired},
		{"unused again, a second less than allowed", []time.Duration{idle - time.Second, idle - time.Second}, ""},
		{"unused again for as long as allowed", []time.Duration{day, idle}, expired},
		{"a second before the end", []time.Duration{13 * day, 13 * day, 4*day - time.Second}, ""},
		{"at the end", []time.Duration{13 * day, 13 * day, 4 * day}, expired},
		{"a second after the end", []time.Duration{13 * day, 13 * day, 4*day + time.Second}, expired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEveryStore(t, func(t *testing.T, s *testServer) {
				token := s.begin("alice").refresh
				for i, step := range tt.steps {
					s.clock.Advance(step)
					got, reason := s.refresh(token), ""
					if i == len(tt.steps)-1 {
						reason = tt.reason
					}
					checkGrant(t, step.String(), got, reason)
					token = got.tokens().refresh
				}
			})
		})
	}
}

// TestRefreshSwept: once an expired session is deleted, its token is answered that it has
// ended.
func TestRefreshSwept(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		tokens := s.begin("alice")
		s.clock.Advance(14 * day)
		if n, err := s.acc.store.DeleteExpiredSessions(t.Context(), s.clock.Now(), 9); n != 1 || err != nil {
			t.Fatalf("deleted %d, %v; want 1", n, err)
		}
		checkGrant(t, "after the sweep", s.refresh(tokens.refresh), ended)
		checkGrant(t, "a new login", s.refresh(s.begin("alice").refresh), "")
	})
}

// TestAccessTokenEndsWithSession: no access token says that it lives longer than its
// session.
func TestAccessTokenEndsWithSession(t *testing.T) {
	s := startServer(t)
	s.signUp()
	tokens := s.begin("alice")
	for _, step := range []time.Duration{13 * day, 13 * day, 4*day - 10*time.Minute} {
		s.clock.Advance(step)
		got := s.refresh(tokens.refresh)
		tokens = got.tokens()
		if step == 13*day {
			continue
		}
		if got.json().(map[string]any)["expires_in"] != float64(600) {
			t.Errorf("ten minutes before the end: %s", got.body)
		}
	}
	s.clock.Advance(10*time.Minute - time.Second)
	if got := s.me("Authorization: Bearer " + tokens.access); got.body != alice {
		t.Errorf("in its last second: %s", got.body)
	}
	if got := s.refresh(tokens.refresh); got.json().(map[string]any)["expires_in"] != float64(1) {
		t.Errorf("a refresh in the last second: %s", got.body)
	}
	s.clock.Advance(time.Second - time.Millisecond)
	got := s.refresh(tokens.refresh)
	if got.json().(map[string]any)["expires_in"] != float64(1) || s.me("Authorization: Bearer "+got.tokens().access).body != alice {
		t.Errorf("a refresh in the last moment: %s", got.body)
	}
	s.clock.Advance(time.Millisecond)
	for _, token := range []string{tokens.access, got.tokens().access} {
		if got := s.me("Authorization: Bearer " + token); got.body != badToken {
			t.Errorf("after the end: %s", got.body)
		}
	}
}

// TestRefreshTheft: of a chain of tokens an older one comes back. Its session is over,
// in the store too, and the user's others are not.
func TestRefreshTheft(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		chain, other, bob := []pair{s.begin("alice")}, s.begin("alice"), s.begin("bob")
		for range 9 {
			chain = append(chain, s.refresh(chain[len(chain)-1].refresh).tokens())
		}
		checkGrant(t, "the third of ten, at once", s.refresh(chain[3].refresh), reused)
		for _, p := range chain {
			s.checkEnded("a token of the chain", p)
		}
		u, err := s.acc.store.UserByKey(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		if left, err := s.acc.store.Sessions(t.Context(), u.ID, s.clock.Now(), 9); err != nil || len(left) != 1 {
			t.Errorf("the store has %+v, %v; want the other session", left, err)
		}
		s.checkGood("another session of the user", other)
		s.checkGood("another user", bob)
		s.checkGood("a new login", s.begin("alice"))
		if n := strings.Count(s.log.String(), `"level":"WARN","msg":"authn_token_reuse","username":"alice"`); n != 1 {
			t.Errorf("the log warns of the theft %d times; want once", n)
		}
		s.checkLog(chain[0].refresh, chain[9].refresh)
	})
}

// TestRefreshTogether: of fifty who use one token at once all get the same successor,
// and the session has gone one step; without a grace one gets it, and the session ends.
func TestRefreshTogether(t *testing.T) {
	for _, grace := range []time.Duration{10 * time.Second, 0} {
		t.Run(grace.String(), func(t *testing.T) {
			onEveryStore(t, func(t *testing.T, s *testServer) {
				s.acc.limits.grace = grace
				first := s.begin("alice")
				answers := make(chan answer, 50)
				var all sync.WaitGroup
				for range 50 {
					all.Go(func() { answers <- s.refresh(first.refresh) })
				}
				all.Wait()
				close(answers)
				successors, winners := make(map[string]pair), 0
				for a := range answers {
					if a.status == 200 {
						winners++
						successors[a.tokens().refresh] = a.tokens()
					} else if grace > 0 || a.status != 400 {
						t.Errorf("%d %s", a.status, a.body)
					}
				}
				if len(successors) != 1 || grace == 0 && winners != 1 {
					t.Fatalf("%d have got %d successors", winners, len(successors))
				}
				for _, p := range successors {
					if _, generation, err := s.acc.refreshTokens.parse(p.refresh); err != nil || generation != 1 {
						t.Errorf("the successor is of generation %d, %v", generation, err)
					}
					if grace == 0 {
						s.checkEnded("the one successor", p)
					} else {
						s.checkGood("the one successor", p)
					}
				}
			})
		})
	}
}

// TestRefreshForm: what may stand in the form. Each bad row is one step from the good
// one, and costs nobody the session.
func TestRefreshForm(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		tokens := s.begin("alice")
		unknown, err := s.acc.refreshTokens.token(newSessionID(), 0)
		if err != nil {
			t.Fatal(err)
		}
		id, _, _ := s.acc.refreshTokens.parse(tokens.refresh)
		ahead, err := s.acc.refreshTokens.token(id, 5)
		if err != nil {
			t.Fatal(err)
		}
		form := func(token string) string { return "grant_type=refresh_token&refresh_token=" + url.QueryEscape(token) }
		for _, tt := range []struct {
			name, body string
			status     int
			contains   string
		}{
			{"an access token", form(tokens.access), 400, invalidGrant(notValid)},
			{"cut", form(tokens.refresh[:74]), 400, invalidGrant(notValid)},
			{"a character more", form(tokens.refresh + "A"), 400, invalidGrant(notValid)},
			{"doubled", form(tokens.refresh + tokens.refresh), 400, invalidGrant(notValid)},
			{"in capitals", form(strings.ToUpper(tokens.refresh)), 400, invalidGrant(notValid)},
			{"another first character", form(otherFirst(tokens.refresh)), 400, invalidGrant(notValid)},
			{"padding", form(tokens.refresh + "="), 400, invalidGrant(notValid)},
			{"a newline behind", form(tokens.refresh + "\n"), 400, invalidGrant(notValid)},
			{"CR and LF behind", form(tokens.refresh + "\r\n"), 400, invalidGrant(notValid)},
			{"a space behind", form(tokens.refresh + " "), 400, invalidGrant(notValid)},
			{"not UTF-8", form("\xff"), 400, invalidGrant(notValid)},
			{"a NUL", form("\x00"), 400, invalidGrant(notValid)},
			{"4,096 characters", form(strings.Repeat("A", 4096)), 400, invalidGrant(notValid)},
			{"of a session that never was", form(unknown), 400, invalidGrant(ended)},
			{"of a generation that is to come", form(ahead), 400, invalidGrant(notValid)},
			{"4,097 characters", form(strings.Repeat("A", 4097)), 400, `"error":"invalid_request"`},
			{"60,000 characters", form(strings.Repeat("A", 60_000)), 400, `"error":"invalid_request"`},
			{"none", "grant_type=refresh_token", 400, `"error":"invalid_request","error_description":"Malformed form: the field refresh_token is missing"`},
			{"an empty one", "grant_type=refresh_token&refresh_token=", 400, `"error":"invalid_request"`},
			{"two", form(tokens.refresh) + "&refresh_token=" + tokens.refresh, 400, `"error":"invalid_request"`},
			{"the grant twice", "grant_type=refresh_token&" + form(tokens.refresh), 400, `"error":"invalid_request"`},
			{"the name of the grant in capitals, which is a login", "GRANT_TYPE=refresh_token&refresh_token=" + tokens.refresh, 422, `["body","username"]`},
			{"a broken escape", form(tokens.refresh) + "&x=%zz", 400, `"error":"invalid_request"`},
			{"a scope twice", form(tokens.refresh) + "&scope=a&scope=a", 400, `"error":"invalid_request"`},
			{"no grant, which is a login", "refresh_token=" + tokens.refresh, 422, `["body","username"]`},
			{"the grant of a login", "grant_type=password&refresh_token=" + tokens.refresh, 422, `["body","username"]`},
			{"another grant", "grant_type=refresh-token&refresh_token=" + tokens.refresh, 400, `"error":"unsupported_grant_type","error_description":"Unsupported grant_type; want password, refresh_token or client_credentials"`},
			{"the good one", form(tokens.refresh), 200, `"refresh_token":"`},
			{"the good one, with an empty scope and a client", form(tokens.refresh) + "&scope=&client_id=a&client_secret=b", 200, `"refresh_token":"`},
			{"the good one, with a wrong password", form(tokens.refresh) + "&username=alice&password=x", 200, `"refresh_token":"`},
		} {
			t.Run(tt.name, func(t *testing.T) {
				got := s.login(tt.body)
				if got.status != tt.status || !strings.Contains(got.body, tt.contains) {
					t.Errorf("%d %s, want %d with %s", got.status, got.body, tt.status, tt.contains)
				}
				checkOAuthFailure(t, got)
			})
		}
		s.checkLog(tokens.refresh)
	})
}

// otherFirst returns text with another first character.
func otherFirst(text string) string {
	if text[0] == 'A' {
		return "B" + text[1:]
	}
	return "A" + text[1:]
}

// TestRefreshElsewhere: a refresh token counts nowhere but in the form, which may be
// written in two ways.
func TestRefreshElsewhere(t *testing.T) {
	s := startServer(t)
	s.signUp()
	token := s.begin("alice").refresh
	form := "grant_type=refresh_token&refresh_token=" + token
	for _, tt := range []struct {
		name               string
		path, body, header string
		status             int
	}{
		{"in the query", "/token?" + form, "", "Content-Type: " + urlEncoded, 422},
		{"in the query, the grant in the form", "/token?" + form, "grant_type=refresh_token", "Content-Type: " + urlEncoded, 400},
		{"as JSON", "/token", `{"grant_type":"refresh_token","refresh_token":"` + token + `"}`, "Content-Type: application/json", 422},
		{"as plain text", "/token", form, "Content-Type: text/plain", 422},
		{"without a type", "/token", form, "X-Nothing: x", 422},
		{"compressed, as it says", "/token", form, "Content-Encoding: gzip", 415},
		{"as a file", "/token", multipartBody(field("grant_type", "refresh_token"), part{`Content-Disposition: form-data; name="refresh_token"; filename="x"`, token}), "Content-Type: " + multipartType, 400},
		{"as multipart", "/token", multipartBody(field("grant_type", "refresh_token"), field("refresh_token", token)), "Content-Type: " + multipartType, 200},
		{"as a form, under another credential", "/token", form, "Content-Type: " + urlEncoded + "\nAuthorization: Bearer x", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := s.do("POST", tt.path, tt.body, strings.Split(tt.header, "\n")...); got.status != tt.status {
				t.Errorf("%d %s; want %d", got.status, got.body, tt.status)
			}
		})
	}
	for _, header := range []string{"Bearer " + token, "Refresh " + token} {
		if got := s.me("Authorization: " + header); got.status != 401 {
			t.Errorf("as an access token: %d %s", got.status, got.body)
		}
	}
	s.checkLog(token)
}
