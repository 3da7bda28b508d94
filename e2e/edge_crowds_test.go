package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

const (
	writeLimit = 30 * time.Second // of an answer
	crush      = 1000             // clients at once
)

// status returns a number from what Linux says of the process, such as VmRSS, in KiB.
func (s *server) status(t testing.TB, field string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		skip(t, err.Error())
	}
	m := regexp.MustCompile(`(?m)^` + field + `:\s*(\d+)`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in %s", field, text)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// cpu returns how long the process has been computing.
func (s *server) cpu(t testing.TB) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		skip(t, err.Error())
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // a tick of proc(5)
}

// dialMany opens connections, and sends text on each.
func (s *server) dialMany(t testing.TB, n int, text string) []*conn {
	t.Helper()
	conns := make([]*conn, n)
	for i := range conns {
		conns[i] = s.dial(t)
		conns[i].send(text)
	}
	return conns
}

// awaitAlone waits until the server has closed all its connections.
func (s *server) awaitAlone(t testing.TB) {
	t.Helper()
	s.client.CloseIdleConnections()
	waitFor(t, "the connections to be closed", func() bool { return s.connections(t) == 0 })
}

// awaitOthers waits until so many clients are connected, besides our own.
func (s *server) awaitOthers(t testing.TB, n int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%d connections", n), func() bool { return s.connections(t) >= n })
}

// checkPrompt reports if others have to wait for their answers, now.
func checkPrompt(t testing.TB, s *server) {
	t.Helper()
	var took []time.Duration
	for range 10 {
		begin := time.Now()
		checkProblem(t, s.ask(t, head("GET /users/me/ HTTP/1.1", "Host: h", "Connection: close")), 401, "Not authenticated")
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	if usual := took[len(took)/2]; usual > 200*time.Millisecond {
		t.Errorf("others wait %v for their answers; want at most 200 ms", usual)
	}
}

// aLongAnswer is a request for more than fits into the buffers of a connection, if
// it is sent a few times.
var aLongAnswer = head("GET /docs/swagger-ui-bundle.js HTTP/1.1", "Host: h")

// TestSlowReaders: who does not read an answer does not hold a connection.
func TestSlowReaders(t *testing.T) {
	long(t)
	t.Parallel()
	tests := []struct {
		name    string
		start   func(testing.TB) *server
		request string
		trickle bool
	}{
		{"long answers", plain, strings.Repeat(aLongAnswer, 20), false},
		{"long answers by TLS", startTLS, strings.Repeat(aLongAnswer, 20), false},
		{"long answers, byte by byte", plain, strings.Repeat(aLongAnswer, 20), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := tt.start(t)
			c := s.dial(t)
			if tcp, ok := c.Conn.(*net.TCPConn); ok {
				tcp.SetReadBuffer(4096)
			}
			begin := time.Now()
			go c.send(tt.request)
			s.awaitOthers(t, 1)
			if tt.trickle {
				go func() {
					for c.r.Discard(1); t.Context().Err() == nil; time.Sleep(time.Second) {
						c.r.Discard(1)
					}
				}()
			}
			checkPrompt(t, s)
			s.awaitAlone(t)
			if took := time.Since(begin); took < writeLimit-time.Second || took > writeLimit+10*time.Second {
				t.Errorf("closed after %v; want %v", took, writeLimit)
			}
		})
	}
}

// plain is start without settings.
func plain(t testing.TB) *server {
	t.Helper()
	return start(t)
}

// TestSlowReaderOfStream: the same for one stream of HTTP/2, whose window is never
// opened any more. The others of its connection go on.
func TestSlowReaderOfStream(t *testing.T) {
	long(t)
	t.Parallel()
	h := startTLS(t).dialHTTP2(t)
	begin := time.Now()
	get := []string{":method: GET", ":scheme: https", ":authority: h", ":path: /docs/swagger-ui-bundle.js"}
	h.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(get...), EndHeaders: true, EndStream: true})
	if got := h.fate(1); got != "status 200" {
		t.Fatalf("got %s; want status 200", got)
	}
	if got := h.fate(1); got != "RST_STREAM INTERNAL_ERROR" {
		t.Errorf("got %s; want a reset", got)
	}
	if took := time.Since(begin); took < writeLimit-time.Second || took > writeLimit+5*time.Second {
		t.Errorf("reset after %v; want %v", took, writeLimit)
	}
	h.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: encode(getMe...), EndHeaders: true, EndStream: true})
	if got := h.fate(3); got != "status 401" {
		t.Errorf("the next stream got %s; want status 401", got)
	}
}

// TestManySlowHeaders: 1,000 clients send their headers byte by byte, over plain TCP
// and within TLS.
func TestManySlowHeaders(t *testing.T) {
	long(t)
	for name, start := range map[string]func(testing.TB) *server{"TCP": plain, "TLS": startTLS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			n := crush
			if isRace() && name == "TLS" {
				n = crowd // 1,000 handshakes would take longer than the limit
			}
			conns := s.dialMany(t, n, "GET /users/me/ HTTP/1.1\r\nHost: h\r\nX-Slow: ")
			s.awaitOthers(t, n)
			sent := time.Now()
			done := make(chan struct{})
			go func() { // until long after the limit
				defer close(done)
				for range 12 {
					time.Sleep(time.Second)
					for _, c := range conns {
						c.send("a")
					}
				}
			}()
			checkPrompt(t, s)
			s.awaitAlone(t)
			if took := time.Since(sent); took > allow(headerLimit+3*time.Second) {
				t.Errorf("the last is closed after %v; want %v", took, headerLimit)
			}
			<-done
			for _, c := range conns {
				if a, err := c.read("GET"); err == nil {
					t.Fatalf("half a request was answered with %d", a.StatusCode)
				}
			}
		})
	}
}

// TestManyIdleConnections: 1,000 clients that have had their answers and stay are in
// nobody's way, not even in that of the end.
func TestManyIdleConnections(t *testing.T) {
	t.Parallel()
	s := launchAndWait(t, invocation{fast: true})
	base := s.status(t, "VmRSS")
	conns := s.dialMany(t, crush, head("GET /users/me/ HTTP/1.1", "Host: h"))
	for _, c := range conns {
		c.answer("GET")
	}
	checkPrompt(t, s)
	if grown := s.status(t, "VmRSS") - base; grown > crush*40 {
		t.Errorf("%d KiB of memory for each idle connection; want 40 at most", grown/crush)
	}
	for _, c := range conns[:crush/2] {
		c.Close()
	}
	waitFor(t, "half of the connections to be closed", func() bool { return s.connections(t) == crush/2 })
	begin := time.Now()
	if code := s.stop(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("the stop took %v; want it at once", took)
	}
}

// TestManyHeldBodies: 1,000 clients keep back the last byte of the largest body.
func TestManyHeldBodies(t *testing.T) {
	long(t)
	t.Parallel()
	const size = 64 << 10
	length := fmt.Sprintf("Content-Length: %d", size)
	held := func(begin string) string { return begin + strings.Repeat("a", size-1-len(begin)) }
	bodies := []string{
		head("POST /token HTTP/1.1", "Host: h", formType, length) + held("username="),
		head("POST /token HTTP/1.1", "Host: h", "Content-Type: multipart/form-data; boundary=b", length) + held("--b\r\n\r\n"),
		head("POST /users/ HTTP/1.1", "Host: h", jsonType, length) + held(`{"username":"`),
		head("POST /users/ HTTP/1.1", "Host: h", jsonType, "Transfer-Encoding: chunked") + "10000\r\n" + held(`{"username":"`),
	}
	s := startAs(t, invocation{fast: true})
	base := s.status(t, "VmRSS")
	begin := time.Now()
	for _, body := range bodies {
		s.dialMany(t, crush/len(bodies), body)
	}
	s.awaitOthers(t, crush)
	checkPrompt(t, s)
	s.awaitAlone(t)
	if took := time.Since(begin); took > bodyLimit+5*time.Second {
		t.Errorf("the last is closed after %v; want %v", took, bodyLimit)
	}
	each := (s.status(t, "VmHWM") - base) << 10 / crush
	t.Logf("%d bytes of memory for each body", each)
	if each > 3*size { // before the garbage is collected
		t.Errorf("%d bytes of memory for each body; want %d at most", each, 3*size)
	}
	if n := len(s.log.events("user_created")) + len(s.log.events("authn_login_fail")); n > 0 {
		t.Errorf("%d bodies that had not come were believed", n)
	}
}

// TestOutOfDescriptors: a server that can take no more connections waits for one to
// end. It serves those it has, and then all.
func TestOutOfDescriptors(t *testing.T) {
	long(t)
	t.Parallel()
	needTools(t, "prlimit")
	for name, where := range map[string]func(testing.TB) place{"memory": inMemory, "SQLite": inFile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startAs(t, invocation{env: where(t).settings, fast: true, under: []string{"prlimit", "--nofile=64:64"}})
			s.register(t, "alice")
			token := s.logIn(t, "alice") // its connection stays open
			ask := head("GET /users/me/ HTTP/1.1", "Host: h")
			conns := s.dialMany(t, 200, ask)
			waitFor(t, "the server to run out of descriptors", func() bool { return strings.Contains(s.log.String(), "too many open files") })
			before := s.cpu(t)
			for range 30 {
				checkUnlessAway(t, s.me(t, token))
				time.Sleep(100 * time.Millisecond)
			}
			if spent := s.cpu(t) - before; spent > time.Second {
				t.Errorf("waiting took %v of 3 s; want next to nothing", spent)
			}
			for _, c := range conns {
				c.Close()
			}
			checkMe(t, s.me(t, s.logIn(t, "alice")), "alice")
			s.awaitAlone(t)
			if n := strings.Count(s.log.String(), "too many open files"); n > 50 {
				t.Errorf("%d lines of the log say so; want a few", n)
			}
			checkPrompt(t, s)
		})
	}
}

// checkUnlessAway reports an answer that is neither alice nor 503.
func checkUnlessAway(t testing.TB, a answer) {
	t.Helper()
	if a.StatusCode != http.StatusServiceUnavailable {
		checkMe(t, a, "alice")
	}
}

// TestFloodOfTokens: 20,000 wrong tokens of 4 KiB leave nothing behind.
func TestFloodOfTokens(t *testing.T) {
	long(t)
	t.Parallel()
	s := startAs(t, invocation{fast: true})
	flood := func() {
		var all sync.WaitGroup
		for range 10 {
			c := s.dial(t)
			all.Go(func() {
				defer c.Close()
				forged := "e30." + strings.Repeat("a", 4<<10) + "." + strings.Repeat("b", 43)
				for range 1000 {
					c.send(head("GET /users/me/ HTTP/1.1", "Host: h", "Authorization: Bearer "+forged))
					if a, err := c.read("GET"); err != nil || a.StatusCode != 401 {
						t.Errorf("got %v, %v; want 401", a, err)
						return
					}
				}
			})
		}
		all.Wait()
		s.awaitAlone(t)
	}
	flood()
	base := s.status(t, "VmRSS")
	flood()
	if grown := s.status(t, "VmRSS") - base; grown > base/4 {
		t.Errorf("the memory has grown from %d KiB by %d", base, grown)
	}
}

// TestStopDuringFlood: what clients hold open does not hold up the end.
func TestStopDuringFlood(t *testing.T) {
	t.Parallel()
	s := launchAndWait(t, invocation{fast: true, env: []string{"SHUTDOWN_SECONDS=2"}})
	s.dialMany(t, 100, "GET /users/me/ HTTP/1.1\r\nHost: h\r\nX-Slow: ")
	s.awaitOthers(t, 100)
	begin := time.Now()
	s.signal(syscall.SIGTERM)
	s.exitCode(t) // 1 if headers count as requests under way; the time is what matters
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("the stop took %v; want some seconds", took)
	}
}
