package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAlertRules: Prometheus takes the alerts, and each fires on what it should and on nothing
// else; see metrics/alerts.yaml.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	needTools(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "../deploy/prometheus-alerts.yaml"}, {"test", "rules", "metrics/alerts.yaml"}} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// A prometheus is a run of Prometheus that scrapes a server every second.
type prometheus struct{ url string }

func startPrometheus(t *testing.T, target string, flags ...string) *prometheus {
	t.Helper()
	needTools(t, "prometheus")
	dir, addr := t.TempDir(), freeAddress(t)
	rules, err := filepath.Abs("../deploy/prometheus-alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\n"+
		"scrape_configs: [{job_name: latchkey, static_configs: [{targets: ['%s']}]}]\n", rules, target)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	flags = append(flags, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr.String())
	runTool(t, exec.Command("prometheus", flags...))
	awaitTool(t, addr)
	return &prometheus{"http://" + addr.String()}
}

// query returns how many series an expression has, or why it is wrong.
func (p *prometheus) query(t *testing.T, expression string) (int, error) {
	t.Helper()
	resp, err := http.Get(p.url + "/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Error string
		Data  struct{ Result []any }
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Error != "" {
		return 0, fmt.Errorf("%v: %s", err, text)
	}
	return len(answer.Data.Result), nil
}

// await waits until an expression has a series.
func (p *prometheus) await(t *testing.T, expression string) {
	t.Helper()
	waitFor(t, expression, func() bool {
		n, err := p.query(t, expression)
		return err == nil && n > 0
	})
}

// TestPrometheus: Prometheus scrapes the server, and every panel of the dashboard shows
// something.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	s := start(t, "METRICS_ADDR=localhost:0")
	target := strings.TrimSuffix(strings.TrimPrefix(s.metricsURL(t), "http://"), "/metrics")
	p := startPrometheus(t, target)
	p.await(t, `count_over_time(up{job="latchkey"}[1m]) > 2`)
	s.register(t, "alice")
	s.signIn(t, "alice")
	p.await(t, `increase(latchkey_logins_total{result="success"}[1m]) > 0`)
	for title, expressions := range panels(t) {
		for _, expression := range expressions {
			if n, err := p.query(t, expression); err != nil || n == 0 {
				t.Errorf("%s: %d series, %v: %s", title, n, err, expression)
			}
		}
	}
	if n, err := p.query(t, "ALERTS"); n != 0 || err != nil {
		t.Errorf("%d alerts, %v; want none", n, err)
	}
}

// panels returns the expressions of each panel of the dashboard, for a minute. Those that show
// only what is not 0 show all.
func panels(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../deploy/grafana-dashboard.json")
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
	variables := strings.NewReplacer("$job", "latchkey", "$instance", ".*", "$__rate_interval", "1m")
	found := make(map[string][]string)
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			expression := regexp.MustCompile(` >=? 0$`).ReplaceAllString(target.Expr, "")
			found[panel.Title] = append(found[panel.Title], variables.Replace(expression))
		}
	}
	if len(found) < 10 {
		t.Errorf("%d panels", len(found))
	}
	return found
}

// TestNativeHistograms: a Prometheus that wants native histograms gets them.
func TestNativeHistograms(t *testing.T) {
	t.Parallel()
	s := start(t, "METRICS_ADDR=localhost:0")
	target := strings.TrimSuffix(strings.TrimPrefix(s.metricsURL(t), "http://"), "/metrics")
	p := startPrometheus(t, target, "--enable-feature=native-histograms")
	s.register(t, "alice")
	p.await(t, `histogram_count(latchkey_password_hash_duration_seconds{scheme="ours"}) == 1`)
	p.await(t, `histogram_quantile(0.99, latchkey_http_request_duration_seconds{route="POST /users/{$}"}) > 0`)
}
