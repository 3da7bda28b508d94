package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// A guard lets people guess at a password, one guess after the other, and counts the wrong
// ones.
type guard struct {
	store     store
	passwords *hasher
	hashes    *queue
	throttle  *throttle // nil: nobody is throttled
	pace      pace
	log       *slog.Logger // security events, by the names of OWASP's logging vocabulary
	now       func() time.Time
}

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

// try returns nil if the password is that of the user, and they are not disabled. If not,
// it counts a failure at the account and of the source, and returns the attempt's error for
// a wrong password. It returns a throttledError if the source has to wait, errBusy if too
// many passwords wait to be hashed, and a failure of the store as it is.
//
// A source of the owner's may guess while strangers must wait. This must not tell anybody
// which sources those are: a wrong password is then answered as a stranger would be, and a
// stranger is answered after the same time.
func (g *guard) try(ctx context.Context, t attempt) error {
	who, err := g.standingOf(ctx, t)
	if err != nil {
		return err
	}
	if !who.admitted {
		if g.hashes.pass(t.from.Gone) {
			g.pace.pretendToHash()
		}
		return g.refuse(ctx, t, who)
	}
	who, right, err := g.tryInTurn(ctx, t, who)
	switch {
	case right:
		g.noteSuccess(ctx, who, t.user)
		return nil
	case err == nil && !who.admitted:
		g.pace.pretendToHash()
		return g.refuse(ctx, t, who)
	case err == nil:
		// The name only if it is one: people type their password there too.
		g.event(ctx, slog.LevelWarn, t.event, t.user.Username, t.from)
		err = t.wrong
	case !errors.Is(err, errBusy):
		return err
	}
	if who.wait > 0 && !t.signedIn {
		return throttledError{who.wait}
	}
	return err
}

// refuse answers an attempt whose password was not compared.
func (g *guard) refuse(ctx context.Context, t attempt, who standing) error {
	g.event(ctx, slog.LevelWarn, "excess_rate_limit_exceeded", t.user.Username, t.from)
	return throttledError{who.wait}
}

// tryInTurn waits for a hashing slot, compares the passwords, and counts a failure before
// it frees the slot. It returns what is known of who guesses by then, and whether the password is
// right.
func (g *guard) tryInTurn(ctx context.Context, t attempt, who standing) (standing, bool, error) {
	if err := g.hashes.enter(t.from.Gone); err != nil {
		return who, false, err
	}
	defer g.hashes.leave()
	entered := time.Now()
	again, err := g.standingOf(ctx, t) // others may have failed while this one waited
	if err != nil {
		return who, false, err
	}
	if who.wait > 0 {
		again.wait = who.wait // what a stranger has been told
	}
	if !again.admitted {
		return again, false, nil
	}
	right, made := g.passwords.verifyPassword(t.password, t.user.PasswordHash, !t.user.Disabled)
	if right {
		return again, true, nil
	}
	g.pace.note(time.Since(entered))
	g.reportUnusable(ctx, t)
	return again, false, g.noteFailure(ctx, again, made)
}

// reportUnusable logs that the user of a failed attempt has a hash that no password can be
// checked against.
func (g *guard) reportUnusable(ctx context.Context, t attempt) {
	if _, err := parseHash(t.user.PasswordHash); err != nil && t.user.ID != 0 {
		g.log.ErrorContext(ctx, "a user cannot log in: the stored password hash is not usable",
			"username", t.user.Username, "request_id", t.from.RequestID)
	}
}

// standingOf returns who makes an attempt, and whether they are admitted.
func (g *guard) standingOf(ctx context.Context, t attempt) (standing, error) {
	if g.throttle == nil {
		return standing{admitted: true}, nil
	}
	who := standing{accounts: g.throttle.accountNames(t.key), source: sourceOf(t.from.IP)}
	for _, account := range who.accounts {
		known, err := g.store.LoginHistory(ctx, account, t.user.ID, who.source)
		if err != nil {
			return standing{}, err
		}
		who.streaks, who.SeenAt = append(who.streaks, known.streak), known.SeenAt
	}
	return g.throttle.admitAttempt(who, g.now()), nil
}

// noteFailure counts a wrong guess. made is what verifyPassword made of it.
func (g *guard) noteFailure(ctx context.Context, who standing, made []byte) error {
	now := g.now()
	if g.throttle == nil || !g.throttle.noteFailure(who, made, now) {
		return nil
	}
	for _, account := range who.accounts {
		if err := g.store.AddFailure(ctx, account, now, now.Add(-failureMemory)); err != nil {
			return err
		}
	}
	return nil
}

// noteSuccess ends the row of failures of a source, and makes it familiar. A login from a
// familiar source leaves the failures of strangers as they are, because otherwise each would
// give them more guesses. If the store fails, the user is logged in all the same.
func (g *guard) noteSuccess(ctx context.Context, who standing, u User) {
	if g.throttle == nil {
		return
	}
	now := g.now()
	g.throttle.noteSuccess(who)
	ctx, cancel := context.WithTimeout(ctx, asideTimeout)
	defer cancel()
	for i, account := range who.accounts {
		if who.streaks[i].Failures > 0 && !who.isFamiliar(now) {
			g.warn(ctx, "cannot forget the failures before a login", u, g.store.ClearFailures(ctx, account))
		}
	}
	if !now.Before(who.SeenAt.Add(sourceRenewal)) {
		err := g.store.RememberSource(ctx, u.ID, who.source, now)
		g.warn(ctx, "cannot remember from where a user has logged in", u, replaceNotFound(err, nil))
	}
}

// longestPretence is the most that a pace makes anybody wait.
const longestPretence = 5 * time.Second

// A pace remembers how long it took to compare the password of the latest failed guess.
type pace struct{ hashed atomic.Int64 }

func (p *pace) note(hashed time.Duration) { p.hashed.Store(int64(min(hashed, longestPretence))) }

// pretendToHash takes as long as the hash did. Like the hash it goes on if the client hangs
// up: one that has only closed its half of the connection could measure the difference.
func (p *pace) pretendToHash() { time.Sleep(time.Duration(p.hashed.Load())) }

// learnPace compares a password with no hash, so that the first refusal after a start takes
// as long as later ones.
func (g *guard) learnPace(ctx context.Context) {
	if g.throttle == nil || g.hashes.enter(ctx.Done()) != nil {
		return
	}
	defer g.hashes.leave()
	began := time.Now()
	g.passwords.verifyPassword("", "", false)
	g.pace.note(time.Since(began))
}

// hash returns the hash of a new password, or errBusy.
func (g *guard) hash(gone <-chan struct{}, password string) (string, error) {
	if err := g.hashes.enter(gone); err != nil {
		return "", err
	}
	defer g.hashes.leave()
	return g.passwords.hashPassword(password), nil
}

// asideTimeout is how long a login waits for a write that it can do without.
const asideTimeout = time.Second

// warn logs a failure that the user need not know of, unless err is nil.
func (g *guard) warn(ctx context.Context, what string, u User, err error) {
	if err != nil {
		g.log.WarnContext(ctx, what, "username", u.Username, "err", err)
	}
}

// event logs a security event. username is empty if the name is nobody's.
func (g *guard) event(ctx context.Context, level slog.Level, name, username string, from client) {
	g.log.LogAttrs(ctx, level, name,
		slog.String("username", username),
		slog.String("source", from.IP),
		slog.String("request_id", from.RequestID))
}
