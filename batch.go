package main

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"
)

// A call is a statement on its way to a database, and what comes back.
type call struct {
	statement *statement
	args      []any
	fields    []any // where the columns of its row go; nil: it returns no row
	concerned int64 // how many rows it concerned, if it returns none

	done chan struct{} // closed when err is final
	err  error

	mu   sync.Mutex // held while fields and concerned are written
	left bool       // whether the caller has left, to whom they belong
}

// errAlone means that a batch has not carried out a call. Nothing of it was done, or it does no harm
// if it is done twice.
var errAlone = errors.New("not carried out with the others")

// answer calls run, which writes what comes back, unless the caller has left.
func (c *call) answer(run func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left {
		return nil
	}
	return run()
}

// leave gives c up. What it would have brought back is written no more.
func (c *call) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = true
}

// A lane carries out calls of many goroutines in batches, so that those in a batch share what costs
// most: the round trip to a server, or the sync of a file. A call that finds the lane free is
// carried out at once and alone, as if there were no lane. Those that come meanwhile wait, and are
// the next batch. None joins a batch that has begun: what a call reads, it reads after it was made.
//
// Each caller waits as long as its own context allows, whoever else is in the batch.
type lane struct {
	// alone carries out one call.
	alone func(context.Context, *call) error

	// together carries out several, and sets the err of each. It leaves errAlone there if a call
	// must be carried out alone, for it has failed for a reason that may be another's.
	together func([]*call)

	// patience is how long a batch may take before others pass it by, each alone: its connection
	// may hang. If it is 0, they wait.
	patience time.Duration

	mu      sync.Mutex
	busy    bool
	since   time.Time // when the batch under way has begun
	crowded bool      // whether the last one has had several calls
	waiting []*call
}

// maxBatch is how many calls are carried out together: enough to share the costs among, and few
// enough that the first does not wait long for the last.
const maxBatch = 100

// lanePatience is some times what a batch takes on a busy machine. A call loses this much at most to
// a connection that hangs.
const lanePatience = 10 * time.Millisecond

// do carries out c and returns its error. It returns ctx.Err() if ctx is done before c is: then a c
// that writes may have been carried out, or may be yet, with the batch that is under way.
func (l *lane) do(ctx context.Context, c *call) error {
	switch l.enter(c) {
	case laneFree:
		batch := l.gather()
		if len(batch) == 1 {
			defer l.leave()
			return l.alone(ctx, c)
		}
		go l.serve(batch)
	case laneStuck:
		return l.alone(ctx, c)
	}
	if err := l.wait(ctx, c); err != errAlone {
		return err
	}
	return l.alone(ctx, c)
}

// A laneState is what a call meets in a lane.
type laneState int

const (
	laneFree laneState = iota
	laneBusy
	laneStuck // for longer than its patience
)

// enter takes a lane that is free. It lets c wait in one that is busy.
func (l *lane) enter(c *call) laneState {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isStuck() {
		return laneStuck
	}
	c.done, c.err = make(chan struct{}), errAlone
	l.waiting = append(l.waiting, c)
	if l.busy {
		return laneBusy
	}
	l.busy, l.since = true, time.Now()
	return laneFree
}

// wait returns the error of c when its batch is done, or errAlone if the lane is stuck.
func (l *lane) wait(ctx context.Context, c *call) error {
	for {
		select {
		case <-c.done:
			return c.err
		case <-ctx.Done():
			l.abandon(c)
			return ctx.Err()
		case <-l.impatience():
			if l.hangs() {
				l.abandon(c)
				return errAlone
			}
		}
	}
}

// abandon gives c up, whether it still waits or its batch has begun.
func (l *lane) abandon(c *call) {
	if !l.forget(c) {
		c.leave() // not within l.mu: a statement that is being carried out for c may take long
	}
}

// forget takes c out of those who wait, and reports whether it was there. Otherwise a lane that hangs
// would collect calls, and carry them out afterwards for nobody.
func (l *lane) forget(c *call) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, c)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	return i >= 0
}

// impatience returns a channel that tells when to look whether the lane is stuck.
func (l *lane) impatience() <-chan time.Time {
	if l.patience == 0 {
		return nil
	}
	return time.After(l.patience)
}

func (l *lane) hangs() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isStuck()
}

// isStuck is hangs for a caller that holds mu.
func (l *lane) isStuck() bool {
	return l.busy && l.patience > 0 && time.Since(l.since) > l.patience
}

// leave makes the lane free, or lets those pass who have come meanwhile.
func (l *lane) leave() {
	if batch := l.next(); len(batch) > 0 {
		go l.serve(batch)
	}
}

// serve carries out batch after batch until nobody waits.
func (l *lane) serve(batch []*call) {
	for ; len(batch) > 0; batch = l.gather() {
		l.carryOut(batch)
	}
}

// carryOut lets the calls of a batch go when it is done. A panic is left to the goroutine of the
// call that causes it, which meets it again alone.
func (l *lane) carryOut(batch []*call) {
	defer func() {
		recover()
		for _, c := range batch {
			close(c.done)
		}
	}()
	l.together(batch)
}

// gather is next, but if the last batch had several calls, it first lets those come who are about to:
// on a busy machine they are many.
func (l *lane) gather() []*call {
	if l.crowded {
		runtime.Gosched()
	}
	return l.next()
}

// next returns those who wait, or frees the lane if nobody does.
func (l *lane) next() []*call {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), maxBatch)
	batch := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	l.busy, l.since = n > 0, time.Now()
	if n > 0 {
		l.crowded = n > 1
	}
	return batch
}
