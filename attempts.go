package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// An attempt is one guess at the password of a user.
type attempt struct {
	key      string // usernameKey of the name; there may be no such user
	user     User   // the zero User if it is
	password string
	from     client
	wrong    error  // the answer to a wrong password
	event    string // and what the log calls it
	signedIn bool   // the caller is signed in as the user, so the answer need not hide anything
}

// guess returns nil if the password is that of the user, and they are not disabled. If not,
// it counts a failure at the account and of the source, and returns the attempt's error for
// a wrong password. It returns a throttledError if the source has to wait, errBusy if too
// many passwords wait to be hashed, and a failure of the store as it is.
//
// A source of the owner's may guess while strangers must wait. This must not tell anybody
// which sources those are: a wrong password is then answered as a stranger would be, and a
// stranger is answered after the same time.
func (a *accounts) guess(ctx context.Context, t attempt) error {
	lasting := context.WithoutCancel(ctx)
	g, err := a.guesserOf(lasting, t)
	if err != nil {
		return err
	}
	if !g.admitted {
		if a.hashes.pass(ctx) {
			a.pace.pretendToHash()
		}
		return a.refuse(lasting, t, g)
	}
	g, right, err := a.guessInTurn(ctx, t, g)
	switch {
	case right:
		a.noteSuccess(lasting, g, t.user)
		return nil
	case err == nil && !g.admitted:
		a.pace.pretendToHash()
		return a.refuse(lasting, t, g)
	case err == nil:
		// The name only if it is one: people type their password there too.
		a.event(lasting, slog.LevelWarn, t.event, t.user.Username, t.from)
		err = t.wrong
	case !errors.Is(err, errBusy):
		return err
	}
	if g.wait > 0 && !t.signedIn {
		return throttledError{g.wait}
	}
	return err
}

// refuse answers an attempt whose password was not compared.
func (a *accounts) refuse(ctx context.Context, t attempt, g guesser) error {
	a.event(ctx, slog.LevelWarn, "excess_rate_limit_exceeded", t.user.Username, t.from)
	return throttledError{g.wait}
}

// guessInTurn waits for a hashing slot, compares the passwords, and counts a failure before
// it frees the slot. It returns what is known of g by then, and whether the password is
// right.
func (a *accounts) guessInTurn(ctx context.Context, t attempt, g guesser) (guesser, bool, error) {
	if err := a.hashes.enter(ctx); err != nil {
		return g, false, err
	}
	defer a.hashes.leave()
	entered := time.Now()
	ctx = context.WithoutCancel(ctx)
	again, err := a.guesserOf(ctx, t) // others may have failed while this one waited
	if err != nil {
		return g, false, err
	}
	if g.wait > 0 {
		again.wait = g.wait // what a stranger has been told
	}
	if !again.admitted {
		return again, false, nil
	}
	right, made := a.passwords.verifyPassword(t.password, t.user.PasswordHash, !t.user.Disabled)
	if right {
		return again, true, nil
	}
	a.pace.note(time.Since(entered))
	a.reportUnusable(ctx, t)
	return again, false, a.noteFailure(ctx, again, made)
}

// reportUnusable logs that the user of a failed attempt has a hash that no password can be
// checked against.
func (a *accounts) reportUnusable(ctx context.Context, t attempt) {
	if _, err := parseHash(t.user.PasswordHash); err != nil && t.user.ID != 0 {
		a.log.ErrorContext(ctx, "a user cannot log in: the stored password hash is not usable",
			"username", t.user.Username, "request_id", t.from.RequestID)
	}
}

// guesserOf returns who makes an attempt, and whether they are admitted.
func (a *accounts) guesserOf(ctx context.Context, t attempt) (guesser, error) {
	if a.throttle == nil {
		return guesser{admitted: true}, nil
	}
	g := guesser{accounts: a.throttle.accountNames(t.key), source: sourceOf(t.from.IP)}
	for _, account := range g.accounts {
		known, err := a.store.Guesses(ctx, account, t.user.ID, g.source)
		if err != nil {
			return guesser{}, err
		}
		g.streaks, g.SeenAt = append(g.streaks, known.streak), known.SeenAt
	}
	return a.throttle.admitGuess(g, a.now()), nil
}

// noteFailure counts a wrong guess. made is what verifyPassword made of it.
func (a *accounts) noteFailure(ctx context.Context, g guesser, made []byte) error {
	now := a.now()
	if a.throttle == nil || !a.throttle.noteFailure(g, made, now) {
		return nil
	}
	for _, account := range g.accounts {
		if err := a.store.AddFailure(ctx, account, now, now.Add(-forgetGuesses)); err != nil {
			return err
		}
	}
	return nil
}

// noteSuccess ends the row of failures of a source, and makes it familiar. A login from a
// familiar source leaves the failures of strangers as they are, because otherwise each would
// give them more guesses. If the store fails, the user is logged in all the same.
func (a *accounts) noteSuccess(ctx context.Context, g guesser, u User) {
	if a.throttle == nil {
		return
	}
	now := a.now()
	a.throttle.noteSuccess(g)
	ctx, cancel := context.WithTimeout(ctx, asideTimeout)
	defer cancel()
	for i, account := range g.accounts {
		if g.streaks[i].Failures > 0 && !g.isFamiliar(now) {
			a.warn(ctx, "cannot forget the failures before a login", u, a.store.ClearFailures(ctx, account))
		}
	}
	if !now.Before(g.SeenAt.Add(renewSource)) {
		err := a.store.RememberSource(ctx, u.ID, g.source, now)
		a.warn(ctx, "cannot remember from where a user has logged in", u, notFoundIs(nil, err))
	}
}

// longestPretence is the most that a pace makes anybody wait.
const longestPretence = 5 * time.Second

// A pace remembers how long the latest failed guess took, from its place in the queue until
// it was counted.
type pace struct{ hashed atomic.Int64 }

func (p *pace) note(hashed time.Duration) { p.hashed.Store(int64(min(hashed, longestPretence))) }

// pretendToHash takes as long as the hash did. Like the hash it goes on if the client hangs
// up: one that has only closed its half of the connection could measure the difference.
func (p *pace) pretendToHash() { time.Sleep(time.Duration(p.hashed.Load())) }

// learnPace makes one guess at nobody's password, so that the first refusal after a start
// takes as long as later ones.
func (a *accounts) learnPace(ctx context.Context) {
	if a.hashes.enter(ctx) != nil {
		return
	}
	defer a.hashes.leave()
	began := time.Now()
	a.passwords.verifyPassword("", "", false)
	a.pace.note(time.Since(began))
}
