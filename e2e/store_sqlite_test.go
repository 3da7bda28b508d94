package e2e

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// onFile returns the settings of a server whose users are in a SQLite file, and
// any others.
func onFile(path string, settings ...string) []string {
	return append([]string{"DATABASE_URL=sqlite:" + path, "SECRET_KEY=" + aKey}, settings...)
}

// newFile is where a test may make a database.
func newFile(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "users.db")
}

// openFile opens a database beside the server, by one connection.
func openFile(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// carryOut carries out a statement in a file that the test has for itself.
func carryOut(t testing.TB, path, statement string) {
	t.Helper()
	db := openFile(t, path)
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// ask returns the one text that a query of a file answers with.
func ask(t testing.TB, path, query string) string {
	t.Helper()
	db := openFile(t, path)
	defer db.Close()
	var text string
	if err := db.QueryRow(query).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// filesIn returns what is in a directory.
func filesIn(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}

func TestSQLiteRestart(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	before := start(t, onFile(path)...)
	before.register(t, "alice")
	token := before.logIn(t, "alice")
	before.stop(t)

	after := start(t, onFile(path)...)
	checkMe(t, after.me(t, token), "alice")
	checkMe(t, after.me(t, after.logIn(t, "ALICE")), "alice")
	checkProblem(t, after.do(t, "POST", "/users/", newUser("Alice", password), jsonType), 400, "Username already registered")
}

// TestSQLiteHashGrows restarts a server with other rounds. Who logs in gets the
// stronger hash, and never a weaker one; a token does not care.
func TestSQLiteHashGrows(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	token := ""
	for _, run := range []struct{ rounds, stored string }{
		{"100000", "100000"},
		{"150000", "150000"},
		{"100000", "150000"},
	} {
		s := start(t, onFile(path, "PBKDF2_ITERATIONS="+run.rounds)...)
		if token == "" {
			s.register(t, "alice")
			token = s.logIn(t, "alice")
		}
		s.logIn(t, "alice")
		checkMe(t, s.me(t, token), "alice")
		if hash := ask(t, path, `SELECT password_hash FROM users`); !strings.HasPrefix(hash, "$pbkdf2-sha256$"+run.stored+"$") {
			t.Errorf("after a login with %s rounds the hash is %.22s…; want %s rounds", run.rounds, hash, run.stored)
		}
		s.stop(t)
	}
}

func TestSQLiteFileNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"with space.db", "what?.db", "?mode=memory&cache=shared", "a#b.db", "%41.db", "100%.db",
		"größe-用户.db", `"it's".db`, "a;b+c=d.db", "no-suffix", "-dash.db",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := startOn(t, filepath.Join(dir, name))
			s.register(t, "alice")
			want := []string{name, name + "-shm", name + "-wal"}
			if got := filesIn(t, dir); !slices.Equal(got, want) {
				t.Errorf("the directory holds %q; want %q", got, want)
			}
			s.stop(t)
			if n := ask(t, filepath.Join(dir, name), `SELECT count(*) FROM users`); n != "1" {
				t.Errorf("%s users are in the file; want 1", n)
			}
		})
	}
}

// TestSQLiteFileModes starts a server that might create files for everybody.
func TestSQLiteFileModes(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := startAs(t, invocation{env: onFile(path), under: []string{"sh", "-c", `umask 0 && exec "$0" "$@"`}})
	s.register(t, "alice")
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v; want the mode -rw-------", info.Mode(), err)
		}
	}
	if strings.Contains(s.log.String(), "0600") {
		t.Errorf("a warning of a file that nobody else may open: %s", s.log)
	}
}

func TestSQLiteFileForEverybody(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	start(t, onFile(path)...).stop(t)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, onFile(path)...)
	if !regexp.MustCompile(`"WARN".*` + regexp.QuoteMeta(path) + `.*0600`).MatchString(s.log.String()) {
		t.Errorf("no warning names the file and 0600: %s", s.log)
	}
	got := invocation{args: []string{"check"}, env: onFile(path, "ADDR=localhost:0")}.run(t)
	if got.code != 0 || !strings.Contains(got.stdout, "warning: ") || !strings.Contains(got.stdout, "0600") {
		t.Errorf("check: exit code %d, %s%s; want 0 and a warning with 0600", got.code, got.stdout, got.stderr)
	}
}

// makeDatabase makes a database that has its schema.
func makeDatabase(t testing.TB, path string) {
	t.Helper()
	start(t, onFile(path)...).stop(t)
}

// TestSQLiteFileRefused starts the program on what it cannot use. The directory
// is the test's own, and has to be afterwards what it was.
func TestSQLiteFileRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		file   string
		make   func(t testing.TB, path string) // what is there
		reason string
	}{
		{"a file that takes no writes", "users.db", func(t testing.TB, path string) {
			makeDatabase(t, path)
			os.Chmod(path, 0o400)
		}, "permission denied"},
		{"a directory that takes no new files", "users.db", func(t testing.TB, path string) {
			makeDatabase(t, path)
			os.Chmod(filepath.Dir(path), 0o500)
			t.Cleanup(func() { os.Chmod(filepath.Dir(path), 0o700) })
		}, "want a directory that takes new files"},
		{"a directory that is not there", "nowhere/users.db", func(testing.TB, string) {}, "no such file or directory"},
		{"a directory in the place of the file", "users.db", func(t testing.TB, path string) {
			os.Mkdir(path, 0o700)
		}, "is a directory"},
		{"a file in the place of the directory", "file/users.db", func(t testing.TB, path string) {
			writeFile(t, filepath.Dir(path), "not a directory")
		}, "not a directory"},
		{"a file that is no database", "users.db", func(t testing.TB, path string) {
			writeFile(t, path, strings.Repeat("Not a database at all. ", 1000))
		}, "not a database"},
		{"a short file that is no database", "users.db", func(t testing.TB, path string) {
			writeFile(t, path, "alice:secret\n")
		}, "not a database"},
		{"a database with a broken header", "users.db", func(t testing.TB, path string) {
			makeDatabase(t, path)
			overwrite(t, path, "SQLite format 4\x00")
		}, "not a database"},
		{"a schema newer than the program", "users.db", func(t testing.TB, path string) {
			makeDatabase(t, path)
			carryOut(t, path, `INSERT INTO schema_version (version_id, is_applied) VALUES (99, 1)`)
		}, "version 99 of the schema"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, tt.file)
			tt.make(t, path)
			before := contents(t, dir)
			for _, command := range []string{"serve", "check"} {
				got := invocation{
					args: []string{command}, under: underprivileged(t),
					env: onFile(path, "ADDR=localhost:0"),
				}.run(t)
				checkNotStarted(t, command, got, path, tt.reason)
			}
			if after := contents(t, dir); !slices.Equal(before, after) {
				t.Errorf("the files were %.300q and are %.300q", before, after)
			}
		})
	}
}

// checkNotStarted reports a command that did not end for this reason, in one line.
func checkNotStarted(t *testing.T, command string, got outcome, path, reason string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(got.stderr) {
		if !strings.HasPrefix(line, "{") { // the log
			lines = append(lines, line)
		}
	}
	if got.code != 1 || len(lines) != 1 || !strings.Contains(lines[0], path) || !strings.Contains(lines[0], reason) {
		t.Errorf("%s: exit code %d, %q; want 1 and one line with %q and the path", command, got.code, got.stderr, reason)
	}
}

// underprivileged are the words before a command that may not open every file.
func underprivileged(t testing.TB) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	needTools(t, unprivileged[0])
	return unprivileged
}

// overwrite replaces the beginning of a file.
func overwrite(t testing.TB, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// contents returns the names, the modes and the bytes of all files in a directory.
func contents(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	for _, name := range filesIn(t, dir) {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		var text []byte
		if info.Mode().IsRegular() {
			if text, err = os.ReadFile(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, fmt.Sprintf("%s %v %s", name, info.Mode(), text))
	}
	return all
}

func TestSQLiteCheck(t *testing.T) {
	t.Parallel()
	latest := latestVersion(t)
	tests := []struct {
		name string
		make func(t testing.TB, path string)
		says string
	}{
		{"a database", makeDatabase, fmt.Sprintf("whose schema has version %d\n", latest)},
		{"an empty file", func(t testing.TB, path string) { writeFile(t, path, "") }, fmt.Sprintf("version 0 and would get %d\n", latest)},
		{"no file", func(testing.TB, string) {}, "a new SQLite file, /"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := newFile(t)
			tt.make(t, path)
			before := contents(t, filepath.Dir(path))
			got := invocation{args: []string{"check"}, env: onFile(path, "ADDR=localhost:0")}.run(t)
			if got.code != 0 || !strings.HasPrefix(got.stdout, "ok: ") || !strings.Contains(got.stdout, tt.says) {
				t.Errorf("exit code %d, %s%s; want 0 and ok: … %s", got.code, got.stdout, got.stderr, tt.says)
			}
			if after := contents(t, filepath.Dir(path)); !slices.Equal(before, after) {
				t.Errorf("check has changed the files from %.300q to %.300q", before, after)
			}
		})
	}
}

func TestSQLiteEmptyFileBecomesDatabase(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	writeFile(t, path, "")
	s := start(t, onFile(path)...)
	s.register(t, "alice")
	checkMe(t, s.me(t, s.logIn(t, "alice")), "alice")
}

// TestSQLiteTwoServers lets two servers on one machine have one file.
func TestSQLiteTwoServers(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	servers := []*server{startOn(t, path), startOn(t, path)}
	servers[0].register(t, "alice")
	checkMe(t, servers[0].me(t, servers[1].logIn(t, "alice")), "alice")

	const wanted = 16
	var registered, taken atomic.Int32
	var all sync.WaitGroup
	for n := range wanted {
		all.Go(func() {
			a, err := servers[n%2].try(t.Context(), "POST", "/users/", newUser("bob", password), jsonType)
			switch {
			case err == nil && a.StatusCode == 200:
				registered.Add(1)
			case err == nil && a.StatusCode == 400:
				taken.Add(1)
			default:
				t.Errorf("got %v, %v; want 200 or 400", a, err)
			}
		})
	}
	all.Wait()
	if registered.Load() != 1 || taken.Load() != wanted-1 {
		t.Errorf("of %d registrations of one name %d were answered 200 and %d 400; want one 200", wanted, registered.Load(), taken.Load())
	}
	for _, s := range servers {
		checkMe(t, s.me(t, s.logIn(t, "bob")), "bob")
	}
}

// TestSQLiteStartsAtOnce starts ten servers on a file that each of them would
// create. One user can be seen by all.
func TestSQLiteStartsAtOnce(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	var servers []*server
	for range 10 {
		servers = append(servers, launch(t, invocation{env: onFile(path, "ADDR=localhost:0", "PBKDF2_ITERATIONS=100000")}))
	}
	for _, s := range servers {
		s.awaitStart(t)
	}
	servers[0].register(t, "alice")
	token := servers[1].logIn(t, "alice")
	for _, s := range servers {
		checkMe(t, s.me(t, token), "alice")
	}
	latest := fmt.Sprintf("SELECT count(*) FROM schema_version WHERE version_id = %d", latestVersion(t))
	if n := ask(t, path, latest); n != "1" {
		t.Errorf("the schema was made %s times; want once", n)
	}
}
