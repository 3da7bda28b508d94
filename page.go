package main

import (
	"context"
	"encoding/json"
	"html"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/text/language"
)

// pagePolicy is the Content-Security-Policy of the account page. Its Trusted Types also keep the
// script from turning text into markup.
const pagePolicy = ownPolicy + "; require-trusted-types-for 'script'; trusted-types 'none'"

// pageLanguages are the languages of the account page, each with its own name. The first is the
// default. The texts of each are in web/account.CODE.json.
var pageLanguages = []pageLanguage{{"en", "English"}, {"ko", "한국어"}}

type pageLanguage struct{ code, name string }

// pageMatcher finds the best language; its Match returns an index into pageLanguages. It is made when
// somebody first opens the page, and not by commands.
var pageMatcher = sync.OnceValue(func() language.Matcher {
	var tags []language.Tag
	for _, l := range pageLanguages {
		tags = append(tags, language.Make(l.code))
	}
	return language.NewMatcher(tags)
})

// accountPage returns the operation that answers with the account page: where people register,
// sign in, and manage their accounts. open says whether they can register, and
// minPassword how long a password must be.
func accountPage(open bool, minPassword int) handlerFunc {
	registration := "closed"
	if open {
		registration = "open"
	}
	pages := make(map[string]asset)
	for i, lang := range pageLanguages {
		other := pageLanguages[(i+1)%len(pageLanguages)]
		pages[lang.code] = newAsset(htmlText, func() ([]byte, error) {
			return renderPage(lang, other, registration, minPassword)
		})
	}
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, from client) error {
		header := w.Header()
		header.Set("Content-Security-Policy", pagePolicy)
		// No frame may use a passkey.
		header.Set("Permissions-Policy", "publickey-credentials-get=(self), publickey-credentials-create=(self)")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Add("Vary", "Accept-Language")
		return pages[chooseLanguage(r.URL.Query().Get("lang"), r.Header.Get("Accept-Language"))].serve(ctx, w, r, from)
	}
}

// maxAcceptLanguage is how much of an Accept-Language header is read, in bytes. Longer ones take
// milliseconds to parse.
const maxAcceptLanguage = 256

// chooseLanguage returns the language that somebody has asked for, or else the one that fits an
// Accept-Language header best (RFC 9110 §12.5.4).
func chooseLanguage(asked, header string) string {
	if slices.ContainsFunc(pageLanguages, func(l pageLanguage) bool { return l.code == asked }) {
		return asked
	}
	if len(header) > maxAcceptLanguage {
		header = header[:strings.LastIndexByte(header[:maxAcceptLanguage], ',')+1]
	}
	wanted, _, _ := language.ParseAcceptLanguage(header) // none, if the header makes no sense
	_, i, _ := pageMatcher().Match(wanted...)
	return pageLanguages[i].code
}

// renderPage puts the texts of a language into the page; the script reads its own from the element
// #texts. It replaces strings, because html/template would add 3 MB to the program.
func renderPage(lang, other pageLanguage, registration string, minPassword int) ([]byte, error) {
	page, err := web.ReadFile("web/account.html")
	if err != nil {
		return nil, err
	}
	table, err := web.ReadFile("web/account." + lang.code + ".json")
	if err != nil {
		return nil, err
	}
	var texts struct{ Page, Script map[string]string }
	if err := json.Unmarshal(table, &texts); err != nil {
		return nil, err
	}
	script, err := json.Marshal(texts.Script) // escapes <, > and &, so that it can stand in a script element
	if err != nil {
		return nil, err
	}
	values := []string{
		"{{lang}}", lang.code,
		"{{other_lang}}", other.code,
		"{{other_name}}", other.name,
		"{{registration}}", registration,
		"{{texts}}", string(script),
	}
	for name, text := range texts.Page {
		text = strings.ReplaceAll(text, "{n}", strconv.Itoa(minPassword))
		values = append(values, "{{"+name+"}}", html.EscapeString(text))
	}
	return []byte(strings.NewReplacer(values...).Replace(string(page))), nil
}
