package loadtest

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"
)

// Turn returns how long a load takes its turn: 0.4 seconds, or what TURN says.
func Turn(b *testing.B) time.Duration {
	b.Helper()
	d, err := time.ParseDuration(cmp.Or(os.Getenv("TURN"), "400ms"))
	if err != nil {
		b.Fatal(err)
	}
	return d
}

// Quantile returns the value below which the part q of values lies.
func Quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1))]
}

// ReportSpread reports the median of values, and their middle half.
func ReportSpread(b *testing.B, name string, values []float64) {
	b.ReportMetric(Quantile(values, 0.5), name)
	b.ReportMetric(Quantile(values, 0.25), name+"-25%")
	b.ReportMetric(Quantile(values, 0.75), name+"-75%")
}

var residentLine = regexp.MustCompile(`VmRSS:\s*(\d+) kB`)

// ResidentMB returns the resident memory of a process in megabytes. Where there is no /proc, it skips
// the benchmark.
func ResidentMB(b *testing.B, p *os.Process) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid))
	if err != nil {
		b.Skip("SKIP: resident memory is read from /proc")
	}
	kb, err := strconv.ParseFloat(string(residentLine.FindSubmatch(status)[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb / 1000
}
