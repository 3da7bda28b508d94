package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"latchkey/internal/pgtest"
)

// startPgBouncer starts PgBouncer in transaction mode, with a few connections to a
// cluster and more settings, and returns the port.
func startPgBouncer(t testing.TB, c *pgtest.Cluster, settings ...string) int {
	t.Helper()
	needTools(t, "pgbouncer")
	addr := freeAddress(t)
	path := filepath.Join(t.TempDir(), "pgbouncer.ini")
	writeFile(t, path, fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d user=latchkey
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
%s
`, c.Port, addr.Port, strings.Join(settings, "\n")))
	cmd := exec.Command("pgbouncer", path)
	if os.Geteuid() == 0 { // it refuses to be root
		openToAll(t, path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: nobody(t)}
	}
	runTool(t, cmd)
	awaitTool(t, addr)
	return addr.Port
}

// openToAll lets every user read a file, in the folders of a test.
func openToAll(t testing.TB, path string) {
	t.Helper()
	for dir := filepath.Dir(path); dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
}

func nobody(t testing.TB) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// TestPgBouncer: two replicas behind PgBouncer in transaction mode, which nobody has told
// that prepared statements do not last there.
func TestPgBouncer(t *testing.T) {
	long(t)
	t.Parallel()
	c := startPostgres(t)
	for name, test := range map[string]func(*testing.T, *pgtest.Cluster){
		"statements":        testPooledStatements,
		"connections":       testPooledConnections,
		"changes of tables": testPooledChanges,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

// pooled returns the URL of a database behind PgBouncer.
func pooled(port int, database string) string {
	return (&pgtest.Cluster{Port: port}).URL(database)
}

func testPooledStatements(t *testing.T, c *pgtest.Cluster) {
	url := pooled(startPgBouncer(t, c), newDatabase(t, c))
	check := invocation{args: []string{"check", "-addr", "localhost:0"}, env: keptIn(url)}
	checkOutput(t, "check", check.run(t).stdout, "would get")
	replicas := []*server{start(t, keptIn(url, "THROTTLE=off")...), start(t, keptIn(url, "THROTTLE=off")...)}
	checkOutput(t, "check", check.run(t).stdout, "ok: ")
	useTogether(t, replicas)
	for _, s := range replicas {
		warnings := strings.Count(s.log.String(), "default_query_exec_mode=exec")
		if warnings > 1 {
			t.Errorf("the log names the parameter %d times; want once: %s", warnings, s.log)
		}
	}
	if !strings.Contains(replicas[0].log.String()+replicas[1].log.String(), "default_query_exec_mode=exec") {
		t.Error("no log names the parameter")
	}
}

// useTogether has people register, log in, refresh and ask at servers at once. All are
// served, and the database fails none of them: a 503 is asked again, because on a machine that
// has other things to do passwords may wait too long for their turn.
func useTogether(t *testing.T, replicas []*server) {
	t.Helper()
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			s, other := replicas[i%len(replicas)], replicas[(i+1)%len(replicas)]
			name := fmt.Sprintf("user%d", i)
			a, err := s.insist(t, "POST", "/users/", newUser(name, password), jsonType)
			if err != nil || a.StatusCode != 200 {
				t.Errorf("%v, %d %s; want to be registered", err, a.StatusCode, a.body)
				return
			}
			a, err = other.insist(t, "POST", "/token", loginForm(name), formType)
			if err != nil || a.StatusCode != 200 {
				t.Errorf("%v, %d %s; want a token", err, a.StatusCode, a.body)
				return
			}
			for range 20 {
				me, err := s.try(t.Context(), "GET", "/users/me/", "", "Authorization: Bearer "+a.token())
				if err != nil || me.StatusCode != 200 {
					t.Errorf("%v, %d %s; want the user", err, me.StatusCode, me.body)
				}
			}
		})
	}
	all.Wait()
	for _, s := range replicas {
		if failed := s.log.events("request failed"); len(failed) > 0 {
			t.Errorf("requests failed: %v", failed)
		}
	}
}

// insist sends a request until it is not answered 503.
func (s *server) insist(t *testing.T, method, path, body string, headers ...string) (a answer, err error) {
	for range 10 {
		a, err = s.try(t.Context(), method, path, body, headers...)
		if err != nil || a.StatusCode != 503 {
			break
		}
	}
	return a, err
}

// testPooledConnections: PgBouncer takes fewer clients than the replicas would like.
func testPooledConnections(t *testing.T, c *pgtest.Cluster) {
	url := pooled(startPgBouncer(t, c, "max_client_conn = 5"), newDatabase(t, c))
	useTogether(t, []*server{start(t, keptIn(url, "THROTTLE=off")...), start(t, keptIn(url, "THROTTLE=off")...)})
}

// testPooledChanges: the plans of the server's connections outlive those of the clients.
func testPooledChanges(t *testing.T, c *pgtest.Cluster) {
	database := newDatabase(t, c)
	s := start(t, keptIn(pooled(startPgBouncer(t, c), database), "THROTTLE=off")...)
	useTogether(t, []*server{s})
	execute(t, c.URL(database), "ALTER TABLE users ALTER COLUMN full_name TYPE VARCHAR(500)")
	token := s.logIn(t, "user1")
	for range 20 {
		checkMe(t, s.me(t, token), "user1")
	}
}
