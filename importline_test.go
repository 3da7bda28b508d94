package main

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

const goodHash = "$pbkdf2-sha256$29$$cuWP8A8DPrQmaXx9wEBt8CmIzd3xX3zUBCqSKefXeKA"

// userLine returns the line of a good user, whose members with these names are others.
func userLine(members ...string) string {
	all := map[string]string{"username": `"alice"`, "password_hash": `"` + goodHash + `"`}
	for i := 0; i < len(members); i += 2 {
		all[members[i]] = members[i+1]
	}
	var parts []string
	for name, value := range all {
		if value != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", name, value))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func TestParseImportedUser(t *testing.T) {
	now := testTime.UTC()
	manyScopes := func(n int) string {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("%q", fmt.Sprint("scope", i)))
		}
		return "[" + strings.Join(names, ",") + "]"
	}
	for _, tt := range []struct {
		name, line string
		says       string // what is wrong; empty: nothing
	}{
		{"no more than a name and a hash", userLine(), ""},
		{"every member", userLine("uid", `"0123456789abcdef0123456789abcdef"`, "email", `"A@Example.com"`, "full_name", `"A"`, "disabled", "true", "scopes", `["b","a"]`, "created_at", `"2020-02-29T23:59:59.123456+02:00"`, "tokens_valid_after", `"2021-01-01T00:00:00Z"`), ""},
		{"null for all that may be", userLine("password_hash", "null", "email", "null", "full_name", "null", "disabled", "null", "scopes", "null", "created_at", "null", "tokens_valid_after", "null", "uid", "null"), ""},
		{"the original's name for the hash", userLine("password_hash", "", "hashed_password", `"`+goodHash+`"`), ""},
		{"both names for the hash", userLine("hashed_password", `"`+goodHash+`"`), "password_hash: hashed_password means the same"},
		{"no hash", userLine("password_hash", ""), "password_hash: missing"},
		{"a hash that is a number", userLine("password_hash", "1"), "password_hash: Input should be a valid string"},
		{"an empty hash", userLine("password_hash", `""`), "password_hash: a hash that Latchkey cannot verify; reset it"},
		{"a hash that is too fast", userLine("password_hash", `"5f4dcc3b5aa765d61d8327deb882cf99"`), "too fast to be safe; reset it: import the user with password_hash null"},
		{"a hash that would take a minute", userLine("password_hash", `"$2b$31$abcdefghijklmnopqrstuu5s6CoUFP1EkkdVoGcGhYaAYpNyhIJzS"`), "password_hash: bcrypt cost is 31; want 4 to 14; reset it: import"},
		{"a password", userLine("password", `"secret"`), "password: import takes only hashes; want password_hash"},
		{"a member that is misspelt", userLine("emial", `"a@example.com"`), `there is an unknown member "emial"; want username`},
		{"a member with an escape sequence", `{"username":"alice","password_hash":null,"\u001b[31m":1}`, `there is an unknown member "\x1b[31m"`},
		{"a member that is a hash", `{"username":"alice","password_hash":null,"$2b$10$abcdefghijklmnopqrstuu5s6CoUFP1EkkdVoGcGhYaAYpNyhIJzS":1}`, "there is an unknown member; want"},
		{"no name", userLine("username", ""), "username: Field required"},
		{"a name that is null", userLine("username", "null"), "username: Input should be a valid string"},
		{"a name with a control character", userLine("username", `"a\u0007"`), "username: the username must not contain control"},
		{"a name that ends with a space", userLine("username", `"a "`), "username: the username must not begin or end"},
		{"the name me", userLine("username", `"ＭＥ"`), "username: the username must not be 'me'"},
		{"the name .", userLine("username", `"."`), "username: a user cannot have this name"},
		{"the name ..", userLine("username", `".."`), "username: a user cannot have this name"},
		{"the name /", userLine("username", `"/"`), "username: a user cannot have this name"},
		{"a name of 151 characters", userLine("username", `"`+strings.Repeat("a", 151)+`"`), "username: String should have at most 150 characters"},
		{"an address that is none", userLine("email", `"nobody"`), "email: value is not a valid email address: the @-sign is missing"},
		{"an empty address", userLine("email", `""`), "email: "},
		{"a full name with a NUL", userLine("full_name", `"a\u0000"`), "full_name: the text must not contain NUL"},
		{"disabled as a number", userLine("disabled", "0"), "disabled: want true or false"},
		{"disabled as a text", userLine("disabled", `"false"`), "disabled: want true or false"},
		{"scopes as a text", userLine("scopes", `"admin"`), "scopes: want a list of strings"},
		{"a scope of two words", userLine("scopes", `["a b"]`), `scopes: "a b" is not a valid scope`},
		{"a scope that is a number", userLine("scopes", "[1]"), "scopes: want a list of strings"},
		{"a scope that is null", userLine("scopes", "[null]"), "scopes: "},
		{"32 scopes", userLine("scopes", manyScopes(32)), ""},
		{"33 scopes", userLine("scopes", manyScopes(33)), "scopes: 33 scopes; want at most 32"},
		{"a date without a zone", userLine("created_at", `"2020-01-01T00:00:00"`), "created_at: want an RFC 3339 time with a zone"},
		{"a date as SQL writes it", userLine("created_at", `"2020-01-01 00:00:00+00"`), "created_at: want an RFC 3339 time with a zone"},
		{"a date in seconds", userLine("created_at", "1577836800"), "created_at: Input should be a valid string"},
		{"a date within a day from now", userLine("created_at", fmt.Sprintf("%q", now.Add(day).Format(time.RFC3339))), ""},
		{"a later date", userLine("created_at", fmt.Sprintf("%q", now.Add(day+time.Second).Format(time.RFC3339))), "created_at: is more than a day in the future"},
		{"a date before all others", userLine("tokens_valid_after", `"0000-01-01T00:00:00Z"`), "tokens_valid_after: want a year from 1 on"},
		{"a UID in capitals", userLine("uid", `"0123456789ABCDEF0123456789ABCDEF"`), "uid: want 32 hexadecimal digits"},
		{"a row number as UID", userLine("uid", `"17"`), "uid: want 32 hexadecimal digits"},
		{"two things wrong", userLine("disabled", "2", "email", `"x"`), "email: value is not a valid email address: the @-sign is missing; disabled: want true or false"},
		{"an array", "[1]", "not a JSON object"},
		{"no JSON", "alice,x", "not valid JSON"},
		{"a name that is there twice", `{"username":"a","username":"b"}`, "a member appears twice"},
		{"the first line of an object on several", "{", "not valid JSON"},
		{"invalid UTF-8", "{\"username\":\"\xff\"}", "not valid UTF-8"},
	} {
		u := parseEntry(entry{place: 1, text: []byte(tt.line)}, now)
		var said []string
		for _, bad := range u.problems {
			said = append(said, describeProblem(bad))
		}
		text := strings.Join(said, "; ")
		if tt.says == "" && text != "" || !strings.Contains(text, tt.says) {
			t.Errorf("%s: %q; want %q", tt.name, text, tt.says)
		}
		if tt.says == "" && (u.user.Key != "alice" || u.user.CreatedAt.IsZero()) {
			t.Errorf("%s: %+v", tt.name, u.user)
		}
	}
}

// FuzzImportedUser: what can be imported comes out of an export as it went in.
func FuzzImportedUser(f *testing.F) {
	f.Add(userLine())
	f.Add(userLine("scopes", `["admin"]`, "email", `"a@b.example"`, "disabled", "true", "created_at", `"2020-01-01T00:00:00.5Z"`))
	f.Add(userLine("password_hash", "null", "full_name", `"<&>\u2028\ud83d\ude00"`, "tokens_valid_after", `"0001-01-01T00:00:01Z"`))
	now := testTime.UTC()
	f.Fuzz(func(t *testing.T, line string) {
		u := parseEntry(entry{place: 1, text: []byte(line)}, now)
		if u.problems != nil {
			return
		}
		u.user = storedUser(u.user)
		var text bytes.Buffer
		if err := newLineEncoder(&text).Encode(newExportedUser(u.user)); err != nil {
			t.Fatal(err)
		}
		again := parseEntry(entry{place: 1, text: text.Bytes()}, now)
		if again.problems != nil || !reflect.DeepEqual(again.user, u.user) {
			t.Errorf("%q becomes %q, and that %+v, %v; want %+v", line, text.String(), again.user, again.problems, u.user)
		}
	})
}
