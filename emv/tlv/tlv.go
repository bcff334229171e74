// Package tlv reads and writes the BER-TLV objects of the scheme (scheme 0.1).
//
// It promises that every accepted object is bounded by what encloses it, that
// the bytes as they were transmitted stay available (Node.Raw), and that it
// only ever writes minimal lengths. It refuses padding, indefinite and
// three-byte lengths, tags longer than three bytes and nesting beyond five
// levels. It knows nothing about the meaning of a tag; that is package dict.
package tlv

import (
	"errors"
	"fmt"
)

// Tag is a tag of one to three bytes, as a number: 0x9F26, 0xDF8B01.
type Tag uint32

// String returns the tag's bytes as hex.
func (t Tag) String() string {
	switch {
	case t > 0xFFFF:
		return fmt.Sprintf("%06X", uint32(t))
	case t > 0xFF:
		return fmt.Sprintf("%04X", uint32(t))
	}
	return fmt.Sprintf("%02X", uint32(t))
}

// Node is one object. Value and Raw alias the parsed input.
type Node struct {
	Tag   Tag
	Value []byte
	Raw   []byte // tag, length and value as they were transmitted
	Kids  []Node // set for the templates that are parsed recursively, see Template
}

// ErrMalformed is wrapped by every error of this package.
var ErrMalformed = errors.New("malformed TLV")

// What may be wrong with a tag or a length.
var (
	errPadding  = fmt.Errorf("%w: padding", ErrMalformed)
	errShortTag = fmt.Errorf("%w: tag cut short", ErrMalformed)
	errLongTag  = fmt.Errorf("%w: tag longer than three bytes", ErrMalformed)
	errLength   = fmt.Errorf("%w: length", ErrMalformed)
)

// maxLevel is the deepest level an object may have (scheme 0.1 rule 3). It
// also bounds the recursion of this package.
const maxLevel = 5

// Template reports whether t is one of the six tags whose contents are parsed
// (scheme 0.1 rule 3).
func Template(t Tag) bool {
	switch t {
	case 0x6F, 0xA5, 0xBF0C, 0x61, 0x70, 0x77:
		return true
	}
	return false
}

// Parse reads objects that follow each other until b ends.
func Parse(b []byte) ([]Node, error) { return parse(b, 0, 1) }

// ParseInside reads objects that stand inside another one: their level counts
// from 2. The contents of an encrypted record are such (scheme 0.1 rule 3).
func ParseInside(b []byte) ([]Node, error) { return parse(b, 0, 2) }

// ParseFlat reads objects without looking into any of them, as the evidence
// record wants it (scheme 9.1).
func ParseFlat(b []byte) ([]Node, error) { return parse(b, 0, 0) }

// ParseOne reads exactly one object; bytes after it are malformed (scheme 0.1
// rule 8).
func ParseOne(b []byte) (Node, error) {
	nodes, err := Parse(b)
	if err != nil {
		return Node{}, err
	}
	if len(nodes) != 1 {
		return Node{}, fmt.Errorf("%w: %d objects where one is wanted", ErrMalformed, len(nodes))
	}
	return nodes[0], nil
}

// parse reads all of b. The level 0 means: do not look into templates.
func parse(b []byte, base, level int) ([]Node, error) {
	var nodes []Node
	if n := count(b); n > 0 {
		nodes = make([]Node, 0, n)
	}
	for at := 0; at < len(b); {
		tag, n, err := readTag(b[at:])
		if err != nil {
			return nil, fmt.Errorf("%w at byte %d", err, base+at)
		}
		length, m, err := readLength(b[at+n:])
		if err != nil {
			return nil, fmt.Errorf("%w at byte %d", err, base+at+n)
		}
		start := at + n + m
		if length > len(b)-start {
			return nil, fmt.Errorf("%w: value of tag %v exceeds what encloses it at byte %d", ErrMalformed, tag, base+at)
		}
		end := start + length
		node := Node{Tag: tag, Value: b[start:end:end], Raw: b[at:end:end]}
		if level > 0 && Template(tag) {
			if level >= maxLevel {
				return nil, fmt.Errorf("%w: template %v too deep at byte %d", ErrMalformed, tag, base+at)
			}
			if node.Kids, err = parse(node.Value, base+start, level+1); err != nil {
				return nil, err
			}
		}
		nodes = append(nodes, node)
		at = end
	}
	return nodes, nil
}

// count is the number of well-formed objects that b begins with, so that their
// nodes are allocated at once; what is wrong with b, parse says.
func count(b []byte) int {
	n := 0
	for len(b) > 0 {
		_, size, err := readTag(b)
		if err != nil {
			return n
		}
		length, more, err := readLength(b[size:])
		if err != nil || length > len(b)-size-more {
			return n
		}
		b = b[size+more+length:]
		n++
	}
	return n
}

// readTag follows scheme 0.1 rule 1.
func readTag(b []byte) (Tag, int, error) {
	if b[0] == 0x00 || b[0] == 0xFF {
		return 0, 0, errPadding
	}
	tag := Tag(b[0])
	if b[0]&0x1F != 0x1F {
		return tag, 1, nil
	}
	for i := 1; i < 3; i++ {
		if i >= len(b) {
			return 0, 0, errShortTag
		}
		tag = tag<<8 | Tag(b[i])
		if b[i]&0x80 == 0 {
			return tag, i + 1, nil
		}
	}
	return 0, 0, errLongTag
}

// readLength follows scheme 0.1 rule 2.
func readLength(b []byte) (length, size int, err error) {
	switch {
	case len(b) > 0 && b[0] < 0x80:
		return int(b[0]), 1, nil
	case len(b) > 1 && b[0] == 0x81:
		return int(b[1]), 2, nil
	case len(b) > 2 && b[0] == 0x82:
		return int(b[1])<<8 | int(b[2]), 3, nil
	}
	return 0, 0, errLength
}

// MaxValue is the longest value that Append can write.
const MaxValue = 0xFFFF

// Append appends the object with the minimal length form. A value longer than
// MaxValue has no coding in this scheme; that is the caller's error and panics.
func Append(dst []byte, tag Tag, value []byte) []byte {
	if len(value) > MaxValue {
		panic("tlv: value longer than the scheme can code")
	}
	if tag > 0xFFFF {
		dst = append(dst, byte(tag>>16))
	}
	if tag > 0xFF {
		dst = append(dst, byte(tag>>8))
	}
	dst = append(dst, byte(tag))
	switch n := len(value); {
	case n > 0xFF:
		dst = append(dst, 0x82, byte(n>>8), byte(n))
	case n > 0x7F:
		dst = append(dst, 0x81, byte(n))
	default:
		dst = append(dst, byte(n))
	}
	return append(dst, value...)
}

// Walk calls visit for every node and all nodes inside it, in the order of
// the bytes, with depth 0 for the given ones. It stops when visit says so.
func Walk(nodes []Node, visit func(n Node, depth int) bool) bool { return walk(nodes, 0, visit) }

func walk(nodes []Node, depth int, visit func(Node, int) bool) bool {
	for _, n := range nodes {
		if !visit(n, depth) || !walk(n.Kids, depth+1, visit) {
			return false
		}
	}
	return true
}
