package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
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

// checkDocumented holds an answer against the document: every test that sends a
// request checks it.
func checkDocumented(t testing.TB, method, path string, a answer) {
	t.Helper()
	path, _, _ = strings.Cut(path, "?")
	op, ok := pathItem(path)[strings.ToLower(method)].(object)
	if !ok || method != strings.ToUpper(method) {
		return // TestRoutes sees that this is a 405
	}
	responses := op["responses"].(object)
	resp, ok := responses[fmt.Sprint(a.status)].(object)
	if !ok && a.status < 400 {
		t.Errorf("%s %s: openapi.json has no status %d", method, path, a.status)
		return
	}
	if !ok {
		resp = responses["default"].(object) // any other failure
	}
	resp = resolve(resp)
	checkHeaders(t, method+" "+path, a)
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

// checkHeaders holds the headers of an answer against what the document says of all
// answers.
func checkHeaders(t testing.TB, what string, a answer) {
	t.Helper()
	want := map[string]*regexp.Regexp{"X-Request-ID": regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)}
	switch a.status {
	case 401:
		want["WWW-Authenticate"] = regexp.MustCompile(`^(Bearer|Basic realm="latchkey")$`)
	case 429, 503:
		want["Retry-After"] = regexp.MustCompile(`^[1-9][0-9]*$`)
	}
	for name, pattern := range want {
		if !strings.Contains(apiDocument()["info"].(object)["description"].(string), name) {
			t.Errorf("openapi.json does not say who has a header %s", name)
		}
		if values := a.header.Values(name); len(values) != 1 || !pattern.MatchString(values[0]) {
			t.Errorf("%s: %d with the header %s: %q", what, a.status, name, values)
		}
	}
}

// validate reports why a decoded JSON value does not fit a schema. It knows the
// parts of JSON Schema 2020-12 that the document uses, and no others. A keyword
// for values of another type says nothing.
func validate(schema object, value any) error {
	schema = resolve(schema)
	text, isText := value.(string)
	list, isList := value.([]any)
	members, isObject := value.(object)
	for keyword, want := range schema {
		ok := true
		switch keyword {
		case "description", "default", "examples":
		case "type":
			ok = hasType(want, value)
		case "const":
			ok = value == want
		case "enum":
			ok = slices.Contains(want.([]any), value)
		case "anyOf":
			ok = slices.ContainsFunc(want.([]any), func(one any) bool { return validate(one.(object), value) == nil })
		case "minimum":
			number, isNumber := value.(float64)
			ok = !isNumber || number >= want.(float64)
		case "maximum":
			number, isNumber := value.(float64)
			ok = !isNumber || number <= want.(float64)
		case "minLength", "maxLength", "pattern", "format":
			ok = !isText || fitsText(keyword, want, text)
		case "minItems":
			ok = !isList || len(list) >= int(want.(float64))
		case "maxItems":
			ok = !isList || len(list) <= int(want.(float64))
		case "items":
			for _, item := range list {
				if err := validate(want.(object), item); err != nil {
					return err
				}
			}
		case "properties", "required", "additionalProperties":
			if !isObject {
				continue
			}
			if err := validateObject(schema, members); err != nil {
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

// fitsText reports whether text is as a keyword wants it. Of most formats it knows
// nothing.
func fitsText(keyword string, want any, text string) bool {
	switch {
	case keyword == "minLength":
		return utf8.RuneCountInString(text) >= int(want.(float64))
	case keyword == "maxLength":
		return utf8.RuneCountInString(text) <= int(want.(float64))
	case keyword == "pattern":
		return regexp.MustCompile(want.(string)).MatchString(text)
	case want == "date-time":
		_, err := time.Parse(time.RFC3339, text)
		return err == nil
	}
	return true
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

// validateObject is validate for the members of an object. The document does not say that
// there may be no others, because clients are to take those of later versions; but today
// there are none.
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
			if properties != nil {
				return fmt.Errorf("%s is not described", name)
			}
			continue
		}
		if err := validate(of, value[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
