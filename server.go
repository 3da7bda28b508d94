package main

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// maxHeader is how large the headers of a request may be, in bytes. net/http adds 4 KiB.
const maxHeader = 8 << 10

// edgeSettings is what can be set about the API's edge.
type edgeSettings struct {
	CORSOrigins    []string
	TrustedProxies []netip.Prefix
	ExposeUsers    bool
}

// An operation is one line of the API: a pattern of http.ServeMux, whether the body is read,
// and the handler. signedIn requires a user who has logged in, and signedInOrKey a user or a program
// with an API key; administrator and aboutUser require the scope admin. Other handlers require no
// token.
type operation struct {
	pattern string
	body    func(handlerFunc) handlerFunc // readsBody or ignoresBody
	handle  handlerFunc
}

// operations returns the whole API but for /verify, which is not routed.
func operations(cfg edgeSettings, a *api) []operation {
	home := operation{"GET /{$}", ignoresBody, accountPage(a.accounts.registrationOpen, a.accounts.minPasswordLength)}
	if cfg.ExposeUsers {
		home.handle = a.readUsers
	}
	return []operation{
		{"POST /users/{$}", readsBody, a.createUser}, // administrators may do more
		{"POST /token", readsBody, a.loginForAccessToken},
		{"POST /revoke", readsBody, a.revokeToken},
		{"POST /introspect", readsBody, a.introspectToken},

		// any method at /verify, /verify/{scopes} and below: verifying, in verify.go

		{"GET /users/me/{$}", ignoresBody, a.signedInOrKey(a.readUsersMe)},
		{"PATCH /users/me/{$}", readsBody, a.signedIn(a.updateUsersMe)},
		{"DELETE /users/me/{$}", ignoresBody, a.signedIn(a.deleteUsersMe)},
		{"POST /users/me/password", readsBody, a.signedIn(a.updatePassword)},
		{"GET /users/me/sessions/{$}", ignoresBody, a.signedIn(a.readSessions)},
		{"DELETE /users/me/sessions/{$}", ignoresBody, a.signedIn(a.deleteSessions)},
		{"DELETE /users/me/sessions/{id}", ignoresBody, a.signedIn(a.deleteOneSession)},

		{"POST /users/me/keys/{$}", readsBody, a.signedIn(a.createAPIKey)},
		{"GET /users/me/keys/{$}", ignoresBody, a.signedIn(a.readAPIKeys)},
		{"DELETE /users/me/keys/{$}", ignoresBody, a.signedIn(a.deleteAPIKeys)},
		{"DELETE /users/me/keys/{id}", ignoresBody, a.signedIn(a.deleteOneAPIKey)},

		{"GET /users/me/events/{$}", ignoresBody, a.signedIn(a.readOwnEvents)},

		{"GET /users/{$}", ignoresBody, a.administrator(a.findUsers)},
		{"GET /users/{username}/{$}", ignoresBody, a.aboutUser(a.readUser)},
		{"PATCH /users/{username}/{$}", readsBody, a.aboutUser(a.updateUser)},
		{"DELETE /users/{username}/{$}", ignoresBody, a.aboutUser(a.deleteUser)},
		{"GET /users/{username}/sessions/{$}", ignoresBody, a.aboutUser(a.readUserSessions)},
		{"DELETE /users/{username}/sessions/{$}", ignoresBody, a.aboutUser(a.deleteUserSessions)},
		{"DELETE /users/{username}/sessions/{id}", ignoresBody, a.aboutUser(a.deleteUserSession)},
		{"GET /events/{$}", ignoresBody, a.administrator(a.readEvents)},

		{"GET /.well-known/jwks.json", ignoresBody, a.readJWKS},
		{"GET /.well-known/oauth-authorization-server", ignoresBody, a.readMetadata},
		{"GET /.well-known/oauth-authorization-server/{path...}", ignoresBody, a.readMetadata},
		{"GET /.well-known/openid-configuration", ignoresBody, a.readMetadata},

		{"GET /livez", ignoresBody, readLivez},
		{"GET /readyz", ignoresBody, a.readReadyz},

		home,
		{"GET /account.css", ignoresBody, webAsset("account.css", css).serve},
		{"GET /account.js", ignoresBody, webAsset("account.js", javaScript).serve},
		{"GET /account-messages.js", ignoresBody, webAsset("account-messages.js", javaScript).serve},
		{"GET /openapi.json", ignoresBody, readOpenAPI},
		{"GET /docs", ignoresBody, readDocs},
		{"GET /docs/{file}", ignoresBody, readDocsFile},
		{"GET /latchkey.js", ignoresBody, clientFile(webAsset("latchkey.js", javaScript))},
		{"GET /latchkey.d.ts", ignoresBody, clientFile(webAsset("latchkey.d.ts", typeScript))},
	}
}

// newHandler returns the API, wrapped in the middleware that every request passes. The
// outermost comes last.
func newHandler(cfg edgeSettings, acc *accounts, log *slog.Logger) http.Handler {
	a, mux := &api{acc}, http.NewServeMux()
	var methods, patterns []string
	for _, op := range operations(cfg, a) {
		handle := op.body(op.handle)
		method, _, _ := strings.Cut(op.pattern, " ")
		if method != http.MethodGet {
			handle = ownOrigin(log, cfg.CORSOrigins, handle)
		}
		mux.Handle(op.pattern, newRoute(op.pattern, serve(log, handle)))
		methods, patterns = append(methods, method), append(patterns, op.pattern)
	}
	patterns = append(patterns, verifyRoute, verifyScopesRoute)
	h := routed(log, mux, methods)
	h = crossOrigin(log, cfg.CORSOrigins, h)
	h = a.verifying(log, h)
	h = recovered(log, h)
	h = unhurried(h)
	h = hardened(h)
	h = logged(log, newRequestMetrics(acc.metrics, patterns), h)
	return identified(log, cfg.TrustedProxies, h)
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
