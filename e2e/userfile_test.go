package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// userLine is a line of a file for users import, with fields such as `"email":null`. There
// is no hash if they have none.
func userLine(username string, fields ...string) string {
	isHash := func(field string) bool {
		return regexp.MustCompile(`^"(password_hash|hashed_password)"`).MatchString(field)
	}
	if !slices.ContainsFunc(fields, isHash) {
		fields = append([]string{`"password_hash":null`}, fields...)
	}
	return `{"username":` + quoted(username) + "," + strings.Join(fields, ",") + "}"
}

// quoted returns a text in JSON.
func quoted(text string) string {
	quoted, _ := json.Marshal(text) // strings never fail
	return string(quoted)
}

// newUsersFile writes lines into a file.
func newUsersFile(t testing.TB, lines ...string) string {
	t.Helper()
	return newFileOf(t, strings.Join(lines, "\n")+"\n")
}

func newFileOf(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.jsonl")
	writeFile(t, path, text)
	return path
}

// manyUsersFile writes a file of n users, in no order of their names. All have the password.
func manyUsersFile(t testing.TB, n int, more ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.jsonl")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	const line = `{"username":"%[1]s","password_hash":"%[2]s","email":"%[1]s@example.org"}` + "\n"
	hash := hashOf(100_000)
	for i := range n {
		fmt.Fprintf(w, line, manyName(i), hash)
	}
	for _, line := range more {
		fmt.Fprintln(w, line)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return path
}

// manyName is a name in such a file.
func manyName(i int) string { return fmt.Sprintf("user-%08x", uint32(i)*2654435761) }

// A listed user is one that users list -json shows.
type listed struct {
	Username  string   `json:"username"`
	Email     *string  `json:"email"`
	FullName  *string  `json:"full_name"`
	Disabled  bool     `json:"disabled"`
	Scopes    []string `json:"scopes"`
	CreatedAt string   `json:"created_at"`
}

// list returns the users of a store by name.
func (p place) list(t testing.TB, flags ...string) map[string]listed {
	t.Helper()
	users := make(map[string]listed)
	for line := range strings.Lines(p.must(t, append([]string{"users", "list", "-json"}, flags...)...)) {
		var user listed
		if err := json.Unmarshal([]byte(line), &user); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if _, ok := users[user.Username]; ok {
			t.Errorf("%q is listed twice", user.Username)
		}
		users[user.Username] = user
	}
	return users
}

// hasCount reports whether a report has a count, such as "added 20,000".
func hasCount(report, what string, n int) bool { return countOf(report, what) == n }

// countOf returns the number next to a word of a report, or -1.
func countOf(report, what string) int {
	for _, pattern := range []string{what + ` ([\d,]+)`, `([\d,]+)[a-z ]* ` + what} {
		if found := regexp.MustCompile(pattern).FindStringSubmatch(report); found != nil {
			n, err := strconv.Atoi(strings.ReplaceAll(strings.Trim(found[1], ","), ",", ""))
			if err == nil {
				return n
			}
		}
	}
	return -1
}

// checkCounts reports the result of an import that does not have these counts.
func checkCounts(t testing.TB, got outcome, added, there, refused int) {
	t.Helper()
	counts := map[string]int{"(?:added|would add)": added, "there already": there, "refused": refused}
	for what, n := range counts {
		if !hasCount(got.stdout, what, n) {
			t.Errorf("%q on standard output; want %d %s", got.stdout, n, what)
		}
	}
}

// A vector is a hash that a program of others made.
type vector struct{ Scheme, Hash, Password string }

// refusedSchemes are those of testdata/hashes.json that Latchkey does not take.
var refusedSchemes = []string{"passlib bcrypt_sha256", "passlib ssha", "better-auth"}

// someSchemes are a hash or two of each kind. An import makes a hash of each scheme that it does
// not know the work of.
var someSchemes = []string{
	"django pbkdf2_sha256", "django argon2", "werkzeug scrypt", "werkzeug pbkdf2 512", "passlib pbkdf2_sha256",
	"bcrypt 72", "wordpress phpass", "wordpress 6.8 (formula)", "node argon2",
}

// vectors returns the hashes that other programs made, and that Latchkey takes: all of them in
// make test-long, and otherwise some of each kind.
func vectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("../testdata/hashes.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(v vector) bool {
		isLeftOut := os.Getenv("LONG") == "" && !slices.Contains(someSchemes, v.Scheme)
		return isLeftOut || slices.Contains(refusedSchemes, v.Scheme)
	})
}
