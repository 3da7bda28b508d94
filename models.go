package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"strings"
	"time"
)

// A User is an account as the store keeps it. It never leaves the process:
// handlers answer with a userResponse, which has no password hash to leak.
type User struct {
	ID           int64  // of the row; nobody outside learns it
	UID          string // 32 hex digits, which no other user ever had
	Username     string // as registered, in NFC
	Key          string // usernameKey of Username: what is unique
	Email        *string
	FullName     *string
	PasswordHash string // empty: nobody can log in until there is one
	Disabled     bool
	Scopes       scopes
	CreatedAt    time.Time

	// TokensValidAfter concerns tokens without a session: those made before it, or without
	// a date, are refused. Ending the user's sessions, as a change of password does, moves it
	// forward. It may be zero for a user who came with tokens made elsewhere.
	TokensValidAfter time.Time
}

// newUID returns the UID of a new user: 128 random bits.
func newUID() string { return hex.EncodeToString(randomBytes(16)) }

// A Session is one login. Its access tokens carry its ID and are valid as long as it is. Only
// its latest refresh token is valid.
type Session struct {
	ID         string // 128 random bits in base64url: the sid claim
	UserID     int64
	CreatedAt  time.Time // the login
	LastUsedAt time.Time // the login or the last refresh
	ExpiresAt  time.Time // unless there is another refresh before
	Generation int64     // of its latest refresh token; the login's is 0
	IP         string    // of the login, as far as we can tell
	UserAgent  string

	// Asked are the scopes that the login asked for. It is nil if the login asked for none: the
	// session may then do what its user may.
	Asked *scopes
}

// A SigningKey is a generation of the key that signs access tokens. It holds no key: that is derived
// from the server's secret.
type SigningKey struct {
	Number       int64
	KeyID        string // the kid of its tokens; empty if the secret itself signs
	Algorithm    string
	Salt         []byte // nil if the secret itself signs
	CreatedAt    time.Time
	SignsFrom    time.Time // until a later generation begins to sign
	RevokesOlder bool      // all earlier ones are revoked
}

// An APIKey is what a program shows instead of a password. The store does not know the key itself.
type APIKey struct {
	ID         string
	UserID     int64 // of its owner
	Name       string
	Hash       []byte // SHA-256 of the whole key
	Scopes     scopes // it may do what is in here and its owner may do
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: it never expires
	LastUsedAt time.Time // zero: it was not used yet
}

// isExpired reports whether k is of no use any more at now.
func (k APIKey) isExpired(now time.Time) bool { return isOver(k.ExpiresAt, now) }

// isOver reports whether what lasts until end is over at now. If end is zero, it lasts for ever.
func isOver(end, now time.Time) bool { return !end.IsZero() && !now.Before(end) }

// An Event is something that has happened to an account, or to the server. Texts are empty where
// there is nothing to say.
type Event struct {
	ID        int64 // later ones are greater; the store gives it
	At        time.Time
	Name      string // of OWASP's logging vocabulary; see events.go
	UID       string // of the user concerned
	Username  string // of the user concerned, at the time
	Key       string // usernameKey of Username
	Actor     string // who did it, if not the user
	IP        string
	UserAgent string
	RequestID string
	Detail    string
}

// An eventQuery says which events Events returns. The zero value of a field stands for every event.
type eventQuery struct {
	After int64 // an ID
	Since time.Time
	Key   string // usernameKey of the user concerned
	Name  string
}

const day = 24 * time.Hour

// wholeSeconds returns d in seconds, rounded up.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// sessionLimits says how long a session lasts.
type sessionLimits struct {
	absolute time.Duration // from the login
	idle     time.Duration // from the last use
	grace    time.Duration // in which a replaced refresh token is still accepted
}

// expiry returns when a session that began at createdAt and is used at now expires.
func (l sessionLimits) expiry(createdAt, now time.Time) time.Time {
	end := createdAt.Add(l.absolute)
	if idle := now.Add(l.idle); idle.Before(end) {
		return idle
	}
	return end
}

// storedUser returns a new user as a store keeps it.
func storedUser(u User) User {
	u.CreatedAt, u.TokensValidAfter = storedTime(u.CreatedAt), storedTime(u.TokensValidAfter)
	u.UID = cmp.Or(u.UID, newUID())
	return u
}

// storedSigningKey returns a signing key as a store keeps it. It shares no memory with k.
func storedSigningKey(k SigningKey) SigningKey {
	k.CreatedAt, k.SignsFrom = storedTime(k.CreatedAt), storedTime(k.SignsFrom)
	k.Salt = storedBytes(k.Salt)
	return k
}

// storedAPIKey returns an API key as a store keeps it. It shares no memory with k.
func storedAPIKey(k APIKey) APIKey {
	k.CreatedAt, k.ExpiresAt, k.LastUsedAt = storedTime(k.CreatedAt), storedTime(k.ExpiresAt), storedTime(k.LastUsedAt)
	k.Hash = storedBytes(k.Hash)
	return k
}

// storedBytes returns a copy of b, or nil if b is empty.
func storedBytes(b []byte) []byte { return append([]byte(nil), b...) }

// storedTime returns a time as a store keeps it.
func storedTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// A client describes who sent a request, as far as we can tell.
type client struct {
	IP        string
	UserAgent string
	RequestID string
	Actor     string          // who acts on another's account; empty if it is one's own
	ActorID   int64           // of the administrator who acts; 0 for the command line
	APIKeyID  string          // of the API key that the administrator acts with, if any
	request   context.Context // ends when the client hangs up; may be nil
}

// isUser reports whether u is the administrator who acts.
func (c client) isUser(u User) bool { return c.ActorID != 0 && c.ActorID == u.ID }

// presence returns a context that ends when the client hangs up.
func (c client) presence() context.Context {
	if c.request == nil {
		return context.Background()
	}
	return c.request
}

// A userChange is what UpdateUser changes of a user. The zero value changes nothing.
type userChange struct {
	Email        optionalText
	FullName     optionalText
	PasswordHash *string
	Disabled     *bool
	Scopes       *scopes

	// EndSessions ends sessions of the user in the same step.
	EndSessions *sessionsEnd

	// IfPasswordHash, IfScopes and IfDisabled make the change only if the user still has these.
	IfPasswordHash *string
	IfScopes       *scopes
	IfDisabled     *bool
}

// An optionalText is a text that stays as it is (Set is false), is cleared (Value is nil), or
// is replaced.
type optionalText struct {
	Set   bool
	Value *string
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// A sessionsEnd ends all sessions of a user but the one with the ID Keep, if that is an open
// one of theirs. Keep is the ID of some session, or empty. It moves TokensValidAfter to
// ValidAfter, but never back.
type sessionsEnd struct {
	Keep       string
	ValidAfter time.Time
}

// checkText returns what is wrong with a text that is stored and shown, or nil.
// PostgreSQL's text holds every character but NUL.
func checkText(text string) *fieldError {
	if strings.ContainsRune(text, 0) {
		return valueError("the text must not contain NUL characters")
	}
	return nil
}
