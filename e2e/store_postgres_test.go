package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/pgtest"
)

// TestPostgres is what takes a PostgreSQL server and leaves it running. Its zone,
// and that of some replicas, is not UTC.
func TestPostgres(t *testing.T) {
	t.Parallel()
	c := startPostgres(t, "max_connections=300", "timezone='Asia/Kathmandu'")
	askForPasswords(t, c)
	for name, test := range map[string]func(*testing.T, *pgtest.Cluster){
		"replicas share users and tokens": testReplicas,
		"one name, 100 want it":           testReplicaRace,
		"ten replicas at once":            testReplicaStart,
		"the server is killed":            testServerKilled,
		"statements that are undone":      testUndone,
		"odd names":                       testOddNames,
		"zones":                           testZones,
		"locked out":                      testLockedOut,
		"hashing holds no connection":     testHashing,
		"reads that are cut off":          testCutReads,
		"writes that are cut off":         testCutWrites,
		"every connection lost":           testAllCut,
		"silence":                         testSilence,
		"silence of the old connections":  testHalfOpen,
		"a stop in silence":               testSilentStop,
		"latency":                         testLatency,
		"starts that are refused":         testRefusedStarts,
		"check":                           testCheckPostgres,
		"sessions":                        testPostgresSessions,
		"killed before the answer":        testKilledBeforeAnswer,
		"refreshes that are cut off":      testCutRefreshes,
		"a refresh before an outage":      testRefreshBeforeOutage,
		"ends that are cut off":           testCutEnds,
		"a theft that is cut off":         testCutTheft,
		"silence about sessions":          testSilentSessions,
		"the schema of version 1":         testPostgresUpgrade,
		"guesses":                         testPostgresGuesses,
		"nothing is prepared":             testNothingPrepared,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, c)
		})
	}
}

// newDatabase makes an empty database and returns its name.
func newDatabase(t testing.TB, c *pgtest.Cluster) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text()[:10])
	execute(t, c.URL("postgres"), "CREATE DATABASE "+name)
	return name
}

// startPostgres starts a PostgreSQL server for one test.
func startPostgres(t testing.TB, settings ...string) *pgtest.Cluster {
	t.Helper()
	c, err := pgtest.Start(settings...)
	if errors.Is(err, pgtest.ErrNotInstalled) {
		skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// connect returns a connection of the test's own.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// execute carries out statements in a database.
func execute(t testing.TB, url string, statements ...string) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(t.Context())
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// count returns the number that a query asks for.
func count(t testing.TB, url, query string, args ...any) int {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(t.Context())
	var n int
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// keptIn are the settings of a replica with this database.
func keptIn(url string, more ...string) []string {
	return append([]string{"DATABASE_URL=" + url, "SECRET_KEY=" + aKey, "PBKDF2_ITERATIONS=100000", "ADDR=localhost:0"}, more...)
}

// startReplicas starts servers with one database at the same moment.
func startReplicas(t *testing.T, n int, url string) []*server {
	t.Helper()
	var replicas []*server
	for range n {
		replicas = append(replicas, launch(t, invocation{env: keptIn(url)}))
	}
	for _, s := range replicas {
		waitFor(t, "a replica to listen", func() bool { return s.listens() || s.hasExited() })
		if s.hasExited() {
			t.Fatalf("a replica did not start: %s", s.log)
		}
	}
	return replicas
}

func testReplicas(t *testing.T, c *pgtest.Cluster) {
	database := newDatabase(t, c)
	refusing := fmt.Sprintf("postgres://latchkey@127.0.0.1:1,127.0.0.1:%d/%s?sslmode=disable", c.Port, database)
	replicas := []*server{start(t, keptIn(c.URL(database))...), start(t, keptIn(refusing)...)}
	replicas[0].register(t, "alice")
	token := replicas[1].logIn(t, "ALICE")
	for _, s := range replicas {
		checkMe(t, s.me(t, token), "alice")
		if a := s.do(t, "POST", "/users/", newUser("Alice", password), jsonType); a.StatusCode != 400 {
			t.Errorf("the name is free: %d %s", a.StatusCode, a.body)
		}
	}
}

// hashes is how many passwords a test that wants n can afford: under the race
// detector each takes ten times as long.
func hashes(n int) int {
	if isRace() {
		return n / 5
	}
	return n
}

// testReplicaRace: of those who want a name at once, one gets it, with the
// password that they chose.
func testReplicaRace(t *testing.T, c *pgtest.Cluster) {
	long(t)
	replicas := startReplicas(t, 2, c.URL(newDatabase(t, c)))
	var mu sync.Mutex
	var winners []string
	var all sync.WaitGroup
	for n := range hashes(100) {
		all.Go(func() {
			mine := fmt.Sprintf("%s-%d", password, n)
			a, err := replicas[n%2].try(t.Context(), "POST", "/users/", newUser("alice", mine), jsonType)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Error(err)
			case a.StatusCode == 200:
				winners = append(winners, mine)
			case a.StatusCode == 503: // others keep the cores busy
				checkUnavailable(t, a)
			default:
				checkProblem(t, a, 400, "Username already registered")
			}
		})
	}
	all.Wait()
	if len(winners) != 1 {
		t.Fatalf("%d have got the name; want 1", len(winners))
	}
	for _, s := range replicas {
		if a := s.do(t, "POST", "/token", "username=alice&password="+winners[0], formType); a.StatusCode != 200 {
			t.Errorf("the password of whoever got the name: %d %s", a.StatusCode, a.body)
		}
	}
}

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

func checkStatus(t testing.TB, a answer, want int) {
	t.Helper()
	if a.StatusCode != want {
		t.Errorf("%s %s: %d %s; want %d", a.Request.Method, a.Request.URL.Path, a.StatusCode, a.body, want)
	}
	checkShape(t, a)
}

// testUndone makes the database undo statements: the server sends them again,
// though not for ever.
func testUndone(t *testing.T, c *pgtest.Cluster) {
	url := c.URL(newDatabase(t, c))
	s := start(t, keptIn(url)...)
	s.register(t, "alice")
	execute(t, url, "CREATE SEQUENCE attempts") // what is undone has counted nevertheless
	tests := []struct {
		name, table, code string
		times             int
		want              int
	}{
		{"a registration, as not serializable, twice", "users", "40001", 2, 200},
		{"a registration, in a deadlock, twice", "users", "40P01", 2, 200},
		{"a registration, each time", "users", "40001", 1000, 503},
		{"a session, as not serializable, twice", "sessions", "40001", 2, 200},
		{"a session, in a deadlock, each time", "sessions", "40P01", 1000, 503},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			undo(t, url, tt.table, tt.code, tt.times)
			var a answer
			if tt.table == "users" {
				a = s.do(t, "POST", "/users/", newUser(fmt.Sprintf("user%d", i), password), jsonType)
			} else {
				a = s.do(t, "POST", "/token", loginForm("alice"), formType)
			}
			if tt.want == 503 {
				checkOutage(t, a)
			} else {
				checkStatus(t, a, tt.want)
			}
			if n := count(t, url, "SELECT last_value FROM attempts"); n != 3 {
				t.Errorf("the server has tried %d times; want 3", n)
			}
		})
	}
}

// undo makes the first inserts into a table fail with an SQLSTATE, and no other
// table's.
func undo(t testing.TB, url, table, code string, times int) {
	t.Helper()
	execute(t, url,
		"DROP TRIGGER IF EXISTS undo ON users",
		"DROP TRIGGER IF EXISTS undo ON sessions",
		"ALTER SEQUENCE attempts RESTART",
		fmt.Sprintf(`CREATE OR REPLACE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN
				IF nextval('attempts') <= %d THEN RAISE 'undone' USING ERRCODE = '%s'; END IF;
				RETURN NEW;
			END $$`, times, code),
		"CREATE TRIGGER undo BEFORE INSERT ON "+table+" FOR EACH ROW EXECUTE FUNCTION undo()")
}

func testOddNames(t *testing.T, c *pgtest.Cluster) {
	s := start(t, keptIn(c.URL(newDatabase(t, c)))...)
	for _, name := range []string{"-1", "$1", "' OR 1=1 --", `\'; DROP TABLE users; --`, "Ǆ𝔷🦊 %_"} {
		s.register(t, name)
		checkMe(t, s.me(t, s.logIn(t, name)), name)
	}
	const nul = `a\u0000b`
	checkStatus(t, s.do(t, "POST", "/users/", `{"username":"`+nul+`","password":"`+password+`"}`, jsonType), 422)
	checkStatus(t, s.do(t, "POST", "/token", loginForm("a\x00b"), formType), 422)
	k := key{algorithm: "HS256", secret: aKey}
	for _, claims := range []string{`"sub":"` + nul + `"`, `"sub":"-1","sid":"` + nul + `"`} {
		checkProblem(t, s.me(t, k.mintOf(t, claims)), 401, "Could not validate credentials")
	}
	checkMe(t, s.me(t, k.mintOf(t, `"sub":"-1"`)), "-1")
}

// testZones: neither the zone of the database nor that of a server moves a time.
func testZones(t *testing.T, c *pgtest.Cluster) {
	url := c.URL(newDatabase(t, c))
	if n := count(t, url, "SELECT extract(timezone FROM now())::int"); n != 20700 {
		t.Fatalf("the database is %d s east of Greenwich; want 20700", n)
	}
	west, utc := start(t, keptIn(url, "TZ=America/New_York")...), start(t, keptIn(url, "TZ=UTC")...)
	west.register(t, "alice")
	utc.register(t, "bob")
	for _, s := range []*server{west, utc} {
		checkMe(t, utc.me(t, s.logIn(t, "alice")), "alice")
		checkMe(t, west.me(t, s.logIn(t, "bob")), "bob")
	}
	const fortnight = 14 * 24 * 60 * 60
	const wrong = `SELECT
		(SELECT count(*) FROM users    WHERE abs(created_at   / 1e6 - extract(epoch FROM now())) > 60) +
		(SELECT count(*) FROM sessions WHERE abs(created_at   / 1e6 - extract(epoch FROM now())) > 60) +
		(SELECT count(*) FROM sessions WHERE abs(last_used_at / 1e6 - extract(epoch FROM now())) > 60) +
		(SELECT count(*) FROM sessions WHERE abs(expires_at   / 1e6 - extract(epoch FROM now()) - $1) > 60)`
	if n := count(t, url, wrong, fortnight); n != 0 {
		t.Errorf("%d times are wrong by more than a minute", n)
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

// testHashing: eight logins that compute do not keep two connections from others.
func testHashing(t *testing.T, c *pgtest.Cluster) {
	long(t)
	url := c.URL(newDatabase(t, c), "pool_max_conns=2")
	s := start(t, keptIn(url, fmt.Sprintf("PBKDF2_ITERATIONS=%d", hashes(1_000_000)))...)
	s.register(t, "alice")
	token := s.logIn(t, "alice")
	var logins sync.WaitGroup
	var done, served atomic.Int64
	for range 8 {
		login := s.beginLogin(t)
		login.send(loginForm("alice"))
		logins.Go(func() {
			defer done.Add(1)
			a, err := login.read("POST")
			switch {
			case err == nil && a.StatusCode == 200:
				served.Add(1)
			case err != nil || a.StatusCode != 503: // after 2 s: others have come before it
				t.Errorf("a login got %v, %v; want 200, or 503 in need", a, err)
			}
		})
	}
	answers := 0
	for done.Load() == 0 {
		checkMe(t, s.me(t, token), "alice")
		answers++
	}
	if answers < 3 { // the last may have waited for a login
		t.Errorf("%d answers while the logins computed; want some", answers)
	}
	logins.Wait()
	if served.Load() == 0 {
		t.Error("no login was served")
	}
}

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
