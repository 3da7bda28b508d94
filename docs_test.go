package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// An object is a JSON object of the OpenAPI document.
type object = map[string]any

// apiDocument returns the decoded openapi.json.
var apiDocument = sync.OnceValue(func() object {
	var doc object
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		panic(err)
	}
	return doc
})

// resolve follows a $ref within the document.
func resolve(node object) object {
	ref, ok := node["$ref"].(string)
	if !ok {
		return node
	}
	target := apiDocument()
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		next, ok := target[name].(object)
		if !ok {
			panic("openapi.json has no " + ref)
		}
		target = next
	}
	return resolve(target)
}

// TestOpenAPIRoutes holds the document against the route table, both ways.
func TestOpenAPIRoutes(t *testing.T) {
	var routed, documented []string
	for _, op := range operations(edgeSettings{}, &accounts{}) {
		routed = append(routed, strings.TrimSuffix(op.pattern, "{$}"))
	}
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

// checkDocumented holds an answer against the document: every test that sends a
// request checks it.
func checkDocumented(t testing.TB, method, path string, a answer) {
	t.Helper()
	path, _, _ = strings.Cut(path, "?")
	if rest, ok := strings.CutPrefix(path, "/docs/"); ok && rest != "" && !strings.Contains(rest, "%") {
		path = "/docs/{file}"
	}
	item, ok := apiDocument()["paths"].(object)[path].(object)
	if !ok {
		return
	}
	op, ok := item[strings.ToLower(method)].(object)
	if !ok || method != strings.ToUpper(method) {
		return // TestRoutes sees that this is a 405
	}
	resp, ok := op["responses"].(object)[fmt.Sprint(a.status)].(object)
	if !ok {
		t.Errorf("%s %s: openapi.json has no status %d", method, path, a.status)
		return
	}
	resp = resolve(resp)
	for name, header := range resp["headers"].(object) {
		values := a.header.Values(name)
		if len(values) != 1 {
			t.Errorf("%s %s: header %s: %q", method, path, name, values)
		} else if err := validate(resolve(header.(object))["schema"].(object), values[0]); err != nil {
			t.Errorf("%s %s: header %s: %v", method, path, name, err)
		}
	}
	content, _ := resp["content"].(object)
	mediaType, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	media, ok := content[mediaType].(object)
	switch {
	case !ok && (len(content) > 0 || a.body != ""):
		t.Errorf("%s %s: openapi.json has no %q for status %d", method, path, mediaType, a.status)
	case mediaType == "application/json":
		if err := validate(media["schema"].(object), a.json()); err != nil {
			t.Errorf("%s %s: %s does not fit openapi.json: %v", method, path, a.body, err)
		}
	}
}

// validate reports why a decoded JSON value does not fit a schema. It knows the
// parts of JSON Schema 2020-12 that the document uses, and no others.
func validate(schema object, value any) error {
	schema = resolve(schema)
	for keyword, want := range schema {
		ok := true
		switch keyword {
		case "description", "format":
		case "type":
			ok = hasType(want, value)
		case "const":
			ok = value == want
		case "enum":
			ok = slices.Contains(want.([]any), value)
		case "minimum":
			ok = value.(float64) >= want.(float64)
		case "minLength":
			ok = utf8.RuneCountInString(value.(string)) >= int(want.(float64))
		case "maxLength":
			ok = utf8.RuneCountInString(value.(string)) <= int(want.(float64))
		case "minItems":
			ok = len(value.([]any)) >= int(want.(float64))
		case "pattern":
			ok = regexp.MustCompile(want.(string)).MatchString(value.(string))
		case "items":
			for _, item := range value.([]any) {
				if err := validate(want.(object), item); err != nil {
					return err
				}
			}
		case "properties", "required", "additionalProperties":
			if err := validateObject(schema, value.(object)); err != nil {
				return err
			}
		default:
			return fmt.Errorf("nobody has taught this test the keyword %s", keyword)
		}
		if !ok {
			return fmt.Errorf("%v is not of %s %v", value, keyword, want)
		}
	}
	return nil
}

func hasType(want, value any) bool {
	if list, ok := want.([]any); ok {
		return slices.ContainsFunc(list, func(one any) bool { return hasType(one, value) })
	}
	switch value := value.(type) {
	case nil:
		return want == "null"
	case string:
		return want == "string"
	case float64:
		return want == "number" || want == "integer" && value == float64(int64(value))
	case []any:
		return want == "array"
	case object:
		return want == "object"
	}
	return want == "boolean"
}

func validateObject(schema, value object) error {
	properties, _ := schema["properties"].(object)
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := value[name.(string)]; !ok {
			return fmt.Errorf("%s is missing", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(value)) {
		of, ok := properties[name].(object)
		if !ok {
			if schema["additionalProperties"] == false {
				return fmt.Errorf("%s is not described", name)
			}
			if of, ok = schema["additionalProperties"].(object); !ok {
				continue
			}
		}
		if err := validate(of, value[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// TestDocumentedLimits: the numbers in the document are those of the program.
func TestDocumentedLimits(t *testing.T) {
	properties := resolve(object{"$ref": "#/components/schemas/UserCreate"})["properties"].(object)
	for name, want := range map[string]int{"username": maxUsername, "password": maxPassword, "email": maxEmailInput} {
		if got := properties[name].(object)["maxLength"]; got != float64(want) {
			t.Errorf("%s: maxLength %v, want %d", name, got, want)
		}
	}
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
		{"/docs/swagger-ui-bundle.js", "", 200, "text/javascript; charset=utf-8", "", "SwaggerUIBundle"},
		{"/docs/swagger-ui-bundle.js", "br, gzip;q=0.5", 200, "text/javascript; charset=utf-8", "gzip", "\x1f\x8b"},
		{"/docs/swagger-ui.css", "gzip;q=0, br", 200, "text/css; charset=utf-8", "", ".swagger-ui"},
		{"/docs/swagger-ui.css", "GZIP", 200, "text/css; charset=utf-8", "gzip", "\x1f\x8b"},
		{"/docs/favicon-32x32.png", "gzip", 200, "image/png", "", "PNG"},
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
	if got := s.do("GET", "/docs", "").header.Get("Content-Security-Policy"); got != docsPolicy || strings.Contains(got, "unsafe") {
		t.Errorf("Content-Security-Policy: %q", got)
	}
}
