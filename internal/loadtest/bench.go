package loadtest

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
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
