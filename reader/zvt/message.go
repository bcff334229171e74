package zvt

import "fmt"

// Control is what a message is: CLASS and INSTR (PA00P015, 2).
type Control uint16

// The messages of this package. The first ones are of the cash register, the last ones of the terminal.
const (
	Registration  Control = 0x0600
	Authorisation Control = 0x0601
	LogOff        Control = 0x0602
	RepeatReceipt Control = 0x0620
	Reversal      Control = 0x0630
	Refund        Control = 0x0631
	EndOfDay      Control = 0x0650
	Diagnosis     Control = 0x0670
	Initialise    Control = 0x0693
	Abort         Control = 0x06B0
	StatusEnquiry Control = 0x0501

	Done         Control = 0x8000 // a command or a message was taken
	IntermStatus Control = 0x04FF
	StatusInfo   Control = 0x040F
	PrintLine    Control = 0x06D1
	PrintBlock   Control = 0x06D3
	Completion   Control = 0x060F
	Aborted      Control = 0x061E
)

// negative is the class of refusals: 84 and a reason.
const negative = 0x84

var controlNames = map[Control]string{
	Registration: "registration", Authorisation: "authorisation", LogOff: "log-off", RepeatReceipt: "repeat receipt",
	Reversal: "reversal", Refund: "refund", EndOfDay: "end of day", Diagnosis: "diagnosis", Initialise: "initialisation",
	Abort: "abort", StatusEnquiry: "status enquiry", Done: "command completed", IntermStatus: "intermediate status",
	StatusInfo: "status information", PrintLine: "print line", PrintBlock: "print text block", Completion: "completion",
	Aborted: "abort by the terminal",
}

func (c Control) String() string {
	name, known := controlNames[c]
	if !known {
		name = "message"
		if c>>8 == negative {
			name = "refusal"
		}
	}
	return fmt.Sprintf("%02X %02X %s", byte(c>>8), byte(c), name)
}

// headSize is how many bytes stand before the bitmaps of a message: passwords, configuration bytes, codes. All of an
// unknown message is head.
func headSize(c Control, data []byte) int {
	n := len(data)
	switch c {
	case Registration: // password, configuration, currency
		if n > 3 {
			return min(n, 6)
		}
		return n
	case Reversal, Refund, EndOfDay, RepeatReceipt, StatusEnquiry, Initialise:
		return min(n, 3) // password
	case Authorisation, StatusInfo, PrintBlock, Diagnosis:
		return 0
	case IntermStatus: // status, and a time-out in minutes
		return min(n, 2)
	case Aborted:
		return min(n, 1)
	case Completion:
		return completionHead(data)
	}
	return n
}

// completionHead: the end of a status enquiry has the software's version and the terminal's status before the bitmaps,
// or the status alone (PA00P015, 2.55). No bitmap begins with F, and none fits into one byte.
func completionHead(data []byte) int {
	switch {
	case len(data) == 1:
		return 1
	case len(data) > 3 && data[0]>>4 == 0xF:
		if n, ok := variableLength(data, 3); ok {
			return min(len(data), 3+n+1)
		}
	}
	return 0
}

// Msg is one message, taken apart.
type Msg struct {
	Control Control
	Head    []byte  // what stands before the bitmaps
	Fields  []Field // the bitmaps in their order

	long bool // its length was written in three bytes although one would do
}

// Field is one bitmap.
type Field struct {
	Tag   byte
	Value []byte // digits of BCD, text, or bytes, as the tag has it; nil of a container
	TLV   []TLV  // of the container 06

	form int // how many bytes its length took, where that is not the shortest
}

// TLV is one data object in a container.
type TLV struct {
	Tag   uint16
	Value []byte // nil of a constructed one
	TLV   []TLV

	form int
}

const (
	// container is the bitmap with data objects in it.
	container = 0x06
	// maxDepth of data objects in each other; the specification has three levels.
	maxDepth = 6
	// maxFields bounds what a message may hold; the longest of receipts have a few hundred lines.
	maxFields = 4096
)

// SyntaxError says where a message is not what it should be.
type SyntaxError struct {
	Offset int
	Why    string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("byte %d: %s", e.Offset, e.Why) }

func bad(at int, format string, args ...any) error {
	return &SyntaxError{at, fmt.Sprintf(format, args...)}
}

// fixed are the lengths of bitmaps that have one; llvar and lllvar those with two and three digits of length before them.
var (
	fixed = map[byte]int{
		0x01: 1, 0x02: 1, 0x03: 1, 0x04: 6, 0x05: 1, 0x0B: 3, 0x0C: 3, 0x0D: 2, 0x0E: 2, 0x17: 2, 0x19: 1, 0x27: 1, 0x29: 4,
		0x2A: 15, 0x37: 3, 0x3A: 2, 0x3B: 8, 0x3D: 3, 0x49: 2, 0x87: 2, 0x88: 3, 0x8A: 1, 0x8C: 1, 0xA0: 1, 0xAA: 3, 0xBA: 5,
	}
	variable = map[byte]int{
		0x22: 2, 0x23: 2, 0x2D: 2, 0x4C: 2, 0x8B: 2, 0xA7: 2, 0xD1: 2,
		0x24: 3, 0x2E: 3, 0x3C: 3, 0x60: 3, 0x9A: 3, 0xAF: 3,
	}
)

// Decode takes a whole message apart. Nothing may be left over, and nothing may be missing.
func Decode(b []byte) (Msg, error) {
	if len(b) < 3 {
		return Msg{}, bad(len(b), "a message of %d bytes", len(b))
	}
	size := sizeOf(b)
	switch {
	case size == 0 || size > len(b):
		return Msg{}, bad(len(b), "the message is cut off")
	case size < len(b):
		return Msg{}, bad(size, "%d bytes behind the message", len(b)-size)
	}
	m := Msg{Control: Control(b[0])<<8 | Control(b[1])}
	at := 3
	if b[2] == longLength {
		at, m.long = 5, size-5 < longLength
	}
	head := headSize(m.Control, b[at:])
	m.Head = b[at : at+head]
	at += head
	count := maxFields
	for at < len(b) {
		f, next, err := decodeField(b, at, &count)
		if err != nil {
			return Msg{}, err
		}
		m.Fields = append(m.Fields, f)
		at = next
	}
	return m, nil
}

func decodeField(b []byte, at int, count *int) (f Field, next int, err error) {
	f.Tag = b[at]
	if *count--; *count < 0 {
		return f, 0, bad(at, "more than %d fields", maxFields)
	}
	from, n := at+1, 0
	if size, ok := fixed[f.Tag]; ok {
		n = size
	} else if digits, ok := variable[f.Tag]; ok {
		if n, ok = variableLength(b[from:], digits); !ok {
			return f, 0, bad(from, "the length of bitmap %02X is no %d digits", f.Tag, digits)
		}
		from += digits
	} else if f.Tag == container {
		var size int
		if n, size, err = decodeLength(b, from); err != nil {
			return f, 0, err
		}
		if from += size; size != lengthSize(n) {
			f.form = size
		}
	} else {
		return f, 0, bad(at, "bitmap %02X is unknown", f.Tag)
	}
	if n > len(b)-from {
		return f, 0, bad(len(b), "bitmap %02X of %d bytes is cut off", f.Tag, n)
	}
	if f.Tag != container {
		f.Value = b[from : from+n]
		return f, from + n, nil
	}
	f.TLV, err = decodeTLV(b, from, from+n, maxDepth, count)
	return f, from + n, err
}

// variableLength reads a length whose digits are the lower halves of bytes F0 to F9.
func variableLength(b []byte, digits int) (n int, ok bool) {
	if len(b) < digits {
		return 0, false
	}
	for _, c := range b[:digits] {
		if c>>4 != 0xF || c&0xF > 9 {
			return 0, false
		}
		n = n*10 + int(c&0xF)
	}
	return n, true
}

// decodeLength reads a BER length of up to three bytes.
func decodeLength(b []byte, at int) (n, size int, err error) {
	if at >= len(b) {
		return 0, 0, bad(at, "a length is missing")
	}
	switch c := b[at]; {
	case c < 0x80:
		return int(c), 1, nil
	case c == 0x81 && at+1 < len(b):
		return int(b[at+1]), 2, nil
	case c == 0x82 && at+2 < len(b):
		return int(b[at+1])<<8 | int(b[at+2]), 3, nil
	}
	return 0, 0, bad(at, "a length that begins with %02X", b[at])
}

// lengthSize is how many bytes the shortest form of a length has.
func lengthSize(n int) int {
	switch {
	case n < 0x80:
		return 1
	case n < 0x100:
		return 2
	}
	return 3
}

func decodeTLV(b []byte, at, end, depth int, count *int) ([]TLV, error) {
	if depth == 0 {
		return nil, bad(at, "data objects more than %d deep", maxDepth)
	}
	var list []TLV
	for at < end {
		if *count--; *count < 0 {
			return nil, bad(at, "more than %d fields", maxFields)
		}
		t := TLV{Tag: uint16(b[at])}
		first := b[at]
		if at++; first&0x1F == 0x1F {
			if at >= end || b[at]&0x80 != 0 {
				return nil, bad(at, "a tag that begins with %02X", first)
			}
			t.Tag = t.Tag<<8 | uint16(b[at])
			at++
		}
		n, size, err := decodeLength(b[:end], at)
		if err != nil {
			return nil, err
		}
		if at += size; size != lengthSize(n) {
			t.form = size
		}
		if n > end-at {
			return nil, bad(at, "data object %X of %d bytes is cut off", t.Tag, n)
		}
		if first&0x20 != 0 {
			t.TLV, err = decodeTLV(b, at, at+n, depth-1, count)
		} else {
			t.Value = b[at : at+n]
		}
		if err != nil {
			return nil, err
		}
		list = append(list, t)
		at += n
	}
	return list, nil
}
