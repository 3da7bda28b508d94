package main

import (
	"context"
	"errors"
	"log/slog"
)

// What an administrator does with the accounts of others. The caller says who that is in
// client.Actor.

// setPassword gives a user another password and ends all their sessions.
func (a *accounts) setPassword(ctx context.Context, u User, password string, by client) error {
	hash, err := a.hash(by.presence(), password)
	if err != nil {
		return err
	}
	_, err = a.store.UpdateUser(ctx, u.ID, userChange{PasswordHash: &hash, EndSessions: &sessionsEnd{ValidAfter: a.now()}})
	if err != nil {
		return err
	}
	a.metrics.ended(endedByAdmin, 1)
	a.forgetSources(ctx, u, by)
	a.event(ctx, slog.LevelInfo, "authn_password_change", u.Username, by)
	return nil
}

// setDisabled says whether a user may log in. Disabling a user ends all their sessions.
func (a *accounts) setDisabled(ctx context.Context, u User, disabled bool, by client) error {
	if u.Disabled == disabled {
		return nil
	}
	change, event := userChange{Disabled: &disabled}, "authn_account_enabled"
	if disabled {
		change.EndSessions, event = &sessionsEnd{ValidAfter: a.now()}, "authn_account_disabled"
	}
	if _, err := a.store.UpdateUser(ctx, u.ID, change); err != nil {
		return err
	}
	if disabled {
		a.metrics.ended(endedByAdmin, 1)
	}
	a.event(ctx, slog.LevelInfo, event, u.Username, by)
	return nil
}

// changeScopes replaces the scopes of a user by what next makes of them. It returns errNotFound
// if the user is gone, errRaced, and the errors of next.
func (a *accounts) changeScopes(ctx context.Context, u User, next func(scopes) (scopes, error), by client) (User, error) {
	for range maxRaces {
		wanted, err := next(u.Scopes)
		if err != nil || wanted == u.Scopes {
			return u, err
		}
		changed, err := a.store.UpdateUser(ctx, u.ID, userChange{Scopes: &wanted, IfScopes: &u.Scopes})
		if err == nil {
			a.event(ctx, slog.LevelInfo, "privilege_permissions_changed", u.Username, by)
			return changed, nil
		}
		if !errors.Is(err, errNotFound) {
			return User{}, err
		}
		fresh, err := a.store.UserByKey(ctx, u.Key)
		if err == nil && fresh.ID != u.ID {
			err = errNotFound // another user has the name by now
		}
		if err != nil {
			return User{}, err
		}
		u = fresh
	}
	return User{}, errRaced
}

// removeUser deletes a user and ends all their sessions.
func (a *accounts) removeUser(ctx context.Context, u User, by client) error {
	if err := a.store.DeleteUser(ctx, u.ID); err != nil {
		return err
	}
	a.metrics.ended(endedByAdmin, 1)
	a.event(ctx, slog.LevelInfo, "user_deleted", u.Username, by)
	return nil
}
