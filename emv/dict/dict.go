// Package dict is the dictionary of data elements: those of the scheme (scheme
// 3.4, 3.5, 4.1, 4.2, 9.1) and, under the same roof but apart, those of the public
// EMV books. The kernel checks a phone's answers against the scheme's rows, Trace
// makes log lines from them, and Decode explains any bytes of a dialogue in words.
//
// It refuses to show what it does not know to be harmless: unknown objects and
// whatever cannot be parsed appear as a length. Account numbers, tracks, names and
// PINs are never shown whole, whatever is asked for. The rows of the books name
// and explain; they never make an object known to the kernel.
package dict

import (
	"fmt"

	"tapkeeper/emv/tlv"
)

// Source is the answer that an element comes in, or the terminal.
type Source byte

// Sources of elements.
const (
	FromTerminal   Source = iota // scheme 4.1
	FromFCI                      // SELECT answer, scheme 3.5
	FromGPO                      // scheme 4.2 from here on
	FromRecord                   // signed or not
	FromGenerateAC               // GENERATE AC or RECOVER
	FromEvidence                 // parts of the evidence record, scheme 9.1
	FromDirectory                // entries of the PPSE answer, scheme 3.4
	FromCard                     // some answer of a card that is not of the scheme
	FromIssuer                   // the issuer's host, through the terminal
	FromAny                      // templates, which only hold others
)

// Format is how a value is written (scheme 0, EMV book 3 part II).
type Format byte

// Formats. The zero value is binary.
const (
	Binary       Format = iota // b
	Numeric                    // n: BCD, on the right, filled with 0
	Compressed                 // cn: BCD, on the left, filled with F
	Alphanumeric               // an and ans: text
	Constructed                // other objects
)

// Kernel says whose rule a row is.
type Kernel byte

// Kernels. The zero value is the scheme, whose rows alone bind our kernel.
const (
	Scheme Kernel = iota
	Book          // EMV books 1 to 4 and the public kernel books
)

// Sensitivity is the column "log" of the tables.
type Sensitivity byte

// Sensitivities. The zero value hides.
const (
	Never  Sensitivity = iota // only in the encrypted record store
	Masked                    // first two bytes and the length
	Open                      // may be logged
	Sealed                    // of a cardholder: never shown, whatever is asked for
)

// Element is one row of the tables.
type Element struct {
	Tag      tlv.Tag
	Name     string
	Kernel   Kernel
	Source   Source
	Format   Format      // of Numeric: nibbles above 9 are malformed, and the DOL fits it on the left
	Min, Max int         // allowed lengths
	Step     int         // the length is a multiple of it
	Template tlv.Tag     // that the element usually stands in, 0 for none or several
	Signed   bool        // only in a record that the AFL marks as signed
	PDOL     bool        // must be requested in the PDOL
	CDOL1    bool        // must be requested in the CDOL1
	Log      Sensitivity // in what Trace and Decode show
	form     form        // how Decode explains the value
}

// Fits reports whether the value's length and format are those of the table
// (scheme 0.1 rule 5).
func (e Element) Fits(value []byte) bool {
	return len(value) >= e.Min && len(value) <= e.Max && len(value)%e.Step == 0 && (e.Format != Numeric || tlv.IsBCD(value))
}

// Find looks a tag of the scheme up.
func Find(tag tlv.Tag) (Element, bool) { return FindIn(Scheme, tag) }

// FindIn looks a tag up in the rows of one kernel.
func FindIn(k Kernel, tag tlv.Tag) (Element, bool) {
	i, ok := index[place{k, tag}]
	if !ok {
		return Element{}, false
	}
	return table[i], true
}

// FromPhone looks up a tag that the phone may send: terminal elements in a
// phone's answer count as unknown (scheme 0.1 rule 5).
func FromPhone(tag tlv.Tag) (Element, bool) {
	e, ok := Find(tag)
	switch e.Source {
	case FromFCI, FromGPO, FromRecord, FromGenerateAC:
		return e, ok
	}
	return Element{}, false
}

// Forbidden reports account number, tracks and name, which must never come
// from a phone (scheme 4.2).
func Forbidden(tag tlv.Tag) bool {
	switch tag {
	case 0x5A, 0x57, 0x5F20, 0x9F6B, 0x56:
		return true
	}
	return false
}

// CheckPDOL and CheckCDOL1 report the required elements that a list does not
// request with their own length (scheme 0.1 rule 9).
func CheckPDOL(d tlv.DOL) error { return check(d, "PDOL", func(e Element) bool { return e.PDOL }) }

// CheckCDOL1 is CheckPDOL for the CDOL1.
func CheckCDOL1(d tlv.DOL) error { return check(d, "CDOL1", func(e Element) bool { return e.CDOL1 }) }

func check(d tlv.DOL, what string, required func(Element) bool) error {
	for _, e := range table {
		if required(e) && !d.Requests(e.Tag, e.Max) {
			return fmt.Errorf("%w: %s does not request %v with %d bytes", tlv.ErrMalformed, what, e.Tag, e.Max)
		}
	}
	return nil
}

// Fill builds the data of a DOL from the terminal's elements (scheme 0.1
// rule 9). Elements of table 4.1 that are absent from values count as zeros.
func Fill(d tlv.DOL, values map[tlv.Tag][]byte) ([]byte, error) {
	return d.Fill(func(tag tlv.Tag) ([]byte, tlv.Format, bool) {
		e, ok := Find(tag)
		if !ok || e.Source != FromTerminal {
			return nil, tlv.Binary, false
		}
		format := tlv.Binary
		if e.Format == Numeric {
			format = tlv.Numeric
		}
		return values[tag], format, true
	})
}
