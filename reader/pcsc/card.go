package pcsc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapkeeper/reader"
)

// card is one connection to a card. Only the reader's owner uses it.
type card struct {
	r        *Reader
	h        *hand
	over     error // why the activation has ended
	released bool
	seen     time.Time // when the watch told of the phone
	powering time.Duration
	answered time.Time // when the last answer came
}

// Transmit implements reader.Card. The time it returns is that of the call into PC/SC.
func (c *card) Transmit(ctx context.Context, command []byte) ([]byte, time.Duration, error) {
	if c.over != nil {
		return nil, 0, c.over
	}
	answer, took, err := c.exchange(ctx, command)
	if err != nil {
		c.over = err
		return nil, took, err
	}
	return answer, took, nil
}

func (c *card) exchange(ctx context.Context, command []byte) ([]byte, time.Duration, error) {
	if n := len(command); n < reader.MinCommand || n > reader.MaxCommand {
		return nil, 0, fmt.Errorf("command of %d bytes, want %d to %d", n, reader.MinCommand, reader.MaxCommand)
	}
	if err := c.r.stopped(ctx); err != nil {
		return nil, 0, err
	}
	command = append([]byte(nil), command...) // the call may outlive this one
	if c.answered.IsZero() {
		c.r.meter.first.add(time.Since(c.seen))
	} else {
		c.r.meter.between.add(time.Since(c.answered))
	}
	r := c.h.ask(ctx, c.r.closed, func(g *grip) reply { return g.transmit(command) })
	switch {
	case errors.Is(r.err, errLetGo):
		return nil, r.took, reader.ErrClosed
	case r.err != nil:
		return nil, r.took, outward(r.err)
	case len(r.answer) < reader.MinAnswer:
		return nil, r.took, fmt.Errorf("answer of %d bytes, want at least %d", len(r.answer), reader.MinAnswer)
	}
	c.answered = time.Now()
	c.r.meter.exchange.add(r.took)
	return r.answer, r.took, nil
}

// Release implements reader.Card. A hand that is still inside an overdue call switches the field off when that returns.
func (c *card) Release(fieldOff time.Duration) error {
	if c.released {
		return nil
	}
	c.released = true
	c.over = reader.ErrCardGone
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	_ = c.h.ask(ctx, c.r.closed, func(g *grip) reply { return g.disconnect() }) // a hand that is late is let go
	c.r.mu.Lock()
	if c.r.card == c {
		c.r.card = nil
		c.r.offUntil = time.Now().Add(fieldOff)
	}
	c.r.mu.Unlock()
	c.r.show() // what was to be shown meanwhile
	return nil
}
