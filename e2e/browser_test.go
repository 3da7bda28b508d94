package e2e

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A browser is a tab of Chromium that remembers what went wrong in it.
type browser struct {
	ctx context.Context

	mu         sync.Mutex // guards the fields below
	complaints []string
	requests   []string
}

// openBrowser starts Chromium with a new profile, and with more options, or skips the test.
func openBrowser(t *testing.T, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	path := findBrowser()
	if path == "" {
		skip(t, "there is no Chromium; on Debian: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox,              // which root needs
		chromedp.WindowSize(1280, 1600), // no button is out of sight
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), append(options, more...)...)
	t.Cleanup(stop)
	ctx, stop = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(stop)
	return openTab(t, ctx)
}

// openTab opens a tab in a browser that it starts, if it is the first there.
func openTab(t *testing.T, parent context.Context) *browser {
	t.Helper()
	b := new(browser)
	var options []chromedp.ContextOption
	if chromedp.FromContext(parent).Browser == nil {
		options = append(options, chromedp.WithErrorf(logError))
	}
	b.ctx, _ = chromedp.NewContext(parent, options...)
	t.Cleanup(func() { chromedp.Cancel(b.ctx) }) // of the first tab, it waits until the profile is removed
	chromedp.ListenTarget(b.ctx, b.listen)
	b.run(t, network.Enable(), log.Enable(), runtime.Enable())
	return b
}

// logError prints an error of chromedp, but for events of a Chromium that is newer than it.
func logError(format string, args ...any) {
	if !strings.HasPrefix(format, "unhandled ") {
		fmt.Fprintf(os.Stderr, "chromedp: "+format+"\n", args...)
	}
}

func findBrowser() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// evaluate runs the body of an async function on the page that is open, and returns
// what it returns, as its JSON text.
func (b *browser) evaluate(t *testing.T, body string) string {
	t.Helper()
	var text string
	b.run(t, chromedp.Evaluate("(async () => {"+body+"\n})().then((value) => JSON.stringify(value ?? null))", &text,
		func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return text
}

func (b *browser) run(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	for i, action := range actions {
		if err := chromedp.Run(b.ctx, action); err != nil {
			t.Fatalf("step %d: %v; the browser says %q", i, err, b.complaints)
		}
	}
}

// listen notes complaints, among them those about the Content-Security-Policy,
// and whom the page talks to.
func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch event := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, event.Request.URL)
	case *log.EventEntryAdded:
		if event.Entry.Level != log.LevelVerbose {
			b.complaints = append(b.complaints, event.Entry.Text)
		}
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, event.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if event.Type == runtime.APITypeError {
			b.complaints = append(b.complaints, "console.error: "+describeArgs(event.Args))
		}
	}
}

// describeArgs returns what a page has written to the console.
func describeArgs(args []*runtime.RemoteObject) string {
	var parts []string
	for _, arg := range args {
		parts = append(parts, string(arg.Value)+arg.Description)
	}
	return strings.Join(parts, " ")
}

// check reports complaints, and requests that left the origin of base.
func (b *browser) check(t *testing.T, base string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, complaint := range b.complaints {
		t.Errorf("the browser complains: %s", complaint)
	}
	outside := slices.DeleteFunc(slices.Clone(b.requests), func(request string) bool {
		u, err := url.Parse(request)
		return err == nil && (u.Scheme == "data" || strings.HasPrefix(request, base+"/"))
	})
	if len(outside) > 0 || len(b.requests) == 0 {
		t.Errorf("of %d requests these left the origin: %q", len(b.requests), outside)
	}
}

// forget drops complaints about answers whose status begins with some digits, which a test wants.
func (b *browser) forget(status string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = slices.DeleteFunc(b.complaints, func(complaint string) bool {
		return strings.HasPrefix(complaint, "Failed to load resource: the server responded with a status of "+status)
	})
}

// waitForText waits until an element shows a text.
func waitForText(selector, text string) chromedp.Action {
	return chromedp.PollFunction(`(selector, text) => document.querySelector(selector)?.innerText.includes(text)`, nil,
		chromedp.WithPollingArgs(selector, text), chromedp.WithPollingTimeout(patience))
}
