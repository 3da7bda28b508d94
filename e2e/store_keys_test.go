package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/pgtest"
)

// testPostgresKeys is TestAPIKeys, and a ring, on PostgreSQL.
func testPostgresKeys(t *testing.T, c *pgtest.Cluster) {
	runEach(t, "", keyTests, inDatabaseOf(c))
	t.Run("a ring", func(t *testing.T) {
		t.Parallel()
		p := inPostgres(t, c)
		keys := p.fillRing(t, row{algorithm: "EdDSA", signs: -2 * time.Hour}, row{algorithm: "ES256", signs: -time.Hour}, row{algorithm: "ES256", signs: time.Hour})
		for range 2 {
			s := p.start(t, "ALGORITHM=ES256")
			checkSigns(t, s, keys[1])
			if got, want := s.kids(t), []string{keys[1].kid(t), keys[2].kid(t), keys[0].kid(t)}; !slices.Equal(got, want) {
				t.Errorf("the set is %q; want %q", got, want)
			}
			for _, k := range keys {
				checkMe(t, s.me(t, k.mintNamed(t, "alice")), "alice")
			}
		}
	})
}

// testKeysOutage: while the database is away, keys and metadata are there as before, and no token
// is called good or bad.
func testKeysOutage(t *testing.T, c *pgtest.Cluster) {
	away := startProxy(t, c.Port)
	settings := keptIn(through(away, newDatabase(t, c)), withRoot("ALGORITHM=ES256", "ISSUER="+anIssuer, "AUDIENCE=one")...)
	s := startAs(t, invocation{env: settings, fast: true})
	admin := s.logIn(t, root)
	s.register(t, "alice")
	alice := s.logIn(t, "alice")
	k := s.makeKey(t, admin, `{"name":"a","scope":"admin"}`)
	jwt := s.exchange(t, k).Access
	public := []string{jwksPath, oauthPath, openIDPath}
	var before []string
	for _, path := range public {
		before = append(before, s.do(t, "GET", path, "").body)
	}
	away.lead(1)
	away.breakAll()
	for _, token := range []string{alice, k.Key, jwt, admin} {
		checkOutage(t, promptly(t, func() answer { return s.me(t, token) }))
		checkOutage(t, promptly(t, func() answer { return s.verify(t, "/verify", token) }))
	}
	checkStatus(t, promptly(t, func() answer { return s.introspect(t, k.Key, alice) }), 503)
	checkStatus(t, promptly(t, func() answer { return s.do(t, "GET", "/verify", "", basic("", k.Key)) }), 503)
	checkStatus(t, promptly(t, func() answer { return s.do(t, "POST", "/token", credentials(k.ID, k.Key), formType) }), 503)
	unknown := newKey(t, "ES256").mintNamed(t, "alice")
	if a := promptly(t, func() answer { return s.me(t, unknown) }); a.StatusCode != 503 && a.StatusCode != 401 {
		t.Errorf("a kid that nobody knows: %d; want 401 or 503", a.StatusCode)
	}
	for i, path := range public {
		a := promptly(t, func() answer { return s.do(t, "GET", path, "") })
		checkPublic(t, a)
		if a.body != before[i] {
			t.Errorf("%s: %s; before the outage %s", path, a.body, before[i])
		}
	}
	away.lead(c.Port)
	recovers(t, s, alice, 10*time.Second)
	checkUseful(t, s, k.Key, alice)
	if a := s.verify(t, "/verify/admin", jwt); a.StatusCode != 200 {
		t.Errorf("after the outage: %d %s; want 200", a.StatusCode, a.body)
	}
}

// TestRotationUnderLoad: while a key takes over, every token that two replicas give verifies at
// both, and by the key set that a service fetched before.
func TestRotationUnderLoad(t *testing.T) {
	long(t)
	t.Parallel()
	p := inFile(t)
	p.fillRing(t, row{algorithm: "EdDSA", signs: -9 * day}, row{algorithm: "ES256", signs: -time.Hour})
	replicas := []*server{p.start(t, "ALGORITHM=ES256"), p.start(t, "ALGORITHM=ES256")}
	const until = 45 * time.Second // more than the 30 s after which each replica reads the ring
	checkDone(t, p.keysCommand("rotate", "-in", until.String()).run(t))
	next := p.row(t, 3)
	checkMe(t, replicas[0].me(t, next.mintNamed(t, "alice")), "alice")
	set := replicas[0].keySet(t)
	ctx, cancel := context.WithTimeout(t.Context(), until+15*time.Second)
	defer cancel()
	seen := make(map[string]int)
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			g := replicas[0].signIn(t, "alice")
			for ctx.Err() == nil {
				at, other := replicas[rand.IntN(2)], replicas[rand.IntN(2)]
				g = at.refresh(t, g.Refresh).granted(t)
				checkMe(t, other.me(t, g.Access), "alice")
				kid := kidOf(t, g.Access)
				i := slices.IndexFunc(set, func(j jwk) bool { return j.Kid == kid })
				if i < 0 || !set[i].verifies(t, g.Access) {
					t.Errorf("a token by %q does not verify by %+v", kid, set)
				}
				mu.Lock()
				seen[kid]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(seen) != 2 || seen[next.kid(t)] == 0 {
		t.Errorf("tokens are by %v; want two keys", seen)
	}
}

// TestRandomKids: who sends tokens with random names of keys neither makes the server read its
// ring each time, nor makes it remember them.
func TestRandomKids(t *testing.T) {
	long(t)
	t.Parallel()
	p := inFile(t)
	keys := p.fillRing(t, row{algorithm: "ES256", signs: -time.Hour})
	s := p.start(t, "ALGORITHM=ES256")
	g := s.signIn(t, "alice")
	stranger := newKey(t, "ES256")
	flood := func(n int) {
		atOnce(t, 8, func(int) (answer, error) {
			var a answer
			for range n / 8 {
				header := fmt.Sprintf(`{"alg":"ES256","kid":"%x"}`, rand.Uint64())
				token := jws(header, `"sub":"alice"`, func(string) []byte { return make([]byte, 64) })
				a, _ = s.try(t.Context(), "GET", "/users/me/", "", "Authorization: Bearer "+token)
				if a.StatusCode != 401 {
					t.Errorf("got %d; want 401", a.StatusCode)
				}
			}
			return a, nil
		})
	}
	flood(5_000)
	before := s.status(t, "VmRSS")
	begin := time.Now()
	flood(50_000)
	took := time.Since(begin)
	if grown := s.status(t, "VmRSS") - before; grown > 20<<10 {
		t.Errorf("50,000 names of keys take %d KiB", grown)
	}
	t.Logf("50,000 names of keys take %v", took)
	checkMe(t, s.me(t, g.Access), "alice")
	checkProblem(t, s.me(t, stranger.mintNamed(t, "alice")), 401, "Could not validate credentials")
	checkMe(t, s.me(t, keys[0].mintNamed(t, "alice")), "alice")
}

// TestRingTableGone: while the ring cannot be read, the last one that was read stays good, and a token
// of a key that may be new is no bad token.
func TestRingTableGone(t *testing.T) {
	long(t)
	t.Parallel()
	p := inFile(t)
	keys := p.fillRing(t, row{algorithm: "ES256", signs: -time.Hour})
	s := p.start(t, "ALGORITHM=ES256")
	p.change(t, "ALTER TABLE signing_keys RENAME TO mislaid")
	stranger := newKey(t, "ES256")
	for begin := time.Now(); time.Since(begin) < 12*time.Second; {
		if a := s.me(t, stranger.mintWith(t, fmt.Sprintf(`{"alg":"ES256","kid":"%x"}`, rand.Uint64()), `"sub":"alice"`)); a.StatusCode != 503 {
			t.Fatalf("got %d; want 503", a.StatusCode)
		}
		checkSigns(t, s, keys[0])
	}
	if n := strings.Count(s.log.String(), "cannot read the signing keys"); n != 1 {
		t.Errorf("the log says %d times in 12 seconds that the keys cannot be read; want once: %.2000s", n, s.log)
	}
	if n := strings.Count(s.log.String(), "no such table: signing_keys"); n == 0 {
		t.Errorf("no request failed for want of the table: %.2000s", s.log)
	}
	p.change(t, "ALTER TABLE mislaid RENAME TO signing_keys")
	next := p.addRow(t, 2, row{algorithm: "ES256", signs: time.Hour})
	waitFor(t, "the next key to be known", func() bool { return s.me(t, next.mintNamed(t, "alice")).StatusCode == 200 })
}
