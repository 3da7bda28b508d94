package e2e

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/pgtest"
)

// aBatch divides the number of users that an import adds in one transaction, also beside others.
const aBatch = 500

// writeShortLines writes lines for users who have nothing but a name.
func writeShortLines(t testing.TB, file *os.File, n int) {
	t.Helper()
	w := bufio.NewWriter(file)
	for i := range n {
		fmt.Fprintf(w, `{"username":"%s","password_hash":null}`+"\n", manyName(i))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

// beginImport begins an import and waits until some users are in.
func (p place) beginImport(t testing.TB, file string) *job {
	t.Helper()
	j := p.command("users", "import", file).begin(t)
	waitFor(t, "the first batch", func() bool { return p.users(t) > 0 || j.hasExited() })
	return j
}

// checkCompleted repeats an import of n users, and reports a store that does not have each of
// them once.
func (p place) checkCompleted(t testing.TB, file string, n int) {
	t.Helper()
	there := p.users(t)
	got := p.command("users", "import", file).run(t)
	checkDone(t, got)
	checkCounts(t, got, n-there, there, 0)
	if all := p.number(t, "SELECT count(DISTINCT username) FROM users"); all != n || p.users(t) != n {
		t.Errorf("%d users, %d names; want %d", p.users(t), all, n)
	}
}

// testImportInterrupted: Ctrl-C lets the batch under way end, and says what to do.
func testImportInterrupted(t *testing.T, p place) {
	makeDatabaseAt(t, p)
	const n = 40_000
	file := manyUsersFile(t, n)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		p.change(t, "DELETE FROM users")
		j := p.beginImport(t, file)
		j.signal(sig)
		got := j.end(t)
		there := p.users(t)
		if got.code != 130 || there == n || there%aBatch != 0 {
			t.Errorf("%v: exit code %d and %d users; want 130 and some batches", sig, got.code, there)
		}
		if said := countOf(got.stdout+got.stderr, "added"); said != there {
			t.Errorf("it says that %d were added; want %d: %s%s", said, there, got.stdout, got.stderr)
		}
		if !strings.Contains(got.stdout+got.stderr, "again") {
			t.Errorf("%q does not say to run it again", got.stderr)
		}
	}
	p.checkCompleted(t, file, n)
}

// TestImportInterruptedReading: an import that waits for its input ends, and adds nothing.
func TestImportInterruptedReading(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	makeDatabaseAt(t, p)
	input, lines, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	defer input.Close()
	i := p.command("users", "import", "-")
	i.stdin = input
	j := i.begin(t)
	// More than a pipe holds: it is written when the import has begun to read.
	for n := range 5000 {
		fmt.Fprintln(lines, userLine(manyName(n)))
	}
	j.signal(syscall.SIGINT)
	j.endBySignal(t)
	if n := p.users(t); n != 0 {
		t.Errorf("%d users; want none", n)
	}
}

// testImportKilled: kill -9 leaves whole batches, and the next import goes on with the rest.
func testImportKilled(t *testing.T, p place) {
	makeDatabaseAt(t, p)
	n, times := 3*aBatch, 3
	if os.Getenv("LONG") != "" {
		n, times = 6*aBatch, 50
	}
	file := manyUsersFile(t, n)
	begin := time.Now()
	p.must(t, "users", "import", file)
	whole := time.Since(begin)
	p.change(t, "DELETE FROM users")
	for range times {
		j := p.command("users", "import", file).begin(t)
		<-time.After(rand.N(whole)) // any moment of an import
		j.signal(syscall.SIGKILL)
		<-j.exited
		there := p.users(t)
		if there%aBatch != 0 {
			t.Errorf("%d users; want whole batches", there)
		}
		if there == n {
			p.change(t, "DELETE FROM users")
		}
	}
	p.checkCompleted(t, file, n)
}

// TestImportDiskFull: a full disk ends an import, which says how many are in.
func TestImportDiskFull(t *testing.T) {
	t.Parallel()
	needRoot(t, "mount", "umount")
	dir := t.TempDir()
	mount(t, dir, "-t", "tmpfs", "-o", "size=5m", "tmpfs")
	p := inFileAt(filepath.Join(dir, "users.db"))
	makeDatabaseAt(t, p)
	const n = 20_000
	file := manyUsersFile(t, n)
	checkEndedHalfWay(t, p, p.command("users", "import", file).run(t), n)
	command(t, "mount", "-o", "remount,size=256m", dir)
	p.checkCompleted(t, file, n)
	checkIntegrity(t, filepath.Join(dir, "users.db"))
}

// checkEndedHalfWay reports an import that does not say how many users are in.
func checkEndedHalfWay(t testing.TB, p place, got outcome, n int) {
	t.Helper()
	there := p.users(t)
	said := countOf(got.stdout+got.stderr, "added")
	if got.code != 1 || there == n || there%aBatch != 0 {
		t.Errorf("exit code %d and %d users; want 1 and some batches: %s", got.code, there, got.stderr)
	}
	// The answer to the last commit may have been lost.
	if said != there && said != there-aBatch {
		t.Errorf("it says that %d were added; want %d: %s%s", said, there, got.stdout, got.stderr)
	}
}

// TestImportPostgresStopped stops PostgreSQL under an import.
func TestImportPostgresStopped(t *testing.T) {
	long(t)
	t.Parallel()
	c := startPostgres(t)
	for name, stop := range map[string]func() error{"stopped": c.Stop, "killed": c.Kill} {
		p := inPostgres(t, c)
		makeDatabaseAt(t, p)
		const n = 100_000
		file := manyUsersFile(t, n)
		j := p.beginImport(t, file)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		got := j.end(t)
		if err := c.Run(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %s%s", name, got.stdout, got.stderr)
		checkEndedHalfWay(t, p, got, n)
		p.checkCompleted(t, file, n)
	}
}

// testImportReadOnlyPostgres: where nothing can be written a dry run can be made.
func testImportReadOnlyPostgres(t *testing.T, c *pgtest.Cluster) {
	p := inPostgres(t, c)
	p.add(t, "alice")
	file := newUsersFile(t, userLine("alice"), userLine("bob"))
	p.change(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on',
		current_database()); END $$`)
	got := p.command("users", "import", file, "-dry-run").run(t)
	checkDone(t, got)
	checkCounts(t, got, 1, 1, 0)
	got = p.command("users", "import", file).run(t)
	if got.code != 1 || p.users(t) != 1 {
		t.Errorf("exit code %d and %d users; want 1 and 1", got.code, p.users(t))
	}
}

// TestImportBesideServer: while many come in, a server on the same SQLite file goes on.
func TestImportBesideServer(t *testing.T) {
	long(t)
	path := newFile(t)
	p := inFileAt(path)
	s := p.startUnthrottled(t)
	s.register(t, "alice")
	token := s.logIn(t, "alice")
	const n = 200_000
	j := p.command("users", "import", manyUsersFile(t, n)).begin(t)

	var all sync.WaitGroup
	var mu sync.Mutex
	var writes []time.Duration
	refused := 0
	send := func(method, path, body, contentType string) {
		begin := time.Now()
		a, err := s.try(t.Context(), method, path, body, contentType, "Authorization: Bearer "+token)
		mu.Lock()
		defer mu.Unlock()
		if method == "PATCH" {
			writes = append(writes, time.Since(begin))
		}
		if err != nil || a.StatusCode != 200 {
			refused++
		}
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := 0; !j.hasExited(); i++ {
		<-tick.C
		all.Go(func() { send("POST", "/token", loginForm("alice"), formType) })
		all.Go(func() { send("PATCH", "/users/me/", fmt.Sprintf(`{"full_name":"%d"}`, i), jsonType) })
	}
	all.Wait()
	checkDone(t, j.end(t))
	slices.Sort(writes)
	longest := writes[len(writes)-1]
	t.Logf("%d writes beside an import: median %v, longest %v", len(writes), writes[len(writes)/2], longest)
	if refused > 0 {
		t.Errorf("%d of %d requests were refused", refused, 2*len(writes))
	}
	if failed := s.log.events("request failed"); len(failed) > 0 {
		t.Errorf("the log has %d failures, of which the first is %v", len(failed), failed[0])
	}
	if got := p.users(t); got != n+1 {
		t.Errorf("%d users; want %d", got, n+1)
	}
}
