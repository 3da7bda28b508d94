package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestMetricsAddress: a bad METRICS_ADDR stops the start at once, as a bad ADDR does.
func TestMetricsAddress(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := freeAddress(t)
	for _, tt := range []struct {
		name, addr, metrics string
		code                int
		says                string
	}{
		{"it is busy", "localhost:0", taken.Addr().String(), 1, "by METRICS_ADDR"},
		{"it has no port", "localhost:0", "localhost", 2, "METRICS_ADDR: "},
		{"it is a URL", "localhost:0", "http://localhost:9090", 2, "METRICS_ADDR: "},
		{"it is ADDR", free.String(), free.String(), 2, "a port of its own"},
		{"it is ADDR on every address", fmt.Sprintf(":%d", free.Port), fmt.Sprintf("127.0.0.1:%d", free.Port), 1, "by METRICS_ADDR"},
		{"ADDR is it on every address", fmt.Sprintf("127.0.0.1:%d", free.Port), fmt.Sprintf(":%d", free.Port), 1, "by METRICS_ADDR"},
		{"it is of another machine", "localhost:0", "192.0.2.1:9090", 1, "by METRICS_ADDR"},
	} {
		for _, command := range []string{"serve", "check"} {
			t.Run(tt.name+", "+command, func(t *testing.T) {
				got := invocation{args: []string{command}, env: []string{"ADDR=" + tt.addr, "METRICS_ADDR=" + tt.metrics}}.run(t)
				if got.code != tt.code || !strings.Contains(got.stderr, tt.says) {
					t.Errorf("exit code %d, %s; want %d, %s", got.code, got.stderr, tt.code, tt.says)
				}
			})
		}
	}
}

// TestMetricsBeforeTheStore: metrics are served while the server waits for its database.
func TestMetricsBeforeTheStore(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // whose connections nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	s := launch(t, invocation{env: []string{
		"ADDR=localhost:0", "METRICS_ADDR=localhost:0", "SECRET_KEY=" + aKey, "DATABASE_URL=postgres://nobody@" + silent.Addr().String() + "/none",
	}})
	if _, ok := scrape(t, s.metricsURL(t))[`latchkey_logins_total{result="success"}`]; !ok {
		t.Error("logins are not counted yet")
	}
	if s.listens() {
		t.Fatal("the server did not wait")
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestMetricsWhileStopping: metrics are served until the last request is answered.
func TestMetricsWhileStopping(t *testing.T) {
	t.Parallel()
	s := launchAndWait(t, invocation{env: []string{"METRICS_ADDR=localhost:0"}})
	url := s.metricsURL(t)
	s.register(t, "alice")
	s.client.CloseIdleConnections()
	c := s.beginLogin(t)
	s.signal(syscall.SIGTERM)
	waitFor(t, "new connections to be refused", func() bool {
		probe, err := net.Dial("tcp", s.addr)
		if err == nil {
			probe.Close()
		}
		return err != nil
	})
	if n := scrape(t, url)["latchkey_http_requests_in_flight"]; n != 1 {
		t.Errorf("%v requests are being answered; want 1", n)
	}
	c.send(loginForm("alice"))
	if a := c.answer("POST"); a.token() == "" {
		t.Errorf("the login under way got %d %s", a.StatusCode, a.body)
	}
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if resp, err := http.Get(url); err == nil {
		resp.Body.Close()
		t.Error("metrics outlive the process")
	}
}

// TestMetrics: what a few requests leave in /metrics passes Prometheus's own check, tells
// nothing of who sent them, and is not to be had at the main address.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := start(t, "METRICS_ADDR=localhost:0")
	url := s.metricsURL(t)
	s.register(t, "verydistinct")
	me := s.signIn(t, "verydistinct")
	s.refresh(t, me.Refresh)
	checkStatus(t, s.do(t, "POST", "/token", loginForm("notthere77"), formType), 401)
	checkStatus(t, s.do(t, "GET", "/distinctpath", ""), 404)
	checkStatus(t, s.do(t, "GET", "/metrics", ""), 404)
	checkStatus(t, s.do(t, "DELETE", "/users/me/sessions/distinctid", ""), 401)
	got, text := scrape(t, url), metricsText(t, url)
	counted := scraped{
		`latchkey_logins_total{result="success"}`: 1, `latchkey_logins_total{result="failure"}`: 1, `latchkey_refreshes_total{result="success"}`: 1,
		`latchkey_registrations_total{result="success"}`: 1, `latchkey_http_requests_total{code="404",method="GET",route="none"}`: 2,
		`latchkey_password_hash_duration_seconds_count{scheme="decoy"}`: 1, `latchkey_hash_queue_running`: 0, "latchkey_http_requests_in_flight": 0,
	}
	for name, want := range counted {
		if got[name] != want {
			t.Errorf("%s is %v; want %v", name, got[name], want)
		}
	}
	session := s.current(t, me.Access)
	for _, secret := range []string{"distinct", "notthere77", "127.0.0.1", password, me.Access, me.Refresh, session.ID} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
			t.Errorf("the metrics show %q", secret)
		}
	}
	needTools(t, "promtool")
	promtool := exec.Command("promtool", "check", "metrics")
	promtool.Stdin = strings.NewReader(text)
	if out, err := promtool.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// TestMetricsOfSlowClients: one who sends half a request to METRICS_ADDR is cut off.
func TestMetricsOfSlowClients(t *testing.T) {
	t.Parallel()
	s := start(t, "METRICS_ADDR=localhost:0")
	addr := strings.TrimSuffix(strings.TrimPrefix(s.metricsURL(t), "http://"), "/metrics")
	slow, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	begin := time.Now()
	slow.Write([]byte("GET /metrics HTTP/1.1\r\nHost: h\r\n"))
	slow.SetReadDeadline(begin.Add(allow(3 * headerLimit)))
	if _, err := io.ReadAll(slow); err != nil {
		t.Errorf("after %v: %v; want the connection closed within %v", time.Since(begin), err, headerLimit)
	}
}

// TestMetricsScan: requests of random paths and methods make no series, and take no memory.
func TestMetricsScan(t *testing.T) {
	t.Parallel()
	n := int64(5000)
	if os.Getenv("LONG") != "" {
		n = 100_000
	}
	s := startAs(t, invocation{env: []string{"METRICS_ADDR=localhost:0"}, fast: true})
	url := s.metricsURL(t)
	scan(t, s, 5000) // the first requests make the heap what it will be
	before, size := scrape(t, url), s.status(t, "VmRSS")
	scan(t, s, n)
	after := scrape(t, url)
	if len(after) != len(before) || len(after) > 2000 {
		t.Errorf("%d series; want the %d there were, and at most 2,000", len(after), len(before))
	}
	if grown := s.status(t, "VmRSS") - size; grown > 8<<10 {
		t.Errorf("the process has grown by %d KiB", grown)
	}
	t.Logf("%d requests, %d series, from %d to %d KiB", n, len(after), size, s.status(t, "VmRSS"))
}

// scan sends requests of random methods and paths.
func scan(t *testing.T, s *server, n int64) {
	t.Helper()
	var sent atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for sent.Add(1) <= n {
				method, path := randomRequest()
				if _, err := s.try(t.Context(), method, path, ""); err != nil {
					t.Errorf("%s %s: %v", method, path, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// randomRequest returns a method and a path, half of the time one that there is.
func randomRequest() (method, path string) {
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", fmt.Sprintf("M%d", rand.Uint32())}
	paths := []string{"/users/me/", "/token", "/livez", "/users/me/sessions/", "/docs/", fmt.Sprintf("/users/me/sessions/%x", rand.Uint64())}
	method = methods[rand.IntN(len(methods))]
	path = paths[rand.IntN(len(paths))]
	if rand.IntN(2) == 0 {
		path = fmt.Sprintf("/%x/%x", rand.Uint64(), rand.Uint64())
	}
	return method, path
}
