package main

import "testing"

// TestContention: a bulk load writes less at a time for a while after another process has written.
func TestContention(t *testing.T) {
	var c contention
	for i, version := range []int64{7, 7, 7} {
		if c.note(version); c.limit(5000) != 5000 {
			t.Fatalf("alone, transaction %d has %d rows", i, c.limit(5000))
		}
	}
	c.note(8)
	for i := range 20 {
		if c.limit(5000) == 5000 || c.limit(10) != 10 {
			t.Fatalf("%d transactions after another has written, it has %d rows", i, c.limit(5000))
		}
		c.note(8)
	}
	if c.limit(5000) != 5000 {
		t.Error("when the other is quiet again, it is still careful")
	}
}
