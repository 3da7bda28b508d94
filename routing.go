package main

import (
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// A route is one of our handlers. The mux has handlers of its own for what it cannot route.
type route struct {
	http.Handler
	wildcards bool // in the pattern
}

func newRoute(pattern string, h http.Handler) route {
	return route{h, strings.Contains(strings.TrimSuffix(pattern, "{$}"), "{")}
}

// routed sends requests to mux. If no route matches, it answers as the original does: with a
// redirect if only the slash at the end is wrong, and otherwise with 404 or 405 in JSON, where
// mux would write plain text. methods are the methods of all routes.
func routed(log *slog.Logger, mux *http.ServeMux, methods []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "" && r.Method != http.MethodConnect {
			r.URL.Path = "/" // RFC 9110 §4.2.3
		}
		if hasSlashSegment(r.URL.EscapedPath()) {
			writeError(w, r, log, errNotFound)
			return
		}
		h, pattern := mux.Handler(r)
		switch found, ours := h.(route); {
		case ours && found.wildcards:
			mux.ServeHTTP(w, r) // only mux can set the path values
			return
		case ours:
			r.Pattern = pattern
			found.ServeHTTP(w, r)
			return
		}
		answerUnrouted(w, r, log, h, mux, methods)
	})
}

// answerUnrouted answers a request that no route matches. h is what mux would answer.
func answerUnrouted(w http.ResponseWriter, r *http.Request, log *slog.Logger, h http.Handler, mux *http.ServeMux, methods []string) {
	if r.RequestURI == "*" && r.Method != http.MethodOptions { // RFC 9112 §3.2.4
		writeError(w, r, log, errBadTarget)
		return
	}
	here := r.URL.EscapedPath()
	if !strings.HasPrefix(here, "/") { // of OPTIONS * and CONNECT
		writeError(w, r, log, errNotFound)
		return
	}
	answer := discarder{header: make(http.Header)}
	h.ServeHTTP(&answer, r)
	switch other := otherSlash(here); {
	case !exists(mux, methods, here) && exists(mux, methods, other):
		redirect(w, r, other, r.URL.RawQuery)
	case answer.status == http.StatusTemporaryRedirect:
		redirect(w, r, cleanPath(here), r.URL.RawQuery)
	case answer.status == http.StatusMethodNotAllowed:
		w.Header()["Allow"] = answer.header["Allow"]
		writeError(w, r, log, errMethod)
	default:
		writeError(w, r, log, errNotFound)
	}
}

// hasSlashSegment reports whether a segment of an escaped path is nothing but an escaped
// slash. ServeMux takes it for the end of a pattern with {$}: DELETE of a session whose ID
// is %2f would end them all.
func hasSlashSegment(escaped string) bool {
	return strings.Contains(strings.ToLower(escaped)+"/", "/%2f/")
}

// otherSlash returns path with the slash at its end taken away or added.
func otherSlash(path string) string {
	if shorter, ok := strings.CutSuffix(path, "/"); ok {
		return shorter
	}
	return path + "/"
}

// cleanPath returns an escaped path without // and /../ in it.
func cleanPath(escaped string) string {
	clean := path.Clean(escaped)
	if strings.HasSuffix(escaped, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// exists reports whether mux has a route for an escaped path, with one of the
// methods.
func exists(mux *http.ServeMux, methods []string, escaped string) bool {
	target, err := url.ParseRequestURI(escaped)
	if err != nil {
		return false
	}
	for _, method := range methods {
		h, _ := mux.Handler(&http.Request{Method: method, URL: target})
		if _, ours := h.(route); ours {
			return true
		}
	}
	return false
}

// A discarder is a ResponseWriter that keeps all but the body.
type discarder struct {
	header http.Header
	status int
}

func (d *discarder) Header() http.Header { return d.header }

func (d *discarder) WriteHeader(code int) { d.status = code }

func (d *discarder) Write(p []byte) (int, error) { return len(p), nil }
