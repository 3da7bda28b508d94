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
				if err := q.enter(t.Context()); err != nil {
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
		if err := q.enter(t.Context()); err != nil {
			t.Errorf("after the rush, %v after its beginning: %v", time.Since(began), err)
		}
	})
}

// TestHashQueueFull: of more than may wait the rest is refused at once.
func TestHashQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		if err := q.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range maxWaiting {
			go q.enter(t.Context())
		}
		synctest.Wait()
		began := time.Now()
		if err := q.enter(t.Context()); !errors.Is(err, errBusy) || time.Since(began) > 0 {
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
		if err := q.enter(gone); err != nil {
			t.Errorf("with a free place: %v", err)
		}
		waiting, hangUp := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { left <- q.enter(waiting) }()
		synctest.Wait()
		hangUp()
		if err := <-left; !errors.Is(err, errBusy) || len(q.waiting) != 0 {
			t.Errorf("%v, and %d still wait", err, len(q.waiting))
		}
		q.leave()
		if err := q.enter(t.Context()); err != nil {
			t.Errorf("the place is lost: %v", err)
		}
	})
}

// TestWholeQueue: work that needs all places has them alone, gets its turn among others, and
// is not refused on an idle queue, even if the client has closed its half.
func TestWholeQueue(t *testing.T) {
	t.Run("alone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(3)
			if err := q.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := q.enterAll(t.Context()); !errors.Is(err, errBusy) || time.Since(began) != queuePatience {
				t.Errorf("beside another: %v after %v", err, time.Since(began))
			}
			time.AfterFunc(time.Second, q.leave)
			if err := q.enterAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			for name, enter := range map[string]func(context.Context) error{"another": q.enter, "a second one": q.enterAll} {
				if err := enter(t.Context()); !errors.Is(err, errBusy) {
					t.Errorf("%s enters: %v", name, err)
				}
			}
			q.leaveAll()
			synctest.Wait()
			for range 3 {
				if err := q.enter(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if len(q.waiting) != 0 {
				t.Errorf("%d still wait", len(q.waiting))
			}
		})
	})
	t.Run("in its turn", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(4)
			for range 16 { // who come back at once, for ever
				go func() {
					for t.Context().Err() == nil && q.enter(t.Context()) == nil {
						time.Sleep(115 * time.Millisecond)
						q.leave()
					}
				}()
			}
			time.Sleep(time.Second)
			began := time.Now()
			if err := q.enterAll(t.Context()); err != nil || time.Since(began) > 500*time.Millisecond {
				t.Fatalf("%v after %v", err, time.Since(began))
			}
			q.leaveAll()
		})
	})
	t.Run("on an idle queue", func(t *testing.T) {
		q := newQueue(2)
		gone, hangUp := context.WithCancel(t.Context())
		hangUp()
		for range 200 {
			if err := q.enterAll(gone); err != nil {
				t.Fatalf("a client that closed its half: %v", err)
			}
			q.places.Release(q.atOnce)
		}
	})
}
