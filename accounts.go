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
// Its methods go on when the client hangs up (context.WithoutCancel), for a client may
// close its half of the connection once it has sent everything. Only who has to wait for
// a hash loses its place.
type accounts struct {
	store         store
	passwords     *hasher
	tokens        *signer
	refreshTokens refreshKeys
	log           *slog.Logger // security events, by the names of OWASP's logging vocabulary
	now           func() time.Time

	hashes            *hashQueue
	throttle          *throttle // nil: nobody is throttled
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
// errRegistrationClosed, a throttledError, errBusy, or errExists if the name is taken.
func (a *accounts) register(ctx context.Context, req newUser, from client) (User, error) {
	if !a.registrationOpen {
		return User{}, errRegistrationClosed
	}
	if a.throttle != nil {
		if err := a.throttle.admitRegistration(sourceOf(from.IP), a.now()); err != nil {
			a.event(ctx, slog.LevelWarn, "excess_rate_limit_exceeded", "", from)
			return User{}, err
		}
	}
	hash, err := a.hash(ctx, req.Password)
	if err != nil {
		return User{}, err
	}
	ctx = context.WithoutCancel(ctx)
	now := a.now().UTC()
	u, err := a.store.CreateUser(ctx, User{
		Username:         req.Username,
		Key:              usernameKey(req.Username),
		Email:            req.Email,
		FullName:         req.FullName,
		PasswordHash:     hash,
		CreatedAt:        now,
		TokensValidAfter: now,
	})
	if err != nil {
		return User{}, err
	}
	a.event(ctx, slog.LevelInfo, "user_created", u.Username, from)
	a.welcome(ctx, u, from)
	return u, nil
}

// welcome makes the source of a registration one of the user's, and forgets who has
// guessed at the name before it was theirs. If that fails, they wait like strangers.
func (a *accounts) welcome(ctx context.Context, u User, from client) {
	if a.throttle == nil {
		return
	}
	by := a.guesserAt(u.Key, from)
	err := errors.Join(a.store.ClearFailures(ctx, by.account), a.store.RememberSource(ctx, u.ID, by.source, a.now()))
	if err != nil {
		a.log.ErrorContext(ctx, "cannot remember where a user has registered", "err", err)
	}
}

// hash returns the hash of a new password, or errBusy.
func (a *accounts) hash(ctx context.Context, password string) (hash string, err error) {
	if err := a.hashes.enter(ctx); err != nil {
		return "", err
	}
	defer a.hashes.leave()
	computeHash(func() { hash = a.passwords.hashPassword(password) })
	return hash, nil
}

// maxRaces is how often we try again what another request got ahead of.
const maxRaces = 3

// errRaced is a request that others got ahead of each time.
var errRaced = fmt.Errorf("%w: other requests keep changing the same user or session", errUnavailable)

// authenticateUser returns the user with this name and password. A wrong name
// or password, or a disabled user, is errBadCredentials and costs one hash. It returns
// a throttledError or errBusy before there is any; a failure of the store is returned as
// it is.
func (a *accounts) authenticateUser(ctx context.Context, name, password string, from client) (User, error) {
	key := usernameKey(name)
	u, err := a.store.UserByKey(context.WithoutCancel(ctx), key)
	if err != nil && !errors.Is(err, errNotFound) {
		return User{}, err
	}
	ok, err := a.guess(ctx, key, u, password, from)
	if err != nil {
		return User{}, err
	}
	if !ok {
		// The name only if it is one: people type their password there too.
		a.event(ctx, slog.LevelWarn, "authn_login_fail", u.Username, from)
		return User{}, errBadCredentials
	}
	return a.strengthenHash(ctx, u, password)
}

// guess reports whether password is that of u, who is not disabled; the zero User has
// none. If not, that counts for the account, which the name's key names, and for the
// source. Its errors are those of authenticateUser.
func (a *accounts) guess(ctx context.Context, key string, u User, password string, from client) (bool, error) {
	lasting := context.WithoutCancel(ctx)
	by, err := a.admitGuess(lasting, key, u, from)
	if err != nil {
		return false, err
	}
	right, err := a.guessInTurn(ctx, key, u, password, from)
	if right {
		err = a.noteSuccess(lasting, by, u)
	}
	return right, err
}

// guessInTurn is guess when the others let it. It counts a failure before the next may
// guess.
func (a *accounts) guessInTurn(ctx context.Context, key string, u User, password string, from client) (right bool, err error) {
	if err := a.hashes.enter(ctx); err != nil {
		return false, err
	}
	defer a.hashes.leave()
	ctx = context.WithoutCancel(ctx)
	by, err := a.admitGuess(ctx, key, u, from) // others may have failed while this one waited
	if err != nil {
		return false, err
	}
	computeHash(func() { right = a.passwords.verifyPassword(password, u.PasswordHash) })
	if right && !u.Disabled {
		return true, nil
	}
	return false, a.noteFailure(ctx, by)
}

// admitGuess returns who guesses, or a throttledError.
func (a *accounts) admitGuess(ctx context.Context, key string, u User, from client) (guesser, error) {
	if a.throttle == nil {
		return guesser{}, nil
	}
	by := a.guesserAt(key, from)
	var err error
	if by.guesses, err = a.store.Guesses(ctx, by.account, u.ID, by.source); err != nil {
		return guesser{}, err
	}
	if err := a.throttle.admitGuess(by, a.now()); err != nil {
		a.event(ctx, slog.LevelWarn, "excess_rate_limit_exceeded", u.Username, from)
		return guesser{}, err
	}
	return by, nil
}

func (a *accounts) guesserAt(key string, from client) guesser {
	return guesser{account: a.throttle.account(key), source: sourceOf(from.IP)}
}

// noteFailure remembers that somebody has guessed wrong.
func (a *accounts) noteFailure(ctx context.Context, by guesser) error {
	if a.throttle == nil {
		return nil
	}
	now := a.now()
	a.throttle.noteFailure(by, now)
	return a.store.AddFailure(ctx, by.account, now, now.Add(-forgetGuesses))
}

// noteSuccess remembers that u has guessed right. From where they were before, the count
// of the strangers' guesses stays as it is: each login would give those more.
func (a *accounts) noteSuccess(ctx context.Context, by guesser, u User) error {
	if a.throttle == nil {
		return nil
	}
	now := a.now()
	if by.Failures > 0 && !by.isFamiliar(now) {
		if err := a.store.ClearFailures(ctx, by.account); err != nil {
			return err
		}
	}
	if !now.Before(by.SeenAt.Add(renewSource)) {
		if err := a.store.RememberSource(ctx, u.ID, by.source, now); err != nil {
			return notFoundIs(nil, err)
		}
	}
	a.throttle.noteSuccess(by)
	return nil
}

// strengthenHash replaces a hash that costs less than one made today. The store does
// it only if the hash is still the one that this password was checked against, so
// that it never undoes a change of password made meanwhile. If too many passwords are
// being hashed, the next login does it.
func (a *accounts) strengthenHash(ctx context.Context, u User, password string) (User, error) {
	if !a.passwords.isCheap(u.PasswordHash) {
		return u, nil
	}
	next, err := a.hash(ctx, password)
	if err != nil {
		return u, nil
	}
	if err := a.store.ReplacePasswordHash(context.WithoutCancel(ctx), u.ID, u.PasswordHash, next); err != nil {
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
// errWrongPassword if the current one is another, errBadToken if the user is gone,
// errRaced, and the errors of guess.
func (a *accounts) changePassword(ctx context.Context, u User, s Session, change passwordChange, from client) error {
	next := ""
	for range maxRaces {
		ok, err := a.guess(ctx, u.Key, u, change.Current, from)
		if err != nil {
			return err
		}
		if !ok {
			a.event(ctx, slog.LevelWarn, "authn_password_change_fail", u.Username, from)
			return errWrongPassword
		}
		if next == "" {
			if next, err = a.hash(ctx, change.New); err != nil {
				return err
			}
		}
		err = a.store.ChangePassword(context.WithoutCancel(ctx), u.ID, u.PasswordHash, next, a.now(), s.ID)
		if err == nil {
			a.event(ctx, slog.LevelInfo, "authn_password_change", u.Username, from)
			return nil
		}
		if !errors.Is(err, errNotFound) {
			return err
		}
		if u, err = a.reload(context.WithoutCancel(ctx), u); err != nil { // somebody was quicker
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
	if !isRecent(s.CreatedAt, a.now(), freshLogin) {
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
