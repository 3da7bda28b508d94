package main

import (
	"context"
	"net/http"
)

// readUsersMe answers with the signed-in user.
func (a *api) readUsersMe(_ context.Context, w http.ResponseWriter, _ *http.Request, me caller) error {
	return writeJSON(w, http.StatusOK, newUserResponse(me.User))
}

// updateUsersMe changes the signed-in user's own data.
func (a *api) updateUsersMe(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	members, err := readObject(r)
	if err != nil {
		return err
	}
	change, err := parseProfileChange(members)
	if err != nil {
		return err
	}
	u, err := a.accounts.updateProfile(ctx, me.User, change, me.client)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newUserResponse(u))
}

// updatePassword changes the signed-in user's password.
func (a *api) updatePassword(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	members, err := readObject(r)
	if err != nil {
		return err
	}
	change, err := parsePasswordChange(members, me.User.Username, a.accounts.minPasswordLength)
	if err != nil {
		return err
	}
	return noContent(w, a.accounts.changePassword(ctx, me.User, me.Session, change, me.client))
}

// deleteUsersMe deletes the signed-in user.
func (a *api) deleteUsersMe(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	return noContent(w, a.accounts.deleteOwnAccount(ctx, me.User, me.Session, me.client))
}

// readSessions answers with the sessions of the signed-in user.
func (a *api) readSessions(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	limit, err := parseLimit(r.URL.RawQuery)
	if err != nil {
		return err
	}
	return sendList(w, a.accounts.lists, me, func() (any, error) {
		sessions, err := a.accounts.listSessions(ctx, me.User, me.Session, limit)
		return newSessionList(sessions, me.Session.ID), err
	})
}

// readOwnEvents answers with the latest events that concern the signed-in user.
func (a *api) readOwnEvents(ctx context.Context, w http.ResponseWriter, _ *http.Request, me caller) error {
	return sendList(w, a.accounts.readings, me, func() (any, error) {
		events, err := a.accounts.eventsOf(ctx, me.User)
		return newOwnEvents(events), err
	})
}

// deleteSessions ends all sessions of the signed-in user, or with ?keep=current all
// others.
func (a *api) deleteSessions(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	keep, err := parseKeep(r.URL.RawQuery, me.Session.ID)
	if err != nil {
		return err
	}
	return noContent(w, a.accounts.endSessions(ctx, me.User, keep, me.client))
}

// deleteOneSession ends one session of the signed-in user. A session of another user is not
// found, because the answer must not tell whether it exists.
func (a *api) deleteOneSession(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	return noContent(w, a.accounts.endSession(ctx, me.User, r.PathValue("id"), endedByUser, me.client))
}
