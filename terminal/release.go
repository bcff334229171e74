package terminal

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Release lets what the wallet has refused go out again, once a person has looked
// at it: an advice, a reversal or a report of a payment. It goes under a new
// message id and number: the wallet remembers its answer to the old message for
// ever, and judges this one anew. The exposure of an advice is not reserved again,
// for the wallet knows of it.
func (t *Terminal) Release(ctx context.Context, payment, message ID) error {
	if t.isOldCopy() {
		return ErrOldCopy // it may not know that the order was paid anew
	}
	p, err := t.load(payment)
	if err != nil {
		return err
	}
	// The order's next payment may be opened at this moment: one of the two is first.
	defer t.locks.lock("order/" + p.OrderRef)()
	defer t.locks.lock("payment/" + payment.String())()
	if p, err = t.load(payment); err != nil {
		return err
	}
	var guards []Guard
	var kind outgoing
	next := p
	switch is := func(id *ID) bool { return id != nil && *id == message }; {
	case is(p.Advice) && p.Settlement == Rejected && p.Reversal == nil:
		ids, raw, err := t.order(p.OrderRef)
		if err != nil {
			return err
		}
		if len(ids) == 0 || ids[len(ids)-1] != p.ID {
			return ErrPaidAnew
		}
		guards = []Guard{{kindOrder, p.OrderRef, raw}}
		kind, next.Settlement = sendAdvice, Queued
	case is(p.Reversal) && p.Settlement == Rejected:
		kind, next.Settlement = sendReversal, Queued
	case is(p.Report):
		kind = sendReport
	case p.Resent != nil && p.Resent.Parked && p.Resent.Message == message:
		return t.releaseResent(ctx, p)
	default:
		return fmt.Errorf("%w: message %s of payment %s is not parked", ErrConflict, message, payment)
	}
	c, err := t.resend(p, next, kind, message, "a person lets it go out again")
	if err != nil {
		return err
	}
	c.Guards = guards
	if _, err := t.commit(ctx, c); err != nil {
		return fmt.Errorf("release message %s: %w", message, err)
	}
	return nil
}

// releaseResent sends once more what a reconciliation had sent again.
func (t *Terminal) releaseResent(ctx context.Context, p Payment) error {
	next, old := p, *p.Resent
	next.Former = append(slices.Clip(p.Former), old.Message)
	c, err := t.again(p, next, outgoing(old.Kind), old.Refund)
	if err != nil {
		return err
	}
	c.Done = []string{old.Message.String()}
	if _, err := t.commit(ctx, c); err != nil {
		return fmt.Errorf("release message %s: %w", old.Message, err)
	}
	return nil
}

// resend prepares the commit that puts a message of the payment into the outbox
// under a new id, in the place of another one when old is not zero.
func (t *Terminal) resend(p, next Payment, kind outgoing, old ID, why string) (Commit, error) {
	now := time.Now()
	id, err := newID(now, t.random)
	if err != nil {
		return Commit{}, err
	}
	proof, err := t.proofKept(&p, kind)
	if err != nil {
		return Commit{}, err
	}
	var done []string
	if old != (ID{}) {
		next.Former = append(slices.Clip(p.Former), old)
		done = []string{old.String()}
	}
	next.owe(kind, id)
	c := t.change(p, &next, why)
	c.Done = done
	c.Entries = []Entry{t.entry(&next, kind, id, 0, proof, now)}
	return c, nil
}
