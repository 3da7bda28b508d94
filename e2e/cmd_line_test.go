package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// aTypo stands on a command line where it should not. It may be a password.
const aTypo = "correct-horse-9921"

// TestUsersUsage calls the commands as nobody should. What they do not expect, they do not
// repeat: it may be a password.
func TestUsersUsage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		words string // separated by blanks
		says  string
	}{
		{"no verb", "users", "list"},
		{"an unknown verb", "users frobnicate", "list"},
		{"a verb in capitals", "users LIST", ""},
		{"list of a name", "users list " + aTypo, ""},
		{"list with an unknown flag", "users list -all", "-all"},
		{"add without a name", "users add", ""},
		{"add with a password", "users add bob " + aTypo, ""},
		{"add with a password after a flag", "users add bob -email a@example.org " + aTypo, ""},
		{"add with a password before a flag", "users add bob " + aTypo + " -email a@example.org", ""},
		{"add with a password in a flag", "users add bob -password " + aTypo, "-password"},
		{"add with a flag without its value", "users add bob -email", "-email"},
		{"passwd without a name", "users passwd", ""},
		{"passwd with a password", "users passwd alice " + aTypo, ""},
		{"passwd with a password after --", "users passwd alice -- " + aTypo, ""},
		{"passwd with a password twice", "users passwd alice " + aTypo + " " + aTypo, ""},
		{"passwd with a flag", "users passwd alice -password " + aTypo, "-password"},
		{"passwd with two dashes", "users passwd alice --password " + aTypo, "-password"},
		{"passwd with =", "users passwd alice -password=" + aTypo, "-password"},
		{"passwd with the flag first", "users passwd -password " + aTypo + " alice", "-password"},
		{"passwd with a short flag", "users passwd alice -p " + aTypo, "-p"},
		{"passwd with a short flag and no blank", "users passwd alice -p" + aTypo, ""},
		{"grant without a name", "users grant", ""},
		{"grant without a scope", "users grant alice", ""},
		{"revoke without a scope", "users revoke alice", ""},
		{"disable without a name", "users disable", ""},
		{"disable of two", "users disable alice " + aTypo, ""},
		{"enable of two", "users enable alice " + aTypo, ""},
		{"delete without a name", "users delete -yes", ""},
		{"delete of two", "users delete alice " + aTypo + " -yes", ""},
		{"import without a file", "users import", ""},
		{"import of two files", "users import /dev/null " + aTypo, ""},
		{"export of a name", "users export " + aTypo, ""},
		{"completion without a shell", "completion", "bash"},
		{"completion of an unknown shell", "completion tcsh", "bash"},
	}
	p := inFile(t)
	p.add(t, "alice")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := p.command(strings.Fields(tt.words)...).reading(nextPassword).run(t)
			checkFailed(t, got, 2, tt.says)
			checkUnprinted(t, got, aTypo, nextPassword)
		})
	}
	if all := p.list(t); len(all) != 1 || all["alice"].Disabled || len(all["alice"].Scopes) != 0 {
		t.Errorf("the users are %+v; want alice, as before", all)
	}
	checkPassword(t, p.startUnthrottled(t), "alice", password, true)
}

// TestUsersFlags: flags may stand behind names, -- ends them, and dashes are one or two.
func TestUsersFlags(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	db := "sqlite:" + path
	tests := []struct {
		name string
		args []string
	}{
		{"-db in front", []string{"users", "grant", "-db", db, "alice", "a"}},
		{"-db behind", []string{"users", "grant", "alice", "b", "-db", db}},
		{"-db in the middle", []string{"users", "grant", "alice", "-db", db, "c"}},
		{"--db", []string{"users", "grant", "alice", "d", "--db", db}},
		{"-db with =", []string{"users", "grant", "alice", "e", "-db=" + db}},
		{"--db with =", []string{"users", "grant", "--db=" + db, "alice", "f"}},
		{"-- before the names", []string{"users", "grant", "-db", db, "--", "alice", "g"}},
	}
	add := []string{"users", "add", "alice", "-db", db}
	checkDone(t, invocation{args: add, fast: true}.reading(password).run(t))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			elsewhere := []string{"DATABASE_URL=sqlite:/nowhere/users.db"}
			checkDone(t, invocation{args: tt.args, env: elsewhere}.run(t))
		})
	}
	p := inFileAt(path)
	if got := strings.Join(p.list(t)["alice"].Scopes, ""); got != "abcdefg" {
		t.Errorf("alice has %q; want every scope", got)
	}
	for _, name := range []string{"-yes", "--db", "-"} {
		got := p.command("users", "add", "-scope", "x", "--", name).reading(password).run(t)
		checkDone(t, got)
		p.must(t, "users", "disable", "--", name)
		if !p.list(t)[name].Disabled {
			t.Errorf("%q is not disabled", name)
		}
	}
}

// TestUsersHelp: help is a result.
func TestUsersHelp(t *testing.T) {
	t.Parallel()
	checkOutput(t, "latchkey -h", invocation{args: []string{"-h"}}.run(t).stdout, "users")
	help := invocation{args: []string{"users", "-h"}}.run(t)
	if help.code != 0 || help.stderr != "" {
		t.Errorf("users -h: exit code %d, %q; want help", help.code, help.stderr)
	}
	for _, verb := range usersVerbs {
		checkOutput(t, "users -h", help.stdout, verb)
		got := invocation{args: []string{"users", verb, "-h"}}.run(t)
		if got.code != 0 || !strings.Contains(got.stdout, verb) || got.stderr != "" {
			t.Errorf("users %s -h: exit code %d, %q, %q; want help", verb, got.code, got.stdout, got.stderr)
		}
	}
}

var usersVerbs = []string{
	"list", "add", "passwd", "grant", "revoke", "disable", "enable", "delete", "import", "export",
}

// storeCommands are the commands on the store with what they need.
func storeCommands(t testing.TB) [][]string {
	return [][]string{
		{"users", "list"},
		{"users", "add", "alice"},
		{"users", "passwd", "alice"},
		{"users", "grant", "alice", "a"},
		{"users", "revoke", "alice", "a"},
		{"users", "disable", "alice"},
		{"users", "enable", "alice"},
		{"users", "delete", "alice", "-yes"},
		{"users", "import", newUsersFile(t, userLine("alice"))},
		{"users", "import", newUsersFile(t, userLine("alice")), "-dry-run"},
		{"users", "export"},
	}
}

// verb names a command in a test.
func verb(args []string) string {
	name := args[1]
	if slices.Contains(args, "-dry-run") {
		name += " -dry-run"
	}
	return name
}

// TestUsersInMemory: no command reaches into the memory of a server.
func TestUsersInMemory(t *testing.T) {
	t.Parallel()
	for _, args := range storeCommands(t) {
		for _, env := range [][]string{nil, {"DATABASE_URL="}, {"SECRET_KEY=" + aKey}} {
			got := invocation{args: args, env: env}.reading(password).run(t)
			checkFailed(t, got, 2, "memory")
			checkOneLine(t, got)
		}
	}
}

// TestUsersNeedNoKey: what concerns only a server is not asked of a command.
func TestUsersNeedNoKey(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.add(t, "alice")
	for _, setting := range []string{
		"SECRET_KEY=short", "SECRET_KEY_FILE=/nowhere/key", "ALGORITHM=ES256", "ADDR=nonsense",
		"TLS_CERT_FILE=/nowhere/cert.pem", "EXPOSE_USERS=true",
	} {
		i := p.command("users", "list")
		i.env = append(i.env, setting)
		if got := i.run(t); got.code != 0 {
			t.Errorf("with %s: exit code %d, %s; want 0", setting, got.code, got.stderr)
		}
	}
}

// TestUsersDatabaseFile: the URL of a database may be in a file, as for a server.
func TestUsersDatabaseFile(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	file := newFileOf(t, "sqlite:"+path+"\n")
	env := []string{"DATABASE_URL_FILE=" + file}
	add := invocation{args: []string{"users", "add", "alice"}, env: env, fast: true}
	checkDone(t, add.reading(password).run(t))
	checkMode(t, path, 0o600)
}

// TestUsersStoreRefused: commands on what they cannot use, and must not change.
func TestUsersStoreRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		make   func(t testing.TB, path string)
		reason string
	}{
		{"a directory", func(t testing.TB, path string) { os.Mkdir(path, 0o700) }, "users.db"},
		{"no database", func(t testing.TB, path string) {
			writeFile(t, path, strings.Repeat("Not a database at all. ", 1000))
		}, "not a database"},
		{"a file of another user", func(t testing.TB, path string) {
			makeDatabase(t, path)
			needRoot(t)
			os.Chown(path, 65534, 65534)
		}, "permission denied"},
		{"a schema newer than the program", func(t testing.TB, path string) {
			makeDatabase(t, path)
			carryOut(t, path, `INSERT INTO schema_version (version_id, is_applied) VALUES (99, 1)`)
		}, "99"},
	}
	for _, tt := range tests {
		path := newFile(t)
		p := inFileAt(path)
		tt.make(t, path)
		before := contents(t, filepath.Dir(path))
		for _, args := range storeCommands(t) {
			t.Run(tt.name+", "+verb(args), func(t *testing.T) {
				i := p.command(args...).reading(password)
				i.under = underprivileged(t)
				got := i.run(t)
				checkFailed(t, got, 1, tt.reason)
				checkOneLine(t, got)
			})
		}
		if after := contents(t, filepath.Dir(path)); !slices.Equal(before, after) {
			t.Errorf("%s: the files were %.300q and are %.300q", tt.name, before, after)
		}
	}
}

// TestUsersStoreMissing: only who brings users makes a file.
func TestUsersStoreMissing(t *testing.T) {
	t.Parallel()
	for _, args := range storeCommands(t) {
		t.Run(verb(args), func(t *testing.T) {
			path := newFile(t)
			got := inFileAt(path).command(args...).reading(password).run(t)
			switch verb(args) {
			case "add", "import":
				checkDone(t, got)
				checkMode(t, path, 0o600)
			case "import -dry-run":
				checkDone(t, got)
				checkNoFiles(t, filepath.Dir(path))
			default:
				checkFailed(t, got, 1, path)
				checkOneLine(t, got)
				checkNoFiles(t, filepath.Dir(path))
			}
		})
	}
}

// checkNoFiles reports a directory that is not empty.
func checkNoFiles(t testing.TB, dir string) {
	t.Helper()
	if files := filesIn(t, dir); len(files) != 0 {
		t.Errorf("there are %q; want nothing", files)
	}
}

// TestUsersPostgresMissing: a database that is not there is a failure that does not show
// the password for it.
func TestUsersPostgresMissing(t *testing.T) {
	t.Parallel()
	url := "postgres://u:" + aTypo + "@127.0.0.1:1/db?sslmode=disable"
	var jobs []*job // they run at the same time, because they wait for the database
	for _, args := range storeCommands(t) {
		jobs = append(jobs, invocation{args: append(args, "-db", url)}.reading(password).begin(t))
	}
	for i, args := range storeCommands(t) {
		t.Run(verb(args), func(t *testing.T) {
			got := jobs[i].end(t)
			checkFailed(t, got, 1)
			checkOneLine(t, got)
			checkUnprinted(t, got, aTypo, password)
		})
	}
}

// testOldSchema: a command that only reads does not migrate; one that writes does.
func testOldSchema(t *testing.T, p place) {
	fillVersion1(t, p)
	version := func() int { return p.number(t, "SELECT max(version_id) FROM schema_version") }
	for _, verb := range []string{"list", "export"} {
		checkFailed(t, p.command("users", verb).run(t), 1, "schema")
	}
	if got := version(); got != 1 {
		t.Fatalf("reading has changed the schema from version 1 to %d", got)
	}
	p.must(t, "users", "disable", "ALICE")
	if got, want := version(), latestVersion(t); got != want {
		t.Errorf("after users disable the schema has version %d; want %d", got, want)
	}
	if all := p.list(t); len(all) != 1 || !all["Alice"].Disabled {
		t.Errorf("the users are %+v; want Alice, disabled", all)
	}
}

// asNobody is the same run by a user who is not root. Others may not enter the directory of
// the program.
func (i invocation) asNobody(t testing.TB) invocation {
	t.Helper()
	needRoot(t, "setpriv")
	twin := filepath.Join(t.TempDir(), "latchkey")
	copyFile(t, fastProgram, twin)
	openToAll(t, twin)
	if err := os.Chmod(twin, 0o755); err != nil {
		t.Fatal(err)
	}
	id := nobody(t)
	i.under = []string{
		"setpriv", fmt.Sprint("--reuid=", id.Uid), fmt.Sprint("--regid=", id.Gid), "--clear-groups",
		"sh", "-c", `exec ` + twin + ` "$@"`,
	}
	return i
}

// TestUsersByRoot: what root does with the file of a server that is not root, the server can
// go on with: during the command, after it, and after one that was killed.
func TestUsersByRoot(t *testing.T) {
	t.Parallel()
	needRoot(t, "setpriv")
	path := newFile(t)
	id := nobody(t)
	if err := os.Chown(filepath.Dir(path), int(id.Uid), int(id.Gid)); err != nil {
		t.Fatal(err)
	}
	p := inFileAt(path)
	server := invocation{env: onFile(path)}.asNobody(t)
	startAs(t, server).stop(t)
	p.add(t, "alice")

	file := manyUsersFile(t, 60_000)
	j := beginWriting(t, p, path, file)
	s := startAs(t, server)
	checkMe(t, s.me(t, s.logIn(t, "alice")), "alice")
	j.signal(syscall.SIGKILL)
	<-j.exited
	s.register(t, "bob")
	s.stop(t)

	j = beginWriting(t, p, path, file)
	j.signal(syscall.SIGKILL)
	<-j.exited
	s = startAs(t, server)
	s.register(t, "carol")
	p.must(t, "users", "disable", "carol")
	s.register(t, "dora")
}

// beginWriting begins an import and waits until it writes. It does not open the database,
// which would make files, too.
func beginWriting(t testing.TB, p place, path, file string) *job {
	t.Helper()
	j := p.command("users", "import", file).begin(t)
	waitFor(t, "the import to write", func() bool {
		info, err := os.Stat(path + "-wal")
		return err == nil && info.Size() > 1<<20 || j.hasExited()
	})
	return j
}

// TestFullOutput: a result that nobody gets is a failure.
func TestFullOutput(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.add(t, "alice")
	for _, args := range [][]string{
		{"users", "list"}, {"users", "list", "-json"}, {"users", "export"}, {"completion", "bash"},
	} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			skip(t, err.Error())
		}
		defer full.Close()
		j := p.command(args...).prepare()
		j.cmd.Stdout = full
		j.start(t)
		checkFailed(t, j.end(t), 1)
	}
}

// TestCompletion: the scripts are ones that their shells take, and complete.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			got := invocation{args: []string{"completion", shell}}.run(t)
			if got.code != 0 || !strings.Contains(got.stdout, "latchkey") || got.stderr != "" {
				t.Fatalf("exit code %d, %q, %q; want a script", got.code, got.stdout, got.stderr)
			}
			script := newFileOf(t, got.stdout)
			if _, err := exec.LookPath(shell); err == nil {
				command(t, shell, "-n", script)
			}
		})
	}
}

// TestCheckCountsHashes: check says what kinds of hashes the users have.
func TestCheckCountsHashes(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	hash := func(v vector) string { return `"password_hash":"` + v.Hash + `"` }
	all := vectors(t)
	django := slices.IndexFunc(all, func(v vector) bool { return v.Scheme == "django pbkdf2_sha256" })
	file := newUsersFile(t, userLine("a", hash(all[django])), userLine("b", hash(all[django])), userLine("c"))
	p.must(t, "users", "import", file)
	p.add(t, "d")
	got := invocation{args: []string{"check"}, env: p.with("ADDR=localhost:0")}.run(t)
	checkDone(t, got)
	for _, text := range []string{"users: 4 (", "pbkdf2-sha256 100000: 1", "django", "1000000: 2"} {
		if !strings.Contains(got.stdout, text) {
			t.Errorf("check prints %q; want %q in it", got.stdout, text)
		}
	}
	checkUnprinted(t, got, all[django].Hash)
}
