package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// A User is an account as the store keeps it. It never leaves the process:
// handlers answer with a userResponse, which has no password hash to leak.
type User struct {
	ID           int64
	Username     string // as registered, in NFC
	Key          string // usernameKey of Username: what is unique
	Email        *string
	FullName     *string
	PasswordHash string
	Disabled     bool
	CreatedAt    time.Time

	// TokensValidAfter is the time from which tokens without a session are good: one that
	// was made before, or does not say when, is refused. A change of password, the end of
	// all sessions, or disabling moves it forward. It is zero for an imported user, whose
	// tokens were made elsewhere.
	TokensValidAfter time.Time
}

// A Session is one login. Its access tokens carry its ID and are good as long
// as it is; of its refresh tokens only the latest is.
type Session struct {
	ID         string // 128 random bits in base64url: the sid claim
	UserID     int64
	CreatedAt  time.Time // the login
	LastUsedAt time.Time // the login or the last refresh
	ExpiresAt  time.Time // unless there is another refresh before
	Generation int64     // of its latest refresh token; the login's is 0
	IP         string    // of whoever logged in, as far as we can tell
	UserAgent  string
}

const day = 24 * time.Hour

// wholeSeconds returns the seconds in d, of which the last may be only a part.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// sessionLimits are how long a session lasts.
type sessionLimits struct {
	absolute time.Duration // from the login
	idle     time.Duration // from the last use
	grace    time.Duration // in which a refresh token that was just replaced is still taken
}

// expiry returns when a session that began at createdAt and is used at now expires.
func (l sessionLimits) expiry(createdAt, now time.Time) time.Time {
	end := createdAt.Add(l.absolute)
	if idle := now.Add(l.idle); idle.Before(end) {
		return idle
	}
	return end
}

// storedTime is how a store keeps a time.
func storedTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// guesses are what a store knows of those at an account.
type guesses struct {
	streak
	SeenAt time.Time // when the owner last logged in from the source that asks
}

// A client is who sent a request, as far as we can tell.
type client struct {
	IP        string
	UserAgent string
	RequestID string
}

// A userResponse is what the API shows of a user.
type userResponse struct {
	Username string  `json:"username"`
	Email    *string `json:"email"`
	FullName *string `json:"full_name"`
}

func (u User) response() userResponse {
	return userResponse{u.Username, u.Email, u.FullName}
}

// An exposedUser is what the original's GET / shows of a user.
type exposedUser struct {
	userResponse
	HashedPassword string `json:"hashed_password"`
}

// A tokenResponse is the successful answer of RFC 6749 §5.1.
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token"`

	// Scope is the scope that was granted, which is always empty. It is nil if none was
	// asked for: the answer has to name the scope only if it differs from the request.
	Scope *string `json:"scope,omitempty"`
}

// A sessionResponse is what users see of their sessions.
type sessionResponse struct {
	ID         string    `json:"id"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	IP         string    `json:"ip"`
	UserAgent  string    `json:"user_agent"`
	Current    bool      `json:"current"`
}

// response returns what the API shows of s to the session with the ID current.
func (s Session) response(current string) sessionResponse {
	return sessionResponse{s.ID, s.CreatedAt, s.LastUsedAt, s.ExpiresAt, s.IP, s.UserAgent, s.ID == current}
}

// maxTokenSize is how long a token of any kind may be, in bytes. Ours have some 300.
const maxTokenSize = 4 << 10

// Limits on what people may choose, in code points.
const (
	maxUsername = 150
	maxPassword = 4096
)

// maxUsernameKey is how long a usernameKey may be, in bytes: it has to fit into
// an index of a database.
const maxUsernameKey = 4 * maxUsername

// maxComposed is how many code points NFC makes into one at most, and how many times as
// many bytes as its usernameKey a name has in NFKC at most.
const maxComposed = 4

// A newUser is the body of POST /users/.
type newUser struct {
	Username string
	Password string
	Email    *string
	FullName *string
}

// parseNewUser reads the members of a registration. It reports every field that
// is wrong, as fieldErrors. Members that it does not know are ignored, as
// pydantic does, so that nobody can set more than these four.
func parseNewUser(members []member, minPassword int) (newUser, error) {
	var u newUser
	var bad fieldErrors
	fields := memberValues(members)
	if name, ok := bad.requiredString(fields, "username"); ok {
		var wrong *fieldError
		u.Username, wrong = normalName(name)
		if wrong == nil {
			wrong = checkUsername(u.Username)
		}
		bad.add("username", wrong)
	}
	u.Email = bad.email(fields)
	u.FullName = bad.fullName(fields)
	if password, ok := bad.requiredString(fields, "password"); ok {
		u.Password = password
		bad.add("password", checkPassword(password, u.Username, minPassword))
	}
	return u, bad.err()
}

func memberValues(members []member) map[string]json.RawMessage {
	fields := make(map[string]json.RawMessage, len(members))
	for _, m := range members {
		fields[m.name] = m.value
	}
	return fields
}

// email returns the normal form of the e-mail address that somebody chooses, or nil
// if there is none.
func (e *fieldErrors) email(fields map[string]json.RawMessage) *string {
	address, ok := e.optionalString(fields, "email")
	if !ok {
		return nil
	}
	normal, err := parseEmail(address)
	if err != nil {
		e.add("email", &fieldError{Type: "value_error", Msg: "value is not a valid email address: " + err.Error()})
	}
	return &normal
}

// fullName returns the full name that somebody chooses, or nil if there is none.
func (e *fieldErrors) fullName(fields map[string]json.RawMessage) *string {
	name, ok := e.optionalString(fields, "full_name")
	if !ok {
		return nil
	}
	e.add("full_name", checkText(name))
	return &name
}

// A profileChange is the body of PATCH /users/me/. A text that is not to change is
// the zero optionalText.
type profileChange struct {
	Email    optionalText
	FullName optionalText
}

// An optionalText is a JSON member that is absent (Set is false), null, or a string.
type optionalText struct {
	Set   bool
	Value *string
}

// parseProfileChange reads the members of a change. A username and a password are
// errors, for silence would look like success; other members that it does not know are
// ignored.
func parseProfileChange(members []member) (profileChange, error) {
	var change profileChange
	var bad fieldErrors
	fields := memberValues(members)
	_, change.Email.Set = fields["email"]
	_, change.FullName.Set = fields["full_name"]
	change.Email.Value = bad.email(fields)
	change.FullName.Value = bad.fullName(fields)
	for _, name := range []string{"username", "password"} {
		if _, ok := fields[name]; ok {
			bad.add(name, &fieldError{Type: "extra_forbidden", Msg: "Extra inputs are not permitted"})
		}
	}
	return change, bad.err()
}

// A passwordChange is the body of POST /users/me/password.
type passwordChange struct {
	Current string
	New     string
}

// parsePasswordChange reads the members of a change, for the user with this name.
// The current one is only compared: it need not meet today's rules.
func parsePasswordChange(members []member, username string, minPassword int) (passwordChange, error) {
	var change passwordChange
	var bad fieldErrors
	fields := memberValues(members)
	change.Current, _ = bad.requiredString(fields, "current_password")
	if password, ok := bad.requiredString(fields, "new_password"); ok {
		change.New = password
		bad.add("new_password", checkPassword(password, username, minPassword))
	}
	return change, bad.err()
}

// normalName returns name in NFC, or what is wrong with its length. It makes no normal form
// of a name that is too long in all of them: that takes milliseconds.
func normalName(name string) (string, *fieldError) {
	if utf8.RuneCountInString(name) <= maxComposed*maxUsername {
		name = norm.NFC.String(name)
	}
	return name, checkLength(name, 1, maxUsername)
}

// checkUsername returns what is wrong with a name that somebody chooses and normalName has
// passed, or nil.
func checkUsername(name string) *fieldError {
	for _, r := range name {
		if isInvisible(r) || !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Zs) {
			return valueError("the username must not contain control, format, invisible or unassigned characters")
		}
	}
	if name != strings.TrimSpace(name) {
		return valueError("the username must not begin or end with white space")
	}
	tooLong := valueError("the username is too long when its characters are written out")
	if expands(name) {
		return tooLong
	}
	key := usernameKey(name)
	if len(key) > maxUsernameKey {
		return tooLong
	}
	if key == "me" {
		return valueError("the username must not be 'me', which the API uses itself")
	}
	return nil
}

// isInvisible reports whether r shows nothing, so that a name with it would look
// like another's: control and format characters, the other code points that are
// ignored by default (The Unicode Standard §5.21), and the blank of Braille.
func isInvisible(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		r == '\u17B4' || r == '\u17B5' || r == '\u2800'
}

// usernameKey returns what two spellings of one name have in common. Names are
// unique without regard to case, width and kind of space: Unicode's compatibility
// caseless matching (The Unicode Standard §3.13, D146), with runs of spaces as
// one, as in the Nickname profile of RFC 8266. That profile itself would refuse
// names of Hangul letters, such as ㄱ.
func usernameKey(name string) string {
	key := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(cases.Fold().String(norm.NFD.String(name)))))
	key = strings.Map(foldCherokee, key)
	for strings.Contains(key, "  ") {
		key = strings.ReplaceAll(key, "  ", " ")
	}
	if key == name {
		return name // share its memory
	}
	return key
}

// foldCherokee folds the one script that package cases leaves as it is.
func foldCherokee(r rune) rune {
	if 0xAB70 <= r && r <= 0xABBF || 0x13F8 <= r && r <= 0x13FD {
		return unicode.ToUpper(r)
	}
	return r
}

// checkText returns what is wrong with a text that is stored and shown, or nil.
// PostgreSQL's text holds every character but NUL.
func checkText(text string) *fieldError {
	if strings.ContainsRune(text, 0) {
		return valueError("the text must not contain NUL characters")
	}
	return nil
}

// checkPassword returns what is wrong with a password that somebody chooses, or
// nil. It follows NIST SP 800-63B §3.1.1.2: a length, a list of common ones, and
// no rules of composition.
//
// It judges what the hash sees: HMAC pads its key with zeros (RFC 2104 §2), so that NULs at
// the end change nothing.
func checkPassword(password, username string, minLength int) *fieldError {
	if bad := checkLength(password, 0, maxPassword); bad != nil {
		return bad
	}
	password = strings.TrimRight(password, "\x00")
	if bad := checkLength(password, minLength, maxPassword); bad != nil {
		return bad
	}
	if spells(password, username) {
		return valueError("the password must not be the username")
	}
	if isCommonPassword(password) {
		return valueError("the password is too common: it is among the first that an attacker tries")
	}
	return nil
}

// spells reports whether text is a spelling of a name that people may have. It makes no
// normal form of a text that is much longer than the name: that takes milliseconds.
func spells(text, name string) bool {
	if expands(name) {
		return false
	}
	key := usernameKey(name)
	return !isLonger(text, maxComposed*len(key)) && usernameKey(text) == key
}

// expands reports whether the usernameKey of a name is certainly longer than
// maxUsernameKey. That is quick to say even of a long text.
func expands(name string) bool { return isLonger(name, maxComposed*maxUsernameKey) }

// isLonger reports whether text has more than n bytes in NFKC.
func isLonger(text string, n int) bool {
	var it norm.Iter
	for it.InitString(norm.NFKC, text); !it.Done() && n >= 0; {
		n -= len(it.Next())
	}
	return n < 0
}

// commonPasswords holds one password a line, in lower case, with a newline
// before the first and after the last; see its README.
//
//go:embed passwords/common.txt
var commonPasswords string

// longestCommon is the length of the longest line of commonPasswords, in bytes.
const longestCommon = 66

// isCommonPassword reports whether password, which is not empty, is in the
// embedded list but for case, or one ASCII character typed over and over.
func isCommonPassword(password string) bool {
	const longestRun = 64 // nobody tries longer ones first
	if len(password) <= longestRun && password[0] < utf8.RuneSelf && strings.Trim(password, password[:1]) == "" {
		return true
	}
	return len(password) <= utf8.UTFMax*longestCommon && !strings.Contains(password, "\n") &&
		strings.Contains(commonPasswords, "\n"+strings.ToLower(password)+"\n")
}

// A loginForm is the body of POST /token: the resource owner password
// credentials grant, RFC 6749 §4.3.2.
type loginForm struct {
	Username string
	Password string
}

// errUnsupportedGrant is a grant_type that the token endpoint does not know.
var errUnsupportedGrant = errors.New("unsupported grant type")

// parseLogin reads the fields of a login. As in FastAPI an empty field is a
// missing one.
func parseLogin(f form) (loginForm, error) {
	var bad fieldErrors
	login := loginForm{bad.loginName(f), bad.formText(f, "password")}
	return login, bad.err()
}

// loginName returns the name that somebody logs in with, in NFC and without the space
// around it, which phones and pasting add and no name has. Only a name that no store could
// ever hold is refused here; any other is answered like an unknown one.
func (e *fieldErrors) loginName(f form) string {
	text := e.formText(f, "username")
	if text == "" {
		return ""
	}
	name := strings.TrimFunc(text, isAroundName)
	if name == "" {
		e.missing("username")
		return ""
	}
	name, bad := normalName(name)
	if bad == nil {
		bad = checkText(name)
	}
	e.add("username", bad)
	return name
}

// isAroundName reports whether r is cut from the ends of a login's name: what shows as
// nothing, except NUL, which is no slip of a finger.
func isAroundName(r rune) bool { return r != 0 && (unicode.IsSpace(r) || isInvisible(r)) }

// grantedScope returns the scope to answer a login or a refresh with: nil if none was asked
// for, and an empty one otherwise. A refresh may ask for what its login has asked for
// (RFC 6749 §6), and some clients do so by themselves.
func grantedScope(f form) *string {
	if strings.TrimSpace(f.values["scope"]) == "" {
		return nil
	}
	return new(string)
}

// tokenField returns the field of a form that holds a token, or a formError if it is
// missing or larger than any token.
func tokenField(f form, name string) (string, error) {
	switch token := f.values[name]; {
	case token == "":
		return "", formError("the field " + name + " is missing")
	case len(token) > maxTokenSize:
		return "", formError("the field " + name + " is too long")
	default:
		return token, nil
	}
}

// parseKeep reads the query of DELETE /users/me/sessions/ and returns the ID of the
// session to keep: current, or none. Anything else is an error, for it may be a typing
// error, and a session that has ended does not come back.
func parseKeep(query, current string) (string, error) {
	values, err := url.ParseQuery(query)
	if err == nil && len(values) == 0 {
		return "", nil
	}
	if err == nil && len(values) == 1 && slices.Equal(values["keep"], []string{"current"}) {
		return current, nil
	}
	return "", fieldErrors{{
		Type: "literal_error",
		Loc:  []any{"query", "keep"},
		Msg:  "Input should be 'current'",
		Ctx:  map[string]any{"expected": "'current'"},
	}}
}

// How many of their sessions people see if they do not say, and how many at most.
const (
	sessionsShown    = 100
	maxSessionsShown = 1000
)

// parseLimit reads the query of GET /users/me/sessions/ as FastAPI would: the last of
// several limits counts, and unknown parameters are ignored.
func parseLimit(query string) (int, error) {
	text, asked := "", false
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if unescapeQuery(name) == "limit" {
			text, asked = unescapeQuery(value), true
		}
	}
	if !asked {
		return sessionsShown, nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if bad := checkLimit(n, err); bad != nil {
		bad.Loc = []any{"query", "limit"}
		return 0, fieldErrors{*bad}
	}
	return int(n), nil
}

// checkLimit returns what is wrong with a limit as ParseInt returned it, or nil. With
// ErrRange n is the largest or smallest integer, which is out of our range too.
func checkLimit(n int64, err error) *fieldError {
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return &fieldError{Type: "int_parsing", Msg: "Input should be a valid integer, unable to parse string as an integer"}
	case n < 1:
		return &fieldError{Type: "greater_than_equal", Msg: "Input should be greater than or equal to 1", Ctx: map[string]any{"ge": 1}}
	case n > maxSessionsShown:
		return &fieldError{
			Type: "less_than_equal",
			Msg:  "Input should be less than or equal to " + strconv.Itoa(maxSessionsShown),
			Ctx:  map[string]any{"le": maxSessionsShown},
		}
	}
	return nil
}

// unescapeQuery decodes a name or value of a query. If an escape in it is broken, it is
// returned as it is.
func unescapeQuery(part string) string {
	if text, err := url.QueryUnescape(part); err == nil {
		return text
	}
	return part
}
