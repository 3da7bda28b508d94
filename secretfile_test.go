package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadableSecretFiles(t *testing.T) {
	tests := []struct {
		name    string
		file    string
		dirMode os.FileMode
		mode    os.FileMode
		warned  bool
	}{
		{"open to its owner", "key", 0o755, 0o600, false},
		{"open to a group", "key", 0o755, 0o640, false},
		{"open to everybody", "key", 0o755, 0o644, true},
		{"open to everybody who knows its name", "key", 0o711, 0o444, true},
		{"open to everybody in a directory that is not", "key", 0o700, 0o444, false},
		{"open to everybody in a directory of a group", "key", 0o750, 0o444, false},
		{"a secret of Kubernetes", "..2026_11_25_12_00_00.123456789/key", 0o755, 0o644, false},
		{"a secret of Kubernetes in a directory of its own", "..2026_11_25_12_00_00.123456789/sub/key", 0o755, 0o644, false},
		{"a credential of systemd", "credentials/key", 0o755, 0o444, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path, link := filepath.Join(dir, tt.file), filepath.Join(dir, "link")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			err1 := os.WriteFile(path, []byte(goodKey), tt.mode)
			err2 := os.Chmod(path, tt.mode)
			err3 := os.Chmod(filepath.Dir(path), tt.dirMode)
			err4 := os.Symlink(tt.file, link)
			if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
				t.Fatal(err1, err2, err3, err4)
			}
			for _, named := range []string{path, link} {
				cfg, err := readConfig(everything, nil, []string{"SECRET_KEY_FILE=" + named, "CREDENTIALS_DIRECTORY=" + filepath.Join(dir, "credentials")}, false)
				if warned := len(cfg.Warnings) == 1 && strings.Contains(cfg.Warnings[0], named); err != nil || warned != tt.warned {
					t.Errorf("%v, warnings %q; want one: %v", err, cfg.Warnings, tt.warned)
				}
			}
		})
	}
}

func TestSecretMounts(t *testing.T) {
	for path, want := range map[string]bool{
		"/run/secrets/key":         true,
		"/run/secrets/app/key":     true,
		"/var/run/secrets/key":     true,
		"/run/credentials/x/key":   true,
		"/run/secrets.d/1/key":     true,
		"/run/secretsx/key":        false,
		"/etc/x/..2026_1/key":      true,
		"/etc/latchkey/key":        false,
		"/home/u/run/secrets/key":  false,
		"/run/secret/key":          false,
		"/etc/latchkey/..key":      false,
		"/srv/run/credentials/key": false,
	} {
		if got := isSecretMount(path, ""); got != want {
			t.Errorf("%s: %v; want %v", path, got, want)
		}
	}
	if !isSecretMount("/etc/key", "/") {
		t.Error("what systemd names does not count")
	}
}
