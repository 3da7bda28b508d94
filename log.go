package main

import (
	"io"
	"log/slog"
	"sync"
	"time"
)

// newLogger returns a logger that writes to w.
func newLogger(cfg config, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogJSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// A logWriter writes log lines: at once on a quiet server, and many together on
// a busy one, where the system call for a line costs more than the line. No
// line waits longer than logDelay; a crash, or a second signal, loses those that
// wait.
type logWriter struct {
	w io.Writer

	mu      sync.Mutex // guards the fields below, and calls of w
	lines   []byte
	written time.Time // when lines were written last
	waiting bool      // a Flush will come
}

const (
	logDelay  = 20 * time.Millisecond
	logBuffer = 64 << 10
)

// Write takes one line. Lines stay whole: none is split between two writes, and
// other processes may write to the same file.
func (l *logWriter) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines)+len(line) > logBuffer {
		l.flushLocked()
	}
	l.lines = append(l.lines, line...)
	if l.waiting {
		return len(line), nil
	}
	if pause := logDelay - time.Since(l.written); pause > 0 {
		l.waiting = true
		time.AfterFunc(pause, l.Flush)
		return len(line), nil
	}
	l.flushLocked()
	return len(line), nil
}

// Flush writes the lines that wait.
func (l *logWriter) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = false
	l.flushLocked()
}

// flushLocked drops what cannot be written: a full disk is no reason to stop
// serving.
func (l *logWriter) flushLocked() {
	if len(l.lines) > 0 {
		l.w.Write(l.lines)
		l.lines = l.lines[:0]
	}
	l.written = time.Now()
}
