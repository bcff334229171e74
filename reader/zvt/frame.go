package zvt

import (
	"bytes"
	"errors"
)

// Control characters of the serial line (ZVT transport PA00P016, 3).
const (
	stx = 0x02
	etx = 0x03
	ack = 0x06
	dle = 0x10
	nak = 0x15
)

const (
	// maxAPDU is the longest message: control field, three bytes of length, and what two bytes can count.
	maxAPDU = 5 + 0xFFFF
	// longLength is the length byte that says that two more follow, the lower one first (PA00P015, 2).
	longLength = 0xFF
)

// crcTables are of CRC-16/KERMIT: x^16+x^12+x^5+1, reflected, from zero; the table at i is for a byte with i bytes
// behind it, so that eight bytes go at once.
var crcTables = func() (t [8][256]uint16) {
	for i := range t[0] {
		c := uint16(i)
		for range 8 {
			if c&1 != 0 {
				c = c>>1 ^ 0x8408
			} else {
				c >>= 1
			}
		}
		t[0][i] = c
	}
	for k := 1; k < len(t); k++ {
		for i := range t[k] {
			t[k][i] = t[k-1][i]>>8 ^ t[0][byte(t[k-1][i])]
		}
	}
	return t
}()

func crcOf(c uint16, b []byte) uint16 {
	t := &crcTables
	for ; len(b) >= 8; b = b[8:] {
		c = t[7][b[0]^byte(c)] ^ t[6][b[1]^byte(c>>8)] ^ t[5][b[2]] ^ t[4][b[3]] ^ t[3][b[4]] ^ t[2][b[5]] ^ t[1][b[6]] ^ t[0][b[7]]
	}
	for _, x := range b {
		c = c>>8 ^ t[0][byte(c)^x]
	}
	return c
}

// AppendFrame appends a message as a serial line carries it: 10 02, the message with each 10 doubled, 10 03, and the
// check sum over the message and the 03, its lower byte first.
func AppendFrame(dst, apdu []byte) []byte {
	dst = append(dst, dle, stx)
	for rest := apdu; ; {
		i := bytes.IndexByte(rest, dle)
		if i < 0 {
			dst = append(dst, rest...)
			break
		}
		dst = append(append(dst, rest[:i+1]...), dle)
		rest = rest[i+1:]
	}
	c := crcOf(crcOf(0, apdu), []byte{etx})
	return append(dst, dle, etx, byte(c), byte(c>>8))
}

// Signal is what came on the line.
type Signal int

// The signals. Acknowledge and Refuse are single bytes of the serial line; TCP has none.
const (
	Nothing     Signal = iota // more bytes must come
	Message                   // a whole message
	Acknowledge               // 06
	Refuse                    // 15
	Damaged                   // a frame with a wrong check sum or length
)

// Decoder cuts what a line brings into messages, however it came in pieces. The zero value is for TCP, where messages
// follow each other bare. It keeps no more than two messages, and allocates nothing once it has grown to the messages
// that come.
type Decoder struct {
	Serial bool

	in   []byte
	from int
	out  []byte
}

// errFull: more was given than two messages can have, without Next in between.
var errFull = errors.New("more bytes than a message can have")

// Write takes bytes of the line.
func (d *Decoder) Write(b []byte) (int, error) {
	if d.from > 0 {
		d.in = append(d.in[:0], d.in[d.from:]...)
		d.from = 0
	}
	if len(d.in)+len(b) > 4*maxAPDU { // all bytes of two messages doubled
		return 0, errFull
	}
	d.in = append(d.in, b...)
	return len(b), nil
}

// Reset forgets what has not become a message.
func (d *Decoder) Reset() { d.in, d.from = d.in[:0], 0 }

// Pending says that a message has begun and has not ended.
func (d *Decoder) Pending() bool { return d.from < len(d.in) }

// Next is the next signal; the message, undoubled, is valid until the next call.
func (d *Decoder) Next() (Signal, []byte) {
	if d.Serial {
		return d.nextSerial()
	}
	b := d.in[d.from:]
	n := sizeOf(b)
	if n == 0 || n > len(b) {
		return Nothing, nil
	}
	d.from += n
	return Message, b[:n]
}

// sizeOf is how long the message that begins here is, 0 when that is not known yet.
func sizeOf(b []byte) int {
	switch {
	case len(b) < 3:
		return 0
	case b[2] != longLength:
		return 3 + int(b[2])
	case len(b) < 5:
		return 0
	}
	return 5 + int(b[3]) + int(b[4])<<8
}

func (d *Decoder) nextSerial() (Signal, []byte) {
	for d.from < len(d.in) {
		b := d.in[d.from:]
		switch b[0] {
		case ack, nak:
			d.from++
			if b[0] == ack {
				return Acknowledge, nil
			}
			return Refuse, nil
		case dle:
			if len(b) < 2 {
				return Nothing, nil
			}
			if b[1] == stx {
				return d.frame(b)
			}
		}
		d.from++ // noise between frames
	}
	return Nothing, nil
}

// frame takes the frame at the beginning of b.
func (d *Decoder) frame(b []byte) (Signal, []byte) {
	d.out = d.out[:0]
	for i := 2; ; {
		k := bytes.IndexByte(b[i:], dle)
		if k < 0 || i+k+1 >= len(b) {
			return d.unfinished(b)
		}
		d.out = append(d.out, b[i:i+k]...)
		i += k
		switch b[i+1] {
		case dle:
			d.out = append(d.out, dle)
			i += 2
			continue
		case etx:
		case stx: // the frame before was cut off
			d.from += i
			return Damaged, nil
		default:
			d.from += i + 2
			return Damaged, nil
		}
		if i+4 > len(b) {
			return d.unfinished(b)
		}
		d.from += i + 4
		sum := crcOf(crcOf(0, d.out), []byte{etx})
		if byte(sum) != b[i+2] || byte(sum>>8) != b[i+3] || sizeOf(d.out) != len(d.out) {
			return Damaged, nil
		}
		return Message, d.out
	}
}

// unfinished waits for the rest, unless no rest could make it a message.
func (d *Decoder) unfinished(b []byte) (Signal, []byte) {
	if len(d.out) <= maxAPDU && len(b) <= 2*maxAPDU+6 {
		return Nothing, nil
	}
	d.from += 2
	return Damaged, nil
}
