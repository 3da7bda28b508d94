package e2e

import (
	"crypto/x509"
	"encoding/pem"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// keysCommand is a run of keys on a store, with the secret and ES256.
func (p place) keysCommand(args ...string) invocation {
	i := p.command(append([]string{"keys"}, args...)...)
	i.env = append(i.env, "SECRET_KEY="+aKey, "ALGORITHM=ES256")
	return i
}

// TestKeysRotate: a rotation publishes a key that signs later, while the server runs.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	keys := p.fillRing(t, row{algorithm: "ES256", signs: -9 * day})
	s := p.start(t, "ALGORITHM=ES256")
	before := s.logIn(t, "alice")
	got := p.keysCommand("rotate").run(t)
	checkDone(t, got)
	checkSoon(t, p, time.Hour)
	checkUnprinted(t, got, aKey)
	next := p.row(t, 2)
	if !strings.Contains(got.stdout, next.kid(t)) {
		t.Errorf("it prints %q; want the kid %s", got.stdout, next.kid(t))
	}
	checkMe(t, s.me(t, next.mintNamed(t, "alice")), "alice") // a kid that the server does not know yet
	if set, want := s.kids(t), []string{keys[0].kid(t), next.kid(t)}; !slices.Equal(set, want) {
		t.Errorf("the set is %q; want %q", set, want)
	}
	checkSigns(t, s, keys[0])
	checkMe(t, s.me(t, before), "alice")

	checkFailed(t, p.keysCommand("rotate").run(t), 1, next.kid(t))
	checkFailed(t, p.keysCommand("rotate", "-in", "2h").run(t), 1)
	if n := p.number(t, "SELECT count(*) FROM signing_keys"); n != 2 {
		t.Errorf("%d generations; want 2", n)
	}
}

// row is the key of a generation in the store.
func (p place) row(t testing.TB, generation int) key {
	t.Helper()
	path := strings.TrimPrefix(urlOfFile(p), "sqlite:")
	where := " FROM signing_keys WHERE generation = " + string(rune('0'+generation))
	return derived(t, ask(t, path, "SELECT algorithm"+where), aKey, []byte(ask(t, path, "SELECT salt"+where)))
}

// urlOfFile is the setting of a store in a file.
func urlOfFile(p place) string {
	for _, setting := range p.settings {
		if url, ok := strings.CutPrefix(setting, "DATABASE_URL="); ok {
			return url
		}
	}
	return ""
}

// TestKeysCompromised: the old keys end at once where the ring is read, and nobody is logged out.
func TestKeysCompromised(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	keys := p.fillRing(t, row{algorithm: "HS256", signs: -9 * day}, row{algorithm: "ES256", signs: -time.Hour})
	s := p.start(t, "ALGORITHM=ES256")
	g := s.signIn(t, "alice")
	checkMe(t, s.me(t, g.Access), "alice") // the server remembers that it is good
	stolen := keys[1].mintNamed(t, "alice")
	checkMe(t, s.me(t, stolen), "alice")
	checkDone(t, p.keysCommand("rotate", "-compromised").run(t))
	next := p.row(t, 3)
	checkMe(t, s.me(t, next.mintNamed(t, "alice")), "alice") // so that the ring is read now
	for name, token := range map[string]string{"a token of the server": g.Access, "a forged token": stolen, "a token of the shared secret": keys[0].mint(t, "alice")} {
		t.Run(name, func(t *testing.T) { checkProblem(t, s.me(t, token), 401, "Could not validate credentials") })
	}
	if set := s.kids(t); !slices.Equal(set, []string{next.kid(t)}) {
		t.Errorf("the set is %q; want %q alone", set, next.kid(t))
	}
	g = s.refresh(t, g.Refresh).granted(t)
	if kidOf(t, g.Access) != next.kid(t) {
		t.Errorf("the next token is by %q; want %q", kidOf(t, g.Access), next.kid(t))
	}
	checkGoesOn(t, s, g, "alice")
}

// TestKeysCompromisedWhileOneWaits: a key that waits to sign is as old as the others.
func TestKeysCompromisedWhileOneWaits(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]row{"a key": {algorithm: "ES256", signs: -9 * day}, "the shared secret": {algorithm: "HS256", signs: -9 * day}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := inFile(t)
			keys := p.fillRing(t, first, row{algorithm: "ES256", signs: time.Hour})
			checkDone(t, p.keysCommand("rotate", "-compromised").run(t))
			next := p.row(t, 3)
			s := p.start(t, "ALGORITHM=ES256")
			checkSigns(t, s, next)
			for _, k := range keys {
				checkProblem(t, s.me(t, k.mintNamed(t, "alice")), 401, "Could not validate credentials")
			}
			if set := s.kids(t); !slices.Equal(set, []string{next.kid(t)}) {
				t.Errorf("the set is %q; want %q alone", set, next.kid(t))
			}
			checkDone(t, p.keysCommand("rotate", "-compromised").run(t)) // and once more, a moment later
			if n := p.number(t, "SELECT count(*) FROM signing_keys WHERE generation = 4 AND revokes_older"); n != 1 {
				t.Error("the second one in a row added nothing")
			}
		})
	}
}

// TestKeysRefused: what would leave services without a key is refused, and adds nothing.
func TestKeysRefused(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.fillRing(t, row{algorithm: "ES256", signs: -9 * day})
	withEnv := func(i invocation, env ...string) invocation {
		i.env = append(i.env, env...)
		return i
	}
	for name, run := range map[string]invocation{
		"with the shared secret":                             withEnv(p.keysCommand("rotate"), "ALGORITHM=HS256"),
		"with a key of one's own":                            withEnv(p.keysCommand("rotate"), "ALGORITHM=ES256", "PRIVATE_KEY="+pkcs8(t, newKey(t, "ES256").private)),
		"with an algorithm that the server makes no keys of": withEnv(p.keysCommand("rotate"), "ALGORITHM=RS256"),
		"an hour ago":                                        p.keysCommand("rotate", "-in", "-1h"),
		"in more than a year":                                p.keysCommand("rotate", "-in", "9600h"),
		"in 400d":                                            p.keysCommand("rotate", "-in", "400d"),
		"in no time":                                         p.keysCommand("rotate", "-in", "soon"),
		"in a number":                                        p.keysCommand("rotate", "-in", "5"),
		"now, and in an hour":                                p.keysCommand("rotate", "-compromised", "-in", "1h"),
		"with another word":                                  p.keysCommand("rotate", "now"),
		"an unknown command":                                 p.keysCommand("rotat"),
		"without a secret":                                   {args: []string{"keys", "rotate"}, env: append(p.command().env, "ALGORITHM=ES256"), fast: true},
		"without a store":                                    {args: []string{"keys", "rotate"}, env: []string{"SECRET_KEY=" + aKey, "ALGORITHM=ES256"}, fast: true},
		"a list in two forms":                                p.keysCommand("list", "-jwks", "-pem"),
	} {
		t.Run(name, func(t *testing.T) {
			got := run.run(t)
			if got.code != 1 && got.code != 2 || strings.TrimSpace(got.stderr) == "" {
				t.Errorf("exit code %d, %q; want a refusal that says why", got.code, got.stderr)
			}
			checkUnprinted(t, got, aKey)
		})
	}
	if n := p.number(t, "SELECT count(*) FROM signing_keys"); n != 1 {
		t.Fatalf("%d generations; want 1", n)
	}
	got := p.keysCommand("rotate", "-in", "5m").run(t)
	checkDone(t, got)
	if !strings.Contains(strings.ToLower(got.stderr), "warn") && !strings.Contains(got.stderr, "20 min") {
		t.Errorf("a rotation in 5 minutes says %q; want a warning", got.stderr)
	}
}

// TestKeysList: the list, and the two forms for services that read files, hold what the server
// publishes, and nothing secret.
func TestKeysList(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	keys := p.fillRing(t, row{algorithm: "EdDSA", signs: -2 * day}, row{algorithm: "ES256", signs: -2 * time.Hour}, row{algorithm: "ES256", signs: time.Hour})
	s := p.start(t, "ALGORITHM=ES256")
	table := p.keysCommand("list").run(t)
	checkDone(t, table)
	for i, state := range []string{"retiring", "signing", "next"} {
		ok := false
		for line := range strings.Lines(table.stdout) {
			ok = ok || strings.Contains(line, keys[i].kid(t)) && strings.Contains(line, state)
		}
		if !ok {
			t.Errorf("the list is %q; want a line with %s and %s", table.stdout, keys[i].kid(t), state)
		}
	}
	asJWKS := p.keysCommand("list", "-jwks").run(t)
	checkDone(t, asJWKS)
	if got, want := jwksIn(t, asJWKS.stdout), s.keySet(t); !reflect.DeepEqual(got, want) {
		t.Errorf("-jwks prints %+v; the server has %+v", got, want)
	}
	asPEM := p.keysCommand("list", "-pem").run(t)
	checkDone(t, asPEM)
	rest, kids := []byte(asPEM.stdout), []string(nil)
	for block, left := pem.Decode(rest); block != nil; block, left = pem.Decode(left) {
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if reflect.DeepEqual(public, any(k.private.Public())) {
				kids = append(kids, k.kid(t))
			}
		}
	}
	if want := s.kids(t); !slices.Equal(kids, want) {
		t.Errorf("-pem prints the keys %q; want %q: %s", kids, want, asPEM.stdout)
	}
	for _, got := range []outcome{table, asJWKS, asPEM} {
		checkUnprinted(t, got, aKey, "PRIVATE", `"d"`)
	}
}

// TestKeysKilled: a rotation that is killed has happened or has not, and the next one knows it.
func TestKeysKilled(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.fillRing(t, row{algorithm: "ES256", signs: -9 * day})
	for range 5 {
		j := p.keysCommand("rotate").begin(t)
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		j.signal(syscall.SIGKILL)
		j.end(t)
		n := p.number(t, "SELECT count(*) FROM signing_keys")
		got := p.keysCommand("rotate").run(t)
		if refused := got.code != 0; refused != (n == 2) || n > 2 {
			t.Errorf("there are %d generations, and the next rotation ends with %d: %s", n, got.code, got.stderr)
		}
		p.change(t, "DELETE FROM signing_keys WHERE generation > 1")
	}
	if ok := ask(t, strings.TrimPrefix(urlOfFile(p), "sqlite:"), "PRAGMA integrity_check"); ok != "ok" {
		t.Error(ok)
	}
}

// TestKeysAtOnce: of rotations at the same time one counts.
func TestKeysAtOnce(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	p.fillRing(t, row{algorithm: "ES256", signs: -9 * day})
	var jobs []*job
	for range 5 {
		jobs = append(jobs, p.keysCommand("rotate").begin(t))
	}
	done := 0
	for _, j := range jobs {
		if j.end(t).code == 0 {
			done++
		}
	}
	if n := p.number(t, "SELECT count(*) FROM signing_keys"); n != 2 || done != 1 {
		t.Errorf("%d of 5 rotations succeed, and there are %d generations; want one, and 2", done, n)
	}
}

// TestKeySettings: what stops a start, and what check warns of.
func TestKeySettings(t *testing.T) {
	t.Parallel()
	const issuer, audience = "ISSUER=" + anIssuer, "AUDIENCE=one"
	for _, tt := range []struct {
		name     string
		settings []string
		code     int
		words    []string // in what check says
	}{
		{"ES256, an issuer and an audience", []string{"ALGORITHM=ES256", issuer, audience}, 0, nil},
		{"HS256 and an issuer", []string{issuer, audience}, 0, []string{"HS256", "SECRET_KEY"}},
		{"an issuer without an audience", []string{"ALGORITHM=ES256", issuer}, 0, []string{"AUDIENCE"}},
		{"EdDSA", []string{"ALGORITHM=EdDSA", issuer, audience}, 0, []string{"EdDSA", "ES256"}},
		{"RS256 without a key", []string{"ALGORITHM=RS256"}, 2, []string{"PRIVATE_KEY", "RS256"}},
		{"ES384", []string{"ALGORITHM=ES384"}, 2, []string{"ALGORITHM"}},
		{"es256", []string{"ALGORITHM=es256x"}, 2, []string{"ALGORITHM"}},
		{"none", []string{"ALGORITHM=none"}, 2, []string{"ALGORITHM"}},
		{"ES256 and no secret in a database", []string{"ALGORITHM=ES256", "SECRET_KEY="}, 2, []string{"SECRET_KEY"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := invocation{args: []string{"check", "-addr", "localhost:0"}, env: inFile(t).with(tt.settings...), fast: true}.run(t)
			if got.code != tt.code {
				t.Errorf("exit code %d; want %d: %s", got.code, tt.code, got.stderr)
			}
			said := got.stderr
			if tt.code == 0 {
				said, _, _ = strings.Cut(got.stdout, "SETTING")
			}
			for _, word := range tt.words {
				if !strings.Contains(said, word) {
					t.Errorf("%q; want a word about %s", said, word)
				}
			}
			if warned := strings.Contains(said, "warning: "); tt.code == 0 && warned != (tt.words != nil) {
				t.Errorf("%q; want a warning: %t", said, tt.words != nil)
			}
		})
	}
}
