package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A recordedStep is a request and what the original answered.
type recordedStep struct {
	Request struct {
		Method, Path string
		Headers      map[string]any
		Body         any
	}
	Response struct {
		Status  int
		Headers map[string]string
		JSON    any
		Text    *string
	}
}

// replay sends a recorded request. $TOKEN stands for the last token of the
// case.
func (s *testServer) replay(t *testing.T, step recordedStep, token string) answer {
	t.Helper()
	req := step.Request
	var headers []string
	for name, value := range req.Headers {
		if spec, ok := value.(map[string]any); ok {
			value = mintRecorded(t, spec["mint"].(map[string]any), s.clock.Now())
		}
		headers = append(headers, name+": "+strings.ReplaceAll(value.(string), "$TOKEN", token))
	}
	body, ok := req.Body.(string)
	if !ok && req.Body != nil {
		raw, err := base64.StdEncoding.DecodeString(req.Body.(map[string]any)["base64"].(string))
		if err != nil {
			t.Fatal(err)
		}
		body = string(raw)
	}
	return s.do(req.Method, strings.ReplaceAll(req.Path, "$TOKEN", token), strings.ReplaceAll(body, "$TOKEN", token), headers...)
}

// mintRecorded makes a token as the recording describes it.
func mintRecorded(t *testing.T, spec map[string]any, now time.Time) string {
	t.Helper()
	claims := maps.Clone(spec["payload"].(map[string]any))
	for _, name := range []string{"exp", "nbf", "iat"} {
		text, _ := claims[name].(string)
		if seconds, err := strconv.Atoi(text); err == nil {
			claims[name] = now.Unix() + int64(seconds)
		}
	}
	header, ok := spec["header"].(map[string]any)
	if !ok {
		header = map[string]any{"alg": "HS256", "typ": "JWT"}
	}
	secret := testSecret
	if spec["key"] == "other" {
		secret = strings.Repeat("0", 63) + "1"
	}
	h, err1 := json.Marshal(header)
	p, err2 := json.Marshal(claims)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	token := mint(string(h), string(p), secret)
	if alg, _ := header["alg"].(string); strings.EqualFold(alg, "none") {
		token = token[:strings.LastIndexByte(token, '.')+1]
	}
	return spec["prefix"].(string) + token
}

func compare(t *testing.T, step recordedStep, got answer) {
	t.Helper()
	want := step.Response
	name := step.Request.Method + " " + step.Request.Path
	if got.status != want.Status {
		t.Errorf("%s: status %d, want %d; body %s", name, got.status, want.Status, got.body)
	}
	for _, header := range []string{"www-authenticate", "location"} {
		wanted, have := want.Headers[header], got.header.Get(header)
		if i := strings.Index(wanted, "://"); i >= 0 {
			wanted = wanted[i+3+strings.IndexByte(wanted[i+3:], '/'):]
		}
		if header == "location" && have != "" {
			have = follow(t, step.Request.Path, have)
		}
		if have != wanted {
			t.Errorf("%s: %s %q, want %q", name, header, have, wanted)
		}
	}
	if want.Status == 405 && got.header.Get("Allow") == "" {
		t.Errorf("%s: 405 without Allow", name)
	}
	if want.Headers["content-type"] == "application/json" && got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: Content-Type %q", name, got.header.Get("Content-Type"))
	}
	if want.Text == nil {
		compareJSON(t, name, want.JSON, got)
	}
}

func compareJSON(t *testing.T, name string, want any, got answer) {
	t.Helper()
	wanted, _ := want.(map[string]any)
	have, _ := got.json().(map[string]any)
	detail, failure := wanted["detail"]
	switch _, login := wanted["access_token"]; {
	case failure && strings.Contains(fmt.Sprint(detail), "multipart"):
		if have["detail"] == nil {
			t.Errorf("%s: %s has no detail", name, got.body)
		}
	case failure:
		if w, h := detailKey(detail), detailKey(have["detail"]); w != h {
			t.Errorf("%s: detail\n%s, want\n%s", name, h, w)
		}
	case login:
		if have["access_token"] == "" || have["token_type"] != wanted["token_type"] {
			t.Errorf("%s: %s is no token", name, got.body)
		}
	case fmt.Sprint(want) != fmt.Sprint(got.json()):
		t.Errorf("%s: %s, want %v", name, got.body, want)
	}
}

// detailKey writes what has to agree in a failure: a text, or the set of type,
// loc and msg.
func detailKey(detail any) string {
	list, ok := detail.([]any)
	if !ok {
		return fmt.Sprint(detail)
	}
	var keys []string
	for _, item := range list {
		e := item.(map[string]any)
		loc, msg := e["loc"].([]any), e["msg"].(string)
		if e["type"] == "json_invalid" {
			loc = loc[:1]
		}
		if e["type"] == "value_error" && fmt.Sprint(loc) == "[body email]" {
			msg, _, _ = strings.Cut(msg, ":")
		}
		keys = append(keys, fmt.Sprint(e["type"], loc, msg))
	}
	slices.Sort(keys)
	return strings.Join(keys, "\n")
}
