package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// accounts is what the program can do with users, passwords and tokens. It knows nothing of
// HTTP.
type accounts struct {
	guard
	tokens        *signer
	rotator       *keyRotator // gives the tokens their keys; nil if those are fixed
	refreshTokens refreshKeys

	// What takes long has queues of its own, so that other requests need not wait for it.
	lists    *queue // of sessions, which take a hundred times as long as other requests
	searches *queue // of users, which take a thousand times as long
	readings *queue // of events

	apiKeyUses *lru.Cache[apiKeyUse, struct{}] // which were written, or tried to be

	limits            sessionLimits
	eventAge          time.Duration // at which events are deleted
	registrationOpen  bool
	minPasswordLength int

	stopping atomic.Bool // see ready
}

var (
	// errBadCredentials means that a login failed. The caller is not told why.
	errBadCredentials = errors.New("wrong username or password")

	// errRegistrationClosed means that only an administrator may add users.
	errRegistrationClosed = errors.New("registration is closed")

	// errWrongPassword means that the current password was wrong.
	errWrongPassword = errors.New("wrong password")

	// errStaleLogin means that the login was too long ago to delete the account.
	errStaleLogin = errors.New("logged in too long ago")

	// errStopping means that the server takes no new work.
	errStopping = errors.New("the server is stopping")
)

// admitRegistration counts a registration by a source before it is read, because reading a
// bad one costs something too. It returns a throttledError if the source has made too many.
func (a *accounts) admitRegistration(ctx context.Context, from client) error {
	if !a.registrationOpen || a.throttle == nil {
		return nil
	}
	err := a.throttle.admitRegistration(sourceOf(from.IP), a.now())
	if err != nil {
		a.events.note(ctx, rateExceeded, User{}, from, "registration")
	}
	return err
}

// A newUser is what people say of themselves when they register.
type newUser struct {
	Username string
	Password string
	Email    *string
	FullName *string
	Scopes   scopes // which only an administrator may give
	Disabled bool   // the same

	// NoPassword is for programs: nobody can log in, but the user can have API keys.
	NoPassword bool
}

// register creates a user that parseNewUser has checked, after admitRegistration. It returns
// errRegistrationClosed, and the errors of addUser.
func (a *accounts) register(ctx context.Context, req newUser, from client) (User, error) {
	if !a.registrationOpen {
		return User{}, errRegistrationClosed
	}
	u, err := a.addUser(ctx, req, from)
	if err != nil {
		return User{}, err
	}
	a.startHistory(ctx, u, from)
	a.events.note(ctx, userCreated, u, from, "")
	return u, nil
}

// addUser adds a user in one step. It returns errBusy, or errExists if the name is taken.
func (a *accounts) addUser(ctx context.Context, req newUser, from client) (User, error) {
	hash, err := a.hashOfNew(req, from)
	if err != nil {
		return User{}, err
	}
	now := a.now().UTC()
	return a.store.CreateUser(ctx, User{
		Username:         req.Username,
		Key:              usernameKey(req.Username),
		Email:            req.Email,
		FullName:         req.FullName,
		PasswordHash:     hash,
		Scopes:           req.Scopes,
		Disabled:         req.Disabled,
		CreatedAt:        now,
		TokensValidAfter: now,
	})
}

// hashOfNew returns the password hash of a new user, or "" if there is no password.
func (a *accounts) hashOfNew(req newUser, from client) (string, error) {
	if req.NoPassword {
		return "", nil
	}
	return a.hash(from.presence(), req.Password)
}

// startHistory remembers the source of a registration as familiar, and forgets failures that were
// counted before the user had the name. If it fails, the user is throttled like a stranger.
func (a *accounts) startHistory(ctx context.Context, u User, from client) {
	if a.throttle == nil {
		return
	}
	err := errors.Join(a.store.RememberSource(ctx, u.ID, sourceOf(from.IP), a.now()), a.clearFailures(ctx, u))
	if err != nil {
		a.log.ErrorContext(ctx, "cannot remember where a user has registered", "err", err)
	}
}

// clearFailures forgets the wrong passwords of u. If it fails, the user may have to wait.
func (a *accounts) clearFailures(ctx context.Context, u User) (err error) {
	if a.throttle == nil {
		return nil
	}
	for _, account := range a.throttle.accountNames(u.Key) {
		err = errors.Join(err, a.store.ClearFailures(ctx, account))
	}
	return err
}

// maxRaces is how often a change is tried if other requests keep getting there first.
const maxRaces = 3

// errRaced means that other requests changed the same user or session at each attempt.
var errRaced = fmt.Errorf("%w: other requests keep changing the same user or session", errUnavailable)

// updateProfile changes u's own e-mail address and full name, and returns the changed
// user.
func (a *accounts) updateProfile(ctx context.Context, u User, change userChange, from client) (User, error) {
	if !change.Email.Set && !change.FullName.Set {
		return u, nil
	}
	changed, err := a.store.UpdateUser(ctx, u.ID, change)
	if err != nil {
		return User{}, replaceNotFound(err, errBadToken)
	}
	a.events.note(ctx, userUpdated, u, from, changedFields(change))
	return changed, nil
}

// changedFields names the fields of a profile that a change sets.
func changedFields(change userChange) string {
	var fields []string
	if change.Email.Set {
		fields = append(fields, "email")
	}
	if change.FullName.Set {
		fields = append(fields, "full_name")
	}
	return strings.Join(fields, ", ")
}

// A passwordChange is a user's request for another password.
type passwordChange struct {
	Current string
	New     string
}

// changePassword changes the password of u and ends all their sessions but s. It returns
// errWrongPassword if the current one is another, errBadToken if the user is gone,
// errRaced, and the errors of try.
func (a *accounts) changePassword(ctx context.Context, u User, s Session, change passwordChange, from client) error {
	next := ""
	for range maxRaces {
		err := a.try(ctx, attempt{u.Key, u, change.Current, from, errWrongPassword, passwordChangeFailed, true})
		if err != nil {
			return err
		}
		if next == "" {
			if next, err = a.hash(from.presence(), change.New); err != nil {
				return err
			}
		}
		_, err = a.store.UpdateUser(ctx, u.ID, userChange{
			PasswordHash: &next, IfPasswordHash: &u.PasswordHash, EndSessions: &sessionsEnd{s.ID, a.now()},
		})
		if err == nil {
			a.metrics.ended(endedByPassword, 1)
			a.forgetSources(ctx, u, sourceOf(from.IP))
			a.events.note(ctx, passwordChanged, u, from, "")
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

// forgetSources forgets the familiar sources of u except keep, which may be empty, because an
// intruder may have logged in from them.
func (a *accounts) forgetSources(ctx context.Context, u User, keep string) {
	if err := a.store.ForgetSources(ctx, u.ID, keep); err != nil {
		a.log.ErrorContext(ctx, "cannot forget from where a user has logged in", "username", u.Username, "err", err)
	}
}

// refetch returns u as it is in the store now, or errNotFound if u is gone.
func (a *accounts) refetch(ctx context.Context, u User) (User, error) {
	fresh, err := a.store.UserByKey(ctx, u.Key)
	if err == nil && fresh.ID != u.ID {
		err = errNotFound // another user has the name by now
	}
	return fresh, err
}

// reload returns u as it is in the store now, or errBadToken if u is gone or disabled.
func (a *accounts) reload(ctx context.Context, u User) (User, error) {
	fresh, err := a.refetch(ctx, u)
	if err == nil && fresh.Disabled {
		err = errBadToken
	}
	return fresh, replaceNotFound(err, errBadToken)
}

// freshLogin is how long after a login an account may be deleted, or an API key be made.
const freshLogin = 10 * time.Minute

// deleteOwnAccount deletes u and ends all their sessions, or returns errStaleLogin if the login
// of s is too long ago: somebody who finds an open page must not be able to delete the
// account. A token made elsewhere has no login, and so is always too old.
func (a *accounts) deleteOwnAccount(ctx context.Context, u User, s Session, from client) error {
	if !isRecent(s.CreatedAt, a.now(), freshLogin) {
		return errStaleLogin
	}
	if err := a.store.DeleteUser(ctx, u.ID); err != nil {
		return replaceNotFound(err, errBadToken)
	}
	a.metrics.ended(endedByUser, 1)
	a.events.note(ctx, userDeleted, u, from, "")
	return nil
}

// ownEvents is how many of their latest events people see.
const ownEvents = 100

// eventsOf returns the latest events that concern u, latest first.
func (a *accounts) eventsOf(ctx context.Context, u User) ([]Event, error) {
	return a.events.read(ctx, func() ([]Event, error) { return a.store.UserEvents(ctx, u.UID, ownEvents) })
}

// allUsersTimeout is how long it may take to read all users.
const allUsersTimeout = 4 * time.Second

// allUsers returns every user, in the order of their registration.
func (a *accounts) allUsers(ctx context.Context) ([]User, error) {
	ctx, cancel := context.WithTimeout(ctx, allUsersTimeout)
	defer cancel()
	var users []User
	for u, err := range a.store.Users(ctx) {
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, nil
}

// readyTimeout is how long the store may take to answer a health check.
const readyTimeout = 2 * time.Second

// ready returns nil if requests can be answered, errStopping if the server is about to stop,
// or why the store does not answer.
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
