package e2e

import (
	"testing"
	"time"
)

// BenchmarkMetrics compares GET /users/me/ of a server that counts what it does, and that
// answers a scrape every second, with one that does not. It counts the requests for each second
// of the server's own CPU time, because the difference is smaller than what other programs on
// the machine make. Prometheus scrapes every 15 seconds or so.
func BenchmarkMetrics(b *testing.B) {
	addr := freeAddress(b).String()
	with, without := startQuiet(b, "METRICS_ADDR="+addr), startQuiet(b)
	withRequests := []string{readMe(with, with.signIn(b))}
	withoutRequests := []string{readMe(without, without.signIn(b))}
	for b.Loop() {
		reportPairs(b, "requests/CPU-s", "of-unmeasured", 40,
			func() float64 {
				return with.forCPU(b, func() float64 {
					metricsText(b, "http://"+addr+"/metrics")
					return loadFor(b, with.addr, withRequests, time.Second)
				})
			},
			func() float64 {
				return without.forCPU(b, func() float64 { return loadFor(b, without.addr, withoutRequests, time.Second) })
			})
	}
	b.ReportMetric(with.residentMB(b), "MB-after-load")
	b.ReportMetric(without.residentMB(b), "MB-after-load-unmeasured")
}

// forCPU returns how many requests load gets answered for each second that the process computes.
// load takes a second, and returns their number.
func (p *quiet) forCPU(b *testing.B, load func() float64) float64 {
	b.Helper()
	before := cpuOf(b, p.cmd.Process.Pid)
	requests := load()
	return requests / (cpuOf(b, p.cmd.Process.Pid) - before).Seconds()
}
