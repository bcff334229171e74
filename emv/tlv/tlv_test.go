package tlv

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"tapkeeper/emv/emvtest"
)

func primitives(t testing.TB) *emvtest.Primitives {
	t.Helper()
	p, err := emvtest.LoadPrimitives()
	if err != nil {
		t.Fatal(err)
	}
	if len(p.TLV) == 0 || len(p.DOL) == 0 {
		t.Fatal("the vectors hold no TLV or DOL cases")
	}
	t.Logf("%d cases of tlv, %d of dol", len(p.TLV), len(p.DOL))
	return p
}

func TestParse(t *testing.T) {
	for i, c := range primitives(t).TLV {
		nodes, err := Parse(c.Hex)
		if (err == nil) != c.OK {
			t.Errorf("case %d, %X: error %v, want ok %v", i, []byte(c.Hex), err, c.OK)
			continue
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) || nodes != nil {
				t.Errorf("case %d: nodes %v with error %v", i, nodes, err)
			}
			continue
		}
		sameNodes(t, nodes, c.Nodes)
	}
}

func sameNodes(t *testing.T, got []Node, want []emvtest.Node) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d objects, want %d", len(got), len(want))
	}
	for i, n := range got {
		w := want[i]
		var tag Tag
		for _, b := range w.Tag {
			tag = tag<<8 | Tag(b)
		}
		if n.Tag != tag || !bytes.Equal(n.Value, w.Value) {
			t.Errorf("object %d is %v %X, want %v %X", i, n.Tag, n.Value, tag, []byte(w.Value))
		}
		sameNodes(t, n.Kids, w.Kids)
	}
}

func TestLevels(t *testing.T) {
	deep := []byte{0x9F, 0x27, 0x01, 0x40} // the innermost object
	for level := 4; level >= 1; level-- {
		deep = Append(nil, 0x70, deep)
	}
	if _, err := ParseOne(deep); err != nil {
		t.Errorf("an object at level 5: %v", err)
	}
	if _, err := ParseInside(deep); err == nil {
		t.Error("an object at level 6 accepted")
	}
	if _, err := ParseFlat(Append(nil, 0x70, []byte{0xFF})); err != nil {
		t.Errorf("flat parsing looked into a template: %v", err)
	}
	empty := []byte{}
	for range 5 {
		empty = Append(nil, 0x70, empty)
	}
	if _, err := Parse(empty); err == nil {
		t.Error("an empty template at level 5 accepted")
	}
	if _, err := ParseOne([]byte{0x82, 0x00, 0x82, 0x00}); err == nil {
		t.Error("two objects accepted as one")
	}
}

// TestBoundaries writes and reads the lengths where the form changes.
func TestBoundaries(t *testing.T) {
	for _, n := range []int{0, 1, 0x7F, 0x80, 0xFF, 0x100, MaxValue - 1, MaxValue} {
		for _, tag := range []Tag{0x82, 0x9F26, 0xDF8B01} {
			b := Append(nil, tag, make([]byte, n))
			node, err := ParseOne(b)
			if err != nil || node.Tag != tag || len(node.Value) != n || !bytes.Equal(node.Raw, b) {
				t.Errorf("tag %v with %d bytes: %v", tag, n, err)
			}
			if _, err := ParseOne(b[:len(b)-1]); err == nil {
				t.Errorf("tag %v with %d bytes: cut short and accepted", tag, n)
			}
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a value that has no coding was written")
		}
	}()
	Append(nil, 0x82, make([]byte, MaxValue+1))
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		b  []byte
		v  uint64
		ok bool
	}{
		{nil, 0, true}, {[]byte{0x00, 0x12, 0x34}, 1234, true}, {[]byte{0x1A}, 0, false}, {[]byte{0xA1}, 0, false},
		{bytes.Repeat([]byte{0x99}, 6), 999999999999, true}, {make([]byte, 9), 0, false},
	} {
		v, ok := Number(c.b)
		if v != c.v || ok != c.ok {
			t.Errorf("Number(%X) = %d, %v", c.b, v, ok)
		}
		if ok && !bytes.Equal(BCD(v, len(c.b)), c.b) {
			t.Errorf("BCD(%d) = %X, want %X", v, BCD(v, len(c.b)), c.b)
		}
	}
}

func TestWalk(t *testing.T) {
	nodes, err := Parse([]byte{0x77, 0x06, 0x82, 0x01, 0x01, 0x94, 0x01, 0x02, 0x8F, 0x00})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	Walk(nodes, func(n Node, depth int) bool {
		seen = append(seen, n.Tag.String()+strings.Repeat("+", depth))
		return n.Tag != 0x94
	})
	if got := strings.Join(seen, " "); got != "77 82+ 94+" {
		t.Errorf("walked %s", got)
	}
}

func TestDOLCoding(t *testing.T) {
	for i, c := range primitives(t).DOL {
		d, err := ParseDOL(c.DOL)
		if err != nil {
			if c.Out != nil {
				t.Errorf("case %d: %v", i, err)
			}
			continue
		}
		if c.Out == nil {
			continue // refused for what it lacks: package dict knows
		}
		out, err := d.Fill(func(tag Tag) ([]byte, Format, bool) {
			v, ok := c.Values[tag.String()]
			if numeric[tag] {
				return v, Numeric, ok
			}
			return v, Binary, ok
		})
		if err != nil || !bytes.Equal(out, c.Out) {
			t.Errorf("case %d: %X (%v), want %X", i, out, err, []byte(c.Out))
		}
		if v, ok := d.Find(out, 0x9F37, 4); !ok || !bytes.Equal(v, c.Values["9F37"]) {
			t.Errorf("case %d: found %X for 9F37", i, v)
		}
	}
}

// numeric holds the n-format elements of table 4.1; package dict is above
// this one.
var numeric = map[Tag]bool{0x9F02: true, 0x9F03: true, 0x5F2A: true, 0x9F1A: true, 0x9A: true, 0x9F21: true, 0x9C: true}
