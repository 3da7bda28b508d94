package e2e

import (
	"bufio"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/loadtest"
)

// The benchmarks print ratios of two things that take turns in one run, for the
// machine they run on may be busy with other things too: the median of the
// pairs, and the middle half of them.

// BenchmarkReadUsersMe compares GET /users/me/ with a bare net/http handler that
// writes the same bytes, both in processes of their own.
func BenchmarkReadUsersMe(b *testing.B) {
	ours := startQuiet(b)
	token := ours.signIn(b)
	header, body := ours.get(b, "/users/me/", token)
	bare := startBare(b, header, body)
	compareReads(b, ours, bare, []string{readMe(ours, token)})
}

// compareReads compares the answers of ours and of a bare program to the same requests, over few
// and many connections.
func compareReads(b *testing.B, ours *quiet, bare string, requests []string) {
	for _, n := range manyConnections {
		b.Run(fmt.Sprint("connections=", n), func(b *testing.B) {
			for b.Loop() {
				reportLoads(b, "requests/s", "of-bare", loadtest.Of(ours.addr, n, requests...), loadtest.Of(bare, n, requests...))
			}
			b.ReportMetric(ours.residentMB(b), "MB-after-load")
		})
	}
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
			func() float64 { return loadFor(b, ours.addr, []string{request}, connections, 4*time.Second) },
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
	b.ReportMetric(loadtest.Quantile(starts, 0.5), "ms-to-first-answer")
	b.ReportMetric(loadtest.Quantile(sizes, 0.5), "MB-idle")
}

// reportPairs lets ours and theirs take turns n times. It reports both rates, and the ratio, which
// is called after theirs: of-bare.
func reportPairs(b *testing.B, rate, ratio string, n int, ours, theirs func() float64) {
	var rates, others, ratios []float64
	for range n {
		mine, other := ours(), theirs()
		rates = append(rates, mine)
		others = append(others, other)
		ratios = append(ratios, mine/other)
	}
	b.ReportMetric(loadtest.Quantile(rates, 0.5), rate)
	b.ReportMetric(loadtest.Quantile(others, 0.5), rate+strings.TrimPrefix(ratio, "of"))
	loadtest.ReportSpread(b, ratio, ratios)
	b.ReportMetric(0, "ns/op") // says nothing here
}

// loadPairs is how many pairs compare two loads.
const loadPairs = 11

// reportLoads compares two loads that take turns, and also reports how long 99 % of the answers took
// at most.
func reportLoads(b *testing.B, rate, ratio string, ours, theirs *loadtest.Load) {
	b.Helper()
	d := loadtest.Turn(b)
	reportPairs(b, rate, ratio, loadPairs,
		func() float64 { return runFor(b, ours, d) },
		func() float64 { return runFor(b, theirs, d) })
	b.ReportMetric(ours.Wait(0.99), "ms-p99")
	b.ReportMetric(theirs.Wait(0.99), "ms-p99"+strings.TrimPrefix(ratio, "of"))
}

// connections is how many a load has, unless it is measured how much more of them do.
const connections = 16

// manyConnections are the numbers of connections that a picture shows.
var manyConnections = []int{1, 4, 16, 64}

// loadFor sends the requests again and again over each of n connections, for d, and returns how
// many were answered a second.
func loadFor(b *testing.B, addr string, requests []string, n int, d time.Duration) float64 {
	return runFor(b, loadtest.Of(addr, n, requests...), d)
}

// followFor follows each script over a connection of its own, for d, and returns how many requests
// were answered a second. Every answer has to be a 200.
func followFor(b *testing.B, addr string, scripts []loadtest.Script, d time.Duration) float64 {
	return runFor(b, loadtest.New(addr, scripts...), d)
}

func runFor(b *testing.B, l *loadtest.Load, d time.Duration) float64 {
	rate, err := l.Run(d)
	if err != nil {
		b.Error(err)
	}
	return rate
}

// A quiet is a run of the program whose log goes to a file, as it would in
// production.
type quiet struct {
	addr string
	cmd  *exec.Cmd
}

func startQuiet(b *testing.B, settings ...string) *quiet {
	b.Helper()
	cmd := exec.Command(program)
	cmd.Env = settings
	return startQuietly(b, cmd)
}

// startQuietly starts a command that serves. Its settings are those of a benchmark, unless it has
// others.
func startQuietly(b *testing.B, cmd *exec.Cmd) *quiet {
	b.Helper()
	log, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	p := &quiet{cmd: cmd}
	p.cmd.Env = append([]string{"ADDR=localhost:0", "PBKDF2_ITERATIONS=100000"}, cmd.Env...)
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

func (p *quiet) residentMB(b *testing.B) float64 { return loadtest.ResidentMB(b, p.cmd.Process) }

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
