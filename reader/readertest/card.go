package readertest

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"tapkeeper/reader"
)

type card struct {
	r          *Reader
	v          *visit
	activation int
	unplugged  chan struct{}
	n          int
	over       error // why the activation has ended
}

// Transmit implements reader.Card.
func (c *card) Transmit(ctx context.Context, command []byte) ([]byte, time.Duration, error) {
	if c.over != nil {
		return nil, 0, c.over
	}
	start := time.Now()
	answer, err := c.exchange(ctx, command)
	took := time.Since(start)
	if err == nil && len(answer) < reader.MinAnswer {
		err = fmt.Errorf("answer of %d bytes, want at least %d", len(answer), reader.MinAnswer)
	}
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
	if err := c.ended(ctx); err != nil {
		return nil, err
	}
	c.n++
	f := c.v.faults
	if c.n == f.RemoveBefore {
		c.r.dismiss(c.v)
		return nil, reader.ErrCardGone
	}
	answered := make(chan []byte, 1)
	command = bytes.Clone(command)
	go func() { answered <- c.v.transmit(c.activation, command) }()
	answer, err := c.await(ctx, answered)
	if err != nil {
		return nil, err
	}
	if answer == nil || c.n == f.RemoveAfter {
		c.r.dismiss(c.v)
		return nil, reader.ErrCardGone
	}
	if f.Delay > 0 && c.n >= f.DelayFrom {
		late := make(chan []byte, 1)
		t := time.AfterFunc(f.Delay, func() { late <- answer })
		defer t.Stop()
		return c.await(ctx, late)
	}
	return answer, nil
}

// await takes the phone's answer, or says what came before it.
func (c *card) await(ctx context.Context, answered <-chan []byte) ([]byte, error) {
	select {
	case answer := <-answered:
		return answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.r.closed:
		return nil, reader.ErrClosed
	case <-c.unplugged:
		return nil, reader.ErrReaderGone
	case <-c.v.gone:
		if err := c.ended(ctx); err != nil {
			return nil, err // Close makes the phone leave too
		}
		return nil, reader.ErrCardGone
	}
}

// ended says why there can be no exchange now.
func (c *card) ended(ctx context.Context) error {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	select {
	case <-c.unplugged:
		return reader.ErrReaderGone
	default:
	}
	select {
	case <-c.v.gone:
		if !c.r.isClosed {
			return reader.ErrCardGone
		}
	default:
	}
	if c.r.isClosed {
		return reader.ErrClosed
	}
	return ctx.Err()
}

// Release implements reader.Card.
func (c *card) Release(fieldOff time.Duration) error {
	c.r.mu.Lock()
	if c.r.card != c {
		c.r.mu.Unlock()
		return nil
	}
	c.over = reader.ErrCardGone
	c.r.card = nil
	c.r.offUntil = time.Now().Add(fieldOff)
	c.r.broadcast()
	c.r.mu.Unlock()
	go c.v.powerOff(c.activation) // waits for a command that the phone is carrying out
	return nil
}
