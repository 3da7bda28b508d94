package main

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// scrapesAtOnce is how many scrapes are answered at once. Others get 503.
const scrapesAtOnce = 4

// newMetricsHandler returns what METRICS_ADDR serves: GET /metrics and nothing else. Its
// requests are neither logged nor counted.
func newMetricsHandler(m *metrics, log *slog.Logger) http.Handler {
	scrape := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapesAtOnce,
		EnableOpenMetrics:   true,
	})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/metrics":
			writeError(w, r, log, errNotFound)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			writeError(w, r, log, errMethod)
		default:
			scrape.ServeHTTP(w, r)
		}
	})
	return recovered(log, unhurried(hardened(h)))
}

// serveMetrics serves metrics on ln, until stop is called.
func serveMetrics(ln net.Listener, m *metrics, idle time.Duration, log *slog.Logger) (stop func()) {
	srv := newServer(newMetricsHandler(m, log), idle, log)
	log.Info("metrics are served", "addr", ln.Addr().String())
	go func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are no longer served", "err", err)
		}
	}()
	return func() { srv.Close() }
}
