package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Bodies that answer programs, to the byte.
const (
	notForKeys = `{"detail":"Not possible with an API key"}`
	badClient  = `{"detail":"Unknown client or wrong secret; want the ID of an API key as client_id and the key as client_secret","error":"invalid_client","error_description":"Unknown client or wrong secret; want the ID of an API key as client_id and the key as client_secret"}`
)

// makeKey makes an API key with these members in the body, after its name.
func (s *testServer) makeKey(p pair, members string) (id, key string) {
	s.t.Helper()
	a := s.as(p, "POST", "/users/me/keys/", `{"name":"job"`+members+`}`)
	if a.status != 200 || a.header.Get("Cache-Control") != "no-store" {
		s.t.Fatalf("a key: %d %s, %v", a.status, a.body, a.header)
	}
	return a.field("id"), a.field("key")
}

// exchange asks for an access token with an API key, and perhaps a scope.
func (s *testServer) exchange(id, key, scope string) answer {
	s.t.Helper()
	return s.login(url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {key}, "scope": {scope}}.Encode())
}

// TestMakeKey: what people may ask for.
func TestMakeKey(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "read write")
		tokens := s.begin("alice")
		for _, tt := range []struct {
			name, body string
			status     int
			contains   string
		}{
			{"a name", `{"name":"a job"}`, 200, `"name":"a job","scope":"","created_at":"2`},
			{"the default life", `{"name":"a"}`, 200, `"expires_at":"` + s.clock.Now().UTC().Add(90*day).Truncate(time.Microsecond).Format(time.RFC3339Nano)},
			{"a day", `{"name":"a","expires_in_days":1}`, 200, `"expires_at":"` + s.clock.Now().UTC().Add(day).Truncate(time.Microsecond).Format(time.RFC3339Nano)},
			{"a leap year", `{"name":"a","expires_in_days":366}`, 200, `"key":"lk_`},
			{"a scope", `{"name":"a","scope":"write"}`, 200, `"scope":"write"`},
			{"all scopes, in any order", `{"name":"a","scope":" write  read "}`, 200, `"scope":"read write"`},
			{"no scope", `{"name":"a","scope":null}`, 200, `"scope":""`},
			{"a hundred letters", `{"name":"` + strings.Repeat("ß", 100) + `"}`, 200, `ß`},
			{"the name of another key", `{"name":"a"}`, 200, `"name":"a"`},
			{"no name", `{}`, 422, `"type":"missing","loc":["body","name"]`},
			{"an empty name", `{"name":""}`, 422, `at least 1 character`},
			{"a hundred and one letters", `{"name":"` + strings.Repeat("ß", 101) + `"}`, 422, `at most 100 characters`},
			{"a newline in the name", `{"name":"a\nb"}`, 422, `must not contain control`},
			{"a NUL in the name", `{"name":"a\u0000b"}`, 422, `must not contain control`},
			{"a name of spaces", `{"name":"  "}`, 422, `white space`},
			{"a name that is a number", `{"name":1}`, 422, `"type":"string_type"`},
			{"a scope that is not granted", `{"name":"a","scope":"read admin"}`, 422, `more than is granted to you`},
			{"a scope that can be none", `{"name":"a","scope":"a,b"}`, 422, `is not a valid scope`},
			{"every scope", `{"name":"a","scope":"any"}`, 422, `reserved`},
			{"a list of scopes", `{"name":"a","scope":["read"]}`, 422, `"type":"string_type"`},
			{"a character that turns the text around", `{"name":"a\u202eb"}`, 422, `format`},
			{"an unknown member", `{"name":"a","id":"AAAAAAAAAAAAAAAA"}`, 200, `"name":"a"`},
			{"no day", `{"name":"a","expires_in_days":0}`, 422, `"ge":1`},
			{"a day ago", `{"name":"a","expires_in_days":-1}`, 422, `"ge":1`},
			{"more than a leap year", `{"name":"a","expires_in_days":367}`, 422, `"le":366`},
			{"never", `{"name":"a","expires_in_days":null}`, 422, `"int_type"`},
			{"half a day", `{"name":"a","expires_in_days":0.5}`, 422, `"int_type"`},
			{"more days than an integer holds", `{"name":"a","expires_in_days":99999999999999999999}`, 422, `"int_type"`},
			{"days in words", `{"name":"a","expires_in_days":"30"}`, 422, `"int_type"`},
			{"a list", `[]`, 422, `model_attributes_type`},
			{"a member twice", `{"name":"a","name":"b"}`, 422, `json_invalid`},
		} {
			got := s.as(tokens, "POST", "/users/me/keys/", tt.body)
			if got.status != tt.status || !strings.Contains(got.body, tt.contains) {
				t.Errorf("%s: %d %s; want %d with %s", tt.name, got.status, got.body, tt.status, tt.contains)
			}
		}
		if got := s.do("POST", "/users/me/keys/", `{"name":"a"}`, "Content-Type: application/json"); got.body != notAuthenticated {
			t.Errorf("without a token: %s", got.body)
		}
		var list []listedAPIKey
		if err := json.Unmarshal([]byte(s.as(tokens, "GET", "/users/me/keys/", "").body), &list); err != nil || len(list) != 10 {
			t.Errorf("%d keys, %v; want one for each good body", len(list), err)
		}
	})
}

// TestStaleKeyLogin: a login may make keys for ten minutes, also after a refresh, and a token that was
// made elsewhere never.
func TestStaleKeyLogin(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		tokens := s.begin("alice")
		s.clock.Advance(10*time.Minute - time.Second)
		s.makeKey(tokens, "")
		s.clock.Advance(time.Second)
		refreshed := s.refresh(tokens.refresh).tokens()
		now := s.clock.Now().Unix()
		foreign := pair{access: mint(hs256, fmt.Sprintf(`{"sub":"alice","iat":%d,"exp":%d}`, now, now+60), testSecret)}
		for name, p := range map[string]pair{"the login": tokens, "a refresh": refreshed, "a token made elsewhere": foreign} {
			got := s.as(p, "POST", "/users/me/keys/", `{"name":"a"}`)
			if got.status != 403 || got.body != `{"detail":"Sign in again to make an API key"}` {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
		if got := s.as(tokens, "GET", "/users/me/keys/", ""); strings.Count(got.body, `"id"`) != 1 {
			t.Errorf("the keys are %s; want the first", got.body)
		}
	})
}

// TestKeyList: people see their own keys, never the key itself, and end those that they choose.
func TestKeyList(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		alice, bob := s.begin("alice"), s.begin("bob")
		if got := s.as(alice, "GET", "/users/me/keys/", ""); got.body != "[]" {
			t.Errorf("at first: %s", got.body)
		}
		first, key := s.makeKey(alice, "")
		s.clock.Advance(time.Second)
		second, _ := s.makeKey(alice, "")
		got := s.as(alice, "GET", "/users/me/keys/", "")
		if order := regexp.MustCompile(`"id":"(\w+)"`).FindAllStringSubmatch(got.body, -1); len(order) != 2 || order[0][1] != first || order[1][1] != second {
			t.Errorf("the list is %s; want the oldest first", got.body)
		}
		if strings.Contains(got.body, "key") || strings.Contains(got.body, "hash") || strings.Contains(got.body, key[20:]) || !strings.Contains(got.body, `"last_used_at":null`) {
			t.Errorf("the list is %s", got.body)
		}
		for _, step := range []struct {
			name, id string
			as       pair
			status   int
		}{
			{"somebody else's", first, bob, 404},
			{"one that is not there", "AAAAAAAAAAAAAAAA", alice, 404},
			{"the key itself", key, alice, 404},
			{"a NUL", "%00", alice, 404},
			{"invalid UTF-8", "%ff", alice, 404},
			{"7,000 characters", strings.Repeat("A", 7000), alice, 404},
			{"the first", first, alice, 204},
			{"the first again", first, alice, 404},
		} {
			if got := s.as(step.as, "DELETE", "/users/me/keys/"+step.id, ""); got.status != step.status || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s; want %d", step.name, got.status, got.body, step.status)
			}
		}
		checkEmptyAnswer(t, s.as(bob, "DELETE", "/users/me/keys/", ""))
		if got := s.as(alice, "GET", "/users/me/keys/", ""); strings.Count(got.body, `"id"`) != 1 || !strings.Contains(got.body, second) {
			t.Errorf("in the end: %s", got.body)
		}
		s.checkLog(key, key[20:])
	})
}

// TestManyKeys: an account may have 50 keys, however many are made at once.
func TestManyKeys(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		login := s.begin("alice")
		for range maxAPIKeys - 1 {
			s.makeKey(login, `,"expires_in_days":1`)
		}
		var made atomic.Int64
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				switch got := s.as(login, "POST", "/users/me/keys/", `{"name":"a"}`); {
				case got.status == 200:
					made.Add(1)
				case got.status != 400 || got.body != `{"detail":"There are 50 API keys already; delete one first"}`:
					t.Errorf("%d %s", got.status, got.body)
				}
			})
		}
		all.Wait()
		if n := made.Load(); n != 1 {
			t.Errorf("%d keys more; want 1", n)
		}
		s.clock.Advance(day)
		login = s.begin("alice")
		s.makeKey(login, "") // those that have expired do not count
		if got := s.as(login, "GET", "/users/me/keys/", ""); strings.Count(got.body, `"id"`) != 2 {
			t.Errorf("after a day: %s", got.body)
		}
	})
}

// A countingStore counts the uses of keys that are written, and perhaps fails.
type countingStore struct {
	store
	uses atomic.Int64
	err  error
}

func (s *countingStore) UseAPIKey(ctx context.Context, id string, at time.Time) error {
	s.uses.Add(1)
	if s.err != nil {
		return s.err
	}
	return s.store.UseAPIKey(ctx, id, at)
}

// TestLastUsed: a use is written once an hour, to the hour, and no request fails if it cannot be.
func TestLastUsed(t *testing.T) {
	for kind, open := range everyStore {
		t.Run(kind, func(t *testing.T) {
			users := &countingStore{store: open(t)}
			s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.store = users })
			s.register("alice", goodPassword)
			login := s.begin("alice")
			id, key := s.makeKey(login, "")
			lastUsed := func() string {
				keys, err := s.acc.apiKeysOf(t.Context(), User{ID: s.userID("alice")})
				if err != nil || len(keys) != 1 {
					t.Fatalf("%v %v", keys, err)
				}
				return keys[0].LastUsedAt.Format(time.RFC3339Nano)
			}
			hourOf := func() string { return s.clock.Now().UTC().Truncate(time.Hour).Format(time.RFC3339Nano) }
			for range 3 {
				s.checkKey("the key", id, key, true)
			}
			if got := lastUsed(); got != hourOf() || users.uses.Load() != 1 {
				t.Errorf("in the hour of its creation: %s, written %d times; want %s, once", got, users.uses.Load(), hourOf())
			}
			s.clock.Advance(time.Hour)
			for range 3 {
				s.checkKey("the key", id, key, true)
			}
			hour := hourOf()
			if got := lastUsed(); got != hour || users.uses.Load() != 2 {
				t.Errorf("an hour later: %s, written %d times; want %s, twice", got, users.uses.Load(), hour)
			}
			users.err = fmt.Errorf("%w: read-only", errUnavailable)
			s.clock.Advance(time.Hour)
			for range 3 {
				s.checkKey("a key whose use is not written", id, key, true)
			}
			if lastUsed() != hour || users.uses.Load() != 3 {
				t.Errorf("while the store fails: written %d times; want one attempt", users.uses.Load()-2)
			}
		})
	}
}

func (s *testServer) userID(username string) int64 {
	s.t.Helper()
	u, err := s.acc.userByName(s.t.Context(), username)
	if err != nil {
		s.t.Fatal(err)
	}
	return u.ID
}

// TestKeyEvents: making and deleting keys is recorded, with the ID and the name.
func TestKeyEvents(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		login := s.begin("alice")
		id, key := s.makeKey(login, "")
		s.exchange(id, key, "")
		s.as(login, "DELETE", "/users/me/keys/"+id, "")
		s.as(login, "DELETE", "/users/me/keys/"+id, "") // is not found
		s.as(login, "DELETE", "/users/me/keys/", "")
		want := []string{"authn_token_created|alice||" + id + " job", "authn_token_delete|alice||" + id + " job", "authn_token_delete|alice||all API keys"}
		if got := s.lastEvents(3); !slices.Equal(got, want) {
			t.Errorf("the events are %q; want %q", got, want)
		}
		for range 100 {
			s.as(login, "DELETE", "/users/me/keys/", "")
		}
		events := s.lastEvents(1000)
		if n := len(slices.DeleteFunc(events, func(e string) bool { return !strings.Contains(e, "authn_token_delete") })); n != 60 {
			t.Errorf("%d events of one minute; want 60", n)
		}
	})
}

// TestServiceUser: nobody can log in as a user without a password, in the same time as anybody else.
func TestServiceUser(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		ctx, cli := t.Context(), client{Actor: "cli:test"}
		u, err := s.acc.createAccount(ctx, newUser{Username: "robot", NoPassword: true, Scopes: "read"}, cli)
		if err != nil || u.PasswordHash != "" {
			t.Fatalf("%+v %v", u, err)
		}
		k, key, err := s.acc.createAPIKey(ctx, u, apiKeyRequest{Name: "job", Scopes: "read"}, cli)
		if err != nil {
			t.Fatal(err)
		}
		for _, password := range []string{"", " ", "x", key, k.ID, "null", goodPassword} {
			got := s.login(url.Values{"username": {"robot"}, "password": {password}}.Encode())
			if password == "" && got.status == 422 || got.status == 401 && got.body == badLogin {
				continue
			}
			t.Errorf("with the password %q: %d %s", password, got.status, got.body)
		}
		s.checkKey("the key", k.ID, key, true)
		if got := s.as(pair{access: key}, "POST", "/users/me/password", changeTo("", newPassword)); got.body != notForKeys {
			t.Errorf("a password that the key sets: %d %s", got.status, got.body)
		}
		if want := []string{"user_created|robot|cli:test|+read service", "authn_token_created|robot|cli:test|" + k.ID + " job"}; !slices.Equal(s.lastEvents(8)[0:2], want) {
			t.Errorf("the events are %q; want first %q", s.lastEvents(8), want)
		}
		if !k.ExpiresAt.IsZero() {
			t.Errorf("it expires at %v; want never", k.ExpiresAt)
		}
		s.clock.Advance(20 * 365 * day)
		s.checkKey("the key in twenty years", k.ID, key, true)
		s.edit("robot", userEdit{Password: new(goodPassword)})
		s.begin("robot") // an administrator has made it a person
	})
}
