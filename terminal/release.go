package terminal

import (
	"context"
	"errors"
	"fmt"
)

// ErrPaidAnew: the order of a refused payment has another payment since. To send
// the first one again could take the money twice.
var ErrPaidAnew = errors.New("the order has a newer payment")

// Release lets a message go out again that the wallet has refused and a person
// has looked at: an advice, a reversal or a report of a payment. The exposure of an
// advice is not reserved again, for the wallet knows of it.
func (t *Terminal) Release(ctx context.Context, payment, message ID) error {
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
	next := p
	switch is := func(id *ID) bool { return id != nil && *id == message }; {
	case is(p.Advice) && p.Settlement == Rejected:
		ids, raw, err := t.order(p.OrderRef)
		if err != nil {
			return err
		}
		if len(ids) == 0 || ids[len(ids)-1] != p.ID {
			return ErrPaidAnew
		}
		guards = []Guard{{kindOrder, p.OrderRef, raw}}
		next.Settlement = Queued
	case is(p.Reversal) && p.Settlement == Rejected:
		next.Settlement = Queued
	case is(p.Report):
	default:
		return fmt.Errorf("%w: message %s of payment %s is not parked", ErrConflict, message, payment)
	}
	c := t.change(p, &next, "a person lets it go out again")
	c.Guards, c.Release = guards, []string{message.String()}
	if _, err := t.commit(ctx, c); err != nil {
		return fmt.Errorf("release message %s: %w", message, err)
	}
	return nil
}
