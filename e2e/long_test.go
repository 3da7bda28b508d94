package e2e

import (
	"os"
	"testing"
)

// long skips a test that make test has no time for; make test-long runs it.
func long(t testing.TB) {
	t.Helper()
	if os.Getenv("LONG") == "" {
		t.Skip("SKIPPED: takes long; make test-long runs it")
	}
}
