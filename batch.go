package main

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"
)

// A call is a statement to carry out, and what comes back.
type call struct {
	statement *statement
	args      []any
	fields    []any // where the columns of the row go; nil if the statement returns none
	concerned int64 // how many rows it concerned, if it returns none

	done    chan struct{} // closed when err is final
	settled bool          // whether it is closed; only its batch looks
	err     error

	mu        sync.Mutex // held while a batch writes to fields and concerned
	abandoned bool       // whether the caller waits no more: then a batch must not write there
}

// answer calls run, which writes what comes back, unless the caller waits no more.
func (c *call) answer(run func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.abandoned {
		return nil
	}
	return run()
}

// settle lets the caller go on with err.
func (c *call) settle(err error) {
	c.err, c.settled = err, true
	close(c.done)
}

// abandon returns when no batch writes to c, and none will.
func (c *call) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abandoned = true
}

// errAlone means that a batch has no answer for a call, which must be carried out alone. The batch
// has done nothing of it, or it does no harm if it is done twice.
var errAlone = errors.New("not carried out with the others")

// A lane carries out calls of many goroutines in batches. The calls of a batch share what costs
// most: the round trip to a server, or the sync of a file.
//
//   - A call that finds the lane free is carried out at once and alone, as if there were no lane.
//   - So are a few more that come meanwhile, if the lane allows that: they would lose more by waiting
//     than they gain by sharing.
//   - Other calls that come while the lane is busy wait. Together they are the next batch.
//   - No call joins a batch that has begun. What a call reads, it reads after it was made.
//   - Each caller waits only as long as its own context allows, whoever else is in the batch.
//   - If a batch takes longer than the lane has patience, calls pass it by, each alone.
type lane struct {
	// alone carries out one call, and returns its error.
	alone func(context.Context, *call) error

	// together carries out several calls, and settles each as soon as it can: the first go on while
	// the last are carried out. It leaves a call that has failed if another call may be the reason.
	together func([]*call)

	// patience is how long a batch may take until its connection is believed to hang. If it is 0,
	// calls wait for the batch however long it takes.
	patience time.Duration

	// beside is how many calls may be carried out, each alone, beside a lane that is not crowded.
	beside int

	mu      sync.Mutex // guards the fields below
	busy    bool
	since   time.Time // when the batch under way began
	small   int       // how many batches in a row had at most two calls
	passing int       // how many calls are carried out beside it
	waiting []*call   // in the order in which they came
}

// maxBatch is how many calls a batch may have: enough to share the costs among, and few enough that
// the first does not wait long for the last.
const maxBatch = 100

// lanePatience is several times what a batch takes on a busy machine. A connection that hangs
// delays a call by twice as long at most.
const lanePatience = 10 * time.Millisecond

// do carries out c and returns its error. It returns ctx.Err() if ctx is done first: then a c that
// writes may have been carried out all the same, or may still be.
func (l *lane) do(ctx context.Context, c *call) error {
	switch l.enter(c) {
	case laneStuck:
		return l.alone(ctx, c)
	case laneWide:
		defer l.passed()
		return l.alone(ctx, c)
	case laneFree:
		batch := l.gather()
		if len(batch) == 1 { // which is c
			defer l.release()
			return l.alone(ctx, c)
		}
		go l.serve(batch)
	}
	if err := l.wait(ctx, c); err != errAlone {
		return err
	}
	return l.alone(ctx, c)
}

// A laneState is what a call finds when it comes.
type laneState int

const (
	laneFree laneState = iota
	laneBusy
	laneWide  // busy, with room beside
	laneStuck // busy for longer than its patience
)

// enter lets c wait for the next batch, and returns what c has found. If the lane was free, the
// caller must see to that batch. If it is wide or stuck, c does not wait.
func (l *lane) enter(c *call) laneState {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isStuckLocked() {
		return laneStuck
	}
	if l.busy && !l.isCrowded() && l.passing < l.beside {
		l.passing++
		return laneWide
	}
	c.done = make(chan struct{})
	l.waiting = append(l.waiting, c)
	if l.busy {
		return laneBusy
	}
	l.busy, l.since = true, time.Now()
	return laneFree
}

// passed makes room beside the lane.
func (l *lane) passed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passing--
}

// wait returns the error of c when its batch is done, ctx.Err() if ctx is done first, or errAlone if
// the lane is stuck.
func (l *lane) wait(ctx context.Context, c *call) error {
	for {
		select {
		case <-c.done:
			return c.err
		case <-ctx.Done():
			l.giveUp(c)
			return ctx.Err()
		case <-l.impatience():
			if l.isStuck() {
				l.giveUp(c)
				return errAlone
			}
		}
	}
}

// impatience returns a channel that says when to ask again whether the lane is stuck.
func (l *lane) impatience() <-chan time.Time {
	if l.patience == 0 {
		return nil
	}
	return time.After(l.patience)
}

func (l *lane) isStuck() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isStuckLocked()
}

func (l *lane) isStuckLocked() bool {
	return l.busy && l.patience > 0 && time.Since(l.since) > l.patience
}

// giveUp takes c out of the lane, or tells its batch not to write to it.
func (l *lane) giveUp(c *call) {
	if !l.remove(c) {
		c.abandon() // without l.mu, because this waits for a statement that is being carried out for c
	}
}

// remove takes c out of those that wait, and reports whether it was there. Otherwise a lane that
// hangs would collect calls, and carry them out afterwards for nobody.
func (l *lane) remove(c *call) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, c)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	return i >= 0
}

// release frees the lane after a call that was carried out alone, or serves those that wait.
func (l *lane) release() {
	if batch := l.next(); len(batch) > 0 {
		go l.serve(batch)
	}
}

// serve carries out batch after batch until no call waits.
func (l *lane) serve(batch []*call) {
	for ; len(batch) > 0; batch = l.gather() {
		l.carryOut(batch)
	}
}

// carryOut carries out a batch. What together has not settled has to be carried out alone. So has
// what is left after a panic, which comes again in the goroutine whose call is the cause.
func (l *lane) carryOut(batch []*call) {
	defer func() {
		recover()
		for _, c := range batch {
			if !c.settled {
				c.settle(errAlone)
			}
		}
	}()
	l.together(batch)
}

// isCrowded reports whether one of the last batches had several calls. Between two large ones there
// may be small ones, by chance.
func (l *lane) isCrowded() bool { return l.small < 10 }

// gather is next, but if the lane is crowded, it first lets other goroutines run: on a busy
// machine, many of them are about to make a call.
func (l *lane) gather() []*call {
	if l.isCrowded() {
		runtime.Gosched()
	}
	return l.next()
}

// next begins a batch with the calls that wait, and returns it. If none waits, it frees the lane.
func (l *lane) next() []*call {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), maxBatch)
	batch := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	l.busy, l.since = n > 0, time.Now()
	switch {
	case n > 2:
		l.small = 0
	case n > 0:
		l.small++
	}
	return batch
}
