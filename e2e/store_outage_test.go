package e2e

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/pgtest"
)

// A diary is what clients were told while something broke.
type diary struct {
	mu      sync.Mutex // guards the fields below
	names   int
	told    []string          // names answered with 200
	unsure  []string          // names that were sent, whatever became of them
	tokens  map[string]string // token → name
	strange []string          // answers that nobody should get
}

// write registers one name after the other and logs in with each, until ctx is
// done or the server is gone.
func (d *diary) write(ctx context.Context, s *server) {
	for ctx.Err() == nil {
		name := d.nextName()
		a, err := s.try(context.WithoutCancel(ctx), "POST", "/users/", newUser(name, password), jsonType)
		if !d.note(name, a, err) {
			return
		}
		if a.StatusCode != 200 {
			continue
		}
		a, err = s.try(context.WithoutCancel(ctx), "POST", "/token", loginForm(name), formType)
		if !d.noteToken(name, a, err) {
			return
		}
	}
}

func (d *diary) nextName() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names++
	return fmt.Sprintf("user%d", d.names)
}

// note keeps the answer to a registration, and reports whether there is one.
func (d *diary) note(name string, a answer, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err != nil || a.StatusCode == 503:
		d.unsure = append(d.unsure, name)
	case a.StatusCode == 200:
		d.told = append(d.told, name)
	default:
		d.strange = append(d.strange, fmt.Sprintf("POST /users/: %d %s", a.StatusCode, a.body))
	}
	return err == nil
}

// noteToken keeps the answer to a login, and reports whether there is one.
func (d *diary) noteToken(name string, a answer, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err != nil || a.StatusCode == 503:
	case a.token() != "":
		d.tokens[a.token()] = name
	default:
		d.strange = append(d.strange, fmt.Sprintf("POST /token: %d %s", a.StatusCode, a.body))
	}
	return err == nil
}

// known returns how many tokens the clients have.
func (d *diary) known() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.tokens)
}

// uncertain returns how many names were sent to a server that did not say whether
// it has taken them.
func (d *diary) uncertain() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.unsure)
}

// check reports what a server says now that is not what it said before.
func (d *diary) check(t *testing.T, s *server, url string) {
	t.Helper()
	for _, a := range d.strange {
		t.Error(a)
	}
	if len(d.unsure) == 0 {
		t.Error("nothing was under way when it broke")
	}
	const there = `SELECT count(*) FROM users WHERE password_hash LIKE '$pbkdf2-sha256$%$%$%' AND username = ANY ($1)`
	if n := count(t, url, there, d.told); n != len(d.told) {
		t.Errorf("%d of %d users are there who were told so", n, len(d.told))
	}
	for token, name := range d.tokens {
		checkMe(t, s.me(t, token), name)
	}
	for _, name := range d.unsure[:min(2, len(d.unsure))] {
		if a := s.do(t, "POST", "/users/", newUser(name, password), jsonType); a.StatusCode != 200 && a.StatusCode != 400 {
			t.Errorf("%s again: %d %s; want 200 or 400", name, a.StatusCode, a.body)
		}
		checkMe(t, s.me(t, s.logIn(t, name)), name)
	}
}

// testServerKilled kills the server thrice while people register.
func testServerKilled(t *testing.T, c *pgtest.Cluster) {
	long(t)
	url := c.URL(newDatabase(t, c))
	d := &diary{tokens: make(map[string]string)}
	for range 3 {
		s := startReplicas(t, 1, url)[0]
		before := d.known()
		var writers sync.WaitGroup
		for range 4 {
			writers.Go(func() { d.write(t.Context(), s) })
		}
		waitFor(t, "some logins", func() bool { return d.known() >= before+3 })
		s.signal(syscall.SIGKILL)
		writers.Wait()
	}
	d.check(t, start(t, keptIn(url)...), url)
}

// TestPostgresLost is what takes a PostgreSQL server and ends it.
func TestPostgresLost(t *testing.T) {
	long(t)
	t.Parallel()
	c := startPostgres(t)
	t.Run("killed", func(t *testing.T) { testDatabaseKilled(t, c) })
	t.Run("stopped", func(t *testing.T) { testOutage(t, c) })
}

// testDatabaseKilled kills the database twice while people register.
func testDatabaseKilled(t *testing.T, c *pgtest.Cluster) {
	url := c.URL(newDatabase(t, c))
	s := start(t, keptIn(url, "THROTTLE=off")...) // they try again and again
	d := &diary{tokens: make(map[string]string)}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() { d.write(ctx, s) })
	}
	for range 2 {
		before := d.known()
		waitFor(t, "some logins", func() bool { return d.known() >= before+3 })
		if err := c.Kill(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "somebody to notice", func() bool { return d.uncertain() > 0 })
		if err := c.Run(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	writers.Wait()
	waitFor(t, "the database to be back", func() bool { return s.do(t, "GET", "/readyz", "").StatusCode == 200 })
	d.check(t, s, url)
}

// testOutage stops the database under load, and starts it again.
func testOutage(t *testing.T, c *pgtest.Cluster) {
	url := guarded(c.URL(newDatabase(t, c)), dbPassword) // which this server does not ask for
	execute(t, c.URL("postgres"), "CREATE ROLE guarded LOGIN SUPERUSER")
	s := start(t, keptIn(url)...)
	s.register(t, "alice")
	token := s.logIn(t, "alice")
	l := loadOn(t, s, token)
	waitFor(t, "answers", func() bool { return l.answered(200) > 100 })
	before := s.connections(t)

	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		checkOutage(t, promptly(t, func() answer { return s.me(t, token) }))
		checkOutage(t, promptly(t, func() answer { return s.do(t, "POST", "/token", loginForm("alice"), formType) }))
		checkOutage(t, promptly(t, func() answer { return s.do(t, "GET", "/readyz", "") }))
		checkStatus(t, s.do(t, "GET", "/livez", ""), 200)
	}
	waitFor(t, "failures", func() bool { return l.answered(503) > 100 })
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	recovers(t, s, token, 5*time.Second)
	l.end()
	const pool = 10
	waitFor(t, "descriptors to be closed", func() bool { return s.connections(t) <= before+pool })
	if n := len(s.log.events("request failed")); n < l.answered(503) {
		t.Errorf("the log gives the reason of %d failures; want %d", n, l.answered(503))
	}
}

// A load is clients who ask all the time who they are.
type load struct {
	stop    context.CancelFunc
	clients sync.WaitGroup

	mu      sync.Mutex // guards answers
	answers map[int]int
}

// loadOn puts a load on a server until the test ends. It reports answers that are
// neither 200 nor an outage, and those that come late.
func loadOn(t testing.TB, s *server, token string) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop, answers: make(map[int]int)}
	for range 4 {
		l.clients.Go(func() {
			for ctx.Err() == nil {
				a := promptly(t, func() answer { return l.ask(ctx, t, s, token) })
				if a.StatusCode != 200 {
					checkOutage(t, a)
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

// ask asks once, even if ctx is done meanwhile.
func (l *load) ask(ctx context.Context, t testing.TB, s *server, token string) answer {
	a, err := s.try(context.WithoutCancel(ctx), "GET", "/users/me/", "", "Authorization: Bearer "+token)
	if err != nil {
		t.Error(err)
		runtime.Goexit()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[a.StatusCode]++
	return a
}

// answered returns how many answers had this status.
func (l *load) answered(status int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[status]
}

// end takes the load away.
func (l *load) end() {
	l.stop()
	l.clients.Wait()
}

// TestPostgresFailover kills a primary, and promotes its standby.
func TestPostgresFailover(t *testing.T) {
	long(t)
	t.Parallel()
	primary := startPostgres(t)
	standby, err := primary.Standby()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { standby.Close() })
	execute(t, primary.URL("postgres"), "ALTER SYSTEM SET synchronous_standby_names = '*'", "ALTER SYSTEM SET synchronous_commit = remote_apply", "SELECT pg_reload_conf()")
	waitFor(t, "the standby to be waited for", func() bool {
		return count(t, primary.URL("postgres"), "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1
	})
	database := newDatabase(t, primary)
	hosts := fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", standby.Port, primary.Port) // the second is the one that takes writes
	s := start(t, keptIn("postgres://latchkey@"+hosts+"/"+database+"?sslmode=disable", "THROTTLE=off")...)
	s.register(t, "alice")
	token := s.logIn(t, "alice")
	l := loadOn(t, s, token)
	waitFor(t, "answers", func() bool { return l.answered(200) > 100 })

	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	checkOutage(t, promptly(t, func() answer { return s.do(t, "POST", "/users/", newUser("bob", password), jsonType) }))
	execute(t, standby.URL("postgres"), "ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_promote()")
	recovers(t, s, token, 5*time.Second)
	s.register(t, "carol")
	if took := time.Since(begin); took > allow(10*time.Second) {
		t.Errorf("the outage lasted %v; want 10 s at most", took)
	}
	l.end()
	t.Run("two hosts, one takes no writes any more", func(t *testing.T) {
		restore(t, primary)
		testDemotion(t, s, database, standby, primary)
	})
	t.Run("one host takes no writes any more", func(t *testing.T) { testReadOnly(t, standby.URL(database)) })
}

// restore starts a primary again that shall wait for no standby.
func restore(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	execute(t, c.URL("postgres"), "ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()")
}

// setReadOnly makes a database server refuse writes, on connections that are open
// too, or take them again.
func setReadOnly(t *testing.T, url, value string) {
	t.Helper()
	execute(t, url, "ALTER SYSTEM SET default_transaction_read_only = "+value, "SELECT pg_reload_conf()")
}

// testDemotion: s leaves a host that takes no writes any more, and nobody sees it.
func testDemotion(t *testing.T, s *server, database string, from, to *pgtest.Cluster) {
	before := count(t, to.URL(database), "SELECT count(*) FROM users")
	setReadOnly(t, from.URL(database), "on")
	n := 0
	waitFor(t, "writes to go to the other host", func() bool {
		n++
		s.register(t, fmt.Sprintf("moved%d", n))
		return count(t, to.URL(database), "SELECT count(*) FROM users") > before
	})
	setReadOnly(t, from.URL(database), "off")
}

// testReadOnly: a single host that takes no writes any more is not read from either,
// for it may be a standby that has not heard of all; it is used again when it takes
// writes again.
func testReadOnly(t *testing.T, url string) {
	s := start(t, keptIn(url, "THROTTLE=off")...)
	token := s.logIn(t, "alice")
	n := 0
	registers := func() bool {
		n++
		a := promptly(t, func() answer {
			return s.do(t, "POST", "/users/", newUser(fmt.Sprintf("reader%d", n), password), jsonType)
		})
		if a.StatusCode != 200 {
			checkOutage(t, a)
		}
		return a.StatusCode == 200
	}
	setReadOnly(t, url, "on")
	waitFor(t, "writes to be refused", func() bool { return !registers() })
	checkOutage(t, s.me(t, token))
	checkOutage(t, s.do(t, "POST", "/token", loginForm("alice"), formType))
	setReadOnly(t, url, "off")
	waitFor(t, "writes to be taken", registers)
	recovers(t, s, token, 5*time.Second)
}
