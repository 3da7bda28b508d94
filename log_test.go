package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// writes records every call of Write, and fails them all.
type writes struct {
	mu    sync.Mutex // guards texts
	texts []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, string(p))
	return 0, errors.New("the disk is full")
}

func (w *writes) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.texts, "|")
}

// TestLogWriter: the first line comes at once, those behind it soon, together,
// whole and in order; a write that fails stops nothing.
func TestLogWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out := new(writes)
		l := startLogWriter(ctx, out)
		written := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := out.String(); got != want {
				t.Errorf("written: %q, want %q", got, want)
			}
		}
		fmt.Fprintln(l, "one")
		written("one\n")
		fmt.Fprintln(l, "two")
		fmt.Fprintln(l, "three")
		time.Sleep(logDelay - time.Nanosecond)
		written("one\n")
		time.Sleep(time.Nanosecond)
		written("one\n|two\nthree\n")
		fmt.Fprintln(l, "four")
		l.Flush()
		written("one\n|two\nthree\n|four\n")
	})
}

// halfFull takes the first four bytes of what is written to it.
type halfFull struct{}

func (halfFull) Write(p []byte) (int, error) { return min(len(p), 4), syscall.ENOSPC }

// TestLostLines: lines are counted as lost at once if nobody reads them, and if the disk is full.
func TestLostLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		reader, writer := io.Pipe()
		defer reader.Close()
		stuck := startLogWriter(ctx, writer)
		line := strings.Repeat("x", logBuffer/4-1) + "\n"
		for range 1 + 4 + 3 { // the first is being written, four wait
			io.WriteString(stuck, line)
			synctest.Wait()
		}
		if n := stuck.lost.Load(); n != 3 {
			t.Errorf("nobody reads: %d lost; want 3", n)
		}
		full := startLogWriter(ctx, halfFull{})
		io.WriteString(full, "one\n")
		synctest.Wait()
		for _, line := range []string{"two\n", "three\n", "four\n"} {
			io.WriteString(full, line)
		}
		full.Flush()
		if n := full.lost.Load(); n != 2 {
			t.Errorf("a full disk: %d lost; want 2", n)
		}
	})
}

// TestSampler: of a flood of cheap refusals the log has a few lines a second, and says how many
// are missing. All else is written.
func TestSampler(t *testing.T) {
	kinds := map[string]func(*slog.Logger){
		"throttled":        func(log *slog.Logger) { answerWith(log, throttledError{time.Second}) },
		"busy":             func(log *slog.Logger) { answerWith(log, errBusy) },
		"an event":         func(log *slog.Logger) { log.Warn("excess_rate_limit_exceeded", "username", "alice") },
		"a foreign origin": func(log *slog.Logger) { log.Info(foreignOrigin) },
		"a derived logger": func(log *slog.Logger) { log.With("a", "b").WithGroup("c").Warn("excess_rate_limit_exceeded") },
	}
	for name, say := range kinds {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := new(safeBuffer)
				log := slog.New(newSampler(slog.NewJSONHandler(out, nil)))
				for _, tt := range []struct{ said, written, missing int }{
					{0, 0, 0}, {1, 1, 0}, {sampleSize, sampleSize, 0}, {sampleSize + 1, sampleSize, 1}, {20_000, sampleSize, 20_000 - sampleSize}, {2, 2, 0},
				} {
					before := len(out.String())
					for range tt.said {
						say(log)
					}
					time.Sleep(samplePeriod)
					synctest.Wait()
					lines := out.String()[before:]
					left := strings.Count(lines, "log lines left out")
					if n := strings.Count(lines, "\n") - left; n != tt.written || left != min(tt.missing, 1) || tt.missing > 0 && !strings.Contains(lines, fmt.Sprintf(`"lines":%d`, tt.missing)) {
						t.Errorf("%d lines said, %d written, and %.300s; want %d written and %d missing", tt.said, n, lines, tt.written, tt.missing)
					}
				}
			})
		})
	}
	for name, say := range map[string]func(*slog.Logger){
		"a failed login": func(log *slog.Logger) { log.Warn("authn_login_fail") },
		"a stolen token": func(log *slog.Logger) { log.Warn("authn_token_reuse") },
		"a bad token":    func(log *slog.Logger) { answerWith(log, errBadToken) },
		"a wrong path":   func(log *slog.Logger) { answerWith(log, errNotFound) },
		"an outage":      func(log *slog.Logger) { answerWith(log, errUnavailable) },
		"a stop":         func(log *slog.Logger) { answerWith(log, errStopping) },
		"a failure":      func(log *slog.Logger) { answerWith(log, errors.New("on fire")) },
	} {
		t.Run(name, func(t *testing.T) {
			out := new(safeBuffer)
			log := slog.New(newSampler(slog.NewJSONHandler(out, nil)))
			for range 1000 {
				say(log)
			}
			if n := strings.Count(out.String(), "\n"); n < 1000 || strings.Contains(out.String(), "left out") {
				t.Errorf("%d of 1,000 lines", n)
			}
		})
	}
}

// answerWith answers a request with a failure.
func answerWith(log *slog.Logger, err error) {
	r := httptest.NewRequest("POST", "/token", nil)
	logged(log, nil, serve(log, func(context.Context, http.ResponseWriter, *http.Request, client) error { return err })).ServeHTTP(httptest.NewRecorder(), r)
}

// TestSamplerAtTheEnd: a count that is not yet written when the process ends is not lost, and
// is not written twice.
func TestSamplerAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out := new(writes)
		w := startLogWriter(ctx, out)
		log := newLogger(config{LogJSON: true}, w)
		for range 100 {
			log.Warn("excess_rate_limit_exceeded")
		}
		w.Flush()
		if !strings.Contains(out.String(), `"level":"WARN","msg":"log lines left out","of":"excess_rate_limit_exceeded","lines":90`) {
			t.Errorf("the log says %s", out)
		}
		time.Sleep(2 * samplePeriod)
		w.Flush()
		if n := strings.Count(out.String(), "left out"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

// TestDebugLeavesNothingOut: who wants every line gets it.
func TestDebugLeavesNothingOut(t *testing.T) {
	out := new(writes)
	w := startLogWriter(t.Context(), out)
	log := newLogger(config{LogJSON: true, LogLevel: slog.LevelDebug}, w)
	for range 100 {
		log.Warn("excess_rate_limit_exceeded")
	}
	w.Flush()
	if n := strings.Count(out.String(), "excess_rate_limit_exceeded"); n != 100 {
		t.Errorf("%d of 100 lines", n)
	}
}

// stuck is a pipe that nobody reads.
type stuck struct{ free chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	<-s.free
	return len(p), io.ErrClosedPipe
}

// TestLogWriterWaitsForNobody: a reader that has gone to sleep holds up neither
// requests nor the end, and what was dropped is counted.
func TestLogWriterWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out := stuck{make(chan struct{})}
		l := startLogWriter(ctx, out)
		missing := 0
		l.dropped = func(lines int) { missing += lines }
		fmt.Fprintln(l, "one")
		synctest.Wait()
		line := strings.Repeat("x", 1023) + "\n"
		for range 1034 {
			fmt.Fprint(l, line)
		}
		start := time.Now()
		l.Flush()
		if waited := time.Since(start); waited != flushLimit {
			t.Errorf("Flush waits %v, want %v", waited, flushLimit)
		}
		close(out.free)
		l.Flush()
		synctest.Wait()
		if missing != 10 {
			t.Errorf("%d lines are said to be missing, want 10", missing)
		}
	})
}

// A gate lets one write pass for each element of its channel.
type gate struct {
	writes
	pass chan struct{}
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.pass
	return g.writes.Write(p)
}

// TestDroppedLinesAreCounted: every line is either written or counted, also when the buffer is
// full again by the time that the count could be logged, and when the process ends then.
func TestDroppedLinesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out := &gate{pass: make(chan struct{})}
		w := startLogWriter(ctx, out)
		log := newLogger(config{LogJSON: true}, w)
		said := 0
		say := func(lines int) {
			for range lines {
				log.Info("said") // shorter than the line about what is missing
			}
			said += lines
			synctest.Wait()
		}
		say(1) // whose write waits at the gate
		for range 3 {
			say(20_000) // more than fit
			out.pass <- struct{}{}
			synctest.Wait()
			time.Sleep(logDelay)
			synctest.Wait()
		}
		close(out.pass)
		w.Flush()
		written, missing := 0, 0
		for line := range strings.Lines(strings.ReplaceAll(out.String(), "|", "")) {
			var entry struct {
				Msg   string
				Lines int
			}
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatal(err)
			}
			missing += entry.Lines
			if entry.Msg == "said" {
				written++
			}
		}
		if missing == 0 || written+missing != said {
			t.Errorf("%d lines said, %d written, %d counted as dropped", said, written, missing)
		}
	})
}
