package terminal_test

import (
	"testing"

	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
	"tapkeeper/uplink/wire"
)

// Every currency of the day is compared, also one whose payments all wait.
func TestReconcileCurrencyWithoutItems(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	paid := s.payment(terminal.Approved)
	paid.Settlement, paid.Currency = terminal.Settled, "USD"
	s.put(paid)
	lost := s.payment(terminal.Failed) // its reversal was refused
	lost.Settlement = terminal.Rejected
	lost = s.put(lost)
	// Put does not index a payment by day when it is put with one at once.
	for _, p := range []terminal.Payment{paid, lost} {
		if err := s.terminal.PutRecord("day-"+p.BusinessDay, p.ID.String(), []byte(p.ID.String())); err != nil {
			t.Fatal(err)
		}
	}
	there := map[string][]wire.Item{
		"USD": {{PaymentID: paid.ID, AmountMinor: paid.AmountMinor, State: wire.ItemPaid}},
		"CNY": {{PaymentID: lost.ID, AmountMinor: lost.AmountMinor, State: wire.ItemPaid}},
	}
	s.wallet.Answer = (&terminaltest.Books{Payments: there}).Answer
	all, err := s.terminal.Reconcile(t.Context(), paid.BusinessDay)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range all {
		t.Logf("%s match=%v differences=%d", r.Currency, r.Match, len(r.Differences))
		found = found || len(r.Differences) > 0
	}
	if !found {
		t.Errorf("the wallet has a payment of %s that is not paid here; the day reconciles without a difference", lost.Currency)
	}
}
