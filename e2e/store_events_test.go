package e2e

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/pgtest"
)

// testEventsKilled: what an administrator was told is done is in the table, though the server
// is killed with the next breath.
func testEventsKilled(t *testing.T, p place) {
	rounds := 3
	if os.Getenv("LONG") != "" {
		rounds = 20
	}
	p.add(t, "alice")
	for round := range rounds {
		s := launchAndWait(t, invocation{env: p.with(withRoot("THROTTLE=off")...), fast: true})
		admin := s.logIn(t, root)
		checkStatus(t, s.patch(t, admin, "alice", fmt.Sprintf(`{"scopes":["s%d"]}`, round)), 200)
		s.kill(t)
		is := fmt.Sprintf("SELECT count(*) FROM events WHERE name = 'privilege_permissions_changed' AND actor = '%s' AND detail LIKE '%%+s%d%%'", root, round)
		if n := p.number(t, is); n != 1 {
			t.Errorf("%d events say that alice was granted s%d; want 1", n, round)
		}
	}
	if n := p.number(t, "SELECT count(*) - count(DISTINCT id) FROM events"); n != 0 {
		t.Errorf("%d IDs occur twice", n)
	}
}

// testEventsAtStop: a stop writes what has waited.
func testEventsAtStop(t *testing.T, p place) {
	s := p.startUnthrottled(t)
	s.register(t, "alice")
	for range 5 {
		s.logIn(t, "alice")
	}
	s.client.CloseIdleConnections()
	if code := s.stop(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
	for name, want := range map[string]int{"authn_login_success": 5, "user_created": 1, "sys_startup": 1, "sys_shutdown": 1} {
		if n := p.number(t, "SELECT count(*) FROM events WHERE name = '"+name+"'"); n != want {
			t.Errorf("%d events %s; want %d", n, name, want)
		}
	}
}

// testEventsTableGone: without the table people log in as ever; when it is there again, so
// is what has happened meanwhile.
func testEventsTableGone(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	s.register(t, "alice")
	s.awaitFeed(t, admin, "username=alice", 1)
	p.change(t, "CREATE TABLE copied AS SELECT * FROM events")
	p.change(t, "DROP TABLE events")
	checkLogins(t, s, "alice", 10, 100*time.Millisecond)
	checkOutage(t, promptly(t, func() answer { return s.authorized(t, "GET", "/events/", "", admin) }))
	t.Logf("an administrator's change gets %d meanwhile",
		promptly(t, func() answer { return s.patch(t, admin, "alice", `{"scopes":["meanwhile"]}`) }).StatusCode)
	checkStatus(t, s.do(t, "GET", "/readyz", ""), 200)
	p.change(t, "ALTER TABLE copied RENAME TO events")
	if all := s.awaitFeed(t, admin, "username=alice&event=authn_login_success", 10); len(all) != 10 {
		t.Errorf("10 logins are %d events", len(all))
	}
	checkStatus(t, s.patch(t, admin, "alice", `{"scopes":["afterwards"]}`), 200)
	if n := len(named(s.feed(t, admin, "username=alice"), "privilege_permissions_changed")); n == 0 {
		t.Error("no event of the change afterwards")
	}
}

// checkLogins logs a user in so often, with pauses in between, and reports logins that fail
// or take longer than usual.
func checkLogins(t testing.TB, s *server, username string, n int, pause time.Duration) {
	t.Helper()
	for range n {
		begin := time.Now()
		s.logIn(t, username)
		if took := time.Since(begin); took > allow(2*time.Second) {
			t.Errorf("a login takes %v", took)
		}
		<-time.After(pause)
	}
}

// lock locks a table by a statement in a session of its own, until the function that it
// returns is called.
func (p place) lock(t testing.TB, statement string) (unlock func()) {
	t.Helper()
	tx, err := connect(t, urlOf(p)).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// testEventsLocked: somebody locks a table of the events for some seconds. Logins go on, and their
// events are there afterwards, once each. A reader of events learns in time that it is locked.
func testEventsLocked(t *testing.T, c *pgtest.Cluster) {
	for name, statement := range map[string]string{
		"the table":          "LOCK TABLE events",
		"the table of IDs":   "LOCK TABLE event_ids",
		"the row of the IDs": "UPDATE event_ids SET last_id = last_id",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := inPostgres(t, c)
			s, admin := p.startWithRoot(t)
			other := p.startUnthrottled(t)
			s.register(t, "alice")
			s.awaitFeed(t, admin, "username=alice", 1)
			unlock := p.lock(t, statement)
			var all sync.WaitGroup
			for _, one := range []*server{s, other} {
				all.Go(func() { checkLogins(t, one, "alice", 12, 500*time.Millisecond) })
			}
			a := promptly(t, func() answer { return s.patch(t, admin, "alice", `{"scopes":["granted"]}`) })
			t.Logf("an administrator's change gets %d", a.StatusCode)
			for _, path := range []string{"/events/", "/users/me/events/"} {
				all.Go(func() {
					a := promptly(t, func() answer { return s.authorized(t, "GET", path, "", admin) })
					if a.StatusCode != 200 {
						checkOutage(t, a)
					}
				})
			}
			all.Wait()
			unlock()
			if got := s.awaitFeed(t, admin, "username=alice&event=authn_login_success", 24); len(got) != 24 {
				t.Errorf("24 logins are %d events", len(got))
			}
			changed := named(s.feed(t, admin, "username=alice"), "privilege_permissions_changed")
			if len(changed) != 1 {
				t.Errorf("a change that was answered %d is the events %v; want one", a.StatusCode, changed)
			}
		})
	}
}

// testEventReadersWhileLocked: those who ask for their events while the table is locked do not
// keep others from logging in.
func testEventReadersWhileLocked(t *testing.T, c *pgtest.Cluster) {
	p := inPostgres(t, c)
	s := p.startUnthrottled(t)
	s.register(t, "alice")
	s.register(t, "bob")
	token := s.logIn(t, "bob")
	unlock := p.lock(t, "LOCK TABLE events")
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 10 {
		readers.Go(func() {
			for !stop.Load() {
				s.try(t.Context(), "GET", "/users/me/events/", "", "Authorization: Bearer "+token)
			}
		})
	}
	for range 8 {
		<-time.After(time.Second) // until the readers wait for the table
		begin := time.Now()
		a := s.do(t, "POST", "/token", loginForm("alice"), formType)
		if took := time.Since(begin); a.StatusCode != 200 || took > allow(2*time.Second) {
			t.Errorf("a login gets %d after %v", a.StatusCode, took)
		}
		begin = time.Now()
		a = s.authorized(t, "GET", "/users/me/sessions/", "", a.token())
		if took := time.Since(begin); a.StatusCode != 200 || took > allow(2*time.Second) {
			t.Errorf("a list of sessions gets %d after %v", a.StatusCode, took)
		}
	}
	stop.Store(true)
	unlock()
	readers.Wait()
	s.logIn(t, "alice")
}

// testCommandInterrupted: what a command has changed is recorded, though it was interrupted while
// it had to wait for the table.
func testCommandInterrupted(t *testing.T, c *pgtest.Cluster) {
	p := inPostgres(t, c)
	p.add(t, "alice")
	unlock := p.lock(t, "UPDATE event_ids SET last_id = last_id")
	granted := func() bool { return p.number(t, "SELECT count(*) FROM users WHERE scopes <> ''") == 1 }
	j := p.command("users", "grant", "alice", "admin").begin(t)
	for deadline := time.Now().Add(2 * time.Second); !granted() && time.Now().Before(deadline); {
		<-time.After(10 * time.Millisecond)
	}
	j.signal(syscall.SIGINT)
	<-time.After(200 * time.Millisecond)
	unlock()
	got := j.end(t)
	t.Logf("granted: %v, exit code %d, %s", granted(), got.code, got.stderr)
	if n := p.number(t, "SELECT count(*) FROM events WHERE detail = '+admin'"); granted() && n != 1 {
		t.Errorf("alice is an administrator, and %d events say so: exit code %d, %s", n, got.code, got.stderr)
	}
}

// testStopWhileLocked: a stop does not wait for ever for a table that is locked.
func testStopWhileLocked(t *testing.T, c *pgtest.Cluster) {
	p := inPostgres(t, c)
	s := launchAndWait(t, invocation{env: p.with("THROTTLE=off", "SHUTDOWN_SECONDS=2"), fast: true})
	s.register(t, "alice")
	defer p.lock(t, "LOCK TABLE events")()
	s.logIn(t, "alice")
	s.client.CloseIdleConnections()
	begin := time.Now()
	code := s.stop(t)
	if took := time.Since(begin); took > allow(12*time.Second) || code < 0 {
		t.Errorf("a stop takes %v, with exit code %d", took, code)
	} else {
		t.Logf("a stop takes %v, with exit code %d", took, code)
	}
	if len(s.log.events("authn_login_success")) != 1 {
		t.Error("the login is not even in the log")
	}
}

// testEventsNameNobodyPostgres is TestEventsNameNobody on PostgreSQL.
func testEventsNameNobodyPostgres(t *testing.T, c *pgtest.Cluster) {
	p := inPostgres(t, c)
	s := p.start(t, withRoot()...)
	admin := s.logIn(t, root)
	const typed = "tYped-by-Mistake-4711"
	for _, name := range []string{typed, typed + "@example.org", typed} {
		checkWrong(t, s.logInBy(t, name, anotherWrong()))
	}
	s.awaitFeed(t, admin, "event=authn_login_fail", 3)
	for _, table := range []string{"users", "sessions", "events", "login_failures"} {
		if n := p.number(t, "SELECT count(*) FROM "+table+" one WHERE one::text ILIKE '%mistake-4711%'"); n != 0 {
			t.Errorf("%d rows of %s hold the name", n, table)
		}
	}
}

// urlOf returns where the database of a place is.
func urlOf(p place) string {
	for _, setting := range p.settings {
		if url, ok := strings.CutPrefix(setting, "DATABASE_URL="); ok {
			return url
		}
	}
	return ""
}

// testEventsOfReplicas: three replicas add events, and one is killed in between. A reader that
// goes on after the last ID misses none that is there in the end, and gets none twice.
func testEventsOfReplicas(t *testing.T, c *pgtest.Cluster) {
	p := inPostgres(t, c)
	reader, admin := p.startWithRoot(t)
	mortal := launchAndWait(t, invocation{env: p.with("THROTTLE=off"), fast: true})
	replicas := []*server{reader, p.startUnthrottled(t), mortal}
	var stop atomic.Bool
	var all sync.WaitGroup
	for i, s := range replicas {
		name := fmt.Sprint("user", i)
		reader.register(t, name)
		g := reader.signIn(t, name)
		for range 2 {
			all.Go(func() {
				for n := 0; !stop.Load(); n++ {
					body := fmt.Sprintf(`{"scopes":["s%d"]}`, n%7)
					if _, err := s.try(t.Context(), "PATCH", userPath(name), body, jsonType, "Authorization: Bearer "+admin); err != nil {
						return // killed
					}
					// These are written in batches, by another goroutine.
					s.try(t.Context(), "GET", "/users/", "", "Authorization: Bearer "+g.Access)
					s.try(t.Context(), "POST", "/token", url.Values{"username": {name}, "password": {anotherWrong()}}.Encode(), formType)
				}
			})
		}
	}
	var got []int64
	after := int64(0)
	read := func() {
		for _, e := range reader.feed(t, admin, fmt.Sprint("limit=1000&after=", after)) {
			got, after = append(got, e.ID), e.ID
		}
	}
	for end, killed := time.Now().Add(2*time.Second), false; time.Now().Before(end); read() {
		if !killed && time.Until(end) < time.Second {
			mortal.kill(t)
			killed = true
		}
	}
	stop.Store(true)
	all.Wait()
	last := time.Now().Add(2500 * time.Millisecond)
	for time.Now().Before(last) {
		read()
	}
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Error("events come twice or out of order")
	}
	n := p.number(t, "SELECT count(*) FROM events")
	if len(got) != n || len(got) < 20 {
		t.Errorf("the reader has got %d events; %d are there", len(got), n)
	}
	if last := p.number(t, "SELECT last_id FROM event_ids"); last != int(got[len(got)-1]) {
		t.Errorf("the last ID is %d; the reader has got %d", last, got[len(got)-1])
	}
}

// TestEventsNameNobody: a text that was typed as a name and is not one, perhaps a password, is nowhere
// in the database.
func TestEventsNameNobody(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := inFileAt(path).start(t, withRoot()...)
	admin := s.logIn(t, root)
	const typed = "tYped-by-Mistake-4711"
	for _, name := range []string{typed, strings.ToUpper(typed), typed + "@example.org"} {
		checkWrong(t, s.logInBy(t, name, anotherWrong()))
	}
	checkWrong(t, s.logInBy(t, root, typed))
	s.awaitFeed(t, admin, "event=authn_login_fail", 4)
	for _, e := range s.feed(t, admin, "event=authn_login_fail")[:3] {
		if e.Username != nil {
			t.Errorf("%v; want no user", e)
		}
	}
	for _, path := range []string{path, path + "-wal"} {
		checkNowhere(t, path, typed)
	}
	s.client.CloseIdleConnections()
	s.stop(t)
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		checkNowhere(t, path, typed)
	}
	if strings.Contains(strings.ToLower(s.log.String()), strings.ToLower(typed)) {
		t.Error("the log holds the name")
	}
}

// checkNowhere reports a file that holds a text in any case.
func checkNowhere(t testing.TB, path, text string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(bytes.ToLower(content), []byte(strings.ToLower(text))) {
		t.Errorf("%s holds %q", filepath.Base(path), text)
	}
}
