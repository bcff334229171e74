package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/ledger"
)

// reconcile compares one currency of a business day, and the ranges of it that
// the terminal asks for, on one state of the ledger.
func (s *Service) reconcile(ctx context.Context, m *wire.Message, r wire.Reconciliation) ([]Publication, error) {
	var d day
	err := s.ledger.View(ctx, func(tx *ledger.Tx) (err error) {
		d, err = dayOf(tx, m.Terminal, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s of %s: %w", r.BusinessDay, m.Terminal, err)
	}
	a := wire.ReconciliationAnswer{Answer: m.Reply(), BusinessDay: r.BusinessDay, Currency: r.Currency,
		Summary: wire.Summarise(r.Currency, d.payments), Refunds: wire.Summarise(r.Currency, d.refunds), First: d.first, Last: d.last}
	a.Match = a.Summary == r.Summary && a.Refunds == r.Refunds
	for _, part := range r.Ranges {
		items := d.payments
		if part.Of == wire.BookRefunds {
			items = d.refunds
		}
		a.Ranges = append(a.Ranges, rangeAnswer(part, part.Within(items), r.Currency))
	}
	if a.Head, err = s.anchor(ctx, m.Terminal, r.Heads); err != nil {
		return nil, err
	}
	return s.answer(m, a)
}

// rangeAnswer is the wallet's side of a range: what it has where it differs, or
// where to halve what is too much.
func rangeAnswer(part wire.Range, items []wire.Item, currency string) wire.RangeAnswer {
	a := wire.RangeAnswer{Summary: wire.Summarise(currency, items)}
	switch a.Match = a.Summary == part.Summary; {
	case a.Match:
	case len(items) > wire.MaxLeaf:
		middle := items[len(items)/2].Key()
		a.Middle = &middle
	default:
		a.Items = items
	}
	return a
}

// day is one currency of a terminal's business day, both books sorted by their keys.
type day struct {
	payments, refunds []wire.Item
	first, last       uint64 // numbers of their messages
}

// dayOf lists a day as both sides count it. A tombstone counts as reversed: the
// terminal was told no difference. Refusals are not payments.
func dayOf(tx *ledger.Tx, from wire.Address, r wire.Reconciliation) (d day, err error) {
	count := func(sequence uint64) bool {
		if r.Through != 0 && sequence > r.Through {
			return false
		}
		if d.first == 0 || sequence < d.first {
			d.first = sequence
		}
		d.last = max(d.last, sequence)
		return true
	}
	payments, err := tx.Items(from.Merchant, from.Terminal, r.BusinessDay)
	if err != nil {
		return d, err
	}
	for _, p := range payments {
		if p.Currency != r.Currency || p.State == ledger.Refused || !count(p.Sequence) {
			continue
		}
		state := wire.ItemReversed
		if p.State == ledger.Taken {
			state = wire.ItemPaid
		}
		d.payments = append(d.payments, wire.Item{PaymentID: p.ID, AmountMinor: p.AmountMinor, State: state})
	}
	refunds, err := tx.Refunds(from.Merchant, from.Terminal, r.BusinessDay)
	if err != nil {
		return d, err
	}
	for _, back := range refunds {
		id, err := wire.ParseID(back.ID)
		if err != nil || back.Currency != r.Currency || !count(back.Sequence) {
			continue // what no terminal has asked for is none of its books
		}
		d.refunds = append(d.refunds, wire.Item{PaymentID: back.Payment, RefundID: id, AmountMinor: back.AmountMinor, State: wire.ItemRefunded})
	}
	slices.SortFunc(d.payments, wire.CompareItems)
	slices.SortFunc(d.refunds, wire.CompareItems)
	return d, nil
}

// echo answers a sign of life, and anchors the terminal's journal.
func (s *Service) echo(ctx context.Context, m *wire.Message, e wire.Echo) ([]Publication, error) {
	head, err := s.anchor(ctx, m.Terminal, e.Heads)
	if err != nil {
		return nil, err
	}
	return s.answer(m, wire.EchoAnswer{Answer: m.Reply(), Head: head})
}

// anchor keeps how far a terminal's journal is, and returns what is kept. Only a
// journal that holds what is kept may replace it: an older copy does not (I9).
func (s *Service) anchor(ctx context.Context, from wire.Address, told wire.Heads) (*wire.Head, error) {
	kept, err := s.head(ctx, from)
	if err != nil || told.Head == nil {
		return kept, err
	}
	var before *ledger.Head
	if kept != nil {
		if told.Known == nil || *told.Known != *kept || told.Head.Sequence <= kept.Sequence {
			return kept, nil
		}
		before = &ledger.Head{Sequence: kept.Sequence, Hash: kept.Hash}
	}
	err = s.ledger.UpdateKeys(ctx, []string{merchantKey(from.Merchant)}, func(tx *ledger.Tx) error {
		return tx.PutHead(from.Merchant, from.Terminal, before, ledger.Head{Sequence: told.Head.Sequence, Hash: told.Head.Hash})
	})
	if err != nil {
		return nil, fmt.Errorf("keep the head of %s: %w", from, err)
	}
	return s.head(ctx, from)
}

func (s *Service) head(ctx context.Context, from wire.Address) (*wire.Head, error) {
	var h ledger.Head
	err := s.ledger.View(ctx, func(tx *ledger.Tx) (err error) {
		h, err = tx.Head(from.Merchant, from.Terminal)
		return err
	})
	if errors.Is(err, ledger.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the head of %s: %w", from, err)
	}
	return &wire.Head{Sequence: h.Sequence, Hash: h.Hash}, nil
}
