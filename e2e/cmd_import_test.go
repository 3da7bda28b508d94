package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// testImportFields: what a line says is what the user has.
func testImportFields(t *testing.T, p place) {
	got := p.command("users", "import", newUsersFile(t,
		userLine("Alice", `"email":"Alice@EXAMPLE.org"`, `"full_name":"Alice  Adams"`, `"scopes":["b","admin","a"]`,
			`"created_at":"2020-01-01T00:00:00+02:00"`, `"disabled":true`),
		userLine("gro\u0308ße", `"email":"größe@BÜCHER.example"`),
		userLine("bob", `"email":null`, `"full_name":""`, `"scopes":[]`, `"disabled":false`),
	)).run(t)
	checkDone(t, got)
	checkCounts(t, got, 3, 0, 0)
	if !hasCount(got.stdout, "administrators", 1) {
		t.Errorf("%q does not count 1 administrator", got.stdout)
	}
	all := p.list(t)
	alice := all["Alice"]
	if *alice.Email != "Alice@example.org" || *alice.FullName != "Alice  Adams" || !alice.Disabled ||
		strings.Join(alice.Scopes, " ") != "a admin b" || alice.CreatedAt != "2019-12-31T22:00:00Z" {
		t.Errorf("alice is %q, %q, %+v", *alice.Email, *alice.FullName, alice)
	}
	if composed, ok := all["größe"]; !ok || composed.Disabled {
		t.Errorf("the users are %+v; want größe in NFC", all)
	}
	if bob := all["bob"]; bob.Email != nil || bob.FullName == nil || *bob.FullName != "" || len(bob.Scopes) != 0 {
		t.Errorf("bob is %+v", bob)
	}
}

// testImportTaken: names are unique without regard to case and width, in the file and in the
// store. Whoever has the very same name there is left alone.
func testImportTaken(t *testing.T, p place) {
	p.add(t, "Alice", "-email", "alice@example.org", "-scope", "a")
	p.add(t, "größe")
	file := newUsersFile(t,
		userLine("bob"),
		userLine("BOB"),
		userLine("Alice", `"email":"mallory@example.org"`, `"scopes":["admin"]`, `"disabled":true`),
		userLine("ａｌｉｃｅ"),
		userLine("carol"),
		userLine("carol"),
		userLine("gro\u0308ße"),
	)
	got := p.command("users", "import", file).run(t)
	checkReport(t, got, "2", "4", "6")
	for _, pattern := range []string{
		`line 2: .*"BOB".*"bob".*line 1`, `line 4: .*"ａｌｉｃｅ".*"Alice"`, `line 6: .*"carol".*line 5`,
	} {
		if !regexp.MustCompile(pattern).MatchString(got.stderr) {
			t.Errorf("%q does not say %s", got.stderr, pattern)
		}
	}
	if n := p.users(t); got.code != 1 || n != 2 {
		t.Errorf("exit code %d and %d users; want 1 and 2", got.code, n)
	}

	got = p.command("users", "import", file, "-skip-bad").run(t)
	checkReport(t, got, "2", "4", "6")
	checkCounts(t, got, 2, 2, 3)
	if got.code != 1 {
		t.Errorf("exit code %d; want 1", got.code)
	}
	all := p.list(t)
	alice := all["Alice"]
	if len(all) != 4 || *alice.Email != "alice@example.org" || alice.Disabled ||
		strings.Join(alice.Scopes, " ") != "a" {
		t.Errorf("the users are %+v; want Alice unchanged, größe, bob, carol", all)
	}
}

// testImportAgain: an import can be repeated, whatever its users have done meanwhile.
func testImportAgain(t *testing.T, p place) {
	file := newFileOf(t, "")
	cheapHash := hashOf(1000) // which a login replaces
	var lines []string
	for _, name := range []string{"login", "passwd", "change", "disabled", "deleted", "asleep"} {
		lines = append(lines, userLine(name, `"password_hash":"`+cheapHash+`"`, `"scopes":["a"]`))
	}
	writeFile(t, file, strings.Join(lines, "\n"))
	p.must(t, "users", "import", file)

	s := p.startUnthrottled(t)
	g := s.signIn(t, "login") // which makes a new hash
	checkDone(t, p.command("users", "passwd", "passwd").reading(nextPassword).run(t))
	changer := s.signIn(t, "change")
	body := change(password, nextPassword)
	checkEmpty(t, s.authorized(t, "POST", "/users/me/password", body, changer.Access), 204)
	p.must(t, "users", "disable", "disabled")
	p.must(t, "users", "delete", "deleted", "-yes")
	cheap := fmt.Sprintf("SELECT count(*) FROM users WHERE password_hash = '%s'", cheapHash)
	before := p.number(t, cheap)

	writeFile(t, file, strings.ReplaceAll(strings.Join(lines, "\n"), `["a"]`, `["a","admin"]`))
	got := p.command("users", "import", file).run(t)
	checkDone(t, got)
	checkCounts(t, got, 1, 5, 0)
	if after := p.number(t, cheap); after != before+1 {
		t.Errorf("%d users have the hash of the file; want %d and the one who was deleted", after, before)
	}
	checkGoesOn(t, s, g, "login")
	checkPassword(t, s, "passwd", nextPassword, true)
	checkPassword(t, s, "change", nextPassword, true)
	checkPassword(t, s, "deleted", password, true)
	checkPassword(t, s, "asleep", password, true)
	checkPassword(t, s, "passwd", password, false)
	checkPassword(t, s, "disabled", password, false)
	for name, user := range p.list(t) {
		if want := name == "deleted"; (len(user.Scopes) == 2) != want {
			t.Errorf("%s has the scopes %q", name, user.Scopes)
		}
	}
}

// testImportLogins: people log in by the hashes that other programs made, and get one of ours.
func testImportLogins(t *testing.T, p place) {
	all := vectors(t)
	var lines []string
	for i, v := range all {
		lines = append(lines, userLine(fmt.Sprint("user", i), `"password_hash":`+quoted(v.Hash)))
	}
	lines = append(lines, userLine("nobody"))
	got := p.command("users", "import", newUsersFile(t, lines...)).run(t)
	checkDone(t, got)
	for _, word := range []string{"hashes:", "django", "bcrypt", "argon2", "scrypt", "phpass"} {
		if !strings.Contains(got.stdout+got.stderr, word) {
			t.Errorf("the result %q does not say %s", got.stdout, word)
		}
	}
	checkUnprinted(t, got, all[0].Hash)

	s := p.startUnthrottled(t)
	for i, v := range all {
		checkPassword(t, s, fmt.Sprint("user", i), v.Password, true)
	}
	checkPassword(t, s, "nobody", password, false)
	ours := p.number(t, "SELECT count(*) FROM users WHERE password_hash LIKE '$pbkdf2-sha256$100000$%'")
	if ours < len(all) {
		t.Errorf("%d have got a hash of ours; want %d", ours, len(all))
	}
	checkDone(t, p.command("users", "passwd", "nobody").reading(nextPassword).run(t))
	checkPassword(t, s, "nobody", nextPassword, true)
}

// testImportedTokens: a token that was made elsewhere with the same key goes on, if the file
// does not say otherwise, until the user's sessions are ended.
func testImportedTokens(t *testing.T, p place) {
	p.must(t, "users", "import", newUsersFile(t,
		userLine("alice"),
		userLine("bob", `"tokens_valid_after":null`),
		userLine("carol", `"tokens_valid_after":"2020-01-01T00:00:00Z"`),
		userLine("dora", `"disabled":true`),
	))
	s := p.start(t)
	k := key{algorithm: "HS256", secret: aKey}
	for _, name := range []string{"alice", "bob"} {
		checkMe(t, s.me(t, k.old(t, fmt.Sprintf(`"sub":%q`, name))), name)
	}
	for _, name := range []string{"carol", "dora"} {
		a := s.me(t, k.old(t, fmt.Sprintf(`"sub":%q`, name)))
		checkProblem(t, a, 401, "Could not validate credentials")
	}
	checkMe(t, s.me(t, k.mint(t, "carol")), "carol") // made later
	p.must(t, "users", "disable", "alice")
	p.must(t, "users", "enable", "alice")
	checkProblem(t, s.me(t, k.old(t, `"sub":"alice"`)), 401, "Could not validate credentials")
}

// testImportOneBadLine: one bad line at the end of many keeps all out, or is left out.
func testImportOneBadLine(t *testing.T, p place) {
	n := 12_000
	if os.Getenv("LONG") != "" {
		n = 1_000_000
	}
	makeDatabaseAt(t, p)
	file := manyUsersFile(t, n, userLine("last", `"emial":null`))
	got := p.command("users", "import", file).begin(t).endWatched(t, 400)
	checkReport(t, got, fmt.Sprint(n+1))
	if there := p.users(t); got.code != 1 || there != 0 {
		t.Fatalf("exit code %d and %d users; want 1 and none", got.code, there)
	}
	got = p.command("users", "import", file, "-skip-bad").begin(t).endWatched(t, 400)
	checkReport(t, got, fmt.Sprint(n+1))
	checkCounts(t, got, n, 0, 1)
	if there := p.users(t); got.code != 1 || there != n {
		t.Errorf("exit code %d and %d users; want 1 and %d", got.code, there, n)
	}
}

// testImportsAtOnce: two who import the same file add each user once.
func testImportsAtOnce(t *testing.T, p place) {
	makeDatabaseAt(t, p)
	const n = 15_000
	file := manyUsersFile(t, n)
	outcomes := make([]outcome, 2)
	var all sync.WaitGroup
	for i := range outcomes {
		all.Go(func() { outcomes[i] = p.command("users", "import", file).run(t) })
	}
	all.Wait()
	added := 0
	for _, got := range outcomes {
		checkDone(t, got)
		added += countOf(got.stdout, "added")
	}
	if there := p.users(t); added != n || there != n {
		t.Errorf("%d added and %d users; want %d", added, there, n)
	}
}

// TestImportRepeatsNothing: what was imported comes out of the same file in no time, and says
// that it is there.
func TestImportRepeatsNothing(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	file := manyUsersFile(t, 6000)
	checkCounts(t, p.command("users", "import", file).run(t), 6000, 0, 0)
	got := p.command("users", "import", file).run(t)
	checkDone(t, got)
	checkCounts(t, got, 0, 6000, 0)
}

// TestImportMemory: ten million lines fit into less memory than the file has.
func TestImportMemory(t *testing.T) {
	long(t)
	p := inFile(t)
	makeDatabaseAt(t, p)
	file, err := os.Create(newFile(t))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	writeShortLines(t, file, 10_000_000)
	got := p.command("users", "import", file.Name(), "-dry-run").begin(t).endWatched(t, 400)
	checkDone(t, got)
	checkCounts(t, got, 10_000_000, 0, 0)
}
