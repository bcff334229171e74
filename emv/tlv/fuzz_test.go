package tlv

import (
	"bytes"
	"testing"
)

// FuzzParse asserts that accepted objects cover the input exactly, that what
// Append writes reads back as the same objects, and that nothing is returned
// beside an error.
func FuzzParse(f *testing.F) {
	seeds := primitives(f).TLV
	for _, c := range seeds {
		f.Add([]byte(c.Hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		nodes, err := Parse(b)
		if err != nil {
			if nodes != nil {
				t.Fatal("objects beside an error")
			}
			return
		}
		var raw, minimal []byte
		for _, n := range nodes {
			raw = append(raw, n.Raw...)
			minimal = Append(minimal, n.Tag, n.Value)
		}
		if !bytes.Equal(raw, b) || len(minimal) > len(b) {
			t.Fatalf("objects cover %X of %X", raw, b)
		}
		again, err := Parse(minimal)
		if err != nil || len(again) != len(nodes) {
			t.Fatalf("rewritten objects do not read back: %v", err)
		}
		for i := range nodes {
			if again[i].Tag != nodes[i].Tag || !bytes.Equal(again[i].Value, nodes[i].Value) {
				t.Fatalf("object %d changed", i)
			}
		}
	})
}

// FuzzDOL asserts that a list never makes more data than it says.
func FuzzDOL(f *testing.F) {
	for _, c := range primitives(f).DOL {
		f.Add([]byte(c.DOL))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDOL(b)
		if err != nil {
			return
		}
		out, err := d.Fill(func(tag Tag) ([]byte, Format, bool) {
			return []byte{1, 2, 3}, Format(tag & 1), tag&2 == 0
		})
		if err != nil || len(out) != d.Size() || len(out) > MaxDOLData {
			t.Fatalf("%d bytes for a list of %d: %v", len(out), d.Size(), err)
		}
	})
}
