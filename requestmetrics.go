package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// requestMetrics counts requests. It finds a child by its route and method without allocating
// anything. A nil *requestMetrics counts nothing.
type requestMetrics struct {
	metrics  *metrics
	children map[routeAndMethod]requestChildren
}

type routeAndMethod struct{ route, method string }

// requestChildren are the metrics of a route and a method.
type requestChildren struct {
	duration prometheus.Observer
	codes    map[int]prometheus.Counter // those that are expected
}

const (
	noRoute     = "none"
	otherMethod = "other"
)

// knownMethods are those of RFC 9110 §9.3 and RFC 5789. Others are otherMethod, because a
// client may make up any number of them.
var knownMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
}

// newRequestMetrics returns metrics of requests to routes with these patterns, or nil if m is nil.
func newRequestMetrics(m *metrics, patterns []string) *requestMetrics {
	if m == nil {
		return nil
	}
	q := &requestMetrics{m, make(map[routeAndMethod]requestChildren)}
	documented := documentedCodes()
	for _, pattern := range patterns {
		codes := expectedCodes(pattern, documented)
		for _, method := range methodsOf(pattern) {
			q.create(pattern, method, codes)
		}
	}
	for _, method := range append([]string{otherMethod}, knownMethods...) {
		codes := []int{http.StatusTemporaryRedirect, http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed}
		if method == http.MethodOptions {
			codes = append(codes, http.StatusNoContent) // a browser asks for a page of another origin
		}
		q.create(noRoute, method, codes)
	}
	return q
}

// methodsOf returns the methods under which requests to a route with this pattern are counted. A
// pattern without a method is for any. Proxies ask with GET or HEAD there, and those that ask with
// the method of a client count the methods themselves.
func methodsOf(pattern string) []string {
	method, _, ok := strings.Cut(pattern, " ")
	switch {
	case !ok:
		return []string{http.MethodGet, http.MethodHead, otherMethod}
	case method == http.MethodGet: // http.ServeMux lets it serve HEAD, too
		return []string{method, http.MethodHead}
	}
	return []string{method}
}

// create makes the children of a route and a method.
func (q *requestMetrics) create(route, method string, codes []int) {
	made := requestChildren{q.metrics.requestDurations.WithLabelValues(route, method), make(map[int]prometheus.Counter)}
	for _, code := range codes {
		made.codes[code] = q.metrics.requests.WithLabelValues(route, method, strconv.Itoa(code))
	}
	q.children[routeAndMethod{route, method}] = made
}

// begin counts a request that begins to be answered.
func (q *requestMetrics) begin() {
	if q != nil {
		q.metrics.inFlight.Inc()
	}
}

// end counts a request that was answered. Its pattern is empty if no route has matched.
func (q *requestMetrics) end(pattern, method string, code int, took time.Duration) {
	if q == nil {
		return
	}
	q.metrics.inFlight.Dec()
	at := routeAndMethod{pattern, method}
	if pattern == "" {
		at.route = noRoute
	}
	of, ok := q.children[at]
	if !ok {
		at.method = otherMethod
		of, ok = q.children[at]
	}
	if !ok {
		at.route = noRoute
		of = q.children[at]
	}
	of.duration.Observe(took.Seconds())
	if counter, ok := of.codes[code]; ok {
		counter.Inc()
		return
	}
	q.metrics.requests.WithLabelValues(at.route, at.method, strconv.Itoa(code)).Inc() // codes are ours, and few
}

// documentedCodes returns the status codes that openapi.json lists, by method and path.
func documentedCodes() map[string][]int {
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]json.RawMessage
		}
	}
	json.Unmarshal(openAPI, &doc) // TestDocumentedCodes fails if it cannot be read
	codes := make(map[string][]int)
	for path, methods := range doc.Paths {
		for method, about := range methods {
			name := strings.ToUpper(method) + " " + path
			for text := range about.Responses {
				if code, err := strconv.Atoi(text); err == nil { // not "default"
					codes[name] = append(codes[name], code)
				}
			}
		}
	}
	return codes
}

// expectedCodes returns the status codes whose counters exist from the start: those that are
// documented, and those that middleware and faults add.
func expectedCodes(pattern string, documented map[string][]int) []int {
	name := strings.TrimSuffix(pattern, "{$}")
	if strings.HasPrefix(name, "/") {
		name = http.MethodGet + " " + name // it is documented for this method alone
	}
	codes := []int{http.StatusInternalServerError, http.StatusServiceUnavailable}
	codes = append(codes, documented[name]...)
	if documented[name] == nil { // a page
		codes = append(codes, http.StatusOK, http.StatusNotModified)
	}
	if strings.Contains(name, "{") {
		codes = append(codes, http.StatusNotFound)
	}
	if !strings.HasPrefix(name, http.MethodGet) {
		codes = append(codes, http.StatusForbidden) // to a page of another origin
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}
