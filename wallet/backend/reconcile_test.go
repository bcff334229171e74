package backend

import (
	"testing"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
)

func TestReconciliation(t *testing.T) {
	s := newShop(t)
	items := []wire.Item{
		{PaymentID: wire.ID{1}, AmountMinor: 500, State: wire.ItemPaid},
		{PaymentID: wire.ID{2}, AmountMinor: 700, State: wire.ItemReversed},
		{PaymentID: wire.ID{3}, AmountMinor: 900, State: wire.ItemReversed},
	}
	s.receipt(wire.Advice{Payment: about(1, 500, 1, s.tap(1, 500, backendtest.AskTC, 1))})
	s.receipt(wire.Advice{Payment: about(2, 700, 1, s.tap(2, 700, backendtest.AskTC, 1))})
	s.receipt(wire.Reversal{Payment: about(2, 700, 0, nil)})
	s.receipt(wire.Reversal{Payment: about(3, 900, 0, nil)}) // a tombstone: the terminal cannot tell
	s.receipt(wire.Authorisation{Payment: about(4, 99999, 2, s.tap(4, 99999, backendtest.AskARQC, 2))})
	ask := func(r wire.Reconciliation) wire.ReconciliationAnswer {
		m := s.seal(r)
		return open[wire.ReconciliationAnswer](s, m, s.deliver(m))
	}
	day := wire.Reconciliation{BusinessDay: "2026-11-24", Currency: "CNY", Summary: wire.Summarise("CNY", items)}
	if a := ask(day); !a.Match || a.Count != 1 || a.SumMinor != 500 || len(a.Items) != 0 {
		t.Errorf("the same day: %+v", a)
	}
	day.Summary = wire.Summarise("CNY", items[1:])
	if a := ask(day); a.Match || len(a.Items) != 3 || a.Items[0] != items[0] || a.More {
		t.Errorf("one missing here: %+v", a)
	}
	day.After = &wire.ID{1}
	if a := ask(day); a.Match || len(a.Items) != 2 || a.Items[0] != items[1] {
		t.Errorf("after the first: %+v", a)
	}
	day.BusinessDay, day.After = "2026-11-23", nil
	if a := ask(day); a.Match || a.Count != 0 || len(a.Items) != 0 {
		t.Errorf("another day: %+v", a)
	}
}

// A day longer than a page comes in pages, each small enough for the wire.
func TestReconciliationPages(t *testing.T) {
	s := newShop(t)
	const all = 2*wire.MaxItems + 1
	s.must(s.ledger.Update(t.Context(), func(tx *ledger.Tx) error {
		for n := range all {
			p := ledger.Payment{ID: [16]byte{byte(n >> 8), byte(n), 1}, Merchant: "tea", Terminal: "t1", AmountMinor: 999_999_999_999,
				Currency: "CNY", BusinessDay: "2026-11-24", Sequence: uint64(n + 1)}
			if err := tx.Bury(p, noon); err != nil {
				return err
			}
		}
		return nil
	}))
	r := wire.Reconciliation{BusinessDay: "2026-11-24", Currency: "CNY", Summary: wire.Summarise("CNY", nil)}
	seen := 0
	for pages := 1; ; pages++ {
		m := s.seal(r)
		a := open[wire.ReconciliationAnswer](s, m, s.deliver(m))
		seen += len(a.Items)
		if !a.More {
			if pages != 3 || seen != all {
				t.Errorf("%d items in %d pages", seen, pages)
			}
			return
		}
		r.After = &a.Items[len(a.Items)-1].PaymentID
	}
}
