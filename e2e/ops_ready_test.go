package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ready is a run of latchkey ready, which gets nothing but these settings.
func ready(env ...string) invocation {
	return invocation{args: []string{"ready"}, env: env, fast: true}
}

// checkReady reports a run of ready that does not end with this code: in silence, or with one line
// that says why.
func checkReady(t testing.TB, i invocation, code int, says string) {
	t.Helper()
	begin := time.Now()
	got := i.run(t)
	if took := time.Since(begin); took > 10*time.Second { // 2, on a machine with nothing else to do
		t.Errorf("it took %v", took)
	}
	if code != 0 {
		checkFailed(t, got, code, says)
		checkOneLine(t, got)
		return
	}
	if got.code != 0 || got.stdout+got.stderr != "" {
		t.Errorf("exit code %d, %q, %q; want 0, and nothing printed", got.code, got.stdout, got.stderr)
	}
}

// TestReadyLife: ready follows a server from its start to its end.
func TestReadyLife(t *testing.T) {
	t.Parallel()
	s := launchAndWait(t, invocation{env: []string{"ADDR=:0", "SHUTDOWN_DELAY_SECONDS=300"}})
	_, port, _ := net.SplitHostPort(s.addr)
	for _, addr := range []string{":" + port, "0.0.0.0:" + port, "[::]:" + port, "localhost:" + port, "127.0.0.1:" + port} {
		checkReady(t, ready("ADDR="+addr), 0, "")
	}
	checkReady(t, invocation{args: []string{"ready", "-addr", ":" + port}, fast: true}, 0, "")
	mine := ready("ADDR=:" + port)
	s.signal(syscall.SIGSTOP)
	checkReady(t, mine, 1, "nothing answers at :"+port+" within 2s")
	s.signal(syscall.SIGCONT)
	checkReady(t, mine, 0, "")
	s.signal(syscall.SIGTERM)
	waitFor(t, "the signal to be seen", func() bool { return len(s.log.events("stopping")) == 1 })
	checkReady(t, mine, 1, "is stopping")
	s.kill(t)
	checkReady(t, mine, 1, "cannot reach the server")
}

// TestReadySettings: ready reads only what it needs, whatever the settings of the server are.
func TestReadySettings(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, env := range map[string][]string{
		"a database that is away":    {"DATABASE_URL=postgres://u:" + aTypo + "@127.0.0.1:1/db"},
		"a database that is none":    {"DATABASE_URL=" + aTypo},
		"a key that cannot be read":  {"SECRET_KEY_FILE=/nowhere/key"},
		"a key that is weak":         {"SECRET_KEY=secret"},
		"a TLS key without its pair": {"TLS_KEY_FILE=/nowhere/key.pem"},
		"proxies":                    {"HTTP_PROXY=http://127.0.0.1:1", "http_proxy=http://127.0.0.1:1", "ALL_PROXY=http://127.0.0.1:1"},
		"a misspelt name":            {"SECRET_KEYS=x"},
	} {
		t.Run(name, func(t *testing.T) { checkReady(t, ready(append(env, "ADDR="+s.addr)...), 0, "") })
	}
	checkReady(t, ready("ADDR=localhost:0"), 2, "port 0")
	checkReady(t, ready("ADDR=nonsense"), 2, "want host:port")
	checkReady(t, ready("ADDR=192.0.2.1:1"), 1, "not ready: ") // an address that no machine has (RFC 5737)
	checkReady(t, ready("ADDR=nowhere.invalid:8000"), 1, "not ready: ")
}

// TestReadyWithoutDatabase: a server that has lost its file is not ready until it is back.
func TestReadyWithoutDatabase(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := startOn(t, path)
	mine := ready("ADDR=" + s.addr)
	checkReady(t, mine, 0, "")
	rename(t, path, path+".away")
	waitFor(t, "the loss to be noticed", func() bool { return s.do(t, "GET", "/readyz", "").StatusCode == 503 })
	checkReady(t, mine, 1, "cannot use its database")
	rename(t, path+".away", path)
	checkReady(t, mine, 0, "")
}

func rename(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestReadyTLS: the server must show the certificate of TLS_CERT_FILE, and follows the file.
func TestReadyTLS(t *testing.T) {
	t.Parallel()
	r := startRenewal(t)
	mine := ready("ADDR="+r.addr, "TLS_CERT_FILE="+r.certFile)
	checkReady(t, mine, 0, "")
	checkReady(t, ready("ADDR="+r.addr), 1, "does not answer as Latchkey")
	checkReady(t, ready("ADDR="+start(t).addr, "TLS_CERT_FILE="+r.certFile), 1, "does not speak HTTPS")
	checkReady(t, ready("ADDR="+r.addr, "TLS_CERT_FILE=/nowhere/cert.pem"), 2, "TLS_CERT_FILE")
	other := filepath.Join(t.TempDir(), "cert.pem")
	writeFile(t, other, newCert(t).pem(t, time.Now().Add(time.Hour)))
	checkReady(t, ready("ADDR="+r.addr, "TLS_CERT_FILE="+other), 1, "certificate is not the one in TLS_CERT_FILE")
	next := r.renew(t)
	waitFor(t, "the new certificate", func() bool { return r.shows(t, next) })
	checkReady(t, mine, 0, "")
}

// TestReadyInterrupted: a signal ends ready before its time.
func TestReadyInterrupted(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	j := ready("ADDR=" + ln.Addr().String()).begin(t)
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	j.signal(syscall.SIGINT)
	if got := j.endBySignal(t); strings.Contains(got.stderr, "not ready") {
		t.Errorf("%q; want it interrupted", got.stderr)
	}
}
