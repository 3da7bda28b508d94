package e2e

import (
	"bufio"
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The benchmarks print ratios of two things that take turns in one run, for the
// machine they run on may be busy with other things too: the median of the
// pairs, and the middle half of them.

// BenchmarkReadUsersMe compares GET /users/me/ with a bare net/http handler that
// writes the same bytes, both in processes of their own, over 16 connections.
func BenchmarkReadUsersMe(b *testing.B) {
	ours := startQuiet(b)
	token := ours.signIn(b)
	requests := []string{readMe(ours, token)}
	header, body := ours.get(b, "/users/me/", token)
	bare := startBare(b, header, body)
	for b.Loop() {
		reportPairs(b, "requests/s", "of-bare", 20,
			func() float64 { return loadFor(b, ours.addr, requests, time.Second) },
			func() float64 { return loadFor(b, bare, requests, time.Second) })
	}
	b.ReportMetric(ours.residentMB(b), "MB-after-load")
}

// BenchmarkVerify compares GET /verify/{scopes} with GET /users/me/, which answers the same
// question, by the requests that a second of CPU time answers.
func BenchmarkVerify(b *testing.B) {
	ours := startQuiet(b, withRoot()...)
	token := ours.logIn(b, root)
	me := readMe(ours, token)
	verify := strings.Replace(me, "/users/me/", "/verify/admin", 1)
	for b.Loop() {
		reportPairs(b, "requests/CPU-s", "of-users/me", 20,
			func() float64 { return ours.perCPU(b, []string{verify}, time.Second) },
			func() float64 { return ours.perCPU(b, []string{me}, time.Second) })
	}
}

// BenchmarkLogin compares logins with the derivation of their keys alone, on
// all cores.
func BenchmarkLogin(b *testing.B) {
	ours := startQuiet(b, "PBKDF2_ITERATIONS=600000")
	ours.signIn(b)
	request := postForm(ours.addr, "/token", loginForm("bench"))
	for b.Loop() {
		reportPairs(b, "logins/s", "of-bare", 5,
			func() float64 { return loadFor(b, ours.addr, []string{request}, 4*time.Second) },
			func() float64 { return deriveFor(4 * time.Second) })
	}
}

// postForm returns a request with a form.
func postForm(addr, path, form string) string {
	return postBody(addr, path, formMediaType, form)
}

// postBody returns a request with a body.
func postBody(addr, path, mediaType, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		path, addr, mediaType, len(body), body)
}

// deriveFor derives keys of 600,000 rounds on all cores and returns how many it
// made a second.
func deriveFor(d time.Duration) float64 {
	var n atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for time.Since(start) < d {
				pbkdf2.Key(sha256.New, password, []byte("sixteen bytes !!"), 600_000, 32)
				n.Add(1)
			}
		})
	}
	all.Wait()
	return float64(n.Load()) / time.Since(start).Seconds()
}

// BenchmarkStart measures how long it takes from the start of the process to
// its first answer, and what it then holds in memory.
func BenchmarkStart(b *testing.B) {
	var starts, sizes []float64
	for b.Loop() {
		for range 20 {
			began := time.Now()
			p := startQuiet(b)
			p.get(b, "/openapi.json", "")
			starts = append(starts, float64(time.Since(began).Microseconds())/1000)
			sizes = append(sizes, p.residentMB(b))
			p.kill()
		}
	}
	b.ReportMetric(quantile(starts, 0.5), "ms-to-first-answer")
	b.ReportMetric(quantile(sizes, 0.5), "MB-idle")
}

// reportPairs lets ours and theirs take turns n times and reports the rate of
// ours and the ratio.
func reportPairs(b *testing.B, rate, ratio string, n int, ours, theirs func() float64) {
	var rates, ratios []float64
	for range n {
		mine, other := ours(), theirs()
		rates = append(rates, mine)
		ratios = append(ratios, mine/other)
	}
	b.ReportMetric(quantile(rates, 0.5), rate)
	b.ReportMetric(quantile(ratios, 0.5), ratio)
	b.ReportMetric(quantile(ratios, 0.25), ratio+"-25%")
	b.ReportMetric(quantile(ratios, 0.75), ratio+"-75%")
	b.ReportMetric(0, "ns/op") // says nothing here
}

// quantile returns the value below which the part q of values lies.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1))]
}

// connections is how many a load has.
const connections = 16

// loadFor sends the requests again and again over each connection, for d, and
// returns how many were answered a second.
func loadFor(b *testing.B, addr string, requests []string, d time.Duration) float64 {
	var scripts []script
	for range connections {
		scripts = append(scripts, inTurn(requests...))
	}
	return followFor(b, addr, scripts, d)
}

// A script is what one connection sends: it returns the first request if answer is
// nil, and the one behind each answer when it has seen its body, which it may not
// keep.
type script func(answer []byte) (request []byte, err error)

// inTurn is a script in which no request depends on an answer.
func inTurn(requests ...string) script {
	i := -1
	return func([]byte) ([]byte, error) {
		i++
		return []byte(requests[i%len(requests)]), nil
	}
}

// followFor follows each script over a connection of its own, for d, and returns how
// many requests were answered a second. Every answer has to be a 200.
func followFor(b *testing.B, addr string, scripts []script, d time.Duration) float64 {
	var n atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for _, next := range scripts {
		all.Go(func() {
			if err := follow(addr, next, start.Add(d), &n); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	return float64(n.Load()) / time.Since(start).Seconds()
}

// follow follows a script until end, and counts the answers.
func follow(addr string, next script, end time.Time, n *atomic.Int64) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	request, err := next(nil)
	for err == nil && time.Now().Before(end) {
		var answer []byte
		if answer, err = roundTrip(c, r, request); err != nil {
			return err
		}
		n.Add(1)
		request, err = next(answer)
	}
	return err
}

var lengthHeader = []byte("Content-Length: ")

// roundTrip sends a request and returns the body of the answer, which is good until
// r is used again. It does as little work as may be: the client shares the machine
// with what is measured.
func roundTrip(c net.Conn, r *bufio.Reader, request []byte) ([]byte, error) {
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	status, err := r.ReadSlice('\n')
	if err != nil || !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return nil, fmt.Errorf("answered %q, %v", status, err)
	}
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if len(line) == 2 {
			body, err := r.Peek(length)
			r.Discard(len(body)) // which leaves it where it is
			return body, err
		}
		if bytes.HasPrefix(line, lengthHeader) {
			length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(lengthHeader):])))
			if err != nil {
				return nil, err
			}
		}
	}
}

// A quiet is a run of the program whose log goes to a file, as it would in
// production.
type quiet struct {
	addr string
	cmd  *exec.Cmd
}

func startQuiet(b *testing.B, settings ...string) *quiet {
	b.Helper()
	log, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	p := &quiet{cmd: exec.Command(program)}
	p.cmd.Env = append([]string{"ADDR=localhost:0", "PBKDF2_ITERATIONS=100000"}, settings...)
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.kill)
	listening := regexp.MustCompile(`"msg":"listening","addr":"([^"]+)"`)
	for ; p.addr == ""; time.Sleep(100 * time.Microsecond) {
		text, err := os.ReadFile(log.Name())
		if err != nil {
			b.Fatal(err)
		}
		if m := listening.FindSubmatch(text); m != nil {
			p.addr = string(m[1])
		}
	}
	return p
}

func (p *quiet) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// signIn registers a user and returns a token.
func (p *quiet) signIn(b *testing.B) string {
	b.Helper()
	user, err := json.Marshal(map[string]string{"username": "bench", "password": password})
	if err != nil {
		b.Fatal(err)
	}
	p.post(b, "/users/", "application/json", string(user))
	return p.logIn(b, "bench")
}

func (p *quiet) logIn(b *testing.B, username string) string {
	b.Helper()
	_, body := p.post(b, "/token", formMediaType, loginForm(username))
	return tokensIn(b, body).Access
}

const formMediaType = "application/x-www-form-urlencoded"

// tokens are what a login or a refresh is answered with.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

func tokensIn(b *testing.B, body []byte) (t tokens) {
	b.Helper()
	if err := json.Unmarshal(body, &t); err != nil {
		b.Fatal(err)
	}
	return t
}

func (p *quiet) post(b *testing.B, path, contentType, body string) (http.Header, []byte) {
	b.Helper()
	resp, err := http.Post("http://"+p.addr+path, contentType, strings.NewReader(body))
	return readOK(b, resp, err)
}

func (p *quiet) get(b *testing.B, path, token string) (http.Header, []byte) {
	b.Helper()
	req, err := http.NewRequest("GET", "http://"+p.addr+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultTransport.RoundTrip(req)
	return readOK(b, resp, err)
}

func readOK(b *testing.B, resp *http.Response, err error) (http.Header, []byte) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		b.Fatalf("%s: %s, %v", resp.Status, text, err)
	}
	return resp.Header, text
}

// residentMB returns the resident memory of the process in megabytes.
func (p *quiet) residentMB(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		b.Skip("SKIP: resident memory is read from /proc")
	}
	m := regexp.MustCompile(`VmRSS:\s*(\d+) kB`).FindSubmatch(status)
	kb, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb / 1000
}

// startBare builds and starts the server to compare with, and returns its
// address. It writes these bytes, of which Date and Content-Length are net/http's
// own to write, or what the arguments ask for; see bare/main.go.
func startBare(b *testing.B, header http.Header, body []byte, args ...string) string {
	b.Helper()
	dir := b.TempDir()
	header = header.Clone()
	header.Del("Date")
	header.Del("Content-Length")
	answer, err := json.Marshal(map[string]any{"header": header, "body": string(body)})
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "answer.json"), answer, 0o600); err != nil {
		b.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "bare"), "./bare").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(filepath.Join(dir, "bare"), append([]string{filepath.Join(dir, "answer.json")}, args...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(addr)
}
