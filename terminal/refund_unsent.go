package terminal

import (
	"slices"
	"time"
)

// awaitsTap says that a phone may yet refuse a refund: nothing is reversed as a
// whole before it has agreed.
func (p *Payment) awaitsTap() bool {
	return slices.ContainsFunc(p.Refunds, func(b Refund) bool { return b.State == RefundAwaitingTap })
}

// replaceAdvice takes the advice, and refunds that wait behind it, out of the
// outbox and puts a reversal in their place: kind 04 of the same record, so that
// the allowance returns (terminal.md, Refunds). Should the advice be on its way
// after all, the wallet reverses what it has taken.
func (t *Terminal) replaceAdvice(p Payment, next *Payment, now time.Time) (Commit, error) {
	reversal := next.Refunds[len(next.Refunds)-1].Message
	next.owe(sendReversal, reversal)
	done := []string{p.Advice.String()}
	for i := range next.Refunds {
		b := &next.Refunds[i]
		if b.State != RefundQueued {
			continue
		}
		if b.Message != reversal {
			done = append(done, b.Message.String())
			next.Former = append(next.Former, b.Message)
		}
		b.Reversal, b.Message = true, reversal
	}
	proof, err := t.proofKept(&p, sendReversal)
	if err != nil {
		return Commit{}, err
	}
	counts := release(next)
	c := t.change(p, next, "given back before it was sent; the advice never leaves, a reversal takes its place")
	c.Done, c.Counts = done, counts
	c.Entries = []Entry{t.entry(next, sendReversal, reversal, 0, proof, now)}
	c.Records = append(c.Records, Record{kindUnsent, p.ID.String(), nil})
	return c, nil
}
