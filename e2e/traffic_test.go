package e2e

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Traffic is a request that is sent 200 times a second. Each has to be answered 200.
type traffic struct {
	sent, failed atomic.Int64
	slowest      atomic.Int64 // answer, in nanoseconds

	url, token string
	stop       chan struct{}
	clients    sync.WaitGroup
}

// trafficLimit is how long an answer may take at most.
const trafficLimit = 20 * time.Second

// startTraffic sends GET /users/me/ to the server at a URL until end is called. Half of the
// requests come on connections of their own.
func startTraffic(t testing.TB, url, token string) *traffic {
	f := &traffic{url: url, token: token, stop: make(chan struct{})}
	short := &http.Client{Timeout: trafficLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	kept := &http.Client{Timeout: trafficLimit, Transport: &http.Transport{MaxIdleConnsPerHost: 20}}
	f.clients.Go(func() {
		defer kept.CloseIdleConnections()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-f.stop:
				return
			case <-tick.C:
			}
			client := short
			if n%2 == 0 {
				client = kept
			}
			f.clients.Go(func() { f.send(t, client) })
		}
	})
	return f
}

func (f *traffic) send(t testing.TB, client *http.Client) {
	req, err := http.NewRequest("GET", f.url+"/users/me/", nil)
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	f.sent.Add(1)
	began := time.Now()
	answer, err := client.Do(req)
	if err != nil {
		f.fail(t, err.Error())
		return
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		f.fail(t, answer.Status+" "+string(body))
	}
	took := int64(time.Since(began))
	for old := f.slowest.Load(); took > old && !f.slowest.CompareAndSwap(old, took); old = f.slowest.Load() {
	}
}

// fail reports the first few failures.
func (f *traffic) fail(t testing.TB, what string) {
	if f.failed.Add(1) <= 5 {
		t.Errorf("a request failed: %s", what)
	}
}

// await waits until this many more requests are sent.
func (f *traffic) await(t testing.TB, more int64) {
	t.Helper()
	enough := f.sent.Load() + more
	waitFor(t, "requests to be sent", func() bool { return f.sent.Load() >= enough })
}

// end waits for the last answers.
func (f *traffic) end(t testing.TB) {
	t.Helper()
	close(f.stop)
	f.clients.Wait()
	t.Logf("%d requests, %d failed, the slowest answer took %v", f.sent.Load(), f.failed.Load(), time.Duration(f.slowest.Load()))
}
