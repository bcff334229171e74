package terminal

import (
	"errors"
	"slices"

	"tapkeeper/uplink/wire"
)

// books are one currency of a business day as this side has it: what the wallet
// must have too, sorted by key.
type books struct {
	payments, refunds []wire.Item
	waiting           int    // without the wallet's receipt
	first, last       uint64 // numbers of the messages behind the items, as far as known
}

func (b *books) items(of wire.Book) []wire.Item {
	if of == wire.BookRefunds {
		return b.refunds
	}
	return b.payments
}

func (b *books) side(currency string) Side {
	return Side{wire.Summarise(currency, b.payments), wire.Summarise(currency, b.refunds), b.first, b.last}
}

// booksOf reads a day, by currency; at least one, so that the wallet is asked
// also when it must have nothing. What the wallet took by a message with a number
// above through (0: none) came after the question and does not count.
func (t *Terminal) booksOf(day string, through uint64) (map[string]*books, error) {
	payments, err := t.Day(day)
	if err != nil {
		return nil, err
	}
	all := map[string]*books{}
	of := func(currency string) *books {
		if all[currency] == nil {
			all[currency] = &books{}
		}
		return all[currency]
	}
	for i := range payments {
		if p := &payments[i]; through == 0 || p.Number <= through {
			of(p.Currency).addPayment(p)
		}
	}
	err = t.journal.Each(kindRefunds+day, "", func(key string, payment []byte) error {
		id, err := ParseID(string(payment))
		if err != nil {
			return err
		}
		p, err := t.load(id)
		if errors.Is(err, ErrNotFound) {
			return nil // pruned meanwhile
		}
		if err == nil {
			of(p.Currency).addRefund(&p, key)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		of(t.Currency())
	}
	for _, b := range all {
		slices.SortFunc(b.payments, wire.CompareItems)
		slices.SortFunc(b.refunds, wire.CompareItems)
	}
	return all, nil
}

// addPayment sorts a payment into what the wallet must have, and what waits.
func (b *books) addPayment(p *Payment) {
	item, ok := itemOf(p)
	switch {
	case p.Card != nil: // a card terminal's, which the wallet does not know
	case ok:
		b.payments = append(b.payments, item)
		if p.Number != 0 && item.State == wire.ItemPaid {
			if b.first == 0 || p.Number < b.first {
				b.first = p.Number
			}
			b.last = max(b.last, p.Number)
		}
	case p.Settlement == Queued || p.State == Authorising || p.State == Unknown:
		b.waiting++
	}
}

// itemOf is a payment as the wallet must have it; false when it must not, or
// when nobody knows yet.
func itemOf(p *Payment) (wire.Item, bool) {
	item := wire.Item{PaymentID: p.ID, AmountMinor: p.AmountMinor}
	switch {
	case p.State == Approved && p.Settlement == Settled:
		item.State = wire.ItemPaid
	case p.Settlement == Reversed:
		item.State = wire.ItemReversed
	default:
		return item, false
	}
	return item, true
}

// addRefund sorts a refund likewise. One that took the place of an advice is none
// to the wallet: the payment is reversed there.
func (b *books) addRefund(p *Payment, id string) {
	for i := range p.Refunds {
		back := &p.Refunds[i]
		if back.ID.String() != id || back.Reversal || p.Card != nil {
			continue
		}
		switch back.State {
		case RefundDone:
			b.refunds = append(b.refunds, refundItem(p, back))
		case RefundQueued:
			b.waiting++
		}
	}
}

func refundItem(p *Payment, back *Refund) wire.Item {
	return wire.Item{PaymentID: p.ID, RefundID: back.ID, AmountMinor: back.AmountMinor, State: wire.ItemRefunded}
}
