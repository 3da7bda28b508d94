package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/crypto/bcrypt"
)

// startMeasured starts a server that counts what it does; set changes its accounts first.
func startMeasured(t testing.TB, set ...func(*accounts)) *testServer {
	t.Helper()
	return startServer(t, func(acc *accounts, _ *edgeSettings) {
		for _, f := range set {
			f(acc)
		}
		acc.metrics = newMetrics("v1.2.3", func() int64 { return 7 })
		acc.store = acc.metrics.measure(acc.store)
		acc.metrics.watch(acc.hashes)
	})
}

// scraped is what /metrics says: the value of each series.
type scraped map[string]float64

// scrape asks for the metrics.
func scrape(t testing.TB, m *metrics) scraped {
	t.Helper()
	series := make(scraped)
	for line := range strings.Lines(metricsText(t, m)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		series[line[:i]] = value
	}
	return series
}

// metricsText returns what /metrics answers.
func metricsText(t testing.TB, m *metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	newMetricsHandler(m, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("/metrics: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// since returns the series of these families that have changed since before, without the
// namespace, and by how much.
func (s scraped) since(before scraped, families []string) scraped {
	changed := make(scraped)
	for series, value := range s {
		name, _, _ := strings.Cut(series, "{")
		name = strings.TrimPrefix(name, "latchkey_")
		if value != before[series] && slices.Contains(families, name) {
			changed[strings.TrimPrefix(series, "latchkey_")] = value - before[series]
		}
	}
	return changed
}

// A countedStep is something that happens to a server where alice is registered, and what is
// counted of it.
type countedStep struct {
	name string
	do   func(t *testing.T, s *testServer)
	want scraped // of the families of accountFamilies, all that changes
	set  func(*accounts)
}

var accountFamilies = []string{
	"logins_total", "refreshes_total", "client_credentials_total", "registrations_total", "sessions_ended_total", "password_upgrades_total",
	"password_hash_duration_seconds_count", "events_dropped_total",
}

// Series that many steps change.
const (
	loggedIn   = `logins_total{result="success"}`
	hashedOurs = `password_hash_duration_seconds_count{scheme="ours"}`
)

// oneLogin is what a login adds to what is counted of other things.
func oneLogin(other scraped) scraped {
	want := maps.Clone(other)
	want[loggedIn]++
	want[hashedOurs]++
	return want
}

func withThrottle(acc *accounts) { acc.throttle = newThrottle([]byte(testSecret), nil) }

var countedLogins = []countedStep{
	{"a login", func(_ *testing.T, s *testServer) { s.begin("alice") }, oneLogin(scraped{}), nil},
	{"a wrong password", func(_ *testing.T, s *testServer) { s.login("username=alice&password=wrong") },
		scraped{`logins_total{result="failure"}`: 1, hashedOurs: 1}, nil},
	{"a name that nobody has", func(_ *testing.T, s *testServer) { s.login("username=nobody&password=wrong") },
		scraped{`logins_total{result="failure"}`: 1, `password_hash_duration_seconds_count{scheme="decoy"}`: 1}, nil},
	{"a form without a password", func(_ *testing.T, s *testServer) { s.login("username=alice") }, scraped{}, nil},
	{"a guess too many", func(_ *testing.T, s *testServer) {
		for i := range freeFailures + 1 {
			s.login(fmt.Sprint("username=alice&password=wrong", i))
		}
	}, scraped{`logins_total{result="failure"}`: freeFailures, `logins_total{result="throttled"}`: 1, hashedOurs: freeFailures}, withThrottle},
	{"a full queue", func(_ *testing.T, s *testServer) {
		for range maxWaiting {
			s.acc.hashes.waiting <- struct{}{}
		}
		s.acc.hashes.places.TryAcquire(4)
		s.login(goodLogin)
		s.register("bob", goodPassword)
	}, scraped{`logins_total{result="busy"}`: 1, `registrations_total{result="busy"}`: 1}, nil},
	{"a store that does not answer", func(_ *testing.T, s *testServer) {
		tokens := s.begin("alice")
		s.acc.store = away{s.acc.store}
		s.login(goodLogin)
		s.refresh(tokens.refresh)
		s.register("bob", goodPassword)
	}, scraped{loggedIn: 1, `logins_total{result="error"}`: 1, `refreshes_total{result="error"}`: 1, `registrations_total{result="error"}`: 1, hashedOurs: 2}, nil},
	{"a login with a bcrypt hash", func(t *testing.T, s *testServer) {
		hash, err := bcrypt.GenerateFromPassword([]byte(goodPassword), bcrypt.MinCost)
		text := string(hash)
		if _, err2 := s.acc.store.UpdateUser(t.Context(), 1, userChange{PasswordHash: &text}); err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		s.begin("alice")
		s.begin("alice")
	}, scraped{loggedIn: 2, `password_upgrades_total{scheme="bcrypt"}`: 1, `password_hash_duration_seconds_count{scheme="bcrypt"}`: 1, hashedOurs: 2}, nil},
}

var countedRefreshes = []countedStep{
	{"a refresh", func(_ *testing.T, s *testServer) { s.refresh(s.begin("alice").refresh) },
		oneLogin(scraped{`refreshes_total{result="success"}`: 1}), nil},
	{"a refresh that comes twice", func(_ *testing.T, s *testServer) {
		token := s.begin("alice").refresh
		s.refresh(token)
		s.refresh(token)
	}, oneLogin(scraped{`refreshes_total{result="success"}`: 1, `refreshes_total{result="grace"}`: 1}), nil},
	{"an older token", func(_ *testing.T, s *testServer) {
		token := s.begin("alice").refresh
		s.refresh(s.refresh(token).tokens().refresh)
		s.refresh(token)
		s.refresh(token)
	}, oneLogin(scraped{`refreshes_total{result="success"}`: 2, `refreshes_total{result="reuse"}`: 1, `refreshes_total{result="ended"}`: 1, `sessions_ended_total{reason="reuse"}`: 1}), nil},
	{"a session that has expired", func(t *testing.T, s *testServer) {
		token := s.begin("alice").refresh
		s.clock.Advance(14 * day)
		s.refresh(token)
		s.acc.sweepOnce(t.Context())
	}, oneLogin(scraped{`refreshes_total{result="expired"}`: 1, `sessions_ended_total{reason="expired"}`: 1}), nil},
	{"a token of others", func(_ *testing.T, s *testServer) { s.refresh("nonsense") }, scraped{`refreshes_total{result="invalid"}`: 1}, nil},
}

var countedClients = []countedStep{
	{"a token for a key", func(_ *testing.T, s *testServer) {
		id, key := s.makeKey(s.begin("alice"), "")
		s.exchange(id, key, "")
	}, oneLogin(scraped{`client_credentials_total{result="success"}`: 1}), nil},
	{"a key that nobody has", func(_ *testing.T, s *testServer) {
		id, key := newAPIKey()
		s.exchange(id, key, "")
	}, scraped{`client_credentials_total{result="failure"}`: 1}, nil},
	{"a key as HTTP Basic and in the form", func(_ *testing.T, s *testServer) {
		s.do("POST", "/token", "grant_type=client_credentials&client_id=i&client_secret=s", "Content-Type: "+urlEncoded, "Authorization: "+basic("i:s"))
	}, scraped{`client_credentials_total{result="invalid"}`: 1}, nil},
	{"no key", func(_ *testing.T, s *testServer) { s.exchange("", "", "") }, scraped{`client_credentials_total{result="failure"}`: 1}, nil},
	{"a scope that a key lacks", func(_ *testing.T, s *testServer) {
		id, key := s.makeKey(s.begin("alice"), "")
		s.exchange(id, key, "read")
	}, oneLogin(scraped{`client_credentials_total{result="invalid"}`: 1}), nil},
	{"a key while the store does not answer", func(_ *testing.T, s *testServer) {
		s.acc.store = keylessStore{s.acc.store}
		id, key := newAPIKey()
		s.exchange(id, key, "")
	}, scraped{`client_credentials_total{result="error"}`: 1}, nil},
}

var countedRegistrations = []countedStep{
	{"a registration", func(_ *testing.T, s *testServer) { s.register("bob", goodPassword) },
		scraped{`registrations_total{result="success"}`: 1, hashedOurs: 1}, nil},
	{"a name that is taken", func(_ *testing.T, s *testServer) { s.register("ALICE", goodPassword) },
		scraped{`registrations_total{result="taken"}`: 1, hashedOurs: 1}, nil},
	{"a password that is too short", func(_ *testing.T, s *testServer) { s.register("bob", "short") },
		scraped{`registrations_total{result="invalid"}`: 1}, nil},
	{"a body that is no JSON", func(_ *testing.T, s *testServer) { s.do("POST", "/users/", "bob", "Content-Type: application/json") },
		scraped{`registrations_total{result="invalid"}`: 1}, nil},
	{"a registration that nobody may make", func(_ *testing.T, s *testServer) {
		s.acc.registrationOpen = false
		s.register("bob", goodPassword)
	}, scraped{`registrations_total{result="closed"}`: 1}, nil},
	{"a registration too many", func(_ *testing.T, s *testServer) {
		for i := range freeBurst {
			s.register(fmt.Sprint("bob", i), "short")
		}
		s.register("bob", "short")
	}, scraped{`registrations_total{result="invalid"}`: freeBurst, `registrations_total{result="throttled"}`: 1}, withThrottle},
}

var countedEnds = []countedStep{
	{"a log-out", func(_ *testing.T, s *testServer) {
		token := s.begin("alice").refresh
		s.revoke(token)
		s.revoke(token)
		s.revoke("nonsense")
	}, oneLogin(scraped{`sessions_ended_total{reason="logout"}`: 1}), nil},
	{"a session that its user ends", func(_ *testing.T, s *testServer) {
		me := s.begin("alice")
		s.as(me, "DELETE", "/users/me/sessions/"+s.sessions(me)[0]["id"].(string), "")
	}, oneLogin(scraped{`sessions_ended_total{reason="user"}`: 1}), nil},
	{"a session that is not there", func(_ *testing.T, s *testServer) { s.as(s.begin("alice"), "DELETE", "/users/me/sessions/x", "") },
		oneLogin(scraped{}), nil},
	{"all sessions that their user ends", func(_ *testing.T, s *testServer) { s.as(s.begin("alice"), "DELETE", "/users/me/sessions/", "") },
		oneLogin(scraped{`sessions_ended_total{reason="user"}`: 1}), nil},
	{"a user who deletes their account", func(_ *testing.T, s *testServer) { s.as(s.begin("alice"), "DELETE", "/users/me/", "") },
		oneLogin(scraped{`sessions_ended_total{reason="user"}`: 1}), nil},
	{"a user who changes their password", func(_ *testing.T, s *testServer) {
		s.as(s.begin("alice"), "POST", "/users/me/password", `{"current_password":"`+goodPassword+`","new_password":"another password"}`)
	}, scraped{loggedIn: 1, hashedOurs: 3, `sessions_ended_total{reason="password"}`: 1}, nil},
	{"what an administrator does", func(t *testing.T, s *testServer) {
		ctx, by, acc := t.Context(), client{Actor: "cli:root"}, s.acc
		s.begin("alice")
		u, err := acc.store.UserByKey(ctx, "alice")
		for _, edit := range []userEdit{{Password: new("another password")}, {Disabled: new(true)}, {Disabled: new(false)}} {
			_, editErr := acc.updateUser(ctx, u, edit, by)
			err = errors.Join(err, editErr)
		}
		if err = errors.Join(err, acc.endSessionsOf(ctx, u, by), acc.deleteUser(ctx, u, by)); err != nil {
			t.Error(err)
		}
	}, scraped{loggedIn: 1, hashedOurs: 2, `sessions_ended_total{reason="admin"}`: 4}, nil},
	{"events that are dropped", func(_ *testing.T, s *testServer) {
		s.acc.events.store = eventFault{}
		s.acc.events.add(slices.Repeat([]Event{{Name: loginSucceeded}}, maxWaitingEvents+3)...)
		s.acc.events.flush(s.t.Context())
	}, scraped{"events_dropped_total": 3}, nil},
}

// An eventFault is a store that takes no events.
type eventFault struct{ eventStore }

func (eventFault) AddEvents(context.Context, []Event) error { return errUnavailable }

// TestCounts: each thing that happens is counted once, and nothing else is.
func TestCounts(t *testing.T) {
	for _, step := range slices.Concat(countedLogins, countedRefreshes, countedClients, countedRegistrations, countedEnds) {
		t.Run(step.name, func(t *testing.T) {
			s := startMeasured(t, func(acc *accounts) {
				if step.set != nil {
					step.set(acc)
				}
			})
			if _, err := s.acc.addUser(t.Context(), newUser{Username: "alice", Password: goodPassword}, client{}); err != nil {
				t.Fatal(err)
			}
			before := scrape(t, s.acc.metrics)
			step.do(t, s)
			if got := scrape(t, s.acc.metrics).since(before, accountFamilies); !maps.Equal(got, step.want) {
				t.Errorf("got %v; want %v", got, step.want)
			}
			if after := scrape(t, s.acc.metrics); len(after) != len(before) {
				t.Errorf("%d series; want %d as before", len(after), len(before))
			}
		})
	}
}

// TestMetricsFromTheStart: every series is there before anything has happened, their names and
// texts are as Prometheus recommends, and there are not too many.
func TestMetricsFromTheStart(t *testing.T) {
	s := startMeasured(t)
	series := scrape(t, s.acc.metrics)
	if len(series) > 2000 {
		t.Errorf("%d series; want at most 2,000", len(series))
	}
	want := []string{
		`latchkey_build_info{goversion="` + runtime.Version() + `",version="v1.2.3"}`, "latchkey_http_requests_in_flight",
		`latchkey_refreshes_total{result="reuse"}`, "latchkey_hash_queue_running", "latchkey_hash_queue_waiting",
		"latchkey_hash_queue_wait_seconds_count", "latchkey_events_dropped_total", "latchkey_log_lines_dropped_total",
		`latchkey_http_requests_total{code="404",method="other",route="none"}`, "go_goroutines", "process_start_time_seconds",
	}
	for _, op := range operations(edgeSettings{}, &api{s.acc}) {
		method, _, _ := strings.Cut(op.pattern, " ")
		want = append(want, fmt.Sprintf(`latchkey_http_request_duration_seconds_count{method=%q,route=%q}`, method, op.pattern),
			fmt.Sprintf(`latchkey_http_requests_total{code="500",method=%q,route=%q}`, method, op.pattern))
	}
	for method := range reflect.TypeFor[store]().Methods() {
		want = append(want, fmt.Sprintf(`latchkey_store_duration_seconds_count{operation=%q}`, method.Name),
			fmt.Sprintf(`latchkey_store_errors_total{operation=%q}`, method.Name))
	}
	for _, name := range want {
		if _, ok := series[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
	if n := series["latchkey_log_lines_dropped_total"]; n != 7 {
		t.Errorf("%v log lines dropped; want 7", n)
	}
	problems, err := testutil.GatherAndLint(s.acc.metrics.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// TestNativeHistograms: a Prometheus that asks for native histograms gets them, but of the store.
func TestNativeHistograms(t *testing.T) {
	s := startMeasured(t)
	s.signUp()
	families, err := s.acc.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, one := range family.GetMetric() {
			h, want := one.GetHistogram(), family.GetName() != "latchkey_store_duration_seconds"
			if h != nil && (h.Schema != nil) != want || h.GetSampleCount() > 0 && (len(h.GetPositiveSpan()) > 0) != want {
				t.Errorf("%s%v: native is %v; want %v", family.GetName(), one.GetLabel(), !want, want)
			}
		}
	}
}

// TestMetricsTellNothing: what people send is in no metric.
func TestMetricsTellNothing(t *testing.T) {
	s := startMeasured(t, withThrottle)
	body := `{"username":"verydistinct","password":"distinctpassword","email":"distinct@mail.example","full_name":"Distinct Name"}`
	if got := s.do("POST", "/users/", body, "Content-Type: application/json"); got.status != 200 {
		t.Fatal(got.body)
	}
	login := "username=verydistinct&password=distinctpassword"
	me := s.login(login).tokens()
	s.login("username=notthere77&password=wrong")
	s.refresh(me.refresh)
	s.do("GET", "/distinctpath", "", "User-Agent: distinctagent", "Authorization: Bearer "+me.access)
	s.do("DISTINCT", "/users/me/sessions/distinctid", "")
	text := strings.ToLower(metricsText(t, s.acc.metrics))
	u, err := s.acc.store.UserByKey(t.Context(), "verydistinct")
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{"distinct", "notthere77", "127.0.0.1", u.UID, me.access, me.refresh, u.PasswordHash, s.sessions(me)[0]["id"].(string)}
	for _, secret := range secrets {
		if strings.Contains(text, strings.ToLower(secret)) {
			t.Errorf("the metrics show %q", secret)
		}
	}
}

// TestNoMetrics: without METRICS_ADDR nothing is counted, and nothing panics.
func TestNoMetrics(t *testing.T) {
	var m *metrics
	m.login(resultSuccess)
	m.refresh(resultSuccess)
	m.registration(resultSuccess)
	m.ended(endedByUser, 1)
	m.hashed("", 0)
	m.upgraded("")
	m.eventsDropped(1)
	q := newQueue(1)
	m.watch(q)
	if s := newMemStore(); m.measure(s) != store(s) || newRequestMetrics(m, nil) != nil || q.waited != nil {
		t.Error("something is measured all the same")
	}
}

// TestQueueMetrics: the gauges say how many passwords are hashed and wait, and the histogram
// how long they waited.
func TestQueueMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, q := newMetrics("", func() int64 { return 0 }), newQueue(2)
		check := func(what string, want ...float64) {
			t.Helper()
			got := scrape(t, m)
			for i, name := range []string{"running", "waiting", "wait_seconds_count", "wait_seconds_sum"} {
				if value := got["latchkey_hash_queue_"+name]; value != want[i] {
					t.Errorf("%s: %s is %v; want %v", what, name, value, want[i])
				}
			}
		}
		check("without a queue", 0, 0, 0, 0)
		m.watch(q)
		if errors.Join(q.enter(t.Context()), q.enter(t.Context())) != nil {
			t.Fatal("no place")
		}
		check("two at work", 2, 0, 2, 0)
		go q.enterAll(t.Context())
		go q.pass(t.Context())
		synctest.Wait()
		check("one waits", 2, 1, 2, 0)
		time.Sleep(time.Second)
		q.leave()
		q.leave()
		synctest.Wait()
		check("one that works alone", 1, 0, 3, 1)
		q.leaveAll()
		synctest.Wait()
		check("nobody", 0, 0, 3, 1)
	})
}

// TestHashFamilies: every hash that can be verified belongs to a family that is counted.
func TestHashFamilies(t *testing.T) {
	seen := map[string]bool{familyOf(newHasher(1).hashPassword("x")): true}
	for _, v := range madeElsewhere(t) {
		if _, err := parseHash(v.Hash); err == nil {
			seen[familyOf(v.Hash)] = true
		}
	}
	if got, want := slices.Sorted(maps.Keys(seen)), slices.Sorted(slices.Values(hashFamilies)); !slices.Equal(got, want) {
		t.Errorf("families %v; want %v", got, want)
	}
	for _, stored := range []string{"", "nonsense", "$argon2id$v=19$broken"} {
		if got := familyOf(stored); got != familyDecoy {
			t.Errorf("%q is of the family %s", stored, got)
		}
	}
}
