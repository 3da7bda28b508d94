package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A problem is the body of every failure: FastAPI's detail, and where OAuth
// clients look, the fields of RFC 6749 §5.2: ASCII without quotes and
// backslashes.
type problem struct {
	Detail      any    `json:"detail"` // a string or fieldErrors
	Error       string `json:"error,omitempty"`
	Description string `json:"error_description,omitempty"`
}

var (
	errBadBody   = errors.New("body cut off or unreadable")
	errEncoded   = errors.New("body has a Content-Encoding")
	errTwoTypes  = errors.New("body has two media types")
	errBadTarget = errors.New("request target is no path")
	errMethod    = errors.New("method not allowed")
	errNoToken   = errors.New("no bearer token")
	errNotLocal  = errors.New("not asked from this machine")

	// errForeignOrigin is a request that a page of another origin makes a browser send.
	errForeignOrigin = errors.New("page of another origin")
)

// statuses is the one place where a failure becomes an HTTP status, a text for
// the caller and an OAuth error code. The first that fits counts: a query that a
// client has left is context.Canceled and errUnavailable. An error that is not in
// it is a bug: it is logged, and the caller is told only "Internal Server Error".
var statuses = []struct {
	err    error
	code   int
	detail string // of FastAPI, where it has one
	oauth  string
}{
	{errBadBody, http.StatusBadRequest, "There was an error parsing the body", "invalid_request"},
	{errTwoTypes, http.StatusBadRequest, "More than one Content-Type", "invalid_request"},
	{errBadTarget, http.StatusBadRequest, "Bad Request", ""},
	{errUnsupportedGrant, http.StatusBadRequest, "Unsupported grant_type; want password or refresh_token", "unsupported_grant_type"},
	{errBadRefreshToken, http.StatusBadRequest, errBadRefreshToken.Error(), "invalid_grant"},
	{errRefreshExpired, http.StatusBadRequest, errRefreshExpired.Error(), "invalid_grant"},
	{errRefreshReused, http.StatusBadRequest, errRefreshReused.Error(), "invalid_grant"},
	{errSessionEnded, http.StatusBadRequest, errSessionEnded.Error(), "invalid_grant"},
	{errWrongPassword, http.StatusBadRequest, "Incorrect password", ""},
	{errExists, http.StatusBadRequest, "Username already registered", ""},
	{errBadCredentials, http.StatusUnauthorized, "Incorrect username or password", "invalid_grant"},
	{errNoToken, http.StatusUnauthorized, "Not authenticated", ""},
	{errBadToken, http.StatusUnauthorized, "Could not validate credentials", ""},
	{errRegistrationClosed, http.StatusForbidden, "Registration is closed", ""},
	{errStaleLogin, http.StatusForbidden, "Sign in again to delete this account", ""},
	{errNotLocal, http.StatusForbidden, "Only this machine may see the users", ""},
	{errForeignOrigin, http.StatusForbidden, "Pages of this origin may not call; see CORS_ORIGINS", "invalid_request"},
	{errNotFound, http.StatusNotFound, "Not Found", ""},
	{errMethod, http.StatusMethodNotAllowed, "Method Not Allowed", "invalid_request"},
	{errTooLarge, http.StatusRequestEntityTooLarge, "Request Entity Too Large", "invalid_request"},
	{errEncoded, http.StatusUnsupportedMediaType, "Unsupported Media Type", "invalid_request"},
	{context.Canceled, statusClientClosedRequest, "Client Closed Request", ""},
	{errUnavailable, http.StatusServiceUnavailable, "Service Unavailable", "temporarily_unavailable"},
	{errBusy, http.StatusServiceUnavailable, "Service Unavailable", "temporarily_unavailable"},
	{errStopping, http.StatusServiceUnavailable, "Shutting down", ""},
}

// statusClientClosedRequest is what the log says, as nginx does, of a client that
// has hung up; nobody reads the answer.
const statusClientClosedRequest = 499

// retryAfter returns in how many seconds to ask again after a failure.
func retryAfter(err error) string {
	wait := time.Second
	if throttled, ok := errors.AsType[throttledError](err); ok {
		wait = throttled.wait
	}
	return strconv.FormatInt(wholeSeconds(wait), 10)
}

// describe returns the answer to a failure, and whether it is one that people
// outside may know of.
func describe(err error) (code int, p problem, known bool) {
	if bad, ok := errors.AsType[fieldErrors](err); ok {
		return http.StatusUnprocessableEntity, problem{bad, "invalid_request", bad.Error()}, true
	}
	if bad, ok := errors.AsType[formError](err); ok {
		text := "Malformed form: " + string(bad)
		return http.StatusBadRequest, problem{text, "invalid_request", text}, true
	}
	if _, ok := errors.AsType[throttledError](err); ok {
		text := http.StatusText(http.StatusTooManyRequests)
		return http.StatusTooManyRequests, problem{text, "temporarily_unavailable", text}, true
	}
	for _, st := range statuses {
		if errors.Is(err, st.err) {
			return st.code, problem{st.detail, st.oauth, st.detail}, true
		}
	}
	text := http.StatusText(http.StatusInternalServerError)
	return http.StatusInternalServerError, problem{text, "server_error", text}, false
}

// A handlerFunc is an http.HandlerFunc that returns its failure instead of
// writing it.
type handlerFunc func(w http.ResponseWriter, r *http.Request) error

// serve turns h into an http.Handler that answers h's failure as JSON.
func serve(log *slog.Logger, h handlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			writeError(w, r, log, err)
		}
	})
}

// writeError answers a failure.
func writeError(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	code, p, known := describe(err)
	// An outage is logged; a client that hung up while the store worked is none.
	if !known || code == http.StatusServiceUnavailable && errors.Is(err, errUnavailable) {
		logFailure(log, r, err)
	}
	if to, ok := w.(refuser); ok {
		to.refuse(cheapRefusal(err))
	}
	if !oauthEndpoints[r.URL.Path] {
		p = problem{Detail: p.Detail}
	}
	switch code {
	case http.StatusUnauthorized:
		w.Header()["WWW-Authenticate"] = []string{"Bearer"} // RFC 6750 §3
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter(err))
	}
	if err := writeJSON(w, code, p); err != nil {
		log.ErrorContext(r.Context(), "cannot encode a failure", "err", err)
	}
}

// A refuser is a ResponseWriter that takes note of a refusal that cost next to nothing.
type refuser interface{ refuse(why string) }

// cheapRefusal returns why a request is refused without any work, or "".
func cheapRefusal(err error) string {
	if _, ok := errors.AsType[throttledError](err); ok {
		return "throttled"
	}
	if errors.Is(err, errBusy) {
		return "busy"
	}
	return ""
}

// logFailure logs why a request has failed.
func logFailure(log *slog.Logger, r *http.Request, err error) {
	log.ErrorContext(r.Context(), "request failed",
		"route", r.Pattern, "err", err, "request_id", r.Header.Get(requestIDHeader))
}

// oauthEndpoints are the paths whose failures carry the fields of RFC 6749 too.
var oauthEndpoints = map[string]bool{"/token": true, "/revoke": true}

// readBody returns the body of r, or errTooLarge or errBadBody.
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, errors.Join(errBadBody, err)
	}
	return body, nil
}

// readForm reads a request body that must be a form. The query string is never
// read, for it ends up in logs.
func readForm(r *http.Request) (form, error) {
	body, err := readBody(r)
	if err != nil {
		return form{}, err
	}
	return parseForm(r.Header.Get("Content-Type"), body)
}

// readObject reads a request body that must be a JSON object. What is wrong
// with it is fieldErrors in FastAPI's words.
func readObject(r *http.Request) ([]member, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	var bad fieldErrors
	if len(body) == 0 {
		bad.missing("")
		return nil, bad
	}
	members, err := parseObject(body)
	switch {
	case !isJSON(mediaType(r.Header.Get("Content-Type"))) || errors.Is(err, errNotObject):
		bad.add("", &fieldError{
			Type: "model_attributes_type",
			Msg:  "Input should be a valid dictionary or object to extract fields from",
		})
	case err != nil:
		bad.add("", &fieldError{
			Type: "json_invalid",
			Msg:  "JSON decode error",
			Ctx:  map[string]any{"error": "Expecting one JSON object in UTF-8, each name once"},
		})
	}
	return members, bad.err()
}

// isJSON reports whether a media type says JSON (RFC 6839 §3.1).
func isJSON(mediaType string) bool {
	subtype, ok := strings.CutPrefix(mediaType, "application/")
	return ok && (subtype == "json" || strings.HasSuffix(subtype, "+json"))
}

// writeJSON encodes v before it sends the status, so that a value that cannot
// be encoded is never reported as a success.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	enc, err := encodeJSON(v)
	if err == nil {
		enc.send(w, status)
	}
	return err
}

// encodeJSON returns an encoder that holds v, to be sent.
func encodeJSON(v any) (*encoder, error) {
	enc := encoders.Get().(*encoder)
	enc.buf.Reset()
	if err := enc.json.Encode(v); err != nil {
		encoders.Put(enc)
		return nil, err
	}
	return enc, nil
}

// send answers with what e holds. e is not used after that.
func (e *encoder) send(w http.ResponseWriter, status int) {
	defer encoders.Put(e)
	w.Header()["Content-Type"] = jsonContentType
	w.WriteHeader(status)
	w.Write(bytes.TrimSuffix(e.buf.Bytes(), []byte("\n")))
}

// noContent answers 204 if err is nil, and returns it otherwise.
func noContent(w http.ResponseWriter, err error) error {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// An encoder is a json.Encoder with the buffer that it writes to.
type encoder struct {
	buf  bytes.Buffer
	json *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	enc := new(encoder)
	enc.json = json.NewEncoder(&enc.buf)
	enc.json.SetEscapeHTML(false)
	return enc
}}

var jsonContentType = []string{"application/json"}

// requestIDHeader names a request in the log; see identified.
const requestIDHeader = "X-Request-Id"

// redirect sends the client to another path of ours. 307 makes it repeat the method and
// the body.
func redirect(w http.ResponseWriter, r *http.Request, escapedPath, query string) {
	location := relativePath(r.URL.EscapedPath(), escapedPath)
	if query != "" {
		location += "?" + query
	}
	w.Header().Set("Location", location)
	w.Header()["Content-Type"] = nil // there is nothing to guess the type of
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// relativePath returns a reference that leads from one path to another. It works behind a
// proxy that cuts a prefix off the path, which an absolute path does not. It begins with a
// dot, so that nothing in a path can pass for a scheme or a host (RFC 3986 §4.2).
func relativePath(from, to string) string {
	segments := strings.Split(strings.TrimPrefix(from, "/"), "/")
	depth := 0
	for _, segment := range segments[:len(segments)-1] {
		switch segment {
		case ".":
		case "..":
			depth = max(depth-1, 0)
		default:
			depth++ // also for an empty one: RFC 3986 §5.2.4 keeps it
		}
	}
	if depth == 0 {
		return "." + to
	}
	return strings.Repeat("../", depth) + strings.TrimPrefix(to, "/")
}

// isForwarded reports whether r seems to come from a proxy. nginx adds no header unless it is
// told to, but it speaks HTTP/1.0.
func isForwarded(r *http.Request) bool {
	if !r.ProtoAtLeast(1, 1) {
		return true
	}
	for name := range r.Header {
		if slices.ContainsFunc(forwardingHeaders, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			return true
		}
	}
	return false
}

// forwardingHeaders are the beginnings of header names that proxies, load balancers and
// content delivery networks use, and clients do not.
var forwardingHeaders = []string{
	"Forwarded", "Via", "X-Forwarded", "X-Original", "X-Rewrite-Url", "X-Real-Ip", "X-Remote-",
	"X-Client-Ip", "X-Cluster-Client-Ip", "X-Proxyuser-Ip", "X-Envoy-", "X-Amz", "X-Azure-", "X-Appengine-", "X-Cloud-Trace-Context",
	"Client-Ip", "True-Client-Ip", "Proxy-Client-Ip", "Wl-Proxy-Client-Ip",
	"Cf-", "Cdn-Loop", "Fastly-", "Fly-", "Akamai-", "X-Vercel-", "X-Nginx-", "X-Varnish", "X-Arr-",
}

// isLoopback reports whether nobody but this machine reaches host.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
