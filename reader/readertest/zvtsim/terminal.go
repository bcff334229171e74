// Package zvtsim is a ZVT card terminal in software, at the device's end of a serial line or of TCP. It keeps a booking
// only when its status information and its receipt were answered, reverses it otherwise, and remembers its bookings
// over a loss of power. Faults are made on command, at any message of a dialogue.
package zvtsim

import (
	"errors"
	"io"
	"sync"
	"time"

	"tapkeeper/reader/readertest/line"
	"tapkeeper/reader/zvt"
)

// Line is the device's end of a line; Cut pulls the cable for a moment.
type Line interface {
	io.ReadWriteCloser
	Cut()
}

// Fault is what happens at one message.
type Fault int

// The faults. Before: the message does not arrive. After: it arrives, and is acted on.
const (
	None Fault = iota
	CutBefore
	CutAfter
	PowerBefore // the terminal loses its power
	PowerAfter
	Lost     // the message is lost, and nothing else
	Split    // each byte comes in a read of its own
	Twice    // the message comes twice
	WrongSum // its check sum is wrong, once
	NoACK    // a command is not acknowledged on the line, once
	Busy     // 84 9C instead of 80 00
	Slow     // an intermediate status comes late
)

// Message is one message of a dialogue as a fault is chosen for it.
type Message struct {
	Number   int // from 1, in each dialogue
	Incoming bool
	Control  zvt.Control
}

// Kind is what a booking is.
type Kind string

// The kinds.
const (
	Payment  Kind = "payment"
	Reversal Kind = "reversal"
	Refund   Kind = "refund"
)

// Booking is money that the terminal has moved.
type Booking struct {
	Kind        Kind
	Receipt     int
	Trace       int
	AmountMinor int64
	Currency    []byte // BCD
	At          time.Time
	Reversed    bool
	Of          int // the receipt that a reversal undoes
}

// Terminal is one terminal. Its fields are set before Serve.
type Terminal struct {
	ID       [4]byte       // BCD
	Password [3]byte       // BCD
	Patience time.Duration // for an answer of the cash register; default T3
	Slowness time.Duration // of Slow
	Serial   bool

	mu       sync.Mutex
	decide   func(minor int64) byte
	strikes  func(m Message) Fault
	bookings []Booking
	dayFrom  int // bookings before it belong to closed days
	number   int // of the last receipt
	silent   int // bookings that were reversed because nobody answered

	// Of the dialogue; lost with the power.
	registered bool
	message    int
	decoder    zvt.Decoder
	in         chan chunk
	line       Line
}

type chunk struct {
	b   []byte
	cut bool
}

// New makes a terminal as it leaves the factory.
func New(serial bool) *Terminal {
	return &Terminal{ID: [4]byte{0x12, 0x34, 0x56, 0x78}, Patience: 5 * time.Second, Slowness: time.Second, Serial: serial}
}

// SetDecide chooses the result codes of payments; nil approves all.
func (t *Terminal) SetDecide(decide func(minor int64) byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.decide = decide
}

// SetFault chooses what goes wrong at each message; nil is nothing.
func (t *Terminal) SetFault(choose func(m Message) Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.strikes = choose
}

// Bookings is what the terminal has kept, oldest first.
func (t *Terminal) Bookings() []Booking {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Booking(nil), t.bookings...)
}

// Dropped is how many bookings it has reversed by itself because they were not acknowledged.
func (t *Terminal) Dropped() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.silent
}

// errCut ends a dialogue: the line was cut, or nobody answers.
var errCut = errors.New("cut")

// Serve is the terminal at its end of a line, until the line ends.
func (t *Terminal) Serve(l Line) {
	t.line, t.in = l, make(chan chunk, 64)
	t.decoder = zvt.Decoder{Serial: t.Serial}
	go t.pump(l)
	for {
		t.message = 0
		m, err := t.receive(0)
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			continue
		}
		_ = t.obey(m) // a dialogue that was cut has ended
	}
}

// pump reads the line, and says once when it was cut.
func (t *Terminal) pump(l Line) {
	defer close(t.in)
	cut := false
	for {
		b := make([]byte, 4096)
		n, err := l.Read(b)
		switch {
		case errors.Is(err, line.ErrUnplugged):
			if !cut {
				t.in <- chunk{cut: true}
			}
			cut = true
			time.Sleep(time.Millisecond)
		case err != nil:
			return
		default:
			cut = false
			t.in <- chunk{b: b[:n]}
		}
	}
}

// losePower forgets what is not a booking.
func (t *Terminal) losePower() {
	t.registered = false
	t.decoder.Reset()
}

// fault chooses what happens at the next message.
func (t *Terminal) fault(incoming bool, c zvt.Control) Fault {
	t.message++
	t.mu.Lock()
	choose := t.strikes
	t.mu.Unlock()
	if choose == nil {
		return None
	}
	return choose(Message{t.message, incoming, c})
}

// strike does what a fault says after (or instead of) a message; true ends the dialogue.
func (t *Terminal) strike(f Fault, before bool) bool {
	switch {
	case before && f == PowerBefore, !before && f == PowerAfter:
		t.losePower()
		t.line.Cut()
		return true
	case before && f == CutBefore, !before && f == CutAfter:
		t.line.Cut()
		return true
	}
	return false
}

// receive is the next whole message; 0 waits for ever. The line's own acknowledgement is given here.
func (t *Terminal) receive(patience time.Duration) (zvt.Msg, error) {
	var over <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		over = timer.C
	}
	for {
		for {
			s, raw := t.decoder.Next()
			if s == zvt.Nothing {
				break
			}
			if s == zvt.Damaged {
				t.raw([]byte{0x15})
			}
			if s != zvt.Message {
				continue
			}
			m, err := zvt.Decode(append([]byte(nil), raw...))
			if err != nil {
				t.raw([]byte{0x06})
				continue
			}
			f := t.fault(true, m.Control)
			if t.strike(f, true) {
				return m, errCut
			}
			if f == NoACK || f == Lost {
				t.message--
				continue // the cash register sends it again
			}
			t.raw([]byte{0x06})
			if t.strike(f, false) {
				return m, errStruck
			}
			if f == Busy {
				t.send(zvt.Msg{Control: 0x849C})
				t.message = 0
				continue
			}
			return m, nil
		}
		select {
		case c, ok := <-t.in:
			switch {
			case !ok:
				return zvt.Msg{}, io.EOF
			case c.cut:
				t.decoder.Reset()
				return zvt.Msg{}, errCut
			}
			_, _ = t.decoder.Write(c.b)
		case <-over:
			return zvt.Msg{}, errCut
		}
	}
}

// errStruck: the message has arrived, and then the line or the power was cut.
var errStruck = errors.New("struck")

// raw sends a byte of the serial line.
func (t *Terminal) raw(b []byte) {
	if t.Serial {
		_, _ = t.line.Write(b)
	}
}

// send sends a message, without waiting for the line's acknowledgement.
func (t *Terminal) send(m zvt.Msg) {
	raw, err := m.Append(nil)
	if err != nil {
		panic("zvtsim: " + err.Error())
	}
	_, _ = t.line.Write(t.framed(raw))
}

func (t *Terminal) framed(raw []byte) []byte {
	if t.Serial {
		return zvt.AppendFrame(nil, raw)
	}
	return raw
}

// say sends a message and waits for its answer. A booking stands on the answer alone.
func (t *Terminal) say(m zvt.Msg) (zvt.Control, error) {
	stop := false
	for range 20 {
		f := t.fault(false, m.Control)
		if t.strike(f, true) {
			return 0, errCut
		}
		t.sendWith(f, m)
		if t.strike(f, false) {
			return 0, errCut
		}
		answer, err := t.receive(t.Patience)
		for err == nil && answer.Control == zvt.Abort { // it comes beside the answer, and only before a booking
			if stop = m.Control == zvt.IntermStatus; stop {
				t.send(zvt.Msg{Control: zvt.Done})
			} else {
				t.send(zvt.Msg{Control: 0x8400 | notPossible})
			}
			answer, err = t.receive(t.Patience)
		}
		if errors.Is(err, errStruck) && answer.Control == zvt.Done {
			return zvt.Done, errStruck
		}
		switch {
		case err != nil:
			return 0, errCut
		case answer.Control == 0x849C: // once more in two seconds
			time.Sleep(t.Slowness)
			continue
		case stop:
			return zvt.Abort, nil
		}
		if f == Twice {
			if again, err := t.receive(t.Patience); err != nil {
				return again.Control, err
			}
		}
		return answer.Control, nil
	}
	return 0, errCut
}

// sendWith sends a message with a fault of the line.
func (t *Terminal) sendWith(f Fault, m zvt.Msg) {
	raw, err := m.Append(nil)
	if err != nil {
		panic("zvtsim: " + err.Error())
	}
	whole := t.framed(raw)
	switch f {
	case Lost:
		return
	case Slow:
		time.Sleep(t.Slowness)
	case Split:
		for i := range whole {
			_, _ = t.line.Write(whole[i : i+1])
			time.Sleep(200 * time.Microsecond)
		}
		return
	case Twice:
		_, _ = t.line.Write(whole)
	case WrongSum:
		if t.Serial {
			spoilt := append([]byte(nil), whole...)
			spoilt[len(spoilt)-1] ^= 0x55
			_, _ = t.line.Write(spoilt)
			time.Sleep(5 * time.Millisecond) // the cash register refuses it, and gets it again
		}
	}
	_, _ = t.line.Write(whole)
}
