package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNewScopes(t *testing.T) {
	many := func(n int) []string {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("scope%02d", i))
		}
		return names
	}
	for _, tt := range []struct {
		name  string
		names []string
		want  scopes
		says  string // the error, if not empty
	}{
		{"none", nil, "", ""},
		{"one", []string{"admin"}, "admin", ""},
		{"they are sorted, and each is there once", []string{"write", "admin", "write"}, "admin write", ""},
		{"every character that may be", []string{"Read.A_b:9-"}, "Read.A_b:9-", ""},
		{"64 characters", []string{strings.Repeat("a", 64)}, scopes(strings.Repeat("a", 64)), ""},
		{"65 characters", []string{strings.Repeat("a", 65)}, "", "1 to 64"},
		{"an empty one", []string{""}, "", "1 to 64"},
		{"two words in one", []string{"a b"}, "", `"a b" is not a valid scope`},
		{"a comma", []string{"a,b"}, "", "is not a valid scope"},
		{"a letter that is not ASCII", []string{"größe"}, "", "is not a valid scope"},
		{"a newline at the end", []string{"admin\n"}, "", `"admin\n" is not a valid scope`},
		{"an escape sequence is shown as such", []string{"\x1b[31m"}, "", `"\x1b[31m" is not a valid scope`},
		{"any, which stands for every user", []string{"any"}, "", `"any" is reserved`},
		{"32", many(32), scopes(strings.Join(many(32), " ")), ""},
		{"33", many(33), "", "33 scopes; want at most 32"},
		{"33, of which two are the same", append(many(32), "scope00"), scopes(strings.Join(many(32), " ")), ""},
	} {
		got, err := newScopes(tt.names...)
		if got != tt.want || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %q, %v; want %q, %q", tt.name, got, err, tt.want, tt.says)
		}
	}
}

func TestScopesChange(t *testing.T) {
	s := scopes("admin read")
	if got, err := s.with("write", "admin"); err != nil || got != "admin read write" {
		t.Errorf("with = %q, %v", got, err)
	}
	if got, err := s.without("admin", "write"); err != nil || got != "read" {
		t.Errorf("without = %q, %v", got, err)
	}
	if !s.has("admin") || s.has("adm") || s.has("") || scopes("").has("") {
		t.Error("has finds what is not there")
	}
	if got := scopes("").names(); got == nil || len(got) != 0 {
		t.Errorf("names of none = %#v", got)
	}
	if !slices.Equal(s.names(), []string{"admin", "read"}) {
		t.Errorf("names = %q", s.names())
	}
}

// TestTokenSaysScopes: other services learn from a token what its user may do, and a user with
// all the scopes and the name that can be still has a token that is accepted.
func TestTokenSaysScopes(t *testing.T) {
	var all []string
	for i := range maxScopes {
		all = append(all, fmt.Sprintf("%02d%s", i, strings.Repeat("x", 62)))
	}
	most, err := newScopes(all...)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		user  User
		want  object
		roles int
	}{
		{"a user without scopes", User{Username: "alice", UID: "u1"}, object{"sub": "alice", "uid": "u1"}, 0},
		{"a user with scopes", User{Username: "bob", UID: "u2", Scopes: "admin read"}, object{"sub": "bob", "uid": "u2", "scope": "admin read"}, 2},
		{"a user with all that can be", User{Username: strings.Repeat("n", maxUsername), UID: newUID(), Scopes: most}, object{"scope": string(most)}, 0},
	} {
		s := secretSigner(t)
		token, err := s.createAccessToken(grant{User: tt.user, Scopes: tt.user.Scopes, SessionID: "s"}, testTime, testTime.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.verify(token, testTime); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		claims := claimsOf(t, token)
		for name, want := range tt.want {
			if claims[name] != want {
				t.Errorf("%s: %s is %v; want %v", tt.name, name, claims[name], want)
			}
		}
		if _, there := claims["scope"]; there != (tt.user.Scopes != "") {
			t.Errorf("%s: the claims are %v", tt.name, claims)
		}
		roles, _ := claims["roles"].([]any)
		if got := len(roles); got != tt.roles {
			t.Errorf("%s: %d roles; want %d", tt.name, got, tt.roles)
		}
	}
}
