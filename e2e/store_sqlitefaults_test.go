package e2e

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

func checkIntegrity(t testing.TB, path string) {
	t.Helper()
	if verdict := ask(t, path, `PRAGMA integrity_check`); verdict != "ok" {
		t.Errorf("%s: %s", path, verdict)
	}
}

// startOn starts a server on a file.
func startOn(t testing.TB, path string) *server {
	t.Helper()
	return startAs(t, invocation{env: onFile(path), fast: true})
}

// startMortal starts a server that the test will kill.
func startMortal(t testing.TB, path string) *server {
	t.Helper()
	return launchAndWait(t, invocation{env: onFile(path), fast: true})
}

func (s *server) kill(t testing.TB) {
	t.Helper()
	s.signal(syscall.SIGKILL)
	s.exitCode(t)
}

// anyMoment waits for a time between two answers.
func anyMoment() { <-time.After(rand.N(20 * time.Millisecond)) }

func TestSQLiteKilled(t *testing.T) {
	long(t)
	t.Parallel()
	path := newFile(t)
	c := newGuests()
	for range 10 {
		s := startMortal(t, path)
		checkIntegrity(t, path)
		c.checkTokens(t, s)
		c.come(t, s)
		c.await(t, 1+rand.N(20))
		anyMoment()
		s.kill(t)
		c.members.Wait()
	}
	c.checkMembers(t, startOn(t, path), path)
	checkIntegrity(t, path)
}

// TestSQLiteTerminated stops a server that has much to do.
func TestSQLiteTerminated(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := startOn(t, path)
	c := newGuests()
	c.come(t, s)
	c.await(t, 8)
	if code := s.stop(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
	c.members.Wait()
	if got, want := filesIn(t, filepath.Dir(path)), []string{"users.db"}; !slices.Equal(got, want) {
		t.Errorf("it has left %q; want %q, with everything in it", got, want)
	}
	c.checkMembers(t, startOn(t, path), path)
	checkIntegrity(t, path)
}

// freeze stops all threads of a server where they are.
func (s *server) freeze(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" {
		skip(t, "only Linux shows the threads of a process")
	}
	s.signal(syscall.SIGSTOP)
	t.Cleanup(func() { s.signal(syscall.SIGCONT) }) // so that it can be stopped for good
	waitFor(t, "all threads to stop", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.cmd.Process.Pid))
		return err == nil && len(threads) > 0 && !slices.ContainsFunc(threads, isRunning)
	})
}

// isRunning reads /proc/PID/task/TID/stat (proc_pid_stat(5)): the state stands
// behind the name, which is in parentheses.
func isRunning(stat string) bool {
	text, err := os.ReadFile(stat)
	return err == nil && !strings.Contains(string(text), ") T ")
}

// TestSQLiteCopied copies the files of a server at any moment: what a crash of
// the process leaves. Frozen, for what is copied while it changes never was.
func TestSQLiteCopied(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := startAs(t, invocation{env: onFile(path, "THROTTLE=off"), fast: true}) // they are many
	c := newGuests()
	c.come(t, s)
	past := make(map[string]*guests) // by the copy in which they have to be
	for range 4 {
		c.await(t, 2+rand.N(20))
		anyMoment()
		s.freeze(t)
		twin := newFile(t)
		copyFile(t, path, twin)
		copyFile(t, path+"-wal", twin+"-wal")
		past[twin] = c.soFar()
		s.signal(syscall.SIGCONT)
	}
	c.disperse()
	for twin, c := range past {
		c.checkMembers(t, startOn(t, twin), twin)
		checkIntegrity(t, twin)
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, to, string(text))
}

// TestSQLitePowerCut takes away a disk, with all that was written but not yet
// synced: the file system forgets it as it would without power.
func TestSQLitePowerCut(t *testing.T) {
	t.Parallel()
	needRoot(t, "mkfs.ext4", "mount", "umount")
	image, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	command(t, "mkfs.ext4", "-q", image, "16m")
	path := filepath.Join(dir, "users.db")
	c := newGuests()
	for range 3 {
		mount(t, dir, "-o", "loop", image)
		s := startMortal(t, path)
		c.checkTokens(t, s)
		c.come(t, s)
		c.await(t, 4+rand.N(20))
		anyMoment()
		s.losePower(t, dir)
		c.members.Wait()
		command(t, "umount", dir)
	}
	mount(t, dir, "-o", "loop", image)
	c.checkMembers(t, startOn(t, path), path)
	checkIntegrity(t, path)
}

// losePower ends a server together with the file system in a folder, at one moment.
func (s *server) losePower(t testing.TB, dir string) {
	t.Helper()
	s.freeze(t)
	cutPower(t, dir)
	s.kill(t)
}

// cutPower shuts an ext4 file system down: nothing is written any more, not even
// its journal (EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH).
func cutPower(t testing.TB, dir string) {
	t.Helper()
	file, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const shutdown = 0x8004587d // _IOR('X', 125, __u32)
	noLogFlush := uint32(2)
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, file.Fd(), shutdown, uintptr(unsafe.Pointer(&noLogFlush)))
	if errno != 0 {
		t.Fatal(errno)
	}
}

// needRoot skips a test that only root can make, with these programs.
func needRoot(t testing.TB, tools ...string) {
	t.Helper()
	if os.Geteuid() != 0 || runtime.GOOS != "linux" {
		skip(t, "only root may mount and lock files, on Linux")
	}
	needTools(t, tools...)
}

// command runs a program that has to succeed.
func command(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// mount mounts at dir until the test ends, or until somebody unmounts it. Where
// even root may not, it skips the test.
func mount(t testing.TB, dir string, args ...string) {
	t.Helper()
	out, err := exec.Command("mount", append(args, dir)...).CombinedOutput()
	if err != nil {
		skip(t, fmt.Sprintf("cannot mount: %v: %s", err, out))
	}
	t.Cleanup(func() { exec.Command("umount", "--lazy", dir).Run() }) // fails if it is done already
}

// TestSQLiteDiskFull fills the disk under a server, and empties it again.
func TestSQLiteDiskFull(t *testing.T) {
	t.Parallel()
	needRoot(t, "mount", "umount")
	dir := t.TempDir()
	mount(t, dir, "-t", "tmpfs", "-o", "size=2m", "tmpfs")
	path, filler := filepath.Join(dir, "users.db"), filepath.Join(dir, "filler")
	s := startOn(t, path)
	s.register(t, "alice")
	alice := s.signIn(t, "alice")
	c := newGuests()
	c.come(t, s)
	c.await(t, 3)

	fill(t, filler)
	c.awaitRefusals(t, 3)
	c.disperse()
	checkReadsOnly(t, s, alice)
	checkLogged(t, s, "the disk may be full")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	checkRecovered(t, s, alice)
	c.checkTokens(t, s)
	s.stop(t)
	c.checkMembers(t, startOn(t, path), path)
	checkIntegrity(t, path)
}

// checkLogged reports a server whose errors do not say why.
func checkLogged(t testing.TB, s *server, cause string) {
	t.Helper()
	errs := s.log.events("request failed")
	if !slices.ContainsFunc(errs, func(e map[string]any) bool {
		return e["level"] == "ERROR" && strings.Contains(fmt.Sprint(e["err"]), cause)
	}) {
		t.Errorf("no error in the log says %q: %v", cause, errs)
	}
}

// fill writes a file until the disk takes no more.
func fill(t testing.TB, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = file.Write(page)
	}
}

// checkReadsOnly reports a server that is not as one should be whose file takes
// no writes: who is there already is served.
func checkReadsOnly(t testing.TB, s *server, alice grant) {
	t.Helper()
	checkUnavailable(t, s.do(t, "POST", "/users/", newUser("late", password), jsonType))
	checkUnavailable(t, s.do(t, "POST", "/token", loginForm("alice"), formType))
	checkUnavailable(t, s.refresh(t, alice.Refresh))
	checkUnavailable(t, s.do(t, "POST", "/revoke", "token="+alice.Access, formType))
	checkUnavailable(t, s.authorized(t, "PATCH", "/users/me/", `{"email":"a@example.org"}`, alice.Access))
	checkUnavailable(t, s.authorized(t, "POST", "/users/me/password", change(password, nextPassword), alice.Access))
	checkUnavailable(t, s.authorized(t, "DELETE", "/users/me/sessions/", "", alice.Access))
	checkUnavailable(t, s.authorized(t, "DELETE", "/users/me/", "", alice.Access))
	checkMe(t, s.me(t, alice.Access), "alice")
	if n := len(s.sessions(t, alice.Access)); n != 1 {
		t.Errorf("alice has %d sessions; want 1", n)
	}
	for _, path := range []string{"/readyz", "/livez"} {
		if a := s.do(t, "GET", path, ""); a.StatusCode != 200 {
			t.Errorf("%s: %d %s; want 200", path, a.StatusCode, a.body)
		}
	}
	// Who cannot be counted must not guess.
	checkUnavailable(t, s.do(t, "POST", "/token", "username=alice&password=wrong", formType))
}

func checkUnavailable(t testing.TB, a answer) {
	t.Helper()
	checkProblem(t, a, 503, "Service Unavailable")
	if after := a.Header.Get("Retry-After"); after != "1" {
		t.Errorf("Retry-After: %q; want 1", after)
	}
}

// checkRecovered reports a server that does not go on as if nothing had happened.
func checkRecovered(t testing.TB, s *server, alice grant) {
	t.Helper()
	s.register(t, "late") // which the failure has not left behind
	checkMe(t, s.me(t, s.logIn(t, "late")), "late")
	checkMe(t, s.me(t, s.logIn(t, "alice")), "alice")
	checkGoesOn(t, s, alice, "alice") // by the next generation, for the failure has made none
}

// TestSQLiteReadOnly makes the files of a server such that not even root can
// write to them.
func TestSQLiteReadOnly(t *testing.T) {
	t.Parallel()
	needRoot(t, "chattr")
	path := newFile(t)
	s := startOn(t, path)
	s.register(t, "alice")
	alice := s.signIn(t, "alice")

	t.Cleanup(func() { exec.Command("chattr", "-i", path, path+"-wal").Run() })
	if out, err := exec.Command("chattr", "+i", path, path+"-wal").CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("this file system cannot: %v: %s", err, out))
	}
	checkReadsOnly(t, s, alice)
	checkLogged(t, s, "the file read-only")
	command(t, "chattr", "-i", path, path+"-wal")
	checkRecovered(t, s, alice)
	checkIntegrity(t, path)
}

// TestSQLiteFileGone moves the file of a server away, and back.
func TestSQLiteFileGone(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := startOn(t, path)
	s.register(t, "alice")
	alice := s.signIn(t, "alice")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	checkUnavailable(t, s.do(t, "POST", "/users/", newUser("late", password), jsonType))
	checkUnavailable(t, s.do(t, "POST", "/token", loginForm("alice"), formType))
	checkUnavailable(t, s.refresh(t, alice.Refresh))
	checkUnavailable(t, s.me(t, alice.Access))
	if a := s.do(t, "GET", "/readyz", ""); a.StatusCode != 503 {
		t.Errorf("/readyz: %d %s; want 503", a.StatusCode, a.body)
	}
	waitFor(t, "a line about it", func() bool { return len(s.log.events("the database is lost")) > 0 })
	if err := os.Rename(path+".old", path); err != nil {
		t.Fatal(err)
	}
	checkMe(t, s.me(t, alice.Access), "alice")
	checkMe(t, s.me(t, s.logIn(t, "alice")), "alice")
	if a := s.do(t, "GET", "/readyz", ""); a.StatusCode != 200 {
		t.Errorf("/readyz: %d %s; want 200", a.StatusCode, a.body)
	}
	waitFor(t, "a line about its return", func() bool { return len(s.log.events("the database is back")) > 0 })
	if n := len(s.log.events("the database is lost")); n != 1 {
		t.Errorf("the log says %d times that it was lost; want once", n)
	}
}

// TestSQLiteLocked has another process write for long.
func TestSQLiteLocked(t *testing.T) {
	long(t)
	t.Parallel()
	for _, mode := range []string{"IMMEDIATE", "EXCLUSIVE"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			path := newFile(t)
			s := startOn(t, path)
			s.register(t, "alice")
			alice := s.signIn(t, "alice")

			other := openFile(t, path)
			tx(t, other, "BEGIN "+mode)
			begin := time.Now()
			checkReadsOnlyAtOnce(t, s, alice)
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("the answers took %v; want 5 s, or some more on a busy machine", took)
			}
			tx(t, other, "COMMIT")
			checkLogged(t, s, "database is locked")
			checkRecovered(t, s, alice)
		})
	}
}

// TestSQLiteStartsLate starts a server on a file to which another process writes for longer than a
// statement waits.
func TestSQLiteStartsLate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		make func(t *testing.T, path string)
	}{
		{"a file without tables", func(*testing.T, string) {}},
		{"a file without a signing key", func(t *testing.T, path string) {
			startOn(t, path).stop(t)
			carryOut(t, path, "DELETE FROM signing_keys")
		}},
		{"a file without a log of changes", func(t *testing.T, path string) {
			startOn(t, path).stop(t)
			carryOut(t, path, "PRAGMA journal_mode = delete")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := newFile(t)
			tt.make(t, path)
			other := openFile(t, path)
			tx(t, other, "BEGIN IMMEDIATE")
			s := launch(t, invocation{env: onFile(path, "ADDR=localhost:0", "PBKDF2_ITERATIONS=100000")})
			waitFor(t, "a line about waiting", func() bool { return len(s.log.events("waiting for the database")) > 0 })
			tx(t, other, "COMMIT")
			s.awaitStart(t)
			s.register(t, "alice")
			checkMe(t, s.me(t, s.logIn(t, "alice")), "alice")
			if n := len(s.log.events("waiting for the database")); n != 1 {
				t.Errorf("the log says %d times that it waits; want once", n)
			}
		})
	}
}

// tx begins or ends a transaction, or does something in it.
func tx(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// checkReadsOnlyAtOnce is checkReadsOnly where each write is refused only after
// seconds: they come together, and the reads do not wait for them.
func checkReadsOnlyAtOnce(t testing.TB, s *server, alice grant) {
	t.Helper()
	var writes sync.WaitGroup
	var waiting atomic.Int32
	for _, request := range [][]string{
		{"/users/", newUser("late", password), jsonType},
		{"/token", loginForm("alice"), formType},
		{"/token", refreshBody(alice.Refresh), formType},
		{"/revoke", "token=" + alice.Refresh, formType},
	} {
		waiting.Add(1)
		writes.Go(func() {
			defer waiting.Add(-1)
			a, err := s.try(t.Context(), "POST", request[0], request[1], request[2])
			if err != nil {
				t.Error(err)
				return
			}
			checkUnavailable(t, a)
		})
	}
	defer writes.Wait()
	reads := 0
	for ; waiting.Load() > 0; reads++ {
		checkMe(t, s.me(t, alice.Access), "alice")
		if a := s.do(t, "GET", "/readyz", ""); a.StatusCode != 200 {
			t.Errorf("/readyz: %d %s; want 200", a.StatusCode, a.body)
		}
	}
	if reads < 10 {
		t.Errorf("%d reads while the writes waited; want many", reads)
	}
}
