// Package e2e tests the built program as others see it: by what it sends over
// TCP, what it prints, what it logs and how it exits.
package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
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
	cmd := exec.Command("go", "build", "-trimpath", "-o", path)
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
	cmd.Env, cmd.Dir = i.environment(), i.dir
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
		t.Skip("SKIPPED: only Linux shows the descriptors of a process")
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

// A record is what a program has written to its standard error.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// events returns the lines that have this message.
func (r *record) events(msg string) []map[string]any {
	var found []map[string]any
	for line := range strings.Lines(r.String()) {
		var event map[string]any
		if json.Unmarshal([]byte(line), &event) == nil && event["msg"] == msg {
			found = append(found, event)
		}
	}
	return found
}

// aSecret is what no log may hold: an access token, the header that carries it, a
// password hash, and a refresh token, which is 56 bytes in base64url.
var aSecret = regexp.MustCompile(`eyJ[\w-]+\.|Bearer|pbkdf2-sha256|(^|[^\w-])[\w-]{74}[AEIMQUYcgkosw048]([^\w-]|$)`)

// check reports lines that are no JSON object, and secrets.
func (r *record) check(t testing.TB, secrets []string) {
	t.Helper()
	for line := range strings.Lines(r.String()) {
		var event struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Time == "" || event.Level == "" || event.Msg == "" {
			t.Errorf("a log line is not a JSON object with time, level and msg: %q", line)
		}
		for _, secret := range append(secrets, password, aSecret.FindString(line)) {
			if secret != "" && strings.Contains(line, secret) {
				t.Errorf("the log holds the secret %q: %q", secret, line)
			}
		}
	}
}

// secretsIn returns the values in env that nobody may print, in such pieces as
// would stand on one line.
func secretsIn(env []string) []string {
	var secrets []string
	for _, assignment := range env {
		name, value, _ := strings.Cut(assignment, "=")
		if !slices.Contains([]string{"SECRET_KEY", "SECRET_KEY_FALLBACKS", "PRIVATE_KEY", "DATABASE_URL"}, name) ||
			strings.HasPrefix(value, "sqlite:") { // a path, which the log may name
			continue
		}
		if u, err := url.Parse(value); err == nil && u.User != nil {
			password, _ := u.User.Password()
			value += "," + password
		}
		for _, piece := range strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == '\n' }) {
			if len(piece) > 6 && !strings.HasPrefix(piece, "-----") {
				secrets = append(secrets, piece)
			}
		}
	}
	return secrets
}

// password is every user's.
const password = "plain-sailing-7341"

// An answer is a response that has been read to its end.
type answer struct {
	*http.Response
	body string
}

// do sends a request with headers such as "Accept: text/html".
func (s *server) do(t testing.TB, method, path, body string, headers ...string) answer {
	t.Helper()
	a, err := s.try(t.Context(), method, path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// try is do for a server that may be gone. Any goroutine may call it.
func (s *server) try(ctx context.Context, method, path, body string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Add(name, value)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp, string(text)}, err
}

// register makes a user.
func (s *server) register(t testing.TB, username string) {
	t.Helper()
	if a := s.do(t, "POST", "/users/", newUser(username, password), jsonType); a.StatusCode != 200 {
		t.Fatalf("POST /users/: %d %s", a.StatusCode, a.body)
	}
}

// newUser is the body with which a user registers.
func newUser(username, password string) string {
	body, _ := json.Marshal(map[string]string{"username": username, "password": password}) // strings never fail
	return string(body)
}

// loginForm is the body with which a user logs in.
func loginForm(username string) string {
	return url.Values{"username": {username}, "password": {password}}.Encode()
}

const (
	jsonType = "Content-Type: application/json"
	formType = "Content-Type: application/x-www-form-urlencoded"
)

// logIn returns a token of a user.
func (s *server) logIn(t testing.TB, username string) string {
	t.Helper()
	a := s.do(t, "POST", "/token", loginForm(username), formType)
	token := a.token()
	if token == "" {
		t.Fatalf("POST /token: %d %s", a.StatusCode, a.body)
	}
	return token
}

// token returns the token that a login was answered with, or "".
func (a answer) token() string {
	var body struct {
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.StatusCode != 200 {
		return ""
	}
	return body.Access
}

// me asks whose token this is.
func (s *server) me(t testing.TB, token string) answer {
	t.Helper()
	return s.do(t, "GET", "/users/me/", "", "Authorization: Bearer "+token)
}

// checkMe reports an answer that does not name the user.
func checkMe(t testing.TB, a answer, username string) {
	t.Helper()
	want := fmt.Sprintf(`{"username":%q,"email":null,"full_name":null}`, username)
	if a.StatusCode != 200 || a.body != want {
		t.Errorf("got %d %s; want 200 %s", a.StatusCode, a.body, want)
	}
	checkShape(t, a)
}

// checkProblem reports an answer that is not this failure.
func checkProblem(t testing.TB, a answer, status int, detail string) {
	t.Helper()
	var body struct{ Detail any }
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.StatusCode != status || body.Detail != detail {
		t.Errorf("got %d %.200q; want %d with the detail %q", a.StatusCode, a.body, status, detail)
	}
	checkShape(t, a)
}

var aRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// checkShape reports what is wrong with the headers that every answer has.
func checkShape(t testing.TB, a answer) {
	t.Helper()
	want := map[string]string{
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "no-referrer",
		"Cache-Control":          "no-store",
		"Server":                 "",
		"Content-Type":           "",
	}
	if a.body != "" {
		want["Content-Type"] = "application/json"
	}
	if a.StatusCode == http.StatusUnauthorized {
		want["WWW-Authenticate"] = "Bearer"
	}
	for name, value := range want {
		if got := strings.Join(a.Header.Values(name), ", "); got != value && a.Request.Method != http.MethodHead {
			t.Errorf("%s: %q; want %q", name, got, value)
		}
	}
	if ids := a.Header.Values("X-Request-ID"); len(ids) != 1 || !aRequestID.MatchString(ids[0]) {
		t.Errorf("X-Request-ID: %q; want one id", ids)
	}
	if a.StatusCode == http.StatusMethodNotAllowed && a.Header.Get("Allow") == "" {
		t.Error("405 without Allow")
	}
	if strings.HasSuffix(a.body, "\n") {
		t.Errorf("the body %q ends with a newline", a.body)
	}
}
