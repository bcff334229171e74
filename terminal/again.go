package terminal

import (
	"fmt"
	"slices"
	"time"

	"tapkeeper/uplink/wire"
)

// again sends what the wallet has lost. The payment keeps its end: it rests on
// the wallet's own receipt.
func (t *Terminal) again(p, next Payment, kind outgoing, refund *ID) (Commit, error) {
	now := time.Now()
	id, err := newID(now, t.random)
	if err != nil {
		return Commit{}, err
	}
	next.Resent = &Resent{Message: id, Kind: string(kind), Refund: refund}
	entry, err := t.againEntry(&p, next.Resent, now)
	if err != nil {
		return Commit{}, err
	}
	c := t.change(p, &next, "the wallet has lost it; it is sent again")
	c.Entries = []Entry{entry}
	return c, nil
}

func (t *Terminal) againEntry(p *Payment, r *Resent, now time.Time) (Entry, error) {
	if r.Refund == nil {
		proof, err := t.proofKept(p, outgoing(r.Kind))
		return t.entry(p, outgoing(r.Kind), r.Message, 0, proof, now), err
	}
	at := slices.IndexFunc(p.Refunds, func(b Refund) bool { return b.ID == *r.Refund })
	if at < 0 {
		return Entry{}, fmt.Errorf("payment %s has no refund %s", p.ID, r.Refund)
	}
	back := p.Refunds[at]
	back.Message = r.Message
	record, _, err := t.journal.Get(kindRecord, back.ID.String())
	return t.seal(p, r.Message, 0, t.refundMessage(p, &back, record), now), err
}

// accept takes the wallet's word for what is here in doubt.
func (t *Terminal) accept(p Payment, d *Difference) (Commit, error) {
	next := p
	var done []string
	why := "the wallet's books are taken as the fact: "
	switch {
	case d.Refund != nil:
		next.Refunds = slices.Clone(p.Refunds)
		for i := range next.Refunds {
			if next.Refunds[i].ID == *d.Refund {
				next.Refunds[i].State, next.Refunds[i].Reason = RefundDone, 0
			}
		}
		why += "the refund was made"
	case d.There.State == wire.ItemReversed:
		next.Settlement = Reversed
		why += "reversed"
	default:
		next.State, next.Settlement, next.Reason = Approved, Settled, 0
		done = []string{p.Advice.String()} // parked since it was refused
		why += "paid"
	}
	c := t.change(p, &next, why)
	c.Done = done
	return c, nil
}
