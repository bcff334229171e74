package zvt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Line is the way to a terminal: a *serialport.Port or a net.Conn. Its Read never returns (0, nil), and ends when
// SetReadDeadline is called with a time that has passed.
type Line interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

// Times of the protocol (PA00P016, 4; PA00P015, 2.3).
const (
	byteWait = 200 * time.Millisecond // T1: between two bytes of a frame
	tcpWait  = 5 * time.Second        // and between two pieces of a message on TCP, where packets are lost and sent again
	// repeats of a frame that was not acknowledged.
	repeats = 2
	// readSize is what one read may bring; a print block has a few thousand bytes.
	readSize = 4096
)

// times are those that a test shortens.
type times struct {
	ack   time.Duration // T2: for the acknowledgement of a frame
	done  time.Duration // T3: for 80 00 or 84 xx
	next  time.Duration // T4: for the next message of the terminal
	store time.Duration // what keeping a booking may take before the terminal is asked to wait: less than T3
	stop  time.Duration // for a word on what was to be stopped
	busy  time.Duration // the pause before a terminal that asked to wait gets the command again (84 9C)
	idle  time.Duration // between two looks at a terminal that nobody uses
}

func protocol() times {
	const s = time.Second
	return times{ack: 5 * s, done: 5 * s, next: 180 * s, store: 3 * s, stop: 10 * s, busy: 2 * s, idle: 2 * s}
}

var (
	// errNoAnswer: the terminal says nothing.
	errNoAnswer = errors.New("the terminal does not answer")
	// errCut: the line to the terminal is no more.
	errCut = errors.New("the line to the terminal was cut")
	// errSpoilt: the line spoils what is sent.
	errSpoilt = errors.New("the line spoils messages")
)

// link carries messages over a line. One goroutine uses it; interrupt may come from any.
type link struct {
	line    Line
	serial  bool
	once    bool // nothing is sent twice, to what may be another device
	times   times
	decoder Decoder
	buf     []byte
	out     []byte
	early   []byte // a message that came instead of an acknowledgement

	mu          sync.Mutex
	interrupted bool
}

func newLink(line Line, serial bool, t times) *link {
	return &link{line: line, serial: serial, times: t, decoder: Decoder{Serial: serial}, buf: make([]byte, readSize)}
}

// interrupt ends a wait now, and each later one: the client is being closed.
func (l *link) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupted = true
	_ = l.line.SetReadDeadline(time.Unix(1, 0))
}

func (l *link) until(t time.Time) (ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.interrupted {
		_ = l.line.SetReadDeadline(t)
	}
	return !l.interrupted
}

// signal is the next signal before the deadline. os.ErrDeadlineExceeded is returned at the deadline or an interrupt.
func (l *link) signal(deadline time.Time) (Signal, []byte, error) {
	for {
		if s, m := l.decoder.Next(); s != Nothing {
			return s, m, nil
		}
		end := deadline
		if l.decoder.Pending() {
			gap := tcpWait
			if l.serial {
				gap = byteWait
			}
			if soon := time.Now().Add(gap); soon.Before(end) {
				end = soon
			}
		}
		if !l.until(end) {
			return Nothing, nil, os.ErrDeadlineExceeded
		}
		n, err := l.line.Read(l.buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && end.Before(deadline) && !l.isInterrupted():
			if l.decoder.Reset(); !l.serial {
				return Nothing, nil, errSpoilt
			}
			return Damaged, nil, nil // a frame that stopped in the middle
		case errors.Is(err, os.ErrDeadlineExceeded):
			return Nothing, nil, err
		case err != nil:
			return Nothing, nil, fmt.Errorf("%w: %w", errCut, err)
		}
		if _, err := l.decoder.Write(l.buf[:n]); err != nil {
			return Nothing, nil, fmt.Errorf("%w: %w", errSpoilt, err)
		}
	}
}

func (l *link) isInterrupted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.interrupted
}

// receive is the next message before the deadline. It is acknowledged on the line, which says nothing about what it
// means.
func (l *link) receive(deadline time.Time) (Msg, error) {
	spoilt := 0
	for {
		s, raw, err := Message, l.early, error(nil)
		if l.early = nil; raw == nil {
			s, raw, err = l.signal(deadline)
		}
		if err != nil {
			return Msg{}, err
		}
		switch s {
		case Message:
			if err := l.single(ack); err != nil {
				return Msg{}, err
			}
			return Decode(bytes.Clone(raw))
		case Damaged:
			if spoilt++; spoilt > repeats {
				return Msg{}, errSpoilt
			}
			if err := l.single(nak); err != nil {
				return Msg{}, err
			}
		}
	}
}

func (l *link) single(b byte) error {
	if !l.serial {
		return nil
	}
	return l.write([]byte{b})
}

func (l *link) write(b []byte) error {
	if _, err := l.line.Write(b); err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	return nil
}

// send sends a message. On a serial line it is repeated until it is acknowledged; when the terminal's own message
// comes instead, that is proof that ours has arrived, and it is left to receive.
func (l *link) send(m Msg) error {
	raw, err := m.Append(nil)
	if err != nil {
		return err
	}
	if !l.serial {
		return l.write(raw)
	}
	l.out = AppendFrame(l.out[:0], raw)
	tries := 1 + repeats
	if l.once {
		tries = 1
	}
	for range tries {
		if err := l.write(l.out); err != nil {
			return err
		}
		taken, err := l.taken(time.Now().Add(l.times.ack))
		if taken || err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %v was not acknowledged", errNoAnswer, m.Control)
}

func (l *link) taken(deadline time.Time) (bool, error) {
	for {
		s, raw, err := l.signal(deadline)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !l.isInterrupted():
			return false, nil
		case err != nil:
			return false, err
		}
		switch s {
		case Acknowledge:
			return true, nil
		case Refuse:
			return false, nil
		case Message:
			l.early = bytes.Clone(raw)
			return true, nil
		}
	}
}
