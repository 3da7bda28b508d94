package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// openPages opens the account page in two tabs of a browser, and signs kim in in the first.
func openPages(t *testing.T, s *server) (one, two *pageVisit) {
	t.Helper()
	s.register(t, "kim")
	b := openBrowser(t)
	two = visitIn(t, openTab(t, b.ctx), s.url, "en")
	one = visitAs(t, b, s.url, "kim")
	two.sees(t, "#name", "kim")
	two.awaits(t, "a session", `document.querySelector("#sessions li")`)
	return one, two
}

// checkForgets reports what a tab still has of an account, in a text or in a field.
func (v *pageVisit) checkForgets(t *testing.T, names ...string) {
	t.Helper()
	all := v.evaluate(t, `return document.documentElement.outerHTML + [...document.querySelectorAll("input")].map((input) => input.value) + document.title`)
	for _, name := range names {
		if strings.Contains(all, name) {
			t.Errorf("the page still has %q", name)
		}
	}
}

// TestAccountPageTabs: what is done in one tab is seen in the other.
func TestAccountPageTabs(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	s.register(t, "lee")
	one, two := openPages(t, s)
	two.click(t, "[data-opens=profile]")
	two.fill(t, "profile-full-name", "half a na")
	one.click(t, "#signout")
	two.sees(t, "#status", "You’re signed out.")
	two.sees(t, "#signin h1", "Sign in")
	two.is(t, "no dialog is open", `!document.querySelector("dialog[open]")`)
	two.checkForgets(t, "kim", "half a na")
	one.checkForgets(t, "kim")

	two.signIn(t, "kim", password)
	one.sees(t, "#name", "kim")
	one.click(t, "[data-opens=password]")
	one.fill(t, "password-new", "half a password")
	two.run(t, chromedp.Navigate(s.url+"/livez")) // where somebody else signs in
	two.evaluate(t, `const { Latchkey } = await import("/latchkey.js"); await new Latchkey().login({ username: "lee", password: "`+password+`" })`)
	one.sees(t, "#name", "lee")
	one.is(t, "no dialog is open", `!document.querySelector("dialog[open]")`)
	one.checkForgets(t, "kim", "half a password")
	one.checkState(t, "somebody else", "lee", "lee")
}

// TestAccountPageEnded: a session that was ended elsewhere is over in every tab.
func TestAccountPageEnded(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	one, two := openPages(t, s)
	one.click(t, "[data-opens=profile]")
	one.fill(t, "profile-email", "kim@example.com")
	one.submit(t, "profile")
	one.sees(t, "#email", "kim@example.com")
	s.logIn(t, "kim")
	one.signOutAndIn(t) // to see the other session
	two.sees(t, "#name", "kim")
	s.endAll(t, "kim", password)
	one.click(t, "#elsewhere")
	for _, v := range []*pageVisit{one, two} {
		v.sees(t, "#status", "You were signed out. Sign in again.")
		v.sees(t, "#signin h1", "Sign in")
		v.checkState(t, "signed out", "Sign in")
		v.checkForgets(t, "kim", "127.0.0.1 ·")
	}
}

func (v *pageVisit) signOutAndIn(t *testing.T) {
	t.Helper()
	v.click(t, "#signout")
	v.sees(t, "#signin h1", "Sign in")
	v.signIn(t, "kim", password)
}

// TestAccountPageEndedInDialog: if the session is ended elsewhere while somebody types into a
// dialog, they go on after they have typed their password.
func TestAccountPageEndedInDialog(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	one, two := openPages(t, s)
	one.click(t, "[data-opens=profile]")
	one.fill(t, "profile-full-name", "Kim Min")
	s.endAll(t, "kim", password)
	two.click(t, "[data-opens=delete]")
	two.fill(t, "delete-username", "kim")
	two.submit(t, "delete")
	two.sees(t, "#confirm-why", "You were signed out. Sign in again.")
	two.run(t, chromedp.KeyEvent(kb.Escape))
	two.awaits(t, "only the first dialog", `!document.querySelector("#confirm").open && document.querySelector("#delete").open`)
	two.run(t, chromedp.KeyEvent(kb.Escape))
	two.sees(t, "#status", "You were signed out. Sign in again.")
	two.checkForgets(t, "kim")

	one.run(t, page.BringToFront()) // where dialogs close
	one.submit(t, "profile")
	one.sees(t, "#confirm-why", "You were signed out. Sign in again.")
	one.is(t, "what was typed is still there", `document.querySelector("#profile-full-name").value === "Kim Min"`)
	one.fill(t, "confirm-password", password)
	one.submit(t, "confirm")
	one.sees(t, "#status", "Saved.")
	one.sees(t, "#full-name", "Kim Min")
	two.sees(t, "#name", "kim")
}

// TestAccountPageSignOutUntold: signing out works here even if the server cannot be told, and the
// page says so.
func TestAccountPageSignOutUntold(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	s.register(t, "kim")
	by := newDetour(t, s)
	v := visitAs(t, openBrowser(t), by.url, "kim")
	by.divert("POST /revoke", refuse(500, "{}"))
	v.click(t, "#signout")
	v.sees(t, "#status", "but the server couldn’t be reached")
	v.sees(t, "#signin h1", "Sign in")
	v.checkForgets(t, "kim")
}

// TestAccountPageOddNames: whatever people are called, it is shown as text, and on 320 pixels.
func TestAccountPageOddNames(t *testing.T) {
	t.Parallel()
	s, b := inMemory(t).start(t), openBrowser(t)
	b.show(t, "light", 320)
	for _, tt := range []struct {
		what, username, email, fullName string
		rare                            bool
	}{
		{"markup", `<img src=x onerror=alert(1)>`, `&amp{{7*7}}@example.com`, `</script><script>alert(1)</script>`, false},
		{"places of a template", `{{7*7}}${7*7}{name}`, `{name}@example.com`, `{{signin}} $& $1`, true},
		{"an entity", `&amp;`, `&lt@example.com`, `&lt;b&gt;`, true},
		{"letters from right to left", "שלום", "", "\u202eevil\u202c שלום\u200f", false},
		{"wide letters", strings.Repeat("W", 150), strings.Repeat("w", 60) + "@" + strings.Repeat(strings.Repeat("w", 60)+".", 3) + "com", strings.Repeat("W", 300), false},
		{"letters as wide as a line", strings.Repeat("𒐫", 100), "", strings.Repeat("﷽", 150), true},
		{"spaces", "a" + strings.Repeat(" ", 140) + "b", "", strings.Repeat("\u00a0", 200), true},
	} {
		t.Run(tt.what, func(t *testing.T) {
			if tt.rare {
				long(t)
			}
			body, _ := json.Marshal(map[string]string{"username": tt.username, "password": password, "email": tt.email, "full_name": tt.fullName}) // strings never fail
			text := strings.Replace(string(body), `"email":""`, `"email":null`, 1)
			if a := s.do(t, "POST", "/users/", text, jsonType); a.StatusCode != 200 {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			v := visitIn(t, openTab(t, b.ctx), s.url, "en")
			v.show(t, "light", 320)
			v.fill(t, "signin-username", tt.username)
			v.fill(t, "signin-password", password)
			v.submit(t, "signin")
			v.awaits(t, "the name as text", fmt.Sprintf(`document.querySelector("#name").textContent === %s`, quoted(tt.username)))
			v.awaits(t, "the full name as text", fmt.Sprintf(`document.querySelector("#full-name").textContent === %s`, quoted(tt.fullName)))
			v.awaits(t, "a session, which moves what is below it", `document.querySelector("#sessions li")`)
			for _, id := range []string{"profile", "delete"} {
				v.click(t, "[data-opens="+id+"]")
				if id == "delete" {
					v.fill(t, "delete-username", "other")
					v.submit(t, "delete")
					v.sees(t, "#delete-username-wrong", "That doesn’t match.")
				}
				v.is(t, "the page and the dialog "+id+" do not scroll sideways", `document.documentElement.scrollWidth <= innerWidth && ((dialog) => dialog.scrollWidth <= dialog.clientWidth)(document.querySelector("dialog[open]"))`)
				v.run(t, chromedp.KeyEvent(kb.Escape))
			}
			v.is(t, "nothing is markup", `document.querySelector("main img, main script, #name *, #email *, #full-name *") === null`)
			v.click(t, "#signout")
			v.sees(t, "#signin h1", "Sign in")
			v.checkVisit(t, s.url)
		})
	}
}

// TestAccountPagePrograms: sessions have the names of programs that people know.
func TestAccountPagePrograms(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	s.register(t, "kim")
	const webkit = "AppleWebKit/537.36 (KHTML, like Gecko) "
	programs := map[string]string{
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) " + webkit + "Chrome/156.0.0.0 Safari/537.36":                                            "Chrome on macOS",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:150.0) Gecko/20100101 Firefox/150.0":                                                        "Firefox on Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1": "Safari on iPhone",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/156.0 Mobile/15E148 Safari/604.1":  "Chrome on iPhone",
		"Mozilla/5.0 (Linux; Android 10; K) " + webkit + "Chrome/156.0.0.0 Mobile Safari/537.36":                                                  "Chrome on Android",
		"Mozilla/5.0 (Linux; Android 16; SM-S931B) " + webkit + "SamsungBrowser/30.0 Chrome/140.0.0.0 Mobile Safari/537.36":                       "Samsung Internet on Android",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + webkit + "Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0":                                    "Edge on Windows",
		"Mozilla/5.0 (X11; Linux x86_64) " + webkit + "Chrome/156.0.0.0 Safari/537.36 OPR/130.0.0.0":                                              "Opera on Linux",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) " + webkit + "Chrome/156.0.0.0 Safari/537.36":                                                   "Chrome on ChromeOS",
		"curl/8.5.0":                         "curl",
		"python-requests/2.32.4":             "python-requests",
		"Go-http-client/2.0":                 "Go-http-client",
		"My Phone":                           "My Phone",
		"":                                   "Unknown app",
		"<img src=x onerror=alert(1)>":       "<img src=x onerror=alert(1)>",
		"</script><b>/1.0":                   "</script><b>/1.0",
		"{system} {{7*7}} &amp; $&":          "{system} {{7*7}} &amp; $&",
		"Mozilla/5.0 {browser} Firefox iPad": "Firefox on iPad",
		strings.Repeat("W", 256):             strings.Repeat("W", 256),
		"\u202eevil\u202c \u200f":            "\u202eevil\u202c \u200f",
	}
	var want []string
	for agent, name := range programs {
		s.signIn(t, "kim", "User-Agent: "+agent)
		want = append(want, name)
	}
	b := openBrowser(t)
	b.show(t, "dark", 320)
	v := visitAs(t, b, s.url, "kim")
	v.awaits(t, "all sessions", fmt.Sprintf(`document.querySelectorAll("#sessions li").length === %d`, len(programs)+1))
	var got []string
	if err := json.Unmarshal([]byte(v.evaluate(t, `return [...document.querySelectorAll("#sessions li:not(:first-child) b")].map((name) => name.textContent)`)), &got); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("the page shows\n%q; want\n%q", got, want)
	}
	v.is(t, "this page comes first", `document.querySelector("#sessions li").innerText.includes("This page") && document.querySelectorAll("#sessions .badge:not([hidden])").length === 1`)
	v.is(t, "each button says what it ends", `[...document.querySelectorAll("#sessions li:not(:first-child)")].every((row) => row.querySelector("button").ariaLabel === "Sign out " + row.querySelector("b").textContent)`)
	v.checkState(t, "many sessions", "kim")
	v.is(t, "nothing is markup", `document.querySelector("main img, main script, bdi *") === null`)
	v.checkVisit(t, s.url)
}

// TestAccountPageReload: a reload signs out and leaves no session; a way forth and back does not.
func TestAccountPageReload(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	s.register(t, "kim")
	token := s.logIn(t, "kim")
	v := visitAs(t, openBrowser(t), s.url, "kim")
	v.forthAndBack(t, s.url+"/docs", func() {})
	v.sees(t, "#name", "kim")
	v.click(t, "[data-opens=profile]")
	v.fill(t, "profile-full-name", "Kim Min")
	v.submit(t, "profile")
	v.sees(t, "#status", "Saved.")
	if n := len(s.sessions(t, token)); n != 2 {
		t.Errorf("%d sessions after a way forth and back; want 2", n)
	}
	v.run(t, chromedp.Reload())
	v.sees(t, "#signin h1", "Sign in")
	v.checkForgets(t, "kim")
	waitFor(t, "the end of the session", func() bool { return len(s.sessions(t, token)) == 1 })
}

// TestAccountPageAfterRegistering: a reload after registering shows the form to sign in, not that to register.
func TestAccountPageAfterRegistering(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	v := visitIn(t, openBrowser(t), s.url, "en")
	v.click(t, "#new-here a")
	v.fill(t, "register-username", "kim")
	v.fill(t, "register-password", password)
	v.submit(t, "register")
	v.sees(t, "#name", "kim")
	v.run(t, chromedp.Reload())
	v.sees(t, "h1", "Sign in")
	v.run(t, chromedp.Navigate(s.url+"/#register"))
	v.sees(t, "#register h1", "Create an account")
	v.click(t, "[href='#signin']")
	v.sees(t, "#signin h1", "Sign in")
}
