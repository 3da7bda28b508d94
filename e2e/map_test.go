package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestMap: the map in doc.go names every file, and no others.
func TestMap(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, line := range regexp.MustCompile(`(?m)^//\t(\w+_test\.go) +\S`).FindAllStringSubmatch(string(text), -1) {
		named = append(named, line[1])
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if slices.Sort(named); !slices.Equal(named, files) {
		t.Errorf("doc.go names\n%q; there are\n%q", named, files)
	}
}
