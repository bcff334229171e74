package zvt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"tapkeeper/reader"
)

// dialogue is one command with all that the terminal says until it gives the line back.
type dialogue struct {
	command Msg
	witness Witness         // nil: nothing that is worth keeping comes
	cancel  <-chan struct{} // the customer or the cashier does not want any more
	wait    time.Duration   // for each message; 0: as the protocol has it

	link     *link
	status   Status
	stored   bool   // status is on disk
	done     bool   // and says that money has moved: the terminal was told to keep it
	known    []byte // the status that is on disk, as it came: a repetition is the same booking
	asked    []byte // the status that is being stored, as it came
	waits    int    // how often the terminal was asked to wait
	storing  chan error
	notKept  error
	deadline time.Time
	aborted  bool // the terminal was asked to stop
	owing    bool // its answer to that has not come
}

const (
	// maxWaits is how often the terminal is asked to wait; a disk that takes longer has failed.
	maxWaits = 20
	// maxBusy is how often a terminal may ask to wait.
	maxBusy = 3
	// maxMessages bounds a dialogue; the longest end of day prints some hundred blocks.
	maxMessages = 10_000
)

// run runs a dialogue to its end. The last message is a completion or an abort, and its code 0 when the terminal has
// done what it was told. Any error but ErrUntouched leaves open what has become of the command.
func (c *Client) run(d *dialogue) (end Msg, code byte, err error) {
	d.link = c.link
	if d.wait == 0 {
		d.wait = c.times.next
	}
	if err := d.begin(); err != nil {
		if !errors.As(err, new(*RefusedError)) {
			c.lose(err)
		}
		return Msg{}, 0, err
	}
	d.deadline = time.Now().Add(d.wait)
	for range maxMessages {
		m, err := d.next()
		if err == nil {
			end, err = d.handle(m)
		}
		if err != nil {
			c.lose(err)
			return Msg{}, 0, fmt.Errorf("%v: %w", d.command.Control, err)
		}
		if end.Control != 0 {
			if d.owing {
				c.lose(nil) // what is still to come must not answer the next command
			}
			code, err = d.ending(end)
			return end, code, err
		}
	}
	c.lose(errSpoilt)
	return Msg{}, 0, fmt.Errorf("%v: the terminal does not come to an end", d.command.Control)
}

// errContradiction: the terminal was told to keep a booking, and then says something else of it.
var errContradiction = errors.New("the terminal takes back what it was told to keep")

// ending is what the last message says of the command.
func (d *dialogue) ending(end Msg) (code byte, err error) {
	if end.Control == Aborted {
		if code = codeProtocol; len(end.Head) > 0 && end.Head[0] != CodeDone {
			code = end.Head[0]
		}
	}
	if d.notKept == nil && d.done && code != CodeDone {
		return code, errContradiction
	}
	return code, d.notKept
}

// begin sends the command until the terminal has taken it (T3). Only a terminal that says 84 has certainly not.
func (d *dialogue) begin() error {
	for range maxBusy {
		if err := d.link.send(d.command); err != nil {
			return fmt.Errorf("%v: %w", d.command.Control, err)
		}
		m, err := d.link.receive(time.Now().Add(d.link.times.done))
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("%v: %w", d.command.Control, errNoAnswer)
		case err != nil:
			return fmt.Errorf("%v: %w", d.command.Control, err)
		case m.Control == Done:
			return nil
		case m.Control>>8 != negative:
			return fmt.Errorf("%v: %v instead of an answer", d.command.Control, m.Control)
		case byte(m.Control) != codeWait:
			return &RefusedError{d.command.Control, byte(m.Control)}
		}
		time.Sleep(d.link.times.busy)
	}
	return &RefusedError{d.command.Control, codeWait}
}

// next is the next message of the terminal. A wish to stop is passed on between two of them, once; what becomes of it
// the terminal says.
func (d *dialogue) next() (Msg, error) {
	const look = 100 * time.Millisecond
	for {
		end := d.deadline
		if d.cancel != nil && !d.aborted {
			select {
			case <-d.cancel:
				d.aborted, d.owing = true, true
				d.wait = min(d.wait, d.link.times.stop)
				d.deadline = time.Now().Add(d.wait)
				if err := d.link.send(Msg{Control: Abort}); err != nil {
					return Msg{}, err
				}
				continue
			default:
			}
			if soon := time.Now().Add(look); soon.Before(end) {
				end = soon
			}
		}
		m, err := d.link.receive(end)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && d.link.isInterrupted():
			return Msg{}, reader.ErrClosed
		case errors.Is(err, os.ErrDeadlineExceeded) && end.Before(d.deadline):
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return Msg{}, errNoAnswer
		case err != nil:
			return Msg{}, err
		}
		if m.Control == Done || m.Control>>8 == negative {
			d.owing = false
			continue // the answer to the abort
		}
		return m, nil
	}
}

// handle takes one message and answers it; the last one of the dialogue is returned.
func (d *dialogue) handle(m Msg) (end Msg, err error) {
	answer := Msg{Control: Done}
	switch m.Control {
	case IntermStatus:
		h := hintOf(m)
		if h.Minutes > 0 && !d.aborted {
			d.wait = time.Duration(h.Minutes) * time.Minute
		}
		if d.witness != nil {
			d.witness.Hint(h)
		}
	case StatusInfo:
		answer.Control = d.keep(m)
	case PrintLine, PrintBlock:
		if d.witness != nil {
			d.witness.Printed(Lines(m))
		}
	case Completion, Aborted:
		end = m
	default:
		answer.Control = negative<<8 | 0x83 // not known here
	}
	d.deadline = time.Now().Add(d.wait)
	return end, d.link.send(answer)
}

// keep has a booking made durable, and says what to answer: 80 00 when it is on disk, 84 9C while it is not yet, and
// 84 A0 when it cannot be kept, at which the terminal reverses it.
func (d *dialogue) keep(m Msg) Control {
	raw, err := m.Append(nil)
	if err != nil {
		d.notKept = err
		return negative<<8 | CodeNotReady
	}
	if d.stored && string(raw) == string(d.known) {
		return Done
	}
	s := StatusOf(m)
	if d.done && s.Code != CodeDone {
		d.notKept = errContradiction
		return Done
	}
	d.status = s
	if d.witness == nil {
		d.stored, d.known = true, raw
		return Done
	}
	if d.storing != nil && string(raw) != string(d.asked) {
		d.notKept = errors.New("the terminal tells of another booking while the first one is being kept")
		return negative<<8 | CodeNotReady
	}
	if d.storing == nil {
		done := make(chan error, 1)
		d.storing, d.asked = done, raw
		go func() { done <- d.witness.Store(s) }()
	}
	timer := time.NewTimer(d.link.times.store)
	defer timer.Stop()
	select {
	case err := <-d.storing:
		d.storing = nil
		if err != nil {
			d.notKept = fmt.Errorf("the booking was not kept, and the terminal was told so: %w", err)
			return negative<<8 | CodeNotReady
		}
		d.stored, d.known, d.done = true, raw, s.Code == CodeDone
		return Done
	case <-timer.C:
		if d.waits++; d.waits > maxWaits {
			d.notKept = errors.New("the booking was not kept in time, and the terminal was told so")
			return negative<<8 | CodeNotReady
		}
		return negative<<8 | codeWait
	}
}

// do is run with the turn taken, until ctx or the client ends. A ctx that ends asks the terminal to stop, and waits
// for what it says to that.
func (c *Client) do(ctx context.Context, d *dialogue) (Status, error) {
	if err := c.take(ctx); err != nil {
		return Status{}, fmt.Errorf("%w: %w", ErrUntouched, err)
	}
	defer c.give()
	d.cancel = ctx.Done()
	_, code, err := c.run(d)
	if code != 0 {
		d.status.Code = code
	}
	return d.status, err
}
