package queue

import (
	"path/filepath"
	"testing"
)

// Every bit of a table is covered by the check that runs before Badger follows
// the lengths in it.
func TestEveryByteOfATable(t *testing.T) {
	s, dir := fresh(t)
	for range 30 {
		commit(t, s, Commit{Entries: []Entry{entry(string(rune('a'+s.Head().Seq)), "g")}})
	}
	shut(t, s)
	tables := 0
	for name, f := range readImage(t, dir) {
		if filepath.Ext(name) != ".sst" {
			continue
		}
		tables++
		b := make([]byte, f.size)
		copy(b, f.data)
		if err := checkTable(b); err != nil {
			t.Fatalf("%s as it is: %v", name, err)
		}
		for i := range b {
			bit := byte(1) << (i % 8)
			b[i] ^= bit
			if checkTable(b) == nil {
				t.Errorf("%s: bit %#x of byte %d of %d is not covered", name, bit, i, len(b))
			}
			b[i] ^= bit
		}
		for _, n := range []int{0, 1, 3, 4, 8, len(b) / 2, len(b) - 1} {
			if checkTable(b[:n]) == nil {
				t.Errorf("%s cut to %d bytes passes", name, n)
			}
		}
	}
	if tables == 0 {
		t.Fatal("no table")
	}
}
