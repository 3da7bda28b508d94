package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

// A ringCase is a ring that a server finds, and what has to follow from it.
type ringCase struct {
	name     string
	rows     []row
	settings []string
	signs    int   // the generation that signs
	good     []int // the generations whose tokens are good
	set      []int // the generations in the key set, in their order
	rare     bool  // left to make test-long
}

// ringCases have rows whose last is of the algorithm that is configured, so that the server adds
// none by itself.
var ringCases = []ringCase{
	{"one key", []row{{algorithm: "ES256", signs: -time.Hour}}, nil, 1, []int{1}, []int{1}, true},
	{"a key that waits", []row{{algorithm: "ES256", signs: -time.Hour}, {algorithm: "ES256", signs: 30 * time.Minute}}, nil, 1, []int{1, 2}, []int{1, 2}, false},
	{"a key of another algorithm that waits", []row{{algorithm: "ES256", signs: -time.Hour}, {algorithm: "EdDSA", signs: time.Hour}}, nil, 1, []int{1, 2}, []int{1, 2}, true},
	{"a key that has just begun", []row{{algorithm: "ES256", signs: -3 * time.Hour}, {algorithm: "ES256", signs: -time.Second}}, nil, 2, []int{1, 2}, []int{2, 1}, false},
	{"a retired key in its last minute", []row{{algorithm: "ES256", signs: -2 * day}, {algorithm: "ES256", signs: time.Minute - day}}, nil, 2, []int{1, 2}, []int{2, 1}, true},
	{"a retired key after its last minute", []row{{algorithm: "ES256", signs: -2 * day}, {algorithm: "ES256", signs: -time.Minute - day}}, nil, 2, []int{2}, []int{2}, false},
	{"tokens of two days, and a key that retired yesterday", []row{{algorithm: "ES256", signs: -9 * day}, {algorithm: "ES256", signs: time.Minute - 2*day}},
		[]string{"ACCESS_TOKEN_EXPIRE_MINUTES=2880"}, 2, []int{1, 2}, []int{2, 1}, false},
	{"tokens of two days, and a key that retired before", []row{{algorithm: "ES256", signs: -9 * day}, {algorithm: "ES256", signs: -time.Minute - 2*day}},
		[]string{"ACCESS_TOKEN_EXPIRE_MINUTES=2880"}, 2, []int{2}, []int{2}, true},
	{"all at once", []row{{algorithm: "EdDSA", signs: -9 * day}, {algorithm: "ES256", signs: -2 * day}, {algorithm: "ES256", signs: -2 * time.Hour}, {algorithm: "EdDSA", signs: time.Hour}},
		nil, 3, []int{2, 3, 4}, []int{3, 4, 2}, false},
	{"a shared secret before", []row{{algorithm: "HS256", signs: -9 * day}, {algorithm: "ES256", signs: -time.Hour}}, nil, 2, []int{1, 2}, []int{2}, false},
	{"a shared secret two days ago", []row{{algorithm: "HS256", signs: -9 * day}, {algorithm: "ES256", signs: -2 * day}}, nil, 2, []int{2}, []int{2}, true},
	{"a shared secret until a key signs", []row{{algorithm: "HS256", signs: -9 * day}, {algorithm: "ES256", signs: time.Hour}}, nil, 1, []int{1, 2}, []int{2}, false},
	{"a shared secret again", []row{{algorithm: "ES256", signs: -9 * day}, {algorithm: "HS256", signs: -time.Hour}}, nil, 2, []int{1, 2}, []int{1}, false},
	{"a shared secret again, for two days", []row{{algorithm: "ES256", signs: -9 * day}, {algorithm: "HS256", signs: -2 * day}}, nil, 2, []int{2}, nil, true},
	{"a key that was known to others", []row{{algorithm: "ES256", signs: -9 * day}, {algorithm: "ES256", signs: -time.Second, revokes: true}}, nil, 2, []int{2}, []int{2}, false},
	{"a shared secret that was known to others", []row{{algorithm: "HS256", signs: -9 * day}, {algorithm: "ES256", signs: -time.Second, revokes: true}}, nil, 2, []int{2}, []int{2}, true},
	{"keys that were known to others, and one that came after", []row{{algorithm: "EdDSA", signs: -9 * day}, {algorithm: "ES256", signs: -2 * time.Hour}, {algorithm: "ES256", signs: -time.Hour, revokes: true}, {algorithm: "ES256", signs: -time.Second}},
		nil, 4, []int{3, 4}, []int{4, 3}, true},
	{"a key that waited when the others were known", []row{{algorithm: "ES256", signs: -9 * day}, {algorithm: "ES256", signs: time.Hour}, {algorithm: "ES256", signs: -time.Second, revokes: true}}, nil, 3, []int{3}, []int{3}, false},
	{"a key of a secret that is a fallback", []row{{algorithm: "ES256", signs: -2 * time.Hour, secret: olderSecret}, {algorithm: "ES256", signs: -time.Hour}},
		[]string{"SECRET_KEY_FALLBACKS=" + olderSecret}, 2, []int{1, 2}, []int{2, 1}, false},
	{"a key of a secret that nobody knows any more", []row{{algorithm: "ES256", signs: -2 * time.Hour, secret: olderSecret}, {algorithm: "ES256", signs: -time.Hour}}, nil, 2, []int{2}, []int{2}, false},
}

// olderSecret is one that was SECRET_KEY once.
const olderSecret = "0123456789abcdeffedcba98765432100123456789abcdeffedcba9876543210"

// TestRing: what a server signs with, believes and publishes follows from the ring in its store.
func TestRing(t *testing.T) {
	t.Parallel()
	for _, tt := range ringCases {
		t.Run(tt.name, func(t *testing.T) {
			if tt.rare {
				long(t)
			}
			t.Parallel()
			p := inFile(t)
			keys := p.fillRing(t, tt.rows...)
			s := p.start(t, append(tt.settings, "ALGORITHM="+tt.rows[len(tt.rows)-1].algorithm)...)
			checkSigns(t, s, keys[tt.signs-1])
			var set []string
			for _, generation := range tt.set {
				set = append(set, keys[generation-1].kid(t))
			}
			if got := s.kids(t); !slices.Equal(got, set) {
				t.Errorf("the set is %q; want the generations %v: %q", got, tt.set, set)
			}
			for i, k := range keys {
				if slices.Contains(tt.good, i+1) {
					checkMe(t, s.me(t, k.mintNamed(t, "alice")), "alice")
				} else {
					checkProblem(t, s.me(t, k.mintNamed(t, "alice")), 401, "Could not validate credentials")
					checkProblem(t, s.me(t, k.mint(t, "alice")), 401, "Could not validate credentials")
				}
			}
			checkMixed(t, s, keys)
			if n := p.number(t, "SELECT max(generation) FROM signing_keys"); n != len(tt.rows) {
				t.Errorf("%d generations; want %d: nothing is to be added", n, len(tt.rows))
			}
		})
	}
}

// checkMixed reports tokens that one key has signed by the name and the algorithm of another.
func checkMixed(t *testing.T, s *server, keys []key) {
	t.Helper()
	for _, signs := range keys {
		for _, named := range keys {
			if named.algorithm != signs.algorithm {
				checkProblem(t, s.me(t, signs.mintWith(t, named.header(t), `"sub":"alice"`)), 401, "Could not validate credentials")
			}
		}
	}
}

// TestRingClock: a key begins to sign, and another ends, at its time, without a restart and though
// nobody reads the ring anew.
func TestRingClock(t *testing.T) {
	long(t)
	t.Parallel()
	p := inFile(t)
	keys := p.fillRing(t, row{algorithm: "EdDSA", signs: -9 * day}, row{algorithm: "ES256", signs: 4*time.Second - day}, row{algorithm: "ES256", signs: 4 * time.Second})
	s := p.start(t, "ALGORITHM=ES256")
	before := s.logIn(t, "alice")
	if kid := kidOf(t, before); kid != keys[1].kid(t) {
		t.Fatalf("the first token is by %q; want %q, or this machine is slow", kid, keys[1].kid(t))
	}
	old := keys[0].mintNamed(t, "alice")
	checkMe(t, s.me(t, old), "alice") // from now on it is known to the server as good
	begin := time.Now()
	waitFor(t, "the last key to sign", func() bool { return kidOf(t, s.logIn(t, "alice")) == keys[2].kid(t) })
	waitFor(t, "the first key to end", func() bool { return s.me(t, old).StatusCode == 401 })
	if took := time.Since(begin); took > allow(6*time.Second) {
		t.Errorf("the change takes %v; want 4 s", took)
	}
	if got, want := s.kids(t), []string{keys[2].kid(t), keys[1].kid(t)}; !slices.Equal(got, want) {
		t.Errorf("the set is %q; want %q", got, want)
	}
	checkMe(t, s.me(t, before), "alice")
}

// TestRingLog: the log says when a key begins to sign, and ends, within the half minute after which
// the ring is read.
func TestRingLog(t *testing.T) {
	long(t)
	t.Parallel()
	p := inFile(t)
	p.fillRing(t, row{algorithm: "EdDSA", signs: -9 * day}, row{algorithm: "ES256", signs: 2*time.Second - day}, row{algorithm: "ES256", signs: 2 * time.Second})
	s := p.start(t, "ALGORITHM=ES256")
	for _, event := range []string{"signing_key_active", "signing_key_retired"} {
		waitFor(t, event, func() bool { return len(s.log.events(event)) > 0 })
		checkKidLogged(t, s, event)
	}
}

// aKid is the name of a key: a thumbprint of SHA-256.
var aKid = regexp.MustCompile(`(^|[^\w-])[\w-]{43}($|[^\w-])`)

// checkKidLogged reports an event of a key that is not in the log, or does not name the key.
func checkKidLogged(t testing.TB, s *server, event string) {
	t.Helper()
	lines := s.events(t, event)
	if len(lines) == 0 {
		t.Errorf("the log has no %s", event)
	}
	for _, line := range lines {
		if !aKid.MatchString(fmt.Sprint(line)) {
			t.Errorf("%v; want a kid in it", line)
		}
	}
}

// TestRingStarts: what a start adds to the ring by itself.
func TestRingStarts(t *testing.T) {
	t.Parallel()
	t.Run("a new store signs with its own key at once", func(t *testing.T) {
		t.Parallel()
		p := inFile(t)
		s := p.start(t, "ALGORITHM=ES256")
		s.register(t, "alice")
		if token := s.logIn(t, "alice"); kidOf(t, token) == "" || !s.keySet(t)[0].verifies(t, token) {
			t.Error("the first token is not by the first key")
		}
		checkKidLogged(t, s, "signing_key_added")
		checkProblem(t, s.me(t, key{algorithm: "HS256", secret: aKey}.mint(t, "alice")), 401, "Could not validate credentials")
	})
	t.Run("a store with users goes on with the shared secret for an hour", func(t *testing.T) {
		t.Parallel()
		p := inFile(t)
		old := p.start(t)
		old.register(t, "alice")
		g := old.signIn(t, "alice")
		old.stop(t)
		s := p.start(t, "ALGORITHM=ES256")
		checkMe(t, s.me(t, g.Access), "alice")
		checkSigns(t, s, key{algorithm: "HS256", secret: aKey})
		checkGoesOn(t, s, g, "alice")
		if set := s.kids(t); len(set) != 1 {
			t.Errorf("the set is %q; want the key that signs in an hour", set)
		}
		checkSoon(t, p, time.Hour)
	})
	t.Run("starts one after another add one generation", func(t *testing.T) {
		t.Parallel()
		p := inFile(t)
		p.fillRing(t, row{algorithm: "ES256", signs: -9 * day})
		for _, algorithm := range []string{"EdDSA", "EdDSA", "ES256", "EdDSA"} {
			s := p.start(t, "ALGORITHM="+algorithm)
			checkMe(t, s.me(t, s.logIn(t, "alice")), "alice")
			s.stop(t)
		}
		if n := p.number(t, "SELECT count(*) FROM signing_keys"); n != 2 {
			t.Errorf("%d generations; want 2: at most one an hour", n)
		}
		checkSoon(t, p, time.Hour)
	})
	t.Run("a new secret makes a new key, and the old one signs until then", func(t *testing.T) {
		t.Parallel()
		p := inFile(t)
		keys := p.fillRing(t, row{algorithm: "ES256", signs: -9 * day, secret: olderSecret})
		s := p.start(t, "ALGORITHM=ES256", "SECRET_KEY_FALLBACKS="+olderSecret)
		checkSigns(t, s, keys[0])
		if set := s.kids(t); len(set) != 2 || set[0] != keys[0].kid(t) {
			t.Errorf("the set is %q; want %q and another one", set, keys[0].kid(t))
		}
		checkSoon(t, p, time.Hour)
	})
	t.Run("ten starts at once add one generation", func(t *testing.T) {
		t.Parallel()
		p := inFile(t)
		p.fillRing(t, row{algorithm: "ES256", signs: -9 * day})
		var servers []*server
		for range 4 {
			servers = append(servers, launch(t, invocation{env: append([]string{"ADDR=localhost:0", "PBKDF2_ITERATIONS=100000"}, p.with("ALGORITHM=EdDSA")...), fast: true}))
		}
		var sets []string
		for _, s := range servers {
			s.awaitStart(t)
			sets = append(sets, fmt.Sprint(s.kids(t)))
		}
		if n := p.number(t, "SELECT count(*) FROM signing_keys"); n != 2 || len(slices.Compact(sets)) != 1 {
			t.Errorf("%d generations, the sets are %q; want 2 and one set", n, sets)
		}
	})
}

// checkSoon reports a last generation that does not begin to sign in this time.
func checkSoon(t testing.TB, p place, in time.Duration) {
	t.Helper()
	at := time.UnixMicro(int64(p.number(t, "SELECT signs_from FROM signing_keys ORDER BY generation DESC LIMIT 1")))
	if left := time.Until(at); left > in || left < in-patience {
		t.Errorf("the last key signs in %v; want %v", left, in)
	}
}

// TestRingBesideOwnKey: with a key of one's own neither the ring nor the secret signs anything, and
// without it again nothing of that key is left.
func TestRingBesideOwnKey(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	keys := p.fillRing(t, row{algorithm: "HS256", signs: -9 * day}, row{algorithm: "EdDSA", signs: -2 * day}, row{algorithm: "ES256", signs: time.Hour})
	own := newKey(t, "ES256")
	s := p.start(t, own.settings(t)...)
	checkSigns(t, s, own)
	if set := s.kids(t); set[0] != own.kid(t) {
		t.Errorf("the set is %q; want %q first", set, own.kid(t))
	}
	g := s.signIn(t, "alice")
	checkProblem(t, s.me(t, keys[0].mint(t, "alice")), 401, "Could not validate credentials")
	for _, k := range keys[1:] {
		if believed, published := s.me(t, k.mintNamed(t, "alice")).StatusCode == 200, slices.Contains(s.kids(t), k.kid(t)); believed != published {
			t.Errorf("a key of the ring is believed: %t, and published: %t; want both or neither", believed, published)
		}
	}
	s.stop(t)
	again := p.start(t, "ALGORITHM=ES256")
	checkProblem(t, again.me(t, g.Access), 401, "Could not validate credentials")
	if slices.Contains(again.kids(t), own.kid(t)) {
		t.Errorf("the set is %q; want nothing of a key that is gone", again.kids(t))
	}
	checkGoesOn(t, again, again.refresh(t, g.Refresh).granted(t), "alice")
}

// TestRingStranger: a replica with another secret takes nothing from the others, and gives them
// nothing to believe.
func TestRingStranger(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	keys := p.fillRing(t, row{algorithm: "ES256", signs: -9 * day})
	ours := p.start(t, "ALGORITHM=ES256")
	g := ours.signIn(t, "alice")
	stranger := startAs(t, invocation{env: p.with("ALGORITHM=ES256", "SECRET_KEY="+olderSecret), fast: true})
	checkProblem(t, stranger.me(t, g.Access), 401, "Could not validate credentials")
	theirs := stranger.logIn(t, "alice")
	checkMe(t, stranger.me(t, theirs), "alice")
	checkProblem(t, ours.me(t, theirs), 401, "Could not validate credentials")
	if slices.Contains(stranger.kids(t), keys[0].kid(t)) {
		t.Error("the stranger publishes our key")
	}
	for range 2 {
		ours.stop(t)
		ours = p.start(t, "ALGORITHM=ES256")
		checkMe(t, ours.me(t, g.Access), "alice")
		checkProblem(t, ours.me(t, theirs), 401, "Could not validate credentials")
		for _, kid := range stranger.kids(t) {
			if slices.Contains(ours.kids(t), kid) {
				t.Errorf("we publish the stranger's key %q", kid)
			}
		}
		if !strings.Contains(ours.log.String(), `"level":"WARN"`) {
			t.Errorf("nothing warns of the row: %.3000s", ours.log)
		}
	}
	if n := p.number(t, "SELECT count(*) FROM signing_keys"); n > 3 {
		t.Errorf("%d generations; want one of each start at most, and one an hour", n)
	}
}
