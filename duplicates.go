package main

import (
	"cmp"
	"hash/maphash"
	"slices"
)

// duplicates finds texts that occur twice among millions. It keeps a hash of each, and where it
// was.
type duplicates struct {
	seed   maphash.Seed
	shards [256][]occurrence // by the first byte of the hash
}

type occurrence struct {
	high, low uint32 // of the hash
	place     uint32
}

// A repetition is the place of a text that stands at an earlier place, too.
type repetition struct{ place, first int }

func newDuplicates() *duplicates { return &duplicates{seed: maphash.MakeSeed()} }

func (d *duplicates) add(text string, place int) {
	h := maphash.String(d.seed, text)
	d.shards[h>>56] = append(d.shards[h>>56], occurrence{uint32(h >> 32), uint32(h), uint32(place)})
}

// find returns all repetitions in the order of their places.
func (d *duplicates) find() []repetition {
	var all []repetition
	for _, shard := range d.shards {
		slices.SortFunc(shard, func(a, b occurrence) int {
			return cmp.Or(cmp.Compare(a.high, b.high), cmp.Compare(a.low, b.low), cmp.Compare(a.place, b.place))
		})
		first := 0
		for i := 1; i < len(shard); i++ {
			if shard[i].high != shard[first].high || shard[i].low != shard[first].low {
				first = i
				continue
			}
			all = append(all, repetition{int(shard[i].place), int(shard[first].place)})
		}
	}
	slices.SortFunc(all, func(a, b repetition) int { return a.place - b.place })
	return all
}
