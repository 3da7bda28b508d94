package main

import (
	"context"
	"net/http"
)

// readUsersMe answers with the signed-in user.
func readUsersMe(w http.ResponseWriter, _ *http.Request, u User, _ Session) error {
	return writeJSON(w, http.StatusOK, u.response())
}

// updateUsersMe changes the signed-in user's own data.
func updateUsersMe(acc *accounts) userHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, u User, _ Session) error {
		members, err := readObject(r)
		if err != nil {
			return err
		}
		change, err := parseProfileChange(members)
		if err != nil {
			return err
		}
		u, err = acc.updateProfile(r.Context(), u, change, sender(r))
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, u.response())
	}
}

// updatePassword changes the signed-in user's password.
func updatePassword(acc *accounts) userHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, u User, s Session) error {
		members, err := readObject(r)
		if err != nil {
			return err
		}
		change, err := parsePasswordChange(members, u.Username, acc.minPasswordLength)
		if err != nil {
			return err
		}
		return noContent(w, acc.changePassword(r.Context(), u, s, change, sender(r)))
	}
}

// deleteUsersMe deletes the signed-in user.
func deleteUsersMe(acc *accounts) userHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, u User, s Session) error {
		return noContent(w, acc.deleteUser(r.Context(), u, s, sender(r)))
	}
}

// readSessions answers with the sessions of the signed-in user.
func readSessions(acc *accounts) userHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, u User, s Session) error {
		limit, err := parseLimit(r.URL.RawQuery)
		if err != nil {
			return err
		}
		body, err := encodeSessions(r.Context(), acc, u, s, limit)
		if err != nil {
			return err
		}
		body.send(w, http.StatusOK)
		return nil
	}
}

// encodeSessions encodes a list of sessions, in its turn. It is sent after that, because a
// client that is slow to take it must not keep others waiting.
func encodeSessions(ctx context.Context, acc *accounts, u User, s Session, limit int) (*encoder, error) {
	if err := acc.lists.enter(ctx); err != nil {
		return nil, err
	}
	defer acc.lists.leave()
	sessions, err := acc.listSessions(ctx, u, s, limit)
	if err != nil {
		return nil, err
	}
	return encodeJSON(sessions)
}

// deleteSessions ends all sessions of the signed-in user, or with ?keep=current all
// others.
func deleteSessions(acc *accounts) userHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, u User, s Session) error {
		keep, err := parseKeep(r.URL.RawQuery, s.ID)
		if err != nil {
			return err
		}
		return noContent(w, acc.endSessions(r.Context(), u, keep, sender(r)))
	}
}

// deleteOneSession ends one session of the signed-in user. That of somebody else is not
// found: whether it exists is not theirs to know.
func deleteOneSession(acc *accounts) userHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, u User, _ Session) error {
		return noContent(w, acc.endSession(r.Context(), u, r.PathValue("id"), sender(r)))
	}
}
