package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Guests are people who register and log in, one after another in several lines,
// and remember what they were answered.
type guests struct {
	mu         sync.Mutex // guards the fields below
	asked      []string   // names sent
	registered []string   // names answered 200
	tokens     map[string]string
	refused    int // answers 503

	leave   atomic.Bool
	members sync.WaitGroup
}

// come makes three lines at a server, until it is gone or they are told to leave.
func (c *guests) come(t testing.TB, s *server) {
	visit := fmt.Sprintf("visitor-%06d", rand.N(1_000_000))
	for line := range 3 {
		c.members.Go(func() {
			for n := 0; !c.leave.Load() && c.serve(t, s, fmt.Sprintf("%s-%d-%d", visit, line, n)); n++ {
			}
		})
	}
	t.Cleanup(c.members.Wait)
}

// serve registers a name and logs it in, and reports whether the server is there.
func (c *guests) serve(t testing.TB, s *server, name string) bool {
	c.note(func() { c.asked = append(c.asked, name) })
	a, err := s.try(t.Context(), "POST", "/users/", newUser(name, password), jsonType)
	if err != nil || a.StatusCode != 200 {
		return c.served(t, a, err)
	}
	c.note(func() { c.registered = append(c.registered, name) })
	a, err = s.try(t.Context(), "POST", "/token", loginForm(name), formType)
	if err != nil || a.StatusCode != 200 {
		return c.served(t, a, err)
	}
	c.note(func() { c.tokens[name] = a.token() })
	return true
}

// served reports whether the server is there, of which a request had no success.
func (c *guests) served(t testing.TB, a answer, err error) bool {
	if err == nil && a.StatusCode != 503 {
		t.Errorf("got %d %s; want 200, or 503 in need", a.StatusCode, a.body)
	}
	c.note(func() { c.refused++ })
	return err == nil
}

func newGuests() *guests { return &guests{tokens: make(map[string]string)} }

func (c *guests) note(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// await waits for so many more successes.
func (c *guests) await(t testing.TB, more int) {
	t.Helper()
	successes := func() (n int) {
		c.note(func() { n = len(c.registered) + len(c.tokens) })
		return n
	}
	enough := successes() + more
	waitFor(t, "registrations and logins", func() bool { return successes() >= enough })
}

// awaitRefusals waits for so many more requests that have no success.
func (c *guests) awaitRefusals(t testing.TB, more int) {
	t.Helper()
	refusals := func() (n int) {
		c.note(func() { n = c.refused })
		return n
	}
	enough := refusals() + more
	waitFor(t, "refusals", func() bool { return refusals() >= enough })
}

// disperse waits until all have had their answer and are gone.
func (c *guests) disperse() {
	c.leave.Store(true)
	c.members.Wait()
}

// soFar returns what the guests has been answered up to now.
func (c *guests) soFar() *guests {
	past := newGuests()
	c.note(func() {
		past.asked, past.registered, past.tokens = slices.Clone(c.asked), slices.Clone(c.registered), maps.Clone(c.tokens)
	})
	return past
}

// checkMembers reports what a server has forgotten that the guests was told, and
// what it has done by half: who got no answer is either there or not.
func (c *guests) checkMembers(t testing.TB, s *server, path string) {
	t.Helper()
	c.checkTokens(t, s)
	there := strings.Split(ask(t, path, `SELECT ifnull(group_concat(username), '') FROM users`), ",")
	for _, name := range c.asked {
		known := slices.Contains(there, name)
		if slices.Contains(c.registered, name) {
			if !known {
				t.Errorf("%s was told to be registered, and is not there", name)
			}
			continue
		}
		if !known {
			s.register(t, name)
		}
		s.logIn(t, name)
	}
	someone := c.registered[len(c.registered)-1]
	checkProblem(t, s.do(t, "POST", "/users/", newUser(strings.ToUpper(someone), password), jsonType), 400, "Username already registered")
	s.logIn(t, someone)
}

// checkTokens reports tokens that a server does not know.
func (c *guests) checkTokens(t testing.TB, s *server) {
	t.Helper()
	for name, token := range c.tokens {
		checkMe(t, s.me(t, token), name)
	}
}
