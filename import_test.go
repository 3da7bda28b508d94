package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// importOf returns the file with this text, as a command would open it.
func importOf(t *testing.T, text string) (*importFile, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, closer, err := openImport(path, nil)
	if err == nil {
		t.Cleanup(func() { closer.Close() })
	}
	return file, err
}

// TestRecognize: what is no file of users is told what it is.
func TestRecognize(t *testing.T) {
	for _, tt := range []struct{ name, text, says string }{
		{"nothing", "", "it is empty"},
		{"blank lines", "\n \n\t\r\n", "it is empty"},
		{"a byte order mark alone", "\ufeff", "it is empty"},
		{"a JSON array", "[" + userLine() + "]", "jq -c '.[]'"},
		{"CSV", "username,email\na,b\n", "CSV"},
		{"CSV with semicolons", "username;email\n", "CSV"},
		{"prose", "hello\n", "it is not JSON"},
		{"gzip", "\x1f\x8b\x08\x00\x00", "gunzip"},
		{"a ZIP archive", "PK\x03\x04rest", "ZIP"},
		{"a SQLite file", "SQLite format 3\x00rest", "SQLite database"},
		{"UTF-16 as Windows writes it", "\xff\xfe{\x00", "UTF-16"},
		{"zeros", strings.Repeat("\x00", 100), "not a text"},
		{"a NUL behind a line", userLine() + "\n\x00", "not a text"},
		{"the original's dump without users", "{}\n", "it has no users"},
		{"a line", userLine(), ""},
		{"a line after a byte order mark", "\ufeff" + userLine(), ""},
		{"a line after blank ones", "\n\r\n" + userLine(), ""},
		{"the original's dump", `{"alice":` + userLine("password_hash", "", "hashed_password", "null") + "}", ""},
	} {
		_, err := importOf(t, tt.text)
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.says)
		}
	}
	if _, _, err := openImport(t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "it is a directory") {
		t.Errorf("a directory: %v", err)
	}
	if _, _, err := openImport(filepath.Join(t.TempDir(), "nowhere"), nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
	if _, _, err := openImport("/dev/zero", nil); err == nil || !strings.Contains(err.Error(), "not a text") {
		t.Errorf("a file without end: %v", err)
	}
}

// TestEachBatch: every user is at their place, whatever stands between them.
func TestEachBatch(t *testing.T) {
	long := userLine("full_name", `"`+strings.Repeat("x", maxImportLine)+`"`)
	fits := userLine("full_name", `""`)
	fits = strings.Replace(fits, `""`, `"`+strings.Repeat("x", maxImportLine-len(fits))+`"`, 1)
	many := strings.Repeat(userLine()+"\n", 2*maxLookup+1)
	dump := func(names ...string) string {
		var parts []string
		for _, name := range names {
			parts = append(parts, fmt.Sprintf("%q:%s", name, userLine("username", fmt.Sprintf("%q", name))))
		}
		return "{" + strings.Join(parts, ", ") + "}\n"
	}
	for _, tt := range []struct {
		name, text string
		good       []int
		bad        []int
		fails      string
	}{
		{"one without a line end", userLine(), []int{1}, nil, ""},
		{"two", userLine() + "\n" + userLine() + "\n", []int{1, 2}, nil, ""},
		{"lines as Windows ends them", userLine() + "\r\n" + userLine() + "\r\n", []int{1, 2}, nil, ""},
		{"blank lines count and are ignored", "\n\n" + userLine() + "\n \t\n" + userLine() + "\n\n", []int{3, 5}, nil, ""},
		{"a bad one between good ones", userLine() + "\nx\n" + userLine(), []int{1, 3}, []int{2}, ""},
		{"a byte order mark at the start", "\ufeff" + userLine() + "\n" + userLine(), []int{1, 2}, nil, ""},
		{"a byte order mark later", userLine() + "\n\ufeff" + userLine(), []int{1}, []int{2}, ""},
		{"two objects on a line", userLine() + userLine(), nil, []int{1}, ""},
		{"64 KiB", fits + "\n" + userLine(), []int{1, 2}, nil, ""},
		{"more than 64 KiB", userLine() + "\n" + long + "\n" + userLine(), []int{1, 3}, []int{2}, ""},
		{"far more than 64 KiB, at the end", userLine() + "\n" + strings.Repeat(" ", 9*maxImportLine) + "x", []int{1}, []int{2}, ""},
		{"lines that begin with an object", `{"_id":{"$oid":"1"}}` + "\n" + userLine(), []int{2}, []int{1}, ""},
		{"more than a batch", many, between(1, 2*maxLookup+1), nil, ""},

		{"a dump", dump("a", "b", "c"), []int{1, 2, 3}, nil, ""},
		{"a dump after a byte order mark", "\ufeff" + dump("a"), []int{1}, nil, ""},
		{"a dump whose user stands under another name", `{"bob":` + userLine() + "}", nil, []int{1}, ""},
		{"a dump with something else than users", `{"alice":` + userLine() + `,"b":1}`, []int{1}, []int{2}, ""},
		{"a dump with a large user", `{"alice":` + userLine() + `,"b":` + long + "}", []int{1}, []int{2}, ""},
		{"a dump with an endless user", `{"alice":` + userLine() + `,"b":"` + strings.Repeat("x", 20*maxImportLine) + `"}`, nil, nil, "more than 64 KiB"},
		{"a dump that is cut off", strings.TrimSuffix(dump("a", "b"), "}\n"), nil, nil, "not JSON"},
		{"two dumps", dump("a") + dump("b"), nil, nil, "not JSON"},
	} {
		file, err := importOf(t, tt.text)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		for range 2 { // it is read twice
			var good, bad []int
			err = file.eachBatch(t.Context(), testTime, func(users []importedUser) error {
				for _, u := range users {
					if u.bad == nil {
						good = append(good, u.place)
					} else {
						bad = append(bad, u.place)
					}
				}
				return nil
			})
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("%s: %v; want %q", tt.name, err, tt.fails)
				}
				continue
			}
			if err != nil || !slices.Equal(good, tt.good) || !slices.Equal(bad, tt.bad) {
				t.Errorf("%s: good %v, bad %v, %v; want %v and %v", tt.name, good, bad, err, tt.good, tt.bad)
			}
		}
	}
}

// between returns the numbers from first to last.
func between(first, last int) []int {
	var all []int
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}

func TestEachBatchEnds(t *testing.T) {
	file, err := importOf(t, strings.Repeat(userLine()+"\n", 10*maxLookup))
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	if err := file.eachBatch(t.Context(), testTime, func([]importedUser) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("after an error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = file.eachBatch(ctx, testTime, func([]importedUser) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}

// names returns a line for each name.
func namesFile(names ...string) string {
	var text strings.Builder
	for _, name := range names {
		text.WriteString(userLine("username", fmt.Sprintf("%q", name)) + "\n")
	}
	return text.String()
}

// TestImport: what an import does to a store that has Bob, and what it says.
func TestImport(t *testing.T) {
	for store, open := range everyStore {
		t.Run(store, func(t *testing.T) {
			for _, tt := range []struct {
				name, text string
				added      []string
				problems   string
				summary    string
			}{
				{"users who are new", namesFile("alice", "carol"), []string{"alice", "carol"}, "", "added 2, there already 0, refused 0; administrators 0; hashes: pbkdf2-sha256 29: 2"},
				{"a user who is there", namesFile("alice", "Bob"), []string{"alice"}, "", "added 1, there already 1, refused 0"},
				{"a user who is there in another spelling", namesFile("alice", "bob"), []string{"alice"}, `line 2: username: "bob" is taken by "Bob", who is there already`, "added 1, there already 0, refused 1"},
				{"a name twice", namesFile("alice", "carol", "alice"), []string{"alice", "carol"}, `line 3: username: "alice" is taken by "alice" of line 1 (names`, "refused 1"},
				{"a name in three spellings", namesFile("alice", "ALICE", "ａlice"), []string{"alice"}, "line 2: username: \"ALICE\" is taken by \"alice\" of line 1 (names are unique without regard to case and width)\nline 3: ", "refused 2"},
				{"a bad line that would be a name's first", userLine("disabled", "1") + "\n" + namesFile("alice"), []string{"alice"}, "line 1: disabled", "added 1, there already 0, refused 1"},
				{"administrators", userLine("scopes", `["admin","x"]`) + "\n" + userLine("username", `"Bob"`, "scopes", `["admin"]`), []string{"alice"}, "", "administrators 1"},
				{"a UID twice", userLine("uid", `"`+strings.Repeat("a", 32)+`"`) + "\n" + userLine("username", `"carol"`, "uid", `"`+strings.Repeat("a", 32)+`"`), []string{"alice"}, `line 2: uid: is that of "alice" of line 1, too`, "refused 1"},
				{"the UID of another user", userLine("uid", `"`+strings.Repeat("b", 32)+`"`), nil, `line 1: uid: is that of "Bob", who is there already`, "refused 1"},
				{"users without a password", userLine("password_hash", "null"), []string{"alice"}, "", "hashes: no password: 1"},
			} {
				t.Run(tt.name, func(t *testing.T) {
					s := open(t)
					bob := testUser("Bob")
					bob.UID = strings.Repeat("b", 32)
					mustCreate(t, s, bob)
					i := importInto(t, s, tt.text)
					if said := i.reportProblems(); !strings.Contains(said, tt.problems) || tt.problems == "" && said != "" {
						t.Errorf("it says %q; want %q", said, tt.problems)
					}
					if names := usernames(t, s); !slices.Equal(names, append([]string{"Bob"}, tt.added...)) {
						t.Errorf("the users are %q; want Bob and %q", names, tt.added)
					}
					if got := i.summary(false); !strings.Contains(got, tt.summary) {
						t.Errorf("the summary is %q; want %q", got, tt.summary)
					}
					if after, err := s.UserByKey(t.Context(), "bob"); err != nil || after.PasswordHash != bob.PasswordHash {
						t.Errorf("Bob is now %+v, %v", after, err)
					}
				})
			}
		})
	}
}

// importInto imports a text, without its bad lines.
func importInto(t *testing.T, s store, text string) *importer {
	t.Helper()
	file, err := importOf(t, text)
	if err != nil {
		t.Fatal(err)
	}
	acc := quietAccounts(t, s)
	acc.now = func() time.Time { return testTime }
	i := newImporter(acc, file)
	i.keep = problemsNamed
	if err := errors.Join(i.check(t.Context()), i.write(t.Context())); err != nil {
		t.Fatal(err)
	}
	return i
}

// usernames returns all names in the order of their creation.
func usernames(t *testing.T, s store) []string {
	t.Helper()
	users, err := allUsersOf(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range users {
		names = append(names, u.Username)
	}
	return names
}

// TestImportCounts: only the first problems are named, and the others counted.
func TestImportCounts(t *testing.T) {
	i := importInto(t, newMemStore(), strings.Repeat("{x\n", 100)+namesFile("alice", "alice"))
	said := i.reportProblems()
	if strings.Count(said, "\n") != problemsNamed+1 || !strings.HasSuffix(said, "and 81 more\n") || !strings.HasPrefix(said, "line 1: ") {
		t.Errorf("it says %q", said)
	}
}

// TestImportOfAChangedFile: a file that changes after it was checked is not believed.
func TestImportOfAChangedFile(t *testing.T) {
	for _, tt := range []struct{ name, after string }{
		{"a line has gone bad", "x\n" + namesFile("bob")},
		{"a name is another", namesFile("alice", "mallory")},
	} {
		file, err := importOf(t, namesFile("alice", "bob"))
		if err != nil {
			t.Fatal(err)
		}
		i := newImporter(quietAccounts(t, newMemStore()), file)
		if err := i.check(t.Context()); err != nil {
			t.Fatal(err)
		}
		file.source = bytes.NewReader([]byte(tt.after))
		if err := i.write(t.Context()); !errors.Is(err, errFileChanged) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestExportAgain: an export of an import is the same to the byte, with every hash we have.
func TestExportAgain(t *testing.T) {
	for store, open := range everyStore {
		t.Run(store, func(t *testing.T) {
			first := open(t)
			for i, h := range madeElsewhere(t) {
				if refusedKinds[h.Scheme] != nil {
					continue
				}
				u := testUser(fmt.Sprint("User ", i, " <&>é😀"))
				u.PasswordHash, u.Email, u.FullName = h.Hash, new(fmt.Sprint("é", i, "@example.com")), new("\u2028<&>\u202e")
				switch i % 4 {
				case 1:
					u.Email, u.FullName, u.Scopes, u.Disabled = nil, nil, "", true
				case 2:
					u.PasswordHash, u.TokensValidAfter = "", testTime.AddDate(-1000, 0, 0)
				case 3:
					u.FullName = new("")
				}
				mustCreate(t, first, u)
			}
			export := func(s userStore) string {
				var text bytes.Buffer
				if n, err := writeUsers(t.Context(), s, &text); err != nil || n < 20 {
					t.Fatalf("%d users, %v", n, err)
				}
				return text.String()
			}
			text := export(first)
			second := open(t)
			if i := importInto(t, second, text); len(i.bad) > 0 {
				t.Fatal(i.reportProblems())
			}
			if again := export(second); again != text {
				t.Errorf("after another import it is\n%s\nand was\n%s", again, text)
			}
		})
	}
}

// TestReadPassword: what standard input may be when a password is read from it.
func TestReadPassword(t *testing.T) {
	for _, tt := range []struct{ name, input, want, says string }{
		{"a line", "secret\n", "secret", ""},
		{"a line as Windows ends it", "secret\r\n", "secret", ""},
		{"no line end", "secret", "secret", ""},
		{"spaces", " a b \n", " a b ", ""},
		{"a NUL", "a\x00b\n", "a\x00b", ""},
		{"16 KiB", strings.Repeat("x", maxPasswordInput), strings.Repeat("x", maxPasswordInput), ""},
		{"more", strings.Repeat("x", maxPasswordInput+1), "", "more than 16 KiB"},
		{"two lines", "secret\nsecret\n", "", "several lines"},
		{"two line ends", "secret\n\n", "", "several lines"},
		{"a carriage return inside", "a\rb", "", "several lines"},
		{"invalid UTF-8", "a\xff", "", "UTF-8"},
		{"nothing", "", "", "empty"},
		{"a line end alone", "\n", "", "empty"},
	} {
		got, err := readPassword(strings.NewReader(tt.input))
		if got != tt.want || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %q, %v; want %q, %q", tt.name, got, err, tt.want, tt.says)
		}
	}
	if _, err := readPassword(failingReader{}); err == nil || !strings.Contains(err.Error(), "standard input") {
		t.Errorf("a closed standard input: %v", err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, os.ErrClosed }

// TestCreateFile: an export replaces nothing, is its owner's only, and appears when it is whole.
func TestCreateFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "users.jsonl")
	write := func(text string) error {
		return createFile(path, func(w io.Writer) error {
			if _, err := os.Stat(path); err == nil {
				t.Error("the file is there before it is whole")
			}
			_, err := io.WriteString(w, text)
			return err
		})
	}
	if err := createFile(path, func(io.Writer) error { return io.ErrShortWrite }); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a write that fails: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	if err := write("first"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info.Mode(), err)
	}
	if err := createFile(path, func(io.Writer) error { return nil }); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a file that is there: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || !reflect.DeepEqual(text, []byte("first")) {
		t.Errorf("the file has %q, %v", text, err)
	}
}
