package dict

import (
	"fmt"
	"strings"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/tlv"
)

// guess finds the one kind that bytes are, or says which they may be. What is
// certain by its form comes first: a check byte, an instruction, a format byte.
func (d *decoder) guess(b []byte) (Kind, error) {
	switch {
	case isATR(b):
		return ATR, nil
	case isCommand(b):
		return CAPDU, nil
	case len(b) == 122 && b[0] == 0xA2 && b[1] == 0xE1, len(b) == deviceCertificateSize && b[0] == 0xA4 && b[1] == 0xE1:
		return Certificate, nil
	case len(b) == 126 && b[0] == 0xA6 && b[1] == 0xE1:
		return Grant, nil
	case len(b) == 18 && b[0] == 0xB1:
		return IAD, nil
	}
	if kind, ok := d.guessObjects(b); ok {
		return kind, nil
	}
	return guessSize(b)
}

// guessObjects tells objects, answers and lists apart, which may all parse.
func (d *decoder) guessObjects(b []byte) (Kind, bool) {
	if len(b) > 3 && b[0] == 0xBF && b[1] == 0x8B && b[2] == 0x01 {
		return Record, true
	}
	if n := len(b) - 2; n > 0 && looksLikeStatus(b[n:]) && parses(b[:n]) && (b[n] == 0x90 || !parses(b)) {
		return RAPDU, true
	}
	list := len(b) > 2 && d.sensibleList(b)
	if parses(b) && (!list || d.sensible(b)) {
		return TLV, true
	}
	if list {
		return DOL, true
	}
	// A template that is cut or damaged is best explained by where it breaks.
	if row, ok := FindIn(Scheme, tlv.Tag(b[0])); len(b) > 5 && ok && row.Format == Constructed {
		return TLV, true
	}
	return "", false
}

// parses reports whether b is one or more objects.
func parses(b []byte) bool {
	for at := 0; at < len(b); {
		if b[at] == 0 {
			return false
		}
		_, n, err := next(b[at:], at)
		if err != nil {
			return false
		}
		at += n
	}
	return len(b) > 1
}

// sensible reports objects that are all known and as long as they should be.
func (d *decoder) sensible(b []byte) bool {
	for at := 0; at < len(b); {
		o, n, err := next(b[at:], at)
		if err != nil {
			return false
		}
		if row, known := d.find(o.tag); !known || !row.Fits(o.value) {
			return false
		}
		at += n
	}
	return true
}

// sensibleList reports a list of which at least half the tags are known.
func (d *decoder) sensibleList(b []byte) bool {
	items, err := d.list(b, 0)
	known := 0
	for _, item := range items {
		if item.Name != "unknown" {
			known++
		}
	}
	return err == nil && known*2 >= len(items)
}

// isCommand reports a C-APDU with a class and an instruction that are in use.
func isCommand(b []byte) bool {
	c, err := apdu.ParseCommand(b)
	if err != nil || len(b) < 5 && c.INS != 0x16 && c.INS != 0x18 && c.INS != 0x1E {
		return false
	}
	_, known := instructionNames[c.INS]
	switch c.CLA {
	case 0x00, 0x04, 0x80, 0x84, 0x8C, 0x90:
		return known
	case 0xFF:
		return c.INS == insGetData
	}
	return false
}

// guessSize is the last resort: values that only their size speaks for.
func guessSize(b []byte) (Kind, error) {
	var may []Kind
	switch n := len(b); {
	case n == 1 && b[0]&0x3F == 0:
		return CID, nil
	case n == 1:
		may = []Kind{CID}
	case n == 2 && looksLikeStatus(b):
		return SW, nil
	case n == 2:
		may = []Kind{AIP, TSI, SW}
	case n == 3 && b[2] <= 2: // the outcome of a method
		return CVM, nil
	case n == 5:
		return TVR, nil
	case n%4 == 0 && n <= 252 && isAFL(b):
		return AFL, nil
	case n >= 10 && n%2 == 0 && n <= 64 && b[0] == 0:
		return CVM, nil
	}
	var words []string
	for _, k := range may {
		words = append(words, string(k))
	}
	if len(words) == 0 {
		return "", fmt.Errorf("%w: byte 0: %s", ErrUnclear, whyNot(b))
	}
	return "", fmt.Errorf("%w: %d bytes may be %s", ErrUnclear, len(b), strings.Join(words, ", "))
}

func isAFL(b []byte) bool {
	for i := 0; i+4 <= len(b); i += 4 {
		if !validFile(b[i : i+4]) {
			return false
		}
	}
	return true
}

// whyNot is where reading b as objects, the commonest kind, breaks.
func whyNot(b []byte) string {
	for at := 0; at < len(b); {
		if b[at] == 0 {
			return fmt.Sprintf("no known command, and read as tlv it breaks at byte %d: 00 is no tag", at)
		}
		_, n, err := next(b[at:], at)
		if err != nil {
			return "no known command, and read as tlv it breaks at " + err.Error()
		}
		at += n
	}
	return "one byte alone"
}
