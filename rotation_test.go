package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestFirstKeys: what a server adds when it starts, and what it signs with then.
func TestFirstKeys(t *testing.T) {
	type start struct {
		after     time.Duration // since the start before
		algorithm string
		secrets   []string
	}
	one := []string{testSecret}
	for _, tt := range []struct {
		name   string
		users  bool
		starts []start
		want   string // the generations then
		signs  string // at once
		later  string // an hour later
	}{
		{"HS256 on a new database", false, []start{{0, "HS256", one}}, "HS256+0s", "HS256", "HS256"},
		{"ES256 on a new database", false, []start{{0, "ES256", one}}, "ES256+0s", "ES256", "ES256"},
		{"EdDSA on a new database", false, []start{{0, "EdDSA", one}}, "EdDSA+0s", "EdDSA", "EdDSA"},
		{"ES256 on a database with users who have not logged in", true, []start{{0, "ES256", one}}, "HS256+0s ES256+0s", "ES256", "ES256"},
		{"HS256 on a database with users", true, []start{{0, "HS256", one}}, "HS256+0s", "HS256", "HS256"},
		{"a restart", true, []start{{0, "ES256", one}, {day, "ES256", one}}, "HS256+0s ES256+0s", "ES256", "ES256"},
		{"a restart before the key signs", true, []start{{0, "HS256", one}, {0, "ES256", one}, {time.Minute, "ES256", one}}, "HS256+0s ES256+1h0m0s", "HS256", "ES256"},
		{"from HS256 to ES256, a minute after the first start", true, []start{{0, "HS256", one}, {time.Minute, "ES256", one}}, "HS256+0s ES256+1h0m0s", "HS256", "ES256"},
		{"from ES256 to EdDSA", true, []start{{0, "ES256", one}, {day, "EdDSA", one}}, "HS256+0s ES256+0s EdDSA+1h0m0s", "ES256", "EdDSA"},
		{"from ES256 to EdDSA, too soon", false, []start{{0, "ES256", one}, {time.Hour - time.Second, "EdDSA", one}}, "ES256+0s", "ES256", "ES256"},
		{"from ES256 to EdDSA, after an hour", false, []start{{0, "ES256", one}, {time.Hour, "EdDSA", one}}, "ES256+0s EdDSA+1h0m0s", "ES256", "EdDSA"},
		{"back from ES256 to HS256", true, []start{{0, "ES256", one}, {day, "HS256", one}}, "HS256+0s ES256+0s HS256+1m0s", "ES256", "HS256"},
		{"from HS256 to ES256, and back before it signs", true, []start{{0, "HS256", one}, {time.Minute, "ES256", one}, {time.Minute, "HS256", one}}, "HS256+0s ES256+1h0m0s HS256+1m0s", "HS256", "HS256"},
		{"another SECRET_KEY, and the old one a fallback", false, []start{{0, "ES256", one}, {day, "ES256", []string{otherSecret, testSecret}}}, "ES256+0s ES256+1h0m0s", "ES256", "ES256"},
		{"another SECRET_KEY, too soon", false, []start{{0, "ES256", one}, {time.Minute, "ES256", []string{otherSecret, testSecret}}}, "ES256+0s", "ES256", "ES256"},
		{"another SECRET_KEY without a fallback", true, []start{{0, "EdDSA", one}, {2 * day, "EdDSA", []string{otherSecret}}}, "HS256+0s EdDSA+0s EdDSA+0s", "EdDSA", "EdDSA"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, clock := newMemStore(), &testClock{now: testTime}
			if tt.users {
				addTestUser(t, s)
			}
			var r *keyRotator
			for _, start := range tt.starts {
				clock.Advance(start.after)
				r = startedRing(t, s, clock, start.algorithm, start.secrets...)
			}
			var got []string
			for _, k := range signingKeysOf(t, s) {
				got = append(got, fmt.Sprint(k.Algorithm, "+", k.SignsFrom.Sub(k.CreatedAt)))
			}
			if text := strings.Join(got, " "); text != tt.want {
				t.Errorf("the generations are %s; want %s", text, tt.want)
			}
			if got := algOf(t, r.sign(t)); got != tt.signs {
				t.Errorf("it signs with %s; want %s", got, tt.signs)
			}
			clock.Advance(time.Hour)
			if got := algOf(t, r.sign(t)); got != tt.later {
				t.Errorf("after an hour it signs with %s; want %s", got, tt.later)
			}
		})
	}
}

// TestRotationRefusals: what cannot be rotated, and why.
func TestRotationRefusals(t *testing.T) {
	clock := &testClock{now: testTime}
	used := newMemStore()
	startedRing(t, used, clock, "HS256", testSecret)
	startedRing(t, used, clock, "ES256", testSecret) // which waits
	settled := newMemStore()
	startedRing(t, settled, clock, "ES256", testSecret)
	mixed := newMemStore()
	startedRing(t, mixed, clock, "HS256", testSecret)
	if err := mixed.AddSigningKey(t.Context(), rowOf(t, testSecret, 2)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name        string
		store       store
		algorithm   string
		secret      string
		compromised bool
		want        error
	}{
		{"HS256", settled, "HS256", testSecret, false, errSharedKey},
		{"a database that no server has used", newMemStore(), "ES256", testSecret, false, errFirstKey},
		{"with another secret", settled, "ES256", otherSecret, false, errForeignRing},
		{"with another secret, while HS256 verifies", mixed, "ES256", otherSecret, false, errForeignRing},
		{"while a key waits", used, "ES256", testSecret, false, errKeyWaits},
		{"while a key waits, if keys are compromised", used, "ES256", testSecret, true, nil},
		{"a settled ring", settled, "ES256", testSecret, false, nil},
		{"and again", settled, "ES256", testSecret, false, errKeyWaits},
		{"to another algorithm", used, "EdDSA", testSecret, false, nil},
	} {
		r, _ := ringOf(t, tt.store, clock, tt.algorithm, tt.secret)
		want := rotation{lead: time.Hour}
		if tt.compromised {
			want = rotation{compromised: true}
		}
		if _, err := r.rotate(t.Context(), want); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v; want %v", tt.name, err, tt.want)
		}
	}
}

// TestManyReplicasStart: replicas that start at once on a new database agree on one key.
func TestManyReplicasStart(t *testing.T) {
	t.Parallel()
	for kind, open := range everyStore {
		t.Run(kind, func(t *testing.T) {
			s, clock := open(t), &testClock{now: testTime}
			addTestUser(t, s)
			rings := make([]*keyRotator, 8)
			failed := make(chan error, len(rings))
			for i := range rings {
				rings[i], _ = ringOf(t, s, clock, "ES256", testSecret)
				go func() { failed <- rings[i].start(t.Context()) }()
			}
			for range rings {
				if err := <-failed; err != nil {
					t.Error(err)
				}
			}
			if rows := signingKeysOf(t, s); len(rows) != 2 {
				t.Errorf("%d generations; want HS256 and ES256: %+v", len(rows), rows)
			}
			for _, at := range []time.Duration{0, time.Hour} {
				clock.Advance(at)
				token := rings[0].sign(t)
				for i, r := range rings {
					if !r.accepts(token) {
						t.Errorf("after %v replica %d refuses a token of the first", at, i)
					}
				}
			}
		})
	}
}

// A keyFetcher verifies tokens as a service does that fetches the keys now and then, and trusts no
// other.
type keyFetcher struct {
	keys    map[string]tokenKey
	fetched time.Time
}

func (f *keyFetcher) accepts(token string) bool {
	parsed, err := jwt.Parse(token, func(t *jwt.Token) (any, error) {
		key, ok := f.keys[fmt.Sprint(t.Header["kid"])]
		if !ok || key.method.Alg() != t.Method.Alg() {
			return nil, errors.New("unknown key")
		}
		return key.public, nil
	}, jwt.WithoutClaimsValidation())
	return err == nil && parsed.Valid
}

// fetch fetches the keys of a server if the last time was 20 minutes ago.
func (f *keyFetcher) fetch(t *testing.T, s *testServer, now time.Time) {
	if !f.fetched.IsZero() && now.Before(f.fetched.Add(20*time.Minute)) {
		return
	}
	f.fetched, f.keys = now, make(map[string]tokenKey)
	got := s.do("GET", "/.well-known/jwks.json", "")
	var set struct{ Keys []vectorKey }
	if err := json.Unmarshal([]byte(got.body), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		f.keys[k.Kid] = newTokenKey(k.Alg, k.Kid, nil, k.public(t))
	}
}

// TestNobodyIsRefused: two replicas, and a service that fetches the keys every 20 minutes. ALGORITHM
// changes from HS256 to ES256, and the key rotates, with requests all the time; neither a replica nor the
// service refuses a good token at any minute, and nobody is logged out. The service cannot verify
// HS256, and so sees only what ES256 has signed.
func TestNobodyIsRefused(t *testing.T) {
	t.Parallel()
	for kind, open := range everyStore {
		t.Run(kind, func(t *testing.T) {
			v := &voyage{shared: open(t), clock: &testClock{now: testTime}, seen: make(map[string]int)}
			for i := range v.replicas {
				v.replicas[i] = startReplica(t, v.shared, v.clock, "HS256")
			}
			v.replicas[0].register("alice", goodPassword)
			for i, s := range v.replicas {
				v.sessions[i] = s.begin("alice")
			}
			step := 5 // minutes
			if kind == "memory" {
				step = 1
			}
			for minute := 0; minute < 270; minute += step {
				v.clock.Advance(time.Duration(step) * time.Minute)
				v.change(t, minute)
				v.replicas[minute/step%2].acc.rotator.reread(t.Context()) // they do not look at the same time
				for i := range v.sessions {
					v.use(t, i, minute)
				}
			}
			if v.seen["HS256"] == 0 || v.seen["ES256"] == 0 || len(signingKeysOf(t, v.shared)) < 3 {
				t.Errorf("signed were %v, and the ring is %+v", v.seen, signingKeysOf(t, v.shared))
			}
		})
	}
}

// A voyage is what TestNobodyIsRefused goes through.
type voyage struct {
	shared   store
	clock    *testClock
	replicas [2]*testServer
	sessions [2]pair
	service  keyFetcher
	seen     map[string]int // tokens, by their algorithm
}

// change does what an operator does in a minute: one replica after the other is started with
// ALGORITHM=ES256, and later the key rotates.
func (v *voyage) change(t *testing.T, minute int) {
	t.Helper()
	for i, at := range []int{10, 25} {
		if minute == at {
			v.replicas[i].Close()
			v.replicas[i] = startReplica(t, v.shared, v.clock, "ES256")
		}
	}
	if minute == 120 {
		if _, err := v.replicas[1].acc.rotator.rotate(t.Context(), rotation{lead: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	if minute > 25 {
		v.service.fetch(t, v.replicas[0], v.clock.Now())
	}
}

// use shows the token of a session to both replicas and to the service, and now and then refreshes it
// first.
func (v *voyage) use(t *testing.T, session, minute int) {
	t.Helper()
	if minute%15 == 0 {
		got := v.replicas[session].refresh(v.sessions[session].refresh)
		if got.status != 200 {
			t.Fatalf("minute %d: a refresh is %d %s", minute, got.status, got.body)
		}
		v.sessions[session] = got.tokens()
	}
	token := v.sessions[session].access
	for i, s := range v.replicas {
		if got := s.me("Authorization: Bearer " + token); got.status != 200 {
			t.Fatalf("minute %d: replica %d answers %d", minute, i, got.status)
		}
	}
	algorithm := algOf(t, token)
	v.seen[algorithm]++
	if algorithm == "ES256" && !v.service.accepts(token) {
		t.Fatalf("minute %d: the service refuses a token", minute)
	}
}

// startReplica returns a server on a store that other servers use, too.
func startReplica(t *testing.T, shared store, clock *testClock, algorithm string) *testServer {
	t.Helper()
	r := startedRing(t, shared, clock, algorithm, testSecret)
	return startServer(t, func(acc *accounts, _ *edgeSettings) {
		acc.store, acc.now, acc.tokens, acc.rotator = shared, clock.Now, r.signer, r
	})
}
