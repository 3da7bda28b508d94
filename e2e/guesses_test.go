package e2e

import (
	"fmt"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// wrongPassword is nobody's.
const wrongPassword = "foul-sailing-1437"

// behindProxy are the settings of a server to which X-Forwarded-For says who asks, for
// we are its proxy.
func behindProxy(more ...string) []string {
	return append([]string{"ADDR=127.0.0.1:0", "TRUSTED_PROXIES=127.0.0.1/32"}, more...)
}

// from says that a request comes from somewhere.
func from(address string) string { return "X-Forwarded-For: " + address }

// stranger is an address from which nobody has ever logged in, another for each n.
func stranger(n int) string { return fmt.Sprintf("203.0.%d.%d", 113+n/250, 1+n%250) }

// home is where alice lives.
const home = "198.51.100.7"

// guesses counts, so that each guess is another: the same again does not count.
var guesses atomic.Int64

// anotherWrong is a wrong password, another one each time.
func anotherWrong() string { return fmt.Sprint(wrongPassword, "-", guesses.Add(1)) }

func guessForm(username string) string {
	return url.Values{"username": {username}, "password": {anotherWrong()}}.Encode()
}

// guess tries a wrong password.
func (s *server) guess(t testing.TB, username, address string) answer {
	t.Helper()
	return s.do(t, "POST", "/token", guessForm(username), formType, from(address))
}

// checkWrong reports an answer to a guess that is not the usual refusal.
func checkWrong(t testing.TB, a answer) {
	t.Helper()
	checkProblem(t, a, 401, "Incorrect username or password")
}

// checkThrottled reports an answer that does not make the client wait, and for most
// seconds at most.
func checkThrottled(t testing.TB, a answer, most int) {
	t.Helper()
	checkProblem(t, a, 429, "Too Many Requests")
	if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || seconds < 1 || seconds > most {
		t.Errorf("Retry-After: %q; want 1 to %d", a.Header.Get("Retry-After"), most)
	}
}

// checkFree reports it if not so many guesses pass, and then one has to wait. Who takes
// longer than a second between two guesses has waited.
func checkFree(t testing.TB, want int, guess func(n int) answer) {
	t.Helper()
	last := time.Now()
	for n := range want + 5 {
		before := time.Now()
		a := guess(n)
		if a.StatusCode == 429 {
			if n < want {
				t.Errorf("guess %d has to wait; want %d that need not", n+1, want)
			}
			checkThrottled(t, a, 1<<max(0, n-want))
			return
		}
		checkWrong(t, a)
		if n >= want && time.Since(last) < time.Second {
			t.Errorf("guess %d need not wait; want %d that need not", n+1, want)
		}
		last = before
	}
	t.Errorf("no guess has to wait")
}

// aDay is for how many seconds strangers may not guess when they have used up all guesses.
const aDay = 86_400

// registerFrom makes a user who has registered at an address.
func (s *server) registerFrom(t testing.TB, username, address string) {
	t.Helper()
	if a := s.do(t, "POST", "/users/", newUser(username, password), jsonType, from(address)); a.StatusCode != 200 {
		t.Fatalf("POST /users/: %d %s", a.StatusCode, a.body)
	}
}

// guessesOver makes it as if the password of every name was guessed wrong so often that
// only its owner may go on: from then on the time does not matter.
const guessesOver = "UPDATE login_failures SET failures = 100"
