package main

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An adminUser is what an administrator sees of a user.
type adminUser struct {
	userResponse
	Disabled  bool      `json:"disabled"`
	Scopes    []string  `json:"scopes"`
	CreatedAt time.Time `json:"created_at"`
}

func newAdminUser(u User) adminUser {
	return adminUser{newUserResponse(u), u.Disabled, u.Scopes.names(), u.CreatedAt}
}

// A userPage is a part of the list of users. Next is what the next page comes after, or nil if
// this is the last.
type userPage struct {
	Users []adminUser `json:"users"`
	Next  *string     `json:"next"`
}

// maxPageNames is about how long the full names on a page may be in all, in bytes: they have no
// limit of their own but that of a request.
const maxPageNames = 1 << 20

// newUserPage returns a page of at most limit users. It has fewer if their full names are too long.
func newUserPage(users []User, limit int) userPage {
	page := userPage{Users: make([]adminUser, 0, len(users))}
	names := 0
	for _, u := range users {
		page.Users = append(page.Users, newAdminUser(u))
		names += len(deref(u.FullName))
		if len(page.Users) == limit || names > maxPageNames {
			page.Next = &u.Username
			break
		}
	}
	return page
}

// newUserSessions returns what an administrator sees of a user's sessions.
func newUserSessions(sessions []Session) []listedSession {
	list := make([]listedSession, 0, len(sessions))
	for _, s := range sessions {
		list = append(list, newListedSession(s))
	}
	return list
}

// An eventResponse is what an administrator sees of an event.
type eventResponse struct {
	ID        int64     `json:"id"`
	At        time.Time `json:"at"`
	Event     string    `json:"event"`
	Username  *string   `json:"username"`
	Actor     *string   `json:"actor"` // nil: the user
	IP        *string   `json:"ip"`
	UserAgent *string   `json:"user_agent"`
	RequestID *string   `json:"request_id"`
	Detail    *string   `json:"detail"`
}

func newEventResponse(e Event) eventResponse {
	return eventResponse{
		e.ID, e.At, e.Name, filled(e.Username), filled(e.Actor),
		filled(e.IP), filled(e.UserAgent), filled(e.RequestID), filled(e.Detail),
	}
}

// filled returns nil for an empty text.
func filled(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// An eventPage is a part of the list of events. Next is what the next page comes after, or nil if
// this is the last so far.
type eventPage struct {
	Events []eventResponse `json:"events"`
	Next   *int64          `json:"next"`
}

// newEventPage returns a page of at most limit events.
func newEventPage(events []Event, limit int) eventPage {
	page := eventPage{Events: make([]eventResponse, 0, len(events))}
	for _, e := range events {
		page.Events = append(page.Events, newEventResponse(e))
	}
	if len(events) == limit {
		page.Next = &events[limit-1].ID
	}
	return page
}

// An ownEvent is what people see of an event that concerns them.
type ownEvent struct {
	At        time.Time `json:"at"`
	Event     string    `json:"event"`
	IP        *string   `json:"ip"`
	UserAgent *string   `json:"user_agent"`
	Detail    *string   `json:"detail"`
}

// byAdministrator is what people learn about who has changed their account.
const byAdministrator = "by_administrator"

func newOwnEvents(events []Event) []ownEvent {
	list := make([]ownEvent, 0, len(events))
	for _, e := range events {
		own := ownEvent{e.At, e.Name, filled(e.IP), filled(e.UserAgent), filled(e.Detail)}
		if e.Actor != "" {
			own.IP, own.UserAgent = nil, nil
			own.Detail = filled(strings.TrimPrefix(e.Detail+", "+byAdministrator, ", "))
		}
		list = append(list, own)
	}
	return list
}

// params are the query string of a URL, of which each parameter may come once.
type params struct {
	values map[string]string
	bad    fieldErrors
}

// parseParams reads a query string that may have these parameters. It notes any others, and those
// that are repeated, because ignoring them would look like success.
func parseParams(text string, names ...string) *params {
	q := &params{values: make(map[string]string)}
	all, err := url.ParseQuery(text)
	if err != nil {
		q.bad = append(q.bad, fieldError{Type: "value_error", Loc: []any{"query"}, Msg: "Value error, malformed query string"})
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch {
		case !slices.Contains(names, name):
			q.add(name, extraForbidden())
		case len(all[name]) > 1:
			q.add(name, valueError("the parameter must not be repeated"))
		default:
			q.values[name] = all[name][0]
		}
	}
	return q
}

// add notes what is wrong with a parameter. It does nothing if bad is nil.
func (q *params) add(name string, bad *fieldError) {
	if bad != nil {
		bad.Loc = []any{"query", name}
		q.bad = append(q.bad, *bad)
	}
}

// text returns a parameter of 1 to maxUsername code points, or "" if it is not there.
func (q *params) text(name string) string {
	text, ok := q.values[name]
	if !ok {
		return ""
	}
	bad := checkLength(text, 1, maxUsername)
	if bad == nil && !isStorable(text) {
		bad = valueError("the text must be UTF-8 without NUL characters")
	}
	if bad != nil {
		q.add(name, bad)
		return ""
	}
	return text
}

// key returns the usernameKey of a parameter.
func (q *params) key(name string) string {
	text := q.text(name)
	if expands(text) {
		q.add(name, valueError("the name is too long when its characters are written out"))
		return ""
	}
	return usernameKey(text)
}

func (q *params) limit() int {
	text, ok := q.values["limit"]
	if !ok {
		return rowsShown
	}
	n, err := strconv.Atoi(text)
	q.add("limit", checkLimit(n, err))
	return n
}

// number returns a parameter that is an ID, or 0.
func (q *params) number(name string) int64 {
	text, ok := q.values[name]
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		q.add(name, &fieldError{Type: "int_parsing", Msg: "Input should be a valid integer, not negative"})
	}
	return n
}

// parseLimitOnly reads the query string of a list that has no other parameter.
func parseLimitOnly(text string) (int, error) {
	q := parseParams(text, "limit")
	return q.limit(), q.bad.err()
}

// parseUserQuery reads the query string of a list of users.
func parseUserQuery(text string) (wanted userQuery, limit int, err error) {
	q := parseParams(text, "q", "email", "disabled", "scope", "limit", "after")
	wanted = userQuery{Text: foldText(q.text("q")), Email: q.text("email"), Scope: q.text("scope"), After: q.key("after")}
	if wanted.Scope != "" {
		if _, err := newScopes(wanted.Scope); err != nil {
			q.add("scope", valueError(err.Error()))
		}
	}
	if text, ok := q.values["disabled"]; ok {
		disabled, err := strconv.ParseBool(text)
		if err != nil {
			q.add("disabled", &fieldError{Type: "bool_parsing", Msg: "Input should be a valid boolean, unable to interpret input"})
		}
		wanted.Disabled = &disabled
	}
	return wanted, q.limit(), q.bad.err()
}

// parseEventQuery reads the query string of a list of events.
func parseEventQuery(text string) (wanted eventQuery, limit int, err error) {
	q := parseParams(text, "username", "event", "since", "limit", "after")
	wanted = eventQuery{Key: q.key("username"), Name: q.text("event"), After: q.number("after")}
	if _, ok := eventKinds[wanted.Name]; !ok && wanted.Name != "" {
		known := strings.Join(eventNames(), ", ")
		q.add("event", &fieldError{Type: "enum", Msg: "Input should be one of " + known, Ctx: map[string]any{"expected": known}})
	}
	if text, ok := q.values["since"]; ok {
		since, err := time.Parse(time.RFC3339, strings.Replace(text, " ", "+", 1)) // a + that was not escaped
		if err != nil {
			q.add("since", &fieldError{Type: "datetime_from_date_parsing", Msg: "Input should be a valid datetime with a zone, such as 2026-11-25T08:30:00Z"})
		}
		wanted.Since = since
	}
	return wanted, q.limit(), q.bad.err()
}

// parseNewUserByAdmin is parseNewUser for an administrator, who may also give scopes and
// disable the user.
func parseNewUserByAdmin(members []member, minPassword int) (newUser, error) {
	var bad fieldErrors
	fields := memberValues(members)
	u := bad.newUser(fields, minPassword)
	u.Disabled = bad.boolean(fields, "disabled", wantBoolean)
	u.Scopes = bad.scopeList(fields, wantList)
	return u, bad.err()
}

// hasAdminMembers reports whether a registration has members that only an administrator may
// send.
func hasAdminMembers(members []member) bool {
	return slices.ContainsFunc(members, func(m member) bool { return m.name == "scopes" || m.name == "disabled" })
}

// What is wrong with the members of an administrator's request, in pydantic's words.
const (
	wantBoolean = "Input should be a valid boolean"
	wantList    = "Input should be a valid list of strings"
)

// parseUserEdit reads the members of a change of the user with this name. It refuses unknown ones:
// a misspelt "disbled" must not look like success.
func parseUserEdit(members []member, username string, minPassword int) (userEdit, error) {
	var edit userEdit
	var bad fieldErrors
	fields := memberValues(members)
	for _, m := range members {
		switch m.name {
		case "email":
			edit.Email = optionalText{true, bad.email(fields)}
		case "full_name":
			edit.FullName = optionalText{true, bad.fullName(fields)}
		case "password":
			if password, ok := bad.requiredString(fields, "password"); ok {
				edit.Password = &password
				bad.add("password", checkPassword(password, username, minPassword))
			}
		case "disabled":
			bad.refuseNull(fields, "disabled", "bool_type", wantBoolean)
			edit.Disabled = new(bad.boolean(fields, "disabled", wantBoolean))
		case "scopes":
			bad.refuseNull(fields, "scopes", "list_type", wantList)
			wanted := bad.scopeList(fields, wantList)
			edit.Scopes = func(scopes) (scopes, error) { return wanted, nil }
		default:
			bad.add(m.name, extraForbidden())
		}
	}
	return edit, bad.err()
}

func (e *fieldErrors) refuseNull(fields map[string]json.RawMessage, name, kind, text string) {
	if isAbsent(fields, name) {
		e.add(name, &fieldError{Type: kind, Msg: text})
	}
}
