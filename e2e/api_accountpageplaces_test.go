package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestAccountPageWithoutScript: without JavaScript the page says so, and its forms send nothing.
func TestAccountPageWithoutScript(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	b := openBrowser(t)
	b.run(t, emulation.SetScriptExecutionDisabled(true))
	v := visitWithoutScript(t, b, s.url, "en")
	if got := v.evaluate(t, `return [document.querySelector("noscript").innerText, document.querySelector("noscript a").href]`); got != `["This page needs JavaScript. Programs can use the API without it: openapi.json","`+s.url+`/openapi.json"]` {
		t.Errorf("the page says %s", got)
	}
	v.run(t, chromedp.SendKeys("#signin-username", "kim", chromedp.ByQuery), chromedp.SendKeys("#signin-password", password+kb.Enter, chromedp.ByQuery))
	var address string
	b.run(t, chromedp.Location(&address)) // of what would be on its way by now
	b.mu.Lock()
	defer b.mu.Unlock()
	if all := address + strings.Join(b.requests, " "); strings.Contains(all, password) {
		t.Errorf("the password is in a URL: %s", all)
	}
}

// TestAccountPageStuck: if the script does not start, because it was not loaded or the browser is too
// old for it, the page says so, and its forms send nothing.
func TestAccountPageStuck(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	for _, script := range []string{"account.js", "latchkey.js"} {
		t.Run("without "+script, func(t *testing.T) {
			t.Parallel()
			b := openBrowser(t)
			b.run(t, network.SetBlockedURLs([]string{"*/" + script}))
			v := visitWithoutScript(t, b, s.url, "en")
			v.awaits(t, v.text["stuck"], `document.querySelector("#stuck").checkVisibility({ visibilityProperty: true })`)
			v.run(t, chromedp.SendKeys("#signin-username", "kim", chromedp.ByQuery), chromedp.SendKeys("#signin-password", password+kb.Enter, chromedp.ByQuery))
			v.is(t, "the password is in no URL", `location.href === "`+s.url+`/?lang=en"`)
		})
	}
}

// TestAccountPageLargeText: with text of 200 %, no state of the page scrolls sideways.
func TestAccountPageLargeText(t *testing.T) {
	t.Parallel()
	long(t)
	s, b := inMemory(t).start(t), openBrowser(t)
	b.show(t, "light", 640)
	b.run(t, chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(`addEventListener("DOMContentLoaded", () => document.documentElement.style.fontSize = "200%")`).Do(ctx)
		return err
	}))
	v := visitIn(t, b, s.url, "en")
	v.is(t, "the text is twice as large", `getComputedStyle(document.querySelector("#signin-username")).fontSize === "32px"`)
	v.tour(t, s, func(what, title string) { v.checkState(t, what, title, "testuser", "t@example.com", "Kim Min") })
	v.checkVisit(t, s.url)
}

// TestAccountPageFramed: no other page can show this one in a frame.
func TestAccountPageFramed(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<iframe src="`+s.url+`/"></iframe>`)
	}))
	t.Cleanup(other.Close)
	b := openBrowser(t)
	b.run(t, chromedp.Navigate(other.URL))
	waitFor(t, "the browser to refuse", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return slices.ContainsFunc(b.complaints, func(complaint string) bool { return strings.Contains(complaint, "frame-ancestors 'none'") })
	})
}

// TestAccountPageClosed: where nobody can register, the page shows no way to.
func TestAccountPageClosed(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t, "ALLOW_REGISTRATION=false")
	b := openBrowser(t)
	b.run(t, chromedp.Navigate(s.url+"/?lang=en#register"))
	v := visitIn(t, b, s.url, "en")
	v.evaluate(t, `
		const changed = new Promise((resolve) => addEventListener("hashchange", resolve, { once: true }));
		location.hash = "#register";
		await changed`) // after the page has heard of it
	v.sees(t, "#signin h1", "Sign in")
	v.is(t, "there is no way to register", `[...document.querySelectorAll("body *")].every((element) => !element.checkVisibility() || !element.textContent.includes("Create an account") || element.querySelector("*"))`)
	v.is(t, "nor a link", `!document.querySelector("[href='#register']").checkVisibility()`)
}

// TestAccountPageExposed: with EXPOSE_USERS there is the original's list instead.
func TestAccountPageExposed(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t, "EXPOSE_USERS=true")
	if a := s.do(t, "GET", "/", ""); a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %s %s; want JSON", a.StatusCode, a.Header.Get("Content-Type"), a.body)
	}
}

// TestAccountPageBelowPrefix: the page works behind a proxy that cuts a prefix off the path, and asks
// for nothing outside the prefix.
func TestAccountPageBelowPrefix(t *testing.T) {
	t.Parallel()
	long(t)
	s := inMemory(t).start(t)
	proxied := startNginx(t, s, `location /auth/ { proxy_pass http://$upstream/; }`)
	v := visitIn(t, openBrowser(t), proxied.url+"/auth", "en")
	v.tour(t, s, func(what, title string) { v.checkState(t, what, title, "testuser", "t@example.com", "Kim Min") })
	v.checkVisit(t, proxied.url+"/auth")
}

// TestAccountPagePictures takes the pictures of docs/account-page.md, and keeps them if PICTURES is
// set:
//
//	PICTURES=1 LONG=1 go test -run TestAccountPagePictures .
func TestAccountPagePictures(t *testing.T) {
	t.Parallel()
	long(t)
	dir := t.TempDir()
	if os.Getenv("PICTURES") != "" {
		dir = "../docs/account-page"
	}
	const host = "login.example.com"
	const mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
	p := inFile(t)
	s := p.start(t, "TRUSTED_PROXIES=127.0.0.1,::1")
	s.register(t, "testuser")
	checkStatus(t, s.authorized(t, "PATCH", "/users/me/", `{"email":"testuser@example.com","full_name":"Test User"}`, s.logIn(t, "testuser")), 200)
	s.endAll(t, "testuser", password)
	s.signIn(t, "testuser", "User-Agent: curl/8.5", "X-Forwarded-For: 198.51.100.4")
	s.signIn(t, "testuser", "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:150.0) Gecko/20100101 Firefox/150.0", "X-Forwarded-For: 203.0.113.7")
	b := openBrowser(t, chromedp.Flag("host-resolver-rules", "MAP "+host+" 127.0.0.1"))
	b.run(t, emulation.SetUserAgentOverride(mac), network.SetExtraHTTPHeaders(network.Headers{"X-Forwarded-For": "203.0.113.7"}))
	base := strings.Replace(strings.Replace(s.url, "localhost", host, 1), "127.0.0.1", host, 1)
	open := func(language, colors string, width int64) *pageVisit {
		b.show(t, colors, width)
		return visitIn(t, b, base, language)
	}
	shoot := func(name string, v *pageVisit, width, height int64) {
		v.evaluate(t, fmt.Sprintf(`document.querySelector("#host").textContent = %q; document.querySelector(":focus:not(input, dialog *)")?.blur()`, host))
		var picture []byte
		v.run(t, emulation.SetDeviceMetricsOverride(width, height, 1.5, false), chromedp.ActionFunc(func(ctx context.Context) (err error) {
			picture, err = page.CaptureScreenshot().Do(ctx)
			return err
		}))
		writeFile(t, filepath.Join(dir, name+".png"), string(picture))
	}

	shoot("signin", open("en", "light", 480), 480, 560)

	v := open("en", "light", 480)
	v.click(t, "#new-here a")
	v.fill(t, "register-username", "minji")
	v.fill(t, "register-password", "password123")
	v.submit(t, "register")
	v.checkField(t, "register-password", "This password is too easy to guess.", "password123")
	shoot("register", v, 480, 720)

	v = open("en", "light", 760)
	v.signIn(t, "testuser", password)
	shoot("account", v, 760, 1080)
	v.click(t, "#signout")
	v.sees(t, "#signin h1", "Sign in")

	v = open("ko", "dark", 360)
	v.signIn(t, "testuser", password)
	shoot("phone", v, 360, 780)
	v.click(t, "#signout")
	v.sees(t, "#signin h1", "로그인")

	v = open("en", "dark", 480)
	v.signIn(t, "testuser", password)
	p.change(t, "UPDATE sessions SET created_at = created_at - 660000000")
	v.click(t, "[data-opens=delete]")
	v.fill(t, "delete-username", "testuser")
	v.submit(t, "delete")
	v.sees(t, "#confirm", "Enter your password to continue")
	shoot("confirm", v, 480, 720)
}
