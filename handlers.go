package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// An api answers the operations that server.go lists.
type api struct{ accounts *accounts }

// A caller is the identity behind a request, and the client that sent it.
type caller struct {
	client
	identity
}

// acting returns me as the actor of a change to another account.
func (me caller) acting() caller {
	me.Actor, me.ActorID, me.APIKeyID = me.User.Username, me.User.ID, me.APIKey.ID
	return me
}

// createUser registers a user. An administrator may do so at any time, and may also give the user
// scopes. In other requests such members are ignored; with an invalid token they are refused,
// because an administrator may have sent them.
func (a *api) createUser(ctx context.Context, w http.ResponseWriter, r *http.Request, from client) error {
	u, err := a.createByBody(ctx, r, from)
	a.accounts.metrics.registration(registrationResult(err))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newUserResponse(u))
}

func (a *api) createByBody(ctx context.Context, r *http.Request, from client) (User, error) {
	me, badToken, err := a.callerIfAny(ctx, r, from)
	if err != nil {
		return User{}, err
	}
	isAdmin := me.Scopes.has(scopeAdmin)
	if !isAdmin {
		if err := a.accounts.admitRegistration(ctx, from); err != nil {
			return User{}, err
		}
	}
	members, err := readObject(r)
	if err != nil {
		return User{}, err
	}
	if badToken != nil && hasAdminMembers(members) {
		return User{}, badToken
	}
	if isAdmin {
		return a.createAccount(ctx, members, me.acting().client)
	}
	return a.register(ctx, members, from)
}

func (a *api) register(ctx context.Context, members []member, from client) (User, error) {
	req, err := parseNewUser(members, a.accounts.minPasswordLength)
	if err != nil {
		return User{}, err
	}
	return a.accounts.register(ctx, req, from)
}

func (a *api) createAccount(ctx context.Context, members []member, by client) (User, error) {
	req, err := parseNewUserByAdmin(members, a.accounts.minPasswordLength)
	if err != nil {
		return User{}, err
	}
	return a.accounts.createAccount(ctx, req, by)
}

// loginForAccessToken is the token endpoint of the resource owner password
// credentials grant (RFC 6749 §4.3), of the client credentials grant (§4.4) and of
// refresh tokens (§6). Without a grant_type it is a login, as in FastAPI.
func (a *api) loginForAccessToken(ctx context.Context, w http.ResponseWriter, r *http.Request, from client) error {
	fields, err := readForm(r)
	if err != nil {
		return err
	}
	var tokens issuedTokens
	switch fields.values["grant_type"] {
	case "", "password":
		tokens, err = a.loginByForm(ctx, fields, from)
	case "refresh_token":
		tokens, err = a.refreshByForm(ctx, fields, from)
	case "client_credentials":
		tokens, err = a.clientCredentialsGrant(ctx, r, fields)
	default:
		err = errUnsupportedGrant
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newTokenResponse(tokens, fields))
}

func (a *api) loginByForm(ctx context.Context, fields form, from client) (issuedTokens, error) {
	login, err := parseLogin(fields)
	if err != nil {
		return issuedTokens{}, err
	}
	tokens, err := a.accounts.login(ctx, login, from)
	a.accounts.metrics.login(loginResult(err))
	return tokens, err
}

func (a *api) refreshByForm(ctx context.Context, fields form, from client) (issuedTokens, error) {
	token, err := tokenField(fields, "refresh_token")
	if err != nil {
		return issuedTokens{}, err
	}
	tokens, err := a.accounts.refresh(ctx, token, fields.values["scope"], from)
	a.accounts.metrics.refresh(refreshResult(tokens, err))
	return tokens, err
}

// clientCredentialsGrant answers the grant of RFC 6749 §4.4, and counts it. The client is an API key.
func (a *api) clientCredentialsGrant(ctx context.Context, r *http.Request, fields form) (issuedTokens, error) {
	tokens, err := a.issueToClient(ctx, r, fields)
	a.accounts.metrics.clientCredentials(clientResult(err))
	return tokens, err
}

func (a *api) issueToClient(ctx context.Context, r *http.Request, fields form) (issuedTokens, error) {
	who, err := a.authenticateClient(ctx, r, fields)
	if err != nil {
		return issuedTokens{}, err
	}
	return a.accounts.issueToAPIKey(who, strings.Fields(fields.values["scope"]))
}

// authenticateClient returns the identity of the API key that HTTP Basic or a form names. Its errors
// are those of clientCredentials and clientIdentity.
func (a *api) authenticateClient(ctx context.Context, r *http.Request, f form) (identity, error) {
	id, secret, err := clientCredentials(r, f)
	if err != nil {
		return identity{}, err
	}
	return a.accounts.clientIdentity(ctx, id, secret)
}

// revokeToken ends the session of a token (RFC 7009). The token shows its own kind;
// token_type_hint is ignored (§2.1).
func (a *api) revokeToken(ctx context.Context, w http.ResponseWriter, r *http.Request, from client) error {
	fields, err := readForm(r)
	if err != nil {
		return err
	}
	token, err := tokenField(fields, "token")
	if err != nil {
		return err
	}
	if err := a.accounts.revoke(ctx, token, from); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct{}{}) // clients parse it, though RFC 7009 §2.2 has them ignore it
}

// readLivez says that the process runs. It does not ask the database, which a restart of
// this process would not bring back.
func readLivez(_ context.Context, w http.ResponseWriter, _ *http.Request, _ client) error {
	return writeJSON(w, http.StatusOK, healthy)
}

// readReadyz says whether requests should be sent here.
func (a *api) readReadyz(ctx context.Context, w http.ResponseWriter, r *http.Request, _ client) error {
	if err := a.accounts.ready(ctx); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, healthy)
}

// healthy is what health checks answer.
var healthy = map[string]string{"status": "ok"}

// readUsers is the original's GET /: every user, with the password hash. It refuses pages of
// other origins, pages whose host name has been pointed here (DNS rebinding), and clients of
// a proxy.
func (a *api) readUsers(ctx context.Context, w http.ResponseWriter, r *http.Request, _ client) error {
	if !isLoopback((&url.URL{Host: r.Host}).Hostname()) || r.Header.Get("Origin") != "" || isForwarded(r) {
		return errNotLocal
	}
	users, err := a.accounts.allUsers(ctx)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newExposedUsers(users))
}

// A userHandlerFunc is a handlerFunc for requests of a signed-in user.
type userHandlerFunc func(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error

// signedIn is for operations of a signed-in user: it calls h with the user and the session that the
// request's bearer token names. Programs with an API key are refused.
func (a *api) signedIn(h userHandlerFunc) handlerFunc {
	return a.signedInOrKey(func(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
		if me.byAPIKey() {
			return errNotForAPIKeys
		}
		return h(ctx, w, r, me)
	})
}

// signedInOrKey is signedIn for operations that programs may use, too. It reads the body first, so
// that a session that ends while the client is slow to send its body has ended for this request, too.
func (a *api) signedInOrKey(h userHandlerFunc) handlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, from client) error {
		token, err := bearerToken(r.Header["Authorization"])
		if err != nil {
			return err
		}
		me, err := a.callerOf(ctx, r, token, from)
		if err != nil {
			return err
		}
		return h(ctx, w, r, me)
	}
}

// refuse notes that a caller may not do an operation, and returns the error that names the scope for it.
func (a *api) refuse(ctx context.Context, me caller, operation string, wanted scopes) error {
	a.accounts.events.note(ctx, authorizationFailed, me.User, me.client, operation)
	return missingScopes(wanted)
}

// callerOf returns the user and the session that a token names, after it has read the body.
func (a *api) callerOf(ctx context.Context, r *http.Request, token string, from client) (caller, error) {
	if r.Body != http.NoBody {
		body, err := readBody(r)
		if err != nil {
			return caller{}, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	who, err := a.accounts.currentUser(ctx, token)
	return caller{from, who}, err
}

// callerIfAny returns the user whose token a request has, or the zero caller if it has none or
// a bad one: for an operation that needs no user. badToken says what is wrong with a token.
func (a *api) callerIfAny(ctx context.Context, r *http.Request, from client) (me caller, badToken, err error) {
	token, err := bearerToken(r.Header["Authorization"])
	if errors.Is(err, errNoToken) {
		return caller{}, nil, nil
	}
	if err == nil {
		me, err = a.callerOf(ctx, r, token, from)
	}
	if errors.Is(err, errBadToken) {
		return caller{}, errBadToken, nil
	}
	return me, nil, err
}

// sendList answers with a list that takes long to make. It waits for its turn.
func sendList(w http.ResponseWriter, turns *queue, me caller, list func() (any, error)) error {
	body, err := encodeList(turns, me, list)
	if err != nil {
		return err
	}
	body.send(w, http.StatusOK)
	return nil
}

// encodeList waits for its turn and encodes a list. It does not send the list, because a client
// that is slow to take it must not keep others waiting.
func encodeList(turns *queue, me caller, list func() (any, error)) (*encoder, error) {
	if err := turns.enter(me.presence()); err != nil {
		return nil, err
	}
	defer turns.leave()
	rows, err := list()
	if err != nil {
		return nil, err
	}
	return encodeJSON(rows)
}
