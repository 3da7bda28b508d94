package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"
)

// Of the lines about one kind of cheap refusal, sampleSize are written in each samplePeriod.
// A client can cause tens of thousands a second, which would fill a disk in hours.
const (
	sampleSize   = 10
	samplePeriod = time.Second
)

// A sampler is a slog.Handler that leaves out most lines of a flood of cheap refusals, and
// logs how many. It writes all other lines.
type sampler struct {
	slog.Handler
	samples *samples
}

func newSampler(h slog.Handler) sampler {
	return sampler{h, &samples{log: slog.New(h), open: make(map[string]*sample)}}
}

// Handle implements slog.Handler.
func (s sampler) Handle(ctx context.Context, line slog.Record) error {
	if kind := refusalKind(line); kind != "" && !s.samples.admit(kind, line.Level) {
		return nil
	}
	return s.Handler.Handle(ctx, line)
}

// WithAttrs implements slog.Handler.
func (s sampler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sampler{s.Handler.WithAttrs(attrs), s.samples}
}

// WithGroup implements slog.Handler.
func (s sampler) WithGroup(name string) slog.Handler {
	return sampler{s.Handler.WithGroup(name), s.samples}
}

// failedHandshake begins net/http's lines about clients that do not get as far as a request.
const failedHandshake = "http: TLS handshake error"

// refusalKind returns what kind of cheap refusal a line is about, or "" for all other lines.
func refusalKind(line slog.Record) string {
	if strings.HasPrefix(line.Message, failedHandshake) {
		return failedHandshake
	}
	switch line.Message {
	case "excess_rate_limit_exceeded", foreignOrigin:
		return line.Message
	case requestLine:
		kind := ""
		line.Attrs(func(a slog.Attr) bool {
			if a.Key == refusedKey {
				kind = fmt.Sprintf("%s, %s %s", requestLine, refusedKey, a.Value)
			}
			return kind == ""
		})
		return kind
	}
	return ""
}

// samples counts the lines of each kind in its current period.
type samples struct {
	log *slog.Logger // for what was left out

	mu   sync.Mutex // guards open
	open map[string]*sample
}

// A sample counts the lines of a kind since its period began.
type sample struct {
	level slog.Level
	lines int
}

// admit counts a line, and reports whether it is to be written. The period begins with the
// first line.
func (s *samples) admit(kind string, level slog.Level) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.open[kind]
	if one == nil {
		one = &sample{level: level}
		s.open[kind] = one
		time.AfterFunc(samplePeriod, func() { s.end(kind, one) })
	}
	one.lines++
	return one.lines <= sampleSize
}

// end ends the period of a sample, unless it has ended, and logs how many lines were left out.
func (s *samples) end(kind string, one *sample) {
	s.mu.Lock()
	isOpen := s.open[kind] == one
	if isOpen {
		delete(s.open, kind)
	}
	s.mu.Unlock()
	if missing := one.lines - sampleSize; isOpen && missing > 0 {
		s.log.Log(context.Background(), one.level, "log lines left out", "of", kind, "lines", missing)
	}
}

// endAll ends all periods, so that no count is lost when the process ends.
func (s *samples) endAll() {
	s.mu.Lock()
	open := maps.Clone(s.open)
	s.mu.Unlock()
	for kind, one := range open {
		s.end(kind, one)
	}
}
