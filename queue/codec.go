package queue

import (
	"encoding/binary"
	"errors"
)

var errLayout = errors.New("layout not understood")

func appendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// parser takes fields off the front of decrypted bytes. The first field that
// is not there fails it; later fields are then zero.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) bytes(n uint64) []byte {
	if p.bad || n > uint64(len(p.rest)) {
		p.bad = true
		return nil
	}
	out := p.rest[:n:n]
	p.rest = p.rest[n:]
	return out
}

func (p *parser) uvarint() uint64 {
	if p.bad {
		return 0
	}
	v, n := binary.Uvarint(p.rest)
	if n <= 0 {
		p.bad = true
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) uint64() uint64 {
	b := p.bytes(8)
	if p.bad {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func (p *parser) string() string { return string(p.bytes(p.uvarint())) }

func (p *parser) byte() byte {
	b := p.bytes(1)
	if p.bad {
		return 0
	}
	return b[0]
}

func (p *parser) hash() (h [32]byte) {
	copy(h[:], p.bytes(32))
	return h
}

// end fails unless every byte was taken.
func (p *parser) end() error {
	if p.bad || len(p.rest) != 0 {
		return errLayout
	}
	return nil
}
