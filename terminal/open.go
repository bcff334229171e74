package terminal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tapkeeper/uplink/wire"
)

// Request is what a till asks for.
type Request struct {
	Key         string // idempotency key; empty: the order reference names the payment
	OrderRef    string
	AmountMinor int64
	Currency    string // ISO 4217, alphabetic
	Offline     Offline
	ExpiresIn   time.Duration // zero: the setting
}

// BusyError says which payment has the reader.
type BusyError struct{ Payment ID }

func (e *BusyError) Error() string { return "the reader waits for payment " + e.Payment.String() }

// OrderError says which payment has the order.
type OrderError struct{ Payment Payment }

func (e *OrderError) Error() string {
	return fmt.Sprintf("order %s has payment %s, %s", e.Payment.OrderRef, e.Payment.ID, e.Payment.State)
}

// RequestError says which field of a request is wrong.
type RequestError struct{ Field, Want string }

func (e *RequestError) Error() string { return e.Field + ": want " + e.Want }

func (r *Request) validate() error {
	switch {
	case r.AmountMinor <= 0 || r.AmountMinor > wire.MaxAmountMinor:
		return &RequestError{"amount_minor", fmt.Sprintf("1 to %d minor units", int64(wire.MaxAmountMinor))}
	case len(r.OrderRef) == 0 || len(r.OrderRef) > maxOrderRef || !printable(r.OrderRef):
		return &RequestError{"order_ref", fmt.Sprintf("1 to %d printable ASCII characters", maxOrderRef)}
	case len(r.Key) > maxKey || !printable(r.Key):
		return &RequestError{"idempotency key", fmt.Sprintf("at most %d printable ASCII characters", maxKey)}
	case r.ExpiresIn < 0 || r.ExpiresIn > maxTapWait:
		return &RequestError{"expires_in", "at most " + maxTapWait.String()}
	case r.Offline != OfflineAllow && r.Offline != OfflineNever:
		return &RequestError{"offline", "allow or never"}
	}
	if _, ok := numericCurrency(r.Currency); !ok {
		return &RequestError{"currency", "an ISO 4217 code that this terminal knows"}
	}
	return nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// digest names the body of a request: the same key must ask for the same (I13).
func (r *Request) digest() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%d|%s|%s|%s", r.OrderRef, r.AmountMinor, r.Currency, r.Offline, r.ExpiresIn))
	return hex.EncodeToString(sum[:])
}

// firstDigest is how the first release wrote it, without the time to wait: the
// keys of its journals must keep their answers.
func (r *Request) firstDigest() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%d|%s|%s", r.OrderRef, r.AmountMinor, r.Currency, r.Offline))
	return hex.EncodeToString(sum[:])
}

// asked is what an idempotency key stands for.
type asked struct {
	Payment ID     `json:"payment"`
	Digest  string `json:"digest"`
	Refund  *ID    `json:"refund,omitempty"` // the key stands for this refund of it
}

// Open returns the payment of a request: the one that the key or the order
// already names, or a new one that is on disk and waits for a tap.
func (t *Terminal) Open(ctx context.Context, r Request) (Payment, error) {
	if err := r.validate(); err != nil {
		return Payment{}, err
	}
	if err := t.accepting(); err != nil {
		return Payment{}, err
	}
	defer t.locks.lock("order/" + r.OrderRef)()
	if r.Key != "" {
		defer t.locks.lock("key/" + r.Key)()
		if p, found, err := t.byKey(r); found || err != nil {
			return p, err
		}
	}
	order, rawOrder, err := t.order(r.OrderRef)
	if err != nil {
		return Payment{}, err
	}
	if n := len(order); n > 0 {
		last, err := t.load(order[n-1])
		if err != nil {
			return Payment{}, err
		}
		if last.holdsOrder() {
			return t.repeated(last, r)
		}
		if n >= maxAttempts {
			return Payment{}, &RequestError{"order_ref", fmt.Sprintf("an order with fewer than %d attempts", maxAttempts)}
		}
	}
	if t.isOldCopy() {
		return Payment{}, ErrOldCopy
	}
	if err := t.cardReady(ctx); err != nil {
		return Payment{}, err
	}
	return t.create(ctx, r, order, rawOrder)
}

// repeated answers a request for an order that is open or paid.
func (t *Terminal) repeated(last Payment, r Request) (Payment, error) {
	if r.Key != "" {
		return Payment{}, &OrderError{Payment: last}
	}
	if r.OrderRef != last.OrderRef || r.AmountMinor != last.AmountMinor || r.Currency != last.Currency || r.Offline != last.Offline {
		return Payment{}, ErrKeyReused
	}
	return last, nil
}

func (t *Terminal) byKey(r Request) (Payment, bool, error) {
	raw, ok, err := t.journal.Get(kindKey, r.Key)
	if err != nil || !ok {
		return Payment{}, false, err
	}
	var a asked
	if err := json.Unmarshal(raw, &a); err != nil {
		return Payment{}, false, fmt.Errorf("read idempotency key: %w", err)
	}
	if a.Refund != nil || a.Digest != r.digest() && a.Digest != r.firstDigest() {
		return Payment{}, false, ErrKeyReused
	}
	p, err := t.load(a.Payment)
	return p, err == nil, err
}

// create puts a new payment on disk before anything else happens, then arms
// the field.
func (t *Terminal) create(ctx context.Context, r Request, order []ID, rawOrder []byte) (Payment, error) {
	now := time.Now()
	id, err := newID(now, t.random)
	if err != nil {
		return Payment{}, err
	}
	if err := t.claim(id); err != nil {
		return Payment{}, err
	}
	wait := r.ExpiresIn
	if wait == 0 {
		wait = t.cfg.Bounds.Tap
	}
	p := Payment{
		ID: id, OrderRef: r.OrderRef, Attempt: len(order) + 1,
		AmountMinor: r.AmountMinor, Currency: r.Currency, Offline: r.Offline,
		State: AwaitingTap, Settlement: NotSettled, CreatedAt: now, ExpiresAt: now.Add(wait),
	}
	if len(order) > 0 {
		p.Previous = &order[len(order)-1]
	}
	c := t.change(Payment{State: Created}, &p, "the till asked for a payment")
	c.Guards = []Guard{{Kind: kindOrder, Key: r.OrderRef, Value: rawOrder}}
	c.Records = append(c.Records,
		Record{kindOrder, r.OrderRef, mustJSON(append(order, id))},
		Record{kindOpen, id.String(), []byte(id.String())})
	if r.Key != "" {
		c.Records = append(c.Records, Record{kindKey, r.Key, mustJSON(asked{Payment: id, Digest: r.digest()})})
	}
	if _, err := t.commit(ctx, c); err != nil {
		t.unclaim(id)
		return Payment{}, fmt.Errorf("store the payment: %w", err)
	}
	t.setHint(id, HintPresentPhone)
	t.armed <- id // never blocks: the claim is held by this payment alone
	return p, nil
}

// Cancel ends a payment that still waits for a tap. After GENERATE AC it
// fails with ErrTooLate: only the outcome can be told.
func (t *Terminal) Cancel(ctx context.Context, id ID) (Payment, error) {
	p, err := t.Payment(id)
	if errors.Is(err, ErrNotFound) {
		return t.cancelRefund(ctx, id)
	}
	if err != nil || p.State.Ended() {
		return p, err
	}
	if !t.stopActive(id) {
		return p, ErrTooLate
	}
	for !p.State.Ended() {
		if p, err = t.Wait(ctx, id, p.Revision); err != nil {
			return p, err
		}
		if ctx.Err() != nil {
			return p, ctx.Err()
		}
	}
	return p, nil
}

// stopActive takes the field away from whoever waits for a tap; false when it has
// not the field, or a phone may have committed.
func (t *Terminal) stopActive(id ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.active
	if a == nil || a.id != id || a.spent {
		return false
	}
	a.cancelled = true
	if a.cancel != nil {
		a.cancel(errCancelled)
	}
	return true
}

var errCancelled = errors.New("cancelled by the cashier")

// order returns the ids of an order's payments and the record they stand in.
func (t *Terminal) order(ref string) ([]ID, []byte, error) {
	raw, ok, err := t.journal.Get(kindOrder, ref)
	if err != nil || !ok {
		return nil, nil, err
	}
	var ids []ID
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&ids); err != nil {
		return nil, nil, fmt.Errorf("read order %s: %w", ref, err)
	}
	return ids, raw, nil
}
