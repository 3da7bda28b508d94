package main

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/cors"
)

// ownOrigin refuses requests that a page of another origin makes its visitor's browser send,
// unless the origin is in the list. Such a page cannot read the answer, but each wrong
// password that it sends would count as the visitor's own. Other clients than browsers send
// neither Sec-Fetch-Site nor Origin, and pass.
func ownOrigin(log *slog.Logger, origins []string, h handlerFunc) handlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, from client) error {
		if isForeign(r, origins) {
			logForeign(log, r)
			return errForeignOrigin
		}
		return h(ctx, w, r, from)
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
