package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

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
			if check, _ := importInto(t, second, text); len(check.refused) > 0 {
				t.Fatal(check.report())
			}
			if again := export(second); again != text {
				t.Errorf("after another import it is\n%s\nand was\n%s", again, text)
			}
		})
	}
}

// TestDryRunOnNoTables: a database without tables of ours is an empty store to a dry run.
func TestDryRunOnNoTables(t *testing.T) {
	for kind, empty := range everyDatabase {
		c := commandRunner{t, empty(t)}
		if path, ok := sqlitePath(c.url); ok {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got := c.run("", "users", "import", c.file(namesFile("alice")).Name(), "-dry-run")
		if got.code != 0 || !strings.HasPrefix(got.stdout, "would add 1,") {
			t.Errorf("%s: %d, %q, %q", kind, got.code, got.stdout, got.stderr)
		}
		if got := c.run("", "users", "list"); got.code != 1 || !strings.Contains(got.stderr, "it has no users yet") {
			t.Errorf("%s: %d, %q", kind, got.code, got.stderr)
		}
	}
}
