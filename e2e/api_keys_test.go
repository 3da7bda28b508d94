package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// keyTests hold wherever the users are.
var keyTests = map[string]func(*testing.T, place){
	"a life":                          testKeyLife,
	"scopes that come and go":         testKeyScopes,
	"what outlives what":              testKeyEnds,
	"at most 50":                      testKeyLimit,
	"50 at once":                      testKeyLimitAtOnce,
	"deleted while in use":            testKeyDeletedInUse,
	"narrowed sessions make no wider": testNarrowSessionKeys,
}

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	for name, test := range keyTests {
		t.Run("SQLite, "+name, func(t *testing.T) { t.Parallel(); test(t, inFile(t)) })
		t.Run("memory, "+name, func(t *testing.T) {
			if name == "at most 50" || name == "a life" {
				long(t)
			}
			t.Parallel()
			test(t, inMemory(t))
		})
	}
}

// testKeyLife: a key is shown once, listed without its secret, good where keys are, and gone when
// it is deleted.
func testKeyLife(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	s.register(t, "alice")
	s.register(t, "bob")
	s.grantTo(t, admin, "alice", "read", "write")
	alice, bob := s.logIn(t, "alice"), s.logIn(t, "bob")
	if list := s.keys(t, alice); list == nil || len(list) != 0 {
		t.Errorf("before the first key the list is %v; want an empty one", list)
	}
	k := s.makeKey(t, alice, `{"name":"backup","scope":"read"}`)
	if life := k.ExpiresAt.Sub(k.CreatedAt); k.Scope != "read" || k.Name != "backup" || life != 90*24*time.Hour {
		t.Errorf("%+v; want one named backup, which may read, for 90 days", k)
	}
	other := s.makeKey(t, alice, `{"name":"backup"}`)
	if other.ID == k.ID || other.Scope != "" {
		t.Errorf("%+v after %+v; want another one with the same name and no scope", other, k)
	}
	checkVerified(t, s.verify(t, "/verify/read", k.Key), "alice")
	checkForbidden(t, s.verify(t, "/verify/write", k.Key), "write")
	checkVerified(t, s.verify(t, "/verify", other.Key), "alice")
	checkForbidden(t, s.verify(t, "/verify/read", other.Key), "read")
	checkMe(t, s.me(t, k.Key), "alice")
	list := s.keys(t, alice)
	if len(list) != 2 || !slices.ContainsFunc(list, func(l apiKey) bool { return l.ID == k.ID && l.Scope == "read" }) {
		t.Fatalf("the list is %+v; want the two", list)
	}
	for _, l := range list {
		if l.LastUsedAt == nil || time.Since(*l.LastUsedAt) > 2*time.Hour || !l.LastUsedAt.Equal(l.LastUsedAt.Truncate(time.Hour)) && !l.LastUsedAt.Equal(l.CreatedAt) {
			t.Errorf("%+v; want a use in this hour, to the hour, and not before it was made", l)
		}
	}
	checkProblem(t, s.authorized(t, "DELETE", keysPath+k.ID, "", bob), 404, "Not Found")
	checkVerified(t, s.verify(t, "/verify/read", k.Key), "alice")
	g := s.exchange(t, k)
	s.dropKey(t, alice, k.ID)
	checkKeyDead(t, s, admin, k, g.Access)
	checkProblem(t, s.authorized(t, "DELETE", keysPath+k.ID, "", alice), 404, "Not Found")
	checkVerified(t, s.verify(t, "/verify", other.Key), "alice")
	kept := s.makeKey(t, bob, `{"name":"bob's"}`)
	checkEmpty(t, s.authorized(t, "DELETE", keysPath, "", alice), 204)
	checkKeyDead(t, s, admin, other)
	if list := s.keys(t, alice); len(list) != 0 {
		t.Errorf("after the end of all the list is %+v", list)
	}
	checkVerified(t, s.verify(t, "/verify", kept.Key), "bob")
}

// testKeyScopes: at any moment a key may do what is in its scope and granted to its owner.
func testKeyScopes(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	s.register(t, "alice")
	s.grantTo(t, admin, "alice", "admin", "introspect", "read")
	alice := s.logIn(t, "alice")
	k := s.makeKey(t, alice, `{"name":"all","scope":"read admin introspect"}`)
	small := s.makeKey(t, alice, `{"name":"small","scope":"read"}`)
	g := s.exchange(t, k)
	check := func(status int) {
		t.Helper()
		for _, token := range []string{k.Key, g.Access} {
			checkStatus(t, s.authorized(t, "GET", "/users/", "", token), status)
			checkStatus(t, s.authorized(t, "GET", "/events/?limit=1", "", token), status)
			checkStatus(t, s.verify(t, "/verify/admin", token), status)
			checkStatus(t, s.introspect(t, token, alice), status)
			checkVerified(t, s.verify(t, "/verify/any", token), "alice")
		}
		checkStatus(t, s.authorized(t, "GET", "/users/", "", small.Key), 403)
		checkStatus(t, s.introspect(t, small.Key, alice), 403)
	}
	check(200)
	s.grantTo(t, admin, "alice", "read")
	check(403)
	if got := s.verify(t, "/verify", k.Key).Header.Get("Remote-Groups"); got != "read" {
		t.Errorf("Remote-Groups: %q; want what is granted now: read", got)
	}
	if again := s.exchange(t, k); again.Scope != "read" {
		t.Errorf("a token for %q; want read", again.Scope)
	}
	for _, body := range []string{`{"name":"x","scope":"admin"}`, `{"name":"x","scope":"read admin"}`, `{"name":"x","scope":"write"}`} {
		checkStatus(t, s.authorized(t, "POST", keysPath, body, alice), 422)
	}
	if n := len(s.keys(t, alice)); n != 2 {
		t.Errorf("%d keys; want 2: what is not granted was refused", n)
	}
	s.grantTo(t, admin, "alice", "admin", "introspect", "other")
	check(200)
	checkForbidden(t, s.verify(t, "/verify/other", k.Key), "other")
	checkForbidden(t, s.verify(t, "/verify/read", k.Key), "read")
}

// testKeyEnds: a key outlives passwords and sessions, but not its owner.
func testKeyEnds(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	for _, name := range []string{"alice", "bob"} {
		s.register(t, name)
	}
	alice := s.signIn(t, "alice")
	k := s.makeKey(t, alice.Access, `{"name":"a"}`)
	g := s.exchange(t, k)
	lives := func(after string) {
		t.Helper()
		for _, token := range []string{k.Key, g.Access} {
			if a := s.verify(t, "/verify", token); a.StatusCode != 200 {
				t.Errorf("after %s: %d %s; want 200", after, a.StatusCode, a.body)
			}
		}
	}
	checkRevoked(t, s.do(t, "POST", "/revoke", url.Values{"token": {k.Key}}.Encode(), formType))
	lives("a revocation of the key")
	checkRevoked(t, s.do(t, "POST", "/revoke", url.Values{"token": {alice.Access}}.Encode(), formType))
	lives("the end of the session that made it")
	alice = s.signIn(t, "alice")
	checkEmpty(t, s.authorized(t, "DELETE", "/users/me/sessions/", "", alice.Access), 204)
	lives("the end of all sessions")
	alice = s.signIn(t, "alice")
	checkEmpty(t, s.authorized(t, "POST", "/users/me/password", change(password, nextPassword), alice.Access), 204)
	lives("a change of the password")
	checkStatus(t, s.patch(t, admin, "alice", `{"disabled":true}`), 200)
	checkKeyDead(t, s, admin, k, g.Access)
	checkStatus(t, s.patch(t, admin, "alice", `{"disabled":false}`), 200)
	t.Logf("after enabling the owner again the key gets %d", s.verify(t, "/verify", k.Key).StatusCode)
	checkStatus(t, s.authorized(t, "DELETE", userPath("alice"), "", admin), 204)
	checkKeyDead(t, s, admin, k, g.Access)
	s.register(t, "alice")
	checkKeyDead(t, s, admin, k, g.Access)
	if n := len(s.keys(t, s.logIn(t, "alice"))); n != 0 {
		t.Errorf("the next owner of the name has %d keys", n)
	}
	if p.isDatabase() {
		if n := p.number(t, "SELECT count(*) FROM api_keys"); n != 0 {
			t.Errorf("%d rows of keys are left of a user who is gone", n)
		}
	}
}

// testKeyLimit: the 51st key is refused until another one goes.
func testKeyLimit(t *testing.T, p place) {
	s := p.startUnthrottled(t)
	s.register(t, "alice")
	s.register(t, "bob")
	alice := s.logIn(t, "alice")
	var first apiKey
	for i := range 50 {
		k := s.makeKey(t, alice, fmt.Sprintf(`{"name":"key %d"}`, i))
		if i == 0 {
			first = k
		}
	}
	for range 2 {
		checkStatus(t, s.authorized(t, "POST", keysPath, `{"name":"one more"}`, alice), 400)
	}
	s.makeKey(t, s.logIn(t, "bob"), `{"name":"bob's first"}`)
	s.dropKey(t, alice, first.ID)
	s.makeKey(t, alice, `{"name":"in its place"}`)
	checkStatus(t, s.authorized(t, "POST", keysPath, `{"name":"one more"}`, alice), 400)
	if n := len(s.keys(t, alice)); n != 50 {
		t.Errorf("%d keys; want 50", n)
	}
}

// testKeyLimitAtOnce: of a hundred who want the last place, one has it.
func testKeyLimitAtOnce(t *testing.T, p place) {
	s := p.startUnthrottled(t)
	s.register(t, "alice")
	alice := s.logIn(t, "alice")
	for range 49 {
		s.makeKey(t, alice, `{"name":"a"}`)
	}
	got := make(map[int]int)
	for _, a := range atOnce(t, 100, func(int) (answer, error) {
		return s.try(t.Context(), "POST", keysPath, `{"name":"the last"}`, jsonType, "Authorization: Bearer "+alice)
	}) {
		got[a.StatusCode]++
	}
	if n := len(s.keys(t, alice)); got[200] != 1 || got[400] != 99 || n != 50 {
		t.Errorf("the answers are %v, and there are %d keys; want one 200, 99 400, and 50 keys", got, n)
	}
}

// testKeyDeletedInUse: after a deletion was answered, the key is never accepted again.
func testKeyDeletedInUse(t *testing.T, p place) {
	s := p.startUnthrottled(t)
	s.register(t, "alice")
	alice := s.logIn(t, "alice")
	for range 10 {
		k := s.makeKey(t, alice, `{"name":"a"}`)
		g := s.exchange(t, k)
		var gone atomic.Bool
		atOnce(t, 8, func(i int) (answer, error) {
			if i == 0 {
				a, err := s.try(t.Context(), "DELETE", keysPath+k.ID, "", "Authorization: Bearer "+alice)
				gone.Store(true)
				return a, err
			}
			for {
				wasGone := gone.Load()
				a, err := s.useKey(t, k, g.Access, i)
				if err != nil || a.StatusCode != 200 && a.StatusCode != 401 || wasGone && a.StatusCode != 401 {
					t.Errorf("use %d, after the deletion: %t: %d %s, %v", i, wasGone, a.StatusCode, a.body, err)
				}
				if wasGone || err != nil {
					return a, err
				}
			}
		})
	}
}

// useKey uses a key in one of several ways.
func (s *server) useKey(t testing.TB, k apiKey, token string, way int) (answer, error) {
	switch way % 4 {
	case 0:
		return s.try(t.Context(), "GET", "/verify", "", "Authorization: Bearer "+k.Key)
	case 1:
		return s.try(t.Context(), "GET", "/verify", "", basic("alice", k.Key))
	case 2:
		return s.try(t.Context(), "POST", "/token", credentials(k.ID, k.Key), formType)
	}
	return s.try(t.Context(), "GET", "/users/me/", "", "Authorization: Bearer "+token)
}

// testNarrowSessionKeys: a session that asked for less makes no key that may do more.
func testNarrowSessionKeys(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	s.register(t, "alice")
	s.grantTo(t, admin, "alice", "admin", "read", "write")
	for asked, tt := range map[string]struct{ allowed, refused string }{
		"read":            {"read", "write"},
		"read write":      {"read write", "admin"},
		"nothing-of-ours": {"", "read"},
	} {
		g := s.do(t, "POST", "/token", loginForm("alice")+"&scope="+url.QueryEscape(asked), formType).granted(t)
		checkStatus(t, s.authorized(t, "POST", keysPath, `{"name":"wider","scope":`+quoted(tt.refused)+`}`, g.Access), 422)
		checkStatus(t, s.authorized(t, "POST", keysPath, `{"name":"wider","scope":`+quoted(strings.TrimSpace(tt.allowed+" "+tt.refused))+`}`, g.Access), 422)
		k := s.makeKey(t, g.Access, `{"name":"as wide","scope":`+quoted(tt.allowed)+`}`)
		if k.Scope != tt.allowed {
			t.Errorf("a session for %q makes a key for %q; want %q", asked, k.Scope, tt.allowed)
		}
		checkStatus(t, s.authorized(t, "GET", "/users/", "", g.Access), 403)
		checkStatus(t, s.authorized(t, "GET", "/users/", "", k.Key), 403)
	}
	for _, k := range s.keys(t, s.logIn(t, "alice")) {
		if k.Name == "wider" {
			t.Errorf("%+v was made", k)
		}
	}
}

// TestKeyFreshLogin: only a session that logged in within ten minutes makes keys, however often it
// was refreshed since; a foreign token proves no login.
func TestKeyFreshLogin(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	s := p.start(t)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	p.change(t, "UPDATE sessions SET created_at = created_at - 660000000")
	old := s.refresh(t, g.Refresh).granted(t)
	for name, token := range map[string]string{
		"11 minutes ago":            g.Access,
		"11 minutes ago, refreshed": old.Access,
		"by another program":        key{algorithm: "HS256", secret: aKey}.mint(t, "alice"),
	} {
		t.Run(name, func(t *testing.T) {
			checkStatus(t, s.authorized(t, "POST", keysPath, `{"name":"a"}`, token), 403)
			if n := len(s.keys(t, token)); n != 0 {
				t.Errorf("%d keys; want none", n)
			}
		})
	}
	fresh := s.signIn(t, "alice")
	p.change(t, "UPDATE sessions SET created_at = created_at - 590000000")
	k := s.makeKey(t, fresh.Access, `{"name":"a"}`)
	s.dropKey(t, old.Access, k.ID)
}

// TestKeyExpires: an expired key is as if it had never been, and the sweep deletes it.
func TestKeyExpires(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	s, admin := p.startWithRoot(t)
	s.register(t, "alice")
	alice := s.logIn(t, "alice")
	k := s.makeKey(t, alice, `{"name":"a","expires_in_days":1}`)
	g := s.exchange(t, k)
	p.change(t, fmt.Sprintf("UPDATE api_keys SET expires_at = %d", time.Now().Add(10*time.Minute).UnixMicro()))
	checkVerified(t, s.verify(t, "/verify", k.Key), "alice")
	if late := s.exchange(t, k); late.ExpiresIn > 600 {
		t.Errorf("a token for %d s of a key that ends in 600 s: services that see no key would go on", late.ExpiresIn)
	}
	p.change(t, fmt.Sprintf("UPDATE api_keys SET expires_at = %d", time.Now().Add(-time.Second).UnixMicro()))
	checkKeyDead(t, s, admin, k, g.Access)
	s.stop(t)
	again := p.startUnthrottled(t)
	checkKeyDead(t, again, again.logIn(t, root), k, g.Access)
}
