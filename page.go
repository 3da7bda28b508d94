package main

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/language"
)

// pagePolicy is the Content-Security-Policy of the account page: it runs only what this server
// serves, talks to nobody else, and cannot turn a text into markup.
const pagePolicy = docsPolicy + "; require-trusted-types-for 'script'; trusted-types 'none'"

// pageLanguages are the languages of the account page, each with its own name. There is a
// web/account.….json of each. The first is for everybody else.
var pageLanguages = []pageLanguage{{"en", "English"}, {"ko", "한국어"}}

type pageLanguage struct{ code, name string }

var pageMatcher = language.NewMatcher([]language.Tag{language.English, language.Korean})

// accountPage returns the operation that answers with the account page: where people register,
// sign in, and manage their accounts. open says whether they can register, and
// minPassword how long a password must be.
func accountPage(open bool, minPassword int) handlerFunc {
	pages, registration := make(map[string]text), "closed"
	if open {
		registration = "open"
	}
	for i, lang := range pageLanguages {
		other := pageLanguages[(i+1)%len(pageLanguages)]
		pages[lang.code] = newText(htmlText, func() ([]byte, error) {
			return renderPage(lang, other, registration, minPassword)
		})
	}
	return func(_ context.Context, w http.ResponseWriter, r *http.Request, _ client) error {
		header := w.Header()
		header.Set("Content-Security-Policy", pagePolicy)
		header.Set("Permissions-Policy", "publickey-credentials-get=(self), publickey-credentials-create=(self)")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Add("Vary", "Accept-Language")
		return pages[chooseLanguage(r.URL.Query().Get("lang"), r.Header.Get("Accept-Language"))].write(w, r)
	}
}

// chooseLanguage returns the language that somebody has asked for, or else the one that fits an
// Accept-Language header best (RFC 9110 §12.5.4).
func chooseLanguage(asked, header string) string {
	if slices.ContainsFunc(pageLanguages, func(l pageLanguage) bool { return l.code == asked }) {
		return asked
	}
	wanted, _, _ := language.ParseAcceptLanguage(header) // none, if the header makes no sense
	_, i, _ := pageMatcher.Match(wanted...)
	return pageLanguages[i].code
}

// renderPage puts the texts of a language into the page. The script reads its own from there, too.
// It is not html/template, which would keep 3 MB in the program that nothing else needs.
func renderPage(lang, other pageLanguage, registration string, minPassword int) ([]byte, error) {
	page, err := web.ReadFile("web/account.html")
	if err != nil {
		return nil, err
	}
	table, err := web.ReadFile("web/account." + lang.code + ".json")
	if err != nil {
		return nil, err
	}
	var texts struct {
		Page   map[string]string
		Script json.RawMessage
	}
	if err := json.Unmarshal(table, &texts); err != nil {
		return nil, err
	}
	values := []string{
		"{{lang}}", lang.code,
		"{{other_lang}}", other.code,
		"{{other_name}}", other.name,
		"{{registration}}", registration,
		"{{texts}}", scriptSafe(texts.Script),
	}
	for name, text := range texts.Page {
		text = strings.ReplaceAll(text, "{n}", strconv.Itoa(minPassword))
		values = append(values, "{{"+name+"}}", html.EscapeString(text))
	}
	return []byte(strings.NewReplacer(values...).Replace(string(page))), nil
}

// scriptSafe returns JSON that can stand in an element script, in one line.
func scriptSafe(text json.RawMessage) string {
	var compact, safe bytes.Buffer
	json.Compact(&compact, text) // Unmarshal has accepted it
	json.HTMLEscape(&safe, compact.Bytes())
	return safe.String()
}

// pageFiles are what the account page loads, besides the client.
var pageFiles = map[string]text{
	"/account.css": webText("account.css", css),
	"/account.js":  webText("account.js", javaScript),
}

// readPageFile answers with the style or the script of the account page.
func readPageFile(_ context.Context, w http.ResponseWriter, r *http.Request, _ client) error {
	return pageFiles[r.URL.Path].write(w, r)
}
