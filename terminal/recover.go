package terminal

import (
	"context"
	"fmt"
	"time"

	"tapkeeper/emv"
)

// Recover resolves what was in flight when the last process ended, before any
// payment is accepted (I10). It needs no link: what the wallet must hear waits
// in the outbox.
//
//   - A payment that waited for a tap expires: nothing was asked of a phone.
//   - One whose phone may have paid is undetermined, and reversed by id with
//     the attempts whose answers were never obtained (scheme 8.6.6).
//   - One that the wallet was asked about is reversed: the answer may be lost.
//   - One that a card terminal was asked for stays unknown until that has told.
//   - Stored payments stay; their exposure is counted on.
func (t *Terminal) Recover(ctx context.Context) error {
	var open []Payment
	err := t.journal.Each(kindOpen, "", func(_ string, id []byte) error {
		pid, err := ParseID(string(id))
		if err != nil {
			return err
		}
		p, err := t.load(pid)
		open = append(open, p)
		return err
	})
	if err != nil {
		return fmt.Errorf("read what was in flight: %w", err)
	}
	for _, p := range open {
		if err := t.resolve(p); err != nil {
			return fmt.Errorf("resolve payment %s: %w", p.ID, err)
		}
	}
	if err := t.resumeWork(); err != nil {
		return fmt.Errorf("take up the refund under way: %w", err)
	}
	if err := t.countUnsent(); err != nil {
		return err
	}
	if err := t.recoverAnchor(); err != nil {
		return err
	}
	if err := t.recoverTapRefunds(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	t.mu.Lock()
	t.ready = true
	t.mu.Unlock()
	return nil
}

func (t *Terminal) resolve(p Payment) error {
	defer t.locks.lock("payment/" + p.ID.String())()
	if p.Card != nil {
		return t.resolveCard(p)
	}
	switch p.State {
	case Reading:
		return t.commitReversal(p, emv.ReasonUnknown, t.abandoned(&p), "restarted while the phone was asked; it may have paid; reversed")
	case Authorising, Unknown:
		return t.commitReversal(p, emv.ReasonTimeout, nil, "restarted while the wallet was asked; reversed")
	}
	next, c, err := t.settle(&p, &emv.Outcome{Result: emv.End, Reason: emv.ReasonTimeout}, time.Now())
	if err != nil {
		return err
	}
	_, err = t.commit(context.Background(), c)
	if err == nil && next.State != Expired {
		return fmt.Errorf("came to %s", next.State)
	}
	return err
}

// abandoned lists the attempts whose answers were never obtained. A pending
// record that cannot be read yields none: the reversal needs only the payment's
// id, and must not wait for anything.
func (t *Terminal) abandoned(p *Payment) []emv.Unanswered {
	raw, ok, err := t.journal.Get(kindPending, p.ID.String())
	if err != nil || !ok {
		return nil
	}
	pending, err := emv.LoadPending(raw)
	if err != nil {
		return nil
	}
	attempt, early, err := emv.Resume(t.cfg.Kernel, t.sale(p), t.lookups(t.lists()), pending)
	if err != nil || early != nil {
		return nil
	}
	return attempt.GiveUp(emv.ReasonUnknown).Abandoned
}

// countUnsent rebuilds the ages of the offline payments without a receipt.
func (t *Terminal) countUnsent() error {
	unsent := map[ID]time.Time{}
	err := t.journal.Each(kindUnsent, "", func(_ string, value []byte) error {
		id, err := ParseID(string(value))
		if err != nil {
			return err
		}
		p, err := t.load(id)
		unsent[id] = p.AcceptedAt
		return err
	})
	if err != nil {
		return fmt.Errorf("read the offline payments without a receipt: %w", err)
	}
	t.mu.Lock()
	t.unsent = unsent
	t.mu.Unlock()
	return nil
}
