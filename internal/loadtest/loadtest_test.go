package loadtest

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// newCounter starts a server with this handler. seen returns how many requests each path has had.
func newCounter(t *testing.T, handler http.HandlerFunc) (addr string, seen func() map[string]int) {
	t.Helper()
	var mu sync.Mutex
	paths := make(map[string]int)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		paths[r.URL.Path]++
		mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String(), func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(paths)
	}
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

func TestRequestsInTurn(t *testing.T) {
	addr, seen := newCounter(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	l := Of(addr, 2, get("/a"), get("/b"))
	rate, err := l.Run(50 * time.Millisecond)
	if err != nil || rate <= 0 {
		t.Fatal(rate, err)
	}
	if a, b := seen()["/a"], seen()["/b"]; a == 0 || b == 0 || a-b > 2 || b-a > 2 {
		t.Errorf("%d and %d requests; want as many of each", a, b)
	}
	if half, all := l.Wait(0.5), l.Wait(1); half <= 0 || half > all {
		t.Errorf("half were answered in %v ms, and all in %v", half, all)
	}
}

// TestScriptSeesAnswers: a script is shown each body, and goes on in the next run.
func TestScriptSeesAnswers(t *testing.T) {
	addr, seen := newCounter(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path+"x") })
	path := "/x"
	l := New(addr, func(answer []byte) ([]byte, error) {
		if len(answer) > 0 && len(answer) < 20 {
			path = string(answer)
		}
		return []byte(get(path)), nil
	})
	for range 2 {
		if _, err := l.Run(30 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if n := seen()["/x"]; n != 1 {
		t.Errorf("the first request was sent %d times; want once", n)
	}
	if n := seen()["/"+strings.Repeat("x", 18)]; n == 0 {
		t.Error("no request was made of an answer to one that was made of an answer")
	}
}

func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		script  Script
		want    string
	}{
		{"an answer is not 200", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, InTurn(get("/")), "204 No Content"},
		{"the connection is cut", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, InTurn(get("/")), "EOF"},
		{"the script fails", func(w http.ResponseWriter, r *http.Request) {}, func(answer []byte) ([]byte, error) {
			if answer != nil {
				return nil, errors.New("no token in the answer")
			}
			return []byte(get("/")), nil
		}, "no token in the answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr, _ := newCounter(t, tt.handler)
			if _, err := New(addr, tt.script).Run(time.Second); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want an error that says %q", err, tt.want)
			}
		})
	}
}
