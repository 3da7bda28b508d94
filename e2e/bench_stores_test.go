package e2e

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"       // registers pgx
	_ "github.com/ncruces/go-sqlite3/driver" // registers sqlite3

	"latchkey/internal/loadtest"
)

// manyUsers is how many users a database has that is not small.
const manyUsers = 1_000_000

// someAndMany are the numbers of users that are compared.
var someAndMany = []int{1000, manyUsers}

// BenchmarkReadUsersMeSQLite compares GET /users/me/ with the users in a SQLite file and a bare
// net/http handler that makes one indexed SELECT there, and then the same with users in memory.
func BenchmarkReadUsersMeSQLite(b *testing.B) {
	memory := startQuiet(b)
	inMemory := []string{readMe(memory, memory.signIn(b))}
	for _, users := range someAndMany {
		b.Run(fmt.Sprint("users=", users), func(b *testing.B) {
			file := filepath.Join(b.TempDir(), "users.db")
			ours := startFilled(b, "sqlite3", file, "sqlite:"+file, users)
			requests := readSome(b, ours, users)
			compareReads(b, ours, startBare(b, nil, nil, "sqlite:"+file), requests)
			b.Run("memory", func(b *testing.B) {
				for b.Loop() {
					reportLoads(b, "requests/s", "of-memory",
						loadtest.Of(ours.addr, connections, requests...), loadtest.Of(memory.addr, connections, inMemory...))
				}
			})
		})
	}
}

// BenchmarkReadUsersMePostgres compares GET /users/me/ with the users in PostgreSQL, which has the
// same two cores as the rest, and a bare net/http handler that makes one indexed SELECT there.
func BenchmarkReadUsersMePostgres(b *testing.B) {
	for _, users := range someAndMany {
		b.Run(fmt.Sprint("users=", users), func(b *testing.B) {
			url := startPostgres(b).URL("postgres")
			ours := startFilled(b, "pgx", url, url, users)
			compareReads(b, ours, startBare(b, nil, nil, url), readSome(b, ours, users))
		})
	}
}

// startFilled starts the program on a database with this many users, each with a session and the
// password of all. It gives them a search text, as the program does: otherwise a sweep would soon
// write a million of them, while a benchmark measures.
func startFilled(b *testing.B, driver, source, url string, users int) *quiet {
	b.Helper()
	p := startQuiet(b, "DATABASE_URL="+url, "SECRET_KEY="+aKey)
	p.signIn(b)
	db, err := sql.Open(driver, source)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{
		fmt.Sprintf(`
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %[1]d)
			INSERT INTO users (username, username_key, email, full_name, search, password_hash, disabled, created_at, tokens_valid_after)
			SELECT 'user' || CAST(n.i AS TEXT), 'user' || CAST(n.i AS TEXT), 'user' || CAST(n.i AS TEXT) || '@example.com', 'Full Name',
				'user' || CAST(n.i AS TEXT) || '%[2]s' || 'user' || CAST(n.i AS TEXT) || '@example.com' || '%[2]s' || 'full name',
				bench.password_hash, bench.disabled, bench.created_at, bench.tokens_valid_after
			FROM n, users bench WHERE bench.username = 'bench'`, users, "\x1f"),
		`INSERT INTO sessions (id, user_id, created_at, expires_at, ip, user_agent)
			SELECT 'a session of user ' || CAST(id AS TEXT), id, created_at, created_at + 3600000000, '127.0.0.1', 'bench' FROM users`,
	} {
		carryOutIn(b, db, statement)
	}
	for _, statement := range settling[driver] {
		carryOutIn(b, db, statement)
	}
	return p
}

// settling are the statements that do what a database would otherwise do while a benchmark measures.
var settling = map[string][]string{
	"sqlite3": {"ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"},
	"pgx":     {"VACUUM ANALYZE", "CHECKPOINT"},
}

func carryOutIn(b *testing.B, db *sql.DB, statement string) {
	b.Helper()
	if _, err := db.ExecContext(b.Context(), statement); err != nil {
		b.Fatal(err)
	}
}

// readSome returns requests for GET /users/me/ of users all over the database.
func readSome(b *testing.B, p *quiet, users int) []string {
	const some = 100
	var requests []string
	for i := range some {
		requests = append(requests, readMe(p, p.logIn(b, fmt.Sprint("user", 1+i*(users/some)))))
	}
	return requests
}

// readMe returns the request of the user whose token this is.
func readMe(p *quiet, token string) string {
	return "GET /users/me/ HTTP/1.1\r\nHost: " + p.addr + "\r\nAuthorization: Bearer " + token + "\r\n\r\n"
}
