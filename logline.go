package main

import (
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A quickLog is a slog.Handler with a shorter way for plain lines, which takes a third of the
// time. Most lines of a busy server are about requests, and are plain.
type quickLog struct {
	slog.Handler // for all other lines; writes JSON to w
	w            io.Writer
}

// info writes a line of level info as slog.JSONHandler would, or reports that it is not plain: it
// would need escapes, or has a value that is neither a text nor an int. The year of at has
// four digits.
func (h quickLog) info(at time.Time, msg string, attrs []slog.Attr) (ok bool) {
	if !isPlain(msg) || !allPlain(attrs) {
		return false
	}
	space := lineBuffers.Get().(*[usualLine]byte)
	defer lineBuffers.Put(space)
	h.w.Write(appendLine(space[:0], at, msg, attrs))
	return true
}

// usualLine is longer than the line of most requests, in bytes.
const usualLine = 512

// lineBuffers spare an allocation for each line.
var lineBuffers = sync.Pool{New: func() any { return new([usualLine]byte) }}

// appendLine appends a plain line in the order of slog.JSONHandler.
func appendLine(b []byte, at time.Time, msg string, attrs []slog.Attr) []byte {
	b = append(b, `{"time":"`...)
	b = at.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","level":"INFO","msg":`...)
	b = appendQuoted(b, msg)
	for _, a := range attrs {
		b = append(b, ',')
		b = appendQuoted(b, a.Key)
		b = append(b, ':')
		if a.Value.Kind() == slog.KindInt64 {
			b = strconv.AppendInt(b, a.Value.Int64(), 10)
			continue
		}
		b = appendQuoted(b, a.Value.String())
	}
	return append(b, "}\n"...)
}

func appendQuoted(b []byte, plain string) []byte {
	b = append(b, '"')
	b = append(b, plain...)
	return append(b, '"')
}

// allPlain reports whether each attribute is an int or a plain text, under a plain key.
func allPlain(attrs []slog.Attr) bool {
	return !slices.ContainsFunc(attrs, func(a slog.Attr) bool {
		kind := a.Value.Kind()
		isPlainValue := kind == slog.KindInt64 || kind == slog.KindString && isPlain(a.Value.String())
		return !isPlainValue || !isPlain(a.Key)
	})
}

// isPlain reports whether every writer of JSON puts text between quotes as it is: it has
// only ASCII, no control characters, no quotes and no backslashes.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
