package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestModule runs the tests of latchkey.js that need no browser; see module/. They have a server
// that answers as it likes, and tabs with locks that can be frozen.
func TestModule(t *testing.T) {
	t.Parallel()
	needTools(t, "node")
	if version := tool(t, "node", "--version"); strings.HasPrefix(version, "v18.") {
		skip(t, "Node is "+version+"; want 20 or later")
	}
	out, err := exec.CommandContext(t.Context(), "node", "--test", "--test-force-exit", "module/").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "# fail 0") {
		t.Errorf("the tests did not run:\n%s", out)
	}
}

// TestModuleClients lets TypeScript check programs that use the module, and the module.
func TestModuleClients(t *testing.T) {
	t.Parallel()
	if os.Getenv("CLIENT_TOOLS") == "" {
		t.Skip("SKIPPED: needs TypeScript; make clients runs it")
	}
	module, err := filepath.Abs("../web/latchkey.js")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t)
	runClient(t, "latchkey-js", "MODULE="+module,
		"PASTED="+readBlock(t, "docs/browser.md", "TypeScript", "sh", s.addr),
		"CONFIG="+readBlock(t, "docs/browser.md", "TypeScript", "json", "localhost:8000"))
}

// tool returns what a command prints.
func tool(t *testing.T, words ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v", words, err)
	}
	return strings.TrimSpace(string(out))
}
