package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
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

	// TokensValidAfter is the second from which on tokens are good: those with
	// an earlier iat, or without one, are refused. It is zero for an imported
	// user, whose tokens were made elsewhere.
	TokensValidAfter time.Time
}

// A Session is one login. Its access tokens carry its ID and are good as long
// as it is.
type Session struct {
	ID        string // 128 random bits in base64url: the sid claim
	UserID    int64
	CreatedAt time.Time
	ExpiresAt time.Time
	IP        string // of whoever logged in, as far as we can tell
	UserAgent string
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
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"` // seconds
}

// Limits on what people may choose, in code points.
const (
	maxUsername = 150
	maxPassword = 4096
)

// maxUsernameKey is how long a usernameKey may be, in bytes: it has to fit into
// an index of a database.
const maxUsernameKey = 4 * maxUsername

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
	fields := make(map[string]json.RawMessage, len(members))
	for _, m := range members {
		fields[m.name] = m.value
	}
	if name, ok := bad.requiredString(fields, "username"); ok {
		u.Username = norm.NFC.String(name)
		bad.add("username", checkUsername(u.Username))
	}
	if address, ok := bad.optionalString(fields, "email"); ok {
		normal, err := parseEmail(address)
		u.Email = &normal
		if err != nil {
			bad.add("email", &fieldError{Type: "value_error", Msg: "value is not a valid email address: " + err.Error()})
		}
	}
	if name, ok := bad.optionalString(fields, "full_name"); ok {
		u.FullName = &name
		bad.add("full_name", checkText(name))
	}
	if password, ok := bad.requiredString(fields, "password"); ok {
		u.Password = password
		bad.add("password", checkPassword(password, u.Username, minPassword))
	}
	return u, bad.err()
}

// checkUsername returns what is wrong with a name that somebody chooses, or
// nil.
func checkUsername(name string) *fieldError {
	if bad := checkLength(name, 1, maxUsername); bad != nil {
		return bad
	}
	for _, r := range name {
		if isInvisible(r) || !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Zs) {
			return valueError("the username must not contain control, format, invisible or unassigned characters")
		}
	}
	if name != strings.TrimSpace(name) {
		return valueError("the username must not begin or end with white space")
	}
	key := usernameKey(name)
	if len(key) > maxUsernameKey {
		return valueError("the username is too long when its characters are written out")
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

// checkLoginName returns what is wrong with a name that somebody logs in with,
// or nil. Only what no store could ever hold is refused here; any other name is
// answered like an unknown one.
func checkLoginName(name string) *fieldError {
	if bad := checkLength(name, 1, maxUsername); bad != nil {
		return bad
	}
	return checkText(name)
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
func checkPassword(password, username string, minLength int) *fieldError {
	if bad := checkLength(password, minLength, maxPassword); bad != nil {
		return bad
	}
	if strings.EqualFold(password, username) || usernameKey(password) == usernameKey(username) {
		return valueError("the password must not be the username")
	}
	if isCommonPassword(password) {
		return valueError("the password is too common: it is among the first that an attacker tries")
	}
	return nil
}

// commonPasswords holds one password a line, in lower case, with a newline
// before the first and behind the last; see its README.
//
//go:embed passwords/common.txt
var commonPasswords string

// isCommonPassword reports whether password, which is not empty, is in the
// embedded list but for case, or one ASCII character typed over and over.
func isCommonPassword(password string) bool {
	const longestRun = 64 // nobody tries longer ones first
	if len(password) <= longestRun && password[0] < utf8.RuneSelf && strings.Trim(password, password[:1]) == "" {
		return true
	}
	return !strings.Contains(password, "\n") &&
		strings.Contains(commonPasswords, "\n"+strings.ToLower(password)+"\n")
}

// A fieldError says what is wrong with one field, in the words of pydantic v2.
// It never repeats the value, which may be a password.
type fieldError struct {
	Type string         `json:"type"`
	Loc  []any          `json:"loc"`
	Msg  string         `json:"msg"`
	Ctx  map[string]any `json:"ctx,omitempty"`
}

// valueError is a fieldError for a rule of our own.
func valueError(reason string) *fieldError {
	return &fieldError{Type: "value_error", Msg: "Value error, " + reason}
}

// checkLength compares the length of text, in code points, with its limits.
func checkLength(text string, atLeast, atMost int) *fieldError {
	switch n := utf8.RuneCountInString(text); {
	case n < atLeast:
		return &fieldError{
			Type: "string_too_short",
			Msg:  "String should have at least " + plural(atLeast, "character"),
			Ctx:  map[string]any{"min_length": atLeast},
		}
	case n > atMost:
		return &fieldError{
			Type: "string_too_long",
			Msg:  "String should have at most " + plural(atMost, "character"),
			Ctx:  map[string]any{"max_length": atMost},
		}
	}
	return nil
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// fieldErrors is everything that is wrong with a request's fields.
type fieldErrors []fieldError

// Error lists them, each behind the name of its field.
func (e fieldErrors) Error() string {
	var parts []string
	for _, bad := range e {
		parts = append(parts, fmt.Sprint(bad.Loc[len(bad.Loc)-1], ": ", bad.Msg))
	}
	return strings.Join(parts, "; ")
}

func (e fieldErrors) err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// add notes what is wrong with a field of the body; nil is nothing. An empty
// field means the body itself.
func (e *fieldErrors) add(field string, bad *fieldError) {
	if bad == nil {
		return
	}
	bad.Loc = []any{"body"}
	if field != "" {
		bad.Loc = append(bad.Loc, field)
	}
	*e = append(*e, *bad)
}

func (e *fieldErrors) missing(field string) {
	e.add(field, &fieldError{Type: "missing", Msg: "Field required"})
}

func (e *fieldErrors) notString(field string) {
	e.add(field, &fieldError{Type: "string_type", Msg: "Input should be a valid string"})
}

// requiredString returns the text of a member that must be there, and whether
// it is one; if not, it notes why.
func (e *fieldErrors) requiredString(fields map[string]json.RawMessage, name string) (string, bool) {
	value, ok := fields[name]
	if !ok {
		e.missing(name)
		return "", false
	}
	text, ok := parseString(value)
	if !ok {
		e.notString(name)
	}
	return text, ok
}

// optionalString is requiredString for a member that may be absent or null.
func (e *fieldErrors) optionalString(fields map[string]json.RawMessage, name string) (string, bool) {
	if value, ok := fields[name]; !ok || string(value) == "null" {
		return "", false
	}
	return e.requiredString(fields, name)
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
// missing one, and grant_type may be left out.
func parseLogin(f form) (loginForm, error) {
	if grant := f.values["grant_type"]; grant != "" && grant != "password" {
		return loginForm{}, errUnsupportedGrant
	}
	var bad fieldErrors
	login := loginForm{norm.NFC.String(bad.formText(f, "username")), bad.formText(f, "password")}
	if login.Username != "" {
		bad.add("username", checkLoginName(login.Username))
	}
	return login, bad.err()
}

// formText returns the text of a field that must be there; if it is not, it
// notes why.
func (e *fieldErrors) formText(f form, name string) string {
	text := f.values[name]
	switch {
	case f.files[name]:
		e.notString(name)
	case text == "":
		e.missing(name)
	case !utf8.ValidString(text):
		e.add(name, &fieldError{Type: "string_unicode", Msg: "Input should be a valid string, unable to parse raw data as a unicode string"})
		return ""
	}
	return text
}
