package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"time"
)

// A hashQueue lets only a few passwords be hashed at once, because each takes a core for
// some 115 ms; the others wait, first come first served.
type hashQueue struct {
	running chan struct{} // has one element for each hash that is computed
	waiting chan struct{} // and for each request that waits
}

const (
	// maxHashWaiting is how many requests may wait: far more than can be served within
	// hashPatience, so that clients are refused only after they have waited, for those
	// that are refused at once come back at once.
	maxHashWaiting = 1000
	hashPatience   = 2 * time.Second
)

// errBusy means that too many passwords wait to be hashed.
var errBusy = errors.New("too many passwords are being hashed")

// newHashQueue returns a queue that runs at most atOnce hashes concurrently.
func newHashQueue(atOnce int) *hashQueue {
	return &hashQueue{make(chan struct{}, atOnce), make(chan struct{}, maxHashWaiting)}
}

// enter waits for a place among those who hash, to be left again by leave. It returns
// errBusy if that takes too long, if too many wait already, or if ctx is done before:
// whoever hangs up makes room for the next. When a place is free it does not look at ctx,
// for a client may close its half of the connection once it has sent everything.
func (q *hashQueue) enter(ctx context.Context) error {
	select {
	case q.running <- struct{}{}:
		return nil
	default:
	}
	select {
	case q.waiting <- struct{}{}:
		defer func() { <-q.waiting }()
	default:
		return errBusy
	}
	limit := time.NewTimer(hashPatience)
	defer limit.Stop()
	select {
	case q.running <- struct{}{}:
		return nil
	case <-ctx.Done():
	case <-limit.C:
	}
	return errBusy
}

func (q *hashQueue) leave() { <-q.running }

// spareThreads lets as many goroutines run beside the hashes as without them. The
// system shares the cores out among their threads, more often and more fairly than Go
// does among goroutines: with no more threads than cores, a request would wait several
// times for the 10 ms after which Go interrupts a hash. From then on Go does not follow
// changes of a container's CPU limit. If GOMAXPROCS is set, it stays as it is.
func spareThreads() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
}
