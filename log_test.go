package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// writes records every call of Write.
type writes struct {
	mu    sync.Mutex // guards texts
	texts []string
	err   error
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, string(p))
	return len(p), w.err
}

// TestLogWriter: the first line comes at once, those behind it soon, together,
// whole and in order; a write that fails stops nothing.
func TestLogWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &writes{err: errors.New("the disk is full")}
		l := &logWriter{w: out}
		written := func(want ...string) {
			t.Helper()
			synctest.Wait()
			out.mu.Lock()
			defer out.mu.Unlock()
			if !slices.Equal(out.texts, want) {
				t.Errorf("written: %q, want %q", out.texts, want)
			}
		}
		fmt.Fprintln(l, "one")
		written("one\n")
		fmt.Fprintln(l, "two")
		fmt.Fprintln(l, "three")
		time.Sleep(logDelay - time.Nanosecond)
		written("one\n")
		time.Sleep(time.Nanosecond)
		written("one\n", "two\nthree\n")
		fmt.Fprintln(l, "four")
		l.Flush()
		written("one\n", "two\nthree\n", "four\n")
		time.Sleep(2 * logDelay)
		fmt.Fprintln(l, "five")
		written("one\n", "two\nthree\n", "four\n", "five\n")
	})
}

func TestLogWriterKeepsLinesWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(writes)
		l := &logWriter{w: out}
		line := strings.Repeat("x", 1000) + "\n"
		for range 200 {
			fmt.Fprint(l, line)
		}
		fmt.Fprint(l, strings.Repeat("y", 2*logBuffer)+"\n")
		time.Sleep(logDelay)
		synctest.Wait()
		out.mu.Lock()
		defer out.mu.Unlock()
		for _, text := range out.texts {
			if !strings.HasSuffix(text, "\n") {
				t.Errorf("a write of %d bytes ends inside a line", len(text))
			}
		}
		if got := len(strings.Join(out.texts, "")); got != 200*len(line)+2*logBuffer+1 {
			t.Errorf("%d bytes written", got)
		}
	})
}
