package main

import (
	"encoding/binary"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// repeatWindow is how long the same wrong password, from the same source for the same
	// name, does not count again. Each repetition starts it anew, because devices go on
	// with an old password for days.
	repeatWindow = 15 * time.Minute

	repeatsKept = 8      // wrong passwords of a source at an account
	maxRepeats  = 10_000 // sources at accounts; one takes some 500 bytes
)

// repeats recognizes wrong passwords that come again. Of each it keeps 32 bits of a MAC,
// with a random key of this process, over what the slow hash made of the password: too
// little to find the password with, and nothing that outlives the process. It is not safe
// for concurrent use.
type repeats struct {
	key    []byte
	recent *lru.Cache[string, [repeatsKept]repeat] // of a source at an account
}

type repeat struct {
	tag uint32
	at  time.Time
}

func newRepeats() *repeats {
	return &repeats{randomBytes(32), newCache[string, [repeatsKept]repeat](maxRepeats)}
}

// note remembers what the slow hash made of a wrong password at now, and reports whether who
// tried the same password within repeatWindow.
func (r *repeats) note(who string, made []byte, now time.Time) bool {
	tag := binary.BigEndian.Uint32(mac(r.key, append([]byte(who+" "), made...)))
	recent, _ := r.recent.Get(who)
	place, again := 0, false
	for i, one := range recent {
		if one.tag == tag && now.Before(one.at.Add(repeatWindow)) {
			place, again = i, true
			break
		}
		if one.at.Before(recent[place].at) {
			place = i
		}
	}
	recent[place] = repeat{tag, now}
	r.recent.Add(who, recent)
	return again
}

func newCache[K comparable, V any](size int) *lru.Cache[K, V] {
	cache, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // unreachable: the size is positive
	}
	return cache
}
