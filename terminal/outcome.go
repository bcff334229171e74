package terminal

import (
	"context"
	"time"
)

// Outcome waits until there is something to tell the till for good, or until
// ctx ends: the payment has ended, and one that was stored while the wallet
// could be reached has had its moment to become approved (terminal.md: the
// advice goes at once; within the deadline the receipt makes it approved, else
// the till hears stored).
func (t *Terminal) Outcome(ctx context.Context, id ID) (Payment, error) {
	p, err := t.Payment(id)
	for err == nil && ctx.Err() == nil && !t.told(&p) {
		wait, cancel := ctx, context.CancelFunc(func() {})
		if p.State == Stored {
			wait, cancel = context.WithDeadline(ctx, p.AcceptedAt.Add(t.cfg.Bounds.Answer))
		}
		p, err = t.Wait(wait, id, p.Revision)
		cancel()
	}
	return p, err
}

// told says that nothing better will be known soon.
func (t *Terminal) told(p *Payment) bool {
	if p.State != Stored || p.Settlement != Queued {
		return p.State.Ended()
	}
	_, connected := t.wallet.Link()
	return !connected || time.Since(p.AcceptedAt) >= t.cfg.Bounds.Answer
}
