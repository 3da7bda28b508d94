package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// clockSkew is how far the clock of another replica, or of another program that makes tokens
// with our key, may be ahead of ours.
const clockSkew = 10 * time.Second

// isRecent reports whether at is less than d before now. A time that is ahead of now by more
// than clockSkew is not recent: the clock has gone back, so that its age is unknown.
func isRecent(at, now time.Time, d time.Duration) bool {
	age := now.Sub(at)
	return -clockSkew <= age && age < d
}

// A signer makes and verifies JSON Web Tokens (RFC 7519). It has no clock: the caller passes the
// time.
type signer struct {
	trusted  atomic.Pointer[trust]
	ttl      time.Duration // life of the tokens it makes
	maxAhead time.Duration // exp may not be further away
	issuer   string        // put into tokens and required of them, unless empty
	audience audience
}

// A trust holds keys, and the claims of tokens that they signed. New keys start with an empty memory, so
// no token outlives its key.
type trust struct {
	keys      keySet
	known     *lru.Cache[string, claims]
	published atomic.Pointer[publication] // the latest; nil before anybody asks
}

// maxKnownTokens is how many tokens a signer remembers. It need not verify their signatures
// again, which saves 4 µs a request with HS256 and 40 to 110 µs with the other algorithms.
// Only signed tokens are remembered.
const maxKnownTokens = 4096

// newSigner returns a signer that has no keys until use is called.
func newSigner(ttl time.Duration, issuer string, aud audience) *signer {
	s := &signer{ttl: ttl, maxAhead: max(24*time.Hour, ttl+clockSkew), issuer: issuer, audience: aud}
	s.use(nil)
	return s
}

// use replaces the keys.
func (s *signer) use(keys keySet) {
	s.trusted.Store(&trust{keys: keys, known: newCache[string, claims](maxKnownTokens)})
}

// published returns what other services may know of the keys at now.
func (s *signer) published(now time.Time) (*publication, error) {
	trusted := s.trusted.Load()
	latest := trusted.published.Load()
	if latest.isOf(now) {
		return latest, nil
	}
	latest, err := trusted.keys.publish(now)
	if err == nil {
		trusted.published.Store(latest)
	}
	return latest, err
}

// keys returns the keys in use.
func (s *signer) keys() keySet { return s.trusted.Load().keys }

// A grant is the content of an access token: who may do what. It ends with a session or an API key.
type grant struct {
	User      User
	Scopes    scopes
	SessionID string
	ClientID  string // the ID of an API key
}

// lifeUntil returns the life of a token that must not outlive end, unless end is zero. It is a whole
// number of seconds, and never 0, which clients take for "never expires".
func (s *signer) lifeUntil(end, now time.Time) time.Duration {
	left := s.ttl
	if !end.IsZero() {
		left = min(left, end.Sub(now))
	}
	return max(1, time.Duration(wholeSeconds(left))) * time.Second
}

// errNoSigningKey means that there is no key to sign a token with.
var errNoSigningKey = errors.New("no signing key")

// createAccessToken returns a token that is valid until expires. Latchkey itself reads the scopes from
// the store; the claims are for other services. They are in the token twice: some services read scope
// (RFC 9068 §2.2.3), others roles.
func (s *signer) createAccessToken(g grant, now, expires time.Time) (string, error) {
	payload, err := marshalClaims(struct { // not jwt.MapClaims, which takes three times as long
		Audience  audience `json:"aud,omitempty"`
		ClientID  string   `json:"client_id,omitempty"` // RFC 9068 §2.2
		Expires   int64    `json:"exp"`
		IssuedAt  int64    `json:"iat"`
		Issuer    string   `json:"iss,omitempty"`
		ID        string   `json:"jti"`
		Roles     []string `json:"roles,omitempty"`
		Scope     scopes   `json:"scope,omitempty"`
		SessionID string   `json:"sid,omitempty"`
		Subject   string   `json:"sub"`
		UserID    string   `json:"uid"`
	}{
		s.audience, g.ClientID, expires.Unix(), now.Unix(), s.issuer, rand.Text(),
		rolesOf(g.Scopes), g.Scopes, g.SessionID, g.User.Username, g.User.UID,
	})
	if err != nil {
		return "", err
	}
	key, ok := s.keys().signing(now)
	if !ok {
		return "", errNoSigningKey
	}
	text := key.header + "." + b64.EncodeToString(payload)
	signature, err := key.method.Sign(text, key.private)
	if err != nil {
		return "", err
	}
	return text + "." + b64.EncodeToString(signature), nil
}

// marshalClaims is json.Marshal, which would write < > & with six bytes each: a token must not exceed
// maxTokenSize.
func marshalClaims(claims any) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	err := enc.Encode(claims)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}

// maxRoles is how long the scopes may be, in bytes, that a token has as roles, too. With more it
// could exceed maxTokenSize.
const maxRoles = 800

func rolesOf(s scopes) []string {
	if len(s) > maxRoles {
		return nil
	}
	return s.names()
}

// claims are the claims of a token that matter to us. Times are seconds since 1970, with
// fractions; an absent one is 0. A float64 holds the times of this century to a quarter of a
// microsecond, and does not overflow as a time.Time does in the year 10^11.
type claims struct {
	Subject   string
	SessionID string
	ClientID  string
	Scope     string
	ID        string
	Issuer    string
	Audience  audience
	IssuedAt  float64
	Expires   float64
	NotBefore float64
	KeyEnds   float64 // when the key that has signed it expires; 0: never
}

// unixSeconds returns a time in the form of claims.
func unixSeconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// iatRounding is how many seconds a date may be ahead of the clock that wrote it: a program
// that counts in whole seconds may write the next one.
const iatRounding = 1

// madeAfter returns the earliest time at which a token with these claims can have been made.
// If its iat is ahead of now by more than tolerance, in seconds, the clock that wrote it is
// ahead of ours, by at most clockSkew. That can be noticed only until our clock reaches the
// iat.
func (c claims) madeAfter(now time.Time, tolerance float64) float64 {
	if c.IssuedAt > unixSeconds(now)+tolerance {
		return c.IssuedAt - clockSkew.Seconds()
	}
	return c.IssuedAt
}

// verify returns the claims of a token that is valid at now, or errBadToken or errUnknownKey.
func (s *signer) verify(token string, now time.Time) (claims, error) {
	trusted := s.trusted.Load()
	c, known := trusted.known.Get(token)
	if !known {
		var err error
		if c, err = s.readWith(trusted.keys, token); err != nil {
			return claims{}, err
		}
		trusted.known.Add(token, c)
	}
	if !s.inTime(c, now) {
		return claims{}, errBadToken
	}
	return c, nil
}

// inTime reports whether the dates of a token with these claims allow its use at now.
func (s *signer) inTime(c claims, now time.Time) bool {
	latest := unixSeconds(now.Add(clockSkew))
	return unixSeconds(now) < c.Expires && // a token without exp has expired
		(c.KeyEnds == 0 || unixSeconds(now) < c.KeyEnds) &&
		c.Expires <= unixSeconds(now.Add(s.maxAhead)) &&
		c.IssuedAt <= latest &&
		c.NotBefore <= latest
}

// read returns the claims of a token that is signed and meant for us. It does not check the
// dates.
//
// It uses jwt's signing methods but not its parser, which reads both JSON texts before it
// checks the signature, and is too lenient: it ignores crit (RFC 7515 §4.1.11), skips
// newlines, accepts names in any case and dates that are strings, and uses the last of two
// equal names.
func (s *signer) read(token string) (claims, error) { return s.readWith(s.keys(), token) }

func (s *signer) readWith(keys keySet, token string) (claims, error) {
	payload, by, err := keys.open(token)
	if err != nil {
		return claims{}, err
	}
	c, err := s.parseClaims(payload)
	if err != nil {
		return claims{}, errBadToken
	}
	if !by.expires.IsZero() {
		c.KeyEnds = unixSeconds(by.expires)
	}
	return c, nil
}

// parseClaims reads the claims of a token whose signature has been verified.
func (s *signer) parseClaims(payload []byte) (claims, error) {
	var c claims
	var issuer, audience json.RawMessage
	members, err := parseObject(payload)
	if err != nil {
		return c, err
	}
	for _, m := range members {
		ok := true
		switch m.name {
		case "sub":
			c.Subject, ok = parseString(m.value)
		case "sid":
			c.SessionID, ok = parseString(m.value)
			ok = ok && c.SessionID != ""
		case "client_id":
			c.ClientID, _ = parseString(m.value) // other programs may put anything there
		case "scope":
			c.Scope, _ = parseString(m.value) // the same
		case "jti":
			c.ID, ok = parseString(m.value)
		case "iat":
			c.IssuedAt, ok = parseDate(m.value)
		case "exp":
			c.Expires, ok = parseDate(m.value)
		case "nbf":
			c.NotBefore, ok = parseDate(m.value)
		case "iss":
			issuer = m.value
		case "aud":
			audience = m.value
		}
		if !ok {
			return c, errBadToken
		}
	}
	if c.Subject == "" || !s.acceptsIssuer(issuer) || !s.acceptsAudience(audience) {
		return c, errBadToken
	}
	c.Issuer, _ = parseString(issuer)
	c.Audience, _ = parseAudience(audience)
	return c, nil
}

// parseDate reads a NumericDate (RFC 7519 §2) from a JSON value: any number that is not
// negative, and not too large for a float64.
func parseDate(value json.RawMessage) (float64, bool) {
	seconds, err := strconv.ParseFloat(string(value), 64) // it also reads NaN and 0x1p-2, which are not JSON
	return seconds, err == nil && seconds >= 0
}

func (s *signer) acceptsIssuer(value json.RawMessage) bool {
	return s.issuer == "" || isString(value, s.issuer)
}

// acceptsAudience checks aud, which is a string or a list of them (RFC 7519 §4.1.3): one of ours
// must be among them. If AUDIENCE is not set, a token with an audience is refused.
func (s *signer) acceptsAudience(value json.RawMessage) bool {
	if len(s.audience) == 0 {
		return value == nil
	}
	list, ok := parseAudience(value)
	return ok && slices.ContainsFunc(list, func(name string) bool { return slices.Contains(s.audience, name) })
}

// An audience is the services that tokens are for.
type audience []string

// MarshalJSON writes one name as a string, which some libraries want, and several as a list.
func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// parseAudience reads an aud claim.
func parseAudience(value json.RawMessage) (list []string, ok bool) {
	if value == nil {
		return nil, false
	}
	if name, isText := parseString(value); isText {
		return []string{name}, true
	}
	err := json.Unmarshal(value, &list)
	return list, err == nil
}

func isString(value json.RawMessage, want string) bool {
	if value == nil {
		return false
	}
	text, ok := parseString(value)
	return ok && text == want
}
