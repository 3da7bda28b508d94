package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
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

func algOf(t testing.TB, token string) string {
	t.Helper()
	header, _, _ := strings.Cut(token, ".")
	algorithm, _, ok := parseHeader(header)
	if !ok {
		t.Fatalf("the header of %q cannot be read", token)
	}
	return algorithm
}

// TestDerivedKeys: a secret and a salt give the same key for ever: restarts and replicas must
// agree, and no version of this program may change it.
func TestDerivedKeys(t *testing.T) {
	secret, salt := []byte(testSecret), bytes.Repeat([]byte{7}, saltLength)
	for algorithm, want := range map[string]string{
		"ES256": "SUBHLkyqBGsZHCOBFli4SU6E7dg9si2JUyKwjd9Z-Us",
		"EdDSA": "2ZhYpmmaIy4CqQGTRQrxWsgyvO-b9Z9iRAxUKqgJltY",
	} {
		key, err := deriveKey(secret, salt, algorithm)
		if err != nil || key.id != want {
			t.Errorf("%s: %s, %v; want %s", algorithm, key.id, err, want)
		}
		for name, other := range map[string]func() (tokenKey, error){
			"another secret":    func() (tokenKey, error) { return deriveKey([]byte(otherSecret), salt, algorithm) },
			"another salt":      func() (tokenKey, error) { return deriveKey(secret, make([]byte, saltLength), algorithm) },
			"the two exchanged": func() (tokenKey, error) { return deriveKey(salt, secret, algorithm) },
		} {
			if k, err := other(); err != nil || k.id == key.id {
				t.Errorf("%s: %s gives the key %s, %v", algorithm, name, k.id, err)
			}
		}
	}
	if _, err := deriveKey(secret, salt, "RS256"); err == nil {
		t.Error("a key for RS256 is derived")
	}
}

// TestScalarOfP256: bytes that are no scalar of P-256 are not taken, so that the next counter is
// tried.
func TestScalarOfP256(t *testing.T) {
	order, _ := hex.DecodeString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
	for name, seed := range map[string][]byte{"zero": make([]byte, 32), "the order": order, "all ones": bytes.Repeat([]byte{255}, 32)} {
		if _, err := newPrivate("ES256", seed); err == nil {
			t.Errorf("%s is taken for a scalar", name)
		}
	}
}

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

func addTestUser(t testing.TB, s store) User {
	t.Helper()
	u, err := s.CreateUser(t.Context(), User{Username: "alice", Key: "alice", CreatedAt: testTime})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestKeyTimes: a key is published before it signs, and verifies for a day after the next one
// signs, to the second. The key of another replica whose clock is ahead is good before it signs
// here.
func TestKeyTimes(t *testing.T) {
	clock := &testClock{now: testTime}
	s := newMemStore()
	r := startedRing(t, s, clock, "ES256", testSecret)
	old := r.sign(t)
	first := r.signer.keys()[0]
	if _, err := r.rotate(t.Context(), rotation{lead: time.Hour}); err != nil {
		t.Fatal(err)
	}
	r.reread(t.Context())
	next := r.signer.keys()[0]
	early := signWith(t, next.tokenKey, clock.Now())
	for _, step := range []struct {
		name      string
		at        time.Duration // since the rotation
		signs     string
		published []string
		old       bool
	}{
		{"at once", 0, first.id, []string{first.id, next.id}, true},
		{"a second before it signs", time.Hour - time.Second, first.id, []string{first.id, next.id}, true},
		{"when it signs", time.Hour, next.id, []string{next.id, first.id}, true},
		{"in the last second of the old key", 25*time.Hour - time.Second, next.id, []string{next.id, first.id}, true},
		{"after that", 25 * time.Hour, next.id, []string{next.id}, false},
	} {
		clock.Advance(testTime.Add(step.at).Sub(clock.Now()))
		keys := r.signer.keys()
		if key, _ := keys.signing(clock.Now()); key.id != step.signs {
			t.Errorf("%s: %s signs; want %s", step.name, key.id, step.signs)
		}
		var published []string
		for _, k := range keys.published(clock.Now()) {
			published = append(published, k.id)
		}
		if !slices.Equal(published, step.published) {
			t.Errorf("%s: the keys %q are published; want %q", step.name, published, step.published)
		}
		again := signWith(t, first.tokenKey, clock.Now())
		if got := r.accepts(again); got != step.old {
			t.Errorf("%s: a token of the old key is good: %v; want %v", step.name, got, step.old)
		}
	}
	clock.Advance(testTime.Sub(clock.Now()))
	if !r.accepts(early) || !r.accepts(old) {
		t.Error("a key that is published and does not sign yet does not verify")
	}
}

// signWith returns a token that a key has signed at now.
func signWith(t testing.TB, key tokenKey, now time.Time) string {
	t.Helper()
	s := newSigner(30*time.Minute, "", nil)
	s.use(fixedKeys(key))
	token, err := s.createAccessToken(grant{User: User{Username: "alice"}, SessionID: "s"}, now, now.Add(30*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return token
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

// TestKeyConfusion: no key verifies by another algorithm than its own, whichever keys there are.
func TestKeyConfusion(t *testing.T) {
	clock := &testClock{now: testTime}
	s := newMemStore()
	addTestUser(t, s)
	derived := startedRing(t, s, clock, "ES256", testSecret) // HS256 signs, and ES256 waits
	for _, algorithm := range []string{"ES256", "EdDSA"} {
		key, err := deriveKey([]byte(testSecret), bytes.Repeat([]byte{1}, saltLength), algorithm)
		if err != nil {
			t.Fatal(err)
		}
		sets := map[string]keySet{
			"with that key alone":          fixedKeys(key),
			"with that key and the secret": append(fixedKeys(key), secretKeys([]byte(testSecret), nil)...),
			"of a ring":                    derived.signer.keys(),
		}
		for name, keys := range sets {
			target := key
			if name == "of a ring" {
				target = keys[0].tokenKey
			}
			server := testSigner(t, keys)
			text := string(pemPublic(t, target.public))
			for secretName, secret := range map[string]string{
				"the PEM text": text, "its x": target.jwk.X, "its x and y": target.jwk.X + target.jwk.Y, "its kid": target.id, "nothing": "",
			} {
				for _, header := range []string{hs256, fmt.Sprintf(`{"alg":"HS256","kid":%q}`, target.id), fmt.Sprintf(`{"alg":"ES256","kid":%q}`, target.id), fmt.Sprintf(`{"alg":"none","kid":%q}`, target.id)} {
					if _, err := server.verify(mint(header, payload(""), secret), testTime); err == nil {
						t.Errorf("a server %s takes header %s, keyed by %s", name, header, secretName)
					}
				}
			}
			for _, header := range []string{
				`{"alg":"ES256","kid":"` + target.id + `"}`, `{"alg":"EdDSA","kid":"` + target.id + `"}`, `{"alg":"RS256","kid":"` + target.id + `"}`,
			} {
				if _, err := server.verify(mint(header, payload(""), testSecret), testTime); err == nil {
					t.Errorf("a server %s takes a MAC by the secret for header %s", name, header)
				}
			}
			for _, header := range []string{"HS256", "HS384", "ES384", "ES512", "ES256K", "RS256", "PS256", "ML-DSA-44", "none", "es256", "ES256 ", ""} {
				if header == target.method.Alg() {
					continue
				}
				if token := signAs(t, target, fmt.Sprintf(`{"alg":%q,"kid":%q}`, header, target.id)); token != "" {
					if _, err := server.verify(token, testTime); err == nil {
						t.Errorf("a server %s takes the signature of its key under alg %s", name, header)
					}
				}
			}
			if _, err := server.verify(signAs(t, target, fmt.Sprintf(`{"alg":%q,"kid":"other"}`, target.method.Alg())), testTime); err != nil {
				t.Errorf("a server %s minds another kid", name)
			}
		}
	}
}

// signAs returns a token with any header that a key has signed.
func signAs(t testing.TB, key tokenKey, header string) string {
	t.Helper()
	text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload("")))
	signature, err := key.method.Sign(text, key.private)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64.EncodeToString(signature)
}

// TestSharedSecretRetires: a service that still has SECRET_KEY can make tokens until HS256 has
// retired, and not after.
func TestSharedSecretRetires(t *testing.T) {
	clock := &testClock{now: testTime}
	s := newMemStore()
	addTestUser(t, s)
	startedRing(t, s, clock, "HS256", testSecret)
	r := startedRing(t, s, clock, "ES256", testSecret)
	service := newSecretKey([]byte(testSecret))
	for _, tt := range []struct {
		at   time.Duration
		good bool
	}{{0, true}, {time.Hour, true}, {25*time.Hour - time.Second, true}, {25 * time.Hour, false}, {2 * day, false}} {
		clock.Advance(testTime.Add(tt.at).Sub(clock.Now()))
		if got := r.accepts(signWith(t, service, clock.Now())); got != tt.good {
			t.Errorf("after %v a token of HS256 is good: %v; want %v", tt.at, got, tt.good)
		}
	}
}

// TestBadRows: what no server of ours has written into the table is not used, and the server
// serves.
func TestBadRows(t *testing.T) {
	good := rowOf(t, testSecret, 2)
	change := func(f func(*SigningKey)) SigningKey {
		k := good
		k.Number = 3
		f(&k)
		return k
	}
	foreign := rowOf(t, otherSecret, 3)
	revoking := foreign
	revoking.RevokesOlder = true
	for _, tt := range []struct {
		name string
		row  SigningKey
	}{
		{"a key of another secret", foreign},
		{"a key of another secret that revokes", revoking},
		{"a key that signs from 2106", change(func(k *SigningKey) { k.SignsFrom = time.Unix(1<<32, 0) })},
		{"a key that was made after it signs", change(func(k *SigningKey) { k.CreatedAt = k.SignsFrom.Add(time.Second) })},
		{"a key with negative dates", change(func(k *SigningKey) { k.CreatedAt, k.SignsFrom = time.Unix(-5, 0), time.Unix(-4, 0) })},
		{"a key of the last microsecond", change(func(k *SigningKey) {
			k.CreatedAt, k.SignsFrom = time.UnixMicro(1<<63-1), time.UnixMicro(1<<63-1)
		})},
		{"an algorithm that nobody knows", change(func(k *SigningKey) { k.Algorithm = "XS256" })},
		{"the algorithm none", change(func(k *SigningKey) { k.Algorithm, k.KeyID, k.Salt = "none", "", nil })},
		{"RS256", change(func(k *SigningKey) { k.Algorithm = "RS256" })},
		{"HS256 with a kid", change(func(k *SigningKey) { k.Algorithm = "HS256" })},
		{"no salt", change(func(k *SigningKey) { k.Salt = nil })},
		{"a salt of a million bytes", change(func(k *SigningKey) { k.Salt = make([]byte, 1_000_000) })},
		{"another salt", change(func(k *SigningKey) { k.Salt = bytes.Repeat([]byte{4}, saltLength) })},
		{"another kid", change(func(k *SigningKey) { k.KeyID = "x" })},
		{"the same kid again", change(func(*SigningKey) {})},
		{"a generation before the first", change(func(k *SigningKey) { k.Number = -1 })},
		{"the last generation that fits", change(func(k *SigningKey) { k.Number = 1<<63 - 1 })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rows := []SigningKey{good, tt.row}
			slices.SortFunc(rows, func(a, b SigningKey) int { return int(max(-1, min(1, a.Number-b.Number))) })
			now := newRing(rows, [][]byte{[]byte(testSecret)}, day)
			if tt.row.Number < good.Number && tt.row.KeyID == good.KeyID {
				now = newRing([]SigningKey{tt.row, good}, [][]byte{[]byte(testSecret)}, day)
			}
			if len(now.generations) != 1 || now.generations[0].Number != good.Number || len(now.foreign) != 1 {
				t.Errorf("it uses %+v, and not %+v", now.generations, now.foreign)
			}
			if next := now.nextNumber(); next < 3 || next > 4 {
				t.Errorf("the next generation is %d", next)
			}
			if len(now.warnings(testTime)) != 1 {
				t.Errorf("the warnings are %q; want one", now.warnings(testTime))
			}
		})
	}
}

// rowOf returns a row of a key of ES256.
func rowOf(t testing.TB, secret string, number int64) SigningKey {
	t.Helper()
	salt := bytes.Repeat([]byte{3}, saltLength)
	key, err := deriveKey([]byte(secret), salt, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	return SigningKey{Number: number, KeyID: key.id, Algorithm: "ES256", Salt: salt, CreatedAt: testTime, SignsFrom: testTime}
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

// TestStolenDatabase: what the store has of a key signs nothing.
func TestStolenDatabase(t *testing.T) {
	clock := &testClock{now: testTime}
	s := newMemStore()
	r := startedRing(t, s, clock, "ES256", testSecret)
	row := signingKeysOf(t, s)[0]
	for name, secret := range map[string]string{"the salt": string(row.Salt), "the kid": row.KeyID, "the salt in hex": hex.EncodeToString(row.Salt)} {
		if r.accepts(mint(hs256, payload(""), secret)) {
			t.Errorf("a token of HS256, keyed by %s, is good", name)
		}
		for _, salt := range [][]byte{row.Salt, []byte(row.KeyID), nil} {
			if key, err := deriveKey([]byte(secret), salt, "ES256"); err == nil && r.accepts(signWith(t, key, clock.Now())) {
				t.Errorf("a key that is made of %s signs", name)
			}
		}
	}
	private, err := newPrivate("ES256", row.Salt)
	if err == nil && r.accepts(signWith(t, newKeyPair("ES256", private), clock.Now())) {
		t.Error("the salt is the key")
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
		ids = append(ids, acc.publicKeys()[0].id)
	}
	if ids[0] != ids[1] {
		t.Errorf("two starts have the keys %q", ids)
	}
}

// TestManyReplicasStart: replicas that start at once on a new database agree on one key.
func TestManyReplicasStart(t *testing.T) {
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
	for kind, open := range everyStore {
		t.Run(kind, func(t *testing.T) {
			shared, clock := open(t), &testClock{now: testTime}
			a, b := startReplica(t, shared, clock, "HS256"), startReplica(t, shared, clock, "HS256")
			a.register("alice", goodPassword)
			sessions := []pair{a.begin("alice"), b.begin("alice")}
			service := new(keyFetcher)
			seen := make(map[string]int)
			for minute := range 270 {
				clock.Advance(time.Minute)
				switch minute {
				case 10:
					a.Close()
					a = startReplica(t, shared, clock, "ES256")
				case 25:
					b.Close()
					b = startReplica(t, shared, clock, "ES256")
				case 120:
					if _, err := b.acc.rotator.rotate(t.Context(), rotation{lead: time.Hour}); err != nil {
						t.Fatal(err)
					}
				}
				for _, s := range []*testServer{a, b} {
					if (minute+len(s.URL))%2 == 0 { // they do not look at the same time
						s.acc.rotator.reread(t.Context())
					}
				}
				if minute > 25 {
					service.fetch(t, a, clock.Now())
				}
				for i, replicas := range [][2]*testServer{{a, b}, {b, a}} {
					if minute%15 == 0 {
						got := replicas[0].refresh(sessions[i].refresh)
						if got.status != 200 {
							t.Fatalf("minute %d: a refresh is %d %s", minute, got.status, got.body)
						}
						sessions[i] = got.tokens()
					}
					for _, s := range replicas {
						if got := s.me("Authorization: Bearer " + sessions[i].access); got.status != 200 {
							t.Fatalf("minute %d: a replica answers %d", minute, got.status)
						}
					}
					algorithm := algOf(t, sessions[i].access)
					seen[algorithm]++
					if algorithm == "ES256" && !service.accepts(sessions[i].access) {
						t.Fatalf("minute %d: the service refuses a token", minute)
					}
				}
			}
			if seen["HS256"] == 0 || seen["ES256"] == 0 || len(signingKeysOf(t, shared)) < 3 {
				t.Errorf("signed were %v, and the ring is %+v", seen, signingKeysOf(t, shared))
			}
		})
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
