package main

import (
	"context"
	"errors"
	"time"
)

// An identity is whom a token stands for, and what they may do at this moment.
type identity struct {
	User    User
	Session Session // the zero Session if the token was made elsewhere
	Scopes  scopes
}

// currentUser returns whom an access token stands for, or errBadToken. A failure of the store is
// returned as it is.
//
// A token of ours is valid as long as its session is. A token without a session was made
// elsewhere with our key: it names the user, and must not have been made before
// TokensValidAfter. The session that changed the password goes on, and so do its tokens,
// which are older.
func (a *accounts) currentUser(ctx context.Context, token string) (identity, error) {
	now := a.now()
	c, err := a.readToken(ctx, func() (claims, error) { return a.tokens.verify(token, now) })
	if err != nil {
		return identity{}, err
	}
	who, err := a.identify(ctx, c)
	if err != nil {
		return identity{}, replaceNotFound(err, errBadToken)
	}
	if who.User.Disabled || !isStillValid(c, who.User, who.Session, now) {
		return identity{}, errBadToken
	}
	return who, nil
}

// readToken calls read, and once more if the token names a key that another replica may have made
// a moment ago.
func (a *accounts) readToken(ctx context.Context, read func() (claims, error)) (claims, error) {
	c, err := read()
	if errors.Is(err, errUnknownKey) && a.keys.lookAgain(ctx) {
		return read()
	}
	return c, err
}

// identify finds in the store whom claims name, or returns errNotFound.
func (a *accounts) identify(ctx context.Context, c claims) (identity, error) {
	if c.SessionID == "" {
		u, err := a.userByName(ctx, c.Subject)
		return identity{User: u, Scopes: u.Scopes}, err
	}
	u, s, err := a.store.UserBySession(ctx, c.SessionID)
	return identity{User: u, Session: s, Scopes: u.Scopes}, err
}

// userByName returns the user with this name in any case and width, or
// errNotFound.
func (a *accounts) userByName(ctx context.Context, name string) (User, error) {
	if expands(name) {
		return User{}, errNotFound
	}
	return a.store.UserByKey(ctx, usernameKey(name))
}

// isStillValid reports whether claims hold for the user and the session that they name.
func isStillValid(c claims, u User, s Session, now time.Time) bool {
	if c.SessionID == "" {
		tolerance := 0.0
		if u.TokensValidAfter.Equal(u.CreatedAt) { // nothing has ended their tokens yet
			tolerance = iatRounding
		}
		return c.madeAfter(now, tolerance) >= unixSeconds(u.TokensValidAfter)
	}
	return u.Username == c.Subject && now.Before(s.ExpiresAt)
}
