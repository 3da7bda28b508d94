package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCreateFile: a new file replaces nothing, is its owner's only, and appears when it is whole.
// A failure leaves nothing behind.
func TestCreateFile(t *testing.T) {
	appears := func(path string) func(*os.File) error {
		return func(*os.File) error { return os.WriteFile(path, []byte("of others"), 0o600) }
	}
	tests := []struct {
		name    string
		prepare func(path string) error
		fill    func(path string) func(*os.File) error
		says    string // "": it succeeds
		content string // of the file then
	}{
		{"a new file", nil, nil, "", "new"},
		{"a write that fails", nil, func(string) func(*os.File) error {
			return func(*os.File) error { return io.ErrShortWrite }
		}, "short write", ""},
		{"a file that is there", func(path string) error { return os.WriteFile(path, []byte("old"), 0o600) }, nil, "already exists", "old"},
		{"a file that appears meanwhile", nil, appears, "already exists", "of others"},
		{"a symlink to nothing", func(path string) error { return os.Symlink("nowhere", path) }, nil, "already exists", ""},
		{"a symlink to nothing that appears meanwhile", nil, func(path string) func(*os.File) error {
			return func(*os.File) error { return os.Symlink("nowhere", path) }
		}, "already exists", ""},
		{"a folder that appears meanwhile", nil, func(path string) func(*os.File) error {
			return func(*os.File) error { return os.Mkdir(path, 0o700) }
		}, "already exists", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			if tt.prepare != nil {
				if err := tt.prepare(path); err != nil {
					t.Fatal(err)
				}
			}
			fill := func(file *os.File) error {
				if _, err := os.Lstat(path); err == nil {
					t.Error("the file is there before it is whole")
				}
				_, err := file.WriteString("new")
				return err
			}
			if tt.fill != nil {
				fill = tt.fill(path)
			}
			err := createFile(path, fill)
			if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("%v; want %q", err, tt.says)
			}
			if text, _ := os.ReadFile(path); string(text) != tt.content {
				t.Errorf("the file has %q; want %q", text, tt.content)
			}
			if info, err := os.Stat(path); tt.says == "" && (err != nil || info.Mode().Perm() != 0o600) {
				t.Errorf("%v, %v; want mode 0600", info, err)
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) != 0 {
				t.Errorf("it leaves %q, %v", left, err)
			}
		})
	}
}

// TestCreateFileAmong: of several that make the same file one succeeds.
func TestCreateFileAmong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	results := make(chan error)
	const many = 20
	for range many {
		go func() { results <- createFile(path, func(*os.File) error { return nil }) }()
	}
	made := 0
	for range many {
		if err := <-results; err == nil {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d have made the file; want one", made)
	}
}

// TestGiveNameWithoutLinks: where a file system has no links, a name is claimed before it is
// given, and a failure gives it back.
func TestGiveNameWithoutLinks(t *testing.T) {
	dir := t.TempDir()
	path, folder := filepath.Join(dir, "name"), filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := giveName(folder, path); err == nil { // a folder has no links, and does not replace a file
		t.Error("a folder has become a file")
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v; want the name free again", err)
	}
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := giveName(folder, path); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("a name that is taken: %v", err)
	}
}
