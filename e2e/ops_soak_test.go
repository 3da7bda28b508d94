package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Samples of a soak.
const (
	sampleCount = 20
	longSoak    = 2 * time.Minute // what is long enough to judge memory by
)

// TestSoak lets clients do everything there is to do, for as long as the variable
// SOAK says, half of the time on each store. Users come and go, so that there are
// always as many; memory, descriptors and threads have to stay as they are. Without
// the variable it is over in seconds, and sees only whether the answers are right and
// everything is let go; see make soak.
func TestSoak(t *testing.T) {
	long(t)
	t.Parallel()
	whole := 5 * time.Second
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		if whole, err = time.ParseDuration(text); err != nil || whole <= 0 {
			t.Fatalf("SOAK is %q; want a duration such as 10m", text)
		}
	}
	t.Run("memory", func(t *testing.T) { soak(t, inMemory(t), whole/2) })
	t.Run("SQLite", func(t *testing.T) { soak(t, inFile(t), whole/2) })
}

// soak runs clients against a server for so long, and judges it.
func soak(t *testing.T, p place, d time.Duration) {
	if runtime.GOOS != "linux" {
		skip(t, "only Linux shows what a process holds")
	}
	s := startSoaked(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var all sync.WaitGroup
	var answers atomic.Int64
	for i := range runtime.NumCPU() {
		c := &soaker{server: s, name: fmt.Sprintf("soaker%d", i), warm: time.Now().Add(d / 4), answers: &answers}
		all.Go(func() { c.live(ctx, t) })
	}
	samples := s.sample(ctx, t, d)
	all.Wait()

	logSamples(t, samples, answers.Load())
	if answers.Load() == 0 {
		t.Error("nothing was answered")
	}
	if d >= longSoak/2 {
		checkFlat(t, samples)
	}
	s.awaitAlone(t)
	files := s.descriptors(t)
	s.forget(t)
	goroutines := s.goroutines(t)

	fresh := startSoaked(t, p)
	fresh.me(t, "x")
	fresh.awaitAlone(t)
	freshFiles := fresh.descriptors(t)
	freshGoroutines := fresh.goroutines(t)
	t.Logf("at the end %d descriptors and %d goroutines; a fresh server has %d and %d", files, goroutines, freshFiles, freshGoroutines)
	if goroutines > freshGoroutines+3 {
		t.Errorf("%d goroutines are left; a fresh server has %d", goroutines, freshGoroutines)
	}
	if most := freshFiles + 2*runtime.NumCPU() + 4; files > most { // SQLite's connections stay, two files each
		t.Errorf("%d descriptors are left; want %d at most", files, most)
	}
}

func startSoaked(t *testing.T, p place) *server {
	t.Helper()
	return launchAndWait(t, invocation{env: p.with("THROTTLE=off"), fast: true})
}

// A soaker is a client that pauses after each answer for as long as it has waited for
// it: as many of them as there are cores keep these busy for half of the time. While
// the server gets warm there is no pause.
type soaker struct {
	*server
	name    string
	warm    time.Time
	answers *atomic.Int64
}

// live begins one life after the other, each as somebody new, until ctx is done.
func (c *soaker) live(ctx context.Context, t *testing.T) {
	for i := 0; ctx.Err() == nil && !t.Failed(); i++ {
		c.liveAs(t, fmt.Sprintf("%s-%d", c.name, i))
	}
}

// liveAs registers, does what people do, and ends with the deletion of all that there
// was.
func (c *soaker) liveAs(t *testing.T, name string) {
	form := func(password string) string { return "username=" + name + "&password=" + password }
	c.send(t, 200, "POST", "/users/", newUser(name, password), jsonType)
	c.send(t, 400, "POST", "/users/", newUser(name, password), jsonType)
	c.send(t, 401, "POST", "/token", form("wrong-"+password), formType)
	here := c.grant(t, form(password))
	there := c.grant(t, form(password))
	bearer := func() string { return "Authorization: Bearer " + here.Access }
	for range 20 {
		c.send(t, 200, "GET", "/users/me/", "", bearer())
		here = c.grant(t, refreshBody(here.Refresh))
		c.send(t, 200, "PATCH", "/users/me/", `{"full_name":"`+strings.Repeat("x", 50)+`"}`, bearer(), jsonType)
		c.garble(t)
	}
	var list []session
	if err := json.Unmarshal([]byte(c.send(t, 200, "GET", "/users/me/sessions/", "", bearer()).body), &list); err != nil || len(list) != 2 {
		t.Errorf("%s has %d sessions, %v; want 2", name, len(list), err)
	}
	for _, one := range list {
		if !one.Current {
			c.send(t, 204, "DELETE", "/users/me/sessions/"+one.ID, "", bearer())
		}
	}
	c.send(t, 401, "GET", "/users/me/", "", "Authorization: Bearer "+there.Access)
	c.send(t, 400, "POST", "/token", refreshBody(there.Refresh), formType)
	c.send(t, 204, "POST", "/users/me/password", change(password, nextPassword), bearer(), jsonType)
	elsewhere := c.grant(t, form(nextPassword))
	c.send(t, 200, "POST", "/revoke", "token="+elsewhere.Refresh, formType)
	c.send(t, 204, "DELETE", "/users/me/sessions/?keep=current", "", bearer())
	c.send(t, 204, "DELETE", "/users/me/", "", bearer())
	c.send(t, 401, "GET", "/users/me/", "", bearer())
}

// send sends a request, reports an answer that is not this status, and has a rest.
func (c *soaker) send(t *testing.T, status int, method, path, body string, headers ...string) answer {
	begin := time.Now()
	a, err := c.try(t.Context(), method, path, body, headers...)
	if err != nil || a.StatusCode != status {
		t.Errorf("%s %s: %v %s, %v; want %d", method, path, a.Response, a.body, err, status)
	}
	c.rest(begin)
	return a
}

func (c *soaker) rest(begin time.Time) {
	c.answers.Add(1)
	if begin.After(c.warm) {
		time.Sleep(time.Since(begin))
	}
}

func (c *soaker) grant(t *testing.T, form string) grant {
	var g grant
	if err := json.Unmarshal([]byte(c.send(t, 200, "POST", "/token", form, formType).body), &g); err != nil {
		t.Error(err)
	}
	return g
}

// garble sends what nobody should: bad tokens and bodies, and on connections of its
// own what is no request and what is cut off.
func (c *soaker) garble(t *testing.T) {
	c.send(t, 404, "GET", "/nowhere", "")
	c.send(t, 401, "GET", "/users/me/", "", "Authorization: Bearer "+strings.Repeat("a.", 1000))
	c.send(t, 422, "POST", "/users/", `{"username":`, jsonType)
	c.send(t, 413, "POST", "/token", strings.Repeat("a", 64<<10+1), formType)
	bad := refusals()
	for _, text := range []string{
		bad[int(c.answers.Load())%len(bad)].request,
		head("POST /token HTTP/1.1", "Host: h", formType, "Content-Length: 100") + "username=",
	} {
		begin := time.Now()
		raw, err := net.Dial("tcp", c.addr)
		if err != nil {
			t.Error(err)
			return
		}
		raw.SetDeadline(begin.Add(patience))
		raw.Write([]byte(text))
		raw.(*net.TCPConn).CloseWrite()
		raw.Read(make([]byte, 512)) // the answer, if there is any
		raw.Close()
		c.rest(begin)
	}
}

// A sample is what a server holds at a time.
type sample struct {
	at                           time.Duration
	memory, descriptors, threads int // memory in KiB
}

// sample takes samples of the server until ctx is done.
func (s *server) sample(ctx context.Context, t *testing.T, d time.Duration) []sample {
	t.Helper()
	begin := time.Now()
	tick := time.NewTicker(d / sampleCount)
	defer tick.Stop()
	var samples []sample
	for len(samples) < sampleCount {
		select {
		case <-ctx.Done():
			return samples
		case <-tick.C:
		}
		samples = append(samples, sample{time.Since(begin), s.status(t, "VmRSS"), s.descriptors(t), s.status(t, "Threads")})
		s.forget(t)
	}
	return samples
}

// descriptors counts the open files of the process.
func (s *server) descriptors(t testing.TB) int {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no descriptors: %v", err)
	}
	return len(files)
}

// forget checks the log so far and drops it: a long one would not fit into memory.
func (s *server) forget(t testing.TB) {
	t.Helper()
	all := s.log.take()
	whole := strings.LastIndexByte(all, '\n') + 1
	var old record
	old.Write([]byte(all[:whole]))
	old.check(t, nil)
	s.log.putBack(all[whole:])
}

func (r *record) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := r.text.String()
	r.text.Reset()
	return text
}

// putBack puts text before what has come since it was taken.
func (r *record) putBack(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text += r.text.String()
	r.text.Reset()
	r.text.WriteString(text)
}

// goroutines ends the server by a signal at which Go says what each goroutine does,
// and counts them.
func (s *server) goroutines(t testing.TB) int {
	t.Helper()
	s.signal(syscall.SIGQUIT)
	s.exitCode(t)
	n := 0
	for line := range strings.Lines(s.log.take()) { // which is no longer a log
		if strings.HasPrefix(line, "goroutine ") {
			n++
		}
	}
	if n == 0 {
		t.Error("the program has not said what its goroutines do")
	}
	return n
}

func logSamples(t *testing.T, samples []sample, answers int64) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%d answers\n%8s %11s %11s %7s\n", answers, "after", "memory KiB", "descriptors", "threads")
	for _, one := range samples {
		fmt.Fprintf(&b, "%8s %11d %11d %7d\n", one.at.Round(100*time.Millisecond), one.memory, one.descriptors, one.threads)
	}
	t.Log(b.String())
}

// checkFlat reports what has grown between the second quarter, when everything is
// warm, and the last: by more than 5 %, and by more than what comes and goes.
func checkFlat(t *testing.T, samples []sample) {
	t.Helper()
	const quarter = sampleCount / 4
	if len(samples) < 4*quarter-1 {
		t.Fatalf("only %d samples", len(samples))
	}
	for _, what := range []struct {
		name  string
		of    func(sample) int
		slack int // for connections and threads that happen to be there
	}{
		{"memory", func(s sample) int { return s.memory }, 0},
		{"descriptors", func(s sample) int { return s.descriptors }, 8},
		{"threads", func(s sample) int { return s.threads }, 2},
	} {
		before, after := median(samples[quarter:2*quarter], what.of), median(samples[3*quarter:], what.of)
		t.Logf("%s: %d in the second quarter, %d in the last (%+.1f %%)", what.name, before, after, 100*float64(after-before)/float64(before))
		if after > before*105/100+what.slack {
			t.Errorf("%s: %d in the second quarter and %d in the last; want at most 5 %% more", what.name, before, after)
		}
	}
}

func median(samples []sample, of func(sample) int) int {
	var values []int
	for _, one := range samples {
		values = append(values, of(one))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
