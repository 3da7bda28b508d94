package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"time"
)

// Header values that answers share, so that they are not allocated each time.
var (
	nosniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	noStore    = []string{"no-store"}
	closing    = []string{"close"}
)

// hardened sets headers of every answer. An operation may change them.
func hardened(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header["X-Content-Type-Options"] = nosniff
		header["Referrer-Policy"] = noReferrer
		header["Cache-Control"] = noStore // RFC 6749 §5.1, and for failures too
		h.ServeHTTP(w, r)
	})
}

// unhurried lets h answer a request without reading its body. By default net/http reads the
// rest of the body before it sends the answer, and waits for a client that sends it late or
// never. With Connection: close it does not wait, and takes nothing that comes late for the
// next request. HTTP/2 needs none of this, because each body has a stream of its own.
func unhurried(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && r.Body != http.NoBody {
			w.Header()["Connection"] = closing
			if len(r.TransferEncoding) == 0 { // else there may have been a Content-Length too: RFC 9112 §6.1
				r.Body = &reusable{r.Body, w.Header()}
			}
		}
		h.ServeHTTP(w, r)
	})
}

// A reusable is a request body after whose end the connection can take another request.
type reusable struct {
	io.ReadCloser
	answer http.Header
}

func (b *reusable) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		delete(b.answer, "Connection")
	}
	return n, err
}

// A response records what was answered.
type response struct {
	http.ResponseWriter
	status  int    // 0 until the header is written
	refused string // why, if the refusal was cheap
}

// refuse implements refuser.
func (w *response) refuse(why string) { w.refused = why }

func (w *response) WriteHeader(code int) {
	if w.status == 0 {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets an http.ResponseController reach the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// logged logs one line for every request, after it has been answered, and counts it. It names
// the route and not the path, in which somebody may have put a secret. h may
// not copy the request, or the route would be unknown here.
func logged(log *slog.Logger, counts *requestMetrics, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		counts.begin()
		resp := &response{ResponseWriter: w}
		defer func() { // also after a panic
			end := time.Now()
			counts.end(r.Pattern, r.Method, resp.status, end.Sub(start))
			logRequest(log, resp, r, start, end)
		}()
		h.ServeHTTP(resp, r)
	})
}

// The message of a request's line, and the attribute of those that were refused cheaply.
const (
	requestLine = "request"
	refusedKey  = "refused"
)

// logRequest logs the line of a request.
func logRequest(log *slog.Logger, resp *response, r *http.Request, start, end time.Time) {
	if !log.Enabled(r.Context(), slog.LevelInfo) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", cut(r.Method, 16)),
		slog.String("route", r.Pattern),
		slog.Int("status", resp.status),
		slog.Int64("duration_us", end.Sub(start).Microseconds()),
		slog.String("request_id", r.Header.Get(requestIDHeader)),
		slog.String("source", r.RemoteAddr),
	}
	quick, ok := log.Handler().(quickLog)
	if ok && resp.refused == "" && quick.info(end, requestLine, attrs) {
		return
	}
	if resp.refused != "" { // the sampler counts these
		attrs = append(attrs, slog.String(refusedKey, resp.refused))
	}
	// Not log.Info: it would look for its caller, which is always this line.
	line := slog.NewRecord(end, slog.LevelInfo, requestLine, 0)
	line.AddAttrs(attrs...)
	log.Handler().Handle(r.Context(), line)
}

func cut(s string, n int) string { return s[:min(n, len(s))] }

// recovered answers 500 if h panics, and logs where. A panic after the header was sent cuts
// the connection, so that nobody takes half an answer for a whole one.
func recovered(log *slog.Logger, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			err := fmt.Errorf("panic: %v at %s", p, callers())
			if resp, ok := w.(*response); ok && resp.status != 0 {
				logFailure(log, r, err)
				panic(http.ErrAbortHandler)
			}
			writeError(w, r, log, err)
		}()
		h.ServeHTTP(w, r)
	})
}

// callers returns the functions on the stack of a recovered panic, without
// their arguments, among which a password may be.
func callers() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs)]) // from the one that called panic
	var b strings.Builder
	for {
		frame, more := frames.Next()
		fmt.Fprintf(&b, "%s:%d ", frame.Function, frame.Line)
		if !more {
			return strings.TrimSpace(b.String())
		}
	}
}
