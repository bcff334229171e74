// Package zvt speaks ZVT (PA00P015, PA00P016) to a card terminal that has a kernel of its own, over a serial line or
// TCP, by one codec.
//
// A terminal keeps a payment only when its status information was answered (80 00 00): so a Witness makes it durable
// first, and a booking that cannot be kept is refused to the terminal, which then reverses it. Nothing that may have
// moved money is ever sent twice: after a cut, Repeat asks the terminal what its last booking was. Of a card number
// four digits leave this package. It does not decide about money, and it refuses what it cannot read to the last byte.
package zvt

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

// ErrUntouched: the terminal has not taken the command, so no money can have moved.
var ErrUntouched = errors.New("the terminal has not been asked")

// RefusedError is a command that the terminal did not take (84 xx).
type RefusedError struct {
	Command Control
	Code    byte
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%v: %s", e.Command, Words(e.Code))
}

// Unwrap: a refused command has moved nothing.
func (e *RefusedError) Unwrap() error { return ErrUntouched }

// Options of a terminal.
type Options struct {
	Password string // six digits; default 000000
	Currency uint16 // ISO 4217, numeric; of the registration
	Baud     int    // of a serial line; default 9600
	OneStop  bool   // 8N1 instead of 8N2
}

// Witness is told what a terminal says while it works.
type Witness interface {
	// Store makes a booking durable. Only when it returns nil is the terminal told to keep it; with an error the
	// terminal is told to reverse it. It may take its time: the terminal is asked to wait meanwhile.
	Store(Status) error
	// Hint is what the customer is to do. Printed are lines of a receipt.
	Hint(Hint)
	Printed(lines []string)
}

const (
	dialTimeout = 3 * time.Second
	// configuration: the cash register prints, shows intermediate status and alone keys amounts (PA00P015, 2.1).
	configuration = 0xBE
	defaultBaud   = 9600
)

// Client is one terminal. Its methods may be called from any goroutine; one command runs at a time.
type Client struct {
	device  string
	options Options
	times   times
	closed  chan struct{}
	kept    chan struct{}
	turn    chan struct{} // holds a token while nobody uses the line

	link *link // of whoever has the turn

	mu       sync.Mutex
	line     *link // the same, for Close
	state    reader.State
	trouble  error
	terminal string // its id, as it gave it at registration
	isClosed bool
}

// Open makes the client of a device: the path of a serial port, best one below /dev/serial/by-id, or tcp:HOST:PORT
// (20007 is usual). Nothing needs to be there yet. The error is about the options.
func Open(device string, o Options) (*Client, error) { return open(device, o, protocol()) }

func open(device string, o Options, t times) (*Client, error) {
	if o.Password == "" {
		o.Password = "000000"
	}
	if o.Baud == 0 {
		o.Baud = defaultBaud
	}
	if len(o.Password) != 6 || strings.Trim(o.Password, "0123456789") != "" {
		return nil, errors.New("a password that is not six digits")
	}
	c := &Client{device: device, options: o, times: t, closed: make(chan struct{}), kept: make(chan struct{}), turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	go c.keep()
	return c, nil
}

// Name is how people call this terminal.
func (c *Client) Name() string { return "ZVT " + c.device }

// State is whether the terminal could be asked when it was last looked at.
func (c *Client) State() reader.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isClosed {
		return reader.Closed
	}
	return c.state
}

// Trouble is why the terminal cannot be asked, for people; nil when it can.
func (c *Client) Trouble() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trouble
}

// TerminalID is the terminal's own name, once it was registered with.
func (c *Client) TerminalID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.terminal
}

// Close gives the line back and ends a command that waits; what became of it Repeat tells, in the next life.
func (c *Client) Close() error {
	c.mu.Lock()
	if !c.isClosed {
		c.isClosed = true
		close(c.closed)
		if c.line != nil {
			c.line.interrupt()
		}
	}
	c.mu.Unlock()
	<-c.kept
	<-c.turn
	defer func() { c.turn <- struct{}{} }()
	if c.link == nil {
		return nil
	}
	err := c.link.line.Close()
	c.link = nil
	return err
}

// keep connects soon after the start, and again after a loss, so that a payment is refused before it is created when
// there is no terminal.
func (c *Client) keep() {
	defer close(c.kept)
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-c.closed:
			return
		case <-tick.C:
		}
		select {
		case <-c.turn:
			if c.link == nil {
				_ = c.connect()
			} else {
				c.look()
			}
			c.turn <- struct{}{}
		default:
		}
		tick.Reset(c.times.idle)
	}
}

// look notices a line that was cut while nobody used it. A terminal does not speak unasked.
func (c *Client) look() {
	switch _, _, err := c.link.signal(time.Now().Add(time.Millisecond)); {
	case errors.Is(err, os.ErrDeadlineExceeded), err == nil:
	default:
		c.lose(err)
	}
}

// take waits for the turn and a line.
func (c *Client) take(ctx context.Context) error {
	select {
	case <-c.turn:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closed:
		return reader.ErrClosed
	}
	if c.link != nil {
		c.look() // a line that is dead is found out before a command goes into it
	}
	if c.link == nil {
		if err := c.connect(); err != nil {
			c.turn <- struct{}{}
			return err
		}
	}
	return nil
}

func (c *Client) give() { c.turn <- struct{}{} }

// connect opens the line and registers. The caller has the turn.
func (c *Client) connect() error {
	line, serial, err := c.dial()
	if err != nil {
		c.tell(err)
		return err
	}
	l := newLink(line, serial, c.times)
	c.mu.Lock()
	if c.isClosed {
		c.mu.Unlock()
		_ = line.Close()
		return reader.ErrClosed
	}
	c.line = l
	c.mu.Unlock()
	c.link = l
	if err := c.register(); err != nil {
		c.lose(err)
		return err
	}
	c.tell(nil)
	return nil
}

func (c *Client) dial() (Line, bool, error) {
	if address, ok := strings.CutPrefix(c.device, "tcp:"); ok {
		conn, err := net.DialTimeout("tcp", address, dialTimeout)
		return conn, false, err
	}
	port, err := serialport.Open(c.device, serialport.Mode{Baud: c.options.Baud, TwoStopBits: !c.options.OneStop})
	return port, true, err
}

// register tells the terminal who we are and how we work (06 00).
func (c *Client) register() error {
	head := append(append(c.password(), configuration), currencyBCD(c.options.Currency)...)
	permitted := []TLV{{Tag: 0x26, TLV: []TLV{{Tag: 0x0A, Value: []byte{0x06, 0xD3}}}}}
	end, code, err := c.run(&dialogue{command: Msg{Control: Registration, Head: head, Fields: []Field{{Tag: container, TLV: permitted}}}})
	if err != nil {
		return err
	}
	if code != CodeDone {
		return fmt.Errorf("%v: %s", Registration, Words(code))
	}
	for _, f := range end.Fields {
		if f.Tag == 0x29 {
			c.mu.Lock()
			c.terminal = digits(f.Value)
			c.mu.Unlock()
		}
	}
	return nil
}

func (c *Client) password() []byte { return fromDigits(c.options.Password) }

// lose gives the line up; the next command opens a new one. Bytes of the old dialogue die with it.
func (c *Client) lose(err error) {
	c.mu.Lock()
	c.line = nil
	c.mu.Unlock()
	if c.link != nil {
		_ = c.link.line.Close()
		c.link = nil
	}
	c.tell(err)
}

func (c *Client) tell(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := (*serialport.HeldError)(nil)
	c.trouble = err
	switch {
	case err == nil:
		c.state = reader.Ready
	case errors.As(err, &held):
		c.state = reader.Held
	case errors.Is(err, os.ErrPermission):
		c.state = reader.Forbidden
	case errors.Is(err, errNoAnswer), errors.Is(err, errSpoilt):
		c.state = reader.Wedged
	default:
		c.state = reader.Missing
	}
}
