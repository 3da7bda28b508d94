package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// refreshers are 64 clients of one user, whose writes share commits. Each refreshes a session of its own
// over and over, and remembers the last answer.
type refreshers struct {
	leave   atomic.Bool
	clients sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	last    [64]grant
	served  int // answers 200
	refused int // answers 503
}

// newRefreshers signs alice in 64 times.
func newRefreshers(t testing.TB, s *server) *refreshers {
	t.Helper()
	s.register(t, "alice")
	c := new(refreshers)
	for i := range c.last {
		c.last[i] = s.signIn(t, "alice")
	}
	return c
}

// come starts all clients. They refresh until the server is gone or disperse is called.
func (c *refreshers) come(t testing.TB, s *server) {
	c.leave.Store(false)
	for i := range c.last {
		c.clients.Go(func() {
			for !c.leave.Load() && c.refresh(t, s, i) {
			}
		})
	}
	t.Cleanup(c.disperse)
}

// refresh refreshes the session of client i, and reports whether the client can go on.
func (c *refreshers) refresh(t testing.TB, s *server, i int) bool {
	a, err := s.try(t.Context(), "POST", "/token", refreshBody(c.last[i].Refresh), formType)
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch a.StatusCode {
	case 200:
		c.last[i] = a.granted(t)
		c.served++
	case 503:
		c.refused++
	default:
		t.Errorf("a refresh got %d %s; want 200, or 503 in need", a.StatusCode, a.body)
		return false
	}
	return true
}

// await waits until a count of answers has grown by more.
func (c *refreshers) await(t testing.TB, what string, kind *int, more int) {
	t.Helper()
	answers := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return *kind
	}
	enough := answers() + more
	waitFor(t, what, func() bool { return answers() >= enough })
}

// disperse stops all clients, and returns when each has its last answer.
func (c *refreshers) disperse() {
	c.leave.Store(true)
	c.clients.Wait()
}

// check reports sessions of which the server has lost a refresh that it has answered. A client whose last
// request was not answered gets the same next token again, whether that request was carried out or not.
func (c *refreshers) check(t testing.TB, s *server) {
	t.Helper()
	for i, g := range c.last {
		checkMe(t, s.me(t, g.Access), "alice")
		a := s.refresh(t, g.Refresh)
		if a.StatusCode != 200 {
			t.Errorf("client %d has generation %d, and gets %d %s", i, g.generation(t), a.StatusCode, a.body)
			continue
		}
		if c.last[i] = a.granted(t); c.last[i].generation(t) != g.generation(t)+1 {
			t.Errorf("client %d has generation %d, and gets %d", i, g.generation(t), c.last[i].generation(t))
		}
	}
}

// mortalForCrowd starts a server that the test will kill. Its grace is longer than the test, so that
// clients can repeat a refresh after the next start.
func mortalForCrowd(t testing.TB, path string) *server {
	t.Helper()
	return launchAndWait(t, invocation{env: onFile(path, "THROTTLE=off", "REFRESH_GRACE_SECONDS=300"), fast: true})
}

// TestSQLiteCrowdKilled kills a server while 64 clients refresh and others register.
func TestSQLiteCrowdKilled(t *testing.T) {
	long(t)
	t.Parallel()
	path := newFile(t)
	s := mortalForCrowd(t, path)
	refreshing, registering := newRefreshers(t, s), newGuests()
	for range 10 {
		refreshing.come(t, s)
		registering.come(t, s)
		refreshing.await(t, "refreshes", &refreshing.served, 200+rand.N(200))
		registering.await(t, 1+rand.N(3))
		anyMoment()
		s.kill(t)
		refreshing.clients.Wait()
		registering.members.Wait()
		s = mortalForCrowd(t, path)
		refreshing.check(t, s)
		registering.checkTokens(t, s)
	}
	registering.checkMembers(t, s, path)
	checkIntegrity(t, path)
}

// TestSQLiteCrowdPowerCut takes away the disk while 64 clients refresh.
func TestSQLiteCrowdPowerCut(t *testing.T) {
	long(t)
	t.Parallel()
	needRoot(t, "mkfs.ext4", "mount", "umount")
	image, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	command(t, "mkfs.ext4", "-q", image, "16m")
	path := filepath.Join(dir, "users.db")
	mount(t, dir, "-o", "loop", image)
	s := mortalForCrowd(t, path)
	c := newRefreshers(t, s)
	for range 5 {
		c.come(t, s)
		c.await(t, "refreshes", &c.served, 200+rand.N(200))
		anyMoment()
		s.losePower(t, dir)
		c.clients.Wait()
		command(t, "umount", dir)
		mount(t, dir, "-o", "loop", image)
		s = mortalForCrowd(t, path)
		c.check(t, s)
	}
	checkIntegrity(t, path)
	s.kill(t)
}

// TestSQLiteCrowdDiskFull fills the disk while 64 clients refresh, and empties it again, over and over. A
// reader sees to it that the writes need room: it keeps SQLite from writing from the beginning of the log
// of changes again, which takes none.
func TestSQLiteCrowdDiskFull(t *testing.T) {
	t.Parallel()
	needRoot(t, "mount", "umount")
	dir := t.TempDir()
	mount(t, dir, "-t", "tmpfs", "-o", "size=16m", "tmpfs") // the log of changes has 4 MB before SQLite begins it anew
	path, filler := filepath.Join(dir, "users.db"), filepath.Join(dir, "filler")
	s := mortalForCrowd(t, path)
	c := newRefreshers(t, s)
	reader := openFile(t, path)
	for range 3 {
		c.come(t, s)
		c.await(t, "refreshes", &c.served, 100)
		tx(t, reader, "BEGIN")
		tx(t, reader, "SELECT count(*) FROM users") // with which it really begins
		fill(t, filler)
		c.await(t, "refusals", &c.refused, 100)
		tx(t, reader, "COMMIT")
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		c.await(t, "refreshes", &c.served, 100)
		c.disperse()
		c.check(t, s)
	}
	s.kill(t)
	c.check(t, startAs(t, invocation{env: onFile(path, "REFRESH_GRACE_SECONDS=300"), fast: true}))
	checkIntegrity(t, path)
}
