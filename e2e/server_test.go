// Package e2e tests the built program as others see it: by what it sends over
// TCP, what it prints, what it logs and how it exits.
package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is the path of the built program, and fastProgram of one that never has
// the race detector; TestMain sets them.
var program, fastProgram string

func TestMain(m *testing.M) {
	code, err := testMain(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// testMain builds the program, with the race detector if these tests have it.
func testMain(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "latchkey-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "latchkey")
	if err := build(program, isRace()); err != nil {
		return 0, err
	}
	fastProgram = program
	if isRace() {
		fastProgram += "-fast"
		if err := build(fastProgram, false); err != nil {
			return 0, err
		}
	}
	return m.Run(), nil
}

// build builds the program at path: with the race detector, or as make build does.
func build(path string, race bool) error {
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_template", "-o", path)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if race {
		cmd = exec.Command("go", "build", "-race", "-o", path)
	}
	cmd.Dir = ".." // the program is a module of its own
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

func isRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// patience is how long a test waits for what takes an instant on a machine that
// has nothing else to do.
const patience = 60 * time.Second

// waitFor polls until ok, which is to become true by itself.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}

// An invocation is a run of the program that ends by itself.
type invocation struct {
	args  []string
	env   []string
	dir   string
	under []string // a command that becomes the program in the end; see command
	fast  bool     // without the race detector, under which a hash takes ten times as long
	stdin io.Reader
	files []*os.File // the descriptors from 3 on
}

// unprivileged are the words before a command that is not to open whatever it
// likes, as root may.
var unprivileged = []string{"setpriv", "--bounding-set=-all"}

// needTools skips a test for which a program is not installed.
func needTools(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, err.Error())
		}
	}
}

func (i invocation) command(ctx context.Context) *exec.Cmd {
	path := program
	if i.fast {
		path = fastProgram
	}
	words := slices.Concat(i.under, []string{path}, i.args)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.ExtraFiles = i.environment(), i.dir, i.stdin, i.files
	return cmd
}

// An outcome is how it ended.
type outcome struct {
	code           int
	stdout, stderr string
}

func (i invocation) run(t testing.TB) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stdout, stderr strings.Builder
	cmd := i.command(ctx)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// environment is that of the run: nothing of ours, but the race detector is not
// to sleep for a second at the end.
func (i invocation) environment() []string {
	return append([]string{"GORACE=atexit_sleep_ms=0"}, i.env...)
}

// A server is a run of the program that serves until it is stopped.
type server struct {
	addr   string
	url    string
	client *http.Client // follows no redirect
	log    *record
	cmd    *exec.Cmd
	exited chan struct{}
}

// start starts the program with settings such as "LOG_LEVEL=debug" on a port
// that is free. When the test ends, the server has to stop without a failure
// and its log has to be clean.
func start(t testing.TB, settings ...string) *server {
	t.Helper()
	return startAs(t, invocation{env: settings})
}

// startAs is start for a special run of the program.
func startAs(t testing.TB, i invocation) *server {
	t.Helper()
	s := launchAndWait(t, i)
	t.Cleanup(func() {
		s.client.CloseIdleConnections() // a stop waits for those that have said nothing yet
		if code := s.stop(t); code != 0 {
			t.Errorf("exit code %d; want 0", code)
		}
	})
	return s
}

// launchAndWait starts the program on a port that is free, and waits for it to
// listen. The test may end it as it likes.
func launchAndWait(t testing.TB, i invocation) *server {
	t.Helper()
	i.env = append([]string{"ADDR=localhost:0", "PBKDF2_ITERATIONS=100000"}, i.env...)
	s := launch(t, i)
	s.awaitStart(t)
	return s
}

// launch starts the program and does not wait for it to listen.
func launch(t testing.TB, i invocation) *server {
	t.Helper()
	s := &server{log: new(record), exited: make(chan struct{})}
	s.cmd = i.command(context.Background()) // not t.Context(): the clean-up stops it
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.cmd.Wait() // its error is the exit code, which exitCode reads
		close(s.exited)
	}()
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the certificate is of our own making
		ForceAttemptHTTP2: true,
	}
	s.client = &http.Client{
		Transport:     transport,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.signal(syscall.SIGKILL)
		<-s.exited
		s.log.check(t, secretsIn(i.env))
	})
	return s
}

// awaitStart waits for the server to listen.
func (s *server) awaitStart(t testing.TB) {
	t.Helper()
	waitFor(t, "the server to listen", func() bool { return s.listens() || s.hasExited() })
	if s.hasExited() {
		t.Fatalf("the server did not start: %s", s.log)
	}
}

// listens learns the address from the log, and reports whether it is there.
func (s *server) listens() bool {
	for _, line := range s.log.events("listening") {
		scheme := "http://"
		if line["tls"] == true {
			scheme = "https://"
		}
		s.addr, _ = line["addr"].(string)
		s.url = scheme + s.addr
	}
	return s.addr != ""
}

func (s *server) hasExited() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

func (s *server) signal(sig syscall.Signal) {
	s.cmd.Process.Signal(sig) // fails if the program has ended, which is as well
}

// stop asks the program to end and returns its exit code.
func (s *server) stop(t testing.TB) int {
	t.Helper()
	s.signal(syscall.SIGTERM)
	return s.exitCode(t)
}

// exitCode waits for the program to end. The code is -1 if a signal killed it.
func (s *server) exitCode(t testing.TB) int {
	t.Helper()
	waitFor(t, "the program to end", s.hasExited)
	return s.cmd.ProcessState.ExitCode()
}

// connections counts the clients of which the server still holds a descriptor.
func (s *server) connections(t testing.TB) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		skip(t, "only Linux shows the descriptors of a process")
	}
	fds := fmt.Sprintf("/proc/%d/fd/", s.cmd.Process.Pid)
	files, err := os.ReadDir(fds)
	if err != nil {
		t.Fatal(err)
	}
	n := -1 // the listener
	for _, file := range files {
		if target, err := os.Readlink(fds + file.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}
