package main

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode"
)

func TestParseAPIKey(t *testing.T) {
	const id, secret = "ABCDEFGHIJKLMN27", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"a key", "lk_" + id + "_" + secret, true},
		{"nothing", "", false},
		{"only the beginning", "lk_", false},
		{"the ID alone", id, false},
		{"half a key", "lk_" + id, false},
		{"no secret", "lk_" + id + "_", false},
		{"another beginning", "lq_" + id + "_" + secret, false},
		{"a beginning in capitals", "LK_" + id + "_" + secret, false},
		{"a digit that base32 lacks", "lk_ABCDEFGHIJKLMN21_" + secret, false},
		{"a small letter in the secret", "lk_" + id + "_" + strings.Replace(secret, "M", "m", 1), false},
		{"a letter less", "lk_" + id + "_" + secret[1:], false},
		{"a letter more", "lk_" + id + "_" + secret + "A", false},
		{"the separator one letter early", "lk_" + id[1:] + "_A" + secret, false},
		{"no separator", "lk_" + id + "A" + secret, false},
		{"a separator in the secret", "lk_" + id + "_" + secret[:25] + "_", false},
		{"a newline behind", "lk_" + id + "_" + secret[:25] + "\n", false},
		{"a space before", " lk_" + id + "_" + secret, false},
	} {
		got, ok := parseAPIKey(tt.text)
		if ok != tt.ok || ok && got != id {
			t.Errorf("%s: %q, %v; want %v", tt.name, got, ok, tt.ok)
		}
	}
}

// TestNewAPIKey: keys can be parsed, differ, and are known by their hash and no other.
func TestNewAPIKey(t *testing.T) {
	seen := make(map[string]bool)
	_, before := newAPIKey()
	for range 100 {
		id, key := newAPIKey()
		if got, ok := parseAPIKey(key); !ok || got != id || seen[id] {
			t.Fatalf("%s has the ID %q; want %q, which no other key has", key, got, id)
		}
		if !isHashOf(hashAPIKey(key), key) || isHashOf(hashAPIKey(before), key) || isHashOf(nil, key) || isHashOf(hashAPIKey(key)[:31], key) {
			t.Fatalf("%s: not its own hash counts, or another", key)
		}
		seen[id], before = true, key
	}
}

// FuzzParseAPIKey: whatever parses is made of the parts that it must have.
func FuzzParseAPIKey(f *testing.F) {
	_, key := newAPIKey()
	for _, text := range []string{key, key + "\n", "lk__", "lk_" + strings.Repeat("_", 43), strings.ToLower(key)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := parseAPIKey(text)
		if !ok {
			return
		}
		secret := strings.TrimPrefix(text, "lk_"+id+"_")
		if len(id) != 16 || len(secret) != 26 || "lk_"+id+"_"+secret != text {
			t.Errorf("%q is a key", text)
		}
		if _, other := secretSigner(t).verify(text, testTime); other == nil {
			t.Errorf("%q is an access token, too", text)
		}
	})
}

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
		ok         bool
	}{
		{"in the form", "client_id=i&client_secret=s", nil, true},
		{"as HTTP Basic", "", []string{basic("i:s")}, true},
		{"as HTTP Basic, encoded like a form", "", []string{basic("%69:%73")}, true},
		{"as HTTP Basic, and the ID in the form, too", "client_id=i", []string{basic("i:s")}, true},
		{"in the form, beside a token", "client_id=i&client_secret=s", []string{"Bearer x"}, true},
		{"nothing", "", nil, false},
		{"only the ID", "client_id=i", nil, false},
		{"only the secret", "client_secret=s", nil, false},
		{"both ways", "client_id=i&client_secret=s", []string{basic("i:s")}, false},
		{"the secret both ways", "client_secret=s", []string{basic("i:s")}, false},
		{"another ID in the form", "client_id=j", []string{basic("i:s")}, false},
		{"HTTP Basic twice", "", []string{basic("i:s"), basic("i:s")}, false},
		{"two headers, and the form", "client_id=i&client_secret=s", []string{"Bearer x", "Bearer x"}, false},
		{"bad HTTP Basic, and the form", "client_id=i&client_secret=s", []string{"Basic x"}, false},
		{"an escape that is broken", "", []string{basic("i:%7")}, false},
		{"HTTP Basic without a secret", "", []string{basic("i:")}, false},
		{"HTTP Basic without an ID", "", []string{basic(":s")}, false},
	} {
		values, err := url.ParseQuery(tt.form)
		if err != nil {
			t.Fatal(err)
		}
		f := form{values: map[string]string{"client_id": values.Get("client_id"), "client_secret": values.Get("client_secret")}}
		id, secret, err := clientCredentials(&http.Request{Header: http.Header{"Authorization": tt.headers}}, f)
		if tt.ok && (err != nil || id != "i" || secret != "s") || !tt.ok && err != errBadClient {
			t.Errorf("%s: %q, %q, %v; want it to be good: %v", tt.name, id, secret, err, tt.ok)
		}
	}
}
