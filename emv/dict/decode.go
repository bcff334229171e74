package dict

import (
	"errors"
	"fmt"
	"strings"

	"tapkeeper/emv/tlv"
)

// Kind is what bytes are read as.
type Kind string

// Kinds that Decode knows.
const (
	TLV         Kind = "tlv"
	DOL         Kind = "dol"
	TVR         Kind = "tvr" // also the action codes
	TSI         Kind = "tsi"
	AIP         Kind = "aip"
	AFL         Kind = "afl"
	CVM         Kind = "cvm" // results (three bytes) or a CVM list
	CID         Kind = "cid"
	IAD         Kind = "iad"
	SW          Kind = "sw"
	ATR         Kind = "atr"
	CAPDU       Kind = "capdu"
	RAPDU       Kind = "rapdu"
	Certificate Kind = "certificate" // issuer's or device's (scheme 2.1, 2.2)
	Grant       Kind = "grant"       // scheme 2.3
	Record      Kind = "record"      // evidence, BF8B01 (scheme 9.1)
)

// Options of Decode. The zero value guesses the kind, reads by the scheme and masks.
type Options struct {
	Kind    Kind              // empty: guess
	Kernel  Kernel            // whose coding, where the scheme and the books differ
	Unmask  bool              // show what is masked; account numbers, tracks, names and PINs stay hidden
	Command []byte            // the C-APDU that an R-APDU answers
	List    []byte            // the DOL that a C-APDU's data was made for
	Reason  func(byte) string // the words of a reason (scheme 10)
}

// Report is what Decode has read.
type Report struct {
	Kind   Kind   `json:"kind"`
	Length int    `json:"length"`
	Items  []Item `json:"items"`
}

// Item is one object, field or bit.
type Item struct {
	At     int    `json:"at"`              // first byte in the input
	Length int    `json:"length"`          // of the value
	Tag    string `json:"tag,omitempty"`   // or a bit, as B1b7
	Name   string `json:"name,omitempty"`  //
	Value  string `json:"value,omitempty"` // hex, as much as may be shown
	Masked bool   `json:"masked,omitempty"`
	Words  string `json:"words,omitempty"` // what the value means
	Items  []Item `json:"items,omitempty"`
}

const (
	// MaxInput is far above the longest APDU of the scheme; what is longer is not
	// from a tap.
	MaxInput = 1 << 14
	// maxNesting bounds the recursion; EMV data nests four deep at most.
	maxNesting = 8
)

// ErrUnclear says that bytes may be several things; the error's text names them.
var ErrUnclear = errors.New("cannot tell what this is")

// decoder is one run of Decode.
type decoder struct {
	Options
	depth  int
	pdol   []byte // seen in the same input: what explains the data made for it
	cdol1  []byte
	budget int // parts of data that lists may still name: one list may explain many values
}

// Decode explains bytes. An error names the first byte that cannot be read and
// never quotes a value.
func Decode(b []byte, o Options) (Report, error) {
	if len(b) == 0 {
		return Report{}, errors.New("no bytes")
	}
	if len(b) > MaxInput {
		return Report{}, fmt.Errorf("%d bytes, at most %d are read", len(b), MaxInput)
	}
	d := &decoder{Options: o, budget: len(b)}
	if d.Kind == "" {
		kind, err := d.guess(b)
		if err != nil {
			return Report{}, err
		}
		d.Kind = kind
	}
	items, err := d.whole(b)
	if err != nil {
		return Report{}, fmt.Errorf("not readable as %s: %w", d.Kind, err)
	}
	return Report{Kind: d.Kind, Length: len(b), Items: items}, nil
}

// whole reads all of b as the kind.
func (d *decoder) whole(b []byte) ([]Item, error) {
	switch d.Kind {
	case TLV:
		return d.objects(b, 0)
	case Record:
		return d.evidence(b)
	case DOL:
		return d.list(b, 0)
	case ATR:
		return readATR(b)
	case CAPDU:
		return d.command(b)
	case RAPDU:
		return d.response(b)
	case Certificate, Grant:
		return d.layout(b, 0)
	case SW:
		if len(b) != 2 {
			return nil, fmt.Errorf("%d bytes, want 2", len(b))
		}
		return []Item{d.status(b, 0)}, nil
	}
	var want string
	for _, k := range simpleKinds {
		if k.kind == d.Kind {
			want = k.want
			if row, _ := d.find(k.tag); k.fits(len(b)) {
				return []Item{d.element(row, b, 0)}, nil
			}
		}
	}
	if want != "" {
		return nil, fmt.Errorf("%d bytes, want %s", len(b), want)
	}
	return nil, fmt.Errorf("unknown kind; one of %s", strings.Join(Kinds(), ", "))
}

// simpleKinds are kinds that are the value of one element.
var simpleKinds = []struct {
	kind Kind
	tag  tlv.Tag
	want string
	fits func(length int) bool
}{
	{TVR, 0x95, "5", func(n int) bool { return n == 5 }},
	{TSI, 0x9B, "2", func(n int) bool { return n == 2 }},
	{AIP, 0x82, "2", func(n int) bool { return n == 2 }},
	{AFL, 0x94, "a multiple of 4, at most 252", func(n int) bool { return n%4 == 0 && n <= 252 }},
	{CID, 0x9F27, "1", func(n int) bool { return n == 1 }},
	{IAD, 0x9F10, "18 in the scheme, at most 32 in the books", func(n int) bool { return n <= 32 }},
	{CVM, 0x9F34, "3 for results, an even number from 10 on for a list", func(n int) bool { return n == 3 }},
	{CVM, 0x8E, "3 for results, an even number from 10 on for a list", func(n int) bool { return n >= 10 && n%2 == 0 }},
}

// Kinds lists what Decode knows, for people.
func Kinds() []string {
	var list []string
	for _, k := range []Kind{TLV, DOL, TVR, TSI, AIP, AFL, CVM, CID, IAD, SW, ATR, CAPDU, RAPDU, Certificate, Grant, Record} {
		list = append(list, string(k))
	}
	return list
}

// find looks a tag up for this run: the rows of its kernel, then the others.
func (d *decoder) find(tag tlv.Tag) (Element, bool) {
	first, second := Scheme, Book
	if d.Kernel == Book {
		first, second = Book, Scheme
	}
	if e, ok := FindIn(first, tag); ok {
		return e, true
	}
	return FindIn(second, tag)
}
