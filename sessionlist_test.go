package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestSessions: people see their sessions and end those that they choose.
func TestSessions(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		phone := s.do("POST", "/token", goodLogin, "Content-Type: "+urlEncoded, "User-Agent: phone <1>").tokens()
		s.clock.Advance(time.Minute)
		laptop, bob := s.begin("alice"), s.begin("bob")
		s.clock.Advance(time.Minute)
		phone = s.refresh(phone.refresh).tokens()

		list := s.sessions(laptop)
		if len(list) != 2 {
			t.Fatalf("the list is %v", list)
		}
		at := func(d time.Duration) string {
			return s.clock.Now().UTC().Truncate(time.Microsecond).Add(d).Format(time.RFC3339Nano)
		}
		want := []object{
			{"created_at": at(-2 * time.Minute), "last_used_at": at(0), "expires_at": at(14 * day), "ip": "127.0.0.1", "user_agent": "phone <1>", "current": false},
			{"created_at": at(-time.Minute), "last_used_at": at(-time.Minute), "expires_at": at(14*day - time.Minute), "ip": "127.0.0.1", "user_agent": "Go-http-client/1.1", "current": true},
		}
		for i, session := range list {
			for name, value := range want[i] {
				if session[name] != value {
					t.Errorf("session %d: %s is %v; want %v", i, name, session[name], value)
				}
			}
		}
		lost, own := list[0]["id"].(string), list[1]["id"].(string)
		for _, step := range []struct {
			name, id string
			as       pair
			status   int
		}{
			{"somebody else's", lost, bob, 404},
			{"one that is not there", newSessionID(), laptop, 404},
			{"a word", "current", laptop, 404},
			{"a NUL", "%00", laptop, 404},
			{"invalid UTF-8", "%ff", laptop, 404},
			{"7,000 characters", strings.Repeat("a", 7000), laptop, 404},
			{"the lost one", lost, laptop, 204},
			{"the lost one again", lost, laptop, 404},
			{"one's own", own, laptop, 204},
		} {
			got := s.as(step.as, "DELETE", "/users/me/sessions/"+step.id, "")
			if got.status != step.status || got.status == 204 && got.body != "" || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s; want %d", step.name, got.status, got.body, step.status)
			}
			if step.id == lost && step.as == laptop {
				s.checkEnded("the lost one", phone)
			}
		}
		s.checkEnded("one's own", laptop)
		s.checkGood("somebody else", bob)
	})
}

// sessions returns the list that one of them sees.
func (s *testServer) sessions(p pair) []object {
	s.t.Helper()
	a := s.as(p, "GET", "/users/me/sessions/", "")
	var list []object
	for _, session := range a.json().([]any) {
		list = append(list, session.(object))
	}
	return list
}

// TestSessionsWithoutSession: a token that was made elsewhere sees the sessions and is
// none of them.
func TestSessionsWithoutSession(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		now := s.clock.Now().Unix() + 1 // after the registration, which was in the middle of a second
		foreign := pair{access: mint(hs256, fmt.Sprintf(`{"sub":"alice","iat":%d,"exp":%d}`, now, now+600), testSecret)}
		if got := s.as(foreign, "GET", "/users/me/sessions/", ""); got.status != 200 || got.body != "[]" {
			t.Errorf("no session: %d %s", got.status, got.body)
		}
		tokens := s.begin("alice")
		if list := s.sessions(foreign); len(list) != 1 || list[0]["current"] != false {
			t.Errorf("the list is %v", list)
		}
		s.clock.Advance(time.Second)
		if got := s.as(foreign, "DELETE", "/users/me/sessions/?keep=current", ""); got.status != 204 {
			t.Errorf("ending the others: %d %s", got.status, got.body)
		}
		s.checkEnded("the others", tokens)
		if got := s.me("Authorization: Bearer " + foreign.access); got.body != badToken {
			t.Errorf("the token made elsewhere: %d %s", got.status, got.body)
		}
	})
}

// TestSessionListLength: how many sessions the list has, and which. The one that asks is
// among them, whether it was used of late or not.
func TestSessionListLength(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s *testServer) {
		first := s.begin("alice")
		who, err := s.acc.currentUser(t.Context(), first.access)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 129 {
			used := s.clock.Now().Add(time.Duration(i+1) * time.Second)
			begun := Session{ID: newSessionID(), UserID: who.User.ID, CreatedAt: used, LastUsedAt: used, ExpiresAt: used.Add(day)}
			if err := s.acc.store.CreateSession(t.Context(), begun, who.User.PasswordHash, maxSessions); err != nil {
				t.Fatal(err)
			}
		}
		foreign := pair{access: mint(hs256, fmt.Sprintf(`{"sub":"alice","iat":%d,"exp":%d}`, s.clock.Now().Unix()+1, s.clock.Now().Unix()+600), testSecret)}
		for _, tt := range []struct {
			query  string
			length int
		}{
			{"", 100}, {"?", 100}, {"?limit=100", 100}, {"?limit=1", 1}, {"?limit=2", 2}, {"?limit=129", 129},
			{"?limit=130", 130}, {"?limit=131", 130}, {"?limit=1000", 130}, {"?Limit=5", 100}, {"?keep=current&x=%zz", 100},
		} {
			get := func(p pair) []any {
				got := s.as(p, "GET", "/users/me/sessions/"+tt.query, "")
				list, _ := got.json().([]any)
				if got.status != 200 || len(list) != tt.length {
					t.Errorf("%q: %d with %d sessions; want %d", tt.query, got.status, len(list), tt.length)
				}
				for i := 1; i < len(list); i++ {
					if list[i-1].(object)["last_used_at"].(string) < list[i].(object)["last_used_at"].(string) {
						t.Fatalf("%q: number %d was used later than the one before", tt.query, i)
					}
				}
				return list
			}
			list := get(first)
			if last := list[len(list)-1].(object); last["id"] != who.Session.ID || last["current"] != true {
				t.Errorf("%q: the last is %v; want the one that asks", tt.query, last)
			}
			list = get(foreign)
			if last := list[len(list)-1].(object); last["id"] == "" || (last["id"] == who.Session.ID) != (tt.length == 130) {
				t.Errorf("%q: to a token without a session the last is %v", tt.query, last)
			}
		}
		s.refresh(first.refresh) // by the frozen clock, which is no later
		s.clock.Advance(time.Hour)
		now := s.refresh(s.begin("alice").refresh).tokens()
		if list := s.sessions(now); len(list) != 100 || list[0]["current"] != true {
			t.Errorf("the one that was used last: %v", list[0])
		}
	})
}

// TestSessionListLimit: what may stand in the query, in pydantic's words.
func TestSessionListLimit(t *testing.T) {
	s := startServer(t)
	s.signUp()
	tokens := s.begin("alice")
	const (
		noInteger = `{"type":"int_parsing","loc":["query","limit"],"msg":"Input should be a valid integer, unable to parse string as an integer"}`
		tooSmall  = `{"type":"greater_than_equal","loc":["query","limit"],"msg":"Input should be greater than or equal to 1","ctx":{"ge":1}}`
		tooLarge  = `{"type":"less_than_equal","loc":["query","limit"],"msg":"Input should be less than or equal to 1000","ctx":{"le":1000}}`
	)
	for _, tt := range []struct{ query, want string }{
		{"limit=1", ""}, {"limit=1000", ""}, {"limit=+5", ""}, {"limit=%2B5", ""}, {"limit=007", ""}, {"limit=%205%20", ""},
		{"%6cimit=5", ""}, {"limit=0&limit=5", ""}, {"x=%zz&limit=5;&limit=5", ""}, {"limits=0", ""},
		{"limit", noInteger}, {"limit=", noInteger}, {"limit=+", noInteger}, {"limit=ten", noInteger}, {"limit=1e2", noInteger},
		{"limit=10.5", noInteger}, {"limit=0x10", noInteger}, {"limit=5;x", noInteger}, {"limit=5;", noInteger}, {"limit=%zz", noInteger},
		{"limit=%00", noInteger}, {"limit=%FF", noInteger}, {"limit=%D9%A3", noInteger}, {"limit=null", noInteger}, {"limit=5,6", noInteger},
		{"limit=" + strings.Repeat("x", 7000), noInteger}, {"limit=5&limit=x", noInteger},
		{"limit=0", tooSmall}, {"limit=-0", tooSmall}, {"limit=-1", tooSmall}, {"limit=-99999999999999999999", tooSmall}, {"limit=5&limit=0", tooSmall},
		{"limit=1001", tooLarge}, {"limit=99999999999999999999", tooLarge}, {"limit=" + strings.Repeat("9", 7000), tooLarge},
	} {
		got := s.as(tokens, "GET", "/users/me/sessions/?"+tt.query, "")
		if tt.want == "" && got.status != 200 || tt.want != "" && (got.status != 422 || got.body != `{"detail":[`+tt.want+`]}`) {
			t.Errorf("%.40s: %d %s; want %s", tt.query, got.status, got.body, tt.want)
		}
	}
	if got := s.do("GET", "/users/me/sessions/?limit=x", ""); got.body != notAuthenticated {
		t.Errorf("without a token: %d %s", got.status, got.body)
	}
}

// FuzzLimit: whatever the query, the limit is one of those that may be, or the error says
// of what it is.
func FuzzLimit(f *testing.F) {
	for _, query := range []string{"", "limit=5", "limit=0&limit=1000", "limit=-1", "limit=%31", "limit=%zz", "a;b&limit", "&&=&limit=x"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		n, err := parseLimit(query)
		bad, isField := errors.AsType[fieldErrors](err)
		if err == nil && (n < 1 || n > maxRowsShown) || err != nil && (!isField || len(bad) != 1 || n != 0) {
			t.Errorf("%q: %d, %v", query, n, err)
		}
		values, err := url.ParseQuery(query)
		if err == nil && !values.Has("limit") && n != rowsShown {
			t.Errorf("%q, without a limit: %d", query, n)
		}
	})
}

// TestSessionLimit: with as many sessions as may be, a login ends the one that was unused
// for longest, and no other.
func TestSessionLimit(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.signUp()
	oldest, second, bob := s.begin("alice"), s.begin("alice"), pair{}
	s.register("bob", goodPassword)
	bob = s.begin("bob")
	s.clock.Advance(time.Second)
	u, err := s.acc.store.UserByKey(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	for range maxSessions - 3 { // sign-up has begun one too
		now := s.clock.Now()
		begun := Session{ID: newSessionID(), UserID: u.ID, CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(day)}
		if err := s.acc.store.CreateSession(t.Context(), begun, u.PasswordHash, maxSessions); err != nil {
			t.Fatal(err)
		}
	}
	length := func(p pair) int {
		list, _ := s.as(p, "GET", "/users/me/sessions/?limit=1000", "").json().([]any)
		return len(list)
	}
	if n := length(oldest); n != maxSessions {
		t.Fatalf("%d sessions; want %d", n, maxSessions)
	}
	s.clock.Advance(time.Second)
	oldest = s.checkGood("the oldest, which is used now", oldest)
	newest := oldest
	for range 2 {
		newest = s.begin("alice")
		if n := length(newest); n != maxSessions {
			t.Errorf("after a login %d sessions; want %d", n, maxSessions)
		}
	}
	s.checkEnded("the one that was unused for longest", second)
	s.checkGood("the newest", newest)
	s.checkGood("the oldest, which was used", oldest)
	s.checkGood("another user", bob)
}

// TestSessionListsWaitForEachOther: a list that finds no place is 503 after a while, and
// nobody else has to wait.
func TestSessionListsWaitForEachOther(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.register("alice", "correct horse battery")
	p := s.begin("alice")
	s.acc.lists = newQueue(1)
	if err := s.acc.lists.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.as(p, "GET", "/users/me/", ""); got.status != 200 {
		t.Errorf("another request gets %d", got.status)
	}
	if got := s.as(p, "GET", "/users/me/sessions/", ""); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("a list gets %d %v; want 503", got.status, got.header)
	}
	s.acc.lists.leave()
	if got := s.as(p, "GET", "/users/me/sessions/", ""); got.status != 200 {
		t.Errorf("with a place it gets %d", got.status)
	}
}
