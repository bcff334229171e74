// Package apdu codes the short command and response APDUs of the scheme
// (scheme 5.1) and names their status words (scheme 5.2).
//
// It promises that ParseCommand and Bytes are inverse and that no length is
// taken on trust. It refuses extended lengths, which the scheme never uses. It
// does no chaining: 61xx and 6Cxx belong to who knows the command's meaning.
package apdu

import (
	"errors"
	"fmt"
)

// Command is a command APDU.
type Command struct {
	CLA, INS, P1, P2 byte
	Data             []byte // at most 255 bytes
	Le               int    // bytes expected: 0 none, 256 coded as 00
}

// MaxData is the most that a short command carries.
const MaxData = 255

// MaxLe is the most that a short response may be asked for; it is what the
// scheme always asks for ("Le always 00", scheme 5.1).
const MaxLe = 256

// ErrMalformed is wrapped by every error of this package.
var ErrMalformed = errors.New("malformed APDU")

// Bytes codes the command. Data beyond MaxData or an Le beyond MaxLe has no
// short coding; that is the caller's error and panics.
func (c Command) Bytes() []byte {
	if len(c.Data) > MaxData || c.Le < 0 || c.Le > MaxLe {
		panic("apdu: command has no short coding")
	}
	out := append(make([]byte, 0, 6+len(c.Data)), c.CLA, c.INS, c.P1, c.P2)
	if len(c.Data) > 0 {
		out = append(append(out, byte(len(c.Data))), c.Data...)
	}
	if c.Le > 0 {
		out = append(out, byte(c.Le))
	}
	return out
}

// ParseCommand reads a short command of any of the four cases. Data aliases b.
func ParseCommand(b []byte) (Command, error) {
	if len(b) < 4 {
		return Command{}, fmt.Errorf("%w: command of %d bytes", ErrMalformed, len(b))
	}
	c := Command{CLA: b[0], INS: b[1], P1: b[2], P2: b[3]}
	rest := b[4:]
	switch {
	case len(rest) == 0:
		return c, nil
	case len(rest) == 1:
		c.Le = expected(rest[0])
		return c, nil
	case rest[0] == 0:
		return Command{}, fmt.Errorf("%w: extended or empty length", ErrMalformed)
	}
	n := int(rest[0])
	switch len(rest) {
	case 1 + n:
	case 2 + n:
		c.Le = expected(rest[1+n])
	default:
		return Command{}, fmt.Errorf("%w: Lc %d with %d bytes after it", ErrMalformed, n, len(rest)-1)
	}
	c.Data = rest[1 : 1+n : 1+n]
	return c, nil
}

func expected(le byte) int {
	if le == 0 {
		return MaxLe
	}
	return int(le)
}

// Response is a response APDU.
type Response struct {
	Data []byte
	SW   SW
}

// ParseResponse splits an answer into data and status word. Data aliases b.
func ParseResponse(b []byte) (Response, error) {
	n := len(b) - 2
	if n < 0 {
		return Response{}, fmt.Errorf("%w: response of %d bytes", ErrMalformed, len(b))
	}
	return Response{Data: b[:n:n], SW: SW(b[n])<<8 | SW(b[n+1])}, nil
}

// Bytes codes the response.
func (r Response) Bytes() []byte {
	out := append(make([]byte, 0, len(r.Data)+2), r.Data...)
	return append(out, byte(r.SW>>8), byte(r.SW))
}
