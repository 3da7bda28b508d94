package e2e

import (
	"fmt"
	"net/url"
	"os/user"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// names returns those of events, without doubles.
func eventNames(all []event) []string {
	var names []string
	for _, e := range all {
		names = append(names, e.Event)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// named returns the events that have a name.
func named(all []event, name string) []event {
	return slices.DeleteFunc(slices.Clone(all), func(e event) bool { return e.Event != name })
}

// testEvents: what a user does with the own account is recorded, with who asked and from where.
func testEvents(t *testing.T, p place) {
	s := p.start(t, withRoot(behindProxy("REFRESH_GRACE_SECONDS=0")...)...)
	admin := s.logIn(t, root)
	s.registerFrom(t, "Alice", home)
	checkWrong(t, s.guess(t, "ALICE", stranger(1)))
	g := s.do(t, "POST", "/token", loginForm("alice"), formType, from(home), "User-Agent: Phone", "X-Request-ID: the-login").granted(t)
	checkGoesOn(t, s, g, "Alice")
	checkStatus(t, s.refresh(t, g.Refresh), 400) // replaced before
	g = s.signIn(t, "alice")
	checkStatus(t, s.authorized(t, "PATCH", "/users/me/", `{"email":"secret-address@example.org","full_name":"Secret Name"}`, g.Access), 200)
	checkStatus(t, s.authorized(t, "POST", "/users/me/password", change(anotherWrong(), nextPassword), g.Access), 400)
	checkEmpty(t, s.authorized(t, "POST", "/users/me/password", change(password, nextPassword), g.Access), 204)
	s.revoke(t, g.Access)
	g = s.do(t, "POST", "/token", url.Values{"username": {"alice"}, "password": {nextPassword}}.Encode(), formType).granted(t)
	checkStatus(t, s.authorized(t, "GET", "/users/", "", g.Access), 403)
	checkEmpty(t, s.authorized(t, "DELETE", "/users/me/", "", g.Access), 204)

	all := s.awaitFeed(t, admin, "username=aLICE", 12)
	var got []string
	for _, e := range all {
		got = append(got, e.Event)
		if e.Username == nil || *e.Username != "Alice" || e.Actor != nil {
			t.Errorf("got %v; want it about Alice, by herself", e)
		}
		if age := time.Since(e.At); age < -time.Second || age > patience || e.At.Location() != time.UTC {
			t.Errorf("%v is at %v", e, e.At)
		}
	}
	want := []string{
		"user_created", "authn_login_fail", "authn_login_success", "authn_token_reuse", "authn_login_success", "user_updated",
		"authn_password_change_fail", "authn_password_change", "authn_token_revoked", "authn_login_success", "authz_fail", "user_deleted",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the events are\n%v; want\n%q", all, want)
	}
	if updated := named(all, "user_updated"); len(updated) != 1 || orNull(updated[0].Detail) != "email full_name" && orNull(updated[0].Detail) != "email, full_name" {
		t.Errorf("got %v; want the fields email and full_name", updated)
	}
	login := named(all, "authn_login_success")[0]
	if orNull(login.IP) != home || orNull(login.UserAgent) != "Phone" || orNull(login.RequestID) != "the-login" {
		t.Errorf("the login is from %s by %s, %s", orNull(login.IP), orNull(login.UserAgent), orNull(login.RequestID))
	}
	if fail := named(all, "authn_login_fail"); len(fail) != 1 || orNull(fail[0].IP) != stranger(1) {
		t.Errorf("got %v; want one failure, from %s", fail, stranger(1))
	}
	a := s.authorized(t, "GET", "/events/?limit=1000", "", admin)
	for _, secret := range []string{password, wrongPassword, "secret-address", "Secret Name", "pbkdf2", g.Refresh, "eyJ"} {
		if strings.Contains(a.body, secret) {
			t.Errorf("the events hold %q", secret)
		}
	}
	checkStarts(t, s.feed(t, admin, ""))
}

// checkStarts reports events without a start of the server that says its version and key.
func checkStarts(t testing.TB, all []event) {
	t.Helper()
	starts := named(all, "sys_startup")
	if len(starts) == 0 || starts[0].Username != nil || starts[0].Actor != nil || orNull(starts[0].Detail) == "null" {
		t.Errorf("got %v; want a start with its version and key", starts)
	}
}

// testAdminEvents: what an administrator does is recorded before it is answered, with the
// administrator's name, and what changed, but not its values.
func testAdminEvents(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	steps := []struct {
		method, path, body string
		status             int
		want               []string
	}{
		{"POST", "/users/", `{"username":"Alice","password":"` + password + `","scopes":["m","b"]}`, 200, []string{"user_created Alice by Root"}},
		{"POST", "/users/", `{"username":"alice","password":"` + password + `"}`, 400, nil},
		{"GET", "/users/alice/", "", 200, nil},
		{"PATCH", "/users/ALICE/", `{"email":"secret-address@example.org","full_name":"Secret Name"}`, 200, []string{"user_updated Alice by Root: email full_name"}},
		{"PATCH", "/users/alice/", `{"scopes":["admin","m"]}`, 200, []string{"privilege_permissions_changed Alice by Root: +admin -b"}},
		{"PATCH", "/users/alice/", `{"password":"` + nextPassword + `"}`, 200, []string{"authn_password_change Alice by Root"}},
		{"PATCH", "/users/alice/", `{"disabled":true}`, 200, []string{"authn_account_disabled Alice by Root"}},
		{"PATCH", "/users/alice/", `{"disabled":false}`, 200, []string{"authn_account_enabled Alice by Root"}},
		{"PATCH", "/users/alice/", `{"disbled":false}`, 422, nil},
		{"PATCH", "/users/nobody/", `{"disabled":true}`, 404, nil},
		{"PATCH", "/users/root/", `{"disabled":true}`, 400, nil},
		{"DELETE", "/users/alice/sessions/", "", 204, []string{"authn_token_revoked Alice by Root"}},
		{"DELETE", "/users/alice/sessions/x", "", 404, nil},
		{"DELETE", "/users/alice/", "", 204, []string{"user_deleted Alice by Root"}},
		{"DELETE", "/users/alice/", "", 404, nil},
	}
	last := int64(0)
	for _, e := range s.feed(t, admin, "") {
		last = e.ID
	}
	for _, step := range steps {
		id := fmt.Sprintf("step-%s-%d", step.method, time.Now().UnixNano())
		a := s.do(t, step.method, step.path, step.body, "Authorization: Bearer "+admin, jsonType, "X-Request-ID: "+id, "User-Agent: Desk")
		if a.StatusCode != step.status {
			t.Fatalf("%s %s: %d %s; want %d", step.method, step.path, a.StatusCode, a.body, step.status)
		}
		var got []string
		for _, e := range s.feed(t, admin, fmt.Sprint("after=", last)) {
			last = e.ID
			if e.Event == "authn_login_success" || e.Event == "sys_startup" {
				continue // which nobody was waiting for
			}
			if got = append(got, e.String()); orNull(e.RequestID) != id || orNull(e.UserAgent) != "Desk" || e.IP == nil {
				t.Errorf("%v: the request is %s by %s from %s", e, orNull(e.RequestID), orNull(e.UserAgent), orNull(e.IP))
			}
		}
		if len(got) != len(step.want) {
			t.Errorf("%s %s %s: the events are %q; want %q", step.method, step.path, step.body, got, step.want)
			continue
		}
		for i, want := range step.want {
			if !strings.HasPrefix(strings.ReplaceAll(got[i], ", ", " "), want) {
				t.Errorf("%s %s: got %q; want %q", step.method, step.body, got[i], want)
			}
		}
	}
	body := s.authorized(t, "GET", "/events/?limit=1000", "", admin).body
	for _, secret := range []string{password, "secret-address", "Secret Name", "pbkdf2"} {
		if strings.Contains(body, secret) {
			t.Errorf("the events hold %q", secret)
		}
	}
	for _, msg := range []string{"user_created", "user_updated", "privilege_permissions_changed", "authn_account_disabled", "user_deleted"} {
		if !slices.ContainsFunc(s.events(t, msg), func(line map[string]any) bool { return line["actor"] == root && line["username"] == "Alice" }) {
			t.Errorf("the log has no %s of Alice with the actor Root", msg)
		}
	}
}

// testEventFeed: a reader that goes on after the last ID sees every event once, oldest first.
func testEventFeed(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	began := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	for i := range 12 {
		s.create(t, admin, fmt.Sprint("user", i%6, "-", i/6))
	}
	all := s.awaitFeed(t, admin, "", 14) // and a start and a login
	for i := 1; i < len(all); i++ {
		if all[i].ID <= all[i-1].ID {
			t.Errorf("the IDs are %d, %d; want them to rise", all[i-1].ID, all[i].ID)
		}
	}
	for _, limit := range []int{1, 3, len(all), len(all) + 1} {
		first := s.authorized(t, "GET", fmt.Sprint("/events/?limit=", limit), "", admin).eventPage(t)
		if full := len(first.Events) == limit; full != (first.Next != nil) || full && *first.Next != first.Events[limit-1].ID {
			t.Errorf("limit %d: %d events, next %v", limit, len(first.Events), first.Next)
		}
		if got := s.feed(t, admin, fmt.Sprint("limit=", limit)); fmt.Sprint(got) != fmt.Sprint(all) {
			t.Errorf("limit %d: got %v; want %v", limit, got, all)
		}
	}
	counts := map[string]int{
		"event=user_created&username=USER3-0": 1, "username=%EF%BD%95ser3-0": 1, "username=user": 0, "username=nobody": 0, "username=%25": 0,
		"since=" + began: len(all), "since=2999-01-01T00:00:00Z": 0, "since=" + url.QueryEscape("2020-01-01T05:45:00.123+05:45"): len(all),
		"event=user_deleted": 0, fmt.Sprint("after=", all[len(all)-1].ID): 0, "after=9223372036854775807": 0, "after=0": len(all),
		fmt.Sprint("event=user_created&after=", all[len(all)-2].ID): 1,
	}
	for query, want := range counts {
		if got := s.feed(t, admin, query); len(got) != want {
			t.Errorf("%s: %d events; want %d: %v", query, len(got), want, got)
		}
	}
}

func testBadEventQueries(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	for _, query := range []string{
		"limit=0", "limit=1001", "limit=x", "limit=", "limit=1&limit=1", "after=-1", "after=x", "after=", "after=1.5", "after=9223372036854775808", "after=+1", "after=1&after=2",
		"username=", "username=%00", "username=%ff", "username=" + strings.Repeat("a", 151), "username=a&username=b",
		"event=", "event=nothing", "event=USER_CREATED", "event=%00", "event=user_created&event=user_deleted",
		"since=", "since=yesterday", "since=2026-01-01", "since=2026-13-01T00:00:00Z", "since=24h", "since=1700000000", "since=2026-01-01T00:00:00Z&since=2026-01-01T00:00:00Z", "since=2026-01-01T00:00:00%2B99:00",
		"unknown=1", "q=a", "user=a", "%zz", "a;b",
	} {
		checkStatus(t, s.authorized(t, "GET", "/events/?"+query, "", admin), 422)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		checkStatus(t, s.authorized(t, method, "/events/", "", admin), 405)
	}
}

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
	s.guess(t, "alice", stranger(8)) // is nobody's
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
		t.Errorf("got %v; want a failure at nobody's name", nobody)
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

// testCommandEvents: commands are recorded before they end, with the user of the operating
// system who gave them; those that do nothing are not.
func testCommandEvents(t *testing.T, p place) {
	osUser, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	p.add(t, "Alice", "-scope", "m")
	p.must(t, "users", "grant", "ALICE", "b", "a")
	p.must(t, "users", "revoke", "alice", "m", "never")
	p.must(t, "users", "disable", "alice")
	p.must(t, "users", "enable", "alice")
	checkDone(t, p.command("users", "passwd", "alice").reading(nextPassword).run(t))
	p.must(t, "users", "import", newUsersFile(t, userLine("bob", `"scopes":["admin"]`), userLine("carol")))
	p.must(t, "users", "export", "-o", newFile(t))
	p.must(t, "users", "delete", "alice", "-yes")
	done := p.number(t, "SELECT count(*) FROM events")
	checkFailed(t, p.command("users", "add", "BOB").reading(password).run(t), 1)
	checkFailed(t, p.command("users", "grant", "alice", "a").run(t), 1)
	checkFailed(t, p.command("users", "delete", "alice", "-yes").run(t), 1)
	p.must(t, "users", "list")
	p.must(t, "users", "import", newUsersFile(t, userLine("dave")), "-dry-run")
	if n := p.number(t, "SELECT count(*) FROM events"); n != done {
		t.Errorf("what has done nothing makes %d events", n-done)
	}

	s, admin := p.startWithRoot(t)
	actor := "cli:" + osUser.Username
	var got []string
	for _, e := range s.feed(t, admin, "") {
		if e.Actor == nil || orNull(e.Username) == root {
			continue
		}
		if got = append(got, e.String()); *e.Actor != actor {
			t.Errorf("%v; want the actor %s", e, actor)
		}
	}
	want := []string{
		"user_created Alice", "privilege_permissions_changed Alice by " + actor + ": +a +b", "privilege_permissions_changed Alice by " + actor + ": -m",
		"authn_account_disabled Alice", "authn_account_enabled Alice", "authn_password_change Alice", "user_imported null", "user_exported null", "user_deleted Alice",
	}
	for i, e := range got {
		if i >= len(want) || !strings.HasPrefix(e, want[i]) {
			t.Errorf("event %d is %s", i, e)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the events are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	p.must(t, "users", "grant", "carol", "x")
	checkDone(t, p.command("users", "passwd", "carol").reading(password).run(t))
	all, body := s.awaitOwn(t, s.logIn(t, "carol"), "authn_login_success")
	if len(all) != 3 || strings.Contains(body, "cli:") || strings.Count(body, "by_administrator") != 2 {
		t.Errorf("carol sees %s; want a grant and a password by an administrator, and a login", body)
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
		if strings.ContainsAny(orNull(e.RequestID), " \xff") || len(orNull(e.RequestID)) > 64 {
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

// testImportEvents: an import that is interrupted has added users, and that is recorded. So is one of which
// some lines were refused.
func testImportEvents(t *testing.T, p place) {
	makeDatabaseAt(t, p)
	bad := newUsersFile(t, userLine("good", `"scopes":["admin"]`), userLine("bad", `"scopes":["a b"]`))
	checkFailed(t, p.command("users", "import", bad).run(t), 1)
	if n := p.number(t, "SELECT count(*) FROM events WHERE name = 'user_imported'"); n != 0 {
		t.Errorf("an import that has added nobody makes %d events", n)
	}
	if got := p.command("users", "import", "-skip-bad", bad).run(t); got.code != 1 {
		t.Errorf("exit code %d, %s; want 1", got.code, got.stderr)
	}
	if n := p.number(t, "SELECT count(*) FROM events WHERE name = 'user_imported' AND detail LIKE 'added 1, refused 1, administrators 1,%'"); n != 1 {
		t.Errorf("%d events of an import that has added one and refused one; want 1", n)
	}
	p.change(t, "DELETE FROM users")
	j := p.beginImport(t, manyUsersFile(t, 30_000))
	j.signal(syscall.SIGINT)
	got := j.end(t)
	added := p.users(t)
	if got.code != 130 || added == 30_000 {
		t.Fatalf("exit code %d and %d users; want an interrupted import", got.code, added)
	}
	if n := p.number(t, fmt.Sprintf("SELECT count(*) FROM events WHERE name = 'user_imported' AND detail LIKE 'added %d,%%'", added)); n != 1 {
		t.Errorf("an interrupted import has added %d users, and %d events say so; want 1", added, n)
	}
}
