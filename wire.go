package main

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A userResponse is what the API shows of a user.
type userResponse struct {
	Username string  `json:"username"`
	Email    *string `json:"email"`
	FullName *string `json:"full_name"`
}

func newUserResponse(u User) userResponse {
	return userResponse{u.Username, u.Email, u.FullName}
}

// An exposedUser is what the original's GET / shows of a user.
type exposedUser struct {
	userResponse
	HashedPassword string `json:"hashed_password"`
}

// newExposedUsers returns users by their names.
func newExposedUsers(users []User) map[string]exposedUser {
	all := make(map[string]exposedUser, len(users))
	for _, u := range users {
		all[u.Username] = exposedUser{newUserResponse(u), u.PasswordHash}
	}
	return all
}

// A tokenResponse is the successful answer of RFC 6749 §5.1.
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`              // seconds
	RefreshToken string `json:"refresh_token,omitempty"` // not for an API key

	// Scope is the scope that was granted, whatever was asked for. It is nil if there is none
	// and none was asked for: the answer has to name it only if it differs from the request.
	Scope *string `json:"scope,omitempty"`
}

// newTokenResponse returns the answer to a request with these fields.
func newTokenResponse(tokens issuedTokens, fields form) tokenResponse {
	return tokenResponse{tokens.AccessToken, "bearer", wholeSeconds(tokens.Life), tokens.RefreshToken, grantedScope(tokens.Scopes, fields)}
}

// A listedSession is what administrators and the user see of a session.
type listedSession struct {
	ID         string    `json:"id"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	IP         string    `json:"ip"`
	UserAgent  string    `json:"user_agent"`
}

func newListedSession(s Session) listedSession {
	return listedSession{s.ID, s.CreatedAt, s.LastUsedAt, s.ExpiresAt, s.IP, s.UserAgent}
}

// A sessionResponse is what users see of their sessions.
type sessionResponse struct {
	listedSession
	Current bool `json:"current"`
}

// newSessionList returns what the API shows of sessions to the one with the ID current.
func newSessionList(sessions []Session, current string) []sessionResponse {
	list := make([]sessionResponse, 0, len(sessions))
	for _, s := range sessions {
		list = append(list, sessionResponse{newListedSession(s), s.ID == current})
	}
	return list
}

// parseNewUser reads the members of a registration. It reports every wrong field, as
// fieldErrors. It ignores unknown members, as pydantic does, so that nobody can set more than
// these four.
func parseNewUser(members []member, minPassword int) (newUser, error) {
	var bad fieldErrors
	u := bad.newUser(memberValues(members), minPassword)
	return u, bad.err()
}

func (e *fieldErrors) newUser(fields map[string]json.RawMessage, minPassword int) newUser {
	var u newUser
	if name, ok := e.requiredString(fields, "username"); ok {
		var wrong *fieldError
		u.Username, wrong = parseUsername(name)
		e.add("username", wrong)
	}
	u.Email = e.email(fields)
	u.FullName = e.fullName(fields)
	if password, ok := e.requiredString(fields, "password"); ok {
		u.Password = password
		e.add("password", checkPassword(password, u.Username, minPassword))
	}
	return u
}

func memberValues(members []member) map[string]json.RawMessage {
	fields := make(map[string]json.RawMessage, len(members))
	for _, m := range members {
		fields[m.name] = m.value
	}
	return fields
}

// email returns the e-mail address in its normal form, or nil if there is none.
func (e *fieldErrors) email(fields map[string]json.RawMessage) *string {
	address, ok := e.optionalString(fields, "email")
	if !ok {
		return nil
	}
	normal, bad := checkEmail(address)
	e.add("email", bad)
	return &normal
}

// checkEmail returns the normal form of an address, or what is wrong with it.
func checkEmail(address string) (string, *fieldError) {
	normal, err := parseEmail(address)
	if err != nil {
		return "", &fieldError{Type: "value_error", Msg: "value is not a valid email address: " + err.Error()}
	}
	return normal, nil
}

// fullName returns the full name, or nil if there is none.
func (e *fieldErrors) fullName(fields map[string]json.RawMessage) *string {
	name, ok := e.optionalString(fields, "full_name")
	if !ok {
		return nil
	}
	e.add("full_name", checkText(name))
	return &name
}

// parseProfileChange reads the members of a change. A username or a password is an error,
// because ignoring it would look like success. Other unknown members are ignored.
func parseProfileChange(members []member) (userChange, error) {
	var change userChange
	var bad fieldErrors
	fields := memberValues(members)
	_, change.Email.Set = fields["email"]
	_, change.FullName.Set = fields["full_name"]
	change.Email.Value = bad.email(fields)
	change.FullName.Value = bad.fullName(fields)
	for _, name := range []string{"username", "password"} {
		if _, ok := fields[name]; ok {
			bad.add(name, extraForbidden())
		}
	}
	return change, bad.err()
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

// errUnsupportedGrant means that the token endpoint does not know a grant_type.
var errUnsupportedGrant = errors.New("unsupported grant type")

// parseLogin reads the fields of a login (RFC 6749 §4.3.2). As in FastAPI an empty field is a
// missing one.
func parseLogin(f form) (credentials, error) {
	var bad fieldErrors
	login := credentials{bad.loginName(f), bad.formText(f, "password"), f.values["scope"]}
	return login, bad.err()
}

// loginName returns the name of a login, in NFC and without the space around it, which phones
// and pasting add. It refuses only names that no store could hold. Any other name is answered
// like an unknown one.
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

// grantedScope returns the scope for the answer to a login or a refresh: nil if the session has
// none and none was requested.
func grantedScope(granted scopes, f form) *string {
	if granted == "" && strings.TrimSpace(f.values["scope"]) == "" {
		return nil
	}
	return new(string(granted))
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
// session to keep: current, or none. Anything else is an error, because it may be a typing
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

// How many sessions, users or events a list shows by default, and at most.
const (
	rowsShown    = 100
	maxRowsShown = 1000
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
		return rowsShown, nil
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if bad := checkLimit(n, err); bad != nil {
		bad.Loc = []any{"query", "limit"}
		return 0, fieldErrors{*bad}
	}
	return n, nil
}

// checkLimit returns what is wrong with a limit as Atoi returned it, or nil. With ErrRange n is the
// largest or smallest integer, which is out of our range too.
func checkLimit(n int, err error) *fieldError {
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return &fieldError{Type: "int_parsing", Msg: "Input should be a valid integer, unable to parse string as an integer"}
	}
	return checkRange(n, 1, maxRowsShown)
}

// unescapeQuery decodes a name or value of a query. If an escape in it is broken, it is
// returned as it is.
func unescapeQuery(part string) string {
	if text, err := url.QueryUnescape(part); err == nil {
		return text
	}
	return part
}
