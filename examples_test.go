package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// quotedExample is a link to a file of examples/ with the block of code that follows it.
var quotedExample = regexp.MustCompile("(?s)\\]\\(\\.\\./(examples/[^)]*)\\):\n\n```[a-z]+\n(.*?)```\n")

// TestQuotedExamples: docs/your-own-services.md quotes the files of examples/ as they are.
func TestQuotedExamples(t *testing.T) {
	page, err := os.ReadFile("docs/your-own-services.md")
	if err != nil {
		t.Fatal(err)
	}
	quotes := quotedExample.FindAllSubmatch(page, -1)
	if len(quotes) < 4 {
		t.Errorf("%d quotes; want those of FastAPI, Express, Spring and Caddy", len(quotes))
	}
	for _, m := range quotes {
		path, quote := string(m[1]), string(m[2])
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		if string(text) != quote {
			t.Errorf("the page quotes %s\n%s\nthe file is\n%s", path, quote, text)
		}
	}
}

// TestExamplesAreNamed: docs/your-own-services.md links to every example, and to no other file.
func TestExamplesAreNamed(t *testing.T) {
	page, err := os.ReadFile("docs/your-own-services.md")
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	for _, m := range regexp.MustCompile(`\]\(\.\./(examples/[^)]*)\)`).FindAllSubmatch(page, -1) {
		named[string(m[1])] = true
	}
	err = filepath.WalkDir("examples", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !named[path] && !strings.HasSuffix(path, "go.sum") {
			t.Errorf("the page does not link to %s", path)
		}
		delete(named, path)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for path := range named {
		t.Errorf("the page links to %s; there is no such file", path)
	}
}
