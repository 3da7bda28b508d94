package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// startHAProxy balances requests among servers, which it asks twice a second whether they are
// ready, as docs/deploying.md has it. It repeats none, and returns the URL of the balancer.
func startHAProxy(t *testing.T, servers ...*server) string {
	t.Helper()
	needTools(t, "haproxy")
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var cfg strings.Builder
	cfg.WriteString(`
defaults
	mode http
	timeout connect 5s
	timeout client 30s
	timeout server 30s
	retries 0
frontend in
	bind fd@3
	default_backend servers
backend servers
	option httpchk GET /readyz
	http-reuse always
	default-server inter 500ms fall 2 rise 1
`)
	for i, s := range servers {
		fmt.Fprintf(&cfg, "\tserver s%d %s check\n", i, s.addr)
	}
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	writeFile(t, path, cfg.String())
	cmd := exec.Command("haproxy", "-db", "-f", path)
	cmd.ExtraFiles = []*os.File{file}
	runTool(t, cmd)
	return "http://" + ln.Addr().String()
}

// TestRollingRestart: behind HAProxy no request fails while one of two servers stops, if it
// goes on serving until the balancer has noticed.
func TestRollingRestart(t *testing.T) {
	long(t)
	t.Parallel()
	stopping := launchAndWait(t, invocation{env: []string{"SHUTDOWN_DELAY_SECONDS=3"}})
	staying := start(t)
	url := startHAProxy(t, stopping, staying)

	var sent, wrong atomic.Int64
	get := func(c *http.Client) {
		sent.Add(1)
		answer, err := c.Get(url + "/users/me/")
		if err != nil {
			wrong.Add(1)
			t.Errorf("while one server stops: %v", err)
			return
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized {
			wrong.Add(1)
			t.Errorf("while one server stops: %s", answer.Status)
		}
	}
	waitFor(t, "both servers to get requests", func() bool {
		get(http.DefaultClient)
		return len(stopping.log.events("request")) > 0 && len(staying.log.events("request")) > 0
	})

	stopping.signal(syscall.SIGTERM)
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			transport := &http.Transport{DisableKeepAlives: i%2 == 0}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
			for !stopping.hasExited() && wrong.Load() < 10 {
				get(client)
			}
		})
	}
	clients.Wait()
	if code := stopping.exitCode(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
	get(http.DefaultClient)
	t.Logf("%d requests", sent.Load())
}
