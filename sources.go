package main

import "net/netip"

// embeddings are the prefixes of IPv6 addresses in which a translator or tunnel writes the
// IPv4 address of a client: at which byte, and whether its bits are inverted.
var embeddings = []struct {
	prefix   netip.Prefix
	at       int
	inverted bool
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12, false},    // NAT64: RFC 6052 §2.1
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12, false}, // stateless translation: RFC 2765 §2.1
	{netip.MustParsePrefix("2002::/16"), 2, false},        // 6to4: RFC 3056 §2
	{netip.MustParsePrefix("2001::/32"), 12, true},        // Teredo: RFC 4380 §4
}

// translatorPrefixes are the prefixes under which a translator gives each IPv4 client an
// address of its own. In the local one only its operator knows where the IPv4 address
// stands in it (RFC 8215 §5, RFC 6052 §2.2), so the whole address is the source there.
var translatorPrefixes = []netip.Prefix{
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
}

// sourceOf returns the part of an address that belongs to one customer of a provider: the first
// 64 bits of an IPv6 address (RFC 6177), or all of an IPv4 address, even if it is embedded in an
// IPv6 address.
// A text that is not an address is returned unchanged.
func sourceOf(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	if client, ok := embeddedIPv4(addr); ok {
		return client.String()
	}
	for _, prefix := range translatorPrefixes {
		if prefix.Contains(addr) {
			return addr.String()
		}
	}
	return netip.PrefixFrom(addr, 64).Masked().String()
}

// embeddedIPv4 returns the IPv4 address of a client of a translator or tunnel. It must be
// a public one (RFC 6052 §3.1, RFC 3056 §2): with a private one somebody could pass for a
// machine of our own network.
func embeddedIPv4(addr netip.Addr) (netip.Addr, bool) {
	for _, e := range embeddings {
		if !e.prefix.Contains(addr) {
			continue
		}
		bytes := addr.As16()
		client := [4]byte(bytes[e.at:])
		if e.inverted {
			for i := range client {
				client[i] = ^client[i]
			}
		}
		found := netip.AddrFrom4(client)
		return found, found.IsGlobalUnicast() && !found.IsPrivate()
	}
	return netip.Addr{}, false
}
