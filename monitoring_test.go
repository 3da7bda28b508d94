package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A selector is a metric in an expression of Prometheus, and what it asks of the labels.
type selector struct {
	metric   string
	matchers []string // name, operator and value in turn
}

var (
	aSelector = regexp.MustCompile(`\b((?:latchkey|go|process)_\w+)(?:\{((?:\w+(?:=~|!~|!=|=)"[^"]*",?)*)\})?`)
	aMatcher  = regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`)
	aGrouping = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// matches reports whether a series, as it is scraped, is one of those that s selects. It leaves
// out the labels that Prometheus adds.
func (s selector) matches(series string) bool {
	name, rest, _ := strings.Cut(series, "{")
	if name != s.metric {
		return false
	}
	labels := make(map[string]string)
	for _, m := range aMatcher.FindAllStringSubmatch(rest, -1) {
		labels[m[1]] = m[3]
	}
	for i := 0; i < len(s.matchers); i += 3 {
		label, operator, value := s.matchers[i], s.matchers[i+1], s.matchers[i+2]
		if slices.Contains(addedLabels, label) {
			continue
		}
		has, ok := labels[label]
		same := has == value
		if strings.HasSuffix(operator, "~") {
			same = regexp.MustCompile("^(?:" + value + ")$").MatchString(has)
		}
		if !ok || same == strings.HasPrefix(operator, "!") {
			return false
		}
	}
	return true
}

// addedLabels are those that Prometheus adds to what it scrapes.
var addedLabels = []string{"job", "instance"}

// checkExpression reports metrics, labels and values that the server does not have.
func checkExpression(t *testing.T, expression string, series scraped) {
	t.Helper()
	known := slices.Clone(addedLabels)
	for _, found := range aSelector.FindAllStringSubmatch(expression, -1) {
		s := selector{metric: found[1]}
		for _, m := range aMatcher.FindAllStringSubmatch(found[2], -1) {
			s.matchers = append(s.matchers, m[1:]...)
		}
		some := ""
		for name := range series {
			if s.matches(name) {
				some = name
			}
		}
		if some == "" {
			t.Errorf("%q: no series is %s with %q", expression, s.metric, s.matchers)
		}
		for _, m := range aMatcher.FindAllStringSubmatch(some, -1) {
			known = append(known, m[1])
		}
	}
	for _, grouping := range aGrouping.FindAllStringSubmatch(expression, -1) {
		for label := range strings.SplitSeq(grouping[1], ", ") {
			if !slices.Contains(known, label) {
				t.Errorf("%q: no label %q among %q", expression, label, known)
			}
		}
	}
}

// TestDashboard: the dashboard of Grafana uses metrics, labels and values that there are.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("deploy/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	series, all := scrape(t, startMeasured(t).acc.metrics), ""
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			checkExpression(t, target.Expr, series)
			all += target.Expr
		}
	}
	for series := range series {
		name := regexp.MustCompile(`^latchkey_\w+?(_total|_seconds|_info|_running|_waiting|_flight)`).FindString(series)
		if strings.HasPrefix(series, "latchkey_") && (name == "" || !strings.Contains(all, name)) {
			t.Errorf("no panel shows %s", series)
		}
	}
}

// TestAlerts: the alerts use metrics, labels and values that there are, and docs/metrics.md
// names each.
func TestAlerts(t *testing.T) {
	text, err := os.ReadFile("deploy/prometheus-alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	series := scrape(t, startMeasured(t).acc.metrics)
	rules := strings.Split(string(text), "- alert: ")[1:]
	for _, rule := range rules {
		name, rest, _ := strings.Cut(rule, "\n")
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/metrics.md does not name %s", name)
		}
		expression, _, _ := strings.Cut(rest[strings.Index(rest, "expr:"):], "labels:")
		checkExpression(t, expression, series)
	}
	if len(rules) == 0 {
		t.Error("no alerts")
	}
}

// TestMetricsPage: the table in docs/metrics.md has every metric with its labels, and the values
// of those that are listed.
func TestMetricsPage(t *testing.T) {
	text, err := os.ReadFile("docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := []string{"result", "reason", "scheme"}
	for series := range scrape(t, startMeasured(t).acc.metrics) {
		name, _, _ := strings.Cut(series, "{")
		if !strings.HasPrefix(name, "latchkey_") {
			continue
		}
		if strings.HasSuffix(name, "_seconds_bucket") || strings.HasSuffix(name, "_seconds_sum") || strings.HasSuffix(name, "_seconds_count") {
			name = name[:strings.LastIndex(name, "_")]
		}
		row := regexp.MustCompile("(?m)^\\| [^|]*`" + name + "`.*").FindString(string(text))
		for _, m := range aMatcher.FindAllStringSubmatch(series, -1) {
			isThere := m[1] == "le" || strings.Contains(row, "`"+m[1]+"`")
			if slices.Contains(listed, m[1]) && !strings.Contains(name, "upgrades") {
				isThere = isThere && strings.Contains(row, "`"+m[3]+"`")
			}
			if !isThere {
				t.Errorf("the row of %s has no %s", name, m[0])
			}
		}
		if row == "" {
			t.Errorf("no row of %s", name)
		}
	}
}
