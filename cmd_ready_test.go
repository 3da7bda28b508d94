package main

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestDialedFor: ready looks where the server listens.
func TestDialedFor(t *testing.T) {
	for _, tt := range []struct {
		addr string
		want []target
	}{
		{":8000", []target{{"tcp4", "127.0.0.1:8000"}, {"tcp6", "[::1]:8000"}}},
		{"0.0.0.0:8000", []target{{"tcp4", "127.0.0.1:8000"}}},
		{"[::]:8000", []target{{"tcp6", "[::1]:8000"}, {"tcp4", "127.0.0.1:8000"}}},
		{"localhost:8000", []target{{"tcp4", "localhost:8000"}, {"tcp6", "localhost:8000"}}},
		{"127.0.0.2:8000", []target{{"tcp", "127.0.0.2:8000"}}},
		{"[fe80::1%eth0]:8000", []target{{"tcp", "[fe80::1%eth0]:8000"}}},
	} {
		if got, err := targetsOf(tt.addr); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v, %v; want %v", tt.addr, got, err, tt.want)
		}
	}
	for _, addr := range []string{":0", "localhost:0", "[::1]:00"} {
		if got, err := targetsOf(addr); err == nil || exitCode(err) != 2 {
			t.Errorf("%s: %v, %v; want a usage error", addr, got, err)
		}
	}
}

// runReady runs the command at an address.
func runReady(t *testing.T, addr string, environ ...string) outcome {
	t.Helper()
	return runProgram(t, t.Context(), append(environ, "ADDR="+addr), "ready")
}

// TestReadyAnswers: what each answer means to ready. It prints nothing that the server has sent.
func TestReadyAnswers(t *testing.T) {
	const ok = `{"status":"ok"}`
	for _, tt := range []struct {
		name   string
		status int
		body   string
		code   int
		says   string
	}{
		{"a server that is ready", 200, ok, 0, ""},
		{"white space around it", 200, " " + ok + "\n", 0, ""},
		{"a server that stops", 503, `{"detail":"Shutting down"}`, 1, "is stopping"},
		{"a database that is away", 503, `{"detail":"Service Unavailable"}`, 1, "cannot use its database"},
		{"a gateway without a server", 503, "<h1>" + aMarker + "</h1>", 1, "does not answer as Latchkey"},
		{"a page of another server", 200, "<h1>" + aMarker + "</h1>", 1, "does not answer as Latchkey"},
		{"another status", 200, `{"status":"` + aMarker + `"}`, 1, "does not answer as Latchkey"},
		{"no body", 200, "", 1, "does not answer as Latchkey"},
		{"more than a status", 200, ok + strings.Repeat(" ", 1<<20), 0, ""},
		{"more than is read", 200, strings.Repeat(" ", 1<<20) + ok, 1, "does not answer as Latchkey"},
		{"not found", 404, `{"detail":"Not Found"}`, 1, "does not answer as Latchkey"},
		{"a redirect to where it would be ready", 307, "", 1, "does not answer as Latchkey"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/readyz" || r.Method != http.MethodGet {
					fmt.Fprint(w, ok)
					return
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
			}))
			defer srv.Close()
			got := runReady(t, srv.Listener.Addr().String(), "HTTP_PROXY=http://192.0.2.1:1", "http_proxy=http://192.0.2.1:1")
			checkReadiness(t, got, tt.code, tt.says)
		})
	}
}

// checkReadiness reports an end of ready that is not as it should be: it says nothing, or one line.
func checkReadiness(t *testing.T, got outcome, code int, says string) {
	t.Helper()
	if got.code != code || got.stdout != "" || !strings.Contains(got.stderr, says) || code == 0 && got.stderr != "" || strings.Contains(strings.TrimSpace(got.stderr), "\n") {
		t.Errorf("exit code %d, %q, %q; want %d and %q", got.code, got.stdout, got.stderr, code, says)
	}
	checkNoSecret(t, got, aMarker)
}

// TestReadyOverTLS: the server must show the certificate of TLS_CERT_FILE, whatever its names.
func TestReadyOverTLS(t *testing.T) {
	healthy := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status":"ok"}`) })
	secure, plain := httptest.NewTLSServer(healthy), httptest.NewServer(healthy)
	defer secure.Close()
	defer plain.Close()
	shown := secure.Certificate().Raw
	dir := t.TempDir()
	file := func(name string, certs ...[]byte) string {
		text := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{1}}) // as openssl puts before
		for _, cert := range certs {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	other := append([]byte(nil), shown...)
	other[len(other)-1]++
	for _, tt := range []struct {
		name string
		addr net.Addr
		file string
		code int
		says string
	}{
		{"the certificate", secure.Listener.Addr(), file("own.pem", shown, other), 0, ""},
		{"another", secure.Listener.Addr(), file("other.pem", other, shown), 1, "certificate is not the one in TLS_CERT_FILE"},
		{"no file", secure.Listener.Addr(), "", 1, "does not answer as Latchkey"},
		{"a server without TLS", plain.Listener.Addr(), file("plain.pem", shown), 1, "does not speak HTTPS"},
		{"a file without a certificate", secure.Listener.Addr(), file("none.pem"), 2, "has no certificate"},
		{"a file that is not there", secure.Listener.Addr(), filepath.Join(dir, "nowhere.pem"), 2, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkReadiness(t, runReady(t, tt.addr.String(), "TLS_CERT_FILE="+tt.file), tt.code, tt.says)
		})
	}
}

// TestReadyOnHostileServers: whatever listens there, ready ends in time with one line.
func TestReadyOnHostileServers(t *testing.T) {
	endlessly := func(conn net.Conn, text string) {
		for {
			if _, err := fmt.Fprint(conn, text); err != nil {
				return
			}
		}
	}
	for _, tt := range []struct {
		name  string
		serve func(net.Conn)
		says  string
	}{
		{"it hangs up", func(net.Conn) {}, "does not answer as Latchkey"},
		{"it talks another protocol", func(c net.Conn) { fmt.Fprintf(c, "220 %s ESMTP\r\n", aMarker) }, "does not answer as Latchkey"},
		{"it sends binary data", func(c net.Conn) { fmt.Fprint(c, "\x15\x03\x01\x00\x02\x02\x46") }, "does not answer as Latchkey"},
		{"headers without end", func(c net.Conn) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
			endlessly(c, "X-Header: "+aMarker+"\r\n")
		}, "does not answer as Latchkey"},
		{"a line without end", func(c net.Conn) { endlessly(c, "HTTP/1.1 ") }, "does not answer as Latchkey"},
		{"a body without end", func(c net.Conn) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
			endlessly(c, aMarker)
		}, "does not answer as Latchkey"},
		{"informational answers without end", func(c net.Conn) { endlessly(c, "HTTP/1.1 103 Early Hints\r\n\r\n") }, "does not answer as Latchkey"},
		{"a body that stops", func(c net.Conn) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"status\":")
		}, "does not answer as Latchkey"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := serveRaw(t, tt.serve)
			begin := time.Now()
			checkReadiness(t, runReady(t, addr), 1, tt.says)
			if took := time.Since(begin); took > readyCheckTimeout+time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestReadyOnSilentServers: a server that says nothing, or not enough, costs two seconds.
func TestReadyOnSilentServers(t *testing.T) {
	for name, begin := range map[string]string{"nothing": "", "headers": "HTTP/1.1 200 OK\r\n", "half a body": "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := serveRaw(t, func(c net.Conn) {
				c.Read(make([]byte, 1<<16)) // first, because an answer to nothing is another fault
				fmt.Fprint(c, begin)
				c.Read(make([]byte, 1)) // until ready gives up
			})
			start := time.Now()
			checkReadiness(t, runReady(t, addr), 1, "nothing answers at "+addr+" within 2s")
			if took := time.Since(start); took < readyCheckTimeout || took > readyCheckTimeout+2*time.Second {
				t.Errorf("it took %v; want %v", took, readyCheckTimeout)
			}
		})
	}
}

// serveRaw serves connections with serve, which does not see the request, and returns the address.
func serveRaw(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return ln.Addr().String()
}

// TestLeafOf: the certificate is that which the server takes from the same file.
func TestLeafOf(t *testing.T) {
	srv := httptest.NewUnstartedServer(nil)
	defer srv.Close()
	srv.StartTLS()
	first := srv.TLS.Certificates[0].Certificate[0]
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}})
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: first})
	for name, text := range map[string][]byte{"alone": chain, "after a key": append(key, chain...), "after a text": append([]byte("subject=localhost\n"), chain...)} {
		if got := leafOf(text); !reflect.DeepEqual(got, first) {
			t.Errorf("%s: %d bytes; want the certificate", name, len(got))
		}
	}
	for name, text := range map[string]string{"nothing": "", "a key": string(key), "half a certificate": string(chain[:len(chain)/2])} {
		if got := leafOf([]byte(text)); got != nil {
			t.Errorf("%s: %d bytes; want none", name, len(got))
		}
	}
}
