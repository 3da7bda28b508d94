package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// namesFile returns a line for each name.
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
				{"a user who is there in another spelling", namesFile("alice", "bob"), []string{"alice"}, `line 2: username: "bob" is already the name of the existing user "Bob"`, "added 1, there already 0, refused 1"},
				{"a name twice", namesFile("alice", "carol", "alice"), []string{"alice", "carol"}, `line 3: username: "alice" is already used by "alice" on line 1 (names`, "refused 1"},
				{"a name in three spellings", namesFile("alice", "ALICE", "ａlice"), []string{"alice"}, "line 2: username: \"ALICE\" is already used by \"alice\" on line 1 (names ignore case and width)\nline 3: ", "refused 2"},
				{"a bad line that would be a name's first", userLine("disabled", "1") + "\n" + namesFile("alice"), []string{"alice"}, "line 1: disabled", "added 1, there already 0, refused 1"},
				{"administrators", userLine("scopes", `["admin","x"]`) + "\n" + userLine("username", `"Bob"`, "scopes", `["admin"]`), []string{"alice"}, "", "administrators 1"},
				{"an administrator twice", userLine("scopes", `["admin"]`) + "\n" + userLine("username", `"Alice"`, "scopes", `["admin"]`), []string{"alice"}, "line 2", "added 1, there already 0, refused 1; administrators 1; hashes: pbkdf2-sha256 29: 1"},
				{"a user who exists, twice", namesFile("Bob", "Bob"), nil, "line 2", "added 0, there already 1, refused 1; administrators 0"},
				{"a UID twice", userLine("uid", `"`+strings.Repeat("a", 32)+`"`) + "\n" + userLine("username", `"carol"`, "uid", `"`+strings.Repeat("a", 32)+`"`), []string{"alice"}, `line 2: uid: already used by "alice" on line 1`, "refused 1"},
				{"the UID of another user", userLine("uid", `"`+strings.Repeat("b", 32)+`"`), nil, `line 1: uid: already belongs to the existing user "Bob"`, "refused 1"},
				{"users without a password", userLine("password_hash", "null"), []string{"alice"}, "", "hashes: no password: 1"},
			} {
				t.Run(tt.name, func(t *testing.T) {
					s := open(t)
					bob := testUser("Bob")
					bob.UID = strings.Repeat("b", 32)
					mustCreate(t, s, bob)
					check, added := importInto(t, s, tt.text)
					if said := check.report(); !strings.Contains(said, tt.problems) || tt.problems == "" && said != "" {
						t.Errorf("it says %q; want %q", said, tt.problems)
					}
					if names := usernames(t, s); !slices.Equal(names, append([]string{"Bob"}, tt.added...)) {
						t.Errorf("the users are %q; want Bob and %q", names, tt.added)
					}
					if got := check.summary("added", added); !strings.Contains(got, tt.summary) {
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
func importInto(t *testing.T, s store, text string) (check *importCheck, added int) {
	t.Helper()
	file, err := openText(t, text)
	if err != nil {
		t.Fatal(err)
	}
	acc := quietAccounts(t, s)
	acc.now = func() time.Time { return testTime }
	check, err = checkImport(t.Context(), acc, file, quietImport)
	if err == nil {
		added, err = check.write(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return check, added
}

// quietImport shows no progress.
var quietImport = importOptions{named: linesNamed, progress: func(int, int64) {}}

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
	check, _ := importInto(t, newMemStore(), strings.Repeat("{x\n", 100)+namesFile("alice", "alice"))
	said := check.report()
	if strings.Count(said, "\n") != linesNamed+1 || !strings.HasSuffix(said, "and 81 more\n") || !strings.HasPrefix(said, "line 1: ") {
		t.Errorf("it says %q", said)
	}
	check, _ = importInto(t, newMemStore(), namesFile("alice", "alice")+strings.Repeat("{x\n", 100))
	if said := check.report(); strings.Count(said, "\n") != linesNamed+1 || !strings.HasPrefix(said, "line 2: username") {
		t.Errorf("it says %q; want the first lines, and a duplicate among them", said)
	}
}

// TestImportOfManyMembers: lines with thousands of unknown members are refused for one of them.
func TestImportOfManyMembers(t *testing.T) {
	var members strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&members, `"m%d":1,`, i)
	}
	line := "{" + members.String() + `"username":"a","password_hash":null}` + "\n"
	check, _ := importInto(t, newMemStore(), strings.Repeat(line, linesNamed+1))
	if len(check.refused) != linesNamed+1 || len(check.problems) != linesNamed {
		t.Errorf("%d refused, and %d reasons kept; want one for each of the first %d", len(check.refused), len(check.problems), linesNamed)
	}
}

// TestImportOfAChangedFile: a file that changes after it was checked is not believed.
func TestImportOfAChangedFile(t *testing.T) {
	for _, tt := range []struct{ name, after string }{
		{"a line has gone bad", "x\n" + namesFile("bob")},
		{"a name is another", namesFile("alice", "mallory")},
	} {
		file, err := openText(t, namesFile("alice", "bob"))
		if err != nil {
			t.Fatal(err)
		}
		check, err := checkImport(t.Context(), quietAccounts(t, newMemStore()), file, quietImport)
		if err != nil {
			t.Fatal(err)
		}
		file.source = bytes.NewReader([]byte(tt.after))
		if _, err := check.write(t.Context()); !errors.Is(err, errFileChanged) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
