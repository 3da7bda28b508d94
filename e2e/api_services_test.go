package e2e

import (
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/httprc/v3"
	jwkx "github.com/lestrrat-go/jwx/v3/jwk"
	jwxt "github.com/lestrrat-go/jwx/v3/jwt"
)

// A serviceExample is a service of examples/ that verifies tokens itself.
type serviceExample struct {
	name    string
	command func(t *testing.T, addr *net.TCPAddr) *exec.Cmd
}

// TestGoServices runs the examples in Go.
func TestGoServices(t *testing.T) {
	t.Parallel()
	checkServices(t, []serviceExample{{"go-oidc", goService("oidc")}, {"keyfunc", goService("keyfunc")}})
}

// TestServiceExamples runs those in Python, JavaScript and Java.
func TestServiceExamples(t *testing.T) {
	t.Parallel()
	tools := os.Getenv("CLIENT_TOOLS")
	if tools == "" {
		t.Skip("SKIPPED: needs Python, Node and Java; make clients runs it")
	}
	checkServices(t, []serviceExample{
		{"FastAPI", fastAPIService(tools)},
		{"Express", expressService(tools)},
		{"Spring Boot 4", springService(filepath.Join(tools, "java/spring-boot-4"))},
		{"Spring Boot 3.5", springService(filepath.Join(tools, "java/spring-boot-3.5"))},
	})
}

// TestKeysGoneExamples: a service that cannot fetch the keys does not tell its clients that their
// tokens are bad.
func TestKeysGoneExamples(t *testing.T) {
	t.Parallel()
	tools := os.Getenv("CLIENT_TOOLS")
	if tools == "" {
		t.Skip("SKIPPED: needs Python and Node; make clients runs it")
	}
	s := startIssuer(t, "ALGORITHM=ES256", "SECRET_KEY="+aKey)
	token := s.logIn(t, "alice")
	s.stop(t)
	for _, example := range []serviceExample{{"FastAPI", fastAPIService(tools)}, {"Express", expressService(tools)}} {
		t.Run(example.name, func(t *testing.T) {
			service := startService(t, s, example)
			checkCode(t, service.authorized(t, "GET", "/notes/", "", token), http.StatusServiceUnavailable)
			checkCode(t, service.authorized(t, "GET", "/notes/", "", "garbage"), http.StatusUnauthorized)
		})
	}
}

// TestVerifierClients lets libraries of others verify tokens.
func TestVerifierClients(t *testing.T) {
	t.Parallel()
	if os.Getenv("CLIENT_TOOLS") == "" {
		t.Skip("SKIPPED: needs Python and Node; make clients runs it")
	}
	k := newKey(t, "ES256")
	s := startIssuer(t, k.settings(t)...)
	token := s.logIn(t, "alice")
	bad := slices.Collect(maps.Values(badTokens(t, k, token)))
	for _, folder := range []string{"verifiers-python", "verifiers-node"} {
		t.Run(folder, func(t *testing.T) {
			runClient(t, folder, "ISSUER="+s.url, "AUDIENCE="+audience, "TOKEN="+token, "BAD="+strings.Join(bad, " "))
		})
	}
}

// TestJWX: lestrrat's jwx verifies tokens with a cache of keys.
func TestJWX(t *testing.T) {
	t.Parallel()
	k := newKey(t, "ES256")
	s := startIssuer(t, k.settings(t)...)
	cache, err := jwkx.NewCache(t.Context(), httprc.NewClient())
	if err == nil {
		err = cache.Register(t.Context(), s.url+"/.well-known/jwks.json")
	}
	if err != nil {
		t.Fatal(err)
	}
	keys, err := cache.CachedSet(s.url + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	parse := func(text string) (jwxt.Token, error) {
		return jwxt.ParseString(text, jwxt.WithKeySet(keys), jwxt.WithIssuer(s.url), jwxt.WithAudience(audience), jwxt.WithRequiredClaim("exp"))
	}
	good := s.logIn(t, "alice")
	if token, err := parse(good); err != nil || !token.Has("uid") {
		t.Errorf("a good token: %v", err)
	}
	for name, token := range badTokens(t, k, good) {
		if _, err := parse(token); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// goService builds a program of examples/go.
func goService(name string) func(*testing.T, *net.TCPAddr) *exec.Cmd {
	return func(t *testing.T, addr *net.TCPAddr) *exec.Cmd {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./"+name)
		build.Dir = "../examples/go"
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		cmd := exec.Command(path)
		cmd.Env = []string{"ADDR=" + addr.String()}
		return cmd
	}
}

func fastAPIService(tools string) func(*testing.T, *net.TCPAddr) *exec.Cmd {
	return func(t *testing.T, addr *net.TCPAddr) *exec.Cmd {
		t.Helper()
		host, port, _ := net.SplitHostPort(addr.String())
		cmd := exec.Command(filepath.Join(tools, "python/bin/uvicorn"), "main:app", "--host", host, "--port", port)
		cmd.Dir = copyExample(t, "fastapi")
		return cmd
	}
}

func expressService(tools string) func(*testing.T, *net.TCPAddr) *exec.Cmd {
	return func(t *testing.T, addr *net.TCPAddr) *exec.Cmd {
		t.Helper()
		cmd := exec.Command("node", "server.mjs")
		cmd.Dir = copyExample(t, "express")
		if err := os.Symlink(filepath.Join(tools, "node_modules"), filepath.Join(cmd.Dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(addr.String())
		cmd.Env = []string{"PORT=" + port}
		return cmd
	}
}

// springService compiles the example with the libraries in a folder.
func springService(libraries string) func(*testing.T, *net.TCPAddr) *exec.Cmd {
	return func(t *testing.T, addr *net.TCPAddr) *exec.Cmd {
		t.Helper()
		dir := copyExample(t, "spring")
		sources, err := filepath.Glob(filepath.Join(dir, "src/main/java/notes/*.java"))
		if err != nil || len(sources) == 0 {
			t.Fatalf("no sources of Spring's example: %v", err)
		}
		path := filepath.Join(libraries, "*")
		compile := exec.CommandContext(t.Context(), "javac", append([]string{"-parameters", "-cp", path, "-d", dir}, sources...)...)
		if out, err := compile.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		_, port, _ := net.SplitHostPort(addr.String())
		classes := dir + ":" + filepath.Join(dir, "src/main/resources") + ":" + path
		cmd := exec.Command("java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", classes, "notes.Notes")
		cmd.Env = []string{"PORT=" + port}
		return cmd
	}
}

// copyExample copies a folder of examples/ to one where others may write.
func copyExample(t testing.TB, folder string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("../examples", folder))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startService starts a service that trusts the tokens of s.
func startService(t *testing.T, s *server, service serviceExample) *server {
	t.Helper()
	addr := freeAddress(t)
	cmd := service.command(t, addr)
	cmd.Env = append(append(os.Environ(), cmd.Env...), "ISSUER="+s.url, "AUDIENCE="+audience)
	runTool(t, cmd)
	awaitTool(t, addr)
	return s.at(addr)
}

// checkServices holds services against tokens of a server whose key the test has, so that it
// can make others.
func checkServices(t *testing.T, services []serviceExample) {
	k := newKey(t, "ES256")
	s := startIssuer(t, k.settings(t)...)
	alice, bob := s.logIn(t, "alice"), s.logIn(t, "bob")
	for _, example := range services {
		t.Run(example.name, func(t *testing.T) {
			service := startService(t, s, example)
			checkService(t, service, k, alice, bob)
			gone := s.signIn(t, "alice")
			s.revoke(t, gone.Refresh)
			checkCode(t, service.authorized(t, "GET", "/notes/", "", gone.Access), http.StatusOK) // until it expires
		})
	}
}

// checkService reports tokens that a service wrongly accepts or refuses. Alice's is signed by k;
// bob's has other scopes.
func checkService(t *testing.T, service *server, k key, alice, bob string) {
	checkNotes(t, service.authorized(t, "GET", "/notes/", "", alice), readJWT(t, alice))
	checkCode(t, service.authorized(t, "GET", "/notes/", "", bob), http.StatusForbidden)
	checkCode(t, service.do(t, "GET", "/notes/", ""), http.StatusUnauthorized)
	checkCode(t, service.do(t, "GET", "/notes/", "", "Authorization: Basic eDp5"), http.StatusUnauthorized)
	for _, edit := range goodEdits {
		t.Run(edit.name, func(t *testing.T) {
			token := edit.apply(t, alice, k)
			checkCode(t, service.authorized(t, "GET", "/notes/", "", token), edit.status)
		})
	}
	for name, token := range badTokens(t, k, alice) {
		t.Run(name, func(t *testing.T) {
			checkCode(t, service.authorized(t, "GET", "/notes/", "", token), http.StatusUnauthorized)
		})
	}
}

// A tokenEdit puts values into the header or the claims of a token; nil deletes.
type tokenEdit struct {
	name           string
	header, claims map[string]any
	status         int
}

// goodEdits are those of tokens that stay valid, with what a service answers.
var goodEdits = []tokenEdit{
	{name: "nothing else", status: 200},
	{name: "one of many audiences", claims: map[string]any{"aud": []string{"other", audience}}, status: 200},
	{name: "no scope", claims: map[string]any{"scope": nil, "roles": nil}, status: 403},
	{name: "a scope that begins alike", claims: map[string]any{"scope": "read2 rea"}, status: 403},
}

// apply returns a token with other contents, signed by k.
func (e tokenEdit) apply(t testing.TB, token string, k key) string {
	t.Helper()
	j := readJWT(t, token)
	replace(j.header, e.header)
	replace(j.claims, e.claims)
	return j.signedBy(t, k)
}

// replace puts values into a JSON object; nil deletes.
func replace(object, values map[string]any) {
	maps.Copy(object, values)
	maps.DeleteFunc(object, func(_ string, value any) bool { return value == nil })
}

// badTokens are tokens that nobody may accept. Each differs in one thing from good, which is
// signed by k.
func badTokens(t testing.TB, k key, good string) map[string]string {
	t.Helper()
	now := time.Now()
	claims := func(name string, value any) string {
		return tokenEdit{claims: map[string]any{name: value}}.apply(t, good, k)
	}
	header := func(name, value string, by key) string {
		return tokenEdit{header: map[string]any{name: value}}.apply(t, good, by)
	}
	return map[string]string{
		"garbage":                         "garbage",
		"three dots":                      "a.b.c",
		"a longer signature":              good + "x",
		"a shorter signature":             good[:len(good)-8],
		"another audience":                claims("aud", "other"),
		"an audience that begins alike":   claims("aud", audience+"2"),
		"no audience":                     claims("aud", nil),
		"another issuer":                  claims("iss", "http://localhost:1"),
		"no issuer":                       claims("iss", nil),
		"expired":                         claims("exp", now.Add(-10*time.Minute).Unix()),
		"no signature":                    header("alg", "none", k),
		"the public key as shared secret": header("alg", "HS256", key{secret: publicPEM(t, k)}),
		"another key with our name":       header("typ", "JWT", newKey(t, "ES256")),
		"a key that nobody knows":         header("kid", "nobody's", newKey(t, "ES256")),
	}
}

// checkNotes reports an answer of a service that is not about the owner of a token.
func checkNotes(t *testing.T, a answer, token jwt) {
	t.Helper()
	checkCode(t, a, http.StatusOK)
	var got struct {
		Owner, Name string
		Notes       []string
	}
	strictly(t, a.body, &got)
	if got.Owner == "" || got.Owner != token.claims["uid"] || got.Name != token.claims["sub"] {
		t.Errorf("the service knows %+v; want %v, whose uid is %v", got, token.claims["sub"], token.claims["uid"])
	}
}

// TestServicesRotation: services that run on accept tokens of a key that they have not seen, and
// of the one before.
func TestServicesRotation(t *testing.T) {
	long(t)
	t.Parallel()
	settings := withRoot("ALGORITHM=ES256", "SECRET_KEY="+aKey, "DATABASE_URL=sqlite:"+filepath.Join(t.TempDir(), "users.db"))
	socket, addr := listenerFile(t, "127.0.0.1:0")
	s := startIssuerOn(t, socket, addr, settings...)
	s.setScopes(t, root, "admin", "read")
	before := s.logIn(t, root)
	services := make(map[string]*server)
	for _, name := range []string{"oidc", "keyfunc"} {
		services[name] = startService(t, s, serviceExample{name, goService(name)})
		checkNotes(t, services[name].authorized(t, "GET", "/notes/", "", before), readJWT(t, before))
	}
	if o := (invocation{args: []string{"keys", "rotate", "-in", "1s"}, env: settings}).run(t); o.code != 0 {
		t.Fatalf("keys rotate: %d %s", o.code, o.stderr)
	}
	s.stop(t)
	s = startIssuerOn(t, socket, addr, settings...)
	var after string
	waitFor(t, "the new key to sign", func() bool {
		after = s.logIn(t, root)
		return readJWT(t, after).header["kid"] != readJWT(t, before).header["kid"]
	})
	for name, service := range services {
		t.Run(name, func(t *testing.T) {
			checkNotes(t, service.authorized(t, "GET", "/notes/", "", after), readJWT(t, after))
			checkNotes(t, service.authorized(t, "GET", "/notes/", "", before), readJWT(t, before))
		})
	}
}
