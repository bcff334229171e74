package terminal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxPruned bounds what one call of Prune deletes, and holds in memory; a terminal
// takes less in a day.
const maxPruned = 5000

// Prune deletes what is kept of payments of business days before the given one
// (YYYY-MM-DD), each in a commit of its own, and says how many they were. Only
// finished ones go: ended, settled with the wallet, nothing of them in the outbox
// (which owes tells). Their events stay, and with them the chain.
func (t *Terminal) Prune(ctx context.Context, before string, owes func(ID) bool) (int, error) {
	if _, err := time.Parse(time.DateOnly, before); err != nil {
		return 0, &RequestError{"day", "YYYY-MM-DD"}
	}
	pruned, after := 0, ""
	for pruned < maxPruned {
		old, err := t.finished(before, after, owes)
		if err != nil || len(old) == 0 {
			return pruned, err
		}
		n, err := t.forgetAll(ctx, old)
		if pruned += n; err != nil || len(old) < maxPruned || ctx.Err() != nil {
			return pruned, err
		}
		after = old[len(old)-1].ID.String() // those that cannot go must not stand before those that can
	}
	return pruned, nil
}

// forgetAll deletes what may go of a list, and says how many they were.
func (t *Terminal) forgetAll(ctx context.Context, old []kept) (pruned int, err error) {
	keys, err := t.keysOf(old)
	if err != nil {
		return 0, err
	}
	whole := func(last ID) bool { _, ok := keys[last]; return ok }
	for _, p := range old {
		if err := ctx.Err(); err != nil {
			return pruned, nil
		}
		err := t.forget(ctx, p, keys[p.ID], whole)
		if errors.Is(err, ErrConflict) {
			continue // its order is not finished, or something came in between: next time
		}
		if err != nil {
			return pruned, fmt.Errorf("prune payment %s: %w", p.ID, err)
		}
		pruned++
	}
	return pruned, nil
}

var errEnough = errors.New("enough")

// kept is a payment and its record.
type kept struct {
	Payment
	raw []byte
}

// finished lists payments that nothing will happen to any more, from after a key on.
func (t *Terminal) finished(before, after string, owes func(ID) bool) (old []kept, err error) {
	err = t.journal.Each(kindPayment, "", func(key string, value []byte) error {
		if key <= after {
			return nil
		}
		var p Payment
		if err := json.Unmarshal(value, &p); err != nil {
			return fmt.Errorf("read payment %s: %w", key, err)
		}
		settled := p.Settlement != Queued && p.Settlement != Rejected && p.Reserved == nil
		if p.End() == "" || !settled || p.BusinessDay == "" || p.BusinessDay >= before || p.goingBack() != p.RefundedMinor() || owes(p.ID) {
			return nil
		}
		if old = append(old, kept{p, bytes.Clone(value)}); len(old) == maxPruned {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return old, err
}

// keysOf finds the idempotency keys of payments, which a payment does not tell.
func (t *Terminal) keysOf(payments []kept) (map[ID][]string, error) {
	keys := make(map[ID][]string, len(payments))
	for _, p := range payments {
		keys[p.ID] = nil
	}
	err := t.journal.Each(kindKey, "", func(key string, value []byte) error {
		var a asked
		if err := json.Unmarshal(value, &a); err != nil {
			return fmt.Errorf("read idempotency key: %w", err)
		}
		if _, ok := keys[a.Payment]; ok {
			keys[a.Payment] = append(keys[a.Payment], key)
		}
		return nil
	})
	return keys, err
}

// forget deletes the records of one payment. An order goes from its first payment
// to its last, and not before the last may go: it names the next attempt.
func (t *Terminal) forget(ctx context.Context, p kept, keys []string, whole func(last ID) bool) error {
	defer t.locks.lock("order/" + p.OrderRef)()
	defer t.locks.lock("payment/" + p.ID.String())()
	id := p.ID.String()
	c := Commit{
		Guards: []Guard{{kindPayment, id, p.raw}},
		Event:  mustJSON(Step{At: time.Now(), Payment: id, Revision: p.Revision, From: p.State, To: p.State, Settlement: p.Settlement, Why: "kept long enough; its records were deleted"}),
	}
	gone := func(kind, key string) { c.Records = append(c.Records, Record{kind, key, nil}) }
	for _, kind := range []string{kindPayment, kindPending, kindRecord, kindReference, kindTrace, kindUnsent, kindOpen, kindCardSlip, kindDay + p.BusinessDay} {
		gone(kind, id)
	}
	for _, message := range p.messages() {
		gone(kindReceipt, id+"/"+message.String())
	}
	for _, back := range p.Refunds {
		gone(kindRefunds+back.BusinessDay, back.ID.String())
		if back.Tap {
			gone(kindRecord, back.ID.String())
			gone(kindTrace, back.ID.String())
		}
	}
	for _, key := range keys {
		gone(kindKey, key)
	}
	ids, raw, err := t.order(p.OrderRef)
	if err != nil {
		return err
	}
	if len(ids) > 0 && !whole(ids[len(ids)-1]) {
		return ErrConflict
	}
	c.Guards = append(c.Guards, Guard{kindOrder, p.OrderRef, raw})
	if ids = slices.DeleteFunc(ids, func(other ID) bool { return other == p.ID }); len(ids) == 0 {
		gone(kindOrder, p.OrderRef)
	} else {
		c.Records = append(c.Records, Record{kindOrder, p.OrderRef, mustJSON(ids)})
	}
	_, err = t.commit(ctx, c)
	return err
}

// messages are all that the payment has ever sent and may have receipts for.
func (p *Payment) messages() []ID {
	all := slices.Clone(p.Former)
	for _, id := range []*ID{p.Request, p.Advice, p.Reversal, p.Report} {
		if id != nil {
			all = append(all, *id)
		}
	}
	if p.Resent != nil {
		all = append(all, p.Resent.Message)
	}
	for _, back := range p.Refunds {
		if !back.Reversal { // whose message is the payment's own
			all = append(all, back.Message)
		}
	}
	return all
}
