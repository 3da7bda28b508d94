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
		"guesses":                         testPostgresGuesses,
		"nothing is prepared":             testNothingPrepared,
		"commands":                        testPostgresUsers,
		"a dry run that cannot write":     testImportReadOnlyPostgres,
		"administrators":                  testPostgresAdministrators,
		"events are locked":               testEventsLocked,
		"events of replicas":              testEventsOfReplicas,
		"events of what was interrupted":  testCommandInterrupted,
		"events and a stop":               testStopWhileLocked,
		"events and their readers":        testEventReadersWhileLocked,
		"events name nobody":              testEventsNameNobodyPostgres,
		"keys":                            testPostgresKeys,
		"keys in an outage":               testKeysOutage,
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
