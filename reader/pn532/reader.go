// Package pn532 is a card reader made of an NXP PN532 on a serial line, as cheap NFC modules have it. The kernel of
// this module drives the tap; the chip does the radio and ISO 14443-4 by itself.
//
// A command for the phone is never sent twice, whatever the line loses. Between taps the field is off. A module that is
// unplugged is waited for; a port that another program holds, and a device that is no PN532, are left alone and named
// by Trouble. The package refuses cards that do not speak ISO 14443-4, and never looks into a command.
package pn532

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/serialport"
)

const (
	// pollPause is between two looks for a phone. A look takes some 15 ms at 115200 baud, so a phone is seen within
	// 50 ms; a shorter pause would only heat the chip.
	pollPause = 30 * time.Millisecond
	// retryPause is between two attempts to find the module.
	retryPause = 500 * time.Millisecond
	// idleCheck is how often a module that nobody waits on is asked whether it is there.
	idleCheck = time.Second
	// patience bounds a phone's answer when the caller does not. ISO 14443-4 lets a phone take 5 s and ask for more.
	patience = 60 * time.Second
	// farewell bounds what Close waits for: the field is switched off and the speed put back, if the module lets us.
	farewell = 500 * time.Millisecond
	// dialTimeout bounds the way to a serial server.
	dialTimeout = 3 * time.Second
	// maxPolling is the longest polling frame; Apple's have up to 16 bytes.
	maxPolling = 32
)

// Options of a reader.
type Options struct {
	// Fast talks to the module at 921600 baud, which saves some 10 ms of a tap, and puts it back to 115200 at Close.
	Fast bool
	// Polling is a raw frame that is sent after each look that found nobody, for phones that wait for one before they
	// show a card (Apple's enhanced contactless polling, 6A ..).
	Polling []byte
}

// Reader implements reader.Reader and reader.Stater.
type Reader struct {
	device  string
	options Options
	dial    func() (Line, error)
	closed  chan struct{}
	wake    chan struct{} // tells the keeper that there is something to do
	kept    chan struct{} // closed when the keeper has ended

	turn sync.Mutex // held by whoever speaks with the chip
	chip *chip      // nil while there is none; guarded by turn
	lit  bool       // the field may be on; guarded by turn
	off  time.Time  // the field stays off until then; guarded by turn

	mu       sync.Mutex
	line     *chip // the chip again, for whoever must interrupt it
	state    reader.State
	trouble  error
	awaiting bool
	card     *card
	isClosed bool
	fieldOff time.Duration // wanted by the last Release and not done yet
}

var (
	_ reader.Reader = (*Reader)(nil)
	_ reader.Stater = (*Reader)(nil)
)

// Open makes the reader of a device: the path of a serial port, best one below /dev/serial/by-id, or tcp:HOST:PORT of
// a serial server. Nothing needs to be there yet. The error is about the options.
func Open(device string, o Options) (*Reader, error) {
	if len(o.Polling) > maxPolling {
		return nil, fmt.Errorf("a polling frame of %d bytes, want at most %d", len(o.Polling), maxPolling)
	}
	r := &Reader{
		device: device, options: o, dial: func() (Line, error) { return dial(device) },
		closed: make(chan struct{}), wake: make(chan struct{}, 1), kept: make(chan struct{}),
	}
	go r.keep()
	return r, nil
}

func dial(device string) (Line, error) {
	if address, ok := strings.CutPrefix(device, "tcp:"); ok {
		conn, err := net.DialTimeout("tcp", address, dialTimeout)
		if err != nil {
			return nil, err
		}
		return conn, nil
	}
	port, err := serialport.Open(device, serialport.Mode{Baud: slow})
	if err != nil {
		return nil, err
	}
	return port, nil
}

// Name implements reader.Reader.
func (r *Reader) Name() string { return "PN532 " + r.device }

// State implements reader.Stater.
func (r *Reader) State() reader.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.isClosed:
		return reader.Closed
	case r.card != nil:
		return reader.InUse
	}
	return r.state
}

// Trouble is why the reader is not ready, for people; nil when it is.
func (r *Reader) Trouble() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trouble
}

// Close implements reader.Reader. A module that is there gets its field switched off and its speed of after power up.
func (r *Reader) Close() error {
	r.mu.Lock()
	first := !r.isClosed
	r.isClosed = true
	if first {
		close(r.closed)
	}
	line := r.line
	r.mu.Unlock()
	if first && line != nil {
		line.interrupt()
	}
	<-r.kept
	r.turn.Lock()
	defer r.turn.Unlock()
	if r.chip == nil {
		return nil
	}
	c := r.chip
	r.chip = nil
	c.resume()
	over := time.AfterFunc(farewell, c.interrupt)
	defer over.Stop()
	if c.settle() == nil && c.dark() == nil {
		_ = c.setSpeed(slow)
	}
	if err := c.line.Close(); err != nil {
		return fmt.Errorf("close %s: %w", r.Name(), err)
	}
	return nil
}

// keep looks after the module while nobody waits on it: it is found soon after the start, its field goes off after a
// tap, and it is noticed when it goes.
func (r *Reader) keep() {
	defer close(r.kept)
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		check := false
		select {
		case <-r.closed:
			return
		case <-r.wake:
		case <-tick.C:
			check = true
		}
		pause := idleCheck
		if r.turn.TryLock() {
			if r.isIdle() && r.ready() == nil && check {
				if _, err := r.chip.ask(usual, getFirmwareVersion); err != nil {
					r.lose(err)
				}
			}
			if r.chip == nil {
				pause = retryPause
			}
			r.turn.Unlock()
		}
		tick.Reset(pause)
	}
}

// isIdle: nobody waits for a phone, and none is activated, whose time is measured.
func (r *Reader) isIdle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.card == nil && !r.awaiting && !r.isClosed
}

// ready gives a chip that is awake, in step and dark if it was to go dark. The caller holds the turn.
func (r *Reader) ready() error {
	if r.chip == nil {
		if err := r.connect(); err != nil {
			r.tell(err)
			return err
		}
	}
	if err := r.chip.settle(); err != nil {
		return r.lose(err)
	}
	r.mu.Lock()
	wanted := r.fieldOff
	r.mu.Unlock()
	if r.lit {
		if err := r.chip.dark(); err != nil {
			return r.lose(err)
		}
		r.lit = false
		r.off = time.Now().Add(wanted)
		r.mu.Lock()
		r.fieldOff = 0
		r.mu.Unlock()
	}
	return nil
}

// connect finds the module, which a crash may have left at the higher speed.
func (r *Reader) connect() error {
	line, err := r.dial()
	if err != nil {
		return err
	}
	c := newChip(line)
	r.mu.Lock()
	if r.isClosed {
		r.mu.Unlock()
		_ = line.Close()
		return reader.ErrClosed
	}
	r.line = c
	r.mu.Unlock()
	if err := r.start(c); err != nil {
		r.forget()
		_ = line.Close()
		return err
	}
	r.chip, r.lit = c, true // its field is off by now, and how long that must last is counted from the next frame on
	r.tell(nil)
	return nil
}

func (r *Reader) start(c *chip) error {
	err := c.hello()
	if port, ok := c.line.(*serialport.Port); ok && err != nil && !errors.Is(err, reader.ErrReaderGone) && !c.isInterrupted() {
		if port.SetMode(serialport.Mode{Baud: fast}) == nil && c.hello() == nil {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	speed := slow
	if r.options.Fast {
		speed = fast
	}
	if err := c.setSpeed(speed); err != nil {
		return err
	}
	return c.setUp()
}

// forget makes Close not interrupt a line that is closed.
func (r *Reader) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.line = nil
}

// lose gives the chip up when the line is no more, or when it does not come back into step. It returns err.
func (r *Reader) lose(err error) error {
	if r.chip == nil || r.chip.isInterrupted() {
		return err
	}
	r.forget()
	_ = r.chip.line.Close()
	r.chip = nil
	r.tell(err)
	return err
}

// tell keeps why the reader is, or is not, able to see a phone.
func (r *Reader) tell(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble, r.state = err, stateOf(err)
}

func stateOf(err error) reader.State {
	held := (*serialport.HeldError)(nil)
	switch {
	case err == nil:
		return reader.Ready
	case errors.As(err, &held):
		return reader.Held
	case errors.Is(err, os.ErrPermission):
		return reader.Forbidden
	case errors.Is(err, os.ErrNotExist), errors.Is(err, reader.ErrReaderGone):
		return reader.Missing
	}
	return reader.Wedged
}

// stop says why a wait must end, or nil.
func (r *Reader) stop(ctx context.Context) error {
	select {
	case <-r.closed:
		return reader.ErrClosed
	default:
		return ctx.Err()
	}
}

// nudge has the keeper switch the field off.
func (r *Reader) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
