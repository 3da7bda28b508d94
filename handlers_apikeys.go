package main

import (
	"context"
	"net/http"
)

// createAPIKey makes an API key of the signed-in user. The answer is the only one that has the key.
func (a *api) createAPIKey(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	members, err := readObject(r)
	if err != nil {
		return err
	}
	req, err := parseAPIKeyRequest(members, me.Scopes)
	if err != nil {
		return err
	}
	k, text, err := a.accounts.createOwnAPIKey(ctx, me.identity, req, me.client)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, createdAPIKey{newAPIKeyFacts(k), text})
}

// readAPIKeys answers with the API keys of the signed-in user.
func (a *api) readAPIKeys(ctx context.Context, w http.ResponseWriter, _ *http.Request, me caller) error {
	keys, err := a.accounts.apiKeysOf(ctx, me.User)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, newAPIKeyList(keys))
}

// deleteAPIKeys deletes all API keys of the signed-in user.
func (a *api) deleteAPIKeys(ctx context.Context, w http.ResponseWriter, _ *http.Request, me caller) error {
	_, err := a.accounts.deleteAPIKeys(ctx, me.User, me.client)
	return noContent(w, err)
}

// deleteOneAPIKey deletes one API key of the signed-in user. A key of another user is not found, because
// the answer must not tell whether it exists.
func (a *api) deleteOneAPIKey(ctx context.Context, w http.ResponseWriter, r *http.Request, me caller) error {
	return noContent(w, a.accounts.deleteAPIKey(ctx, me.User, r.PathValue("id"), me.client))
}
