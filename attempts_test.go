package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
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
	for seed := range uint64(repeated(20)) {
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
		{"dear", "wrong", ""}, {"nobody", "wrong", ""}, {"cheap", "wrong", ""}, {"gone", goodPassword, ""}, {"gone", "wrong", ""}, {"broken", goodPassword, ""},
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
		{"another scheme", "{SSHA}4nEy8X6e3TixTG04IW38INu9SKREqHXu", true},
		{"too many rounds", "$pbkdf2-sha256$10000001$$cuWP8A8DPrQmaXx9wEBt8CmIzd3xX3zUBCqSKefXeKA", true},
		{"cut off", "$pbkdf2-sha256$29000$AAEC", true},
		{"none, for a user who has no password yet", "", false},
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
