package main

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// A problem is the body of every failure. Detail is FastAPI's. At the OAuth endpoints it also has
// the fields of RFC 6749 §5.2, which are ASCII without quotes and backslashes.
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

	// errNotPermitted means that a caller lacks a scope; see missingScopes.
	errNotPermitted = errors.New("not permitted")

	// errNoPublicKey means that only a shared secret signs tokens.
	errNoPublicKey = errors.New("no public key")

	// errNoIssuer means that ISSUER is no URL by which services could find the server.
	errNoIssuer = errors.New("no issuer")

	// errForeignOrigin means that a page of another origin made the browser send a request.
	errForeignOrigin = errors.New("page of another origin")
)

// missingScopes is an errNotPermitted that says which scopes a caller must have.
type missingScopes scopes

func (e missingScopes) Error() string { return "not permitted without the scopes " + string(e) }

func (e missingScopes) Unwrap() error { return errNotPermitted }

// statuses is the one place where a failure becomes an HTTP status, a text for
// the caller and an OAuth error code. An error that is not in it is a bug: it is logged, and
// the caller is told only "Internal Server Error".
var statuses = []struct {
	err    error
	code   int
	detail string // of FastAPI, where it has one
	oauth  string
}{
	{errBadBody, http.StatusBadRequest, "There was an error parsing the body", "invalid_request"},
	{errTwoTypes, http.StatusBadRequest, "More than one Content-Type", "invalid_request"},
	{errBadTarget, http.StatusBadRequest, "Bad Request", ""},
	{errUnsupportedGrant, http.StatusBadRequest, "Unsupported grant_type; want password, refresh_token or client_credentials", "unsupported_grant_type"},
	{errBadRefreshToken, http.StatusBadRequest, errBadRefreshToken.Error(), "invalid_grant"},
	{errRefreshExpired, http.StatusBadRequest, errRefreshExpired.Error(), "invalid_grant"},
	{errRefreshReused, http.StatusBadRequest, errRefreshReused.Error(), "invalid_grant"},
	{errSessionEnded, http.StatusBadRequest, errSessionEnded.Error(), "invalid_grant"},
	{errBadScope, http.StatusBadRequest, "Nothing of the scope is granted; want at most the scope of the API key", "invalid_scope"},
	{errNewScope, http.StatusBadRequest, errNewScope.Error(), "invalid_scope"},
	{errWrongPassword, http.StatusBadRequest, "Incorrect password", ""},
	{errOwnAccount, http.StatusBadRequest, "Ask another administrator, or use the command line", ""},
	{errTooMany, http.StatusBadRequest, "There are " + strconv.Itoa(maxAPIKeys) + " API keys already; delete one first", ""},
	{errExists, http.StatusBadRequest, "Username already registered", ""},
	{errBadCredentials, http.StatusUnauthorized, "Incorrect username or password", "invalid_grant"},
	{errBadClient, http.StatusUnauthorized, "Unknown client or wrong secret; want the ID of an API key as client_id and the key as client_secret", "invalid_client"},
	{errNoToken, http.StatusUnauthorized, "Not authenticated", ""},
	{errBadToken, http.StatusUnauthorized, "Could not validate credentials", "invalid_token"},
	{errRegistrationClosed, http.StatusForbidden, "Registration is closed", ""},
	{errNotPermitted, http.StatusForbidden, "Not enough permissions", "insufficient_scope"}, // FastAPI's
	{errNotForAPIKeys, http.StatusForbidden, "Not possible with an API key", ""},
	{errStaleAPIKeyLogin, http.StatusForbidden, "Sign in again to make an API key", ""},
	{errStaleLogin, http.StatusForbidden, "Sign in again to delete this account", ""},
	{errNotLocal, http.StatusForbidden, "Only this machine may see the users", ""},
	{errForeignOrigin, http.StatusForbidden, "Pages of this origin may not call; see CORS_ORIGINS", "invalid_request"},
	{errNotFound, http.StatusNotFound, "Not Found", ""},
	{errNoPublicKey, http.StatusNotFound, "Tokens are signed with a shared secret (ALGORITHM=HS256): there is no public key", ""},
	{errNoIssuer, http.StatusNotFound, "ISSUER is not set", ""},
	{errMethod, http.StatusMethodNotAllowed, "Method Not Allowed", "invalid_request"},
	{errTooLarge, http.StatusRequestEntityTooLarge, "Request Entity Too Large", "invalid_request"},
	{errEncoded, http.StatusUnsupportedMediaType, "Unsupported Media Type", "invalid_request"},
	{errUnavailable, http.StatusServiceUnavailable, "Service Unavailable", "temporarily_unavailable"},
	{errBusy, http.StatusServiceUnavailable, "Service Unavailable", "temporarily_unavailable"},
	{errStopping, http.StatusServiceUnavailable, "Shutting down", ""},
}

// retryAfter returns the Retry-After header for a failure, in seconds.
func retryAfter(err error) string {
	wait := time.Second
	if throttled, ok := errors.AsType[throttledError](err); ok {
		wait = throttled.wait
	}
	return strconv.FormatInt(wholeSeconds(wait), 10)
}

// describe returns the answer to a failure. known is false for a bug, of which the caller is
// not told more than that.
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

// oauthEndpoints are the paths whose failures carry the fields of RFC 6749 too.
var oauthEndpoints = map[string]bool{"/token": true, "/revoke": true, "/introspect": true}
