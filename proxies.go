package main

import (
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// isForwarded reports whether r seems to come from a proxy. nginx adds no header unless it is
// told to, but it speaks HTTP/1.0.
func isForwarded(r *http.Request) bool {
	if !r.ProtoAtLeast(1, 1) {
		return true
	}
	for name := range r.Header {
		if slices.ContainsFunc(forwardingHeaders, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			return true
		}
	}
	return false
}

// forwardingHeaders are the beginnings of header names that proxies, load balancers and
// content delivery networks use, and clients do not.
var forwardingHeaders = []string{
	"Forwarded", "Via", "X-Forwarded", "X-Original", "X-Rewrite-Url", "X-Real-Ip", "X-Remote-",
	"X-Client-Ip", "X-Cluster-Client-Ip", "X-Proxyuser-Ip", "X-Envoy-", "X-Amz", "X-Azure-", "X-Appengine-", "X-Cloud-Trace-Context",
	"Client-Ip", "True-Client-Ip", "Proxy-Client-Ip", "Wl-Proxy-Client-Ip",
	"Cf-", "Cdn-Loop", "Fastly-", "Fly-", "Akamai-", "X-Vercel-", "X-Nginx-", "X-Varnish", "X-Arr-",
}

// isLoopback reports whether host is a loopback name or address.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// identified says who sent a request, for the handlers and the log: it sets RemoteAddr to the
// address of the source, and X-Request-Id to the caller's own id or a new one.
func identified(log *slog.Logger, trusted []netip.Prefix, h http.Handler) http.Handler {
	var warned sync.Once
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ids := r.Header[requestIDHeader]
		if len(ids) != 1 || !isRequestID(ids[0]) {
			ids = []string{newRequestID()}
			r.Header[requestIDHeader] = ids
		}
		w.Header()["X-Request-ID"] = ids
		peer := hostOf(r.RemoteAddr)
		r.RemoteAddr = source(peer, r.Header, trusted)
		if name := proxyHeader(r.Header); name != "" && !isTrusted(peer, trusted) {
			warned.Do(func() { warnOfProxy(log, name, peer) })
		}
		h.ServeHTTP(w, r)
	})
}

// newRequestID returns an id of 16 hex digits: unique, but no secret.
func newRequestID() string { return strconv.FormatUint(rand.Uint64()|1<<63, 16) }

// proxyHeaders are the headers in which proxies name their client.
var proxyHeaders = []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip"}

// proxyHeader returns the first of proxyHeaders that is there, or "".
func proxyHeader(header http.Header) string {
	for _, name := range proxyHeaders {
		if header[name] != nil {
			return name
		}
	}
	return ""
}

// warnOfProxy says that a peer seems to be a proxy that is missing in TRUSTED_PROXIES. It may
// also be a client that made the header up.
func warnOfProxy(log *slog.Logger, header, peer string) {
	log.Warn("a request has the header "+header+", but "+peer+" is not in TRUSTED_PROXIES: "+
		"all clients of that proxy count as one source. Set TRUSTED_PROXIES if it is a proxy of yours", "peer", peer)
}

// isRequestID reports whether we may repeat an id that a caller sent.
func isRequestID(id string) bool {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return id != "" && len(id) <= 64 && strings.Trim(id, allowed) == ""
}

// hostOf returns an address without its port.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// source returns the address that a request of peer came from: the right-most hop in
// X-Forwarded-For that is not one of our proxies. Clients can write anything to the left of
// it.
func source(peer string, header http.Header, trusted []netip.Prefix) string {
	host := peer
	if len(trusted) == 0 {
		return host
	}
	hops := strings.Split(strings.Join(header["X-Forwarded-For"], ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !isTrusted(host, trusted) {
			break
		}
		addr, err := parseHop(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		host = addr.Unmap().WithZone("").String()
	}
	return host
}

// parseHop reads an address in X-Forwarded-For, to which some proxies add the port.
func parseHop(hop string) (netip.Addr, error) {
	if withPort, err := netip.ParseAddrPort(hop); err == nil {
		return withPort.Addr(), nil
	}
	return netip.ParseAddr(hop)
}

func isTrusted(host string, trusted []netip.Prefix) bool {
	addr, err := netip.ParseAddr(host)
	addr = addr.Unmap().WithZone("")
	return err == nil && slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}
