package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"latchkey/internal/loadtest"
)

// BenchmarkGrowth measures GET /users/me/ of servers with more and more users, each of whom has a
// session. The servers take turns.
func BenchmarkGrowth(b *testing.B) {
	b.Run("store=memory", func(b *testing.B) {
		serveMany := buildServeMany(b)
		measureGrowth(b, func(users int) *quiet { return startMany(b, serveMany, users) })
	})
	b.Run("store=SQLite", func(b *testing.B) {
		measureGrowth(b, func(users int) *quiet {
			file := filepath.Join(b.TempDir(), "users.db")
			return startFilled(b, "sqlite3", file, "sqlite:"+file, users)
		})
	})
	b.Run("store=PostgreSQL", func(b *testing.B) {
		c := startPostgres(b)
		measureGrowth(b, func(users int) *quiet {
			url := c.URL(newDatabase(b, c))
			return startFilled(b, "pgx", url, url, users)
		})
	})
}

// A grown is a server with some number of users, and what was measured of it.
type grown struct {
	users int
	*quiet
	load          *loadtest.Load
	rates, ratios []float64 // in each round, and of the rate of the smallest
}

// measureGrowth measures servers that it starts by their number of users.
func measureGrowth(b *testing.B, start func(users int) *quiet) {
	var all []*grown
	for _, users := range []int{1000, 10_000, 100_000, manyUsers} {
		p := start(users)
		all = append(all, &grown{users: users, quiet: p, load: loadtest.Of(p.addr, connections, readSome(b, p, users)...)})
	}
	d := loadtest.Turn(b)
	for range loadPairs {
		for _, g := range all {
			rate := runFor(b, g.load, d)
			g.rates = append(g.rates, rate)
			g.ratios = append(g.ratios, rate/all[0].rates[len(all[0].rates)-1])
		}
	}
	for _, g := range all {
		b.Run(fmt.Sprint("users=", g.users), g.report)
	}
}

func (g *grown) report(b *testing.B) {
	for b.Loop() {
		loadtest.ReportSpread(b, "of-1000-users", g.ratios)
	}
	b.ReportMetric(loadtest.Quantile(g.rates, 0.5), "requests/s")
	b.ReportMetric(g.residentMB(b), "MB-after-load")
	b.ReportMetric(0, "ns/op") // says nothing here
}

// buildServeMany builds the tests of the program, one of which is a server; see startMany.
func buildServeMany(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "servemany")
	cmd := exec.Command("go", "test", "-c", "-o", path)
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("go test -c: %v\n%s", err, out)
	}
	return path
}

// startMany starts a server that begins with this many users in memory, as startFilled does with a
// database.
func startMany(b *testing.B, serveMany string, users int) *quiet {
	b.Helper()
	cmd := exec.Command(serveMany, "-test.run=^$", "-test.bench=^BenchmarkServeMany$", "-test.benchtime=1x", "-test.timeout=0")
	cmd.Dir = b.TempDir()
	cmd.Env = []string{fmt.Sprint("MANY_USERS=", users), "MANY_PASSWORD=" + password, "HOME=" + os.TempDir()}
	return startQuietly(b, cmd)
}
