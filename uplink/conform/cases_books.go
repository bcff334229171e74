package conform

import (
	"slices"
	"time"

	"tapkeeper/uplink/wire"
)

// maxQuestions bounds a narrowing: a day of the suite has a few hundred items.
const maxQuestions = 500

// wrong is a summary that no book has.
var wrong = wire.Summary{Hash: wire.DigestOf([]byte("no such book"))}

func bookCases() []testCase {
	const rule = "Reconciliation"
	return []testCase{
		{130, "the wallet's items, narrowed down to, make its summary", rule, true, func(s *scene) {
			s.someDay()
			payments, refunds := s.items(wire.BookPayments), s.items(wire.BookRefunds)
			a := s.compare(s.question(payments, refunds))
			if !a.Match || a.Summary != wire.Summarise(s.cfg.Kit.currency, payments) || a.Refunds != wire.Summarise(s.cfg.Kit.currency, refunds) {
				s.fail("the wallet's own items do not match its summary")
			}
			if a.First == 0 || a.Last < a.First {
				s.fail("first and last are missing: %d and %d", a.First, a.Last)
			}
		}},
		{131, "a payment that only the terminal has is found", rule, true, func(s *scene) {
			extra := wire.Item{PaymentID: newID(time.Now()), AmountMinor: 777, State: wire.ItemPaid}
			s.differs(func(items []wire.Item) []wire.Item { return append(items, extra) }, extra.PaymentID, false)
		}},
		{132, "a payment that only the wallet has is found", rule, true, func(s *scene) {
			p := s.taken(140)
			s.differs(func(items []wire.Item) []wire.Item {
				return slices.DeleteFunc(items, func(i wire.Item) bool { return i.PaymentID == p.PaymentID })
			}, p.PaymentID, true)
		}},
		{133, "another amount is found", rule, true, func(s *scene) {
			p := s.taken(140)
			s.differs(change(p.PaymentID, func(i *wire.Item) { i.AmountMinor++ }), p.PaymentID, true)
		}},
		{134, "another state is found", rule, true, func(s *scene) {
			p := s.taken(140)
			s.differs(change(p.PaymentID, func(i *wire.Item) { i.State = wire.ItemReversed }), p.PaymentID, true)
		}},
		{135, "a refund that only the wallet has is found", rule, true, func(s *scene) {
			s.accepted(s.receipt(s.seal(refund(s.taken(300), 100))), wire.StateTaken, 100)
			q := s.question(s.items(wire.BookPayments), s.items(wire.BookRefunds)[1:])
			if a := s.compare(q); a.Match || a.Summary != q.Summary || a.Refunds == q.Refunds {
				s.fail("a missing refund is not a difference of the refunds")
			}
		}},
	}
}

func bookBoundCases() []testCase {
	const rule = "Reconciliation"
	return []testCase{
		{136, "a refused payment is no item, a reversed one is", rule, true, func(s *scene) {
			tombstone := s.about(130)
			s.accepted(s.receipt(s.seal(wire.Reversal{Payment: tombstone})), wire.StateReversed, 0)
			items := s.items(wire.BookPayments)
			if n := slices.IndexFunc(items, func(i wire.Item) bool { return i.PaymentID == tombstone.PaymentID }); n < 0 || items[n].State != wire.ItemReversed {
				s.fail("the reversed payment is not among the items")
			}
		}},
		{137, "what came later than through does not count", rule, true, func(s *scene) {
			q := s.question(nil, nil)
			q.Through = s.sequence
			before := s.compare(q)
			s.taken(140)
			if after := s.compare(q); after.Summary != before.Summary {
				s.fail("through %d holds before a later payment, and not after it", q.Through)
			}
		}},
		{138, "another currency of the day is another book", rule, true, func(s *scene) {
			q := s.question(nil, nil)
			q.Currency, q.Summary, q.Refunds = "XTS", wire.Summarise("XTS", nil), wire.Summarise("XTS", nil)
			if a := s.compare(q); !a.Match || a.Count != 0 {
				s.fail("there are %d items in a currency that was not used", a.Count)
			}
		}},
		{139, "a day without payments matches nothing", rule, true, func(s *scene) {
			q := s.question(nil, nil)
			q.BusinessDay = "2000-01-01"
			if a := s.compare(q); !a.Match || a.Count != 0 {
				s.fail("there are %d items on a day before the scheme", a.Count)
			}
		}},
		{140, "a range that matches has nothing but its summary", rule, true, func(s *scene) {
			s.someDay()
			items := s.items(wire.BookPayments)
			from, to := items[1].PaymentID, items[3].PaymentID
			q := s.question(items, nil)
			q.Ranges = []wire.Range{{Of: wire.BookPayments, From: &from, To: &to, Summary: wire.Summarise(s.cfg.Kit.currency, items[1:3])},
				{Of: wire.BookPayments, From: &from, To: &to, Summary: wrong}}
			a := s.compare(q)
			if r := a.Ranges[0]; !r.Match || len(r.Items) > 0 || r.Middle != nil {
				s.fail("the range from an item up to another does not match its own items: %+v", r)
			}
			if r := a.Ranges[1]; r.Match || !slices.Equal(r.Items, items[1:3]) {
				s.fail("a range of two items, which does not match, was not told by its items: %+v", r)
			}
		}},
		{141, "24 ranges are answered in their order", rule, true, func(s *scene) {
			s.someDay()
			items := s.items(wire.BookPayments)
			q := s.question(items, nil)
			for n := range wire.MaxRanges {
				at := items[n%len(items)].PaymentID
				q.Ranges = append(q.Ranges, wire.Range{Of: wire.BookPayments, To: &at, Summary: wire.Summarise(s.cfg.Kit.currency, items[:n%len(items)])})
			}
			for n, r := range s.compare(q).Ranges {
				if !r.Match {
					s.fail("range %d does not match", n)
				}
			}
		}},
	}
}

func change(id wire.ID, edit func(*wire.Item)) func([]wire.Item) []wire.Item {
	return func(items []wire.Item) []wire.Item {
		for n := range items {
			if items[n].PaymentID == id {
				edit(&items[n])
			}
		}
		return items
	}
}

// someDay makes sure that the day has a few items of each kind.
func (s *scene) someDay() {
	for range 3 {
		s.taken(120)
	}
	s.accepted(s.receipt(s.seal(wire.Reversal{Payment: s.taken(120)})), wire.StateReversed, 120)
	s.accepted(s.receipt(s.seal(refund(s.taken(120), 20))), wire.StateTaken, 20)
}

// books is the wallet's view of the own day so far.
func (s *scene) books() wire.ReconciliationAnswer { return s.booksOf(s.own) }

func (s *scene) booksOf(st *station) wire.ReconciliationAnswer {
	return s.compareAs(st, s.question(nil, nil))
}

// grew holds by how much the paid items of the day have grown.
func (s *scene) grew(before wire.ReconciliationAnswer, count, sum int64) {
	after := s.books()
	if after.Count-before.Count != count || after.SumMinor-before.SumMinor != sum {
		s.fail("the wallet's day grew by %d payments and %d, want %d and %d",
			after.Count-before.Count, after.SumMinor-before.SumMinor, count, sum)
	}
}

// question compares these items.
func (s *scene) question(payments, refunds []wire.Item) wire.Reconciliation {
	c := s.cfg.Kit.currency
	return wire.Reconciliation{BusinessDay: s.day(), Currency: c, Summary: wire.Summarise(c, payments), Refunds: wire.Summarise(c, refunds)}
}

func (s *scene) compare(q wire.Reconciliation) wire.ReconciliationAnswer {
	return s.compareAs(s.own, q)
}

func (s *scene) compareAs(st *station, q wire.Reconciliation) wire.ReconciliationAnswer {
	a, ok := s.ask(s.sealAs(st, s.header(wire.KindReconciliation), q)).message.Data.(wire.ReconciliationAnswer)
	switch {
	case !ok || a.BusinessDay != q.BusinessDay || a.Currency != q.Currency:
		s.fail("the reconciliation was answered for another day or currency")
	case a.Match != (a.Summary == q.Summary && a.Refunds == q.Refunds):
		s.fail("match is %v, and the summaries say otherwise", a.Match)
	case len(a.Ranges) != len(q.Ranges):
		s.fail("%d ranges were answered, %d asked for", len(a.Ranges), len(q.Ranges))
	}
	for n, r := range a.Ranges {
		if r.Match != (r.Summary == q.Ranges[n].Summary) {
			s.fail("match of range %d is %v, and the summaries say otherwise", n, r.Match)
		}
	}
	return a
}

// items narrows a book down until all of the wallet's items are known.
func (s *scene) items(of wire.Book) []wire.Item {
	open := []wire.Range{{Of: of, Summary: wrong}}
	var items []wire.Item
	for range maxQuestions {
		if len(open) == 0 {
			slices.SortFunc(items, wire.CompareItems)
			return items
		}
		asked := open[:min(len(open), wire.MaxRanges)]
		q := s.question(nil, nil)
		q.Ranges = asked
		answer := s.compare(q)
		open = slices.Clone(open[len(asked):])
		for n, r := range answer.Ranges {
			if r.Middle == nil {
				s.holds(r)
				items = append(items, r.Items...)
				continue
			}
			low, high := asked[n], asked[n]
			low.To, high.From = r.Middle, r.Middle
			open = append(open, low, high)
		}
	}
	s.fail("the wallet's items are not known after %d questions", maxQuestions)
	return nil
}

// holds that the items of a range make its summary.
func (s *scene) holds(r wire.RangeAnswer) {
	if got := wire.Summarise(s.cfg.Kit.currency, r.Items); got != r.Summary {
		s.fail("the %d items of a range do not make its summary", len(r.Items))
	}
}

// differs asks with a changed copy of the wallet's own items and holds that
// narrowing leads to exactly the payment that was changed.
func (s *scene) differs(edit func([]wire.Item) []wire.Item, payment wire.ID, there bool) {
	s.someDay()
	theirs := s.items(wire.BookPayments)
	mine := edit(slices.Clone(theirs))
	slices.SortFunc(mine, wire.CompareItems)
	refunds := s.items(wire.BookRefunds)
	if a := s.compare(s.question(mine, refunds)); a.Match {
		s.fail("the day matches although one payment differs")
	}
	found := map[wire.ID]bool{}
	open := []wire.Range{{Of: wire.BookPayments}}
	for range maxQuestions {
		if len(open) == 0 {
			break
		}
		r := open[0]
		open = open[1:]
		r.Summary = wire.Summarise(s.cfg.Kit.currency, r.Within(mine))
		q := s.question(mine, refunds)
		q.Ranges = []wire.Range{r}
		answer := s.compare(q).Ranges[0]
		switch {
		case answer.Match:
		case answer.Middle != nil:
			low, high := r, r
			low.To, high.From = answer.Middle, answer.Middle
			open = append(open, low, high)
		default:
			differences(found, r.Within(mine), answer.Items)
		}
	}
	if !found[payment] || len(found) != 1 {
		s.fail("narrowing found %d differences, want the one payment that was changed", len(found))
	}
	if slices.ContainsFunc(theirs, func(i wire.Item) bool { return i.PaymentID == payment }) != there {
		s.fail("the payment is not where it should be")
	}
}

// differences notes the payments that two lists do not agree on.
func differences(found map[wire.ID]bool, here, there []wire.Item) {
	for _, i := range here {
		if !slices.Contains(there, i) {
			found[i.PaymentID] = true
		}
	}
	for _, i := range there {
		if !slices.Contains(here, i) {
			found[i.PaymentID] = true
		}
	}
}
