package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"latchkey/internal/pgtest"
)

// commandTests hold on every database.
var commandTests = map[string]func(*testing.T, place){
	"add":                              testAddUser,
	"add of a name that is taken":      testAddTaken,
	"add of one name by many":          testAddRace,
	"add of bad fields":                testAddBadFields,
	"scopes":                           testScopes,
	"bad scopes":                       testBadScopes,
	"scopes in tokens":                 testScopesInTokens,
	"commands that are repeated":       testRepeatedCommands,
	"commands on nobody":               testCommandsOnNobody,
	"names in other spellings":         testSpellings,
	"ends of sessions":                 testCommandEnds,
	"passwd":                           testPasswd,
	"disable and enable":               testDisableEnable,
	"delete":                           testDeleteUser,
	"beside a busy server":             testCommandsBesideServer,
	"the schema of version 1":          testOldSchema,
	"list":                             testListUsers,
	"list's fields":                    testListFields,
	"list escapes":                     testListEscapes,
	"list of many":                     testListMany,
	"import's fields":                  testImportFields,
	"import of names that are taken":   testImportTaken,
	"import again":                     testImportAgain,
	"import of foreign hashes":         testImportLogins,
	"import and tokens made elsewhere": testImportedTokens,
	"import, one bad line":             testImportOneBadLine,
	"import, interrupted":              testImportInterrupted,
	"import, killed":                   testImportKilled,
	"import by two at once":            testImportsAtOnce,
	"export":                           testExportFields,
	"export of what was imported":      testExportImported,
	"API keys":                         testAPIKeys,
	"API keys are secret":              testAPIKeySecrecy,
	"API keys that many make at once":  testAPIKeyRace,
	"export during registrations":      testExportDuringRegistrations,
}

func TestUsers(t *testing.T) {
	t.Parallel()
	runEach(t, "SQLite, ", commandTests, inFile)
}

// testPostgresUsers is TestUsers on PostgreSQL.
func testPostgresUsers(t *testing.T, c *pgtest.Cluster) {
	runEach(t, "", commandTests, inDatabaseOf(c))
}

func testAddUser(t *testing.T, p place) {
	p.add(t, "alice")
	p.add(t, "Bob", "-email", "Bob@EXAMPLE.org", "-full-name", "Bob  <b>",
		"-scope", "b", "-scope", "a:1", "-scope", "b")
	all := p.list(t)
	alice, bob := all["alice"], all["Bob"]
	if alice.Email != nil || alice.FullName != nil || len(alice.Scopes) != 0 || alice.Disabled {
		t.Errorf("alice is %+v; want her without anything", alice)
	}
	if *bob.Email != "Bob@example.org" || *bob.FullName != "Bob  <b>" || strings.Join(bob.Scopes, " ") != "a:1 b" {
		t.Errorf("bob is %q, %q, %q", *bob.Email, *bob.FullName, bob.Scopes)
	}
	s := p.start(t)
	checkMe(t, s.me(t, s.signIn(t, "alice").Access), "alice")
	if g := s.signIn(t, "BOB"); g.Scope != "a:1 b" {
		t.Errorf("bob's login has the scope %q; want a:1 b", g.Scope)
	}
	checkProblem(t, s.do(t, "POST", "/users/", newUser("ALICE", password), jsonType), 400, "Username already registered")
}

func testAddTaken(t *testing.T, p place) {
	s := p.startUnthrottled(t)
	s.register(t, "Alice")
	for _, name := range []string{"Alice", "alice", "ＡＬＩＣＥ"} {
		got := p.command("users", "add", name, "-scope", "admin").reading(nextPassword).run(t)
		checkFailed(t, got, 1)
		checkOneLine(t, got)
	}
	if all := p.list(t); len(all) != 1 || len(all["Alice"].Scopes) != 0 {
		t.Errorf("the users are %+v; want Alice, who has nothing", all)
	}
	checkPassword(t, s, "alice", password, true)
	checkPassword(t, s, "alice", nextPassword, false)
}

// testAddRace: of those who want a name at once one gets it, on a store that has no schema
// yet.
func testAddRace(t *testing.T, p place) {
	var all sync.WaitGroup
	codes := make([]int, 6)
	for i := range codes {
		all.Go(func() { codes[i] = p.command("users", "add", "alice").reading(password).run(t).code })
	}
	all.Wait()
	if slices.Sort(codes); !slices.Equal(codes, []int{0, 1, 1, 1, 1, 1}) {
		t.Errorf("exit codes %d; want one 0", codes)
	}
	if n := p.users(t); n != 1 {
		t.Errorf("%d users; want 1", n)
	}
}

// testAddBadFields: what a registration would refuse, and bad scopes.
func testAddBadFields(t *testing.T, p place) {
	makeDatabaseAt(t, p)
	tests := []struct {
		name string
		args []string
	}{
		{"an empty name", []string{""}},
		{"the name me", []string{"me"}},
		{"a name with a blank before it", []string{" alice"}},
		{"a name with a newline", []string{"al\nice"}},
		{"a name with an escape", []string{"al\x1bice"}},
		{"a name of invalid UTF-8", []string{"al\xffice"}},
		{"a name of 151 characters", []string{strings.Repeat("a", 151)}},
		{"an address without an at", []string{"alice", "-email", "alice"}},
		{"two addresses", []string{"alice", "-email", "a@example.org,b@example.org"}},
		{"a full name of invalid UTF-8", []string{"alice", "-full-name", "\xff"}},
		{"a scope with a blank", []string{"alice", "-scope", "a b"}},
		{"an empty scope", []string{"alice", "-scope", ""}},
		{"the scope any", []string{"alice", "-scope", "any"}},
		{"33 scopes", slices.Concat([]string{"alice"}, scopeFlags(33))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := p.command(append([]string{"users", "add"}, tt.args...)...).reading(password).run(t)
			if got.code != 1 && got.code != 2 || got.stdout != "" || got.stderr == "" {
				t.Errorf("exit code %d, %q, %q; want 1 or 2, and why", got.code, got.stdout, got.stderr)
			}
			checkPrintable(t, got.stderr)
		})
	}
	if n := p.users(t); n != 0 {
		t.Errorf("%d users; want none", n)
	}
	p.add(t, "alice", scopeFlags(32)...)
	p.add(t, strings.Repeat("ü", 150))
}

// scopes returns n different scopes, of 64 characters.
func scopes(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("%02d%s", i, strings.Repeat("x", 62)))
	}
	return all
}

func scopeFlags(n int) []string {
	var flags []string
	for _, scope := range scopes(n) {
		flags = append(flags, "-scope", scope)
	}
	return flags
}

func testScopes(t *testing.T, p place) {
	p.add(t, "alice", "-scope", "m")
	p.add(t, "bob", "-scope", "m")
	tests := []struct {
		words string
		want  string
	}{
		{"grant alice z", "m z"},
		{"grant alice a b", "a b m z"},
		{"grant alice b c b", "a b c m z"},
		{"revoke alice z nothing", "a b c m"},
		{"revoke alice a b", "c m"},
		{"revoke alice C", "c m"},
		{"grant alice C A.b:c_d-e", "A.b:c_d-e C c m"},
		{"revoke alice A.b:c_d-e C c m", ""},
	}
	for _, tt := range tests {
		p.must(t, append([]string{"users"}, strings.Fields(tt.words)...)...)
		all := p.list(t)
		if got := strings.Join(all["alice"].Scopes, " "); got != tt.want {
			t.Errorf("after %s alice has %q; want %q", tt.words, got, tt.want)
		}
		if got := strings.Join(all["bob"].Scopes, " "); got != "m" {
			t.Errorf("after %s bob has %q; want m", tt.words, got)
		}
	}
}

func testBadScopes(t *testing.T, p place) {
	p.add(t, "alice", "-scope", "m")
	for _, scope := range []string{
		"", " ", "a b", "a,b", "any", "ä", `a"b`, `a\b`, "a/b", "a\nb", strings.Repeat("a", 65),
	} {
		got := p.command("users", "grant", "alice", "good", scope).run(t)
		checkFailed(t, got, 2)
	}
	p.must(t, append([]string{"users", "grant", "alice"}, scopes(31)...)...)
	checkFailed(t, p.command("users", "grant", "alice", "one-more").run(t), 1, "32")
	p.must(t, "users", "grant", "alice", "m", scopes(1)[0])
	got := p.list(t)["alice"].Scopes
	if len(got) != 32 || slices.Contains(got, "one-more") || slices.Contains(got, "good") {
		t.Errorf("alice has %q; want 32 scopes", got)
	}
}

// testScopesInTokens: a login and a refresh say what a user is granted now.
func testScopesInTokens(t *testing.T, p place) {
	here, there := p.start(t), p.start(t)
	p.add(t, "alice")
	plain := here.do(t, "POST", "/token", loginForm("alice"), formType)
	if strings.Contains(plain.body, "scope") {
		t.Errorf("without any scope the answer is %s", plain.body)
	}
	checkScope(t, plain.granted(t), "")

	p.must(t, "users", "grant", "alice", "reports", "a:b")
	g := here.signIn(t, "alice")
	checkScope(t, g, "a:b reports")
	p.must(t, "users", "revoke", "alice", "reports")
	checkScope(t, there.signIn(t, "alice"), "a:b")
	g = there.refresh(t, g.Refresh).granted(t)
	checkScope(t, g, "a:b")
	p.must(t, "users", "revoke", "alice", "a:b")
	checkScope(t, there.signIn(t, "alice"), "")
	checkScope(t, here.refresh(t, g.Refresh).granted(t), "")
}

// checkScope reports a grant of which the answer or the access token has other scopes.
func checkScope(t testing.TB, g grant, want string) {
	t.Helper()
	if g.Scope != want {
		t.Errorf("the answer has the scope %q; want %q", g.Scope, want)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(g.Access, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	if got, ok := claims["scope"]; ok != (want != "") || ok && got != want {
		t.Errorf("the token has %s; want the scope %q", payload, want)
	}
}

// testRepeatedCommands: what is so already is done.
func testRepeatedCommands(t *testing.T, p place) {
	p.add(t, "alice")
	for _, words := range []string{
		"grant alice a", "revoke alice a", "revoke alice never", "disable alice", "enable alice",
	} {
		for range 2 {
			p.must(t, append([]string{"users"}, strings.Fields(words)...)...)
		}
	}
	if alice := p.list(t)["alice"]; alice.Disabled || len(alice.Scopes) != 0 {
		t.Errorf("alice is %+v; want her as in the beginning", alice)
	}
}

// testCommandsOnNobody: who is not there, or no longer, is a failure that names them.
func testCommandsOnNobody(t *testing.T, p place) {
	p.add(t, "alice")
	p.must(t, "users", "delete", "alice", "-yes")
	for _, words := range []string{
		"passwd %s", "grant %s a", "revoke %s a", "disable %s", "enable %s", "delete %s -yes",
	} {
		for _, name := range []string{"alice", "nobody", "me", ""} {
			args := []string{"users"}
			for word := range strings.FieldsSeq(words) {
				args = append(args, strings.ReplaceAll(word, "%s", name))
			}
			got := p.command(args...).reading(password).run(t)
			checkFailed(t, got, 1, name)
			checkOneLine(t, got)
		}
	}
}

// testSpellings: commands find a user by the name in any case and width, and keep it.
func testSpellings(t *testing.T, p place) {
	p.add(t, "Größe")
	for i, name := range []string{"Größe", "GRÖßE", "gro\u0308ße", "Ｇröße"} {
		p.must(t, "users", "grant", name, fmt.Sprint(i))
	}
	all := p.list(t)
	if got := strings.Join(all["Größe"].Scopes, ""); len(all) != 1 || got != "0123" {
		t.Errorf("the users are %+v; want Größe with four scopes", all)
	}
	p.must(t, "users", "delete", "GRÖßE", "-yes")
}

// commandEnds are the commands that end all sessions of a victim.
var commandEnds = []struct {
	name string
	args []string
}{
	{"disable", []string{"users", "disable", "alice"}},
	{"passwd", []string{"users", "passwd", "alice"}},
	{"delete", []string{"users", "delete", "alice", "-yes"}},
}

// testCommandEnds: what a command ends is over with the next request at every server, though
// each of them has just seen that all was well.
func testCommandEnds(t *testing.T, p place) {
	here, there := p.start(t), p.start(t)
	here.register(t, "bob")
	bob := here.signIn(t, "bob")
	for _, tt := range commandEnds {
		t.Run(tt.name, func(t *testing.T) {
			p.must(t, "users", "list") // the store is there
			if p.command("users", "delete", "alice", "-yes").run(t); p.list(t)["alice"].Username != "" {
				t.Fatal("alice is there")
			}
			p.add(t, "alice")
			one, two := here.signIn(t, "alice"), there.signIn(t, "alice")
			for _, s := range []*server{here, there} {
				checkMe(t, s.me(t, one.Access), "alice")
				checkMe(t, s.me(t, two.Access), "alice")
			}
			checkDone(t, p.command(tt.args...).reading(nextPassword).run(t))
			for _, s := range []*server{here, there} {
				checkEnded(t, s, one)
				checkEnded(t, s, two)
				checkMe(t, s.me(t, bob.Access), "bob")
			}
		})
	}
	checkGoesOn(t, there, bob, "bob")
}

// testPasswd: the new password is the only one, and tokens of before are void.
func testPasswd(t *testing.T, p place) {
	s := p.startUnthrottled(t)
	s.register(t, "alice")
	p.must(t, "users", "grant", "alice", "a")
	elsewhere := key{algorithm: "HS256", secret: aKey}
	checkDone(t, p.command("users", "passwd", "ALICE").reading(nextPassword+"\n").run(t))
	checkPassword(t, s, "alice", password, false)
	checkPassword(t, s, "alice", nextPassword, true)
	checkPassword(t, s, "alice", nextPassword+"\n", false)
	old := elsewhere.old(t, `"sub":"alice"`)
	checkProblem(t, s.me(t, old), 401, "Could not validate credentials")
	if alice := p.list(t)["alice"]; !slices.Equal(alice.Scopes, []string{"a"}) || alice.Disabled {
		t.Errorf("alice is %+v; want her scope kept", alice)
	}

	p.must(t, "users", "disable", "alice")
	checkDone(t, p.command("users", "passwd", "alice").reading(password).run(t))
	checkPassword(t, s, "alice", password, false)
	p.must(t, "users", "enable", "alice")
	checkPassword(t, s, "alice", password, true)
}

// old is a token without a session and without the time at which it was made.
func (k key) old(t testing.TB, claims string) string {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc(fmt.Appendf(nil, `{%s,"exp":%d}`, claims, inAnHour()))
	return text + "." + enc(k.sign(t, text))
}

func testDisableEnable(t *testing.T, p place) {
	s := p.startUnthrottled(t)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	p.must(t, "users", "disable", "alice")
	checkProblem(t, s.logInBy(t, "alice", password), 401, "Incorrect username or password")
	checkProblem(t, s.do(t, "POST", "/users/", newUser("Alice", password), jsonType), 400, "Username already registered")
	p.must(t, "users", "enable", "alice")
	checkEnded(t, s, g) // for good
	checkGoesOn(t, s, s.signIn(t, "alice"), "alice")
}

func testDeleteUser(t *testing.T, p place) {
	s := p.startUnthrottled(t)
	p.add(t, "alice", "-scope", "admin")
	g := s.signIn(t, "alice")
	p.must(t, "users", "delete", "alice", "-yes")
	checkPassword(t, s, "alice", password, false)
	if n := p.number(t, "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM sessions)"); n != 0 {
		t.Errorf("a deleted user leaves %d rows", n)
	}
	s.register(t, "alice")
	checkEnded(t, s, g)
	checkScope(t, s.signIn(t, "alice"), "") // a name gives nothing to the next who has it
}

// testCommandsBesideServer: commands and a server that writes do not get in each other's way.
func testCommandsBesideServer(t *testing.T, p place) {
	s := p.startUnthrottled(t)
	c := newGuests()
	c.come(t, s)
	c.await(t, 3)
	for i := range 10 {
		name := fmt.Sprintf("user%d", i)
		p.add(t, name)
		p.must(t, "users", "grant", name, "a")
		p.must(t, "users", "disable", name)
		p.must(t, "users", "list", "-q", name)
		p.must(t, "users", "delete", name, "-yes")
	}
	c.await(t, 3)
	c.disperse()
	c.checkTokens(t, s)
	for _, line := range s.log.events("request failed") {
		if strings.Contains(fmt.Sprint(line["err"]), "locked") {
			t.Errorf("a command has locked the server out: %v", line)
		}
	}
}
