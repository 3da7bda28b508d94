package e2e

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDefaultAddress: without settings the program listens on port 8000 of this machine, or
// says that another program has it.
func TestDefaultAddress(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "localhost:8000")
	if err != nil {
		if got := (invocation{}).run(t); !strings.Contains(got.stderr, "localhost:8000") || !strings.Contains(got.stderr, "in use") {
			t.Errorf("ends with %q; want that localhost:8000 is in use", got.stderr)
		}
		return
	}
	ln.Close()
	s := launch(t, invocation{})
	waitFor(t, "the server to listen", s.listens)
	if !regexp.MustCompile(`^(127\.0\.0\.1|\[::1\]):8000$`).MatchString(s.addr) {
		t.Errorf("listens on %s; want port 8000 of this machine", s.addr)
	}
}

func TestStartWithoutSettings(t *testing.T) {
	t.Parallel()
	s := launch(t, invocation{args: []string{"-addr", "localhost:0"}})
	waitFor(t, "the server to listen", s.listens)
	for _, warning := range []string{"SECRET_KEY is not set", "kept in memory"} {
		if !slices.ContainsFunc(strings.Split(s.log.String(), "\n"), func(line string) bool {
			return strings.Contains(line, `"WARN"`) && strings.Contains(line, warning)
		}) {
			t.Errorf("no warning says %q: %s", warning, s.log)
		}
	}
	checkProblem(t, s.do(t, "GET", "/users/me/", ""), 401, "Not authenticated")
	if code := s.stop(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		args   []string
		code   int
		stdout string // must be in it
		stderr string
	}{
		{"-h is help", []string{"-h"}, 0, "VARIABLE", ""},
		{"--help is help", []string{"--help"}, 0, "VARIABLE", ""},
		{"serve -h is help", []string{"serve", "-h"}, 0, "VARIABLE", ""},
		{"check -h is help", []string{"check", "-h"}, 0, "VARIABLE", ""},
		{"version names the program", []string{"version"}, 0, "latchkey ", ""},
		{"check finds the defaults good", []string{"check", "-addr", "localhost:0"}, 0, "ok: ", ""},
		{"check takes a flag", []string{"check", "-addr", "127.0.0.3:0"}, 0, "127.0.0.3:0", ""},
		{"check finds a bad flag", []string{"check", "-addr", "localhost"}, 2, "", "ADDR: "},
		{"serve finds a bad flag", []string{"serve", "-addr", "localhost"}, 2, "", "ADDR: "},
		{"an unknown command is refused", []string{"server"}, 2, "", `"server"`},
		{"a command in capitals is refused", []string{"SERVE"}, 2, "", `"SERVE"`},
		{"an unknown flag is refused", []string{"-adr", "localhost:0"}, 2, "", "-adr"},
		{"a flag without its value is refused", []string{"-addr"}, 2, "", "-addr"},
		{"an argument too many is refused", []string{"serve", "now"}, 2, "", `"now"`},
		{"a flag before the command is refused", []string{"-addr", "localhost:0", "check"}, 2, "", `"check"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := invocation{args: tt.args}.run(t)
			if got.code != tt.code {
				t.Errorf("exit code %d; want %d", got.code, tt.code)
			}
			checkOutput(t, "standard output", got.stdout, tt.stdout)
			checkOutput(t, "standard error", got.stderr, tt.stderr)
		})
	}
}

// checkOutput reports an output without want in it, or one where none is wanted.
func checkOutput(t *testing.T, name, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) || want == "" && got != "" {
		t.Errorf("%s is %q; want %q", name, got, want)
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	t.Parallel()
	help := invocation{args: []string{"-h"}}.run(t).stdout
	for _, name := range []string{
		"ADDR", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "ALGORITHM", "PRIVATE_KEY", "PRIVATE_KEY_FALLBACKS_DIR",
		"ACCESS_TOKEN_EXPIRE_MINUTES", "REFRESH_TOKEN_EXPIRE_DAYS", "REFRESH_TOKEN_IDLE_DAYS", "REFRESH_GRACE_SECONDS",
		"PBKDF2_ITERATIONS", "MIN_PASSWORD_LENGTH", "ALLOW_REGISTRATION",
		"CORS_ORIGINS", "TRUSTED_PROXIES", "THROTTLE", "ISSUER", "AUDIENCE", "EXPOSE_USERS",
		"TLS_CERT_FILE", "TLS_KEY_FILE", "LOG_LEVEL", "LOG_FORMAT", "SHUTDOWN_SECONDS",
	} {
		if !regexp.MustCompile(`(?m)^` + name + ` .*\w`).MatchString(help) {
			t.Errorf("the help has no line for %s", name)
		}
	}
	for _, text := range []string{"-addr", "localhost:8000", "600000", "NAME_FILE"} {
		if !strings.Contains(help, text) {
			t.Errorf("the help does not say %s", text)
		}
	}
}

func TestFlagWinsOverVariable(t *testing.T) {
	t.Parallel()
	got := invocation{args: []string{"check", "-addr=127.0.0.3:0"}, env: []string{"ADDR=nonsense"}}.run(t)
	if got.code != 0 || !strings.Contains(got.stdout, "127.0.0.3:0") {
		t.Errorf("exit code %d, %s%s; want 0 and the flag's address", got.code, got.stdout, got.stderr)
	}
}

func TestAddressThatCannotBeHad(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := []struct{ name, addr string }{
		{"a busy port", taken.Addr().String()},
		{"an address of another machine", "192.0.2.1:8000"},
		{"a name that does not exist", "no-such-host.invalid:8000"},
	}
	for _, tt := range tests {
		for _, command := range []string{"serve", "check"} {
			t.Run(tt.name+", "+command, func(t *testing.T) {
				begin := time.Now()
				got := invocation{args: []string{command}, env: []string{"ADDR=" + tt.addr}}.run(t)
				if got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, tt.addr) || !strings.Contains(got.stderr, "-addr") || strings.Contains(got.stderr, "listening") {
					t.Errorf("exit code %d, %q, %q; want 1, the address, and how to choose another", got.code, got.stdout, got.stderr)
				}
				if took := time.Since(begin); tt.name == "a busy port" && took > 5*time.Second {
					t.Errorf("took %v; want it at once", took)
				}
			})
		}
	}
}

func TestPrivilegedPort(t *testing.T) {
	t.Parallel()
	needTools(t, "setpriv")
	if got := (invocation{env: []string{"ADDR=127.0.0.1:80"}, under: unprivileged}).run(t); got.code != 1 || !strings.Contains(got.stderr, "127.0.0.1:80") {
		t.Errorf("exit code %d, %q; want 1 and the address", got.code, got.stderr)
	}
}

// TestStopByCtrlC: a stop that somebody asked for is no failure, whichever signal asks.
func TestStopByCtrlC(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.signal(syscall.SIGINT)
	if code := s.exitCode(t); code != 0 || len(s.log.events("stopped")) != 1 {
		t.Errorf("exit code %d, %s; want 0", code, s.log)
	}
}

// TestMakeRun presses Ctrl-C, which reaches make and everything that it started.
func TestMakeRun(t *testing.T) {
	long(t)
	needTools(t, "make")
	cmd := exec.Command("make", "run")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "ADDR=localhost:0", "LOG_FORMAT=json")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out record
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	group := -cmd.Process.Pid
	t.Cleanup(func() { syscall.Kill(group, syscall.SIGKILL) })
	waitFor(t, "the server to listen", func() bool { return len(out.events("listening")) == 1 })
	syscall.Kill(group, syscall.SIGINT)
	cmd.Wait() // make ends by the signal, which is no failure to whoever sent it
	if len(out.events("stopped")) != 1 || strings.Contains(out.String(), "***") {
		t.Errorf("make run prints %s", &out)
	}
}

// slowHash makes a login last some tenths of a second, and seconds under the
// race detector.
const slowHash = "PBKDF2_ITERATIONS=1000000"

func TestStopWaitsForLogin(t *testing.T) {
	long(t)
	t.Parallel()
	s := start(t, slowHash)
	s.register(t, "alice")
	idle := s.dial(t)
	idle.send(head("GET /users/me/ HTTP/1.1", "Host: h"))
	checkProblem(t, idle.answer("GET"), 401, "Not authenticated")

	c := s.beginLogin(t)
	c.send(loginForm("alice"))
	s.signal(syscall.SIGTERM)
	waitFor(t, "new connections to be refused", func() bool {
		probe, err := net.Dial("tcp", s.addr)
		if err == nil {
			probe.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if a := c.answer("POST"); a.StatusCode != 200 || !strings.Contains(a.body, `"access_token":"`) {
		t.Errorf("the login under way got %d %s; want 200 with a token", a.StatusCode, a.body)
	}
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
	if len(s.log.events("stopped")) != 1 {
		t.Errorf("the log does not say that the server has stopped: %s", s.log)
	}
}

// beginLogin sends the head of a login of alice, and returns when the server
// waits for the body: from then on the request is under way.
func (s *server) beginLogin(t testing.TB) *conn {
	t.Helper()
	c := s.dial(t)
	c.send(head("POST /token HTTP/1.1", "Host: h", formType, "Expect: 100-continue", contentLength(loginForm("alice"))))
	if a := c.answer("POST"); a.StatusCode != 100 {
		t.Fatalf("got %d; want 100 Continue", a.StatusCode)
	}
	return c
}

func TestStopWithIdleConnections(t *testing.T) {
	long(t)
	t.Parallel()
	tests := []struct {
		name string
		sent string
		most time.Duration
	}{
		{"a connection that has had its answer", head("GET /users/me/ HTTP/1.1", "Host: h"), 3 * time.Second},
		{"a connection that has said nothing", "", 8 * time.Second}, // net/http gives it 5 s
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			c := s.dial(t)
			c.send(tt.sent)
			if tt.sent != "" {
				c.answer("GET")
			}
			begin := time.Now()
			if code := s.stop(t); code != 0 {
				t.Errorf("exit code %d; want 0", code)
			}
			if took := time.Since(begin); took > tt.most {
				t.Errorf("the stop took %v; want at most %v", took, tt.most)
			}
		})
	}
}

func TestStopThatIsTooShort(t *testing.T) {
	t.Parallel()
	tests := []struct {
		seconds     string
		least, most time.Duration
	}{
		{"0", 0, 3 * time.Second},
		{"1", time.Second, 4 * time.Second},
	}
	for _, tt := range tests {
		t.Run("after "+tt.seconds+" s", func(t *testing.T) {
			s := launch(t, invocation{env: []string{"ADDR=localhost:0", "SHUTDOWN_SECONDS=" + tt.seconds}})
			waitFor(t, "the server to listen", s.listens)
			c := s.beginLogin(t)
			begin := time.Now()
			if code := s.stop(t); code != 1 {
				t.Errorf("exit code %d; want 1", code)
			}
			if took := time.Since(begin); took < tt.least || took > tt.most {
				t.Errorf("the stop took %v; want %v to %v", took, tt.least, tt.most)
			}
			if !c.isClosed() {
				t.Error("the request under way was not cut off")
			}
			lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
			if last := lines[len(lines)-1]; !regexp.MustCompile(`\b1\b.*request|request.*\b1\b`).MatchString(last) {
				t.Errorf("the last line does not say that 1 request was cut off: %s", last)
			}
		})
	}
}

func TestStopWithoutPatienceWhenNothingIsUnderWay(t *testing.T) {
	t.Parallel()
	s := start(t, "SHUTDOWN_SECONDS=0")
	if code := s.stop(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := launch(t, invocation{env: []string{"ADDR=localhost:0"}})
	waitFor(t, "the server to listen", s.listens)
	s.beginLogin(t)
	s.signal(syscall.SIGTERM)
	waitFor(t, "the first signal to be seen", func() bool { return len(s.log.events("stopping")) == 1 })
	begin := time.Now()
	waitFor(t, "the program to end", func() bool { // the first may still be handled
		s.signal(syscall.SIGTERM)
		return s.hasExited()
	})
	if took, code := time.Since(begin), s.exitCode(t); code == 0 || took > 3*time.Second {
		t.Errorf("exit code %d after %v; want it not 0, and at once", code, took)
	}
}
