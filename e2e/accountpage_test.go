package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// A pageVisit is a tab that shows the account page.
type pageVisit struct {
	*browser
	host     string
	language string
	text     map[string]string // of the page, by its key in web/account.….json
}

// visitIn opens the account page at base in a tab, in a language, and waits for its script.
func visitIn(t *testing.T, b *browser, base, language string) *pageVisit {
	t.Helper()
	v := visitWithoutScript(t, b, base, language)
	v.sees(t, "#host", v.host)
	return v
}

// visitWithoutScript opens the account page, whose script may never start.
func visitWithoutScript(t *testing.T, b *browser, base, language string) *pageVisit {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	v := &pageVisit{b, u.Host, language, pageTexts(t, language)}
	v.run(t, chromedp.Navigate(base+"/?lang="+language))
	return v
}

// visitAs opens the account page in English, and signs somebody in.
func visitAs(t *testing.T, b *browser, base, username string) *pageVisit {
	t.Helper()
	v := visitIn(t, b, base, "en")
	v.signIn(t, username, password)
	return v
}

// pageTexts returns the texts of the account page in a language.
func pageTexts(t *testing.T, language string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../web/account." + language + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var tables struct{ Page, Script map[string]string }
	if err := json.Unmarshal(text, &tables); err != nil {
		t.Fatal(err)
	}
	maps.Copy(tables.Page, tables.Script)
	return tables.Page
}

// say returns a text of the page with values in the place of its {names}, in their order.
func (v *pageVisit) say(key string, values ...any) string {
	return fmt.Sprintf(regexp.MustCompile(`{\w+}`).ReplaceAllString(v.text[key], "%v"), values...)
}

// sees waits until an element that is visible shows a text.
func (v *pageVisit) sees(t *testing.T, selector, text string) {
	t.Helper()
	v.awaits(t, fmt.Sprintf("%q in %s", text, selector), fmt.Sprintf(
		`[...document.querySelectorAll(%q)].some((element) => element.checkVisibility() && element.innerText.includes(%q))`, selector, text))
}

// awaits waits until an expression is true on the page, also on one that is about to come.
func (v *pageVisit) awaits(t *testing.T, what, expression string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience / 2); ; <-tick.C {
		var isTrue bool
		err := chromedp.Run(v.ctx, chromedp.Evaluate("Boolean("+expression+")", &isTrue))
		if err == nil && isTrue {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v; never there: %s. The page shows %s. The browser says %q", err, what,
				v.evaluate(t, `return [document.body.innerText, document.activeElement.outerHTML.slice(0, 200)]`), v.complaints)
		}
	}
}

// is reports an expression that is not true on the page.
func (v *pageVisit) is(t *testing.T, what, expression string) {
	t.Helper()
	if got := v.evaluate(t, "return ("+expression+")"); got != "true" {
		t.Errorf("%s: %s is %s; want true", what, expression, got)
	}
}

// click clicks on the first element of a selector, when it is visible. It asks the page where that
// is, because chromedp does not find anything on one from the back-forward cache.
func (v *pageVisit) click(t *testing.T, selector string) {
	t.Helper()
	v.awaits(t, selector, fmt.Sprintf(`document.querySelector(%q)?.checkVisibility()`, selector))
	var x, y float64
	place := v.evaluate(t, fmt.Sprintf(`
		const element = document.querySelector(%q);
		element.scrollIntoView({ block: "center" });
		const { x, y, width, height } = element.getBoundingClientRect();
		return [x + width / 2, y + height / 2]`, selector))
	if _, err := fmt.Sscanf(place, "[%g,%g]", &x, &y); err != nil {
		t.Fatalf("%s: %v", place, err)
	}
	v.run(t, chromedp.MouseClickXY(x, y))
}

// fill types a text into a field, in place of what is in it.
func (v *pageVisit) fill(t *testing.T, id, text string) {
	t.Helper()
	v.awaits(t, "#"+id, fmt.Sprintf(`document.getElementById(%q).checkVisibility()`, id))
	v.evaluate(t, fmt.Sprintf(`const field = document.getElementById(%q); field.focus(); field.select()`, id))
	v.run(t, input.InsertText(text))
}

// submit presses the button that sends the form of a state or dialog.
func (v *pageVisit) submit(t *testing.T, id string) {
	t.Helper()
	v.click(t, "#"+id+" form button:not([type])")
}

// signIn signs somebody in by the form.
func (v *pageVisit) signIn(t *testing.T, username, password string) {
	t.Helper()
	v.fill(t, "signin-username", username)
	v.fill(t, "signin-password", password)
	v.submit(t, "signin")
	v.sees(t, "#name", username)
	v.awaits(t, "a session", `document.querySelector("#sessions li")`)
}

// checkField waits until a field is said to be wrong, and reports one of which a screen reader
// would not say so, or which has lost its text or not got the focus.
func (v *pageVisit) checkField(t *testing.T, id, problem, typed string) {
	t.Helper()
	v.sees(t, "#"+id+"-wrong", problem)
	v.is(t, id, fmt.Sprintf(`((field) => field === document.activeElement && field.ariaInvalid === "true" && field.value === %[2]q &&
		field.getAttribute("aria-describedby").split(" ").includes("%[1]s-wrong"))(document.getElementById(%[1]q))`, id, typed))
}

// show lets a tab be wide, in colors: light, dark, or those that the system forces on it.
func (b *browser) show(t *testing.T, colors string, width int64) {
	t.Helper()
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: colors}, {Name: "forced-colors", Value: "none"}}
	if colors == "forced" {
		features = []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}, {Name: "forced-colors", Value: "active"}}
	}
	b.run(t, emulation.SetEmulatedMedia().WithFeatures(features), emulation.SetDeviceMetricsOverride(width, 900, 1, false))
}

// checkState reports a state that scrolls sideways, has lost the focus, or has a text of another
// language. names are what users have chosen.
func (v *pageVisit) checkState(t *testing.T, what, title string, names ...string) {
	t.Helper()
	var got struct {
		Lang, Title, Text   string
		Sideways, Focusless bool
	}
	if err := json.Unmarshal([]byte(v.evaluate(t, `return {
		lang: document.documentElement.lang,
		title: document.title,
		sideways: document.documentElement.scrollWidth > innerWidth || [...document.querySelectorAll("dialog[open]")].some((dialog) => dialog.scrollWidth > dialog.clientWidth),
		focusless: document.activeElement === document.body,
		text: [document.body.innerText, ...[...document.querySelectorAll("[aria-label]")].map((element) => element.ariaLabel)].join("\n"),
	}`)), &got); err != nil {
		t.Fatal(err)
	}
	if got.Lang != v.language || got.Title != title+" · "+v.host {
		t.Errorf("%s: the language is %q and the title %q; want %q and %q", what, got.Lang, got.Title, v.language, title)
	}
	if got.Sideways || got.Focusless && what != "at first" {
		t.Errorf("%s: scrolls sideways: %t; has lost the focus: %t", what, got.Sideways, got.Focusless)
	}
	foreign := regexp.MustCompile(map[string]string{"en": `\p{Hangul}+`, "ko": `[A-Za-z]{2,}`}[v.language])
	for _, word := range append(names, v.host, "한국어", "English", "API", "Chrome", "Firefox", "Linux", "macOS", "Windows", "curl") {
		got.Text = strings.ReplaceAll(got.Text, word, "")
	}
	if found := foreign.FindAllString(got.Text, -1); found != nil {
		t.Errorf("%s: %q is in another language", what, found)
	}
}

// checkVisit reports what a visit has left in the browser, and complaints of the browser about
// anything but the answers that a test wants.
func (v *pageVisit) checkVisit(t *testing.T, base string) {
	t.Helper()
	if got := v.evaluate(t, `return [localStorage.length, sessionStorage.length, document.cookie, (await indexedDB.databases()).length, (await caches.keys()).length]`); got != `[0,0,"",0,0]` {
		t.Errorf("the browser keeps %s; want nothing", got)
	}
	v.forget("4")
	v.check(t, base)
}
