package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

// importedFields are those of a line that import takes.
var importedFields = []string{
	"username", "password_hash", "email", "full_name", "disabled", "scopes", "created_at", "tokens_valid_after",
}

// testExportFields: an export has all that an import takes, one user a line.
func testExportFields(t *testing.T, p place) {
	s := p.start(t)
	s.register(t, "alice")
	p.add(t, "Bob", "-email", "bob@example.org", "-full-name", "Bob <b>", "-scope", "z", "-scope", "a")
	p.must(t, "users", "disable", "bob")
	got := p.command("users", "export").run(t)
	checkDone(t, got)
	if !strings.Contains(got.stderr, "exported 2 users") {
		t.Errorf("%q does not say that 2 users were exported", got.stderr)
	}
	lines := strings.Split(got.stdout, "\n")
	if len(lines) != 3 || lines[2] != "" {
		t.Fatalf("%q; want two lines", got.stdout)
	}
	var users []map[string]any
	for _, line := range lines[:2] {
		var user map[string]any
		if err := json.Unmarshal([]byte(line), &user); err != nil {
			t.Fatal(err)
		}
		for _, field := range importedFields {
			if _, ok := user[field]; !ok {
				t.Errorf("%s is missing in %q", field, slices.Sorted(maps.Keys(user)))
			}
		}
		users = append(users, user)
	}
	alice, bob := users[0], users[1]
	if alice["username"] != "alice" || alice["email"] != nil || alice["disabled"] != false ||
		fmt.Sprint(alice["scopes"]) != "[]" {
		t.Errorf("alice is %v", alice)
	}
	if bob["username"] != "Bob" || bob["email"] != "bob@example.org" || bob["full_name"] != "Bob <b>" ||
		bob["disabled"] != true || fmt.Sprint(bob["scopes"]) != "[a z]" ||
		!strings.HasPrefix(fmt.Sprint(bob["password_hash"]), "$pbkdf2-sha256$100000$") {
		t.Errorf("bob is %v", bob)
	}
}

// export returns the users of a store as a file of lines.
func (p place) export(t testing.TB) string {
	t.Helper()
	return p.must(t, "users", "export")
}

// manyCharacters are texts with every character but NUL; of those above U+FFFF, only make
// test-long has all, and make test every 31st.
func manyCharacters() []string {
	isLong := os.Getenv("LONG") != ""
	var all []string
	var text []rune
	for c := rune(1); c <= utf8.MaxRune; c++ {
		if utf8.ValidRune(c) && (isLong || c <= 0xffff || c%31 == 0 || c == utf8.MaxRune) {
			text = append(text, c)
		}
		if len(text) == 4096 || c == utf8.MaxRune {
			all = append(all, string(text))
			text = nil
		}
	}
	return all
}

// testExportImported: what was exported and imported is exported as it was, on whatever
// database: every hash, null and character.
func testExportImported(t *testing.T, p place) {
	var lines []string
	for i, v := range vectors(t) {
		lines = append(lines, userLine(fmt.Sprint("hash-", i), `"password_hash":`+quoted(v.Hash)))
	}
	for i, text := range manyCharacters() {
		lines = append(lines, userLine(fmt.Sprint("text-", i), `"full_name":`+quoted(text)))
	}
	lines = append(lines,
		userLine("zoë"), userLine("Ǆ𝔷🦊 %_"), userLine("用户"), userLine("a/b"), userLine("' OR 1=1 --"),
		userLine("first", `"created_at":"1970-01-01T00:00:00Z"`),
		userLine("older", `"created_at":"1969-07-20T20:17:40.000001Z"`),
		userLine("exact", `"created_at":"2020-01-01T00:00:00.123456Z"`),
		userLine("valid", `"tokens_valid_after":"2020-01-01T00:00:00.1Z"`),
		userLine("later", `"tokens_valid_after":"`+in(time.Hour)+`"`, `"disabled":true`),
		userLine("empty", `"full_name":""`, `"scopes":[]`),
		userLine("full", `"email":"größe@bücher.example"`, `"scopes":["`+strings.Join(scopes(32), `","`)+`"]`),
	)
	p.must(t, "users", "import", newUsersFile(t, lines...))
	s := p.start(t)
	s.register(t, "registered")
	s.stop(t)

	first := p.export(t)
	if got := strings.Count(first, "\n"); got != len(lines)+1 {
		t.Errorf("%d lines; want %d", got, len(lines)+1)
	}
	other := inFile(t)
	other.must(t, "users", "import", newFileOf(t, first))
	checkSameLines(t, other.export(t), first)
	p.change(t, "DELETE FROM users")
	checkDone(t, p.command("users", "import", "-").reading(first).run(t))
	checkSameLines(t, p.export(t), first)
}

// checkSameLines reports the first line in which two files differ.
func checkSameLines(t testing.TB, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	lines, others := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(lines), len(others)) {
		if lines[i] != others[i] {
			t.Errorf("line %d is\n%.500s; want\n%.500s", i+1, lines[i], others[i])
			return
		}
	}
	t.Errorf("%d lines; want %d", len(lines), len(others))
}

// testExportDuringRegistrations: an export shows one moment of the store: all who were there
// when it began, and of those who came later nobody before who came earlier.
func testExportDuringRegistrations(t *testing.T, p place) {
	s := p.startUnthrottled(t)
	c := newGuests()
	c.come(t, s)
	for range 5 {
		c.await(t, 5)
		past := c.soFar()
		there := exportedNames(t, p)
		for _, name := range past.registered {
			if !slices.Contains(there, name) {
				t.Errorf("%s was registered before and is not exported", name)
			}
		}
		for _, name := range there {
			if before := predecessor(name); before != "" && !slices.Contains(there, before) {
				t.Errorf("%s is exported and %s is not", name, before)
			}
		}
	}
	c.disperse()
	if got, want := len(exportedNames(t, p)), p.users(t); got != want {
		t.Errorf("%d users; want %d", got, want)
	}
}

// exportedNames returns the names in an export, of which each is there once.
func exportedNames(t testing.TB, p place) []string {
	t.Helper()
	var names []string
	got := p.command("users", "export").run(t)
	checkDone(t, got)
	for line := range strings.Lines(got.stdout) {
		var user struct{ Username string }
		if err := json.Unmarshal([]byte(line), &user); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(names, user.Username) {
			t.Errorf("%s is exported twice", user.Username)
		}
		names = append(names, user.Username)
	}
	if count := fmt.Sprintf("exported %d users", len(names)); !strings.Contains(got.stderr, count) {
		t.Errorf("%q does not say %s", got.stderr, count)
	}
	return names
}

// predecessor is the guest before this one in the same line, or "".
func predecessor(guest string) string {
	cut := strings.LastIndex(guest, "-") + 1
	n, _ := strconv.Atoi(guest[cut:]) // as guests.come has made it
	if n == 0 {
		return ""
	}
	return guest[:cut] + strconv.Itoa(n-1)
}

// TestExportFile: -o makes a file that only its owner may read, and never replaces one.
func TestExportFile(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.add(t, "alice")
	want := p.export(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "users.jsonl")
	i := p.command("users", "export", "-o", file)
	i.under = []string{"sh", "-c", `umask 0 && exec "$0" "$@"`}
	got := i.run(t)
	checkDone(t, got)
	if got.stdout != "" || !strings.Contains(got.stderr, "exported 1 user") {
		t.Errorf("it prints %q, %q; want the count on standard error", got.stdout, got.stderr)
	}
	checkMode(t, file, 0o600)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	checkSameLines(t, string(text), want)
	if files := filesIn(t, dir); !slices.Equal(files, []string{"users.jsonl"}) {
		t.Errorf("it leaves %q", files)
	}

	p.add(t, "bob")
	before := contents(t, dir)
	checkFailed(t, p.command("users", "export", "-o", file).run(t), 1, file)
	if after := contents(t, dir); !slices.Equal(before, after) {
		t.Errorf("it has replaced the file: %.300q", after)
	}
}

// TestExportFileRefused: where no file can be made, none is left by half.
func TestExportFileRefused(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.must(t, "users", "import", manyUsersFile(t, 6000))
	dir := t.TempDir()
	for _, file := range []string{
		filepath.Join(dir, "nowhere", "users.jsonl"), dir, "/dev/full", "/dev/null", "",
	} {
		t.Run("at "+filepath.Base(file), func(t *testing.T) {
			got := p.command("users", "export", "-o", file).run(t)
			if got.code == 0 || got.stdout != "" || got.stderr == "" {
				t.Errorf("exit code %d, %.100q, %q; want a failure", got.code, got.stdout, got.stderr)
			}
		})
	}
	checkNoFiles(t, dir)

	needRoot(t, "mount", "umount")
	mount(t, dir, "-t", "tmpfs", "-o", "size=256k", "tmpfs")
	got := p.command("users", "export", "-o", filepath.Join(dir, "users.jsonl")).run(t)
	checkFailed(t, got, 1)
	checkNoFiles(t, dir)
}

// TestExportInterrupted: an export that was interrupted leaves no hashes lying about.
func TestExportInterrupted(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.must(t, "users", "import", manyUsersFile(t, 60_000))
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		dir := t.TempDir()
		j := p.command("users", "export", "-o", filepath.Join(dir, "users.jsonl")).begin(t)
		waitFor(t, "a file", func() bool { return len(filesIn(t, dir)) > 0 || j.hasExited() })
		j.signal(sig)
		if j.end(t).code == 0 { // it was quicker
			continue
		}
		j.endBySignal(t)
		checkNoFiles(t, dir)
	}
}

// TestExportEmpty: a store without users is no failure, and its export is an empty file.
func TestExportEmpty(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	makeDatabaseAt(t, p)
	got := p.command("users", "export").run(t)
	checkDone(t, got)
	if got.stdout != "" || !strings.Contains(got.stderr, "exported 0 users") {
		t.Errorf("%q, %q; want nothing, and exported 0 users", got.stdout, got.stderr)
	}
}

// TestExportRecorded: an export adds an event and nothing else, and a list nothing.
func TestExportRecorded(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	p := inFileAt(path)
	p.add(t, "alice")
	p.must(t, "users", "export")
	if n := p.number(t, "SELECT count(*) FROM events WHERE name = 'user_exported' AND actor LIKE 'cli:%'"); n != 1 {
		t.Errorf("%d events of an export; want 1", n)
	}
	before := contents(t, filepath.Dir(path))
	p.must(t, "users", "list")
	if after := contents(t, filepath.Dir(path)); !slices.Equal(before, after) {
		t.Error("users list has changed the files")
	}
}
