package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Reasons why a refresh token is not good, beside errBadRefreshToken.
var (
	errRefreshExpired = errors.New("refresh token expired")
	errRefreshReused  = errors.New("refresh token already used; the session has ended")
	errSessionEnded   = errors.New("the session has ended")
)

// A sessionLife is how long sessions live, and how.
type sessionLife struct {
	most  time.Duration // from the login
	idle  time.Duration // from the last use
	grace time.Duration // for a refresh token that has just been replaced
}

// end returns when a session ends that was used last at now.
func (l sessionLife) end(createdAt, now time.Time) time.Time {
	end := createdAt.Add(l.most)
	if idle := now.Add(l.idle); idle.Before(end) {
		return idle
	}
	return end
}

// beginSession begins a session of a user who has shown that the password is
// theirs, and returns its tokens. It returns errNotFound if the password has been
// changed since, or the user has been disabled or deleted.
func (a *accounts) beginSession(ctx context.Context, u User, from client) (tokenResponse, error) {
	now := a.now().UTC()
	s := Session{
		ID: newSessionID(), UserID: u.ID,
		CreatedAt: now, LastUsedAt: now, ExpiresAt: a.sessions.end(now, now),
		IP: from.IP, UserAgent: from.UserAgent,
	}
	if err := a.store.CreateSession(ctx, s, u.PasswordHash); err != nil {
		return tokenResponse{}, err
	}
	return a.tokensOf(u, s, now)
}

// tokensOf returns the tokens of a session: an access token that ends with it at the
// latest, and the refresh token of its generation.
func (a *accounts) tokensOf(u User, s Session, now time.Time) (tokenResponse, error) {
	life := min(a.tokens.ttl, s.ExpiresAt.Sub(now))
	access, err := a.tokens.createAccessToken(u.Username, s.ID, now, life)
	if err != nil {
		return tokenResponse{}, err
	}
	refresh, err := a.refreshTokens.token(s.ID, s.Generation)
	if err != nil {
		return tokenResponse{}, err
	}
	return tokenResponse{access, "bearer", wholeSeconds(life), refresh}, nil
}

// maxRotations is how often a refresh is tried that others get ahead of. The second
// time it sees what they have done.
const maxRotations = 3

// refresh exchanges a refresh token for new tokens of its session (RFC 6749 §6). It
// returns errBadRefreshToken, errRefreshExpired, errSessionEnded or errRefreshReused;
// a failure of the store is returned as it is.
func (a *accounts) refresh(ctx context.Context, token string, from client) (tokenResponse, error) {
	id, generation, err := a.refreshTokens.parse(token)
	if err != nil {
		return tokenResponse{}, err
	}
	ctx = context.WithoutCancel(ctx) // a client may close its half when it has sent all
	for range maxRotations {
		u, s, err := a.store.UserBySession(ctx, id)
		if err != nil {
			return tokenResponse{}, notFoundIs(errSessionEnded, err)
		}
		now := a.now().UTC()
		s, err = a.useRefreshToken(ctx, u, s, generation, now, from)
		if errors.Is(err, errNotFound) {
			continue // the session is no longer as it was read
		}
		if err != nil {
			return tokenResponse{}, err
		}
		a.event(ctx, slog.LevelInfo, "session_renewed", u.Username, from)
		return a.tokensOf(u, s, now)
	}
	return tokenResponse{}, fmt.Errorf("%w as it did a moment ago: a session changes and has not changed", errUnavailable)
}

// useRefreshToken moves s to the generation after this one and returns it. If somebody
// has just done that, s is as they have made it: two tabs, or a client that has lost
// the answer, get the same successor. An older generation comes from a thief, or from
// the user whom a thief has overtaken: the session ends (RFC 9700 §4.14.2). It returns
// errNotFound if the store has another s by now.
func (a *accounts) useRefreshToken(ctx context.Context, u User, s Session, generation int64, now time.Time, from client) (Session, error) {
	expiresAt := a.sessions.end(s.CreatedAt, now)
	switch {
	case u.Disabled:
		return Session{}, errSessionEnded
	case !now.Before(s.ExpiresAt), !now.Before(expiresAt):
		return Session{}, errRefreshExpired
	case generation > s.Generation: // of a database that has since been restored
		return Session{}, errBadRefreshToken
	case generation == s.Generation:
		err := a.store.RotateSession(ctx, s.ID, generation, now, expiresAt)
		s.Generation, s.LastUsedAt, s.ExpiresAt = generation+1, now, expiresAt
		return s, err
	case generation == s.Generation-1 && now.Before(s.LastUsedAt.Add(a.sessions.grace)):
		return s, nil
	}
	// First the end, then the word of it: who gets no answer must not go on.
	if err := a.store.EndSession(ctx, u.ID, s.ID); err != nil {
		return Session{}, notFoundIs(errSessionEnded, err)
	}
	a.event(ctx, slog.LevelWarn, "authn_token_reuse", u.Username, from)
	return Session{}, errRefreshReused
}

// revoke ends the session of a refresh or access token, even of one that has expired
// or been replaced: whoever logs out with it wants to be out. Any other token is
// nothing to revoke (RFC 7009 §2.2).
func (a *accounts) revoke(ctx context.Context, token string, from client) error {
	ctx = context.WithoutCancel(ctx)
	id, ok := a.sessionNamedBy(token)
	if !ok {
		return nil
	}
	u, _, err := a.store.UserBySession(ctx, id)
	if err != nil {
		return notFoundIs(nil, err)
	}
	return notFoundIs(nil, a.endSession(ctx, u, id, from))
}

// sessionNamedBy returns the session of a token that we have made.
func (a *accounts) sessionNamedBy(token string) (id string, ok bool) {
	if id, _, err := a.refreshTokens.parse(token); err == nil {
		return id, true
	}
	c, err := a.tokens.read(token)
	return c.SessionID, err == nil && c.SessionID != ""
}

// maxSessionsShown is how many sessions people see of theirs.
const maxSessionsShown = 1000

// listSessions returns the sessions of a user, the latest used first, as the one with
// the ID current sees them.
func (a *accounts) listSessions(ctx context.Context, u User, current string) ([]sessionResponse, error) {
	sessions, err := a.store.Sessions(ctx, u.ID, a.now(), maxSessionsShown)
	if err != nil {
		return nil, err
	}
	list := make([]sessionResponse, 0, len(sessions))
	for _, s := range sessions {
		list = append(list, s.response(current))
	}
	return list, nil
}

// endSession ends a session of u, or returns errNotFound.
func (a *accounts) endSession(ctx context.Context, u User, sessionID string, from client) error {
	if err := a.store.EndSession(context.WithoutCancel(ctx), u.ID, sessionID); err != nil {
		return err
	}
	a.event(ctx, slog.LevelInfo, "authn_token_revoked", u.Username, from)
	return nil
}

// endSessions ends all sessions of u but the one with the ID keep.
func (a *accounts) endSessions(ctx context.Context, u User, keep string, from client) error {
	err := a.store.EndSessions(context.WithoutCancel(ctx), u.ID, a.now(), keep)
	if err != nil {
		return notFoundIs(errBadToken, err)
	}
	a.event(ctx, slog.LevelInfo, "authn_token_revoked", u.Username, from)
	return nil
}

// sweepBatch is how many sessions are deleted at once, so that nobody waits
// long for the store.
const sweepBatch = 1000

// sweep deletes expired sessions every so often until ctx is done.
func (a *accounts) sweep(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.deleteExpiredSessions(ctx)
		}
	}
}

func (a *accounts) deleteExpiredSessions(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := a.store.DeleteExpiredSessions(ctx, a.now(), sweepBatch)
		if err != nil {
			a.log.ErrorContext(ctx, "cannot delete expired sessions", "err", err)
		}
		if n < sweepBatch {
			return
		}
	}
}
