package main

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestMetricsHandler: METRICS_ADDR serves /metrics and nothing else.
func TestMetricsHandler(t *testing.T) {
	h := newMetricsHandler(newMetrics("", func() int64 { return 0 }), slog.New(slog.DiscardHandler))
	for _, tt := range []struct {
		method, path string
		code         int
		allow        string
	}{
		{"GET", "/metrics", 200, ""},
		{"HEAD", "/metrics", 200, ""},
		{"GET", "/metrics?name[]=x", 200, ""},
		{"POST", "/metrics", 405, "GET, HEAD"},
		{"OPTIONS", "/metrics", 405, "GET, HEAD"},
		{"DELETE", "/", 404, ""},
		{"GET", "/", 404, ""},
		{"GET", "/metrics/", 404, ""},
		{"GET", "//metrics", 404, ""},
		{"GET", "/livez", 404, ""},
		{"GET", "/users/me/", 404, ""},
		{"GET", "/debug/pprof/", 404, ""},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, strings.NewReader("a body")))
		if w.Code != tt.code || w.Header().Get("Allow") != tt.allow || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: %d %v", tt.method, tt.path, w.Code, w.Header())
		}
	}
}
