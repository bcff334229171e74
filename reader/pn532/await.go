package pn532

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"tapkeeper/reader"
)

// Await implements reader.Reader.
func (r *Reader) Await(ctx context.Context) (reader.Card, error) {
	if err := r.begin(); err != nil {
		return nil, err
	}
	c, err := r.await(ctx)
	r.mu.Lock()
	r.awaiting = false
	if err == nil {
		r.card = c
	}
	r.mu.Unlock()
	if err != nil {
		r.nudge()
		return nil, err
	}
	return c, nil
}

func (r *Reader) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.isClosed:
		return reader.ErrClosed
	case r.awaiting || r.card != nil:
		return reader.ErrBusy
	}
	r.awaiting = true
	return nil
}

func (r *Reader) await(ctx context.Context) (*card, error) {
	fresh := false // the field has been off since the last tap
	for {
		if err := r.stop(ctx); err != nil {
			return nil, err
		}
		c, pause, err := r.look(ctx, &fresh)
		if c != nil || errors.Is(err, reader.ErrManyCards) {
			return c, err
		}
		if stopped := r.stop(ctx); stopped != nil {
			return nil, stopped
		}
		if err != nil {
			pause = retryPause
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-r.closed:
		case <-t.C:
		}
		t.Stop()
	}
}

// look looks once for a phone. What goes wrong with the module is no error of Await: it is waited for.
func (r *Reader) look(ctx context.Context, fresh *bool) (*card, time.Duration, error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	if r.stop(ctx) != nil {
		return nil, 0, nil
	}
	if !*fresh || r.chip == nil {
		if err := r.ready(); err != nil {
			return nil, 0, err
		}
		*fresh = true
	}
	if dark := time.Until(r.off); dark > 0 {
		return nil, dark, nil
	}
	defer r.watch(ctx)()
	if err := r.chip.settle(); err != nil {
		return nil, 0, r.lose(err)
	}
	r.lit = true
	t, found, err := r.chip.find()
	switch {
	case errors.Is(err, reader.ErrManyCards):
		return nil, 0, err
	case err != nil:
		*fresh = false
		return nil, 0, r.lose(err)
	case !found:
		r.show(reader.Ready)
		return nil, pollPause, r.poll()
	case !t.iso4:
		r.show(reader.Mute)
		return nil, pollPause, nil
	}
	r.show(reader.Ready)
	return &card{r: r, c: r.chip, number: t.number}, 0, nil
}

// poll sends the polling frame that some phones wait for. Nobody answers it: the chip reports a time-out.
func (r *Reader) poll() error {
	if len(r.options.Polling) == 0 {
		return nil
	}
	if _, err := r.chip.ask(usual, inCommunicateThru, r.options.Polling); err != nil {
		return r.lose(err)
	}
	return nil
}

func (r *Reader) show(s reader.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = s
}

// watch interrupts the chip when ctx ends, until the returned function is called. Close interrupts it anyway.
func (r *Reader) watch(ctx context.Context) (done func()) {
	c := r.chip
	if ctx.Done() == nil {
		return func() {}
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { c.interrupt(); close(interrupted) })
	return func() {
		if stop() {
			return
		}
		<-interrupted
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.isClosed {
			c.resume()
		}
	}
}

// card is one activation of one phone.
type card struct {
	r        *Reader
	c        *chip
	number   byte
	over     error // why the activation has ended; only the reader's owner looks at it
	released bool
}

// Transmit implements reader.Card.
func (c *card) Transmit(ctx context.Context, command []byte) ([]byte, time.Duration, error) {
	if c.over != nil {
		return nil, 0, c.over
	}
	start := time.Now()
	answer, err := c.exchange(ctx, command)
	took := time.Since(start)
	if err != nil {
		c.over = err
		return nil, took, err
	}
	return answer, took, nil
}

func (c *card) exchange(ctx context.Context, command []byte) ([]byte, error) {
	if n := len(command); n < reader.MinCommand || n > reader.MaxCommand {
		return nil, fmt.Errorf("command of %d bytes, want %d to %d", n, reader.MinCommand, reader.MaxCommand)
	}
	c.r.turn.Lock()
	defer c.r.turn.Unlock()
	if err := c.r.stop(ctx); err != nil {
		return nil, err
	}
	if c.r.chip != c.c {
		return nil, reader.ErrReaderGone
	}
	done := c.r.watch(ctx)
	answer, err := c.c.transmit(waits{ackWait, patience}, c.number, command)
	done()
	if err != nil {
		return nil, c.why(ctx, err)
	}
	if len(answer) < reader.MinAnswer {
		return nil, fmt.Errorf("answer of %d bytes, want at least %d", len(answer), reader.MinAnswer)
	}
	return answer, nil
}

// why says what a failed exchange means to the owner.
func (c *card) why(ctx context.Context, err error) error {
	if stopped := c.r.stop(ctx); stopped != nil {
		return stopped
	}
	switch {
	case errors.Is(err, reader.ErrCardGone):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded): // the chip has the command, and the phone does not answer
		return fmt.Errorf("%w: no answer in %v", reader.ErrCardGone, patience)
	}
	return c.r.lose(err)
}

// Release implements reader.Card.
func (c *card) Release(fieldOff time.Duration) error {
	if c.released {
		return nil
	}
	c.released = true
	c.over = reader.ErrCardGone
	c.r.mu.Lock()
	c.r.card = nil
	c.r.fieldOff = fieldOff
	c.r.mu.Unlock()
	c.r.nudge()
	return nil
}
