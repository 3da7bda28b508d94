package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestServiceUsers: nobody can log in as a service, in the time that a wrong password takes.
func TestServiceUsers(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	s, admin := p.startWithRoot(t)
	checkDone(t, p.command("users", "add", "robot", "-service", "-scope", "read").run(t))
	s.register(t, "alice")
	made := p.command("apikeys", "add", "robot", "-name", "gateway", "-scope", "read").run(t)
	checkDone(t, made)
	k := keyIn(t, made.stdout)
	checkVerified(t, s.verify(t, "/verify/read", k.Key), "robot")
	for _, guess := range []string{"", " ", password, k.Key, k.ID, "\x00", "robot", "*", "!"} {
		login := url.Values{"username": {"robot"}, "password": {guess}}.Encode()
		a := s.do(t, "POST", "/token", login, formType)
		if a.StatusCode != 401 && (guess != "" || a.StatusCode != 422) {
			t.Errorf("a login with %q: %d %s; want 401", guess, a.StatusCode, a.body)
		}
	}
	jwt := s.exchange(t, k).Access
	for _, token := range []string{k.Key, jwt} {
		checkProblem(t, s.authorized(t, "POST", "/users/me/password", change("", nextPassword), token), 403, notWithKey)
		checkMe(t, s.me(t, token), "robot")
	}
	var times [2][]time.Duration
	for range 5 {
		for i, name := range []string{"robot", "alice"} {
			begin := time.Now()
			checkProblem(t, s.do(t, "POST", "/token", guessForm(name), formType), 401, "Incorrect username or password")
			times[i] = append(times[i], time.Since(begin))
		}
	}
	if robot, alice := slices.Min(times[0]), slices.Min(times[1]); robot < alice/2 { // the fastest ones, since other tests run meanwhile
		t.Errorf("a login as the service takes %v, and one with a wrong password %v", robot, alice)
	}
	checkStatus(t, s.authorized(t, "GET", userPath("robot"), "", admin), 200)
	checkDone(t, p.command("users", "disable", "robot").run(t))
	checkKeyDead(t, s, admin, k, jwt)
}

// keyIn is the key that a command has printed.
func keyIn(t testing.TB, text string) apiKey {
	t.Helper()
	for word := range strings.FieldsSeq(text) {
		if parts := aKeyText.FindStringSubmatch(word); parts != nil {
			return apiKey{ID: parts[1], Key: parts[0]}
		}
	}
	t.Fatalf("%q; want a key in it", text)
	return apiKey{}
}

// TestKeyCommands: apikeys list and revoke, beside a server.
func TestKeyCommands(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	s, admin := p.startWithRoot(t)
	p.add(t, "alice", "-scope", "read")
	alice := s.logIn(t, "alice")
	made := s.makeKey(t, alice, `{"name":"by the API","scope":"read"}`)
	never := keyIn(t, p.must(t, "apikeys", "add", "alice", "-name", "for ever", "-days", "never"))
	list := p.command("apikeys", "list", "alice").run(t)
	checkDone(t, list)
	for _, word := range []string{made.ID, "by the API", never.ID, "for ever", "never"} {
		if !strings.Contains(list.stdout, word) {
			t.Errorf("the list is %q; want %q in it", list.stdout, word)
		}
	}
	checkUnprinted(t, list, made.Key, never.Key, made.secret(), never.secret())
	for _, l := range s.keys(t, alice) {
		if l.ID == never.ID && (l.ExpiresAt != nil || l.Name != "for ever") {
			t.Errorf("%+v; want a key that never expires", l)
		}
	}
	if in := s.introspect(t, admin, never.Key).active(t); in.Exp != 0 || in.ClientID != never.ID {
		t.Errorf("introspection says %+v of a key that never expires", in)
	}
	for _, args := range [][]string{
		{"add", "alice", "-name", "x", "-scope", "write"}, {"add", "nobody", "-name", "x"}, {"add", "alice", "-name", "x", "-days", "0"}, {"add", "alice", "-name", "x", "-days", "367"},
		{"add", "alice", "-name", "x", "-scope", "a b c\n"}, {"add", "alice", "-name", "a\nb"}, {"add"}, {"revoke", "alice", "AAAAAAAAAAAAAAAA"}, {"revoke", "nobody", made.ID}, {"revoke", root, made.ID}, {"list", "nobody"},
	} {
		if got := p.command(append([]string{"apikeys"}, args...)...).run(t); got.code != 1 && got.code != 2 {
			t.Errorf("apikeys %q: %d %s%s; want a refusal", args, got.code, got.stdout, got.stderr)
		}
	}
	if n := len(s.keys(t, alice)); n != 2 {
		t.Errorf("%d keys; want 2", n)
	}
	checkVerified(t, s.verify(t, "/verify/read", made.Key), "alice")
	p.must(t, "apikeys", "revoke", "alice", made.ID)
	checkKeyDead(t, s, admin, made)
	checkVerified(t, s.verify(t, "/verify", never.Key), "alice")
}

// TestKeySecrets: neither a key nor its secret nor its hash is in a log, an event, an error, an
// export or the metrics. The log is searched when the server stops.
func TestKeySecrets(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	p := inFileAt(path)
	metrics := freeAddress(t).String()
	s, admin := p.startWithRoot(t, "METRICS_ADDR="+metrics, "LOG_LEVEL=debug")
	s.register(t, "alice")
	alice := s.logIn(t, "alice")
	k := s.makeKey(t, alice, `{"name":"the-name-of-the-key"}`)
	var told []string
	note := func(a answer) { told = append(told, withoutIDs(a)) }
	for _, text := range []string{k.Key, changed(k.Key, 30), k.secret()} {
		note(s.verify(t, "/verify", text))
		s.verify(t, "/verify/"+text, text) // a 403 names the scope that its path does
		note(s.do(t, "GET", "/verify?key="+text, "", basic("alice", text)))
		note(s.verify(t, "/verify/x/"+text, alice))
		note(s.introspect(t, admin, text))
		note(s.do(t, "POST", "/token?client_secret="+text, credentials(k.ID, text+"x"), formType))
		note(s.do(t, "POST", "/token", credentials(k.ID, text, "scope="+text), formType))
		s.authorized(t, "POST", keysPath, `{"name":"b","scope":`+quoted(text)+`}`, alice) // a 422 names the scope
		note(s.authorized(t, "DELETE", keysPath+text, "", alice))
		note(s.refresh(t, text))
		note(s.do(t, "POST", "/token", url.Values{"username": {text}, "password": {text}}.Encode(), formType))
	}
	s.dropKey(t, alice, k.ID)
	told = append(told, fmt.Sprint(s.feed(t, admin, "username=alice")))
	out := p.command("users", "export").run(t)
	told = append(told, out.stdout, out.stderr, p.command("events").run(t).stdout)
	told = append(told, (&server{url: "http://" + metrics, client: s.client}).do(t, "GET", "/metrics", "").body)
	s.stop(t)
	told = append(told, s.log.String())
	for _, text := range told {
		for _, secret := range []string{k.secret(), k.Key, strings.ToLower(k.secret())} {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("a secret is told: …%.200s…", text[max(0, at-100):])
			}
		}
	}
}

// verifyEnds are the ways in which a request must not pass any more.
var verifyEnds = []struct {
	name   string
	end    func(t *testing.T, s *server, admin string, g grant, k apiKey)
	grant  int // the status that the session's token has then
	status int // and the key
}{
	{"logout", func(t *testing.T, s *server, _ string, g grant, _ apiKey) { s.revoke(t, g.Access) }, 401, 200},
	{"disabling", func(t *testing.T, s *server, admin string, _ grant, _ apiKey) {
		checkStatus(t, s.patch(t, admin, "alice", `{"disabled":true}`), 200)
	}, 401, 401},
	{"a scope that is taken away", func(t *testing.T, s *server, admin string, _ grant, _ apiKey) { s.grantTo(t, admin, "alice", "other") }, 403, 403},
	{"a key that is deleted", func(t *testing.T, s *server, _ string, g grant, k apiKey) { s.dropKey(t, g.Access, k.ID) }, 200, 401},
	{"a change of the password", func(t *testing.T, s *server, admin string, _ grant, _ apiKey) {
		checkStatus(t, s.patch(t, admin, "alice", `{"password":"`+password+`"}`), 200)
	}, 401, 200},
	{"deletion", func(t *testing.T, s *server, admin string, _ grant, _ apiKey) {
		checkStatus(t, s.authorized(t, "DELETE", userPath("alice"), "", admin), 204)
	}, 401, 401},
}

// TestVerifyEnds: what ends at one replica passes at no other with the next request.
func TestVerifyEnds(t *testing.T) {
	t.Parallel()
	p := inFile(t)
	here, admin := p.startWithRoot(t)
	there := p.startUnthrottled(t)
	for _, tt := range verifyEnds {
		t.Run(tt.name, func(t *testing.T) {
			here.do(t, "POST", "/users/", newUser("alice", password), jsonType) // she may be there
			here.grantTo(t, admin, "alice", "read")
			checkStatus(t, here.patch(t, admin, "alice", `{"disabled":false}`), 200)
			g := here.signIn(t, "alice")
			k := here.makeKey(t, g.Access, `{"name":"a","scope":"read"}`)
			jwt := there.exchange(t, k).Access
			for range 3 {
				for _, token := range []string{g.Access, k.Key, jwt} {
					checkVerified(t, there.verify(t, "/verify/read", token), "alice")
				}
			}
			tt.end(t, here, admin, g, k)
			for _, s := range []*server{there, here} {
				checkStatus(t, s.verify(t, "/verify/read", g.Access), tt.grant)
				checkStatus(t, s.verify(t, "/verify/read", k.Key), tt.status)
				checkStatus(t, s.verify(t, "/verify/read", jwt), tt.status)
				checkStatus(t, s.do(t, "GET", "/verify/read", "", basic("alice", k.Key)), tt.status)
			}
		})
	}
}

// TestVerifyAlike: answers to many users differ in nothing but the values.
func TestVerifyAlike(t *testing.T) {
	t.Parallel()
	const n = 100
	p := inFile(t)
	p.must(t, "users", "import", manyUsersFile(t, n))
	s := p.start(t)
	ours := key{algorithm: "HS256", secret: aKey}
	shape := ""
	var mu sync.Mutex
	atOnce(t, 4, func(i int) (answer, error) {
		var a answer
		for j := i; j < n; j += 4 {
			name := manyName(j)
			a = s.verify(t, "/verify", ours.mint(t, name))
			checkVerified(t, a, name)
			header := a.Header.Clone()
			for _, key := range append([]string{"Date", "X-Request-Id"}, identityHeaders...) {
				if header[key] != nil || header.Get(key) != "" {
					header.Set(key, "")
				}
			}
			got := fmt.Sprint(a.StatusCode, header, len(a.body))
			mu.Lock()
			if shape == "" {
				shape = got
			} else if got != shape {
				t.Errorf("%s: %s; others %s", name, got, shape)
			}
			mu.Unlock()
		}
		return a, nil
	})
}
