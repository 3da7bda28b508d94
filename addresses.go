package main

import (
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

func (r *settingReader) address(name string) string {
	addr := r.values[name]
	host, port, err := net.SplitHostPort(addr)
	if _, err2 := strconv.ParseUint(port, 10, 16); err != nil || err2 != nil || strings.ContainsAny(host, "@/= ") {
		r.bad(name, "%s; want host:port, such as localhost:8000 or :8000", shown(addr))
	}
	return addr
}

// optionalAddress is address for a setting that may be empty.
func (r *settingReader) optionalAddress(name string) string {
	if r.values[name] == "" {
		return ""
	}
	return r.address(name)
}

// isPrivate reports whether host is an address that cannot be reached from the Internet, or a
// loopback name. It returns false for other names.
func isPrivate(host string) bool {
	ip, err := netip.ParseAddr(host)
	return isLoopback(host) || err == nil && (ip.Unmap().IsPrivate() || ip.IsLinkLocalUnicast())
}

func (r *settingReader) prefixes(name string) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, item := range r.list(name) {
		prefix, err := netip.ParsePrefix(item)
		if addr, err2 := netip.ParseAddr(item); err2 == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil || prefix.Addr().Is4In6() {
			r.bad(name, "%s; want a CIDR, such as 10.0.0.0/8", shown(item))
			continue
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	if coversMost(prefixes) {
		r.warn(name, "it holds most of the Internet: any client can choose its address by X-Forwarded-For, and the limits on guessing no longer hold; want only your own proxies")
	}
	return prefixes
}

// coversMost reports whether prefixes hold half of IPv4 or of the part of IPv6 that is in
// use (RFC 4291 §2.4), or more.
func coversMost(prefixes []netip.Prefix) bool {
	global := netip.MustParsePrefix("2000::/3")
	var v4, v6 float64
	sorted := slices.SortedFunc(slices.Values(prefixes), netip.Prefix.Compare) // the wider first
	for i, p := range sorted {
		isIn := func(other netip.Prefix) bool { return other.Bits() <= p.Bits() && other.Contains(p.Addr()) }
		switch {
		case slices.ContainsFunc(sorted[:i], isIn):
		case p.Addr().Is4():
			v4 += math.Exp2(float64(-p.Bits()))
		case isIn(global):
			v6 += math.Exp2(float64(global.Bits() - p.Bits()))
		case p.Overlaps(global):
			v6++
		}
	}
	return v4 >= 0.5 || v6 >= 0.5
}

func (r *settingReader) origins(name string, local bool) []string {
	if !r.isSet(name) && local {
		r.values[name] = loopbackOrigins
	}
	origins := r.list(name)
	for _, origin := range origins {
		want := asOrigin(origin)
		switch {
		case origin == "*" && len(origins) > 1:
			r.bad(name, "* together with other origins; want either * alone or a list of origins")
		case origin != "*" && want == "":
			r.bad(name, "%s; want origins such as https://app.example or http://localhost:*", shown(origin))
		case origin != "*" && want != origin:
			r.bad(name, "%s; want %s: browsers send origins such as https://app.example, in small letters, without the default port and without a path", shown(origin), want)
		}
	}
	return origins
}

// asOrigin returns the origin that text seems to mean, as browsers send it (RFC 6454 §6.2), or
// with * for the port if it is on this machine. It returns "" if text is not an origin.
func asOrigin(text string) string {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "https", text
		if host, _, _ := strings.Cut(text, ":"); isLoopback(host) {
			scheme = "http"
		}
	}
	scheme = strings.ToLower(scheme)
	if scheme != "http" && scheme != "https" {
		return ""
	}
	if i := strings.IndexAny(rest, `/?#\`); i >= 0 {
		rest = rest[:i]
	}
	rest = rest[strings.LastIndex(rest, "@")+1:]
	base, anyPort := strings.CutSuffix(rest, ":*")
	u, err := url.Parse(scheme + "://" + base)
	if err != nil {
		return ""
	}
	host := originHost(u.Hostname())
	port, ok := originPort(scheme, u.Port())
	switch {
	case host == "" || !ok || anyPort && u.Port() != "":
		return ""
	case anyPort && isLoopback(strings.Trim(host, "[]")):
		port = ":*"
	case anyPort, !found && !strings.Contains(host, ".") && !isLoopback(host): // "null" is no host
		return ""
	}
	return scheme + "://" + host + port
}

// originHost returns a host in lower case and ASCII, and IPv6 in its short form. It returns ""
// if host is not a host.
func originHost(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Is6() {
			return "[" + ip.WithZone("").String() + "]"
		}
		return ip.String()
	}
	lookup := idna.New(idna.MapForLookup(), idna.StrictDomainName(false))
	ascii, err1 := lookup.ToASCII(host)
	again, err2 := lookup.ToASCII(ascii) // which fails if it was not UTF-8
	if err1 != nil || err2 != nil || again != ascii || strings.ContainsAny(ascii, " *,:[]<>|^%\"'`{}()&;=!$+~") {
		return ""
	}
	return ascii
}

// originPort returns a port as origins have it, with its colon: none if it is the scheme's default.
func originPort(scheme, port string) (string, bool) {
	if port == "" {
		return "", true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", false
	}
	if scheme == "http" && n == 80 || scheme == "https" && n == 443 {
		return "", true
	}
	return ":" + strconv.FormatUint(n, 10), true
}

const loopbackOrigins = "http://localhost:*,http://127.0.0.1:*"
