package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmeServices pastes the lines of docs/your-own-services.md into a shell.
func TestReadmeServices(t *testing.T) {
	long(t)
	t.Parallel()
	const page = "docs/your-own-services.md"
	dir := t.TempDir()
	if err := os.Symlink(fastProgram, filepath.Join(dir, "latchkey")); err != nil {
		t.Fatal(err)
	}
	socket, addr := listenerFile(t, "localhost:0")
	names := []string{"DATABASE_URL", "SECRET_KEY", "ALGORITHM", "ISSUER", "AUDIENCE", "ACCESS_TOKEN_EXPIRE_MINUTES"}
	setUp := "cd " + dir
	out := shell(t, setUp, readBlock(t, page, "Setting it up", "sh", addr), "printenv "+strings.Join(names, " "))
	values := strings.Fields(out)
	if len(values) != len(names) {
		t.Fatalf("the settings are %q", values)
	}
	var env []string
	for i, name := range names {
		env = append(env, name+"="+values[i])
		setUp += "\nexport " + name + "=" + values[i]
	}
	startAs(t, invocation{under: oneSocket, files: []*os.File{socket}, env: env, dir: dir})

	lines := []string{setUp}
	for _, heading := range []string{"Setting it up", "The service asks", "API keys for jobs", "Changing keys", "Services that read a file"} {
		blocks := readBlocks(t, page, heading, "sh", addr)
		if heading == "Setting it up" {
			blocks = blocks[1:] // the first has run
		}
		lines = append(lines, blocks...)
	}
	out = shell(t, append(lines, "cat jwks.json keys.pem")...)
	for text, want := range map[string]int{
		`"kty":"EC"`:                    3, // at once, and both after the rotation
		`"jwks_uri":"http://` + addr:    1,
		`{"active":true,"scope":"read"`: 1,
		"HTTP/1.1 200 OK":               1, // at /verify
		"Remote-User: ada\r\n":          1,
		`"access_token":"`:              1,
		"HTTP/1.1 204 ":                 1,
		"signs from ":                   1,
		"BEGIN PUBLIC KEY":              2,
	} {
		if n := strings.Count(out, text); n != want {
			t.Errorf("%q is there %d times; want %d; the lines print\n%s", text, n, want, out)
		}
	}
}
