package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
)

// readSection returns a section of a page of the documentation, from its heading to the
// next.
func readSection(t *testing.T, page, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../" + page)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut("\n#"+string(text), "\n## "+heading+"\n") // also the page's own
	if !found {
		t.Fatalf("%s has no section %s", page, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

// readBlock returns the first code of a language in a section of a page, changed to call addr.
func readBlock(t *testing.T, page, heading, language, addr string) string {
	t.Helper()
	return readBlocks(t, page, heading, language, addr)[0]
}

// readBlocks returns all of it. There is some.
func readBlocks(t *testing.T, page, heading, language, addr string) []string {
	t.Helper()
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(readSection(t, page, heading), -1) {
		blocks = append(blocks, strings.ReplaceAll(m[1], "localhost:8000", addr))
	}
	if blocks == nil {
		t.Fatalf("the section %s of %s has no block of %s", heading, page, language)
	}
	return blocks
}

// shell pastes lines into a shell, and returns what they print.
func shell(t *testing.T, lines ...string) string {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		skip(t, "there is no curl")
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", strings.Join(lines, "\n"))
	out, err := cmd.Output()
	if failure, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("%v\n%s%s", err, out, failure.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestReadmeCurl pastes the README's first curl lines into a shell.
func TestReadmeCurl(t *testing.T) {
	s := start(t)
	out := shell(t, readBlock(t, "README.md", "Try it", "sh", s.addr))
	user := `{"username":"testuser","email":"testuser@example.com","full_name":"Test User"}`
	if strings.Count(out, "HTTP/1.1 200 OK") != 2 || strings.Count(out, user) != 2 {
		t.Errorf("the lines print\n%s", out)
	}
}

// TestReadmeCurlSessions pastes those about sessions after them: they show one
// session, refresh and end another, and change the account.
func TestReadmeCurlSessions(t *testing.T) {
	s := start(t)
	before := readBlock(t, "README.md", "Try it", "sh", s.addr)
	out := shell(t, before, "echo AFTER", readBlock(t, "docs/sessions.md", "In a shell", "sh", s.addr))
	_, out, _ = strings.Cut(out, "AFTER")
	for text, want := range map[string]int{
		`"current":true`:      1,
		`"user_agent":"curl/`: 1,
		"HTTP/1.1 200 OK":     4,
		"HTTP/1.1 204 ":       1,
		`"full_name":null`:    1,
		`"refresh_token":"`:   1,
		"\r\n\r\n{}":          1,
	} {
		if n := strings.Count(out, text); n != want {
			t.Errorf("%q is there %d times; want %d; the lines print\n%s", text, n, want, out)
		}
	}
	for _, event := range []string{"session_renewed", "authn_token_revoked", "authn_password_change"} {
		if n := len(s.events(t, event)); n != 1 {
			t.Errorf("%s happened %d times; want once", event, n)
		}
	}
}

// TestReadmeCommands pastes the lines about users into a shell, where make build has left the
// program.
func TestReadmeCommands(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(fastProgram, filepath.Join(dir, "latchkey")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "password.txt"), []byte("correct horse battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ page, heading, want string }{
		{"README.md", "Users on the command line", "added \"ada\"\nNAME  EMAIL            SCOPES  CREATED           STATUS\nada   ada@example.com  admin   "},
		{"docs/commands.md", "Commands", ""},
	} {
		text := readBlock(t, tt.page, tt.heading, "sh", "")
		out := shell(t, "cd "+dir, "rm -f users.db*", "export DATABASE_URL=sqlite:users.db", text)
		if !strings.HasPrefix(out, tt.want) || !strings.Contains(out, "ada") {
			t.Errorf("%s: the lines print\n%s", tt.page, out)
		}
	}
}

// TestReadmeAdministration pastes the lines for administrators, and the feed of events.
func TestReadmeAdministration(t *testing.T) {
	const page = "docs/administration.md"
	dir := t.TempDir()
	if err := os.Symlink(program, filepath.Join(dir, "latchkey")); err != nil {
		t.Fatal(err)
	}
	db := "sqlite:" + filepath.Join(dir, "users.db")
	setUp := []string{"cd " + dir, "export DATABASE_URL=" + db}
	out := shell(t, append(setUp, readBlock(t, page, "The first administrator", "sh", ""))...)
	if out != "added \"root\"\n" {
		t.Fatalf("the first administrator: %s", out)
	}
	s := start(t, "DATABASE_URL="+db, "SECRET_KEY="+aKey)
	s.do(t, "POST", "/users/", `{"username":"kim","password":"correct horse battery"}`, jsonType)
	out = shell(t, readBlock(t, page, "The API", "sh", s.addr))
	for _, want := range []string{
		`{"users":[{"username":"kim","email":null,"full_name":null,"disabled":false,"scopes":[],"created_at":"`,
		`{"username":"kim","email":null,"full_name":null,"disabled":true,"scopes":[],"created_at":"`,
		`"event":"authn_account_disabled","username":"kim","actor":"root","ip":"127.0.0.1","user_agent":"curl/`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the lines print no %s:\n%s", want, out)
		}
	}
	events := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		events <- string(body)
	}))
	defer hook.Close()
	feed := exec.CommandContext(t.Context(), "sh", "-c", strings.Join(append(setUp, readBlock(t, page, "Events", "sh", "")), "\n"))
	feed.Env = append(os.Environ(), "HOOK="+hook.URL)
	feed.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := feed.Start(); err != nil {
		t.Fatal(err)
	}
	defer feed.Wait()
	defer syscall.Kill(-feed.Process.Pid, syscall.SIGKILL)
	for want := 1; want <= 5; want++ {
		if e := <-events; !strings.HasPrefix(e, fmt.Sprintf(`{"id":%d,`, want)) {
			t.Errorf("the hook gets %s; want event %d", e, want)
		}
	}
	s.do(t, "POST", "/token", "username=kim&password=wrong", formType)
	for e := range events {
		if strings.Contains(e, `"authn_login_fail","username":"kim"`) {
			break
		}
	}
}

// openOtherOrigin opens a page of another origin than the server's, whose testuser has
// the README's password.
func openOtherOrigin(t *testing.T) (*server, *browser) {
	t.Helper()
	s := start(t, "REFRESH_GRACE_SECONDS=60")
	s.do(t, "POST", "/users/", `{"username":"testuser","password":"correct horse battery"}`, jsonType)
	b := openBrowser(t)
	b.run(t, chromedp.Navigate(otherOrigin(t)))
	return s, b
}

// TestReadmeFetch runs the README's JavaScript on a page of another origin.
func TestReadmeFetch(t *testing.T) {
	s, b := openOtherOrigin(t)
	code := readBlock(t, "README.md", "Try it", "js", s.addr)
	code = regexp.MustCompile(`import (.*) from (".*");`).ReplaceAllString(code, "const $1 = await import($2);")
	code = strings.Replace(code, "console.log(await me.json())", "return (await me.json()).username", 1)
	if got := b.evaluate(t, code); got != `"testuser"` {
		t.Errorf("the page sees the user %s", got)
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

// TestDocumentedSettings: the table of docs/settings.md names what the program prints, and
// the README's nothing else.
func TestDocumentedSettings(t *testing.T) {
	help := invocation{args: []string{"-h"}}.run(t).stdout
	_, table, _ := strings.Cut(help, "MEANING\n")
	text, err := os.ReadFile("../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`(?m)^ *[A-Z][A-Z0-9_]+\b`).FindAllString(table, -1) {
		if !regexp.MustCompile("(?m)^\\|.*`" + strings.TrimSpace(name) + "`").Match(text) {
			t.Errorf("docs/settings.md has no row for %s", name)
		}
	}
	rows := string(text) + readSection(t, "README.md", "Settings")
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z][A-Z0-9_]+)`").FindAllStringSubmatch(rows, -1) {
		if !regexp.MustCompile(`(?m)^ *` + m[1] + `\b`).MatchString(table) {
			t.Errorf("the program does not read %s", m[1])
		}
	}
}
