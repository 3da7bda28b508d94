package main

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestStreakWait(t *testing.T) {
	for _, tt := range []struct {
		name     string
		failures int
		after    time.Duration // since the last one
		want     time.Duration
	}{
		{"none", 0, 0, 0},
		{"the last free one", 9, 0, 0},
		{"the first that is not free", 10, 0, time.Second},
		{"part of the wait is over", 10, 400 * time.Millisecond, 600 * time.Millisecond},
		{"the wait is over", 10, time.Second, 0},
		{"the next waits twice as long", 11, 0, 2 * time.Second},
		{"the last before the longest", 19, 0, 512 * time.Second},
		{"the longest", 20, 0, 15 * time.Minute},
		{"a second before it is over", 20, 15*time.Minute - time.Second, time.Second},
		{"it is over", 20, 15 * time.Minute, 0},
		{"many", 1 << 30, 0, 15 * time.Minute},
		{"many, a day ago", 1 << 30, failureMemory, 0},
		{"by a clock that is an hour ahead", 10, -time.Hour, time.Second},
	} {
		s := streak{tt.failures, testTime.Add(-tt.after)}
		if got := s.wait(testTime, freeFailures); got != tt.want {
			t.Errorf("%s: %v; want %v", tt.name, got, tt.want)
		}
	}
}

func TestSourceOf(t *testing.T) {
	for _, tt := range []struct{ ip, want string }{
		{"203.0.113.7", "203.0.113.7"},
		{"::ffff:203.0.113.7", "203.0.113.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"2001:db8:1:2::", "2001:db8:1:2::/64"},
		{"2001:db8:1:3::", "2001:db8:1:3::/64"},
		{"fe80::1%eth0", "fe80::/64"},
		{"::1", "::/64"},
		{"64:ff9b::203.0.113.7", "203.0.113.7"}, // NAT64
		{"64:ff9b::cb00:7108", "203.0.113.8"},
		{"64:ff9b::203.0.113.7%eth0", "203.0.113.7"},
		{"64:ff9b:0:0:0:1:203.0.113.7", "64:ff9b::/64"}, // not quite
		{"64:ff9b::10.0.0.7", "64:ff9b::a00:7"},         // must not pass for our own 10.0.0.7
		{"64:ff9b::127.0.0.1", "64:ff9b::7f00:1"},
		{"64:ff9b:1::203.0.113.7", "64:ff9b:1::cb00:7107"}, // local NAT64, of whatever prefix length
		{"64:ff9b:1:cb00:71:700::", "64:ff9b:1:cb00:71:700::"},
		{"64:ff9b:2::203.0.113.7", "64:ff9b:2::/64"},
		{"::ffff:0:203.0.113.7", "203.0.113.7"}, // stateless translation
		{"2002:cb00:7107::1", "203.0.113.7"},    // 6to4
		{"2002:cb00:7107:ffff:1:2:3:4", "203.0.113.7"},
		{"2002:cb00:7108::1", "203.0.113.8"},
		{"2002:c0a8:101::1", "2002:c0a8:101::/64"},
		{"2001:0:53aa:64c:0:fbfe:34ff:8ef8", "203.0.113.7"}, // Teredo
		{"2001:0:1:2:3:4:34ff:8ef8", "203.0.113.7"},         // by another server
		{"2001:0:53aa:64c:0:fbfe:f5ff:fff8", "2001:0:53aa:64c::/64"},
		{"2001:1::34ff:8ef8", "2001:1::/64"},
		{"no address", "no address"},
		{"", ""},
	} {
		if got := sourceOf(tt.ip); got != tt.want {
			t.Errorf("%q: %q; want %q", tt.ip, got, tt.want)
		}
	}
}

// throttled starts a server over each kind of store that throttles, and believes the
// source that a test names.
func throttled(t *testing.T, test func(t *testing.T, s *testServer)) {
	for kind, open := range everyStore {
		t.Run(kind, func(t *testing.T) {
			test(t, startThrottled(t, open(t)))
		})
	}
}

func startThrottled(t *testing.T, users store) *testServer {
	s := startServer(t, func(acc *accounts, cfg *edgeSettings) {
		acc.store = users
		acc.throttle = newThrottle([]byte(testSecret), nil)
		cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	return s
}

// from logs in from a source.
func (s *testServer) from(source, username, password string) answer {
	s.t.Helper()
	return s.do("POST", "/token", url.Values{"username": {username}, "password": {password}}.Encode(),
		"Content-Type: "+urlEncoded, "X-Forwarded-For: "+source)
}

// checkLogin reports an answer with another status, or Retry-After.
func checkLogin(t *testing.T, what string, got answer, status int, after string) {
	t.Helper()
	if got.status != status || got.header.Get("Retry-After") != after {
		t.Errorf("%s: %d, Retry-After %q, %s; want %d, %q", what, got.status, got.header.Get("Retry-After"), got.body, status, after)
	}
	checkOAuthFailure(t, got)
}

const (
	home    = "192.0.2.1" // from where alice has logged in before
	tooMany = `{"detail":"Too Many Requests","error":"temporarily_unavailable","error_description":"Too Many Requests"}`
)

// TestGuessing: strangers who guess a password have to wait longer and longer, whether
// the name is anybody's or not, and are answered alike to the byte. In the end they may
// not guess at all; the owner always may.
func TestGuessing(t *testing.T) {
	t.Parallel()
	throttled(t, func(t *testing.T, s *testServer) {
		s.register("alice", goodPassword)
		checkLogin(t, "the owner", s.from(home, "alice", goodPassword), 200, "")
		stranger := func(n int) string { return fmt.Sprintf("203.0.%d.%d", n/250, n%250) } // each another one
		for n := 1; n <= maxStrangerFailures; n++ {
			for _, name := range []string{"ALICE", "nobody"} {
				checkLogin(t, fmt.Sprint("guess ", n, " at ", name), s.from(stranger(n), name, "wrong"), 401, "")
			}
			wait := streak{n, testTime}.wait(testTime, freeFailures)
			if wait == 0 || n == maxStrangerFailures {
				continue
			}
			s.clock.Advance(wait - time.Second)
			for _, name := range []string{"alice", "nobody"} {
				if got := s.from(stranger(n), name, goodPassword); got.body != tooMany || got.header.Get("Retry-After") != "1" {
					t.Errorf("a second too early, after guess %d at %s: %d %s", n, name, got.status, got.body)
				}
			}
			s.clock.Advance(time.Second)
		}
		s.clock.Advance(longestWait)
		for _, name := range []string{"alice", "nobody"} {
			checkLogin(t, "after a hundred", s.from(stranger(0), name, goodPassword), 429, "85500") // the rest of a day
		}
		checkLogin(t, "the owner at home, with a typing error", s.from(home, "alice", "wrong"), 429, "85500")
		checkLogin(t, "the owner at home", s.from(home, "alice", goodPassword), 200, "")
		checkLogin(t, "a stranger, after that", s.from("198.51.100.9", "alice", goodPassword), 429, "85500")
		s.clock.Advance(failureMemory)
		checkLogin(t, "the owner elsewhere, a day later", s.from("198.51.100.9", "alice", goodPassword), 200, "")
		for _, want := range []string{`"msg":"excess_rate_limit_exceeded","username":"alice"`, `"msg":"excess_rate_limit_exceeded","username":""`} {
			if !strings.Contains(s.log.String(), want) {
				t.Errorf("the log has no %s", want)
			}
		}
		s.checkLog("nobody")
	})
}

// TestGuessesBeforeRegistration: guesses at a name that is nobody's are not in the way of
// whoever registers it.
func TestGuessesBeforeRegistration(t *testing.T) {
	throttled(t, func(t *testing.T, s *testServer) {
		for i := range freeFailures {
			s.from(fmt.Sprint("203.0.113.", i), "alice", "wrong")
		}
		checkLogin(t, "before", s.from("203.0.113.99", "alice", "wrong"), 429, "1")
		s.register("alice", goodPassword)
		checkLogin(t, "the owner", s.from(home, "alice", goodPassword), 200, "")
		for i := range maxStrangerFailures {
			s.clock.Advance(longestWait)
			s.from(fmt.Sprint("203.0.113.", i), "alice", "wrong")
		}
		checkLogin(t, "the owner where they registered", s.login(goodLogin), 200, "")
	})
}

// TestGuessesAreForgotten: a day after the last guess strangers may guess again.
func TestGuessesAreForgotten(t *testing.T) {
	t.Parallel()
	throttled(t, func(t *testing.T, s *testServer) {
		s.register("alice", goodPassword)
		for i := range 10 {
			s.from(fmt.Sprint("203.0.113.", i), "alice", "wrong")
		}
		checkLogin(t, "at once", s.from("203.0.113.99", "alice", goodPassword), 429, "1")
		s.clock.Advance(failureMemory)
		checkLogin(t, "a day later", s.from("203.0.113.99", "alice", "wrong"), 401, "")
		checkLogin(t, "the owner", s.from("203.0.113.98", "alice", goodPassword), 200, "")
	})
}

// TestFamiliarForLong: a source from which the owner logs in now and then stays one, and
// one that they have left is a stranger again.
func TestFamiliarForLong(t *testing.T) {
	throttled(t, func(t *testing.T, s *testServer) {
		s.register("alice", goodPassword)
		for range 5 {
			s.clock.Advance(sourceMemory - day)
			checkLogin(t, "the owner", s.from(home, "alice", goodPassword), 200, "")
		}
		for i := range freeFailures {
			s.from(fmt.Sprint("203.0.113.", i), "alice", "wrong")
		}
		checkLogin(t, "where they registered, years ago", s.login(goodLogin), 429, "1")
		checkLogin(t, "at home", s.from(home, "alice", goodPassword), 200, "")
	})
}

// TestGuessesOfASource: who guesses at many names has to wait as well, and so has
// everybody in the same network of IPv6; a success ends the row.
func TestGuessesOfASource(t *testing.T) {
	for _, tt := range []struct {
		name          string
		source, other string
		same          bool
	}{
		{"one address", "203.0.113.7", "203.0.113.7", true},
		{"the next address", "203.0.113.7", "203.0.113.8", false},
		{"the same network", "2001:db8::1", "2001:db8::ffff:1", true},
		{"the next network", "2001:db8::1", "2001:db8:0:1::1", false},
		{"an address that is written in two ways", "203.0.113.7", "::ffff:203.0.113.7", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startThrottled(t, newMemStore())
			s.register("alice", goodPassword)
			for i := range freeSourceFailures {
				checkLogin(t, "a guess", s.from(tt.source, fmt.Sprint("name", i), "wrong"), 401, "")
			}
			want, after := 200, ""
			if tt.same {
				want, after = 429, "1"
			}
			checkLogin(t, "the next", s.from(tt.other, "alice", goodPassword), want, after)
			s.clock.Advance(time.Second)
			checkLogin(t, "a second later", s.from(tt.other, "alice", goodPassword), 200, "")
			for i := range freeSourceFailures {
				checkLogin(t, "after a success", s.from(tt.other, fmt.Sprint("other", i), "wrong"), 401, "")
			}
		})
	}
}

// TestGuessesAtHome: who shares a source with the owner of an account does not keep
// them out by guessing elsewhere, and cannot guess there for ever either.
func TestGuessesAtHome(t *testing.T) {
	s := startThrottled(t, newMemStore())
	s.register("alice", goodPassword)
	s.from(home, "alice", goodPassword)
	for i := range freeSourceFailures {
		s.from(home, fmt.Sprint("name", i), "wrong")
	}
	checkLogin(t, "at another name", s.from(home, "name", "wrong"), 429, "1")
	checkLogin(t, "the owner", s.from(home, "alice", goodPassword), 200, "")
	for i := range freeFailures {
		checkLogin(t, "a guess at the owner's account", s.from(home, "alice", fmt.Sprint("wrong", i)), 401, "")
	}
	checkLogin(t, "the next", s.from(home, "alice", goodPassword), 429, "1")
	s.clock.Advance(time.Second)
	checkLogin(t, "the owner, a second later", s.from(home, "alice", goodPassword), 200, "")
}

// TestGuessingTogether: two hundred who guess at once make no more guesses than free
// ones, and those that are being hashed at that moment.
func TestGuessingTogether(t *testing.T) {
	throttled(t, func(t *testing.T, s *testServer) {
		s.register("alice", goodPassword)
		statuses := make(chan int, 200)
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() { statuses <- s.from(fmt.Sprint("203.0.113.", i), "alice", "wrong").status })
		}
		all.Wait()
		close(statuses)
		guessed := 0
		for status := range statuses {
			if status == 401 {
				guessed++
			} else if status != 429 && status != 503 {
				t.Errorf("status %d", status)
			}
		}
		if guessed < freeFailures {
			t.Errorf("%d guesses; want the free ones at least", guessed)
		}
		if most := freeFailures + int(s.acc.hashes.atOnce) - 1; guessed > most {
			t.Errorf("%d guesses; want %d at most", guessed, most)
		}
	})
}

// TestGuessingAtTheCurrentPassword: a thief with an access token guesses no faster than
// anybody.
func TestGuessingAtTheCurrentPassword(t *testing.T) {
	s := startThrottled(t, newMemStore())
	s.register("alice", goodPassword)
	thief := s.begin("alice")
	for i := range freeFailures {
		if got := s.as(thief, "POST", "/users/me/password", changeTo(fmt.Sprint("wrong", i), newPassword)); got.status != 400 {
			t.Errorf("a guess: %d %s", got.status, got.body)
		}
	}
	if got := s.as(thief, "POST", "/users/me/password", changeTo(goodPassword, newPassword)); got.status != 429 || got.body != `{"detail":"Too Many Requests"}` || got.header.Get("Retry-After") != "1" {
		t.Errorf("the next: %d %s", got.status, got.body)
	}
}

// TestReplicasShareGuesses: guesses at an account count on every replica.
func TestReplicasShareGuesses(t *testing.T) {
	for kind, open := range everyStore {
		t.Run(kind, func(t *testing.T) {
			users := open(t)
			replicas := []*testServer{startThrottled(t, users), startThrottled(t, users)}
			replicas[0].register("alice", goodPassword)
			for i := range freeFailures {
				checkLogin(t, "a guess", replicas[i%2].from(fmt.Sprint("203.0.113.", i), "alice", "wrong"), 401, "")
			}
			for _, s := range replicas {
				checkLogin(t, "the next", s.from("203.0.113.99", "alice", "wrong"), 429, "1")
			}
		})
	}
}

// TestRegistrationRate: a source registers a hundred users, and then one a second.
func TestRegistrationRate(t *testing.T) {
	s := startThrottled(t, newMemStore())
	register := func(source string, i int) answer {
		return s.do("POST", "/users/", fmt.Sprintf(`{"username":"user %s %d","password":"correct horse battery"}`, source, i),
			"Content-Type: application/json", "X-Forwarded-For: "+source)
	}
	for i := range freeBurst {
		if got := register("203.0.113.7", i); got.status != 200 {
			t.Fatalf("number %d: %d %s", i, got.status, got.body)
		}
	}
	if got := register("203.0.113.7", 100); got.status != 429 || got.body != `{"detail":"Too Many Requests"}` || got.header.Get("Retry-After") != "1" {
		t.Errorf("one more: %d %s", got.status, got.body)
	}
	if got := register("203.0.113.8", 0); got.status != 200 {
		t.Errorf("from another source: %d %s", got.status, got.body)
	}
	s.clock.Advance(time.Second)
	if got := register("203.0.113.7", 101); got.status != 200 {
		t.Errorf("a second later: %d %s", got.status, got.body)
	}
	if got := register("203.0.113.7", 102); got.status != 429 {
		t.Errorf("and another: %d %s", got.status, got.body)
	}
}

// TestBadRegistrationRate: registrations that are refused count too, because to read them
// costs as much, unless nobody may register anyway.
func TestBadRegistrationRate(t *testing.T) {
	for _, tt := range []struct {
		name, body     string
		open           bool
		status, atLast int
	}{
		{"everything wrong", `{"username":"","password":"x","email":"y"}`, true, 422, 429},
		{"no JSON", `{`, true, 422, 429},
		{"a list", `[]`, true, 422, 429},
		{"everything wrong, and closed", `{"username":"","password":"x","email":"y"}`, false, 422, 422},
		{"closed", `{"username":"alice","password":"correct horse battery"}`, false, 403, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startThrottled(t, newMemStore())
			s.acc.registrationOpen = tt.open
			post := func(source string) int {
				return s.do("POST", "/users/", tt.body, "Content-Type: application/json", "X-Forwarded-For: "+source).status
			}
			for i := range freeBurst {
				if got := post("203.0.113.7"); got != tt.status {
					t.Fatalf("number %d: %d; want %d", i, got, tt.status)
				}
			}
			if got := post("203.0.113.7"); got != tt.atLast {
				t.Errorf("one more: %d; want %d", got, tt.atLast)
			}
			if got := post("203.0.113.8"); got != tt.status {
				t.Errorf("from another source: %d; want %d", got, tt.status)
			}
		})
	}
}

// TestThrottleIsBounded: many names and sources take no more than the process
// wants to remember, and the log and the store hold none of the names.
func TestThrottleIsBounded(t *testing.T) {
	s, th := newMemStore(), newThrottle([]byte(testSecret), nil)
	for i := range maxRemembered + 10_000 {
		source := fmt.Sprint("source", i)
		account := failAt(t, s, th, fmt.Sprint("name", i), source)
		th.admitRegistration(source, testTime)
		if len(account) != 43 {
			t.Fatalf("the store would hold %s", account)
		}
	}
	for what, size := range map[string][2]int{
		"sources":                        {th.streaks.len(), maxRemembered},
		"accounts":                       {s.failures.len(), maxRemembered},
		"sources that register":          {th.registrations.Len(), maxRemembered},
		"sources with wrong passwords":   {th.repeats.recent.Len(), maxRepeats},
		"sources that repeat a password": {th.repeating.Len(), 0},
	} {
		if size[0] != size[1] {
			t.Errorf("%d %s are remembered; want %d", size[0], what, size[1])
		}
	}
}

// failAt counts a wrong guess at a name as a server does, and returns the account.
func failAt(t testing.TB, s store, th *throttle, name, source string) string {
	g := standing{accounts: th.accountNames(name), source: source}
	th.noteFailure(g, []byte(name), testTime)
	if err := s.AddFailure(context.Background(), g.accounts[0], testTime, time.Time{}); err != nil {
		t.Fatal(err)
	}
	return g.accounts[0]
}

// BenchmarkThrottle measures the memory that a million names and sources leave behind.
func BenchmarkThrottle(b *testing.B) {
	const names = 1_000_000
	for b.Loop() {
		before := liveBytes()
		s, th := newMemStore(), newThrottle([]byte(testSecret), nil)
		for i := range names {
			source := fmt.Sprint("2001:db8:0:", i, "::/64")
			failAt(b, s, th, fmt.Sprint("name", i), source)
			th.admitRegistration(source, testTime)
		}
		b.ReportMetric(float64(liveBytes()-before)/1e6, "MB")
		b.ReportMetric(float64(s.failures.len()), "remembered")
	}
}
