package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestClientHangsUp: what somebody has asked for is done, even if they do not wait for
// the answer.
func TestClientHangsUp(t *testing.T) {
	const form, object = "application/x-www-form-urlencoded", "application/json"
	for _, tt := range []struct {
		name, pattern, contentType string
		body                       func(tokens issuedTokens) string
		out                        bool // the session has ended
	}{
		{"a refresh", "POST /token", form, func(tokens issuedTokens) string {
			return "grant_type=refresh_token&refresh_token=" + tokens.RefreshToken
		}, false},
		{"a log-out", "POST /revoke", form, func(tokens issuedTokens) string { return "token=" + tokens.RefreshToken }, true},
		{"an end", "DELETE /users/me/sessions/{id}", "", nil, true},
		{"an end of all", "DELETE /users/me/sessions/", "", nil, true},
		{"a change of the password", "POST /users/me/password", object, func(issuedTokens) string {
			return fmt.Sprintf(`{"current_password": %q, "new_password": %q}`, goodPassword, newPassword)
		}, true},
		{"a change of the address", "PATCH /users/me/", object, func(issuedTokens) string { return `{"email": null}` }, false},
		{"a deletion", "DELETE /users/me/", "", nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			acc := quietAccounts(t, newMemStore())
			if _, err := acc.register(t.Context(), newUser{Username: "alice", Password: goodPassword}, client{}); err != nil {
				t.Fatal(err)
			}
			tokens := mustLogin(t, acc, credentials{"alice", goodPassword, ""})
			who, err := acc.currentUser(t.Context(), tokens.AccessToken)
			if err != nil {
				t.Fatal(err)
			}
			own := mustLogin(t, acc, credentials{"alice", goodPassword, ""})
			gone, hangUp := context.WithCancel(t.Context())
			hangUp()
			method, path, _ := strings.Cut(strings.ReplaceAll(tt.pattern, "{id}", who.Session.ID), " ")
			body := ""
			if tt.body != nil {
				body = tt.body(tokens)
			}
			r := httptest.NewRequestWithContext(gone, method, path, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+own.AccessToken)
			r.Header.Set("Content-Type", tt.contentType)
			w := httptest.NewRecorder()
			newHandler(edgeSettings{}, acc, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
			if w.Code/100 != 2 {
				t.Errorf("it is not done: %d %s", w.Code, w.Body)
			}
			if anyGood(t.Context(), acc, tokens) == tt.out {
				t.Errorf("the session has ended: %v; want %v", !tt.out, tt.out)
			}
		})
	}
}

// TestEndedWhileSending: a session that ends while somebody is slow to send the body of a
// request changes nothing any more.
func TestEndedWhileSending(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		thief, owner := s.begin("alice"), s.begin("alice")
		body, rest := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), "PATCH", s.URL+"/users/me/", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+thief.access)
		r.Header.Set("Content-Type", "application/json")
		answered := make(chan int)
		go func() {
			resp, err := testClient.Do(r)
			if err != nil {
				t.Error(err)
				close(answered)
				return
			}
			defer resp.Body.Close()
			answered <- resp.StatusCode
		}()
		io.WriteString(rest, `{"email":`) // returns when it has been sent
		if got := s.as(owner, "DELETE", "/users/me/sessions/?keep=current", ""); got.status != 204 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		io.WriteString(rest, `"thief@example.com"}`)
		rest.Close()
		if status := <-answered; status != 401 {
			t.Errorf("the thief's change: %d", status)
		}
		if got := s.as(owner, "GET", "/users/me/", ""); got.body != alice {
			t.Errorf("the owner is %s", got.body)
		}
	})
}
