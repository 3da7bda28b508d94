package main

import (
	"context"
	"errors"
	"strings"
	"time"
)

// What an administrator does with the accounts of others. The caller says who that is in
// client.Actor. It is recorded in the store before the answer is sent; see report.

// errOwnAccount means that administrators must not lock themselves out.
var errOwnAccount = errors.New("one's own account")

// createAccount adds a user, also while registration is closed. It returns errBusy, or errExists
// if the name is taken.
func (a *accounts) createAccount(ctx context.Context, req newUser, by client) (User, error) {
	u, err := a.addUser(ctx, req, by)
	if err != nil {
		return User{}, err
	}
	a.warn(ctx, "cannot forget the failures of a user", u, a.clearFailures(ctx, u))
	return u, a.events.record(ctx, a.events.newEvent(userCreated, u, by, describeNewUser(req)))
}

// ensureAdmin creates an administrator, unless somebody has the name. It changes nobody: a name
// in the settings must not make an administrator of a stranger.
func (a *accounts) ensureAdmin(ctx context.Context, username, password string) error {
	u, err := a.userByName(ctx, username)
	if errors.Is(err, errNotFound) {
		first := newUser{Username: username, Password: password, Scopes: scopeAdmin}
		u, err = a.createAccount(ctx, first, client{Actor: "env:ADMIN_USERNAME"})
	}
	if errors.Is(err, errExists) { // another replica was quicker
		u, err = a.userByName(ctx, username)
	}
	if err == nil && !u.Scopes.has(scopeAdmin) {
		a.log.WarnContext(ctx, "ADMIN_USERNAME names a user who is no administrator; want another name, or: latchkey users grant NAME admin",
			"username", u.Username)
	}
	return err
}

// describeNewUser says what is unusual about a new user.
func describeNewUser(req newUser) string {
	detail := describeScopes("", req.Scopes)
	if req.Disabled {
		detail += " disabled"
	}
	if req.NoPassword {
		detail += " service"
	}
	return strings.TrimSpace(detail)
}

// A userEdit is what an administrator changes of an account. What is nil or not Set stays.
type userEdit struct {
	Email    optionalText
	FullName optionalText
	Password *string
	Disabled *bool
	Scopes   func(scopes) (scopes, error) // makes the new ones from the old
}

// updateUser makes all changes in one step, and returns the changed user. A password, and disabling
// the user, end all their sessions. It returns errNotFound if the user is gone, errOwnAccount,
// errBusy, errRaced, and the errors of edit.Scopes.
func (a *accounts) updateUser(ctx context.Context, u User, edit userEdit, by client) (User, error) {
	var hash *string
	if edit.Password != nil {
		made, err := a.hash(by.presence(), *edit.Password)
		if err != nil {
			return User{}, err
		}
		hash = &made
	}
	for range maxRaces {
		change, err := edit.change(u, hash, a.now())
		if err == nil && by.isUser(u) && locksOut(u, change) {
			err = errOwnAccount
		}
		if err != nil {
			return User{}, err
		}
		changed, err := a.store.UpdateUser(ctx, u.ID, change)
		if err == nil {
			a.followUp(ctx, u, change)
			return changed, a.events.record(ctx, a.describe(u, change, by)...)
		}
		if !errors.Is(err, errNotFound) {
			return User{}, err
		}
		if u, err = a.refetch(ctx, u); err != nil {
			return User{}, err
		}
	}
	return User{}, errRaced
}

// change returns what an edit changes of u. hash is that of a new password.
func (e userEdit) change(u User, hash *string, now time.Time) (userChange, error) {
	change := userChange{Email: e.Email, FullName: e.FullName, PasswordHash: hash}
	if e.Disabled != nil {
		change.Disabled, change.IfDisabled = e.Disabled, &u.Disabled
	}
	if hash != nil || e.Disabled != nil && *e.Disabled && !u.Disabled {
		change.EndSessions = &sessionsEnd{ValidAfter: now}
	}
	if e.Scopes == nil {
		return change, nil
	}
	granted, err := e.Scopes(u.Scopes)
	if err == nil && granted != u.Scopes {
		change.Scopes, change.IfScopes = &granted, &u.Scopes
	}
	return change, err
}

// locksOut reports whether an administrator u could not undo a change.
func locksOut(u User, change userChange) bool {
	return change.Disabled != nil && *change.Disabled ||
		change.Scopes != nil && u.Scopes.has(scopeAdmin) && !change.Scopes.has(scopeAdmin)
}

// followUp does what comes after a change of u by an administrator.
func (a *accounts) followUp(ctx context.Context, u User, change userChange) {
	if change.EndSessions != nil {
		a.metrics.ended(endedByAdmin, 1)
	}
	if change.PasswordHash != nil {
		a.forgetSources(ctx, u, "")
		a.warn(ctx, "cannot forget the failures of a user", u, a.clearFailures(ctx, u))
	}
}

// describe returns the events of a change of u, as u was before.
func (a *accounts) describe(u User, change userChange, by client) []Event {
	var events []Event
	add := func(name, detail string) { events = append(events, a.events.newEvent(name, u, by, detail)) }
	if fields := changedFields(change); fields != "" {
		add(userUpdated, fields)
	}
	if change.PasswordHash != nil {
		add(passwordChanged, "")
	}
	switch {
	case change.Disabled == nil || *change.Disabled == u.Disabled:
	case *change.Disabled:
		add(accountDisabled, "")
	default:
		add(accountEnabled, "")
	}
	if change.Scopes != nil {
		add(permissionsChanged, describeScopes(u.Scopes, *change.Scopes))
	}
	return events
}

// describeScopes says what is granted and what is taken: "+admin -reports".
func describeScopes(before, after scopes) string {
	var words []string
	for _, name := range after.names() {
		if !before.has(name) {
			words = append(words, "+"+name)
		}
	}
	for _, name := range before.names() {
		if !after.has(name) {
			words = append(words, "-"+name)
		}
	}
	return strings.Join(words, " ")
}

// deleteUser deletes a user and ends all their sessions. It returns errNotFound or errOwnAccount.
func (a *accounts) deleteUser(ctx context.Context, u User, by client) error {
	if by.isUser(u) {
		return errOwnAccount
	}
	if err := a.store.DeleteUser(ctx, u.ID); err != nil {
		return err
	}
	a.metrics.ended(endedByAdmin, 1)
	return a.events.record(ctx, a.events.newEvent(userDeleted, u, by, ""))
}

// endSessionOf ends a session of u, or returns errNotFound.
func (a *accounts) endSessionOf(ctx context.Context, u User, sessionID string, by client) error {
	if err := a.store.EndSession(ctx, u.ID, sessionID); err != nil {
		return err
	}
	a.metrics.ended(endedByAdmin, 1)
	return a.events.record(ctx, a.events.newEvent(tokenRevoked, u, by, "one session"))
}

// endSessionsOf ends all sessions of u, or returns errNotFound.
func (a *accounts) endSessionsOf(ctx context.Context, u User, by client) error {
	_, err := a.store.UpdateUser(ctx, u.ID, userChange{EndSessions: &sessionsEnd{ValidAfter: a.now()}})
	if err != nil {
		return err
	}
	a.metrics.ended(endedByAdmin, 1)
	return a.events.record(ctx, a.events.newEvent(tokenRevoked, u, by, "all sessions"))
}

// findEvents returns the first events that q asks for, oldest first.
func (a *accounts) findEvents(ctx context.Context, q eventQuery, limit int) ([]Event, error) {
	return a.events.read(ctx, func() ([]Event, error) { return a.store.Events(ctx, q, limit) })
}
