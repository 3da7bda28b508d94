package e2e

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// testLogout: any token of a session ends it, at once and wholly, and no other.
func testLogout(t *testing.T, p place) {
	s := p.start(t)
	s.register(t, "alice")
	elsewhere := s.signIn(t, "alice")
	tests := []struct {
		name  string
		token func(first, latest grant) string
		more  string // in the form
	}{
		{"by the access token", func(_, latest grant) string { return latest.Access }, ""},
		{"by the refresh token", func(_, latest grant) string { return latest.Refresh }, ""},
		{"by an older access token", func(first, _ grant) string { return first.Access }, ""},
		{"by the refresh token that was replaced", func(first, _ grant) string { return first.Refresh }, ""},
		{"with a hint", func(_, latest grant) string { return latest.Refresh }, "&token_type_hint=refresh_token"},
		{"with the wrong hint", func(_, latest grant) string { return latest.Refresh }, "&token_type_hint=access_token"},
		{"with a hint that nobody knows", func(_, latest grant) string { return latest.Access }, "&token_type_hint=x"},
		{"with what a client says of itself", func(_, latest grant) string { return latest.Access }, "&client_id=x&client_secret=y"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first := s.signIn(t, "alice")
			latest := checkGoesOn(t, s, first, "alice")
			form := url.Values{"token": {tt.token(first, latest)}}.Encode() + tt.more
			for range 2 {
				checkRevoked(t, s.do(t, "POST", "/revoke", form, formType))
				checkEnded(t, s, first)
				checkEnded(t, s, latest)
			}
		})
	}
	checkGoesOn(t, s, elsewhere, "alice")
}

// TestRevokeNothing: what is no token of a session is nothing to revoke, which is
// not a failure (RFC 7009 §2.2).
func TestRevokeNothing(t *testing.T) {
	t.Parallel()
	s := start(t, "SECRET_KEY="+aKey)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	ours, foreign := key{algorithm: "HS256", secret: aKey}, key{algorithm: "HS256", secret: aKey[1:]}
	for name, token := range spoilt(g.Refresh) {
		t.Run("a refresh token "+name, func(t *testing.T) { s.revoke(t, token) })
	}
	for name, token := range map[string]string{
		"garbage":                           "x",
		"two dots":                          "..",
		"invalid UTF-8":                     "\xff",
		"4 KiB":                             strings.Repeat("a", 4<<10),
		"an access token with a newline":    g.Access + "\n",
		"a changed access token":            changed(g.Access, len(g.Access)-9),
		"an access token of another key":    foreign.mint(t, "alice"),
		"a token without a session":         ours.mint(t, "alice"),
		"a token of a session that is none": ours.mintOf(t, `"sub":"alice","sid":"x"`),
	} {
		t.Run(name, func(t *testing.T) { s.revoke(t, token) })
	}
	checkGoesOn(t, s, g, "alice")
}

// TestRevokeRefused: what is no request to revoke a token is refused.
func TestRevokeRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	token := "token=" + g.Refresh
	for name, body := range map[string]string{
		"no form":     "",
		"no token":    "token_type_hint=access_token",
		"empty":       "token=",
		"two":         token + "&" + token,
		"60 KiB":      "token=" + strings.Repeat("a", 60<<10),
		"broken":      token + "%",
		"in the name": g.Refresh,
	} {
		t.Run(name, func(t *testing.T) { checkOAuthCode(t, s.do(t, "POST", "/revoke", body, formType), "invalid_request") })
	}
	checkOAuthCode(t, s.do(t, "POST", "/revoke?"+token, "", formType), "invalid_request")
	checkOAuthCode(t, s.do(t, "POST", "/revoke", token, "Content-Type: text/plain"), "invalid_request")
	checkOAuthCode(t, s.do(t, "POST", "/revoke", `{"token":"`+g.Refresh+`"}`, jsonType), "invalid_request")
	checkStatus(t, s.do(t, "POST", "/revoke", token, formType, "Content-Encoding: gzip"), 415)
	checkGoesOn(t, s, g, "alice")
}

// testSessionList: a list shows where somebody is logged in, and a session can be
// ended from any other, but only by its own user.
func testSessionList(t *testing.T, p place) {
	s := p.start(t)
	s.register(t, "alice")
	s.register(t, "bob")
	phone := s.signIn(t, "alice", "User-Agent: Phone")
	laptop := s.signIn(t, "alice", "User-Agent: \xff'; DROP TABLE sessions; -- "+strings.Repeat("é", 300))
	bob := s.signIn(t, "bob")
	phone = s.refresh(t, phone.Refresh).granted(t)

	list := s.sessions(t, laptop.Access)
	if len(list) != 2 || list[0].UserAgent != "Phone" || list[0].Current || !list[1].Current {
		t.Fatalf("got %+v; want the phone, which was used last, and this one", list)
	}
	if agent := list[1].UserAgent; !strings.HasPrefix(agent, "?'; DROP TABLE sessions; -- éé") || len(agent) > 256 {
		t.Errorf("the laptop calls itself %q; want what it has said, cut off somewhere", agent)
	}
	for _, one := range list {
		checkSession(t, one)
	}
	if !s.sessions(t, phone.Access)[0].Current {
		t.Error("to the phone its session is not the current one")
	}

	path := "/users/me/sessions/" + list[0].ID
	checkProblem(t, s.authorized(t, "DELETE", path, "", bob.Access), 404, "Not Found")
	phone = checkGoesOn(t, s, phone, "alice")
	checkEmpty(t, s.authorized(t, "DELETE", path, "", laptop.Access), 204)
	checkEnded(t, s, phone)
	checkProblem(t, s.authorized(t, "DELETE", path, "", laptop.Access), 404, "Not Found")
	if left := s.sessions(t, laptop.Access); len(left) != 1 || left[0] != list[1] {
		t.Errorf("%+v are left; want this one as it was", left)
	}
	checkEmpty(t, s.authorized(t, "DELETE", "/users/me/sessions/"+list[1].ID, "", laptop.Access), 204)
	checkEnded(t, s, laptop)
	checkGoesOn(t, s, bob, "bob")
}

// checkSession reports a session that did not begin just now, on this machine, for
// two weeks.
func checkSession(t testing.TB, one session) {
	t.Helper()
	const fortnight = 14 * 24 * time.Hour
	age := time.Since(one.CreatedAt)
	if age < 0 || age > patience || one.LastUsedAt.Before(one.CreatedAt) || one.ExpiresAt.Sub(one.LastUsedAt) != fortnight {
		t.Errorf("%+v; want a session that begins now and ends 14 days after its last use", one)
	}
	if one.ID == "" || one.IP != "127.0.0.1" && one.IP != "::1" || one.CreatedAt.Location() != time.UTC {
		t.Errorf("%+v; want an ID, an address of this machine, and times in UTC", one)
	}
}

// testEndOfAll: all sessions of a user can be ended at once, or all others.
func testEndOfAll(t *testing.T, p place) {
	s := p.start(t)
	s.register(t, "alice")
	s.register(t, "bob")
	bob, here := s.signIn(t, "bob"), s.signIn(t, "alice")
	others := []grant{s.signIn(t, "alice"), s.signIn(t, "alice")}

	for _, query := range []string{"?keep=other", "?keep=", "?keep=current&keep=current", "?keep=Current", "?keep=%zz", "?keep=current;x"} {
		checkStatus(t, s.authorized(t, "DELETE", "/users/me/sessions/"+query, "", here.Access), 422)
	}
	if n := len(s.sessions(t, here.Access)); n != 3 {
		t.Errorf("%d sessions are left; want 3, for nobody has said what is to end", n)
	}
	checkEmpty(t, s.authorized(t, "DELETE", "/users/me/sessions/?keep=current", "", here.Access), 204)
	for _, g := range others {
		checkEnded(t, s, g)
	}
	here = checkGoesOn(t, s, here, "alice")

	again := s.signIn(t, "alice")
	checkEmpty(t, s.authorized(t, "DELETE", "/users/me/sessions/?keep=current", "", again.Access), 204)
	checkEnded(t, s, here)
	if list := s.sessions(t, again.Access); len(list) != 1 || !list[0].Current {
		t.Errorf("%+v are left; want this one", list)
	}
	checkEmpty(t, s.authorized(t, "DELETE", "/users/me/sessions/", "", again.Access), 204)
	checkEnded(t, s, again)
	checkGoesOn(t, s, s.signIn(t, "alice"), "alice")
	checkGoesOn(t, s, bob, "bob")
}
