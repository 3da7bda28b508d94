package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
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
