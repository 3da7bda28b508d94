package e2e

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRollingUpdate replaces two servers on one database, one after the other, behind HAProxy.
// No request fails, because each goes on serving until the balancer has noticed.
func TestRollingUpdate(t *testing.T) {
	long(t)
	t.Parallel()
	settings := keptIn(startPostgres(t).URL("postgres"), "SHUTDOWN_DELAY_SECONDS=3")
	replicas := []*server{launchAndWait(t, invocation{env: settings}), launchAndWait(t, invocation{env: settings})}
	replicas[0].register(t, "alice")
	url := startHAProxy(t, replicas...)
	load := startTraffic(t, url, replicas[0].logIn(t, "alice"))
	load.await(t, 200)
	for i, old := range replicas {
		old.signal(syscall.SIGTERM)
		if code := old.exitCode(t); code != 0 {
			t.Errorf("exit code %d; want 0", code)
		}
		replicas[i] = launchAndWait(t, invocation{env: append(settings, "ADDR="+old.addr)})
		waitFor(t, "the next one to get requests", func() bool { return isUsed(replicas[i]) })
		load.await(t, 200)
	}
	load.end(t)
	for _, s := range replicas {
		begin := time.Now()
		if code := s.stop(t); code != 0 || time.Since(begin) < 3*time.Second {
			t.Errorf("exit code %d after %v; want 0 after the delay", code, time.Since(begin))
		}
	}
}

// isUsed reports whether a server gets more than the balancer's own requests.
func isUsed(s *server) bool {
	return slices.ContainsFunc(s.log.events("request"), func(line map[string]any) bool {
		route, _ := line["route"].(string)
		return strings.HasPrefix(route, "GET /users/me/")
	})
}
