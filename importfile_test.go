package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// openText returns the file with this text, as a command would open it.
func openText(t *testing.T, text string) (*importFile, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := openImport(path, nil)
	if err == nil {
		t.Cleanup(func() { file.Close() })
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
		{"an object on several lines", "{\n  \"username\": \"alice\"\n}\n", "on several lines"},
		{"the original's dump on several lines", "{\n  \"alice\": " + userLine() + "\n}\n", ""},
		{"gzip", "\x1f\x8b\x08\x00\x00", "gunzip"},
		{"a ZIP archive", "PK\x03\x04rest", "ZIP"},
		{"a SQLite file", "SQLite format 3\x00rest", "SQLite database"},
		{"UTF-16 as Windows writes it", "\xff\xfe{\x00", "UTF-16"},
		{"zeros", strings.Repeat("\x00", 100), "not a text"},
		{"a NUL after a line", userLine() + "\n\x00", "not a text"},
		{"the original's dump without users", "{}\n", "it has no users"},
		{"a line", userLine(), ""},
		{"a line after a byte order mark", "\ufeff" + userLine(), ""},
		{"a line after blank ones", "\n\r\n" + userLine(), ""},
		{"the original's dump", `{"alice":` + userLine("password_hash", "", "hashed_password", "null") + "}", ""},
	} {
		_, err := openText(t, tt.text)
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.says)
		}
	}
	if _, err := openImport(t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "it is a directory") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := openImport(filepath.Join(t.TempDir(), "nowhere"), nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
	if _, err := openImport("/dev/zero", nil); err == nil || !strings.Contains(err.Error(), "not a text") {
		t.Errorf("a file without end: %v", err)
	}
}

// TestEachChunk: every user is at their place, whatever stands between them.
func TestEachChunk(t *testing.T) {
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
		file, err := openText(t, tt.text)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		for range 2 { // it is read twice
			var good, bad []int
			_, err = file.eachChunk(t.Context(), testTime, func(c chunk) error {
				for _, u := range c.users {
					if u.problems == nil {
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

// TestChunksAreBounded: a chunk has few users if their lines are long, so that they do not wait in
// memory by the thousand.
func TestChunksAreBounded(t *testing.T) {
	const lines, fit = 50, 5 // of 60 KiB, in the 256 KiB that make a chunk full
	line := userLine("full_name", `"`+strings.Repeat("x", 60<<10)+`"`)
	file, err := openText(t, strings.Repeat(line+"\n", lines))
	if err != nil {
		t.Fatal(err)
	}
	users := 0
	_, err = file.eachChunk(t.Context(), testTime, func(c chunk) error {
		if users += len(c.users); len(c.users) > fit {
			t.Errorf("a chunk has %d users; want at most %d", len(c.users), fit)
		}
		return nil
	})
	if err != nil || users != lines {
		t.Errorf("%d users, %v; want %d", users, err, lines)
	}
}

// TestEachChunkEnds: reading ends with the first error, and with its context.
func TestEachChunkEnds(t *testing.T) {
	file, err := openText(t, strings.Repeat(userLine()+"\n", 10*maxLookup))
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	if _, err := file.eachChunk(t.Context(), testTime, func(chunk) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("after an error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = file.eachChunk(ctx, testTime, func(chunk) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}
