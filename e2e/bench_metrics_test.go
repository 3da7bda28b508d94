package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkMetrics compares GET /users/me/ of a server that counts what it does with one that
// does not. It counts the requests for each second of the server's own CPU time, in many short
// turns, because the difference is smaller than what other programs on the machine make.
func BenchmarkMetrics(b *testing.B) {
	addr := freeAddress(b).String()
	with, without := startQuiet(b, "METRICS_ADDR="+addr), startQuiet(b)
	withRequests := []string{readMe(with, with.signIn(b))}
	withoutRequests := []string{readMe(without, without.signIn(b))}
	const turn = 100 * time.Millisecond
	for b.Loop() {
		reportPairs(b, "requests/CPU-s", "of-unmeasured", 300,
			func() float64 { return with.perCPU(b, withRequests, turn) },
			func() float64 { return without.perCPU(b, withoutRequests, turn) })
	}
	metricsText(b, "http://"+addr+"/metrics")
	b.ReportMetric(with.residentMB(b), "MB-after-load")
	b.ReportMetric(without.residentMB(b), "MB-after-load-unmeasured")
}

// perCPU sends requests for a while, and returns how many are answered for each second that the
// process computes.
func (p *quiet) perCPU(b *testing.B, requests []string, turn time.Duration) float64 {
	b.Helper()
	before := p.computed(b)
	answers := loadFor(b, p.addr, requests, connections, turn) * turn.Seconds()
	return answers / (p.computed(b) - before).Seconds()
}

// computed returns how long the threads of the process have been computing.
func (p *quiet) computed(b *testing.B) time.Duration {
	b.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		b.Skip("SKIP: CPU time is read from /proc")
	}
	var sum time.Duration
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			b.Fatal(err)
		}
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}
