package main

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rs/cors"
)

// Values of headers that every answer has; shared, so that they cost nothing.
var (
	nosniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	noStore    = []string{"no-store"}
	closing    = []string{"close"}
)

// hardened sets the headers of every answer, which an operation may change.
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

// identified says who sent the request and what it is called, for the handlers
// and the log: RemoteAddr becomes the address of the source, and X-Request-Id
// the caller's own id or a new one.
func identified(log *slog.Logger, trusted []netip.Prefix, h http.Handler) http.Handler {
	var warned sync.Once
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ids := r.Header[requestIDHeader]
		if len(ids) != 1 || !isRequestID(ids[0]) {
			ids = []string{fmt.Sprintf("%016x", rand.Uint64())} // unique, but no secret
			r.Header[requestIDHeader] = ids
		}
		w.Header()["X-Request-ID"] = ids
		peer := hostOf(r.RemoteAddr)
		r.RemoteAddr = source(peer, r.Header, trusted)
		if name := proxyHeader(r.Header); name != "" && !isTrusted(peer, trusted) {
			warned.Do(func() { warnOfProxy(log, name, peer) })
		}
		h.ServeHTTP(w, r)
	})
}

// proxyHeaders are those in which proxies say for whom they ask.
var proxyHeaders = []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip"}

// proxyHeader returns the first of proxyHeaders that is there, or "".
func proxyHeader(header http.Header) string {
	for _, name := range proxyHeaders {
		if header[name] != nil {
			return name
		}
	}
	return ""
}

// warnOfProxy says that a peer seems to be a proxy that is missing in TRUSTED_PROXIES. It may
// also be a client that made the header up.
func warnOfProxy(log *slog.Logger, header, peer string) {
	log.Warn("a request has the header "+header+", but "+peer+" is not in TRUSTED_PROXIES: "+
		"all clients of that proxy count as one source. Set TRUSTED_PROXIES if it is a proxy of yours", "peer", peer)
}

// isRequestID reports whether we may repeat an id that a caller sent.
func isRequestID(id string) bool {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return id != "" && len(id) <= 64 && strings.Trim(id, allowed) == ""
}

// hostOf returns an address without its port.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// source returns the address that a request of peer came from: of the hops in X-Forwarded-For
// the right-most that is not one of our proxies. What stands left of it, anybody
// can have written.
func source(peer string, header http.Header, trusted []netip.Prefix) string {
	host := peer
	if len(trusted) == 0 {
		return host
	}
	hops := strings.Split(strings.Join(header["X-Forwarded-For"], ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !isTrusted(host, trusted) {
			break
		}
		addr, err := parseHop(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		host = addr.Unmap().WithZone("").String()
	}
	return host
}

// parseHop reads an address in X-Forwarded-For, to which some proxies add the port.
func parseHop(hop string) (netip.Addr, error) {
	if withPort, err := netip.ParseAddrPort(hop); err == nil {
		return withPort.Addr(), nil
	}
	return netip.ParseAddr(hop)
}

func isTrusted(host string, trusted []netip.Prefix) bool {
	addr, err := netip.ParseAddr(host)
	addr = addr.Unmap().WithZone("")
	return err == nil && slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// A response remembers what was answered.
type response struct {
	http.ResponseWriter
	status  int    // 0 until the header is written
	refused string // why, if that cost next to nothing
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

// logged logs one line for every request, after it has been answered. It names
// the route and not the path, in which somebody may have put a secret. h may
// not copy the request, or the route would be unknown here.
func logged(log *slog.Logger, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		resp := &response{ResponseWriter: w}
		defer logRequest(log, resp, r, start) // also behind a panic
		h.ServeHTTP(resp, r)
	})
}

// The message of a request's line, and the attribute of those that were refused cheaply.
const (
	requestLine = "request"
	refusedKey  = "refused"
)

// logRequest logs the line of a request that began at start.
func logRequest(log *slog.Logger, resp *response, r *http.Request, start time.Time) {
	if !log.Enabled(r.Context(), slog.LevelInfo) {
		return
	}
	end := time.Now()
	// Not log.Info: it would look for its caller, which is always this line.
	line := slog.NewRecord(end, slog.LevelInfo, requestLine, 0)
	line.AddAttrs(
		slog.String("method", cut(r.Method, 16)),
		slog.String("route", r.Pattern),
		slog.Int("status", resp.status),
		slog.Int64("duration_us", end.Sub(start).Microseconds()),
		slog.String("request_id", r.Header.Get(requestIDHeader)),
		slog.String("source", r.RemoteAddr))
	if resp.refused != "" {
		line.AddAttrs(slog.String(refusedKey, resp.refused))
	}
	log.Handler().Handle(r.Context(), line)
}

func cut(s string, n int) string { return s[:min(n, len(s))] }

// recovered answers 500 if h panics, and logs where. A panic behind the header
// cuts the connection, so that nobody takes half an answer for a whole one.
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

// ignoresBody is for operations that have no use for a body. Some proxies announce one that
// never comes: nginx's auth_request passes on the Content-Length of another request.
func ignoresBody(h handlerFunc) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		r.Body = http.NoBody
		return h(w, r)
	}
}

// maxBody is how large the body of a request may be, in bytes.
const maxBody = 64 << 10

// readsBody refuses a body that is larger than maxBody, at once if the request says so, and
// one that would grow when it is unpacked.
func readsBody(h handlerFunc) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := checkBody(r); err != nil {
			if r.Close && r.Header.Get("Expect") == "" {
				io.CopyN(io.Discard, r.Body, drainedBody)
			}
			return err
		}
		if r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		return h(w, r)
	}
}

// drainedBody is how much of a refused body is read, in bytes, if the client closes the
// connection after this request: net/http would close it at once, and a proxy that is still
// sending then, such as nginx, which speaks HTTP/1.0, would never see the answer.
const drainedBody = 256 << 10

// checkBody returns why the body of r is not read, or nil.
func checkBody(r *http.Request) error {
	if r.ContentLength > maxBody {
		return errTooLarge
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return errEncoded
	}
	if types := r.Header["Content-Type"]; len(types) > 1 || indexUnquoted(r.Header.Get("Content-Type"), ',') >= 0 {
		return errTwoTypes // the second may be joined to the first: RFC 9110 §5.3
	}
	return nil
}

// ownOrigin refuses requests that a page of another origin makes its visitor's browser send,
// unless the origin is in the list. Such a page cannot read the answer, but each wrong
// password that it sends would count as the visitor's own. Other clients than browsers send
// neither Sec-Fetch-Site nor Origin, and pass.
func ownOrigin(log *slog.Logger, origins []string, h handlerFunc) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if isForeign(r, origins) {
			logForeign(log, r)
			return errForeignOrigin
		}
		return h(w, r)
	}
}

// isForeign reports whether a browser marks r as coming from an origin that is neither ours
// nor in the list. No browser sends such a mark twice, or without a Host to compare it to.
func isForeign(r *http.Request, origins []string) bool {
	marks := r.Header["Origin"]
	if len(marks) > 1 || len(r.Header["Sec-Fetch-Site"]) > 1 {
		return true
	}
	if allowsOrigin(origins, r.Header.Get("Origin")) {
		return false
	}
	var protection http.CrossOriginProtection
	return protection.Check(r) != nil || len(marks) == 1 && r.Host == ""
}

// maxLoggedOrigin is how much of an Origin header the log shows, in bytes.
const maxLoggedOrigin = 200

// foreignOrigin is the message of log lines about origins that may not call.
const foreignOrigin = "refused: pages of this origin may not do this, see CORS_ORIGINS"

func logForeign(log *slog.Logger, r *http.Request) {
	log.LogAttrs(r.Context(), slog.LevelInfo, foreignOrigin,
		slog.String("origin", cut(r.Header.Get("Origin"), maxLoggedOrigin)),
		slog.String("method", cut(r.Method, 16)),
		slog.String("preflight_for", cut(r.Header.Get("Access-Control-Request-Method"), 16)),
		slog.String("request_id", r.Header.Get(requestIDHeader)))
}

// crossOrigin answers browsers that ask for pages of other origins
// (https://fetch.spec.whatwg.org/#http-cors-protocol). Credentials are never allowed, because
// tokens travel in a header that only the page's own script can set. So every request header
// can be allowed. The answer repeats their names: * would not cover Authorization.
func crossOrigin(log *slog.Logger, origins []string, h http.Handler) http.Handler {
	if len(origins) > 0 {
		h = cors.New(cors.Options{
			AllowOriginVaryRequestFunc: func(r *http.Request, origin string) (bool, []string) {
				return len(r.Header["Origin"]) == 1 && allowsOrigin(origins, origin), nil
			},
			AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete},
			AllowedHeaders: []string{"*"},
			ExposedHeaders: []string{"Retry-After", "X-Request-ID"},
			MaxAge:         600, // seconds
		}).Handler(h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		if isPreflight(r) && w.Header()["Access-Control-Allow-Origin"] == nil {
			logForeign(log, r) // the browser tells only the page's author
		}
	})
}

// isPreflight reports whether a browser asks what a page may do.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header["Origin"] != nil && r.Header["Access-Control-Request-Method"] != nil
}

// allowsOrigin reports whether origin is in a list of exact origins, of those
// with * for the port, or of * alone for all.
func allowsOrigin(origins []string, origin string) bool {
	return slices.ContainsFunc(origins, func(allowed string) bool {
		if allowed == "*" || allowed == origin {
			return true
		}
		host, anyPort := strings.CutSuffix(allowed, ":*")
		rest, sameHost := strings.CutPrefix(origin, host)
		port, hasPort := strings.CutPrefix(rest, ":")
		_, err := strconv.ParseUint(port, 10, 16)
		return anyPort && sameHost && (rest == "" || hasPort && err == nil)
	})
}
