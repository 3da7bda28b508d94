package main

import (
	"context"
	"errors"
	"strings"
	"time"
)

// errBadClient means that a client did not prove who it is (invalid_client, RFC 6749 §5.2).
var errBadClient = errors.New("client authentication failed")

// An identity is the user whom a token stands for, and what the token allows at this moment.
type identity struct {
	User    User
	Session Session // the zero Session if the token is an API key's, or was made elsewhere
	APIKey  APIKey  // the zero APIKey unless the token is one, or was got with one
	Scopes  scopes
}

// byAPIKey reports whether the caller is a program with an API key.
func (who identity) byAPIKey() bool { return who.APIKey.ID != "" }

// currentUser returns whom an access token or an API key stands for, or errBadToken. A failure of
// the store is returned as it is.
//
// A token of ours is valid as long as its session or its API key is. A token without either was
// made elsewhere with our key: it names the user, and must not have been made before
// TokensValidAfter. The session that changed the password goes on, and so do its tokens,
// which are older.
func (a *accounts) currentUser(ctx context.Context, token string) (identity, error) {
	who, _, err := a.inspect(ctx, token)
	return who, err
}

// inspect is currentUser, and returns what the token says, too. Of an API key that is when it was
// made and when it expires.
func (a *accounts) inspect(ctx context.Context, token string) (identity, claims, error) {
	if strings.HasPrefix(token, apiKeyPrefix) {
		who, err := a.apiKeyIdentity(ctx, token)
		return who, apiKeyClaims(who.APIKey), err
	}
	now := a.now()
	c, err := a.readToken(ctx, func() (claims, error) { return a.tokens.verify(token, now) })
	if err != nil {
		return identity{}, claims{}, err
	}
	who, err := a.identify(ctx, c)
	if err != nil {
		return identity{}, claims{}, replaceNotFound(err, errBadToken)
	}
	if who.User.Disabled || !isStillValid(c, who, now) {
		return identity{}, claims{}, errBadToken
	}
	return who, c, nil
}

func apiKeyClaims(k APIKey) claims {
	c := claims{IssuedAt: unixSeconds(k.CreatedAt)}
	if !k.ExpiresAt.IsZero() {
		c.Expires = unixSeconds(k.ExpiresAt)
	}
	return c
}

// readToken calls read, and once more if the token names a key that another replica may have just
// made. If that cannot be known, it returns the failure of the store: the token may be good.
func (a *accounts) readToken(ctx context.Context, read func() (claims, error)) (claims, error) {
	c, err := read()
	if !errors.Is(err, errUnknownKey) {
		return c, err
	}
	if err := a.rotator.lookAgain(ctx); err != nil {
		return claims{}, err
	}
	return read()
}

// identify finds in the store whom claims name, or returns errNotFound. Tokens that were made
// elsewhere may have a client_id, too, but not one that an API key could have.
func (a *accounts) identify(ctx context.Context, c claims) (identity, error) {
	switch {
	case c.SessionID == "" && isAPIKeyID(c.ClientID):
		who, err := a.apiKeyOwner(ctx, c.ClientID)
		who.Scopes = who.Scopes.only(strings.Fields(c.Scope)) // the token may have been narrowed
		return who, err
	case c.SessionID == "":
		u, err := a.userByName(ctx, c.Subject)
		return identity{User: u, Scopes: u.Scopes}, err
	}
	u, s, err := a.store.UserBySession(ctx, c.SessionID)
	return identity{User: u, Session: s, Scopes: scopesOf(u, s)}, err
}

// scopesOf returns what u may do in a session: what its login asked for, of what u is granted now.
func scopesOf(u User, s Session) scopes {
	if s.Asked == nil {
		return u.Scopes
	}
	return u.Scopes.within(*s.Asked)
}

// apiKeyIdentity returns whom an API key stands for, or errBadToken. A failure of the store is returned
// as it is. An ID that nobody has takes as long as a wrong secret.
func (a *accounts) apiKeyIdentity(ctx context.Context, key string) (identity, error) {
	id, ok := parseAPIKey(key)
	if !ok {
		return identity{}, errBadToken
	}
	who, err := a.apiKeyOwner(ctx, id)
	if err != nil && !errors.Is(err, errNotFound) {
		return identity{}, err
	}
	now := a.now()
	if !isHashOf(who.APIKey.Hash, key) || who.User.Disabled || who.APIKey.isExpired(now) {
		return identity{}, errBadToken
	}
	a.noteAPIKeyUse(ctx, who, now)
	return who, nil
}

// clientIdentity returns the identity of the API key with this ID, or errBadClient. A failure of the
// store is returned as it is.
func (a *accounts) clientIdentity(ctx context.Context, id, key string) (identity, error) {
	if in, ok := parseAPIKey(key); !ok || in != id {
		return identity{}, errBadClient
	}
	who, err := a.apiKeyIdentity(ctx, key)
	if errors.Is(err, errBadToken) {
		err = errBadClient
	}
	return who, err
}

// apiKeyOwner finds the API key with this ID and its owner, or returns errNotFound. The key can do what
// both it and its owner may do.
func (a *accounts) apiKeyOwner(ctx context.Context, id string) (identity, error) {
	u, k, err := a.store.UserByAPIKey(ctx, id)
	return identity{User: u, APIKey: k, Scopes: k.Scopes.within(u.Scopes)}, err
}

// noteAPIKeyUse records the hour in which an API key was last used. It tries once an hour even if that fails,
// so that no request waits for a write that keeps failing.
func (a *accounts) noteAPIKeyUse(ctx context.Context, who identity, now time.Time) {
	hour := now.UTC().Truncate(time.Hour)
	if !who.APIKey.LastUsedAt.Before(hour) {
		return
	}
	if tried, _ := a.apiKeyUses.ContainsOrAdd(apiKeyUse{who.APIKey.ID, hour.Unix()}, struct{}{}); tried {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, asideTimeout)
	defer cancel()
	err := a.store.UseAPIKey(ctx, who.APIKey.ID, hour)
	a.warn(ctx, "cannot remember when an API key was used", who.User, replaceNotFound(err, nil))
}

// userByName returns the user with this name in any case and width, or
// errNotFound.
func (a *accounts) userByName(ctx context.Context, name string) (User, error) {
	if expands(name) {
		return User{}, errNotFound
	}
	return a.store.UserByKey(ctx, usernameKey(name))
}

// isStillValid reports whether claims still hold for the user, session or API key that they name.
func isStillValid(c claims, who identity, now time.Time) bool {
	u := who.User
	switch {
	case who.byAPIKey():
		return u.Username == c.Subject && !who.APIKey.isExpired(now)
	case c.SessionID != "":
		return u.Username == c.Subject && now.Before(who.Session.ExpiresAt)
	}
	tolerance := 0.0
	if u.TokensValidAfter.Equal(u.CreatedAt) { // nothing has ended their tokens yet
		tolerance = iatRounding
	}
	return c.madeAfter(now, tolerance) >= unixSeconds(u.TokensValidAfter)
}
