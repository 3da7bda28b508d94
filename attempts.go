package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// A guard compares passwords, and limits how often somebody may try. Every login and every
// check of a current password goes through it.
type guard struct {
	store     store
	passwords *hasher
	hashes    *queue
	throttle  *throttle // nil: nobody is throttled
	pace      pace
	log       *slog.Logger
	events    *recorder
	now       func() time.Time
	metrics   *metrics
}

// An attempt is one try at the password of a user.
type attempt struct {
	key      string // usernameKey of the name
	user     User   // the zero User if nobody has the name
	password string
	from     client
	wrong    error  // the answer to a wrong password
	event    string // and the name of that event
	signedIn bool   // as the user: the answer need not hide anything
}

// try returns nil if the password is right and the user is not disabled. Otherwise it counts
// a failure for the account and for the source, and returns the attempt's error for a wrong
// password. It returns a throttledError if the source has to wait, errBusy if too
// many passwords wait to be hashed, and a failure of the store as it is.
//
// A familiar source of the owner may try while strangers must wait. Nobody may learn which
// sources are familiar. So a wrong password from one is answered as a stranger's is, and a
// stranger is answered after the same time.
func (g *guard) try(ctx context.Context, t attempt) error {
	who, err := g.standingOf(ctx, t)
	if err != nil {
		return err
	}
	if !who.admitted {
		if g.hashes.pass(t.from.presence()) {
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
		g.events.note(ctx, t.event, t.user, t.from, "")
		err = t.wrong
	case !errors.Is(err, errBusy):
		return err
	}
	if who.wait > 0 && !t.signedIn {
		return throttledError{who.wait}
	}
	return err
}

// refuse returns the answer to an attempt whose password was not compared.
func (g *guard) refuse(ctx context.Context, t attempt, who standing) error {
	g.events.note(ctx, rateExceeded, t.user, t.from, "")
	return throttledError{who.wait}
}

// tryInTurn waits for a hashing slot, compares the passwords, and counts a failure before
// it frees the slot. It returns the standing of the source by then, and whether the password
// is right.
func (g *guard) tryInTurn(ctx context.Context, t attempt, who standing) (standing, bool, error) {
	enter, leave := g.hashes.enter, g.hashes.leave
	if needsWhole(t.user.PasswordHash) {
		enter, leave = g.hashes.enterAll, g.hashes.leaveAll
	}
	if err := enter(t.from.presence()); err != nil {
		return who, false, err
	}
	defer leave()
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
	began := time.Now()
	right, made := g.passwords.verifyPassword(t.password, t.user.PasswordHash, !t.user.Disabled)
	g.metrics.hashed(t.user.PasswordHash, time.Since(began))
	if right {
		return again, true, nil
	}
	g.pace.note(time.Since(entered))
	g.reportUnusable(ctx, t)
	return again, false, g.noteFailure(ctx, again, made)
}

// reportUnusable logs if the user of a failed attempt has a hash that cannot be verified.
func (g *guard) reportUnusable(ctx context.Context, t attempt) {
	if t.user.PasswordHash == "" { // nobody's, or of a user who has no password yet
		return
	}
	if _, err := parseHash(t.user.PasswordHash); err != nil {
		g.log.ErrorContext(ctx, "a user cannot log in: the stored password hash is not usable",
			"username", t.user.Username, "request_id", t.from.RequestID)
	}
}

// standingOf looks up what is known of the source of an attempt, and whether it is admitted.
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

// noteFailure counts a wrong password. made is what verifyPassword made of it.
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

// noteSuccess ends the streak of a source, and makes the source familiar. A login from a
// familiar source does not clear the failures of strangers, because each login would give
// them more tries. If the store fails, the user is logged in all the same.
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

// longestPretence is the longest that pretendToHash waits.
const longestPretence = 5 * time.Second

// A pace remembers how long it took to compare the latest wrong password.
type pace struct{ hashed atomic.Int64 }

func (p *pace) note(hashed time.Duration) { p.hashed.Store(int64(min(hashed, longestPretence))) }

// pretendToHash takes as long as the latest hash did. Like a hash it goes on if the client
// hangs up: a client that has closed only its half could measure the difference.
func (p *pace) pretendToHash() { time.Sleep(time.Duration(p.hashed.Load())) }

// learnPace hashes once, so that the first refusal after a start takes as long as later ones.
func (g *guard) learnPace(ctx context.Context) {
	if g.throttle == nil || g.hashes.enter(ctx) != nil {
		return
	}
	defer g.hashes.leave()
	began := time.Now()
	g.passwords.verifyPassword("", "", false)
	g.pace.note(time.Since(began))
}

// hash returns the hash of a new password. It returns errBusy if too many requests wait for a
// hashing slot, or if ctx ends before there is one.
func (g *guard) hash(ctx context.Context, password string) (string, error) {
	if err := g.hashes.enter(ctx); err != nil {
		return "", err
	}
	defer g.hashes.leave()
	began := time.Now()
	made := g.passwords.hashPassword(password)
	g.metrics.hashed(made, time.Since(began))
	return made, nil
}

// asideTimeout is how long a login waits for a write that is not essential.
const asideTimeout = time.Second

// warn logs a failure that the user need not know about. It does nothing if err is nil.
func (g *guard) warn(ctx context.Context, what string, u User, err error) {
	if err != nil {
		g.log.WarnContext(ctx, what, "username", u.Username, "err", err)
	}
}
