package e2e

import (
	"bufio"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// metricsURL waits for the server to say where it serves metrics.
func (s *server) metricsURL(t testing.TB) string {
	t.Helper()
	addr := ""
	waitFor(t, "the metrics to be served", func() bool {
		for _, line := range s.log.events("metrics are served") {
			addr, _ = line["addr"].(string)
		}
		return addr != "" || s.hasExited()
	})
	return "http://" + addr + "/metrics"
}

// scraped is what /metrics says: the value of each series.
type scraped map[string]float64

// metricsText returns what is served at a URL.
func metricsText(t testing.TB, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: %s, %v: %s", url, resp.Status, err, text)
	}
	return string(text)
}

func scrape(t testing.TB, url string) scraped {
	t.Helper()
	series := make(scraped)
	for lines := bufio.NewScanner(strings.NewReader(metricsText(t, url))); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		i := strings.LastIndexByte(lines.Text(), ' ')
		value, err := strconv.ParseFloat(lines.Text()[i+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		series[lines.Text()[:i]] = value
	}
	return series
}
