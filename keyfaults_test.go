package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPublishedOnce: each kid is published once, or libraries refuse the whole set: also where the key
// that signs is among the older ones, as it is while two keys change places.
func TestPublishedOnce(t *testing.T) {
	signing, err := newPrivateKey("ES256", pemPrivate(t, testPrivateKeys(t)["ES256"]))
	if err != nil {
		t.Fatal(err)
	}
	other, err := newPrivateKey("EdDSA", pemPrivate(t, testPrivateKeys(t)["EdDSA"]))
	if err != nil {
		t.Fatal(err)
	}
	set := fixedKeys(signing, other, signing, other)
	var ids []string
	for _, k := range set.published(testTime) {
		ids = append(ids, k.id)
	}
	if want := []string{signing.id, other.id}; !slices.Equal(ids, want) {
		t.Errorf("the keys %q are published; want %q", ids, want)
	}
	if key, _ := set.signing(testTime); key.id != signing.id {
		t.Errorf("%s signs", key.id)
	}
}

// TestFromPrivateKey: a server that stops using PRIVATE_KEY, and keeps it as a fallback, takes the
// tokens of before and signs with a key of its own at once, because nothing of HS256 is known.
func TestFromPrivateKey(t *testing.T) {
	clock := &testClock{now: testTime}
	s := newMemStore()
	addTestUser(t, s)
	old, err := newPrivateKey("RS256", pemPrivate(t, testPrivateKeys(t)["RS256"]))
	if err != nil {
		t.Fatal(err)
	}
	r, _ := ringOf(t, s, clock, "ES256", testSecret)
	r.fallbacks = []tokenKey{old}
	if err := r.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := algOf(t, r.sign(t)); got != "ES256" {
		t.Errorf("it signs with %s", got)
	}
	if !r.accepts(signWith(t, old, clock.Now())) {
		t.Error("a token of PRIVATE_KEY is refused")
	}
	if n := len(r.signer.keys().published(clock.Now())); n != 2 {
		t.Errorf("%d keys are published", n)
	}
}

// TestUnreadableRing: a token whose key may be one that another replica has just made is neither bad
// nor unknown while the store does not answer.
func TestUnreadableRing(t *testing.T) {
	flaky := &failingKeys{store: newMemStore()}
	s := startServer(t, func(acc *accounts, _ *edgeSettings) {
		acc.store = flaky
		r := startedRing(t, flaky, &testClock{now: testTime}, "ES256", testSecret)
		acc.tokens, acc.rotator = r.signer, r
	})
	s.register("alice", goodPassword)
	s.grant("alice", "admin")
	caller := s.begin("alice").access
	flaky.err = errUnavailable
	token := mint(`{"alg":"ES256","kid":"new"}`, payload(""), "x")
	for range 2 { // also when the ring was read a moment ago
		if got := s.me("Authorization: Bearer " + token); got.status != 503 {
			t.Errorf("GET /users/me/: %d %s", got.status, got.body)
		}
		if got := s.do("POST", "/introspect", "token="+token, "Content-Type: "+urlEncoded, "Authorization: Bearer "+caller); got.status != 503 {
			t.Errorf("POST /introspect: %d %s", got.status, got.body)
		}
		if got := s.revoke(token); got.status != 503 {
			t.Errorf("POST /revoke: %d %s", got.status, got.body)
		}
	}
	flaky.err = nil
	s.acc.rotator.reread(t.Context())
	if got := s.me("Authorization: Bearer " + token); got.body != badToken {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
}

// TestWrongSecretRotates: a command with another SECRET_KEY than the server's changes nothing, though
// every secret gives keys of HS256.
func TestWrongSecretRotates(t *testing.T) {
	clock := &testClock{now: testTime}
	s := newMemStore()
	addTestUser(t, s)
	startedRing(t, s, clock, "HS256", testSecret)
	ours := startedRing(t, s, clock, "ES256", testSecret) // which waits
	before := fmt.Sprint(signingKeysOf(t, s))
	wrong, _ := ringOf(t, s, clock, "ES256", otherSecret)
	for _, want := range []rotation{{lead: time.Hour}, {compromised: true}} {
		if _, err := wrong.rotate(t.Context(), want); !errors.Is(err, errForeignRing) {
			t.Errorf("%+v: %v", want, err)
		}
	}
	wrong.reread(t.Context())
	if got := fmt.Sprint(signingKeysOf(t, s)); got != before {
		t.Errorf("the rows are %s; want %s", got, before)
	}
	clock.Advance(time.Hour)
	if got := algOf(t, ours.sign(t)); got != "ES256" {
		t.Errorf("the server signs with %s", got)
	}
}

// TestOddRowsStopNothing: whatever the highest number in the table, a server starts and keys rotate.
func TestOddRowsStopNothing(t *testing.T) {
	for _, number := range []int64{-1 << 63, 0, maxKeyNumber - 1, maxKeyNumber, maxKeyNumber + 1, 1<<63 - 1} {
		odd := rowOf(t, otherSecret, number)
		s, clock := newMemStore(), &testClock{now: testTime}
		if err := s.AddSigningKey(t.Context(), odd); err != nil {
			t.Fatal(err)
		}
		r, log := ringOf(t, s, clock, "ES256", testSecret)
		if err := r.start(t.Context()); err != nil {
			t.Errorf("%d: %v", number, err)
			continue
		}
		if !r.accepts(r.sign(t)) || !strings.Contains(log.String(), "is not used") {
			t.Errorf("%d: the token is refused, or the log says nothing: %s", number, log)
		}
		current, err := r.rotate(t.Context(), rotation{compromised: true})
		if err != nil || !current.newest().RevokesOlder {
			t.Errorf("%d: %+v, %v", number, current, err)
		}
	}
}

// TestMigrationKnowsSessions: tokens of older sessions are signed with HS256. So the migration puts
// HS256 into the ring if there are sessions, and only then.
func TestMigrationKnowsSessions(t *testing.T) {
	t.Parallel()
	for name, empty := range everyDatabase {
		for _, loggedIn := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, somebody has logged in: %v", name, loggedIn), func(t *testing.T) {
				url := empty(t)
				db := openEmpty(t, url)
				migrateTo(t, db, 6)
				u := oldSessions{sqlStore{db}}.addUser(t, "alice")
				if loggedIn {
					session := Session{ID: "s", UserID: u.ID, CreatedAt: testTime, LastUsedAt: testTime, ExpiresAt: testTime.Add(day)}
					if err := (oldSessions{sqlStore{db}}).begin(t.Context(), session); err != nil {
						t.Fatal(err)
					}
				}
				clock := &testClock{now: time.Now()}
				r := startedRing(t, mustOpen(t, url), clock, "ES256", testSecret)
				want := map[bool]string{false: "ES256", true: "HS256"}[loggedIn]
				if got := algOf(t, r.sign(t)); got != want {
					t.Errorf("it signs with %s; want %s", got, want)
				}
				if !r.accepts(signWith(t, newSecretKey([]byte(testSecret)), clock.Now())) {
					t.Error("a token of HS256 is refused")
				}
				clock.Advance(time.Hour)
				if got := algOf(t, r.sign(t)); got != "ES256" {
					t.Errorf("an hour later it signs with %s", got)
				}
			})
		}
	}
}

// TestPublishedInTime: the JWK Set that is kept is never that of another moment, also if the clock goes
// back.
func TestPublishedInTime(t *testing.T) {
	clock := &testClock{now: testTime}
	r := startedRing(t, newMemStore(), clock, "ES256", testSecret)
	if _, err := r.rotate(t.Context(), rotation{lead: time.Hour}); err != nil {
		t.Fatal(err)
	}
	r.reread(t.Context())
	for _, at := range []time.Duration{0, time.Hour - 1, time.Hour, 25*time.Hour - 1, 25 * time.Hour, 30 * time.Hour, time.Hour, 0} {
		now := testTime.Add(at)
		want, err := encodeJWKS(r.signer.keys().published(now))
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.signer.published(now)
		if err != nil || string(got.jwks) != string(want) {
			t.Errorf("after %v: %s, %v; want %s", at, got.jwks, err, want)
		}
	}
}

// TestListWithFallbacks: keys list has the keys that the server publishes, those of
// PRIVATE_KEY_FALLBACKS_DIR among them.
func TestListWithFallbacks(t *testing.T) {
	dir := t.TempDir()
	private := testPrivateKeys(t)["RS256"]
	if err := os.WriteFile(filepath.Join(dir, "old.pem"), pemPrivate(t, private), 0o600); err != nil {
		t.Fatal(err)
	}
	old, err := newPrivateKey("RS256", pemPrivate(t, private))
	if err != nil {
		t.Fatal(err)
	}
	url := "sqlite:" + filepath.Join(dir, "users.db")
	r := startedRing(t, mustOpen(t, url), &testClock{now: time.Now()}, "ES256", goodKey)
	ours := r.signer.keys()[0].id
	environ := []string{"DATABASE_URL=" + url, "SECRET_KEY=" + goodKey, "ALGORITHM=ES256", "PRIVATE_KEY_FALLBACKS_DIR=" + dir}
	for _, args := range [][]string{{"keys", "list"}, {"keys", "list", "-jwks"}} {
		got := runProgram(t, t.Context(), environ, args...)
		if got.code != 0 || !strings.Contains(got.stdout, ours) || !strings.Contains(got.stdout, old.id) {
			t.Errorf("%q: exit code %d, %q, %q; want the keys %s and %s", args, got.code, got.stdout, got.stderr, ours, old.id)
		}
	}
}
