package e2e

import (
	"fmt"
	"latchkey/internal/pgtest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// testReplicaStart: one of many replicas makes the schema, and the others wait.
func testReplicaStart(t *testing.T, c *pgtest.Cluster) {
	url := c.URL(newDatabase(t, c))
	for _, s := range startReplicas(t, 10, url) {
		checkStatus(t, s.do(t, "GET", "/readyz", ""), 200)
	}
	versions := 1 + latestVersion(t) // goose begins with version 0
	if n := count(t, url, "SELECT count(*) FROM schema_version"); n != versions {
		t.Errorf("%d rows say which schema there is; want %d", n, versions)
	}
}

// testLockedOut: requests that wait for a table, and so for a connection, are
// answered nevertheless.
func testLockedOut(t *testing.T, c *pgtest.Cluster) {
	long(t)
	url := c.URL(newDatabase(t, c))
	s := start(t, keptIn(url+"&pool_max_conns=2")...)
	s.register(t, "alice")
	token := s.logIn(t, "alice")
	tx, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE users IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	for range 6 {
		waiting.Go(func() {
			checkOutage(t, promptly(t, func() answer { return s.me(t, token) }))
		})
	}
	waitFor(t, "both connections to wait for the lock", func() bool { return count(t, url, lockedOut) == 2 })
	begin := time.Now()
	checkStatus(t, s.do(t, "GET", "/livez", ""), 200)
	if took := time.Since(begin); took > allow(time.Second) {
		t.Errorf("GET /livez took %v; want it at once", took)
	}
	waiting.Wait()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	recovers(t, s, token, 5*time.Second)
}

const lockedOut = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`

// dbPassword is that of guarded, the one role that is asked for it.
const dbPassword = "open-sesame-8812"

func askForPasswords(t testing.TB, c *pgtest.Cluster) {
	t.Helper()
	url := c.URL("postgres")
	execute(t, url, "CREATE ROLE guarded LOGIN PASSWORD '"+dbPassword+"'")
	conn := connect(t, url)
	var path string
	if err := conn.QueryRow(t.Context(), "SHOW hba_file").Scan(&path); err != nil {
		t.Fatal(err)
	}
	execute(t, url, `COPY (VALUES ('host all guarded 127.0.0.1/32 scram-sha-256'), ('host all all 127.0.0.1/32 trust')) TO '`+path+"'",
		"SELECT pg_reload_conf()")
	waitFor(t, "passwords to be asked for", func() bool {
		_, err := pgx.Connect(t.Context(), guarded(url, "wrong"))
		return err != nil
	})
}

// guarded is the URL for somebody with a password.
func guarded(url, password string) string {
	return strings.Replace(url, "latchkey@", "guarded:"+password+"@", 1)
}

func testRefusedStarts(t *testing.T, c *pgtest.Cluster) {
	database := newDatabase(t, c)
	newer := newDatabase(t, c)
	startReplicas(t, 1, c.URL(newer))
	execute(t, c.URL(newer), "INSERT INTO schema_version (version_id, is_applied) VALUES (99, true)")
	deaf := startProxy(t, c.Port)
	deaf.silence(true)
	host := fmt.Sprintf("127.0.0.1:%d", c.Port)
	preferred := strings.Replace(c.URL(database), "sslmode=disable", "sslmode=prefer", 1)
	tests := []struct {
		name, url string
		waits     bool     // the start, for it may be there soon
		want      []string // in the one line
	}{
		{"a wrong password", guarded(c.URL(database), "wrong-9931"), false, []string{database, host, `password authentication failed for user "guarded"`}},
		{"a wrong password, with TLS if possible", guarded(preferred, "wrong-9931"), false, []string{database, host, `password authentication failed for user "guarded"`}},
		{"a database that is not there", c.URL("nowhere"), false, []string{"nowhere", host}},
		{"a host that refuses", "postgres://latchkey:wrong-9931@127.0.0.1:1/users", true, []string{"users", "127.0.0.1:1"}},
		{"a host that says nothing", through(deaf, database), true, []string{database, fmt.Sprint(deaf.port)}},
		{"a host that does not exist", "postgres://latchkey:wrong-9931@no-such-host.invalid/users", true, []string{"users", "no-such-host.invalid:5432"}},
		{"a newer schema", c.URL(newer), false, []string{newer, host, "99"}},
	}
	for _, tt := range tests {
		for _, command := range []string{"serve", "check"} {
			t.Run(tt.name+", "+command, func(t *testing.T) {
				t.Parallel()
				i := invocation{args: []string{command}, env: keptIn(tt.url)}
				if command == "serve" && tt.waits {
					checkWaits(t, i, tt.want)
					return
				}
				got := i.run(t)
				if got.code != 1 || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 {
					t.Errorf("exit code %d, %q, %q; want 1 and one line", got.code, got.stdout, got.stderr)
				}
				for _, want := range tt.want {
					checkOutput(t, "standard error", got.stderr, want)
				}
				if strings.Contains(got.stderr, "9931") || strings.Contains(got.stderr, "TLS") {
					t.Errorf("the password, or what does not matter, is in %q", got.stderr)
				}
			})
		}
	}
}

// checkWaits reports a start that does not say that it waits for its database, and why,
// or does not end when it is told to.
func checkWaits(t *testing.T, i invocation, want []string) {
	t.Helper()
	s := launch(t, i)
	waitFor(t, "a line about waiting", func() bool { return len(s.log.events("waiting for the database")) > 0 })
	begin := time.Now()
	if code := s.stop(t); code != 0 || time.Since(begin) > allow(5*time.Second) {
		t.Errorf("exit code %d after %v; want 0, soon", code, time.Since(begin))
	}
	for _, want := range want {
		checkOutput(t, "the log", s.log.String(), want)
	}
	if strings.Contains(s.log.String(), "9931") || s.listens() {
		t.Errorf("the password is in the log, or it listens: %s", s.log)
	}
}

// testCheckPostgres: check says which schema there is and makes none.
func testCheckPostgres(t *testing.T, c *pgtest.Cluster) {
	database := newDatabase(t, c)
	url := c.URL(database)
	got := invocation{args: []string{"check"}, env: keptIn(url)}.run(t) // as somebody who might make tables
	checkOutput(t, "standard output", got.stdout, fmt.Sprintf("%s at 127.0.0.1:%d, whose schema has version 0 and would get %d\n", database, c.Port, latestVersion(t)))
	const tables = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'public'"
	if n := count(t, url, tables); n != 0 || got.code != 0 {
		t.Errorf("exit code %d, and %d tables; want neither", got.code, n)
	}
	startReplicas(t, 1, url)
	execute(t, url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO guarded")
	got = invocation{args: []string{"check"}, env: keptIn(guarded(url, dbPassword))}.run(t)
	checkOutput(t, "standard output", got.stdout, fmt.Sprintf("whose schema has version %d\n", latestVersion(t)))
	if !strings.HasPrefix(got.stdout, "ok: ") || got.code != 0 || strings.Contains(got.stdout+got.stderr, dbPassword) {
		t.Errorf("exit code %d, %q; want ok without the password", got.code, got.stdout+got.stderr)
	}
}
