package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestDocsInBrowser does in a browser what a newcomer does at /docs: registers,
// presses Authorize, logs in, and asks who he is.
func TestDocsInBrowser(t *testing.T) {
	s := start(t)
	b := openBrowser(t)
	b.tryDocs(t, s.url)
	var kept int
	b.run(t, chromedp.Evaluate(`localStorage.length + sessionStorage.length`, &kept))
	if kept != 0 {
		t.Errorf("the page keeps %d things in the browser's storage, a token perhaps among them", kept)
	}
}

// TestDocsBelowPrefix: the page works behind a proxy that cuts a prefix off the path, and
// asks for nothing outside the prefix.
func TestDocsBelowPrefix(t *testing.T) {
	t.Parallel()
	long(t)
	for _, tt := range []struct{ name, config string }{
		{"that says nothing", `location /auth/ { proxy_pass http://$upstream/; }`},
		{"that says who asks", `location /auth/ { proxy_pass http://$upstream/; proxy_http_version 1.1;
			proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; }`},
	} {
		t.Run("a proxy "+tt.name, func(t *testing.T) {
			proxied := startNginx(t, start(t), tt.config)
			document := proxied.do(t, "GET", "/auth/openapi.json", "").body
			if !strings.Contains(document, `"url": "."`) {
				t.Errorf("the document does not say that the API is beside it: %.900s", document)
			}
			openBrowser(t).tryDocs(t, proxied.url+"/auth")
		})
	}
}

// tryDocs registers, logs in and asks for the user on the page at base.
func (b *browser) tryDocs(t *testing.T, base string) {
	t.Helper()
	b.run(t, chromedp.Navigate(base+"/docs"), chromedp.WaitVisible(`#operations-users-createUser`))
	b.execute(t, "users-createUser", `"username": "testuser"`) // as the example in the document says
	b.run(t,
		chromedp.Click(`.auth-wrapper .authorize`),
		chromedp.SendKeys(`#oauth_username`, "testuser"),
		chromedp.SendKeys(`#oauth_password`, "correct horse battery"),
		chromedp.Click(`.auth-btn-wrapper .authorize`),
		waitForText(`.modal-ux`, "Logout"),
		chromedp.Click(`.auth-btn-wrapper .btn-done`))
	b.execute(t, "users-readUsersMe", `"email": "testuser@example.com"`)
	b.execute(t, "tokens-loginForAccessToken", `"token_type": "bearer"`) // with the example, too
	b.check(t, base)
}

// execute opens an operation on the page, executes it as it stands there, and waits for an
// answer that contains a text. Swagger UI fails if it is asked before it has resolved the
// references in an operation, as that to the response to any other failure, and does nothing
// before it has filled the body in.
func (b *browser) execute(t *testing.T, operation, text string) {
	t.Helper()
	operation = "#operations-" + operation
	b.run(t, chromedp.Click(operation+` .opblock-summary-control`), waitForText(operation, "Any other failure"))
	for begun := false; !begun; {
		b.run(t, chromedp.Click(operation+` .execute`))
		answer := chromedp.PollFunction(`(answer) => document.querySelector(answer) !== null`, nil,
			chromedp.WithPollingArgs(operation+` :is(.live-responses-table, .loading-container)`), chromedp.WithPollingTimeout(2*time.Second))
		begun = chromedp.Run(b.ctx, answer) == nil || b.ctx.Err() != nil
	}
	b.run(t, waitForText(operation+` .live-responses-table`, text))
}

// TestDocsByKeyboard logs in on the page without a mouse. The dialog asks for nothing that
// nobody has: no client_id, no client_secret, no scope.
func TestDocsByKeyboard(t *testing.T) {
	t.Parallel()
	long(t)
	s := start(t)
	s.register(t, "alice")
	b := openBrowser(t)
	b.run(t, chromedp.Navigate(s.url+"/docs"), chromedp.WaitVisible(`#operations-users-createUser`))
	for n := 0; b.evaluate(t, `return document.activeElement.matches(".auth-wrapper .authorize")`) != "true"; n++ {
		if n == 20 {
			t.Fatal("no Tab leads to the button Authorize")
		}
		b.run(t, chromedp.KeyEvent(kb.Tab))
	}
	b.run(t, chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(`.modal-ux`),
		chromedp.Poll(`document.activeElement.id == "oauth_username"`, nil))
	fields := b.evaluate(t, `return [...document.querySelectorAll(".modal-ux :is(input, select)")]
		.filter((field) => field.checkVisibility()).map((field) => field.id)`)
	if want := `["oauth_username","oauth_password","auth-bearer-value"]`; fields != want {
		t.Errorf("the dialog has the fields %s; want %s", fields, want)
	}
	b.run(t,
		chromedp.KeyEvent("alice"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(password), chromedp.KeyEvent(kb.Enter),
		waitForText(`.modal-ux`, "Logout"),
		chromedp.KeyEvent(kb.Escape), chromedp.WaitNotPresent(`.modal-ux`))
	b.execute(t, "users-readUsersMe", `"username": "alice"`)
	b.check(t, s.url)
}

// TestDocsTokenPasted uses a token that came from elsewhere.
func TestDocsTokenPasted(t *testing.T) {
	t.Parallel()
	long(t)
	s := start(t)
	s.register(t, "alice")
	b := openBrowser(t)
	b.run(t,
		chromedp.Navigate(s.url+"/docs"),
		chromedp.WaitVisible(`#operations-users-createUser`),
		chromedp.Click(`.auth-wrapper .authorize`),
		chromedp.SendKeys(`#auth-bearer-value`, s.logIn(t, "alice")+kb.Enter),
		waitForText(`.modal-ux`, "Logout"),
		chromedp.KeyEvent(kb.Escape), chromedp.WaitNotPresent(`.modal-ux`))
	b.execute(t, "sessions-readSessions", `"current": true`)
	b.check(t, s.url)
}

// TestDocsColors: the page follows the system into the dark, and can be read in both.
func TestDocsColors(t *testing.T) {
	t.Parallel()
	long(t)
	s := start(t)
	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			b := openBrowser(t)
			b.run(t,
				emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
				chromedp.Navigate(s.url+"/docs"),
				chromedp.WaitVisible(`#operations-users-createUser`))
			b.checkContrast(t, scheme, "the list")
			b.execute(t, "health-readLivez", `"status": "ok"`)
			b.run(t,
				chromedp.Click(`#operations-users-createUser .opblock-summary-control`),
				chromedp.Click(`#operations-sessions-deleteSessions .opblock-summary-control`),
				chromedp.WaitVisible(`#operations-sessions-deleteSessions .responses-table`),
				chromedp.Click(`#operations-sessions-deleteSessions .tablinks[data-name=model]`),
				chromedp.Click(`.models-control`),
				chromedp.WaitVisible(`.json-schema-2020-12`))
			b.checkContrast(t, scheme, "open operations")
			b.run(t, chromedp.Click(`.auth-wrapper .authorize`), chromedp.WaitVisible(`.modal-ux`))
			b.checkContrast(t, scheme, "the dialog")
			b.check(t, s.url)
		})
	}
}

// checkContrast reports text on the page that stands out from its background by less than
// WCAG 2.2 §1.4.3 asks for level AA, and a page of the wrong color.
func (b *browser) checkContrast(t *testing.T, scheme, what string) {
	t.Helper()
	var found struct {
		Texts int
		Low   []string
		Page  float64 // its luminance
	}
	if err := json.Unmarshal([]byte(b.evaluate(t, measureContrast)), &found); err != nil {
		t.Fatal(err)
	}
	if found.Texts < 40 {
		t.Errorf("%s shows only %d texts", what, found.Texts)
	}
	if isDark := found.Page < 0.1; isDark != (scheme == "dark") {
		t.Errorf("%s has a background of luminance %.2f", what, found.Page)
	}
	slices.Sort(found.Low)
	for _, text := range slices.Compact(found.Low) {
		t.Error(fmt.Sprintf("%s in %s: ", what, scheme), text)
	}
}

// measureContrast looks at every text that is visible. The browser itself computes the
// colors, by painting them over one another.
const measureContrast = `
	const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
	const paint = (colors) => {
		canvas.clearRect(0, 0, 1, 1);
		for (const color of colors) {
			canvas.fillStyle = color;
			canvas.fillRect(0, 0, 1, 1);
		}
		return canvas.getImageData(0, 0, 1, 1).data;
	};
	const luminance = (colors) => {
		const linear = [...paint(colors)].map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
		return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
	};
	const backgrounds = (element) => {
		const colors = [];
		for (let e = element; e; e = e.parentElement) colors.unshift(getComputedStyle(e).backgroundColor);
		return colors;
	};
	const found = { texts: 0, low: [], page: luminance(backgrounds(document.body)) };
	const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (nodes.nextNode()) {
		const text = nodes.currentNode.data.trim(), element = nodes.currentNode.parentElement;
		if (!text || !element.checkVisibility() || element.closest("script, noscript, option")) continue;
		found.texts++;
		const { color, fontSize, fontWeight } = getComputedStyle(element);
		const behind = backgrounds(element);
		const [low, high] = [luminance(behind), luminance([...behind, color])].sort((a, b) => a - b);
		const ratio = (high + 0.05) / (low + 0.05);
		const isLarge = parseFloat(fontSize) >= 24 || parseFloat(fontSize) >= 18.66 && fontWeight >= 700;
		if (ratio < (isLarge ? 3 : 4.5)) found.low.push(text.slice(0, 40) + " has a contrast of " + ratio.toFixed(2));
	}
	return found;`
