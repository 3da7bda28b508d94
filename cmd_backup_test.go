package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// newBackedUp returns a runner on a SQLite file with alice and bob in it. Alice has two open
// sessions and one that has expired; bob's has ended with all of his.
func newBackedUp(t *testing.T) (c commandRunner, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "users.db")
	c = commandRunner{t, "sqlite:" + path}
	s, err := openStore(t.Context(), c.url, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	alice, bob := mustCreate(t, s, testUser("alice")), mustCreate(t, s, testUser("bob"))
	for id, session := range map[string]Session{
		"one":     {UserID: alice.ID, ExpiresAt: now.Add(time.Hour)},
		"two":     {UserID: alice.ID, ExpiresAt: now.Add(time.Hour)},
		"expired": {UserID: alice.ID, ExpiresAt: now.Add(-time.Hour)},
		"ended":   {UserID: bob.ID, ExpiresAt: now.Add(time.Hour)},
	} {
		session.ID, session.CreatedAt, session.LastUsedAt = id, now.Add(-2*time.Hour), now.Add(-2*time.Hour)
		mustBegin(t, s, session)
	}
	if _, err := s.UpdateUser(t.Context(), bob.ID, userChange{EndSessions: &sessionsEnd{}}); err != nil {
		t.Fatal(err)
	}
	return c, path
}

// openFile opens a SQLite file, which may be new, as no code of ours does.
func openFile(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func changeFile(t *testing.T, path, statement string) {
	t.Helper()
	db := openFile(t, path)
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func askFile(t *testing.T, path, query string) (text string) {
	t.Helper()
	db := openFile(t, path)
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), query).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// TestBackup: a backup is the database at one moment, whatever its name, and the database stays as
// it was to the byte.
func TestBackup(t *testing.T) {
	c, path := newBackedUp(t)
	before := mustRead(t, path)
	for _, name := range []string{"backup.db", "a b.db", "it's.db", `say "x".db`, "a?mode=memory", "100%25.db", "a#b.db", "file:a.db", ":memory:", "-- x.db", "größe.db", strings.Repeat("n", 255)} {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), name)
			got := c.run("", "backup", to)
			info, err := os.Stat(to)
			if err != nil {
				t.Fatal(err, got)
			}
			want := fmt.Sprintf("backed up 2 users, 2 open sessions, %s bytes\n", thousands(info.Size()))
			if got.code != 0 || got.stdout != want || got.stderr != "" || info.Mode().Perm() != 0o600 {
				t.Errorf("exit code %d, %q, %q, %v; want %q and mode 0600", got.code, got.stdout, got.stderr, info.Mode(), want)
			}
			checkFolder(t, filepath.Dir(to), name)
		})
	}
	if !slices.Equal(before, mustRead(t, path)) {
		t.Error("the database has changed")
	}
	checkFolder(t, filepath.Dir(path), "users.db")
}

// checkFolder reports a folder that has other files than these.
func checkFolder(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if !slices.Equal(names, want) {
		t.Errorf("the folder has %q; want %q", names, want)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestBackupInRelativeFolder: FILE may be relative, also if it looks like a URI.
func TestBackupInRelativeFolder(t *testing.T) {
	c, _ := newBackedUp(t)
	t.Chdir(t.TempDir())
	for _, name := range []string{"backup.db", "file:backup.db"} {
		if got := c.run("", "backup", name); got.code != 0 {
			t.Errorf("%s: exit code %d, %q", name, got.code, got.stderr)
		}
	}
	checkFolder(t, ".", "backup.db", "file:backup.db")
}

// TestBackupRefusals: what is refused leaves the folder as it was.
func TestBackupRefusals(t *testing.T) {
	c, path := newBackedUp(t)
	elsewhere := func(t *testing.T, text string) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), "other.db")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "sqlite:" + file
	}
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	changeFile(t, foreign, "CREATE TABLE users (id INTEGER)")
	unfinished := filepath.Join(t.TempDir(), "unfinished.db")
	changeFile(t, unfinished, "CREATE TABLE schema_version (version_id INTEGER, is_applied INTEGER); INSERT INTO schema_version VALUES (0, 1)")
	damaged := mustRead(t, path)
	for i := 4096; i < len(damaged); i += 64 {
		damaged[i]++
	}
	for _, tt := range []struct {
		name, url string
		there     string // the name of a file that is there
		code      int
		says      string
	}{
		{"a file that is there", c.url, "backup.db", 1, "already exists; want a new file"},
		{"changes of another database", c.url, "backup.db-wal", 1, "mix it into the backup"},
		{"a rollback of another database", c.url, "backup.db-journal", 1, "mix it into the backup"},
		{"users in memory", "", "", 2, "in the memory of the server"},
		{"PostgreSQL", "postgres://" + aMarker + "@localhost/latchkey", "", 2, "use pg_dump"},
		{"no database", "sqlite:" + filepath.Join(t.TempDir(), "nowhere.db"), "", 1, "does not exist; want the path"},
		{"an empty file", elsewhere(t, ""), "", 1, "no users of Latchkey"},
		{"no SQLite file", elsewhere(t, strings.Repeat("text ", 1000)), "", 1, "another kind of file"},
		{"a database of others", "sqlite:" + foreign, "", 1, "no users of Latchkey"},
		{"a database without a schema", "sqlite:" + unfinished, "", 1, "no users of Latchkey"},
		{"a damaged database", elsewhere(t, string(damaged)), "", 1, "it is damaged: want a backup"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			var want []string
			if tt.there != "" {
				want = []string{tt.there}
				if err := os.WriteFile(filepath.Join(dir, tt.there), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := commandRunner{t, tt.url}.run("", "backup", filepath.Join(dir, "backup.db"))
			if got.code != tt.code || got.stdout != "" || !strings.Contains(got.stderr, tt.says) {
				t.Errorf("exit code %d, %q, %q; want %d and %q", got.code, got.stdout, got.stderr, tt.code, tt.says)
			}
			checkNoSecret(t, got, aMarker)
			checkFolder(t, dir, want...)
		})
	}
}

// TestBackupNames: these are no names of a new file.
func TestBackupNames(t *testing.T) {
	c, path := newBackedUp(t)
	for _, tt := range []struct {
		name, file string
		code       int
		says       string
	}{
		{"nothing", "", 2, "want the name of a new file"},
		{"standard output", "-", 2, "want the name of a new file"},
		{"a folder", filepath.Dir(path), 1, "already exists"},
		{"the database", path, 1, "already exists"},
		{"a folder that is not there", filepath.Join(t.TempDir(), "no", "backup.db"), 1, "no such file or directory"},
		{"a file in a file", filepath.Join(path, "backup.db"), 1, "not a directory"},
		{"a name that ends with a slash", filepath.Join(t.TempDir(), "backup.db") + "/", 1, "no such file or directory"},
	} {
		if got := c.run("", "backup", tt.file); got.code != tt.code || !strings.Contains(got.stderr, tt.says) || got.stdout != "" {
			t.Errorf("%s: exit code %d, %q, %q; want %d and %q", tt.name, got.code, got.stdout, got.stderr, tt.code, tt.says)
		}
	}
}

// TestBackupOfOtherVersions: a backup comes before an upgrade, and after one that was taken back.
// It does not change the schema.
func TestBackupOfOtherVersions(t *testing.T) {
	all, err := sqliteSchema.migrations()
	if err != nil {
		t.Fatal(err)
	}
	for n := range all {
		t.Run(fmt.Sprint("version ", n+1), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "users.db")
			changeFile(t, path, sqliteSchema.createTable)
			for _, m := range all[:n+1] {
				changeFile(t, path, m.text+fmt.Sprintf("; INSERT INTO schema_version (version_id, is_applied) VALUES (%d, 1)", m.version))
			}
			changeFile(t, path, "INSERT INTO users (username, username_key, password_hash, disabled, created_at, tokens_valid_after) VALUES ('A', 'a', '', 0, 0, 0)")
			changeFile(t, path, fmt.Sprintf("INSERT INTO sessions (id, user_id, created_at, expires_at, ip, user_agent) VALUES ('s', 1, 0, %d, '', '')", time.Now().Add(time.Hour).UnixMicro()))
			checkBackup(t, path, "backed up 1 user, 1 open session, ")
		})
	}
	t.Run("a newer version", func(t *testing.T) {
		_, path := newBackedUp(t)
		changeFile(t, path, "INSERT INTO schema_version (version_id, is_applied) VALUES (99, 1); DROP TABLE sessions")
		checkBackup(t, path, "users and sessions are not counted, because the schema has version 99")
	})
}

// checkBackup makes a backup, which has to say this and to have the schema of the original.
func checkBackup(t *testing.T, path, says string) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "backup.db")
	got := commandRunner{t, "sqlite:" + path}.run("", "backup", to)
	if got.code != 0 || !strings.Contains(got.stdout, says) {
		t.Fatalf("exit code %d, %q, %q; want %q", got.code, got.stdout, got.stderr, says)
	}
	const schema = "SELECT group_concat(sql, char(10)) || (SELECT max(version_id) FROM schema_version) FROM (SELECT sql FROM sqlite_schema ORDER BY name)"
	if before, after := askFile(t, path, schema), askFile(t, to, schema); before != after || before == "" {
		t.Errorf("the schema was\n%s\nand is in the backup\n%s", before, after)
	}
}

// TestBackupInterrupted: a backup that is interrupted leaves nothing behind.
func TestBackupInterrupted(t *testing.T) {
	c, _ := newBackedUp(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	got := runProgram(t, ctx, []string{"DATABASE_URL=" + c.url}, "backup", filepath.Join(dir, "backup.db"))
	if got.code != 130 || !strings.Contains(got.stderr, "interrupted") || got.stdout != "" {
		t.Errorf("exit code %d, %q, %q; want 130", got.code, got.stdout, got.stderr)
	}
	checkFolder(t, dir)
}

// TestInspectCopy: a copy that was damaged on its way is found, and is not called a backup.
func TestInspectCopy(t *testing.T) {
	c, path := newBackedUp(t)
	db, err := openDatabase(c.url, leaveSchema, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	to := filepath.Join(t.TempDir(), "copy.db")
	copied, err := copySQLite(t.Context(), db, to, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	text := mustRead(t, to)
	for i := 4096; i < len(text); i += 64 {
		text[i]++
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := inspectCopy(t.Context(), db, to, time.Now(), &copied); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a damaged copy of %s: %v; want an error", path, err)
	}
}
