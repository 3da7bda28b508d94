package e2e

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A detour is a proxy before a server, in which a request can meet with something else.
type detour struct {
	url  string
	pass http.Handler // to the server

	mu      sync.Mutex // guards the fields below
	instead map[string]http.HandlerFunc
	seen    map[string]int // how often each request has come
}

// newDetour starts a detour before a server.
func newDetour(t *testing.T, s *server) *detour {
	t.Helper()
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	d := &detour{instead: make(map[string]http.HandlerFunc), seen: make(map[string]int)}
	d.pass = &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorLog: log.New(io.Discard, "", 0), // browsers go away
	}
	front := httptest.NewServer(d)
	t.Cleanup(front.Close)
	t.Cleanup(front.CloseClientConnections)
	d.url = front.URL
	return d
}

func (d *detour) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := r.Method + " " + r.URL.Path
	d.mu.Lock()
	d.seen[request]++
	instead := d.instead[request]
	d.mu.Unlock()
	if instead == nil {
		d.pass.ServeHTTP(w, r)
		return
	}
	instead(w, r)
}

// divert lets a request such as "POST /token" meet with something else from now on, or with the
// server again.
func (d *detour) divert(request string, instead http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.instead[request], d.seen[request] = instead, 0
}

// times returns how often a request has come since it was diverted.
func (d *detour) times(request string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen[request]
}

// hold diverts a request to where it waits until release is called. Then the server has it.
func (d *detour) hold(t *testing.T, request string) (release func()) {
	t.Helper()
	held := make(chan struct{})
	release = sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	d.divert(request, func(w http.ResponseWriter, r *http.Request) {
		<-held
		d.pass.ServeHTTP(w, r)
	})
	return release
}

// refuse answers with a status, a body, and headers such as "Retry-After: 90".
func refuse(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// A deed is what somebody does on the page, by one request.
type deed struct {
	name     string
	request  string
	steps    []string          // what to click on the way
	typed    map[string]string // into fields, by their ID
	button   string
	alert    string // where the page says what fails
	doneAt   string
	doneText string
}

var deeds = []deed{
	{
		"signing in", "POST /token",
		nil, map[string]string{"signin-username": "kim", "signin-password": password},
		"#signin form .primary", "#signin .alert", "#name", "kim",
	},
	{
		"reading who has signed in", "GET /users/me/",
		nil, map[string]string{"signin-username": "kim", "signin-password": password},
		"#signin form .primary", "#signin .alert", "#name", "kim",
	},
	{
		"registering", "POST /users/",
		[]string{"#new-here a"}, map[string]string{"register-username": "new", "register-password": password, "register-email": "n@example.com", "register-full-name": "New"},
		"#register .primary", "#register .alert", "#name", "new",
	},
	{
		"signing in after registering", "POST /token",
		[]string{"#new-here a"}, map[string]string{"register-username": "newer", "register-password": password, "register-email": "", "register-full-name": ""},
		"#register .primary", "#register .alert", "#name", "newer",
	},
	{
		"changing the profile", "PATCH /users/me/",
		[]string{"[data-opens=profile]"}, map[string]string{"profile-email": "kim@example.com", "profile-full-name": "Kim"},
		"#profile .primary", "#profile .alert", "#status", "Saved.",
	},
	{
		"changing the password", "POST /users/me/password",
		[]string{"[data-opens=password]"}, map[string]string{"password-current": password, "password-new": "sturdy-anchor-2260"},
		"#password .primary", "#password .alert", "#status", "Password changed.",
	},
	{
		"ending other sessions", "DELETE /users/me/sessions/",
		nil, nil,
		"#elsewhere", "#devices .alert", "#status", "Signed out everywhere else.",
	},
	{
		"deleting the account", "DELETE /users/me/",
		[]string{"[data-opens=delete]"}, map[string]string{"delete-username": "kim"},
		"#delete .danger", "#delete .alert", "#status", "Your account has been deleted.",
	},
}

// isRare reports whether only the long tests do it, because others go the same way.
func (d deed) isRare() bool {
	return !slices.Contains([]string{"signing in", "changing the profile", "deleting the account"}, d.name)
}

// prepare opens the page and does all of a deed but pressing its button.
func (d deed) prepare(t *testing.T, b *browser) (*pageVisit, *detour) {
	t.Helper()
	s := inMemory(t).start(t)
	s.register(t, "kim")
	s.logIn(t, "kim") // elsewhere
	by := newDetour(t, s)
	v := visitIn(t, b, by.url, "en")
	if d.doneAt == "#status" {
		v.signIn(t, "kim", password)
	}
	for _, step := range d.steps {
		v.click(t, step)
	}
	for id, text := range d.typed {
		v.fill(t, id, text)
	}
	return v, by
}

// checkFailure presses the button of a deed, waits until the page says why it has failed, and
// reports a field that has lost what was typed.
func (d deed) checkFailure(t *testing.T, v *pageVisit, want string) {
	t.Helper()
	v.click(t, d.button)
	v.sees(t, d.alert, want)
	v.awaits(t, "the end of the request", `!document.querySelector("[aria-busy=true]")`)
	for id, text := range d.typed {
		v.is(t, id, fmt.Sprintf(`document.getElementById(%q).value === %q`, id, text))
	}
}

// TestAccountPageFaults: whatever a request meets with, the page says so in the right words, and
// keeps what was typed. Then it can be sent again, once at a time.
func TestAccountPageFaults(t *testing.T) {
	t.Parallel()
	for _, d := range deeds {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			if d.isRare() {
				long(t)
			}
			v, by := d.prepare(t, openBrowser(t))
			for _, fault := range []struct {
				name    string
				instead http.HandlerFunc
				want    string
			}{
				{"too many tries", refuse(429, `{"detail":"Too many requests"}`, "Retry-After: 90"), "Too many attempts. Try again in "},
				{"a server that is busy", refuse(503, `{"detail":"Busy"}`, "Retry-After: 30"), "The server is busy. Try again in "},
				{"a proxy without a server", refuse(502, "<h1>Bad Gateway"), "The server isn’t responding. Try again."},
				{"a bug", refuse(500, `{"detail":"Internal Server Error"}`), "Something went wrong. Try again."},
				{"no answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "The server isn’t responding. Try again."},
				{"a page", refuse(200, "<h1>Sign in to the Wi-Fi"), "Something went wrong. Try again."},
				{"10 MB", refuse(200, strings.Repeat(" ", 10<<20)), "Something went wrong. Try again."},
			} {
				by.divert(d.request, fault.instead)
				d.checkFailure(t, v, fault.want)
				if strings.HasSuffix(fault.want, " in ") {
					v.is(t, fault.name, fmt.Sprintf(`/^[1-9]\d seconds$/.test(document.querySelector("%s [role=timer][aria-live=off]").innerText)`, d.alert))
				}
			}
			by.divert(d.request, nil)
			v.setOnline(t, false)
			d.checkFailure(t, v, "You’re offline.")
			v.setOnline(t, true)
			v.awaits(t, "no trouble", `[...document.querySelectorAll(".alert")].every((alert) => !alert.innerText || !alert.checkVisibility())`)

			release := by.hold(t, d.request)
			v.click(t, d.button)
			v.click(t, d.button)
			waitFor(t, "the request", func() bool { return by.times(d.request) > 0 })
			release()
			v.sees(t, d.doneAt, d.doneText)
			if n := by.times(d.request); n != 1 && d.request != "GET /users/me/" { // which shows the account, too
				t.Errorf("two clicks sent %d requests; want 1", n)
			}
		})
	}
}

// setOnline says to a tab whether there is a network.
func (b *browser) setOnline(t *testing.T, online bool) {
	t.Helper()
	b.run(t, network.EmulateNetworkConditions(!online, 0, -1, -1))
}

// TestAccountPageEndless: the page gives up waiting for an answer that never ends, and then says so.
func TestAccountPageEndless(t *testing.T) {
	t.Parallel()
	long(t)
	for _, d := range deeds {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			v, by := d.prepare(t, openBrowser(t))
			v.evaluate(t, `
				const timeout = AbortSignal.timeout.bind(AbortSignal);
				AbortSignal.timeout = (milliseconds) => timeout(milliseconds / 10)`)
			by.divert(d.request, drip)
			d.checkFailure(t, v, "The server isn’t responding. Try again.")
		})
	}
}

// drip answers without end.
func drip(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for r.Context().Err() == nil {
		io.WriteString(w, " ")
		http.NewResponseController(w).Flush()
		<-tick.C
	}
}

// TestAccountPageWait: the wait after too many tries is counted down, and then it is over.
func TestAccountPageWait(t *testing.T) {
	t.Parallel()
	d := deeds[0]
	v, by := d.prepare(t, openBrowser(t))
	by.divert(d.request, refuse(429, "{}", "Retry-After: 2"))
	d.checkFailure(t, v, "Too many attempts. Try again in 2 seconds.")
	v.sees(t, d.alert, "Too many attempts. Try again in 1 second.")
	v.awaits(t, "the end of the wait", `document.querySelector("#signin .alert").innerText === ""`)
}

// TestAccountPageRefusals: what only some requests are refused for.
func TestAccountPageRefusals(t *testing.T) {
	t.Parallel()
	long(t)
	for _, tt := range []struct {
		name    string
		deed    deed
		instead http.HandlerFunc
		want    string
	}{
		{"a registration that was closed meanwhile", deeds[2], refuse(403, `{"detail":"Registration is closed"}`), "This site isn’t accepting new accounts."},
		{"fields that the page does not know", deeds[4], refuse(422, `{"detail":[{"type":"x","loc":["body","x"],"msg":"x"}]}`), "Something went wrong. Try again."},
		{"422 of another shape", deeds[4], refuse(422, `{"detail":"no"}`), "Something went wrong. Try again."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v, by := tt.deed.prepare(t, openBrowser(t))
			by.divert(tt.deed.request, tt.instead)
			tt.deed.checkFailure(t, v, tt.want)
		})
	}
}

// TestAccountPageTrouble: if the sessions cannot be read, the page says so and offers to try again.
func TestAccountPageTrouble(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	s.register(t, "kim")
	by := newDetour(t, s)
	by.divert("GET /users/me/sessions/", refuse(500, "{}"))
	v := visitIn(t, openBrowser(t), by.url, "en")
	v.fill(t, "signin-username", "kim")
	v.fill(t, "signin-password", password)
	v.submit(t, "signin")
	v.sees(t, "#trouble", "Something went wrong. Try again.")
	v.sees(t, "#name", "kim")
	by.divert("GET /users/me/sessions/", nil)
	v.click(t, "#again")
	v.awaits(t, "a session, and no trouble", `document.querySelector("#sessions li") && !document.querySelector("#trouble .alert").innerText && !document.querySelector("#again").checkVisibility()`)
}

// TestAccountPageAbandoned: an answer that comes after its dialog was closed is not shown in the next.
func TestAccountPageAbandoned(t *testing.T) {
	t.Parallel()
	d := deeds[5]
	v, by := d.prepare(t, openBrowser(t))
	answered := make(chan struct{})
	by.divert(d.request, func(w http.ResponseWriter, r *http.Request) {
		<-answered
		refuse(400, `{"detail":"Incorrect password"}`)(w, r)
	})
	v.click(t, d.button)
	waitFor(t, "the request", func() bool { return by.times(d.request) > 0 })
	v.run(t, chromedp.KeyEvent(kb.Escape))
	close(answered)
	v.awaits(t, "the end of the request", `!document.querySelector("[aria-busy=true]")`)
	v.click(t, d.steps[0])
	v.is(t, "the dialog says nothing, and is empty", `!document.querySelector("#password .wrong, #password [aria-invalid]") && document.querySelector("#password-current").value === ""`)
}

// TestAccountPageConfirm: an account is deleted only soon after a login. The page asks for the
// password, and what was typed before is kept.
func TestAccountPageConfirm(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	s := p.start(t)
	s.register(t, "kim")
	by := newDetour(t, s)
	v := visitAs(t, openBrowser(t), by.url, "kim")
	p.change(t, "UPDATE sessions SET created_at = created_at - 660000000")
	v.click(t, "[data-opens=delete]")
	v.fill(t, "delete-username", "kim")
	v.submit(t, "delete")
	v.sees(t, "#confirm", "Enter your password to continue.")
	v.run(t, chromedp.KeyEvent(kb.Escape))
	v.awaits(t, "the dialog before, with the focus and what was typed", `!document.querySelector("#confirm").open && document.querySelector("#delete").open &&
		document.querySelector("#delete").contains(document.activeElement) && document.querySelector("#delete-username").value === "kim"`)
	checkStatus(t, s.do(t, "POST", "/token", loginForm("kim"), formType), 200)

	v.submit(t, "delete")
	v.fill(t, "confirm-password", "wrong")
	v.submit(t, "confirm")
	v.checkField(t, "confirm-password", "Incorrect password.", "wrong")

	by.delayDeletion()
	v.fill(t, "confirm-password", password)
	v.submit(t, "confirm")
	v.sees(t, "#status", "Your account has been deleted.")
	v.sees(t, "#signin h1", "Sign in")
	v.is(t, "no dialog is open", `!document.querySelector("dialog[open]")`)
	checkStatus(t, s.do(t, "POST", "/token", loginForm("kim"), formType), 401)
}

// delayDeletion holds back the answer to a deletion until the page has learned from another
// request that its session has ended.
func (d *detour) delayDeletion() {
	deleted, ended := make(chan struct{}), make(chan struct{})
	tell := sync.OnceFunc(func() { close(ended) })
	d.divert("DELETE /users/me/", func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		d.pass.ServeHTTP(answer, r)
		if answer.Code == 204 {
			close(deleted)
			<-ended
		}
		w.WriteHeader(answer.Code)
	})
	d.divert("GET /users/me/sessions/", func(w http.ResponseWriter, r *http.Request) {
		<-deleted
		d.pass.ServeHTTP(w, r)
	})
	d.divert("POST /token", func(w http.ResponseWriter, r *http.Request) {
		d.pass.ServeHTTP(w, r)
		select {
		case <-deleted: // so this was a refresh
			http.NewResponseController(w).Flush()
			time.AfterFunc(100*time.Millisecond, tell)
		default:
		}
	})
}
