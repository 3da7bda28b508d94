package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// recordedEmail is an answer of pydantic's EmailStr; Out is nil if it refused In.
type recordedEmail struct {
	In  string  `json:"in"`
	Out *string `json:"out"`
}

func recordedEmails(t testing.TB) []recordedEmail {
	t.Helper()
	data, err := os.ReadFile("testdata/emails.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded []recordedEmail
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	return recorded
}

func TestParseEmailAsRecorded(t *testing.T) {
	for _, tt := range recordedEmails(t) {
		got, err := parseEmail(tt.In)
		if tt.Out == nil && err == nil {
			t.Errorf("parseEmail(%+q) = %+q, want an error", tt.In, got)
		}
		if tt.Out != nil && (err != nil || got != *tt.Out) {
			t.Errorf("parseEmail(%+q) = %+q, %v, want %+q", tt.In, got, err, *tt.Out)
		}
	}
}

func TestParseEmailAccepts(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"a plain address", "jane@example.com", "jane@example.com"},
		{"the local part in its own case", "Jane@EXAMPLE.com", "Jane@example.com"},
		{"a role in lower case", "PostMaster@example.com", "postmaster@example.com"},
		{"space around it", "\u3000jane@example.com\x1c", "jane@example.com"},
		{"a display name", "Jane Doe <jane@example.com>", "jane@example.com"},
		{"a quoted display name", `"Doe, Jane" <jane@example.com>`, "jane@example.com"},
		{"no display name", "<jane@example.com>", "jane@example.com"},
		{"an accent of its own", "jose\u0301@example.com", "jos\u00e9@example.com"},
		{"a domain in Unicode", "jane@BÜCHER.example", "jane@bücher.example"},
		{"a domain in Punycode", "jane@xn--bcher-kva.example", "jane@bücher.example"},
		{"a domain in full-width letters", "jane@ｅｘａｍｐｌｅ。com", "jane@example.com"},
		{"254 bytes", strings.Repeat("a", 242) + "@example.com", strings.Repeat("a", 242) + "@example.com"},
		{"a label of 63 bytes", "jane@" + strings.Repeat("a", 63) + ".com", "jane@" + strings.Repeat("a", 63) + ".com"},
		{"a domain from right to left", "jane@אב.גד", "jane@אב.גד"},
		{"a middle dot between two l", "jane@col·lega.cat", "jane@col·lega.cat"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseEmail(tt.in)
			if err != nil || got != tt.want {
				t.Errorf("parseEmail(%+q) = %+q, %v, want %+q", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestParseEmailRefuses(t *testing.T) {
	for _, tt := range []struct{ name, in string }{
		{"nothing", ""},
		{"no @-sign", "jane.example.com"},
		{"two @-signs", "jane@doe@example.com"},
		{"no local part", "@example.com"},
		{"no domain", "jane@"},
		{"a domain without a period", "jane@example"},
		{"a period at the start", ".jane@example.com"},
		{"two periods in a row", "jane..doe@example.com"},
		{"a period at the end", "jane@example.com."},
		{"a quoted local part", `"jane"@example.com`},
		{"an IP address", "jane@[192.0.2.1]"},
		{"a top-level domain in digits", "jane@192.0.2.1"},
		{"a special-use domain", "jane@example.test"},
		{"an underscore in the domain", "jane@ex_ample.com"},
		{"a hyphen at the start of a label", "jane@-example.com"},
		{"hyphens in the third and fourth place", "jane@ex--ample.com"},
		{"255 bytes", strings.Repeat("a", 243) + "@example.com"},
		{"a label of 64 bytes", "jane@" + strings.Repeat("a", 64) + ".com"},
		{"more space than an address may have", strings.Repeat(" ", 2048) + "jane@example.com"},
		{"a line feed at the end", "jane@example.com\n"},
		{"a NUL", "jane\x00@example.com"},
		{"a zero width space", "jane\u200b@example.com"},
		{"a right-to-left override", "\u202ejane@example.com"},
		{"a combining mark at the start", "\u0301jane@example.com"},
		{"a semicolon after normalization", "jane\u037e@example.com"},
		{"UTF-8 cut short", "jan\xc3@example.com"},
		{"a comma in an unquoted display name", "Doe, Jane <jane@example.com>"},
		{"text after the brackets", "<jane@example.com> Doe"},
		{"an emoji domain", "jane@😀.com"},
		{"Punycode of an emoji", "jane@xn--e28h.com"},
		{"Punycode of nothing", "jane@xn--.com"},
		{"Punycode of plain letters", "jane@xn--abc-.com"},
		{"Unicode in Punycode", "jane@xn--bücher-kva.example"},
		{"a digit beside a label from right to left", "jane@1.אב.com"},
		{"a middle dot between other letters", "jane@col·ega.cat"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := parseEmail(tt.in); err == nil {
				t.Errorf("parseEmail(%+q) = %+q, want an error", tt.in, got)
			}
		})
	}
}

// TestParseEmailStricter has the classes of addresses that EmailStr takes and
// parseEmail does not.
func TestParseEmailStricter(t *testing.T) {
	for _, tt := range []struct{ name, in string }{
		{"an invisible Hangul filler", "jane@exam\u115fple.com"},
		{"an invisible Khmer vowel", "jane@exam\u17b4ple.com"},
		{"an ideograph that Unicode mapped late", "jane@\U0002f868.com"},
		{"more than thirty marks in a row", "x" + strings.Repeat("\u0301", 31) + "@example.com"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := parseEmail(tt.in); err == nil {
				t.Errorf("parseEmail(%+q) = %+q, want an error", tt.in, got)
			}
		})
	}
}

// FuzzEmail holds that whatever parses is in normal form: it parses to itself,
// fits into a mail envelope, and shows every character that it has.
func FuzzEmail(f *testing.F) {
	for _, r := range recordedEmails(f) {
		f.Add(r.In)
	}
	f.Fuzz(func(t *testing.T, s string) {
		addr, err := parseEmail(s)
		if err != nil {
			return
		}
		if again, err := parseEmail(addr); err != nil || again != addr {
			t.Errorf("parseEmail(%+q) = %+q, and that again = %+q, %v", s, addr, again, err)
		}
		if !utf8.ValidString(addr) || len(addr) > maxAddress || strings.Count(addr, "@") != 1 {
			t.Errorf("parseEmail(%+q) = %+q, which is no address", s, addr)
		}
		if strings.ContainsFunc(addr, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }) {
			t.Errorf("parseEmail(%+q) = %+q, with a character that cannot be seen", s, addr)
		}
	})
}

func BenchmarkParseEmail(b *testing.B) {
	for name, s := range map[string]string{
		"plain":         "jane@example.com",
		"international": "Jane Doe <jane@xn--bcher-kva.example>",
		"longest name":  "a@" + strings.Repeat("ü.", 80) + "com",
		"display name":  strings.Repeat("a ", 1000) + "<jane@example.com>",
		"60 KiB":        strings.Repeat("ü", 30<<10),
		"60 KiB of x":   strings.Repeat("x", 60<<10),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				parseEmail(s)
			}
		})
	}
}
