package main

import (
	"context"
	"net/http"
)

// administrator is for operations of administrators: it is signedIn for users who have the scope
// admin now. Others learn nothing: they get the same answer whatever they ask for.
func (a *api) administrator(h userHandlerFunc) handlerFunc {
	return a.signedIn(func(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
		if !me.User.Scopes.has(scopeAdmin) {
			a.accounts.events.note(ctx, authorizationFailed, me.User, me.client, r.Pattern)
			return errNotPermitted
		}
		return h(ctx, w, r, me.acting())
	})
}

// findUsers answers with a page of users.
func (a *api) findUsers(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	wanted, limit, err := parseUserQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	return sendList(w, a.accounts.searches, me, func() (any, error) {
		users, err := a.accounts.store.FindUsers(ctx, wanted, limit)
		return newUserPage(users, limit), err
	})
}

// userInPath returns the user whom the path names, or errNotFound.
func (a *api) userInPath(ctx context.Context, r *http.Request) (User, error) {
	return a.accounts.userByName(ctx, r.PathValue("username"))
}

// readUser answers with a user.
func (a *api) readUser(ctx context.Context, w http.ResponseWriter, r *http.Request, _ caller) error {
	u, err := a.userInPath(ctx, r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newAdminUser(u))
}

// updateUser changes a user.
func (a *api) updateUser(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	u, err := a.userInPath(ctx, r)
	if err != nil {
		return err
	}
	members, err := readObject(r)
	if err != nil {
		return err
	}
	edit, err := parseUserEdit(members, u.Username, a.accounts.minPasswordLength)
	if err != nil {
		return err
	}
	u, err = a.accounts.updateUser(ctx, u, edit, me.client)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newAdminUser(u))
}

// deleteUser deletes a user.
func (a *api) deleteUser(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	u, err := a.userInPath(ctx, r)
	if err != nil {
		return err
	}
	return noContent(w, a.accounts.deleteUser(ctx, u, me.client))
}

// readUserSessions answers with the sessions of a user.
func (a *api) readUserSessions(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	u, err := a.userInPath(ctx, r)
	if err != nil {
		return err
	}
	limit, err := parseLimitOnly(r.URL.RawQuery)
	if err != nil {
		return err
	}
	return sendList(w, a.accounts.lists, me, func() (any, error) {
		sessions, err := a.accounts.listSessions(ctx, u, Session{}, limit)
		return newUserSessions(sessions), err
	})
}

// deleteUserSessions ends all sessions of a user.
func (a *api) deleteUserSessions(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	u, err := a.userInPath(ctx, r)
	if err != nil {
		return err
	}
	return noContent(w, a.accounts.endSessionsOf(ctx, u, me.client))
}

// deleteUserSession ends one session of a user.
func (a *api) deleteUserSession(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	u, err := a.userInPath(ctx, r)
	if err != nil {
		return err
	}
	return noContent(w, a.accounts.endSessionOf(ctx, u, r.PathValue("id"), me.client))
}

// readEvents answers with a page of events.
func (a *api) readEvents(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	wanted, limit, err := parseEventQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	return sendList(w, a.accounts.readings, me, func() (any, error) {
		events, err := a.accounts.findEvents(ctx, wanted, limit)
		return newEventPage(events, limit), err
	})
}
