package main

import (
	"crypto/rand"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestRequestMetrics: a request is counted under its route, its method and its code.
func TestRequestMetrics(t *testing.T) {
	for _, tt := range []struct{ name, method, path, header, want string }{
		{"a success", "GET", "/livez", "", `route="GET /livez" method="GET" code="200"`},
		{"HEAD of it", "HEAD", "/livez", "", `route="GET /livez" method="HEAD" code="200"`},
		{"a failure", "GET", "/users/me/", "", `route="GET /users/me/{$}" method="GET" code="401"`},
		{"a path with a wildcard", "DELETE", "/users/me/sessions/secret", "", `route="DELETE /users/me/sessions/{id}" method="DELETE" code="401"`},
		{"a file that is not there", "GET", "/docs/secret", "", `route="GET /docs/{file}" method="GET" code="404"`},
		{"the account page", "GET", "/", "", `route="GET /{$}" method="GET" code="200"`},
		{"no slash at the end", "GET", "/users/me", "", `route="none" method="GET" code="307"`},
		{"a path that is not there", "PUT", "/secret", "", `route="none" method="PUT" code="404"`},
		{"the path of metrics, at the main address", "GET", "/metrics", "", `route="none" method="GET" code="404"`},
		{"a method that the path does not have", "DELETE", "/token", "", `route="none" method="DELETE" code="405"`},
		{"a method that nobody has", "SECRET", "/users/me/", "", `route="none" method="other" code="405"`},
		{"a method in small letters", "get", "/livez", "", `route="none" method="other" code="405"`},
		{"a proxy that asks", "GET", "/verify", "", `route="/verify" method="GET" code="401"`},
		{"a proxy that asks for a scope", "POST", "/verify/secret/secret", "", `route="/verify/{scopes}" method="other" code="401"`},
		{"a proxy that asks for what is no scope", "GET", "/verify/+secret", "", `route="/verify/{scopes}" method="GET" code="404"`},
		{"a proxy that asks with a client's method", "SECRET", "/verify/secret", "", `route="/verify/{scopes}" method="other" code="401"`},
		{"a page of another origin", "POST", "/token", "Origin: https://evil.example", `route="POST /token" method="POST" code="403"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startMeasured(t)
			before := scrape(t, s.acc.metrics)
			r := httptest.NewRequest(tt.method, tt.path, nil)
			if name, value, ok := strings.Cut(tt.header, ": "); ok {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			s.Config.Handler.ServeHTTP(w, r)
			after := scrape(t, s.acc.metrics)
			var route, method, code string
			if _, err := fmt.Sscanf(tt.want, "route=%q method=%q code=%q", &route, &method, &code); err != nil || code != strconv.Itoa(w.Code) {
				t.Fatalf("answered %d, %v; want %s", w.Code, err, tt.want)
			}
			want := scraped{
				fmt.Sprintf("http_requests_total{code=%q,method=%q,route=%q}", code, method, route):   1,
				fmt.Sprintf("http_request_duration_seconds_count{method=%q,route=%q}", method, route): 1,
			}
			got := after.since(before, []string{"http_requests_total", "http_request_duration_seconds_count", "http_requests_in_flight"})
			if !maps.Equal(got, want) || len(after) != len(before) {
				t.Errorf("got %v and %d series; want %v and %d", got, len(after), want, len(before))
			}
		})
	}
}

// TestDocumentedCodes: the codes of each operation that openapi.json describes are expected.
func TestDocumentedCodes(t *testing.T) {
	documented := documentedCodes()
	found := 0
	for _, op := range operations(edgeSettings{}, &api{new(accounts)}) {
		if documented[strings.TrimSuffix(op.pattern, "{$}")] != nil {
			found++
		}
	}
	for _, route := range []string{verifyRoute, verifyScopesRoute} {
		if got := expectedCodes(route, documented); documented["GET "+route] != nil && slices.Contains(got, 401) {
			found++
		}
	}
	if found != len(documented) || found == 0 {
		t.Errorf("of %d operations in openapi.json %d are routes", len(documented), found)
	}
	if got := expectedCodes("POST /token", documented); !slices.Contains(got, 200) || !slices.Contains(got, 401) || !slices.Contains(got, 429) {
		t.Errorf("POST /token: %v", got)
	}
}

// TestRandomRequests: requests of any path and method make no new series.
func TestRandomRequests(t *testing.T) {
	s := startMeasured(t)
	before := scrape(t, s.acc.metrics)
	var patterns []string
	for _, op := range operations(edgeSettings{}, &api{s.acc}) {
		patterns = append(patterns, op.pattern)
	}
	patterns = append(patterns, "GET "+verifyRoute, "POST "+verifyScopesRoute)
	for i := range 5000 {
		method, path := randomRequest(i, patterns)
		s.Config.Handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, path, nil))
	}
	if after := scrape(t, s.acc.metrics); len(after) != len(before) {
		for name := range after {
			if _, ok := before[name]; !ok {
				t.Errorf("a new series: %s", name)
			}
		}
	}
}

// randomRequest returns a method and a path: half of the time those of a route, with other
// letters in place of its wildcard.
func randomRequest(i int, patterns []string) (method, path string) {
	method, path, _ = strings.Cut(patterns[i%len(patterns)], " ")
	path = regexp.MustCompile(`{.*}`).ReplaceAllString(path, rand.Text()[:i%20])
	switch i % 4 {
	case 0:
		method = rand.Text()[:1+i%10]
	case 1:
		method = knownMethods[mathrand.IntN(len(knownMethods))]
	case 2:
		path = "/" + rand.Text()[:i%20]
	}
	if method == http.MethodConnect {
		method = http.MethodGet
	}
	return method, path
}
