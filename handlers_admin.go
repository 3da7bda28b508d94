package main

import (
	"context"
	"net/http"
)

// administrator is for operations of administrators: it is signedInOrKey for those who have the scope
// admin now. Others learn nothing: they get the same answer whatever they ask for.
func (a *api) administrator(h userHandlerFunc) handlerFunc {
	return a.signedInOrKey(func(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
		if !me.Scopes.has(scopeAdmin) {
			return a.refuse(ctx, me, r.Pattern, scopeAdmin)
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

// aboutUser is for operations of administrators on the user whom the path names. It is
// administrator for users who exist: h gets u.
func (a *api) aboutUser(h func(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller, u User) error) handlerFunc {
	return a.administrator(func(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
		u, err := a.accounts.userByName(ctx, r.PathValue("username"))
		if err != nil {
			return err
		}
		if me.byAPIKey() && me.isUser(u) && r.Method != http.MethodGet && r.Method != http.MethodHead {
			return errNotForAPIKeys // a key must not become its owner's password
		}
		return h(ctx, w, r, me, u)
	})
}

// readUser answers with a user.
func (a *api) readUser(_ context.Context, w http.ResponseWriter, _ *http.Request, _ caller, u User) error {
	return writeJSON(w, http.StatusOK, newAdminUser(u))
}

// updateUser changes a user.
func (a *api) updateUser(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller, u User) error {
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
func (a *api) deleteUser(ctx context.Context, w http.ResponseWriter, _ *http.Request, me caller, u User) error {
	return noContent(w, a.accounts.deleteUser(ctx, u, me.client))
}

// readUserSessions answers with the sessions of a user.
func (a *api) readUserSessions(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller, u User) error {
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
func (a *api) deleteUserSessions(ctx context.Context, w http.ResponseWriter, _ *http.Request, me caller, u User) error {
	return noContent(w, a.accounts.endSessionsOf(ctx, u, me.client))
}

// deleteUserSession ends one session of a user.
func (a *api) deleteUserSession(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller, u User) error {
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
