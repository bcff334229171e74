package terminal_test

import (
	"crypto/rand"
	"testing"

	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
	"tapkeeper/uplink/wire"
)

// However much differs, each message is small, and every payment is named once.
func TestTenThousandDiffer(t *testing.T) {
	all := 10_000
	if testing.Short() {
		all = 500
	}
	s := open(t, &terminaltest.Journal{}).run()
	books := &terminaltest.Books{Payments: map[string][]wire.Item{}}
	there := map[terminal.ID]bool{}
	for range all {
		p := s.payment(terminal.Approved)
		if _, err := rand.Read(p.ID[9:]); err != nil {
			t.Fatal(err)
		}
		there[p.ID] = true
		books.Payments["CNY"] = append(books.Payments["CNY"], wire.Item{PaymentID: p.ID, AmountMinor: 1, State: wire.ItemPaid})
	}
	largest := 0
	s.wallet.Answer = func(m *wire.Message) wire.Data {
		answer := books.Answer(m)
		sealed, err := s.wallet.Seal(answer)
		if err != nil {
			t.Error(err)
			return nil
		}
		largest = max(largest, len(m.Raw), len(sealed.Raw))
		return answer
	}
	r, err := s.terminal.Reconcile(t.Context(), "2026-11-24")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range r[0].Differences {
		if d.Class != terminal.OnlyThere || d.Action != "person" || !there[d.Payment] {
			t.Fatalf("%+v", d)
		}
		delete(there, d.Payment)
	}
	t.Logf("%d differences took %d questions, the largest message has %d bytes", all, r[0].Questions, largest)
	if len(there) > 0 || largest > wire.MaxMessage/2 || r[0].Questions > all/50+10 {
		t.Errorf("%d were not found", len(there))
	}
	if s.journal.Size("recon", "2026-11-24") > 32<<10 {
		t.Error("the journal's copy does not fit into the journal")
	}
}
