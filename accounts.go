package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// accounts is what the program can do, whoever asks: it knows users, passwords
// and tokens, and nothing of HTTP.
type accounts struct {
	store     store
	passwords *hasher
	tokens    *signer
	log       *slog.Logger // security events, by the names of OWASP's logging vocabulary
	now       func() time.Time

	registrationOpen  bool
	minPasswordLength int

	stopping atomic.Bool // see ready
}

var (
	// errBadCredentials is a login that fails, for whatever reason.
	errBadCredentials = errors.New("wrong username or password")

	// errRegistrationClosed is an attempt to register where only an
	// administrator may add users.
	errRegistrationClosed = errors.New("registration is closed")

	// errStopping is a server that takes no new work.
	errStopping = errors.New("the server is stopping")
)

// register creates a user as parseNewUser has passed it. It returns
// errRegistrationClosed, or errExists if the name is taken.
func (a *accounts) register(ctx context.Context, req newUser, from client) (User, error) {
	if !a.registrationOpen {
		return User{}, errRegistrationClosed
	}
	ctx = context.WithoutCancel(ctx) // a client may close its half when it has sent all
	now := a.now().UTC()
	u, err := a.store.CreateUser(ctx, User{
		Username:         req.Username,
		Key:              usernameKey(req.Username),
		Email:            req.Email,
		FullName:         req.FullName,
		PasswordHash:     a.passwords.hashPassword(req.Password),
		CreatedAt:        now,
		TokensValidAfter: now.Truncate(time.Second), // iat has no fraction either
	})
	if err != nil {
		return User{}, err
	}
	a.event(ctx, slog.LevelInfo, "user_created", u.Username, from)
	return u, nil
}

// login exchanges a name and a password for an access token, and begins a
// session. Its errors are those of authenticateUser.
func (a *accounts) login(ctx context.Context, form loginForm, from client) (tokenResponse, error) {
	ctx = context.WithoutCancel(ctx) // a client may close its half when it has sent all
	u, err := a.authenticateUser(ctx, form.Username, form.Password, from)
	if err != nil {
		return tokenResponse{}, err
	}
	now := a.now().UTC()
	s := Session{
		ID: newSessionID(), UserID: u.ID,
		CreatedAt: now, ExpiresAt: now.Add(a.tokens.ttl),
		IP: from.IP, UserAgent: from.UserAgent,
	}
	if err := a.store.CreateSession(ctx, s); err != nil {
		return tokenResponse{}, notFoundIs(errBadCredentials, err)
	}
	token, err := a.tokens.createAccessToken(u.Username, s.ID, now)
	if err != nil {
		return tokenResponse{}, err
	}
	a.event(ctx, slog.LevelInfo, "authn_login_success", u.Username, from)
	return tokenResponse{token, "bearer", int(a.tokens.ttl.Seconds())}, nil
}

// authenticateUser returns the user with this name and password. A wrong name
// or password, or a disabled user, is errBadCredentials and costs one hash; a
// failure of the store is returned as it is.
func (a *accounts) authenticateUser(ctx context.Context, name, password string, from client) (User, error) {
	u, err := a.userByName(ctx, name)
	if err != nil && !errors.Is(err, errNotFound) {
		return User{}, err
	}
	if !a.passwords.verifyPassword(password, u.PasswordHash) || u.Disabled {
		// The name only if it is one: people type their password there too.
		a.event(ctx, slog.LevelWarn, "authn_login_fail", u.Username, from)
		return User{}, errBadCredentials
	}
	return u, a.strengthenHash(ctx, u, password)
}

// strengthenHash replaces a hash that costs less than one made today. The store does
// it only if the hash is still the one that this password was checked against, so
// that it never undoes a change of password made meanwhile.
func (a *accounts) strengthenHash(ctx context.Context, u User, password string) error {
	if !a.passwords.isCheap(u.PasswordHash) {
		return nil
	}
	err := a.store.ReplacePasswordHash(ctx, u.ID, u.PasswordHash, a.passwords.hashPassword(password))
	return notFoundIs(nil, err)
}

// userByName returns the user with this name in any case and width, or
// errNotFound.
func (a *accounts) userByName(ctx context.Context, name string) (User, error) {
	return a.store.UserByKey(ctx, usernameKey(name))
}

// currentUser returns the user whom an access token names, or errBadToken; a
// failure of the store is returned as it is.
func (a *accounts) currentUser(ctx context.Context, token string) (User, error) {
	now := a.now()
	c, err := a.tokens.verify(token, now)
	if err != nil {
		return User{}, err
	}
	u, err := a.userByClaims(ctx, c, now)
	if err != nil {
		return User{}, notFoundIs(errBadToken, err)
	}
	if u.Disabled || c.IssuedAt < u.TokensValidAfter.Unix() {
		return User{}, errBadToken
	}
	return u, nil
}

// userByClaims returns the user a token was made for, or errNotFound. A token
// of ours is tied to its session and ends with it. One without a session was
// made elsewhere with our key: for it, the name alone counts.
func (a *accounts) userByClaims(ctx context.Context, c claims, now time.Time) (User, error) {
	if c.SessionID == "" {
		return a.userByName(ctx, c.Subject)
	}
	u, s, err := a.store.UserBySession(ctx, c.SessionID)
	if err != nil {
		return User{}, err
	}
	if u.Username != c.Subject || !now.Before(s.ExpiresAt) {
		return User{}, errNotFound
	}
	return u, nil
}

// notFoundIs returns instead for an errNotFound, and err itself otherwise: an
// outage must never look like a wrong token.
func notFoundIs(instead, err error) error {
	if errors.Is(err, errNotFound) {
		return instead
	}
	return err
}

// exposedUsers returns the whole store as the original's GET / shows it.
func (a *accounts) exposedUsers(ctx context.Context) (map[string]exposedUser, error) {
	users, err := a.store.Users(ctx)
	if err != nil {
		return nil, err
	}
	all := make(map[string]exposedUser, len(users))
	for _, u := range users {
		all[u.Username] = exposedUser{u.response(), u.PasswordHash}
	}
	return all, nil
}

// readyTimeout is how long the store may take to say that it is there.
const readyTimeout = 2 * time.Second

// ready returns nil if requests can be answered, errStopping if soon they will not
// be, or why the store does not answer.
func (a *accounts) ready(ctx context.Context) error {
	if a.stopping.Load() {
		return errStopping
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return a.store.Ping(ctx)
}

// stop makes ready return errStopping from now on.
func (a *accounts) stop() { a.stopping.Store(true) }

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

// event logs a security event. username is empty if the name is nobody's.
func (a *accounts) event(ctx context.Context, level slog.Level, name, username string, from client) {
	a.log.LogAttrs(ctx, level, name,
		slog.String("username", username),
		slog.String("source", from.IP),
		slog.String("request_id", from.RequestID))
}
