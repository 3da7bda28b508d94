package main

import (
	"math/bits"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// A streak counts wrong passwords in a row, and says when the last one was.
type streak struct {
	Failures int
	LastAt   time.Time
}

// after returns s with another failure at now. If the previous one was not after stale, a new
// streak begins.
func (s streak) after(now, stale time.Time) streak {
	if !s.LastAt.After(stale) {
		return streak{1, storedTime(now)}
	}
	if now.Before(s.LastAt) { // this clock is behind the one that wrote LastAt
		now = s.LastAt
	}
	return streak{s.Failures + 1, storedTime(now)}
}

// failureMemory is how long a streak is remembered after its last failure.
const failureMemory = 24 * time.Hour

// maxRemembered is how many accounts or sources with failures the process remembers. One
// takes some 200 bytes.
const maxRemembered = 50_000

// streakClasses is the number of classes of a streakCache: 1 failure, 2 to 3, 4 to 7 … 128
// and more. Strangers at an account stop at maxStrangerFailures.
const streakClasses = 8

// classReserve is how many streaks every class may keep, however many others there are:
// without it, many long streaks would leave no room in which a new one could grow.
const classReserve = maxRemembered / 16

// A streakCache remembers at most maxRemembered streaks. To make room it forgets the
// shortest, and of those the one that has not grown for longest: names that have failed
// once cannot push out one that is being attacked. It is not safe for concurrent use.
type streakCache struct {
	classes [streakClasses]*simplelru.LRU[string, streak]
}

func newStreakCache() *streakCache {
	c := new(streakCache)
	for i := range c.classes {
		class, err := simplelru.NewLRU[string, streak](maxRemembered+1, nil)
		if err != nil {
			panic(err) // unreachable: the size is positive
		}
		c.classes[i] = class
	}
	return c
}

// get returns the streak of key, or the zero one. Unlike a failure, it does not make the streak
// more recent.
func (c *streakCache) get(key string) streak {
	for _, class := range c.classes {
		if s, ok := class.Peek(key); ok {
			return s
		}
	}
	return streak{}
}

// put sets the streak of key, which has just grown.
func (c *streakCache) put(key string, s streak) {
	c.remove(key)
	c.classes[min(bits.Len(uint(s.Failures)), streakClasses)-1].Add(key, s)
	if c.len() > maxRemembered {
		c.evict(s.LastAt.Add(-failureMemory))
	}
}

// evict removes a streak that has not grown since stale, or else the oldest of the
// shortest. Not all classes can be within their reserve, because that is half of
// maxRemembered.
func (c *streakCache) evict(stale time.Time) {
	if c.removeOldest(stale) {
		return
	}
	for _, class := range c.classes {
		if class.Len() > classReserve {
			class.RemoveOldest()
			return
		}
	}
}

// removeOldest removes the streak that has not grown for longest, if that was before
// limit, and reports whether it was.
func (c *streakCache) removeOldest(limit time.Time) bool {
	var from *simplelru.LRU[string, streak]
	for _, class := range c.classes {
		if _, s, ok := class.GetOldest(); ok && s.LastAt.Before(limit) {
			from, limit = class, s.LastAt
		}
	}
	if from != nil {
		from.RemoveOldest()
	}
	return from != nil
}

func (c *streakCache) remove(key string) {
	for _, class := range c.classes {
		class.Remove(key)
	}
}

func (c *streakCache) len() int {
	n := 0
	for _, class := range c.classes {
		n += class.Len()
	}
	return n
}

// A loginHistory is what a store knows of the logins to an account.
type loginHistory struct {
	streak
	SeenAt time.Time // when the owner last logged in from the source that asks
}
