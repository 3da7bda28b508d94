package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A clientTest is a folder of clients/ whose run.sh does something with the server as a
// program that others wrote does.
type clientTest struct {
	folder     string
	registered bool // whether the user exists before
}

// TestGoClients generates a client from the document and registers, fails to log in, logs
// in, refreshes, lists the sessions and logs out with it.
func TestGoClients(t *testing.T) {
	t.Parallel()
	long(t)
	runClients(t, []clientTest{{folder: "oapi-codegen"}, {folder: "ogen"}})
}

// TestClients does the same with generators that need more than Go. It also uses the
// server with OAuth and JWT libraries, and the document with Postman and two linters.
func TestClients(t *testing.T) {
	t.Parallel()
	if os.Getenv("CLIENT_TOOLS") == "" {
		t.Skip("SKIPPED: needs Node, Python and Java; make clients runs it")
	}
	runClients(t, []clientTest{
		{folder: "openapi-typescript"},
		{folder: "hey-api"},
		{folder: "openapi-python-client"},
		{folder: "openapi-generator-go"},
		{folder: "openapi-generator-java"},
		{folder: "openapi-generator-python"},
		{folder: "openapi-generator-typescript"},
		{folder: "swagger-codegen-java"},
		{folder: "postman"},
		{folder: "lint"},
		{folder: "authlib", registered: true},
		{folder: "requests-oauthlib", registered: true},
		{folder: "python-jose", registered: true},
		{folder: "simple-oauth2", registered: true},
		{folder: "oauth4webapi", registered: true},
	})
}

func runClients(t *testing.T, tests []clientTest) {
	const secretKey = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978"
	s := start(t, "SECRET_KEY="+secretKey, "REFRESH_GRACE_SECONDS=0", "THROTTLE=off")
	document := filepath.Join(t.TempDir(), "openapi.json")
	if err := os.WriteFile(document, []byte(s.do(t, "GET", "/openapi.json", "").body), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := filepath.Abs("../openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.folder, func(t *testing.T) {
			t.Parallel()
			if tt.registered {
				s.register(t, tt.folder)
			}
			runClient(t, tt.folder,
				"BASE="+s.url, "SPEC="+document, "SOURCE="+source, "SECRET_KEY="+secretKey,
				"NAME="+tt.folder, "PASSWORD="+password,
				"REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "SCARF_ANALYTICS=false")
		})
	}
}

// runClient runs the run.sh of a folder in a copy of it.
func runClient(t *testing.T, folder string, env ...string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("clients", folder))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"package.json", "tsconfig.json"} {
		text, err := os.ReadFile(filepath.Join("clients", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-eu", "run.sh")
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "TOOLS="+os.Getenv("CLIENT_TOOLS")), env...)
	cmd.WaitDelay = time.Second // for grandchildren that have the output
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
