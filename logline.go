package main

import (
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A quickLog is a slog.Handler that can also write plain lines without slog, in a third of the
// time. Most lines of a busy server are about requests, and are plain.
type quickLog struct {
	slog.Handler // for all other lines; writes JSON to w
	w            io.Writer
}

// info writes a line of level info as slog.JSONHandler would, and reports whether it has. It writes
// nothing if the line is not plain: if it needs escapes, or has a value that is neither a text nor an
// int. The year of at must have four digits.
func (h quickLog) info(at time.Time, msg string, attrs []slog.Attr) (ok bool) {
	if !isPlain(msg) || !allPlain(attrs) {
		return false
	}
	space := lineBuffers.Get().(*[usualLine]byte)
	defer lineBuffers.Put(space)
	h.w.Write(appendLine(space[:0], at, msg, attrs))
	return true
}

// usualLine is how many bytes a buffer has. The lines of most requests are shorter.
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
		b = appendValue(b, a.Value)
	}
	return append(b, "}\n"...)
}

func appendValue(b []byte, plain slog.Value) []byte {
	if plain.Kind() == slog.KindInt64 {
		return strconv.AppendInt(b, plain.Int64(), 10)
	}
	return appendQuoted(b, plain.String())
}

func appendQuoted(b []byte, plain string) []byte {
	b = append(b, '"')
	b = append(b, plain...)
	return append(b, '"')
}

// allPlain reports whether all keys and values are plain.
func allPlain(attrs []slog.Attr) bool {
	return !slices.ContainsFunc(attrs, func(a slog.Attr) bool { return !isPlain(a.Key) || !isPlainValue(a.Value) })
}

// isPlainValue reports whether a value is an int, or a plain text.
func isPlainValue(v slog.Value) bool {
	kind := v.Kind()
	return kind == slog.KindInt64 || kind == slog.KindString && isPlain(v.String())
}

// isPlain reports whether no writer of JSON escapes anything in a text: it has only ASCII, and no
// control characters, quotes or backslashes.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
