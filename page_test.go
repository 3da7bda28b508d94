package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPageLanguage: the page is in a language that the reader wants, or in English.
func TestPageLanguage(t *testing.T) {
	s := startServer(t)
	for _, tt := range []struct{ name, query, header, want string }{
		{"no preference", "", "", "en"},
		{"Korean", "", "ko", "ko"},
		{"Korean with a region, before English", "", "ko-KR,en;q=.5", "ko"},
		{"English, before Korean", "", "en-GB,en;q=0.9,ko;q=0.8", "en"},
		{"no English, but Korean", "", "en;q=0,ko", "ko"},
		{"anything", "", "*", "en"},
		{"anything, but rather Korean", "", "*;q=0.1, ko;q=0.2", "ko"},
		{"neither of them", "", "fr-CH, fr;q=0.9", "en"},
		{"neither of them, but Korean after it", "", "fr, ko;q=0.1", "ko"},
		{"garbage", "", ";;q=,\"ko", "en"},
		{"a weight that is not a number", "", "ko;q=x", "en"},
		{"very much", "", strings.Repeat("ko-KR,", 900), "ko"},
		{"one word of many letters", "", strings.Repeat("k", 3000), "en"},
		{"very many hyphens", "", strings.Repeat("-", 3000) + ",ko", "en"},
		{"Korean by the link", "?lang=ko", "en", "ko"},
		{"English by the link", "?lang=en", "ko", "en"},
		{"a language that there is not, by a link", "?lang=xx", "ko", "ko"},
		{"a file, by a link", "?lang=../account.ko", "", "en"},
		{"a query that is broken", "?lang=%zz", "", "en"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.do("GET", "/"+tt.query, "", "Accept-Language: "+tt.header)
			if got.status != 200 || !strings.Contains(got.body, `<html lang="`+tt.want+`"`) {
				t.Errorf("%d %.100q; want the language %s", got.status, got.body, tt.want)
			}
			if vary := got.header.Values("Vary"); !slices.Contains(vary, "Accept-Language") || !slices.Contains(vary, "Accept-Encoding") {
				t.Errorf("Vary: %q", vary)
			}
		})
	}
}

// TestPageLanguages: each language of the page is served to readers who prefer it.
func TestPageLanguages(t *testing.T) {
	for _, lang := range pageLanguages {
		if got := chooseLanguage("", lang.code); got != lang.code {
			t.Errorf("%s gets %s", lang.code, got)
		}
	}
}

// pageTexts are the tables of texts, by language.
func pageTexts(t *testing.T) map[string]struct{ Page, Script map[string]string } {
	t.Helper()
	tables := make(map[string]struct{ Page, Script map[string]string })
	for _, lang := range pageLanguages {
		var texts struct{ Page, Script map[string]string }
		if err := json.Unmarshal([]byte(readPage(t, "web/account."+lang.code+".json")), &texts); err != nil {
			t.Fatal(err)
		}
		tables[lang.code] = texts
	}
	return tables
}

// TestPageTextsMatch: each language has the same texts, with the same places in them.
func TestPageTextsMatch(t *testing.T) {
	tables := pageTexts(t)
	for code, texts := range tables {
		matchTexts(t, code, texts.Page, tables["en"].Page)
		matchTexts(t, code, texts.Script, tables["en"].Script)
	}
}

func matchTexts(t *testing.T, code string, got, want map[string]string) {
	t.Helper()
	if keys, wanted := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(keys, wanted) {
		t.Errorf("%s has the texts\n%q; want\n%q", code, keys, wanted)
	}
	for key, text := range got {
		if text == "" || !slices.Equal(placesIn(text), placesIn(want[key])) {
			t.Errorf("%s: %s is %q; want the places of %q", code, key, text, want[key])
		}
	}
}

// placesIn returns the {names} in a text, sorted.
func placesIn(text string) []string {
	names := regexp.MustCompile(`{\w+}`).FindAllString(text, -1)
	slices.Sort(names)
	return names
}

// TestPageTextsAreUsed: the page and its scripts use all texts, and no others.
func TestPageTextsAreUsed(t *testing.T) {
	texts := pageTexts(t)["en"]
	page, scripts := readPage(t, "web/account.html"), readPage(t, "web/account.js")+readPage(t, "web/account-messages.js")
	for key := range texts.Page {
		if !strings.Contains(page, "{{"+key+"}}") {
			t.Errorf("the page does not use %s", key)
		}
	}
	used := map[string]bool{"ended_logout": true, "ended_expired": true, "ended_reused": true} // by the reason; see TestPageEndings
	for _, m := range regexp.MustCompile(`texts\.(\w+)`).FindAllStringSubmatch(scripts, -1) {
		used[m[1]] = true
	}
	if got, want := slices.Sorted(maps.Keys(used)), slices.Sorted(maps.Keys(texts.Script)); !slices.Equal(got, want) {
		t.Errorf("the scripts use the texts\n%q; there are\n%q", got, want)
	}
}

// TestPageIsFilledIn: no place is left empty in the page.
func TestPageIsFilledIn(t *testing.T) {
	s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.minPasswordLength = 12 })
	for lang, hint := range map[string]string{"en": "At least 12 characters.", "ko": "12자 이상"} {
		if body := s.do("GET", "/?lang="+lang, "").body; strings.Contains(body, "{{") || !strings.Contains(body, hint) {
			t.Errorf("%s: something is left to fill in, or %q is not there: %s", lang, hint, body)
		}
	}
}

// TestPageEndings: the page has a text for every reason that latchkey.js gives.
func TestPageEndings(t *testing.T) {
	types := regexp.MustCompile(`type SignedOutReason = ([^;]+);`).FindStringSubmatch(readPage(t, "web/latchkey.d.ts"))
	if types == nil {
		t.Fatal("web/latchkey.d.ts has no SignedOutReason")
	}
	for _, m := range regexp.MustCompile(`"(\w+)"`).FindAllStringSubmatch(types[1], -1) {
		if !strings.Contains(readPage(t, "web/account.en.json"), `"ended_`+m[1]+`"`) {
			t.Errorf("there is no text for the reason %s", m[1])
		}
	}
}

// TestPageKnowsRefusals: the page knows refusals by the texts that the server sends.
func TestPageKnowsRefusals(t *testing.T) {
	script := readPage(t, "web/account.js")
	for _, err := range []error{errBadCredentials, errExists, errRegistrationClosed, errWrongPassword} {
		if _, p, _ := describe(err); !strings.Contains(script, fmt.Sprintf("%q: {", p.Detail)) {
			t.Errorf("web/account.js does not know %q", p.Detail)
		}
	}
	for _, err := range []error{errStaleLogin, errStaleAPIKeyLogin} {
		if code, p, _ := describe(err); code != 403 || !strings.HasPrefix(p.Detail.(string), "Sign in again") {
			t.Errorf("%d %q; want a 403 that web/account.js takes for an old login", code, p.Detail)
		}
	}
}

// TestPageHeaders: a page that can do nothing but what it is for.
func TestPageHeaders(t *testing.T) {
	got := startServer(t).do("GET", "/", "")
	for name, want := range map[string]string{
		"Content-Type":               "text/html; charset=utf-8",
		"Cache-Control":              "no-cache",
		"Cross-Origin-Opener-Policy": "same-origin",
		"Referrer-Policy":            "no-referrer",
		"Permissions-Policy":         "publickey-credentials-get=(self), publickey-credentials-create=(self)",
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
	} {
		if value := got.header.Get(name); value != want {
			t.Errorf("%s: %q; want %q", name, value, want)
		}
	}
	body := strings.ReplaceAll(got.body, "http://www.w3.org/2000/svg", "") // a name, which nobody loads
	if inline := regexp.MustCompile(`(?i)<style|style=|\son\w+=|<script>|javascript:|https?://`).FindString(body); inline != "" {
		t.Errorf("the page has %q in it, which its policy forbids", inline)
	}
}

// TestPageRegistration: a server that is closed to new users says so in the page.
func TestPageRegistration(t *testing.T) {
	for open, want := range map[bool]string{true: `data-registration="open"`, false: `data-registration="closed"`} {
		s := startServer(t, func(acc *accounts, _ *edgeSettings) { acc.registrationOpen = open })
		if body := s.do("GET", "/", "").body; !strings.Contains(body, want) {
			t.Errorf("open is %t: %.100q; want %s", open, body, want)
		}
	}
}

// TestPagePreloads: the page names all modules that its script imports, so that the browser fetches
// them together.
func TestPagePreloads(t *testing.T) {
	page := startServer(t).do("GET", "/", "").body
	imported := regexp.MustCompile(`(?m)^import .* from "\./(.*)";$`).FindAllStringSubmatch(readPage(t, "web/account.js"), -1)
	if len(imported) == 0 {
		t.Error("web/account.js imports nothing")
	}
	for _, m := range imported {
		if !strings.Contains(page, `<link rel="modulepreload" href="`+m[1]+`">`) {
			t.Errorf("the page does not preload %s", m[1])
		}
	}
}

// TestPageSize: the page and all that it loads come in 20 KB, and in 60 KB without compression.
func TestPageSize(t *testing.T) {
	s := startServer(t)
	for _, lang := range pageLanguages {
		plain, gzipped := 0, 0
		for _, path := range []string{"/?lang=" + lang.code, "/account.css", "/account.js", "/account-messages.js", "/latchkey.js"} {
			whole := s.do("GET", path, "").body
			small := s.do("GET", path, "", "Accept-Encoding: gzip").body
			plain, gzipped = plain+len(whole), gzipped+len(small)
			r, err := gzip.NewReader(strings.NewReader(small))
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(r); err != nil || string(text) != whole {
				t.Errorf("%s is another text if it is compressed: %v", path, err)
			}
		}
		if plain > 60_000 || gzipped > 20_000 {
			t.Errorf("%s: %d bytes, %d compressed; want at most 60,000 and 20,000", lang.code, plain, gzipped)
		}
		t.Logf("%s: %d bytes, %d compressed", lang.code, plain, gzipped)
	}
}
