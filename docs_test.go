package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	pathpkg "path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
)

// undocumented are the routes that no client needs: they are for people.
var undocumented = []string{
	"GET /", "GET /account.css", "GET /account.js", "GET /account-messages.js", "GET /docs", "GET /docs/{file}", "GET /openapi.json",
	"GET /latchkey.js", "GET /latchkey.d.ts",
	"GET /.well-known/oauth-authorization-server/{path...}", // the path of ISSUER; the document has it without
}

// TestOpenAPIRoutes holds the document against the route table, both ways.
func TestOpenAPIRoutes(t *testing.T) {
	var routed []string
	documented := slices.Clone(undocumented)
	for _, op := range operations(edgeSettings{}, &api{new(accounts)}) {
		routed = append(routed, strings.TrimSuffix(op.pattern, "{$}"))
	}
	routed = append(routed, "GET "+verifyRoute, "GET "+verifyScopesRoute) // of all methods documented as this one
	ids := make(map[string]bool)
	for path, item := range apiDocument()["paths"].(object) {
		for method, op := range item.(object) {
			documented = append(documented, strings.ToUpper(method)+" "+path)
			id := op.(object)["operationId"].(string)
			if ids[id] {
				t.Errorf("operationId %s stands twice", id)
			}
			ids[id] = true
		}
	}
	slices.Sort(routed)
	slices.Sort(documented)
	if !slices.Equal(routed, documented) {
		t.Errorf("the routes\n%q, the document\n%q", routed, documented)
	}
}

// TestOpenAPIRefs: every $ref of the document leads somewhere, and every
// component is used.
func TestOpenAPIRefs(t *testing.T) {
	for _, m := range regexp.MustCompile(`"\$ref": "([^"]+)"`).FindAllSubmatch(openAPI, -1) {
		resolve(object{"$ref": string(m[1])})
	}
	for kind, components := range apiDocument()["components"].(object) {
		for name := range components.(object) {
			if kind != "securitySchemes" && !bytes.Contains(openAPI, []byte("#/components/"+kind+"/"+name+`"`)) {
				t.Errorf("nothing refers to %s/%s", kind, name)
			}
		}
	}
}

// TestOpenAPIExamples: every example of the document fits its schema.
func TestOpenAPIExamples(t *testing.T) { checkExamples(t, apiDocument()) }

func checkExamples(t *testing.T, node any) {
	switch node := node.(type) {
	case []any:
		for _, child := range node {
			checkExamples(t, child)
		}
	case object:
		for _, err := range wrongExamples(node) {
			t.Error(err)
		}
		for _, child := range node {
			checkExamples(t, child)
		}
	}
}

// wrongExamples reports which examples of a node do not fit: those of a schema, or
// those of a body that has one.
func wrongExamples(node object) (errs []error) {
	check := func(schema object, example any) {
		if err := validate(schema, example); err != nil {
			errs = append(errs, fmt.Errorf("the example %v: %w", example, err))
		}
	}
	if example, ok := node["example"]; ok {
		check(node["schema"].(object), example)
	}
	if example, ok := node["default"]; ok && node["type"] != nil { // else it is the response to any other status
		check(node, example)
	}
	switch examples := node["examples"].(type) {
	case []any:
		for _, example := range examples {
			check(node, example)
		}
	case object:
		for _, example := range examples {
			check(node["schema"].(object), example.(object)["value"])
		}
	}
	return errs
}

// pathParameter is one in a path of the document.
var pathParameter = regexp.MustCompile(`\{\w+\}`)

// pathItem returns what the document says of a path, or nil. A path with a
// parameter is one for any segment that no redirect cleans away.
func pathItem(path string) object {
	paths := apiDocument()["paths"].(object)
	if item, ok := paths[path].(object); ok {
		return item
	}
	for template, item := range paths {
		pattern := pathParameter.ReplaceAllString(template, "[^./]*")
		if ok, _ := pathpkg.Match(pattern, path); ok {
			return item.(object)
		}
	}
	return nil
}

// TestDocumentedLimits: the numbers in the document are those of the program.
func TestDocumentedLimits(t *testing.T) {
	for _, tt := range []struct {
		of, keyword string
		want        int
	}{
		{"UserCreate/properties/username", "maxLength", maxUsername},
		{"UserCreate/properties/email", "maxLength", maxEmailInput},
		{"UserCreate/properties/password", "maxLength", maxPassword},
		{"ProfileUpdate/properties/email", "maxLength", maxEmailInput},
		{"PasswordChange/properties/new_password", "maxLength", maxPassword},
		{"TokenForm/properties/username", "maxLength", maxUsername},
		{"TokenForm/properties/refresh_token", "maxLength", maxTokenSize},
		{"RevokeForm/properties/token", "maxLength", maxTokenSize},
		{"KeyCreate/properties/name", "maxLength", maxAPIKeyName},
		{"KeyCreate/properties/expires_in_days", "maximum", maxAPIKeyDays},
		{"KeyCreate/properties/expires_in_days", "default", defaultAPIKeyDays},
		{"Session/properties/user_agent", "maxLength", maxUserAgent},
	} {
		schema := resolve(object{"$ref": "#/components/schemas/" + tt.of})
		if got := schema[tt.keyword]; got != float64(tt.want) {
			t.Errorf("%s: %s %v, want %d", tt.of, tt.keyword, got, tt.want)
		}
	}
	list := pathItem("/users/me/sessions/")["get"].(object)
	answer := list["responses"].(object)["200"].(object)["content"].(object)["application/json"].(object)["schema"].(object)
	if answer["maxItems"] != float64(maxRowsShown) {
		t.Errorf("the list of sessions has at most %v; want %d", answer["maxItems"], maxRowsShown)
	}
	limit := list["parameters"].([]any)[0].(object)["schema"].(object)
	if limit["minimum"] != 1.0 || limit["maximum"] != float64(maxRowsShown) || limit["default"] != float64(rowsShown) {
		t.Errorf("the limit of the list of sessions is %v; want 1 to %d, and %d by default", limit, maxRowsShown, rowsShown)
	}
	fresh := fmt.Sprintf("within the last %d minutes", freshLogin/time.Minute)
	for path, method := range map[string]string{"/users/me/": "delete", "/users/me/keys/": "post"} {
		if op := pathItem(path)[method].(object); !strings.Contains(op["description"].(string), fresh) {
			t.Errorf("%s %s does not say %q", method, path, fresh)
		}
	}
	if text := fmt.Sprintf("You can have %d keys", maxAPIKeys); !strings.Contains(pathItem("/users/me/keys/")["post"].(object)["description"].(string), text) {
		t.Errorf("POST /users/me/keys/ does not say %q", text)
	}
}

// TestDocumentedForms: the document describes what POST /token understands. It describes
// more, because many generators know neither alternatives nor conditions.
func TestDocumentedForms(t *testing.T) {
	s := startServer(t)
	for _, tt := range []struct {
		name, form string
		understood bool
	}{
		{"a login", "username=a&password=b", true},
		{"a login with its grant", "username=a&password=b&grant_type=password", true},
		{"a login with a scope", "username=a&password=b&scope=c", true},
		{"a login with a refresh token beside", "username=a&password=b&refresh_token=c", true},
		{"a login without a password", "username=a", false},
		{"a login with an empty password", "username=a&password=", false},
		{"a login with too long a name", "username=" + strings.Repeat("a", maxUsername+1) + "&password=b", false},
		{"a refresh", "grant_type=refresh_token&refresh_token=a", true},
		{"a refresh with an empty scope", "grant_type=refresh_token&refresh_token=a&scope=+", true},
		{"a refresh with a scope", "grant_type=refresh_token&refresh_token=a&scope=b", true},
		{"a refresh with a name beside", "grant_type=refresh_token&refresh_token=a&username=b&password=c", true},
		{"a refresh without its grant", "refresh_token=a", false},
		{"a refresh without a token", "grant_type=refresh_token", false},
		{"a refresh with an empty token", "grant_type=refresh_token&refresh_token=", false},
		{"a refresh with too long a token", "grant_type=refresh_token&refresh_token=" + strings.Repeat("a", maxTokenSize+1), false},
		{"another grant", "grant_type=authorization_code&username=a&password=b", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := validate(object{"$ref": "#/components/schemas/TokenForm"}, decodeForm(t, tt.form)); err != nil && tt.understood {
				t.Errorf("in the document: %v", err)
			}
			if got := s.login(tt.form); (got.field("error") == "invalid_grant") != tt.understood {
				t.Errorf("at the server: %d %s", got.status, got.body)
			}
		})
	}
}

// decodeForm returns a form as the object that the document describes.
func decodeForm(t *testing.T, form string) object {
	t.Helper()
	values, err := url.ParseQuery(form)
	if err != nil {
		t.Fatal(err)
	}
	decoded := make(object)
	for name := range values {
		decoded[name] = values.Get(name)
	}
	return decoded
}

func TestDocs(t *testing.T) {
	s := startServer(t)
	for _, tt := range []struct {
		path, acceptEncoding                  string
		status                                int
		contentType, contentEncoding, contain string
	}{
		{"/openapi.json", "", 200, "application/json", "", `"openapi": "3.1`},
		{"/docs", "", 200, "text/html; charset=utf-8", "", `id="swagger-ui"`},
		{"/docs/docs.js", "", 200, "text/javascript; charset=utf-8", "", "SwaggerUIBundle"},
		{"/docs/docs.css", "gzip", 200, "text/css; charset=utf-8", "", "prefers-color-scheme"},
		{"/docs/swagger-ui-bundle.js", "", 200, "text/javascript; charset=utf-8", "", "SwaggerUIBundle"},
		{"/docs/swagger-ui-bundle.js", "br, gzip;q=0.5", 200, "text/javascript; charset=utf-8", "gzip", "\x1f\x8b"},
		{"/docs/swagger-ui.css", "gzip;q=0, br", 200, "text/css; charset=utf-8", "", ".swagger-ui"},
		{"/docs/swagger-ui.css", "GZIP", 200, "text/css; charset=utf-8", "gzip", "\x1f\x8b"},
		{"/docs/favicon-32x32.png", "gzip", 200, "image/png", "", "PNG"},
		{"/latchkey.js", "", 200, "text/javascript; charset=utf-8", "", "export class Latchkey extends"},
		{"/latchkey.js", "gzip", 200, "text/javascript; charset=utf-8", "gzip", "\x1f\x8b"},
		{"/latchkey.d.ts", "", 200, "application/typescript; charset=utf-8", "", "export declare class Latchkey extends"},
		{"/docs/docs.html", "", 404, "application/json", "", "Not Found"},
		{"/docs/embed.go", "", 404, "application/json", "", "Not Found"},
		{"/docs/swagger-ui.css.gz", "", 404, "application/json", "", "Not Found"},
		{"/docs/..%2fdocs.js", "", 404, "application/json", "", "Not Found"},
	} {
		t.Run(tt.path+" "+tt.acceptEncoding, func(t *testing.T) {
			got := s.do("GET", tt.path, "", "Accept-Encoding: "+tt.acceptEncoding)
			if got.status != tt.status || got.header.Get("Content-Type") != tt.contentType ||
				got.header.Get("Content-Encoding") != tt.contentEncoding || !strings.Contains(got.body, tt.contain) {
				t.Errorf("%d, %v, %.60q", got.status, got.header, got.body)
			}
			checkShape(t, "GET", got)
		})
	}
	if got := s.do("GET", "/docs", "").header.Get("Content-Security-Policy"); got != ownPolicy || strings.Contains(got, "unsafe") {
		t.Errorf("Content-Security-Policy: %q", got)
	}
}

// TestClientFile: caches can ask whether the client has changed, and always get all of it.
func TestClientFile(t *testing.T) {
	s := startServer(t)
	whole := s.do("GET", "/latchkey.js", "")
	tag := whole.header.Get("ETag")
	for _, tt := range []struct {
		name, header string
		status       int
	}{
		{"one who has nothing", "Accept: */*", 200},
		{"one who has it", "If-None-Match: " + tag, 304},
		{"one who has it, behind a proxy that compresses", "If-None-Match: W/" + tag, 304},
		{"one who has it among others", `If-None-Match: "x", ` + tag, 304},
		{"one who has the types", "If-None-Match: " + s.do("GET", "/latchkey.d.ts", "").header.Get("ETag"), 200},
		{"one who has another", `If-None-Match: "x"`, 200},
		{"one who wants a part", "Range: bytes=0-9", 200},
		{"one who wants a part that there is not", "Range: bytes=99999999-", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.do("GET", "/latchkey.js", "", tt.header)
			if got.status != tt.status || got.header.Get("ETag") != tag || got.header.Get("Cache-Control") != "no-cache" {
				t.Errorf("%d, %v; want %d", got.status, got.header, tt.status)
			}
			if want := map[int]string{200: whole.body, 304: ""}[tt.status]; got.body != want {
				t.Errorf("a body of %d bytes; want %d", len(got.body), len(want))
			}
		})
	}
}

// TestClientReasons: the client knows the texts by which the server says why a session has ended.
func TestClientReasons(t *testing.T) {
	client := readPage(t, "web/latchkey.js")
	for _, err := range []error{errRefreshExpired, errRefreshReused} {
		if !strings.Contains(client, `["`+err.Error()+`", "`) {
			t.Errorf("web/latchkey.js has no reason for %q", err)
		}
	}
}

// TestDocumentedServer: the document names the address that a client on this machine has
// asked, and otherwise the folder that it is in.
func TestDocumentedServer(t *testing.T) {
	s := startServer(t)
	for _, tt := range []struct {
		name, want string
		headers    []string
	}{
		{"on this machine", "http://localhost:8000", []string{"Host: localhost:8000"}},
		{"by an IPv4 address", "http://127.0.0.1:8000", []string{"Host: 127.0.0.1:8000"}},
		{"by an IPv6 address", "http://[::1]:8000", []string{"Host: [::1]:8000"}},
		{"without a port", "http://localhost", []string{"Host: localhost"}},
		{"by a name", ".", []string{"Host: auth.example.com"}},
		{"by a name that begins with localhost", ".", []string{"Host: localhost.example.com:8000"}},
		{"by an address of the network", ".", []string{"Host: 192.0.2.1:8000"}},
		{"with no port that could be one", ".", []string{"Host: localhost:80$x"}},
		{"through a proxy that says so", ".", []string{"Host: localhost:8000", "X-Forwarded-For: 192.0.2.1"}},
		{"through a proxy that says so by the standard", ".", []string{"Host: localhost:8000", "Forwarded: for=192.0.2.1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.do("GET", "/openapi.json", "", tt.headers...)
			var doc struct{ Servers []struct{ URL string } }
			if err := json.Unmarshal([]byte(got.body), &doc); err != nil {
				t.Fatal(err)
			}
			if len(doc.Servers) != 1 || doc.Servers[0].URL != tt.want {
				t.Errorf("got %v; want %s", doc.Servers, tt.want)
			}
		})
	}
}

// TestSettingsPage: docs/settings.md has the default and the limits of each setting.
func TestSettingsPage(t *testing.T) {
	text, err := os.ReadFile("docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		row := regexp.MustCompile("(?m)^\\| [^|]*`" + s.name + "`.*").FindString(string(text))
		if row == "" || !strings.Contains(row, s.fallback) || !strings.Contains(row, s.kind.limits) {
			t.Errorf("%s: the row %q; want its default %q and its limits %q", s.name, row, s.fallback, s.kind.limits)
		}
	}
}

// TestArchitecturePage: docs/architecture.md names every file of the program once in its tree.
func TestArchitecturePage(t *testing.T) {
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	tree, _, _ := strings.Cut(string(text), "## Two requests")
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	named := regexp.MustCompile(`\b\w+\.go\b`).FindAllString(strings.Replace(tree, "doc.go", "", 1), -1)
	if slices.Sort(named); !slices.Equal(named, files) {
		t.Errorf("the tree names\n%q; there are\n%q", named, files)
	}
}

// docLink is a link of a page: to a file, to a heading, or to both.
var docLink = regexp.MustCompile(`\]\(([^)#\s]*)#?([^)\s]*)\)`)

// TestDocLinks: every link of the documentation leads to a file that is there, and to a heading of it.
func TestDocLinks(t *testing.T) {
	pages, _ := filepath.Glob("docs/*.md")
	links := 0
	for _, page := range append(pages, "README.md") {
		for _, m := range docLink.FindAllStringSubmatch(readPage(t, page), -1) {
			file, heading := filepath.Join(filepath.Dir(page), m[1]), m[2]
			if m[1] == "" {
				file = page
			}
			switch _, err := os.Stat(file); {
			case strings.Contains(m[1], "://"):
				continue
			case err != nil:
				t.Errorf("%s links to %s, which is not there", page, file)
			case heading != "" && !slices.Contains(anchorsOf(readPage(t, file)), heading):
				t.Errorf("%s links to %s#%s; want one of %q", page, file, heading, anchorsOf(readPage(t, file)))
			}
			links++
		}
	}
	if links < 50 {
		t.Errorf("%d links; want all, which are more", links)
	}
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// anchorsOf returns how links name the headings of a page.
func anchorsOf(page string) (anchors []string) {
	for line := range strings.Lines(page) {
		if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && line[0] == '#' {
			anchors = append(anchors, strings.Map(anchorRune, heading))
		}
	}
	return anchors
}

func anchorRune(r rune) rune {
	switch {
	case r == ' ':
		return '-'
	case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
		return unicode.ToLower(r)
	}
	return -1
}
