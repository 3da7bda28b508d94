package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// testFirstAdminRace: of 16 servers that start at once on an empty store one makes the
// administrator, and all serve.
func testFirstAdminRace(t *testing.T, p place) {
	var servers []*server
	for i := range 16 {
		env := append(p.with("ADDR=localhost:0", "PBKDF2_ITERATIONS=100000", "THROTTLE=off", "ADMIN_USERNAME="+root), "ADMIN_PASSWORD="+rootPassword(i))
		servers = append(servers, launch(t, invocation{env: env, fast: true}))
	}
	for _, s := range servers {
		s.awaitStart(t)
	}
	if n := p.number(t, "SELECT count(*) FROM users"); n != 1 {
		t.Errorf("%d users; want 1", n)
	}
	works := 0
	for i := range servers {
		if a := servers[(i+1)%16].logInBy(t, root, rootPassword(i)); a.StatusCode == 200 {
			works++
			for _, s := range servers {
				checkStatus(t, s.authorized(t, "GET", "/users/", "", a.token()), 200)
			}
			created := slices.DeleteFunc(servers[0].feed(t, a.token(), "event=user_created"), func(e event) bool { return orNull(e.Username) != root })
			if len(created) != 1 {
				t.Errorf("%d events say that root was created; want 1: %v", len(created), created)
			}
		}
	}
	if works != 1 {
		t.Errorf("%d of 16 passwords work; want 1", works)
	}
	for _, s := range servers {
		s.client.CloseIdleConnections()
		if code := s.stop(t); code != 0 {
			t.Errorf("exit code %d; want 0", code)
		}
	}
}

func rootPassword(i int) string { return fmt.Sprintf("%s-of-%d", password, i) }

// testFirstAdminTaken: where somebody has the name, in any spelling, a start changes nothing
// about them, and warns if they are no administrator.
func testFirstAdminTaken(t *testing.T, p place) {
	p.add(t, "Alice", "-scope", "reports", "-email", "a@example.org")
	before := p.list(t)
	for _, tt := range []struct {
		name    string
		prepare []string
		warns   bool
	}{
		{"a user without the scope", nil, true},
		{"a user who is disabled", []string{"disable", "alice"}, true},
		{"an administrator", []string{"grant", "alice", "admin"}, false},
	} {
		if tt.prepare != nil {
			p.must(t, append([]string{"users"}, tt.prepare...)...)
			before = p.list(t)
		}
		for _, name := range []string{"alice", "ＡＬＩＣＥ"} {
			s := p.startUnthrottled(t, "ADMIN_USERNAME="+name, "ADMIN_PASSWORD="+nextPassword)
			warned := slices.ContainsFunc(strings.Split(s.log.String(), "\n"), func(line string) bool {
				return strings.Contains(line, `"WARN"`) && strings.Contains(line, "administrator")
			})
			if disabledAdmin := tt.prepare != nil && tt.prepare[0] == "grant"; warned != tt.warns && !disabledAdmin {
				t.Errorf("%s: a warning: %v; want %v: %s", tt.name, warned, tt.warns, s.log)
			}
			checkPassword(t, s, "alice", nextPassword, false)
			s.client.CloseIdleConnections()
			s.stop(t)
			if after := p.list(t); fmt.Sprint(len(after), after["Alice"].Disabled, after["Alice"].Scopes) != fmt.Sprint(1, before["Alice"].Disabled, before["Alice"].Scopes) {
				t.Errorf("%s: the users are %+v; want %+v", tt.name, after, before)
			}
		}
	}
}

// testFirstAdminRestarts: the password of the first start holds, and those of later ones do
// not; an administrator who was demoted stays so, and one who was deleted comes again.
func testFirstAdminRestarts(t *testing.T, p place) {
	restart := func(password string) *server {
		return p.startUnthrottled(t, "ADMIN_USERNAME="+root, "ADMIN_PASSWORD="+password)
	}
	restart(password).stop(t)
	s := restart(nextPassword)
	checkPassword(t, s, root, password, true)
	checkPassword(t, s, root, nextPassword, false)
	p.must(t, "users", "revoke", root, "admin")
	s.client.CloseIdleConnections()
	s.stop(t)

	s = restart(password)
	checkProblem(t, s.authorized(t, "GET", "/users/", "", s.logIn(t, root)), 403, noPermission)
	p.must(t, "users", "delete", root, "-yes")
	s.client.CloseIdleConnections()
	s.stop(t)

	s = restart(nextPassword)
	checkPassword(t, s, root, nextPassword, true)
}

// TestFirstAdministrator: settings of an administrator that cannot be made stop the start, and
// no message shows the password.
func TestFirstAdministrator(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, text)
		return path
	}
	tests := []struct {
		name string
		env  []string
		says []string
	}{
		{"a short password", []string{"ADMIN_USERNAME=root", "ADMIN_PASSWORD=xq7-vKz"}, []string{"ADMIN_PASSWORD"}},
		{"a common password", []string{"ADMIN_USERNAME=root", "ADMIN_PASSWORD=trustno1"}, []string{"ADMIN_PASSWORD"}},
		{"the name as password", []string{"ADMIN_USERNAME=root-vkzq-8", "ADMIN_PASSWORD=root-vkzq-8"}, []string{"ADMIN_PASSWORD"}},
		{"the name in capitals as password", []string{"ADMIN_USERNAME=root-vkzq-8", "ADMIN_PASSWORD=ROOT-VKZQ-8"}, []string{"ADMIN_PASSWORD"}},
		{"no password", []string{"ADMIN_USERNAME=root"}, []string{"ADMIN_PASSWORD"}},
		{"no name", []string{"ADMIN_PASSWORD=" + nextPassword}, []string{"ADMIN_USERNAME"}},
		{"an empty name", []string{"ADMIN_USERNAME=", "ADMIN_PASSWORD=" + nextPassword}, []string{"ADMIN_USERNAME"}},
		{"an empty password", []string{"ADMIN_USERNAME=root", "ADMIN_PASSWORD="}, []string{"ADMIN_PASSWORD"}},
		{"both forms", []string{"ADMIN_USERNAME=root", "ADMIN_PASSWORD=" + nextPassword, "ADMIN_PASSWORD_FILE=" + file("both", nextPassword)}, []string{"ADMIN_PASSWORD_FILE"}},
		{"a file that is not there", []string{"ADMIN_USERNAME=root", "ADMIN_PASSWORD_FILE=" + filepath.Join(dir, "none")}, []string{"ADMIN_PASSWORD_FILE"}},
		{"a file that is empty", []string{"ADMIN_USERNAME=root", "ADMIN_PASSWORD_FILE=" + file("empty", "\n")}, []string{"ADMIN_PASSWORD"}},
		{"a file with a short password", []string{"ADMIN_USERNAME=root", "ADMIN_PASSWORD_FILE=" + file("short", "xq7-vKz\n")}, []string{"ADMIN_PASSWORD"}},
		{"a file with two lines", []string{"ADMIN_USERNAME=root", "ADMIN_PASSWORD_FILE=" + file("lines", nextPassword+"\nsecond\n")}, []string{"ADMIN_PASSWORD"}},
		{"a file of invalid UTF-8", []string{"ADMIN_USERNAME=root", "ADMIN_PASSWORD_FILE=" + file("latin", nextPassword+"\xff\n")}, []string{"ADMIN_PASSWORD"}},
		{"a file without the name", []string{"ADMIN_PASSWORD_FILE=" + file("nameless", nextPassword)}, []string{"ADMIN_USERNAME"}},
		{"the name me", []string{"ADMIN_USERNAME=me", "ADMIN_PASSWORD=" + nextPassword}, []string{"ADMIN_USERNAME"}},
		{"a name with a newline", []string{"ADMIN_USERNAME=ro\not", "ADMIN_PASSWORD=" + nextPassword}, []string{"ADMIN_USERNAME"}},
		{"a name of 151 characters", []string{"ADMIN_USERNAME=" + strings.Repeat("a", 151), "ADMIN_PASSWORD=" + nextPassword}, []string{"ADMIN_USERNAME"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "users.db")
			got := invocation{env: append(onFile(path, "ADDR=192.0.2.1:1"), tt.env...)}.run(t) // an address that no machine has: a command line that is accepted by mistake ends, too
			checkFailed(t, got, 2, tt.says...)
			checkUnprinted(t, got, nextPassword, "xq7-vKz", "trustno1", "ROOT-VKZQ-8")
			if n := strings.Count(got.stderr, "root-vkzq-8"); n > 1 {
				t.Errorf("the password, which is the name, is printed: %s", got.stderr)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("there is a database")
			}
		})
	}
}

// TestFirstAdministratorFile: a password in a file ends before its line end, and keeps its blanks.
func TestFirstAdministratorFile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		nextPassword:                 nextPassword,
		nextPassword + "\n":          nextPassword,
		nextPassword + "\r\n":        nextPassword,
		`"` + nextPassword + `"`:     `"` + nextPassword + `"`,
		" " + nextPassword + "  \n":  " " + nextPassword + "  ",
		"größe-密码-🦊-" + nextPassword: "größe-密码-🦊-" + nextPassword,
	} {
		t.Run(fmt.Sprintf("%q", text), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "password")
			writeFile(t, path, text)
			s := inMemory(t).startUnthrottled(t, "ADMIN_USERNAME="+root, "ADMIN_PASSWORD_FILE="+path)
			checkPassword(t, s, root, want, true)
			a := s.authorized(t, "GET", "/users/", "", s.logInBy(t, root, want).token())
			if got := a.userPage(t); len(got.Users) != 1 || !slices.Equal(got.Users[0].Scopes, []string{"admin"}) {
				t.Errorf("got %s; want root alone, with the scope admin", a.body)
			}
		})
	}
}

// TestNoFirstAdministrator: without the settings nobody becomes an administrator, not even
// who registers first.
func TestNoFirstAdministrator(t *testing.T) {
	t.Parallel()
	s := inMemory(t).startUnthrottled(t)
	for _, name := range []string{"admin", "Root", "administrator"} {
		s.register(t, name)
		checkProblem(t, s.authorized(t, "GET", "/users/", "", s.logIn(t, name)), 403, noPermission)
	}
	for _, path := range []string{"/setup", "/setup/", "/admin/", "/users/admin/setup"} {
		checkStatus(t, s.do(t, "POST", path, "{}", jsonType), 404)
	}
}
