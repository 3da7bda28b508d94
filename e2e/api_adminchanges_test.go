package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func testAdminCreates(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	post := func(body string) answer { return s.authorized(t, "POST", "/users/", body, admin) }
	a := post(`{"username":"ann","password":"` + password + `","email":"a@example.org","full_name":"Ann","scopes":["b","admin","b"],"disabled":false}`)
	checkStatus(t, a, 200)
	u := s.authorized(t, "GET", "/users/ANN/", "", admin).user(t)
	if u.Username != "ann" || orNull(u.Email) != "a@example.org" || orNull(u.FullName) != "Ann" || u.Disabled || !slices.Equal(u.Scopes, []string{"admin", "b"}) {
		t.Errorf("got %+v; want ann with the scopes admin and b", u)
	}
	checkStatus(t, s.authorized(t, "GET", "/users/", "", s.logIn(t, "ann")), 200)

	checkStatus(t, post(`{"username":"dis","password":"`+password+`","disabled":true,"scopes":["admin"]}`), 200)
	if u := s.authorized(t, "GET", "/users/dis/", "", admin).user(t); !u.Disabled {
		t.Errorf("got %+v; want dis disabled", u)
	}
	checkPassword(t, s, "dis", password, false)
	checkProblem(t, post(newUser("ANN", nextPassword)), 400, "Username already registered")
	checkPassword(t, s, "ann", password, true)
	for _, extra := range []string{
		`"scopes":["a b"]`, `"scopes":["any"]`, `"scopes":[""]`, `"scopes":"admin"`, `"scopes":[1]`, `"scopes":[["admin"]]`, `"disabled":"true"`, `"disabled":1`,
		`"scopes":["` + strings.Join(scopes(33), `","`) + `"]`, `"scopes":["` + strings.Repeat("a", 65) + `"]`, `"scopes":{"admin":true}`, `"scopes":["admin\u0000"]`,
	} {
		a := post(`{"username":"eve","password":"` + password + `",` + extra + `}`)
		checkStatus(t, a, 422)
		checkProblem(t, s.authorized(t, "GET", "/users/eve/", "", admin), 404, "Not Found")
	}
}

// testAdminCreatesClosed: administrators create users when nobody else may, and as many as
// they like.
func testAdminCreatesClosed(t *testing.T, p place) {
	s := p.start(t, withRoot("ALLOW_REGISTRATION=false")...)
	admin := s.logIn(t, root)
	checkStatus(t, s.do(t, "POST", "/users/", newUser("eve", password), jsonType), 403)
	for i := range 25 {
		checkStatus(t, s.authorized(t, "POST", "/users/", newUser(fmt.Sprint("user", i), password), admin), 200)
	}
	user := s.logIn(t, "user0")
	checkStatus(t, s.authorized(t, "POST", "/users/", newUser("eve", password), user), 403)
	checkProblem(t, s.authorized(t, "GET", "/users/eve/", "", admin), 404, "Not Found")
}

// testAdminChanges: a change does what it says and leaves the rest.
func testAdminChanges(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	s.register(t, "Alice")
	s.register(t, "bob")
	created := s.authorized(t, "GET", "/users/alice/", "", admin).user(t).CreatedAt
	for _, tt := range []struct{ body, email, name, scopes string }{
		{`{"email":"A@Example.ORG"}`, "A@example.org", "null", ""},
		{`{"full_name":"<b>Alice</b> \u202e'--"}`, "A@example.org", "<b>Alice</b> \u202e'--", ""},
		{`{}`, "A@example.org", "<b>Alice</b> \u202e'--", ""},
		{`{"scopes":["z","a","z"]}`, "A@example.org", "<b>Alice</b> \u202e'--", "a z"},
		{`{"email":null}`, "null", "<b>Alice</b> \u202e'--", "a z"},
		{`{"email":"b@example.org","full_name":null,"scopes":["m"]}`, "b@example.org", "null", "m"},
		{`{"scopes":[]}`, "b@example.org", "null", ""},
		{`{"disabled":false,"full_name":""}`, "b@example.org", "", ""},
		{`{"scopes":["` + strings.Join(scopes(32), `","`) + `"]}`, "b@example.org", "", strings.Join(slices.Sorted(slices.Values(scopes(32))), " ")},
	} {
		for _, a := range []answer{s.patch(t, admin, "ＡＬＩＣＥ", tt.body), s.authorized(t, "GET", "/users/alice/", "", admin)} {
			u := a.user(t)
			got := []string{u.Username, orNull(u.Email), orNull(u.FullName), strings.Join(u.Scopes, " "), fmt.Sprint(u.Disabled, u.CreatedAt.Equal(created))}
			if want := []string{"Alice", tt.email, tt.name, tt.scopes, "false true"}; !slices.Equal(got, want) {
				t.Errorf("%s: got %q; want %q", tt.body, got, want)
			}
		}
	}
	checkPlain(t, s, admin, "bob")
	checkPassword(t, s, "alice", password, true)
}

// testAdminRefusedChanges: of a change with anything wrong in it nothing is done.
func testAdminRefusedChanges(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	s.register(t, "alice")
	alice := s.signIn(t, "alice")
	for _, body := range []string{
		`{"username":"bob"}`, `{"username":"alice"}`, `{"disbled":true}`, `{"Disabled":true}`, `{"DISABLED":true}`, `{"disabled":"true"}`, `{"disabled":1}`, `{"disabled":null}`,
		`{"scopes":null}`, `{"scopes":"admin"}`, `{"scopes":["a b"]}`, `{"scopes":["any"]}`, `{"scopes":[null]}`, `{"scopes":[""]}`, `{"scopes":["ä"]}`,
		`{"scopes":["` + strings.Join(scopes(33), `","`) + `"]}`, `{"password":"short"}`, `{"password":"alice"}`, `{"password":"password1"}`, `{"password":null}`, `{"password":12345678}`,
		`{"email":"nobody"}`, `{"email":""}`, `{"email":"a@example.org\r\nBcc: b@example.org"}`, `{"full_name":"a\u0000b"}`, `{"full_name":1}`,
		`{"created_at":"2001-01-01T00:00:00Z"}`, `{"hashed_password":"x"}`, `{"password_hash":"x"}`, `{"id":1}`, `{"uid":"x"}`, `{"":1}`, `{"__proto__":{"disabled":true}}`,
		`{"disabled":true,"disabled":false}`, `{"disabled":true,"scopes":["a b"]}`, `{"password":"` + nextPassword + `","disbled":true}`, `{"email":"e@example.org","password":"short"}`,
		``, `null`, `[]`, `"x"`, `{`, `{} {}`, `{"disabled":true}x`, `[{"disabled":true}]`,
	} {
		a := s.patch(t, admin, "alice", body)
		if body == "" {
			a = s.do(t, "PATCH", "/users/alice/", "", "Authorization: Bearer "+admin, jsonType)
		}
		checkStatus(t, a, 422)
		if strings.Contains(a.body, nextPassword) || strings.Contains(a.body, "hort") && strings.Contains(body, `"short"`) && strings.Contains(a.body, `"short"`) {
			t.Errorf("%s: the answer repeats the password: %s", body, a.body)
		}
	}
	checkStatus(t, s.do(t, "PATCH", "/users/alice/", `{"disabled":true}`, "Authorization: Bearer "+admin, "Content-Type: text/plain"), 422)
	checkProblem(t, s.patch(t, admin, "nobody", `{"disabled":true}`), 404, "Not Found")
	checkPlain(t, s, admin, "alice")
	checkMe(t, s.me(t, alice.Access), "alice")
	checkPassword(t, s, "alice", password, true)
	checkPassword(t, s, "alice", nextPassword, false)
}

// testAdminChangesAtOnce: of two lists of scopes one stays, and it is whole; what others
// change meanwhile is not undone.
func testAdminChangesAtOnce(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	s.register(t, "alice")
	alice := s.logIn(t, "alice")
	lists := []string{"a1 a2 a3", "b1 b2 b3"}
	for round := range 6 {
		answers := atOnce(t, 6, func(i int) (answer, error) {
			if i%3 == 2 {
				return s.try(t.Context(), "PATCH", "/users/me/", fmt.Sprintf(`{"full_name":"%d"}`, round), jsonType, "Authorization: Bearer "+alice)
			}
			list := `{"scopes":["` + strings.ReplaceAll(lists[i%3], " ", `","`) + `"]}`
			return s.try(t.Context(), "PATCH", "/users/alice/", list, jsonType, "Authorization: Bearer "+admin)
		})
		for _, a := range answers {
			checkStatus(t, a, 200)
		}
		u := s.authorized(t, "GET", "/users/alice/", "", admin).user(t)
		if got := strings.Join(u.Scopes, " "); !slices.Contains(lists, got) || orNull(u.FullName) != fmt.Sprint(round) {
			t.Errorf("got %+v, called %s; want one of %q", u, orNull(u.FullName), lists)
		}
	}
}

// testAdminPassword: a password that an administrator sets is the only one, ends all
// sessions and forgets wrong guesses.
func testAdminPassword(t *testing.T, p place) {
	s := p.start(t, withRoot(behindProxy()...)...)
	admin := s.logIn(t, root)
	s.registerFrom(t, "alice", home)
	one, two := s.signIn(t, "alice", from(home)), s.signIn(t, "alice", from(stranger(1)))
	for n := 0; s.guess(t, "alice", stranger(2)).StatusCode != 429; n++ {
		if n > 200 {
			t.Fatal("nobody has to wait")
		}
	}
	checkStatus(t, s.patch(t, admin, "alice", `{"password":"`+nextPassword+`"}`), 200)
	checkEnded(t, s, one)
	checkEnded(t, s, two)
	form := url.Values{"username": {"alice"}, "password": {nextPassword}}.Encode()
	s.do(t, "POST", "/token", form, formType, from(stranger(3))).granted(t)
	checkWrong(t, s.do(t, "POST", "/token", loginForm("alice"), formType, from(home)))
	checkMe(t, s.me(t, admin), root)
}

// testAdminDisables: who is disabled is out at once, and in again only by a new login.
func testAdminDisables(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	elsewhere := key{algorithm: "HS256", secret: aKey}.mint(t, "alice")
	checkMe(t, s.me(t, elsewhere), "alice")
	for range 2 {
		if u := s.patch(t, admin, "ALICE", `{"disabled":true}`).user(t); !u.Disabled {
			t.Errorf("got %+v; want her disabled", u)
		}
		checkEnded(t, s, g)
		checkProblem(t, s.me(t, elsewhere), 401, "Could not validate credentials")
		checkPassword(t, s, "alice", password, false)
	}
	// Both or neither: the password is set although nobody may log in with it yet.
	checkStatus(t, s.patch(t, admin, "alice", `{"disabled":true,"password":"`+nextPassword+`"}`), 200)
	checkPassword(t, s, "alice", nextPassword, false)
	if u := s.patch(t, admin, "alice", `{"disabled":false}`).user(t); u.Disabled {
		t.Errorf("got %+v; want her enabled", u)
	}
	checkEnded(t, s, g)
	checkPassword(t, s, "alice", password, false)
	checkPassword(t, s, "alice", nextPassword, true)
}

func testAdminDeletes(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	checkStatus(t, s.patch(t, admin, "alice", `{"scopes":["admin"],"email":"a@example.org"}`), 200)
	checkEmpty(t, s.authorized(t, "DELETE", "/users/ALICE/", "", admin), 204)
	checkEnded(t, s, g)
	checkPassword(t, s, "alice", password, false)
	for _, a := range []answer{
		s.authorized(t, "DELETE", "/users/alice/", "", admin), s.authorized(t, "GET", "/users/alice/", "", admin),
		s.patch(t, admin, "alice", `{}`), s.authorized(t, "GET", "/users/alice/sessions/", "", admin),
		s.authorized(t, "DELETE", "/users/alice/sessions/", "", admin), s.authorized(t, "DELETE", "/users/alice/sessions/x", "", admin),
	} {
		checkProblem(t, a, 404, "Not Found")
	}
	s.register(t, "alice")
	checkPlain(t, s, admin, "alice")
	checkEnded(t, s, g)
	checkProblem(t, s.authorized(t, "GET", "/users/", "", s.logIn(t, "alice")), 403, noPermission)
}

// testAdminDeletesAtOnce: of those who delete a user at once one has done it, and no change
// at the same time brings the user back.
func testAdminDeletesAtOnce(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	for round := range 5 {
		name := fmt.Sprint("user", round)
		s.register(t, name)
		deleted := 0
		answers := atOnce(t, 8, func(i int) (answer, error) {
			if i%2 == 0 {
				return s.try(t.Context(), "DELETE", "/users/"+name+"/", "", "Authorization: Bearer "+admin)
			}
			return s.try(t.Context(), "PATCH", "/users/"+name+"/", `{"disabled":true,"scopes":["admin"]}`, jsonType, "Authorization: Bearer "+admin)
		})
		for _, a := range answers {
			switch a.StatusCode {
			case 204:
				deleted++
			case 200:
			default:
				checkProblem(t, a, 404, "Not Found")
			}
		}
		if deleted != 1 {
			t.Errorf("%d have deleted %s; want 1", deleted, name)
		}
		checkProblem(t, s.authorized(t, "GET", "/users/"+name+"/", "", admin), 404, "Not Found")
	}
}

// testAdminSessions: an administrator sees and ends the sessions of others, each under its
// own user.
func testAdminSessions(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	s.register(t, "alice")
	s.register(t, "bob")
	one, two, bob := s.signIn(t, "alice", "User-Agent: Phone"), s.signIn(t, "alice"), s.signIn(t, "bob")
	a := s.authorized(t, "GET", "/users/ALICE/sessions/", "", admin)
	checkStatus(t, a, 200)
	var list []session
	strictly(t, a.body, &list)
	if len(list) != 2 || strings.Contains(a.body, "current") || !strings.Contains(a.body, "Phone") {
		t.Errorf("got %s; want two sessions, without current", a.body)
	}
	id, bobs := s.current(t, one.Access).ID, s.current(t, bob.Access).ID
	for _, tt := range []struct{ name, id string }{{"alice", bobs}, {"bob", id}, {"alice", "x"}, {"alice", "%00"}, {"nobody", id}, {root, id}} {
		checkProblem(t, s.authorized(t, "DELETE", userPath(tt.name, "sessions", tt.id), "", admin), 404, "Not Found")
	}
	checkMe(t, s.me(t, bob.Access), "bob")
	checkEmpty(t, s.authorized(t, "DELETE", userPath("Alice", "sessions", id), "", admin), 204)
	checkProblem(t, s.authorized(t, "DELETE", userPath("Alice", "sessions", id), "", admin), 404, "Not Found")
	checkEnded(t, s, one)
	two = checkGoesOn(t, s, two, "alice")
	checkEmpty(t, s.authorized(t, "DELETE", "/users/alice/sessions/", "", admin), 204)
	checkEnded(t, s, two)
	checkGoesOn(t, s, bob, "bob")
	checkStatus(t, s.authorized(t, "GET", "/users/alice/sessions/?limit=0", "", admin), 422)
	if a := s.authorized(t, "GET", "/users/alice/sessions/", "", admin); a.body != "[]" {
		t.Errorf("alice has the sessions %s; want none", a.body)
	}
}

// testDisabledEverywhere: who is disabled or deleted at one replica is out at the others at
// once, in the middle of much traffic.
func testDisabledEverywhere(t *testing.T, p place) {
	here, admin := p.startWithRoot(t)
	there := p.startUnthrottled(t)
	ends := []func(name string) answer{
		func(name string) answer { return here.patch(t, admin, name, `{"disabled":true}`) },
		func(name string) answer { return here.patch(t, admin, name, `{"password":"`+nextPassword+`"}`) },
		func(name string) answer { return here.authorized(t, "DELETE", userPath(name), "", admin) },
		func(name string) answer {
			return here.authorized(t, "DELETE", userPath(name, "sessions", ""), "", admin)
		},
	}
	for i, end := range ends {
		name := fmt.Sprint("alice", i)
		here.register(t, name)
		g := there.signIn(t, name)
		checkMe(t, there.me(t, g.Access), name)
		if a := end(name); a.StatusCode != http.StatusOK && a.StatusCode != http.StatusNoContent {
			t.Fatalf("got %d %s", a.StatusCode, a.body)
		}
		checkEnded(t, there, g)
		checkEnded(t, here, g)
	}
}

// testAdminHangsUp: what an administrator has asked for is done and recorded, or neither,
// though nobody waits for the answer.
func testAdminHangsUp(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	const n = 12
	for i := range n {
		s.register(t, fmt.Sprint("user", i))
	}
	for i := range n {
		c := s.dial(t)
		body := `{"scopes":["granted"]}`
		c.send(head(fmt.Sprintf("PATCH /users/user%d/ HTTP/1.1", i), "Host: x", "Authorization: Bearer "+admin, jsonType, contentLength(body)) + body)
		if i%2 == 0 {
			<-time.After(time.Duration(i) * time.Millisecond / 4)
		}
		c.Close()
	}
	var granted, recorded int
	waitFor(t, "as many events as changes", func() bool {
		granted = len(s.find(t, admin, "scope=granted"))
		recorded = len(s.feed(t, admin, "event=privilege_permissions_changed"))
		return granted == recorded && granted > 0
	})
	t.Logf("%d of %d were granted", granted, n)
}
