package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"testing"
	"time"
)

// TestMeasuredStore: every method of a store is measured under its name, and a failure is
// counted.
func TestMeasuredStore(t *testing.T) {
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	for method := range reflect.TypeFor[store]().Methods() {
		m := newMetrics("", func() int64 { return 0 })
		measured := m.measure(newMemStore())
		before := scrape(t, m)
		want := scraped{fmt.Sprintf("store_duration_seconds_count{operation=%q}", method.Name): 1}
		if err := callLate(measured, method, late); errors.Is(err, context.DeadlineExceeded) {
			want[fmt.Sprintf("store_errors_total{operation=%q}", method.Name)] = 1
		} else if method.Name != "Close" {
			t.Errorf("%s: %v; want the error of the store", method.Name, err)
		}
		if got := scrape(t, m).since(before, []string{"store_duration_seconds_count", "store_errors_total"}); !maps.Equal(got, want) {
			t.Errorf("%s: got %v; want %v", method.Name, got, want)
		}
	}
}

// callLate calls a method of a store with a context that is done, and returns its error.
func callLate(s store, method reflect.Method, late context.Context) error {
	var arguments []reflect.Value
	for in := range method.Type.Ins() {
		arguments = append(arguments, reflect.Zero(in))
	}
	if len(arguments) > 0 {
		arguments[0] = reflect.ValueOf(late)
	}
	results := reflect.ValueOf(s).MethodByName(method.Name).Call(arguments)
	result := results[len(results)-1].Interface()
	if users, ok := result.(iter.Seq2[User, error]); ok {
		for _, err := range users {
			result = err
		}
	}
	err, _ := result.(error)
	return err
}

// TestMeasuringAllocatesNothing: neither a request nor an operation of the store costs memory
// for being counted.
func TestMeasuringAllocatesNothing(t *testing.T) {
	m, inner := newMetrics("", func() int64 { return 0 }), newMemStore()
	counts, measured := newRequestMetrics(m, []string{"GET /users/me/{$}"}), m.measure(inner)
	lookUp := func(s store) float64 {
		return testing.AllocsPerRun(1000, func() { s.UserByKey(t.Context(), "nobody") })
	}
	if alone, with := lookUp(inner), lookUp(measured); with > alone {
		t.Errorf("an operation allocates %v times; want %v as without metrics", with, alone)
	}
	for pattern, code := range map[string]int{"GET /users/me/{$}": 401, "": 404} {
		n := testing.AllocsPerRun(1000, func() {
			counts.begin()
			counts.end(pattern, "GET", code, time.Millisecond)
		})
		if n > 0 {
			t.Errorf("a request to %q allocates %v times", pattern, n)
		}
	}
}

// TestStoreFaults: what a store answers is no failure of it.
func TestStoreFaults(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"no error", nil, false},
		{"nothing found", fmt.Errorf("a session: %w", errNotFound), false},
		{"a name that is taken", errExists, false},
		{"one API key more than a user may have", errTooMany, false},
		{"a text that cannot be stored", errUnstorable, false},
		{"a stop", context.Canceled, false},
		{"no answer", errAway, true},
		{"no answer in time", context.DeadlineExceeded, true},
		{"something else", errOutage, true},
	} {
		if got := isFault(tt.err); got != tt.want {
			t.Errorf("%s: %v; want %v", tt.name, got, tt.want)
		}
	}
}

// TestMeasuredStores: a store that is measured is as good as another.
func TestMeasuredStores(t *testing.T) {
	t.Parallel()
	testStore(t, func(testing.TB) store { return newMetrics("", func() int64 { return 0 }).measure(newMemStore()) })
}
