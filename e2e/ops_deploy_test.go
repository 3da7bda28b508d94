package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestUnitFiles: systemd finds nothing wrong with the units, and the service hardly exposed.
func TestUnitFiles(t *testing.T) {
	t.Parallel()
	needTools(t, "systemd-analyze")
	dir := t.TempDir()
	for _, name := range []string{"latchkey.service", "latchkey.socket"} {
		text, err := os.ReadFile(filepath.Join("../deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, name), strings.ReplaceAll(string(text), "/usr/local/bin/latchkey", program))
	}
	service := filepath.Join(dir, "latchkey.service")
	for _, words := range [][]string{
		{"verify", "--man=no", service, filepath.Join(dir, "latchkey.socket")},
		{"security", "--offline=yes", "--threshold=15", service}, // tenths
	} {
		out, err := exec.Command("systemd-analyze", words...).CombinedOutput()
		if err != nil || words[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", words[0], err, out)
		}
	}
}

// TestService runs the unit under systemd, which ends the server at any system call that the
// unit does not allow.
func TestService(t *testing.T) {
	long(t)
	t.Parallel()
	m := startMachine(t)
	addr := freeAddress(t).String()
	strict := "SystemCallErrorNumber=kill\nEnvironment=PBKDF2_ITERATIONS=100000 ADDR=" + addr
	m.configure(t, strict)
	m.do(t, "umask 077; openssl rand -hex 32 >/etc/latchkey/secret_key; systemctl start latchkey")
	s := m.server(addr)
	if a := s.do(t, "GET", "/readyz", ""); a.StatusCode != 200 {
		t.Fatalf("started, but readyz says %d %s", a.StatusCode, a.body)
	}
	t.Run("has no rights", func(t *testing.T) { testServiceRights(t, m) })
	t.Run("does all it has to do", func(t *testing.T) { testServiceWork(t, m, s) })
	t.Run("is started again after a crash", func(t *testing.T) { testServiceCrash(t, m, s) })
	t.Run("may take its time to stop", func(t *testing.T) { testServiceStop(t, m, strict) })
	t.Run("credentials", func(t *testing.T) { testServiceCredentials(t, m, s) })
	t.Run("is not started again with bad settings", func(t *testing.T) { testServiceSettings(t, m, strict) })
	t.Run("certificate", func(t *testing.T) { testServiceCertificate(t, m, strict, addr) })
	t.Run("PostgreSQL", func(t *testing.T) { testServicePostgres(t, m, s, strict) })
	t.Run("socket", func(t *testing.T) { testServiceSocket(t, m, strict) })
}

func testServiceRights(t *testing.T, m *machine) {
	status := m.do(t, "cat /proc/"+m.show(t, "MainPID")+"/status")
	for _, line := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, line) {
			t.Errorf("the process does not have %q:\n%s", line, status)
		}
	}
	if strings.Contains(status, "Uid:\t0") {
		t.Error("the process is root's")
	}
	if modes := m.do(t, "stat --format=%A%U /var/lib/private/latchkey /var/lib/private/latchkey/users.db"); modes != "drwx------latchkey\n-rw-------latchkey" {
		t.Errorf("the database is %s; want it the user's own", modes)
	}
}

// testServiceWork: requests, commands of root on the same database, and a reload.
func testServiceWork(t *testing.T, m *machine, s *server) {
	s.register(t, "alice")
	g := checkGoesOn(t, s, s.signIn(t, "alice"), "alice")
	checkWrong(t, s.guess(t, "alice", home))
	const onDatabase = "export DATABASE_URL=sqlite:/var/lib/latchkey/users.db; "
	m.do(t, onDatabase+"echo '"+password+"' | latchkey users add carol")
	checkMe(t, s.me(t, s.logIn(t, "carol")), "carol")
	var file strings.Builder
	for i, v := range vectors(t) {
		fmt.Fprintf(&file, "{\"username\":\"user-%d\",\"password_hash\":%q}\n", i, v.Hash)
	}
	m.do(t, onDatabase+"latchkey users import - <<'END'\n"+file.String()+"END")
	for i, v := range vectors(t) { // each kind of hash needs memory and threads in its own way
		checkPassword(t, s, fmt.Sprintf("user-%d", i), v.Password, true)
	}
	pid := m.show(t, "MainPID")
	m.do(t, "systemctl reload latchkey")
	waitFor(t, "the signal", func() bool { return strings.Contains(m.journal(), "SIGHUP") })
	checkMe(t, s.me(t, g.Access), "alice")
	if now := m.show(t, "MainPID"); now != pid {
		t.Errorf("after a reload the process is %s; want %s as before", now, pid)
	}
}

func testServiceCrash(t *testing.T, m *machine, s *server) {
	m.do(t, "systemctl kill --signal=KILL latchkey")
	waitFor(t, "the second start", func() bool {
		return m.show(t, "NRestarts") == "1" && m.show(t, "ActiveState") == "active"
	})
	checkMe(t, s.me(t, s.logIn(t, "alice")), "alice")
}

// testServiceStop: systemd waits for the delay that is set, although TimeoutStopSec is shorter.
func testServiceStop(t *testing.T, m *machine, strict string) {
	m.configure(t, strict+"\nTimeoutStopSec=1\nEnvironment=SHUTDOWN_DELAY_SECONDS=3")
	defer m.configure(t, strict)
	m.do(t, "systemctl restart latchkey")
	begin := time.Now()
	m.do(t, "systemctl stop latchkey")
	if took, result := time.Since(begin), m.show(t, "Result"); took < 3*time.Second || result != "success" {
		t.Errorf("the stop took %v, with %s; want 3 s and success", took, result)
	}
}

// testServiceCredentials: how the file of the secret key may be.
func testServiceCredentials(t *testing.T, m *machine, s *server) {
	put := func(lines string) error {
		m.do(t, "cd /etc/latchkey; "+lines)
		_, err := m.run("systemctl restart latchkey")
		return err
	}
	if err := put("echo " + aKey + " >secret_key"); err != nil {
		t.Fatal(m.journal())
	}
	token := s.logIn(t, "alice")
	if err := put("chmod 0644 secret_key; printf %s " + aKey + " >secret_key"); err != nil {
		t.Fatal(m.journal())
	}
	checkMe(t, s.me(t, token), "alice")                     // signed with a key whose file ended with a newline
	if strings.Contains(m.journal(), "everybody on this") { // systemd has made a copy that nobody else reads
		t.Errorf("a warning about a credential: %s", m.journal())
	}
	for _, tt := range []struct{ name, lines, status string }{
		{"an empty file", ": >secret_key", "2"},
		{"a key that is too short", "echo short >secret_key", "2"},
		{"no file", "rm secret_key", "243"}, // CREDENTIALS
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := put(tt.lines); err == nil {
				t.Error("systemctl start has had success")
			}
			checkGivenUp(t, m, tt.status)
		})
	}
	if err := put("umask 077; echo " + aKey + " >secret_key"); err != nil {
		t.Fatal(m.journal())
	}
}

// checkGivenUp reports a service that did not end with a status, or is started again.
func checkGivenUp(t *testing.T, m *machine, status string) {
	t.Helper()
	state := m.show(t, "ActiveState")
	if got := m.show(t, "ExecMainStatus"); got != status || state != "failed" {
		t.Errorf("status %s, %s; want %s and no other start\n%s", got, state, status, m.journal())
	}
}

func testServiceSettings(t *testing.T, m *machine, strict string) {
	m.configure(t, strict+"\nEnvironment=MIN_PASSWORD_LENGTH=1000")
	defer m.configure(t, strict)
	if _, err := m.run("systemctl restart latchkey"); err == nil {
		t.Error("systemctl start has had success")
	}
	checkGivenUp(t, m, "2")
	if said := m.journal(); !strings.Contains(said, "MIN_PASSWORD_LENGTH: ") {
		t.Errorf("the journal does not say what is wrong: %s", said)
	}
}

// testServiceSocket: with the socket unit, restarts under load refuse nobody.
func testServiceSocket(t *testing.T, m *machine, strict string) {
	addr := freeAddress(t).String()
	m.do(t, `mkdir -p /run/systemd/system/latchkey.socket.d
		printf '[Socket]\nListenStream=\nListenStream=`+addr+`\n' >/run/systemd/system/latchkey.socket.d/test.conf
		systemctl daemon-reload; systemctl stop latchkey; systemctl start latchkey.socket`)
	s := m.server(addr)
	load := startTraffic(t, s.url, s.logIn(t, "alice")) // whose first connection starts the server
	for range 5 {
		load.await(t, 100)
		m.do(t, "systemctl restart latchkey")
	}
	load.await(t, 100)
	load.end(t)
	if !strings.Contains(m.journal(), `"systemd_socket":true`) {
		m.do(t, "systemctl restart latchkey") // the requests have pushed the line out
	}
	if said := m.journal(); !strings.Contains(said, `"systemd_socket":true`) || m.show(t, "Result") != "success" {
		t.Errorf("the server does not use the socket: %s", said)
	}
}

// testServiceCertificate: a group reads the files, and a reload takes a renewed pair.
func testServiceCertificate(t *testing.T, m *machine, strict, addr string) {
	m.configure(t, strict+"\nSupplementaryGroups=tls\nEnvironment=TLS_CERT_FILE=/etc/tls/cert TLS_KEY_FILE=/etc/tls/key")
	defer m.configure(t, strict)
	m.do(t, "groupadd tls; install -d -g tls -m 0750 /etc/tls")
	r := &renewal{server: m.server(addr)}
	for _, verb := range []string{"restart", "reload"} {
		c := newCert(t)
		m.do(t, "umask 027; cd /etc/tls; cat >cert <<'END'\n"+c.pem(t, time.Now().Add(time.Hour))+"\nEND\n"+
			"cat >key <<'END'\n"+pkcs8(t, c.private)+"\nEND\nchgrp tls cert key; systemctl "+verb+" latchkey")
		waitFor(t, "the certificate", func() bool { return r.shows(t, &c.private.PublicKey) })
	}
}

// testServicePostgres: the database's URL is a credential, as docs/deploying.md has it.
func testServicePostgres(t *testing.T, m *machine, s *server, strict string) {
	block := readBlock(t, "docs/deploying.md", "systemd", "ini", "")
	_, lines, _ := strings.Cut(block, "[Service]\n")
	m.configure(t, strict+"\n"+lines)
	defer m.configure(t, strict)
	m.do(t, "umask 077; echo '"+startPostgres(t).URL("postgres")+"' >/etc/latchkey/database_url; systemctl restart latchkey")
	s.register(t, "erin")
	checkMe(t, s.me(t, s.logIn(t, "erin")), "erin")
	if said := m.journal(); !strings.Contains(said, "PostgreSQL") {
		t.Errorf("the users are not in PostgreSQL: %s", said)
	}
}
