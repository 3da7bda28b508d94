package peers

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A server is a program that runs until it is stopped. What it prints goes to a file, as it would
// in production.
type server struct {
	addr    string
	cmd     *exec.Cmd
	path    string // answered with 200 as soon as it is ready
	started time.Time
	log     string
}

// run starts a command that serves at an address.
func run(b *testing.B, cmd *exec.Cmd, addr, path string) *server {
	b.Helper()
	log, err := os.CreateTemp(b.TempDir(), "log")
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	s := &server{addr: addr, cmd: cmd, path: path, started: time.Now(), log: log.Name()}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.stop)
	return s
}

// stop ends the server, if it has not ended yet.
func (s *server) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// patience is how long a server may take to start.
const patience = 30 * time.Second

// awaitAnswer waits until the server answers, and returns how many milliseconds after its start that
// was.
func (s *server) awaitAnswer(b *testing.B) float64 {
	b.Helper()
	for tick := time.NewTicker(time.Millisecond); time.Since(s.started) < patience; <-tick.C {
		if resp, err := http.Get("http://" + s.addr + s.path); err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				return float64(time.Since(s.started).Microseconds()) / 1000
			}
		}
	}
	said, _ := os.ReadFile(s.log)
	b.Fatalf("%s does not answer: %s", filepath.Base(s.cmd.Path), said)
	return 0
}

// post sends a request and returns the body of the answer, which has to be 200.
func (s *server) post(b *testing.B, request string) []byte {
	b.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, request) // if this fails, there is no answer either
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		line, _, _ := strings.Cut(request, "\r\n")
		b.Fatalf("%s: %s, %s, %v", line, resp.Status, body, err)
	}
	return body
}

// freeAddress returns an address of this machine that a server may take.
func freeAddress(b *testing.B) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// request returns a request with headers of its own, and a body if there is one.
func request(method, path, addr, mediaType, body string, headers ...string) string {
	lines := append([]string{method + " " + path + " HTTP/1.1", "Host: " + addr}, headers...)
	if method == "POST" {
		lines = append(lines, "Content-Length: "+strconv.Itoa(len(body)))
	}
	if body != "" {
		lines = append(lines, "Content-Type: "+mediaType)
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

// field returns a text of a JSON object.
func field(b *testing.B, object []byte, name string) string {
	b.Helper()
	var fields map[string]any
	if err := json.Unmarshal(object, &fields); err != nil {
		b.Fatal(err)
	}
	text, ok := fields[name].(string)
	if !ok {
		b.Fatalf("%s has no %s", object, name)
	}
	return text
}

// output runs a command and returns what it prints.
func output(b *testing.B, cmd *exec.Cmd) string {
	b.Helper()
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%s: %v\n%s", cmd, err, &failure)
	}
	return strings.TrimSpace(string(out))
}
