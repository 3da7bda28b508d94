package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// errStaleAPIKeyLogin means that the login was too long ago to make an API key.
	errStaleAPIKeyLogin = errors.New("logged in too long ago to make an API key")

	// errNotForAPIKeys means that an operation is for people, not for programs with an API key.
	errNotForAPIKeys = errors.New("not possible with an API key")

	// errBadScope means that nothing of the scope that a client asks for is granted.
	errBadScope = errors.New("nothing of the scope is granted")
)

// maxAPIKeys is how many API keys a user may have.
const maxAPIKeys = 50

// An apiKeyRequest describes an API key that somebody wants to make.
type apiKeyRequest struct {
	Name   string
	Scopes scopes        // which its owner must have been granted
	Life   time.Duration // 0: it never expires
}

// createOwnAPIKey makes an API key of a signed-in user. It returns errStaleAPIKeyLogin if the login was too
// long ago: a stolen access token must not become a key that outlives it. Its other errors are those
// of createAPIKey, but errBadToken if the user is gone.
func (a *accounts) createOwnAPIKey(ctx context.Context, who identity, req apiKeyRequest, from client) (k APIKey, text string, err error) {
	if !isRecent(who.Session.CreatedAt, a.now(), freshLogin) {
		return APIKey{}, "", errStaleAPIKeyLogin
	}
	k, text, err = a.createAPIKey(ctx, who.User, req, from)
	return k, text, replaceNotFound(err, errBadToken)
}

// createAPIKey makes an API key of u. Nobody can learn its text later, because only the hash is stored. It
// returns errTooMany, or errNotFound if u is gone or disabled.
func (a *accounts) createAPIKey(ctx context.Context, u User, req apiKeyRequest, by client) (k APIKey, text string, err error) {
	id, text := newAPIKey()
	k = APIKey{
		ID: id, UserID: u.ID, Name: req.Name, Hash: hashAPIKey(text), Scopes: req.Scopes,
		CreatedAt: storedTime(a.now()),
	}
	if req.Life > 0 {
		k.ExpiresAt = k.CreatedAt.Add(req.Life)
	}
	err = a.store.CreateAPIKey(ctx, k, maxAPIKeys)
	if errors.Is(err, errExists) { // not by chance: a write was carried out twice
		err = fmt.Errorf("%w: the ID of a new API key is taken", errUnavailable)
	}
	if err == nil {
		err = a.events.tell(ctx, apiKeyCreated, u, by, describeAPIKey(k))
	}
	if err != nil {
		return APIKey{}, "", err
	}
	return k, text, nil
}

// describeAPIKey says which key an event is about.
func describeAPIKey(k APIKey) string { return k.ID + " " + k.Name }

// apiKeysOf returns the API keys of u, oldest first.
func (a *accounts) apiKeysOf(ctx context.Context, u User) ([]APIKey, error) {
	return a.store.APIKeys(ctx, u.ID, a.now())
}

// deleteAPIKey deletes an API key of u, or returns errNotFound.
func (a *accounts) deleteAPIKey(ctx context.Context, u User, id string, by client) error {
	if !isAPIKeyID(id) {
		return errNotFound
	}
	_, k, err := a.store.UserByAPIKey(ctx, id)
	if err == nil && k.UserID != u.ID {
		err = errNotFound
	}
	if err != nil {
		return err
	}
	if err := a.store.DeleteAPIKey(ctx, u.ID, id); err != nil {
		return err
	}
	return a.events.tell(ctx, apiKeyDeleted, u, by, describeAPIKey(k))
}

// deleteAPIKeys deletes all API keys of u, and returns how many.
func (a *accounts) deleteAPIKeys(ctx context.Context, u User, by client) (int, error) {
	n, err := a.store.DeleteAPIKeys(ctx, u.ID)
	if err != nil {
		return 0, err
	}
	return n, a.events.tell(ctx, apiKeyDeleted, u, by, "all API keys")
}

// issueToAPIKey returns an access token for a program with an API key (RFC 6749 §4.4). It ends with the
// key. It has the scopes that are asked for, or if there are none all of the key's; errBadScope means
// that none of them is granted. There is no refresh token: the key is good for more.
func (a *accounts) issueToAPIKey(who identity, asked []string) (issuedTokens, error) {
	granted := who.Scopes
	if len(asked) > 0 {
		granted = granted.only(asked)
		if granted == "" {
			return issuedTokens{}, errBadScope
		}
	}
	now := a.now()
	life := a.tokens.lifeUntil(who.APIKey.ExpiresAt, now)
	access, err := a.tokens.createAccessToken(grant{User: who.User, Scopes: granted, ClientID: who.APIKey.ID}, now, now.Add(life))
	return issuedTokens{AccessToken: access, Life: life, Scopes: granted}, err
}
