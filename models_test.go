package main

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// TestUsernameKeyFoldsAll: no two names differ only in the case of a letter, in
// whatever script.
func TestUsernameKeyFoldsAll(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		other := unicode.SimpleFold(r)
		if other == r || checkUsername(string(r)) != nil || checkUsername(string(other)) != nil {
			continue
		}
		if a, b := usernameKey(string(r)), usernameKey(string(other)); a != b {
			t.Errorf("%q and %q have the keys %q and %q", r, other, a, b)
		}
	}
}

func TestUsernameKey(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		same       bool
	}{
		{"case", "Alice", "aLICE", true},
		{"width", "ａｌｉｃｅ", "alice", true},
		{"composition", "re\u0301ne\u0301", "réné", true},
		{"sharp s", "STRASSE", "straße", true},
		{"final sigma", "ΟΔΥΣΣΕΥΣ", "οδυσσευς", true},
		{"ligature", "ﬁn", "fin", true},
		{"Kelvin sign", "\u212A", "k", true},
		{"two spaces", "a  b", "a\u00a0b", true},
		{"a space more", "ab", "a b", false},
		{"an accent", "rene", "réné", false},
		{"another script", "а", "a", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a, b := usernameKey(tt.a), usernameKey(tt.b); (a == b) != tt.same {
				t.Errorf("%q and %q have the keys %q and %q; want the same: %v", tt.a, tt.b, a, b, tt.same)
			}
		})
	}
}

// TestNormalFormsAreBounded: what normalName, spells and expands take for granted of every
// character.
func TestNormalFormsAreBounded(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if r == 0x40000 {
			r = 0xE0000 // the planes between have no characters
		}
		s := string(r)
		if n := utf8.RuneCountInString(norm.NFD.String(s)); n > maxComposed {
			t.Errorf("%U is composed of %d code points", r, n)
		}
		if nfkc, key := norm.NFKC.String(s), usernameKey(s); len(nfkc) > maxComposed*len(key) {
			t.Errorf("%U has %d bytes in NFKC, and %d in its key", r, len(nfkc), len(key))
		}
	}
}

func TestSpells(t *testing.T) {
	long := strings.Repeat("\u1F82", 150) // each four code points in NFD, and 450 bytes together
	for _, tt := range []struct {
		name       string
		text, user string
		want       bool
	}{
		{"the name", "alice", "alice", true},
		{"in capitals", "ALICE", "alice", true},
		{"in mathematical letters", "𝐚𝐥𝐢𝐜𝐞", "alice", true},
		{"in NFD", norm.NFD.String("réné"), "réné", true},
		{"the longest name, in NFD", norm.NFD.String(long), long, true},
		{"the longest name, in capitals", strings.ToUpper(long), long, true},
		{"another", "alicf", "alice", false},
		{"a letter more", "alicee", "alice", false},
		{"a letter less", "alic", "alice", false},
		{"very long", strings.Repeat("alice", 800), "alice", false},
		{"nothing", "", "alice", false},
		{"a name that is none", strings.Repeat("x", 5000), strings.Repeat("x", 5000), false},
	} {
		if got := spells(tt.text, tt.user); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestLongestCommon(t *testing.T) {
	longest := 0
	for line := range strings.Lines(commonPasswords) {
		longest = max(longest, len(strings.TrimSuffix(line, "\n")))
	}
	if longest != longestCommon {
		t.Errorf("longestCommon is %d; want %d", longestCommon, longest)
	}
}

// TestLongInputIsCheap: no text of a request that is refused is written out in a normal
// form, which may be eighteen times as long. What that would cost is seen in the memory it
// would take.
func TestLongInputIsCheap(t *testing.T) {
	const size = 60_000 // bytes in a request
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	user := func(name, text string) func() error {
		value := fmt.Sprintf("%q", text)
		members := map[string]string{"username": `"alice"`, "password": `"correct horse battery"`, "email": `"x"`}
		members[name] = value
		var list []member
		for name, value := range members {
			list = append(list, member{name, []byte(value)})
		}
		return func() error { _, err := parseNewUser(list, 8); return err }
	}
	login := func(name string) func() error {
		f := form{values: map[string]string{"username": name, "password": "x"}}
		return func() error { _, err := parseLogin(f); return err }
	}
	for name, parse := range map[string]func() error{
		"a password of 4,096 ligatures":       user("password", strings.Repeat("\ufdfa", 4096)),
		"a password of 4,096 marks":           user("password", strings.Repeat("\u0315\u0300", 2048)),
		"a password of 60,000 bytes":          user("password", fill("\ufdfa")),
		"a username of ligatures":             user("username", fill("\ufdfa")),
		"a username of 150 ligatures":         user("username", strings.Repeat("\ufdfa", 150)),
		"a username of marks":                 user("username", fill("\u0315\u0300")),
		"an e-mail address of ligatures":      user("email", fill("\ufdfa")+"@example.com"),
		"an e-mail address of capitals":       user("email", fill("\u212a")),
		"a domain of ligatures":               user("email", "a@"+fill("\ufdfa")),
		"a display name of 2,000 ligatures":   user("email", strings.Repeat("\ufdfa", 1990)+" <a@example.test>"),
		"a full name of ligatures":            user("full_name", fill("\ufdfa")),
		"a login's name of marks":             login(fill("\u0315\u0300")),
		"a login's name of Hangul":            login(fill("\u1100\u1161\u11a8")),
		"a login's name that is white space":  login(fill("\u3000")),
		"a login's name with NULs at the end": login("a" + fill("\x00")),
	} {
		if parse() == nil {
			t.Errorf("%s is taken", name)
		}
		if got := allocated(func() { parse() }); got > 3*size {
			t.Errorf("%s takes %d bytes", name, got)
		}
	}
	name, password := strings.Repeat("\U0002F9F4", 150), strings.Repeat("\ufdfa", 800)
	if got := allocated(func() { checkPassword(password, name, 8) }); got > size {
		t.Errorf("a password that is hardly longer than the name takes %d bytes", got)
	}
	acc, subject := quietAccounts(t, newMemStore()), fill("\ufdfa")
	if got := allocated(func() { acc.userByName(t.Context(), subject) }); got > size {
		t.Errorf("the subject of a token takes %d bytes", got)
	}
}

// allocated returns how many bytes do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// FuzzLoginName: what is cut from a name is what no name has at its ends, and only that;
// nothing that may be registered is refused or changed.
func FuzzLoginName(f *testing.F) {
	for _, seed := range []string{"alice", " alice\u3000", "\ufeffal ice\u200b\r\n", "a\x00 ", "\u0301", "e\u0301", "\u2800", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var bad fieldErrors
		name := bad.loginName(form{values: map[string]string{"username": text}})
		registered, wrong := normalName(text)
		if wrong == nil && utf8.ValidString(text) && checkUsername(registered) == nil && (name != registered || bad != nil) {
			t.Errorf("%q can be registered, and is read as %q, %v", text, name, bad)
		}
		if name == "" && bad == nil {
			t.Errorf("%q is no name, and no error", text)
		}
		if bad == nil && !strings.Contains(norm.NFC.String(text), name) {
			t.Errorf("%q has become %q", text, name)
		}
		for _, space := range []string{" ", "\t", "\u00a0", "\u3000", "\u200b", "\ufeff", "\r\n"} {
			var bad2 fieldErrors
			around := bad2.loginName(form{values: map[string]string{"username": space + text + space}})
			if text != "" && (around != name || len(bad) != len(bad2)) {
				t.Errorf("%q is read as %q, and with %q around it as %q", text, name, space, around)
			}
		}
	})
}
