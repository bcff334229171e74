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
	day := wire.Reconciliation{BusinessDay: "2026-11-24", Currency: "CNY", Summary: wire.Summarise("CNY", items), Refunds: wire.Summarise("CNY", nil)}
	if a := ask(day); !a.Match || a.Count != 1 || a.SumMinor != 500 || len(a.Ranges) != 0 || a.First != 1 || a.Last != 4 {
		t.Errorf("the same day: %+v", a)
	}
	two, three := wire.ID{2}, wire.ID{3}
	day.Summary = wire.Summarise("CNY", items[1:])
	day.Ranges = []wire.Range{{Of: wire.BookPayments, To: &two, Summary: wire.Summarise("CNY", nil)},
		{Of: wire.BookPayments, From: &two, Summary: wire.Summarise("CNY", items[1:])}, {Of: wire.BookRefunds, Summary: wire.Summarise("CNY", nil)}}
	if a := ask(day); a.Match || a.Ranges[0].Match || len(a.Ranges[0].Items) != 1 || a.Ranges[0].Items[0] != items[0] || !a.Ranges[1].Match || !a.Ranges[2].Match {
		t.Errorf("one missing here: %+v", a)
	}
	day.Ranges = []wire.Range{{Of: wire.BookPayments, From: &two, To: &three, Summary: wire.Summarise("CNY", nil)}}
	if a := ask(day); a.Match || len(a.Ranges[0].Items) != 1 || a.Ranges[0].Items[0] != items[1] {
		t.Errorf("the second alone: %+v", a)
	}
	day.Through = 2
	day.Ranges[0].To = nil
	if a := ask(day); a.Last != 2 || len(a.Ranges[0].Items) != 1 {
		t.Errorf("what came later counts: %+v", a)
	}
	day.Ranges, day.Through = nil, 0
	s.receipt(wire.Refund{Payment: about(1, 200, 0, nil), RefundID: wire.ID{9}})
	back := []wire.Item{{PaymentID: wire.ID{1}, RefundID: wire.ID{9}, AmountMinor: 200, State: wire.ItemRefunded}}
	day.Summary = wire.Summarise("CNY", items)
	if a := ask(day); a.Match || a.Refunds != wire.Summarise("CNY", back) || a.Summary != day.Summary {
		t.Errorf("a refund: %+v", a)
	}
	day.BusinessDay = "2026-11-23"
	if a := ask(day); a.Match || a.Count != 0 || a.First != 0 {
		t.Errorf("another day: %+v", a)
	}
}

// A range that holds much is halved until it is small enough to tell.
func TestReconciliationHalves(t *testing.T) {
	s := newShop(t)
	const all = 100
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
	none := wire.Summarise("CNY", nil)
	open1 := []wire.Range{{Of: wire.BookPayments, Summary: none}}
	seen := 0
	for len(open1) > 0 {
		n := min(len(open1), wire.MaxRanges)
		m := s.seal(wire.Reconciliation{BusinessDay: "2026-11-24", Currency: "CNY", Summary: none, Refunds: none, Ranges: open1[:n]})
		a := open[wire.ReconciliationAnswer](s, m, s.deliver(m))
		var next []wire.Range
		for i, r := range a.Ranges {
			seen += len(r.Items)
			if r.Middle != nil {
				next = append(next, wire.Range{Of: wire.BookPayments, From: open1[i].From, To: r.Middle, Summary: none},
					wire.Range{Of: wire.BookPayments, From: r.Middle, To: open1[i].To, Summary: none})
			}
		}
		open1 = append(next, open1[n:]...)
	}
	if seen != all {
		t.Errorf("%d of %d items were told", seen, all)
	}
}

// The wallet keeps the head of a journal that holds what it kept before, and of no other.
func TestAnchor(t *testing.T) {
	s := newShop(t)
	head := func(n uint64, text string) *wire.Head {
		return &wire.Head{Sequence: n, Hash: wire.DigestOf([]byte(text))}
	}
	for i, c := range []struct{ told, known, want *wire.Head }{
		{nil, nil, nil},
		{head(5, "a"), nil, head(5, "a")},
		{head(9, "b"), nil, head(5, "a")},
		{head(9, "b"), head(5, "x"), head(5, "a")},
		{head(4, "c"), head(5, "a"), head(5, "a")},
		{head(9, "b"), head(5, "a"), head(9, "b")},
		{head(12, "old copy"), head(5, "a"), head(9, "b")},
	} {
		m := s.seal(wire.Echo{Heads: wire.Heads{Head: c.told, Known: c.known}})
		got := open[wire.EchoAnswer](s, m, s.deliver(m)).Head
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("echo %d: the wallet keeps %v, want %v", i, got, c.want)
		}
	}
}

// A refused advice gets its old receipt when it is repeated, and is judged anew
// when it comes under a new message id.
func TestReleasedAdviceIsJudgedAnew(t *testing.T) {
	s := newShop(t)
	record := s.tap(1, 500, backendtest.AskTC, 1)
	s.must(s.ledger.Update(t.Context(), func(tx *ledger.Tx) error {
		return tx.SetDeviceStatus([8]byte(s.profile.DeviceID), ledger.DeviceBlocked)
	}))
	first := s.seal(wire.Advice{Payment: about(1, 500, 1, record)})
	if r := open[wire.Receipt](s, first, s.deliver(first)); r.Result != wire.Refused || r.Reason != reasonRestricted {
		t.Fatalf("a blocked device: %+v", r)
	}
	s.must(s.ledger.Update(t.Context(), func(tx *ledger.Tx) error { return tx.SetDeviceStatus([8]byte(s.profile.DeviceID), ledger.DeviceActive) }))
	if r := open[wire.Receipt](s, first, s.deliver(first)); r.Result != wire.Refused {
		t.Errorf("the same message: %+v", r)
	}
	if r := s.receipt(wire.Advice{Payment: about(1, 500, 1, record)}); r.Result != wire.Accepted || r.AmountMinor != 500 {
		t.Errorf("released: %+v", r)
	}
	if r := s.receipt(wire.Advice{Payment: about(1, 500, 1, record)}); r.Result != wire.Accepted {
		t.Errorf("and again: %+v", r)
	}
}
