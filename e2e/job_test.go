package e2e

import (
	"context"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A job is a run of the program that the test watches, and may interrupt.
type job struct {
	cmd            *exec.Cmd
	stdout, stderr record
	exited         chan struct{}
}

// begin starts the program and does not wait for its end.
func (i invocation) begin(t testing.TB) *job {
	t.Helper()
	j := i.prepare()
	j.start(t)
	return j
}

func (i invocation) prepare() *job {
	// Not t.Context(): the clean-up ends it.
	j := &job{cmd: i.command(context.Background()), exited: make(chan struct{})}
	j.cmd.Stdout, j.cmd.Stderr = &j.stdout, &j.stderr
	return j
}

func (j *job) start(t testing.TB) {
	t.Helper()
	if err := j.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		j.cmd.Wait() // its error is the exit code, which end reads
		close(j.exited)
	}()
	t.Cleanup(func() {
		j.signal(syscall.SIGKILL)
		<-j.exited
	})
}

func (j *job) signal(sig syscall.Signal) {
	j.cmd.Process.Signal(sig) // fails if the program has ended, which is as well
}

func (j *job) hasExited() bool {
	select {
	case <-j.exited:
		return true
	default:
		return false
	}
}

// end waits for the program to end. The code is -1 if a signal killed it.
func (j *job) end(t testing.TB) outcome {
	t.Helper()
	waitFor(t, "the command to end", j.hasExited)
	return outcome{j.cmd.ProcessState.ExitCode(), j.stdout.String(), j.stderr.String()}
}

// endBySignal is end for a program that was sent one of the signals with which people
// interrupt it. Its code is 130, or the signal has killed it.
func (j *job) endBySignal(t testing.TB) outcome {
	t.Helper()
	got := j.end(t)
	status, ok := j.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if got.code != 130 && (!ok || !status.Signaled()) {
		t.Errorf("exit code %d; want 130: %s", got.code, got.stderr)
	}
	return got
}

// endWatched is end for a program that may take long, and need at most so many megabytes of
// memory (Linux).
func (j *job) endWatched(t testing.TB, most float64) outcome {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ; !j.hasExited(); <-tick.C {
		if peak := peakOf(j.cmd.Process.Pid); peak > most {
			t.Errorf("it needs %.0f MB; want at most %.0f", peak, most)
			j.signal(syscall.SIGKILL)
			break
		}
	}
	return j.end(t)
}

// command is a run of a command on the store. It has no SECRET_KEY: only servers need one.
func (p place) command(args ...string) invocation {
	env := []string{"PBKDF2_ITERATIONS=100000"}
	for _, setting := range p.settings {
		if strings.HasPrefix(setting, "DATABASE_URL=") {
			env = append(env, setting)
		}
	}
	return invocation{args: args, env: env, fast: true}
}

// must runs a command on the store, which has to succeed, and returns its standard output.
func (p place) must(t testing.TB, args ...string) string {
	t.Helper()
	got := p.command(args...).run(t)
	checkDone(t, got)
	return got.stdout
}

// add adds a user, with flags such as "-scope", "admin".
func (p place) add(t testing.TB, username string, flags ...string) {
	t.Helper()
	args := append([]string{"users", "add", username}, flags...)
	checkDone(t, p.command(args...).reading(password).run(t))
}

// reading is the same run with this text as its standard input.
func (i invocation) reading(text string) invocation {
	i.stdin = strings.NewReader(text)
	return i
}

// users counts the users in a store.
func (p place) users(t testing.TB) int {
	t.Helper()
	return p.number(t, "SELECT count(*) FROM users")
}

// checkDone reports a command that has not succeeded.
func checkDone(t testing.TB, got outcome) {
	t.Helper()
	if got.code != 0 {
		t.Fatalf("exit code %d, %.2000s; want 0", got.code, got.stderr)
	}
}

// checkFailed reports a command that has not ended with this code, without a result, and
// with these words on its standard error.
func checkFailed(t testing.TB, got outcome, code int, words ...string) {
	t.Helper()
	if got.code != code {
		t.Errorf("exit code %d; want %d: %.2000s", got.code, code, got.stderr)
	}
	if got.stdout != "" {
		t.Errorf("a failure prints %.500q on standard output", got.stdout)
	}
	if strings.TrimSpace(got.stderr) == "" {
		t.Error("nothing says why")
	}
	for _, word := range words {
		if !strings.Contains(got.stderr, word) {
			t.Errorf("%.2000q does not say %q", got.stderr, word)
		}
	}
}

// checkOneLine reports a failure that is not said in one line beside the log.
func checkOneLine(t testing.TB, got outcome) {
	t.Helper()
	lines := 0
	for line := range strings.Lines(got.stderr) {
		if !strings.HasPrefix(line, "{") && !strings.HasPrefix(line, "level=") {
			lines++
		}
	}
	if lines != 1 || !strings.HasSuffix(got.stderr, "\n") {
		t.Errorf("%.2000q on standard error; want one line", got.stderr)
	}
}

// checkUnprinted reports a command that has printed what it must not.
func checkUnprinted(t testing.TB, got outcome, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(got.stdout+got.stderr, secret) {
			t.Errorf("%q is printed: %.500s%.500s", secret, got.stdout, got.stderr)
		}
	}
}
