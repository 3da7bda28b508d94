package main

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode"
)

func basic(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }

func TestBasicCredentials(t *testing.T) {
	for _, tt := range []struct {
		name           string
		headers        []string
		user, password string
		ok             bool
	}{
		{"a user and a password", []string{basic("alice:secret")}, "alice", "secret", true},
		{"the scheme in small letters", []string{"basic " + basic("a:b")[6:]}, "a", "b", true},
		{"spaces around", []string{" Basic   " + basic("a:b")[6:] + " \t"}, "a", "b", true},
		{"a colon in the password", []string{basic("a:b:c")}, "a", "b:c", true},
		{"no user", []string{basic(":b")}, "", "b", true},
		{"neither", []string{basic(":")}, "", "", true},
		{"other alphabets", []string{basic("用户:ключ")}, "用户", "ключ", true},
		{"no header", nil, "", "", false},
		{"an empty header", []string{""}, "", "", false},
		{"only the scheme", []string{"Basic"}, "", "", false},
		{"two headers", []string{basic("a:b"), basic("a:b")}, "", "", false},
		{"another scheme", []string{"Bearer " + basic("a:b")[6:]}, "", "", false},
		{"no colon", []string{basic("alice")}, "", "", false},
		{"no padding", []string{"Basic YTpiYw"}, "", "", false},
		{"stray bits at the end", []string{"Basic YTpiYx=="}, "", "", false},
		{"base64url", []string{"Basic " + base64.URLEncoding.EncodeToString([]byte("a:\xfb\xff\xfe"))}, "", "", false},
		{"a newline within", []string{"Basic YTpi\nYw=="}, "", "", false},
		{"two values", []string{basic("a:b") + ", " + basic("a:b")}, "", "", false},
		{"no UTF-8", []string{basic("a:\xff")}, "", "", false},
		{"a control character", []string{basic("a\x00:b")}, "", "", false},
		{"the longest", []string{basic("a:" + strings.Repeat("b", maxBasicSize/4*3-2))}, "a", strings.Repeat("b", maxBasicSize/4*3-2), true},
		{"too long", []string{basic("a:" + strings.Repeat("b", maxBasicSize/4*3-1))}, "", "", false},
	} {
		user, password, ok := basicCredentials(tt.headers)
		if ok != tt.ok || ok && (user != tt.user || password != tt.password) {
			t.Errorf("%s: %q, %q, %v; want %q, %q, %v", tt.name, user, password, ok, tt.user, tt.password, tt.ok)
		}
	}
}

// FuzzBasicCredentials: whatever is read is what a client of RFC 7617 would have sent.
func FuzzBasicCredentials(f *testing.F) {
	for _, header := range []string{basic("a:b"), basic(":"), "basic  " + basic("a:b:c")[6:] + "\t", "Basic YTpiYx==", "Basic"} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		user, password, ok := basicCredentials([]string{header})
		if !ok {
			return
		}
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://localhost", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(user, password)
		_, want, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		_, got, _ := strings.Cut(strings.Trim(header, " \t"), " ")
		if strings.Trim(got, " \t") != want || strings.Contains(user, ":") || strings.ContainsFunc(user+password, unicode.IsControl) {
			t.Errorf("%q is read as %q, %q", header, user, password)
		}
	})
}

// TestClientCredentials: where a client may put its ID and its secret.
func TestClientCredentials(t *testing.T) {
	for _, tt := range []struct {
		name, form string
		headers    []string
		want       error
	}{
		{"in the form", "client_id=i&client_secret=s", nil, nil},
		{"as HTTP Basic", "", []string{basic("i:s")}, nil},
		{"as HTTP Basic, encoded like a form", "", []string{basic("%69:%73")}, nil},
		{"as HTTP Basic, and the ID in the form, too", "client_id=i", []string{basic("i:s")}, nil},
		{"in the form, beside a token", "client_id=i&client_secret=s", []string{"Bearer x"}, nil},
		{"nothing", "", nil, errBadClient},
		{"only the ID", "client_id=i", nil, errBadClient},
		{"only the secret", "client_secret=s", nil, errBadClient},
		{"both ways", "client_id=i&client_secret=s", []string{basic("i:s")}, errTwoWays},
		{"the secret both ways", "client_secret=s", []string{basic("i:s")}, errTwoWays},
		{"another ID in the form", "client_id=j", []string{basic("i:s")}, errBadClient},
		{"HTTP Basic twice", "", []string{basic("i:s"), basic("i:s")}, errBadClient},
		{"a user and a password as HTTP Basic, and the form", "client_id=i&client_secret=s", []string{basic("j:t")}, errTwoWays},
		{"two headers, and the form", "client_id=i&client_secret=s", []string{"Bearer x", "Bearer x"}, errBadClient},
		{"bad HTTP Basic, and the form", "client_id=i&client_secret=s", []string{"Basic x"}, errTwoWays},
		{"an escape that is broken", "", []string{basic("i:%7")}, errBadClient},
		{"HTTP Basic without a secret", "", []string{basic("i:")}, errBadClient},
		{"HTTP Basic without an ID", "", []string{basic(":s")}, errBadClient},
	} {
		values, err := url.ParseQuery(tt.form)
		if err != nil {
			t.Fatal(err)
		}
		f := form{values: map[string]string{"client_id": values.Get("client_id"), "client_secret": values.Get("client_secret")}}
		id, secret, err := clientCredentials(&http.Request{Header: http.Header{"Authorization": tt.headers}}, f)
		if err != tt.want || err == nil && (id != "i" || secret != "s") {
			t.Errorf("%s: %q, %q, %v; want %v", tt.name, id, secret, err, tt.want)
		}
	}
}
