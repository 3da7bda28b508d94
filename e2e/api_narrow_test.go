package e2e

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestNarrowedSessions: a session may do what its login asked for and its user is granted, from
// one moment to the next, and a refresh changes nothing of that.
func TestNarrowedSessions(t *testing.T) {
	t.Parallel()
	s, tokens := withScopes(t, map[string]string{"alice": "admin read write"})
	logIn := func(t *testing.T, scope string) grant {
		return s.do(t, "POST", "/token", loginForm("alice")+"&"+url.Values{"scope": {scope}}.Encode(), formType).granted(t)
	}
	for _, tt := range []struct{ asked, want string }{
		{"read", "read"},
		{"write read", "read write"},
		{"read read", "read"},
		{"read other", "read"},
		{"read READ", "read"},
		{"other", ""},
		{"any", ""},
		{`openid "profile" ä read`, "read"},
		{"read admin", "admin read"},
	} {
		t.Run(tt.asked, func(t *testing.T) {
			g := logIn(t, tt.asked)
			checkScope(t, g, tt.want)
			for _, scope := range []string{"read", "write", "admin"} {
				want := slices.Contains(strings.Fields(tt.want), scope)
				if got := s.verify(t, "/verify/"+scope, g.Access).StatusCode == 200; got != want {
					t.Errorf("may %s: %t; want %t", scope, got, want)
				}
			}
			if got, want := s.verify(t, "/verify", g.Access).Header.Get("Remote-Groups"), strings.ReplaceAll(tt.want, " ", ","); got != want {
				t.Errorf("Remote-Groups: %q; want %q", got, want)
			}
			isAdmin := s.authorized(t, "GET", "/users/", "", g.Access).StatusCode == 200
			if want := strings.Contains(tt.want, "admin"); isAdmin != want {
				t.Errorf("an administrator: %t; want %t", isAdmin, want)
			}
			again := s.do(t, "POST", "/token", refreshBody(g.Refresh)+"&"+url.Values{"scope": {tt.asked}}.Encode(), formType).granted(t)
			checkScope(t, again, tt.want)
			checkScope(t, s.refresh(t, again.Refresh).granted(t), tt.want)
		})
	}
	g := logIn(t, "read other")
	for _, scope := range []string{"write", "read write", "admin", "READ"} {
		a := s.do(t, "POST", "/token", refreshBody(g.Refresh)+"&"+url.Values{"scope": {scope}}.Encode(), formType)
		checkOAuthCode(t, a, "invalid_scope")
	}
	g = s.do(t, "POST", "/token", refreshBody(g.Refresh)+"&scope=other", formType).granted(t)
	checkScope(t, g, "read")
	s.grantTo(t, tokens[root], "alice", "read", "write", "other")
	checkVerified(t, s.verify(t, "/verify/other", g.Access), "alice")
	checkForbidden(t, s.verify(t, "/verify/write", g.Access), "write")
	g = s.refresh(t, g.Refresh).granted(t)
	checkScope(t, g, "other read")
}

// TestNarrowedAdministrators: an administrator who asked for less is none in that session, wherever
// it would count, nor is a key of less.
func TestNarrowedAdministrators(t *testing.T) {
	t.Parallel()
	s, admin := inMemory(t).startWithRoot(t, "ALLOW_REGISTRATION=false")
	s.grantTo(t, admin, root, "admin", "introspect", "read")
	session := s.do(t, "POST", "/token", loginForm(root)+"&scope=read", formType).granted(t)
	key := s.makeKey(t, admin, `{"name":"a","scope":"read"}`)
	whole := s.makeKey(t, admin, `{"name":"b","scope":"admin"}`)
	part := s.exchange(t, whole, "scope=read admin")
	for name, token := range map[string]string{
		"a session": session.Access, "a refreshed session": s.refresh(t, session.Refresh).granted(t).Access, "a key": key.Key, "a token for a key": s.exchange(t, key).Access,
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range adminRequests {
				if a := s.authorized(t, r.method, r.path, r.body, token); a.StatusCode != 403 {
					t.Errorf("%s %.60s: %d %.100s; want 403", r.method, r.path, a.StatusCode, a.body)
				}
			}
			checkStatus(t, s.authorized(t, "POST", "/users/", newUser("eve", password), token), 403)
			checkStatus(t, s.introspect(t, token, admin), 403)
			checkForbidden(t, s.verify(t, "/verify/admin", token), "admin")
			checkVerified(t, s.verify(t, "/verify/read", token), root)
		})
	}
	for i, token := range []string{admin, whole.Key, part.Access} {
		checkStatus(t, s.authorized(t, "POST", "/users/", newUser("ada"+string(rune('a'+i)), password), token), 200)
	}
}

// TestAskedScopes: what a login asks for costs the server little.
func TestAskedScopes(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	s := p.start(t)
	p.add(t, "alice", "-scope", "read")
	var many []string
	for i := range 9000 {
		many = append(many, "s"+strings.Repeat("x", i%2)+string(rune('a'+i%26)))
	}
	for name, scope := range map[string]string{
		"many names": strings.Join(many, " ") + " read", "one long name": strings.Repeat("a", 50_000) + " read", "blanks": strings.Repeat(" ", 50_000) + "read", "other letters": strings.Repeat("ä ", 9000) + "read",
	} {
		a := s.do(t, "POST", "/token", loginForm("alice")+"&"+url.Values{"scope": {scope}}.Encode(), formType)
		if a.StatusCode == 200 {
			checkScope(t, a.granted(t), "read")
		} else if a.StatusCode != 400 && a.StatusCode != 413 && a.StatusCode != 422 {
			t.Errorf("%s: %d %.200s", name, a.StatusCode, a.body)
		}
	}
	if n := p.number(t, "SELECT coalesce(max(length(asked_scope)), 0) FROM sessions"); n > 8000 {
		t.Errorf("a session keeps %d bytes of what its login asked for", n)
	}
}
