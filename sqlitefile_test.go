package main

import (
	"testing"
	"time"
)

// TestPacer: a bulk load pauses rarely if nobody else writes, and after every transaction
// for a while if somebody does.
func TestPacer(t *testing.T) {
	const took = 200 * time.Millisecond
	var p pacer
	paused := func(version int64, transactions int) (n int, total time.Duration) {
		for range transactions {
			if pause := p.pause(took, version); pause > 0 {
				n, total = n+1, total+pause
			}
		}
		return n, total
	}
	if n, total := paused(7, 60); n != 12 || total != 12*110*time.Millisecond {
		t.Errorf("alone, it pauses %d times in 12 s, for %v", n, total)
	}
	if n, total := paused(8, 20); n != 20 || total != 20*took/4 {
		t.Errorf("after another has written, it pauses after %d of 20 transactions, for %v", n, total)
	}
	if n, _ := paused(8, 4); n != 0 {
		t.Errorf("when the other is quiet again, it still pauses: %d times", n)
	}
	for version := int64(9); version < 50; version++ {
		if n, _ := paused(version, 1); n != 1 {
			t.Fatal("while another writes, it does not pause")
		}
	}
}
