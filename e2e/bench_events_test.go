package e2e

import (
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkLoginEvents compares logins of a server that keeps events with one that does not, each
// with a database of its own. It counts the logins for each second of the server's own CPU time,
// which is what limits them: other programs on the machine matter less. What PostgreSQL computes is
// left out.
func BenchmarkLoginEvents(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) {
		dir := b.TempDir()
		compareEvents(b, inFileAt(filepath.Join(dir, "with.db")), inFileAt(filepath.Join(dir, "without.db")))
	})
	b.Run("PostgreSQL", func(b *testing.B) {
		c := startPostgres(b)
		compareEvents(b, inPostgres(b, c), inPostgres(b, c))
	})
}

func compareEvents(b *testing.B, with, without place) {
	b.Helper()
	kept := loginsAt(b, startQuiet(b, with.with("EVENTS_DAYS=90")...))
	dropped := loginsAt(b, startQuiet(b, without.with("EVENTS_DAYS=0")...))
	for b.Loop() {
		reportPairs(b, "logins/CPU-s", "of-none-kept", 16, kept, dropped)
	}
	const query = "SELECT count(*) FROM events"
	if n, none := with.number(b, query), without.number(b, query); n < 100 || none > 0 {
		b.Errorf("%d events were kept, and %d by the server that keeps none", n, none)
	}
}

// loginsAt returns a function that measures how many logins a server answers for each second that it
// computes. Events are written once a second. Therefore the first second does not count, and in the
// last one those that are left are written, so that the other server's turn does not pay for them.
func loginsAt(b *testing.B, p *quiet) func() float64 {
	b.Helper()
	p.signIn(b)
	request := []string{postForm(p.addr, "/token", loginForm("bench"))}
	return func() float64 {
		loadFor(b, p.addr, request, connections, time.Second)
		rate := p.perCPU(b, request, 2*time.Second)
		time.Sleep(1200 * time.Millisecond)
		return rate
	}
}
