package main

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestScopeOfNobody: a user without scopes may ask for some in a login, and again in its refreshes. The
// answer says that there are none, and has no such member if none was asked for.
func TestScopeOfNobody(t *testing.T) {
	for _, tt := range []struct {
		name, login, refresh   string
		loginSays, refreshSays any // nil: it says nothing
	}{
		{"none", "", "", nil, nil},
		{"in both", "&scope=read", "&scope=read", "", ""},
		{"in the login only", "&scope=read", "", "", nil},
		{"in the refresh only", "", "&scope=read", nil, ""},
		{"several, as OAuth writes them", "&scope=read+write", "&scope=write+read", "", ""},
		{"several, as others write them", "&scope=read,write%09x", "&scope=%22", "", ""},
		{"one that is not ASCII", "&scope=%EC%9D%BD%EA%B8%B0", "&scope=%FF", "", ""},
		{"an empty one", "&scope=", "&scope=", nil, nil},
		{"one of spaces", "&scope=+", "&scope=++%09", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startServer(t)
			s.signUp()
			login := s.login(goodLogin + tt.login)
			check := func(what string, a answer, says any) {
				t.Helper()
				got, there := a.json().(object)["scope"]
				if a.status != 200 || there != (says != nil) || got != says {
					t.Errorf("%s: %d %s; want the scope %v", what, a.status, a.body, says)
				}
			}
			check("the login", login, tt.loginSays)
			form := "grant_type=refresh_token&refresh_token=" + login.tokens().refresh + tt.refresh
			check("the refresh", s.login(form), tt.refreshSays)
			check("the same again, within the grace", s.login(form), tt.refreshSays)
		})
	}
}

// TestNarrowing: a session may do what its login has asked for and its user is granted at the moment.
// The answers, the tokens and /verify agree on that.
func TestNarrowing(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "admin read")
		for _, tt := range []struct {
			name, asked string
			first       string // with admin and read
			then        string // with read and write
		}{
			{"nothing", "", "admin read", "read write"},
			{"an empty scope, as forms send it", "&scope=", "admin read", "read write"},
			{"spaces", "&scope=+++", "admin read", "read write"},
			{"less", "&scope=read", "read", "read"},
			{"more", "&scope=write+read+root", "read", "read write"},
			{"something else", "&scope=openid+offline_access", "", ""},
			{"what cannot be a scope", "&scope=%22", "", ""},
			{"what cannot be one, and one", "&scope=read,write+%22+admin+%EC%9D%BD", "admin", ""},
			{"any, which is none", "&scope=any", "", ""},
			{"the same several times", "&scope=read+read%09read", "read", "read"},
			{"other letters", "&scope=READ+Admin", "", ""},
			{"60,000 others first", "&scope=" + strings.Repeat("x+", 30_000) + "read", "read", "read"},
			{"many others first", "&scope=" + strings.ReplaceAll(scopeList(99), ",", "+") + "+read", "read", "read"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				s.grant("alice", "admin read")
				login := s.login(goodLogin + tt.asked)
				p := s.checkScope(t, "the login", login, tt.first)
				s.grant("alice", "read write")
				s.checkVerified(t, p, tt.then)
				refresh := "grant_type=refresh_token&refresh_token=" + p.refresh
				p = s.checkScope(t, "the refresh", s.login(refresh+tt.asked), tt.then)
				s.checkScope(t, "the same refresh without a scope", s.login(refresh), tt.then)
				s.grant("alice", "admin read")
				s.checkScope(t, "another refresh", s.login("grant_type=refresh_token&refresh_token="+p.refresh), tt.first)
			})
		}
	})
}

// checkScope checks which scopes an answer of /token says, its token carries, and /verify sees.
func (s *testServer) checkScope(t *testing.T, what string, a answer, want string) pair {
	t.Helper()
	p := a.tokens()
	if a.status != 200 || p.access == "" || a.field("scope") != want {
		t.Fatalf("%s: %d %s; want the scope %q", what, a.status, a.body, want)
	}
	claims := claimsOf(t, p.access)
	roles, _ := claims["roles"].([]any)
	if scope, _ := claims["scope"].(string); scope != want || len(roles) != len(strings.Fields(want)) {
		t.Errorf("%s: the token says %v; want %q", what, claims, want)
	}
	s.checkVerified(t, p, want)
	return p
}

func (s *testServer) checkVerified(t *testing.T, p pair, want string) {
	t.Helper()
	if a := s.ask("/verify", p.access); a.header.Get("Remote-Groups") != strings.ReplaceAll(want, " ", ",") {
		t.Errorf("/verify: %d %v; want %q", a.status, a.header, want)
	}
}

// TestNarrowedAdministrator: a session that has not asked for admin is that of no administrator.
func TestNarrowedAdministrator(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "admin read")
		for scope, want := range map[string]int{"": 200, "admin": 200, "read admin": 200, "read": 403, "openid": 403, "Admin": 403} {
			p := s.login(goodLogin + "&scope=" + url.QueryEscape(scope)).tokens()
			for _, path := range []string{"/users/", "/users/bob/", "/events/", "/users/bob/sessions/"} {
				if a := s.as(p, "GET", path, ""); a.status != want {
					t.Errorf("%q: %s: %d %s; want %d", scope, path, a.status, a.body, want)
				}
			}
			a := s.as(p, "PATCH", "/users/bob/", `{"scopes":["root"]}`)
			if a.status != want {
				t.Errorf("%q: scopes for bob: %d %s; want %d", scope, a.status, a.body, want)
			}
			a = s.as(p, "POST", "/users/me/keys/", `{"name":"job","scope":"admin"}`)
			if key := a.field("key"); (key != "") != (want == 200) || key == "" && a.status != 422 {
				t.Errorf("%q: an API key for admin: %d %s", scope, a.status, a.body)
			}
			name := "new" + fmt.Sprint(len(scope))
			a = s.as(p, "POST", "/users/", `{"username":"`+name+`","password":"`+goodPassword+`","scopes":["root"]}`)
			u, err := s.acc.userByName(t.Context(), name)
			if a.status == 200 && (err != nil || (u.Scopes == "root") != (want == 200)) {
				t.Errorf("%q: a new user: %d %s, who may do %q", scope, a.status, a.body, u.Scopes)
			}
			if a := s.as(p, "GET", "/users/me/", ""); a.body != alice {
				t.Errorf("%q: GET /users/me/: %d %s", scope, a.status, a.body)
			}
		}
	})
}

// TestRefreshWithNewScope: a refresh that asks for more than the login is refused, and the session goes
// on with the same refresh token.
func TestRefreshWithNewScope(t *testing.T) {
	t.Parallel()
	const refused = `{"detail":"the login did not ask for this scope; want what it asked for, or no scope","error":"invalid_scope","error_description":"the login did not ask for this scope; want what it asked for, or no scope"}`
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "admin read write")
		for _, tt := range []struct {
			name, login, refresh string
			ok                   bool
		}{
			{"another one", "read", "admin", false},
			{"one more", "read", "read admin", false},
			{"one more that nobody has", "read", "read openid", false},
			{"some after a login for nothing that is one", `"`, "read", false},
			{"the same", "read", "read", true},
			{"less", "read write", "write", true},
			{"the same, which is not granted", "read openid", "openid read", true},
			{"what cannot be a scope", "read", `read "`, true},
			{"any, which is none", "read", "any", true},
			{"some after a login for none", "", "read", true},
			{"as many as can be kept, and one more", strings.ReplaceAll(scopeList(33), ",", " "), strings.ReplaceAll(scopeList(33), ",", " "), true},
		} {
			p := s.login(goodLogin + "&scope=" + url.QueryEscape(tt.login)).tokens()
			form := "grant_type=refresh_token&refresh_token=" + p.refresh
			a := s.login(form + "&scope=" + url.QueryEscape(tt.refresh))
			if tt.ok != (a.status == 200) || !tt.ok && (a.status != 400 || a.body != refused) {
				t.Errorf("%s: %d %s; want it accepted: %v", tt.name, a.status, a.body, tt.ok)
			}
			checkOAuthFailure(t, a)
			if a := s.login(form); a.status != 200 {
				t.Errorf("%s: the next refresh without a scope: %d %s", tt.name, a.status, a.body)
			}
		}
		s.clock.Advance(s.acc.limits.grace)
		p := s.login(goodLogin + "&scope=read").tokens()
		s.refresh(p.refresh)
		s.clock.Advance(s.acc.limits.grace)
		if a := s.login("grant_type=refresh_token&refresh_token=" + p.refresh + "&scope=admin"); !strings.Contains(a.body, "already used") {
			t.Errorf("a stolen refresh token with another scope: %d %s", a.status, a.body)
		}
	})
}

// TestAskedScopes: what is kept is part of what was asked for, and of what was granted nothing is left
// out. A refresh may repeat the text.
func TestAskedScopes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	pool := append(strings.Split(scopeList(60), ","), "any", `"`, "읽기", "read,write", "", "\t", strings.Repeat("a", 65), "Ａ")
	for range 3000 {
		var words, has []string
		for range rnd.IntN(80) {
			words = append(words, pool[rnd.IntN(len(pool))])
		}
		for range rnd.IntN(maxScopes) {
			has = append(has, pool[rnd.IntN(60)])
		}
		granted, err := newScopes(has...)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(words, " ")
		kept := askedScopes(text, granted)
		if (kept == nil) != (strings.TrimSpace(text) == "") {
			t.Fatalf("%q: kept is %v", text, kept)
		}
		if !mayRepeat(kept, text) {
			t.Fatalf("%q cannot be repeated, of which %q is kept", text, *kept)
		}
		if kept == nil {
			continue
		}
		if again, err := newScopes(kept.names()...); err != nil || again != *kept {
			t.Fatalf("%q: kept is %q, %v", text, *kept, err)
		}
		wanted := granted.only(strings.Fields(text))
		if got := granted.within(*kept); got != wanted {
			t.Fatalf("%q of %q: %q; want %q", text, granted, got, wanted)
		}
		if slices.ContainsFunc(kept.names(), func(name string) bool { return !slices.Contains(words, name) }) {
			t.Fatalf("%q: kept is %q", text, *kept)
		}
	}
}
