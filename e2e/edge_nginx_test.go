package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startNginx starts nginx with these lines of its configuration in a server block, in which
// $upstream is the address of s, and returns s with the URL of nginx.
func startNginx(t *testing.T, s *server, config string) *server {
	t.Helper()
	long(t)
	needTools(t, "nginx")
	dir := t.TempDir()
	addr := freeAddress(t)
	text := fmt.Sprintf(`
		daemon off; master_process off; worker_processes 1; pid %[1]s/pid; error_log stderr;
		events { worker_connections 64; }
		http {
			access_log off;
			client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
			server { listen %[2]s; %[3]s }
		}`, dir, addr, strings.ReplaceAll(config, "$upstream", s.addr))
	path := filepath.Join(dir, "nginx.conf")
	writeFile(t, path, text)
	runTool(t, exec.Command("nginx", "-p", dir, "-c", path))
	awaitTool(t, addr)
	proxied := *s
	proxied.addr, proxied.url = addr.String(), "http://"+addr.String()
	proxied.client = &http.Client{Timeout: patience}
	return &proxied
}

// TestBelowPrefix: behind a proxy that cuts a prefix off the path, redirects stay below it.
func TestBelowPrefix(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.register(t, "alice")
	bearer := "Authorization: Bearer " + s.logIn(t, "alice")
	proxied := startNginx(t, s, `location /auth/ { proxy_pass http://$upstream/; }`)
	for _, tt := range []struct{ method, path, lands string }{
		{"GET", "/auth/users/me", "/auth/users/me/"},
		{"GET", "/auth/users/me?q=1", "/auth/users/me/?q=1"},
		{"GET", "/auth/users/me/sessions", "/auth/users/me/sessions/"},
		{"GET", "/auth/livez/", "/auth/livez"},
		{"GET", "/auth//users/me/", "/auth//users/me/"}, // nginx cleans the path that it passes on
		{"GET", "/auth/docs/", "/auth/docs"},
		{"PATCH", "/auth/users/me", "/auth/users/me/"},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			a := proxied.do(t, tt.method, tt.path, map[bool]string{true: "{}"}[tt.method == "PATCH"], bearer, jsonType)
			if got := a.Request.URL.RequestURI(); a.StatusCode != 200 || got != tt.lands {
				t.Errorf("got %d at %s; want 200 at %s", a.StatusCode, got, tt.lands)
			}
		})
	}
}

// TestAuthRequest: nginx asks us about each request to another server, with the headers of
// that request and without its body.
func TestAuthRequest(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.register(t, "alice")
	bearer := "Authorization: Bearer " + s.logIn(t, "alice")
	proxied := startNginx(t, s, `
		location = /check { internal; proxy_pass http://$upstream/users/me/; proxy_pass_request_body off; }
		location = /app { auth_request /check; proxy_pass http://$upstream/revoke; }`)
	for _, tt := range []struct {
		name    string
		body    string
		headers []string
		status  int // what the other server says, or 401
	}{
		{"a form", "token=x", []string{bearer}, 200},
		{"a form of 100 KB", "token=x&y=" + strings.Repeat("y", 100_000), []string{bearer}, 413},
		{"a packed form", "token=x", []string{bearer, "Content-Encoding: gzip"}, 415},
		{"a form of nobody", "token=x", nil, 401},
		{"a form with a bad token", "token=x", []string{"Authorization: Bearer x"}, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begin := time.Now()
			a := proxied.do(t, "POST", "/app", tt.body, append(tt.headers, formType)...)
			if took := time.Since(begin); a.StatusCode != tt.status || took > bodyLimit/2 {
				t.Errorf("got %d %s after %v; want %d at once", a.StatusCode, a.body, took, tt.status)
			}
		})
	}
}
