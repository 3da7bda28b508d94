package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/loadtest"
)

// The benchmarks of lists have manyUsers users with different names, or as many as the environment
// variable IMPORT_USERS says. They are imported, so each has a search text as the program makes it.

// BenchmarkFindUsers measures how long GET /users/ takes an administrator.
func BenchmarkFindUsers(b *testing.B) {
	eachBulkStore(b, func(b *testing.B, store bulkStore) {
		users := importUsers(b)
		ours, admin := startListed(b, store, users)
		for _, bm := range []struct {
			name, query string
			found       int
		}{
			{"no filter", "", 100},
			{"a common word", "q=kowalski", 100},
			{"a common word, page 100", ours.pageQuery(b, admin, "q=kowalski", min(users/10_000, 100)), 100},
			{"a word that one in 10,000 has", "q=featherstonehaugh", min(users/10_000, 100)},
			{"a word that nobody has", "q=xylophage", 0},
			{"disabled users, of whom there are none", "disabled=true", 0},
			{"the one administrator", "scope=admin", 1},
			{"an e-mail address", "email=" + listedAt(users/2).Email, 1},
		} {
			b.Run(bm.name, func(b *testing.B) {
				for b.Loop() {
					waits := ours.timesOfList(b, admin, bm.query, bm.found)
					b.ReportMetric(loadtest.Quantile(waits, 0.5), "ms")
					b.ReportMetric(loadtest.Quantile(waits, 1), "ms-most")
					b.ReportMetric(0, "ns/op") // says nothing here
				}
			})
		}
		b.Run("16 at once", func(b *testing.B) { crowdLists(b, ours, admin) })
	})
}

// crowdLists lets 16 clients search for a word that nobody has, again and again. Meanwhile 8
// others read their own account, each up to 100 times a second.
func crowdLists(b *testing.B, p *quiet, admin string) {
	read, search := readMe(p, admin), listRequest(p, admin, "q=xylophage")
	const d = 10 * time.Second
	for b.Loop() {
		alone := askAgain(p.addr, read, 8, 10*time.Millisecond, d)
		var beside, searches []reply
		var both sync.WaitGroup
		both.Go(func() { beside = askAgain(p.addr, read, 8, 10*time.Millisecond, d) })
		both.Go(func() { searches = askAgain(p.addr, search, 16, 0, d) })
		both.Wait()
		checkReplies(b, slices.Concat(alone, beside), "200")
		checkReplies(b, searches, "200", "503")
		b.ReportMetric(loadtest.Quantile(waitsOf(alone, "200"), 0.99), "ms-me-p99-alone")
		b.ReportMetric(loadtest.Quantile(waitsOf(beside, "200"), 0.5), "ms-me-p50")
		b.ReportMetric(loadtest.Quantile(waitsOf(beside, "200"), 0.99), "ms-me-p99")
		b.ReportMetric(loadtest.Quantile(waitsOf(beside, "200"), 1), "ms-me-most")
		b.ReportMetric(float64(len(waitsOf(searches, "200"))), "found")
		b.ReportMetric(float64(len(waitsOf(searches, "503"))), "refused")
		b.ReportMetric(loadtest.Quantile(waitsOf(searches, "200", "503"), 1), "ms-most")
		b.ReportMetric(0, "ns/op") // says nothing here
	}
}

// startListed imports users and starts the program. It returns the token of an administrator.
func startListed(b *testing.B, store bulkStore, users int) (p *quiet, admin string) {
	b.Helper()
	address := store.fresh(b)
	runCommand(b, address, "users", "import", writeLines(b, users, listedAt))
	store.settle(b)
	p = startQuiet(b, "DATABASE_URL="+address, "SECRET_KEY="+aKey)
	admin = p.signIn(b)
	runCommand(b, address, "users", "grant", "bench", "admin")
	return p, admin
}

// The names of listed users: of each 50 one has the first family name.
var (
	givenNames  = strings.Fields("Anna Maria Katarzyna José Łukasz Mehmet Ayşe Yuki Hiroshi Wei Fatima Omar Aoife Seán Priya Arjun Ngọc Minh Chloé Jürgen Søren Zoë Dmitri Olga Kwame Ama Lucía Mateo Emma Noah Olivia Liam")
	familyNames = strings.Fields("Kowalski García Müller Nguyễn Smith Jones O'Brien Yılmaz Tanaka Suzuki Wang Li Zhang Kim Park Singh Patel Sharma Ivanova Petrov Rossi Ferrari Dubois Lefèvre Jansen De-Vries Andersson Nilsson Hansen Larsen Virtanen Korhonen Novák Svoboda Horvat Kovač Papadopoulos Costa Silva Santos Pereira Mensah Okafor Abebe Haddad Khoury Cohen Levi Brown Taylor")
	mailHosts   = strings.Fields("mail.example.com post.example.org firma.example.net uni.example.edu")
)

// listedAt returns user i: one with a rare name of each 10,000, and others with frequent ones.
func listedAt(i int) newcomer {
	given, family := givenNames[i%len(givenNames)], familyNames[i/len(givenNames)%len(familyNames)]
	if i%10_000 == 0 {
		family = "Featherstonehaugh"
	}
	n := newcomerAt(i)
	n.Username = fmt.Sprintf("%s.%s%d", given, family, i)
	n.Email = fmt.Sprintf("%s%d@%s", strings.ToLower(family), i, mailHosts[i%len(mailHosts)])
	n.FullName = given + " " + family
	return n
}

// listRequest returns a request for a list of users.
func listRequest(p *quiet, token, query string) string {
	return "GET /users/?" + query + " HTTP/1.1\r\nHost: " + p.addr + "\r\nAuthorization: Bearer " + token + "\r\n\r\n"
}

// list returns a page of users.
func (p *quiet) list(b *testing.B, token, query string) (page userPage) {
	b.Helper()
	_, body := p.get(b, "/users/?"+query, token)
	if err := json.Unmarshal(body, &page); err != nil {
		b.Fatal(err)
	}
	return page
}

// pageQuery returns the query of page number n of a list.
func (p *quiet) pageQuery(b *testing.B, token, query string, n int) string {
	b.Helper()
	at := query
	for range n - 1 {
		next := p.list(b, token, at).Next
		if next == nil {
			b.Fatalf("%s has fewer than %d pages", query, n)
		}
		at = query + "&after=" + url.QueryEscape(*next)
	}
	return at
}

// timesOfList asks for a page of users 11 times and returns how long that took, in milliseconds.
func (p *quiet) timesOfList(b *testing.B, token, query string, found int) (took []float64) {
	b.Helper()
	for range 11 {
		began := time.Now()
		page := p.list(b, token, query)
		took = append(took, milliseconds(time.Since(began)))
		if len(page.Users) != found {
			b.Fatalf("%s: found %d users; want %d", query, len(page.Users), found)
		}
	}
	return took
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// A reply is a status, or what went wrong, and how many milliseconds it took.
type reply struct {
	status string
	wait   float64
}

// askAgain lets clients send a request again and again for d, each over a connection of its own
// and with a pause after each answer.
func askAgain(addr, request string, clients int, pause, d time.Duration) []reply {
	each := make([][]reply, clients)
	var all sync.WaitGroup
	for i := range each {
		all.Go(func() { each[i] = keepAsking(addr, request, pause, d) })
	}
	all.Wait()
	return slices.Concat(each...)
}

// keepAsking is what one client does. It ends with the connection.
func keepAsking(addr, request string, pause, d time.Duration) (all []reply) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return []reply{{status: err.Error()}}
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(pause) {
		began := time.Now()
		status := exchange(c, r, request)
		all = append(all, reply{status, milliseconds(time.Since(began))})
		if _, err := strconv.Atoi(status); err != nil {
			break
		}
	}
	return all
}

// waitsOf returns how long the replies with these statuses took, in milliseconds.
func waitsOf(replies []reply, statuses ...string) (waits []float64) {
	for _, a := range replies {
		if slices.Contains(statuses, a.status) {
			waits = append(waits, a.wait)
		}
	}
	return waits
}

// checkReplies fails the benchmark if a reply has another status.
func checkReplies(b *testing.B, replies []reply, statuses ...string) {
	b.Helper()
	for _, a := range replies {
		if !slices.Contains(statuses, a.status) {
			b.Fatalf("answered %s; want %s", a.status, strings.Join(statuses, " or "))
		}
	}
}
