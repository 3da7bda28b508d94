package main

import (
	"strings"
	"testing"
	"time"
)

// TestVerifyKeys: programs send an API key, as bearer or as the password of HTTP Basic.
func TestVerifyKeys(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		s.grant("alice", "admin read write")
		p := s.begin("alice")
		id, key := s.makeKey(p, `,"scope":"read"`)
		jwt := s.exchange(id, key, "").field("access_token")
		hashed := 0
		s.acc.hashes.waited = func(time.Duration) { hashed++ }
		for _, tt := range []struct {
			name, header string
			status       int
			body         string
		}{
			{"the key as bearer", "Bearer " + key, 200, ""},
			{"the key's token as bearer", "Bearer " + jwt, 200, ""},
			{"the key and its owner's name", basic("alice:" + key), 200, ""},
			{"the name in capitals", basic("ALICE:" + key), 200, ""},
			{"the name in full width", basic("ａlice:" + key), 200, ""},
			{"the key and no name", basic(":" + key), 200, ""},
			{"the scheme in small letters", strings.Replace(basic("alice:"+key), "Basic", "basic", 1), 200, ""},
			{"the key and another user's name", basic("bob:" + key), 401, badToken},
			{"the key and the name of nobody", basic("nobody:" + key), 401, badToken},
			{"the key and its ID", basic(id + ":" + key), 401, badToken},
			{"the key and a long name", basic(strings.Repeat("a", 3000) + ":" + key), 401, badToken},
			{"the key and a name of characters that expand", basic(strings.Repeat("ﷺ", 900) + ":" + key), 401, badToken},
			{"a space after the name", basic("alice :" + key), 401, badToken},
			{"the owner's password", basic("alice:" + goodPassword), 401, badToken},
			{"the owner's password and no name", basic(":" + goodPassword), 401, badToken},
			{"the key as name", basic(key + ":"), 401, badToken},
			{"the key as name and password", basic(key + ":" + key), 401, badToken},
			{"a token as password", basic("alice:" + p.access), 401, badToken},
			{"the key's token as password", basic("alice:" + jwt), 401, badToken},
			{"no colon", basic(key), 401, badToken},
			{"half a key", basic("alice:" + key[:len(key)/2]), 401, badToken},
			{"a colon after the key", basic("alice:" + key + ":"), 401, badToken},
			{"no base64", "Basic alice:" + key, 401, badToken},
			{"nothing", "Basic", 401, badToken},
			{"only the secret as bearer", "Bearer " + key[len(apiKeyPrefix)+apiKeyIDSize+1:], 401, badToken},
		} {
			got := s.do("GET", "/verify/read", "", "Authorization: "+tt.header)
			challenge := map[int]string{401: "Bearer"}[tt.status]
			if got.status != tt.status || got.body != tt.body || got.header.Get("WWW-Authenticate") != challenge {
				t.Errorf("%s: %d %s %v; want %d %s", tt.name, got.status, got.body, got.header, tt.status, tt.body)
			}
			if got.status == 200 && (got.header.Get("Remote-User") != "alice" || got.header.Get("Remote-Groups") != "read") {
				t.Errorf("%s: %v", tt.name, got.header)
			}
			if got := s.do("GET", "/verify/admin", "", "Authorization: "+tt.header); tt.status == 200 && got.status != 403 {
				t.Errorf("%s, for a scope that the key does not have: %d", tt.name, got.status)
			}
		}
		for _, headers := range [][]string{
			{"Authorization: " + basic("alice:"+key), "Authorization: " + basic("alice:"+key)},
			{"Authorization: " + basic("alice:"+key), "Authorization: Bearer " + p.access},
		} {
			if got := s.do("GET", "/verify/any", "", headers...); got.body != badToken {
				t.Errorf("two credentials: %d %s", got.status, got.body)
			}
		}
		if hashed != 0 {
			t.Errorf("%d passwords were hashed", hashed)
		}
		if s.begin("alice"); hashed != 1 {
			t.Errorf("a login hashes %d passwords", hashed)
		}
		s.grant("alice", "write")
		if got := s.ask("/verify/read", key); got.status != 403 {
			t.Errorf("a key whose owner lost the scope: %d", got.status)
		}
		s.as(p, "DELETE", "/users/me/keys/"+id, "")
		for _, token := range []string{key, jwt} {
			if got := s.ask("/verify/any", token); got.body != badToken {
				t.Errorf("after the key was deleted: %d %s", got.status, got.body)
			}
		}
		s.checkLog(key, jwt)
	})
}
