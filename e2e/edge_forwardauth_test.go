package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A proxyExample is a proxy of examples/proxies/ that asks about each request.
type proxyExample struct {
	name  string
	start func(t *testing.T, at addresses)
	down  int // what it answers when Latchkey does not
}

// addresses are those that the files of examples/proxies/ name.
type addresses struct{ proxy, latchkey, service string }

func (a addresses) example(t *testing.T, path string) string {
	t.Helper()
	return readExample(t, "proxies/"+path, map[string]string{
		"127.0.0.1:8080": a.proxy, "127.0.0.1:8000": a.latchkey, "127.0.0.1:9000": a.service,
	})
}

// TestForwardAuth: nginx and HAProxy with the files of examples/proxies/.
func TestForwardAuth(t *testing.T) {
	t.Parallel()
	checkProxies(t, []proxyExample{
		{"nginx", startNginxExample, http.StatusServiceUnavailable},
		{"HAProxy", startHAProxyExample, http.StatusServiceUnavailable},
	})
}

// TestForwardAuthCached: nginx with the lines for a cache.
func TestForwardAuthCached(t *testing.T) {
	t.Parallel()
	s := startIssuer(t)
	proxied := startProxyExample(t, s, proxyExample{start: startCachingNginx})
	alice, bob := s.signIn(t, "alice"), s.logIn(t, "bob")
	for range 3 {
		checkCode(t, proxied.authorized(t, "GET", "/", "", alice.Access), http.StatusOK)
		checkCode(t, proxied.authorized(t, "GET", "/", "", bob), http.StatusForbidden)
		checkCode(t, proxied.do(t, "GET", "/", ""), http.StatusUnauthorized)
		checkCode(t, proxied.do(t, "OPTIONS", "/", "", "Access-Control-Request-Method: GET"), http.StatusOK)
	}
	s.revoke(t, alice.Refresh)
	checkCode(t, proxied.authorized(t, "GET", "/", "", alice.Access), http.StatusOK) // the price
	checkCode(t, proxied.do(t, "GET", "/", "", "Authorization: bearer "+alice.Access), http.StatusUnauthorized)
	s.stop(t)
	checkCode(t, proxied.authorized(t, "GET", "/", "", alice.Access), http.StatusOK)
	checkCode(t, proxied.authorized(t, "GET", "/", "", bob), http.StatusServiceUnavailable)
}

// TestCaddyExamples: Caddy with the Caddyfile of examples/proxies/. Between 2.9.1 and 2.11.1 it
// passed on a header that the client sent if Latchkey's was empty (GHSA-7r4p-vjf4-gxv4).
func TestCaddyExamples(t *testing.T) {
	t.Parallel()
	tools := os.Getenv("CLIENT_TOOLS")
	if tools == "" {
		t.Skip("SKIPPED: needs Caddy; make clients runs it")
	}
	checkProxies(t, []proxyExample{
		{"Caddy", startCaddyExample(filepath.Join(tools, "caddy/bin/caddy")), http.StatusBadGateway},
		{"Caddy 2.10", startCaddyExample(filepath.Join(tools, "caddy-2.10/bin/caddy")), http.StatusBadGateway},
	})
}

func startNginxExample(t *testing.T, at addresses) {
	t.Helper()
	runNginx(t, at.example(t, "nginx.conf"))
}

// startCachingNginx starts nginx with the lines of nginx.conf that are comments.
func startCachingNginx(t *testing.T, at addresses) {
	t.Helper()
	text := at.example(t, "nginx.conf")
	cached := regexp.MustCompile(`#(proxy_)`).ReplaceAllString(text, "$1")
	if cached == text {
		t.Fatal("nginx.conf has no lines for a cache")
	}
	runNginx(t, strings.Replace(cached, "/var/cache/nginx/latchkey", filepath.Join(t.TempDir(), "cache"), 1))
}

// runNginx runs nginx with a file of its http block.
func runNginx(t *testing.T, text string) {
	t.Helper()
	needTools(t, "nginx")
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "notes.conf"), text)
	path := filepath.Join(dir, "nginx.conf")
	writeFile(t, path, fmt.Sprintf(`
		daemon off; master_process off; worker_processes 1; pid %[1]s/pid; error_log stderr;
		events { worker_connections 64; }
		http {
			access_log off;
			client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
			include %[1]s/notes.conf;
		}`, dir))
	runTool(t, exec.Command("nginx", "-p", dir, "-c", path))
}

func startHAProxyExample(t *testing.T, at addresses) {
	t.Helper()
	needTools(t, "haproxy")
	dir := t.TempDir()
	config, script := filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "verify.lua")
	writeFile(t, config, strings.Replace(at.example(t, "haproxy.cfg"), "/etc/haproxy/verify.lua", script, 1))
	writeFile(t, script, readExample(t, "proxies/verify.lua", nil))
	runTool(t, exec.Command("haproxy", "-db", "-f", config))
}

func startCaddyExample(caddy string) func(*testing.T, addresses) {
	return func(t *testing.T, at addresses) {
		t.Helper()
		dir := t.TempDir()
		path := filepath.Join(dir, "Caddyfile")
		writeFile(t, path, "{\n\tadmin off\n}\n"+at.example(t, "Caddyfile"))
		cmd := exec.Command(caddy, "run", "--config", path)
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
		runTool(t, cmd)
	}
}

// startProxyExample starts a proxy between s and a service that tells what it gets, and returns s as
// it is seen through the proxy.
func startProxyExample(t *testing.T, s *server, p proxyExample) *server {
	t.Helper()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fails" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		size, _ := io.Copy(io.Discard, r.Body) // a body that is cut off is short
		json.NewEncoder(w).Encode(echo{r.Method, r.Header, size})
	}))
	t.Cleanup(service.Close)
	addr := freeAddress(t)
	p.start(t, addresses{addr.String(), s.addr, service.Listener.Addr().(*net.TCPAddr).String()})
	awaitTool(t, addr)
	return s.at(addr)
}

func checkProxies(t *testing.T, proxies []proxyExample) {
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := startIssuer(t)
			proxied := startProxyExample(t, s, p)
			checkProxied(t, s, proxied)
			checkIdentity(t, s, proxied)
			checkProxiedLogout(t, s, proxied)
			s.stop(t)
			checkCode(t, proxied.authorized(t, "GET", "/", "", "x"), p.down)
		})
	}
}

// checkProxied reports requests that a proxy wrongly lets through, or wrongly refuses.
func checkProxied(t *testing.T, s, proxied *server) {
	const preflight = "Access-Control-Request-Method: PUT"
	job := s.jobKey(t)
	alice, bob := "Authorization: Bearer "+s.logIn(t, "alice"), "Authorization: Bearer "+s.logIn(t, "bob")
	for _, tt := range []struct {
		name, method, path string
		headers            []string
		status             int
	}{
		{"a good token", "GET", "/", []string{alice}, 200},
		{"no token", "GET", "/", nil, 401},
		{"garbage", "GET", "/", []string{"Authorization: Bearer garbage"}, 401},
		{"an API key", "GET", "/", []string{"Authorization: Bearer " + job.Key}, 200},
		{"an API key as a password", "GET", "/", []string{basic("alice", job.Key)}, 200},
		{"an API key as a password, and no name", "GET", "/", []string{basic("", job.Key)}, 200},
		{"a service that fails", "GET", "/fails", []string{alice}, 500},
		{"a password", "GET", "/", []string{basic("alice", password)}, 401},
		{"another scheme", "GET", "/", []string{"Authorization: Digest x"}, 401},
		{"a token without the scope", "GET", "/", []string{bob}, 403},
		{"a token without the scope, and one in the query", "GET", "/?scope=any&a=1", []string{bob}, 403},
		{"a token without the scope, and a path that leads elsewhere", "GET", "/x/..%2fverify/any", []string{bob}, 403},
		{"no token, and a path of Latchkey's own", "GET", "/livez", nil, 401},
		{"two tokens, first the bad one", "GET", "/", []string{"Authorization: Bearer x", alice}, 0},
		{"two tokens, first the good one", "GET", "/", []string{alice, "Authorization: Bearer x"}, 0},
		{"a preflight", "OPTIONS", "/", []string{preflight, "Origin: https://app.example"}, 200},
		{"OPTIONS that is no preflight", "OPTIONS", "/", nil, 401},
		{"GET that looks like a preflight", "GET", "/", []string{preflight, "X-Forwarded-Method: OPTIONS", "X-Original-Method: OPTIONS"}, 401},
		{"HEAD", "HEAD", "/", []string{alice}, 200},
		{"HEAD without a token", "HEAD", "/", nil, 401},
		{"DELETE", "DELETE", "/", []string{alice}, 200},
		{"DELETE without a token", "DELETE", "/", nil, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := proxied.do(t, tt.method, tt.path, "", tt.headers...)
			if tt.status == 0 {
				checkOneToken(t, a, alice)
				return
			}
			checkCode(t, a, tt.status)
		})
	}
	a := proxied.do(t, "POST", "/", strings.Repeat("x", 300_000), alice)
	if got := a.echoed(t); got.Size != 300_000 || got.Method != "POST" {
		t.Errorf("the service gets %s and %d bytes; want POST and 300000", got.Method, got.Size)
	}
}

// checkOneToken reports a request with two tokens if the service has got more than the good one.
func checkOneToken(t *testing.T, a answer, good string) {
	t.Helper()
	if a.StatusCode >= 400 && a.StatusCode < 500 {
		return
	}
	if sent := a.echoed(t).Header["Authorization"]; len(sent) != 1 || "Authorization: "+sent[0] != good {
		t.Errorf("the service gets %q; want only %q", sent, good)
	}
}

// checkIdentity reports what a service is told that a client has made up.
func checkIdentity(t *testing.T, s, proxied *server) {
	s.register(t, "carol")
	s.setScopes(t, "carol", "read", "admin.not")
	checkStatus(t, s.patch(t, s.logIn(t, root), "carol", `{"email":"carol@example.com"}`), http.StatusOK)
	forged := []string{
		"Remote-User: root", "Remote-Uid: 1", "Remote-Groups: admin", "Remote-Email: root@example.com",
		"Remote_User: root", "Remote_Uid: 1", "Remote_Groups: admin", "Remote_Email: root@example.com",
	}
	for _, tt := range []struct {
		name    string
		method  string
		headers []string
		want    map[string]string
	}{
		{"a user with an address", "GET", []string{"Authorization: Bearer " + s.logIn(t, "carol")},
			map[string]string{"Remote-User": "carol", "Remote-Groups": "admin.not,read", "Remote-Email": "carol@example.com"}},
		{"a user without one", "GET", []string{"Authorization: Bearer " + s.logIn(t, "alice")},
			map[string]string{"Remote-User": "alice", "Remote-Groups": "read", "Remote-Email": ""}},
		{"nobody", "OPTIONS", []string{"Access-Control-Request-Method: GET"},
			map[string]string{"Remote-User": "", "Remote-Groups": "", "Remote-Email": "", "Remote-Uid": ""}},
	} {
		t.Run("identity of "+tt.name, func(t *testing.T) {
			got := proxied.do(t, tt.method, "/", "", append(tt.headers, forged...)...).echoed(t).Header
			for name, want := range tt.want {
				if strings.Join(got[name], "|") != want {
					t.Errorf("%s: %q; want %q", name, got[name], want)
				}
			}
			if uid := got.Get("Remote-Uid"); uid != "" && !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(uid) {
				t.Errorf("Remote-Uid: %q; want 32 hex digits", uid)
			}
			for name := range got {
				if strings.HasPrefix(name, "Remote_") {
					t.Errorf("the service gets %s", name)
				}
			}
		})
	}
}

// checkProxiedLogout: what ends at Latchkey ends at the next request through the proxy.
func checkProxiedLogout(t *testing.T, s, proxied *server) {
	first, second := s.signIn(t, "alice"), s.signIn(t, "alice")
	checkCode(t, proxied.authorized(t, "GET", "/", "", first.Access), http.StatusOK)
	s.revoke(t, first.Refresh)
	checkCode(t, proxied.authorized(t, "GET", "/", "", first.Access), http.StatusUnauthorized)

	checkCode(t, proxied.authorized(t, "GET", "/", "", second.Access), http.StatusOK)
	s.setScopes(t, "alice")
	checkCode(t, proxied.authorized(t, "GET", "/", "", second.Access), http.StatusForbidden)
	s.setScopes(t, "alice", "read")
	checkCode(t, proxied.authorized(t, "GET", "/", "", second.Access), http.StatusOK)
	checkStatus(t, s.patch(t, s.logIn(t, root), "alice", `{"disabled":true}`), http.StatusOK)
	checkCode(t, proxied.authorized(t, "GET", "/", "", second.Access), http.StatusUnauthorized)
}
