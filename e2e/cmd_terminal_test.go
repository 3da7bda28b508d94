package e2e

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// logInBy logs a user in with a password.
func (s *server) logInBy(t testing.TB, username, password string) answer {
	t.Helper()
	form := url.Values{"username": {username}, "password": {password}}.Encode()
	return s.do(t, "POST", "/token", form, formType)
}

// checkPassword reports a user who cannot log in with a password, or can if it is wrong.
func checkPassword(t testing.TB, s *server, username, password string, right bool) {
	t.Helper()
	want := 401
	if right {
		want = 200
	}
	if a := s.logInBy(t, username, password); a.StatusCode != want {
		t.Errorf("a login with %.40q: %d %s; want %d", password, a.StatusCode, a.body, want)
	}
}

// startUnthrottled starts a server on a store. Its users may fail as often as they like.
func (p place) startUnthrottled(t testing.TB, more ...string) *server {
	t.Helper()
	more = append(more, "THROTTLE=off", "PBKDF2_ITERATIONS=100000")
	return p.start(t, more...)
}

// TestPasswordPrompt: add and passwd ask for a password twice, and do not show it.
func TestPasswordPrompt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		typed  []string
		chosen string // "" if it is refused
	}{
		{"the same twice", []string{nextPassword, nextPassword}, nextPassword},
		{"in other alphabets", []string{"größe-密码-🦊🦊", "größe-密码-🦊🦊"}, "größe-密码-🦊🦊"},
		{"with blanks at its ends", []string{"  sailing blanks ", "  sailing blanks "}, "  sailing blanks "},
		{"typed anew", []string{"a mistake" + ctrlU + nextPassword, nextPassword}, nextPassword},
		{"another at the second time", []string{nextPassword, nextPassword + "x"}, ""},
		{"another in its last blank", []string{nextPassword, nextPassword + " "}, ""},
		{"nothing at the second time", []string{nextPassword, ""}, ""},
		{"nothing", []string{"", ""}, ""},
		{"too short", []string{"7 chars", "7 chars"}, ""},
		{"a common one", []string{"password123", "password123"}, ""},
		{"an end of input", []string{ctrlD, ctrlD}, ""},
	}
	p := inFile(t)
	s := p.startUnthrottled(t)
	for _, tt := range tests {
		p.checkChoice(t, s, tt.name, tt.chosen, func(t *testing.T, i invocation) {
			c := i.onTerminal(t, "stdin stdout stderr")
			c.enterSecrets(t, tt.typed...)
			got := c.finish(t)
			if (got.code == 0) != (tt.chosen != "") {
				t.Errorf("exit code %d: %s", got.code, got.stderr)
			}
			for _, typed := range tt.typed {
				if len(typed) > 1 {
					checkUnprinted(t, got, typed)
				}
			}
		})
	}
}

// TestNameAsPassword: a user's password is not the name, in whatever case.
func TestNameAsPassword(t *testing.T) {
	t.Parallel()
	c := inFile(t).command("users", "add", "Alice Adams").onTerminal(t, "stdin stderr")
	c.enterSecrets(t, "alice adams", "alice adams")
	checkFailed(t, c.finish(t), 1)
}

// TestPromptInterrupted: whatever ends a command at its prompt, the terminal is as it was.
func TestPromptInterrupted(t *testing.T) {
	t.Parallel()
	kill := func(sig syscall.Signal) func(testing.TB, *terminal) {
		return func(_ testing.TB, c *terminal) { c.signal(sig) }
	}
	interruptions := []struct {
		name string
		end  func(testing.TB, *terminal)
	}{
		{"Ctrl-C", func(t testing.TB, c *terminal) { c.press(t, ctrlC) }},
		{"Ctrl-C in the middle of a word", func(t testing.TB, c *terminal) { c.press(t, "plain-sai"+ctrlC) }},
		{"SIGINT", kill(syscall.SIGINT)},
		{"SIGTERM", kill(syscall.SIGTERM)},
		{"SIGHUP", kill(syscall.SIGHUP)},
	}
	p := inFile(t)
	p.add(t, "alice")
	before := p.number(t, "SELECT length(password_hash) + count(*) FROM users")
	for _, tt := range interruptions {
		for prompt, typed := range [][]string{nil, {nextPassword}} {
			for _, args := range [][]string{{"users", "add", "bob"}, {"users", "passwd", "alice"}} {
				t.Run(fmt.Sprintf("%s, prompt %d of %s", tt.name, prompt+1, args[1]), func(t *testing.T) {
					c := p.command(args...).onTerminal(t, "stdin stdout stderr")
					c.enterSecrets(t, typed...)
					c.awaitSecret(t)
					tt.end(t, c)
					checkUnprinted(t, c.finishBySignal(t), nextPassword, "plain-sai")
				})
			}
		}
		t.Run(tt.name+", delete", func(t *testing.T) {
			c := p.command("users", "delete", "alice").onTerminal(t, "stdin stdout stderr")
			c.awaitText(t, "type the name")
			tt.end(t, c)
			c.finishBySignal(t)
		})
	}
	if after := p.number(t, "SELECT length(password_hash) + count(*) FROM users"); after != before {
		t.Error("an interrupted command has changed the users")
	}
	s := p.startUnthrottled(t)
	checkPassword(t, s, "alice", password, true)
	checkPassword(t, s, "bob", nextPassword, false)
}

// TestPromptWithoutWindow: a command ends when somebody closes the window in which it asks.
func TestPromptWithoutWindow(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.add(t, "alice")
	for _, verb := range []string{"passwd", "delete"} {
		c := p.command("users", verb, "alice").onTerminal(t, "stdin stdout stderr")
		waitFor(t, "a prompt", c.isAsked)
		c.window.Close()
		if got := c.end(t); got.code == 0 {
			t.Errorf("%s: exit code 0", verb)
		}
	}
	checkPassword(t, p.startUnthrottled(t), "alice", password, true)
}

// TestPromptNeedsItsTerminal: who types a password has to see what is asked.
func TestPromptNeedsItsTerminal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		streams string
		asks    bool
	}{
		{"stdin", false},
		{"stdin stdout", false},
		{"stdin stderr", true},
		{"stdin stdout stderr", true},
	}
	p := inFile(t)
	p.add(t, "alice")
	for _, args := range [][]string{{"users", "passwd", "alice"}, {"users", "add", "bob"}} {
		for _, tt := range tests {
			t.Run(args[1]+" with "+tt.streams, func(t *testing.T) {
				c := p.command(args...).onTerminal(t, tt.streams)
				if asks := c.awaitSecret(t); asks != tt.asks {
					t.Errorf("it asks: %v; want %v", asks, tt.asks)
				}
				if tt.asks {
					c.press(t, ctrlC)
					c.finishBySignal(t)
					return
				}
				if got := c.finish(t); got.code != 2 || got.stdout != "" {
					t.Errorf("exit code %d, %s%s; want 2", got.code, got.stdout, got.stderr)
				}
			})
		}
	}
}

// TestPasswordIsInNoProcess reads what every user of the machine may see of a process, and
// what only its owner may.
func TestPasswordIsInNoProcess(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.add(t, "alice")
	for _, args := range [][]string{{"users", "passwd", "alice"}, {"users", "add", "bob"}} {
		c := p.command(args...).onTerminal(t, "stdin stdout stderr")
		c.enterSecrets(t, nextPassword)
		if !c.awaitSecret(t) {
			t.Fatalf("%q does not ask twice: %s", args, c.finish(t).stderr)
		}
		for _, file := range []string{"cmdline", "environ"} {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", c.cmd.Process.Pid, file))
			if os.IsNotExist(err) {
				skip(t, "only Linux shows what a process was started with")
			}
			if err != nil || len(text) == 0 || strings.Contains(string(text), nextPassword) {
				t.Errorf("%s is %q, %v", file, text, err)
			}
		}
		c.press(t, nextPassword+"\r")
		if got := c.finish(t); got.code != 0 {
			t.Errorf("exit code %d: %s", got.code, got.stderr)
		}
	}
}

// TestDeletePrompt: delete wants the name once more.
func TestDeletePrompt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, typed string
		deleted     bool
	}{
		{"the name", "alice\r", true},
		{"the name, typed anew", "bob" + ctrlU + "alice\r", true},
		{"another name", "bob\r", false},
		{"the beginning of the name", "alic\r", false},
		{"yes", "yes\r", false},
		{"y", "y\r", false},
		{"nothing", "\r", false},
		{"an end of input", ctrlD, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := inFile(t)
			p.add(t, "alice")
			c := p.command("users", "delete", "alice").onTerminal(t, "stdin stdout stderr")
			c.awaitText(t, "type the name")
			c.press(t, tt.typed)
			got := c.finish(t)
			if (got.code == 0) != tt.deleted || (p.users(t) == 0) != tt.deleted {
				t.Errorf("exit code %d, %d users; want it deleted: %v", got.code, p.users(t), tt.deleted)
			}
		})
	}
}

// TestDeletePromptCounts: it says whom this logs out.
func TestDeletePromptCounts(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.add(t, "alice")
	s := p.start(t)
	s.signIn(t, "alice")
	s.signIn(t, "alice")
	c := p.command("users", "delete", "ALICE").onTerminal(t, "stdin stderr")
	c.awaitText(t, "type the name")
	if text := c.screen.String(); !strings.Contains(text, "alice") || !strings.Contains(text, "2 sessions") {
		t.Errorf("it asks %q; want the name as registered, and 2 sessions", text)
	}
	c.press(t, "alice\r")
	checkDone(t, c.finish(t))
}

// TestDeleteUnasked: -yes asks nothing, and where nobody can be asked it has to be there.
func TestDeleteUnasked(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.add(t, "alice")
	for _, typed := range []string{"", "alice\n", "yes\n"} {
		got := p.command("users", "delete", "alice").reading(typed).run(t)
		checkFailed(t, got, 2, "-yes")
	}
	if n := p.users(t); n != 1 {
		t.Fatalf("%d users; want alice", n)
	}
	c := p.command("users", "delete", "alice", "-yes").onTerminal(t, "stdin stdout stderr")
	checkDone(t, c.finish(t))
	if n := p.users(t); n != 0 {
		t.Errorf("%d users; want nobody", n)
	}
}

// TestExportToTerminal: a screen is no place for password hashes.
func TestExportToTerminal(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.add(t, "alice")
	for _, streams := range []string{"stdout", "stdin stdout stderr"} {
		got := p.command("users", "export").onTerminal(t, streams).finish(t)
		if got.code == 0 || !strings.Contains(got.stderr, "-o") {
			t.Errorf("exit code %d, %s; want a failure that says -o", got.code, got.stderr)
		}
		checkUnprinted(t, got, "pbkdf2", "alice")
	}
	file := filepath.Join(t.TempDir(), "users.jsonl")
	got := p.command("users", "export", "-o", file).onTerminal(t, "stdin stdout stderr").finish(t)
	checkDone(t, got)
	checkUnprinted(t, got, "pbkdf2")
	checkMode(t, file, 0o600)
}

// checkMode reports a file that others may open as well.
func checkMode(t testing.TB, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != want {
		t.Errorf("%s has mode %v; want %v", path, info.Mode(), want)
	}
}

// TestImportProgress: only a terminal shows a bar that is drawn again and again.
func TestImportProgress(t *testing.T) {
	t.Parallel()
	file := manyUsersFile(t, 20_000)
	redrawn := func(text string) bool { return strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r") }

	c := inFile(t).command("users", "import", file).onTerminal(t, "stderr")
	got := c.finish(t)
	checkDone(t, got)
	if !redrawn(got.stderr) {
		t.Errorf("no bar on the terminal: %q", got.stderr)
	}
	if strings.ContainsAny(got.stdout, "\r\x1b") || !hasCount(got.stdout, "added", 20_000) {
		t.Errorf("%q on standard output; want the result and nothing else", got.stdout)
	}

	got = inFile(t).command("users", "import", file).run(t)
	checkDone(t, got)
	if strings.ContainsAny(got.stderr+got.stdout, "\r\x1b") {
		t.Errorf("a bar without a terminal: %q", got.stderr)
	}
}

// TestImportTry: -try shows before anything is written whether the hashes are good.
func TestImportTry(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, user, typed string
		good              bool
	}{
		{"the right password", "alice", password, true},
		{"the right password, the name in capitals", "ALICE", password, true},
		{"a wrong password", "alice", nextPassword, false},
		{"nothing", "alice", "", false},
		{"a user without a hash", "bob", password, false},
		{"a user who is not in the file", "carol", password, false},
	}
	file := newUsersFile(t,
		userLine("alice", `"password_hash":"`+hashOf(100_000)+`"`),
		userLine("bob", `"password_hash":null`))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := inFile(t)
			makeDatabaseAt(t, p)
			c := p.command("users", "import", file, "-try", tt.user).onTerminal(t, "stdin stdout stderr")
			c.enterSecrets(t, tt.typed)
			got := c.finish(t)
			checkUnprinted(t, got, password, "pbkdf2-sha256$")
			want := 0
			if tt.good {
				want = 2
			}
			if n := p.users(t); (got.code == 0) != tt.good || n != want {
				t.Errorf("exit code %d and %d users; want %d: %s", got.code, n, want, got.stderr)
			}
		})
	}
}

// makeDatabaseAt makes the schema in a store.
func makeDatabaseAt(t testing.TB, p place) {
	t.Helper()
	p.start(t).stop(t)
}
