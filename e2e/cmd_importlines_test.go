package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A badLine is one that no import takes.
type badLine struct {
	name string
	line string
	says string // what the report says besides its number
}

// withHash is a line with this hash.
func withHash(hash string) string { return userLine("carol", fmt.Sprintf(`"password_hash":%q`, hash)) }

// in returns a time from now as a line has it.
func in(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

func inAnHour() int64 { return time.Now().Add(time.Hour).Unix() }

const (
	aSalt = "c2l4dGVlbiBieXRlcyE"                         // 14 bytes in base64
	a32   = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE" // 32
	a53   = "vsmMxXQOP09DjxCNOQdveuuNLk9qfMeV2fHzr1tcgJprO5MFkXiKi"
)

// badLines have one thing wrong each.
func badLines() []badLine {
	return slices.Concat(badObjects(), badNames(), badHashes(), badFields())
}

// badObjects are lines that are no object, or no good one, whatever its fields.
func badObjects() []badLine {
	return []badLine{
		{"no JSON", "carol", ""},
		{"a name and a hash as in CSV", "carol,$2b$12$" + a53, ""},
		{"a list", `["carol"]`, ""},
		{"null", `null`, ""},
		{"a string", `"carol"`, ""},
		{"half an object", `{"username":"carol"`, ""},
		{"something after the object", userLine("carol") + " x", ""},
		{"two objects", userLine("carol") + userLine("dave"), ""},
		{"a comma after the object", userLine("carol") + ",", ""},
		{"a key twice", userLine("carol", `"email":null`, `"email":"a@example.org"`), "twice"},
		{"a key in capitals", `{"Username":"carol","password_hash":null}`, ""},
		{"NaN", userLine("carol", `"disabled":NaN`), ""},
		{"invalid UTF-8", userLine("carol", "\"full_name\":\"\xff\""), ""},
		{"half a surrogate", userLine("carol", `"full_name":"\ud800"`), ""},
		{"a byte order mark", "\ufeff" + userLine("carol"), ""},
		{"an object in an object, 40 deep", strings.Repeat(`{"username":`, 40) + "1" + strings.Repeat("}", 40), ""},
		{"more than 64 KiB", padded("carol", 64<<10+1), "64"},
	}
}

// badNames are names that nobody may have.
func badNames() []badLine {
	return []badLine{
		{"no name", `{"password_hash":null}`, "username"},
		{"null as name", `{"username":null,"password_hash":null}`, "username"},
		{"a number as name", `{"username":7,"password_hash":null}`, "username"},
		{"an empty name", userLine(""), "username"},
		{"a name of 151 characters", userLine(strings.Repeat("n", 151)), "username"},
		{"a name with a blank before it", userLine(" carol"), "username"},
		{"a name with a blank after it", userLine("carol "), "username"},
		{"a name with a newline", userLine("ca\nrol"), "username"},
		{"a name with a NUL", userLine("ca\x00rol"), "username"},
		{"a name that turns the text around", userLine("ca\u202erol"), "username"},
		{"the name me", userLine("me"), "username"},
		{"the name ME", userLine("ME"), "username"},
		{"the name .", userLine("."), "username"},
		{"the name ..", userLine(".."), "username"},
		{"the name /", userLine("/"), "username"},
	}
}

// badHashes are hashes that cannot be verified, or not at a bearable price.
func badHashes() []badLine {
	return []badLine{
		{"no hash", `{"username":"carol"}`, "password_hash"},
		{"a number as hash", userLine("carol", `"password_hash":7`), "password_hash"},
		{"an empty hash", withHash(""), "password_hash"},
		{"two hashes", userLine("carol", `"password_hash":null`, `"hashed_password":null`), "hash"},
		{"a password in the place of a hash", withHash(nextPassword), "password_hash"},
		{"a password", userLine("carol", `"password":"`+nextPassword+`"`), "users add"},
		{"SHA-1 of LDAP", withHash("{SSHA}4nEy8X6e3TixTG04IW38INu9SKREqHXu"), "null"},
		{"MD5", withHash("5f4dcc3b5aa765d61d8327deb882cf99"), "null"},
		{"SHA-1", withHash("5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8"), "null"},
		{"SHA-256", withHash("5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"), "null"},
		{"MD5 crypt", withHash("$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"), "null"},
		{"SHA-256 crypt", withHash("$5$rounds=5000$salt$abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq"), "null"},
		{"SHA-512 crypt", withHash("$6$saltsalt$" + strings.Repeat("a", 86)), "null"},
		{"argon2d", withHash("$argon2d$v=19$m=65536,t=3,p=4$" + aSalt + "$" + a32), "password_hash"},
		{"bcrypt 2x", withHash("$2x$12$" + a53), "password_hash"},
		{"an unknown scheme", withHash("$yescrypt$j9T$abc$def"), "password_hash"},
		{"bcrypt of cost 31", withHash("$2b$31$" + a53), "14"},
		{"bcrypt of cost 15", withHash("$2b$15$" + a53), "14"},
		{"bcrypt of cost 3", withHash("$2b$03$" + a53), "password_hash"},
		{"bcrypt of cost 4, one digit", withHash("$2b$4$" + a53), "password_hash"},
		{"bcrypt of cost +5", withHash("$2b$+5$" + a53), "password_hash"},
		{"bcrypt that is cut off", withHash("$2b$12$" + a53[:52]), "password_hash"},
		{"argon2id of 4 GiB", withHash("$argon2id$v=19$m=4194304,t=1,p=1$" + aSalt + "$" + a32), "262144"},
		{"argon2id of 2³² rounds", withHash("$argon2id$v=19$m=65536,t=4294967295,p=1$" + aSalt + "$" + a32), "password_hash"},
		{"argon2id of no rounds", withHash("$argon2id$v=19$m=65536,t=0,p=1$" + aSalt + "$" + a32), "password_hash"},
		{"argon2id of no lanes", withHash("$argon2id$v=19$m=65536,t=1,p=0$" + aSalt + "$" + a32), "password_hash"},
		{"argon2id of 255 lanes", withHash("$argon2id$v=19$m=65536,t=1,p=255$" + aSalt + "$" + a32), "password_hash"},
		{"argon2id of too little memory", withHash("$argon2id$v=19$m=31,t=1,p=4$" + aSalt + "$" + a32), "password_hash"},
		{"PBKDF2 of 10,000,001 rounds", withHash("$pbkdf2-sha256$10000001$" + aSalt + "$" + a32), "10000000"},
		{"PBKDF2 of no rounds", withHash("$pbkdf2-sha256$0$" + aSalt + "$" + a32), "password_hash"},
		{"scrypt with n of 3", withHash("scrypt:3:8:1$salt$" + strings.Repeat("ab", 64)), "password_hash"},
		{"scrypt with ln of 63", withHash("$scrypt$ln=63,r=8,p=1$" + aSalt + "$" + a32), "password_hash"},
		{"phpass of exponent 31", withHash("$P$T" + strings.Repeat("a", 30)), "password_hash"},
		{"phpass that is cut off", withHash("$P$BBsjY6.GOj8sNDAWeeP3dx5Xj7qYm9"), "password_hash"},
		{"firebase without a key", withHash("$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=$" + aSalt + "$" + a32), "password_hash"},
		{"blanks in the place of dollars", withHash(" 2b 12 " + a53), "password_hash"},
		{"a field after the hash", withHash("$2b$12$" + a53 + "$x"), "password_hash"},
		{"a newline after the hash", withHash("$2b$12$" + a53 + "\n"), "password_hash"},
		{"a blank before the hash", withHash(" $2b$12$" + a53), "password_hash"},
		{"a hash in capitals", withHash("$PBKDF2-SHA256$100000$" + aSalt + "$" + a32), "password_hash"},
	}
}

// badFields are the other fields, and ones that there are not.
func badFields() []badLine {
	return []badLine{
		{"an address that is none", userLine("carol", `"email":"carol"`), "email"},
		{"an address that is too long", userLine("carol", `"email":"c@`+strings.Repeat("x.", 130)+`org"`), "email"},
		{"a number as address", userLine("carol", `"email":7`), "email"},
		{"a number as full name", userLine("carol", `"full_name":7`), "full_name"},
		{"a full name with a NUL", userLine("carol", `"full_name":"a\u0000b"`), "full_name"},
		{"disabled in quotes", userLine("carol", `"disabled":"true"`), "disabled"},
		{"disabled as a number", userLine("carol", `"disabled":1`), "disabled"},

		{"scopes in one string", userLine("carol", `"scopes":"admin"`), "scopes"},
		{"scopes with a blank", userLine("carol", `"scopes":["a b"]`), "scopes"},
		{"an empty scope", userLine("carol", `"scopes":[""]`), "scopes"},
		{"the scope any", userLine("carol", `"scopes":["any"]`), "scopes"},
		{"a number as scope", userLine("carol", `"scopes":[7]`), "scopes"},
		{"a scope of 65 characters", userLine("carol", `"scopes":["`+strings.Repeat("n", 65)+`"]`), "scopes"},
		{"a scope with a slash", userLine("carol", `"scopes":["a/b"]`), "scopes"},
		{"33 scopes", userLine("carol", `"scopes":["`+strings.Join(scopes(33), `","`)+`"]`), "scopes"},

		{"yesterday in words", userLine("carol", `"created_at":"yesterday"`), "created_at"},
		{"a time without a zone", userLine("carol", `"created_at":"2020-01-01T00:00:00"`), "created_at"},
		{"seconds since 1970", userLine("carol", `"created_at":1577836800`), "created_at"},
		{"a day that is none", userLine("carol", `"created_at":"2021-02-29T00:00:00Z"`), "created_at"},
		{"two days from now", userLine("carol", `"created_at":"`+in(48*time.Hour)+`"`), "created_at"},
		{"tokens valid after tomorrow, in words", userLine("carol", `"tokens_valid_after":"tomorrow"`), "tokens_valid_after"},
		{"tokens valid after two days from now", userLine("carol", `"tokens_valid_after":"`+in(48*time.Hour)+`"`), "tokens_valid_after"},
		{"tokens valid after a number", userLine("carol", `"tokens_valid_after":0`), "tokens_valid_after"},

		{"a misspelt field", userLine("carol", `"emial":"carol@example.org"`), "emial"},
		{"an id", userLine("carol", `"id":7`), "id"},
		{"a field of another program", userLine("carol", `"is_superuser":true`), "is_superuser"},
		{"a field that nobody should print", userLine("carol", `"\u001b[2J\n":true`), ""},
	}
}

// padded is a line of so many bytes.
func padded(username string, size int) string {
	line := userLine(username)
	return line[:1] + strings.Repeat(" ", size-len(line)) + line[1:]
}

var reported = regexp.MustCompile(`(?m)^line (\d[\d,]*): .`)

// TestImportBadLines: a bad line is named, with its number and its field, and keeps the good
// ones out, too. The report shows neither the line nor a hash.
func TestImportBadLines(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	makeDatabaseAt(t, p)
	for _, tt := range badLines() {
		t.Run(tt.name, func(t *testing.T) {
			file := newUsersFile(t, userLine("alice"), userLine("bob"), tt.line, userLine("eve"))
			got := p.command("users", "import", file).run(t)
			checkReport(t, got, "3")
			if got.code != 1 || !strings.Contains(got.stderr, tt.says) {
				t.Errorf("exit code %d, %q; want 1 and %q", got.code, got.stderr, tt.says)
			}
			checkUnprinted(t, got, a53, a32, nextPassword, "{SSHA}4", strings.Repeat("n", 70), strings.Repeat(" ", 70))
		})
	}
	if n := p.users(t); n != 0 {
		t.Errorf("%d users; want none", n)
	}
}

// checkReport reports an import whose report does not name exactly these lines, or would
// move a terminal's cursor.
func checkReport(t testing.TB, got outcome, lines ...string) {
	t.Helper()
	var named []string
	for _, found := range reported.FindAllStringSubmatch(got.stderr, -1) {
		named = append(named, found[1])
	}
	named = slices.Compact(named) // two fields of a line may be bad
	if strings.Join(named, " ") != strings.Join(lines, " ") {
		t.Errorf("the report names the lines %q; want %q: %.2000s", named, lines, got.stderr)
	}
	checkPrintable(t, got.stdout+got.stderr)
}

// TestImportGoodLines: the neighbours of the bad lines.
func TestImportGoodLines(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, line string }{
		{"64 KiB", padded("user", 64<<10)},
		{"blanks around it", " \t" + userLine("user") + " \t"},
		{"\\r at its end", userLine("user") + "\r"},
		{"escapes", `{"\u0075sername":"\u0075ser","password_hash":null}`},
		{"a name of 150 characters", userLine(strings.Repeat("ü", 150))},
		{"a name with a slash", userLine("a/b")},
		{"a name of three dots", userLine("...")},
		{"a name that begins with a dot", userLine(".user")},
		{"a name that begins with me", userLine("me2")},
		{"hashed_password", userLine("user", `"hashed_password":"$2b$12$`+a53+`"`)},
		{"hashed_password that is null", userLine("user", `"hashed_password":null`)},
		{"bcrypt of cost 4", withHash("$2b$04$" + a53)},
		{"bcrypt of cost 14", withHash("$2b$14$" + a53)},
		{"bcrypt 2a", withHash("$2a$12$" + a53)},
		{"bcrypt 2y", withHash("$2y$12$" + a53)},
		{"PBKDF2 of 10,000,000 rounds", withHash("$pbkdf2-sha256$10000000$c2l4dGVlbiBieXRlcyEhIQ$" + a32)},
		{"PBKDF2 of one round", withHash("$pbkdf2-sha256$1$c2l4dGVlbiBieXRlcyEhIQ$" + a32)},
		{"argon2id of 256 MiB", withHash("$argon2id$v=19$m=262144,t=1,p=1$c2l4dGVlbiBieXRlcyEhIQ$" + a32)},
		{"no address", userLine("user", `"email":null`)},
		{"an address in another alphabet", userLine("user", `"email":"größe@bücher.example"`)},
		{"an empty full name", userLine("user", `"full_name":""`)},
		{"a full name with escapes", userLine("user", `"full_name":"\u001b[31m\n\u202e"`)},
		{"disabled", userLine("user", `"disabled":true`)},
		{"no scopes", userLine("user", `"scopes":[]`)},
		{"32 scopes of 64 characters", userLine("user", `"scopes":["`+strings.Join(scopes(32), `","`)+`"]`)},
		{"every character of scopes", userLine("user", `"scopes":["AZaz09._:-"]`)},
		{"a scope that begins with any", userLine("user", `"scopes":["anybody"]`)},
		{"created in an hour", userLine("user", `"created_at":"`+in(time.Hour)+`"`)},
		{"created in 23 hours", userLine("user", `"created_at":"`+in(23*time.Hour)+`"`)},
		{"created in another zone", userLine("user", `"created_at":"2020-01-01T00:00:00.123456+05:45"`)},
		{"tokens valid after a time", userLine("user", `"tokens_valid_after":"2020-01-01T00:00:00Z"`)},
		{"tokens valid whenever made", userLine("user", `"tokens_valid_after":null`)},
	}
	p := inFile(t)
	makeDatabaseAt(t, p)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := p.command("users", "import", newUsersFile(t, tt.line), "-dry-run").run(t)
			checkDone(t, got)
			checkReport(t, got)
		})
	}
}

// TestImportAllBadLines: one run shows everything that is wrong, if it is not too much.
func TestImportAllBadLines(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	makeDatabaseAt(t, p)
	var lines, numbers []string
	for i := range 25 {
		lines = append(lines, userLine(fmt.Sprint("user", i)), userLine(fmt.Sprint("bad", i), `"email":"x"`))
		numbers = append(numbers, fmt.Sprint(2*i+2))
	}
	file := newUsersFile(t, lines...)
	got := p.command("users", "import", file).run(t)
	checkReport(t, got, numbers[:20]...)
	if got.code != 1 || !regexp.MustCompile(`\b5\b.*more|more.*\b5\b`).MatchString(got.stderr) {
		t.Errorf("exit code %d, %s; want 1 and that there are 5 more", got.code, got.stderr)
	}
	got = p.command("users", "import", "-v", file).run(t)
	checkReport(t, got, numbers...)

	if n := p.users(t); n != 0 {
		t.Fatalf("%d users; want none", n)
	}
	got = p.command("users", "import", "-skip-bad", "-v", file).run(t)
	checkReport(t, got, numbers...)
	checkCounts(t, got, 25, 0, 25)
	if n := p.users(t); got.code != 1 || n != 25 {
		t.Errorf("exit code %d and %d users; want 1 and the 25 good ones", got.code, n)
	}
}

// TestImportTwoThingsWrong: a line of which two fields are bad says so at once.
func TestImportTwoThingsWrong(t *testing.T) {
	t.Parallel()
	file := newUsersFile(t, userLine("me", `"email":"x"`, `"emial":"x"`, `"scopes":"a"`))
	got := inFile(t).command("users", "import", file).run(t)
	checkFailed(t, got, 1)
	for _, field := range []string{"username", "email", "emial", "scopes"} {
		if !strings.Contains(got.stderr, field) {
			t.Errorf("%q does not name %s", got.stderr, field)
		}
	}
}

// TestImportReportEscapes: a bad name neither breaks the line of the report nor speaks to the
// terminal, and is not longer than it.
func TestImportReportEscapes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"evil\x1b[31m", "evil\nline 7: username: fake", "evil\r", "evil\u202e", "evil\u0085", "evil\u2028",
		"evil" + strings.Repeat("\x07", 1000), strings.Repeat("long ", 1000),
	} {
		for _, line := range []string{userLine(name), userLine("alice", fmt.Sprintf(`"email":%s`, quoted(name)))} {
			got := inFile(t).command("users", "import", newUsersFile(t, line)).run(t)
			checkReport(t, got, "1")
			for line := range strings.Lines(got.stderr) {
				if len(line) > 1000 {
					t.Errorf("a line of %d bytes: %.200s", len(line), line)
				}
			}
		}
	}
}
