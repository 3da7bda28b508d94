package e2e

import (
	"crypto/rand"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPasswordOnStandardInput: a password that no terminal asks for is all of the standard
// input, but for one end of a line.
func TestPasswordOnStandardInput(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		input  string
		chosen string // "" if it is refused
	}{
		{"without a newline", nextPassword, nextPassword},
		{"with a newline", nextPassword + "\n", nextPassword},
		{"with \\r\\n", nextPassword + "\r\n", nextPassword},
		{"with blanks", "  sailing blanks \t\n", "  sailing blanks \t"},
		{"with a NUL", "sailing\x00further", "sailing\x00further"},
		{"in other alphabets", "größe-密码-🦊🦊\n", "größe-密码-🦊🦊"},
		{"of 8 characters", "8 ch 🦊🦊a", "8 ch 🦊🦊a"},
		{"of 16 KiB", strings.Repeat("🦊", 4096), strings.Repeat("🦊", 4096)},
		{"of 16 KiB and a newline", strings.Repeat("🐙", 4096) + "\n", strings.Repeat("🐙", 4096)},
		{"of 4,097 characters", strings.Repeat("a", 4097), ""},
		{"of 17 KiB", strings.Repeat("x", 17<<10), ""},
		{"of 16 KiB and two more", strings.Repeat("🦊", 4096) + "xx", ""},
		{"two newlines", nextPassword + "\n\n", ""},
		{"two lines", nextPassword + "\n" + nextPassword + "\n", ""},
		{"two lines of which the last has no end", nextPassword + "\nmore", ""},
		{"an empty first line", "\n" + nextPassword, ""},
		{"nothing", "", ""},
		{"a newline", "\n", ""},
		{"\\r\\n and nothing else", "\r\n", ""},
		{"invalid UTF-8", "sailing-\xff-further", ""},
		{"Latin-1", "sailing-gr\xf6\xdfe", ""},
		{"a surrogate", "sailing-\xed\xa0\x80-further", ""},
		{"half a character at the end", "sailing-further-\xf0\x9f\xa6", ""},
		{"of 7 characters", "7 chars\n", ""},
		{"a common one", "password123\n", ""},
	}
	p := inFile(t)
	s := p.startUnthrottled(t)
	for _, tt := range tests {
		p.checkChoice(t, s, tt.name, tt.chosen, func(t *testing.T, i invocation) {
			got := i.reading(tt.input).run(t)
			checkUnprinted(t, got, nextPassword, "sailing", "🦊", "xxx")
			if tt.chosen == "" {
				checkFailed(t, got, 1)
				return
			}
			checkDone(t, got)
		})
	}
}

// checkChoice runs add and passwd, in which choose types a password. Afterwards the user logs in
// with what was chosen. If it was refused, chosen is "", and nothing has changed.
func (p place) checkChoice(t *testing.T, s *server, what, chosen string, choose func(*testing.T, invocation)) {
	for _, verb := range []string{"add", "passwd"} {
		t.Run(verb+", "+what, func(t *testing.T) {
			name := verb + "-" + rand.Text()
			if verb == "passwd" {
				p.add(t, name)
			}
			choose(t, p.command("users", verb, name))
			if chosen != "" {
				checkPassword(t, s, name, chosen, true)
			}
			checkPassword(t, s, name, password, verb == "passwd" && chosen == "")
		})
	}
}

// TestStandardInputWithoutEnd: what is no password is not read for ever.
func TestStandardInputWithoutEnd(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.add(t, "alice")
	for _, path := range []string{"/dev/zero", "/dev/null"} {
		file, err := os.Open(path)
		if err != nil {
			skip(t, err.Error())
		}
		defer file.Close()
		for _, args := range [][]string{{"users", "passwd", "alice"}, {"users", "add", "bob"}} {
			i := p.command(args...)
			i.stdin = file
			j := i.begin(t)
			checkFailed(t, j.endWatched(t, 200), 1)
		}
	}
	closed := p.command("users", "passwd", "alice")
	closed.under = []string{"sh", "-c", `exec "$0" "$@" <&-`}
	checkFailed(t, closed.run(t), 1)
	checkPassword(t, p.startUnthrottled(t), "alice", password, true)
}

// TestInterruptedReading: a command that waits for its standard input ends when it is told to.
func TestInterruptedReading(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.add(t, "alice")
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			input, typist, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer typist.Close()
			defer input.Close()
			i := p.command("users", "passwd", "alice")
			i.stdin = input
			j := i.begin(t)
			typist.WriteString(nextPassword)
			waitFor(t, "the command to read", func() bool { return unread(t, input) == 0 || j.hasExited() })
			j.signal(sig)
			checkUnprinted(t, j.endBySignal(t), nextPassword)
		})
	}
	checkPassword(t, p.startUnthrottled(t), "alice", password, true)
}

// unread returns how many bytes are in a pipe.
func unread(t testing.TB, pipe *os.File) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		skip(t, "the request is that of Linux")
	}
	const fionread = 0x541b
	n, err := unix.IoctlGetInt(int(pipe.Fd()), fionread)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNoVariableIsAPassword: add and passwd take none from the environment.
func TestNoVariableIsAPassword(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	for _, name := range []string{"PASSWORD", "ADMIN_PASSWORD", "LATCHKEY_PASSWORD", "PASSWORD_FILE"} {
		i := p.command("users", "add", "alice")
		i.env = append(i.env, name+"="+nextPassword)
		got := i.run(t)
		checkFailed(t, got, 1)
		checkUnprinted(t, got, nextPassword)
	}
}
