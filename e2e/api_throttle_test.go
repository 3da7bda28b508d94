package e2e

import (
	"fmt"
	"io"
	"math/bits"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"latchkey/internal/pgtest"
)

// TestGuessesOfStrangers: many sources guess at one account, each once.
func TestGuessesOfStrangers(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	s := p.start(t, behindProxy()...)
	s.registerFrom(t, "Alice", home)
	s.register(t, "gone")
	s.signIn(t, "alice", from(home))
	p.change(t, "UPDATE users SET disabled = true WHERE username = 'gone'")
	for n, name := range []string{"alice", "nobody", "gone", strings.Repeat("n", 150), " no body ", "\u202eydobon"} {
		t.Run(fmt.Sprintf("%.9q", name), func(t *testing.T) {
			checkFree(t, 10, func(i int) answer { return s.guess(t, name, stranger(20*n+i)) })
		})
	}
	p.change(t, guessesOver)
	t.Run("in another case and width", func(t *testing.T) {
		for _, name := range []string{"ALICE", "ａｌｉｃｅ", "Nobody"} {
			checkThrottled(t, s.guess(t, name, stranger(200)), aDay)
		}
	})
	t.Run("nobody but the owner", func(t *testing.T) {
		checkThrottled(t, s.do(t, "POST", "/token", loginForm("alice"), formType, from(stranger(201))), aDay)
		checkThrottled(t, s.do(t, "POST", "/token", loginForm("alice"), formType), aDay)
		s.signIn(t, "alice", from(home))
	})
	t.Run("whose login at home changes nothing for others", func(t *testing.T) {
		for _, name := range []string{"alice", "nobody"} {
			checkThrottled(t, s.guess(t, name, stranger(202)), aDay)
		}
	})
	t.Run("whose login elsewhere ends the row", func(t *testing.T) {
		p.change(t, "UPDATE login_failures SET failures = 9")
		s.signIn(t, "alice", from(stranger(203)))
		checkFree(t, 10, func(i int) answer { return s.guess(t, "alice", stranger(300+i)) })
	})
}

// TestRefusalsTellNothing: what a guess is answered says nothing of whose name it is,
// neither in its bytes nor in their order.
func TestRefusalsTellNothing(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	s := p.start(t, behindProxy()...)
	s.register(t, "alice")
	s.register(t, "disabled")
	p.change(t, "UPDATE users SET disabled = true WHERE username = 'disabled'")
	n := 0
	login := func(form string) string {
		text, err := s.dial(t).rawLogin(form, stranger(n))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	compare := func(when, status string) {
		n++
		want := login(guessForm("nobody"))
		if !strings.HasPrefix(want, "HTTP/1.1 "+status) {
			t.Errorf("%s nobody got %q; want %s", when, want, status)
		}
		for _, form := range []string{guessForm("alice"), loginForm("disabled")} {
			if got := login(form); got != want {
				t.Errorf("%s, %s got\n%q; nobody got\n%q", when, form, got, want)
			}
		}
	}
	compare("at first", "401")
	p.change(t, "UPDATE login_failures SET failures = 9")
	compare("at the tenth guess", "401")
	p.change(t, guessesOver)
	compare("after a hundred", "429")
}

// aMoment is what two answers to the same request differ in.
var aMoment = regexp.MustCompile(`(?m)^(Date|X-Request-ID): .*\r\n`)

// rawLogin returns every byte of the answer to a login but those.
func (c *conn) rawLogin(form, address string) (string, error) {
	c.send(head("POST /token HTTP/1.1", "Host: h", formType, from(address), "Connection: close", contentLength(form)) + form)
	text, err := io.ReadAll(c.r)
	return aMoment.ReplaceAllString(string(text), ""), err
}

// besideTheOwner is who says to be at home, with this header.
var besideTheOwner = []struct {
	name     string
	header   string
	familiar bool
}{
	{"the address", from(home), true},
	{"the address as IPv6", from("::ffff:" + home), true},
	{"behind a trusted proxy", from(home + ", 127.0.0.1"), true},
	{"her network", from("2001:db8:1:2:ffff::1"), true},
	{"the network beside", from("2001:db8:1:3::7"), false},
	{"the address beside", from("198.51.100.8"), false},
	{"said by somebody else", from(home + ", 203.0.113.9"), false},
	{"in a header of its own", "X-Real-IP: " + home, false},
	{"in Forwarded", "Forwarded: for=" + home, false},
	{"no address", from("home"), false},
}

// TestGuessesBesideTheOwner: people who may share an address with alice, or pretend to,
// while strangers are shut out.
func TestGuessesBesideTheOwner(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	s := p.start(t, behindProxy()...)
	s.registerFrom(t, "alice", home)
	s.signIn(t, "alice", from("2001:db8:1:2::7"))
	shutOut := func() {
		s.guess(t, "alice", stranger(0))
		p.change(t, guessesOver)
	}
	for _, tt := range besideTheOwner {
		t.Run(tt.name, func(t *testing.T) {
			shutOut()
			a := s.do(t, "POST", "/token", loginForm("alice"), formType, tt.header)
			if tt.familiar {
				a.granted(t)
			} else {
				checkThrottled(t, a, aDay)
			}
		})
	}
	t.Run("wrong passwords at home", func(t *testing.T) {
		shutOut()
		for range 9 {
			checkThrottled(t, s.guess(t, "alice", home), aDay) // as strangers, who shall not see that she lives there
		}
		s.signIn(t, "alice", from(home))
		s.signIn(t, "alice", from("2001:db8:1:2::1"))
	})
}

// TestGuessesOfOneSource guesses at another name each time.
func TestGuessesOfOneSource(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		settings []string
		address  func(n int) string
	}{
		{"always the same", behindProxy(), func(int) string { return stranger(0) }},
		{"one network of IPv6", behindProxy(), func(n int) string { return fmt.Sprintf("2001:db8:1:2::%x", n+1) }},
		{"left-most hops that it makes up", behindProxy(), func(n int) string { return stranger(n) + ", 203.0.113.99" }},
		{"hops that it makes up, and nobody is trusted", nil, stranger},
		{"hops that it makes up, and others are trusted", []string{"TRUSTED_PROXIES=192.0.2.0/24"}, stranger},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := inMemory(t).start(t, tt.settings...)
			s.register(t, "alice")
			checkFree(t, 30, func(n int) answer { return s.guess(t, fmt.Sprintf("name%d", n), tt.address(n)) })
		})
	}
}

// TestForwardedWithoutProxy: who is not behind a proxy is where the connection comes
// from, whatever a header says.
func TestForwardedWithoutProxy(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	s := p.start(t)
	s.register(t, "alice")
	s.signIn(t, "alice", from(home))
	s.guess(t, "alice", stranger(0))
	p.change(t, guessesOver)
	s.signIn(t, "alice", from(stranger(1))) // the same place
	for n := range 9 {
		checkThrottled(t, s.guess(t, "alice", stranger(n)), aDay) // as if it were a strange one
	}
	s.signIn(t, "alice", from(stranger(2)))
}

// TestGuessesAtTheCurrentPassword: whoever has a token must not find out the password.
func TestGuessesAtTheCurrentPassword(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	try := func(current string) answer {
		return s.authorized(t, "POST", "/users/me/password", change(current, nextPassword), g.Access)
	}
	for range 10 {
		checkProblem(t, try(anotherWrong()), 400, "Incorrect password")
	}
	a := try(anotherWrong())
	for n := 1; a.StatusCode == 400 && n < 5; n++ { // a slow machine waits by itself
		a = try(anotherWrong())
	}
	checkThrottled(t, a, 16)
	if a.body != `{"detail":"Too Many Requests"}` {
		t.Errorf("got %s; want a detail alone", a.body)
	}
	checkMe(t, s.me(t, g.Access), "alice")
	checkGoesOn(t, s, g, "alice")
}

// testGuessesOutlive: a restart forgets no guess, and no source.
func testGuessesOutlive(t *testing.T, p place) {
	before := p.start(t, behindProxy()...)
	before.register(t, "alice")
	before.signIn(t, "alice", from(home))
	for n := range 6 {
		checkWrong(t, before.guess(t, "alice", stranger(n)))
		checkWrong(t, before.guess(t, "nobody", stranger(n)))
	}
	before.stop(t)

	after := p.start(t, behindProxy()...)
	for n, name := range []string{"alice", "nobody"} {
		checkFree(t, 4, func(i int) answer { return after.guess(t, name, stranger(20*n+i)) })
	}
	p.change(t, guessesOver)
	checkThrottled(t, after.do(t, "POST", "/token", loginForm("alice"), formType, from(stranger(1))), aDay)
	after.signIn(t, "alice", from(home))
}

// testGuessesShared: who guesses at one replica has guessed at the other.
func testGuessesShared(t *testing.T, p place) {
	replicas := []*server{p.start(t, behindProxy()...), p.start(t, behindProxy()...)}
	replicas[0].register(t, "alice")
	replicas[0].signIn(t, "alice", from(home))
	for i, name := range []string{"alice", "nobody"} {
		checkFree(t, 10, func(n int) answer { return replicas[n%2].guess(t, name, stranger(20*i+n)) })
	}
	p.change(t, guessesOver)
	for _, s := range replicas {
		checkThrottled(t, s.do(t, "POST", "/token", loginForm("alice"), formType, from(stranger(50))), aDay)
	}
	replicas[1].signIn(t, "alice", from(home)) // where only the first knows her from
}

// testGuessesAtOnce: 200 strangers guess at one account at two replicas at once.
func testGuessesAtOnce(t *testing.T, p place) {
	replicas := []*server{p.start(t, behindProxy()...), p.start(t, behindProxy()...)}
	replicas[0].register(t, "alice")
	for _, name := range []string{"alice", "nobody"} {
		begin := time.Now()
		wrong := 0
		for _, a := range guessAtOnce(t, 200, name, replicas) {
			switch a.StatusCode {
			case 401:
				checkWrong(t, a)
				wrong++
			case 503:
				checkUnavailable(t, a)
			default:
				checkThrottled(t, a, aDay)
			}
		}
		// Those under way when the last free one fails are slack: one for each core of
		// each replica; and so after each wait, of 1 s, 2 s, 4 s, that has gone by.
		slack := 2 * runtime.NumCPU() * (1 + bits.Len(uint(time.Since(begin).Seconds())))
		if wrong < 10 || wrong > 10+slack {
			t.Errorf("%s: %d guesses; want 10, and %d more at most", name, wrong, slack)
		}
		if n := p.number(t, "SELECT max(failures) FROM login_failures"); n != wrong {
			t.Errorf("%s: %d guesses were answered, and %d counted", name, wrong, n)
		}
		p.change(t, "DELETE FROM login_failures")
	}
}

// guessAtOnce guesses n times at one name, each time from another place.
func guessAtOnce(t testing.TB, n int, name string, servers []*server) []answer {
	t.Helper()
	return atOnce(t, n, func(i int) (answer, error) {
		return servers[i%len(servers)].try(t.Context(), "POST", "/token", guessForm(name), formType, from(stranger(i)))
	})
}

// testGuessedNames: people type their password where the name belongs. Neither the
// database nor the log knows what it was.
func testGuessedNames(t *testing.T, p place) {
	s := p.start(t)
	s.register(t, "alice")
	const typed = "Sesame-Open-5512"
	for _, name := range []string{typed, "alice", typed + "\n!"} {
		s.guess(t, name, home)
	}
	for _, name := range []string{typed, "alice"} {
		s.guess(t, name, home)
	}
	if n := p.number(t, "SELECT count(*) FROM login_failures WHERE length(account) = 43 AND account NOT LIKE '%=%'"); n != 3 {
		t.Errorf("%d accounts are a keyed hash; want 3", n)
	}
	if n := len(s.events(t, "authn_login_fail")); n != 5 {
		t.Errorf("%d failures in the log; want 5", n)
	}
	for _, secret := range []string{typed, strings.ToLower(typed), wrongPassword} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// TestGuessedNamesOnDisk looks for them in the files themselves.
func TestGuessedNamesOnDisk(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := startOn(t, path)
	s.register(t, "alice")
	for range 11 {
		s.guess(t, "Sesame-Open-5512", home)
	}
	s.stop(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"sesame-open", wrongPassword} {
		if strings.Contains(strings.ToLower(string(text)), secret) {
			t.Errorf("the file holds %q", secret)
		}
	}
	if !strings.Contains(string(text), "alice") {
		t.Error("the file does not even hold the names of users")
	}
}

// guessTests hold in every database.
var guessTests = map[string]func(*testing.T, place){
	"outlive a restart":         testGuessesOutlive,
	"shared by two servers":     testGuessesShared,
	"200 at once, two servers":  testGuessesAtOnce,
	"names that are nobody's":   testGuessedNames,
	"nobody has to wait at all": testThrottleOff,
}

func TestGuesses(t *testing.T) {
	t.Parallel()
	runEach(t, "", guessTests, inFile)
}

// testPostgresGuesses is TestGuesses on PostgreSQL.
func testPostgresGuesses(t *testing.T, c *pgtest.Cluster) {
	runEach(t, "", guessTests, inDatabaseOf(c))
}

// testThrottleOff: with THROTTLE=off nobody waits, and nothing is counted.
func testThrottleOff(t *testing.T, p place) {
	s := p.start(t, "THROTTLE=off")
	s.register(t, "alice")
	for n := range 50 {
		checkWrong(t, s.guess(t, []string{"alice", "nobody"}[n%2], home))
	}
	s.signIn(t, "alice")
	for _, a := range registerAtOnce(t, s, 130, func(int) string { return home }) {
		if a.StatusCode != 200 {
			checkUnavailable(t, a)
		}
	}
	if n := p.number(t, "SELECT (SELECT count(*) FROM login_failures) + (SELECT count(*) FROM login_sources)"); n != 0 {
		t.Errorf("%d rows about guesses; want none", n)
	}
}
