package tlv

import (
	"bytes"
	"sync"
	"testing"

	"tapkeeper/emv/emvtest"
)

// load reads the vectors once for all tests; nothing changes them.
var load = sync.OnceValues(emvtest.Dialogues)

// seeds are the inputs of the vectors and of whole answers.
func seeds(tb testing.TB) [][]byte {
	tb.Helper()
	list, err := load()
	if err != nil {
		tb.Fatal(err)
	}
	var all [][]byte
	for i := 0; i < len(list); i += 9 {
		for _, s := range list[i].Sales {
			for _, tap := range s.Taps {
				for _, step := range tap.Steps {
					if len(step.RAPDU) > 2 {
						all = append(all, step.RAPDU[:len(step.RAPDU)-2])
					}
				}
			}
		}
	}
	for _, c := range primitives(tb).TLV {
		all = append(all, c.Hex)
	}
	return all
}

// lists are the DOLs of the vectors and of their phones.
func lists(tb testing.TB) [][]byte {
	tb.Helper()
	var all [][]byte
	for _, c := range primitives(tb).DOL {
		all = append(all, c.DOL)
	}
	list, err := load()
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(list); i += 9 {
		for _, c := range list[i].Phone.Cards {
			all = append(all, c.PDOL, c.CDOL1)
		}
	}
	return all
}

// FuzzParse asserts that accepted objects cover the input exactly, that what
// Append writes reads back as the same objects and, where the input's lengths
// are minimal, is the input; that errors show no value, and nothing is returned
// beside one.
func FuzzParse(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) ([]Node, error){Parse, ParseInside, ParseFlat} {
			nodes, err := parse(b)
			if err != nil {
				if nodes != nil || emvtest.Leaks(err.Error(), b) {
					t.Fatalf("objects beside an error, or a value in it: %v", err)
				}
				continue
			}
			covers(t, nodes, b)
			again, err := parse(rewrite(nodes))
			if err != nil || !same(again, nodes) {
				t.Fatalf("rewritten objects do not read back: %v", err)
			}
			if minimal(nodes) && !bytes.Equal(rewrite(nodes), b) {
				t.Fatalf("%X is rewritten as %X", b, rewrite(nodes))
			}
		}
	})
}

// covers asserts that the objects, and those inside each, are the bytes.
func covers(t *testing.T, nodes []Node, b []byte) {
	var raw []byte
	for _, n := range nodes {
		raw = append(raw, n.Raw...)
		if n.Kids != nil {
			covers(t, n.Kids, n.Value)
		}
	}
	if !bytes.Equal(raw, b) {
		t.Fatalf("objects cover %X of %X", raw, b)
	}
}

func rewrite(nodes []Node) (b []byte) {
	for _, n := range nodes {
		if n.Kids != nil {
			b = Append(b, n.Tag, rewrite(n.Kids))
		} else {
			b = Append(b, n.Tag, n.Value)
		}
	}
	return b
}

func minimal(nodes []Node) bool {
	for _, n := range nodes {
		if len(Append(nil, n.Tag, n.Value)) != len(n.Raw) || !minimal(n.Kids) {
			return false
		}
	}
	return true
}

// same compares what the objects mean: not the form of their lengths.
func same(a, b []Node) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Tag != b[i].Tag || !same(a[i].Kids, b[i].Kids) || a[i].Kids == nil && !bytes.Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}

// FuzzDOL asserts that a list reads back from its elements and never makes more
// data than it says.
func FuzzDOL(f *testing.F) {
	for _, b := range lists(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDOL(b)
		if err != nil {
			if d != nil || emvtest.Leaks(err.Error(), b) {
				t.Fatalf("a list beside an error, or bytes in it: %v", err)
			}
			return
		}
		var again []byte
		for _, e := range d {
			object := Append(nil, e.Tag, nil)
			again = append(append(again, object[:len(object)-1]...), byte(e.Length))
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%X is rewritten as %X", b, again)
		}
		out, err := d.Fill(func(tag Tag) ([]byte, Format, bool) {
			return []byte{1, 2, 3}, Format(tag & 1), tag&2 == 0
		})
		if err != nil || len(out) != d.Size() || len(out) > MaxDOLData {
			t.Fatalf("%d bytes for a list of %d: %v", len(out), d.Size(), err)
		}
	})
}

// TestAllocation: reading costs memory in proportion to the input. An object
// of two bytes is a node of some 80, at each of five levels.
func TestAllocation(t *testing.T) {
	inputs := append(seeds(t), bytes.Repeat([]byte{0x82, 0x00}, 4096), bytes.Repeat([]byte{0x6F, 0x00}, 4096))
	deep := bytes.Repeat([]byte{0x82, 0x00}, 4096)
	for range 4 {
		deep = Append(nil, 0x70, deep)
	}
	for _, b := range append(inputs, deep, bytes.Repeat([]byte{0x82, 0xFF}, 100)) {
		if n := emvtest.Allocated(func() { Parse(b) }); n > uint64(256*len(b)+1024) {
			t.Errorf("%d bytes cost %d", len(b), n)
		}
	}
	for _, b := range append(lists(t), bytes.Repeat([]byte{0x82, 0x00}, 4096)) {
		if n := emvtest.Allocated(func() { ParseDOL(b) }); n > uint64(64*len(b)+1024) {
			t.Errorf("a list of %d bytes costs %d", len(b), n)
		}
	}
}

// TestCorpus: a fuzz target without seeds would pass on nothing, and what fuzzing
// found worth keeping is in the tree.
func TestCorpus(t *testing.T) {
	if n, m := len(seeds(t)), len(lists(t)); n < 100 || m < 10 {
		t.Errorf("%d seeds for FuzzParse, %d for FuzzDOL", n, m)
	}
	for _, name := range []string{"FuzzParse", "FuzzDOL"} {
		if n := emvtest.Kept(t, name); n == 0 {
			t.Errorf("nothing kept for %s", name)
		}
	}
}
