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
//
// What writes goes on when the client hangs up (context.WithoutCancel): a client may
// close its half of the connection once it has sent everything.
type accounts struct {
	store         store
	passwords     *hasher
	tokens        *signer
	refreshTokens refreshKeys
	log           *slog.Logger // security events, by the names of OWASP's logging vocabulary
	now           func() time.Time

	limits            sessionLimits
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
	ctx = context.WithoutCancel(ctx)
	now := a.now().UTC()
	u, err := a.store.CreateUser(ctx, User{
		Username:         req.Username,
		Key:              usernameKey(req.Username),
		Email:            req.Email,
		FullName:         req.FullName,
		PasswordHash:     a.passwords.hashPassword(req.Password),
		CreatedAt:        now,
		TokensValidAfter: now,
	})
	if err != nil {
		return User{}, err
	}
	a.event(ctx, slog.LevelInfo, "user_created", u.Username, from)
	return u, nil
}

// maxRaces is how often we try again what another request got ahead of.
const maxRaces = 3

// errRaced is a request that others got ahead of each time.
var errRaced = fmt.Errorf("%w: other requests keep changing the same user or session", errUnavailable)

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

// updateProfile changes u's own e-mail address and full name, and returns the changed
// user.
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

// changePassword changes the password of u and ends all their sessions but s. It returns
// errWrongPassword if the current one is another, errBadToken if the user is gone, and
// errRaced.
func (a *accounts) changePassword(ctx context.Context, u User, s Session, change passwordChange, from client) error {
	ctx = context.WithoutCancel(ctx)
	next := ""
	for range maxRaces {
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
		if u, err = a.reload(ctx, u); err != nil { // somebody was quicker
			return err
		}
	}
	return errRaced
}

// reload returns u as the store has it now, or errBadToken if u is gone or disabled.
func (a *accounts) reload(ctx context.Context, u User) (User, error) {
	fresh, err := a.store.UserByKey(ctx, u.Key)
	if err != nil {
		return User{}, notFoundIs(errBadToken, err)
	}
	if fresh.ID != u.ID || fresh.Disabled {
		return User{}, errBadToken
	}
	return fresh, nil
}

// freshLogin is for how long after a login an account may be deleted.
const freshLogin = 10 * time.Minute

// deleteUser deletes u and ends all their sessions, or returns errStaleLogin if the login
// of s is too long ago: whoever finds a page left open must not be able to delete the
// account. A token made elsewhere has no login, and so is always stale.
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
