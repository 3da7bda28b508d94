package main

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A stopwatch measures how long the processor works for a goroutine, whatever else it does
// meanwhile. For work that other threads do, it measures the time that passes.
type stopwatch struct {
	began time.Time
	cpu   time.Duration // -1: not measured
}

func startStopwatch(otherThreads bool) stopwatch {
	if otherThreads {
		return stopwatch{time.Now(), -1}
	}
	runtime.LockOSThread()
	return stopwatch{time.Now(), threadTime()}
}

func (s stopwatch) stop() time.Duration {
	if s.cpu < 0 {
		return time.Since(s.began)
	}
	defer runtime.UnlockOSThread()
	return threadTime() - s.cpu
}

// threadTime returns the processor time of this thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
