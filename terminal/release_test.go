package terminal_test

import (
	"encoding/json"
	"errors"
	"testing"

	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
	"tapkeeper/uplink/wire"
)

// refused is a stored payment whose advice the wallet has refused.
func refused(t *testing.T) (*shop, terminal.Payment, *wire.Message) {
	t.Helper()
	s := open(t, &terminaltest.Journal{}).run()
	p := s.payment(terminal.Reading)
	if err := s.terminal.PutStored(&p); err != nil {
		t.Fatal(err)
	}
	m := s.entry(wire.KindAdvice)
	s.deliver(receipt(m, p.ID, wire.Refused, wire.StateRefused, 0x33, 0))
	return s, s.is(p.ID, terminal.Stored, terminal.Rejected), m
}

// A refused advice goes out again under another id and number, for the wallet
// gives the old one its old receipt for ever; only the receipt of the new counts.
func TestRelease(t *testing.T) {
	s, p, old := refused(t)
	if err := s.terminal.Release(t.Context(), p.ID, old.ID); err != nil {
		t.Fatal(err)
	}
	s.is(p.ID, terminal.Stored, terminal.Queued)
	m := s.entry(wire.KindAdvice)
	if m.ID == old.ID || m.Sequence <= old.Sequence || string(m.Data.(wire.Advice).Record.Bytes()) != string(old.Data.(wire.Advice).Record.Bytes()) {
		t.Errorf("message %s, number %d, after %s, number %d", m.ID, m.Sequence, old.ID, old.Sequence)
	}
	if err := s.terminal.Release(t.Context(), p.ID, old.ID); !errors.Is(err, terminal.ErrConflict) {
		t.Errorf("released twice: %v", err)
	}
	s.deliver(receipt(old, p.ID, wire.Refused, wire.StateRefused, 0x33, 0)) // repeated
	s.is(p.ID, terminal.Stored, terminal.Queued)
	s.deliver(receipt(m, p.ID, wire.Accepted, wire.StateTaken, 0, p.AmountMinor))
	if p := s.is(p.ID, terminal.Approved, terminal.Settled); p.Reason != 0 {
		t.Errorf("paid, with the reason %02X", byte(p.Reason))
	}
	if box := s.journal.Outbox(); len(box) != 0 {
		t.Errorf("outbox %+v", box)
	}
}

// An older copy of the journal may have lost the attempt that has paid the order.
func TestReleaseOnAnOlderCopy(t *testing.T) {
	s, p, m := refused(t)
	s.deliver(wire.EchoAnswer{Answer: wire.Answer{Answers: wire.ID{1}, AnswersSHA256: wire.Digest{1}}, Head: &wire.Head{Sequence: 1000, Hash: wire.Digest{9}}})
	if err := s.terminal.Release(t.Context(), p.ID, m.ID); !errors.Is(err, terminal.ErrOldCopy) {
		t.Errorf("released: %v", err)
	}
}

// Once the order was paid anew, the first advice must not take money as well.
func TestReleaseAfterNewAttempt(t *testing.T) {
	s, p, m := refused(t)
	again := s.payment(terminal.Approved)
	again.OrderRef, again.Settlement = p.OrderRef, terminal.Settled
	ids, err := json.Marshal([]terminal.ID{p.ID, again.ID})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.terminal.Put(&again); err != nil {
		t.Fatal(err)
	}
	if err := s.terminal.PutRecord("order", p.OrderRef, ids); err != nil {
		t.Fatal(err)
	}
	if err := s.terminal.Release(t.Context(), p.ID, m.ID); !errors.Is(err, terminal.ErrPaidAnew) {
		t.Errorf("got %v", err)
	}
	s.is(p.ID, terminal.Stored, terminal.Rejected)
	if s.journal.Outbox()[0].Parked == "" {
		t.Error("the advice goes out again")
	}
	if err := s.terminal.Release(t.Context(), again.ID, m.ID); !errors.Is(err, terminal.ErrConflict) {
		t.Errorf("a message of another payment: %v", err)
	}
}
