package tlv

import "fmt"

// Element is one request of a data object list.
type Element struct {
	Tag    Tag
	Length int
}

// DOL is a data object list: PDOL or CDOL1.
type DOL []Element

// MaxDOLData is the largest total of data a list may request (scheme 0.1 rule 9).
const MaxDOLData = 250

// Format says how a value is fitted to another length (scheme 0.1 rule 9).
type Format byte

// The formats that differ in fitting.
const (
	Binary  Format = iota // b and an: cut and filled on the right
	Numeric               // n: cut and filled on the left
)

// ParseDOL reads a list; the total of the requested data is bounded by
// MaxDOLData.
func ParseDOL(b []byte) (DOL, error) {
	var (
		list  DOL
		total int
	)
	for at := 0; at < len(b); {
		tag, n, err := readTag(b[at:])
		if err != nil {
			return nil, fmt.Errorf("%w at byte %d of a DOL", err, at)
		}
		at += n
		if at >= len(b) || b[at] > 0x7F {
			return nil, fmt.Errorf("%w: length at byte %d of a DOL", ErrMalformed, at)
		}
		list = append(list, Element{Tag: tag, Length: int(b[at])})
		total += int(b[at])
		at++
	}
	if total > MaxDOLData {
		return nil, fmt.Errorf("%w: DOL requests %d bytes", ErrMalformed, total)
	}
	return list, nil
}

// Size is the number of bytes that the list requests.
func (d DOL) Size() int {
	total := 0
	for _, e := range d {
		total += e.Length
	}
	return total
}

// Requests reports whether the list requests the tag with exactly that length.
func (d DOL) Requests(tag Tag, length int) bool {
	for _, e := range d {
		if e.Tag == tag && e.Length == length {
			return true
		}
	}
	return false
}

// Find returns the part of data, made for this list, that belongs to the first
// request of tag with that length.
func (d DOL) Find(data []byte, tag Tag, length int) ([]byte, bool) {
	at := 0
	for _, e := range d {
		if at+e.Length > len(data) {
			return nil, false
		}
		if e.Tag == tag && e.Length == length {
			return data[at : at+length : at+length], true
		}
		at += e.Length
	}
	return nil, false
}

// Fill builds the data of the list. A tag that lookup does not know becomes
// zeros; a value of another length is fitted by its format.
func (d DOL) Fill(lookup func(Tag) (value []byte, format Format, known bool)) ([]byte, error) {
	if d.Size() > MaxDOLData {
		return nil, fmt.Errorf("%w: DOL requests %d bytes", ErrMalformed, d.Size())
	}
	out := make([]byte, 0, d.Size())
	for _, e := range d {
		value, format, _ := lookup(e.Tag)
		out = append(out, fit(value, e.Length, format)...)
	}
	return out, nil
}

func fit(value []byte, length int, format Format) []byte {
	if len(value) == length {
		return value
	}
	out := make([]byte, length)
	switch {
	case format == Binary:
		copy(out, value)
	case len(value) > length:
		copy(out, value[len(value)-length:])
	default:
		copy(out[length-len(value):], value)
	}
	return out
}
