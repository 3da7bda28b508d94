package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// visible is all that a client sees of an answer, but for what names the request.
func (a answer) visible() string {
	header := a.header.Clone()
	header.Del("Date")
	header.Del("X-Request-Id")
	return fmt.Sprint(a.status, " ", header, " ", a.body)
}

// sharedHome starts a server that has alice, who has logged in at home if familiar.
func sharedHome(t *testing.T, familiar bool) *testServer {
	s := startThrottled(t, newMemStore())
	s.register("alice", goodPassword)
	if familiar {
		checkLogin(t, "the owner", s.from(home, "alice", goodPassword), 200, "")
	}
	return s
}

// TestFamiliarLooksStrange: who shares an address with the owner of an account and does not
// know the password sees the same as everywhere else, to the byte, whatever they guess and
// whenever; and so do those who come from other addresses in between.
func TestFamiliarLooksStrange(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		servers := []*testServer{sharedHome(t, true), sharedHome(t, false)}
		var seen []string
		for range 150 {
			source := []string{home, home, home, "203.0.113.7"}[r.IntN(4)]
			name := []string{"alice", "alice", "nobody", fmt.Sprint("name", r.IntN(100))}[r.IntN(4)]
			password := fmt.Sprint("wrong", r.IntN(40))
			pause := time.Duration(r.IntN(2)*r.IntN(3000)) * time.Millisecond
			var got []string
			for _, s := range servers {
				s.clock.Advance(pause)
				got = append(got, s.from(source, name, password).visible())
			}
			seen = append(seen, fmt.Sprint(source, " guesses at ", name, ": ", got[0]))
			if got[0] != got[1] {
				t.Fatalf("%s\nand where nobody is known from there\n%s", strings.Join(seen, "\n"), got[1])
			}
		}
	}
}

// TestCandidates: an address that has used up its guesses asks for each of many names
// whether somebody has logged in from there. The owner gets in.
func TestCandidates(t *testing.T) {
	throttled(t, func(t *testing.T, s *testServer) {
		s.register("alice", goodPassword)
		s.register("gone", goodPassword)
		for _, name := range []string{"alice", "gone"} {
			s.from(home, name, goodPassword)
		}
		if u, err := s.acc.store.UserByKey(t.Context(), "gone"); err != nil || disableUser(t.Context(), s.acc.store, u.ID, testTime) != nil {
			t.Fatal(err)
		}
		for i := range freeSourceFailures {
			s.from(home, fmt.Sprint("name", i), "wrong")
		}
		want := s.from(home, "nobody", "wrong")
		checkLogin(t, "nobody", want, 429, "1")
		for _, name := range []string{"alice", "ALICE", "alice ", "gone"} {
			if got := s.from(home, name, "wrong"); got.visible() != want.visible() {
				t.Errorf("%s: %s; want %s", name, got.visible(), want.visible())
			}
		}
		if got := s.from(home, "gone", goodPassword); got.visible() != want.visible() {
			t.Errorf("a disabled user with the right password: %s", got.visible())
		}
		checkLogin(t, "the owner", s.from(home, "alice", goodPassword), 200, "")
		if !strings.Contains(s.log.String(), `"msg":"authn_login_fail","username":"alice"`) {
			t.Error("the log does not tell that a password was wrong")
		}
	})
}

// TestFamiliarWaits: at home a thief has ten guesses, too, and the owner waits after them
// no longer than strangers do.
func TestFamiliarWaits(t *testing.T) {
	s := sharedHome(t, true)
	for i := range maxStrangerFailures {
		s.from(fmt.Sprint("203.0.113.", i), "alice", "wrong")
		s.clock.Advance(longestWait)
	}
	for i := range freeFailures {
		s.from(home, "alice", fmt.Sprint("wrong", i))
	}
	checkLogin(t, "the owner, after ten guesses at home", s.from(home, "alice", goodPassword), 429, "85500")
	s.clock.Advance(time.Second)
	checkLogin(t, "a second later", s.from(home, "alice", goodPassword), 200, "")
}

// TestCurrentPasswordUnderAttack: while strangers must wait, people at home who mistype
// their current password are told so. They have shown a token: there is nothing to hide.
func TestCurrentPasswordUnderAttack(t *testing.T) {
	s := sharedHome(t, true)
	for i := range maxStrangerFailures {
		s.from(fmt.Sprint("203.0.113.", i), "alice", "wrong")
		s.clock.Advance(longestWait)
	}
	token := s.from(home, "alice", goodPassword).field("access_token")
	for _, tt := range []struct {
		source, current string
		want            int
	}{{"203.0.113.7", goodPassword, 429}, {home, "wrong", 400}, {home, goodPassword, 204}} {
		got := s.do("POST", "/users/me/password", changeTo(tt.current, newPassword),
			"Content-Type: application/json", "Authorization: Bearer "+token, "X-Forwarded-For: "+tt.source)
		if got.status != tt.want {
			t.Errorf("%s from %s: %d %s; want %d", tt.current, tt.source, got.status, got.body, tt.want)
		}
	}
}

// slowAccounts are accounts in a bubble of synctest, where a round of the hash takes a
// millisecond: alice, who has logged in at home.
func slowAccounts(t *testing.T, rounds int) *accounts {
	acc := quietAccounts(t, newMemStore())
	acc.hashes = newQueue(1)
	acc.throttle = newThrottle([]byte(testSecret), nil)
	acc.passwords = newHasher(rounds)
	acc.passwords.derive = func(password string, salt []byte, rounds int) []byte {
		time.Sleep(time.Duration(rounds) * time.Millisecond)
		return pbkdf2Key(password, salt, 1)
	}
	if _, err := acc.register(t.Context(), newUser{Username: "alice", Password: goodPassword}, client{IP: home}); err != nil {
		t.Fatal(err)
	}
	return acc
}

// took returns how long a wrong guess takes, which has to be answered with want, and adds
// to ends when a wait ends that it is told of.
func took(t *testing.T, ctx context.Context, acc *accounts, source, name, want string, ends ...map[time.Time]bool) time.Duration {
	t.Helper()
	began := time.Now()
	_, err := acc.authenticateUser(t.Context(), name, fmt.Sprint("wrong ", began.UnixNano()), client{IP: source, Gone: ctx.Done()})
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%s from %s: %v; want %s", name, source, err, want)
	}
	for _, end := range ends {
		throttled, _ := errors.AsType[throttledError](err)
		end[began.Add(throttled.wait)] = true
	}
	return time.Since(began)
}

const refusal, failure = "too many failures", "wrong username or password"

// TestRefusalsTakeAsLong: the clock does not tell a guess that was refused from one that
// was only said to be.
func TestRefusalsTakeAsLong(t *testing.T) {
	for _, tt := range []struct {
		name          string
		hangUp, queue bool
		want          time.Duration
	}{
		{"as long as a hash", false, false, 100 * time.Millisecond},
		{"also if the client closes its half of the connection", true, false, 100 * time.Millisecond},
		{"as long as the queue and a hash", false, true, 300 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				acc := slowAccounts(t, 100)
				for i := range freeSourceFailures + 3 {
					if d := took(t, t.Context(), acc, home, fmt.Sprint("name", i), failure); d != 100*time.Millisecond {
						t.Errorf("a failure takes %v", d)
					}
					if freeSourceFailures <= i+1 && i < freeSourceFailures+2 {
						time.Sleep(longestWait)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.hangUp {
					cancel()
				}
				busy := func() {
					if !tt.queue {
						return
					}
					if err := acc.hashes.enter(nil); err != nil {
						t.Error(err)
					}
					time.AfterFunc(200*time.Millisecond, acc.hashes.leave)
				}
				busy()
				took(t, t.Context(), acc, "203.0.113.7", "nobody", failure)
				ends := make(map[time.Time]bool)
				for _, name := range []string{"alice", "nobody", "alice", "bob"} {
					busy()
					if d := took(t, ctx, acc, home, name, refusal, ends); d != tt.want {
						t.Errorf("%s: %v; want %v", name, d, tt.want)
					}
					synctest.Wait()
					time.Sleep(200*time.Millisecond - min(tt.want, 200*time.Millisecond)) // until nobody is busy
				}
				if len(ends) != 1 {
					t.Errorf("they are told to wait until %v", ends)
				}
			})
		})
	}
}

// TestRefusalsWhileBusy: when too many wait for their hash, an owner's source is refused
// as strangers are, and not 503.
func TestRefusalsWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acc := slowAccounts(t, 100)
		for i := range freeSourceFailures {
			took(t, t.Context(), acc, home, fmt.Sprint("name", i), failure)
		}
		if err := acc.hashes.enter(nil); err != nil {
			t.Fatal(err)
		}
		if d := took(t, t.Context(), acc, home, "alice", refusal); d != queuePatience {
			t.Errorf("after %v; want %v", d, queuePatience)
		}
		took(t, t.Context(), acc, "203.0.113.7", "alice", errBusy.Error())
	})
}

// TestPretenceIsBounded: a hash that took very long makes others wait for some seconds at
// most.
func TestPretenceIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		p.note(time.Hour)
		began := time.Now()
		p.pretendToHash()
		if d := time.Since(began); d != longestPretence {
			t.Errorf("%v", d)
		}
	})
}

// TestRefusalsAfterABurst: a refusal waits for those who hash now, and not as long as one
// that has failed before did.
func TestRefusalsAfterABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acc := slowAccounts(t, 100)
		acc.learnPace(t.Context())
		for i := range freeSourceFailures {
			took(t, t.Context(), acc, home, fmt.Sprint("name", i), failure)
		}
		var burst sync.WaitGroup
		for i := range 5 {
			burst.Go(func() { took(t, t.Context(), acc, "203.0.113.7", fmt.Sprint("other", i), failure) })
		}
		burst.Wait()
		for _, name := range []string{"alice", "nobody"} {
			if d := took(t, t.Context(), acc, home, name, refusal); d != 100*time.Millisecond {
				t.Errorf("%s: %v; want 100 ms", name, d)
			}
		}
	})
}

// TestFirstRefusal: after a start, a refusal takes as long as a hash too.
func TestFirstRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acc := slowAccounts(t, 100)
		acc.learnPace(t.Context())
		account := acc.throttle.accountNames("nobody")[0]
		for range freeFailures {
			if err := acc.store.AddFailure(t.Context(), account, time.Now(), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		if d := took(t, t.Context(), acc, "203.0.113.7", "nobody", refusal); d != 100*time.Millisecond {
			t.Errorf("%v; want 100 ms", d)
		}
	})
}

// TestRepeats: the same wrong password for the same name from the same source counts once.
// Each row begins after nine failures from other sources, one before the last that is free.
func TestRepeats(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		try  func(s *testServer)
		free bool // whether somebody else may then guess
	}{
		{"none", func(*testServer) {}, true},
		{"one guess", func(s *testServer) { s.from(home, "alice", "wrong") }, false},
		{"another guess and then the same", func(s *testServer) { s.from(home, "alice", "w"); s.from(home, "alice", "wrong") }, false},
		{"the password with another letter", func(s *testServer) { s.from(home, "alice", "first!") }, false},
		{"the same again", func(s *testServer) { s.from(home, "alice", "first") }, true},
		{"the same again and again", func(s *testServer) {
			for range 50 {
				s.from(home, "alice", "first")
			}
		}, true},
		{"the same again for the name in another case", func(s *testServer) { s.from(home, " ALICE", "first") }, true},
		{"the same from the same address, as IPv6", func(s *testServer) { s.from("::ffff:"+home, "alice", "first") }, true},
		{"the same from another source", func(s *testServer) { s.from("192.0.2.2", "alice", "first") }, false},
		{"the same, a moment before it is forgotten", func(s *testServer) {
			s.clock.Advance(repeatWindow - time.Second)
			s.from(home, "alice", "first")
		}, true},
		{"the same, when it is forgotten", func(s *testServer) {
			s.clock.Advance(repeatWindow)
			s.from(home, "alice", "first")
		}, false},
		{"the same, now and then for an hour", func(s *testServer) {
			for range 6 {
				s.clock.Advance(repeatWindow - time.Second)
				s.from(home, "alice", "first")
			}
		}, true},
		{"the same by a clock that has gone back", func(s *testServer) {
			s.clock.Advance(-time.Hour)
			s.from(home, "alice", "first")
		}, true},
		{"the same as the current password of a change", func(s *testServer) {
			tokens := s.begin("alice")
			s.do("POST", "/users/me/password", changeTo("first", newPassword),
				"Content-Type: application/json", "Authorization: Bearer "+tokens.access, "X-Forwarded-For: "+home)
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			throttled(t, func(t *testing.T, s *testServer) {
				s.register("alice", goodPassword)
				s.from(home, "alice", "first")
				for i := range freeFailures - 2 {
					s.from(fmt.Sprint("203.0.113.", i), "alice", "wrong")
				}
				tt.try(s)
				want, after := 401, ""
				if !tt.free {
					want, after = 429, "1"
				}
				checkLogin(t, "somebody else", s.from("198.51.100.1", "alice", "wrong"), want, after)
			})
		})
	}
}

// TestRepeatsOfASource: a device that repeats an old password locks out neither itself nor
// others at its address; at a name without a user it is the same.
func TestRepeatsOfASource(t *testing.T) {
	s := startThrottled(t, newMemStore())
	s.register("alice", goodPassword)
	for range freeBurst {
		checkLogin(t, "the device", s.from(home, "alice", "old password"), 401, "")
		s.clock.Advance(time.Second)
		checkLogin(t, "a device of nobody", s.from("192.0.2.2", "nobody", "old password"), 401, "")
	}
	checkLogin(t, "the owner", s.from(home, "alice", goodPassword), 200, "")
}

// TestRepeatsTogether: the same wrong password many times at once counts once.
func TestRepeatsTogether(t *testing.T) {
	throttled(t, func(t *testing.T, s *testServer) {
		s.register("alice", goodPassword)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { s.from(home, "alice", "wrong") })
		}
		all.Wait()
		g, err := s.acc.store.LoginHistory(t.Context(), s.acc.throttle.accountNames("alice")[0], 0, "")
		if err != nil || g.Failures != 1 {
			t.Errorf("%+v, %v; want 1 failure", g, err)
		}
	})
}

// TestRepeatsAreBounded: repeating costs a hash each time, and so does not go on for ever
// without counting.
func TestRepeatsAreBounded(t *testing.T) {
	s := startThrottled(t, newMemStore())
	n := 0
	for s.from(home, "nobody", "wrong").status == 401 {
		if n++; n > 2*freeBurst {
			t.Fatal("it goes on for ever")
		}
	}
	if n != 1+freeBurst+freeFailures-1 {
		t.Errorf("%d guesses", n)
	}
}

// TestRepeatTags: what is kept of a password is of use to this process alone.
func TestRepeatTags(t *testing.T) {
	one, other := newRepeats(), newRepeats()
	for _, r := range []*repeats{one, other} {
		if r.note("who", []byte("made"), testTime) || !r.note("who", []byte("made"), testTime) {
			t.Error("the second is not recognized, or the first is")
		}
	}
	a, _ := one.recent.Get("who")
	b, _ := other.recent.Get("who")
	if a[0].tag == b[0].tag {
		t.Error("two processes keep the same")
	}
	for i := range repeatsKept {
		one.note("who", fmt.Append(nil, i), testTime.Add(time.Second))
	}
	if one.note("who", []byte("made"), testTime.Add(2*time.Second)) {
		t.Errorf("more than %d are kept", repeatsKept)
	}
}

// countRounds makes h count its work, instead of doing it.
func countRounds(h *hasher) *int {
	spent := new(int)
	h.derive = func(password string, salt []byte, rounds int) []byte {
		*spent += rounds
		return pbkdf2Key(password, salt, 1)
	}
	return spent
}

// TestPriceOfANo: every failed guess costs the dearest hash that the process has met, and
// at least one of today's; a good one costs its own.
func TestPriceOfANo(t *testing.T) {
	stored := func(rounds int) string {
		h := newHasher(rounds)
		countRounds(h)
		return h.hashPassword("right")
	}
	for _, tt := range []struct {
		name             string
		met              string
		password, stored string
		disabled         bool
		want             int
	}{
		{"a wrong password", "", "wrong", stored(1000), false, 1000},
		{"a wrong password for a cheap hash", "", "wrong", stored(10), false, 1000},
		{"a wrong password for a dear hash", "", "wrong", stored(6000), false, 6000},
		{"no user", "", "wrong", "", false, 1000},
		{"a hash that does not parse", "", "wrong", "$2b$04$x", false, 1000},
		{"a disabled user, right", "", "right", stored(1000), true, 1000},
		{"a disabled user with a cheap hash, right", "", "right", stored(10), true, 1000},
		{"a disabled user with a cheap hash, wrong", "", "wrong", stored(10), true, 1000},
		{"a disabled user with a dear hash, right", "", "right", stored(6000), true, 6000},
		{"a wrong password, after a dear hash", stored(6000), "wrong", stored(1000), false, 6000},
		{"a wrong password for a cheap hash, after a dear one", stored(6000), "wrong", stored(10), false, 6000},
		{"no user, after a dear hash", stored(6000), "wrong", "", false, 6000},
		{"a hash that does not parse, after a dear one", stored(6000), "wrong", "*", false, 6000},
		{"a disabled user, right, after a dear hash", stored(6000), "right", stored(10), true, 6000},
		{"no user, after a hash that is too dear to be taken", "$pbkdf2-sha256$10000001$$" + strings.Repeat("A", 43), "wrong", "", false, 1000},
		{"right", "", "right", stored(1000), false, 1000},
		{"right, for a cheap hash", "", "right", stored(10), false, 10},
		{"right, after a dear hash", stored(6000), "right", stored(1000), false, 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHasher(1000)
			spent := countRounds(h)
			if tt.met != "" {
				h.verifyPassword("right", tt.met, true)
			}
			*spent = 0
			ok, _ := h.verifyPassword(tt.password, tt.stored, !tt.disabled)
			if *spent != tt.want || ok != strings.HasPrefix(tt.name, "right") {
				t.Errorf("%v after %d rounds; want %d", ok, *spent, tt.want)
			}
		})
	}
}

// TestPriceOfALogin: at a login, too, every refusal costs the same, for every user and for none.
func TestPriceOfALogin(t *testing.T) {
	acc := quietAccounts(t, newMemStore())
	acc.passwords = newHasher(6000)
	spent := countRounds(acc.passwords)
	for _, name := range []string{"dear", "cheap", "gone", "broken"} {
		acc.passwords.rounds = map[string]int{"dear": 6000, "cheap": 10, "gone": 10, "broken": 1000}[name]
		u, err := acc.register(t.Context(), newUser{Username: name, Password: goodPassword}, client{})
		if name == "gone" {
			err = disableUser(t.Context(), acc.store, u.ID, testTime)
		}
		if name == "broken" {
			err = replaceHash(t.Context(), acc.store, u.ID, u.PasswordHash, "!")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	acc.passwords.rounds = 1000
	for i, login := range []credentials{
		{"dear", "wrong"}, {"nobody", "wrong"}, {"cheap", "wrong"}, {"gone", goodPassword}, {"gone", "wrong"}, {"broken", goodPassword},
	} {
		*spent = 0
		if _, err := acc.login(t.Context(), login, client{}); err != errBadCredentials || *spent != 6000 {
			t.Errorf("%d: %s: %v after %d rounds; want 6000", i, login.Username, err, *spent)
		}
	}
}

// forgetful is a store in which what a login can do without fails.
type forgetful struct{ store }

func (f forgetful) UpdateUser(ctx context.Context, userID int64, change userChange) (User, error) {
	if change.EndSessions == nil { // a stronger hash
		return User{}, fmt.Errorf("%w: read-only", errUnavailable)
	}
	return f.store.UpdateUser(ctx, userID, change)
}

func (forgetful) RememberSource(context.Context, int64, string, time.Time) error {
	return fmt.Errorf("%w: read-only", errUnavailable)
}

func (forgetful) ClearFailures(context.Context, string) error {
	return fmt.Errorf("%w: read-only", errUnavailable)
}

func (forgetful) ForgetSources(context.Context, int64, string) error {
	return fmt.Errorf("%w: read-only", errUnavailable)
}

// TestLoginWithoutNotes: a login with the right password succeeds even if the store
// does not take what else there is to write; the log says so.
func TestLoginWithoutNotes(t *testing.T) {
	throttled(t, func(t *testing.T, s *testServer) {
		s.register("alice", goodPassword)
		s.from(home, "alice", "wrong")
		before := s.hashOf(t, "alice")
		s.acc.passwords, s.acc.store = newHasher(20), forgetful{s.acc.store}
		checkLogin(t, "the owner", s.from(home, "alice", goodPassword), 200, "")
		if after := s.hashOf(t, "alice"); after != before {
			t.Errorf("the hash became %s", after)
		}
		for _, what := range []string{"cannot strengthen a password hash", "cannot forget the failures", "cannot remember from where"} {
			if !strings.Contains(s.log.String(), `"level":"WARN","msg":"`+what) {
				t.Errorf("the log does not say: %s", what)
			}
		}
		if got := s.as(s.begin("alice"), "POST", "/users/me/password", changeTo(goodPassword, newPassword)); got.status != 204 {
			t.Errorf("a change of the password: %d %s", got.status, got.body)
		}
		if !strings.Contains(s.log.String(), `"level":"ERROR","msg":"cannot forget from where`) {
			t.Error("the log does not say that sources stay familiar")
		}
		s.checkLog(before, goodPassword)
	})
}

// TestUnusableHash: the log says whose stored hash no password can be checked against.
func TestUnusableHash(t *testing.T) {
	const line = `"level":"ERROR","msg":"a user cannot log in: the stored password hash is not usable","username":"alice"`
	for _, tt := range []struct {
		name, stored string
		logged       bool
	}{
		{"another scheme", "$2b$04$2JBvE9YP5iC3OP7PvqZjUuHBWxO6MQ.lDwrlYgBYOEp3YESoT2id6", true},
		{"too many rounds", "$pbkdf2-sha256$10000001$$cuWP8A8DPrQmaXx9wEBt8CmIzd3xX3zUBCqSKefXeKA", true},
		{"cut off", "$pbkdf2-sha256$29000$AAEC", true},
		{"nothing", "", true},
		{"a good one", "$pbkdf2-sha256$29$$cuWP8A8DPrQmaXx9wEBt8CmIzd3xX3zUBCqSKefXeKA", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startServer(t)
			u := testUser("alice")
			u.PasswordHash = tt.stored
			mustCreate(t, s.acc.store, u)
			for _, form := range []string{"username=nobody&password=x", goodLogin} {
				if got := s.login(form); got.body != badLogin {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
			if strings.Contains(s.log.String(), line) != tt.logged || strings.Count(s.log.String(), `"level":"ERROR"`) > 1 {
				t.Errorf("the log:\n%s", s.log)
			}
			if len(tt.stored) > 0 {
				s.checkLog(tt.stored)
			}
		})
	}
}

// TestPanicInAHash: it is answered as any panic, and frees the place for the next.
func TestPanicInAHash(t *testing.T) {
	s := startServer(t)
	s.signUp()
	s.acc.hashes = newQueue(1)
	s.acc.passwords.derive = func(string, []byte, int) []byte { panic("no more") }
	for range 2 {
		if got := s.login(goodLogin); got.status != http.StatusInternalServerError {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got := s.register("bob", goodPassword); got.status != http.StatusInternalServerError {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	s.acc.passwords.derive = pbkdf2Key
	if got := s.login(goodLogin); got.status != 200 {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
}

// TestReplicasWithOtherKeys: while SECRET_KEY rotates, replicas that know the keys in
// another order, or only one, count the same guesses.
func TestReplicasWithOtherKeys(t *testing.T) {
	t.Parallel()
	older, newer := []byte(strings.Repeat("o", 32)), []byte(strings.Repeat("n", 32))
	onlyOld, swapped, rotated := newThrottle(older, nil), newThrottle(older, [][]byte{newer}), newThrottle(newer, [][]byte{older})
	for _, tt := range []struct {
		name     string
		replicas []*throttle // which guess in turn
		next     *throttle   // which refuses
	}{
		{"both know both", []*throttle{swapped, rotated}, rotated},
		{"both know both, the other way round", []*throttle{rotated, swapped}, swapped},
		{"one does not know the new key yet", []*throttle{onlyOld, swapped}, onlyOld},
		{"one does not know the new key yet, and the other refuses", []*throttle{onlyOld, swapped}, swapped},
		{"a restart with the new key first", []*throttle{swapped}, rotated},
		{"a restart without the old key", []*throttle{rotated}, newThrottle(newer, nil)},
		{"the key among its own fallbacks", []*throttle{newThrottle(newer, [][]byte{newer, newer})}, newThrottle(newer, nil)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			throttled(t, func(t *testing.T, s *testServer) {
				s.acc.throttle = tt.next
				s.register("alice", goodPassword)
				for i := range freeFailures {
					s.acc.throttle = tt.replicas[i%len(tt.replicas)]
					checkLogin(t, fmt.Sprint("guess ", i), s.from(fmt.Sprint("203.0.113.", i), "alice", "wrong"), 401, "")
				}
				s.acc.throttle = tt.next
				checkLogin(t, "the next", s.from("198.51.100.1", "alice", "wrong"), 429, "1")
				s.clock.Advance(time.Second)
				checkLogin(t, "the owner", s.from("198.51.100.1", "alice", goodPassword), 200, "")
				for i := range freeFailures {
					checkLogin(t, "after a success", s.from(fmt.Sprint("203.0.113.", i), "alice", "another"), 401, "")
				}
			})
		})
	}
}

// TestIntruderIsStrange: after a change of the password only the source that has made it
// is familiar.
func TestIntruderIsStrange(t *testing.T) {
	throttled(t, func(t *testing.T, s *testServer) {
		const intruder, elsewhere = "203.0.113.66", "192.0.2.44"
		s.register("alice", goodPassword)
		for _, source := range []string{intruder, home, elsewhere} {
			checkLogin(t, source, s.from(source, "alice", goodPassword), 200, "")
		}
		s.register("bob", goodPassword)
		s.from(intruder, "bob", goodPassword)
		tokens := s.begin("alice")
		got := s.do("POST", "/users/me/password", changeTo(goodPassword, newPassword),
			"Content-Type: application/json", "Authorization: Bearer "+tokens.access, "X-Forwarded-For: "+home)
		if got.status != 204 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		for _, name := range []string{"alice", "bob"} {
			for i := range freeFailures {
				s.from(fmt.Sprint("198.51.100.", i), name, "wrong")
			}
		}
		checkLogin(t, "the intruder's address", s.from(intruder, "alice", newPassword), 429, "1")
		checkLogin(t, "the one where she registered", s.login("username=alice&password="+url.QueryEscape(newPassword)), 429, "1")
		checkLogin(t, "her other address", s.from(elsewhere, "alice", newPassword), 429, "1")
		checkLogin(t, "the one where she changed it", s.from(home, "alice", newPassword), 200, "")
		checkLogin(t, "that of another user", s.from(intruder, "bob", goodPassword), 200, "")
	})
}
