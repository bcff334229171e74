package terminal

import (
	"context"
	"errors"
	"slices"
	"sync"

	"tapkeeper/uplink/wire"
)

// Class is how a payment differs between the two books.
type Class string

// The four classes of architecture.md, step 8.
const (
	OnlyHere     Class = "only_here"
	OnlyThere    Class = "only_there"
	AmountDiffer Class = "amount_differs"
	StateDiffers Class = "state_differs"
)

// Difference is one payment, or one refund, that the two books do not agree on,
// and what was done about it.
type Difference struct {
	Payment ID         `json:"payment_id"`
	Refund  *ID        `json:"refund_id,omitempty"`
	Class   Class      `json:"class"`
	Here    *wire.Item `json:"here,omitempty"`
	There   *wire.Item `json:"there,omitempty"`
	Action  string     `json:"action"` // wait, query, resend, reverse, accept; or person, who must look at it
	Why     string     `json:"why"`
}

// What is done about a difference.
const (
	doWait    = "wait"    // its message is in the outbox and goes again by itself
	doQuery   = "query"   // the wallet was asked; its answer settles it
	doResend  = "resend"  // the wallet has lost it: it is told again
	doReverse = "reverse" // the wallet has money that the till was told is not paid
	doAccept  = "accept"  // the wallet's word is taken as the fact
	doPerson  = "person"  // only a person can tell who is right
)

// compare classifies every item of a range that is not the same in both books.
// Both sides are sorted.
func compare(here, there []wire.Item) []Difference {
	var out []Difference
	for len(here) > 0 || len(there) > 0 {
		order := 0
		switch {
		case len(there) == 0:
			order = -1
		case len(here) == 0:
			order = 1
		default:
			order = wire.CompareItems(here[0], there[0])
		}
		switch {
		case order < 0:
			out, here = append(out, differenceOf(OnlyHere, &here[0], nil)), here[1:]
			continue
		case order > 0:
			out, there = append(out, differenceOf(OnlyThere, nil, &there[0])), there[1:]
			continue
		case here[0].AmountMinor != there[0].AmountMinor || here[0].PaymentID != there[0].PaymentID:
			out = append(out, differenceOf(AmountDiffer, &here[0], &there[0]))
		case here[0].State != there[0].State:
			out = append(out, differenceOf(StateDiffers, &here[0], &there[0]))
		}
		here, there = here[1:], there[1:]
	}
	return out
}

func differenceOf(class Class, here, there *wire.Item) Difference {
	d := Difference{Class: class}
	for _, i := range []*wire.Item{here, there} {
		if i == nil {
			continue
		}
		own := *i
		d.Payment = own.PaymentID
		if own.RefundID != (ID{}) {
			d.Refund = &own.RefundID
		}
		if i == here {
			d.Here = &own
		} else {
			d.There = &own
		}
	}
	return d
}

// actors carry out actions side by side: their commits share a sync.
const actors = 16

// actOn does what each difference needs, and writes beside it what was done.
func (t *Terminal) actOn(ctx context.Context, day string, differences []Difference) {
	if t.isOldCopy() {
		for i := range differences {
			differences[i].Action, differences[i].Why = doPerson, "this journal is an older copy, which knows too little to act"
		}
		return
	}
	next := make(chan []Difference)
	var working sync.WaitGroup
	for range min(actors, len(differences)) {
		working.Go(func() {
			for same := range next {
				for i := range same {
					t.act(ctx, day, &same[i])
				}
			}
		})
	}
	// One payment's differences are one worker's, in their order.
	for len(differences) > 0 {
		n := 1
		for n < len(differences) && differences[n].Payment == differences[0].Payment {
			n++
		}
		next <- differences[:n]
		differences = differences[n:]
	}
	close(next)
	working.Wait()
}

// act decides about one difference and carries it out. What cannot be carried
// out is a person's, with the reason.
func (t *Terminal) act(ctx context.Context, day string, d *Difference) {
	if d.Class == OnlyThere && d.Refund == nil {
		t.askFirst(ctx, d)
	}
	p, err := t.load(d.Payment)
	if errors.Is(err, ErrNotFound) {
		d.Action, d.Why = doPerson, "the journal does not hold this payment; compare it with the wallet's receipt"
		return
	}
	if err != nil {
		d.Action, d.Why = doPerson, err.Error()
		return
	}
	defer t.locks.lock("order/" + p.OrderRef)()
	defer t.locks.lock("payment/" + p.ID.String())()
	if p, err = t.load(d.Payment); err == nil {
		err = t.actOnPayment(ctx, day, p, d)
	}
	if err != nil {
		d.Action, d.Why = doPerson, "it could not be carried out: "+err.Error()
	}
}

// askFirst asks the wallet about a payment whose receipt may have been lost. Its
// answer goes to Receive, which settles the payment if it is of ours.
func (t *Terminal) askFirst(ctx context.Context, d *Difference) {
	p, err := t.load(d.Payment)
	if err != nil || p.Settlement != Queued || !p.State.Ended() {
		return
	}
	status, ok := t.query(ctx, d.Payment)
	if !ok || status.Receipt == nil || !slices.Contains(p.messages(), status.Receipt.Answers) {
		return
	}
	// It is on its way through Receive: give its commit a moment.
	keeping, stop := context.WithTimeout(ctx, keepAnswer)
	defer stop()
	if p, err = t.Wait(keeping, p.ID, p.Revision); err == nil && p.Settlement != Queued {
		d.Action, d.Why = doQuery, "the receipt was lost; the wallet has given it again"
	}
}

// actOnPayment holds the locks of the payment and of its order.
func (t *Terminal) actOnPayment(ctx context.Context, day string, p Payment, d *Difference) error {
	plan := planOf(day, &p, d)
	if d.Action == doQuery {
		return nil // the answer has settled it
	}
	parked := ID{}
	if plan.action == doAccept && d.Refund == nil && d.There.State == wire.ItemPaid {
		ids, _, err := t.order(p.OrderRef)
		if err != nil {
			return err
		}
		if len(ids) == 0 || ids[len(ids)-1] != p.ID {
			plan.action, plan.why, parked = doReverse, "the order was paid anew since; this money goes back", *p.Advice
		}
	}
	d.Action, d.Why = plan.action, plan.why
	next := p
	var c Commit
	var err error
	switch plan.action {
	case doResend:
		c, err = t.again(p, next, plan.kind, d.Refund)
	case doReverse:
		next.Settlement = Queued
		c, err = t.resend(p, next, sendReversal, parked, "the wallet has money of a payment that was told not paid; reversed")
	case doAccept:
		c, err = t.accept(p, d)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	_, err = t.commit(ctx, c)
	return err
}
