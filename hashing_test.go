package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestHashQueue: so many hash at once, the others wait their turn, and not for ever.
func TestHashQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2)
		var running, most, served, refused atomic.Int64
		for range 20 {
			go func() {
				if err := q.enter(nil); err != nil {
					if !errors.Is(err, errBusy) {
						t.Errorf("refused with %v", err)
					}
					refused.Add(1)
					return
				}
				defer q.leave()
				most.Store(max(most.Load(), running.Add(1)))
				time.Sleep(300 * time.Millisecond)
				running.Add(-1)
				served.Add(1)
			}()
		}
		began := time.Now()
		time.Sleep(queuePatience + time.Second)
		synctest.Wait()
		// Places are free at 0, 300, … 1800 ms.
		if most.Load() != 2 || served.Load() != 14 || refused.Load() != 6 {
			t.Errorf("%d at once, %d served, %d refused; want 2, 14, 6", most.Load(), served.Load(), refused.Load())
		}
		if err := q.enter(nil); err != nil {
			t.Errorf("after the rush, %v after its beginning: %v", time.Since(began), err)
		}
	})
}

// TestHashQueueFull: of more than may wait the rest is refused at once.
func TestHashQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		if err := q.enter(nil); err != nil {
			t.Fatal(err)
		}
		for range maxWaiting {
			go q.enter(nil)
		}
		synctest.Wait()
		began := time.Now()
		if err := q.enter(nil); !errors.Is(err, errBusy) || time.Since(began) > 0 {
			t.Errorf("%v after %v; want errBusy at once", err, time.Since(began))
		}
		time.Sleep(queuePatience)
		synctest.Wait()
		if n := len(q.waiting); n != 0 {
			t.Errorf("%d still wait", n)
		}
	})
}

// TestHashQueueHangUp: who hangs up while they wait makes room, and who has a place at
// once is served even if they have closed their half of the connection.
func TestHashQueueHangUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		gone, hangUp := context.WithCancel(t.Context())
		hangUp()
		if err := q.enter(gone.Done()); err != nil {
			t.Errorf("with a free place: %v", err)
		}
		waiting, hangUp := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { left <- q.enter(waiting.Done()) }()
		synctest.Wait()
		hangUp()
		if err := <-left; !errors.Is(err, errBusy) || len(q.waiting) != 0 {
			t.Errorf("%v, and %d still wait", err, len(q.waiting))
		}
		q.leave()
		if err := q.enter(nil); err != nil {
			t.Errorf("the place is lost: %v", err)
		}
	})
}

// TestWholeQueue: work that needs all places has them alone, and gives back what it has
// gathered when it has waited long enough.
func TestWholeQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(3)
		if err := q.enter(nil); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := q.enterAll(nil); !errors.Is(err, errBusy) || time.Since(began) != queuePatience {
			t.Errorf("beside another: %v after %v", err, time.Since(began))
		}
		if len(q.running) != 1 || len(q.whole) != 0 || len(q.waiting) != 0 {
			t.Errorf("it keeps %d, %d and %d places", len(q.running), len(q.whole), len(q.waiting))
		}
		time.AfterFunc(time.Second, q.leave)
		if err := q.enterAll(nil); err != nil {
			t.Fatal(err)
		}
		if err := q.enter(nil); !errors.Is(err, errBusy) {
			t.Errorf("another enters: %v", err)
		}
		if err := q.enterAll(nil); !errors.Is(err, errBusy) {
			t.Errorf("a second one enters: %v", err)
		}
		gone := make(chan struct{})
		close(gone)
		if err := q.enterAll(gone); !errors.Is(err, errBusy) {
			t.Errorf("one that has gone enters: %v", err)
		}
		q.leaveAll()
		for range 3 {
			if err := q.enter(nil); err != nil {
				t.Error(err)
			}
		}
	})
}
