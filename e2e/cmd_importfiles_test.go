package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unicode/utf16"
)

// TestImportOtherFiles: a file that is no JSON Lines is named for what it is, in one line.
func TestImportOtherFiles(t *testing.T) {
	t.Parallel()
	alice, bob := userLine("alice"), userLine("bob")
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	fmt.Fprintln(w, alice)
	w.Close()
	wide, _ := binary.Append(nil, binary.LittleEndian, utf16.Encode([]rune("\ufeff"+alice+"\n")))
	tests := []struct {
		name string
		text string
		says string // a regular expression
	}{
		{"an array", "[" + alice + "," + bob + "]\n", "(?i)array|list"},
		{"an array on several lines", "[\n  " + alice + ",\n  " + bob + "\n]\n", "(?i)array|list"},
		{"an empty array", "[]\n", "(?i)array|list"},
		{"CSV", "username,email,password_hash\nalice,alice@example.org,\n", "(?i)csv"},
		{"CSV with quotes", "\"username\",\"email\"\n\"alice\",\"a@example.org\"\n", "(?i)csv"},
		{"gzip", zipped.String(), "(?i)gzip"},
		{"UTF-16", string(wide), "(?i)utf"},
		{"nothing", "", "(?i)empty|no users"},
		{"blank lines", "\n \n\r\n", "(?i)empty|no users"},
		{"a byte order mark", "\ufeff", "(?i)empty|no users"},
	}
	p := inFile(t)
	makeDatabaseAt(t, p)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := newFileOf(t, tt.text)
			checkNotImported(t, p.command("users", "import", file).run(t), tt.says)
			got := p.command("users", "import", "-").reading(tt.text).run(t)
			checkNotImported(t, got, tt.says)
		})
	}
	dir := t.TempDir()
	checkNotImported(t, p.command("users", "import", dir).run(t), "(?i)directory")
	missing := filepath.Join(dir, "users.jsonl")
	checkNotImported(t, p.command("users", "import", missing).run(t), "(?i)no such file")
	writeFile(t, missing, alice)
	os.Chmod(missing, 0)
	i := p.command("users", "import", missing)
	i.under = underprivileged(t)
	i.env = append(i.env, "DATABASE_URL=sqlite:"+newFile(t))
	checkNotImported(t, i.run(t), "(?i)permission denied")
	if n := p.users(t); n != 0 {
		t.Errorf("%d users; want none", n)
	}
}

// checkNotImported reports an import that does not say in one line what it was given.
func checkNotImported(t testing.TB, got outcome, says string) {
	t.Helper()
	checkFailed(t, got, 1)
	checkOneLine(t, got)
	checkPrintable(t, got.stderr)
	if !regexp.MustCompile(says).MatchString(got.stderr) {
		t.Errorf("%q does not say %s", got.stderr, says)
	}
}

// TestImportEndlessFiles: what has no end of a line is not read into memory.
func TestImportEndlessFiles(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	makeDatabaseAt(t, p)
	for _, path := range []string{"/dev/zero", "/dev/urandom", "/dev/null"} {
		j := p.command("users", "import", path).begin(t)
		checkFailed(t, j.endWatched(t, 200), 1)
	}
	long := newFileOf(t, `{"username":"`+strings.Repeat("a", 128<<10))
	if err := os.Truncate(long, 300<<20); err != nil { // zeros, which take no space
		t.Fatal(err)
	}
	checkFailed(t, p.command("users", "import", long).begin(t).endWatched(t, 200), 1)
}

// TestImportReadings: what editors, spreadsheets and other systems do to a file of lines.
func TestImportReadings(t *testing.T) {
	t.Parallel()
	alice, bob := userLine("alice"), userLine("bob", `"scopes":["admin"]`)
	tests := []struct {
		name string
		text string
	}{
		{"as it should be", alice + "\n" + bob + "\n"},
		{"no newline at the end", alice + "\n" + bob},
		{"\\r\\n", alice + "\r\n" + bob + "\r\n"},
		{"blank lines", "\n" + alice + "\n\n \t\n\r\n" + bob + "\n\n"},
		{"a byte order mark", "\ufeff" + alice + "\n" + bob + "\n"},
		{"a byte order mark and a blank line", "\ufeff\n" + alice + "\n" + bob + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, source := range []string{newFileOf(t, tt.text), "-"} {
				p := inFile(t)
				got := p.command("users", "import", source).reading(tt.text).run(t)
				checkDone(t, got)
				checkCounts(t, got, 2, 0, 0)
				if !hasCount(got.stdout, "administrators", 1) {
					t.Errorf("%q does not count 1 administrator", got.stdout)
				}
				if n := p.users(t); n != 2 {
					t.Errorf("%d users from %s; want 2", n, source)
				}
			}
		})
	}
}

// TestImportLineNumbers: lines are counted as an editor does, the blank ones too.
func TestImportLineNumbers(t *testing.T) {
	t.Parallel()
	good, bad := userLine("alice"), userLine("me")
	tests := []struct{ name, text, line string }{
		{"after blank lines", "\n\n" + bad + "\n" + good, "3"},
		{"after a byte order mark", "\ufeff" + bad + "\n" + good, "1"},
		{"after \\r\\n", good + "\r\n\r\n" + bad + "\r\n", "3"},
		{"without a newline", good + "\n" + bad, "2"},
		{"after a line of 64 KiB", padded("bob", 64<<10) + "\n" + bad, "2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := inFile(t).command("users", "import", newFileOf(t, tt.text)).run(t)
			checkReport(t, got, tt.line)
		})
	}
	text := strings.Repeat("x", 1<<20) + "\n" + good + "\n" + bad
	got := inFile(t).command("users", "import", newFileOf(t, good+"\n"+text)).run(t)
	checkReport(t, got, "2", "3", "4") // alice is there twice
}

// TestImportPipe: a pipe is taken, although it can be read only once.
func TestImportPipe(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		skip(t, err.Error())
	}
	go os.WriteFile(pipe, []byte(userLine("alice")+"\n"), 0) // fails if nobody reads
	p := inFile(t)
	makeDatabaseAt(t, p)
	got := p.command("users", "import", pipe).run(t)
	if file, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil {
		file.Close() // so that the writer ends
	}
	checkDone(t, got)
	if n := p.users(t); n != 1 {
		t.Errorf("%d users; want 1: %s", n, got.stdout)
	}
}

// TestImportOriginal: what GET / of the original shows is taken as it is.
func TestImportOriginal(t *testing.T) {
	t.Parallel()
	s := start(t, "EXPOSE_USERS=true", "SECRET_KEY="+aKey)
	names := []string{"alice", "Bob", "größe"}
	for _, name := range names {
		s.register(t, name)
	}
	dump := s.do(t, "GET", "/", "").body
	var spaced bytes.Buffer
	if err := json.Indent(&spaced, []byte(dump), "", "  "); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"compact":          dump,
		"on several lines": spaced.String() + "\n",
		"with a mark":      "\ufeff" + dump,
	} {
		t.Run(name, func(t *testing.T) {
			for _, source := range []string{newFileOf(t, text), "-"} {
				p := inFile(t)
				got := p.command("users", "import", source).reading(text).run(t)
				checkDone(t, got)
				checkCounts(t, got, 3, 0, 0)
				moved := p.start(t)
				for _, name := range names {
					checkMe(t, moved.me(t, moved.logIn(t, name)), name)
				}
			}
		})
	}
}

// TestImportBadOriginal: one bad user keeps the others of such a dump out, too.
func TestImportBadOriginal(t *testing.T) {
	t.Parallel()
	user := func(name, hash string) string {
		return fmt.Sprintf(`%q:{"username":%[1]q,"email":null,"full_name":null,"hashed_password":%q}`, name, hash)
	}
	good := user("alice", hashOf(100_000))
	tests := []struct{ name, dump, says string }{
		{"a bad hash", "{" + good + "," + user("bob", "secret-hash-7") + "}", "user 2"},
		{"a name twice", "{" + good + "," + user("ALICE", hashOf(100_000)) + "}", "ALICE"},
		{"half a dump", "{" + good + "," + user("bob", hashOf(100_000)), ""},
		{"something after it", "{" + good + "} x", ""},
		{"a line after it", "{" + good + "}\n" + userLine("bob"), ""},
	}
	p := inFile(t)
	makeDatabaseAt(t, p)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := p.command("users", "import", newFileOf(t, tt.dump)).run(t)
			if got.code != 1 || !strings.Contains(got.stderr, tt.says) {
				t.Errorf("exit code %d, %q; want 1 and %q", got.code, got.stderr, tt.says)
			}
			checkUnprinted(t, got, "secret-hash", "pbkdf2-sha256$")
			if n := p.users(t); n != 0 {
				t.Errorf("%d users; want none", n)
			}
		})
	}
	var many []string
	hash := hashOf(100_000)
	for i := range 2000 {
		many = append(many, user(manyName(i), hash))
	}
	p.must(t, "users", "import", newFileOf(t, "{"+strings.Join(many, ",")+"}"))
	if n := p.users(t); n != len(many) {
		t.Errorf("%d users; want %d", n, len(many))
	}
}

// TestImportDryRun: a dry run says what the import would, and touches nothing.
func TestImportDryRun(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	p := inFileAt(path)
	p.add(t, "alice")
	p.add(t, "Dora")
	good := newUsersFile(t, userLine("alice"), userLine("bob"), userLine("carol"))
	bad := newUsersFile(t, userLine("bob"), userLine("carol", `"emial":"x"`), userLine("DORA"))
	dir := filepath.Dir(path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)

	got := p.command("users", "import", "-dry-run", good).run(t)
	checkDone(t, got)
	checkCounts(t, got, 2, 1, 0)
	dry := p.command("users", "import", bad, "-dry-run").run(t)
	checkReport(t, dry, "2", "3")
	if dry.code != 1 {
		t.Errorf("exit code %d; want 1", dry.code)
	}
	wet := p.command("users", "import", bad).run(t)
	if got, want := lineReports(wet), lineReports(dry); got != want {
		t.Errorf("the dry run says\n%s and the real one\n%s", want, got)
	}
	if after, err := os.Stat(path); err != nil || !after.ModTime().Equal(info.ModTime()) {
		t.Errorf("the file was modified at %v, %v; want %v", after.ModTime(), err, info.ModTime())
	}
	if after := contents(t, dir); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("a dry run has changed the files: %.300q", after)
	}
}

// lineReports returns what a report says about lines.
func lineReports(got outcome) string {
	return strings.Join(regexp.MustCompile(`(?m)^line \d.*`).FindAllString(got.stderr, -1), "\n")
}

// TestImportDryRunReadOnly: a dry run needs no right to write.
func TestImportDryRunReadOnly(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	p := inFileAt(path)
	p.add(t, "alice")
	file := newUsersFile(t, userLine("alice"), userLine("bob"))
	os.Chmod(path, 0o400)
	os.Chmod(filepath.Dir(path), 0o500)
	t.Cleanup(func() { os.Chmod(filepath.Dir(path), 0o700) })
	dry := p.command("users", "import", file, "-dry-run")
	dry.under = underprivileged(t)
	got := dry.run(t)
	checkDone(t, got)
	checkCounts(t, got, 1, 1, 0)
	wet := p.command("users", "import", file)
	wet.under = underprivileged(t)
	checkFailed(t, wet.run(t), 1)
}
