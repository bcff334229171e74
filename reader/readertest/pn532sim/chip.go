// Package pn532sim is a PN532 in software with phones in its field, at the device's end of a serial line. It holds its
// host to the user manual: it sleeps until it is woken, wants its SAM configured, changes its speed only when that was
// acknowledged, and hears nothing at the wrong one. Its codec is its own, so that a driver's mistake does not cancel
// out. Faults are made on command.
package pn532sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
	"tapkeeper/reader/readertest/line"
)

// Fault is what goes wrong with one answer of the chip.
type Fault int

// The faults.
const (
	None        Fault = iota
	NoACK             // the acknowledgement is lost, the answer is not
	OneWrite          // acknowledgement and answer come in one read
	ByteByByte        // each byte comes in a read of its own
	LongStart         // the frames begin with noise and many zeros
	Spoilt            // the answer's check byte is wrong, once
	AllSpoilt         // and stays wrong, however often it is repeated
	SyntaxError       // an error frame instead of an answer
	Silent            // acknowledged, and never answered
	Deaf              // not even acknowledged
	Late              // answered only after the host has given up
)

// Chip is one PN532. A and B are the fields in which its phones are found as cards of type A and of type B; both are
// the same antenna.
type Chip struct {
	A, B *readertest.Reader
	// Version is what GetFirmwareVersion answers: IC, version, revision, support.
	Version [4]byte

	mu       sync.Mutex
	faults   map[byte][]Fault // by command
	statuses map[byte][]byte  // by command
	seen     [][]byte
	baud     int
	next     int // the speed after the host's acknowledgement, or 0
	awake    bool
	set      bool // SAM configured
	targets  []reader.Card
	polls    [][]byte
	last     []byte // the last answer, for a NACK

	out  sync.Mutex // one frame at a time
	stop context.CancelFunc
	busy sync.WaitGroup
}

// New makes a chip that has just got its power.
func New() *Chip {
	return &Chip{
		A: readertest.NewReader("type A"), B: readertest.NewReader("type B"), Version: [4]byte{0x32, 0x01, 0x06, 0x07},
		faults: map[byte][]Fault{}, statuses: map[byte][]byte{}, baud: powerUpBaud, stop: func() {},
	}
}

const powerUpBaud = 115200

// Break makes the next answers to a command go wrong, one fault each; None lets one be.
func (c *Chip) Break(command byte, faults ...Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults[command] = append(c.faults[command], faults...)
}

// Fail makes the next answers to InDataExchange carry a status instead of data.
func (c *Chip) Fail(command byte, statuses ...byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statuses[command] = append(c.statuses[command], statuses...)
}

// Seen is all commands that the chip has understood: code and data.
func (c *Chip) Seen() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]byte(nil), c.seen...)
}

// Polls is the raw frames that were sent into the field.
func (c *Chip) Polls() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]byte(nil), c.polls...)
}

// Baud is the speed that the chip has now.
func (c *Chip) Baud() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.baud
}

// LosePower takes the chip's power away and gives it back: it sleeps, at its first speed, without a field.
func (c *Chip) LosePower() {
	c.abort()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.baud, c.next, c.awake, c.set, c.last = powerUpBaud, 0, false, false, nil
	c.release()
}

// release switches the field off. The caller holds mu.
func (c *Chip) release() {
	for _, t := range c.targets {
		_ = t.Release(0)
	}
	c.targets = nil
}

// abort ends the exchange that is under way, as a new command and an acknowledgement by the host do.
func (c *Chip) abort() {
	c.mu.Lock()
	stop := c.stop
	c.mu.Unlock()
	stop()
	c.busy.Wait()
}

// Serve is the chip at its end of a line, until the line ends. A cable that is out takes the power away.
func (c *Chip) Serve(l io.ReadWriter) {
	defer c.LosePower()
	var in []byte
	buf := make([]byte, 4096)
	for {
		n, err := l.Read(buf)
		switch {
		case errors.Is(err, line.ErrUnplugged):
			c.LosePower()
			in = nil
			time.Sleep(unpluggedPause)
			continue
		case err != nil:
			return
		}
		if speed, ok := l.(interface{ Baud() int }); ok && speed.Baud() != c.Baud() {
			in = nil
			continue // at the wrong speed there is only noise
		}
		in = c.take(l, append(in, buf[:n]...))
	}
}

const unpluggedPause = 2 * time.Millisecond

// maxPending bounds what is kept of bytes that are no frame.
const maxPending = 1024

// take handles all frames of in and returns what is left.
func (c *Chip) take(w io.Writer, in []byte) []byte {
	for {
		c.mu.Lock()
		if !c.awake { // enough rising edges wake it: 55 has four, 00 has one
			c.awake = bytes.Count(in, []byte{0x55}) >= 2 || bytes.Count(in, []byte{0x00}) >= 10
		}
		awake := c.awake
		c.mu.Unlock()
		if !awake {
			return in[max(0, len(in)-maxPending):]
		}
		frame, body, rest := cut(in)
		switch frame {
		case nothing:
			return rest[max(0, len(rest)-maxPending):]
		case hostACK:
			c.acknowledged()
		case hostNACK:
			c.mu.Lock()
			last := c.last
			c.mu.Unlock()
			c.send(w, last)
		case command:
			c.abort()
			c.obey(w, body)
		}
		in = rest
	}
}

func (c *Chip) acknowledged() {
	c.abort()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != 0 {
		c.baud, c.next = c.next, 0
	}
}

func (c *Chip) send(w io.Writer, parts ...[]byte) {
	c.out.Lock()
	defer c.out.Unlock()
	_, _ = w.Write(bytes.Join(parts, nil))
}
