package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// testStoreFind: users are found by any part of their texts, in any spelling, in the order of
// their Keys.
func testStoreFind(t *testing.T, s store) {
	for _, u := range []struct {
		name, email, fullName string
		disabled              bool
		scopes                scopes
	}{
		{"zoe", "Kim@Example.com", "", true, ""},
		{"Alice", "", "Ｋｉｍ Straße", false, "admin"},
		{"ÄRGER", "ä@example.com", "100 % _safe_", false, "administer reports"},
		{"bob", "", `back\slash  twice`, true, "Admin"},
		{"Éva", "KIM@example.com", "line\x1fmark\nbreak", false, "admin reports"},
		{"o'neil", "", "", false, "a_b"},
	} {
		user := testUser(u.name)
		user.Email, user.FullName, user.Disabled, user.Scopes = &u.email, &u.fullName, u.disabled, u.scopes
		if u.email == "" {
			user.Email = nil
		}
		mustCreate(t, s, user)
	}
	for _, tt := range []struct {
		name  string
		q     userQuery
		limit int
		want  string
	}{
		{"everybody", userQuery{}, 9, "Alice bob o'neil zoe ÄRGER Éva"},
		{"the first two", userQuery{}, 2, "Alice bob"},
		{"those after a name", userQuery{After: "bob"}, 2, "o'neil zoe"},
		{"those after a name that nobody has", userQuery{After: "c"}, 1, "o'neil"},
		{"those after the last", userQuery{After: "éva"}, 9, ""},
		{"a part of a name", userQuery{Text: "LIC"}, 9, "Alice"},
		{"a part of any text, in any case and width", userQuery{Text: "ｋIM"}, 9, "Alice zoe Éva"},
		{"the second page of them", userQuery{Text: "kim", After: "alice"}, 1, "zoe"},
		{"ß as ss", userQuery{Text: "STRASSE"}, 9, "Alice"},
		{"another case beyond ASCII", userQuery{Text: "é"}, 9, "Éva"},
		{"spaces as one", userQuery{Text: `\slash   tw`}, 9, "bob"},
		{"a percent sign", userQuery{Text: "%"}, 9, "ÄRGER"},
		{"an underscore", userQuery{Text: "_"}, 9, "ÄRGER"},
		{"a backslash", userQuery{Text: `\`}, 9, "bob"},
		{"an exclamation mark", userQuery{Text: "!"}, 9, ""},
		{"a quote", userQuery{Text: `'`}, 9, "o'neil"},
		{"the mark between fields", userQuery{Text: "line\x1fmark"}, 9, "Éva"},
		{"no text across fields", userQuery{Text: "zoe\x1fkim"}, 9, ""},
		{"an address", userQuery{Email: "kim@example.COM"}, 9, "zoe Éva"},
		{"an address after a name", userQuery{Email: "kim@example.com", After: "zoe"}, 9, "Éva"},
		{"a part of an address", userQuery{Email: "kim@example"}, 9, ""},
		{"an address in another case beyond ASCII", userQuery{Email: "Ä@example.com"}, 9, ""},
		{"an address beyond ASCII", userQuery{Email: "ä@EXAMPLE.com"}, 9, "ÄRGER"},
		{"those who are disabled", userQuery{Disabled: new(true)}, 9, "bob zoe"},
		{"those who are not, and a text", userQuery{Disabled: new(false), Text: "kim"}, 9, "Alice Éva"},
		{"a scope", userQuery{Scope: "admin"}, 9, "Alice Éva"},
		{"a scope in another case", userQuery{Scope: "Admin"}, 9, "bob"},
		{"a scope with an underscore", userQuery{Scope: "a_b"}, 9, "o'neil"},
		{"a pattern for a scope", userQuery{Scope: "a%"}, 9, ""},
		{"everything at once", userQuery{Scope: "reports", Disabled: new(false), Email: "kim@example.com", Text: "break"}, 9, "Éva"},
	} {
		tt.q.Text = foldText(tt.q.Text)
		users, err := s.FindUsers(t.Context(), tt.q, tt.limit)
		if names := namesOf(users); err != nil || names != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, names, err, tt.want)
		}
	}
}

func namesOf(users []User) string {
	var names []string
	for _, u := range users {
		names = append(names, u.Username)
	}
	return strings.Join(names, " ")
}

// testStoreFindChanged: a changed text is found at once, and its old one no more.
func testStoreFindChanged(t *testing.T, s store) {
	u := mustCreate(t, s, testUser("alice"))
	for i, change := range []userChange{
		{Email: optionalText{true, new("new@example.net")}},
		{FullName: optionalText{true, new("Neu")}},
		{Email: optionalText{Set: true}, FullName: optionalText{Set: true}},
	} {
		changed, err := s.UpdateUser(t.Context(), u.ID, change)
		if err != nil {
			t.Fatal(err)
		}
		for _, folded := range []bool{false, true} {
			for _, text := range []string{"alice@example.com", "new@example.net", "full name", "neu", "alice"} {
				users, err := s.FindUsers(t.Context(), userQuery{Text: text}, 9)
				if want := strings.Contains(searchText(changed), text); err != nil || (len(users) == 1) != want {
					t.Errorf("change %d, folded %v: %q finds %v, %v; want %v", i, folded, text, namesOf(users), err, want)
				}
			}
			if _, err := s.FoldUsers(t.Context(), 9); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// testStoreFindPages: pages hold everybody who was there all along exactly once, while others come
// and go.
func testStoreFindPages(t *testing.T, s store) {
	names := make([]string, 300)
	for i, n := range rand.Perm(len(names)) {
		names[i] = fmt.Sprintf("user%03d", n)
		mustCreate(t, s, testUser(names[i]))
	}
	slices.Sort(names)
	var seen []string
	q := userQuery{Text: "user"}
	for page := 0; ; page++ {
		users, err := s.FindUsers(t.Context(), q, 7)
		if err != nil {
			t.Fatal(err)
		}
		if len(users) == 0 {
			break
		}
		for _, u := range users {
			if len(u.Username) == len("user000") {
				seen = append(seen, u.Username)
			}
		}
		q.After = users[len(users)-1].Key
		guest := mustCreate(t, s, testUser(fmt.Sprintf("user%03d guest", page*5)))
		if page%2 == 0 {
			if err := s.DeleteUser(t.Context(), guest.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !slices.Equal(seen, names) {
		t.Errorf("the pages have %v", seen)
	}
}

// TestFoldUsers: users of an older version are found before they are folded, and folded in batches.
func TestFoldUsers(t *testing.T) {
	t.Parallel()
	for name, empty := range everyDatabase {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, empty(t)).(sqlStore)
			for i := range 25 {
				mustCreate(t, s, testUser(fmt.Sprintf("User%02d", i)))
			}
			if _, err := s.schemaDB.ExecContext(t.Context(), `UPDATE users SET search = NULL`); err != nil {
				t.Fatal(err)
			}
			for _, want := range []int{10, 10, 5, 0} {
				users, err := s.FindUsers(t.Context(), userQuery{Text: "er2"}, 3)
				if names := namesOf(users); err != nil || names != "User20 User21 User22" {
					t.Errorf("before %d are folded: %q, %v", want, names, err)
				}
				if n, err := s.FoldUsers(t.Context(), 10); err != nil || n != want {
					t.Errorf("FoldUsers = %d, %v; want %d", n, err, want)
				}
			}
			var wrong int
			err := s.schemaDB.QueryRowContext(t.Context(), `SELECT count(*) FROM users
				WHERE search IS NULL OR search NOT LIKE username_key || '%example.com%full name'`).Scan(&wrong)
			if err != nil || wrong != 0 {
				t.Errorf("%d users are folded wrongly, %v", wrong, err)
			}
		})
	}
}

// TestFindFar: somebody is found whom more users precede than are read by name at first.
func TestFindFar(t *testing.T) {
	t.Parallel()
	for name, empty := range everyDatabase {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, empty(t)).(sqlStore)
			mustCreate(t, s, testUser("zoe"))
			_, err := s.schemaDB.ExecContext(t.Context(), fmt.Sprintf(`
				WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= %d)
				INSERT INTO users (uid, username, username_key, search, password_hash, disabled, created_at, tokens_valid_after)
				SELECT 'u' || CAST(i AS TEXT), 'u' || CAST(i AS TEXT), 'u' || CAST(i AS TEXT), 'u', '', false, 0, 0 FROM n`, nextUsers))
			if err != nil {
				t.Fatal(err)
			}
			users, err := s.FindUsers(t.Context(), userQuery{Text: "zoe"}, 1)
			if names := namesOf(users); err != nil || names != "zoe" {
				t.Errorf("found %q, %v; want zoe", names, err)
			}
		})
	}
}

func TestContaining(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{"": "%%", "a": "%a%", "50%_!": "%50!%!_!!%"} {
		if got := containing(word); got != want {
			t.Errorf("containing(%q) = %q; want %q", word, got, want)
		}
	}
}
