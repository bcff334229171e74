package terminal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"tapkeeper/emv"
	"tapkeeper/uplink/wire"
)

// RefundState is where a refund stands.
type RefundState string

// The states of a refund (terminal.md, Refunds).
const (
	RefundAwaitingTap RefundState = "awaiting_tap" // of the phone that has paid (scheme 8.2)
	RefundQueued      RefundState = "queued"       // in the outbox
	RefundSent        RefundState = "sent"         // handed to the link; shown, never stored
	RefundDone        RefundState = "refunded"     // the wallet gave it back, or the money was never taken
	RefundRefused     RefundState = "refused"
)

// Refund is money of a payment that goes back.
type Refund struct {
	ID          ID          `json:"id"`
	AmountMinor int64       `json:"amount_minor"`
	State       RefundState `json:"state"`
	Reason      emv.Reason  `json:"reason"`
	At          time.Time   `json:"at"`
	BusinessDay string      `json:"business_day"`
	Manager     bool        `json:"manager,omitempty"`  // a manager has approved it
	Reversal    bool        `json:"reversal,omitempty"` // the advice had not left: a reversal took its place
	Tap         bool        `json:"tap,omitempty"`      // the phone that has paid was to be tapped
	Message     ID          `json:"message"`            // the wallet's receipt answers it
}

// RefundRequest asks for money of a payment to go back.
type RefundRequest struct {
	Payment     ID
	Key         string // idempotency key; a refund must have one
	AmountMinor int64  // zero: all that is left
	Manager     bool   // a manager approves it
	Tap         bool   // the payer's phone must be tapped (scheme 8.2)

	whole bool // all was asked for, whatever it came to
}

// maxRefunds of one payment: a till that loops must not fill the disk.
const maxRefunds = 50

func (r *RefundRequest) validate() error {
	r.whole = r.AmountMinor == 0
	switch {
	case r.Key == "" || len(r.Key) > maxKey || !printable(r.Key):
		return &RequestError{"idempotency key", fmt.Sprintf("1 to %d printable ASCII characters", maxKey)}
	case r.AmountMinor < 0 || r.AmountMinor > wire.MaxAmountMinor:
		return &RequestError{"amount_minor", fmt.Sprintf("1 to %d minor units, or 0 for all", int64(wire.MaxAmountMinor))}
	}
	return nil
}

func (r *RefundRequest) digest() string {
	amount := r.AmountMinor
	if r.whole {
		amount = 0 // what is left is less when the same is asked again
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "refund|%s|%d|%t", r.Payment, amount, r.Tap))
	return hex.EncodeToString(sum[:])
}

// Refund gives money of a payment back: up to what was paid, summed over all its
// refunds. The same key returns the same refund. What is not yet sent never
// leaves: when everything of an offline payment goes back, a reversal takes the
// place of its advice in the same commit, and the payer's allowance returns.
func (t *Terminal) Refund(ctx context.Context, r RefundRequest) (Refund, error) {
	if err := r.validate(); err != nil {
		return Refund{}, err
	}
	if err := t.accepting(); err != nil {
		return Refund{}, err
	}
	p, err := t.load(r.Payment)
	if err != nil {
		return Refund{}, err
	}
	defer t.locks.lock("order/" + p.OrderRef)()
	defer t.locks.lock("key/" + r.Key)()
	defer t.locks.lock("payment/" + r.Payment.String())()
	if back, found, err := t.refundByKey(r); found || err != nil {
		return back, err
	}
	if t.isOldCopy() {
		return Refund{}, ErrOldCopy // it may have lost the refunds that were made since
	}
	p, raw, err := t.loadRaw(r.Payment)
	if err != nil {
		return Refund{}, err
	}
	if err := t.mayRefund(&p, &r); err != nil {
		return Refund{}, err
	}
	if r.Tap && t.acceptor != nil {
		return Refund{}, &RequestError{"tap", "no tap: a card terminal has the place of the field"}
	}
	if p.Card != nil {
		return t.refundCard(ctx, p, raw, r)
	}
	if r.Tap {
		return t.tapRefund(ctx, p, raw, r)
	}
	back, next, c, err := t.refund(p, r)
	if err != nil {
		return Refund{}, err
	}
	c.Guards = []Guard{{kindPayment, p.ID.String(), raw}, {Kind: kindKey, Key: r.Key}}
	c.Records = append(c.Records, Record{kindKey, r.Key, mustJSON(asked{p.ID, r.digest(), &back.ID})},
		Record{kindRefunds + back.BusinessDay, back.ID.String(), []byte(p.ID.String())})
	if _, err := t.commit(ctx, c); err != nil {
		return Refund{}, fmt.Errorf("store the refund: %w", err)
	}
	t.settled(p, next)
	return back, nil
}

// mayRefund says whether so much may go back, and fills in the amount.
func (t *Terminal) mayRefund(p *Payment, r *RefundRequest) error {
	unsent := p.State == Stored && p.Settlement == Queued && p.Reversal == nil
	if !unsent && !(p.State == Approved && (p.Settlement == Settled || p.Card != nil && t.acceptor != nil)) {
		return fmt.Errorf("%w: it is %s, %s", ErrNotPaid, p.State, p.Settlement)
	}
	left := p.AmountMinor - p.goingBack()
	amount := r.AmountMinor
	if amount == 0 {
		amount = left
	}
	switch {
	case amount == 0 || amount > left:
		return &RequestError{"amount_minor", fmt.Sprintf("at most %d, which is what is left of the payment", left)}
	case len(p.Refunds) >= maxRefunds:
		return &RequestError{"payment", fmt.Sprintf("fewer than %d refunds", maxRefunds)}
	case p.goingBack()+amount > t.cfg.Limits.Refund && !r.Manager:
		// Summed up: many small refunds are one large one.
		return fmt.Errorf("%w: above %d in all", ErrManager, t.cfg.Limits.Refund)
	}
	r.AmountMinor = amount
	return nil
}

// goingBack sums up the refunds that were made or are on their way.
func (p *Payment) goingBack() (minor int64) {
	for i := range p.Refunds {
		if p.Refunds[i].State != RefundRefused {
			minor += p.Refunds[i].AmountMinor
		}
	}
	return minor
}

// RefundedMinor is what has gone back of the payment.
func (p Payment) RefundedMinor() (minor int64) {
	for i := range p.Refunds {
		if p.Refunds[i].State == RefundDone {
			minor += p.Refunds[i].AmountMinor
		}
	}
	return minor
}

// refund prepares the commit of a refund.
func (t *Terminal) refund(p Payment, r RefundRequest) (Refund, Payment, Commit, error) {
	now := time.Now()
	ids, err := newIDs(now, t.random, 2)
	if err != nil {
		return Refund{}, p, Commit{}, err
	}
	back := Refund{
		ID: ids[0], Message: ids[1], AmountMinor: r.AmountMinor, State: RefundQueued, At: now,
		BusinessDay: t.cfg.businessDay(now), Manager: r.Manager,
	}
	next := p
	next.Refunds = append([]Refund(nil), p.Refunds...)
	if p.State == Stored && p.goingBack()+back.AmountMinor == p.AmountMinor && !p.awaitsTap() {
		back.Reversal = true
		next.Refunds = append(next.Refunds, back)
		c, err := t.replaceAdvice(p, &next, now)
		return back, next, c, err
	}
	next.Refunds = append(next.Refunds, back)
	c := t.change(p, &next, fmt.Sprintf("%d are given back", back.AmountMinor))
	c.Entries = []Entry{t.refundEntry(&p, &back, 0, now)}
	return back, next, c, nil
}

// refundEntry is the outbox entry of a refund. It leaves behind the payment's
// advice, being of the same group.
func (t *Terminal) refundEntry(p *Payment, back *Refund, place int, now time.Time) Entry {
	return t.seal(p, back.Message, place, t.refundMessage(p, back, nil), now)
}

// refundByKey finds the refund that a key stands for.
func (t *Terminal) refundByKey(r RefundRequest) (Refund, bool, error) {
	raw, ok, err := t.journal.Get(kindKey, r.Key)
	if err != nil || !ok {
		return Refund{}, false, err
	}
	var a asked
	if err := json.Unmarshal(raw, &a); err != nil {
		return Refund{}, false, fmt.Errorf("read idempotency key: %w", err)
	}
	if a.Digest != r.digest() || a.Refund == nil {
		return Refund{}, false, ErrKeyReused
	}
	p, err := t.load(a.Payment)
	if err != nil {
		return Refund{}, false, err
	}
	for _, back := range p.Refunds {
		if back.ID == *a.Refund {
			return back, true, nil
		}
	}
	return Refund{}, false, ErrNotFound
}
