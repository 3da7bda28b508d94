package e2e

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// readmeBlock returns the code of a language in the README, made to call addr.
func readmeBlock(t *testing.T, language, addr string) string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(readme)
	if m == nil {
		t.Fatalf("the README has no block of %s", language)
	}
	code := strings.ReplaceAll(string(m[1]), "localhost:8000", addr)
	if code == string(m[1]) {
		t.Fatalf("the block of %s calls nobody", language)
	}
	return code
}

// TestReadmeCurl pastes the README's curl lines into a shell.
func TestReadmeCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		skip(t, "there is no curl")
	}
	s := start(t)
	out, err := exec.CommandContext(t.Context(), "sh", "-ec", readmeBlock(t, "sh", s.addr)).Output()
	if err != nil {
		t.Fatal(err)
	}
	user := `{"username":"testuser","email":"testuser@example.com","full_name":"Test User"}`
	if strings.Count(string(out), "HTTP/1.1 200 OK") != 2 || strings.Count(string(out), user) != 2 {
		t.Errorf("the lines print\n%s", out)
	}
}

// TestReadmeFetch runs the README's JavaScript on a page of another origin.
func TestReadmeFetch(t *testing.T) {
	s := start(t)
	s.do(t, "POST", "/users/", `{"username":"testuser","password":"correct horse battery"}`, "Content-Type: application/json")
	b := openBrowser(t)
	var user string
	code := "(async () => {" + strings.Replace(readmeBlock(t, "js", s.addr), "console.log(await me.json())", "return (await me.json()).username", 1) + "})()"
	b.run(t,
		chromedp.Navigate(otherOrigin(t)),
		chromedp.Evaluate(code, &user, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	if user != "testuser" {
		t.Errorf("the page sees the user %q", user)
	}
}

// otherOrigin serves an empty page on localhost and returns its address.
func otherOrigin(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go http.Serve(ln, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return "http://localhost:" + port
}

// TestReadmeSettings: the README's table names what the program prints.
func TestReadmeSettings(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	help := invocation{args: []string{"-h"}}.run(t).stdout
	_, table, _ := strings.Cut(help, "VARIABLE ")
	for _, name := range regexp.MustCompile(`(?m)^[A-Z][A-Z0-9_]+ `).FindAllString(table, -1) {
		if !regexp.MustCompile("(?m)^\\|.*`" + strings.TrimSpace(name) + "`").Match(readme) {
			t.Errorf("the README's table has no %s", name)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z][A-Z0-9_]+)`").FindAllStringSubmatch(string(readme), -1) {
		if !strings.Contains(help, "\n"+m[1]+" ") {
			t.Errorf("nobody reads %s of the README's table", m[1])
		}
	}
}
