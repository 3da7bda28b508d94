package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// runTool runs a program of others until the test ends. If the test fails, it shows what
// the program has said.
func runTool(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	said := new(record)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(cmd.Path), said)
		}
	})
}

// freeAddress returns an address of this machine, which a tool may take.
func freeAddress(t testing.TB) *net.TCPAddr {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr)
}

// awaitTool waits until a tool listens.
func awaitTool(t testing.TB, addr *net.TCPAddr) {
	t.Helper()
	waitFor(t, "a tool to listen on "+addr.String(), func() bool {
		conn, err := net.Dial("tcp", addr.String())
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// long skips a test that make test has no time for; make test-long runs it.
func long(t testing.TB) {
	t.Helper()
	if os.Getenv("LONG") == "" {
		t.Skip("SKIPPED: takes long; make test-long runs it")
	}
}

// skip skips a test for want of something, and says so even without -v. Where
// everything is there, CI=true makes it a failure.
func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("nothing may be skipped here: " + why)
	}
	fmt.Fprintf(os.Stderr, "SKIP: %s: %s\n", t.Name(), why)
	t.SkipNow()
}
