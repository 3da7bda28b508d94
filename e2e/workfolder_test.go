package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/internal/pgtest"
)

// A workFolder is where somebody moves from: with the program, the old data, and what
// the shell needs to know.
type workFolder struct {
	dir string
	env []string
}

func newWorkFolder(t *testing.T) *workFolder {
	t.Helper()
	w := &workFolder{dir: t.TempDir()}
	docs, err1 := filepath.Abs("../docs")
	err2 := os.Symlink(docs, filepath.Join(w.dir, "docs"))
	err3 := os.Symlink(fastProgram, filepath.Join(w.dir, "latchkey"))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	w.env = []string{
		"HOME=" + w.dir,
		"PATH=" + filepath.Join(producers(t), "python/bin") + ":" + os.Getenv("PATH"),
		"HASH_PRODUCERS=" + producers(t),
		"PYTHONDONTWRITEBYTECODE=1",
		"SECRET_KEY=" + aKey,
		// Those of the README of github.com/firebase/scrypt.
		"SIGNER_KEY=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==",
		"SALT_SEPARATOR=Bw==",
	}
	return w
}

// producers returns the folder that producers/install.sh has filled.
func producers(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs(os.Getenv("HASH_PRODUCERS"))
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// command returns a command in the folder.
func (w *workFolder) command(t *testing.T, words ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(words[0])
	if words[0] == "python" {
		path, err = filepath.Join(producers(t), "python/bin/python"), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, words[1:]...)
	cmd.Dir, cmd.Env = w.dir, w.env
	return cmd
}

// run runs a command and returns what it prints.
func (w *workFolder) run(t *testing.T, input io.Reader, words ...string) string {
	t.Helper()
	cmd := w.command(t, words...)
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = input, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", words, err, &stderr, out)
	}
	return string(out)
}

// shell pastes lines into a shell.
func (w *workFolder) shell(t *testing.T, lines string) string {
	t.Helper()
	return w.run(t, nil, "bash", "-euo", "pipefail", "-c", lines)
}

// make runs a script that makes the old data, and returns what is to come of them.
func (w *workFolder) make(t *testing.T, source string) []map[string]any {
	t.Helper()
	input, err1 := json.Marshal(movers)
	script, err2 := filepath.Abs(filepath.Join("moving", source))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	program := map[string][]string{
		".java": {"java", "-cp", filepath.Join(producers(t), "java/*")},
		".mjs":  {"node"},
		".php":  {"php"},
		".py":   {"python"},
		".rb":   {"ruby"},
	}[filepath.Ext(source)]
	return readLines(t, w.run(t, bytes.NewReader(input), append(program, script)...))
}

// load loads old.sql into a database: "postgres", "mysql NAME" or "sqlite FILE".
func (w *workFolder) load(t *testing.T, database string, postgres *pgtest.Cluster, mysqlSocket string) {
	t.Helper()
	kind, name, _ := strings.Cut(database, " ")
	switch kind {
	case "postgres":
		url := postgres.URL(newDatabase(t, postgres))
		w.env = append(w.env, "OLD_DATABASE="+url)
		w.shell(t, `psql "$OLD_DATABASE" -q -v ON_ERROR_STOP=1 -f old.sql`)
	case "mysql":
		login := fmt.Sprintf("[client]\nsocket=%s\nuser=root\n", mysqlSocket)
		if err := os.WriteFile(filepath.Join(w.dir, ".my.cnf"), []byte(login), 0o600); err != nil {
			t.Fatal(err)
		}
		w.shell(t, fmt.Sprintf(`mysql -e "CREATE DATABASE %s CHARACTER SET utf8mb4"
			mysql --default-character-set=utf8mb4 \
				--init-command="SET sql_mode='NO_BACKSLASH_ESCAPES'" %[1]s <old.sql`, name))
	case "sqlite":
		w.shell(t, fmt.Sprintf(`mkdir -p "$(dirname %s)" && sqlite3 %[1]s <old.sql`, name))
	}
}

// startMariaDB starts a MariaDB server, and returns the path of its socket.
func startMariaDB(t *testing.T) string {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir, w := t.TempDir(), newWorkFolder(t)
	socket := filepath.Join(dir, "socket")
	data := "--datadir=" + filepath.Join(dir, "data")
	with := func(program string, more ...string) []string {
		return append([]string{program, "--no-defaults", "--user=" + me.Username, data}, more...)
	}
	w.run(t, nil, with("mariadb-install-db", "--auth-root-authentication-method=normal")...)
	runTool(t, w.command(t, with("mariadbd", "--skip-networking", "--socket="+socket)...))
	waitFor(t, "MariaDB to listen", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	return socket
}

// runExercise runs the FastAPI exercise and returns its address.
func (w *workFolder) runExercise(t *testing.T) string {
	t.Helper()
	script, err := filepath.Abs("moving/exercise.py")
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddress(t)
	runTool(t, w.command(t, "python", script, fmt.Sprint(addr.Port)))
	awaitTool(t, addr)
	return addr.String()
}
