package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// create makes users by an administrator, each with fields such as `"email":"a@example.org"`.
func (s *server) create(t testing.TB, admin, username string, fields ...string) {
	t.Helper()
	body := strings.Join(append([]string{`{"username":` + quoted(username), `"password":"` + password + `"`}, fields...), ",") + "}"
	if a := s.authorized(t, "POST", "/users/", body, admin); a.StatusCode != 200 {
		t.Fatalf("POST /users/ %s: %d %s", username, a.StatusCode, a.body)
	}
}

// searches are texts, and whom of those in testAdminSearch they find.
var searches = []struct {
	name, q string
	want    []string
}{
	{"a part of names", "ob", []string{"bob_b", "bobxb"}},
	{"in capitals", "ALICE", []string{"Alice"}},
	{"mixed case and width", "ａＬＩce", []string{"Alice"}},
	{"wide letters in narrow ones", "wide", []string{"größe"}},
	{"an umlaut in capitals", "GRÖ", []string{"größe"}},
	{"an umlaut taken apart", "gro\u0308", []string{"größe"}},
	{"a letter without its accent", "strasze", nil},
	{"an accent", "É", []string{"größe"}},
	{"a part of an address", "@EXAMPLE.org", []string{"Alice"}},
	{"a part of a full name", "e adams", []string{"Alice"}},
	{"a percent sign", "%", []string{"bob_b"}},
	{"percent signs around", "%bob%", nil},
	{"an underscore", "b_b", []string{"bob_b"}},
	{"a backslash", `\`, []string{"bobxb"}},
	{"a backslash and a percent sign", `\%`, nil},
	{"a quote", "'", []string{"bobxb"}},
	{"a quote and SQL", "' OR 1=1 --", nil},
	{"HTML", "<B>", []string{"bobxb"}},
	{"an entity", "&amp;", []string{"bobxb"}},
	{"the right-to-left override", "\u202e", []string{"日本🦊"}},
	{"Hebrew", "שלום", []string{"日本🦊"}},
	{"a fox", "🦊", []string{"日本🦊"}},
	{"patterns of shells", "*?[a]", []string{"z*?[a]^$"}},
	{"parameters of SQL", "$1", []string{"z*?[a]^$"}},
	{"other parameters", ":q @p1", []string{"z*?[a]^$"}},
	{"a plus sign", "+and&", []string{"plus+and&"}},
	{"a newline that is there", "blanks\nand", []string{"plus+and&"}},
	{"the end of one field and the begin of the next", "alicealice@", nil},
	{"two fields with a newline between them", "alice\nalice@", nil},
	{"two fields with a blank between them", "alice alice@", nil},
	{"two fields with a NUL-like separator", "alice\x1falice@", nil},
	{"150 characters", strings.Repeat("ä", 150), nil},
	{"a password", password, nil},
	{"a hash", "pbkdf2", nil},
	{"nobody", "nobody", nil},
}

// testAdminSearch: a search finds a text anywhere in the three fields, in any case and
// width, and takes every character as it is.
func testAdminSearch(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	s.create(t, admin, "Alice", `"email":"alice@example.org"`, `"full_name":"Alice Adams"`)
	s.create(t, admin, "bob_b", `"full_name":"100% Bob"`)
	s.create(t, admin, "bobxb", `"email":"Bob@example.com"`, `"full_name":"it's \\ \"quoted\" <b>&amp;"`)
	s.create(t, admin, "größe", `"full_name":"Ｗｉｄｅ Straße é"`)
	s.create(t, admin, "日本🦊", `"full_name":"\u202eright to left שלום"`)
	s.create(t, admin, "z*?[a]^$", `"full_name":"İstanbul ÇÖ $1 :q @p1"`)
	s.create(t, admin, "plus+and&", `"full_name":"two  blanks\nand a line"`)
	for _, tt := range searches {
		t.Run(tt.name, func(t *testing.T) {
			if got := s.find(t, admin, "q="+url.QueryEscape(tt.q)); !slices.Equal(got, tt.want) {
				t.Errorf("got %q; want %q", got, tt.want)
			}
		})
	}
	checkStatus(t, s.patch(t, admin, "alice", `{"full_name":"Renamed","email":null}`), 200)
	checkStatus(t, s.authorized(t, "PATCH", "/users/me/", `{"full_name":"By Herself"}`, s.logIn(t, "bob_b")), 200)
	for q, want := range map[string][]string{"adams": nil, "alice@": nil, "RENAMED": {"Alice"}, "100%25": nil, "herself": {"bob_b"}} {
		if got := s.find(t, admin, "q="+q); !slices.Equal(got, want) {
			t.Errorf("after changes %s finds %q; want %q", q, got, want)
		}
	}
}

// testAdminLargeSearch: texts that grow when they are folded are found, or refused, in time.
func testAdminLargeSearch(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	const grows = "\uFDFA" // 18 letters in NFKC
	s.create(t, admin, "long", `"full_name":"`+strings.Repeat(grows, 149)+"x"+strings.Repeat(grows, 10_000)+`y"`)
	for query, want := range map[string][]string{
		strings.Repeat(grows, 150):       {"long"},
		strings.Repeat(grows, 149) + "X": {"long"},
		strings.Repeat(grows, 149) + "y": nil, // too far behind
		strings.Repeat("%", 150):         nil,
		strings.Repeat(`\`, 150):         nil,
		strings.Repeat("🦊", 150):         nil,
	} {
		a := promptly(t, func() answer { return s.authorized(t, "GET", "/users/?q="+url.QueryEscape(query), "", admin) })
		if a.StatusCode == 422 {
			continue
		}
		if got := a.userPage(t).names(); !slices.Equal(got, want) {
			t.Errorf("%.10q finds %q; want %q", query, got, want)
		}
	}
}

// testAdminFilters: all conditions have to hold.
func testAdminFilters(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	s.create(t, admin, "alice", `"email":"Shared@Example.org"`, `"scopes":["admin","a_b"]`)
	s.create(t, admin, "bob", `"email":"shared@example.org"`, `"disabled":true`, `"scopes":["axb"]`)
	s.create(t, admin, "carol", `"email":"shared@example.org.uk"`, `"scopes":["administrator","a"]`)
	s.create(t, admin, "dave")
	tests := []struct {
		query string
		want  []string
	}{
		{"email=shared@example.org", []string{"alice", "bob"}},
		{"email=SHARED@EXAMPLE.ORG", []string{"alice", "bob"}},
		{"email=shared@example", nil},
		{"email=%25", nil},
		{"email=shared_example.org", nil},
		{"disabled=true", []string{"bob"}},
		{"disabled=false", []string{"alice", "carol", "dave", root}},
		{"scope=admin", []string{"alice", root}},
		{"scope=a_b", []string{"alice"}},
		{"scope=a", []string{"carol"}},
		{"scope=ADMIN", nil},
		{"email=shared@example.org&disabled=false", []string{"alice"}},
		{"q=shared&scope=a&disabled=false", []string{"carol"}},
		{"q=bob&disabled=false", nil},
		{"scope=admin&after=alice", []string{root}},
		{"scope=admin&after=ALICE", []string{root}},
		{"after=b", []string{"bob", "carol", "dave", root}},
		{"after=nobody-who-is-there", []string{root}},
		{"after=%EF%BC%A3arol", []string{"dave", root}},
		{"after=zzz", nil},
		{"limit=1&email=shared@example.org", []string{"alice", "bob"}},
		{"limit=1000", []string{"alice", "bob", "carol", "dave", root}},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			if got := s.find(t, admin, tt.query); !slices.Equal(got, tt.want) && len(got)+len(tt.want) > 0 {
				t.Errorf("got %q; want %q", got, tt.want)
			}
		})
	}
}

// badSearches are queries of GET /users/ that are refused rather than misread.
var badSearches = []string{
	"q=", "q=%00", "q=a%00b", "q=%ff", "q=" + strings.Repeat("a", 151), "q=a&q=b", "q=a&q=a", "q=%zz", "q=a;b",
	"limit=0", "limit=-1", "limit=1001", "limit=x", "limit=", "limit=1.0", "limit=+1", "limit=%201", "limit=0x10", "limit=1e2", "limit=99999999999999999999", "limit=1&limit=2",
	"disabled=", "disabled=maybe", "disabled=null", "disabled=true&disabled=false",
	"scope=", "scope=a%20b", "scope=%C3%A4", "scope=any", "scope=" + strings.Repeat("a", 65), "scope=a&scope=b",
	"after=", "after=%00", "after=%ff", "after=" + strings.Repeat("a", 151), "after=a&after=b",
	"email=", "email=%00", "email=%ff", "email=a@example.org&email=b@example.org",
	"unknown=1", "Q=a", "offset=1", "page=2", "access_token=x", "=", "q=a&=b", "limit[]=1",
}

func testAdminBadSearch(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	for _, query := range badSearches {
		t.Run(query[:min(40, len(query))], func(t *testing.T) {
			a := s.authorized(t, "GET", "/users/?"+query, "", admin)
			if query == "scope=any" && a.StatusCode == 200 {
				return // no user can have it; whether it may be asked for is left open
			}
			checkStatus(t, a, 422)
			var body struct {
				Detail []struct {
					Type, Msg string
					Loc       []any
				}
			}
			if err := json.Unmarshal([]byte(a.body), &body); err != nil || len(body.Detail) == 0 || body.Detail[0].Msg == "" || body.Detail[0].Loc[0] != "query" {
				t.Errorf("got %s, %v; want what is wrong with the query", a.body, err)
			}
		})
	}
}

// testAdminPages: pages follow each other without a gap, in the same order in every store.
func testAdminPages(t *testing.T, p place) {
	s, admin := p.startWithRoot(t)
	// In the order of their keys' bytes, which is not that of UTF-16 or of any language.
	names := []string{"-", "0", "10", "9", "A", "a_b", "aa", "B", root, "z", "~", "ä", "é", "ﾃ", "中", "🦊"}
	for _, name := range names {
		if name != root {
			s.create(t, admin, name)
		}
	}
	all := s.authorized(t, "GET", "/users/?limit=1000", "", admin).userPage(t)
	if len(all.Users) != len(names) || all.Next != nil {
		t.Fatalf("got %q, next %v; want all", all.names(), all.Next)
	}
	t.Logf("the order is %q", all.names())
	for limit := 1; limit <= len(names)+1; limit++ {
		var got []string
		for after := ""; ; {
			page := s.authorized(t, "GET", fmt.Sprintf("/users/?limit=%d%s", limit, after), "", admin).userPage(t)
			got = append(got, page.names()...)
			if full := len(page.Users) == limit; full != (page.Next != nil) {
				t.Fatalf("limit %d: a page of %d with next %v", limit, len(page.Users), page.Next)
			}
			if page.Next == nil {
				break
			}
			if last := got[len(got)-1]; *page.Next != last {
				t.Fatalf("next is %q behind %q", *page.Next, last)
			}
			after = "&after=" + url.QueryEscape(*page.Next)
		}
		if !slices.Equal(got, all.names()) {
			t.Errorf("limit %d: got %q; want %q", limit, got, all.names())
		}
	}
	ascii := all.names()[:11]
	if want := names[:11]; !slices.Equal(ascii, want) {
		t.Errorf("the names are in the order %q; want %q", ascii, want)
	}
}

// testAdminManyPages: who was there all along is on exactly one page, whoever comes and goes
// meanwhile. A database has 2,000 of them, or 100,000.
func testAdminManyPages(t *testing.T, p place) {
	n := 60
	if p.isDatabase() {
		n = 2000
		if os.Getenv("LONG") != "" {
			n = 100_000
		}
		p.must(t, "users", "import", manyUsersFile(t, n))
	}
	s, admin := p.startWithRoot(t)
	if !p.isDatabase() {
		for i := range n {
			s.create(t, admin, manyName(i))
		}
	}
	var stop atomic.Bool
	var passing sync.WaitGroup
	var came atomic.Int64
	passing.Go(func() { came.Store(int64(comeAndGo(t, s, admin, &stop))) })
	t.Cleanup(func() { stop.Store(true); passing.Wait() })
	seen := make(map[string]int)
	pages := 0
	for after := ""; ; pages++ {
		page := s.authorized(t, "GET", fmt.Sprintf("/users/?limit=%d&q=USER-%s", min(1000, max(2, n/40)), after), "", admin).userPage(t)
		for _, u := range page.Users {
			seen[u.Username]++
		}
		if page.Next == nil {
			break
		}
		after = "&after=" + url.QueryEscape(*page.Next)
	}
	stop.Store(true)
	if passing.Wait(); came.Load() == 0 || pages < 20 {
		t.Errorf("%d came and went while %d pages were read; want some", came.Load(), pages)
	}
	for i := range n {
		if seen[manyName(i)] != 1 {
			t.Errorf("%s is on %d pages; want 1", manyName(i), seen[manyName(i)])
		}
	}
	for name, times := range seen {
		if times != 1 {
			t.Errorf("%s is on %d pages", name, times)
		}
	}
}

// comeAndGo adds and deletes users until it is told to stop, and returns how many.
func comeAndGo(t testing.TB, s *server, admin string, stop *atomic.Bool) int {
	bearer := "Authorization: Bearer " + admin
	for n := 0; ; n++ {
		name := fmt.Sprintf("user-%x-passing", (n*5)%16)
		if a, err := s.try(t.Context(), "POST", "/users/", newUser(name, password), jsonType, bearer); err != nil || a.StatusCode != 200 && a.StatusCode != 503 {
			t.Errorf("%s comes: %d %s, %v", name, a.StatusCode, a.body, err)
		}
		if a, err := s.try(t.Context(), "DELETE", userPath(name), "", bearer); err != nil || a.StatusCode != 204 {
			t.Errorf("%s goes: %d %s, %v", name, a.StatusCode, a.body, err)
		}
		if stop.Load() {
			return n + 1
		}
	}
}
