package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// A site is a page of somebody's own, on another origin than the server's, that uses latchkey.js.
type site struct {
	url    string
	server *server
	tabs   []*browser

	mu   sync.Mutex // guards seen
	seen []string   // the path and the Authorization of each request to the site
}

// openSite starts a server, registers kim and lee, and opens tabs of a site that may call it.
func openSite(t *testing.T, n int, options string, settings ...string) *site {
	t.Helper()
	st := newSite(t, settings...)
	st.open(t, openBrowser(t), n, options)
	return st
}

// newSite is openSite without its tabs.
func newSite(t *testing.T, settings ...string) *site {
	t.Helper()
	st := &site{server: start(t, append([]string{"REFRESH_GRACE_SECONDS=0"}, settings...)...)}
	st.server.register(t, "kim")
	st.server.register(t, "lee")
	st.url = st.serve(t)
	return st
}

// open opens tabs of the site, of which the browser has opened the first.
func (st *site) open(t *testing.T, first *browser, n int, options string) {
	t.Helper()
	for i := range n {
		tab := first
		if i > 0 {
			tab = openTab(t, first.ctx)
		}
		st.tabs = append(st.tabs, tab)
		st.load(t, tab, options)
	}
}

// serve serves the site and returns its URL.
func (st *site) serve(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go http.Serve(ln, st)
	return strings.Replace("http://"+ln.Addr().String(), "127.0.0.1", "localhost", 1)
}

// ServeHTTP answers with an empty page. Below /to/ it redirects to what follows, and in three other
// folders it is a server that is not Latchkey.
func (st *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Allow-Headers", "*, Authorization")
	w.Header().Set("Content-Type", "text/html")
	st.mu.Lock()
	st.seen = append(st.seen, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization")))
	st.mu.Unlock()
	folder, rest, _ := strings.Cut(r.URL.Path[1:], "/")
	switch {
	case r.Method == http.MethodOptions:
	case folder == "to":
		http.Redirect(w, r, "http://"+rest, http.StatusTemporaryRedirect)
	case folder == "html":
		io.WriteString(w, "<h1>Sign in to the Wi-Fi")
	case folder == "huge":
		io.WriteString(w, strings.Repeat(" ", 10<<20))
	case folder == "endless":
		for r.Context().Err() == nil {
			io.WriteString(w, " ")
			http.NewResponseController(w).Flush()
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// load opens the site in a tab, and makes a Latchkey with options.
func (st *site) load(t *testing.T, tab *browser, options string) {
	t.Helper()
	tab.run(t, chromedp.Navigate(st.url))
	st.begin(t, tab, options)
}

// begin makes a Latchkey on the page that is open.
func (st *site) begin(t *testing.T, tab *browser, options string) {
	t.Helper()
	tab.evaluate(t, fmt.Sprintf(`
		const { Latchkey } = await import(%q);
		window.latchkey = new Latchkey({ %s });
		window.events = [];
		latchkey.addEventListener("signedin", () => events.push("signedin"));
		latchkey.addEventListener("signedout", (event) => events.push(event.detail.reason));`, st.server.url+"/latchkey.js", options))
}

// logIn is the JavaScript that logs somebody in.
func logIn(name string) string {
	return fmt.Sprintf(`return (await latchkey.login({ username: %q, password: %q })).username`, name, password)
}

// who is the JavaScript that says who is signed in.
const who = `return await latchkey.me().then((user) => user.username, (error) => error.status)`

// expect runs JavaScript in a tab, and reports a value other than that of the JSON want.
func (b *browser) expect(t *testing.T, what, code, want string) {
	t.Helper()
	if got := b.evaluate(t, code); got != want {
		t.Errorf("%s: got %s; want %s", what, got, want)
	}
}

// inAll runs JavaScript in all tabs at once, and reports a value other than want.
func (st *site) inAll(t *testing.T, what, code, want string) {
	t.Helper()
	var all sync.WaitGroup
	for i, tab := range st.tabs {
		all.Go(func() { tab.expect(t, fmt.Sprintf("%s, in tab %d", what, i+1), code, want) })
	}
	all.Wait()
}

// heard is the JavaScript that waits until the tab has had n events.
func heard(n int) string {
	return fmt.Sprintf(`while (events.length < %d) await new Promise((resolve) => setTimeout(resolve, 10));`, n)
}

// later is the JavaScript that lets hours pass, after which a token has expired.
func later(hours int) string {
	return fmt.Sprintf(`window.now ??= Date.now; Date.now = () => now() + %d * 3600e3;`, hours)
}

// TestModuleRefreshes: three tabs of another origin refresh together 200 times. A refresh token
// that comes twice would end the session.
func TestModuleRefreshes(t *testing.T) {
	t.Parallel()
	const rounds = 200
	st := openSite(t, 3, "")
	st.tabs[0].expect(t, "the login", logIn("kim"), `"kim"`)
	st.inAll(t, "before", who, `"kim"`)
	for n := 1; n <= rounds && !t.Failed(); n++ {
		st.inAll(t, fmt.Sprintf("refresh %d", n), later(n)+`return (await latchkey.fetch("users/me/")).status`, "200")
	}
	st.inAll(t, "after", `return events`, `["signedin"]`)
	if n := len(st.server.events(t, "session_renewed")); n != rounds {
		t.Errorf("%d refreshes; want %d", n, rounds)
	}
}

// TestModuleTabs: what one tab does is done in all.
func TestModuleTabs(t *testing.T) {
	t.Parallel()
	st := openSite(t, 3, "")
	st.inAll(t, "before the login", who, "401")
	st.tabs[1].expect(t, "a login", logIn("kim"), `"kim"`)
	st.inAll(t, "after a login", heard(1)+who, `"kim"`)

	st.tabs[2].expect(t, "a login of another", logIn("lee"), `"lee"`)
	st.inAll(t, "after a login of another", heard(2)+who, `"lee"`)

	st.tabs[0].expect(t, "a logout", `await latchkey.logout(); return latchkey.signedIn`, "false")
	st.inAll(t, "after a logout", heard(3)+`return events`, `["signedin","signedin","logout"]`)

	st.tabs[0].expect(t, "the next login", logIn("kim"), `"kim"`)
	st.server.do(t, "DELETE", "/users/me/sessions/", "", "Authorization: Bearer "+st.server.logIn(t, "kim"))
	st.inAll(t, "after the session was ended elsewhere", `return (await latchkey.fetch("users/me/")).status`, "401")
	st.inAll(t, "after that", heard(5)+`return events`, `["signedin","signedin","logout","signedin","ended"]`)
	st.inAll(t, "what is stored", `return [localStorage.length, sessionStorage.length, document.cookie, (await indexedDB.databases()).length]`, `[0,0,"",0]`)
	for _, tab := range st.tabs {
		tab.check401s(t)
	}
}

// check401s reports complaints of the browser about anything but the refusals that a test wants.
func (b *browser) check401s(t *testing.T) {
	t.Helper()
	b.forget("40")
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, complaint := range b.complaints {
		t.Errorf("the browser complains: %s", complaint)
	}
}

// beginRefresh is the JavaScript that begins a refresh that never gets an answer.
var beginRefresh = later(1) + `
	window.realFetch = window.fetch;
	window.fetch = () => new Promise(() => {});
	latchkey.fetch("users/me/");
	while (!(await navigator.locks.query()).held.some((lock) => lock.mode === "exclusive"));`

// noteThefts is the JavaScript that counts the locks that the tab steals.
const noteThefts = `
	window.thefts = 0;
	const request = navigator.locks.request.bind(navigator.locks);
	navigator.locks.request = (name, options, work) => {
		if (options.steal) thefts++;
		return request(name, options, work);
	};`

// TestModuleTabCloses: a tab that closes while it refreshes stops no other, and the last one that
// closes takes its session with it.
func TestModuleTabCloses(t *testing.T) {
	t.Parallel()
	st := openSite(t, 2, "")
	st.tabs[0].expect(t, "the login", logIn("kim"), `"kim"`)
	st.inAll(t, "before", who, `"kim"`)
	st.tabs[1].evaluate(t, beginRefresh)
	chromedp.Cancel(st.tabs[1].ctx)
	st.tabs[0].expect(t, "a refresh beside a tab that has closed", noteThefts+later(1)+who, `"kim"`)
	st.tabs[0].expect(t, "locks stolen", `return thefts`, "0")
}

// TestModuleFrozenTab: a tab that is frozen while it refreshes holds up the others for half a minute.
func TestModuleFrozenTab(t *testing.T) {
	t.Parallel()
	long(t)
	st := openSite(t, 2, "")
	st.tabs[0].expect(t, "the login", logIn("kim"), `"kim"`)
	st.inAll(t, "before", who, `"kim"`)
	st.tabs[1].evaluate(t, beginRefresh)
	st.tabs[1].run(t, page.SetWebLifecycleState(page.SetWebLifecycleStateStateFrozen))
	st.tabs[0].expect(t, "a refresh beside a tab that is frozen", noteThefts+later(1)+who, `"kim"`)
	st.tabs[0].expect(t, "locks stolen", `return thefts`, "1")
	st.tabs[1].run(t, page.SetWebLifecycleState(page.SetWebLifecycleStateStateActive))
	st.tabs[1].expect(t, "the other tab, when it goes on", `window.fetch = realFetch;`+who, `"kim"`)
	st.inAll(t, "events", `return events`, `["signedin"]`)
}

// TestModuleOddServers: whatever answers in the server's place, the page gets an error, and soon.
func TestModuleOddServers(t *testing.T) {
	t.Parallel()
	st := openSite(t, 1, "")
	for _, tt := range []struct{ path, want string }{
		{"/html/", `["LatchkeyError",200]`},
		{"/huge/", `["LatchkeyError",200]`},
		{"/endless/", `["LatchkeyError",0]`},
	} {
		t.Run(tt.path, func(t *testing.T) {
			if tt.path == "/endless/" {
				long(t) // until the time is over
			}
			st.begin(t, st.tabs[0], fmt.Sprintf("url: %q", st.url+tt.path))
			st.tabs[0].expect(t, "a login", `return latchkey.login({ username: "kim", password: "x" }).catch((error) => [error.name, error.status])`, tt.want)
			st.tabs[0].expect(t, "a registration", `return latchkey.register({ username: "kim", password: "x" }).catch((error) => [error.name, error.status])`, tt.want)
		})
	}
}

// sessionsOf returns how many sessions kim has besides the one that asks.
func (st *site) sessionsOf(t *testing.T, token string) int {
	t.Helper()
	return strings.Count(st.server.authorized(t, "GET", "/users/me/sessions/", "", token).body, `"id"`) - 1
}

// TestModuleReload: a reload of the only tab, or its end, ends the session, but for those that
// are to survive it. A page that comes back from the back-forward cache has it, too.
func TestModuleReload(t *testing.T) {
	t.Parallel()
	const memory, stored = ``, `persist: "session"`
	for _, tt := range []struct {
		name, options string
		leave         func(*testing.T, *site)
		who           string
		sessions      int
	}{
		{"a reload of a page with tokens in memory", memory, reload, "401", 0},
		{"a reload of a page that persists", stored, reload, `"kim"`, 1},
		{"a way forth and back", memory, forthAndBack, `"kim"`, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := openSite(t, 1, tt.options)
			st.tabs[0].expect(t, "the login", logIn("kim"), `"kim"`)
			token := st.server.logIn(t, "kim")
			tt.leave(t, st)
			if st.tabs[0].evaluate(t, "return window.latchkey === undefined") == "true" {
				st.begin(t, st.tabs[0], tt.options)
			}
			st.tabs[0].expect(t, "afterwards", who, tt.who)
			waitFor(t, fmt.Sprintf("%d sessions", tt.sessions), func() bool { return st.sessionsOf(t, token) == tt.sessions })
		})
	}
}

func reload(t *testing.T, st *site) { st.tabs[0].run(t, chromedp.Reload()) }

func forthAndBack(t *testing.T, st *site) {
	st.tabs[0].forthAndBack(t, st.url+"/elsewhere", func() {})
}

// forthAndBack lets a tab visit another page, and come back by its back-forward cache after
// something was done.
func (b *browser) forthAndBack(t *testing.T, elsewhere string, meanwhile func()) {
	t.Helper()
	b.evaluate(t, `addEventListener("pageshow", (event) => (window.isBack = event.persisted))`)
	b.run(t, chromedp.Navigate(elsewhere))
	meanwhile()
	b.run(t, chromedp.ActionFunc(func(ctx context.Context) error {
		current, entries, err := page.GetNavigationHistory().Do(ctx)
		if err != nil {
			return err
		}
		return page.NavigateToHistoryEntry(entries[current-1].ID).Do(ctx)
	}))
	waitFor(t, "the page to come back", func() bool {
		var isBack bool
		err := chromedp.Run(b.ctx, chromedp.Evaluate(`window.isBack === true`, &isBack)) // fails on the way
		return err == nil && isBack
	})
}

// TestModuleOrigins: the token goes where it should, and nowhere else, also if a server redirects.
func TestModuleOrigins(t *testing.T) {
	t.Parallel()
	st, other := openSite(t, 1, ""), new(site)
	otherURL := other.serve(t)
	ours := new(site)
	oursURL := ours.serve(t)
	st.load(t, st.tabs[0], fmt.Sprintf("origins: [%q]", oursURL))
	st.tabs[0].expect(t, "the login", logIn("kim"), `"kim"`)
	st.tabs[0].evaluate(t, fmt.Sprintf(`
		await latchkey.fetch(%q);
		await latchkey.fetch(%q);
		await latchkey.fetch(%q);`, oursURL+"/ours", otherURL+"/direct", oursURL+"/to/"+strings.TrimPrefix(otherURL, "http://")+"/redirected"))
	if got := strings.Join(other.seen, "\n"); got != "GET /direct\nGET /redirected" {
		t.Errorf("a server that may not see the token sees\n%s", got)
	}
	if got := strings.Join(ours.seen, "\n"); strings.Count(got, "Bearer ey") != 2 {
		t.Errorf("a server that may see the token sees\n%s", got)
	}
}

// TestModuleNotAllowed: a page of an origin that may not call can load the module, and is told what
// is wrong.
func TestModuleNotAllowed(t *testing.T) {
	t.Parallel()
	st := openSite(t, 1, "", "CORS_ORIGINS=https://app.example")
	st.tabs[0].expect(t, "a login", `return latchkey.login({ username: "kim", password: "x" }).catch((error) => [error.name, error.status, error.message.includes("CORS_ORIGINS")])`,
		`["LatchkeyError",0,true]`)
	st.tabs[0].expect(t, "anything else", `return latchkey.fetch("livez").catch((error) => [error.name, error.status])`, `["LatchkeyError",0]`)
}

// TestModuleWithoutLocks: a page on plain HTTP, where there are no Web Locks, has a session in each
// tab.
func TestModuleWithoutLocks(t *testing.T) {
	t.Parallel()
	st := newSite(t, "CORS_ORIGINS=*")
	st.url = strings.Replace(st.url, "localhost", "app.example", 1)
	st.open(t, openBrowser(t, chromedp.Flag("host-resolver-rules", "MAP app.example 127.0.0.1")), 2, "")
	st.inAll(t, "the context", `return [isSecureContext, navigator.locks === undefined]`, "[false,true]")
	st.tabs[0].expect(t, "a login", logIn("kim"), `"kim"`)
	st.tabs[1].expect(t, "the other tab", who, "401")
	st.tabs[1].expect(t, "a login there", logIn("lee"), `"lee"`)
	st.inAll(t, "refreshes", later(1)+`return (await latchkey.fetch("users/me/")).status`, "200")
	st.tabs[1].expect(t, "a logout", `await latchkey.logout(); return latchkey.signedIn`, "false")
	st.tabs[0].expect(t, "the first tab", who, `"kim"`)
}

// TestModulePage uses the page of docs/browser.md.
func TestModulePage(t *testing.T) {
	t.Parallel()
	st := openSite(t, 1, "")
	html := readBlock(t, "docs/browser.md", "Ten lines", "html", st.server.addr)
	tab := st.tabs[0]
	tab.run(t, chromedp.ActionFunc(func(ctx context.Context) error {
		tree, err := page.GetFrameTree().Do(ctx)
		if err != nil {
			return err
		}
		return page.SetDocumentContent(tree.Frame.ID, html).Do(ctx)
	}))
	tab.run(t,
		chromedp.Poll(`document.querySelector("form").onsubmit`, nil, chromedp.WithPollingTimeout(patience)),
		chromedp.SendKeys(`[name=username]`, "kim"), chromedp.SendKeys(`[name=password]`, "wrong"), chromedp.Click("button"),
		waitForText("p", "401 Incorrect username or password"),
		chromedp.SetValue(`[name=password]`, password), chromedp.Click("button"),
		waitForText("p", "Hello kim"))
	second := openTab(t, tab.ctx)
	st.load(t, second, "")
	second.expect(t, "a second tab", who, `"kim"`)
	second.evaluate(t, `await latchkey.logout()`)
	tab.run(t, waitForText("p", "Signed out: logout"))
}
