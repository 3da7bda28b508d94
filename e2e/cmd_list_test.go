package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// testListUsers: list finds those whom it is asked for, and no others.
func testListUsers(t *testing.T, p place) {
	p.must(t, "users", "import", newUsersFile(t,
		userLine("Alice", `"email":"alice@example.org"`, `"full_name":"Alice Adams"`, `"scopes":["admin"]`),
		userLine("bob", `"disabled":true`, `"full_name":"100% Bob"`, `"scopes":["administrator","a_b"]`),
		userLine("carol_c", `"email":"Carol@example.com"`, `"scopes":["axb","a"]`),
		userLine("carolxc", `"full_name":"Ｗｉｄｅ \\ \"quoted\" 'name'"`, `"disabled":true`, `"scopes":["admin"]`),
		userLine("größe", `"full_name":"Straße"`),
	))
	all := []string{"Alice", "bob", "carol_c", "carolxc", "größe"}
	tests := []struct {
		name  string
		flags []string
		want  []string
	}{
		{"all", nil, all},
		{"a name", []string{"-q", "bob"}, []string{"bob"}},
		{"a part of names", []string{"-q", "aro"}, []string{"carol_c", "carolxc"}},
		{"in capitals", []string{"-q", "ALICE"}, []string{"Alice"}},
		{"an umlaut in capitals", []string{"-q", "GRÖ"}, []string{"größe"}},
		{"a part of an address", []string{"-q", "@example.org"}, []string{"Alice"}},
		{"a part of a full name", []string{"-q", "adams"}, []string{"Alice"}},
		{"wide letters, asked in narrow ones", []string{"-q", "wide"}, []string{"carolxc"}},
		{"narrow letters, asked in wide ones", []string{"-q", "ａｌｉｃｅ"}, []string{"Alice"}},
		{"a percent sign", []string{"-q", "%"}, []string{"bob"}},
		{"an underscore", []string{"-q", "l_c"}, []string{"carol_c"}},
		{"a backslash", []string{"-q", `\`}, []string{"carolxc"}},
		{"a quote", []string{"-q", "'"}, []string{"carolxc"}},
		{"what looks like a flag", []string{"-q=-json"}, nil},
		{"nobody", []string{"-q", "nobody"}, nil},
		{"the disabled", []string{"-disabled"}, []string{"bob", "carolxc"}},
		{"a scope", []string{"-scope", "admin"}, []string{"Alice", "carolxc"}},
		{"a scope with an underscore", []string{"-scope", "a_b"}, []string{"bob"}},
		{"a scope that others begin with", []string{"-scope", "a"}, []string{"carol_c"}},
		{"a scope in capitals", []string{"-scope", "ADMIN"}, nil},
		{"a scope of the disabled", []string{"-disabled", "-scope", "admin"}, []string{"carolxc"}},
		{"all three", []string{"-q", "carol", "-disabled", "-scope", "admin"}, []string{"carolxc"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := slices.Sorted(maps.Keys(p.list(t, tt.flags...)))
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q; want %q", got, tt.want)
			}
			table := p.must(t, append([]string{"users", "list"}, tt.flags...)...)
			for _, name := range all {
				if has := strings.Contains(table, name); has != slices.Contains(tt.want, name) {
					t.Errorf("%s is in the table: %v:\n%s", name, has, table)
				}
			}
		})
	}
}

// testListFields: the table and the JSON Lines have what they should, and no hash.
func testListFields(t *testing.T, p place) {
	p.must(t, "users", "import", newUsersFile(t,
		userLine("alice", `"email":"a@example.org"`, `"full_name":"Alice <&>"`, `"scopes":["b","a"]`,
			`"created_at":"2020-02-29T12:34:56Z"`),
		userLine("bob", `"disabled":true`, `"password_hash":"`+hashOf(100_000)+`"`),
	))
	table := p.must(t, "users", "list")
	checkUnprinted(t, outcome{stdout: table}, "pbkdf2", "hash")
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != 3 || !strings.HasPrefix(strings.Join(strings.Fields(lines[0]), " "), "NAME EMAIL SCOPES CREATED") {
		t.Fatalf("want a table NAME EMAIL SCOPES CREATED of two users:\n%s", table)
	}
	for i, words := range [][]string{{"alice", "a@example.org", "2020-02-29"}, {"bob", "disabled"}} {
		for _, word := range words {
			if !strings.Contains(lines[i+1], word) {
				t.Errorf("line %d does not say %s:\n%s", i+2, word, table)
			}
		}
	}
	if strings.Contains(lines[1], "disabled") {
		t.Errorf("alice is not disabled:\n%s", table)
	}

	fields := []string{"created_at", "disabled", "email", "full_name", "scopes", "username"}
	for line := range strings.Lines(p.must(t, "users", "list", "-json")) {
		var user map[string]any
		if err := json.Unmarshal([]byte(line), &user); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if got := slices.Sorted(maps.Keys(user)); !slices.Equal(got, fields) {
			t.Errorf("a line has %q; want %q", got, fields)
		}
	}
	alice := p.list(t)["alice"]
	if *alice.Email != "a@example.org" || *alice.FullName != "Alice <&>" || alice.Disabled ||
		!slices.Equal(alice.Scopes, []string{"a", "b"}) || alice.CreatedAt != "2020-02-29T12:34:56Z" {
		t.Errorf("alice is %+v", alice)
	}
}

// testListEscapes: what is in the store must not speak to the terminal.
func testListEscapes(t *testing.T, p place) {
	const nasty = "x\x1b[2J\r\n\t\u0007\u0085\u202e\u2028y"
	for _, name := range []string{"alice", "bob"} {
		p.add(t, name)
	}
	p.change(t, "UPDATE users SET email = '"+nasty+"', full_name = '"+nasty+"'")
	p.change(t, "UPDATE users SET username = '"+nasty+"' WHERE username = 'bob'")
	for _, flags := range [][]string{nil, {"-json"}, {"-q", "alice"}} {
		text := p.must(t, append([]string{"users", "list"}, flags...)...)
		if slices.Contains(flags, "-json") { // which is for programs
			checkHasNo(t, text, unicode.Cc)
		} else {
			checkPrintable(t, text)
		}
		want := map[int]int{0: 3, 1: 2, 2: 2}[len(flags)]
		if got := strings.Count(text, "\n"); got != want {
			t.Errorf("users list %q has %d lines; want %d:\n%q", flags, got, want, text)
		}
	}
	if got := p.list(t)["alice"]; *got.FullName != nasty {
		t.Errorf("-json gives %q; want %q", *got.FullName, nasty)
	}
}

// checkPrintable reports characters that a terminal obeys, or that turn the text around.
func checkPrintable(t testing.TB, text string) {
	t.Helper()
	checkHasNo(t, text, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

func checkHasNo(t testing.TB, text string, tables ...*unicode.RangeTable) {
	t.Helper()
	for _, c := range text {
		if c != '\n' && unicode.In(c, tables...) {
			t.Errorf("%q is in %.500q", c, text)
			return
		}
	}
}

// testListMany: nobody is left out because there are many.
func testListMany(t *testing.T, p place) {
	const n = 2500
	p.must(t, "users", "import", manyUsersFile(t, n))
	if got := len(p.list(t)); got != n {
		t.Errorf("%d users; want %d", got, n)
	}
	if got := strings.Count(p.must(t, "users", "list"), "\n"); got != n+1 {
		t.Errorf("the table has %d lines; want %d", got, n+1)
	}
	if got := len(p.list(t, "-q", "@EXAMPLE.org")); got != n {
		t.Errorf("%d users have the address; want %d", got, n)
	}
	name := manyName(n - 1)
	if got := p.list(t, "-q", fmt.Sprint(name, "@")); len(got) != 1 {
		t.Errorf("got %v; want %s", got, name)
	}
}
