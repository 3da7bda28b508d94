package main

import (
	"bytes"
	"cmp"
	"slices"
	"testing"
	"time"
)

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
			slices.SortFunc(rows, func(a, b SigningKey) int { return cmp.Compare(a.Number, b.Number) }) // as in the table
			now := newRing(rows, [][]byte{[]byte(testSecret)}, day)
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
