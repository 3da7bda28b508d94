package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// grant gives a user scopes, as the command line does.
func (s *testServer) grant(username string, granted scopes) {
	s.t.Helper()
	u, err := s.acc.userByName(s.t.Context(), username)
	if err == nil {
		_, err = s.acc.updateUser(s.t.Context(), u, userEdit{Scopes: func(scopes) (scopes, error) { return granted, nil }}, client{Actor: "cli:test"})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// lastEvents returns the latest events as words: "event username actor detail", oldest first.
func (s *testServer) lastEvents(n int) []string {
	s.t.Helper()
	events, err := s.acc.findEvents(s.t.Context(), eventQuery{}, 10_000)
	if err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for _, e := range events[max(0, len(events)-n):] {
		lines = append(lines, strings.Join([]string{e.Name, e.Username, e.Actor, e.Detail}, "|"))
	}
	return lines
}

const notPermitted = `{"detail":"Not enough permissions"}`

// TestOnlyAdministrators: a user without the scope gets the same answer, whatever they ask for.
func TestOnlyAdministrators(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		bob := s.begin("bob")
		s.grant("alice", "admin")
		alice := s.begin("alice")
		requests := [][3]string{
			{"GET", "/users/", ""},
			{"GET", "/users/?unknown=1&limit=x", ""},
			{"GET", "/users/alice/", ""},
			{"GET", "/users/nobody/", ""},
			{"PATCH", "/users/bob/", `{"scopes":["admin"]}`},
			{"PATCH", "/users/nobody/", `{"x":1}`},
			{"PATCH", "/users/bob/", `not json`},
			{"DELETE", "/users/alice/", ""},
			{"GET", "/users/alice/sessions/", ""},
			{"DELETE", "/users/alice/sessions/", ""},
			{"DELETE", "/users/bob/sessions/x", ""},
			{"GET", "/events/", ""},
			{"GET", "/events/?after=x", ""},
		}
		for _, r := range requests {
			what := strings.Join(r[:], " ")
			if a := s.do(r[0], r[1], r[2], "Content-Type: application/json"); a.body != `{"detail":"Not authenticated"}` || a.status != 401 {
				t.Errorf("%s without a token: %d %s", what, a.status, a.body)
			}
			if a := s.as(pair{access: "x"}, r[0], r[1], r[2]); a.body != badToken || a.status != 401 {
				t.Errorf("%s with a bad token: %d %s", what, a.status, a.body)
			}
			a := s.as(bob, r[0], r[1], r[2])
			if a.body != notPermitted || a.status != 403 || a.header.Get("WWW-Authenticate") != `Bearer error="insufficient_scope", scope="admin"` {
				t.Errorf("%s by a user: %d %s, %v", what, a.status, a.body, a.header)
			}
		}
		want := append(slices.Repeat([]string{"authz_fail|bob||"}, 9), "authz_fail|bob||DELETE /users/{username}/sessions/{$}") // perMinute
		for i, line := range s.lastEvents(10) {
			if !strings.HasPrefix(line, want[i]) {
				t.Errorf("event %d is %s; want %s", i, line, want[i])
			}
		}
		s.grant("bob", "admin")
		if a := s.as(bob, "GET", "/users/", ""); a.status != 200 {
			t.Errorf("an administrator from now on: %d %s", a.status, a.body)
		}
		s.grant("alice", "")
		if a := s.as(alice, "GET", "/users/", ""); a.body != notPermitted {
			t.Errorf("an administrator no longer: %d %s", a.status, a.body)
		}
	})
}

// TestForgedScope: what a token says of scopes is not believed.
func TestForgedScope(t *testing.T) {
	s := startServer(t)
	s.register("alice", goodPassword)
	now := s.clock.Now().Unix()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": "alice", "iat": now + 1, "exp": now + 600, "scope": "admin",
	}).SignedString([]byte(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(2 * time.Second)
	if a := s.as(pair{access: token}, "GET", "/users/me/", ""); a.status != 200 {
		t.Fatalf("the token is no good: %d %s", a.status, a.body)
	}
	if a := s.as(pair{access: token}, "GET", "/users/", ""); a.body != notPermitted {
		t.Errorf("a token that says admin: %d %s", a.status, a.body)
	}
	if a := s.login(goodLogin + "&scope=admin"); strings.Contains(a.field("scope"), "admin") {
		t.Errorf("a login that asks for admin: %s", a.body)
	}
}

// TestAdministrate: what an administrator changes of others, and what is recorded. Each row starts
// from what the rows before it left.
func TestAdministrate(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "admin")
		alice := s.begin("alice")
		user := func(name, email string, disabled bool, scopes string) string {
			return fmt.Sprintf(`{"username":%q,"email":%s,"full_name":null,"disabled":%v,"scopes":%s,"created_at":`, name, email, disabled, scopes)
		}
		for _, tt := range []struct {
			name, method, path, body string
			status                   int
			contains                 string
			events                   string
		}{
			{"a user in capitals", "GET", "/users/BOB/", "", 200, user("bob", "null", false, "[]"), ""},
			{"a user who does not exist", "GET", "/users/carol/", "", 404, "Not Found", ""},
			{"a change of nothing", "PATCH", "/users/bob/", `{}`, 200, user("bob", "null", false, "[]"), ""},
			{"an address and scopes", "PATCH", "/users/Bob/", `{"email":"B@Example.com","scopes":["reports","a","a"]}`, 200,
				user("bob", `"B@example.com"`, false, `["a","reports"]`), "user_updated|bob|alice|email privilege_permissions_changed|bob|alice|+a +reports"},
			{"other scopes", "PATCH", "/users/ｂob/", `{"scopes":["b","reports"]}`, 200,
				user("bob", `"B@example.com"`, false, `["b","reports"]`), "privilege_permissions_changed|bob|alice|+b -a"},
			{"the same scopes", "PATCH", "/users/bob/", `{"scopes":["reports","b"]}`, 200, `"b"`, ""},
			{"all fields at once", "PATCH", "/users/bob/", `{"email":null,"full_name":null,"scopes":[],"disabled":true,"password":"another password"}`, 200,
				user("bob", "null", true, "[]"), "user_updated|bob|alice|email, full_name authn_password_change|bob|alice| authn_account_disabled|bob|alice| privilege_permissions_changed|bob|alice|-b -reports"},
			{"disabling a disabled user", "PATCH", "/users/bob/", `{"disabled":true}`, 200, `"disabled":true`, ""},
			{"enabling a disabled user", "PATCH", "/users/bob/", `{"disabled":false}`, 200, `"disabled":false`, "authn_account_enabled|bob|alice|"},
			{"a misspelt member is refused", "PATCH", "/users/bob/", `{"disbled":true}`, 422, `"extra_forbidden","loc":["body","disbled"]`, ""},
			{"the name cannot be changed", "PATCH", "/users/bob/", `{"username":"bob"}`, 422, `"extra_forbidden","loc":["body","username"]`, ""},
			{"null for a boolean", "PATCH", "/users/bob/", `{"disabled":null}`, 422, `"bool_type","loc":["body","disabled"]`, ""},
			{"a text for a boolean", "PATCH", "/users/bob/", `{"disabled":"true"}`, 422, `"bool_type","loc":["body","disabled"]`, ""},
			{"null for scopes", "PATCH", "/users/bob/", `{"scopes":null}`, 422, `"list_type","loc":["body","scopes"]`, ""},
			{"a text for scopes", "PATCH", "/users/bob/", `{"scopes":"admin"}`, 422, `"list_type","loc":["body","scopes"]`, ""},
			{"a scope that is none", "PATCH", "/users/bob/", `{"scopes":["a b"]}`, 422, `"loc":["body","scopes"]`, ""},
			{"a weak password, and nothing else", "PATCH", "/users/bob/", `{"password":"password","email":"x@example.com"}`, 422, `"loc":["body","password"]`, ""},
			{"the name for a password", "PATCH", "/users/bob/", `{"password":"bob"}`, 422, `"loc":["body","password"]`, ""},
			{"null for a password", "PATCH", "/users/bob/", `{"password":null}`, 422, `"string_type","loc":["body","password"]`, ""},
			{"no body", "PATCH", "/users/bob/", ``, 422, `"missing","loc":["body"]`, ""},
			{"refused changes have changed nothing", "GET", "/users/bob/", "", 200, user("bob", "null", false, "[]"), ""},
			{"the sessions of a user who has none", "GET", "/users/bob/sessions/", "", 200, "[]", ""},
			{"too many sessions", "GET", "/users/bob/sessions/?limit=1001", "", 422, `"loc":["query","limit"]`, ""},
			{"sessions of nobody", "GET", "/users/carol/sessions/", "", 404, "Not Found", ""},
			{"the end of all sessions", "DELETE", "/users/bob/sessions/", "", 204, "", "authn_token_revoked|bob|alice|all sessions"},
			{"the end of a session that does not exist", "DELETE", "/users/bob/sessions/x", "", 404, "Not Found", ""},
			{"the end of the sessions of a user who does not exist", "DELETE", "/users/carol/sessions/", "", 404, "Not Found", ""},
			{"a new user", "POST", "/users/", `{"username":"dave","password":"correct horse battery","disabled":true,"scopes":["admin"]}`, 200,
				`{"username":"dave","email":null,"full_name":null}`, "user_created|dave|alice|+admin disabled"},
			{"the new user is disabled and has the scope", "GET", "/users/dave/", "", 200, user("dave", "null", true, `["admin"]`), ""},
			{"a new user with a scope that is none", "POST", "/users/", `{"username":"erin","password":"correct horse battery","scopes":["any"]}`, 422, `"loc":["body","scopes"]`, ""},
			{"a new user whose name is taken", "POST", "/users/", `{"username":"DAVE","password":"correct horse battery"}`, 400, "already registered", ""},
			{"a deletion", "DELETE", "/users/bob/", "", 204, "", "user_deleted|bob|alice|"},
			{"a second deletion", "DELETE", "/users/bob/", "", 404, "Not Found", ""},
			{"a change of a deleted user", "PATCH", "/users/bob/", `{"disabled":true}`, 404, "Not Found", ""},
			{"a path that is me in capitals", "GET", "/users/ME/", "", 404, "Not Found", ""},
			{"a path of dots", "DELETE", "/users/%2e%2e/", "", 404, "Not Found", ""},
			{"a slash in a name", "GET", "/users/a%2Fb/", "", 404, "Not Found", ""},
			{"a NUL in a name", "GET", "/users/a%00/", "", 404, "Not Found", ""},
			{"a name that is no UTF-8", "GET", "/users/%ff/", "", 404, "Not Found", ""},
			{"a name that is far too long", "GET", "/users/" + strings.Repeat("ﷺ", 900) + "/", "", 404, "Not Found", ""},
		} {
			before := len(s.lastEvents(10_000))
			a := s.as(alice, tt.method, tt.path, tt.body)
			if a.status != tt.status || !strings.Contains(a.body, tt.contains) {
				t.Errorf("%s: %d %s; want %d %s", tt.name, a.status, a.body, tt.status, tt.contains)
			}
			if events := strings.Join(s.lastEvents(len(s.lastEvents(10_000))-before), " "); events != tt.events {
				t.Errorf("%s: the events %q; want %q", tt.name, events, tt.events)
			}
		}
	})
}

// TestOthersAreOut: whom an administrator disables, deletes or gives another password is out at
// once, and the old password is of no use.
func TestOthersAreOut(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "admin")
		alice := s.begin("alice")
		bob := s.begin("bob")
		list, _ := s.as(alice, "GET", "/users/bob/sessions/", "").json().([]any)
		if len(list) != 1 || list[0].(object)["current"] != nil {
			t.Fatalf("the sessions of bob: %v", list)
		}
		if a := s.as(alice, "DELETE", "/users/alice/sessions/"+list[0].(object)["id"].(string), ""); a.status != 404 {
			t.Errorf("a session under another name: %d %s", a.status, a.body)
		}
		if a := s.as(alice, "DELETE", "/users/bob/sessions/"+list[0].(object)["id"].(string), ""); a.status != 204 {
			t.Errorf("one session: %d %s", a.status, a.body)
		}
		s.checkEnded("one session", bob)
		for _, tt := range []struct {
			method, path, body string
			login              int // afterwards, with the old password
			undo               string
		}{
			{"DELETE", "/users/bob/sessions/", "", 200, ""},
			{"PATCH", "/users/bob/", `{"disabled":true}`, 401, `{"disabled":false}`},
			{"PATCH", "/users/bob/", `{"password":"another password"}`, 401, `{"password":"correct horse battery"}`},
			{"DELETE", "/users/bob/", "", 401, ""},
		} {
			bob := s.begin("bob")
			if a := s.as(alice, tt.method, tt.path, tt.body); a.status/100 != 2 {
				t.Errorf("%s %s: %d %s", tt.method, tt.body, a.status, a.body)
			}
			s.checkEnded(tt.method+" "+tt.path+" "+tt.body, bob)
			if a := s.login("username=bob&password=correct+horse+battery"); a.status != tt.login {
				t.Errorf("%s %s: a login gets %d %s", tt.method, tt.body, a.status, a.body)
			}
			if tt.undo != "" {
				s.as(alice, "PATCH", "/users/bob/", tt.undo)
			}
		}
	})
}

// TestOwnAccount: administrators do not lock themselves out, in whatever spelling.
func TestOwnAccount(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "admin reports")
		alice := s.begin("alice")
		const refused = `{"detail":"Ask another administrator, or use the command line"}`
		for _, name := range []string{"alice", "ALICE", "%EF%BD%81lice"} {
			path := "/users/" + name + "/"
			for _, tt := range []struct {
				method, body string
				refused      bool
			}{
				{"DELETE", "", true},
				{"PATCH", `{"disabled":true}`, true},
				{"PATCH", `{"scopes":[]}`, true},
				{"PATCH", `{"scopes":["reports"],"email":"x@example.com"}`, true},
				{"PATCH", `{"disabled":false,"scopes":["admin"]}`, false},
				{"PATCH", `{"scopes":["admin","reports"]}`, false},
			} {
				a := s.as(alice, tt.method, path, tt.body)
				if (a.body == refused && a.status == 400) != tt.refused || !tt.refused && a.status != 200 {
					t.Errorf("%s %s %s: %d %s", tt.method, path, tt.body, a.status, a.body)
				}
			}
		}
		if a := s.as(alice, "GET", "/users/alice/", ""); !strings.Contains(a.body, `"email":null,"full_name":null,"disabled":false,"scopes":["admin","reports"]`) {
			t.Errorf("alice is %s", a.body)
		}
		if a := s.as(alice, "PATCH", "/users/alice/", `{"password":"another password"}`); a.status != 200 {
			t.Errorf("one's own password: %d %s", a.status, a.body)
		}
		s.checkEnded("one's own password", alice)
	})
}

// TestRegisterOthers: members that only an administrator may send.
func TestRegisterOthers(t *testing.T) {
	s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.throttle = newThrottle([]byte(testSecret), nil) })
	s.register("alice", goodPassword)
	s.register("bob", goodPassword)
	s.grant("alice", "admin")
	alice, bob := s.begin("alice"), s.begin("bob")
	n := 0
	add := func(members string, headers ...string) answer {
		n++
		return s.do("POST", "/users/", fmt.Sprintf(`{"username":"new%d","password":"correct horse battery"%s}`, n, members),
			append(headers, "Content-Type: application/json")...)
	}
	const more = `,"scopes":["admin"],"disabled":true,"is_admin":true,"created_at":"2000-01-01T00:00:00Z"`
	for _, tt := range []struct {
		name, members, token string
		status               int
		disabled             bool
		granted              scopes
	}{
		{"nobody", more, "", 200, false, ""},
		{"a user", more, bob.access, 200, false, ""},
		{"a bad token", more, "x", 401, false, ""},
		{"a bad token, and nothing that needs one", "", "x", 200, false, ""},
		{"an administrator", more, alice.access, 200, true, "admin"},
		{"an administrator who sends null", `,"scopes":null,"disabled":null`, alice.access, 200, false, ""},
	} {
		var headers []string
		if tt.token != "" {
			headers = []string{"Authorization: Bearer " + tt.token}
		}
		a := add(tt.members, headers...)
		if a.status != tt.status {
			t.Errorf("%s: %d %s", tt.name, a.status, a.body)
		}
		u, err := s.acc.userByName(t.Context(), fmt.Sprint("new", n))
		if found := err == nil; found != (tt.status == 200) || u.Disabled != tt.disabled || u.Scopes != tt.granted || found && u.CreatedAt.Year() == 2000 {
			t.Errorf("%s: the user is %+v, %v", tt.name, u, err)
		}
	}
	for range 100 {
		add("")
	}
	if a := add(""); a.status != 429 {
		t.Errorf("registering for ever: %d %s", a.status, a.body)
	}
	s.acc.registrationOpen = false
	if a := add("", "Authorization: Bearer "+alice.access); a.status != 200 {
		t.Errorf("an administrator is throttled, or kept out: %d %s", a.status, a.body)
	}
	if a := add("", "Authorization: Bearer "+bob.access); a.status != 403 {
		t.Errorf("a user, while registration is closed: %d %s", a.status, a.body)
	}
}

// TestFindUsers: what the query of a list may be.
func TestFindUsers(t *testing.T) {
	s := startServer(t)
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		s.register(name, goodPassword)
	}
	s.grant("alice", "admin")
	s.grant("carol", "reports")
	alice := s.begin("alice")
	s.as(alice, "PATCH", "/users/dave/", `{"disabled":true,"full_name":"100% <b>Bob_</b>","email":"Dave@example.com"}`)
	for _, tt := range []struct{ query, want string }{
		{"", "alice bob carol dave -"},
		{"limit=2", "alice bob bob"},
		{"limit=2&after=bob", "carol dave dave"},
		{"limit=2&after=dave", "-"},
		{"limit=4", "alice bob carol dave dave"},
		{"after=B", "bob carol dave -"},
		{"q=BOB", "bob dave -"},
		{"q=%EF%BC%A2ob", "bob dave -"},
		{"q=%25", "dave -"},
		{"q=_", "dave -"},
		{"q=%5C", "-"},
		{"q='", "-"},
		{"q=%3Cb", "dave -"},
		{"q=bob&after=bob", "dave -"},
		{"email=dave@EXAMPLE.com", "dave -"},
		{"email=dave", "-"},
		{"disabled=true", "dave -"},
		{"disabled=false&q=o", "bob carol -"},
		{"scope=admin", "alice -"},
		{"scope=report", "-"},
		{"q=", "422 q string_too_short"},
		{"q=%00", "422 q value_error"},
		{"q=%ff", "422 q value_error"},
		{"q=" + strings.Repeat("a", 151), "422 q string_too_long"},
		{"q=a&q=b", "422 q value_error"},
		{"q=a;b", "422 query value_error"},
		{"page=2", "422 page extra_forbidden"},
		{"Limit=2", "422 Limit extra_forbidden"},
		{"limit=0", "422 limit greater_than_equal"},
		{"limit=1001", "422 limit less_than_equal"},
		{"limit=99999999999999999999", "422 limit less_than_equal"},
		{"limit=", "422 limit int_parsing"},
		{"after=", "422 after string_too_short"},
		{"after=" + strings.Repeat("%EF%B7%BA", 140), "422 after value_error"},
		{"disabled=maybe", "422 disabled bool_parsing"},
		{"scope=a+b", "422 scope value_error"},
		{"scope=any", "422 scope value_error"},
		{"%zz", "422 query value_error"},
	} {
		if got := describePage(s.as(alice, "GET", "/users/?"+tt.query, "")); got != tt.want {
			t.Errorf("?%s: %q; want %q", tt.query, got, tt.want)
		}
	}
}

// describePage returns the names on a page and the next, or what is wrong with the query.
func describePage(a answer) string {
	page, _ := a.json().(object)
	if a.status == 422 {
		first := page["detail"].([]any)[0].(object)
		loc := first["loc"].([]any)
		return fmt.Sprint("422 ", loc[len(loc)-1], " ", first["type"])
	}
	var words []string
	for _, u := range page["users"].([]any) {
		words = append(words, u.(object)["username"].(string))
	}
	next, _ := page["next"].(string)
	if next == "" {
		next = "-"
	}
	return strings.Join(append(words, next), " ")
}

// TestReadEvents: what the query of the events may be, and what users see of theirs.
func TestReadEvents(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "admin")
		alice := s.begin("alice")
		s.clock.Advance(10 * time.Minute)
		since := s.clock.Now().UTC().Format(time.RFC3339Nano)
		s.login("username=bob&password=wrong")
		s.login("username=nobody+at+all&password=wrong")
		bob := s.begin("bob")
		s.as(bob, "PATCH", "/users/me/", `{"full_name":"Bob"}`)
		s.as(alice, "PATCH", "/users/bob/", `{"email":"b@example.com"}`)
		for _, tt := range []struct{ query, want string }{
			{"", "user_created user_created privilege_permissions_changed authn_login_success authn_login_fail authn_login_fail authn_login_success user_updated user_updated <nil>"},
			{"limit=2", "user_created user_created 2"},
			{"limit=2&after=2", "privilege_permissions_changed authn_login_success 4"},
			{"after=8", "user_updated <nil>"},
			{"after=9", "<nil>"},
			{"username=BOB", "user_created authn_login_fail authn_login_success user_updated user_updated <nil>"},
			{"username=carol", "<nil>"},
			{"event=authn_login_fail", "authn_login_fail authn_login_fail <nil>"},
			{"event=authn_login_fail&username=bob", "authn_login_fail <nil>"},
			{"since=" + url.QueryEscape(since) + "&limit=1", "authn_login_fail 5"},
			{"since=2000-01-01T00:00:00+01:00&limit=1", "user_created 1"},
			{"since=9999-01-01T00:00:00Z", "<nil>"},
			{"event=login", "422 event enum"},
			{"since=yesterday", "422 since datetime_from_date_parsing"},
			{"after=-1", "422 after int_parsing"},
			{"after=x", "422 after int_parsing"},
			{"q=x", "422 q extra_forbidden"},
			{"username=%00", "422 username value_error"},
		} {
			if got := describeEvents(s.as(alice, "GET", "/events/?"+tt.query, "")); got != tt.want {
				t.Errorf("?%s: %q; want %q", tt.query, got, tt.want)
			}
		}
		last := s.as(alice, "GET", "/events/?after=8", "").json().(object)["events"].([]any)[0].(object)
		if last["actor"] != "alice" || last["username"] != "bob" || last["detail"] != "email" || last["ip"] != "127.0.0.1" {
			t.Errorf("the last event is %v", last)
		}
		own := s.as(bob, "GET", "/users/me/events/", "")
		for _, want := range []string{
			`"event":"user_updated","ip":null,"user_agent":null,"detail":"email, by_administrator"},{`,
			`"event":"user_updated","ip":"127.0.0.1","user_agent":"Go-http-client/1.1","detail":"full_name"},{`,
			`"event":"authn_login_fail","ip":"127.0.0.1"`,
		} {
			if !strings.Contains(own.body, want) {
				t.Errorf("bob's own events have no %s: %s", want, own.body)
			}
		}
		if strings.Contains(own.body, "alice") || strings.Count(own.body, `"at"`) != 5 {
			t.Errorf("bob's own events are %s", own.body)
		}
	})
}

// describeEvents returns the names of the events on a page and the next ID, or what is wrong.
func describeEvents(a answer) string {
	if a.status == 422 {
		return describePage(a)
	}
	page, _ := a.json().(object)
	if a.status != 200 {
		return fmt.Sprint(a.status, " ", a.body)
	}
	var words []string
	for _, e := range page["events"].([]any) {
		words = append(words, e.(object)["event"].(string))
	}
	return strings.Join(append(words, fmt.Sprint(page["next"])), " ")
}

// TestOwnEventsOfNamesake: who takes a name that was free again sees nothing of its last owner.
func TestOwnEventsOfNamesake(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.as(s.begin("bob"), "DELETE", "/users/me/", "")
		s.register("bob", goodPassword)
		if a := s.as(s.begin("bob"), "GET", "/users/me/events/", ""); strings.Count(a.body, `"at"`) != 2 || strings.Contains(a.body, "user_deleted") {
			t.Errorf("the new bob sees %s", a.body)
		}
	})
}

// TestEnsureAdmin: the administrator of the settings is created once, and nobody is changed.
func TestEnsureAdmin(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		ctx := t.Context()
		for range 2 {
			if err := s.acc.ensureAdmin(ctx, "Root", goodPassword); err != nil {
				t.Fatal(err)
			}
		}
		root, err := s.acc.userByName(ctx, "root")
		if err != nil || root.Scopes != "admin" || root.Username != "Root" {
			t.Errorf("root is %+v, %v", root, err)
		}
		if lines := s.lastEvents(1); !slices.Equal(lines, []string{"user_created|Root|env:ADMIN_USERNAME|+admin"}) {
			t.Errorf("the last event is %q", lines)
		}
		if strings.Contains(s.log.String(), "no administrator") {
			t.Error("a warning about an administrator")
		}
		if err := s.acc.ensureAdmin(ctx, "ALICE", "another password"); err != nil {
			t.Fatal(err)
		}
		if alice, err := s.acc.userByName(ctx, "alice"); err != nil || alice.Scopes != "" {
			t.Errorf("alice is %+v, %v", alice, err)
		}
		s.begin("alice")
		if !strings.Contains(s.log.String(), "ADMIN_USERNAME names a user who is no administrator") {
			t.Error("no warning about a user who is no administrator")
		}
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if err := s.acc.ensureAdmin(cancelled, "other", goodPassword); err == nil {
			t.Error("no error although nothing was done")
		}
	})
}
