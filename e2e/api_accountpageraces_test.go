package e2e

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// openPagesBy is openPages with a detour before the server, and with a second user, lee.
func openPagesBy(t *testing.T) (s *server, by *detour, one, two *pageVisit) {
	t.Helper()
	s = inMemory(t).start(t)
	s.register(t, "kim")
	s.register(t, "lee")
	by = newDetour(t, s)
	b := openBrowser(t)
	two = visitIn(t, openTab(t, b.ctx), by.url, "en")
	one = visitAs(t, b, by.url, "kim")
	two.sees(t, "#name", "kim")
	two.awaits(t, "a session", `document.querySelector("#sessions li")`)
	one.run(t, page.BringToFront()) // dialogs close only there
	return s, by, one, two
}

// TestAccountPageOtherUser: what one user has typed into a dialog does nothing to another, who has
// signed in in another tab, while the page cannot find out who that is.
func TestAccountPageOtherUser(t *testing.T) {
	t.Parallel()
	s, by, one, two := openPagesBy(t)
	one.click(t, "[data-opens=delete]")
	one.fill(t, "delete-username", "kim")
	two.click(t, "[data-opens=profile]")
	s.endAll(t, "kim", password)
	two.submit(t, "profile")
	two.sees(t, "#confirm", "You were signed out.")
	two.run(t, page.BringToFront(), chromedp.KeyEvent(kb.Escape))
	two.awaits(t, "only the first dialog", `!document.querySelector("#confirm").open`)
	two.run(t, chromedp.KeyEvent(kb.Escape))
	two.sees(t, "#signin h1", "Sign in")

	var asked atomic.Int32
	by.divert("DELETE /users/me/", nil)
	by.divert("GET /users/me/", func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 { // by the login itself
			by.pass.ServeHTTP(w, r)
			return
		}
		refuse(502, "<h1>Bad Gateway")(w, r)
	})
	two.fill(t, "signin-username", "lee")
	two.fill(t, "signin-password", password)
	two.submit(t, "signin")
	one.awaits(t, "the question who that is", `document.querySelector("#trouble .alert").textContent`)
	one.submit(t, "delete")
	one.sees(t, "#delete .alert", "The server isn’t responding. Try again.")

	by.divert("GET /users/me/", nil)
	one.submit(t, "delete")
	one.awaits(t, "the end of the request", `!document.querySelector("[aria-busy=true]")`)
	one.evaluate(t, `document.querySelector("#again").click()`)
	one.sees(t, "#name", "lee")
	one.is(t, "no dialog is open", `!document.querySelector("dialog[open]")`)
	one.checkForgets(t, "kim")
	if n := by.times("DELETE /users/me/"); n != 0 {
		t.Errorf("%d deletions were sent", n)
	}
	for _, name := range []string{"kim", "lee"} {
		checkStatus(t, s.do(t, "POST", "/token", loginForm(name), formType), 200)
	}
}

// TestAccountPageLateAnswer: an answer that comes after somebody has signed out brings nothing back.
func TestAccountPageLateAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, request, begin string }{
		{"a change of the profile", "PATCH /users/me/", `
			document.querySelector("[data-opens=profile]").click();
			document.querySelector("#profile-full-name").value = "Kim Min";
			document.querySelector("#profile .primary").click()`},
		{"the sessions", "GET /users/me/sessions/", `dispatchEvent(new Event("online"))`},
		{"who is there", "GET /users/me/", `dispatchEvent(new Event("online"))`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, by, one, two := openPagesBy(t)
			answered, sent := make(chan struct{}), make(chan struct{})
			tell := sync.OnceFunc(func() { close(sent) })
			by.divert(tt.request, func(w http.ResponseWriter, r *http.Request) {
				defer tell()
				answer := httptest.NewRecorder()
				by.pass.ServeHTTP(answer, r)
				<-answered
				w.WriteHeader(answer.Code)
				w.Write(answer.Body.Bytes())
			})
			one.evaluate(t, tt.begin)
			waitFor(t, "the request", func() bool { return by.times(tt.request) > 0 })
			two.click(t, "#signout")
			one.sees(t, "#signin h1", "Sign in")
			close(answered)
			<-sent
			one.evaluate(t, `await fetch("livez")`) // by now the page has the answer before it
			one.sees(t, "#status", "You’re signed out.")
			one.checkForgets(t, "kim", "Kim Min", "127.0.0.1 ·")
			one.click(t, "#new-here a")
			one.sees(t, "#register h1", "Create an account")
		})
	}
}

// TestAccountPageCancelled: a dialog that is closed while its request is under way asks for nothing
// later, and can be used again at once.
func TestAccountPageCancelled(t *testing.T) {
	t.Parallel()
	_, by, one, _ := openPagesBy(t)
	answered, sent := make(chan struct{}), make(chan struct{})
	by.divert("DELETE /users/me/", func(w http.ResponseWriter, r *http.Request) {
		defer close(sent)
		<-answered
		refuse(403, `{"detail":"Sign in again to delete this account"}`)(w, r)
	})
	one.click(t, "[data-opens=delete]")
	one.fill(t, "delete-username", "kim")
	one.submit(t, "delete")
	waitFor(t, "the deletion", func() bool { return by.times("DELETE /users/me/") > 0 })
	one.run(t, chromedp.KeyEvent(kb.Escape))
	close(answered)
	<-sent
	one.evaluate(t, `await fetch("livez")`) // by now the page has the answer before it
	one.is(t, "no dialog is open", `!document.querySelector("dialog[open]")`)

	release := by.hold(t, "PATCH /users/me/")
	one.click(t, "[data-opens=profile]")
	one.fill(t, "profile-full-name", "First")
	one.submit(t, "profile")
	waitFor(t, "the first change", func() bool { return by.times("PATCH /users/me/") == 1 })
	one.run(t, chromedp.KeyEvent(kb.Escape))
	one.awaits(t, "no dialog", `!document.querySelector("dialog[open]")`)
	one.click(t, "[data-opens=profile]")
	one.fill(t, "profile-full-name", "Second")
	one.submit(t, "profile")
	waitFor(t, "the second change", func() bool { return by.times("PATCH /users/me/") == 2 })
	release()
	one.sees(t, "#status", "Saved.")
	one.sees(t, "#full-name", "Second")
}

// TestAccountPageEdits: a change of one field leaves the other as another tab has changed it.
func TestAccountPageEdits(t *testing.T) {
	t.Parallel()
	_, _, one, two := openPagesBy(t)
	one.click(t, "[data-opens=profile]")
	two.click(t, "[data-opens=profile]")
	two.fill(t, "profile-email", "kim@example.com")
	two.submit(t, "profile")
	two.sees(t, "#status", "Saved.")
	one.fill(t, "profile-full-name", "Kim Min")
	one.submit(t, "profile")
	one.sees(t, "#full-name", "Kim Min")
	one.sees(t, "#email", "kim@example.com")

	one.click(t, "[data-opens=profile]") // and changes nothing
	one.submit(t, "profile")
	one.sees(t, "#status", "Saved.")
	one.sees(t, "#email", "kim@example.com")

	one.click(t, "[data-opens=profile]")
	one.evaluate(t, `
		const dialog = document.querySelector("#profile");
		const closed = new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
		dialog.close();
		document.querySelector("[data-opens=profile]").click(); // before the event of its closing
		await closed`)
	one.is(t, "what the form was filled in with", `document.querySelector("#profile-email").value === "kim@example.com"`)
	one.submit(t, "profile")
	one.sees(t, "#status", "Saved.")
	one.sees(t, "#email", "kim@example.com")
	one.click(t, "#signout")
	one.sees(t, "#signin h1", "Sign in")
	one.checkForgets(t, "kim", "Kim Min")
}

// TestAccountPageBack: a page that comes back from the back-forward cache after somebody has signed
// out in another tab shows nothing of the account, nor of a dialog that was open.
func TestAccountPageBack(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	one, two := openPages(t, s)
	one.run(t, page.BringToFront()) // dialogs close only there
	one.click(t, "[data-opens=profile]")
	one.fill(t, "profile-full-name", "Kim Min")
	one.forthAndBack(t, s.url+"/docs", func() {
		two.click(t, "#signout")
		two.sees(t, "#signin h1", "Sign in")
	})
	one.sees(t, "#signin h1", "Sign in")
	one.is(t, "no dialog is open", `!document.querySelector("dialog[open]")`)
	one.checkForgets(t, "kim", "Kim Min", "127.0.0.1 ·")
}

// TestAccountPageBackWithoutServer: a page that comes back while the server does not respond shows
// the account when it does.
func TestAccountPageBackWithoutServer(t *testing.T) {
	t.Parallel()
	_, by, one, _ := openPagesBy(t)
	one.forthAndBack(t, by.url+"/docs", func() { by.divert("GET /users/me/", refuse(502, "<h1>Bad Gateway")) })
	one.sees(t, "#trouble", "The server isn’t responding.")
	one.is(t, "nothing of the account is shown", `!document.querySelector("#name").checkVisibility()`)
	by.divert("GET /users/me/", nil)
	one.click(t, "#again")
	one.sees(t, "#name", "kim")
}

// TestAccountPageConfirmBesideLogin: who is asked for the password goes on with the request, even if
// they sign in in another tab before they type it.
func TestAccountPageConfirmBesideLogin(t *testing.T) {
	t.Parallel()
	s, _, one, two := openPagesBy(t)
	one.click(t, "[data-opens=profile]")
	one.fill(t, "profile-full-name", "Kim Min")
	s.endAll(t, "kim", password)
	one.submit(t, "profile")
	one.sees(t, "#confirm-why", "You were signed out.")
	two.signIn(t, "kim", password)
	one.fill(t, "confirm-password", password)
	one.submit(t, "confirm")
	one.sees(t, "#status", "Saved.")
	one.sees(t, "#full-name", "Kim Min")
}

// TestAccountPageLostAnswer: a change whose answer is lost is not taken for one that failed.
func TestAccountPageLostAnswer(t *testing.T) {
	t.Parallel()
	for _, d := range deeds {
		if d.request != "POST /users/me/password" && d.request != "DELETE /users/me/" && d.request != "POST /users/" {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			v, by := d.prepare(t, openBrowser(t))
			by.divert(d.request, func(w http.ResponseWriter, r *http.Request) {
				by.pass.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			})
			v.click(t, d.button)
			if d.request == "DELETE /users/me/" {
				v.sees(t, "#status", "You were signed out. Sign in again.")
				return
			}
			v.sees(t, d.alert, "The server isn’t responding. Try again.")
			by.divert(d.request, refuse(429, "{}", "Retry-After: 11"))
			d.checkFailure(t, v, "Too many attempts.")
			by.divert(d.request, nil)
			v.click(t, d.button)
			v.sees(t, d.doneAt, d.doneText)
		})
	}
}

// TestAccountPageStolen: if the session has ended because its refresh token was used twice, the page
// says so, also to somebody who is typing into a dialog.
func TestAccountPageStolen(t *testing.T) {
	t.Parallel()
	s, by, one, two := openPagesBy(t)
	const theft = "You were signed out because your session was used somewhere else."
	one.click(t, "[data-opens=profile]")
	one.fill(t, "profile-full-name", "Kim Min")
	s.endAll(t, "kim", password)
	by.divert("POST /token", refuse(400, `{"detail":"refresh token already used; the session has ended","error":"invalid_grant"}`, "Content-Type: application/json"))
	one.submit(t, "profile")
	one.sees(t, "#confirm-why", theft)
	two.sees(t, "#status", theft)
	one.run(t, chromedp.KeyEvent(kb.Escape))
	one.awaits(t, "only the first dialog", `!document.querySelector("#confirm").open`)
	one.run(t, chromedp.KeyEvent(kb.Escape))
	one.sees(t, "#status", theft)
	one.checkForgets(t, "kim", "Kim Min")
}
