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

// stood is a chain that was asked before the latest commits.
type stood struct {
	*terminaltest.Journal
	seq  uint64
	hash [32]byte
}

func (c stood) Head() (uint64, [32]byte) { return c.seq, c.hash }

// What is paid between the question's number and the reading of the books is in
// neither book.
func TestPaidWhileTheBooksAreRead(t *testing.T) {
	s := open(t, &terminaltest.Journal{})
	before := stood{Journal: s.journal}
	s.put(s.payment(terminal.Declined))
	before.seq, before.hash = s.journal.Head()
	s.reopen(before)
	p := s.payment(terminal.Approved)
	p.Settlement, p.Number = terminal.Settled, 4*(before.seq+1)
	p = s.put(p)
	if err := s.terminal.PutRecord("day-"+p.BusinessDay, p.ID.String(), []byte(p.ID.String())); err != nil {
		t.Fatal(err)
	}
	s.wallet.Answer = (&terminaltest.Books{}).Answer // it counts up to the number as well
	all, err := s.terminal.Reconcile(t.Context(), p.BusinessDay)
	if err != nil || len(all) != 1 || !all[0].Match || s.box() != "[]" {
		t.Errorf("%+v, outbox %s, %v", all, s.box(), err)
	}
}
