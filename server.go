package main

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Limits of a request, in bytes. net/http adds 4 KiB to that of the headers.
const (
	maxBody   = 64 << 10
	maxHeader = 8 << 10
)

// edgeSettings is what can be set about the API's edge.
type edgeSettings struct {
	CORSOrigins    []string
	TrustedProxies []netip.Prefix
	ExposeUsers    bool
}

// An operation is one line of the API: a pattern of http.ServeMux and what
// answers it.
type operation struct {
	pattern string
	handle  handlerFunc
}

// operations returns the whole API.
func operations(cfg edgeSettings, acc *accounts) []operation {
	home := operation{"GET /{$}", root}
	if cfg.ExposeUsers {
		home.handle = readUsers(acc)
	}
	return []operation{
		{"POST /users/{$}", createUser(acc)},
		{"POST /token", loginForAccessToken(acc)},
		{"POST /revoke", revokeToken(acc)},

		{"GET /users/me/{$}", authed(acc, readUsersMe)},
		{"PATCH /users/me/{$}", authed(acc, updateUsersMe(acc))},
		{"DELETE /users/me/{$}", authed(acc, deleteUsersMe(acc))},
		{"POST /users/me/password", authed(acc, updatePassword(acc))},
		{"GET /users/me/sessions/{$}", authed(acc, readSessions(acc))},
		{"DELETE /users/me/sessions/{$}", authed(acc, deleteSessions(acc))},
		{"DELETE /users/me/sessions/{id}", authed(acc, deleteOneSession(acc))},

		{"GET /livez", readLivez},
		{"GET /readyz", readReadyz(acc)},

		home,
		{"GET /openapi.json", readOpenAPI},
		{"GET /docs", readDocs},
		{"GET /docs/{file}", readDocsFile},
	}
}

// newHandler returns the API behind the middleware that every request passes,
// outermost last.
func newHandler(cfg edgeSettings, acc *accounts, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	var methods []string
	for _, op := range operations(cfg, acc) {
		mux.Handle(op.pattern, newRoute(op.pattern, serve(log, op.handle)))
		method, _, _ := strings.Cut(op.pattern, " ")
		methods = append(methods, method)
	}
	h := routed(log, mux, methods)
	h = bounded(log, maxBody, h)
	h = crossOrigin(cfg.CORSOrigins, h)
	h = recovered(log, h)
	h = hardened(h)
	h = logged(log, h)
	return identified(cfg.TrustedProxies, h)
}

// newServer returns a server with limits on the time and memory that a client can hold.
// A load balancer must close an idle connection before idle is over: otherwise it may send
// a request on one that is being closed here, and its client gets a 502.
func newServer(h http.Handler, idle time.Duration, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       idle,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),

		DisableGeneralOptionsHandler: true, // OPTIONS * is no route of ours
	}
}
