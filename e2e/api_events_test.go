package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
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

// adminSteps are what an administrator does, one after another, and the events of that.
var adminSteps = []struct {
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

// testAdminEvents: what an administrator does is recorded before it is answered, with the
// administrator's name, and what changed, but not its values.
func testAdminEvents(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	last := int64(0)
	for _, e := range s.feed(t, admin, "") {
		last = e.ID
	}
	for _, step := range adminSteps {
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
