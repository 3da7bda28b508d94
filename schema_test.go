package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// openEmpty opens a database without making its schema.
func openEmpty(t testing.TB, url string) *database {
	t.Helper()
	db, err := openDatabase(url, readWriteCreate, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// foreignTables are what another application may have where Latchkey is to keep its
// users, and what is said of it.
var foreignTables = []struct {
	name, statements, says string
}{
	{"a table of users", "CREATE TABLE users (id INTEGER PRIMARY KEY, login TEXT)", "of its own"},
	{"a table of sessions", "CREATE TABLE sessions (sid TEXT PRIMARY KEY, data TEXT)", "of its own"},
	{"a table with the name of the last", "CREATE TABLE api_keys (ip TEXT)", "of its own"},
	{"an index with the name of one of ours", "CREATE TABLE notes (user_id INTEGER); CREATE INDEX sessions_user_id ON notes (user_id)", "of its own"},
	{"a view in the place of a table", "CREATE VIEW users AS SELECT 1 AS id", "of its own"},
	{"versions of another tool", "CREATE TABLE schema_version (installed_rank INTEGER PRIMARY KEY, script TEXT)", "of its own"},
	{"a view in the place of the versions", "CREATE VIEW schema_version AS SELECT 1 AS installed_rank", "of its own"},
	{"versions of the same tool, for other tables", "CREATE TABLE schema_version (version_id INTEGER, is_applied BOOLEAN); INSERT INTO schema_version VALUES (0, true), (%d, true)", "of its own"},
	{"versions of the same tool, and users", "CREATE TABLE schema_version (version_id INTEGER, is_applied BOOLEAN); INSERT INTO schema_version VALUES (0, true), (%d, true); CREATE TABLE users (id INTEGER)", "of its own"},
	{"an older version of the same tool, for other tables", "CREATE TABLE schema_version (version_id INTEGER, is_applied BOOLEAN); INSERT INTO schema_version VALUES (0, true), (1, true)", "of its own"},
	{"more versions of the same tool than there are of ours", "CREATE TABLE schema_version (version_id INTEGER, is_applied BOOLEAN); INSERT INTO schema_version VALUES (0, true), (20240101, true)", "version 20240101"},
}

// TestForeignTables: check and the start say the same of the tables of another
// application, and leave nothing behind.
func TestForeignTables(t *testing.T) {
	latest := latestMigration(t)
	for kind, empty := range everyDatabase {
		for _, tt := range foreignTables {
			t.Run(kind+", "+tt.name, func(t *testing.T) {
				url := empty(t)
				statements := tt.statements
				if strings.Contains(statements, "%d") {
					statements = fmt.Sprintf(statements, latest)
				}
				executeIn(t, url, statements)
				checkRefusedAlike(t, url, url, tt.says)
			})
		}
	}
}

func latestMigration(t testing.TB) int64 {
	t.Helper()
	all, err := pgSchema.migrations()
	if err != nil {
		t.Fatal(err)
	}
	return all[len(all)-1].version
}

// executeIn carries out statements in a database of either kind.
func executeIn(t testing.TB, url, statements string) {
	t.Helper()
	if isPostgres(url) {
		execute(t, url, statements)
		return
	}
	db := openEmpty(t, url)
	if _, err := db.schemaDB.Exec(statements); err != nil {
		t.Fatal(err)
	}
}

// checkRefusedAlike reports a database that check and the start do not refuse with the
// same words, or that they change. The owner of everything there looks for traces.
func checkRefusedAlike(t testing.TB, owners, url, says string) {
	t.Helper()
	before := traces(t, owners)
	_, checked := inspectStore(t.Context(), config{DatabaseURL: url, Rounds: 100_000})
	_, started := openStoreWithin(t.Context(), url, 0, slog.New(slog.DiscardHandler))
	if checked == nil || started == nil || checked.Error() != started.Error() || !strings.Contains(checked.Error(), says) {
		t.Errorf("check: %v\nstart: %v\nwant the same, with %q", checked, started, says)
	}
	if checked != nil && strings.Contains(checked.Error(), "\n") {
		t.Errorf("%q has more than a line", checked)
	}
	if after := traces(t, owners); !slices.Equal(before, after) {
		t.Errorf("there was %q, and there is %q", before, after)
	}
}

// traces returns everything in a database that a start may leave there.
func traces(t testing.TB, url string) []string {
	t.Helper()
	path, isFile := strings.CutPrefix(url, sqlitePrefix)
	if isFile {
		return filesAround(t, path)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `
		SELECT format('%s %s %s', relname, relkind, oid) FROM pg_class
		WHERE relnamespace = current_schema()::regnamespace ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// filesAround returns the names of the files in a directory, with
// what tells their bytes apart.
func filesAround(t testing.TB, path string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s %x", filepath.Base(name), sha256.Sum256(text)))
	}
	return all
}

// newRole makes a role that may log in and nothing else, and returns the URL with which
// it does so.
func newRole(t testing.TB, base string) (role, its string) {
	t.Helper()
	role = "role_" + strings.ToLower(rand.Text()[:10])
	execute(t, base, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() { execute(t, base, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(role)
	return role, u.String()
}

// TestRoles: what a role lacks is said by check and by the start, in the same words.
func TestRoles(t *testing.T) {
	for _, tt := range []struct {
		name string
		give string // %[1]s is the schema, and %[2]s the role
		says string // empty: it does
	}{
		{"a role that may not use the schema", "SELECT 1", "GRANT USAGE, CREATE ON SCHEMA"},
		{"a role that may not create tables", "GRANT USAGE ON SCHEMA %[1]s TO %[2]s", "GRANT CREATE ON SCHEMA"},
		{"a role that may not look at the versions", "GRANT USAGE, CREATE ON SCHEMA %[1]s TO %[2]s; CREATE TABLE %[1]s.schema_version (version_id BIGINT, is_applied BOOLEAN)", "permission denied"},
		{"a role that takes no writes", "GRANT USAGE, CREATE ON SCHEMA %[1]s TO %[2]s; ALTER ROLE %[2]s SET default_transaction_read_only = on", "read"},
		{"a role whose schema is not there", "ALTER ROLE %[2]s SET search_path = nowhere", "CREATE SCHEMA"},
		{"a role that may create tables", "GRANT USAGE, CREATE ON SCHEMA %[1]s TO %[2]s", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := newPostgres(t)
			u, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}
			role, its := newRole(t, base)
			execute(t, base, strings.NewReplacer("%[1]s", u.Query().Get("search_path"), "%[2]s", role).Replace(tt.give))
			if strings.Contains(tt.give, "search_path") {
				its = strings.Replace(its, "search_path", "application_name", 1)
			}
			if tt.says != "" {
				checkRefusedAlike(t, base, its, tt.says)
				return
			}
			if found, err := inspectStore(t.Context(), config{DatabaseURL: its, Rounds: 100_000}); err != nil || !strings.Contains(found.where, "would get") {
				t.Errorf("check: %s, %v", found.where, err)
			}
			mustOpen(t, its)
		})
	}
}

// TestRehearseTogether: those who only look neither keep others from making the schema
// nor fail because of them.
func TestRehearseTogether(t *testing.T) {
	for name, empty := range everyDatabase {
		t.Run(name, func(t *testing.T) {
			url := empty(t)
			openEmpty(t, url)
			var all sync.WaitGroup
			for i := range 12 {
				all.Go(func() {
					if i%2 == 0 {
						if _, err := inspectStore(t.Context(), config{DatabaseURL: url, Rounds: 100_000}); err != nil {
							t.Errorf("check: %v", err)
						}
						return
					}
					s, err := openStore(t.Context(), url, slog.New(slog.DiscardHandler))
					if err != nil {
						t.Errorf("start: %v", err)
						return
					}
					s.Close()
				})
			}
			all.Wait()
		})
	}
}

// TestRehearseLeavesNoTrace: check says what the start would do to an empty database, and
// does not do it.
func TestRehearseLeavesNoTrace(t *testing.T) {
	for name, empty := range everyDatabase {
		t.Run(name, func(t *testing.T) {
			url := empty(t)
			openEmpty(t, url) // which makes the file
			before := traces(t, url)
			found, err := inspectStore(t.Context(), config{DatabaseURL: url, Rounds: 100_000})
			if want := fmt.Sprintf("version 0 and would get %d", latestMigration(t)); err != nil || !strings.Contains(found.where, want) {
				t.Errorf("%s, %v; want %s", found.where, err, want)
			}
			if after := traces(t, url); !slices.Equal(before, after) {
				t.Errorf("there was %q, and there is %q", before, after)
			}
			mustOpen(t, url)
		})
	}
}

// TestMigrationsAreTransactions: a migration is carried out as one text, with nothing in
// it that ends the transaction.
func TestMigrationsAreTransactions(t *testing.T) {
	for _, dialect := range []schemaDialect{pgSchema, sqliteSchema} {
		all, err := dialect.migrations()
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range all {
			if m.version != int64(i+1) {
				t.Errorf("%s: migration %d has the number %d", dialect.folder, i+1, m.version)
			}
			for _, word := range []string{"+goose Down", "NO TRANSACTION", "COMMIT", "CONCURRENTLY"} {
				if strings.Contains(m.text, word) {
					t.Errorf("%s: migration %d has %s in it", dialect.folder, m.version, word)
				}
			}
		}
	}
}

// TestMigrationWaitsForNobody: a table that another client keeps locked is given up
// soon, for everybody else waits meanwhile.
func TestMigrationWaitsForNobody(t *testing.T) {
	t.Parallel()
	url := newPostgres(t)
	text, err := migrationFiles.ReadFile("migrations/postgres/00001_users_and_sessions.sql")
	if err != nil {
		t.Fatal(err)
	}
	execute(t, url, string(text)+pgSchema.createTable+"INSERT INTO schema_version (version_id, is_applied) VALUES (1, true)")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE sessions IN ACCESS SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	_, err = inspectStore(t.Context(), config{DatabaseURL: url, Rounds: 100_000})
	if err == nil || !strings.Contains(err.Error(), "quieter time") {
		t.Errorf("got %v; want a word about tables in use", err)
	}
	if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, url)
}
