package peers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"latchkey/internal/loadtest"
)

// A peer is a server that is measured.
type peer struct {
	name    string // without spaces
	install func(b *testing.B) backend
}

// A backend is a peer that is installed, with the data that it needs to start.
type backend interface {
	// launch starts it at an address that is free, with the data of its last run if it keeps any.
	launch(b *testing.B, addr string) *server
	// signUp makes the user.
	signUp(b *testing.B, s *server)
	// logIn returns the request with which the user logs in.
	logIn(addr string) string
	// whoAmI returns the request that asks who has the token in an answer to logIn.
	whoAmI(b *testing.B, addr string, login []byte) string
	// refresh returns a script that asks for new tokens again and again, or nil if there are none.
	refresh(b *testing.B, addr string, login []byte) loadtest.Script
}

var peers = []peer{
	{"Latchkey-memory", installLatchkey},
	{"Latchkey-SQLite", installLatchkeyOnSQLite},
	{"Latchkey-PostgreSQL", installLatchkeyOnPostgres},
	{"original", installOriginal},
	{"PocketBase", installPocketBase},
}

// rounds is how many turns each peer takes.
const rounds = 9

// A contest is a peer in the race.
type contest struct {
	peer
	backend
	*server
	login []byte
}

func BenchmarkPeers(b *testing.B) {
	var all []*contest
	for _, p := range peers {
		all = append(all, enter(b, p))
	}
	for _, n := range []int{1, 16, 64} {
		compare(b, all, fmt.Sprint("who-am-I/connections=", n), "requests/s", loadtest.Turn(b), func(c *contest) *loadtest.Load {
			return loadtest.Of(c.addr, n, c.whoAmI(b, c.addr, c.login))
		})
	}
	compare(b, all, "refresh/connections=16", "refreshes/s", loadtest.Turn(b), func(c *contest) *loadtest.Load {
		var scripts []loadtest.Script
		for range 16 {
			if script := c.refresh(b, c.addr, c.post(b, c.logIn(c.addr))); script != nil {
				scripts = append(scripts, script)
			}
		}
		return loadtest.New(c.addr, scripts...)
	})
	compare(b, all, "login/connections=4", "logins/s", 5*loadtest.Turn(b), func(c *contest) *loadtest.Load {
		return loadtest.Of(c.addr, 4, c.logIn(c.addr))
	})
}

// enter measures the start of a peer, then starts it for good and logs its user in.
func enter(b *testing.B, p peer) *contest {
	b.Helper()
	c := &contest{peer: p, backend: p.install(b)}
	var starts, sizes []float64
	for range rounds {
		s := c.launch(b, freeAddress(b))
		starts, sizes = append(starts, s.awaitAnswer(b)), append(sizes, loadtest.ResidentMB(b, s.cmd.Process))
		s.stop()
	}
	b.Run(p.name+"/start", func(b *testing.B) {
		for b.Loop() {
			report(b, "ms-to-first-answer", starts)
			report(b, "MB-idle", sizes)
		}
	})
	c.server = c.launch(b, freeAddress(b))
	c.awaitAnswer(b)
	c.signUp(b, c.server)
	c.login = c.post(b, c.logIn(c.addr))
	return c
}

// compare lets all peers take turns at a load, and reports the rate of each. A load without
// connections is of a peer that cannot do it.
func compare(b *testing.B, all []*contest, question, unit string, d time.Duration, loadOf func(*contest) *loadtest.Load) {
	b.Helper()
	loads := make(map[*contest]*loadtest.Load)
	rates := make(map[*contest][]float64)
	for _, c := range all {
		loads[c] = loadOf(c)
	}
	for range rounds {
		for _, c := range all {
			rate, err := loads[c].Run(d)
			if err != nil {
				b.Fatalf("%s, %s: %v", c.name, question, err)
			}
			rates[c] = append(rates[c], rate)
		}
	}
	for _, c := range all {
		if slices.Max(rates[c]) == 0 {
			continue
		}
		b.Run(c.name+"/"+question, func(b *testing.B) {
			for b.Loop() {
				report(b, unit, rates[c])
			}
			b.ReportMetric(loads[c].Wait(0.99), "ms-p99")
		})
	}
}

// report reports how values are spread.
func report(b *testing.B, unit string, values []float64) {
	loadtest.ReportSpread(b, unit, values)
	b.ReportMetric(0, "ns/op") // says nothing here
}
