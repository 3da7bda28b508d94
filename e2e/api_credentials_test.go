package e2e

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
)

const realm = `Basic realm="latchkey"`

// aClient starts a server with alice, who may read and write, and a key of hers that may, too.
func aClient(t testing.TB, settings ...string) (*server, map[string]string, apiKey) {
	t.Helper()
	s, tokens := withScopes(t, map[string]string{"alice": "read write admin"}, settings...)
	return s, tokens, s.makeKey(t, tokens["alice"], `{"name":"a","scope":"read write"}`)
}

// TestClientCredentials: a key is exchanged for a token of its owner, which ends with the key.
func TestClientCredentials(t *testing.T) {
	t.Parallel()
	s, tokens, k := aClient(t, "ISSUER="+anIssuer, "AUDIENCE=one")
	g := s.exchange(t, k)
	if g.Scope != "read write" {
		t.Errorf("a token for %q; want read write", g.Scope)
	}
	claims, own := claimsOf(t, g.Access), claimsOf(t, tokens["alice"])
	for name, want := range map[string]any{
		"sub": "alice", "uid": own["uid"], "client_id": k.ID, "sid": nil, "scope": "read write", "iss": anIssuer, "aud": "one",
	} {
		if claims[name] != want {
			t.Errorf("%s is %v; want %v", name, claims[name], want)
		}
	}
	if roles, ok := claims["roles"].([]any); !ok || len(roles) != 2 || roles[0] != "read" || roles[1] != "write" {
		t.Errorf("roles is %v; want read and write", claims["roles"])
	}
	if own["client_id"] != nil || own["sid"] == nil {
		t.Errorf("a session's token has %v; want a sid and no client_id", own)
	}
	checkUseful(t, s, tokens[root], g.Access)
	checkForbidden(t, s.verify(t, "/verify/admin", g.Access), "admin")
	if again := s.exchange(t, k); again.Access == g.Access || claimsOf(t, again.Access)["jti"] == claims["jti"] {
		t.Error("two tokens for one key are the same")
	}
	if n := len(s.sessions(t, tokens["alice"])); n != 1 {
		t.Errorf("%d sessions; want 1: a key has none", n)
	}
	s.dropKey(t, tokens["alice"], k.ID)
	checkKeyDead(t, s, tokens[root], k, g.Access)
}

// TestClientScopes: a program may ask for less than its key may do, and gets no more.
func TestClientScopes(t *testing.T) {
	t.Parallel()
	s, tokens, k := aClient(t)
	for _, tt := range []struct{ asked, want string }{ // "": 400
		{"read", "read"},
		{"write read", "read write"},
		{"read read", "read"},
		{"read admin", "read"},
		{"read READ", "read"},
		{"read write admin introspect x", "read write"},
		{"openid offline_access read", "read"},
		{"admin", ""},
		{"READ", ""},
		{"openid offline_access", ""},
		{"read,write", ""},
		{`"read"`, ""},
		{"any", ""},
	} {
		t.Run(tt.asked, func(t *testing.T) {
			a := s.do(t, "POST", "/token", credentials(k.ID, k.Key, url.Values{"scope": {tt.asked}}.Encode()), formType)
			if tt.want == "" {
				checkOAuthCode(t, a, "invalid_scope")
				return
			}
			g := a.clientGrant(t)
			if g.Scope != tt.want || claimsOf(t, g.Access)["scope"] != tt.want {
				t.Errorf("a token for %q, %v; want %q", g.Scope, claimsOf(t, g.Access)["scope"], tt.want)
			}
			for _, scope := range []string{"read", "write", "admin"} {
				allowed := s.verify(t, "/verify/"+scope, g.Access).StatusCode == 200
				if want := strings.Contains(tt.want, scope); allowed != want {
					t.Errorf("a token for %q may %s: %t", tt.want, scope, allowed)
				}
			}
			if in := s.introspect(t, tokens[root], g.Access); !strings.Contains(in.body, `"scope":"`+tt.want+`"`) {
				t.Errorf("introspection says %s; want the scope %q", in.body, tt.want)
			}
		})
	}
	bare := s.makeKey(t, tokens["alice"], `{"name":"bare"}`)
	if g := s.exchange(t, bare); g.Scope != "" {
		t.Errorf("a token for %q; want none", g.Scope)
	}
	checkOAuthCode(t, s.do(t, "POST", "/token", credentials(bare.ID, bare.Key, "scope=read"), formType), "invalid_scope")
	checkStatus(t, s.do(t, "POST", "/token", credentials(k.ID, k.Key, "scope="), formType), 200)
}

// TestClientForms: a program says who it is by Basic or in the form, not both, and not by halves.
func TestClientForms(t *testing.T) {
	t.Parallel()
	s, tokens, k := aClient(t)
	other := s.makeKey(t, tokens["alice"], `{"name":"other"}`)
	bare := credentials("", "")
	tests := []struct {
		name      string
		body      string
		header    string // Authorization
		code      string // "" if it gets a token
		challenge string // of a 401
	}{
		{"in the form", credentials(k.ID, k.Key), "", "", ""},
		{"by Basic", bare, basic(k.ID, k.Key), "", ""},
		{"by Basic, escaped as forms are", bare, basic(escapeAll(k.ID), escapeAll(k.Key)), "", ""},
		{"by Basic in small letters", bare, strings.Replace(basic(k.ID, k.Key), "Basic", "basic", 1), "", ""},
		{"in the form, escaped", "grant_type=client_credentials&client_id=" + escapeAll(k.ID) + "&client_secret=" + escapeAll(k.Key), "", "", ""},
		{"both", credentials(k.ID, k.Key), basic(k.ID, k.Key), "invalid_request", ""},
		{"the secret in both", credentials("", k.Key), basic(k.ID, k.Key), "invalid_request", ""},
		{"another in the form", credentials(other.ID, other.Key), basic(k.ID, k.Key), "invalid_request", ""},
		{"neither", bare, "", "invalid_client", "Bearer"},
		{"no secret", credentials(k.ID, ""), "", "invalid_client", "Bearer"},
		{"no id", credentials("", k.Key), "", "invalid_client", "Bearer"},
		{"the id of another", credentials(other.ID, k.Key), "", "invalid_client", "Bearer"},
		{"the key as id", credentials(k.Key, k.Key), "", "invalid_client", "Bearer"},
		{"the owner as id", credentials("alice", k.Key), "", "invalid_client", "Bearer"},
		{"the id in small letters", credentials(strings.ToLower(k.ID), k.Key), "", "invalid_client", "Bearer"},
		{"the id with the prefix", credentials("lk_"+k.ID, k.Key), "", "invalid_client", "Bearer"},
		{"only the secret's part", credentials(k.ID, k.secret()), "", "invalid_client", "Bearer"},
		{"the owner's password", credentials("alice", password), "", "invalid_client", "Bearer"},
		{"the owner's token", credentials(k.ID, tokens["alice"]), "", "invalid_client", "Bearer"},
		{"a secret with a blank", credentials(k.ID, k.Key+" "), "", "invalid_client", "Bearer"},
		{"a secret with a NUL", credentials(k.ID, k.Key+"\x00"), "", "invalid_client", "Bearer"},
		{"an id with a NUL", credentials(k.ID+"\x00", k.Key), "", "invalid_client", "Bearer"},
		{"the id of another by Basic", bare, basic(other.ID, k.Key), "invalid_client", realm},
		{"the owner by Basic", bare, basic("alice", k.Key), "invalid_client", realm},
		{"no id by Basic", bare, basic("", k.Key), "invalid_client", realm},
		{"no secret by Basic", bare, basic(k.ID, ""), "invalid_client", realm},
		{"the owner's password by Basic", bare, basic("alice", password), "invalid_client", realm},
		{"a wrong secret by Basic", bare, basic(k.ID, changed(k.Key, 30)), "invalid_client", realm},
		{"escaped twice by Basic", bare, basic(k.ID, escapeAll(escapeAll(k.Key))), "invalid_client", realm},
		{"a broken escape by Basic", bare, basic(k.ID, k.Key+"%"), "invalid_client", realm},
		{"the key as Bearer", bare, "Authorization: Bearer " + k.Key, "invalid_client", "Bearer"},
		{"an id twice", credentials(k.ID, k.Key, "client_id="+k.ID), "", "invalid_request", ""},
		{"a secret twice", credentials(k.ID, k.Key, "client_secret="+k.Key), "", "invalid_request", ""},
		{"a grant twice", credentials(k.ID, k.Key, "grant_type=client_credentials"), "", "invalid_request", ""},
		{"a scope twice", credentials(k.ID, k.Key, "scope=read&scope=read"), "", "invalid_request", ""},
		{"with an assertion", credentials(k.ID, "", "client_assertion=x&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), "", "invalid_client", "Bearer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			headers := []string{formType}
			if tt.header != "" {
				headers = append(headers, tt.header)
			}
			a := s.do(t, "POST", "/token", tt.body, headers...)
			switch tt.code {
			case "":
				a.clientGrant(t)
			case "invalid_client":
				checkInvalidClient(t, a, tt.challenge)
			default:
				checkOAuthCode(t, a, tt.code)
			}
		})
	}
	a := s.ask(t, head("POST /token HTTP/1.1", "Host: h", formType, contentLength(bare), basic(k.ID, k.Key), basic(other.ID, other.Key))+bare)
	if a.StatusCode == 200 {
		t.Errorf("two headers: %d %s", a.StatusCode, a.body)
	}
	a = s.do(t, "POST", "/token?"+credentials(k.ID, k.Key), bare, formType)
	checkInvalidClient(t, a, "Bearer")
	a = s.do(t, "POST", "/token", `{"grant_type":"client_credentials","client_id":"`+k.ID+`","client_secret":"`+k.Key+`"}`, jsonType)
	if a.StatusCode == 200 {
		t.Errorf("as JSON: %d %s", a.StatusCode, a.body)
	}
}

// escapeAll escapes every byte as forms may.
func escapeAll(text string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for _, c := range []byte(text) {
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

// TestClientRefusals: refusals do not say which part was wrong.
func TestClientRefusals(t *testing.T) {
	t.Parallel()
	s, tokens, k := aClient(t)
	gone := s.makeKey(t, tokens["alice"], `{"name":"gone"}`)
	s.dropKey(t, tokens["alice"], gone.ID)
	first := ""
	for name, body := range map[string]string{
		"an id that never was": credentials(strings.Repeat("A", 16), changed(k.Key, 30)),
		"a wrong secret":       credentials(k.ID, changed(k.Key, 30)),
		"a deleted key":        credentials(gone.ID, gone.Key),
		"no key at all":        credentials("x", "y"),
		"a key and no id":      credentials(changed(k.ID, 15), k.Key),
	} {
		a := s.do(t, "POST", "/token", body, formType)
		checkInvalidClient(t, a, "Bearer")
		if got := withoutIDs(a); first == "" {
			first = got
		} else if got != first {
			t.Errorf("%s: %s; another refusal is %s", name, got, first)
		}
	}
}

// TestClientCredentialsElsewhere: other grants go on ignoring what a client says of itself, good or
// bad, and no other grant is got by a key.
func TestClientCredentialsElsewhere(t *testing.T) {
	t.Parallel()
	s, tokens, k := aClient(t)
	for name, headers := range map[string][]string{
		"a good client":    {formType, basic(k.ID, k.Key)},
		"a bad client":     {formType, basic("x", "y")},
		"an odd client":    {formType, "Authorization: Basic %%%"},
		"two clients":      {formType, basic(k.ID, k.Key), basic("x", "y")},
		"another's bearer": {formType, "Authorization: Bearer " + tokens[root]},
	} {
		t.Run(name, func(t *testing.T) {
			g := s.do(t, "POST", "/token", loginForm("alice")+"&client_id="+k.ID+"&client_secret="+k.Key, headers...).granted(t)
			if claimsOf(t, g.Access)["client_id"] != nil {
				t.Errorf("a session's token says what its client called itself: %v", claimsOf(t, g.Access))
			}
			next := s.do(t, "POST", "/token", refreshBody(g.Refresh)+"&client_id=other&client_secret=z", headers...).granted(t)
			checkRevoked(t, s.do(t, "POST", "/revoke", "token="+next.Refresh+"&client_id=other&client_secret=z", headers...))
			checkEnded(t, s, next)
		})
	}
	for _, grantType := range []string{"CLIENT_CREDENTIALS", "client_credentials ", "urn:ietf:params:oauth:grant-type:jwt-bearer", "authorization_code", "implicit"} {
		a := s.do(t, "POST", "/token", url.Values{"grant_type": {grantType}, "client_id": {k.ID}, "client_secret": {k.Key}}.Encode(), formType)
		checkOAuthCode(t, a, "unsupported_grant_type")
	}
	a := s.do(t, "POST", "/token", loginForm("alice")+"&"+credentials(k.ID, k.Key), formType)
	a.clientGrant(t) // the grant decides, not what else is in the form
}

// TestClientBase64: RFC 7617 has padded base64 of the usual alphabet.
func TestClientBase64(t *testing.T) {
	t.Parallel()
	s, _, k := aClient(t)
	text := k.ID + ":" + k.Key
	for name, encoded := range map[string]string{
		"no base64":          text,
		"a blank in it":      "Zm9v " + base64.StdEncoding.EncodeToString([]byte(text)),
		"no colon":           base64.StdEncoding.EncodeToString([]byte(k.ID + k.Key)),
		"nothing":            "",
		"a comma after it":   base64.StdEncoding.EncodeToString([]byte(text)) + ",",
		"a line in the text": base64.StdEncoding.EncodeToString([]byte(text + "\r\n")),
	} {
		t.Run(name, func(t *testing.T) {
			a := s.do(t, "POST", "/token", credentials("", ""), formType, "Authorization: Basic "+encoded)
			if a.StatusCode != 401 && a.StatusCode != 400 {
				t.Errorf("got %d %s; want a refusal", a.StatusCode, a.body)
			}
		})
	}
}

// TestClientClaims: a token of another program with our secret that names a key opens no more than
// that key, and nothing if the two do not fit together.
func TestClientClaims(t *testing.T) {
	t.Parallel()
	s, tokens, k := aClient(t)
	s.register(t, "bob")
	bobs := s.makeKey(t, s.logIn(t, "bob"), `{"name":"b"}`)
	ours := key{algorithm: "HS256", secret: aKey}
	sid := claimsOf(t, tokens["alice"])["sid"].(string)
	for name, claims := range map[string]string{
		"another's key":             `"sub":"alice","client_id":"` + bobs.ID + `"`,
		"a key of another's":        `"sub":"bob","client_id":"` + k.ID + `"`,
		"no key":                    `"sub":"alice","client_id":"AAAAAAAAAAAAAAAA"`,
		"another's session":         `"sub":"bob","sid":"` + sid + `"`,
		"two keys":                  `"sub":"alice","client_id":"` + bobs.ID + `","client_id":"` + k.ID + `"`,
		"a user who does not exist": `"sub":"nobody","client_id":"` + k.ID + `"`,
	} {
		t.Run(name, func(t *testing.T) { checkUseless(t, s, tokens[root], ours.mintOf(t, claims)) })
	}
	for claim, most := range map[string]string{`,"scope":"read write admin"`: "read write", `,"scope":"read"`: "read", `,"scope":"admin"`: "", `,"roles":["admin"]`: "read write", ``: "read write"} {
		a := s.verify(t, "/verify", ours.mintOf(t, `"sub":"alice","client_id":"`+k.ID+`"`+claim))
		for scope := range strings.SplitSeq(a.Header.Get("Remote-Groups"), ",") {
			if a.StatusCode == 200 && scope != "" && !strings.Contains(most, scope) {
				t.Errorf("with %s it may %s; want at most %q", claim, scope, most)
			}
		}
	}
}
