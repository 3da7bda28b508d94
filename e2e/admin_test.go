package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// root is the administrator whom a start of the server makes.
const root = "Root"

// withRoot are the settings by which a start of the server makes root.
func withRoot(more ...string) []string {
	return append([]string{"ADMIN_USERNAME=" + root, "ADMIN_PASSWORD=" + password}, more...)
}

// startWithRoot starts a server on a store, without limits on guessing, and returns it with
// a token of root.
func (p place) startWithRoot(t testing.TB, more ...string) (*server, string) {
	t.Helper()
	s := p.startUnthrottled(t, withRoot(more...)...)
	return s, s.logIn(t, root)
}

// An adminUser is a user as administrators see one.
type adminUser struct {
	Username  string    `json:"username"`
	Email     *string   `json:"email"`
	FullName  *string   `json:"full_name"`
	Disabled  bool      `json:"disabled"`
	Scopes    []string  `json:"scopes"`
	CreatedAt time.Time `json:"created_at"`
}

// user returns the one that an answer shows.
func (a answer) user(t testing.TB) adminUser {
	t.Helper()
	checkStatus(t, a, 200)
	var u adminUser
	strictly(t, a.body, &u)
	if u.Scopes == nil {
		t.Errorf("%s: scopes are no list", a.body)
	}
	return u
}

// strictly reads a body in which every key has to be known.
func strictly(t testing.TB, body string, into any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%.300s: %v", body, err)
	}
}

// userPath is where an administrator finds a user.
func userPath(username string, more ...string) string {
	return "/users/" + url.PathEscape(username) + "/" + strings.Join(more, "/")
}

// patch lets an administrator change a user.
func (s *server) patch(t testing.TB, token, username, body string) answer {
	t.Helper()
	return s.authorized(t, "PATCH", userPath(username), body, token)
}

// A userPage is an answer of GET /users/.
type userPage struct {
	Users []adminUser `json:"users"`
	Next  *string     `json:"next"`
}

func (a answer) userPage(t testing.TB) userPage {
	t.Helper()
	checkStatus(t, a, 200)
	var p userPage
	strictly(t, a.body, &p)
	if p.Users == nil {
		t.Fatalf("%.300s: the users are no list", a.body)
	}
	return p
}

// names are those on a page.
func (p userPage) names() []string {
	var all []string
	for _, u := range p.Users {
		all = append(all, u.Username)
	}
	return all
}

// find returns the names of those whom a search such as "q=a" finds, page by page.
func (s *server) find(t testing.TB, token, query string) []string {
	t.Helper()
	var all []string
	for after := ""; ; {
		page := s.authorized(t, "GET", "/users/?"+query+after, "", token).userPage(t)
		all = append(all, page.names()...)
		if page.Next == nil {
			return all
		}
		after = "&after=" + url.QueryEscape(*page.Next)
	}
}

// An event is what GET /events/ says about one.
type event struct {
	ID        int64     `json:"id"`
	At        time.Time `json:"at"`
	Event     string    `json:"event"`
	Username  *string   `json:"username"`
	Actor     *string   `json:"actor"`
	IP        *string   `json:"ip"`
	UserAgent *string   `json:"user_agent"`
	RequestID *string   `json:"request_id"`
	Detail    *string   `json:"detail"`
}

// String is the event in one line, as tests compare it: who did what to whom, and how.
func (e event) String() string {
	return fmt.Sprintf("%s %s by %s: %s", e.Event, orNull(e.Username), orNull(e.Actor), orNull(e.Detail))
}

// orNull returns a text that may be missing.
func orNull(text *string) string {
	if text == nil {
		return "null"
	}
	return *text
}

// An eventPage is an answer of GET /events/.
type eventPage struct {
	Events []event `json:"events"`
	Next   *int64  `json:"next"`
}

func (a answer) eventPage(t testing.TB) eventPage {
	t.Helper()
	checkStatus(t, a, 200)
	var p eventPage
	strictly(t, a.body, &p)
	if p.Events == nil {
		t.Fatalf("%.300s: the events are no list", a.body)
	}
	return p
}

// feed returns the events that a query such as "username=alice" asks for, page by page.
func (s *server) feed(t testing.TB, token, query string) []event {
	t.Helper()
	var all []event
	for after := ""; ; {
		page := s.authorized(t, "GET", "/events/?"+query+after, "", token).eventPage(t)
		all = append(all, page.Events...)
		if page.Next == nil {
			return all
		}
		after = "&after=" + strconv.FormatInt(*page.Next, 10)
	}
}

// awaitFeed waits until a query finds this many events: those that were not reported are
// in the store within about a second.
func (s *server) awaitFeed(t testing.TB, token, query string, n int) []event {
	t.Helper()
	var all []event
	waitFor(t, fmt.Sprintf("%d events of %s", n, query), func() bool {
		all = s.feed(t, token, query)
		return len(all) >= n
	})
	return all
}
