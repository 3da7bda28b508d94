package main

import (
	"strings"
	"testing"
	"time"
)

// TestVerifyKeys: programs send an API key, as bearer or as the password of HTTP Basic. It passes for
// what is in its scope.
func TestVerifyKeys(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "admin read write")
		id, key := s.makeKey(s.begin("alice"), `,"scope":"read"`)
		jwt := s.exchange(id, key, "").field("access_token")
		for name, header := range map[string]string{
			"the key as bearer":            "Bearer " + key,
			"the key's token as bearer":    "Bearer " + jwt,
			"the key and its owner's name": basic("alice:" + key),
			"the name in capitals":         basic("ALICE:" + key),
			"the name in full width":       basic("ａlice:" + key),
			"the key and no name":          basic(":" + key),
			"the scheme in small letters":  strings.Replace(basic("alice:"+key), "Basic", "basic", 1),
		} {
			got := s.do("GET", "/verify/read", "", "Authorization: "+header)
			if got.status != 200 || got.body != "" || got.header.Get("Remote-User") != "alice" || got.header.Get("Remote-Groups") != "read" {
				t.Errorf("%s: %d %s %v", name, got.status, got.body, got.header)
			}
			if got := s.do("GET", "/verify/admin", "", "Authorization: "+header); got.status != 403 {
				t.Errorf("%s, for a scope that the key does not have: %d", name, got.status)
			}
		}
		s.checkLog(key, jwt)
	})
}

// TestVerifyNoKey: whatever is not a key or its token is refused, and no password is hashed to find out.
func TestVerifyNoKey(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "read")
		p := s.begin("alice")
		id, key := s.makeKey(p, `,"scope":"read"`)
		jwt := s.exchange(id, key, "").field("access_token")
		hashed := 0
		s.acc.hashes.waited = func(time.Duration) { hashed++ }
		for name, headers := range map[string][]string{
			"the key and another user's name":              {basic("bob:" + key)},
			"the key and the name of nobody":               {basic("nobody:" + key)},
			"the key and its ID":                           {basic(id + ":" + key)},
			"the key and a long name":                      {basic(strings.Repeat("a", 3000) + ":" + key)},
			"the key and a name of characters that expand": {basic(strings.Repeat("ﷺ", 900) + ":" + key)},
			"a space after the name":                       {basic("alice :" + key)},
			"the owner's password":                         {basic("alice:" + goodPassword)},
			"the owner's password and no name":             {basic(":" + goodPassword)},
			"the key as name":                              {basic(key + ":")},
			"the key as name and password":                 {basic(key + ":" + key)},
			"a token as password":                          {basic("alice:" + p.access)},
			"the key's token as password":                  {basic("alice:" + jwt)},
			"no colon":                                     {basic(key)},
			"half a key":                                   {basic("alice:" + key[:len(key)/2])},
			"a colon after the key":                        {basic("alice:" + key + ":")},
			"no base64":                                    {"Basic alice:" + key},
			"nothing":                                      {"Basic"},
			"only the secret as bearer":                    {"Bearer " + key[len(apiKeyPrefix)+apiKeyIDSize+1:]},
			"the key twice":                                {basic("alice:" + key), basic("alice:" + key)},
			"the key and a token":                          {basic("alice:" + key), "Bearer " + p.access},
		} {
			for i := range headers {
				headers[i] = "Authorization: " + headers[i]
			}
			got := s.do("GET", "/verify/read", "", headers...)
			if got.status != 401 || got.body != badToken || got.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s: %d %s %v", name, got.status, got.body, got.header)
			}
		}
		if hashed != 0 {
			t.Errorf("%d passwords were hashed", hashed)
		}
		if s.begin("alice"); hashed != 1 {
			t.Errorf("a login hashes %d passwords", hashed)
		}
		s.checkLog(key, jwt)
	})
}

// TestVerifyFollowsKeys: a scope that the owner has lost, and the end of a key, count from the next
// request.
func TestVerifyFollowsKeys(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "read")
		p := s.begin("alice")
		id, key := s.makeKey(p, `,"scope":"read"`)
		credentials := []string{key, s.exchange(id, key, "").field("access_token")}
		expect := func(when string, want int) {
			t.Helper()
			for i, credential := range credentials {
				if got := s.ask("/verify/read", credential); got.status != want {
					t.Errorf("%s, credential %d: %d %s; want %d", when, i, got.status, got.body, want)
				}
			}
		}
		expect("at first", 200)
		s.grant("alice", "write")
		expect("when its owner has lost the scope", 403)
		s.as(p, "DELETE", "/users/me/keys/"+id, "")
		expect("after the key was deleted", 401)
	})
}
