package main

import (
	"os"
	"strings"
	"testing"
)

// TestReadPassword: what standard input may be when a password is read from it.
func TestReadPassword(t *testing.T) {
	for _, tt := range []struct{ name, input, want, says string }{
		{"a line", "secret\n", "secret", ""},
		{"a line as Windows ends it", "secret\r\n", "secret", ""},
		{"no line end", "secret", "secret", ""},
		{"spaces", " a b \n", " a b ", ""},
		{"a NUL", "a\x00b\n", "a\x00b", ""},
		{"16 KiB", strings.Repeat("x", maxPasswordInput), strings.Repeat("x", maxPasswordInput), ""},
		{"more", strings.Repeat("x", maxPasswordInput+1), "", "more than 16 KiB"},
		{"two lines", "secret\nsecret\n", "", "several lines"},
		{"two line ends", "secret\n\n", "", "several lines"},
		{"a carriage return inside", "a\rb", "", "several lines"},
		{"invalid UTF-8", "a\xff", "", "UTF-8"},
		{"nothing", "", "", "empty"},
		{"a line end alone", "\n", "", "empty"},
	} {
		got, err := readPassword(strings.NewReader(tt.input))
		if got != tt.want || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %q, %v; want %q, %q", tt.name, got, err, tt.want, tt.says)
		}
	}
	if _, err := readPassword(failingReader{}); err == nil || !strings.Contains(err.Error(), "standard input") {
		t.Errorf("a closed standard input: %v", err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, os.ErrClosed }
