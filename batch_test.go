package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A heldDatabase carries out the calls of its lane, one round trip whenever a test takes a step. It
// answers every call with the name that the call sends.
type heldDatabase struct {
	lane
	steps   chan struct{}
	clients sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	done    []string   // what was carried out: "alone a", "together b c"
	broken  string     // the name of the call that fails
	panics  bool       // whether it panics at that call instead
	answers map[string]heldAnswer
}

// A heldAnswer is what a client got, and when.
type heldAnswer struct {
	text string
	err  error
	at   time.Time
}

func newHeldDatabase(patience time.Duration) *heldDatabase {
	d := &heldDatabase{steps: make(chan struct{}), answers: make(map[string]heldAnswer)}
	d.lane = lane{alone: d.carryOutAlone, together: d.carryOutTogether, patience: patience}
	return d
}

var errCarriedOut = errors.New("carried out, and failed")

func (d *heldDatabase) carryOutAlone(ctx context.Context, c *call) error {
	d.note("alone", c)
	select {
	case <-d.steps:
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.args[0] == d.broken && d.panics {
		panic(d.broken)
	}
	if c.args[0] == d.broken {
		return errCarriedOut
	}
	*c.fields[0].(*string) = c.args[0].(string)
	return nil
}

// carryOutTogether stops at the broken call. That one and those after it must be carried out alone.
func (d *heldDatabase) carryOutTogether(batch []*call) {
	d.note("together", batch...)
	<-d.steps
	for _, c := range batch {
		if c.args[0] == d.broken && d.panics {
			panic(d.broken)
		}
		if c.args[0] == d.broken {
			return
		}
		c.settle(c.answer(func() error {
			*c.fields[0].(*string) = c.args[0].(string)
			return nil
		}))
	}
}

func (d *heldDatabase) note(how string, batch ...*call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	words := []string{how}
	for _, c := range batch {
		words = append(words, c.args[0].(string))
	}
	d.done = append(d.done, strings.Join(words, " "))
}

// send has a client make a call, and returns when the client waits for the answer.
func (d *heldDatabase) send(ctx context.Context, name string) {
	d.clients.Go(func() {
		var got heldAnswer
		defer func() {
			if what := recover(); what != nil {
				got.err = fmt.Errorf("panic: %v", what)
			}
			got.at = time.Now()
			d.mu.Lock()
			defer d.mu.Unlock()
			d.answers[name] = got
		}()
		got.err = d.do(ctx, &call{args: []any{name}, fields: []any{&got.text}})
	})
	synctest.Wait()
}

// step lets the database carry out n round trips.
func (d *heldDatabase) step(n int) {
	for range n {
		d.steps <- struct{}{}
		synctest.Wait()
	}
}

// check compares what was carried out with want, and the answer to each client with its name, or with
// its error in failed.
func (d *heldDatabase) check(t *testing.T, want []string, failed map[string]error) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.done, want) {
		t.Errorf("carried out %q; want %q", d.done, want)
	}
	for name, got := range d.answers {
		text := name
		if failed[name] != nil {
			text = ""
		}
		if got.text != text || !errors.Is(got.err, failed[name]) {
			t.Errorf("%s got %q, %v; want %q, %v", name, got.text, got.err, text, failed[name])
		}
	}
}

// TestLane: which calls are carried out together and which alone, and what their callers get.
func TestLane(t *testing.T) {
	for _, tt := range []struct {
		name   string
		do     func(ctx context.Context, d *heldDatabase)
		want   []string
		failed map[string]error
	}{
		{"a call that finds the lane free goes alone", func(ctx context.Context, d *heldDatabase) {
			d.send(ctx, "a")
			d.step(1)
			d.send(ctx, "b")
			d.step(1)
		}, []string{"alone a", "alone b"}, nil},
		{"calls that come while it is busy go together, in their order", func(ctx context.Context, d *heldDatabase) {
			d.send(ctx, "a")
			d.send(ctx, "b")
			d.send(ctx, "c")
			d.step(2)
		}, []string{"alone a", "together b c"}, nil},
		{"no call joins a batch that has begun", func(ctx context.Context, d *heldDatabase) {
			d.send(ctx, "a")
			d.send(ctx, "b")
			d.step(1)
			d.send(ctx, "c")
			d.send(ctx, "d")
			d.step(2)
			d.send(ctx, "e")
			d.step(1)
		}, []string{"alone a", "together b", "together c d", "alone e"}, nil},
		{"a call that its batch has not carried out goes alone", func(ctx context.Context, d *heldDatabase) {
			d.broken = "c"
			d.send(ctx, "a")
			for _, name := range []string{"b", "c"} {
				d.send(ctx, name)
			}
			d.step(3)
		}, []string{"alone a", "together b c", "alone c"}, map[string]error{"c": errCarriedOut}},
		{"a call that is given up before its batch begins is not in it", func(ctx context.Context, d *heldDatabase) {
			leaving, leave := context.WithCancel(ctx)
			d.send(ctx, "a")
			d.send(leaving, "b")
			d.send(ctx, "c")
			d.send(leaving, "d")
			leave()
			synctest.Wait()
			d.step(2)
		}, []string{"alone a", "together c"}, map[string]error{"b": context.Canceled, "d": context.Canceled}},
		{"there is no batch if all its calls are given up", func(ctx context.Context, d *heldDatabase) {
			leaving, leave := context.WithCancel(ctx)
			d.send(ctx, "a")
			d.send(leaving, "b")
			leave()
			synctest.Wait()
			d.step(1)
			d.send(ctx, "c")
			d.step(1)
		}, []string{"alone a", "alone c"}, map[string]error{"b": context.Canceled}},
		{"a call that is given up during its batch gets nothing, and the others get their answers", func(ctx context.Context, d *heldDatabase) {
			leaving, leave := context.WithCancel(ctx)
			d.send(ctx, "a")
			d.send(leaving, "b")
			d.send(ctx, "c")
			d.step(1)
			leave()
			synctest.Wait()
			d.step(1)
		}, []string{"alone a", "together b c"}, map[string]error{"b": context.Canceled}},
		{"a call that is given up alone frees the lane for the others", func(ctx context.Context, d *heldDatabase) {
			leaving, leave := context.WithCancel(ctx)
			d.send(leaving, "a")
			d.send(ctx, "b")
			leave()
			synctest.Wait()
			d.step(1)
		}, []string{"alone a", "together b"}, map[string]error{"a": context.Canceled}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newHeldDatabase(0)
				tt.do(t.Context(), d)
				d.clients.Wait()
				d.check(t, tt.want, tt.failed)
			})
		})
	}
}

// TestLanePanics: a panic reaches only the caller that causes it, and the lane goes on.
func TestLanePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newHeldDatabase(0)
		d.broken, d.panics = "b", true
		for _, name := range []string{"a", "b", "c"} {
			d.send(t.Context(), name)
		}
		d.step(4)
		d.send(t.Context(), "d")
		d.step(1)
		d.clients.Wait()
		slices.Sort(d.done[2:4]) // they run at the same time
		if got := d.answers["b"].err; got == nil || got.Error() != "panic: b" {
			t.Errorf("b got %v; want its panic", got)
		}
		delete(d.answers, "b")
		d.check(t, []string{"alone a", "together b c", "alone b", "alone c", "alone d"}, nil)
	})
}

// TestLaneLimit: a batch has at most maxBatch calls, those that came first.
func TestLaneLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newHeldDatabase(0)
		d.send(t.Context(), "first")
		names := make([]string, 2*maxBatch+maxBatch/2)
		for i := range names {
			names[i] = fmt.Sprint("n", i)
			d.send(t.Context(), names[i])
		}
		d.step(4)
		d.clients.Wait()
		want := []string{"alone first"}
		for some := range slices.Chunk(names, maxBatch) {
			want = append(want, "together "+strings.Join(some, " "))
		}
		d.check(t, want, nil)
	})
}

// TestLaneDeadlines: each caller waits until its own deadline, whoever else is in the batch.
func TestLaneDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newHeldDatabase(0)
		began := time.Now()
		d.send(t.Context(), "a")
		deadlines := map[string]time.Duration{"b": time.Second, "c": 2 * time.Second, "d": time.Minute}
		failed := make(map[string]error)
		for _, name := range []string{"b", "c", "d"} {
			ctx, cancel := context.WithTimeout(t.Context(), deadlines[name])
			defer cancel()
			d.send(ctx, name)
			failed[name] = context.DeadlineExceeded
		}
		d.step(1) // and the batch hangs
		time.Sleep(2 * time.Minute)
		d.send(t.Context(), "e")
		d.step(2)
		d.clients.Wait()
		d.check(t, []string{"alone a", "together b c d", "together e"}, failed)
		for name, want := range deadlines {
			if took := d.answers[name].at.Sub(began); took != want {
				t.Errorf("%s was answered after %v; want %v", name, took, want)
			}
		}
	})
}

// TestLaneQuiet: on a quiet server a few calls are carried out beside each other, because a call that
// waits would lose more than it gains.
func TestLaneQuiet(t *testing.T) {
	for _, tt := range []struct {
		name  string
		small int // how many small batches were before
		want  []string
	}{
		{"a lane that has just opened", 0, []string{"alone a", "together b c d e"}},
		{"eight small batches after a large one", 8, []string{"alone a", "together b c d e"}},
		{"after many small batches", 10, []string{"alone a", "alone b", "alone c", "together d e"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newHeldDatabase(0)
				d.beside, d.small = 2, tt.small
				for _, name := range []string{"a", "b", "c", "d", "e"} {
					d.send(t.Context(), name)
				}
				d.step(len(tt.want))
				d.clients.Wait()
				d.check(t, tt.want, nil)
				if d.passing != 0 {
					t.Errorf("%d calls still pass", d.passing)
				}
			})
		})
	}
}

// TestLaneStuck: if a round trip hangs, alone or of a batch, the calls that wait go alone after twice the
// patience at most, and later calls at once.
func TestLaneStuck(t *testing.T) {
	for _, tt := range []struct {
		name   string
		batch  []string // sent while a is carried out
		begun  []string // the last one hangs
		passed []string // carried out in the meantime
	}{
		{"one call hangs", nil, []string{"alone a"}, []string{"alone d", "alone e"}},
		{"a batch hangs", []string{"b", "c"}, []string{"alone a", "together b c"}, []string{"alone b", "alone c", "alone d", "alone e"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newHeldDatabase(lanePatience)
				d.send(t.Context(), "a")
				for _, name := range tt.batch {
					d.send(t.Context(), name)
				}
				d.step(len(tt.begun) - 1)
				d.send(t.Context(), "d")
				time.Sleep(2 * lanePatience)
				synctest.Wait()
				d.send(t.Context(), "e")
				slices.Sort(d.done[len(tt.begun):]) // they run at the same time
				want := slices.Concat(tt.begun, tt.passed)
				if !slices.Equal(d.done, want) {
					t.Errorf("%v after the lane hangs, %q are carried out; want %q", 2*lanePatience, d.done, want)
				}
				d.step(len(tt.passed) + 1) // all of them, and the one that hangs
				d.clients.Wait()
				d.send(t.Context(), "f") // the lane is free again
				d.step(1)
				d.clients.Wait()
				d.check(t, append(want, "alone f"), nil)
			})
		})
	}
}

// TestLaneAnswersAreFresh: many clients ask at once, some give up, and sometimes the lane is stuck. Each
// gets the answer to its own question, and no answer is older than its question.
func TestLaneAnswersAreFresh(t *testing.T) {
	type fresh struct{ name, version int64 }
	var version atomic.Int64
	read := func(c *call, now int64) error {
		*c.fields[0].(*fresh) = fresh{c.args[0].(int64), now}
		return nil
	}
	l := lane{patience: 200 * time.Microsecond}
	l.alone = func(_ context.Context, c *call) error { return read(c, version.Load()) }
	l.together = func(batch []*call) {
		now := version.Load()
		if now%7 == 0 {
			time.Sleep(time.Millisecond)
		}
		for _, c := range batch {
			c.settle(c.answer(func() error { return read(c, now) }))
		}
	}
	together(64, func(i int) {
		for range repeated(10_000) {
			asked := version.Add(1)
			ctx, cancel := context.WithCancel(t.Context())
			if asked%5 == 0 {
				cancel()
			}
			var got fresh
			err := l.do(ctx, &call{args: []any{int64(i)}, fields: []any{&got}})
			if err == nil && (got.name != int64(i) || got.version < asked) || err != nil && err != ctx.Err() {
				t.Errorf("%d asked at %d and got %+v, %v", i, asked, got, err)
			}
			cancel()
		}
	})
}
