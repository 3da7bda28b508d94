package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestRegistration: what a registration may say, and what it cannot set. Each
// bad row is one step from a good one.
func TestRegistration(t *testing.T) {
	s := startServer(t)
	s.register("taken", goodPassword)
	name := 0
	// user returns a registration of a new name; more is further members.
	user := func(more string) string {
		name++
		return fmt.Sprintf(`{"username":"u%d","password":"correct horse battery"%s}`, name, more)
	}
	named := func(username string) string {
		return `{"username":` + username + `,"password":"correct horse battery"}`
	}
	secret := func(password string) string {
		name++
		return fmt.Sprintf(`{"username":"u%d","password":%s}`, name, password)
	}
	quoted := func(text string) string {
		b, _ := json.Marshal(text)
		return string(b)
	}
	for _, tt := range []struct {
		name, body string
		status     int
		contains   string
	}{
		{"a user", user(""), 200, `"email":null,"full_name":null}`},
		{"a name of one character", named(`"ㄱ"`), 200, "ㄱ"},
		{"a name of 150 characters", named(quoted(strings.Repeat("é", 150))), 200, "é"},
		{"a name in NFD is kept in NFC", named(`"re\u0301ne\u0301"`), 200, `"username":"réné"`},
		{"a name with a space inside", named(`"Hong Gildong"`), 200, "Hong Gildong"},
		{"a name of a negative number", named(`"-1"`), 200, `"-1"`},
		{"a name with HTML", named(`"<b>&</b>"`), 200, `"<b>&</b>"`},
		{"a name taken", named(`"taken"`), 400, `{"detail":"Username already registered"}`},
		{"a name taken, in capitals", named(`"TAKEN"`), 400, `{"detail":"Username already registered"}`},
		{"a name taken, in full width", named(`"ｔａｋｅｎ"`), 400, `{"detail":"Username already registered"}`},
		{"a name taken, with a Kelvin sign", named(`"ta\u212Aen"`), 400, `{"detail":"Username already registered"}`},
		{"an empty name", named(`""`), 422, `"type":"string_too_short","loc":["body","username"]`},
		{"a name of 151 characters", named(quoted(strings.Repeat("é", 151))), 422, `"type":"string_too_long"`},
		{"a name with a NUL", named(`"a\u0000b"`), 422, "control"},
		{"a name with a newline", named(`"a\nb"`), 422, "control"},
		{"a name with an escape sequence", named(`"\u001b[31m"`), 422, "control"},
		{"a name with a right-to-left override", named(`"a\u202eb"`), 422, "format"},
		{"a name with a zero-width space", named(`"a\u200bb"`), 422, "format"},
		{"a name with a private character", named(`"a\ue000b"`), 422, "unassigned"},
		{"a name with an unassigned character", named(`"a\u0378b"`), 422, "unassigned"},
		{"a name with a line separator", named(`"a\u2028b"`), 422, "unassigned"},
		{"a name with a Hangul filler", named(`"timer\u3164"`), 422, "control"},
		{"a name with a variation selector", named(`"timer\ufe0f"`), 422, "control"},
		{"a name with a combining grapheme joiner", named(`"ti\u034fmer"`), 422, "control"},
		{"a name with an invisible vowel", named(`"timer\u17b4"`), 422, "control"},
		{"a name of a Braille blank", named(`"\u2800"`), 422, "control"},
		{"a name in small Cherokee", named(`"\uab70bc"`), 200, "bc"},
		{"the same name in capitals", named(`"\u13a0bc"`), 400, "already registered"},
		{"a name behind a space", named(`" a"`), 422, "white space"},
		{"a name before a no-break space", named(`"a\u00a0"`), 422, "white space"},
		{"the reserved name", named(`"me"`), 422, "'me'"},
		{"the reserved name in full width", named(`"ＭＥ"`), 422, "'me'"},
		{"a name that is a number", named(`1`), 422, `"type":"string_type"`},
		{"a name that is null", named(`null`), 422, `"type":"string_type"`},
		{"a name that is a list", named(`["a"]`), 422, `"type":"string_type"`},
		{"a name that is an object", named(`{"$ne":""}`), 422, `"type":"string_type"`},
		{"no name", `{"password":"correct horse battery"}`, 422, `"type":"missing","loc":["body","username"]`},

		{"a password of 8 emoji", secret(`"🙂🙃🙂🙃🙂🙃🙂🙃"`), 200, "username"},
		{"a password of 7 emoji", secret(`"🙂🙃🙂🙃🙂🙃🙂"`), 422, `"type":"string_too_short","loc":["body","password"],"msg":"String should have at least 8 characters","ctx":{"min_length":8}`},
		{"a password of 4,096 characters", secret(quoted(strings.Repeat("xy", 2048))), 200, "username"},
		{"a password of 4,097 characters", secret(quoted(strings.Repeat("xy", 2048) + "x")), 422, `"type":"string_too_long"`},
		{"a password with a NUL", secret(`"nul\u0000inside!"`), 200, "username"},
		{"a password with a NUL at the start", secret(`"\u0000nul first!"`), 200, "username"},
		{"a password with a NUL at the end", secret(`"correct horse\u0000"`), 200, "username"},
		{"one letter and seven NULs", secret(`"a` + strings.Repeat(`\u0000`, 7) + `"`), 422, "string_too_short"},
		{"seven characters and a NUL", secret(`"seven77\u0000"`), 422, "string_too_short"},
		{"only NULs", secret(`"` + strings.Repeat(`\u0000`, 100) + `"`), 422, "string_too_short"},
		{"a common password and a NUL", secret(`"password\u0000"`), 422, "too common"},
		{"a common password and many NULs", secret(`"Qwertyuiop` + strings.Repeat(`\u0000`, 90) + `"`), 422, "too common"},
		{"one letter over and over, and a NUL", secret(`"aaaaaaaaaaaaaaa\u0000"`), 422, "too common"},
		{"the name and a NUL", `{"username":"aName2027","password":"Aname2027\u0000"}`, 422, "must not be the username"},
		{"the name in another width, and NULs", `{"username":"ｔｅｓｔｕｓｅｒｙ","password":"testusery\u0000\u0000"}`, 422, "must not be the username"},
		{"4,090 characters and 7 NULs", secret(`"` + strings.Repeat("xy", 2045) + strings.Repeat(`\u0000`, 7) + `"`), 422, "string_too_long"},
		{"the name with more spaces", `{"username":"Hong Gildong 9","password":"hong  gildong\u3000\u30009"}`, 422, "must not be the username"},
		{"an empty password", secret(`""`), 422, "string_too_short"},
		{"a password that is null", secret(`null`), 422, "string_type"},
		{"a password that is the name", `{"username":"aName2026","password":"Aname2026"}`, 422, "must not be the username"},
		{"a password that is the name in another width", `{"username":"ｔｅｓｔｕｓｅｒｘ","password":"testuserx"}`, 422, "must not be the username"},
		{"a common password", secret(`"password"`), 422, "too common"},
		{"a common password in capitals", secret(`"Password123"`), 422, "too common"},
		{"15 times a", secret(`"aaaaaaaaaaaaaaa"`), 422, "too common"},
		{"two lines of common passwords", secret(`"password\n12345678"`), 200, "username"},

		{"all fields", user(`,"email":"a@example.com","full_name":"Ä 🙂\n"`), 200, `"email":"a@example.com","full_name":"Ä 🙂\n"}`},
		{"an empty full name", user(`,"full_name":""`), 200, `"full_name":""`},
		{"a full name with an escape sequence", user(`,"full_name":"\u001b[31m"`), 200, `\u001b`},
		{"a full name with a NUL", user(`,"full_name":"a\u0000b"`), 422, "NUL"},
		{"a full name that is a number", user(`,"full_name":1`), 422, "string_type"},
		{"an empty e-mail address", user(`,"email":""`), 422, `"loc":["body","email"],"msg":"value is not a valid email address: `},
		{"an e-mail address with a header behind", user(`,"email":"a@example.com\r\nBcc: b@example.com"`), 422, "valid email"},
		{"an e-mail address that is null", user(`,"email":null`), 200, `"email":null`},

		{"a password hash", user(`,"hashed_password":"$pbkdf2-sha256$1$$"`), 200, "username"},
		{"privileges", user(`,"is_admin":true,"scopes":["admin"],"role":"admin","disabled":"false"`), 200, "username"},
		{"an id", user(`,"id":1,"ID":1,"created_at":"1970-01-01","token_version":99`), 200, "username"},
		{"names of JavaScript and MongoDB", user(`,"__proto__":{"admin":true},"constructor":1,"$gt":""`), 200, "username"},
		{"numbers out of range", user(`,"x":1e999,"y":-0,"z":` + strings.Repeat("9", 400)), 200, "username"},
		{"5,000 other members", user(manyMembers(5000)), 200, "username"},
		{"a name of 60,000 characters among the members", user(`,"` + strings.Repeat("x", 60_000) + `":1`), 200, "username"},
		{"members in capitals", `{"Username":"a","PASSWORD":"correct horse battery"}`, 422, `["body","username"]`},
		{"a member with a long s", `{"username":"x1","paſſword":"correct horse battery"}`, 422, `"type":"missing","loc":["body","password"]`},
		{"a member with a Kelvin sign", `{"username":"x1","password":"correct horse battery","\u212Aey":1}`, 200, "x1"},
		{"the same member twice", `{"username":"a","username":"b","password":"correct horse battery"}`, 422, `"type":"json_invalid"`},
		{"nested in an object", `{"user":{"username":"a","password":"correct horse battery"}}`, 422, "missing"},
		{"nothing", ``, 422, `{"detail":[{"type":"missing","loc":["body"],"msg":"Field required"}]}`},
		{"null", `null`, 422, `"type":"model_attributes_type","loc":["body"]`},
		{"a list", `[]`, 422, "model_attributes_type"},
		{"a byte order mark", "\ufeff" + user(""), 422, "json_invalid"},
		{"something behind", user("") + " x", 422, "json_invalid"},
		{"invalid UTF-8", "{\"username\":\"\xff\"}", 422, "json_invalid"},
		{"65,537 bytes", user(`,"x":"` + strings.Repeat("x", 65_537) + `"`), 413, `{"detail":"Request Entity Too Large"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.do("POST", "/users/", tt.body, "Content-Type: application/json")
			if got.status != tt.status || !strings.Contains(got.body, tt.contains) {
				t.Errorf("%d %s, want %d with %s", got.status, got.body, tt.status, tt.contains)
			}
			for _, secret := range []string{"correct horse", "hashed", "$pbkdf2", "input"} {
				if strings.Contains(got.body, secret) {
					t.Errorf("the answer holds %q: %s", secret, got.body)
				}
			}
		})
	}
	users, err := allUsersOf(t.Context(), s.acc.store)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		if u.Disabled || !strings.HasPrefix(u.PasswordHash, "$pbkdf2-sha256$10$") || u.TokensValidAfter.IsZero() {
			t.Errorf("somebody has set more of %+v than may be set", u)
		}
	}
	s.checkLog("Password123")
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":1`, i)
	}
	return b.String()
}

func TestRegistrationTypes(t *testing.T) {
	s := startServer(t)
	for i, tt := range []struct {
		contentType string
		status      int
	}{
		{"application/json", 200},
		{"application/json; charset=utf-8", 200},
		{"Application/JSON", 200},
		{"application/vnd.x+json", 200},
		{"application/json;;", 200},
		{"application/jsonx", 422},
		{"text/json", 422},
		{"text/plain", 422}, // a form of another origin can send this without a preflight
		{"text/plain; x=application/json", 422},
		{urlEncoded, 422},
		{"*/*", 422},
		{"", 422},
	} {
		body := fmt.Sprintf(`{"username":"type%d","password":"correct horse battery"}`, i)
		if got := s.do("POST", "/users/", body, "Content-Type: "+tt.contentType); got.status != tt.status {
			t.Errorf("%q: %d %s, want %d", tt.contentType, got.status, got.body, tt.status)
		}
	}
}

func TestRegistrationClosed(t *testing.T) {
	s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.registrationOpen = false })
	got := s.register("alice", goodPassword)
	if got.status != 403 || got.body != `{"detail":"Registration is closed"}` {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestRegistrationRace: of a hundred who want one name at once, one gets it.
func TestRegistrationRace(t *testing.T) {
	s := startServer(t)
	codes := make(chan int, 100)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			name := []string{"alice", "ALICE", "Ａlice"}[i%3]
			codes <- s.register(name, fmt.Sprint("password of number ", i)).status
		})
	}
	all.Wait()
	close(codes)
	count := make(map[int]int)
	for code := range codes {
		count[code]++
	}
	if count[200] != 1 || count[400] != 99 {
		t.Errorf("answers: %v; want one 200 and 99 of 400", count)
	}
}
