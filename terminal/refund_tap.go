package terminal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tapkeeper/emv"
	"tapkeeper/emv/channel"
	"tapkeeper/uplink/wire"
)

// tapRefund opens a refund that the payer's phone is tapped for (scheme 8.2): the
// phone and the terminal hold it against the account that has paid. It is on disk
// before the field is armed; the wallet hears of it once the phone has agreed.
func (t *Terminal) tapRefund(ctx context.Context, p Payment, raw []byte, r RefundRequest) (Refund, error) {
	if p.State == Stored && p.goingBack()+r.AmountMinor == p.AmountMinor {
		return Refund{}, &RequestError{"tap", "no tap: the payment has not left yet and is reversed as a whole"}
	}
	if err := t.fieldReady(ctx); err != nil {
		return Refund{}, err
	}
	now := time.Now()
	ids, err := newIDs(now, t.random, 2)
	if err != nil {
		return Refund{}, err
	}
	back := Refund{
		ID: ids[0], Message: ids[1], AmountMinor: r.AmountMinor, State: RefundAwaitingTap, At: now,
		BusinessDay: t.cfg.businessDay(now), Manager: r.Manager, Tap: true,
	}
	if err := t.claim(back.ID); err != nil {
		return Refund{}, err
	}
	next := p
	next.Refunds = append(slices.Clone(p.Refunds), back)
	c := t.change(p, &next, fmt.Sprintf("%d are to be given back to the phone that has paid", back.AmountMinor))
	c.Guards = []Guard{{kindPayment, p.ID.String(), raw}, {Kind: kindKey, Key: r.Key}}
	c.Records = append(c.Records, Record{kindKey, r.Key, mustJSON(asked{p.ID, r.digest(), &back.ID})},
		Record{kindRefunds + back.BusinessDay, back.ID.String(), []byte(p.ID.String())},
		Record{kindTapRefund, back.ID.String(), []byte(p.ID.String())})
	if _, err := t.commit(ctx, c); err != nil {
		t.unclaim(back.ID)
		return Refund{}, fmt.Errorf("store the refund: %w", err)
	}
	t.armed <- back.ID // never blocks: the claim is held by this refund alone
	return back, nil
}

// refundOfTap finds the payment of a refund that has the field.
func (t *Terminal) refundOfTap(id ID) (payment ID, ok bool, err error) {
	raw, ok, err := t.journal.Get(kindTapRefund, id.String())
	if err != nil || !ok {
		return ID{}, false, err
	}
	payment, err = ParseID(string(raw))
	return payment, err == nil, err
}

// attendRefund has the field for one refund until the kernel has an outcome.
func (t *Terminal) attendRefund(ctx context.Context, id, payment ID) {
	p, err := t.load(payment)
	if err != nil {
		t.fail(fmt.Errorf("take up refund %s: %w", id, err))
		return
	}
	at := slices.IndexFunc(p.Refunds, func(b Refund) bool { return b.ID == id })
	if at < 0 {
		t.fail(fmt.Errorf("payment %s has no refund %s", payment, id))
		return
	}
	reference, _, err := t.journal.Get(kindReference, payment.String())
	if err != nil {
		t.fail(fmt.Errorf("read the reference of %s: %w", payment, err))
		return
	}
	back := p.Refunds[at]
	v := &visit{t: t, ctx: ctx, refundOf: &payment, p: Payment{
		ID: id, AmountMinor: back.AmountMinor, Currency: p.Currency, ExpiresAt: back.At.Add(t.cfg.Bounds.Tap),
	}}
	sale := t.sale(&v.p)
	sale.Kind, sale.OriginalReference = emv.Refund, channel.NewSecret(reference)
	v.sale = &sale
	out, err := v.taps()
	if err == nil {
		err = t.concludeRefund(v, &out)
	}
	if err != nil {
		t.fail(fmt.Errorf("keep refund %s: %w", id, err))
	}
}

// storeRefundPending keeps the kernel's pending record of a refund. It reserves
// nothing: a refund does not touch an allowance (scheme 8.2).
func (v *visit) storeRefundPending(value []byte, why string) error {
	c := Commit{Records: []Record{{kindPending, v.p.ID.String(), value}}}
	c.Event = mustJSON(Step{At: time.Now(), Why: why})
	if value == nil {
		_, err := v.t.insist(c) // the phone was asked: as with a payment, a full disk is waited for
		return err
	}
	_, err := v.t.commit(v.ctx, c)
	return err
}

// concludeRefund commits what the tap has come to: a message for the wallet with
// the phone's word, or a refusal. What the wallet was not told moves nothing.
func (t *Terminal) concludeRefund(v *visit, out *emv.Outcome) error {
	defer t.locks.lock("payment/" + v.refundOf.String())()
	p, err := t.load(*v.refundOf)
	if err != nil {
		return err
	}
	c, err := t.refundOutcome(p, v.p.ID, out)
	if err != nil {
		return err
	}
	c.Records = append(c.Records, Record{kindTrace, v.p.ID.String(), mustJSON(v.trace)})
	t.unclaim(v.p.ID) // whoever hears of the outcome may open the next payment at once
	_, err = t.insist(c)
	if err == nil || errors.Is(err, ErrUncertain) || errors.Is(err, ErrStorage) || t.failure() != nil {
		return err
	}
	// Something that the phone said does not fit into the journal. A phone must not
	// stop the terminal (I14): what can be kept is that nothing goes back.
	if c, err = t.refundOutcome(p, v.p.ID, &emv.Outcome{Result: emv.End, Reason: emv.ReasonProtocol}); err == nil {
		_, err = t.insist(c)
	}
	return err
}

// refundOutcome prepares the commit of what a tap for a refund has come to.
func (t *Terminal) refundOutcome(p Payment, id ID, out *emv.Outcome) (Commit, error) {
	next := p
	next.Refunds = slices.Clone(p.Refunds)
	at := slices.IndexFunc(next.Refunds, func(b Refund) bool { return b.ID == id })
	if at < 0 {
		return Commit{}, fmt.Errorf("payment %s has no refund %s", p.ID, id)
	}
	b := &next.Refunds[at]
	why := "the phone has not agreed to the refund"
	if out.Result == emv.Online && out.RecordKind == emv.RecordRefund {
		b.State, why = RefundQueued, "the phone that has paid was tapped; the money goes back"
	} else {
		b.State, b.Reason = RefundRefused, whyNot(out.Reason)
	}
	c := t.change(p, &next, why)
	c.Records = append(c.Records, Record{kindPending, id.String(), nil}, Record{kindTapRefund, id.String(), nil})
	if out.Seen != nil {
		c.Records = append(c.Records, seenRecord(out.Seen))
	}
	if b.State == RefundQueued {
		c.Records = append(c.Records, Record{kindRecord, id.String(), out.Record.Bytes()})
		c.Entries = []Entry{t.seal(&p, b.Message, 0, t.refundMessage(&p, b, out.Record.Bytes()), time.Now())}
	}
	return c, nil
}

// whyNot is the reason of a refusal, which must not be "OK".
func whyNot(r emv.Reason) emv.Reason {
	if r == emv.ReasonOK {
		return emv.ReasonUnknown
	}
	return r
}

// refundMessage is what the wallet is told about a refund; with the record of its
// tap, if there was one.
func (t *Terminal) refundMessage(p *Payment, back *Refund, record []byte) wire.Refund {
	common := t.common(p)
	common.AmountMinor, common.BusinessDay, common.AcceptedAt = back.AmountMinor, back.BusinessDay, wire.At(back.At)
	if len(record) > 0 {
		common.Record, common.RecordKind = wire.NewRecord(record), wire.RecordKind(emv.RecordRefund)
	}
	return wire.Refund{Payment: common, RefundID: back.ID}
}

// recoverTapRefunds ends the refunds that waited for a tap when the last process
// ended: the wallet was not told, so nothing has moved.
func (t *Terminal) recoverTapRefunds() error {
	waiting := map[ID]ID{}
	err := t.journal.Each(kindTapRefund, "", func(key string, payment []byte) error {
		id, err := ParseID(key)
		if err != nil {
			return err
		}
		waiting[id], err = ParseID(string(payment))
		return err
	})
	if err != nil {
		return fmt.Errorf("read the refunds that waited for a tap: %w", err)
	}
	for id, payment := range waiting {
		v := &visit{t: t, p: Payment{ID: id}, refundOf: &payment}
		if err := t.concludeRefund(v, &emv.Outcome{Result: emv.End, Reason: emv.ReasonTimeout}); err != nil {
			return fmt.Errorf("end refund %s: %w", id, err)
		}
	}
	return nil
}

// cancelRefund ends a refund that still waits for a tap.
func (t *Terminal) cancelRefund(ctx context.Context, id ID) (Payment, error) {
	payment, ok, err := t.refundOfTap(id)
	if err != nil || !ok {
		return Payment{}, errors.Join(err, ErrNotFound)
	}
	if !t.stopActive(id) {
		p, err := t.Payment(payment)
		return p, errors.Join(err, ErrTooLate)
	}
	for {
		p, err := t.Payment(payment)
		if err != nil {
			return p, err
		}
		at := slices.IndexFunc(p.Refunds, func(b Refund) bool { return b.ID == id })
		if at < 0 || p.Refunds[at].State != RefundAwaitingTap {
			return p, nil
		}
		if p, err = t.Wait(ctx, payment, p.Revision); err != nil || ctx.Err() != nil {
			return p, errors.Join(err, ctx.Err())
		}
	}
}
