package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// nextPassword is what password is changed to. The log check finds it too.
const nextPassword = password + "-and-home"

// change is the body with which a password is changed.
func change(current, next string) string {
	body, _ := json.Marshal(map[string]string{"current_password": current, "new_password": next}) // strings never fail
	return string(body)
}

// logInWith logs alice in with a password.
func (s *server) logInWith(t testing.TB, password string) answer {
	t.Helper()
	return s.do(t, "POST", "/token", "username=alice&password="+password, formType)
}

// testPasswordChange: who knows the password may change it, and only the session
// that has done so lives on.
func testPasswordChange(t *testing.T, p place) {
	s := p.start(t)
	s.register(t, "alice")
	here, thief := s.signIn(t, "alice"), s.signIn(t, "alice")
	set := func(body string) answer { return s.authorized(t, "POST", "/users/me/password", body, here.Access) }

	checkProblem(t, set(change("wrong-"+password, nextPassword)), 400, "Incorrect password")
	for name, body := range map[string]string{
		"a short one":          change(password, "1234567"),
		"a common one":         change(password, "password1"),
		"one's own name":       change(password, "alice"),
		"none":                 `{"current_password":"` + password + `"}`,
		"none to begin with":   `{"new_password":"` + nextPassword + `"}`,
		"null":                 `{"current_password":"` + password + `","new_password":null}`,
		"a number":             `{"current_password":"` + password + `","new_password":12345678}`,
		"the name in capitals": `{"current_password":"` + password + `","New_Password":"` + nextPassword + `"}`,
	} {
		a := set(body)
		checkStatus(t, a, 422)
		if strings.Contains(a.body, password) {
			t.Errorf("%s: the answer %s repeats the password", name, a.body)
		}
	}
	thief = checkGoesOn(t, s, thief, "alice")

	checkEmpty(t, set(change(password, nextPassword)), 204)
	checkEnded(t, s, thief)
	checkGoesOn(t, s, here, "alice")
	checkProblem(t, s.logInWith(t, password), 401, "Incorrect username or password")
	checkGoesOn(t, s, s.logInWith(t, nextPassword).granted(t), "alice")
	if n := len(s.events(t, "authn_password_change")); n != 1 {
		t.Errorf("the log has %d changes; want 1", n)
	}
}

// testProfile: people may change their e-mail address and their full name, and
// nothing else.
func testProfile(t *testing.T, p place) {
	s := p.start(t)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	patch := func(body string) answer { return s.authorized(t, "PATCH", "/users/me/", body, g.Access) }
	for _, step := range []struct{ body, email, name string }{
		{`{"email":"a@Example.org"}`, `"a@example.org"`, `null`},
		{`{"full_name":"Alice 앨리스"}`, `"a@example.org"`, `"Alice 앨리스"`},
		{`{}`, `"a@example.org"`, `"Alice 앨리스"`},
		{`{"Email":"b@example.org","disabled":true,"scopes":["admin"],"id":1}`, `"a@example.org"`, `"Alice 앨리스"`},
		{`{"email":null}`, `null`, `"Alice 앨리스"`},
		{`{"email":"c@example.org","full_name":null}`, `"c@example.org"`, `null`},
		{`{"full_name":"'; DROP TABLE users; --<b>"}`, `"c@example.org"`, `"'; DROP TABLE users; --<b>"`},
		{`{"email":null,"full_name":""}`, `null`, `""`},
	} {
		want := fmt.Sprintf(`{"username":"alice","email":%s,"full_name":%s}`, step.email, step.name)
		for _, a := range []answer{patch(step.body), s.me(t, g.Access)} {
			if a.StatusCode != 200 || a.body != want {
				t.Errorf("%s: %d %s; want %s", step.body, a.StatusCode, a.body, want)
			}
			checkShape(t, a)
		}
	}
	for _, body := range []string{
		`{"username":"bob"}`, `{"username":"alice","email":null}`, `{"password":"` + nextPassword + `"}`,
		`{"email":""}`, `{"email":"nobody"}`, `{"email":1}`, `{"email":["a@example.org"]}`, `{"email":"a@example.org\r\nBcc: b@example.org"}`,
		`{"full_name":false}`, `{"full_name":{}}`, `{"full_name":"a\u0000b"}`, `{"email":"d@example.org","full_name":0}`,
	} {
		checkStatus(t, patch(body), 422)
	}
	want := `{"username":"alice","email":null,"full_name":""}`
	if a := s.me(t, g.Access); a.body != want {
		t.Errorf("after changes that were refused: %s; want %s", a.body, want)
	}
}

// testDeletion: with an account goes all that opens it. Whoever takes the name next
// is somebody else.
func testDeletion(t *testing.T, p place) {
	s := p.start(t)
	s.register(t, "alice")
	old := []grant{s.signIn(t, "alice"), s.signIn(t, "alice")}
	old = append(old, s.refresh(t, old[0].Refresh).granted(t))
	id := s.current(t, old[0].Access).ID
	checkEmpty(t, s.authorized(t, "DELETE", "/users/me/", "", old[0].Access), 204)
	for _, g := range old {
		checkEnded(t, s, g)
	}
	checkProblem(t, s.logInWith(t, password), 401, "Incorrect username or password")
	checkProblem(t, s.authorized(t, "DELETE", "/users/me/", "", old[1].Access), 401, "Could not validate credentials")

	s.register(t, "Alice")
	next := s.signIn(t, "alice")
	for _, g := range old {
		checkEnded(t, s, g)
		s.revoke(t, g.Access)
		s.revoke(t, g.Refresh)
	}
	checkProblem(t, s.authorized(t, "DELETE", "/users/me/sessions/"+id, "", next.Access), 404, "Not Found")
	if n := len(s.sessions(t, next.Access)); n != 1 {
		t.Errorf("the next Alice has %d sessions; want 1", n)
	}
	checkGoesOn(t, s, next, "Alice")
}

// account is every request that needs a token.
var account = []struct{ method, path string }{
	{"GET", "/users/me/"},
	{"HEAD", "/users/me/"},
	{"PATCH", "/users/me/"},
	{"DELETE", "/users/me/"},
	{"POST", "/users/me/password"},
	{"GET", "/users/me/sessions/"},
	{"HEAD", "/users/me/sessions/"},
	{"GET", "/users/me/events/"},
	{"HEAD", "/users/me/events/"},
	{"DELETE", "/users/me/sessions/"},
	{"DELETE", "/users/me/sessions/x"},
}

// TestAccountNeedsToken: without a good token nothing is read or done, whatever else
// is in the request.
func TestAccountNeedsToken(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.register(t, "alice")
	g, ended := s.signIn(t, "alice"), s.signIn(t, "alice")
	s.revoke(t, ended.Access)
	const refused, none = "Could not validate credentials", "Not authenticated"
	for _, to := range account {
		for _, tt := range []struct{ name, header, detail string }{
			{"no token", "X-Token: " + g.Access, none},
			{"a password", "Authorization: Basic YWxpY2U6eA==", none},
			{"a refresh token", "Authorization: Bearer " + g.Refresh, refused},
			{"the token of a session that has ended", "Authorization: Bearer " + ended.Access, refused},
		} {
			t.Run(to.method+" "+to.path+" with "+tt.name, func(t *testing.T) {
				a := s.do(t, to.method, to.path+"?access_token="+g.Access, `{"access_token":"`+g.Access+`"`, tt.header, jsonType)
				if to.method == "HEAD" {
					checkEmpty(t, a, 401)
					return
				}
				checkProblem(t, a, 401, tt.detail)
			})
		}
	}
	checkGoesOn(t, s, g, "alice")
}

// TestForeignTokenAccount: a token that another program has made has no session. It
// reads and changes the account, and ends sessions; but it proves no fresh login.
func TestForeignTokenAccount(t *testing.T) {
	t.Parallel()
	s := start(t, "SECRET_KEY="+aKey)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	foreign := key{algorithm: "HS256", secret: aKey}.mint(t, "alice")
	list := s.sessions(t, foreign)
	if len(list) != 1 || list[0].Current {
		t.Errorf("got %+v; want one session, which is not the current one", list)
	}
	checkStatus(t, s.authorized(t, "PATCH", "/users/me/", `{"email":null}`, foreign), 200)
	checkProblem(t, s.authorized(t, "DELETE", "/users/me/", "", foreign), 403, "Sign in again to delete this account")
	checkEmpty(t, s.authorized(t, "DELETE", "/users/me/sessions/"+list[0].ID, "", foreign), 204)
	checkEnded(t, s, g)
	g = s.signIn(t, "alice")
	checkEmpty(t, s.authorized(t, "POST", "/users/me/password", change(password, nextPassword), foreign), 204)
	checkEnded(t, s, g)
}

// badBodies are no JSON objects, or do not say that they are.
var badBodies = []struct {
	name, body, header string
	status             int
}{
	{"nothing", "", jsonType, 422},
	{"a space", " ", jsonType, 422},
	{"half an object", `{"email":`, jsonType, 422},
	{"null", `null`, jsonType, 422},
	{"a list", `[]`, jsonType, 422},
	{"a string", `"x"`, jsonType, 422},
	{"a number", `1`, jsonType, 422},
	{"two objects", `{}{}`, jsonType, 422},
	{"a comma behind it", `{},`, jsonType, 422},
	{"a NUL behind it", "{}\x00", jsonType, 422},
	{"a name twice", `{"email":null,"email":null}`, jsonType, 422},
	{"a name twice, deep within", `{"x":{"y":[{"z":1,"z":2}]}}`, jsonType, 422},
	{"a name twice, once escaped", `{"email":null,"\u0065mail":null}`, jsonType, 422},
	{"a byte order mark", "\ufeff{}", jsonType, 422},
	{"UTF-16", "\x00{\x00}", jsonType, 422},
	{"invalid UTF-8", "{\"full_name\":\"\xff\"}", jsonType, 422},
	{"half a surrogate pair", `{"full_name":"\ud800"}`, jsonType, 422},
	{"NaN", `{"x":NaN}`, jsonType, 422},
	{"a comment", `{} // x`, jsonType, 422},
	{"a raw newline in a string", "{\"full_name\":\"a\nb\"}", jsonType, 422},
	{"33 levels", strings.Repeat(`{"x":`, 33) + "1" + strings.Repeat("}", 33), jsonType, 422},
	{"9,000 levels", strings.Repeat(`[`, 9000) + strings.Repeat("]", 9000), jsonType, 422},
	{"another type", `{}`, "Content-Type: text/plain", 422},
	{"a form", `email=a%40example.org`, formType, 422},
	{"no type", `{}`, "Accept: */*", 422},
	{"packed", `{}`, "Content-Encoding: gzip", 415},
	{"more than 64 KiB", `{"x":"` + strings.Repeat("a", 64<<10) + `"}`, jsonType, 413},
}

// TestBadBodies: what is no JSON object is refused alike wherever one is wanted.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	for _, tt := range badBodies {
		t.Run(tt.name, func(t *testing.T) {
			send := func(method, path string) answer {
				return s.do(t, method, path, tt.body, tt.header, "Authorization: Bearer "+g.Access)
			}
			want := send("POST", "/users/")
			for _, a := range []answer{want, send("PATCH", "/users/me/"), send("POST", "/users/me/password")} {
				checkStatus(t, a, tt.status)
				if a.body != want.body {
					t.Errorf("%s %s: %s; POST /users/ says %s", a.Request.Method, a.Request.URL.Path, a.body, want.body)
				}
			}
		})
	}
	checkMe(t, s.me(t, g.Access), "alice")
}

// oddIDs are what may stand in the place of a session's ID, which is ID in them.
var oddIDs = []struct {
	name, id string
	status   int
}{
	{"a NUL", "%00", 404},
	{"a NUL behind it", "ID%00", 404},
	{"a space behind it", "ID%20", 404},
	{"padding", "ID%3D", 404},
	{"a newline behind it", "ID%0A", 404},
	{"a line end and a header", "ID%0d%0aSet-Cookie:x=1", 404},
	{"a slash, escaped", "%2f", 404},
	{"a slash before it, escaped", "%2fID", 404},
	{"a slash behind it, escaped", "ID%2f", 404},
	{"two dots, escaped", "%2e%2e", 404},
	{"a parameter", "ID;x=1", 404},
	{"invalid UTF-8", "%ff%fe", 404},
	{"UTF-8", "%ED%95%9C", 404},
	{"half a surrogate pair", "%ed%a0%80", 404},
	{"SQL", "'%20OR%20'1'='1", 404},
	{"a wildcard", "%25", 404},
	{"the ID twice", "IDID", 404},
	{"the ID and a letter, and a query", "IDx?ID", 404},
	{"a broken escape", "ID%", 400},
	{"10,000 characters", strings.Repeat("a", 10_000), 404},
	{"13 KiB", strings.Repeat("a", 13<<10), 431},
}

// TestSessionIDsOnTheWire: whatever stands in the place of a session's ID, it is
// that ID or it is not found, and ends nothing.
func TestSessionIDsOnTheWire(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	id := s.current(t, s.signIn(t, "alice").Access).ID // of another session, which this one may end
	end := func(t *testing.T, id string) answer {
		return s.ask(t, head("DELETE /users/me/sessions/"+id+" HTTP/1.1", "Host: h", "Authorization: Bearer "+g.Access))
	}
	for _, tt := range oddIDs {
		t.Run(tt.name, func(t *testing.T) {
			a := end(t, strings.ReplaceAll(tt.id, "ID", id))
			if a.StatusCode != tt.status {
				t.Errorf("got %d %q; want %d", a.StatusCode, a.body, tt.status)
			}
			if tt.status == 404 {
				checkProblem(t, a, 404, "Not Found")
			}
		})
	}
	if n := len(s.sessions(t, g.Access)); n != 2 {
		t.Errorf("%d sessions are left; want 2", n)
	}
	if a := end(t, fmt.Sprintf("%%%02x%s?keep=current", id[0], id[1:])); a.StatusCode != 204 {
		t.Errorf("the ID with an escape for its first character: %d %s; want 204", a.StatusCode, a.body)
	}
	checkMe(t, s.me(t, g.Access), "alice")
}
