package main

import (
	"context"
	"errors"
	"fmt"
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

	refreshTokens refreshKeys
	sessions      sessionLife

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

	// errWrongPassword is an attempt to change a password by somebody who does not
	// know it.
	errWrongPassword = errors.New("wrong password")

	// errStaleLogin is an attempt to delete an account long after the login.
	errStaleLogin = errors.New("logged in too long ago")

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

// maxHashRaces is how often a password is checked whose hash is another when the
// store is to act on it.
const maxHashRaces = 3

// errHashRace is a hash that was replaced each time.
var errHashRace = fmt.Errorf("%w in peace: others keep replacing the password hash", errUnavailable)

// login exchanges a name and a password for tokens, and begins a session. Its errors
// are those of authenticateUser.
func (a *accounts) login(ctx context.Context, form loginForm, from client) (tokenResponse, error) {
	ctx = context.WithoutCancel(ctx) // a client may close its half when it has sent all
	for range maxHashRaces {
		u, err := a.authenticateUser(ctx, form.Username, form.Password, from)
		if err != nil {
			return tokenResponse{}, err
		}
		tokens, err := a.beginSession(ctx, u, from)
		if errors.Is(err, errNotFound) {
			continue // the hash is no longer the one that was checked
		}
		if err != nil {
			return tokenResponse{}, err
		}
		a.event(ctx, slog.LevelInfo, "authn_login_success", u.Username, from)
		return tokens, nil
	}
	return tokenResponse{}, errHashRace
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
	return a.strengthenHash(ctx, u, password)
}

// strengthenHash replaces a hash that costs less than one made today. The store does
// it only if the hash is still the one that this password was checked against, so
// that it never undoes a change of password made meanwhile.
func (a *accounts) strengthenHash(ctx context.Context, u User, password string) (User, error) {
	if !a.passwords.isCheap(u.PasswordHash) {
		return u, nil
	}
	next := a.passwords.hashPassword(password)
	if err := a.store.ReplacePasswordHash(ctx, u.ID, u.PasswordHash, next); err != nil {
		return u, notFoundIs(nil, err)
	}
	u.PasswordHash = next
	return u, nil
}

// userByName returns the user with this name in any case and width, or
// errNotFound.
func (a *accounts) userByName(ctx context.Context, name string) (User, error) {
	return a.store.UserByKey(ctx, usernameKey(name))
}

// currentUser returns the user whom an access token names and the session that it
// belongs to, or errBadToken; a failure of the store is returned as it is.
//
// A token of ours is good as long as its session is. One without a session was made
// elsewhere with our key: for it the name counts, and it must not be older than the
// user's last change of password. The session that has changed the password lives on,
// and its tokens, which are older, with it.
func (a *accounts) currentUser(ctx context.Context, token string) (User, Session, error) {
	now := a.now()
	c, err := a.tokens.verify(token, now)
	if err != nil {
		return User{}, Session{}, err
	}
	var u User
	var s Session
	if c.SessionID == "" {
		u, err = a.userByName(ctx, c.Subject)
	} else {
		u, s, err = a.store.UserBySession(ctx, c.SessionID)
	}
	if err != nil {
		return User{}, Session{}, notFoundIs(errBadToken, err)
	}
	if u.Disabled || !isGood(c, u, s, now) {
		return User{}, Session{}, errBadToken
	}
	return u, s, nil
}

// isGood reports whether claims are good for the user and the session that they name.
func isGood(c claims, u User, s Session, now time.Time) bool {
	if c.SessionID == "" {
		return c.IssuedAt >= u.TokensValidAfter.Unix()
	}
	return u.Username == c.Subject && now.Before(s.ExpiresAt)
}

// updateProfile changes what u may change of themselves, and returns the user with
// that.
func (a *accounts) updateProfile(ctx context.Context, u User, change profileChange, from client) (User, error) {
	if !change.Email.Set && !change.FullName.Set {
		return u, nil
	}
	u, err := a.store.UpdateProfile(context.WithoutCancel(ctx), u.ID, change)
	if err != nil {
		return User{}, notFoundIs(errBadToken, err)
	}
	a.event(ctx, slog.LevelInfo, "user_updated", u.Username, from)
	return u, nil
}

// changePassword changes the password of u, whose other sessions than s end. It
// returns errWrongPassword if the current one is another, and errBadToken if the user
// is gone.
func (a *accounts) changePassword(ctx context.Context, u User, s Session, change passwordChange, from client) error {
	ctx = context.WithoutCancel(ctx) // a client may close its half when it has sent all
	next := ""
	for range maxHashRaces {
		if !a.passwords.verifyPassword(change.Current, u.PasswordHash) {
			a.event(ctx, slog.LevelWarn, "authn_password_change_fail", u.Username, from)
			return errWrongPassword
		}
		if next == "" {
			next = a.passwords.hashPassword(change.New)
		}
		err := a.store.ChangePassword(ctx, u.ID, u.PasswordHash, next, a.now(), s.ID)
		if err == nil {
			a.event(ctx, slog.LevelInfo, "authn_password_change", u.Username, from)
			return nil
		}
		if !errors.Is(err, errNotFound) {
			return err
		}
		if u, err = a.sameUser(ctx, u); err != nil { // somebody was quicker
			return err
		}
	}
	return errHashRace
}

// sameUser returns u as the store has it now, or errBadToken if it has u no more.
func (a *accounts) sameUser(ctx context.Context, u User) (User, error) {
	now, err := a.store.UserByKey(ctx, u.Key)
	if err != nil {
		return User{}, notFoundIs(errBadToken, err)
	}
	if now.ID != u.ID || now.Disabled {
		return User{}, errBadToken
	}
	return now, nil
}

// freshLogin is for how long after a login an account may be deleted.
const freshLogin = 10 * time.Minute

// deleteUser deletes u and ends all sessions of theirs, or returns errStaleLogin if s
// did not log in just now: whoever finds an open page must not delete the account.
func (a *accounts) deleteUser(ctx context.Context, u User, s Session, from client) error {
	if !a.now().Before(s.CreatedAt.Add(freshLogin)) {
		return errStaleLogin
	}
	if err := a.store.DeleteUser(context.WithoutCancel(ctx), u.ID); err != nil {
		return notFoundIs(errBadToken, err)
	}
	a.event(ctx, slog.LevelInfo, "user_deleted", u.Username, from)
	return nil
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

// event logs a security event. username is empty if the name is nobody's.
func (a *accounts) event(ctx context.Context, level slog.Level, name, username string, from client) {
	a.log.LogAttrs(ctx, level, name,
		slog.String("username", username),
		slog.String("source", from.IP),
		slog.String("request_id", from.RequestID))
}
