package main

import (
	"context"
	"errors"
	"strings"
)

// What an administrator does with the accounts of others. The caller says who that is in
// client.Actor. What was done is in the store before it is answered; see report.

// errOwnAccount means that administrators must not lock themselves out.
var errOwnAccount = errors.New("one's own account")

// createAccount adds a user, also while registration is closed. It returns errBusy, or errExists
// if the name is taken.
func (a *accounts) createAccount(ctx context.Context, req newUser, by client) (User, error) {
	u, err := a.addUser(ctx, req, by)
	if err != nil {
		return User{}, err
	}
	a.clearFailures(ctx, u)
	return u, a.report(ctx, a.newEvent(userCreated, u, by, describeNewUser(req)))
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
		a.log.WarnContext(ctx, "ADMIN_USERNAME is a user who is no administrator; want another name, or: latchkey users grant NAME admin",
			"username", u.Username)
	}
	return err
}

// describeNewUser says what is unusual about a new user.
func describeNewUser(req newUser) string {
	detail := describeScopes("", req.Scopes)
	if req.Disabled {
		detail = strings.TrimSpace(detail + " disabled")
	}
	return detail
}

// A userEdit is what an administrator changes of an account. What is nil or not Set stays.
type userEdit struct {
	Email    optionalText
	FullName optionalText
	Password *string
	Disabled *bool
	Scopes   func(scopes) (scopes, error) // makes the new ones from the old
}

// editUser makes all changes in one step, and returns the changed user. A password, and disabling
// the user, end all their sessions. It returns errNotFound if the user is gone, errOwnAccount,
// errBusy, errRaced, and the errors of edit.Scopes.
func (a *accounts) editUser(ctx context.Context, u User, edit userEdit, by client) (User, error) {
	var hash *string
	if edit.Password != nil {
		made, err := a.hash(by.presence(), *edit.Password)
		if err != nil {
			return User{}, err
		}
		hash = &made
	}
	for range maxRaces {
		change, events, err := a.planEdit(u, edit, hash, by)
		if err != nil {
			return User{}, err
		}
		changed, err := a.store.UpdateUser(ctx, u.ID, change)
		if err == nil {
			a.followUp(ctx, u, change)
			return changed, a.report(ctx, events...)
		}
		if !errors.Is(err, errNotFound) {
			return User{}, err
		}
		if u, err = a.lookAgain(ctx, u); err != nil {
			return User{}, err
		}
	}
	return User{}, errRaced
}

// followUp does what comes after a change of u by an administrator.
func (a *accounts) followUp(ctx context.Context, u User, change userChange) {
	if change.EndSessions != nil {
		a.metrics.ended(endedByAdmin, 1)
	}
	if change.PasswordHash != nil {
		a.forgetSources(ctx, u, "")
		a.clearFailures(ctx, u)
	}
}

// planEdit returns what an edit changes of u, and the events of that. hash is that of a new
// password.
func (a *accounts) planEdit(u User, edit userEdit, hash *string, by client) (userChange, []Event, error) {
	change := userChange{Email: edit.Email, FullName: edit.FullName, PasswordHash: hash, Disabled: edit.Disabled}
	var events []Event
	note := func(name, detail string) { events = append(events, a.newEvent(name, u, by, detail)) }
	if fields := changedFields(change); fields != "" {
		note(userUpdated, fields)
	}
	if hash != nil {
		note(passwordChanged, "")
	}
	disables := edit.Disabled != nil && *edit.Disabled
	switch {
	case disables && !u.Disabled:
		note(accountDisabled, "")
	case edit.Disabled != nil && !disables && u.Disabled:
		note(accountEnabled, "")
	}
	if hash != nil || disables {
		change.EndSessions = &sessionsEnd{ValidAfter: a.now()}
	}
	granted := u.Scopes
	if edit.Scopes != nil {
		var err error
		if granted, err = edit.Scopes(u.Scopes); err != nil {
			return userChange{}, nil, err
		}
	}
	if granted != u.Scopes {
		change.Scopes, change.IfScopes = &granted, &u.Scopes
		note(permissionsChanged, describeScopes(u.Scopes, granted))
	}
	if by.isUser(u) && (disables || u.Scopes.has(scopeAdmin) && !granted.has(scopeAdmin)) {
		return userChange{}, nil, errOwnAccount
	}
	return change, events, nil
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

// removeUser deletes a user and ends all their sessions. It returns errNotFound or errOwnAccount.
func (a *accounts) removeUser(ctx context.Context, u User, by client) error {
	if by.isUser(u) {
		return errOwnAccount
	}
	if err := a.store.DeleteUser(ctx, u.ID); err != nil {
		return err
	}
	a.metrics.ended(endedByAdmin, 1)
	return a.report(ctx, a.newEvent(userDeleted, u, by, ""))
}

// endSessionOf ends a session of u, or returns errNotFound.
func (a *accounts) endSessionOf(ctx context.Context, u User, sessionID string, by client) error {
	if err := a.store.EndSession(ctx, u.ID, sessionID); err != nil {
		return err
	}
	a.metrics.ended(endedByAdmin, 1)
	return a.report(ctx, a.newEvent(tokenRevoked, u, by, oneByAdmin))
}

// endSessionsOf ends all sessions of u, or returns errNotFound.
func (a *accounts) endSessionsOf(ctx context.Context, u User, by client) error {
	_, err := a.store.UpdateUser(ctx, u.ID, userChange{EndSessions: &sessionsEnd{ValidAfter: a.now()}})
	if err != nil {
		return err
	}
	a.metrics.ended(endedByAdmin, 1)
	return a.report(ctx, a.newEvent(tokenRevoked, u, by, allByAdmin))
}

// clearFailures forgets wrong passwords of u. If that fails, the user may have to wait.
func (a *accounts) clearFailures(ctx context.Context, u User) {
	if a.throttle == nil {
		return
	}
	for _, account := range a.throttle.accountNames(u.Key) {
		a.warn(ctx, "cannot forget the failures of a user", u, a.store.ClearFailures(ctx, account))
	}
}

// findEvents returns the first events that q asks for, oldest first. Those that wait to be written
// come first into the store, so that nobody looks for what has just happened in vain.
func (a *accounts) findEvents(ctx context.Context, q eventQuery, limit int) ([]Event, error) {
	if a.events == nil {
		return nil, nil
	}
	a.events.hasten(ctx)
	return a.store.Events(ctx, q, limit)
}

// ownEvents is how many of their latest events people see.
const ownEvents = 100

// eventsOf returns the latest events that concern u, latest first.
func (a *accounts) eventsOf(ctx context.Context, u User) ([]Event, error) {
	if a.events == nil {
		return nil, nil
	}
	a.events.hasten(ctx)
	return a.store.UserEvents(ctx, u.UID, ownEvents)
}
