package e2e

import (
	"io"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// A terminal is a pseudo-terminal with a job on it, as in somebody's window.
type terminal struct {
	*job
	window, tty *os.File // our end, and that of the job
	screen      record   // what the window shows
	seen        int      // how much of it the user has answered
	before      *term.State
	shown       chan struct{} // closed when nothing more will come
}

// onTerminal starts the program. The streams, such as "stdin stderr", are the terminal.
func (i invocation) onTerminal(t testing.TB, streams string) *terminal {
	t.Helper()
	window, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	window = closable(t, window)
	c := &terminal{job: i.prepare(), window: window, tty: tty, shown: make(chan struct{})}
	c.before = c.state(t)
	c.connect(streams)
	go func() {
		io.Copy(&c.screen, window) // fails when nobody has the other end any more
		close(c.shown)
	}()
	t.Cleanup(func() {
		c.close()
		window.Close()
	})
	c.start(t)
	return c
}

// closable returns a copy of a file of which Close does not wait for a Read: pty.Open makes
// files that block.
func closable(t testing.TB, file *os.File) *os.File {
	t.Helper()
	defer file.Close()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), file.Name())
}

// connect makes the terminal the job's controlling terminal, and these streams of it.
func (c *terminal) connect(streams string) {
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if strings.Contains(streams, "stderr") {
		c.cmd.Stderr, c.cmd.SysProcAttr.Ctty = c.tty, 2
	}
	if strings.Contains(streams, "stdout") {
		c.cmd.Stdout, c.cmd.SysProcAttr.Ctty = c.tty, 1
	}
	if strings.Contains(streams, "stdin") {
		c.cmd.Stdin, c.cmd.SysProcAttr.Ctty = c.tty, 0
	}
}

// close waits until all that the job has written is on the screen.
func (c *terminal) close() {
	c.tty.Close() // fails if it is closed
	<-c.shown
}

// state returns the modes of the terminal, as tcgetattr does.
func (c *terminal) state(t testing.TB) *term.State {
	t.Helper()
	state, err := term.GetState(int(c.tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// isChanged reports whether the job has changed the modes, to switch the echo off.
func (c *terminal) isChanged(t testing.TB) bool {
	return !reflect.DeepEqual(c.state(t), c.before)
}

// isAsked reports whether the last line on the screen has no end, and is new.
func (c *terminal) isAsked() bool {
	text := c.screen.String()[c.seen:]
	return text != "" && !strings.HasSuffix(text, "\n")
}

// awaitSecret waits until the job asks for what is not to be seen, and reports whether it
// does so before it ends.
func (c *terminal) awaitSecret(t testing.TB) bool {
	t.Helper()
	waitFor(t, "a prompt without echo", func() bool { return c.hasExited() || c.isAsked() && c.isChanged(t) })
	return !c.hasExited()
}

// awaitText waits until the screen shows a text, in whatever case.
func (c *terminal) awaitText(t testing.TB, text string) {
	t.Helper()
	waitFor(t, "the terminal to show "+text, func() bool {
		return c.hasExited() || strings.Contains(strings.ToLower(c.screen.String()), text)
	})
}

// press sends keys.
func (c *terminal) press(t testing.TB, keys string) {
	t.Helper()
	c.seen = len(c.screen.String())
	if _, err := io.WriteString(c.window, keys); err != nil {
		t.Fatal(err)
	}
}

// enterSecrets answers the prompts, one after the other, as long as there are any.
func (c *terminal) enterSecrets(t testing.TB, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if !c.awaitSecret(t) {
			return
		}
		c.press(t, secret+"\r")
	}
}

// finish waits for the job to end, and checks that the terminal is as it was. What the
// screen shows is added to the standard error.
func (c *terminal) finish(t testing.TB) outcome {
	t.Helper()
	return c.finished(t, c.end(t))
}

// finishBySignal is finish for a job that has been interrupted.
func (c *terminal) finishBySignal(t testing.TB) outcome {
	t.Helper()
	return c.finished(t, c.endBySignal(t))
}

func (c *terminal) finished(t testing.TB, got outcome) outcome {
	t.Helper()
	if c.isChanged(t) {
		t.Errorf("the modes of the terminal are not restored: %+v; want %+v", c.state(t), c.before)
	}
	c.close()
	got.stderr += c.screen.String()
	return got
}

// Ctrl-C, -D and -U, as a keyboard sends them.
const (
	ctrlC = "\x03"
	ctrlD = "\x04"
	ctrlU = "\x15"
)
