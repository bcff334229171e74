package virtual

import (
	"context"
	"fmt"
	"time"

	"tapkeeper/reader"
)

// card is one activation of the phone behind a link.
type card struct {
	r        *Reader
	l        *link
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
	if err := c.r.stop(ctx); err != nil {
		return nil, err
	}
	answer, err := c.l.ask(ctx, c.r.closed, command)
	if err != nil {
		return nil, err
	}
	if len(answer) < reader.MinAnswer {
		return nil, fmt.Errorf("answer of %d bytes, want at least %d", len(answer), reader.MinAnswer)
	}
	return answer, nil
}

// Release implements reader.Card.
func (c *card) Release(fieldOff time.Duration) error {
	if c.released {
		return nil
	}
	c.released = true
	c.over = reader.ErrCardGone
	c.l.powerOff()
	c.r.released(c, fieldOff)
	return nil
}
