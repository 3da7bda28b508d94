package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestRequestID(t *testing.T) {
	s := startServer(t)
	for _, tt := range []struct {
		name, id string
		kept     bool
	}{
		{"letters", "abcXYZ", true},
		{"all kinds", "a.B_3-", true},
		{"64 characters", strings.Repeat("a", 64), true},
		{"65 characters", strings.Repeat("a", 65), false},
		{"a space", "a b", false},
		{"a quote", `a"b`, false},
		{"UTF-8", "é", false},
		{"a colon", "a:b", false},
		{"nothing", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.do("GET", "/nope", "", "X-Request-ID: "+tt.id).header.Get("X-Request-Id")
			if (got == tt.id) != tt.kept || !isRequestID(got) {
				t.Errorf("id %q, want it kept: %v", got, tt.kept)
			}
			if !strings.Contains(s.log.String(), `"request_id":"`+got+`"`) {
				t.Errorf("id %q is not in the log", got)
			}
		})
	}
	got := s.do("GET", "/nope", "", "X-Request-ID: a", "X-Request-ID: b").header.Values("X-Request-Id")
	if len(got) != 1 || got[0] == "a" || got[0] == "b" {
		t.Errorf("two ids: answered %q", got)
	}
}

// TestSource: whom we take for the source, behind proxies and without.
func TestSource(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		name, remote string
		forwarded    []string
		trusted      []netip.Prefix
		want         string
	}{
		{"nobody is trusted", "10.0.0.1:5", []string{"1.2.3.4"}, nil, "10.0.0.1"},
		{"the peer is not trusted", "9.9.9.9:5", []string{"1.2.3.4"}, trusted, "9.9.9.9"},
		{"one proxy", "10.0.0.1:5", []string{"1.2.3.4"}, trusted, "1.2.3.4"},
		{"a proxy that sends nothing", "10.0.0.1:5", nil, trusted, "10.0.0.1"},
		{"the client lies on the left", "10.0.0.1:5", []string{"6.6.6.6, 1.2.3.4"}, trusted, "1.2.3.4"},
		{"two proxies", "10.0.0.1:5", []string{"6.6.6.6, 1.2.3.4, 10.0.0.2"}, trusted, "1.2.3.4"},
		{"two headers", "10.0.0.1:5", []string{"6.6.6.6", "1.2.3.4, 10.0.0.2"}, trusted, "1.2.3.4"},
		{"only proxies", "10.0.0.1:5", []string{"10.0.0.3, 10.0.0.2"}, trusted, "10.0.0.3"},
		{"no address", "10.0.0.1:5", []string{"1.2.3.4, x\ny"}, trusted, "10.0.0.1"},
		{"IPv6", "[fd00::1]:5", []string{"2001:db8::1"}, trusted, "2001:db8::1"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:5", []string{"::ffff:1.2.3.4"}, trusted, "1.2.3.4"},
		{"a zone is dropped", "10.0.0.1:5", []string{"fe80::1%eth0"}, trusted, "fe80::1"},
		{"a socket without a port", "@", nil, trusted, "@"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: tt.remote, Header: http.Header{"X-Forwarded-For": tt.forwarded}}
			if got := source(hostOf(r.RemoteAddr), r.Header, tt.trusted); got != tt.want {
				t.Errorf("source = %q, want %q", got, tt.want)
			}
		})
	}
}

// TestUntoldProxy: a proxy that TRUSTED_PROXIES does not name is named in the log, once.
func TestUntoldProxy(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, tt := range []struct {
		name, remote, header string
		trusted              []netip.Prefix
		warned               bool
	}{
		{"a proxy, and nobody is trusted", "10.0.0.1:5", "X-Forwarded-For", nil, true},
		{"a proxy by IPv6", "[fd00::1]:5", "X-Forwarded-For", trusted, true},
		{"another proxy than ours", "9.9.9.9:5", "X-Forwarded-For", trusted, true},
		{"a proxy that speaks RFC 7239", "9.9.9.9:5", "Forwarded", trusted, true},
		{"a proxy that speaks nginx", "9.9.9.9:5", "X-Real-IP", trusted, true},
		{"a socket without an address", "@", "X-Forwarded-For", nil, true},
		{"our proxy", "10.0.0.1:5", "X-Forwarded-For", trusted, false},
		{"a client", "9.9.9.9:5", "User-Agent", trusted, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := new(safeBuffer)
			h := identified(slog.New(slog.NewJSONHandler(out, nil)), tt.trusted, http.NotFoundHandler())
			for range 3 {
				r := httptest.NewRequest("GET", "/", nil)
				r.RemoteAddr = tt.remote
				r.Header.Set(tt.header, "1.2.3.4")
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
			peer, _, _ := strings.Cut(strings.Trim(tt.remote, "["), "]")
			peer = strings.TrimSuffix(peer, ":5")
			said := strings.Count(out.String(), `"level":"WARN"`)
			if tt.warned != (said == 1) || said > 1 || tt.warned && (!strings.Contains(out.String(), peer+" is not in TRUSTED_PROXIES") || !strings.Contains(out.String(), "header "+http.CanonicalHeaderKey(tt.header))) {
				t.Errorf("%d warnings: %s", said, out)
			}
		})
	}
}
