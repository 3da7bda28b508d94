package e2e

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

const notWithKey = "Not possible with an API key"

// keyless are the operations that no key may call, whatever its scope.
var keyless = []struct{ method, path, body string }{
	{"POST", keysPath, `{"name":"a"}`},
	{"POST", keysPath, `{`},
	{"GET", keysPath, ""},
	{"DELETE", keysPath, ""},
	{"DELETE", keysPath + "x", ""},
	{"POST", "/users/me/password", change(password, nextPassword)},
	{"POST", "/users/me/password", `{}`},
	{"PATCH", "/users/me/", `{"full_name":"x"}`},
	{"PATCH", "/users/me/", `{}`},
	{"DELETE", "/users/me/", ""},
	{"GET", "/users/me/sessions/", ""},
	{"DELETE", "/users/me/sessions/", ""},
	{"DELETE", "/users/me/sessions/?keep=current", ""},
	{"DELETE", "/users/me/sessions/x", ""},
	{"GET", "/users/me/events/", ""},
}

// TestKeyLimits: a key, and the token that it is exchanged for, makes no keys, changes no password
// and ends no session, even one of an administrator.
func TestKeyLimits(t *testing.T) {
	t.Parallel()
	s, admin := inMemory(t).startWithRoot(t)
	k := s.makeKey(t, admin, `{"name":"a","scope":"admin"}`)
	before := s.keys(t, admin)
	for kind, token := range map[string]string{"a key": k.Key, "a token for a key": s.exchange(t, k).Access} {
		for _, r := range keyless {
			t.Run(fmt.Sprintf("%s %s %.20s with %s", r.method, r.path, r.body, kind), func(t *testing.T) {
				checkProblem(t, s.authorized(t, r.method, r.path, r.body, token), 403, notWithKey)
			})
		}
		checkMe(t, s.me(t, token), root)
		checkStatus(t, s.authorized(t, "GET", "/users/", "", token), 200)
		checkStatus(t, s.authorized(t, "HEAD", "/users/me/", "", token), 200)
		name := strings.ReplaceAll(kind, " ", "-")
		checkStatus(t, s.authorized(t, "POST", "/users/", newUser(name, password), token), 200)
		checkStatus(t, s.authorized(t, "GET", userPath(name), "", token), 200)
	}
	if after := s.keys(t, admin); len(after) != len(before) {
		t.Errorf("%d keys were %d", len(after), len(before))
	}
	checkMe(t, s.me(t, s.logIn(t, root)), root)
}

// TestKeyOfNoAdministrator: without the scope a key is refused where only administrators may go,
// like anybody else, and so is one whose scope only looks like it.
func TestKeyOfNoAdministrator(t *testing.T) {
	t.Parallel()
	s, tokens := withScopes(t, map[string]string{"alice": "ADMIN administrator admin.x read"}, "ALLOW_REGISTRATION=true")
	k := s.makeKey(t, tokens["alice"], `{"name":"a","scope":"ADMIN administrator admin.x read"}`)
	small := s.makeKey(t, tokens[root], `{"name":"no scope"}`)
	for _, token := range []string{k.Key, small.Key, s.exchange(t, k).Access} {
		for _, r := range adminRequests {
			if a := s.authorized(t, r.method, r.path, r.body, token); a.StatusCode != 403 {
				t.Errorf("%s %.60s: %d %.100s; want 403", r.method, r.path, a.StatusCode, a.body)
			}
		}
	}
}

// TestKeyBodies: what makes a key, and what is refused without one being made.
func TestKeyBodies(t *testing.T) {
	t.Parallel()
	s, tokens := withScopes(t, map[string]string{"alice": "read write"})
	alice := tokens["alice"]
	for body, want := range map[string]apiKey{
		`{"name":"x"}`:                           {Name: "x"},
		`{"name":"x","scope":""}`:                {Name: "x"},
		`{"name":"x","scope":null}`:              {Name: "x"},
		`{"name":"x","scope":"write read"}`:      {Name: "x", Scope: "read write"},
		`{"name":"x","scope":"read read"}`:       {Name: "x", Scope: "read"},
		`{"name":"x","expires_in_days":1}`:       {Name: "x"},
		`{"name":"x","expires_in_days":366}`:     {Name: "x"},
		`{"name":"Größe 用户 🦊"}`:                  {Name: "Größe 用户 🦊"},
		`{"name":"a'; DROP TABLE api_keys; --"}`: {Name: "a'; DROP TABLE api_keys; --"},
		`{"name":"x","id":"AAAAAAAAAAAAAAAA","key":"lk_x","user_id":1,"last_used_at":"2001-01-01T00:00:00Z","created_at":"2001-01-01T00:00:00Z"}`: {Name: "x"},
	} {
		t.Run(body, func(t *testing.T) {
			k := s.makeKey(t, alice, body)
			if k.Name != want.Name || k.Scope != want.Scope || time.Since(k.CreatedAt) > patience || k.ID == "AAAAAAAAAAAAAAAA" || k.LastUsedAt != nil {
				t.Errorf("%+v; want one named %s for %q, made now", k, want.Name, want.Scope)
			}
			s.dropKey(t, alice, k.ID)
		})
	}
	for _, body := range []string{
		``, `{}`, `[]`, `null`, `{"name":null}`, `{"name":1}`, `{"name":""}`, `{"name":" "}`, `{"name":"x","name":"y"}`, `{"Name":"x"}`, `{"name":"x"} x`,
		`{"name":"a\u0000b"}`, `{"name":"a\nb"}`, `{"name":"a\u001b[31m"}`, `{"name":"\ud800"}`, `{"name":"` + strings.Repeat("n", 5000) + `"}`,
		`{"name":"x","scope":1}`, `{"name":"x","scope":["read"]}`, `{"name":"x","scope":"admin"}`, `{"name":"x","scope":"READ"}`, `{"name":"x","scope":"read admin"}`,
		`{"name":"x","scope":"any"}`, `{"name":"x","scope":"read,write"}`, `{"name":"x","scope":"a\"b"}`,
		`{"name":"x","expires_in_days":0}`, `{"name":"x","expires_in_days":367}`, `{"name":"x","expires_in_days":-1}`, `{"name":"x","expires_in_days":"x"}`,
		`{"name":"x","expires_in_days":1.5}`, `{"name":"x","expires_in_days":1e999}`, `{"name":"x","expires_in_days":9223372036854775808}`, `{"name":"x","expires_in_days":"never"}`, `{"name":"x","expires_in_days":null}`,
		`{"name":"x","expires_in_days":[1]}`, `{"name":"x","expires_in_days":{}}`,
	} {
		t.Run(body[:min(50, len(body))], func(t *testing.T) {
			a := s.authorized(t, "POST", keysPath, body, alice)
			if body == "" {
				a = s.do(t, "POST", keysPath, "", jsonType, "Authorization: Bearer "+alice)
			}
			checkStatus(t, a, 422)
			checkShape(t, a)
		})
	}
	checkStatus(t, s.do(t, "POST", keysPath, "name=x", formType, "Authorization: Bearer "+alice), 422)
	checkStatus(t, s.authorized(t, "POST", keysPath, `{"name":"`+strings.Repeat("n", 70_000)+`"}`, alice), 413)
	if list := s.keys(t, alice); len(list) != 0 {
		t.Errorf("%+v; want no key of what was refused", list)
	}
}

// TestKeyPaths: ids that are none, or of somebody else.
func TestKeyPaths(t *testing.T) {
	t.Parallel()
	s, tokens := withScopes(t, map[string]string{"alice": "", "bob": ""})
	k := s.makeKey(t, tokens["alice"], `{"name":"a"}`)
	for _, id := range []string{
		"x", "AAAAAAAAAAAAAAAA", strings.ToLower(k.ID), k.ID[:15], k.ID + "A", k.Key, "lk_" + k.ID, k.ID + "%00", "%00", "%ff", "%2f", "*", "%25", k.ID + "%20", strings.Repeat("A", 3000), "1", "' OR 1=1",
	} {
		a := s.authorized(t, "DELETE", keysPath+strings.ReplaceAll(id, " ", "%20"), "", tokens["alice"])
		checkProblem(t, a, 404, "Not Found")
	}
	for _, name := range []string{"bob", root} {
		checkProblem(t, s.authorized(t, "DELETE", keysPath+k.ID, "", tokens[name]), 404, "Not Found")
		checkEmpty(t, s.authorized(t, "DELETE", keysPath, "", tokens[name]), 204)
	}
	for _, method := range []string{"PUT", "PATCH", "OPTIONS"} {
		checkStatus(t, s.authorized(t, method, keysPath, "", tokens["alice"]), 405)
		checkStatus(t, s.authorized(t, method, keysPath+k.ID, "", tokens["alice"]), 405)
	}
	checkStatus(t, s.authorized(t, "GET", keysPath+k.ID, "", tokens["alice"]), 405)
	if a := s.authorized(t, "POST", "/users/me/keys", `{"name":"a"}`, tokens["alice"]); a.StatusCode != 307 {
		t.Errorf("without the slash: %d; want 307", a.StatusCode)
	}
	for _, r := range keyless {
		checkProblem(t, s.do(t, r.method, r.path, r.body), 401, "Not authenticated")
	}
	checkVerified(t, s.verify(t, "/verify", k.Key), "alice")
}

// TestKeyTexts: what is almost a key is none, wherever keys are taken.
func TestKeyTexts(t *testing.T) {
	t.Parallel()
	s, tokens := withScopes(t, map[string]string{"alice": "", "bob": ""})
	k := s.makeKey(t, tokens["alice"], `{"name":"a"}`)
	other := s.makeKey(t, tokens["bob"], `{"name":"b"}`)
	for name, text := range map[string]string{
		"the id":                       k.ID,
		"the id as a key":              "lk_" + k.ID,
		"without the secret":           "lk_" + k.ID + "_",
		"the secret alone":             k.secret(),
		"in small letters":             strings.ToLower(k.Key),
		"with a prefix in capitals":    "LK_" + k.Key[3:],
		"without the prefix":           k.Key[3:],
		"half a key":                   k.Key[:33],
		"a letter less":                k.Key[:len(k.Key)-1],
		"a letter more":                k.Key + "A",
		"another last letter":          changed(k.Key, len(k.Key)-1),
		"another first letter":         changed(k.Key, 20),
		"another id":                   changed(k.Key, 3),
		"the secret of another":        k.Key[:20] + other.secret(),
		"the id of another":            other.Key[:20] + k.secret(),
		"twice":                        k.Key + k.Key,
		"with a dash":                  strings.ReplaceAll(k.Key, "_", "-"),
		"followed by a colon":          k.Key + ":",
		"no letters of the alphabet":   "lk_" + strings.Repeat("0", 16) + "_" + strings.Repeat("1", 26),
		"letters of another alphabet":  strings.Replace(k.Key, "lk_", "lk＿", 1),
		"a pattern of SQL":             "lk_" + strings.Repeat("_", 16) + "_" + k.secret(),
		"another pattern of SQL":       "lk_%_" + k.secret(),
		"all the same letter":          "lk_" + strings.Repeat("A", 16) + "_" + strings.Repeat("A", 26),
		"nothing after the prefix":     "lk_",
		"a key in the key of a bearer": "lk_" + k.Key,
	} {
		t.Run(name, func(t *testing.T) {
			checkUseless(t, s, tokens[root], text)
			checkProblem(t, s.do(t, "GET", "/verify", "", basic("", text)), 401, "Could not validate credentials")
			checkInvalidClient(t, s.do(t, "POST", "/token", credentials(k.ID, text), formType), "Bearer")
		})
	}
	checkUseful(t, s, tokens[root], k.Key)
}

// TestKeyElsewhere: a key is no password and no refresh token, and a refresh token is no key.
func TestKeyElsewhere(t *testing.T) {
	t.Parallel()
	s := inMemory(t).startUnthrottled(t)
	s.register(t, "alice")
	g := s.signIn(t, "alice")
	k := s.makeKey(t, g.Access, `{"name":"a"}`)
	jwt := s.exchange(t, k).Access
	for _, token := range []string{k.Key, jwt} {
		login := url.Values{"username": {"alice"}, "password": {token}}.Encode()
		checkProblem(t, s.do(t, "POST", "/token", login, formType), 401, "Incorrect username or password")
		checkOAuthCode(t, s.refresh(t, token), "invalid_grant")
		s.revoke(t, token)
		checkMe(t, s.me(t, token), "alice")
		checkProblem(t, s.do(t, "GET", "/users/me/", "", basic("alice", token)), 401, "Not authenticated")
	}
	checkProblem(t, s.authorized(t, "GET", "/verify", "", g.Refresh), 401, "Could not validate credentials")
	checkGoesOn(t, s, g, "alice")
}

// TestVerifyBasic: at /verify a key may come as the password of its owner, or of nobody; no
// password is ever taken, or even hashed.
func TestVerifyBasic(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t, "PBKDF2_ITERATIONS=600000")
	for _, name := range []string{"alice", "bob"} {
		s.register(t, name)
	}
	begin := time.Now()
	alice := s.logIn(t, "alice")
	hashing := time.Since(begin)
	key := s.makeKey(t, alice, `{"name":"a"}`).Key
	begin = time.Now()
	for name, tt := range map[string]struct {
		username, password string
		good               bool
	}{
		"the owner and the key":          {"alice", key, true},
		"the owner in capitals":          {"ALICE", key, true},
		"nobody and the key":             {"", key, true},
		"another user and the key":       {"bob", key, false},
		"no user and the key":            {"nobody", key, false},
		"the owner and the password":     {"alice", password, false},
		"nobody and the password":        {"", password, false},
		"the key as a name":              {key, "", false},
		"the key twice":                  {key, key, false},
		"nothing":                        {"", "", false},
		"the owner and nothing":          {"alice", "", false},
		"the owner and a token":          {"alice", alice, false},
		"nobody and a token":             {"", alice, false},
		"the owner's name and more":      {"alice:", key, false},
		"the id and the key":             {key[3:19], key, false},
		"the key and a blank":            {"alice", key + " ", false},
		"the key and a line end":         {"alice", key + "\n", false},
		"the key and a NUL":              {"alice", key + "\x00", false},
		"the key, escaped":               {"alice", "%6c" + key[1:], false},
		"a name that is no text":         {"\xff", key, false},
		"a name with a NUL":              {"alice\x00", key, false},
		"a name of 4,000 letters":        {strings.Repeat("a", 4000), key, false},
		"the owner in wide letters, bob": {"ｂｏｂ", key, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.do(t, "GET", "/verify", "", basic(tt.username, tt.password))
			if tt.good {
				checkVerified(t, a, "alice")
				return
			}
			checkProblem(t, a, 401, "Could not validate credentials")
			checkNobody(t, a)
		})
	}
	for range 40 {
		checkStatus(t, s.do(t, "GET", "/verify", "", basic("alice", password)), 401)
	}
	if took := time.Since(begin); took > 20*hashing {
		t.Errorf("60 refusals take %v, and a login %v: passwords are hashed", took, hashing)
	}
	checkVerified(t, s.do(t, "GET", "/verify", "", strings.Replace(basic("alice", key), "Basic", "bASIC", 1)), "alice")
	checkMe(t, s.me(t, s.logIn(t, "alice")), "alice") // nothing above was a guess
}

// TestVerifyBadBasic: headers that only look like Basic.
func TestVerifyBadBasic(t *testing.T) {
	t.Parallel()
	s := inMemory(t).start(t)
	s.register(t, "alice")
	key := s.makeKey(t, s.logIn(t, "alice"), `{"name":"a"}`).Key
	good := basic("alice", key)
	for name, line := range map[string]string{
		"nothing":          "Authorization: Basic",
		"no base64":        "Authorization: Basic alice:" + key,
		"a letter less":    good[:len(good)-5],
		"a blank in it":    good[:40] + " " + good[40:],
		"a tab":            strings.Replace(good, "Basic ", "Basic\t", 1),
		"a comma after it": good + ",",
		"two of them":      good + ", " + good[len("Authorization: "):],
		"no colon":         strings.Replace(basic("", key), "Authorization: Basic Om", "Authorization: Basic b", 1),
		"8 KiB":            "Authorization: Basic " + strings.Repeat("QUFB", 2048),
	} {
		t.Run(name, func(t *testing.T) {
			a := s.ask(t, head("GET /verify HTTP/1.1", "Host: h", line))
			checkStatus(t, a, 401)
			checkShape(t, a)
			checkNobody(t, a)
		})
	}
}
