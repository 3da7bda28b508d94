package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey/internal/loadtest"
)

// BenchmarkMigration measures how long the start of the program takes with a database of the schema
// before events, until the users there can be searched by an index, and what searches, reads and
// logins are answered meanwhile. It has manyUsers users, or as many as IMPORT_USERS says.
func BenchmarkMigration(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) {
		measureMigration(b, inFileAt(filepath.Join(b.TempDir(), "users.db")))
	})
	b.Run("PostgreSQL", func(b *testing.B) {
		measureMigration(b, inPostgres(b, startPostgres(b)))
	})
}

func measureMigration(b *testing.B, p place) {
	b.Helper()
	for b.Loop() {
		fillVersion5(b, p, importUsers(b))
		began := time.Now()
		ours := startQuiet(b, p.settings...)
		b.ReportMetric(time.Since(began).Seconds(), "s-to-start")
		seen := watchFolding(b, ours, p)
		checkReplies(b, seen.searches, "200", "503")
		checkReplies(b, slices.Concat(seen.reads, seen.logins), "200")
		b.ReportMetric(seen.took.Seconds(), "s-to-fold")
		b.ReportMetric(float64(len(waitsOf(seen.searches, "503"))), "searches-refused")
		b.ReportMetric(loadtest.Quantile(waitsOf(seen.searches, "200", "503"), 0.5), "ms-search-p50")
		b.ReportMetric(loadtest.Quantile(waitsOf(seen.searches, "200", "503"), 1), "ms-search-most")
		b.ReportMetric(loadtest.Quantile(waitsOf(seen.reads, "200"), 0.99), "ms-me-p99")
		b.ReportMetric(loadtest.Quantile(waitsOf(seen.logins, "200"), 0.99), "ms-login-p99")
		b.ReportMetric(loadtest.Quantile(waitsOf(seen.logins, "200"), 1), "ms-login-most")
		b.ReportMetric(0, "ns/op") // says nothing here
	}
}

// fillVersion5 makes the schema before events in an empty database, and users of whom one is an
// administrator named bench. Their names are in random order.
func fillVersion5(b *testing.B, p place, users int) {
	b.Helper()
	files, err := filepath.Glob("../migrations/" + p.dialect + "/0000[1-5]_*.sql")
	if err != nil || len(files) != 5 {
		b.Fatalf("%d migrations, %v; want 5", len(files), err)
	}
	for _, file := range files {
		schema, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		p.change(b, string(schema))
	}
	p.change(b, versionTables[p.dialect]+", (2, true), (3, true), (4, true), (5, true)")
	p.change(b, fmt.Sprintf(`
		WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < %d),
			names(name) AS (SELECT 'Lindqvist.' || CAST(i * 611953 %% 1000003 AS TEXT) FROM n)
		INSERT INTO users (username, username_key, email, full_name, password_hash, disabled, created_at, tokens_valid_after)
		SELECT name, lower(name), name || '@mail.example.com', 'Margareta ' || name, '%[2]s', false, %[3]d, %[3]d FROM names
		UNION ALL SELECT 'bench', 'bench', NULL, NULL, '%[2]s', false, %[3]d, %[3]d`,
		users, hashOf(100_000), time.Now().Add(-time.Hour).UnixMicro()))
	p.change(b, `UPDATE users SET scopes = 'admin' WHERE username = 'bench'`)
	p.change(b, `ANALYZE`)
}

// A folding is what happened while the program prepared users for searches.
type folding struct {
	took                    time.Duration // from the start of the program
	searches, reads, logins []reply
}

// watchFolding searches, reads and logs in once in a while, until all users are prepared.
func watchFolding(b *testing.B, p *quiet, in place) (seen folding) {
	b.Helper()
	began := time.Now()
	admin := p.logIn(b, "bench")
	const isLeft = "SELECT count(*) FROM (SELECT 1 FROM users WHERE search IS NULL LIMIT 1) AS first"
	for in.number(b, isLeft) > 0 {
		var all sync.WaitGroup
		ask := func(to *[]reply, request string, pause time.Duration) {
			all.Go(func() { *to = append(*to, askAgain(p.addr, request, 1, pause, 4*time.Second)...) })
		}
		ask(&seen.searches, listRequest(p, admin, "q=xylophage"), time.Second)
		ask(&seen.reads, readMe(p, admin), 10*time.Millisecond)
		ask(&seen.logins, logInRequest(p, "bench", password), 200*time.Millisecond)
		all.Wait()
		seen.took = time.Since(began)
	}
	return seen
}
