package main

import (
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// A queue limits how many requests at once do what takes a core for long, such as hashing a
// password (about 115 ms). The others wait, first come, first served.
type queue struct {
	running chan struct{} // one element for each request at work
	waiting chan struct{} // one element for each request that waits
	whole   chan struct{} // one element while a request has all places, or gathers them
}

const (
	// maxWaiting is how many requests may wait: far more than can be served within
	// queuePatience. Clients are refused only after they have waited, because clients that
	// are refused at once come back at once.
	maxWaiting    = 1000
	queuePatience = 2 * time.Second
)

// errBusy means that too many requests wait in a queue.
var errBusy = errors.New("too many others are waiting")

// newQueue returns a queue that lets at most atOnce requests work concurrently.
func newQueue(atOnce int) *queue {
	return &queue{make(chan struct{}, atOnce), make(chan struct{}, maxWaiting), make(chan struct{}, 1)}
}

// enter waits for a place among those at work, to be left again by leave. It returns
// errBusy if that takes too long, if too many wait already, or if gone is closed before: a
// client that hangs up makes room for the next. When a place is free it does not look at
// gone, because a client may close its half of the connection once it has sent everything.
func (q *queue) enter(gone <-chan struct{}) error {
	if q.enterNow() {
		return nil
	}
	select {
	case q.waiting <- struct{}{}:
		defer func() { <-q.waiting }()
	default:
		return errBusy
	}
	if !q.wait(gone) {
		return errBusy
	}
	return nil
}

// enterAll is enter for work that must not share memory or cores with other work: it takes
// all places, to be left by leaveAll.
func (q *queue) enterAll(gone <-chan struct{}) error {
	select {
	case q.waiting <- struct{}{}:
		defer func() { <-q.waiting }()
	default:
		return errBusy
	}
	limit := time.NewTimer(queuePatience)
	defer limit.Stop()
	taken := 0
	next := q.whole // then one place after the other
	for taken <= cap(q.running) {
		select {
		case next <- struct{}{}:
			taken, next = taken+1, q.running
			continue
		case <-gone:
		case <-limit.C:
		}
		q.giveBack(taken)
		return errBusy
	}
	return nil
}

// leaveAll also gives memory back to the system, before the next request needs as much.
func (q *queue) leaveAll() {
	debug.FreeOSMemory()
	q.giveBack(1 + cap(q.running))
}

// giveBack gives back what enterAll has taken.
func (q *queue) giveBack(taken int) {
	for range taken - 1 {
		<-q.running
	}
	if taken > 0 {
		<-q.whole
	}
}

// pass waits as enter does, but leaves at once. It reports whether it got a place. It does not
// count among those that wait, so that it keeps nobody out.
func (q *queue) pass(gone <-chan struct{}) bool {
	entered := q.enterNow() || len(q.waiting) < cap(q.waiting) && q.wait(gone)
	if entered {
		q.leave()
	}
	return entered
}

// enterNow takes a place if one is free.
func (q *queue) enterNow() bool {
	select {
	case q.running <- struct{}{}:
		return true
	default:
		return false
	}
}

// wait waits for a place, and reports whether it got one in time.
func (q *queue) wait(gone <-chan struct{}) bool {
	limit := time.NewTimer(queuePatience)
	defer limit.Stop()
	select {
	case q.running <- struct{}{}:
		return true
	case <-gone:
	case <-limit.C:
	}
	return false
}

func (q *queue) leave() { <-q.running }

// cores is how many threads Go runs at first: how many cores this process may use. Package
// initialization reads it, before spareThreads changes what GOMAXPROCS returns.
var cores = runtime.GOMAXPROCS(0)

// spareThreads lets as many goroutines run beside the hashes as without them. The
// system shares the cores out among their threads, more often and more fairly than Go
// does among goroutines: with no more threads than cores, a request would wait several
// times for the 10 ms after which Go interrupts a hash. From then on Go does not follow
// changes of a container's CPU limit. If GOMAXPROCS is set, it stays as it is.
func spareThreads() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * cores)
	}
}
