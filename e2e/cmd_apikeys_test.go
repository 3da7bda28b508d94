package e2e

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// addKey makes an API key of a user, with flags such as "-scope", "read".
func (p place) addKey(t testing.TB, username string, flags ...string) apiKey {
	t.Helper()
	got := p.command(append([]string{"apikeys", "add", username, "-name", "a job"}, flags...)...).run(t)
	checkDone(t, got)
	line, isLine := strings.CutSuffix(got.stdout, "\n")
	m := aKeyText.FindStringSubmatch(line)
	if m == nil || !isLine || got.stderr != "" {
		t.Fatalf("%q, %q; want a key and nothing else", got.stdout, got.stderr)
	}
	return apiKey{ID: m[1], Key: line}
}

// tokenFor asks for an access token with a key.
func (s *server) tokenFor(t testing.TB, key apiKey) answer {
	t.Helper()
	body := url.Values{"grant_type": {"client_credentials"}, "client_id": {key.ID}, "client_secret": {key.Key}}
	return s.do(t, "POST", "/token", body.Encode(), formType)
}

// testAPIKeys: what a command makes and revokes is good, and no longer, at two servers that know
// nothing of it.
func testAPIKeys(t *testing.T, p place) {
	first, second := p.start(t), p.start(t)
	checkDone(t, p.command("users", "add", "robot", "-service", "-scope", "read").run(t))
	key, other := p.addKey(t, "robot", "-scope", "read"), p.addKey(t, "robot", "-days", "never")
	var tokens []string
	for _, s := range []*server{first, second} {
		checkMe(t, s.me(t, key.Key), "robot")
		token := s.tokenFor(t, key).token()
		checkMe(t, first.me(t, token), "robot")
		checkMe(t, second.me(t, token), "robot")
		checkProblem(t, s.authorized(t, "GET", "/users/me/keys/", "", key.Key), 403, "Not possible with an API key")
		checkProblem(t, s.do(t, "POST", "/token", loginForm("robot"), formType), 401, "Incorrect username or password")
		tokens = append(tokens, token)
	}
	if got := p.must(t, "apikeys", "list", "robot"); !strings.Contains(got, time.Now().UTC().Format("2006-01-02")) || strings.Contains(got, "lk_") || !strings.Contains(got, other.ID) {
		t.Errorf("the list is\n%s", got)
	}
	p.must(t, "apikeys", "revoke", "robot", key.ID)
	for _, s := range []*server{first, second} {
		for _, gone := range append(tokens, key.Key) {
			checkProblem(t, s.me(t, gone), 401, "Could not validate credentials")
		}
		if a := s.tokenFor(t, key); a.StatusCode != 401 || !strings.Contains(a.body, `"error":"invalid_client"`) {
			t.Errorf("a token for a key that is revoked: %d %s", a.StatusCode, a.body)
		}
		checkMe(t, s.me(t, other.Key), "robot")
	}
	p.must(t, "users", "disable", "robot")
	checkProblem(t, second.me(t, other.Key), 401, "Could not validate credentials")
	p.must(t, "users", "enable", "robot")
	checkMe(t, first.me(t, other.Key), "robot")
	p.must(t, "users", "delete", "robot", "-yes")
	checkProblem(t, second.me(t, other.Key), 401, "Could not validate credentials")
	checkFailed(t, p.command("apikeys", "list", "robot").run(t), 1, `there is no user "robot"`)
}

// testAPIKeySecrecy: a key is in no log, list, export or event.
func testAPIKeySecrecy(t *testing.T, p place) {
	s := p.start(t, "LOG_LEVEL=debug")
	p.add(t, "alice", "-scope", "admin")
	key := p.addKey(t, "alice", "-scope", "admin")
	secret := key.Key[len(key.Key)-26:]
	token := s.signIn(t, "alice").Access
	s.me(t, key.Key)
	s.me(t, key.Key+"x")
	s.tokenFor(t, key)
	s.do(t, "GET", "/users/me/", "", "Authorization: Basic "+key.Key)
	answers := s.authorized(t, "GET", "/users/me/keys/", "", token).body + s.authorized(t, "GET", "/events/", "", token).body + s.authorized(t, "GET", "/users/alice/", "", key.Key).body
	if !strings.Contains(answers, key.ID) || strings.Contains(answers, secret) {
		t.Errorf("the answers %s; want the ID without the secret", answers)
	}
	for _, args := range [][]string{{"apikeys", "list", "alice"}, {"apikeys", "list", "alice", "-json"}, {"users", "export"}, {"events"}} {
		checkUnprinted(t, p.command(args...).run(t), secret)
	}
	s.events(t, "request")
	if log := s.log.String(); strings.Contains(log, secret) {
		t.Error("the log has the key")
	}
}

// testAPIKeyRace: commands and a server make keys at once, and there are never more than 50.
func testAPIKeyRace(t *testing.T, p place) {
	s := p.startUnthrottled(t)
	p.add(t, "alice")
	token := s.signIn(t, "alice").Access
	var all sync.WaitGroup
	for range 60 {
		all.Go(func() {
			if a := s.authorized(t, "POST", "/users/me/keys/", `{"name":"a"}`, token); a.StatusCode != 200 && a.StatusCode != 400 {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
		})
	}
	for range 3 {
		all.Go(func() { p.command("apikeys", "add", "alice", "-name", "b").run(t) })
	}
	all.Wait()
	var list []struct{ ID string }
	if a := s.authorized(t, "GET", "/users/me/keys/", "", token); json.Unmarshal([]byte(a.body), &list) != nil || len(list) != 50 {
		t.Errorf("%d keys; want 50", len(list))
	}
	checkFailed(t, p.command("apikeys", "add", "alice", "-name", "b").run(t), 1, "has 50 API keys already")
	if got := p.must(t, "apikeys", "revoke", "alice", "-all"); got != "revoked 50 API keys of \"alice\"\n" {
		t.Errorf("revoked: %q", got)
	}
}

// TestOAuthClientCredentials gets tokens with a client that many programs use, and lets it get the next by
// itself.
func TestOAuthClientCredentials(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	s := p.start(t)
	p.add(t, "alice", "-scope", "a", "-scope", "b")
	key := p.addKey(t, "alice", "-scope", "a", "-scope", "b")
	for name, style := range map[string]oauth2.AuthStyle{
		"that finds out how to say who it is": oauth2.AuthStyleAutoDetect,
		"that says so in a header":            oauth2.AuthStyleInHeader,
		"that says so in the form":            oauth2.AuthStyleInParams,
	} {
		t.Run("a client "+name, func(t *testing.T) {
			ctx := context.WithValue(t.Context(), oauth2.HTTPClient, s.client)
			cfg := clientcredentials.Config{ClientID: key.ID, ClientSecret: key.Key, TokenURL: s.url + "/token", Scopes: []string{"a", "c"}, AuthStyle: style}
			token, err := cfg.Token(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(token.Expiry); left < 28*time.Minute || left > 30*time.Minute || token.Type() != "Bearer" || token.RefreshToken != "" || token.Extra("scope") != "a" {
				t.Errorf("the token %+v, with the scope %v", token, token.Extra("scope"))
			}
			resp, err := cfg.Client(ctx).Get(s.url + "/users/me/")
			if err != nil {
				t.Fatal(err)
			}
			if resp.Body.Close(); resp.StatusCode != 200 {
				t.Errorf("with its token: %d", resp.StatusCode)
			}
			cfg.ClientSecret = key.Key[:40] + "AAAAA"
			if _, err := cfg.Token(ctx); err == nil || !strings.Contains(err.Error(), "invalid_client") {
				t.Errorf("with a wrong key: %v; want invalid_client", err)
			}
			if style != oauth2.AuthStyleInParams {
				return
			}
			cfg.ClientSecret, cfg.Scopes = key.Key, []string{"c"}
			if _, err := cfg.Token(ctx); err == nil || !strings.Contains(err.Error(), "invalid_scope") {
				t.Errorf("with a scope of others: %v; want invalid_scope", err)
			}
		})
	}
}
