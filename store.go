package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	errNotFound    = errors.New("not found")
	errExists      = errors.New("it exists already")
	errTooMany     = errors.New("too many API keys")
	errUnavailable = errors.New("the store does not answer")
	errUnstorable  = errors.New("a text that not every store can hold")
)

// errNotYet is the errUnavailable of a database that may soon answer without help.
var errNotYet = fmt.Errorf("%w", errUnavailable)

// A store keeps users and their sessions. Its methods are safe for concurrent
// use, each is atomic and carried out once it has returned nil, and what they
// return shares no memory that the store will write. Times come back in UTC, to
// the microsecond.
//
// Every method may also return an error that wraps errUnavailable, after a few seconds at
// most. A read can simply be repeated. A write was carried out wholly or not at all, and the
// caller cannot know which. If ctx is done beforehand, nothing is carried out, and the error
// wraps ctx.Err().
//
// Texts are valid UTF-8 without NUL, and a Key has at most maxUsernameKey bytes. Creating
// anything else returns errUnstorable, and looking for it errNotFound.
type store interface {
	userStore
	sessionStore
	historyStore
	eventStore
	signingKeyStore
	apiKeyStore
	sweepStore

	// Ping returns nil if the store can be read.
	Ping(ctx context.Context) error

	// Close frees what the store holds. No method is called after it.
	Close() error
}

type userStore interface {
	// CreateUser adds u and returns it with its ID, which no other user ever had, and with
	// a new UID if it has none. It returns errExists if a user with this Key or UID is
	// there already: only the store can tell, because a look-up before it may be too early.
	CreateUser(ctx context.Context, u User) (User, error)

	// UserByKey returns the user with this Key, or errNotFound.
	UserByKey(ctx context.Context, key string) (User, error)

	// UserBySession returns a session and the user it belongs to, or
	// errNotFound if it has ended. The caller asks whether it has expired.
	UserBySession(ctx context.Context, sessionID string) (User, Session, error)

	// AddUsers adds many users in few transactions, and says of each whether it was added:
	// not if a user with its Key or UID exists already, who is left alone. If it fails, added
	// has the users of the transactions before.
	AddUsers(ctx context.Context, users []User) (added []bool, err error)

	// UsersByKeyOrUID returns the users who have one of these Keys or UIDs: at most
	// maxLookup of each.
	UsersByKeyOrUID(ctx context.Context, keys, uids []string) ([]User, error)

	// FindUsers returns users in the order of their Keys: the first that a query asks for, at
	// most limit. Its Text and Scope have no NUL.
	FindUsers(ctx context.Context, q userQuery, limit int) ([]User, error)

	// Users yields every user of one moment, in the order of their creation. It may take as
	// long as ctx allows. After an error it yields nothing more.
	Users(ctx context.Context) iter.Seq2[User, error]

	// UpdateUser changes a user in one step, and returns the changed user. It returns
	// errNotFound if the user is gone, or if the change has a condition that does not
	// hold: another request came first.
	UpdateUser(ctx context.Context, userID int64, change userChange) (User, error)

	// DeleteUser deletes a user and all their sessions and API keys, or returns errNotFound.
	DeleteUser(ctx context.Context, userID int64) error
}

type sessionStore interface {
	// CreateSession adds a session of a user who has this password hash. It
	// returns errNotFound if the user has another by now, is disabled, or is gone:
	// no session begins with a password that has been changed. If the user now has more
	// than atMost open sessions, those unused for longest end, but never this one. In a
	// database that is a second step; if it fails, the user's next login makes up for it.
	CreateSession(ctx context.Context, s Session, passwordHash string, atMost int) error

	// Sessions returns the sessions of a user that are open at now: most recently
	// used first, at most limit.
	Sessions(ctx context.Context, userID int64, now time.Time, limit int) ([]Session, error)

	// RotateSession moves a session from this generation to the next, used at now
	// and good until expiresAt. It returns errNotFound if the session has another
	// generation, because another request came first, has expired at now, or is gone.
	RotateSession(ctx context.Context, sessionID string, generation int64, now, expiresAt time.Time) error

	// EndSession deletes a session of this user, or returns errNotFound if there
	// is none, or none any more.
	EndSession(ctx context.Context, userID int64, sessionID string) error
}

// A historyStore remembers failed logins, and where users have logged in from.
type historyStore interface {
	// LoginHistory returns how often the password of an account was wrong in a row, and
	// when its owner was last remembered to have logged in from this source. An account
	// stands for a name that somebody tries, whether a user has it or not; userID is 0 if
	// none has.
	LoginHistory(ctx context.Context, account string, userID int64, source string) (loginHistory, error)

	// AddFailure counts a wrong password at now. If the one before was not after stale,
	// it is the first.
	AddFailure(ctx context.Context, account string, now, stale time.Time) error

	// ClearFailures forgets the wrong passwords of an account.
	ClearFailures(ctx context.Context, account string) error

	// RememberSource notes that a user has logged in from a source, at now. Of each user
	// it keeps the last maxSources. It returns errNotFound if the user is gone.
	RememberSource(ctx context.Context, userID int64, source string, now time.Time) error

	// ForgetSources forgets from where a user has logged in, except from the source keep.
	ForgetSources(ctx context.Context, userID int64, keep string) error
}

// An eventStore keeps what has happened, for some time.
type eventStore interface {
	// AddEvents adds events in one step, and gives them IDs in their order. IDs become visible in
	// their order, too, whoever adds events: a reader of those after an ID misses none.
	AddEvents(ctx context.Context, events []Event) error

	// Events returns the first events that a query asks for, at most limit, oldest first.
	Events(ctx context.Context, q eventQuery, limit int) ([]Event, error)

	// UserEvents returns the latest events that concern the user with this UID, latest first.
	UserEvents(ctx context.Context, uid string, limit int) ([]Event, error)
}

// A signingKeyStore keeps the generations of the key that signs access tokens. All replicas share them.
type signingKeyStore interface {
	// SigningKeys returns all in the order of their generations.
	SigningKeys(ctx context.Context) ([]SigningKey, error)

	// AddSigningKey adds a generation. It returns errExists if this generation is there already,
	// because another replica came first, or this KeyID, unless it is empty.
	AddSigningKey(ctx context.Context, k SigningKey) error

	// DeleteSigningKey deletes a generation, if it is there.
	DeleteSigningKey(ctx context.Context, generation int64) error
}

// An apiKeyStore keeps the API keys of users. It has only the hashes of the keys.
type apiKeyStore interface {
	// CreateAPIKey adds a key. It returns errNotFound if its owner is gone or disabled, errExists if
	// a key has this ID, and errTooMany if the owner already has atMost keys that are not expired
	// when this one is made. That is exact, however many are added at once, if all have the same atMost.
	CreateAPIKey(ctx context.Context, k APIKey, atMost int) error

	// UserByAPIKey returns a key and its owner, or errNotFound. The caller asks whether the key
	// has expired, and whether the owner is disabled.
	UserByAPIKey(ctx context.Context, id string) (User, APIKey, error)

	// APIKeys returns the keys of a user that are not expired at now, oldest first.
	APIKeys(ctx context.Context, userID int64, now time.Time) ([]APIKey, error)

	// UseAPIKey notes that a key was used at this time, unless it was used later. It returns
	// errNotFound if the key is gone.
	UseAPIKey(ctx context.Context, id string, at time.Time) error

	// DeleteAPIKey deletes a key of this user, or returns errNotFound if there is none, or none
	// any more.
	DeleteAPIKey(ctx context.Context, userID int64, id string) error

	// DeleteAPIKeys deletes all keys of a user, and returns how many.
	DeleteAPIKeys(ctx context.Context, userID int64) (int, error)
}

// A sweepStore does in batches what can wait. Each method returns how many rows or users it has
// handled: fewer than limit means that nothing is left to do.
type sweepStore interface {
	// DeleteExpiredSessions deletes sessions that have expired at now.
	DeleteExpiredSessions(ctx context.Context, now time.Time, limit int) (int, error)

	// DeleteEndedSessions deletes rows of sessions that UpdateUser has ended.
	DeleteEndedSessions(ctx context.Context, limit int) (int, error)

	// DeleteExpiredAPIKeys deletes API keys that have expired at now.
	DeleteExpiredAPIKeys(ctx context.Context, now time.Time, limit int) (int, error)

	// DeleteOldFailures forgets accounts without a wrong password since before.
	DeleteOldFailures(ctx context.Context, before time.Time, limit int) (int, error)

	// DeleteOldEvents deletes events from before a time, and those that are more than maxEvents
	// behind the latest.
	DeleteOldEvents(ctx context.Context, before time.Time, limit int) (int, error)

	// FoldUsers writes the texts that FindUsers searches, of users who lack them. FindUsers
	// finds those users before that, too, but more slowly.
	FoldUsers(ctx context.Context, limit int) (int, error)
}

// maxEvents is how many events a database keeps: 200 to 400 MB.
const maxEvents = 1_000_000

// maxSources is how many familiar sources of a user are remembered.
const maxSources = 20

// maxLookup is how many Keys, and how many UIDs, UsersByKeyOrUID looks for.
const maxLookup = 250

// checkUser returns errUnstorable unless every store can hold the user.
func checkUser(u User) error {
	if len(u.Key) > maxUsernameKey {
		return fmt.Errorf("%w: a key of %d bytes; want at most %d", errUnstorable, len(u.Key), maxUsernameKey)
	}
	return checkStorable(u.Username, u.Key, u.UID, deref(u.Email), deref(u.FullName), u.PasswordHash)
}

// checkChange returns errUnstorable unless every store can hold the new texts.
func checkChange(change userChange) error {
	return checkStorable(deref(change.Email.Value), deref(change.FullName.Value), deref(change.PasswordHash))
}

// checkEvents returns errUnstorable unless every store can hold the events.
func checkEvents(events []Event) error {
	for _, e := range events {
		if err := checkStorable(e.Name, e.UID, e.Username, e.Actor, e.IP, e.UserAgent, e.RequestID, e.Detail); err != nil {
			return err
		}
	}
	return nil
}

// checkSession returns errUnstorable unless every store can hold the session.
func checkSession(s Session) error {
	return checkStorable(s.ID, s.IP, s.UserAgent, deref((*string)(s.Asked)))
}

// checkSigningKey returns errUnstorable unless every store can hold the key.
func checkSigningKey(k SigningKey) error { return checkStorable(k.KeyID, k.Algorithm) }

// checkAPIKey returns errUnstorable unless every store can hold the key.
func checkAPIKey(k APIKey) error { return checkStorable(k.ID, k.Name, string(k.Scopes)) }

func checkStorable(texts ...string) error {
	for _, text := range texts {
		if !isStorable(text) {
			return fmt.Errorf("%w: want UTF-8 without NULs", errUnstorable)
		}
	}
	return nil
}

// isStorable reports whether every store can hold text: PostgreSQL takes no NUL and
// nothing but UTF-8.
func isStorable(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }

// replaceNotFound returns instead if err is errNotFound, and err itself otherwise, because an
// outage must never look like a wrong token.
func replaceNotFound(err, instead error) error {
	if errors.Is(err, errNotFound) {
		return instead
	}
	return err
}
