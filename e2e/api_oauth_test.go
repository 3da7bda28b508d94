package e2e

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// An oauthClient is a program that knows nothing of Latchkey but the address of its
// token endpoint.
type oauthClient struct {
	oauth2.Config
	ctx context.Context
}

func newOAuthClient(t testing.TB, s *server, style oauth2.AuthStyle) oauthClient {
	t.Helper()
	return oauthClient{
		oauth2.Config{ClientID: "a client", ClientSecret: "of no account", Endpoint: oauth2.Endpoint{TokenURL: s.url + "/token", AuthStyle: style}},
		context.WithValue(t.Context(), oauth2.HTTPClient, s.client),
	}
}

// logIn gets tokens for alice's password.
func (c oauthClient) logIn(t testing.TB) *oauth2.Token {
	t.Helper()
	token, err := c.PasswordCredentialsToken(c.ctx, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// expired is a token as it is half an hour later.
func expired(token *oauth2.Token) *oauth2.Token {
	later := *token
	later.Expiry = time.Now().Add(-time.Second)
	return &later
}

// TestOAuthClient logs in with a client that many programs use, and lets it refresh
// by itself.
func TestOAuthClient(t *testing.T) {
	t.Parallel()
	s := start(t, "REFRESH_GRACE_SECONDS=60")
	s.register(t, "alice")
	for name, style := range map[string]oauth2.AuthStyle{
		"that finds out how to say who it is": oauth2.AuthStyleAutoDetect,
		"that says so in a header":            oauth2.AuthStyleInHeader,
		"that says so in the form":            oauth2.AuthStyleInParams,
	} {
		t.Run("a client "+name, func(t *testing.T) {
			c := newOAuthClient(t, s, style)
			first := c.logIn(t)
			if left := time.Until(first.Expiry); left < 28*time.Minute || left > 30*time.Minute || first.Type() != "Bearer" {
				t.Errorf("a token of type %s for %v; want Bearer and half an hour", first.Type(), left)
			}
			checkReads(t, c.Client(c.ctx, first), s)
			checkReads(t, c.Client(c.ctx, expired(first)), s)

			next, err := c.TokenSource(c.ctx, expired(first)).Token()
			if err != nil {
				t.Fatal(err)
			}
			if next.RefreshToken == first.RefreshToken || next.AccessToken == first.AccessToken || !next.Valid() {
				t.Error("the refreshed tokens are the old ones, or have expired")
			}
			checkMe(t, s.me(t, next.AccessToken), "alice")
			checkReads(t, c.Client(c.ctx, expired(next)), s)
		})
	}
}

// TestOAuthClientGuesses: a client that tries twice, to find out how to say who it is, has
// guessed once.
func TestOAuthClientGuesses(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	s := p.start(t)
	s.register(t, "alice")
	c := newOAuthClient(t, s, oauth2.AuthStyleAutoDetect)
	for n := 1; n <= 5; n++ {
		if _, err := c.PasswordCredentialsToken(c.ctx, "alice", anotherWrong()); err == nil {
			t.Fatal("a wrong password is taken")
		}
		if got := p.number(t, "SELECT max(failures) FROM login_failures"); got != n {
			t.Errorf("%d failures after %d wrong passwords", got, n)
		}
	}
	if got := len(s.events(t, "authn_login_fail")); got != 10 {
		t.Errorf("it has tried %d times; want 10, or this test shows nothing", got)
	}
}

// TestOAuthClientScope: a client that asks for a scope is told that it has none, and may
// repeat it when it refreshes, as many libraries do by themselves.
func TestOAuthClientScope(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.register(t, "alice")
	c := newOAuthClient(t, s, oauth2.AuthStyleInParams)
	if scope := c.logIn(t).Extra("scope"); scope != nil {
		t.Errorf("without a scope the client is told %q", scope)
	}
	c.Scopes = []string{"read", "offline_access"}
	token := c.logIn(t)
	if scope := token.Extra("scope"); scope != "" {
		t.Errorf("the client is told that it has the scope %v; want an empty one", scope)
	}
	next, err := c.Exchange(c.ctx, "", oauth2.SetAuthURLParam("grant_type", "refresh_token"),
		oauth2.SetAuthURLParam("refresh_token", token.RefreshToken), oauth2.SetAuthURLParam("scope", "read offline_access"))
	if err != nil {
		t.Fatal(err)
	}
	if scope := next.Extra("scope"); scope != "" {
		t.Errorf("after the refresh it is told %v; want an empty scope", scope)
	}
	checkReads(t, c.Client(c.ctx, expired(next)), s)
}

// checkReads reports a client that cannot read who it is.
func checkReads(t testing.TB, client *http.Client, s *server) {
	t.Helper()
	resp, err := client.Get(s.url + "/users/me/")
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	checkMe(t, answer{resp, string(body)}, "alice")
}

// TestOAuthClientRefused: the client understands why it gets no token.
func TestOAuthClientRefused(t *testing.T) {
	t.Parallel()
	s := start(t, "REFRESH_GRACE_SECONDS=0")
	s.register(t, "alice")
	c := newOAuthClient(t, s, oauth2.AuthStyleInParams)
	refresh := func(token *oauth2.Token) error {
		_, err := c.TokenSource(c.ctx, expired(token)).Token()
		return err
	}
	revoked, changed, used := c.logIn(t), c.logIn(t), c.logIn(t)
	s.revoke(t, revoked.RefreshToken)
	changed.RefreshToken = changed.AccessToken
	if err := refresh(used); err != nil {
		t.Error(err)
	}
	_, wrong := c.PasswordCredentialsToken(c.ctx, "alice", "wrong")
	c.Scopes = []string{"admin"}
	c.logIn(t) // without that scope, which nobody is granted
	tests := []struct {
		name        string
		err         error
		status      int
		description string
	}{
		{"a session that was revoked", refresh(revoked), 400, "the session has ended"},
		{"a token that is none", refresh(changed), 400, "refresh token not valid"},
		{"a token that was used", refresh(used), 400, "refresh token already used; the session has ended"},
		{"a wrong password", wrong, 401, "Incorrect username or password"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkRetrieveError(t, tt.err, tt.status, tt.description) })
	}
}

// checkRetrieveError reports an error of the client that does not say why.
func checkRetrieveError(t *testing.T, err error, status int, description string) {
	t.Helper()
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		t.Fatalf("got %v; want a RetrieveError", err)
	}
	if refused.ErrorCode != "invalid_grant" || refused.ErrorDescription != description || refused.Response.StatusCode != status {
		t.Errorf("got %d, %s, %q; want %d, invalid_grant, %q",
			refused.Response.StatusCode, refused.ErrorCode, refused.ErrorDescription, status, description)
	}
}
