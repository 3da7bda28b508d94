package e2e

import (
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// anIssuer is where a server is known to others.
const anIssuer = "https://id.example"

const (
	noPublicKey = "Tokens are signed with a shared secret (ALGORITHM=HS256): there is no public key"
	noIssuer    = "ISSUER is not set"
	jwksPath    = "/.well-known/jwks.json"
	oauthPath   = "/.well-known/oauth-authorization-server"
	openIDPath  = "/.well-known/openid-configuration"
)

// A mode is a way in which a server signs.
type mode struct {
	settings []string
	key      key
}

// modes are all of them, on a store in memory, whose first salt is empty.
func modes(t testing.TB) map[string]mode {
	t.Helper()
	all := map[string]mode{"HS256": {inMemory(t).settings, derived(t, "HS256", aKey, nil)}}
	for _, algorithm := range []string{"ES256", "EdDSA"} {
		all[algorithm+", derived"] = mode{inMemory(t).with("ALGORITHM=" + algorithm), derived(t, algorithm, aKey, nil)}
	}
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		k := newKey(t, algorithm)
		all[algorithm+", a key of one's own"] = mode{inMemory(t).with(k.settings(t)...), k}
	}
	return all
}

// startMode starts a server that signs in this way.
func (m mode) start(t testing.TB, more ...string) *server {
	t.Helper()
	return startAs(t, invocation{env: slices.Concat(m.settings, more), fast: true})
}

// TestKeySets: what a server signs, the first key of its set verifies.
func TestKeySets(t *testing.T) {
	t.Parallel()
	for name, m := range modes(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := m.start(t)
			s.register(t, "alice")
			checkSigns(t, s, m.key)
			if m.key.private == nil {
				checkProblem(t, s.do(t, "GET", jwksPath, ""), 404, noPublicKey)
				return
			}
			set := s.keySet(t)
			if want := []jwk{m.key.jwk(t)}; !slices.Equal(set, want) {
				t.Fatalf("the set is %+v; want %+v", set, want)
			}
			if !set[0].verifies(t, s.logIn(t, "alice")) {
				t.Error("the key in the set does not verify a token")
			}
		})
	}
}

// TestKeySetOfFallbacks: keys of one's own that still verify are in the set, whatever their
// algorithm, after the one that signs.
func TestKeySetOfFallbacks(t *testing.T) {
	t.Parallel()
	signs := newKey(t, "ES256")
	dir := t.TempDir()
	want := []string{signs.kid(t)}
	old := map[string]key{"a.pem": newKey(t, "EdDSA"), "b.pem": newKey(t, "RS256"), "c.pem": newKey(t, "ES256")}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		writeFile(t, filepath.Join(dir, name), pkcs8(t, old[name].private))
		want = append(want, old[name].kid(t))
	}
	s := startAs(t, invocation{env: inMemory(t).with(append(signs.settings(t), "PRIVATE_KEY_FALLBACKS_DIR="+dir)...), fast: true})
	s.register(t, "alice")
	got := s.kids(t)
	if slices.Sort(got[1:]); len(got) != len(want) || got[0] != want[0] {
		t.Fatalf("the set is %q; want %q, of which the first signs", got, want)
	}
	if slices.Sort(want[1:]); !slices.Equal(got, want) {
		t.Errorf("the set is %q; want %q", got, want)
	}
	for name, k := range old {
		checkMe(t, s.me(t, k.mintNamed(t, "alice")), "alice")
		checkMe(t, s.me(t, k.mint(t, "alice")), "alice")
		if k.algorithm == "ES256" {
			continue
		}
		forged := k.mintWith(t, strings.Replace(k.header(t), k.algorithm, "ES256", 1), `"sub":"alice"`)
		if a := s.me(t, forged); a.StatusCode != 401 {
			t.Errorf("%s by the name of ES256: %d; want 401", name, a.StatusCode)
		}
	}
}

// TestKeySetRestart: in memory, a restart with the same secret has the same key, so that services
// in development need not fetch it again; without a secret it has another.
func TestKeySetRestart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		settings []string
		same     bool
	}{
		{"the same secret", []string{"SECRET_KEY=" + aKey}, true},
		{"no secret", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var kids []string
			for range 2 {
				s := startAs(t, invocation{env: append(tt.settings, "ALGORITHM=ES256"), fast: true})
				kids = append(kids, s.kids(t)...)
			}
			if len(kids) != 2 || (kids[0] == kids[1]) != tt.same {
				t.Errorf("two starts have the kids %q; want the same: %t", kids, tt.same)
			}
		})
	}
}

// metadata is what a server says of itself, as JSON reads it.
func metadata(issuer string, jwks bool) map[string]any {
	list := func(words ...any) []any { return words }
	all := map[string]any{
		"issuer":                                        issuer,
		"token_endpoint":                                issuer + "/token",
		"revocation_endpoint":                           issuer + "/revoke",
		"introspection_endpoint":                        issuer + "/introspect",
		"grant_types_supported":                         list("password", "refresh_token", "client_credentials"),
		"response_types_supported":                      list("none"),
		"token_endpoint_auth_methods_supported":         list("none", "client_secret_basic", "client_secret_post"),
		"revocation_endpoint_auth_methods_supported":    list("none"),
		"introspection_endpoint_auth_methods_supported": list("client_secret_basic", "client_secret_post"),
		"subject_types_supported":                       list("public"),
		"id_token_signing_alg_values_supported":         list("ES256", "EdDSA", "RS256"),
	}
	if jwks {
		all["jwks_uri"] = issuer + jwksPath
	}
	return all
}

// TestMetadata: a server describes itself if, and only if, ISSUER is a URL that others can use.
func TestMetadata(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		issuer   string
		settings []string
		url      string // with which the URLs begin; "" if there is nothing to discover
		jwks     bool
	}{
		{"a key of its own", anIssuer, []string{"ALGORITHM=ES256"}, anIssuer, true},
		{"a shared secret", anIssuer, nil, anIssuer, false},
		{"a path", anIssuer + "/auth", []string{"ALGORITHM=EdDSA"}, anIssuer + "/auth", true},
		{"a port", anIssuer + ":8443", []string{"ALGORITHM=ES256"}, anIssuer + ":8443", true},
		{"a loopback address", "http://127.0.0.1:8000", nil, "http://127.0.0.1:8000", false},
		{"localhost", "http://localhost:8000", nil, "http://localhost:8000", false},
		{"no issuer", "", []string{"ALGORITHM=ES256"}, "", false},
		{"a name", "myapp", []string{"ALGORITHM=ES256"}, "", false},
		{"http and a host", "http://id.example", nil, "", false},
		{"http and a host that begins like a loopback address", "http://127.0.0.1.evil.example", nil, "", false},
		{"a query", anIssuer + "?a=b", nil, "", false},
		{"a fragment", anIssuer + "#a", nil, "", false},
		{"another scheme", "ftp://id.example", nil, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := inMemory(t).start(t, append(tt.settings, "ISSUER="+tt.issuer)...)
			first, second := s.do(t, "GET", oauthPath, ""), s.do(t, "GET", openIDPath, "")
			if tt.url == "" {
				checkProblem(t, first, 404, noIssuer)
				checkProblem(t, second, 404, noIssuer)
				return
			}
			if first.body != second.body {
				t.Errorf("the two documents differ: %s and %s", first.body, second.body)
			}
			checkPublic(t, first)
			checkPublic(t, second)
			var got map[string]any
			strictly(t, first.body, &got)
			if docs, ok := got["service_documentation"].(string); !ok || !strings.HasPrefix(docs, tt.url) {
				t.Errorf("service_documentation: %v; want a URL", got["service_documentation"])
			}
			delete(got, "service_documentation")
			if want := metadata(tt.url, tt.jwks); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v; want %v", got, want)
			}
		})
	}
}

// checkPublic reports an answer that not everybody may keep for ten minutes.
func checkPublic(t testing.TB, a answer) {
	t.Helper()
	want := map[string]string{
		"Cache-Control":          "public, max-age=600",
		"Content-Type":           "application/json",
		"X-Content-Type-Options": "nosniff",
		"Set-Cookie":             "",
	}
	for name, value := range want {
		if got := strings.Join(a.Header.Values(name), " | "); got != value {
			t.Errorf("%s: %q; want %q", name, got, value)
		}
	}
	if vary := strings.Join(a.Header.Values("Vary"), ","); a.StatusCode != 200 || strings.Contains(strings.ToLower(vary), "authorization") {
		t.Errorf("%d, Vary: %s; want 200, the same for everybody", a.StatusCode, vary)
	}
}

// TestMetadataOfPath: RFC 8414 §3.1 appends the path of the issuer to the well-known path.
func TestMetadataOfPath(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t, "ISSUER="+anIssuer+"/a/b", "ALGORITHM=ES256")
	want := s.do(t, "GET", oauthPath, "")
	if a := s.do(t, "GET", oauthPath+"/a/b", ""); a.body != want.body {
		t.Errorf("with the path: %d %s; want %s", a.StatusCode, a.body, want.body)
	}
	for _, path := range []string{"/a", "/a/b/c", "/A/B", "/x", "/a/b/../b/x"} {
		if a := s.do(t, "GET", oauthPath+path, ""); a.StatusCode == 200 {
			t.Errorf("%s describes an issuer that is none: %s", path, a.body)
		}
	}
}

// TestWellKnownHeaders: nothing in a request changes what the server says of itself.
func TestWellKnownHeaders(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t, "ISSUER="+anIssuer, "ALGORITHM=ES256", "TRUSTED_PROXIES=127.0.0.1/32,::1/128")
	for _, path := range []string{jwksPath, oauthPath, openIDPath} {
		want := s.do(t, "GET", path, "")
		checkPublic(t, want)
		for name, request := range map[string]string{
			"another host":                 head("GET "+path+" HTTP/1.1", "Host: evil.example"),
			"the whole URL":                head("GET http://evil.example"+path+" HTTP/1.1", "Host: evil.example"),
			"a proxy that says so":         head("GET "+path+" HTTP/1.1", "Host: h", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http", "X-Forwarded-Prefix: /evil", "X-Forwarded-Port: 1"),
			"a proxy that says so by RFC":  head("GET "+path+" HTTP/1.1", "Host: h", "Forwarded: host=evil.example;proto=http"),
			"a query":                      head("GET "+path+"?iss=https://evil.example HTTP/1.1", "Host: h"),
			"a bad token":                  head("GET "+path+" HTTP/1.1", "Host: h", "Authorization: Bearer x"),
			"two tokens":                   head("GET "+path+" HTTP/1.1", "Host: h", "Authorization: Bearer x", "Authorization: Basic eA=="),
			"a browser":                    head("GET "+path+" HTTP/1.1", "Host: h", "Accept: text/html", "Accept-Encoding: gzip, br"),
			"a copy that is older":         head("GET "+path+" HTTP/1.1", "Host: h", "Cache-Control: no-cache", "If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT"),
			"a part of it":                 head("GET "+path+" HTTP/1.1", "Host: h", "Range: bytes=0-1"),
			"a method that is another one": head("GET "+path+" HTTP/1.1", "Host: h", "X-HTTP-Method-Override: POST"),
		} {
			t.Run(path+" by "+name, func(t *testing.T) {
				a := s.ask(t, request)
				checkPublic(t, a)
				if a.body != want.body {
					t.Errorf("%s; want %s", a.body, want.body)
				}
			})
		}
		checkHead(t, s, path, nil, 200)
	}
}

// TestWellKnownPaths: other methods, slashes and names.
func TestWellKnownPaths(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t, "ISSUER="+anIssuer, "ALGORITHM=ES256")
	for _, path := range []string{jwksPath, oauthPath, openIDPath} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
			a := s.ask(t, head(method+" "+path+" HTTP/1.1", "Host: h"))
			checkProblem(t, a, 405, "Method Not Allowed")
			if allow := a.Header.Get("Allow"); allow != "GET, HEAD" {
				t.Errorf("%s %s: Allow: %s; want GET, HEAD", method, path, allow)
			}
		}
		if path == oauthPath {
			continue // the path of an issuer may follow
		}
		a := s.ask(t, head("GET "+path+"/ HTTP/1.1", "Host: evil.example"))
		if to := whereTo(t, path+"/", a); a.StatusCode != 307 || to != "http://evil.example"+path {
			t.Errorf("%s/: %d to %s; want 307 to the path without the slash", path, a.StatusCode, to)
		}
	}
	for _, path := range []string{"/.well-known/", "/.well-known", "/.well-known/x", "/.well-known/jwks", "/.well-known/JWKS.json", "/.well-known%2fjwks.json", "/well-known/jwks.json", "/jwks.json", "/.well-known/jwks.json/x"} {
		if a := s.do(t, "GET", path, ""); a.StatusCode != 404 && a.StatusCode != 307 {
			t.Errorf("%s: %d %s; want 404", path, a.StatusCode, a.body)
		}
	}
}
