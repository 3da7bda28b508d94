package e2e

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestAccountPageTour does on the page all that people can do there.
func TestAccountPageTour(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		language, colors string
		width            int64
		rare             bool
	}{
		{"en", "light", 1000, false},
		{"ko", "dark", 320, false},
		{"en", "light", 320, true},
		{"en", "dark", 320, true},
		{"en", "dark", 1000, true},
		{"ko", "light", 320, true},
		{"ko", "light", 1000, true},
		{"ko", "dark", 1000, true},
	} {
		t.Run(fmt.Sprintf("%s, %s, %d pixels", tt.language, tt.colors, tt.width), func(t *testing.T) {
			t.Parallel()
			if tt.rare {
				long(t)
			}
			s, b := inMemory(t).start(t), openBrowser(t)
			b.show(t, tt.colors, tt.width)
			v := visitIn(t, b, s.url, tt.language)
			v.tour(t, s, func(what, title string) {
				t.Helper()
				v.checkState(t, what, title, "testuser", "t@example.com", "Kim Min")
			})
			v.checkVisit(t, s.url)
		})
	}
}

// tour walks through all states and dialogs of the page, and looks at each, of which it knows the
// title.
func (v *pageVisit) tour(t *testing.T, s *server, look func(what, title string)) {
	t.Helper()
	const first = "sturdy-anchor-2260" // her first password
	door, register := v.text["signin"], v.text["register_title"]
	look("at first", door)

	v.fill(t, "signin-username", "testuser")
	v.fill(t, "signin-password", first)
	v.submit(t, "signin")
	v.sees(t, "#signin .alert", v.text["e_login"])
	look("a login of nobody", door)

	v.click(t, "#new-here a")
	v.sees(t, "#register h1", register)
	look("a form to register", register)
	v.submit(t, "register")
	v.checkField(t, "register-username", v.text["e_required"], "")
	v.sees(t, "#register-password-wrong", v.text["e_required"])
	look("an empty form to register", register)
	v.fill(t, "register-username", "testuser")
	v.fill(t, "register-password", "testuser")
	v.fill(t, "register-email", "nonsense")
	v.submit(t, "register")
	v.checkField(t, "register-password", v.text["e_same"], "testuser")
	v.sees(t, "#register-email-wrong", v.text["e_email"])
	look("a form to register that is wrong", register)
	v.fill(t, "register-password", first)
	v.click(t, "#register .reveal")
	v.is(t, "the password can be seen", `document.querySelector("#register-password").type === "text"`)
	v.fill(t, "register-email", "")
	v.run(t, chromedp.KeyEvent(kb.Delete))
	v.submit(t, "register")
	v.sees(t, "#account h1", "testuser")
	v.sees(t, "#email", v.text["none"])
	v.sees(t, "#sessions .badge", v.text["this_page"])
	v.is(t, "with one session there is no other to end", `!document.querySelector("#elsewhere").checkVisibility()`)
	look("the account", "testuser")

	v.click(t, "[data-opens=profile]")
	look("the profile", "testuser")
	v.fill(t, "profile-email", "t@")
	v.submit(t, "profile")
	v.checkField(t, "profile-email", v.text["e_email"], "t@")
	look("the profile with an address that is wrong", "testuser")
	v.fill(t, "profile-email", "t@example.com")
	v.fill(t, "profile-full-name", "Kim Min")
	s.endAll(t, "testuser", first) // elsewhere
	v.submit(t, "profile")
	v.sees(t, "#confirm-why", v.text["ended_ended"])
	look("the password before a change", "testuser")
	v.fill(t, "confirm-password", "wrong")
	v.submit(t, "confirm")
	v.checkField(t, "confirm-password", v.text["e_password"], "wrong")
	look("a wrong password before a change", "testuser")
	v.fill(t, "confirm-password", first)
	v.submit(t, "confirm")
	v.sees(t, "#status", v.text["done_profile"])
	v.sees(t, "#email", "t@example.com")
	v.sees(t, "#full-name", "Kim Min")
	look("the profile is changed", "testuser")

	v.click(t, "[data-opens=password]")
	v.fill(t, "password-current", "wrong")
	v.fill(t, "password-new", password)
	look("the dialog for the password", "testuser")
	v.submit(t, "password")
	v.checkField(t, "password-current", v.text["e_password"], "wrong")
	look("a wrong password", "testuser")
	v.fill(t, "password-current", first)
	v.fill(t, "password-new", "password123")
	v.submit(t, "password")
	v.checkField(t, "password-new", v.text["e_common"], "password123")
	look("a common password", "testuser")
	v.fill(t, "password-new", password)
	v.submit(t, "password")
	v.sees(t, "#status", v.text["done_password"])
	look("the password is changed", "testuser")

	v.click(t, "#signout")
	v.sees(t, "#status", v.text["ended_logout"])
	look("signed out", door)
	for range 3 {
		s.signIn(t, "testuser", "User-Agent: curl/8.5")
	}
	v.signIn(t, "testuser", password)
	v.awaits(t, "four sessions", `document.querySelectorAll("#sessions li").length === 4`)
	v.sees(t, "#sessions li:nth-child(2) b", "curl")
	look("four sessions", "testuser")
	v.click(t, "#sessions li:nth-child(2) button")
	v.sees(t, "#status", v.say("done_session", "curl"))
	v.awaits(t, "three sessions", `document.querySelectorAll("#sessions li").length === 3`)
	look("three sessions", "testuser")
	v.click(t, "#elsewhere")
	v.sees(t, "#status", v.text["done_elsewhere"])
	v.awaits(t, "one session", `document.querySelectorAll("#sessions li").length === 1`)
	look("one session", "testuser")
	if n := len(s.sessions(t, s.logIn(t, "testuser"))); n != 2 {
		t.Errorf("the server has %d sessions besides ours; want 1", n-1)
	}

	v.click(t, "[data-opens=delete]")
	look("the dialog to delete the account", "testuser")
	v.fill(t, "delete-username", "tester")
	v.submit(t, "delete")
	v.checkField(t, "delete-username", v.say("e_not_you", "testuser"), "tester")
	look("not the username", "testuser")
	v.fill(t, "delete-username", "testuser")
	v.submit(t, "delete")
	v.sees(t, "#status", v.text["done_delete"])
	v.sees(t, "#signin h1", door)
	look("the account is deleted", door)
	checkStatus(t, s.do(t, "POST", "/token", loginForm("testuser"), formType), 401)
}

// endAll ends all sessions of a user, as another device would.
func (s *server) endAll(t *testing.T, username, password string) {
	t.Helper()
	form := url.Values{"username": {username}, "password": {password}}.Encode()
	token := s.do(t, "POST", "/token", form, formType).granted(t).Access
	checkStatus(t, s.authorized(t, "DELETE", "/users/me/sessions/", "", token), 204)
}

// TestAccountPageKeyboard does on the page, by keyboard alone, what people do there.
func TestAccountPageKeyboard(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	v := visitIn(t, openBrowser(t), s.url, "en")
	v.checkTabs(t, "the form to sign in")
	v.press(t, "#new-here a")
	v.sees(t, "#register h1", "Create an account")
	v.checkTabs(t, "the form to register")
	v.tabTo(t, "#register-username")
	v.run(t, chromedp.KeyEvent("testuser"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("sturdy-anchor-2260"), chromedp.KeyEvent(kb.Enter))
	v.sees(t, "#account h1", "testuser")
	v.awaits(t, "a session", `document.querySelector("#sessions li")`)
	v.checkTabs(t, "the account")

	for _, id := range []string{"password", "profile", "delete"} {
		opener := "[data-opens=" + id + "]"
		v.press(t, opener)
		v.checkTabs(t, "the dialog "+id)
		v.run(t, chromedp.KeyEvent(kb.Escape))
		v.awaits(t, id+" is closed, with the focus back", fmt.Sprintf(`!document.querySelector("dialog[open]") && document.activeElement.matches(%q)`, opener))
		v.press(t, opener)
		v.press(t, "#"+id+" [data-cancels]")
		v.awaits(t, id+" is cancelled, with the focus back", fmt.Sprintf(`!document.querySelector("dialog[open]") && document.activeElement.matches(%q)`, opener))
	}

	v.press(t, "[data-opens=password]")
	v.tabTo(t, "#password-current")
	v.run(t, chromedp.KeyEvent("sturdy-anchor-2260"))
	v.press(t, "#password-current + .reveal")
	v.is(t, "the password can be seen", `document.querySelector("#password-current").type === "text"`)
	v.tabTo(t, "#password-new")
	v.run(t, chromedp.KeyEvent(password), chromedp.KeyEvent(kb.Enter))
	v.sees(t, "#status", "Password changed.")
	v.is(t, "the focus is on the button of the dialog", `document.activeElement.matches("[data-opens=password]")`)

	v.press(t, "[data-opens=delete]")
	v.tabTo(t, "#delete-username")
	v.run(t, chromedp.KeyEvent("testuser"), chromedp.KeyEvent(kb.Enter))
	v.sees(t, "#status", "Your account has been deleted.")
	v.checkTabs(t, "the form to sign in, after all")
	v.checkVisit(t, s.url)
}

// tabTo presses Tab until an element of a selector has the focus.
func (v *pageVisit) tabTo(t *testing.T, selector string) {
	t.Helper()
	for n := 0; v.evaluate(t, fmt.Sprintf(`return document.activeElement.matches(%q)`, selector)) != "true"; n++ {
		if n == 40 {
			t.Fatalf("no Tab leads to %s", selector)
		}
		v.run(t, chromedp.KeyEvent(kb.Tab))
	}
}

// press goes to an element by Tab, and presses Enter.
func (v *pageVisit) press(t *testing.T, selector string) {
	t.Helper()
	v.tabTo(t, selector)
	v.run(t, chromedp.KeyEvent(kb.Enter))
}

// checkTabs reports a state in which Tab, or Shift and Tab, do not lead through everything that can
// be used, in the order of the page, and with a focus that can be seen.
func (v *pageVisit) checkTabs(t *testing.T, what string) {
	t.Helper()
	n := v.evaluate(t, `
		const inside = document.querySelector("dialog[open]") ?? document;
		window.usable = [...inside.querySelectorAll("a, button, input")].filter((element) => element.checkVisibility());
		window.reached = [];
		return usable.length`)
	var steps int
	fmt.Sscan(n, &steps)
	for _, direction := range []struct {
		key     chromedp.KeyAction
		forward bool
	}{
		{chromedp.KeyEvent(kb.Tab), true},
		{chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(input.ModifierShift)), false},
	} {
		v.evaluate(t, `window.reached = []`)
		for range steps + 2 { // twice at the body, which stands for the browser around the page
			v.run(t, direction.key)
			v.evaluate(t, `
				const element = document.activeElement;
				if (element === document.body) return;
				reached.push(usable.indexOf(element));
				const { outlineStyle, outlineWidth } = getComputedStyle(element);
				if (outlineStyle === "none" || parseFloat(outlineWidth) < 2) reached.push("a focus that cannot be seen: " + element.outerHTML)`)
		}
		v.is(t, fmt.Sprintf("%s, in the order of the page: %t", what, direction.forward), fmt.Sprintf(`
			new Set(reached).size === usable.length && reached.every((n) => n >= 0) &&
			reached.slice(1).filter((n, i) => %t ? n < reached[i] : n > reached[i]).length <= 1 || reached`, direction.forward))
	}
}

// TestAccountPageClients: axe-core finds nothing in any state or dialog.
func TestAccountPageClients(t *testing.T) {
	t.Parallel()
	tools := os.Getenv("CLIENT_TOOLS")
	if tools == "" {
		t.Skip("SKIPPED: needs axe-core; make clients runs it")
	}
	axe, err := os.ReadFile(filepath.Join(tools, "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	unsuited := map[string]string{"forced": "color-contrast"} // axe-core takes -webkit-text-fill-color, which nothing forces
	for _, language := range []string{"en", "ko"} {
		for _, colors := range []string{"light", "dark", "forced"} {
			t.Run(language+", "+colors, func(t *testing.T) {
				t.Parallel()
				s, b := inMemory(t).start(t), openBrowser(t)
				b.show(t, colors, 1000)
				v := visitIn(t, b, s.url, language)
				v.run(t, chromedp.Evaluate(string(axe), nil))
				v.tour(t, s, func(what, _ string) {
					for _, width := range []int64{320, 1000} {
						b.show(t, colors, width)
						if found := v.evaluate(t, fmt.Sprintf(checkAxe, unsuited[colors])); found != "[]" {
							t.Errorf("%s, at %d pixels: %s", what, width, strings.ReplaceAll(found, `\n`, "\n"))
						}
					}
				})
			})
		}
	}
}

// checkAxe runs the rules of axe-core, but for the contrast of level AAA and for one that does not
// suit, and returns what they find.
const checkAxe = `
	const rules = Object.fromEntries(axe.getRules().map(({ ruleId }) => [ruleId, { enabled: !["color-contrast-enhanced", %q].includes(ruleId) }]));
	const { violations } = await axe.run(document, { rules, resultTypes: ["violations"] });
	return violations.map(({ id, nodes }) => id + ": " + nodes.map(({ html, failureSummary }) => html + " " + failureSummary).join("; "))`
