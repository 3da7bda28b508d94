package e2e

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"latchkey/internal/pgtest"
)

// A place is where one server after another keeps the same users.
type place struct {
	settings []string
	dialect  string // of the database, as a folder of migrations has it

	// number answers a query with the one number that it asks for, and change carries
	// out a statement. Both are nil if there is no database.
	number func(t testing.TB, query string) int
	change func(t testing.TB, statement string)
}

func inMemory(testing.TB) place { return place{settings: []string{"SECRET_KEY=" + aKey}} }

func inFile(t testing.TB) place {
	t.Helper()
	return inFileAt(newFile(t))
}

// inFileAt is the SQLite file at a path.
func inFileAt(path string) place {
	return place{
		settings: onFile(path),
		dialect:  "sqlite3",
		number: func(t testing.TB, query string) int {
			t.Helper()
			n, err := strconv.Atoi(ask(t, path, query))
			if err != nil {
				t.Fatal(err)
			}
			return n
		},
		change: func(t testing.TB, statement string) { carryOut(t, path, statement) },
	}
}

func inPostgres(t testing.TB, c *pgtest.Cluster) place {
	t.Helper()
	return placeAt(c.URL(newDatabase(t, c)))
}

// inDatabaseOf returns a function that makes a database of a server.
func inDatabaseOf(c *pgtest.Cluster) func(testing.TB) place {
	return func(t testing.TB) place { return inPostgres(t, c) }
}

// runEach runs tests side by side, each in a new place.
func runEach(t *testing.T, prefix string, tests map[string]func(*testing.T, place), newPlace func(testing.TB) place) {
	for name, test := range tests {
		t.Run(prefix+name, func(t *testing.T) { t.Parallel(); test(t, newPlace(t)) })
	}
}

// placeAt is the PostgreSQL database at a URL.
func placeAt(url string) place {
	return place{
		settings: keptIn(url),
		dialect:  "postgres",
		number:   func(t testing.TB, query string) int { return count(t, url, query) },
		change:   func(t testing.TB, statement string) { execute(t, url, statement) },
	}
}

func (p place) isDatabase() bool { return p.number != nil }

// with returns the settings of a server there, and any others.
func (p place) with(more ...string) []string { return slices.Concat(p.settings, more) }

// start starts a server there, which does not look for races: it has to hash much.
func (p place) start(t testing.TB, more ...string) *server {
	t.Helper()
	return startAs(t, invocation{env: p.with(more...), fast: true})
}

// checkGeneration reports a session, the only one, that has not moved on by so many
// steps.
func (p place) checkGeneration(t testing.TB, want int) {
	t.Helper()
	if !p.isDatabase() {
		return
	}
	if got := p.number(t, "SELECT generation FROM sessions"); got != want {
		t.Errorf("the database has generation %d; want %d", got, want)
	}
}

// sessionTests hold wherever the users are, and databaseTests where they outlive the
// server.
var (
	sessionTests = map[string]func(*testing.T, place){
		"many refresh one token":           testOneSuccessor,
		"many refresh it without grace":    testNoGrace,
		"theft":                            testTheft,
		"logout":                           testLogout,
		"list":                             testSessionList,
		"the end of all":                   testEndOfAll,
		"change of password":               testPasswordChange,
		"profile":                          testProfile,
		"deletion":                         testDeletion,
		"refresh beside a private key":     testRefreshByPrivateKey,
		"refresh tokens that are not good": testBadRefreshTokens,
	}
	databaseTests = map[string]func(*testing.T, place){
		"time":                          testSessionTimes,
		"restart":                       testSessionRestart,
		"rotation of the secret":        testSecretRotation,
		"the schema of version 1":       testUpgrade,
		"killed while clients refresh":  testKilledRefreshing,
		"another private key each time": testPrivateKeyReplaced,
		"a user who is disabled":        testDisabled,
		"two servers refresh at once":   testReplicaRefresh,
		"two servers and ends":          testReplicaEnds,
		"two servers and a theft":       testReplicaTheft,
		"two servers and races":         testReplicaRaces,
	}
)

func TestSessions(t *testing.T) {
	t.Parallel()
	runEach(t, "memory, ", sessionTests, inMemory)
	runEach(t, "SQLite, ", sessionTests, inFile)
	runEach(t, "SQLite, ", databaseTests, inFile)
}

// testPostgresSessions is TestSessions on PostgreSQL.
func testPostgresSessions(t *testing.T, c *pgtest.Cluster) {
	runEach(t, "", sessionTests, inDatabaseOf(c))
	runEach(t, "", databaseTests, inDatabaseOf(c))
}

// testOneSuccessor: of those who refresh one token at once all get the same
// successor, and so does who asks again because the answer was lost. The session
// moves on by one step.
func testOneSuccessor(t *testing.T, p place) {
	s := start(t, p.with("REFRESH_GRACE_SECONDS=60")...)
	s.register(t, "alice")
	first := s.signIn(t, "alice")
	answers := refreshAtOnce(t, 50, first.Refresh, s)
	answers = append(answers, s.refresh(t, first.Refresh))
	next := checkOneSuccessor(t, answers)
	p.checkGeneration(t, 1)
	for _, a := range answers[len(answers)-5:] {
		checkMe(t, s.me(t, a.token()), "alice")
	}
	checkMe(t, s.me(t, first.Access), "alice")
	checkGoesOn(t, s, next, "alice")
	p.checkGeneration(t, 2)
}

// testNoGrace: without a grace one of them gets a successor, which is worth nothing
// any more when the others have come.
func testNoGrace(t *testing.T, p place) {
	s := start(t, p.with("REFRESH_GRACE_SECONDS=0")...)
	s.register(t, "alice")
	first, elsewhere := s.signIn(t, "alice"), s.signIn(t, "alice")
	var successors []grant
	for _, a := range refreshAtOnce(t, 50, first.Refresh, s) {
		if a.StatusCode == 200 {
			successors = append(successors, a.granted(t))
			continue
		}
		checkStatus(t, a, 400)
	}
	if len(successors) != 1 {
		t.Fatalf("%d have got a successor; want 1", len(successors))
	}
	checkEnded(t, s, successors[0])
	checkEnded(t, s, first)
	checkGoesOn(t, s, elsewhere, "alice")
	if n := len(s.events(t, "authn_token_reuse")); n != 1 {
		t.Errorf("%d warnings of a theft; want 1", n)
	}
}

// testTheft: a refresh token that comes again when it should not ends its session,
// and nobody else's.
func testTheft(t *testing.T, p place) {
	tests := []struct {
		name, grace string
		chain       int // how many tokens the session has had
		replayed    int // which of them comes again
	}{
		{"the token before the last, without grace", "0", 2, 0},
		{"an old one of many, without grace", "0", 10, 3},
		{"the token before that before the last, with grace", "60", 3, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := p.start(t, "REFRESH_GRACE_SECONDS="+tt.grace)
			for _, name := range []string{"alice", "bob"} {
				s.do(t, "POST", "/users/", newUser(name, password), jsonType) // who may be there already
			}
			others, bob := s.signIn(t, "alice"), s.signIn(t, "bob")
			chain := []grant{s.signIn(t, "alice")}
			for len(chain) < tt.chain {
				chain = append(chain, checkGoesOn(t, s, chain[len(chain)-1], "alice"))
			}
			checkOAuthProblem(t, s.refresh(t, chain[tt.replayed].Refresh), "invalid_grant", "refresh token already used; the session has ended")
			for _, g := range chain {
				checkEnded(t, s, g)
			}
			checkGoesOn(t, s, others, "alice")
			checkGoesOn(t, s, bob, "bob")
			checkGoesOn(t, s, s.signIn(t, "alice"), "alice")
			checkTheftLogged(t, s)
		})
	}
}

// checkTheftLogged reports a log without one warning that somebody has stolen a
// token of alice.
func checkTheftLogged(t testing.TB, s *server) {
	t.Helper()
	thefts := s.events(t, "authn_token_reuse")
	if len(thefts) != 1 || thefts[0]["level"] != "WARN" || thefts[0]["username"] != "alice" {
		t.Errorf("the log has %v; want one warning about alice", thefts)
	}
}

// testRefreshByPrivateKey: it is the secret that refresh tokens are made with,
// whatever signs the access tokens.
func testRefreshByPrivateKey(t *testing.T, p place) {
	k := newKey(t, "ES256")
	s := p.start(t, k.settings(t)...)
	s.register(t, "alice")
	first := s.signIn(t, "alice")
	next := checkGoesOn(t, s, first, "alice")
	for _, g := range []grant{first, next} {
		checkHeader(t, g.Access, k)
	}
	s.revoke(t, first.Access)
	checkEnded(t, s, next)
}

// testBadRefreshTokens: what is no refresh token of this server is refused, and ends
// nothing.
func testBadRefreshTokens(t *testing.T, p place) {
	s := p.start(t)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	bad := spoilt(g.Refresh)
	bad["an access token"] = g.Access
	bad["a session's ID"] = s.current(t, g.Access).ID
	for name, token := range bad {
		t.Run(name, func(t *testing.T) {
			checkOAuthProblem(t, s.refresh(t, token), "invalid_grant", "refresh token not valid")
		})
	}
	form := "grant_type=refresh_token&refresh_token="
	for name, body := range map[string]string{
		"missing": "grant_type=refresh_token",
		"empty":   form,
		"twice":   form + g.Refresh + "&refresh_token=" + g.Refresh,
		"60 KiB":  form + strings.Repeat("A", 60<<10),
		"broken":  form + g.Refresh + "%zz",
	} {
		t.Run(name, func(t *testing.T) { checkOAuthCode(t, s.do(t, "POST", "/token", body, formType), "invalid_request") })
	}
	checkStatus(t, s.do(t, "POST", "/token?"+form+g.Refresh, "", formType), 422) // no form: a login without a name
	checkStatus(t, s.do(t, "POST", "/token", form+g.Refresh, "Content-Type: text/plain"), 422)
	checkGoesOn(t, s, g, "alice")
	p.checkGeneration(t, 1)
}

// spoilt returns texts that are almost a refresh token.
func spoilt(token string) map[string]string {
	return map[string]string{
		"cut off":                               token[:74],
		"one character more":                    token + "A",
		"doubled":                               token + token,
		"in capitals":                           strings.ToUpper(token),
		"with padding":                          token + "=",
		"with a newline":                        token + "\n",
		"with a newline for the last character": token[:74] + "\n",
		"with a space before it":                " " + token,
		"with a NUL behind it":                  token + "\x00",
		"a NUL":                                 "\x00",
		"75 other characters":                   strings.Repeat("A", 75),
		"75 of another alphabet":                strings.Repeat("+/", 37) + "+",
		"another first character of the ID":     changed(token, 0),
		"another character of the generation":   changed(token, 30),
		"another character of the MAC":          changed(token, 40),
		"another last character":                changed(token, 74),
	}
}

// changed returns text with another character at i.
func changed(text string, i int) string {
	other := "A"
	if text[i] == 'A' {
		other = "B"
	}
	return text[:i] + other + text[i+1:]
}
