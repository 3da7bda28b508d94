package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// newLogger returns a logger that writes to w. Unless the level is debug, it samples floods of
// refusals.
func newLogger(cfg config, w *logWriter) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	var h slog.Handler = slog.NewTextHandler(w, opts)
	if cfg.LogJSON {
		h = slog.NewJSONHandler(w, opts)
	}
	if cfg.LogLevel > slog.LevelDebug {
		sampled := newSampler(h)
		w.ending, h = sampled.samples.endAll, sampled
	}
	if cfg.LogJSON {
		h = quickLog{h, w}
	}
	log := slog.New(h)
	w.dropped = func(lines int) { log.Warn("log lines dropped: nobody reads them fast enough", "lines", lines) }
	return log
}

// A logWriter hands log lines to a goroutine, which writes them: at once on a quiet server,
// and many together on a busy one, where a system call for each line would cost more than
// the line. No request waits for the reader of the log: if the buffer is full, lines are
// dropped and counted. A crash loses the lines of the last logDelay.
type logWriter struct {
	w       io.Writer
	wake    chan struct{}      // there are lines
	flushes chan chan struct{} // closed when what was there is written
	dropped func(lines int)    // says in the log that lines are missing
	ending  func()             // logs what has to be said before the last Flush

	mu      sync.Mutex // guards the fields below
	lines   []byte
	missing int

	spare []byte // takes turns with lines; only write uses it

	lost atomic.Int64 // how many lines were dropped since the start, or could not be written
}

const (
	logDelay   = 20 * time.Millisecond
	logBuffer  = 1 << 20
	flushLimit = time.Second
)

// startLogWriter returns a logWriter whose goroutine ends with ctx.
func startLogWriter(ctx context.Context, w io.Writer) *logWriter {
	l := &logWriter{w: w, wake: make(chan struct{}, 1), flushes: make(chan chan struct{})}
	go l.run(ctx)
	return l
}

// Write takes one line, and never waits. Lines stay whole: other processes may
// write to the same file.
func (l *logWriter) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines)+len(line) > logBuffer {
		l.missing++
		l.lost.Add(1)
		return len(line), nil
	}
	l.lines = append(l.lines, line...)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

// Flush waits until the lines are written, but not longer than flushLimit.
func (l *logWriter) Flush() {
	if l.ending != nil {
		l.ending()
	}
	limit := time.NewTimer(flushLimit)
	defer limit.Stop()
	done := make(chan struct{})
	select {
	case l.flushes <- done:
	case <-limit.C:
		return
	}
	select {
	case <-done:
	case <-limit.C:
	}
}

func (l *logWriter) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case done := <-l.flushes:
			l.flush(done)
		case <-l.wake:
			l.write()
			l.pause(ctx)
		}
	}
}

// pause lets lines gather, unless somebody waits for them.
func (l *logWriter) pause(ctx context.Context) {
	timer := time.NewTimer(logDelay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case done := <-l.flushes:
		l.flush(done)
	}
}

// write writes what has gathered. What cannot be written is dropped: a full disk is no
// reason to stop serving. It logs how many lines are missing while the buffer is empty, so
// that this line is not dropped, too.
func (l *logWriter) write() {
	l.mu.Lock()
	lines, missing := l.lines, l.missing
	l.lines, l.missing = l.spare[:0], 0
	l.mu.Unlock()
	if missing > 0 && l.dropped != nil {
		l.dropped(missing)
	}
	if len(lines) > 0 {
		n, _ := l.w.Write(lines)
		l.lost.Add(int64(bytes.Count(lines[n:], []byte("\n"))))
	}
	l.spare = lines
}

// flush writes everything: the first write may leave a line about those that are missing.
func (l *logWriter) flush(done chan struct{}) {
	l.write()
	l.write()
	close(done)
}
