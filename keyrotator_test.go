package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

const otherSecret = "another secret of 32 bytes or so!"

// ringOf returns a ring on a store, as a server with these settings has it, and its log.
func ringOf(t testing.TB, s store, clock *testClock, algorithm string, secrets ...string) (*keyRotator, *safeBuffer) {
	t.Helper()
	cfg := config{DatabaseURL: "sqlite:x", Algorithm: algorithm, AccessTokenLife: 30 * time.Minute}
	for _, secret := range secrets[1:] {
		cfg.SecretFallbacks = append(cfg.SecretFallbacks, []byte(secret))
	}
	cfg.Secret = []byte(secrets[0])
	log := new(safeBuffer)
	logger := slog.New(slog.NewTextHandler(log, nil))
	acc := quietAccounts(t, s)
	acc.log, acc.now, acc.events = logger, clock.Now, newRecorder(nil, nil, logger, clock.Now)
	acc.tokens = newSigner(30*time.Minute, "", nil)
	return acc.newKeyRotator(cfg), log
}

// startedRing is ringOf, started.
func startedRing(t testing.TB, s store, clock *testClock, algorithm string, secrets ...string) *keyRotator {
	t.Helper()
	r, _ := ringOf(t, s, clock, algorithm, secrets...)
	if err := r.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// sign returns a new token of a server with this ring.
func (r *keyRotator) sign(t testing.TB) string {
	t.Helper()
	now := r.now()
	token, err := r.signer.createAccessToken(grant{User: User{Username: "alice"}, SessionID: "s"}, now, now.Add(30*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// accepts reports whether a server with this ring takes a token.
func (r *keyRotator) accepts(token string) bool {
	_, err := r.signer.verify(token, r.now())
	return err == nil
}

func addTestUser(t testing.TB, s store) User {
	t.Helper()
	u, err := s.CreateUser(t.Context(), User{Username: "alice", Key: "alice", CreatedAt: testTime})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestKnownTokensEndWithTheirKey: a token that was verified, and is remembered, is refused when
// its key is: after a rotation that revokes, and when the key expires.
func TestKnownTokensEndWithTheirKey(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, r *keyRotator, clock *testClock)
	}{
		{"a rotation that revokes", func(t *testing.T, r *keyRotator, _ *testClock) {
			if _, err := r.rotate(t.Context(), rotation{compromised: true}); err != nil {
				t.Fatal(err)
			}
			r.reread(t.Context())
		}},
		{"the end of the key", func(t *testing.T, r *keyRotator, clock *testClock) {
			if _, err := r.rotate(t.Context(), rotation{}); err != nil {
				t.Fatal(err)
			}
			r.reread(t.Context())
			clock.Advance(day)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clock := &testClock{now: testTime}
			r := startedRing(t, newMemStore(), clock, "ES256", testSecret)
			r.signer.maxAhead = 3 * day
			token, err := r.signer.createAccessToken(grant{User: User{Username: "alice"}}, testTime, testTime.Add(2*day))
			if err != nil || !r.accepts(token) || !r.accepts(token) {
				t.Fatalf("%v, or the token is not good", err)
			}
			tt.end(t, r, clock)
			if r.accepts(token) {
				t.Error("the token is still good")
			}
		})
	}
}

// TestAnotherSecret: a replica with another SECRET_KEY uses and publishes none of our keys, nor we
// its own, and adds at most one when it starts.
func TestAnotherSecret(t *testing.T) {
	clock := &testClock{now: testTime}
	s := newMemStore()
	addTestUser(t, s)
	ours := startedRing(t, s, clock, "ES256", testSecret)
	clock.Advance(2 * time.Hour)
	before := len(signingKeysOf(t, s))
	foreign, log := ringOf(t, s, clock, "ES256", otherSecret)
	if err := foreign.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if added := len(signingKeysOf(t, s)) - before; added > 1 {
		t.Errorf("a start with another secret adds %d keys", added)
	}
	if !strings.Contains(log.String(), "is not used") {
		t.Errorf("the log of the other says nothing of our key: %s", log)
	}
	ours.reread(t.Context())
	theirs := foreign.sign(t)
	if ours.accepts(theirs) || foreign.accepts(ours.sign(t)) {
		t.Error("one takes the tokens of the other")
	}
	for _, k := range ours.signer.keys().published(clock.Now()) {
		for _, other := range foreign.signer.keys().published(clock.Now()) {
			if k.id == other.id {
				t.Errorf("both publish %s", k.id)
			}
		}
	}
}

// TestVoidRowsAreDeleted: the row of a key is deleted some time after the key has expired, and at
// once if it was revoked, and no other row is.
func TestVoidRowsAreDeleted(t *testing.T) {
	clock := &testClock{now: testTime}
	s := newMemStore()
	r := startedRing(t, s, clock, "ES256", testSecret)
	if _, err := r.rotate(t.Context(), rotation{lead: time.Hour}); err != nil {
		t.Fatal(err)
	}
	left := func() int { r.reread(t.Context()); return len(signingKeysOf(t, s)) }
	for _, tt := range []struct {
		at   time.Duration
		want int
	}{{0, 2}, {25 * time.Hour, 2}, {26*time.Hour - time.Second, 2}, {26 * time.Hour, 1}, {1000 * day, 1}} {
		clock.Advance(testTime.Add(tt.at).Sub(clock.Now()))
		if got := left(); got != tt.want {
			t.Errorf("after %v there are %d rows; want %d", tt.at, got, tt.want)
		}
	}
	if _, err := r.rotate(t.Context(), rotation{compromised: true}); err != nil {
		t.Fatal(err)
	}
	if got := left(); got != 1 {
		t.Errorf("after a revoking rotation there are %d rows", got)
	}
}

// TestRingOutage: while the store does not answer, or has no key of ours, the keys stay as they
// are, and the log says so once.
func TestRingOutage(t *testing.T) {
	clock := &testClock{now: testTime}
	flaky := &failingKeys{store: newMemStore()}
	r, log := ringOf(t, flaky, clock, "ES256", testSecret)
	if err := r.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	token := r.sign(t)
	flaky.err = errUnavailable
	for range 3 {
		r.reread(t.Context())
	}
	if !r.accepts(token) || len(r.signer.keys().published(clock.Now())) != 1 {
		t.Error("keys are forgotten while the store does not answer")
	}
	if n := strings.Count(log.String(), "cannot read the signing keys"); n != 1 {
		t.Errorf("the log says %d times that the keys cannot be read", n)
	}
	flaky.err = nil
	for _, k := range signingKeysOf(t, flaky.store) {
		flaky.DeleteSigningKey(t.Context(), k.Number)
	}
	r.reread(t.Context())
	if !r.accepts(token) || !r.accepts(r.sign(t)) {
		t.Error("keys are forgotten when the table is empty")
	}
	if !strings.Contains(log.String(), "can be read again") {
		t.Errorf("the log does not say that the keys can be read again: %s", log)
	}
}

// failingKeys is a store whose keys cannot be read while err is set. It counts reads.
type failingKeys struct {
	store
	err   error
	reads int
}

func (s *failingKeys) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	s.reads++
	if s.err != nil {
		return nil, s.err
	}
	return s.store.SigningKeys(ctx)
}

// TestUnknownKeys: a token whose key is new to this replica makes it look, once, and is good
// then. Tokens of keys that nobody has cost at most one read in ten seconds.
func TestUnknownKeys(t *testing.T) {
	clock := &testClock{now: testTime}
	counting := &failingKeys{store: newMemStore()}
	u := addTestUser(t, counting.store)
	here := startedRing(t, counting, clock, "ES256", testSecret)
	acc := quietAccounts(t, counting)
	acc.now, acc.tokens, acc.rotator = clock.Now, here.signer, here
	there := startedRing(t, counting.store, clock, "ES256", testSecret)
	if _, err := there.rotate(t.Context(), rotation{compromised: true}); err != nil {
		t.Fatal(err)
	}
	there.reread(t.Context())
	token, err := there.signer.createAccessToken(grant{User: u}, clock.Now(), clock.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	counting.reads = 0
	if _, err := acc.currentUser(t.Context(), token); err != nil || counting.reads != 1 {
		t.Errorf("a token of a new key: %v after %d reads; want it good after one", err, counting.reads)
	}
	for i := range 1000 {
		forged := mint(fmt.Sprintf(`{"alg":"ES256","kid":"k%d"}`, i), payload(""), "x")
		if _, err := acc.currentUser(t.Context(), forged); !errors.Is(err, errBadToken) {
			t.Fatalf("a forged token: %v", err)
		}
	}
	if counting.reads != 1 {
		t.Errorf("a thousand unknown keys cost %d reads", counting.reads-1)
	}
	clock.Advance(askPeriod)
	acc.currentUser(t.Context(), mint(`{"alg":"ES256","kid":"k"}`, payload(""), "x"))
	acc.currentUser(t.Context(), mint(`{"alg":"HS256"}`, payload(""), "x"))
	if counting.reads != 2 {
		t.Errorf("ten seconds later there were %d reads; want one more", counting.reads-1)
	}
}

// TestMemoryKeepsItsKey: with users in memory a restart has the same key, as services in
// development expect.
func TestMemoryKeepsItsKey(t *testing.T) {
	var ids []string
	for range 2 {
		acc := quietAccounts(t, newMemStore())
		cfg := config{Algorithm: "ES256", Secret: []byte(testSecret), AccessTokenLife: time.Hour}
		if err := acc.enableTokens(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, acc.tokens.keys().published(acc.now())[0].id)
	}
	if ids[0] != ids[1] {
		t.Errorf("two starts have the keys %q", ids)
	}
}
