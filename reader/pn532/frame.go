package pn532

import (
	"bytes"
	"encoding/binary"
)

// The frames of the chip's serial line (PN532 user manual 6.2.1).
const (
	fromHost = 0xD4 // TFI of a command
	fromChip = 0xD5 // TFI of an answer
	failure  = 0x7F // the only byte of an error frame

	// maxBody is TFI and data of the longest frame (user manual 6.2.1.2).
	maxBody = 265
	// maxFrame is the longest frame with preamble, extended header, check byte and postamble.
	maxFrame = maxBody + 10
)

// kind is what a frame is.
type kind int

const (
	noFrame kind = iota
	ackFrame
	nackFrame
	errorFrame // the chip did not understand the last frame
	infoFrame  // a command or an answer
	badFrame   // its check byte is wrong
)

// ack also ends the command that the chip works on.
var (
	ack       = []byte{0x00, 0x00, 0xFF, 0x00, 0xFF, 0x00}
	nack      = []byte{0x00, 0x00, 0xFF, 0xFF, 0x00, 0x00}
	startCode = []byte{0x00, 0xFF}
)

// appendFrame appends the frame of a command. It is extended where it must be: not all chips' clones take extended
// frames that could be normal ones.
func appendFrame(dst []byte, code byte, parts ...[]byte) []byte {
	n := 2
	for _, p := range parts {
		n += len(p)
	}
	dst = append(dst, 0x00, 0x00, 0xFF)
	if n <= 0xFF {
		dst = append(dst, byte(n), -byte(n))
	} else {
		dst = append(dst, 0xFF, 0xFF, byte(n>>8), byte(n), -(byte(n>>8) + byte(n)))
	}
	from := len(dst)
	dst = append(dst, fromHost, code)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return append(dst, -sum(dst[from:]), 0x00)
}

func sum(b []byte) byte {
	var s byte
	for len(b) >= 8 {
		n := min(len(b)/8, 255) // eight bytes at once; a lane takes 255 of them before it runs over
		var even, odd uint64
		for range n {
			w := binary.LittleEndian.Uint64(b)
			even += w & 0x00FF00FF00FF00FF
			odd += w >> 8 & 0x00FF00FF00FF00FF
			b = b[8:]
		}
		for lane := 0; lane < 64; lane += 16 {
			s += byte(even>>lane) + byte(odd>>lane)
		}
	}
	for _, c := range b {
		s += c
	}
	return s
}

// parser finds frames in what the line brings, however it was cut into reads. It holds no more than two frames and
// allocates nothing.
type parser struct {
	buf      [2 * maxFrame]byte
	from, to int
	foreign  int // bytes that belong to no frame
}

// space is where the next read goes.
func (p *parser) space() []byte {
	if p.from > 0 {
		copy(p.buf[:], p.buf[p.from:p.to])
		p.to -= p.from
		p.from = 0
	}
	return p.buf[p.to:]
}

// added takes what was read into space.
func (p *parser) added(n int) { p.to += n }

func (p *parser) reset() { p.from, p.to, p.foreign = 0, 0, 0 }

// next is the next whole frame, or noFrame. The body, TFI and data, is valid until space is called.
func (p *parser) next() (kind, []byte) {
	for {
		b := p.buf[p.from:p.to]
		i := bytes.Index(b, startCode)
		if i < 0 {
			if n := len(b); n > 0 && b[n-1] == 0x00 {
				p.skip(n - 1) // half a start code, perhaps
			} else {
				p.skip(n)
			}
			return noFrame, nil
		}
		p.skip(i)
		k, size, body := parse(p.buf[p.from:p.to])
		switch {
		case size == 0:
			return noFrame, nil
		case k == noFrame:
			p.skip(size)
			continue
		}
		p.from += size
		return k, body
	}
}

func (p *parser) skip(n int) {
	for _, c := range p.buf[p.from : p.from+n] {
		if c != 0x00 { // preamble and postamble are of any length
			p.foreign++
		}
	}
	p.from += n
}

// parse reads a frame from its start code on. A size of 0 says that more bytes must come; noFrame with a size, that
// these bytes are no frame.
func parse(b []byte) (k kind, size int, body []byte) {
	if len(b) < 4 {
		return noFrame, 0, nil
	}
	switch {
	case b[2] == 0x00 && b[3] == 0xFF:
		return ackFrame, 4, nil
	case b[2] == 0xFF && b[3] == 0x00:
		return nackFrame, 4, nil
	}
	head, n := 4, int(b[2])
	switch {
	case b[2] == 0xFF && b[3] == 0xFF:
		if len(b) < 7 {
			return noFrame, 0, nil
		}
		head, n = 7, int(b[4])<<8|int(b[5])
		if b[4]+b[5]+b[6] != 0 {
			return noFrame, 2, nil
		}
	case b[2]+b[3] != 0:
		return noFrame, 2, nil
	}
	if n == 0 || n > maxBody {
		return noFrame, 2, nil
	}
	size = head + n + 1
	if len(b) < size {
		return noFrame, 0, nil
	}
	body = b[head : head+n]
	switch {
	case sum(b[head:size]) != 0:
		return badFrame, size, body
	case n == 1 && body[0] == failure:
		return errorFrame, size, body
	}
	return infoFrame, size, body
}
