package terminaltest

import (
	"slices"

	"tapkeeper/uplink/wire"
)

// Books are a wallet's items of a day, by currency, as it answers for them.
type Books struct {
	Payments, Refunds map[string][]wire.Item
	Questions         int
}

// Answer answers a reconciliation; nil for any other message.
func (b *Books) Answer(m *wire.Message) wire.Data {
	q, ok := m.Data.(wire.Reconciliation)
	if !ok {
		return nil
	}
	b.Questions++
	payments, refunds := slices.Clone(b.Payments[q.Currency]), slices.Clone(b.Refunds[q.Currency])
	slices.SortFunc(payments, wire.CompareItems)
	slices.SortFunc(refunds, wire.CompareItems)
	a := wire.ReconciliationAnswer{
		Answer: m.Reply(), BusinessDay: q.BusinessDay, Currency: q.Currency,
		Summary: wire.Summarise(q.Currency, payments), Refunds: wire.Summarise(q.Currency, refunds),
	}
	a.Match = a.Summary == q.Summary && a.Refunds == q.Refunds
	for _, part := range q.Ranges {
		items := payments
		if part.Of == wire.BookRefunds {
			items = refunds
		}
		items = part.Within(items)
		r := wire.RangeAnswer{Summary: wire.Summarise(q.Currency, items)}
		switch r.Match = r.Summary == part.Summary; {
		case r.Match:
		case len(items) > wire.MaxLeaf:
			middle := items[len(items)/2].Key()
			r.Middle = &middle
		default:
			r.Items = items
		}
		a.Ranges = append(a.Ranges, r)
	}
	return a
}
