package terminal_test

import (
	"bytes"
	"testing"

	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
	"tapkeeper/uplink/wire"
)

// A wallet that has lost a payment and its refund is told of the payment first:
// else it would refuse the refund, and a person had to look at both. Finding the
// payment among many takes more questions than finding the only refund.
func TestLostPaymentGoesBeforeItsRefund(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	books := &terminaltest.Books{Payments: map[string][]wire.Item{}}
	index := func(kind, key string, p terminal.Payment) {
		if err := s.terminal.PutRecord(kind+"-"+p.BusinessDay, key, []byte(p.ID.String())); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 * wire.MaxLeaf {
		p := s.paid(100)
		index("day", p.ID.String(), p)
		books.Payments["CNY"] = append(books.Payments["CNY"], wire.Item{PaymentID: p.ID, AmountMinor: 100, State: wire.ItemPaid})
	}
	lost := s.payment(terminal.Approved)
	lost.Settlement = terminal.Settled
	lost.Refunds = []terminal.Refund{{ID: terminal.ID{1}, AmountMinor: 500, State: terminal.RefundDone, BusinessDay: lost.BusinessDay, At: lost.CreatedAt, Message: terminal.ID{2}}}
	lost = s.put(lost)
	index("day", lost.ID.String(), lost)
	record := bytes.Clone(terminal.SomeRecord.Bytes())
	record[bytes.Index(record, []byte{0xDF, 0x8B, 0x31})+4] = 2 // decided online
	if err := s.terminal.PutRecord("record", lost.ID.String(), record); err != nil {
		t.Fatal(err)
	}
	index("refunds", lost.Refunds[0].ID.String(), lost)
	s.wallet.Answer = books.Answer
	all, err := s.terminal.Reconcile(t.Context(), lost.BusinessDay)
	if err != nil {
		t.Fatal(err)
	}
	if d := all[0].Differences; len(d) != 2 || d[0].Refund != nil || d[0].Action != "resend" || d[1].Action != "wait" {
		t.Errorf("%+v", d)
	}
	if box := s.box(); box != "[authorisation]" {
		t.Errorf("outbox %s", box)
	}
}
