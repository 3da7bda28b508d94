package e2e

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// passing becomes the program with descriptors as systemd passes them. The words come before
// the program; LISTEN_PID has to be its own process id.
func passing(assignments string) []string {
	return []string{"sh", "-c", "export " + assignments + `; exec "$@"`, "sh"}
}

// oneSocket passes descriptor 3.
var oneSocket = passing("LISTEN_FDS=1 LISTEN_PID=$$")

// fileOf returns the descriptor of a socket, which it closes.
func fileOf(t testing.TB, socket interface {
	File() (*os.File, error)
	Close() error
}) *os.File {
	t.Helper()
	f, err := socket.File()
	if err != nil {
		t.Fatal(err)
	}
	socket.Close()
	t.Cleanup(func() { f.Close() })
	return f
}

// listenerFile returns a socket that listens, and its address.
func listenerFile(t testing.TB, addr string) (*os.File, string) {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return fileOf(t, ln.(*net.TCPListener)), ln.Addr().String()
}

// TestSocketActivation: systemd-socket-activate starts the program when the first client comes,
// who gets an answer.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	needTools(t, "systemd-socket-activate")
	addr := freeAddress(t)
	s := launch(t, invocation{
		under: []string{"systemd-socket-activate", "--listen=" + addr.String(), "--setenv=PBKDF2_ITERATIONS=100000"},
		env:   []string{"SYSTEMD_LOG_LEVEL=err"}, // it writes to the same log
	})
	awaitTool(t, addr)
	s.awaitStart(t)
	if s.addr != addr.String() {
		t.Errorf("listens on %s; want %s", s.addr, addr)
	}
	s.register(t, "alice")
	checkMe(t, s.me(t, s.logIn(t, "alice")), "alice")
	if code := s.stop(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
}

// TestPassedSocket: the program serves on the socket that it was given, and not on ADDR.
func TestPassedSocket(t *testing.T) {
	t.Parallel()
	file, addr := listenerFile(t, "127.0.0.1:0")
	early, err := net.Dial("tcp", addr) // before the server has been started
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	s := startAs(t, invocation{under: oneSocket, files: []*os.File{file}, env: []string{"ADDR=192.0.2.1:80"}})
	if s.addr != addr || s.log.events("listening")[0]["systemd_socket"] != true {
		t.Errorf("listens on %s; want the socket on %s, and the log to say whose it is", s.addr, addr)
	}
	if _, err := early.Write([]byte("GET /livez HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 15)
	if _, err := early.Read(answer); err != nil || string(answer) != "HTTP/1.0 200 OK" {
		t.Errorf("a client who came before the server got %q, %v", answer, err)
	}
}

// TestSocketThatIsNotOurs: sockets for another process are ignored, with their variables.
func TestSocketThatIsNotOurs(t *testing.T) {
	t.Parallel()
	for name, assignments := range map[string]string{
		"of another process": "LISTEN_FDS=1 LISTEN_PID=1",
		"of no process":      "LISTEN_FDS=1",
		"none":               "LISTEN_FDS=0 LISTEN_PID=$$",
	} {
		t.Run(name, func(t *testing.T) {
			file, addr := listenerFile(t, "127.0.0.1:0")
			s := startAs(t, invocation{under: passing(assignments), files: []*os.File{file}})
			if s.addr == addr || s.log.events("listening")[0]["systemd_socket"] != false {
				t.Errorf("listens on %s, the socket of others; want another one", s.addr)
			}
		})
	}
}

// TestBadSockets: sockets that cannot be served end the start, and say what is wrong.
func TestBadSockets(t *testing.T) {
	t.Parallel()
	stream, addr := listenerFile(t, "127.0.0.1:0")
	second, _ := listenerFile(t, "127.0.0.1:0")
	outside, _ := listenerFile(t, "0.0.0.0:0")
	connected, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	datagrams, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	local, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "stream")})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "datagrams")})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		files []*os.File
		env   []string
		code  int
		says  string
	}{
		{"two sockets", []*os.File{stream, second}, nil, 2, "2 sockets; want one"},
		{"datagrams", []*os.File{fileOf(t, datagrams)}, nil, 2, "ListenStream="},
		{"a Unix socket", []*os.File{fileOf(t, local)}, nil, 2, "ListenStream="},
		{"a Unix socket for datagrams", []*os.File{fileOf(t, messages)}, nil, 2, "ListenStream="},
		{"a connection", []*os.File{fileOf(t, connected.(*net.TCPConn))}, nil, 2, "Accept=no"},
		{"nothing at descriptor 3", nil, nil, 1, "descriptor 3"},
		{"a file at descriptor 3", []*os.File{plain}, nil, 1, "descriptor 3"},
		{"a socket for all, and hashes for all", []*os.File{outside}, []string{"EXPOSE_USERS=true"}, 2, "EXPOSE_USERS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := "1"
			if len(tt.files) > 1 {
				n = "2"
			}
			got := invocation{under: passing("LISTEN_PID=$$ LISTEN_FDS=" + n), files: tt.files, env: tt.env}.run(t)
			if got.code != tt.code || !strings.Contains(got.stderr, tt.says) {
				t.Errorf("exit code %d, %q; want %d and %q", got.code, got.stderr, tt.code, tt.says)
			}
		})
	}
}

// TestSocketOfServerOnly: a command leaves the socket of a server alone.
func TestSocketOfServerOnly(t *testing.T) {
	t.Parallel()
	file, _ := listenerFile(t, "127.0.0.1:0")
	got := invocation{args: []string{"check", "-addr", "localhost:0"}, under: passing("LISTEN_PID=$$ LISTEN_FDS=2"), files: []*os.File{file}}.run(t)
	if got.code != 0 || !strings.Contains(got.stdout, "localhost:0") {
		t.Errorf("exit code %d, %s%s; want 0 and the address of the flag", got.code, got.stdout, got.stderr)
	}
}

// TestRestartOnSocket: while a server is replaced by the next on the same socket, no request
// is refused.
func TestRestartOnSocket(t *testing.T) {
	t.Parallel()
	file, addr := listenerFile(t, "127.0.0.1:0")
	run := invocation{under: oneSocket, files: []*os.File{file}, env: onFile(newFile(t))}
	s := launchAndWait(t, run)
	s.register(t, "alice")
	load := startTraffic(t, "http://"+addr, s.logIn(t, "alice"))
	for range 5 {
		load.await(t, 100)
		if code := s.stop(t); code != 0 {
			t.Errorf("exit code %d; want 0", code)
		}
		load.await(t, 20) // while nobody serves
		s = launchAndWait(t, run)
	}
	load.await(t, 100)
	load.end(t)
	if code := s.stop(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
}

// A manager is a service manager, to which a server tells its state.
type manager struct {
	*net.UnixConn
	env string
}

// newManager listens at a path, or at an abstract name, which begins with @.
func newManager(t *testing.T, name string) manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return manager{conn, "NOTIFY_SOCKET=" + name}
}

// await returns the next message.
func (m manager) await(t *testing.T) string {
	t.Helper()
	m.SetReadDeadline(time.Now().Add(patience))
	text := make([]byte, 4096)
	n, err := m.Read(text)
	if err != nil {
		t.Fatalf("no message: %v", err)
	}
	return string(text[:n])
}

// TestNotifications: the manager hears that the server is ready when it is, and that it stops
// before it does.
func TestNotifications(t *testing.T) {
	t.Parallel()
	for kind, name := range map[string]string{
		"a path":           filepath.Join(t.TempDir(), "notify"),
		"an abstract name": "@latchkey-test-" + filepath.Base(t.TempDir()) + time.Now().Format("150405.000000"),
	} {
		t.Run(kind, func(t *testing.T) {
			m := newManager(t, name)
			s := launch(t, invocation{env: []string{"ADDR=localhost:0", "SHUTDOWN_DELAY_SECONDS=1", m.env}})
			if got := m.await(t); got != "READY=1" {
				t.Errorf("the first message is %q; want READY=1", got)
			}
			waitFor(t, "the log to say where it listens", s.listens) // which another goroutine reads
			if a := s.do(t, "GET", "/readyz", ""); a.StatusCode != 200 {
				t.Errorf("ready, but readyz says %d", a.StatusCode)
			}
			s.signal(syscall.SIGTERM)
			if got := m.await(t); got != "STOPPING=1\nEXTEND_TIMEOUT_USEC=36000000" {
				t.Errorf("the last message is %q; want STOPPING=1, with the delay, SHUTDOWN_SECONDS and 5 s more", got)
			}
			if a := s.do(t, "GET", "/livez", ""); a.StatusCode != 200 {
				t.Errorf("stops already: livez says %d", a.StatusCode)
			}
			if code := s.exitCode(t); code != 0 || strings.Contains(s.log.String(), "systemd cannot") {
				t.Errorf("exit code %d, %s; want 0 and no complaint", code, s.log)
			}
		})
	}
}

// TestNotReady: a server that waits for its database does not say that it is ready.
func TestNotReady(t *testing.T) {
	t.Parallel()
	m := newManager(t, filepath.Join(t.TempDir(), "notify"))
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	s := launch(t, invocation{env: append(keptIn("postgres://u@"+silent.Addr().String()+"/d?sslmode=disable"), "ADDR=localhost:0", m.env)})
	m.SetReadDeadline(time.Now().Add(2 * time.Second))
	if n, err := m.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v; want no message", n, err)
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("exit code %d, %s; want 0", code, s.log)
	}
}

// TestManagerThatDoesNotListen: a server starts and stops though its manager reads nothing, or
// is not there, and says so.
func TestManagerThatDoesNotListen(t *testing.T) {
	t.Parallel()
	full := newManager(t, filepath.Join(t.TempDir(), "notify"))
	clog(t, full)
	for name, socket := range map[string]string{
		"it reads nothing":    full.env,
		"it is not there":     "NOTIFY_SOCKET=" + filepath.Join(t.TempDir(), "none"),
		"its name is no name": "NOTIFY_SOCKET=vsock:2:1234",
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			s := start(t, socket)
			if a := s.do(t, "GET", "/livez", ""); a.StatusCode != 200 || time.Since(begin) > allow(5*time.Second) {
				t.Errorf("livez says %d after %v; want 200 soon", a.StatusCode, time.Since(begin))
			}
			waitFor(t, "a warning", func() bool { return strings.Contains(s.log.String(), "systemd cannot be told") })
			if code := s.stop(t); code != 0 {
				t.Errorf("exit code %d; want 0", code)
			}
		})
	}
}

// clog sends messages to a manager until there is no room for another.
func clog(t *testing.T, m manager) {
	t.Helper()
	conn, err := net.DialUnix("unixgram", nil, m.LocalAddr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetWriteDeadline(time.Now().Add(time.Second))
	for range 100_000 {
		if _, err := conn.Write([]byte("X=1")); errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
	t.Fatal("the queue takes everything")
}
