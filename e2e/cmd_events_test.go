package e2e

import (
	"fmt"
	"os/user"
	"strings"
	"syscall"
	"testing"
)

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
