package main

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestCORS(t *testing.T) {
	s := startServer(t, func(_ *accounts, cfg *edgeSettings) {
		cfg.CORSOrigins = []string{"https://app.example", "http://localhost:*"}
	})
	for _, tt := range []struct {
		name    string
		origins []string
		allowed bool
	}{
		{"an origin on the list", []string{"https://app.example"}, true},
		{"localhost with a port", []string{"http://localhost:3000"}, true},
		{"localhost without a port", []string{"http://localhost"}, true},
		{"no origin", nil, false},
		{"another origin", []string{"https://evil.example"}, false},
		{"null", []string{"null"}, false},
		{"another scheme", []string{"http://app.example"}, false},
		{"a port", []string{"https://app.example:444"}, false},
		{"a subdomain", []string{"https://x.app.example"}, false},
		{"a longer name", []string{"https://app.example.evil.example"}, false},
		{"a name that ends alike", []string{"https://notapp.example"}, false},
		{"capitals", []string{"https://APP.example"}, false},
		{"a slash behind", []string{"https://app.example/"}, false},
		{"localhost and more", []string{"http://localhost.evil.example"}, false},
		{"localhost with a port that is none", []string{"http://localhost:80.evil.example"}, false},
		{"localhost with a port too high", []string{"http://localhost:65536"}, false},
		{"localhost with a user", []string{"http://localhost:3000@evil.example"}, false},
		{"two origins", []string{"https://app.example", "https://evil.example"}, false},
		{"two origins in one header", []string{"https://app.example, https://evil.example"}, false},
		{"8,000 bytes", []string{"https://" + strings.Repeat("a", 8000)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var headers []string
			for _, origin := range tt.origins {
				headers = append(headers, "Origin: "+origin)
			}
			got := s.me(headers...)
			checkCORS(t, got, tt.origins, tt.allowed)
			preflight := s.do("OPTIONS", "/users/me/", "", append(headers, "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization", "Access-Control-Request-Private-Network: true")...)
			checkCORS(t, preflight, tt.origins, tt.allowed)
			if allow := preflight.header.Get("Access-Control-Allow-Headers"); (allow == "authorization") != tt.allowed {
				t.Errorf("preflight: %d, headers %q", preflight.status, allow)
			}
		})
	}
	off := startServer(t, func(_ *accounts, cfg *edgeSettings) { cfg.CORSOrigins = nil })
	checkCORS(t, off.me("Origin: https://app.example"), nil, false)
	all := startServer(t, func(_ *accounts, cfg *edgeSettings) { cfg.CORSOrigins = []string{"*"} })
	if got := all.me("Origin: https://any.example").header.Get("Access-Control-Allow-Origin"); got != "https://any.example" && got != "*" {
		t.Errorf("*: %q", got)
	}
}

func checkCORS(t *testing.T, a answer, origins []string, allowed bool) {
	t.Helper()
	want := ""
	if allowed {
		want = origins[0]
	}
	if got := a.header.Get("Access-Control-Allow-Origin"); got != want {
		t.Errorf("Access-Control-Allow-Origin %q, want %q", got, want)
	}
	for _, name := range []string{"Access-Control-Allow-Credentials", "Access-Control-Allow-Private-Network"} {
		if got := a.header.Get(name); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if origins != nil && !strings.Contains(strings.Join(a.header.Values("Vary"), ","), "Origin") {
		t.Errorf("Vary: %q", a.header.Values("Vary"))
	}
}

// TestPreflightHeaders: a page that may call may send whatever headers it likes.
func TestPreflightHeaders(t *testing.T) {
	s := startServer(t)
	for _, asked := range [][]string{
		{"authorization"},
		{"authorization,baggage,content-type,sentry-trace"},
		{"authorization,traceparent,x-request-id,x-requested-with"},
		{"x-of-my-own"},
		{"authorization", "x-of-my-own"}, // a gateway has split them
		{strings.Repeat("x-long-", 500)},
	} {
		headers := []string{"Origin: http://localhost:3000", "Access-Control-Request-Method: PATCH"}
		for _, names := range asked {
			headers = append(headers, "Access-Control-Request-Headers: "+names)
		}
		got := s.do("OPTIONS", "/users/me/", "", headers...)
		if allowed := got.header.Values("Access-Control-Allow-Headers"); got.status != 204 || !slices.Equal(allowed, asked) {
			t.Errorf("%.60q: %d, allowed %.60q", asked, got.status, allowed)
		}
		if vary := strings.Join(got.header.Values("Vary"), ", "); vary != "Origin, Access-Control-Request-Method, Access-Control-Request-Headers" {
			t.Errorf("Vary: %q", vary)
		}
		if got := got.header.Get("Access-Control-Allow-Credentials"); got != "" {
			t.Errorf("credentials: %q", got)
		}
	}
}

// TestRefusedPreflight: why a page may not call stands in the log, which shows it to the
// operator. No browser tells more than "CORS error".
func TestRefusedPreflight(t *testing.T) {
	for name, origins := range map[string][]string{"a list": {"https://app.example"}, "no list": nil} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, func(_ *accounts, cfg *edgeSettings) { cfg.CORSOrigins = origins })
			ask := func(origin, method string) {
				s.do("OPTIONS", "/token", "", "Origin: "+origin, "Access-Control-Request-Method: "+method, "X-Request-ID: the-id")
			}
			ask("https://app.example:8443", "POST")
			ask("https://"+strings.Repeat("a", 5000), strings.Repeat("M", 5000))
			s.do("OPTIONS", "/token", "") // asks for nobody
			logged := 0
			for line := range strings.Lines(s.log.String()) {
				if !strings.Contains(line, foreignOrigin) {
					continue
				}
				logged++
				if len(line) > 600 || !strings.Contains(line, `"request_id":"the-id"`) {
					t.Errorf("line %s", line)
				}
			}
			if logged != 2 || !strings.Contains(s.log.String(), `"origin":"https://app.example:8443","method":"OPTIONS","preflight_for":"POST"`) {
				t.Errorf("%d lines: %s", logged, s.log)
			}
			if origins != nil {
				ask("https://app.example", "PUT")
				ask("https://app.example", "POST")
				if !strings.Contains(s.log.String(), `"preflight_for":"PUT"`) || strings.Contains(s.log.String(), `"origin":"https://app.example","method":"OPTIONS","preflight_for":"POST"`) {
					t.Errorf("the log says %s", s.log)
				}
			}
		})
	}
}

// TestForeignPages: what a page makes its visitor's browser send is refused before it counts,
// unless its origin may call. Others are not browsers, or send no such mark.
func TestForeignPages(t *testing.T) {
	const app = "https://app.example"
	listed := []string{app, "http://localhost:*"}
	for _, tt := range []struct {
		name    string
		origins []string
		headers []string
		refused bool
	}{
		{"no browser", listed, nil, false},
		{"a page of another site", listed, []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site"}, true},
		{"a page of another site in an old browser", listed, []string{"Origin: https://evil.example"}, true},
		{"a page of another site that hides its origin", listed, []string{"Origin: null", "Sec-Fetch-Site: cross-site"}, true},
		{"the same in an old browser", listed, []string{"Origin: null"}, true},
		{"a page without an origin", listed, []string{"Sec-Fetch-Site: cross-site"}, true},
		{"a page of another subdomain", listed, []string{"Origin: https://other.example.com", "Sec-Fetch-Site: same-site"}, true},
		{"another port of our host", listed, []string{"Host: h.example:8000", "Origin: http://h.example:3000", "Sec-Fetch-Site: same-site"}, true},
		{"another port in an old browser", listed, []string{"Host: h.example:8000", "Origin: http://h.example:3000"}, true},
		{"our own page", listed, []string{"Host: h.example", "Origin: https://h.example", "Sec-Fetch-Site: same-origin"}, false},
		{"our own page in an old browser", listed, []string{"Host: h.example", "Origin: https://h.example"}, false},
		{"our own page behind a proxy that changes Host", listed, []string{"Host: 127.0.0.1:8000", "Origin: https://h.example", "Sec-Fetch-Site: same-origin"}, false},
		{"the user's own doing", listed, []string{"Sec-Fetch-Site: none"}, false},
		{"a mark that no browser has", listed, []string{"Origin: https://h.example", "Sec-Fetch-Site: x"}, true},
		{"a listed page", listed, []string{"Origin: " + app, "Sec-Fetch-Site: cross-site"}, false},
		{"a listed page in an old browser", listed, []string{"Origin: " + app}, false},
		{"a listed page of the same site", listed, []string{"Origin: http://localhost:3000", "Sec-Fetch-Site: same-site"}, false},
		{"a page that looks like a listed one", listed, []string{"Origin: http://localhost:3000.evil.example", "Sec-Fetch-Site: cross-site"}, true},
		{"a listed page beside another", listed, []string{"Origin: " + app, "Origin: https://evil.example"}, true},
		{"two marks", listed, []string{"Origin: https://evil.example", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"}, true},
		{"any page, where all may call", []string{"*"}, []string{"Origin: https://any.example", "Sec-Fetch-Site: cross-site"}, false},
		{"a page that hides its origin, where all may call", []string{"*"}, []string{"Origin: null", "Sec-Fetch-Site: cross-site"}, false},
		{"a page without an origin, where all may call", []string{"*"}, []string{"Sec-Fetch-Site: cross-site"}, false},
		{"any page, where none may call", nil, []string{"Origin: http://localhost:3000", "Sec-Fetch-Site: same-site"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startServer(t, func(_ *accounts, cfg *edgeSettings) { cfg.CORSOrigins = tt.origins })
			token := s.signUp()
			got := s.do("POST", "/token", "username=alice&password=wrong", append(tt.headers, "Content-Type: "+urlEncoded)...)
			want := badLogin
			if tt.refused {
				want = `{"detail":"Pages of this origin may not call; see CORS_ORIGINS","error":"invalid_request","error_description":"Pages of this origin may not call; see CORS_ORIGINS"}`
			}
			if got.body != want || tt.refused && got.status != 403 {
				t.Errorf("got %d %s; want %s", got.status, got.body, want)
			}
			if failed := strings.Contains(s.log.String(), "authn_login_fail"); failed == tt.refused {
				t.Errorf("a login has failed: %t", failed)
			}
			if told := strings.Contains(s.log.String(), foreignOrigin); told != tt.refused {
				t.Errorf("the log says so: %t", told)
			}
			for _, path := range []string{"/users/me/", "/livez"} {
				if got := s.do("GET", path, "", append(tt.headers, "Authorization: Bearer "+token)...); got.status != 200 {
					t.Errorf("reading %s: %d", path, got.status)
				}
			}
		})
	}
}

// TestForeignPagesEverywhere: no operation that changes something is open to them.
func TestForeignPagesEverywhere(t *testing.T) {
	s := startServer(t)
	for _, op := range operations(edgeSettings{}, &api{s.acc}) {
		method, path, _ := strings.Cut(strings.TrimSuffix(op.pattern, "{$}"), " ")
		got := s.do(method, strings.ReplaceAll(path, "{id}", "x"), "{}", "Origin: https://evil.example", "Content-Type: text/plain")
		if (got.status == 403) == (method == "GET") {
			t.Errorf("%s %s: %d %s", method, path, got.status, got.body)
		}
	}
}

// TestForeignPageWithoutHost: HTTP/1.0 needs no Host, and an origin without one is not equal
// to it.
func TestForeignPageWithoutHost(t *testing.T) {
	r := httptest.NewRequest("POST", "/token", nil)
	r.Host = ""
	if r.Header.Set("Origin", "null"); !isForeign(r, nil) {
		t.Error("the page passes")
	}
	if r.Header.Del("Origin"); isForeign(r, nil) {
		t.Error("no browser, and yet refused")
	}
}
