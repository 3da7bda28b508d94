package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// backup is a run of latchkey backup.
func backup(path, to string) invocation { return inFileAt(path).command("backup", to) }

// enlarge puts about this many megabytes into a database, so that a backup takes its time.
func enlarge(t testing.TB, path string, megabytes int) {
	t.Helper()
	carryOut(t, path, fmt.Sprintf(`
		INSERT INTO login_failures (account, failures, last_at)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		SELECT i || hex(zeroblob(2000)), 1, 4000000000000000 FROM n`, megabytes*250))
}

// awaitCopy waits until a backup has begun to write into a directory.
func awaitCopy(t testing.TB, j *job, dir string) {
	t.Helper()
	waitFor(t, "the copy", func() bool {
		files, err := filepath.Glob(filepath.Join(dir, ".latchkey-*"))
		if err != nil || j.hasExited() {
			t.Fatalf("%v; the backup has ended: %s%s", err, &j.stdout, &j.stderr)
		}
		return slices.ContainsFunc(files, func(file string) bool {
			info, err := os.Stat(file)
			return err == nil && info.Size() > 1<<20
		})
	})
}

// TestBackupBesideServer: a backup under load has everybody who was there when it began, with
// sessions that go on, and the server does not wait for it.
func TestBackupBesideServer(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	makeDatabase(t, path)
	enlarge(t, path, 20)
	s := inFileAt(path).startUnthrottled(t)
	c := newGuests()
	c.come(t, s)
	c.come(t, s)
	for range 2 {
		c.await(t, 10)
		past := c.soFar()
		dir := t.TempDir()
		to := filepath.Join(dir, "backup.db")
		begin := time.Now()
		j := backup(path, to).begin(t)
		awaitCopy(t, j, dir)
		c.await(t, 4) // meanwhile
		hadEnded := j.hasExited()
		got := j.end(t)
		checkDone(t, got)
		took, more := time.Since(begin), len(c.soFar().registered)-len(past.registered)
		t.Logf("%d registrations in %v; half way the backup had ended: %v", more, took, hadEnded)
		checkIntegrity(t, to)
		checkMode(t, to, 0o600)
		if n := ask(t, to, "SELECT count(*) FROM users"); !strings.HasPrefix(got.stdout, "backed up "+n+" users, ") {
			t.Errorf("%q; want %s users", got.stdout, n)
		}
		if left := filesIn(t, dir); !slices.Equal(left, []string{"backup.db"}) {
			t.Errorf("it leaves %q", left)
		}
		if there := inFileAt(to).list(t); len(there) < len(past.registered) {
			t.Errorf("users list has %d users; want at least %d", len(there), len(past.registered))
		}
		restored := startOn(t, to)
		past.checkMembers(t, restored, to)
	}
	c.disperse()
	if c.refused > 0 {
		t.Errorf("%d requests were refused during backups", c.refused)
	}
}

// TestBackupInterrupted: a backup that is interrupted leaves nothing behind, and can be repeated.
func TestBackupInterrupted(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	makeDatabase(t, path)
	enlarge(t, path, 40)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		dir := t.TempDir()
		j := backup(path, filepath.Join(dir, "backup.db")).begin(t)
		awaitCopy(t, j, dir)
		j.signal(sig)
		if got := j.end(t); got.code != 130 || got.stdout != "" || !strings.Contains(got.stderr, "interrupted") {
			t.Errorf("%v: exit code %d, %q, %q; want 130", sig, got.code, got.stdout, got.stderr)
		}
		checkNoFiles(t, dir)
	}
	if left := filesIn(t, filepath.Dir(path)); !slices.Equal(left, []string{"users.db"}) {
		t.Errorf("beside the database are %q", left)
	}
}

// TestBackupKilled: a backup that is killed is not there, and stands in the way of no other.
func TestBackupKilled(t *testing.T) {
	t.Parallel()
	path, dir := newFile(t), t.TempDir()
	makeDatabase(t, path)
	enlarge(t, path, 20)
	to := filepath.Join(dir, "backup.db")
	j := backup(path, to).begin(t)
	awaitCopy(t, j, dir)
	j.signal(syscall.SIGKILL)
	j.end(t)
	if left := filesIn(t, dir); slices.ContainsFunc(left, func(name string) bool { return !strings.HasPrefix(name, ".latchkey-") }) {
		t.Errorf("there are %q; want no backup", left)
	}
	checkDone(t, backup(path, to).run(t))
	checkIntegrity(t, to)
	checkIntegrity(t, path)
}

// TestBackupDiskFull: a disk without room for the copy is a failure that leaves nothing behind.
func TestBackupDiskFull(t *testing.T) {
	t.Parallel()
	needRoot(t, "mount", "umount")
	path, dir := newFile(t), t.TempDir()
	makeDatabase(t, path)
	enlarge(t, path, 10)
	mount(t, dir, "-t", "tmpfs", "-o", "size=4m", "tmpfs")
	got := backup(path, filepath.Join(dir, "backup.db")).run(t)
	checkFailed(t, got, 1, "the disk may be full")
	checkOneLine(t, got)
	checkNoFiles(t, dir)
	checkIntegrity(t, path)
}

// TestBackupByRoot: a backup by root leaves SQLite's files to the user of the server, who may
// start it meanwhile.
func TestBackupByRoot(t *testing.T) {
	t.Parallel()
	needRoot(t)
	path, dir := newFile(t), t.TempDir()
	makeDatabase(t, path)
	enlarge(t, path, 20)
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	j := backup(path, filepath.Join(dir, "backup.db")).begin(t)
	awaitCopy(t, j, dir)
	for _, suffix := range []string{"-wal", "-shm"} {
		if info, err := os.Stat(path + suffix); err == nil && info.Sys().(*syscall.Stat_t).Uid != 65534 {
			t.Errorf("%s belongs to %d; want the owner of the database", suffix, info.Sys().(*syscall.Stat_t).Uid)
		}
	}
	checkDone(t, j.end(t))
}

// TestBackupRestored pastes the lines of docs/operations.md into a shell: a server starts with the
// users of the backup, although the old file has left changes beside it.
func TestBackupRestored(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	dir := filepath.Dir(path)
	if err := os.Symlink(program, filepath.Join(dir, "latchkey")); err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(readSection(t, "docs/operations.md", "Databases"), 2)
	if len(blocks) != 2 || !strings.Contains(blocks[0][1], "backup") || !strings.Contains(blocks[1][1], "mv ") {
		t.Fatalf("docs/operations.md has %q; want how to back up, and how to restore", blocks)
	}
	s := startMortal(t, path)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	shell(t, "cd "+dir, blocks[0][1])
	s.register(t, "bob")
	s.kill(t)
	if left := filesIn(t, dir); !slices.Contains(left, "users.db-wal") {
		t.Fatalf("there are %q; want a -wal of before", left)
	}
	shell(t, "cd "+dir, blocks[1][1])
	checkMode(t, path, 0o600)
	checkIntegrity(t, path)
	restored := startOn(t, path)
	checkGoesOn(t, restored, g, "alice")
	checkPassword(t, restored, "bob", password, false)
}
