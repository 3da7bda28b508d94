package main

import (
	"context"
	"errors"
	"net/http"
)

// An introspection is what a service learns of a token (RFC 7662 §2.2).
type introspection struct {
	Active    bool     `json:"active"`
	Scope     scopes   `json:"scope,omitempty"`
	Roles     []string `json:"roles,omitempty"` // the same, as in access tokens
	ClientID  string   `json:"client_id,omitempty"`
	Username  string   `json:"username,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	Expires   int64    `json:"exp,omitempty"` // seconds since 1970
	IssuedAt  int64    `json:"iat,omitempty"` // seconds since 1970
	Subject   string   `json:"sub,omitempty"`
	UserID    string   `json:"uid,omitempty"`
	Audience  audience `json:"aud,omitempty"`
	Issuer    string   `json:"iss,omitempty"`
	ID        string   `json:"jti,omitempty"`
	SessionID string   `json:"sid,omitempty"`
}

// newIntrospection describes a good token with these claims.
func newIntrospection(who identity, c claims) introspection {
	return introspection{
		Active: true, Scope: who.Scopes, Roles: who.Scopes.names(), ClientID: who.APIKey.ID,
		Username: who.User.Username, TokenType: "Bearer", Expires: int64(c.Expires), IssuedAt: int64(c.IssuedAt),
		Subject: who.User.Username, UserID: who.User.UID, Audience: c.Audience, Issuer: c.Issuer,
		ID: c.ID, SessionID: who.Session.ID,
	}
}

// introspectToken tells a service what a token is good for at this moment (RFC 7662): whether it
// would be accepted here, whose it is, and what they may do. A refresh token is not active, or a
// service would take it for an access token.
func (a *api) introspectToken(ctx context.Context, w http.ResponseWriter, r *http.Request, from client) error {
	fields, err := readForm(r)
	if err != nil {
		return err
	}
	if err := a.admitIntrospection(ctx, r, fields, from); err != nil {
		return err
	}
	token := fields.values["token"]
	if token == "" {
		return formError("the field token is missing")
	}
	who, c, err := a.accounts.inspect(ctx, token)
	if errors.Is(err, errBadToken) {
		return writeJSON(w, http.StatusOK, introspection{})
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newIntrospection(who, c))
}

// admitIntrospection returns an error unless a request is from somebody who may introspect: a
// program whose API key has the scope introspect, or an administrator.
func (a *api) admitIntrospection(ctx context.Context, r *http.Request, f form, from client) error {
	who, err := a.introspector(ctx, r, f)
	if err != nil {
		return err
	}
	if who.Scopes.has(scopeAdmin) || who.byAPIKey() && who.Scopes.has(scopeIntrospect) {
		return nil
	}
	return a.refuse(ctx, caller{from, who}, r.Pattern, scopeIntrospect)
}

// introspector returns who asks about a token: by HTTP Basic, by fields of the form, or with a token
// or a key of their own as bearer (RFC 7662 §2.1). It returns errBadClient if that is missing, and
// errTwoWays if it is there twice.
func (a *api) introspector(ctx context.Context, r *http.Request, f form) (identity, error) {
	headers := r.Header["Authorization"]
	token, err := bearerToken(headers)
	switch {
	case usesBasic(headers), errors.Is(err, errNoToken):
		return a.authenticateClient(ctx, r, f)
	case f.values["client_secret"] != "":
		return identity{}, errTwoWays
	case err != nil:
		return identity{}, err
	}
	return a.accounts.currentUser(ctx, token)
}
