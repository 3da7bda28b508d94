package main

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// measure returns how long the processor works on f, whatever else it does meanwhile. If f
// uses other threads, it returns the time that passes.
func measure(usesThreads bool, f func()) time.Duration {
	began := time.Now()
	if usesThreads {
		f()
		return time.Since(began)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	f()
	if took := threadTime() - before; took > 0 {
		return took
	}
	return time.Since(began) // the clock of the thread does not run, or ticks too slowly
}

// threadTime returns the processor time of this thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
