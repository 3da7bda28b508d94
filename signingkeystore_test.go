package main

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
)

// signingKeysOf returns what SigningKeys returns.
func signingKeysOf(t testing.TB, s store) []SigningKey {
	t.Helper()
	keys, err := s.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// testStoreSigningKeys: generations come back as they were added, in their order.
func testStoreSigningKeys(t *testing.T, s store) {
	if keys := signingKeysOf(t, s); len(keys) != 0 {
		t.Errorf("a new store has %+v", keys)
	}
	es256 := func(generation int64, kid string) SigningKey {
		return SigningKey{
			Number: generation, KeyID: kid, Algorithm: "ES256", Salt: []byte{0, 1, 0xff, '\'', '\\'},
			CreatedAt: inSeconds(1), SignsFrom: inSeconds(3600),
		}
	}
	hs256 := SigningKey{Number: 1, Algorithm: "HS256", CreatedAt: inSeconds(0), SignsFrom: inSeconds(0)}
	again, emptied := hs256, hs256
	again.Number, again.Salt = 4, []byte{}
	emptied.Number = 5
	revoking := es256(3, "c")
	revoking.RevokesOlder = true
	for _, step := range []struct {
		name string
		k    SigningKey
		want error
	}{
		{"the third generation first", revoking, nil},
		{"one without a kid", hs256, nil},
		{"the second", es256(2, "b"), nil},
		{"another without a kid", again, nil},
		{"the same generation", es256(2, "d"), errExists},
		{"the same generation without a kid", SigningKey{Number: 3}, errExists},
		{"the same kid", es256(6, "c"), errExists},
		{"the same again", revoking, errExists},
		{"a kid in capitals", es256(7, "C"), nil},
		{"a kid with a NUL", es256(8, "\x00"), errUnstorable},
		{"an algorithm that is not UTF-8", SigningKey{Number: 8, Algorithm: "\xff"}, errUnstorable},
	} {
		if err := s.AddSigningKey(t.Context(), step.k); !errors.Is(err, step.want) {
			t.Errorf("%s: %v; want %v", step.name, err, step.want)
		}
	}
	again.Salt = nil
	want := []SigningKey{hs256, es256(2, "b"), revoking, again, es256(7, "C")}
	if got := signingKeysOf(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("the ring is\n%+v; want\n%+v", got, want)
	}
	for _, generation := range []int64{2, 2, 99} {
		if err := s.DeleteSigningKey(t.Context(), generation); err != nil {
			t.Errorf("DeleteSigningKey(%d): %v", generation, err)
		}
	}
	if got := signingKeysOf(t, s); !reflect.DeepEqual(got, append(want[:1:1], want[2:]...)) {
		t.Errorf("without the second generation the ring is %+v", got)
	}
	if err := s.AddSigningKey(t.Context(), es256(2, "b")); err != nil {
		t.Errorf("a generation that was deleted: %v", err)
	}
}

// testStoreSigningKeyRace: of those who add the same generation, one wins, and the ring has its key.
func testStoreSigningKeyRace(t *testing.T, s store) {
	for generation := range int64(5) {
		var won atomic.Pointer[string]
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				kid := fmt.Sprint(generation, "/", i)
				err := s.AddSigningKey(t.Context(), SigningKey{Number: generation, KeyID: kid, CreatedAt: testTime, SignsFrom: testTime})
				if err == nil && won.Swap(&kid) != nil {
					t.Error("two have won")
				}
				if err != nil && !errors.Is(err, errExists) {
					t.Errorf("a loser: %v", err)
				}
			})
		}
		all.Wait()
		keys := signingKeysOf(t, s)
		if len(keys) != int(generation)+1 || won.Load() == nil || keys[generation].KeyID != *won.Load() {
			t.Errorf("the ring is %+v; want the kid of who has won last", keys)
		}
	}
}

// testStoreSigningKeyCopies: a salt that was given or taken is the caller's to change.
func testStoreSigningKeyCopies(t *testing.T, s store) {
	k := SigningKey{Salt: []byte("salt"), CreatedAt: testTime, SignsFrom: testTime}
	if err := s.AddSigningKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	k.Salt[0] = 'S'
	signingKeysOf(t, s)[0].Salt[1] = 'A'
	if got := signingKeysOf(t, s); string(got[0].Salt) != "salt" {
		t.Errorf("the store has changed with a copy: %q", got[0].Salt)
	}
}
