package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// writes records every call of Write.
type writes struct {
	texts []string
	err   error
}

func (w *writes) Write(p []byte) (int, error) {
	w.texts = append(w.texts, string(p))
	return len(p), w.err
}

// TestLogWriter: lines come in time, together, whole and in order, even if one
// write fails.
func TestLogWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &writes{err: errors.New("the disk is full")}
		l := &logWriter{w: out}
		fmt.Fprintln(l, "one")
		fmt.Fprintln(l, "two")
		time.Sleep(logDelay - time.Nanosecond)
		synctest.Wait()
		if len(out.texts) != 0 {
			t.Errorf("written too early: %q", out.texts)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		fmt.Fprintln(l, "three")
		l.Flush()
		time.Sleep(logDelay)
		synctest.Wait()
		if got := strings.Join(out.texts, "|"); strings.TrimRight(got, "|") != "one\ntwo\n|three\n" {
			t.Errorf("written: %q", got)
		}
	})
}

func TestLogWriterKeepsLinesWhole(t *testing.T) {
	out := new(writes)
	l := &logWriter{w: out}
	line := strings.Repeat("x", 1000) + "\n"
	for range 200 {
		fmt.Fprint(l, line)
	}
	fmt.Fprint(l, strings.Repeat("y", 2*logBuffer)+"\n")
	l.Flush()
	for _, text := range out.texts {
		if text != "" && !strings.HasSuffix(text, "\n") {
			t.Errorf("a write of %d bytes ends inside a line", len(text))
		}
	}
	if got := len(strings.Join(out.texts, "")); got != 200*len(line)+2*logBuffer+1 {
		t.Errorf("%d bytes written", got)
	}
}
