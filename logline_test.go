package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestQuickLines: a plain line is written the quick way, to the byte as slog writes it. All other
// lines are left to slog.
func TestQuickLines(t *testing.T) {
	text := func(value string) []slog.Attr { return []slog.Attr{slog.String("key", value)} }
	for _, tt := range []struct {
		name  string
		attrs []slog.Attr
		quick bool
	}{
		{"no attributes", nil, true},
		{"a text", text("a b"), true},
		{"an empty text", text(""), true},
		{"the first and the last plain character", text(" ~"), true},
		{"what HTML would have escaped", text("<a href='x'>&amp;</a>"), true},
		{"every mark but two", text("!#$%&'()*+,-./:;<=>?@[]^_`{|}~"), true},
		{"the smallest int and the largest", []slog.Attr{slog.Int64("a", -1<<63), slog.Int64("b", 1<<63-1)}, true},
		{"the same key twice", []slog.Attr{slog.Int("a", 1), slog.String("a", "2")}, true},
		{"an empty key", []slog.Attr{slog.Int("", 0)}, true},
		{"a text longer than the buffer", text(strings.Repeat("x", 3*usualLine)), true},
		{"a quote", text(`a"b`), false},
		{"a quote in a key", []slog.Attr{slog.Int(`a"b`, 1)}, false},
		{"a backslash", text(`a\b`), false},
		{"a line feed", text("a\n{\"level\":\"ERROR\"}"), false},
		{"NUL", text("\x00"), false},
		{"the last control character before the space", text("\x1f"), false},
		{"DEL", text("\x7f"), false},
		{"invalid UTF-8", text("\xff"), false},
		{"half a character at the end", text("\xe2\x80"), false},
		{"a letter outside ASCII", text("é"), false},
		{"a line separator", text("\u2028"), false},
		{"an escape in the second of two", []slog.Attr{slog.Int("a", 1), slog.String("b", "\t")}, false},
		{"an error", []slog.Attr{slog.Any("err", errors.New("on fire"))}, false},
		{"a bool", []slog.Attr{slog.Bool("a", true)}, false},
		{"nothing at all", []slog.Attr{{}}, false},
		{"a group", []slog.Attr{slog.Group("a", slog.Int("b", 1))}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := checkQuickLine(t, testTime, "said", tt.attrs); got != tt.quick {
				t.Errorf("quick: %v, want %v", got, tt.quick)
			}
		})
	}
	if checkQuickLine(t, testTime, `a "message"`, nil) {
		t.Error("a message with quotes was written as if it were plain")
	}
}

// checkQuickLine reports whether a line was written the quick way, and compares it with slog's.
func checkQuickLine(t *testing.T, at time.Time, msg string, attrs []slog.Attr) bool {
	t.Helper()
	var quick, slow bytes.Buffer
	isQuick := quickLog{nil, &quick}.info(at, msg, attrs)
	line := slog.NewRecord(at, slog.LevelInfo, msg, 0)
	line.AddAttrs(attrs...)
	if err := slog.NewJSONHandler(&slow, nil).Handle(t.Context(), line); err != nil {
		t.Fatal(err)
	}
	if want := slow.String(); isQuick && quick.String() != want || !isQuick && quick.Len() > 0 {
		t.Errorf("written %q, want %q", quick.String(), want)
	}
	return isQuick
}

// TestQuickLogSamples: in the log that serves, refusals are still sampled, and other lines are all
// there in the order in which they were said.
func TestQuickLogSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(writes)
		w := startLogWriter(t.Context(), out)
		log := newLogger(config{LogJSON: true}, w)
		say := func(refused, method string, times int) {
			for range times {
				r := &http.Request{Method: method, Header: http.Header{}, RemoteAddr: "192.0.2.1"}
				logRequest(log, &response{status: 200, refused: refused}, r, testTime, testTime)
			}
		}
		say("", "GET", 100)
		say("busy", "GET", 100)
		say("", "\xff", 1)
		say("", "PUT", 1)
		w.Flush()
		var written []string
		for line := range strings.Lines(out.String()) {
			written = append(written, lineKind(line))
		}
		want := strings.Repeat("GET ", 100) + strings.Repeat("refused ", sampleSize) + "escaped PUT left-out" // the count comes at the end
		if got := strings.Join(written, " "); got != want {
			t.Errorf("written: %s\nwant: %s", got, want)
		}
	})
}

// lineKind says in a word what a line of TestQuickLogSamples is about.
func lineKind(line string) string {
	for part, kind := range map[string]string{
		"left out": "left-out", `"refused":"busy"}`: "refused", `"method":"\ufffd"`: "escaped", `"method":"PUT"`: "PUT",
	} {
		if strings.Contains(line, part) {
			return kind
		}
	}
	return "GET"
}

// TestLinesOfLevels: the quick way does not write lines that LOG_LEVEL leaves out.
func TestLinesOfLevels(t *testing.T) {
	for level, want := range map[slog.Level]int{slog.LevelDebug: 1, slog.LevelInfo: 1, slog.LevelWarn: 0, slog.LevelError: 0} {
		out := new(writes)
		w := startLogWriter(t.Context(), out)
		log := newLogger(config{LogJSON: true, LogLevel: level}, w)
		logRequest(log, &response{status: 200}, &http.Request{Method: "GET"}, testTime, testTime)
		w.Flush()
		if n := strings.Count(out.String(), "\n"); n != want {
			t.Errorf("LOG_LEVEL=%v: %d lines, want %d", level, n, want)
		}
	}
}

// FuzzRequestLine: whatever a request says, its line has the bytes that slog gives it.
func FuzzRequestLine(f *testing.F) {
	f.Add("GET", "GET /users/me/{$}", "0123456789abcdef", "192.0.2.1", "", 200, int64(0), int64(321))
	f.Add("G\"T", "", "<&>", "::1%eth0", "busy", 503, int64(-1), int64(-1))
	f.Add("\\", "\x00\x1f\x7f", "\u2028\u2029", "\xff\xe2\x80", "é", -1, int64(253402300799), int64(1<<62))
	f.Fuzz(func(t *testing.T, method, route, id, source, refused string, status int, at, took int64) {
		end := time.Unix(at%1e10, took).UTC() // years of four digits
		if end.Year() < 1 || end.Year() > 9999 {
			return
		}
		r := &http.Request{Method: method, Pattern: route, RemoteAddr: source, Header: http.Header{requestIDHeader: {id}}}
		line := func(wrap func(slog.Handler, io.Writer) slog.Handler) string {
			var out bytes.Buffer
			log := slog.New(wrap(slog.NewJSONHandler(&out, nil), &out))
			logRequest(log, &response{status: status, refused: refused}, r, end.Add(-time.Duration(took)), end)
			return out.String()
		}
		got := line(func(h slog.Handler, w io.Writer) slog.Handler { return quickLog{h, w} })
		want := line(func(h slog.Handler, _ io.Writer) slog.Handler { return h })
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
