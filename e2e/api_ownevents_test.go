package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// An ownEvent is what GET /users/me/events/ says about one.
type ownEvent struct {
	At        time.Time `json:"at"`
	Event     string    `json:"event"`
	IP        *string   `json:"ip"`
	UserAgent *string   `json:"user_agent"`
	Detail    *string   `json:"detail"`
}

// ownEvents returns the latest events of a user, and the text in which they came.
func (s *server) ownEvents(t testing.TB, token string) ([]ownEvent, string) {
	t.Helper()
	a := s.authorized(t, "GET", "/users/me/events/", "", token)
	checkStatus(t, a, 200)
	var all []ownEvent
	if strictly(t, a.body, &all); all == nil {
		t.Errorf("%s: no list", a.body)
	}
	return all, a.body
}

// hasOwn reports whether an event with this name is among them.
func hasOwn(all []ownEvent, name string) bool {
	return slices.ContainsFunc(all, func(e ownEvent) bool { return e.Event == name })
}

// awaitOwn waits until a user's own events have one with this name.
func (s *server) awaitOwn(t testing.TB, token, name string) ([]ownEvent, string) {
	t.Helper()
	var all []ownEvent
	var body string
	waitFor(t, "the user's own "+name, func() bool {
		all, body = s.ownEvents(t, token)
		return hasOwn(all, name)
	})
	return all, body
}

// testOwnEvents: users see what happened to their account, and nothing about the
// administrator who did it, or about others.
func testOwnEvents(t *testing.T, p place) {
	const office, browser = "192.0.2.77", "Office-Browser/7.7"
	s := p.start(t, withRoot(behindProxy()...)...)
	admin := s.logIn(t, root)
	s.registerFrom(t, "alice", home)
	s.registerFrom(t, "alice2", home)
	s.guess(t, "alice2", stranger(9))
	s.guess(t, "ALICE", stranger(1))
	byAdmin := func(body string) {
		a := s.do(t, "PATCH", "/users/alice/", body, "Authorization: Bearer "+admin, jsonType, from(office), "User-Agent: "+browser)
		checkStatus(t, a, 200)
	}
	for _, body := range []string{
		`{"full_name":"A"}`, `{"scopes":["reports"]}`, `{"disabled":true}`, `{"disabled":false}`, `{"password":"` + nextPassword + `"}`, `{"password":"` + password + `","scopes":[]}`,
	} {
		byAdmin(body)
	}
	victim := s.signIn(t, "alice", from(home))
	id := s.current(t, victim.Access).ID
	for _, path := range []string{id, ""} {
		a := s.do(t, "DELETE", userPath("alice", "sessions", path), "", "Authorization: Bearer "+admin, from(office), "User-Agent: "+browser)
		checkEmpty(t, a, 204)
	}
	g := s.signIn(t, "alice", from(home), "User-Agent: Phone")
	all, body := s.awaitOwn(t, g.Access, "authn_login_success")
	for _, name := range []string{
		"user_created", "authn_login_fail", "user_updated", "privilege_permissions_changed", "authn_account_disabled", "authn_account_enabled", "authn_password_change", "authn_token_revoked",
	} {
		if !hasOwn(all, name) {
			t.Errorf("%s is not among the own events %s", name, body)
		}
	}
	for _, secret := range []string{root, `"root`, office, browser, stranger(9), "alice2", password, "actor"} {
		if strings.Contains(strings.ToLower(body), strings.ToLower(secret)) {
			t.Errorf("the own events show %q: %s", secret, body)
		}
	}
	for _, e := range all {
		byAdministrator := strings.Contains(orNull(e.Detail), "by_administrator")
		if want := !slices.Contains([]string{"user_created", "authn_login_success", "authn_login_fail"}, e.Event); byAdministrator != want {
			t.Errorf("%s has the detail %q; by_administrator: want %v", e.Event, orNull(e.Detail), want)
		}
	}
	if !strings.Contains(body, stranger(1)) || !strings.Contains(body, home) || !strings.Contains(body, "Phone") {
		t.Errorf("the own events do not show from where one has logged in: %s", body)
	}
	for n := range 110 {
		byAdmin(fmt.Sprintf(`{"scopes":["s%d"]}`, n))
	}
	checkStatus(t, s.authorized(t, "DELETE", "/users/me/events/", "", g.Access), 405)
	waitFor(t, "the latest 100", func() bool {
		all, _ = s.ownEvents(t, g.Access)
		return len(all) == 100 && !hasOwn(all, "user_created")
	})
	checkProblem(t, s.do(t, "GET", "/users/me/events/", ""), 401, "Not authenticated")
}

// testEventsOfReusedName: who takes a name that was deleted sees nothing of what happened to
// the one before; an administrator sees both.
func testEventsOfReusedName(t *testing.T, p place) {
	s := p.startUnthrottled(t, withRoot(behindProxy()...)...)
	admin := s.logIn(t, root)
	s.registerFrom(t, "alice", stranger(5))
	s.guess(t, "alice", stranger(6))
	old := s.signIn(t, "alice", from(stranger(7)))
	checkStatus(t, s.patch(t, admin, "alice", `{"scopes":["reports"]}`), 200)
	checkEmpty(t, s.authorized(t, "DELETE", "/users/me/", "", old.Access), 204)
	s.guess(t, "alice", stranger(8)) // no user has the name
	s.registerFrom(t, "Alice", home)
	g := s.signIn(t, "alice", from(home))
	checkProblem(t, s.authorized(t, "GET", "/users/me/events/", "", old.Access), 401, "Could not validate credentials")
	all, body := s.awaitOwn(t, g.Access, "authn_login_success")
	for n := 5; n <= 8; n++ {
		if strings.Contains(body, `"`+stranger(n)+`"`) {
			t.Errorf("the next Alice sees an event of the last, from %s: %s", stranger(n), body)
		}
	}
	if len(all) != 2 || hasOwn(all, "user_deleted") {
		t.Errorf("the next Alice sees %s; want that she registered and logged in", body)
	}
	feed := s.awaitFeed(t, admin, "username=alice", 7)
	if names := eventNames(feed); !slices.Contains(names, "user_deleted") || len(named(feed, "user_created")) != 2 {
		t.Errorf("the administrator sees %v; want both users", feed)
	}
	fails := s.awaitFeed(t, admin, "event=authn_login_fail", 2)
	if nobody := slices.DeleteFunc(fails, func(e event) bool { return orNull(e.IP) != stranger(8) }); len(nobody) != 1 || nobody[0].Username != nil {
		t.Errorf("got %v; want a failure at a name that no user has", nobody)
	}
}

// testNoEvents: with EVENTS_DAYS=0 there are none, and everything else is as ever.
func testNoEvents(t *testing.T, p place) {
	s, admin := p.startWithRoot(t, "EVENTS_DAYS=0")
	s.register(t, "alice")
	s.logInBy(t, "alice", anotherWrong())
	g := s.signIn(t, "alice")
	checkStatus(t, s.patch(t, admin, "alice", `{"scopes":["a"],"disabled":false}`), 200)
	checkStatus(t, s.authorized(t, "GET", "/users/", "", g.Access), 403)
	if n := len(s.events(t, "privilege_permissions_changed")); n != 1 {
		t.Errorf("the log has %d changes; want 1", n)
	}
	time.Sleep(1500 * time.Millisecond) // longer than events wait
	if a := s.authorized(t, "GET", "/events/", "", admin); a.StatusCode != 200 || a.body != `{"events":[],"next":null}` {
		t.Errorf("got %d %s; want none", a.StatusCode, a.body)
	}
	if a := s.authorized(t, "GET", "/users/me/events/", "", g.Access); a.StatusCode != 200 || a.body != "[]" {
		t.Errorf("got %d %s; want none", a.StatusCode, a.body)
	}
	if !p.isDatabase() {
		return
	}
	p.must(t, "users", "grant", "alice", "b")
	s.client.CloseIdleConnections()
	s.stop(t)
	// A command that knows of EVENTS_DAYS keeps none; this one has the default.
	if n := p.number(t, "SELECT count(*) FROM events WHERE actor = ''"); n != 0 {
		t.Errorf("%d events are in the table; want none", n)
	}
}

// testEventFlood: who asks for what is refused, or changes the own account, as often as they can,
// does not push out what others did, or how they came in. It does not help to have many addresses.
func testEventFlood(t *testing.T, p place) {
	s := p.startUnthrottled(t, withRoot(behindProxy()...)...)
	admin := s.logIn(t, root)
	s.registerFrom(t, "alice", home)
	thief := s.signIn(t, "alice", from(stranger(1)))
	s.awaitOwn(t, thief.Access, "authn_login_success")
	tests := []struct {
		name    string
		address func(n int) string
		ask     func(n int, address string) answer
		status  int
	}{
		{"of 403 from one address", sameStranger, func(_ int, address string) answer {
			return s.do(t, "GET", "/events/", "", "Authorization: Bearer "+thief.Access, from(address))
		}, 403},
		{"of changes from one address", sameStranger, func(n int, address string) answer {
			return s.do(t, "PATCH", "/users/me/", fmt.Sprintf(`{"full_name":"%d"}`, n), "Authorization: Bearer "+thief.Access, jsonType, from(address))
		}, 200},
		{"of 403 from many addresses", stranger, func(_ int, address string) answer {
			return s.do(t, "DELETE", "/users/root/", "", "Authorization: Bearer "+thief.Access, from(address))
		}, 403},
		{"of changes from many addresses", stranger, func(n int, address string) answer {
			return s.do(t, "PATCH", "/users/me/", fmt.Sprintf(`{"full_name":"%d"}`, n), "Authorization: Bearer "+thief.Access, jsonType, from(address))
		}, 200},
		{"of ends of no sessions", stranger, func(_ int, address string) answer {
			return s.do(t, "DELETE", "/users/me/sessions/?keep=current", "", "Authorization: Bearer "+thief.Access, from(address))
		}, 204},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(s.feed(t, admin, ""))
			const flood = 150
			for n := range flood {
				checkStatus(t, tt.ask(n, tt.address(n)), tt.status)
			}
			if more := len(s.feed(t, admin, "")) - before; more > flood/2 {
				t.Errorf("%d requests are %d events; want few", flood, more)
			}
			if own, body := s.ownEvents(t, thief.Access); !hasOwn(own, "authn_login_success") || !strings.Contains(body, stranger(1)) {
				t.Errorf("the own events show no login any more, but %d of %s", len(own), own[0].Event)
			}
		})
	}
}

// sameStranger is one address, whatever n is.
func sameStranger(int) string { return stranger(500) }

// testThrottleEvents: who has to wait is an event, once a minute for a source and account.
func testThrottleEvents(t *testing.T, p place) {
	s := p.start(t, withRoot(behindProxy()...)...)
	admin := s.logIn(t, root)
	s.registerFrom(t, "alice", home)
	refused := 0
	for n := 0; refused < 30 && n < 300; n++ {
		if s.guess(t, "alice", stranger(1)).StatusCode == 429 {
			refused++
		}
	}
	all := s.awaitFeed(t, admin, "event=excess_rate_limit_exceeded", 1)
	if len(all) > 2 || refused < 30 || orNull(all[0].Username) != "alice" || orNull(all[0].IP) != stranger(1) {
		t.Errorf("%d refusals make the events %v; want one a minute", refused, all)
	}
}

// testEventsOfOddClients: no header of one client keeps the events of others from being
// recorded.
func testEventsOfOddClients(t *testing.T, p place) {
	s := p.startUnthrottled(t, withRoot(behindProxy()...)...)
	admin := s.logIn(t, root)
	s.registerFrom(t, "alice", home)
	odd := []string{
		"User-Agent: \xff\xfe", "User-Agent: " + strings.Repeat("a", 7000), "User-Agent: a" + strings.Repeat("ä", 300), "User-Agent: a\tb",
		"User-Agent: \xed\xa0\x80", "User-Agent: <script>alert(1)</script>", `User-Agent: '; DROP TABLE events; --`, "User-Agent: \u202e\u0085",
		"X-Forwarded-For: \xff", "X-Forwarded-For: nowhere", "X-Forwarded-For: fe80::1%eth0", "X-Forwarded-For: ::ffff:203.0.113.1", "X-Forwarded-For: ",
		"X-Request-ID: \xff", "X-Request-ID: " + strings.Repeat("a", 65), "X-Request-ID: a b",
	}
	for _, header := range odd {
		s.do(t, "POST", "/token", guessForm("alice"), formType, header)
		s.logInBy(t, "alice", anotherWrong()) // in the same batch
	}
	fails := s.awaitFeed(t, admin, "event=authn_login_fail", 2*len(odd))
	if len(fails) != 2*len(odd) {
		t.Errorf("%d failures are %d events", 2*len(odd), len(fails))
	}
	for _, e := range fails {
		if n := len(orNull(e.UserAgent)); n > 1024 {
			t.Errorf("an event keeps a User-Agent of %d bytes", n)
		}
		if !aRequestID.MatchString(orNull(e.RequestID)) {
			t.Errorf("an event has the request %q", orNull(e.RequestID))
		}
	}
}

// testEventsOfThefts: a stolen token that comes again and again is one theft.
func testEventsOfThefts(t *testing.T, p place) {
	s, admin := p.startWithRoot(t, "REFRESH_GRACE_SECONDS=0")
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	checkGoesOn(t, s, g, "alice")
	for range 50 {
		checkStatus(t, s.refresh(t, g.Refresh), 400)
	}
	s.logIn(t, "alice")
	s.awaitFeed(t, admin, "username=alice&event=authn_login_success", 2)
	if got := s.feed(t, admin, "event=authn_token_reuse"); len(got) != 1 {
		t.Errorf("a token that comes 50 times is the events %v; want one", got)
	}
}
