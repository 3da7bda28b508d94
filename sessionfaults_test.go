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
// ended in every way there is, a thousand times: afterwards no token is good.
func TestLastEventWins(t *testing.T) {
	for kind, open := range everyStore {
		t.Run(kind, func(t *testing.T) {
			acc := quietAccounts(t, open(t))
			for round := range 1000 {
				lastEventWins(t, acc, round)
			}
		})
	}
}

// quietAccounts are accounts with the cheapest hash and no log.
func quietAccounts(t testing.TB, s store) *accounts {
	t.Helper()
	return &accounts{
		store: s, passwords: newHasher(1), tokens: secretSigner(t), log: slog.New(slog.DiscardHandler), now: time.Now,
		refreshTokens:    newRefreshKeys([]byte(testSecret), nil),
		sessions:         sessionLife{most: 30 * day, idle: 14 * day, grace: 10 * time.Second},
		registrationOpen: true,
	}
}

// anEnd is one of the ways in which a session ends: of all its user's sessions, if it
// says so, and with it the old password.
type anEnd struct {
	name string
	do   func(ctx context.Context, acc *accounts, u User, victim tokenResponse, own Session) error
	all  bool // the sessions of a login that is under way too
}

var everyEnd = []anEnd{
	{"revoke", func(ctx context.Context, acc *accounts, _ User, victim tokenResponse, _ Session) error {
		return acc.revoke(ctx, victim.RefreshToken, client{})
	}, false},
	{"end all others", func(ctx context.Context, acc *accounts, u User, _ tokenResponse, own Session) error {
		return acc.endSessions(ctx, u, own.ID, client{})
	}, false},
	{"change the password", func(ctx context.Context, acc *accounts, u User, _ tokenResponse, own Session) error {
		return acc.changePassword(ctx, u, own, passwordChange{goodPassword, newPassword}, client{})
	}, true},
	{"disable", func(ctx context.Context, acc *accounts, u User, _ tokenResponse, _ Session) error {
		return acc.store.DisableUser(ctx, u.ID, acc.now())
	}, true},
	{"delete", func(ctx context.Context, acc *accounts, u User, _ tokenResponse, own Session) error {
		return acc.deleteUser(ctx, u, own, client{})
	}, true},
}

func lastEventWins(t *testing.T, acc *accounts, round int) {
	t.Helper()
	ctx, end, name := t.Context(), everyEnd[round%len(everyEnd)], fmt.Sprint("user", round)
	if _, err := acc.register(ctx, newUser{Username: name, Password: goodPassword}, client{}); err != nil {
		t.Fatal(err)
	}
	login := loginForm{name, goodPassword}
	victim, own := mustLogin(t, acc, login), mustLogin(t, acc, login)
	u, ownSession, err := acc.currentUser(ctx, own.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var dead []tokenResponse
	note := func(tokens tokenResponse, err error) bool {
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			dead = append(dead, tokens)
		}
		return err == nil
	}
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			tokens, err := victim, error(nil)
			for note(tokens, err) {
				tokens, err = acc.refresh(ctx, tokens.RefreshToken, client{})
			}
		})
	}
	if end.all {
		all.Go(func() { note(acc.login(ctx, login, client{})) })
	}
	all.Go(func() {
		if err := end.do(ctx, acc, u, victim, ownSession); err != nil {
			t.Errorf("round %d, %s: %v", round, end.name, err)
		}
	})
	all.Wait()
	for _, tokens := range dead {
		if acc.areGood(ctx, tokens) {
			t.Errorf("round %d, %s: tokens are still good", round, end.name)
		}
	}
}

func mustLogin(t testing.TB, acc *accounts, form loginForm) tokenResponse {
	t.Helper()
	tokens, err := acc.login(t.Context(), form, client{})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// areGood reports whether one of a session's tokens is good for anything.
func (a *accounts) areGood(ctx context.Context, tokens tokenResponse) bool {
	_, _, err := a.currentUser(ctx, tokens.AccessToken)
	_, err2 := a.refresh(ctx, tokens.RefreshToken, client{})
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

func (f *faulty) ReplacePasswordHash(ctx context.Context, userID int64, current, next string) error {
	return f.call(func() error { return f.store.ReplacePasswordHash(ctx, userID, current, next) })
}

func (f *faulty) ChangePassword(ctx context.Context, userID int64, current, next string, validAfter time.Time, keep string) error {
	return f.call(func() error { return f.store.ChangePassword(ctx, userID, current, next, validAfter, keep) })
}

func (f *faulty) DeleteUser(ctx context.Context, userID int64) error {
	return f.call(func() error { return f.store.DeleteUser(ctx, userID) })
}

func (f *faulty) CreateSession(ctx context.Context, s Session, hash string) error {
	return f.call(func() error { return f.store.CreateSession(ctx, s, hash) })
}

func (f *faulty) RotateSession(ctx context.Context, id string, generation int64, now, expiresAt time.Time) error {
	return f.call(func() error { return f.store.RotateSession(ctx, id, generation, now, expiresAt) })
}

func (f *faulty) EndSession(ctx context.Context, userID int64, id string) error {
	return f.call(func() error { return f.store.EndSession(ctx, userID, id) })
}

func (f *faulty) EndSessions(ctx context.Context, userID int64, validAfter time.Time, keep string) error {
	return f.call(func() error { return f.store.EndSessions(ctx, userID, validAfter, keep) })
}

// TestStoreFailsAtEveryCall: whichever call of the store fails, no token is handed out
// that is not good, no end is reported that has not happened, and the same request
// again does what the first should have done.
func TestStoreFailsAtEveryCall(t *testing.T) {
	for _, tt := range []struct {
		name  string
		calls int // of the store, if none fails
		do    func(ctx context.Context, acc *accounts, first, second tokenResponse) (tokenResponse, error)
		ends  bool // the session of first and second
	}{
		{"a login", 3, func(ctx context.Context, acc *accounts, _, _ tokenResponse) (tokenResponse, error) {
			return acc.login(ctx, loginForm{"alice", goodPassword}, client{})
		}, false},
		{"a refresh", 2, func(ctx context.Context, acc *accounts, _, second tokenResponse) (tokenResponse, error) {
			return acc.refresh(ctx, second.RefreshToken, client{})
		}, false},
		{"a refresh again, within the grace", 1, func(ctx context.Context, acc *accounts, first, _ tokenResponse) (tokenResponse, error) {
			return acc.refresh(ctx, first.RefreshToken, client{})
		}, false},
		{"a log-out by refresh token", 2, func(ctx context.Context, acc *accounts, _, second tokenResponse) (tokenResponse, error) {
			return tokenResponse{}, acc.revoke(ctx, second.RefreshToken, client{})
		}, true},
		{"a log-out by access token", 2, func(ctx context.Context, acc *accounts, first, _ tokenResponse) (tokenResponse, error) {
			return tokenResponse{}, acc.revoke(ctx, first.AccessToken, client{})
		}, true},
		{"a theft", 2, func(ctx context.Context, acc *accounts, first, _ tokenResponse) (tokenResponse, error) {
			acc.sessions.grace = 0
			_, err := acc.refresh(ctx, first.RefreshToken, client{})
			if errors.Is(err, errRefreshReused) || errors.Is(err, errSessionEnded) {
				err = nil // the end has been reported
			}
			return tokenResponse{}, err
		}, true},
		{"a change of the password by another session", 1, func(ctx context.Context, acc *accounts, _, _ tokenResponse) (tokenResponse, error) {
			u, err := acc.store.(*faulty).store.UserByKey(ctx, "alice")
			if err == nil {
				err = acc.changePassword(ctx, u, Session{}, passwordChange{goodPassword, newPassword}, client{})
			}
			if errors.Is(err, errWrongPassword) {
				err = nil // it was changed the first time
			}
			return tokenResponse{}, err
		}, true},
		{"an end of all", 1, func(ctx context.Context, acc *accounts, _, _ tokenResponse) (tokenResponse, error) {
			u, err := acc.store.(*faulty).store.UserByKey(ctx, "alice")
			if err == nil {
				err = acc.endSessions(ctx, u, "", client{})
			}
			return tokenResponse{}, err
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for kind, open := range everyStore {
				t.Run(kind, func(t *testing.T) {
					for at := 0; at <= tt.calls; at++ {
						for _, late := range []bool{false, true} {
							checkFailure(t, open(t), tt.do, tt.ends, at, late, tt.calls)
						}
					}
				})
			}
		})
	}
}

// checkFailure carries out do on a store whose call number at fails, and again on one
// that is well.
func checkFailure(t *testing.T, users store, do func(context.Context, *accounts, tokenResponse, tokenResponse) (tokenResponse, error), ends bool, at int, late bool, calls int) {
	t.Helper()
	ctx := t.Context()
	acc := quietAccounts(t, users)
	if _, err := acc.register(ctx, newUser{Username: "alice", Password: goodPassword}, client{}); err != nil {
		t.Fatal(err)
	}
	first := mustLogin(t, acc, loginForm{"alice", goodPassword})
	second, err := acc.refresh(ctx, first.RefreshToken, client{})
	if err != nil {
		t.Fatal(err)
	}
	acc.passwords = newHasher(2) // a login makes the hash stronger
	broken := &faulty{store: users, at: at, late: late}
	acc.store = broken
	for attempt := range 2 {
		tokens, err := do(ctx, acc, first, second)
		failed := attempt == 0 && at > 0
		if failed != errors.Is(err, errUnavailable) || !failed && err != nil {
			t.Errorf("call %d fails, late: %v, attempt %d: %v", at, late, attempt, err)
		}
		if at == 0 && attempt == 0 && broken.calls != calls {
			t.Errorf("%d calls of the store; want %d", broken.calls, calls)
		}
		broken.at = 0
		if tokens.AccessToken != "" && !bothAreGood(ctx, acc, tokens) {
			t.Errorf("call %d fails, late: %v, attempt %d: tokens that are not good", at, late, attempt)
		}
		if ends && err == nil && acc.areGood(ctx, second) {
			t.Errorf("call %d fails, late: %v, attempt %d: the end is lost", at, late, attempt)
		}
	}
	if !ends && !acc.areGood(ctx, second) {
		t.Errorf("call %d fails, late: %v: the user is thrown out", at, late)
	}
}

// bothAreGood reports whether an access token is good, and the refresh token with it.
func bothAreGood(ctx context.Context, acc *accounts, tokens tokenResponse) bool {
	_, _, err := acc.currentUser(ctx, tokens.AccessToken)
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
