package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// A handlerFunc answers a request of a client, or returns why it cannot. Its work is done
// under ctx, which unlike r.Context() goes on when the client hangs up.
type handlerFunc func(ctx context.Context, w http.ResponseWriter, r *http.Request, from client) error

// serve turns h into an http.Handler that answers h's failure as JSON.
//
// The request goes on when the client hangs up, because a client may close its half of the
// connection once it has sent everything. Only a request that waits in a queue gives up its
// place; see client.presence.
func serve(log *slog.Logger, h handlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(context.WithoutCancel(r.Context()), w, r, sender(r)); err != nil {
			writeError(w, r, log, err)
		}
	})
}

// A refuser is a ResponseWriter that records why a request was refused, if the refusal was
// cheap.
type refuser interface{ refuse(why string) }

// writeError answers a failure.
func writeError(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	code, p, known := describe(err)
	// Of the 503s, only outages are logged: a full queue and a stop are as intended.
	if !known || code == http.StatusServiceUnavailable && errors.Is(err, errUnavailable) {
		logFailure(log, r, err)
	}
	if to, ok := w.(refuser); ok {
		to.refuse(cheapRefusal(err))
	}
	if !oauthEndpoints[r.URL.Path] {
		p = problem{Detail: p.Detail}
	}
	if wanted := challenge(r, code, err); wanted != "" {
		w.Header()["WWW-Authenticate"] = []string{wanted}
	}
	if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter(err))
	}
	if err := writeJSON(w, code, p); err != nil {
		log.ErrorContext(r.Context(), "cannot encode a failure", "err", err)
	}
}

// logFailure logs why a request has failed.
func logFailure(log *slog.Logger, r *http.Request, err error) {
	log.ErrorContext(r.Context(), "request failed",
		"route", r.Pattern, "err", err, "request_id", r.Header.Get(requestIDHeader))
}

// challenge returns the WWW-Authenticate header of a failure, or "" if it has none (RFC 9110 §11.6.1).
func challenge(r *http.Request, code int, err error) string {
	missing, isMissing := errors.AsType[missingScopes](err)
	switch {
	case isMissing:
		return `Bearer error="insufficient_scope", scope="` + string(missing) + `"` // RFC 6750 §3.1
	case code != http.StatusUnauthorized:
		return ""
	case errors.Is(err, errBadClient) && usesBasic(r.Header["Authorization"]):
		return `Basic realm="latchkey"` // RFC 6749 §5.2
	}
	return "Bearer" // RFC 6750 §3
}

// splitAuthorization returns the scheme of an Authorization header, whose letters may be small or
// capital, and the credentials after it (RFC 9110 §11.4).
func splitAuthorization(header string) (scheme, value string) {
	scheme, value, _ = strings.Cut(strings.Trim(header, " \t"), " ")
	return scheme, strings.Trim(value, " \t")
}

// usesBasic reports whether a request has, or tries to have, credentials of HTTP Basic.
func usesBasic(headers []string) bool {
	return slices.ContainsFunc(headers, func(header string) bool {
		scheme, _ := splitAuthorization(header)
		return strings.EqualFold(scheme, "Basic")
	})
}

// bearerToken returns the token of a request's Authorization headers
// (RFC 6750 §2.1), or errNoToken if they are not for us. Two of them are
// errBadToken: a proxy may have judged by the other one.
func bearerToken(headers []string) (string, error) {
	if len(headers) == 0 {
		return "", errNoToken
	}
	if len(headers) > 1 {
		return "", errBadToken
	}
	scheme, token := splitAuthorization(headers[0])
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errNoToken
	}
	return token, nil
}

// maxUserAgent is how much of a User-Agent header a session keeps, in bytes.
const maxUserAgent = 256

// sender returns who sent r. The middleware has put the source's address into
// RemoteAddr, and the request's id into its header.
func sender(r *http.Request) client {
	agent := r.UserAgent()
	if len(agent) > maxUserAgent {
		agent = strings.Clone(agent[:maxUserAgent])
	}
	return client{
		IP:        r.RemoteAddr,
		UserAgent: strings.ToValidUTF8(agent, "?"), // no longer than before
		RequestID: r.Header.Get(requestIDHeader),
		request:   r.Context(),
	}
}

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

// readForm reads a request body that must be a form. It never reads the query string, which
// ends up in logs.
func readForm(r *http.Request) (form, error) {
	body, err := readBody(r)
	if err != nil {
		return form{}, err
	}
	return parseForm(r.Header.Get("Content-Type"), body)
}

// readObject reads a request body that must be a JSON object. Its errors are fieldErrors in
// FastAPI's words.
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

// writeJSON answers with v. It encodes v before it sends the status, so that a value that
// cannot be encoded is never reported as a success.
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
	defer e.reuse()
	w.Header()["Content-Type"] = jsonContentType
	w.WriteHeader(status)
	w.Write(bytes.TrimSuffix(e.buf.Bytes(), []byte("\n")))
}

// maxReused is how large a buffer may be that waits for the next answer, in bytes.
const maxReused = 1 << 20

func (e *encoder) reuse() {
	if e.buf.Cap() <= maxReused {
		encoders.Put(e)
	}
}

// noContent answers 204 if err is nil. Otherwise it returns err.
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

// relativePath returns a reference that leads from one path to another. Unlike an absolute
// path it works behind a proxy that cuts off a prefix. It begins with a dot, so that nothing
// in a path can pass for a scheme or a host (RFC 3986 §4.2).
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
