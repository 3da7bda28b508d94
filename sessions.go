package main

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Reasons why a refresh token is refused, besides errBadRefreshToken.
var (
	errRefreshExpired = errors.New("refresh token expired")
	errRefreshReused  = errors.New("refresh token already used; the session has ended")
	errSessionEnded   = errors.New("the session has ended")
	errNewScope       = errors.New("the login did not ask for this scope; want what it asked for, or no scope")
)

// credentials are what people log in with.
type credentials struct {
	Username string
	Password string
	Scope    string // what the session is for, in OAuth's form; empty: all that the user may do
}

// issuedTokens are what a login or a refresh gets.
type issuedTokens struct {
	AccessToken  string
	RefreshToken string
	Life         time.Duration // of the access token, in whole seconds
	Scopes       scopes        // of the session
	Repeated     bool          // the refresh token had just been replaced by this one
}

// login exchanges a name and a password for tokens, and begins a session. Its errors
// are those of authenticateUser, and errRaced.
func (a *accounts) login(ctx context.Context, given credentials, from client) (issuedTokens, error) {
	for range maxRaces {
		u, err := a.authenticateUser(ctx, given.Username, given.Password, from)
		if err != nil {
			return issuedTokens{}, err
		}
		tokens, err := a.beginSession(ctx, u, given.Scope, from)
		if errors.Is(err, errNotFound) {
			continue // the hash is no longer the one that was checked
		}
		if err != nil {
			return issuedTokens{}, err
		}
		a.events.note(ctx, loginSucceeded, u, from, "")
		return tokens, nil
	}
	return issuedTokens{}, errRaced
}

// authenticateUser returns the user with this name and password. Its errors are those of
// try; a wrong name or password, or a disabled user, is errBadCredentials.
func (a *accounts) authenticateUser(ctx context.Context, name, password string, from client) (User, error) {
	key := usernameKey(name)
	u, err := a.store.UserByKey(ctx, key)
	if err != nil && !errors.Is(err, errNotFound) {
		return User{}, err
	}
	if err := a.try(ctx, attempt{key, u, password, from, errBadCredentials, loginFailed, false}); err != nil {
		return User{}, err
	}
	return a.strengthenHash(ctx, u, password, from), nil
}

// strengthenHash replaces a hash that costs less than one made today, and returns u with
// the hash that it has then. The store does it only if the hash is still the one that this
// password was checked against, so that it never undoes a change of password made
// meanwhile. If it fails, or too many passwords are being hashed, the next login does it.
func (a *accounts) strengthenHash(ctx context.Context, u User, password string, from client) User {
	if !a.passwords.isCheap(u.PasswordHash) {
		return u
	}
	next, err := a.hash(from.presence(), password)
	if err != nil {
		return u
	}
	ctx, cancel := context.WithTimeout(ctx, asideTimeout)
	defer cancel()
	_, err = a.store.UpdateUser(ctx, u.ID, userChange{PasswordHash: &next, IfPasswordHash: &u.PasswordHash})
	if err == nil {
		a.metrics.upgraded(u.PasswordHash)
		u.PasswordHash = next
	}
	a.warn(ctx, "cannot strengthen a password hash", u, replaceNotFound(err, nil))
	return u
}

// maxSessions is how many sessions a user may have. When another begins, the one unused for
// longest ends: a script that logs in and never out must not fill the store.
const maxSessions = 1000

// beginSession begins a session of an authenticated user, for the scopes that a text asks for, and
// returns its tokens. It returns errNotFound if the password has been changed since, or the user
// disabled or deleted.
func (a *accounts) beginSession(ctx context.Context, u User, scope string, from client) (issuedTokens, error) {
	now := a.now().UTC()
	s := Session{
		ID: newSessionID(), UserID: u.ID,
		CreatedAt: now, LastUsedAt: now, ExpiresAt: a.limits.expiry(now, now),
		IP: from.IP, UserAgent: from.UserAgent,
		Asked: askedScopes(scope, u.Scopes),
	}
	if err := a.store.CreateSession(ctx, s, u.PasswordHash, maxSessions); err != nil {
		return issuedTokens{}, err
	}
	return a.tokensOf(u, s, now)
}

// tokensOf returns the tokens of a session: an access token that ends with it, to the
// second, and the refresh token of its generation.
func (a *accounts) tokensOf(u User, s Session, now time.Time) (issuedTokens, error) {
	life, may := a.tokens.lifeUntil(s.ExpiresAt, now), scopesOf(u, s)
	access, err := a.tokens.createAccessToken(grant{User: u, Scopes: may, SessionID: s.ID}, now, now.Add(life))
	if err != nil {
		return issuedTokens{}, err
	}
	refresh, err := a.refreshTokens.token(s.ID, s.Generation)
	if err != nil {
		return issuedTokens{}, err
	}
	return issuedTokens{AccessToken: access, RefreshToken: refresh, Life: life, Scopes: may}, nil
}

// refresh exchanges a refresh token for new tokens of its session (RFC 6749 §6). A scope
// changes nothing, but must not be wider than the login's. It returns errBadRefreshToken,
// errRefreshExpired, errSessionEnded, errRefreshReused, errNewScope or errRaced; a failure of
// the store is returned as it is.
func (a *accounts) refresh(ctx context.Context, token, scope string, from client) (issuedTokens, error) {
	id, generation, err := a.refreshTokens.parse(token)
	if err != nil {
		return issuedTokens{}, err
	}
	now := a.now().UTC() // when the token came, however long the store takes
	for range maxRaces {
		u, s, err := a.store.UserBySession(ctx, id)
		if err == nil && u.Disabled {
			err = errNotFound
		}
		if err != nil {
			return issuedTokens{}, replaceNotFound(err, errSessionEnded)
		}
		next, err := a.nextGeneration(ctx, s, generation, scope, now)
		switch {
		case err == nil:
			a.events.logEvent(ctx, a.events.newEvent(sessionRenewed, u, from, "")) // too many to keep
			tokens, err := a.tokensOf(u, next, now)
			tokens.Repeated = next.Generation == s.Generation
			return tokens, err
		case errors.Is(err, errRefreshReused):
			return issuedTokens{}, a.endReused(ctx, u, s, from)
		case !errors.Is(err, errNotFound):
			return issuedTokens{}, err
		}
	}
	return issuedTokens{}, errRaced
}

// nextGeneration moves s to the generation after this one and returns it. If somebody
// has just done that, it returns s as they left it: two tabs, or a client that lost the
// answer, get the same successor. An older generation is errRefreshReused, whatever the scope. It
// returns errNotFound if s has changed in the store.
func (a *accounts) nextGeneration(ctx context.Context, s Session, generation int64, scope string, now time.Time) (Session, error) {
	expiresAt := a.limits.expiry(s.CreatedAt, now)
	inGrace := generation == s.Generation-1 && a.limits.grace > 0 && isRecent(s.LastUsedAt, now, a.limits.grace)
	switch {
	case !now.Before(s.ExpiresAt), !now.Before(expiresAt):
		return Session{}, errRefreshExpired
	case generation > s.Generation: // the database was restored from a backup
		return Session{}, errBadRefreshToken
	case generation < s.Generation && !inGrace:
		return Session{}, errRefreshReused
	case !mayRepeat(s.Asked, scope):
		return Session{}, errNewScope
	case inGrace:
		return s, nil
	}
	if err := a.store.RotateSession(ctx, s.ID, generation, now, expiresAt); err != nil {
		return Session{}, err
	}
	s.Generation, s.LastUsedAt, s.ExpiresAt = generation+1, now, expiresAt
	return s, nil
}

// endReused ends a session whose older refresh token was used, because the token may have
// been stolen (RFC 9700 §4.14.2). The session ends before the answer is sent: a client that
// gets no answer must not be able to go on.
func (a *accounts) endReused(ctx context.Context, u User, s Session, from client) error {
	if err := a.store.EndSession(ctx, u.ID, s.ID); err != nil {
		return replaceNotFound(err, errSessionEnded)
	}
	a.metrics.ended(endedByReuse, 1)
	a.events.note(ctx, tokenReused, u, from, "")
	return errRefreshReused
}

// revoke ends the session of a refresh or access token, even of one that has expired
// or been replaced, because its owner wants to be logged out. Any other token is ignored
// (RFC 7009 §2.2).
func (a *accounts) revoke(ctx context.Context, token string, from client) error {
	id, err := a.sessionNamedBy(ctx, token)
	if errors.Is(err, errBadToken) {
		return nil
	}
	if err != nil {
		return err
	}
	u, _, err := a.store.UserBySession(ctx, id)
	if err != nil {
		return replaceNotFound(err, nil)
	}
	return replaceNotFound(a.endSession(ctx, u, id, endedByLogout, from), nil)
}

// sessionNamedBy returns the ID of the session of a token that we made, or errBadToken. A failure of
// the store is returned as it is.
func (a *accounts) sessionNamedBy(ctx context.Context, token string) (id string, err error) {
	if id, _, err := a.refreshTokens.parse(token); err == nil {
		return id, nil
	}
	c, err := a.readToken(ctx, func() (claims, error) { return a.tokens.read(token) })
	if err == nil && c.SessionID == "" {
		err = errBadToken
	}
	return c.SessionID, err
}

// listSessions returns at most limit sessions of a user, the latest used first, as current
// sees them. The list always has current in it: in the last place if too many others were
// used later. A token that was made elsewhere has the zero Session.
func (a *accounts) listSessions(ctx context.Context, u User, current Session, limit int) ([]Session, error) {
	sessions, err := a.store.Sessions(ctx, u.ID, a.now(), limit)
	if err != nil {
		return nil, err
	}
	isCurrent := func(s Session) bool { return s.ID == current.ID }
	if current.ID != "" && len(sessions) == limit && !slices.ContainsFunc(sessions, isCurrent) {
		sessions[limit-1] = current
	}
	return sessions, nil
}

// endSession ends a session of u, or returns errNotFound. reason is endedByUser or endedByLogout.
func (a *accounts) endSession(ctx context.Context, u User, sessionID, reason string, from client) error {
	if err := a.store.EndSession(ctx, u.ID, sessionID); err != nil {
		return err
	}
	a.metrics.ended(reason, 1)
	detail := "one session"
	if reason == endedByLogout {
		detail = "logout"
	}
	a.events.note(ctx, tokenRevoked, u, from, detail)
	return nil
}

// endSessions ends all sessions of u but the one with the ID keep.
func (a *accounts) endSessions(ctx context.Context, u User, keep string, from client) error {
	_, err := a.store.UpdateUser(ctx, u.ID, userChange{EndSessions: &sessionsEnd{keep, a.now()}})
	if err != nil {
		return replaceNotFound(err, errBadToken)
	}
	a.metrics.ended(endedByUser, 1)
	detail := "all sessions"
	if keep != "" {
		detail = "all other sessions"
	}
	a.events.note(ctx, tokenRevoked, u, from, detail)
	return nil
}
