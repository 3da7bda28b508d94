package main

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics counts what the server does, for Prometheus. A nil *metrics counts nothing: that is
// what commands have, and servers without METRICS_ADDR.
//
// No label has a value that a client can choose, and every child exists before it counts
// anything, because nobody can be alerted to a series that is not there.
type metrics struct {
	registry *prometheus.Registry

	inFlight         prometheus.Gauge
	requests         *prometheus.CounterVec   // by route, method and code
	requestDurations *prometheus.HistogramVec // by route and method

	logins        *prometheus.CounterVec // by result
	refreshes     *prometheus.CounterVec // by result
	clientGrants  *prometheus.CounterVec // by result
	registrations *prometheus.CounterVec // by result
	sessionsEnded *prometheus.CounterVec // by reason

	hashDurations *prometheus.HistogramVec // by scheme
	upgrades      *prometheus.CounterVec   // by scheme
	hashWaits     prometheus.Histogram
	hashes        atomic.Pointer[queue] // nil before there is one

	storeDurations *prometheus.HistogramVec // by operation
	storeFaults    *prometheus.CounterVec   // by operation

	droppedEvents prometheus.Counter
}

// Buckets of the histograms, in seconds. Native histograms are finer, and need none; see
// (*metrics).histogram.
var (
	requestBuckets = []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10}
	hashBuckets    = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5}
	waitBuckets    = []float64{.005, .025, .1, .25, .5, 1, 2}
	storeBuckets   = []float64{.001, .005, .025, .1, .5, 2.5}
)

// Results of logins, refreshes and registrations.
const (
	resultSuccess   = "success"
	resultFailure   = "failure"   // wrong name or password, or API key
	resultThrottled = "throttled" // too many guesses or registrations
	resultBusy      = "busy"      // too many passwords wait to be hashed
	resultError     = "error"     // a fault of ours: the store does not answer

	resultGrace   = "grace"   // a token that has just been replaced, for the same successor
	resultReuse   = "reuse"   // a token that was replaced before: perhaps a stolen one
	resultExpired = "expired" // a session that was not refreshed in time
	resultEnded   = "ended"   // a session that is over
	resultInvalid = "invalid" // no token of ours; a registration with bad fields; a scope of which nothing is granted

	resultTaken  = "taken"  // another user has the name
	resultClosed = "closed" // nobody may register
)

// Reasons why sessions end.
const (
	endedByLogout   = "logout"   // POST /revoke
	endedByUser     = "user"     // in the list of one's sessions, or with one's account
	endedByAdmin    = "admin"    // with a change by an administrator
	endedByReuse    = "reuse"    // an older refresh token was used
	endedByPassword = "password" // with a change of one's password
	endedByExpiry   = "expired"
)

// newMetrics returns metrics of a server of this version. linesLost returns how many log lines
// were lost since the start.
func newMetrics(version string, linesLost func() int64) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registerRequestMetrics()
	m.registerAccountMetrics()
	m.registerHashMetrics()
	m.storeDurations = promauto.With(m.registry).NewHistogramVec(prometheus.HistogramOpts{ // not native: most requests observe one
		Namespace: namespace, Name: "store_duration_seconds", Help: "How long an operation of the store took.", Buckets: storeBuckets,
	}, []string{"operation"})
	m.storeFaults = m.counter("store_errors_total", "Operations of the store that failed.", "operation")
	m.droppedEvents = m.counter("events_dropped_total", "Security events that the store did not take. The log has them.").WithLabelValues()
	m.counterFunc("log_lines_dropped_total", "Log lines that were lost because nobody read them, or because they could not be written.", linesLost)
	m.gauge("build_info", "1, with the version of the program.", "version", "goversion").WithLabelValues(version, runtime.Version()).Set(1)
	return m
}

func (m *metrics) registerRequestMetrics() {
	m.inFlight = m.gauge("http_requests_in_flight", "Requests that are being answered.").WithLabelValues()
	m.requests = m.counter("http_requests_total", "Requests that were answered.", "route", "method", "code")
	m.requestDurations = m.histogram("http_request_duration_seconds", "How long it took to answer a request.", requestBuckets, "route", "method")
}

func (m *metrics) registerAccountMetrics() {
	m.logins = m.counter("logins_total", "Logins, by how they went.", "result")
	createSeries(m.logins, resultSuccess, resultFailure, resultThrottled, resultBusy, resultError)
	m.refreshes = m.counter("refreshes_total", "Uses of refresh tokens, by how they went.", "result")
	createSeries(m.refreshes, resultSuccess, resultGrace, resultReuse, resultExpired, resultEnded, resultInvalid, resultError)
	m.clientGrants = m.counter("client_credentials_total", "Requests for access tokens with API keys, by how they went.", "result")
	createSeries(m.clientGrants, resultSuccess, resultFailure, resultInvalid, resultError)
	m.registrations = m.counter("registrations_total", "Registrations, by how they went.", "result")
	createSeries(m.registrations, resultSuccess, resultTaken, resultInvalid, resultClosed, resultThrottled, resultBusy, resultError)
	m.sessionsEnded = m.counter("sessions_ended_total", "Ends of sessions, by reason. All sessions of a user that end together count once.", "reason")
	createSeries(m.sessionsEnded, endedByLogout, endedByUser, endedByAdmin, endedByReuse, endedByPassword, endedByExpiry)
}

func (m *metrics) registerHashMetrics() {
	m.hashDurations = m.histogram("password_hash_duration_seconds", "How long it took to hash a password, by the scheme of the stored hash.", hashBuckets, "scheme")
	m.upgrades = m.counter("password_upgrades_total", "Hashes that a login has replaced by a stronger one, by the scheme of the old one.", "scheme")
	createSeries(m.upgrades, hashFamilies...)
	for _, family := range append([]string{familyDecoy}, hashFamilies...) {
		m.hashDurations.WithLabelValues(family)
	}
	m.hashWaits = m.histogram("hash_queue_wait_seconds", "How long a password waited until it was hashed or refused.", waitBuckets).WithLabelValues().(prometheus.Histogram)
	m.queueGauge("hash_queue_running", "Passwords that are being hashed.", func(q *queue) int { return int(q.running.Load()) })
	m.queueGauge("hash_queue_waiting", "Passwords that wait to be hashed.", func(q *queue) int { return len(q.waiting) })
}

// namespace begins the name of every metric of ours.
const namespace = "latchkey"

func (m *metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	return promauto.With(m.registry).NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func (m *metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return promauto.With(m.registry).NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

// counterFunc adds a counter that count counts.
func (m *metrics) counterFunc(name, help string, count func() int64) {
	promauto.With(m.registry).NewCounterFunc(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help},
		func() float64 { return float64(count()) })
}

// queueGauge adds a gauge of the queue of passwords.
func (m *metrics) queueGauge(name, help string, count func(*queue) int) {
	promauto.With(m.registry).NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, func() float64 {
		q := m.hashes.Load()
		if q == nil {
			return 0
		}
		return float64(count(q))
	})
}

// histogram adds a histogram with these buckets. A Prometheus that asks for native histograms
// gets one whose buckets grow by a tenth, at most 100 of them, as well.
func (m *metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return promauto.With(m.registry).NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, labels)
}

// createSeries makes the series of a counter with one label.
func createSeries(counter *prometheus.CounterVec, values ...string) {
	for _, value := range values {
		counter.WithLabelValues(value)
	}
}

// login counts a login with one of the results.
func (m *metrics) login(result string) {
	if m != nil {
		m.logins.WithLabelValues(result).Inc()
	}
}

// refresh counts a use of a refresh token with one of the results.
func (m *metrics) refresh(result string) {
	if m != nil {
		m.refreshes.WithLabelValues(result).Inc()
	}
}

// clientCredentials counts a request for an access token with an API key.
func (m *metrics) clientCredentials(result string) {
	if m != nil {
		m.clientGrants.WithLabelValues(result).Inc()
	}
}

// registration counts a registration with one of the results.
func (m *metrics) registration(result string) {
	if m != nil {
		m.registrations.WithLabelValues(result).Inc()
	}
}

// ended counts n ends of sessions for one of the reasons.
func (m *metrics) ended(reason string, n int) {
	if m != nil {
		m.sessionsEnded.WithLabelValues(reason).Add(float64(n))
	}
}

// hashed notes how long it took to compare a password with a stored hash, or to make one.
func (m *metrics) hashed(stored string, took time.Duration) {
	if m != nil {
		m.hashDurations.WithLabelValues(familyOf(stored)).Observe(took.Seconds())
	}
}

// upgraded counts a stored hash that was replaced by a stronger one.
func (m *metrics) upgraded(stored string) {
	if m != nil {
		m.upgrades.WithLabelValues(familyOf(stored)).Inc()
	}
}

// watch measures the queue of passwords.
func (m *metrics) watch(q *queue) {
	if m != nil {
		q.waited = func(d time.Duration) { m.hashWaits.Observe(d.Seconds()) }
		m.hashes.Store(q)
	}
}

// eventsDropped counts n security events that the store did not take.
func (m *metrics) eventsDropped(n int) {
	if m != nil {
		m.droppedEvents.Add(float64(n))
	}
}
