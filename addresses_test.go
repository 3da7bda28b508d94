package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestOrigins(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"an origin", "https://app.example.com", "https://app.example.com"},
		{"another port", "https://app.example.com:8443", "https://app.example.com:8443"},
		{"the default port of https", "https://app.example.com:443", "https://app.example.com"},
		{"the default port of http", "http://app.example.com:80", "http://app.example.com"},
		{"the default port of the other scheme", "http://app.example.com:443", "http://app.example.com:443"},
		{"a port with zeros before it", "https://app.example.com:0443", "https://app.example.com"},
		{"an empty port", "https://app.example.com:", "https://app.example.com"},
		{"capitals", "HTTPS://App.Example.COM", "https://app.example.com"},
		{"a slash at the end", "https://app.example.com/", "https://app.example.com"},
		{"a path", "https://app.example.com/login?x#y", "https://app.example.com"},
		{"a query", "https://app.example.com?x", "https://app.example.com"},
		{"everything at once", "HTTPS://u:p@App.example.com:443/#/login", "https://app.example.com"},
		{"no scheme", "app.example.com", "https://app.example.com"},
		{"no scheme, on this machine", "localhost:3000", "http://localhost:3000"},
		{"letters outside ASCII", "https://Bücher.example", "https://xn--bcher-kva.example"},
		{"IPv4", "http://192.0.2.1:3000", "http://192.0.2.1:3000"},
		{"IPv6", "http://[::1]:3000", "http://[::1]:3000"},
		{"IPv6 in its long form", "http://[2001:DB8:0:0:0:0:0:1]:80", "http://[2001:db8::1]"},
		{"any port here", "http://localhost:*", "http://localhost:*"},
		{"any port of IPv6 here", "http://[::1]:*", "http://[::1]:*"},
		{"any port here, with a slash", "http://LOCALHOST:*/", "http://localhost:*"},
		{"any port elsewhere", "https://app.example.com:*", ""},
		{"any host", "https://*.example.com", ""},
		{"null", "null", ""},
		{"a file", "file:///x", ""},
		{"an extension", "chrome-extension://abcdef", ""},
		{"port 65536", "https://app.example.com:65536", ""},
		{"two in one", "https://a.example https://b.example", ""},
		{"nothing", "", ""},
		{"a scheme alone", "https://", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := asOrigin(tt.text); got != tt.want {
				t.Errorf("got %q; want %q", got, tt.want)
			}
			_, err := readConfig(everything, nil, []string{"CORS_ORIGINS=https://other.example," + tt.text}, false)
			if taken := err == nil; taken != (tt.want == tt.text && tt.text != "") {
				t.Errorf("CORS_ORIGINS with it: %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v does not say %q", err, tt.want)
			}
		})
	}
}

// FuzzOrigin: an origin that is recommended is taken.
func FuzzOrigin(f *testing.F) {
	for _, text := range []string{"https://app.example.com:443/", "localhost:3000", "http://[::1]:*", "https://Bücher.example", "u@h.example"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if want := asOrigin(text); want != "" && asOrigin(want) != want {
			t.Errorf("%q is %q, which is %q", text, want, asOrigin(want))
		}
	})
}

func TestTrustedProxiesThatHoldEverybody(t *testing.T) {
	tests := []struct {
		name, cidrs string
		warned      bool
	}{
		{"all of IPv4", "0.0.0.0/0", true},
		{"all of IPv6", "::/0", true},
		{"all of IPv6 that is in use", "2000::/3", true},
		{"half of IPv4", "128.0.0.0/1", true},
		{"IPv4 in two halves", "0.0.0.0/1,128.0.0.0/1", true},
		{"half of IPv4 in quarters", "0.0.0.0/2,64.0.0.0/2", true},
		{"half of IPv6 that is in use", "2000::/4", true},
		{"everything beside a proxy", "10.0.0.1,0.0.0.0/0", true},
		{"a quarter, twice", "0.0.0.0/2,0.0.0.0/2", false},
		{"a quarter, and what is in it", "0.0.0.0/2,0.0.0.0/3,32.0.0.0/3", false},
		{"private networks", "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,fe80::/10", false},
		{"loopback", "127.0.0.0/8,::1", false},
		{"none", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := readConfig(everything, nil, []string{"SECRET_KEY=" + goodKey, "TRUSTED_PROXIES=" + tt.cidrs}, false)
			warned := slices.ContainsFunc(cfg.Warnings, func(w string) bool { return strings.HasPrefix(w, "TRUSTED_PROXIES: ") })
			if err != nil || warned != tt.warned {
				t.Errorf("%v, warnings %q; want one: %v", err, cfg.Warnings, tt.warned)
			}
		})
	}
	if prefixes := []netip.Prefix{netip.MustParsePrefix("1.0.0.0/8")}; coversMost(prefixes) || coversMost(nil) {
		t.Error("a 256th is most of the Internet")
	}
}
