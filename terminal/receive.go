package terminal

import (
	"context"
	"errors"
	"fmt"

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
	}
	return nil // echoes and reconciliations are awaited by whoever asked
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
	if next.Reserved == nil && p.Reserved != nil {
		t.mu.Lock()
		delete(t.unsent, p.ID)
		t.mu.Unlock()
	}
	return nil
}

// apply maps a receipt to the payment's next state; false when it is known
// already or answers nothing of ours.
func (t *Terminal) apply(p Payment, r wire.Receipt) (Payment, Commit, bool) {
	answers := func(id *ID) bool { return id != nil && *id == r.Answers }
	accepted := r.Result == wire.Accepted
	next := p
	var c Commit
	switch {
	case answers(p.Request):
		return t.applyAnswer(p, r)
	case answers(p.Advice) && p.Settlement == Queued && p.State == Stored:
		counts := release(&next)
		next.WalletRef = r.WalletRef
		if accepted && r.AmountMinor == p.AmountMinor && r.State == wire.StateTaken {
			next.State, next.Settlement = Approved, Settled
			c = t.change(p, &next, "the wallet took the money")
			c.Done = []string{r.Answers.String()}
		} else {
			next.Settlement, next.Reason = Rejected, rejection(r)
			c = t.change(p, &next, "the wallet refused the payment; a person must look at it")
			c.Park = []Park{{r.Answers.String(), parkReason(r)}}
		}
		c.Counts = counts
	case answers(p.Reversal) && p.Settlement == Queued:
		if accepted {
			next.Settlement = Reversed
			c = t.change(p, &next, "the wallet confirmed the reversal")
			c.Done = []string{r.Answers.String()}
		} else {
			next.Settlement = Rejected
			c = t.change(p, &next, "the wallet refused the reversal; a person must look at it")
			c.Park = []Park{{r.Answers.String(), parkReason(r)}}
		}
	case answers(p.Report):
		c = t.change(p, &next, "the wallet has the report")
		if accepted {
			c.Done = []string{r.Answers.String()}
		} else {
			c.Park = []Park{{r.Answers.String(), parkReason(r)}}
		}
	default:
		return p, Commit{}, false
	}
	return next, c, true
}

// applyAnswer maps the answer to an authorisation.
func (t *Terminal) applyAnswer(p Payment, r wire.Receipt) (Payment, Commit, bool) {
	next := p
	next.WalletRef = r.WalletRef
	if p.State != Authorising && p.State != Unknown {
		if p.State == Failed && p.WalletRef == "" {
			// A late answer is accepted as a fact; the reversal already queued
			// answers it (terminal.md).
			return next, t.change(p, &next, "late answer of the wallet: "+string(r.Result)), true
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
	next.State, next.Settlement, next.Reason = Approved, Settled, emv.ReasonOK
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
