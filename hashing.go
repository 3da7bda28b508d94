package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// A queue limits how many requests do CPU-heavy work at once, such as hashing a password
// (about 115 ms). The others wait in the order of their arrival.
type queue struct {
	atOnce  int64
	places  *semaphore.Weighted // as many as atOnce
	waiting chan struct{}       // one element for each request that waits
	running atomic.Int64        // how many requests work
	waited  func(time.Duration) // told how long each request has waited; may be nil
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
	return &queue{
		atOnce:  int64(atOnce),
		places:  semaphore.NewWeighted(int64(atOnce)),
		waiting: make(chan struct{}, maxWaiting),
	}
}

// enter waits for a place among those at work, to be left again by leave. It returns
// errBusy if that takes too long, if too many wait already, or if ctx ends before: a client
// that hangs up makes room for the next. If a place is free it does not look at ctx, because
// a client may close its half of the connection once it has sent everything.
func (q *queue) enter(ctx context.Context) error { return q.take(ctx, 1) }

func (q *queue) leave() { q.release(1) }

func (q *queue) release(places int64) {
	q.running.Add(-1)
	q.places.Release(places)
}

// enterAll is enter for work that must not share memory or cores with other work: it takes
// all places, to be left by leaveAll. Requests that come later wait behind it.
func (q *queue) enterAll(ctx context.Context) error { return q.take(ctx, q.atOnce) }

// leaveAll first gives memory back to the system, because the next request may need as much.
// The caller does not wait for that: its answer would show who has such a hash.
func (q *queue) leaveAll() {
	go func() {
		debug.FreeOSMemory()
		q.release(q.atOnce)
	}()
}

func (q *queue) take(ctx context.Context, places int64) error {
	began := time.Now()
	err := q.acquire(ctx, places)
	if err == nil {
		q.running.Add(1)
	}
	if q.waited != nil {
		q.waited(time.Since(began))
	}
	return err
}

func (q *queue) acquire(ctx context.Context, places int64) error {
	if q.places.TryAcquire(places) {
		return nil
	}
	select {
	case q.waiting <- struct{}{}:
		defer func() { <-q.waiting }()
	default:
		return errBusy
	}
	return q.wait(ctx, places)
}

// wait waits for places. It returns errBusy if it does not get them in time.
func (q *queue) wait(ctx context.Context, places int64) error {
	ctx, cancel := context.WithTimeout(ctx, queuePatience)
	defer cancel()
	if q.places.Acquire(ctx, places) != nil {
		return errBusy
	}
	return nil
}

// pass waits as enter does, but leaves at once. It reports whether it got a place. It does not
// count among those that wait, so that it keeps nobody out.
func (q *queue) pass(ctx context.Context) bool {
	entered := q.places.TryAcquire(1) || len(q.waiting) < cap(q.waiting) && q.wait(ctx, 1) == nil
	if entered {
		q.places.Release(1)
	}
	return entered
}

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
