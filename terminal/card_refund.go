package terminal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// refundCard puts a refund of a card payment on disk and gives it to the card
// terminal. It is queued until that has said what became of it.
func (t *Terminal) refundCard(ctx context.Context, p Payment, raw []byte, r RefundRequest) (Refund, error) {
	now := time.Now()
	ids, err := newIDs(now, t.random, 2)
	if err != nil {
		return Refund{}, err
	}
	if err := t.acceptor.Ready(ctx); err != nil {
		return Refund{}, err
	}
	back := Refund{
		ID: ids[0], Message: ids[1], AmountMinor: r.AmountMinor, State: RefundQueued, At: now,
		BusinessDay: t.cfg.businessDay(now), Manager: r.Manager,
	}
	if err := t.claim(back.ID); err != nil { // not the payment's id: its own claim may be ending
		return Refund{}, err
	}
	next := p
	next.Refunds = append(slices.Clone(p.Refunds), back)
	card := *p.Card
	card.Work = &CardWork{Refund: back.ID}
	next.Card = &card
	c := t.change(p, &next, fmt.Sprintf("%d are given back by the card terminal", back.AmountMinor))
	c.Guards = []Guard{{kindPayment, p.ID.String(), raw}, {Kind: kindKey, Key: r.Key}}
	c.Records = append(c.Records, Record{kindKey, r.Key, mustJSON(asked{p.ID, r.digest(), &back.ID})},
		Record{kindRefunds + back.BusinessDay, back.ID.String(), []byte(p.ID.String())},
		Record{kindCard, keyWork, []byte(p.ID.String())})
	if _, err := t.commit(ctx, c); err != nil {
		t.unclaim(back.ID)
		return Refund{}, fmt.Errorf("store the refund: %w", err)
	}
	t.armed <- p.ID // never blocks: the claim is held by this payment alone
	return back, nil
}

// giveBack has the card terminal make the refund that is under way, or finds out
// whether it has made it before a restart.
func (t *Terminal) giveBack(ctx context.Context, p Payment) {
	at := slices.IndexFunc(p.Refunds, func(b Refund) bool { return b.ID == p.Card.Work.Refund })
	if at < 0 {
		t.fail(fmt.Errorf("payment %s has no refund %s", p.ID, p.Card.Work.Refund))
		return
	}
	back := p.Refunds[at]
	if p.Card.Work.Asked {
		t.findOutRefund(p.ID, back)
		return
	}
	before, err := t.lastBooking(ctx)
	if err == nil {
		if p, err = t.noteWork(p.ID, back.ID, func(w *CardWork) { w.Asked, w.Before = true, before }, "the card terminal is asked to give money back"); err != nil && !errors.Is(err, ErrStorage) {
			t.fail(err)
			return
		}
	}
	if err != nil {
		t.endRefund(p.ID, back, Booking{Why: "the card terminal was not asked: " + err.Error()}, nil)
		return
	}
	w := &witness{t: t, store: func(b Booking) error {
		if !b.Done {
			return nil
		}
		if err := mayKeep(&b, before, back.AmountMinor); err != nil {
			return err
		}
		_, err := t.noteWork(p.ID, back.ID, func(w *CardWork) { w.Booking = &b }, "the card terminal has booked a refund, and is told to keep it")
		return err
	}}
	b, err := t.makeRefund(ctx, &p, &back, w)
	switch {
	case err == nil:
		if b.Done && b.Ident == "" { // a reversal may end without a word
			b.AmountMinor = back.AmountMinor
			if _, err := t.noteWork(p.ID, back.ID, func(w *CardWork) { w.Booking = &b }, "the card terminal says that it has given money back"); err != nil {
				t.fail(err)
			}
			t.findOutRefund(p.ID, back)
			return
		}
		t.endRefund(p.ID, back, b, w.slip)
	case errors.Is(err, ErrNotAsked):
		t.endRefund(p.ID, back, Booking{Why: err.Error()}, nil)
	default:
		t.findOutRefund(p.ID, back)
	}
}

// makeRefund reverses a payment whole in the day that it was booked in, for which
// no card is needed; else it gives money to a card.
func (t *Terminal) makeRefund(ctx context.Context, p *Payment, back *Refund, w *witness) (Booking, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Bounds.Tap)
	defer cancel()
	_, sameDay, err := t.journal.Get(kindCardOpen, p.Card.Booking.Ident)
	if err != nil {
		return Booking{}, fmt.Errorf("%w: %w", ErrNotAsked, err)
	}
	if sameDay && back.AmountMinor == p.AmountMinor {
		return t.acceptor.Reverse(ctx, p.Card.Booking.Receipt, w)
	}
	return t.acceptor.Refund(ctx, back.AmountMinor, p.Currency, w)
}

// noteWork makes a step of a refund durable.
func (t *Terminal) noteWork(id, refund ID, step func(*CardWork), why string) (Payment, error) {
	defer t.locks.lock("payment/" + id.String())()
	p, err := t.load(id)
	if err != nil {
		return p, err
	}
	if p.Card.Work == nil || p.Card.Work.Refund != refund {
		return p, errLate
	}
	next := p
	card, work := *p.Card, *p.Card.Work
	step(&work)
	card.Work, next.Card = &work, &card
	c := t.change(p, &next, why)
	if work.Booking == nil {
		c.Records = append(c.Records, Record{kindCard, keyLast, []byte(work.Before)})
	}
	if _, err := t.commit(context.Background(), c); err != nil {
		return p, err
	}
	return next, nil
}

// findOutRefund asks the card terminal for its last booking until it is known what
// has become of a refund.
func (t *Terminal) findOutRefund(id ID, back Refund) {
	p, err := t.load(id)
	if err != nil || p.Card.Work == nil {
		return
	}
	work := p.Card.Work
	b, known := t.askLast(t.lifetime(), work.Before, work.Booking, back.At)
	if known {
		t.endRefund(id, back, b, nil)
	}
}

// endRefund commits what has become of a refund.
func (t *Terminal) endRefund(id ID, back Refund, b Booking, slip []string) {
	defer t.locks.lock("payment/" + id.String())()
	p, err := t.load(id)
	if err != nil {
		t.fail(fmt.Errorf("store the refund of %s: %w", id, err))
		return
	}
	next := p
	next.Refunds = slices.Clone(p.Refunds)
	state, why := RefundRefused, "the card terminal has not given it back: "+b.Why
	if b.Done {
		state, why = RefundDone, "the card terminal has given it back"
	}
	for i := range next.Refunds {
		if next.Refunds[i].ID == back.ID {
			next.Refunds[i].State = state
		}
	}
	card := *p.Card
	card.Work = nil
	next.Card = &card
	c := t.change(p, &next, why)
	c.Records = append(c.Records, Record{kindCard, keyWork, nil})
	if b.Done {
		c.Records = append(c.Records, bookedRecords(&b, p.ID, -back.AmountMinor)...)
	}
	if len(slip) > 0 {
		c.Records = append(c.Records, Record{kindCardSlip, p.ID.String(), mustJSON(slip)})
	}
	t.unclaim(back.ID)
	if _, err := t.insist(c); err != nil {
		t.fail(fmt.Errorf("store the refund of %s: %w", p.ID, err))
	}
}
