package lane_test

import (
	"context"
	"time"

	"tapkeeper/terminal"
	"tapkeeper/wallet/ledger"
)

// settle waits until every payment of the order has its end and nothing waits
// for the wallet.
func (s *shop) settle(order string) []terminal.Payment {
	s.t.Helper()
	var payments []terminal.Payment
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(3 * time.Millisecond) {
		payments = s.must("order %s", order).Order
		open := s.must("status").Waiting
		for i := range payments {
			if payments[i].End() == "" {
				open++
			}
		}
		if open == 0 {
			return payments
		}
	}
	s.t.Fatalf("order %s has no end after %s: %+v%s\nthe daemon's log ends:\n%s", order, patience, s.must("status"), describe(payments), s.daemon.Tail())
	return nil
}

// audit holds a settled order against what the till was told about it, and
// both books against each other. It returns the payments.
func (s *shop) audit(order string, told []terminal.Payment) []terminal.Payment {
	s.t.Helper()
	s.connected()
	payments := s.settle(order)
	s.kept(payments, told)
	taken := 0
	for i := range payments {
		s.payments[payments[i].ID] = true
		if s.agrees(&payments[i]) {
			taken++
			s.paid += payments[i].AmountMinor
		}
	}
	if taken > 1 { // I2, for the order
		s.t.Errorf("order %s was paid %d times:%s", order, taken, describe(payments))
	}
	s.sound()
	if s.t.Failed() {
		s.t.Fatalf("order %s, killed at %s; told:%s\n  the journal has:%s", order, s.heard.dying, describe(told), describe(payments))
	}
	return payments
}

// kept: what was told was on disk (I1, I4), and stays true (I3).
func (s *shop) kept(payments, told []terminal.Payment) {
	s.t.Helper()
	byID := map[terminal.ID]*terminal.Payment{}
	for i := range payments {
		byID[payments[i].ID] = &payments[i]
	}
	for _, was := range told {
		is := byID[was.ID]
		switch {
		case is == nil:
			s.t.Errorf("the till was told of payment %s, which is lost", was.ID)
			continue
		case is.Revision < was.Revision:
			s.t.Errorf("the till was told revision %d, the journal has %d", was.Revision, is.Revision)
		case is.AmountMinor != was.AmountMinor:
			s.t.Errorf("the amount has changed from %d to %d", was.AmountMinor, is.AmountMinor)
		}
		switch was.State {
		case terminal.Approved:
			if is.End() != terminal.Paid {
				s.t.Errorf("the till was told approved, the end is %q", is.End())
			}
		case terminal.Stored:
			rejected := is.Settlement == terminal.Rejected && is.Reason != 0
			if is.End() != terminal.Paid && !rejected {
				s.t.Errorf("the till was told stored, the end is %q", is.End())
			}
		case terminal.Declined, terminal.Failed, terminal.Cancelled, terminal.Expired:
			if is.End() != terminal.NotPaid {
				s.t.Errorf("the till was told %s, the end is %q", was.State, is.End())
			}
		}
	}
}

// agrees holds a payment's end against the ledger, and says whether it took money.
func (s *shop) agrees(p *terminal.Payment) bool {
	s.t.Helper()
	row, known, err := s.Row(context.Background(), p.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	taken := known && row.State == ledger.Taken
	if taken != (p.End() == terminal.Paid) {
		s.t.Errorf("payment %s is %q, the ledger has it %q", p.ID, p.End(), row.State)
	}
	if taken && row.AmountMinor != p.AmountMinor {
		s.t.Errorf("the ledger took %d of %d", row.AmountMinor, p.AmountMinor)
	}
	return taken
}

// sound: both books are in order and agree, to the last fen.
func (s *shop) sound() {
	s.t.Helper()
	ctx := context.Background()
	money, err := s.Money(ctx)
	if err != nil {
		s.t.Error(err)
	}
	if money.ClaimMinor != s.paid || money.SpentMinor != s.paid {
		s.t.Errorf("PAID adds up to %d, the merchant is owed %d, the payers spent %d", s.paid, money.ClaimMinor, money.SpentMinor)
	}
	rows, err := s.Ledger.Payments(ctx, "", "", "")
	if err != nil {
		s.t.Error(err)
	}
	for _, row := range rows {
		if !s.payments[row.ID] {
			s.t.Errorf("the ledger knows payment %x (%s), the terminal does not", row.ID, row.State)
		}
	}
	status := s.must("status")
	if status.Payments != 0 || status.Minor != 0 || status.Parked != 0 {
		s.t.Errorf("settled, and yet exposed to %d payments of %d, %d parked", status.Payments, status.Minor, status.Parked)
	}
	if r := s.must("reconcile %s", status.Day); !r.Match {
		s.t.Errorf("the day does not reconcile: %+v", r.Reconciliation)
	}
	if v := s.must("verify"); !v.JournalIsVerified || v.Records == 0 {
		s.t.Error("the journal does not verify")
	}
}

// knows: what a phone has decided about is known to the wallet, so that its
// allowance can come back (terminal.md, "What the wallet posts").
func (s *shop) knows(payments []terminal.Payment) {
	s.t.Helper()
	for i := range payments {
		if _, known, err := s.Row(context.Background(), payments[i].ID); err == nil && known {
			return
		}
	}
	s.t.Fatalf("killed at %s: the phone has answered, and the wallet never heard of it:%s", s.heard.dying, describe(payments))
}
