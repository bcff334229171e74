package readertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"tapkeeper/reader/internal/vpcd"
)

// ErrLeft is returned by Serve when the phone left the field by itself, by a nil answer.
var ErrLeft = errors.New("phone left the field")

// Serve holds phone to the reader at the other end of conn until the reader closes it (nil), the phone leaves
// (ErrLeft), or ctx ends (ctx.Err()). It is the card side of vpcd's wire, which pcscd's virtual driver and
// reader/virtual both speak. Serve closes conn, takes the phone's power away at the end, and returns only when the
// phone's last Transmit has.
func Serve(ctx context.Context, conn net.Conn, phone Phone) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	s := session{phone: phone}
	defer s.power(false)
	in := prompt{conn}
	for {
		frame, err := vpcd.ReadFrame(in)
		if err == nil {
			err = s.handle(conn, frame)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case err == io.EOF, errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
			return nil
		case errors.Is(err, ErrLeft):
			return err
		default:
			return fmt.Errorf("serve a phone: %w", err)
		}
	}
}

type session struct {
	phone Phone
	on    bool
}

func (s *session) power(on bool) {
	switch {
	case on && !s.on:
		s.phone.PowerOn()
	case !on && s.on:
		s.phone.PowerOff()
	}
	s.on = on
}

func (s *session) handle(w io.Writer, frame []byte) error {
	if len(frame) != 1 {
		answer := s.phone.Transmit(frame)
		if answer == nil {
			return ErrLeft
		}
		return vpcd.WriteFrame(w, answer)
	}
	switch frame[0] {
	case vpcd.PowerOff:
		s.power(false)
	case vpcd.PowerOn:
		s.power(true)
	case vpcd.Reset:
		s.power(false)
		s.power(true)
	case vpcd.GetATR:
		return vpcd.WriteFrame(w, atrOf(s.phone))
	}
	return nil // an unknown control code has no answer that a reader would wait for
}

// prompt asks the kernel, before each read, to acknowledge at once. Debian's vpcd driver sends length and payload
// apart; without this each frame waits 44 ms for a delayed ACK (with it: 0.12 ms).
type prompt struct{ net.Conn }

func (p prompt) Read(b []byte) (int, error) {
	if tcp, ok := p.Conn.(*net.TCPConn); ok {
		quickACK(tcp)
	}
	return p.Conn.Read(b)
}
