package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// TestEmailStr compares with what pydantic 2.14 and python-email-validator 2.4
// said of 1,200 addresses: the normal form, or null for one that is refused.
//
// Of 100,000 addresses with random changes parseEmail disagrees on some 60, all
// about characters that the two sides' versions of Unicode see differently: we
// take CJK ideographs of Unicode 15, and refuse Cherokee, Georgian and Palochka
// capitals and invisible vowels in domains.
func TestEmailStr(t *testing.T) {
	var cases []struct {
		In  string
		Out *string
	}
	text, err := os.ReadFile("testdata/emails.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		got, err := parseEmail(c.In)
		switch {
		case c.Out == nil && err == nil:
			t.Errorf("%+q is accepted as %+q", c.In, got)
		case c.Out != nil && (err != nil || got != *c.Out):
			t.Errorf("%+q: %+q, %v; want %+q", c.In, got, err, *c.Out)
		}
	}
}

func TestParseEmail(t *testing.T) {
	label, local := strings.Repeat("x", 63), strings.Repeat("y", 242)
	for _, tt := range []struct{ name, text, want string }{
		{"an address", "a@example.com", "a@example.com"},
		{"the domain in capitals", "A.b@EXAMPLE.com", "A.b@example.com"},
		{"a name before it", "Hong Gildong <hong@example.com>", "hong@example.com"},
		{"a name in quotes", `"Hong, Gildong" <hong@example.com>`, "hong@example.com"},
		{"a name with a comma, without quotes", "Hong, Gildong <hong@example.com>", ""},
		{"something behind the brackets", "<a@example.com> !", ""},
		{"spaces around", "\u00a0 a@example.com\t", "a@example.com"},
		{"a newline behind", "a@example.com\n", ""},
		{"a header behind", "a@example.com\r\nBcc: b@example.com", ""},
		{"two addresses", "a@example.com, b@example.com", ""},
		{"quotes before the @", `"a"@example.com`, ""},
		{"an IP address", "a@[127.0.0.1]", ""},
		{"a role in capitals", "INFO@example.com", "info@example.com"},
		{"letters of any script", "юзер@екзампл.ком", "юзер@екзампл.ком"},
		{"NFD becomes NFC", "re\u0301ne\u0301@example.com", "réné@example.com"},
		{"Punycode becomes Unicode", "a@XN--BCHER-KVA.example", "a@bücher.example"},
		{"full width becomes half width", "a@ｅｘａｍｐｌｅ．com", "a@example.com"},
		{"an emoji in the domain", "a@😀.com", ""},
		{"Arabic digits of two kinds", "a@\u0661\u06f2.com", ""},
		{"a zero-width space", "a\u200b@example.com", ""},
		{"a NUL", "a\x00@example.com", ""},
		{"invalid UTF-8", "a\xff@example.com", ""},
		{"a label of 63", "a@" + label + ".com", "a@" + label + ".com"},
		{"a label of 64", "a@" + label + "x.com", ""},
		{"254 bytes", local + "@example.com", local + "@example.com"},
		{"255 bytes", local + "y@example.com", ""},
		{"254 characters of two bytes", strings.Repeat("é", 242) + "@example.com", ""},
		{"no period", "a@localhost", ""},
		{"a number for a top-level domain", "a@127.0.0.1", ""},
		{"a reserved domain", "a@example.test", ""},
		{"60 KiB", strings.Repeat("a@", 30<<10), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseEmail(tt.text)
			if (err == nil) != (tt.want != "") || got != tt.want {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// FuzzEmail: what is accepted is short, has no control characters, and is its
// own normal form.
func FuzzEmail(f *testing.F) {
	for _, text := range []string{"a@example.com", "N <a@example.com>", "é@bücher.example", "a@xn--fa-hia.de", "INFO@ẞ.com", "a@ｅ｡com"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		normal, err := parseEmail(text)
		if err != nil {
			return
		}
		if len(normal) > maxEmail || !utf8.ValidString(normal) || strings.ContainsFunc(normal, unicode.IsControl) {
			t.Errorf("%q gives %q", text, normal)
		}
		if again, err := parseEmail(normal); err != nil || again != normal {
			t.Errorf("%q gives %q, which gives %q, %v", text, normal, again, err)
		}
	})
}
