package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"
)

// TestLastEventWins has sessions refreshed, and their user log in, while they are
// ended in every way there is: afterwards no token is good. It does so a thousand times in
// make test-long.
func TestLastEventWins(t *testing.T) {
	for kind, open := range everyStore {
		t.Run(kind, func(t *testing.T) {
			t.Parallel() // SQLite waits for the disk most of the time
			acc := quietAccounts(t, open(t))
			for round := range repeated(1000) {
				lastEventWins(t, acc, round)
			}
		})
	}
}

// quietAccounts are accounts with the cheapest hash and no log.
func quietAccounts(t testing.TB, s store) *accounts {
	t.Helper()
	return &accounts{
		guard:            guard{store: s, passwords: newHasher(1), hashes: newQueue(4), log: slog.New(slog.DiscardHandler), now: time.Now, events: newRecorder(nil, nil, slog.New(slog.DiscardHandler), time.Now)},
		tokens:           secretSigner(t),
		refreshTokens:    newRefreshKeys([]byte(testSecret), nil),
		lists:            newQueue(4),
		limits:           sessionLimits{absolute: 30 * day, idle: 14 * day, grace: 10 * time.Second},
		registrationOpen: true,
	}
}

// A sessionEnd is one way in which a session ends.
type sessionEnd struct {
	name   string
	do     func(ctx context.Context, acc *accounts, u User, victim issuedTokens, own Session) error
	logins bool // a login under way with the old password ends too
}

var sessionEnds = []sessionEnd{
	{"revoke", func(ctx context.Context, acc *accounts, _ User, victim issuedTokens, _ Session) error {
		return acc.revoke(ctx, victim.RefreshToken, client{})
	}, false},
	{"end all others", func(ctx context.Context, acc *accounts, u User, _ issuedTokens, own Session) error {
		return acc.endSessions(ctx, u, own.ID, client{})
	}, false},
	{"change the password", func(ctx context.Context, acc *accounts, u User, _ issuedTokens, own Session) error {
		return acc.changePassword(ctx, u, own, passwordChange{goodPassword, newPassword}, client{})
	}, true},
	{"disable", func(ctx context.Context, acc *accounts, u User, _ issuedTokens, _ Session) error {
		return disableUser(ctx, acc.store, u.ID, acc.now())
	}, true},
	{"delete", func(ctx context.Context, acc *accounts, u User, _ issuedTokens, own Session) error {
		return acc.deleteOwnAccount(ctx, u, own, client{})
	}, true},
}

func lastEventWins(t *testing.T, acc *accounts, round int) {
	t.Helper()
	ctx, end, name := t.Context(), sessionEnds[round%len(sessionEnds)], fmt.Sprint("user", round)
	if _, err := acc.register(ctx, newUser{Username: name, Password: goodPassword}, client{}); err != nil {
		t.Fatal(err)
	}
	login := credentials{name, goodPassword, ""}
	victim, own := mustLogin(t, acc, login), mustLogin(t, acc, login)
	who, err := acc.currentUser(ctx, own.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var dead []issuedTokens
	note := func(tokens issuedTokens) {
		mu.Lock()
		defer mu.Unlock()
		dead = append(dead, tokens)
	}
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for tokens, err := victim, error(nil); err == nil; tokens, err = acc.refresh(ctx, tokens.RefreshToken, "", client{}) {
				note(tokens)
			}
		})
	}
	if end.logins {
		all.Go(func() {
			if tokens, err := acc.login(ctx, login, client{}); err == nil {
				note(tokens)
			}
		})
	}
	all.Go(func() {
		if err := end.do(ctx, acc, who.User, victim, who.Session); err != nil {
			t.Errorf("round %d, %s: %v", round, end.name, err)
		}
	})
	all.Wait()
	for _, tokens := range dead {
		if anyGood(ctx, acc, tokens) {
			t.Errorf("round %d, %s: tokens are still good", round, end.name)
		}
	}
}

func mustLogin(t testing.TB, acc *accounts, given credentials) issuedTokens {
	t.Helper()
	tokens, err := acc.login(t.Context(), given, client{})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// anyGood reports whether one of two tokens is good for anything. It uses the refresh
// token.
func anyGood(ctx context.Context, acc *accounts, tokens issuedTokens) bool {
	_, err := acc.currentUser(ctx, tokens.AccessToken)
	_, err2 := acc.refresh(ctx, tokens.RefreshToken, "", client{})
	return err == nil || err2 == nil
}

// A faulty store fails at one call: before it has done anything, or when it has done
// all and only the answer is lost.
type faulty struct {
	store
	at    int // which call fails, from 1; 0 for none
	late  bool
	calls int
}

func (f *faulty) call(do func() error) error {
	f.calls++
	if f.calls == f.at && !f.late {
		return errUnavailable
	}
	err := do()
	if f.calls == f.at {
		return errUnavailable
	}
	return err
}

func (f *faulty) UserByKey(ctx context.Context, key string) (u User, err error) {
	err = f.call(func() error { u, err = f.store.UserByKey(ctx, key); return err })
	return u, err
}

func (f *faulty) UserBySession(ctx context.Context, id string) (u User, s Session, err error) {
	err = f.call(func() error { u, s, err = f.store.UserBySession(ctx, id); return err })
	return u, s, err
}

func (f *faulty) UpdateUser(ctx context.Context, userID int64, change userChange) (u User, err error) {
	err = f.call(func() error { u, err = f.store.UpdateUser(ctx, userID, change); return err })
	return u, err
}

func (f *faulty) DeleteUser(ctx context.Context, userID int64) error {
	return f.call(func() error { return f.store.DeleteUser(ctx, userID) })
}

func (f *faulty) CreateSession(ctx context.Context, s Session, hash string, atMost int) error {
	return f.call(func() error { return f.store.CreateSession(ctx, s, hash, atMost) })
}

func (f *faulty) RotateSession(ctx context.Context, id string, generation int64, now, expiresAt time.Time) error {
	return f.call(func() error { return f.store.RotateSession(ctx, id, generation, now, expiresAt) })
}

func (f *faulty) EndSession(ctx context.Context, userID int64, id string) error {
	return f.call(func() error { return f.store.EndSession(ctx, userID, id) })
}

// A faultCase is a request, of which a call of the store fails.
type faultCase struct {
	name  string
	calls int // of the store, if none fails
	do    func(ctx context.Context, acc *accounts, u User, first, second issuedTokens) (issuedTokens, error)
	ends  bool // the session of first and second
}

var faultCases = []faultCase{
	{"a login", 3, func(ctx context.Context, acc *accounts, _ User, _, _ issuedTokens) (issuedTokens, error) {
		return acc.login(ctx, credentials{"alice", goodPassword, ""}, client{})
	}, false},
	{"a refresh", 2, func(ctx context.Context, acc *accounts, _ User, _, second issuedTokens) (issuedTokens, error) {
		return acc.refresh(ctx, second.RefreshToken, "", client{})
	}, false},
	{"a refresh again, within the grace", 1, func(ctx context.Context, acc *accounts, _ User, first, _ issuedTokens) (issuedTokens, error) {
		return acc.refresh(ctx, first.RefreshToken, "", client{})
	}, false},
	{"a log-out by refresh token", 2, func(ctx context.Context, acc *accounts, _ User, _, second issuedTokens) (issuedTokens, error) {
		return issuedTokens{}, acc.revoke(ctx, second.RefreshToken, client{})
	}, true},
	{"a log-out by access token", 2, func(ctx context.Context, acc *accounts, _ User, first, _ issuedTokens) (issuedTokens, error) {
		return issuedTokens{}, acc.revoke(ctx, first.AccessToken, client{})
	}, true},
	{"a theft", 2, func(ctx context.Context, acc *accounts, _ User, first, _ issuedTokens) (issuedTokens, error) {
		acc.limits.grace = 0
		_, err := acc.refresh(ctx, first.RefreshToken, "", client{})
		if errors.Is(err, errRefreshReused) || errors.Is(err, errSessionEnded) {
			err = nil // the end has been reported
		}
		return issuedTokens{}, err
	}, true},
	{"a change of the password by another session", 1, func(ctx context.Context, acc *accounts, u User, _, _ issuedTokens) (issuedTokens, error) {
		err := acc.changePassword(ctx, u, Session{}, passwordChange{goodPassword, newPassword}, client{})
		if errors.Is(err, errWrongPassword) {
			err = nil // it was changed the first time
		}
		return issuedTokens{}, err
	}, true},
	{"an end of all", 1, func(ctx context.Context, acc *accounts, u User, _, _ issuedTokens) (issuedTokens, error) {
		return issuedTokens{}, acc.endSessions(ctx, u, "", client{})
	}, true},
}

// spareCalls are the calls that a request can do without: a login need not strengthen the
// hash.
var spareCalls = map[string]int{"a login": 2}

// TestStoreFailsAtEveryCall: whichever call of the store fails, no token is handed out
// that is not good, no end is reported that has not happened, and the same request
// again does what the first should have done.
func TestStoreFailsAtEveryCall(t *testing.T) {
	t.Parallel()
	for _, c := range faultCases {
		t.Run(c.name, func(t *testing.T) {
			for kind, open := range everyStore {
				t.Run(kind, func(t *testing.T) {
					for at := 0; at <= c.calls; at++ {
						for _, late := range []bool{false, true} {
							c.check(t, open(t), at, late)
						}
					}
				})
			}
		})
	}
}

// check carries the request out on a store whose call number at fails, and again on one
// that is well.
func (c faultCase) check(t *testing.T, users store, at int, late bool) {
	t.Helper()
	ctx := t.Context()
	acc := quietAccounts(t, users)
	if _, err := acc.register(ctx, newUser{Username: "alice", Password: goodPassword}, client{}); err != nil {
		t.Fatal(err)
	}
	first := mustLogin(t, acc, credentials{"alice", goodPassword, ""})
	second, err := acc.refresh(ctx, first.RefreshToken, "", client{})
	if err != nil {
		t.Fatal(err)
	}
	acc.passwords = newHasher(2) // a login makes the hash stronger
	broken := &faulty{store: users, at: at, late: late}
	acc.store = broken
	for attempt := range 2 {
		u, err := users.UserByKey(ctx, "alice")
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := c.do(ctx, acc, u, first, second)
		failed := attempt == 0 && at > 0 && at != spareCalls[c.name]
		if failed != errors.Is(err, errUnavailable) || !failed && err != nil {
			t.Errorf("call %d fails, late: %v, attempt %d: %v", at, late, attempt, err)
		}
		if at == 0 && attempt == 0 && broken.calls != c.calls {
			t.Errorf("%d calls of the store; want %d", broken.calls, c.calls)
		}
		broken.at = 0
		if tokens.AccessToken != "" && !bothGood(ctx, acc, tokens) {
			t.Errorf("call %d fails, late: %v, attempt %d: tokens that are not good", at, late, attempt)
		}
		if c.ends && err == nil && anyGood(ctx, acc, second) {
			t.Errorf("call %d fails, late: %v, attempt %d: the end is lost", at, late, attempt)
		}
	}
	if !c.ends && !anyGood(ctx, acc, second) {
		t.Errorf("call %d fails, late: %v: the user is thrown out", at, late)
	}
}

// bothGood reports whether an access token is good, and the refresh token with it.
func bothGood(ctx context.Context, acc *accounts, tokens issuedTokens) bool {
	_, err := acc.currentUser(ctx, tokens.AccessToken)
	if err != nil {
		return false
	}
	id, generation, err := acc.refreshTokens.parse(tokens.RefreshToken)
	if err != nil {
		return false
	}
	_, s, err := acc.store.UserBySession(ctx, id)
	return err == nil && s.Generation == generation
}
