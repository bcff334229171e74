package terminal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tapkeeper/emv"
	"tapkeeper/uplink/wire"
)

// Receive takes a verified message of the wallet. It returns when what the
// message means is durable; only then may the link acknowledge it. Repeated and
// late messages change nothing.
func (t *Terminal) Receive(ctx context.Context, m *wire.Message) error {
	switch d := m.Data.(type) {
	case wire.Receipt:
		return t.receive(ctx, d, m.Raw)
	case wire.Status:
		return t.heard(ctx, d, m.Raw)
	case wire.EchoAnswer:
		return t.anchored(ctx, d.Head)
	}
	return nil // a reconciliation is awaited by whoever asked
}

// receive applies a receipt.
func (t *Terminal) receive(ctx context.Context, r wire.Receipt, raw []byte) error {
	defer t.locks.lock("payment/" + r.PaymentID.String())()
	p, err := t.load(r.PaymentID)
	if errors.Is(err, ErrNotFound) {
		return nil // not ours, or older than what is kept: nothing to change
	}
	if err != nil {
		return err
	}
	next, c, ok := t.apply(p, r)
	if !ok {
		return nil
	}
	c.Records = append(c.Records, Record{kindReceipt, p.ID.String() + "/" + r.Answers.String(), raw})
	if p.State == Stored {
		c.Records = append(c.Records, Record{kindUnsent, p.ID.String(), nil})
	}
	if _, err := t.commit(ctx, c); err != nil {
		if errors.Is(err, ErrConflict) {
			return nil // the entry has left the outbox: the receipt came twice
		}
		return fmt.Errorf("store a receipt of %s: %w", p.ID, err)
	}
	t.settled(p, next)
	return nil
}

// settled forgets a payment that holds no exposure any more.
func (t *Terminal) settled(before, after Payment) {
	if after.Reserved == nil && before.Reserved != nil {
		t.mu.Lock()
		delete(t.unsent, before.ID)
		t.mu.Unlock()
	}
}

// apply maps a receipt to the payment's next state; false when it is known
// already or answers nothing of ours.
func (t *Terminal) apply(p Payment, r wire.Receipt) (Payment, Commit, bool) {
	answers := func(id *ID) bool { return id != nil && *id == r.Answers }
	switch {
	case answers(p.Request):
		return t.applyAnswer(p, r)
	case answers(p.Advice) && p.Reversal != nil && p.State == Stored:
		return t.late(p, r) // it was on its way when a reversal took its place
	case answers(p.Advice) && p.Settlement == Queued && p.State == Stored:
		return t.applyAdvice(p, r)
	case answers(p.Reversal) && p.Settlement == Queued:
		return t.applyReversal(p, r)
	case answers(p.Report):
		return t.noted(p, r, "the wallet has the report")
	case p.Resent != nil && p.Resent.Message == r.Answers && !p.Resent.Parked:
		return t.applyResent(p, r)
	}
	for i := range p.Refunds {
		if b := &p.Refunds[i]; b.Message == r.Answers && b.State == RefundQueued {
			return t.applyRefund(p, i, r)
		}
	}
	return p, Commit{}, false
}

// applyAdvice: only the wallet's word that it has this payment's money settles it.
func (t *Terminal) applyAdvice(p Payment, r wire.Receipt) (Payment, Commit, bool) {
	next := p
	counts := release(&next)
	next.WalletRef = r.WalletRef
	var c Commit
	if r.Result == wire.Accepted && r.AmountMinor == p.AmountMinor && r.State == wire.StateTaken {
		next.State, next.Settlement, next.Reason, next.Number = Approved, Settled, emv.ReasonOK, r.Sequence
		c = t.change(p, &next, "the wallet took the money")
		c.Done = []string{r.Answers.String()}
	} else {
		next.Settlement, next.Reason = Rejected, rejection(r)
		behind := next.refuseRefunds(p, rejection(r))
		c = t.change(p, &next, "the wallet refused the payment; a person must look at it")
		c.Park, c.Done = []Park{{r.Answers.String(), parkReason(r)}}, behind
	}
	c.Counts = counts
	return next, c, true
}

// applyReversal ends a payment without money.
func (t *Terminal) applyReversal(p Payment, r wire.Receipt) (Payment, Commit, bool) {
	next := p
	next.Refunds = append([]Refund(nil), p.Refunds...)
	var c Commit
	if r.Result == wire.Accepted {
		next.Settlement = Reversed
		for i := range next.Refunds {
			if b := &next.Refunds[i]; b.State == RefundQueued && b.Reversal {
				b.State = RefundDone
			}
		}
		c = t.change(p, &next, "the wallet confirmed the reversal")
		c.Done = []string{r.Answers.String()}
	} else {
		next.Settlement = Rejected
		c = t.change(p, &next, "the wallet refused the reversal; a person must look at it")
		c.Park = []Park{{r.Answers.String(), parkReason(r)}}
	}
	return next, c, true
}

// applyRefund: a refusal is an answer like another; the till may ask for a new
// refund. Anything but this refund's money waits for a person.
func (t *Terminal) applyRefund(p Payment, at int, r wire.Receipt) (Payment, Commit, bool) {
	next := p
	next.Refunds = append([]Refund(nil), p.Refunds...)
	b := &next.Refunds[at]
	var c Commit
	switch {
	case r.Result == wire.Refused:
		b.State, b.Reason = RefundRefused, emv.Reason(r.Reason)
		c = t.change(p, &next, "the wallet refused the refund")
		c.Done = []string{r.Answers.String()}
	case r.AmountMinor == b.AmountMinor || r.AmountMinor == 0: // 0: it was made before
		b.State = RefundDone
		c = t.change(p, &next, "the wallet has given the money back")
		c.Done = []string{r.Answers.String()}
	default:
		b.State, b.Reason = RefundRefused, emv.ReasonProtocol
		c = t.change(p, &next, "the wallet gave back another amount; a person must look at it")
		c.Park = []Park{{r.Answers.String(), parkReason(r)}}
	}
	return next, c, true
}

// refuseRefunds ends the refunds that waited behind a refused advice, and names
// the messages that need not leave.
func (p *Payment) refuseRefunds(before Payment, why emv.Reason) (messages []string) {
	p.Refunds = append([]Refund(nil), before.Refunds...)
	for i := range p.Refunds {
		if b := &p.Refunds[i]; b.State == RefundQueued {
			b.State, b.Reason = RefundRefused, why
			messages = append(messages, b.Message.String())
		}
	}
	return messages
}

// noted is a receipt that changes nothing about the payment.
func (t *Terminal) noted(p Payment, r wire.Receipt, why string) (Payment, Commit, bool) {
	next := p
	c := t.change(p, &next, why)
	if r.Result == wire.Accepted {
		c.Done = []string{r.Answers.String()}
	} else {
		c.Park = []Park{{r.Answers.String(), parkReason(r)}}
	}
	return next, c, true
}

// applyResent: the wallet's books are whole again, or a person must look.
func (t *Terminal) applyResent(p Payment, r wire.Receipt) (Payment, Commit, bool) {
	next := p
	resent := *p.Resent
	var c Commit
	if r.Result == wire.Accepted {
		next.Resent, next.Former = nil, append(slices.Clip(p.Former), resent.Message)
		c = t.change(p, &next, "the wallet has what was sent again")
		c.Done = []string{r.Answers.String()}
	} else {
		resent.Parked = true
		next.Resent = &resent
		c = t.change(p, &next, "the wallet refused what was sent again; a person must look at it")
		c.Park = []Park{{r.Answers.String(), parkReason(r)}}
	}
	return next, c, true
}

// late is an answer that came after the payment was reversed. It is accepted as
// a fact; the reversal already queued answers it (terminal.md).
func (t *Terminal) late(p Payment, r wire.Receipt) (Payment, Commit, bool) {
	if p.WalletRef != "" {
		return p, Commit{}, false
	}
	next := p
	next.WalletRef = r.WalletRef
	c := t.change(p, &next, "late answer of the wallet: "+string(r.Result))
	// What is taken away says to a full journal that this ends something: the link
	// would otherwise be cut again and again over an answer that cannot be kept.
	c.Records = append(c.Records, Record{kindPending, p.ID.String(), nil})
	return next, c, true
}

// applyAnswer maps the answer to an authorisation.
func (t *Terminal) applyAnswer(p Payment, r wire.Receipt) (Payment, Commit, bool) {
	next := p
	next.WalletRef = r.WalletRef
	if p.State != Authorising && p.State != Unknown {
		if p.State == Failed {
			return t.late(p, r)
		}
		return p, Commit{}, false
	}
	if r.Result == wire.Refused {
		next.State, next.Reason = Declined, emv.Reason(r.Reason)
		return next, t.change(p, &next, "the wallet refused"), true
	}
	if r.State != wire.StateTaken || r.AmountMinor != p.AmountMinor {
		return p, Commit{}, false // not this payment's money: the deadline reverses it
	}
	next.State, next.Settlement, next.Reason, next.Number = Approved, Settled, emv.ReasonOK, r.Sequence
	return next, t.change(p, &next, "the wallet took the money"), true
}

// heard applies the answer to a query. Only what ends an unknown payment counts.
func (t *Terminal) heard(ctx context.Context, s wire.Status, raw []byte) error {
	if s.Receipt == nil {
		return nil // nothing known: the next query or the reversal follows
	}
	return t.receive(ctx, *s.Receipt, raw)
}

func rejection(r wire.Receipt) emv.Reason {
	if r.Reason == 0 {
		return emv.ReasonProtocol // accepted, but not this payment's money
	}
	return emv.Reason(r.Reason)
}

func parkReason(r wire.Receipt) string {
	return fmt.Sprintf("the wallet answered %s, state %s, reason %s, amount %d", r.Result, r.State, r.Reason, r.AmountMinor)
}
