package terminal_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"tapkeeper/emv"
	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
	"tapkeeper/uplink/wire"
)

// paid is a payment that the wallet has taken.
func (s *shop) paid(minor int64) terminal.Payment {
	s.Helper()
	p := s.payment(terminal.Approved)
	p.Settlement, p.AmountMinor = terminal.Settled, minor
	return s.put(p)
}

// stored is a payment whose advice waits in the outbox.
func (s *shop) stored() terminal.Payment {
	s.Helper()
	p := s.payment(terminal.Reading)
	if err := s.terminal.PutStored(&p); err != nil {
		s.Fatal(err)
	}
	return p
}

func (s *shop) refund(p terminal.Payment, key string, minor int64) terminal.Refund {
	s.Helper()
	back, err := s.terminal.Refund(s.Context(), terminal.RefundRequest{Payment: p.ID, Key: key, AmountMinor: minor})
	if err != nil {
		s.Fatal(err)
	}
	return back
}

// box lists the kinds in the outbox.
func (s *shop) box() string {
	var kinds []string
	for _, e := range s.journal.Outbox() {
		kind := e.Kind
		if e.Parked != "" {
			kind += " parked"
		}
		kinds = append(kinds, kind)
	}
	return fmt.Sprint(kinds)
}

// TestRefund: in parts, up to what was paid, each once.
func TestRefund(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	p := s.paid(2500)
	first := s.refund(p, "r1", 1000)
	if first.State != terminal.RefundQueued || first.Reversal {
		t.Errorf("%+v", first)
	}
	if again := s.refund(p, "r1", 1000); again.ID != first.ID || s.box() != "[refund]" {
		t.Errorf("the same key: %+v, outbox %s", again, s.box())
	}
	for name, c := range map[string]struct {
		r    terminal.RefundRequest
		want error
	}{
		"same key, other amount":  {terminal.RefundRequest{Payment: p.ID, Key: "r1", AmountMinor: 999}, terminal.ErrKeyReused},
		"no key":                  {terminal.RefundRequest{Payment: p.ID, AmountMinor: 1}, nil},
		"more than is left":       {terminal.RefundRequest{Payment: p.ID, Key: "r2", AmountMinor: 1501}, nil},
		"less than nothing":       {terminal.RefundRequest{Payment: p.ID, Key: "r2", AmountMinor: -1}, nil},
		"unknown":                 {terminal.RefundRequest{Payment: terminal.ID{1}, Key: "r2"}, terminal.ErrNotFound},
		"a payment's key, reused": {terminal.RefundRequest{Payment: p.ID, Key: "pay", AmountMinor: 1}, terminal.ErrKeyReused},
	} {
		if name == "a payment's key, reused" {
			raw, err := terminal.AskedJSON(p.ID)
			if err == nil {
				err = s.terminal.PutRecord("idem", "pay", raw)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		_, err := s.terminal.Refund(t.Context(), c.r)
		var request *terminal.RequestError
		if c.want == nil && !errors.As(err, &request) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := s.entry(wire.KindRefund)
	if d := m.Data.(wire.Refund); d.AmountMinor != 1000 || d.RefundID != first.ID || d.PaymentID != p.ID {
		t.Errorf("refund %+v", d)
	}
	s.deliver(receipt(m, p.ID, wire.Accepted, wire.StateTaken, 0, 1000))
	if p := s.is(p.ID, terminal.Approved, terminal.Settled); p.End() != terminal.Paid || p.RefundedMinor() != 1000 {
		t.Errorf("in part: %s, %d", p.End(), p.RefundedMinor())
	}
	rest := s.refund(p, "r3", 0)
	if again := s.refund(p, "r3", 0); again.ID != rest.ID {
		t.Errorf("all of it again with the same key: %+v", again)
	}
	s.deliver(receipt(s.entry(wire.KindRefund), p.ID, wire.Accepted, wire.StateRefunded, 0, 1500))
	if p := s.is(p.ID, terminal.Approved, terminal.Settled); p.End() != terminal.Refunded || s.box() != "[]" {
		t.Errorf("in full: %s, outbox %s", p.End(), s.box())
	}
	if _, err := s.terminal.Refund(t.Context(), terminal.RefundRequest{Payment: p.ID, Key: "r4"}); err == nil {
		t.Error("a refund of nothing was taken")
	}
}

// TestRefundRefused: what the wallet refuses can be asked for anew.
func TestRefundRefused(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	p := s.paid(2500)
	s.refund(p, "r1", 2500)
	s.deliver(receipt(s.entry(wire.KindRefund), p.ID, wire.Refused, wire.StateTaken, 0x13, 0))
	p = s.is(p.ID, terminal.Approved, terminal.Settled)
	if back := p.Refunds[0]; back.State != terminal.RefundRefused || back.Reason != 0x13 || p.End() != terminal.Paid || s.box() != "[]" {
		t.Errorf("%+v, %s, outbox %s", back, p.End(), s.box())
	}
	s.refund(p, "r2", 2500)
}

// TestRefundUnsent: everything of a stored payment goes back before its advice
// left: a reversal of the same record takes its place, and nothing is exposed.
func TestRefundUnsent(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	p := s.stored()
	advice := s.entry(wire.KindAdvice)
	part := s.refund(p, "part", 500)
	if s.box() != "[advice refund]" || part.Reversal {
		t.Fatalf("a part waits behind the advice: %s", s.box())
	}
	if back := s.refund(p, "rest", 0); !back.Reversal || back.AmountMinor != 2000 {
		t.Fatalf("the rest: %+v", back)
	}
	m := s.entry(wire.KindReversal)
	d := m.Data.(wire.Reversal)
	if d.RecordKind != 4 || len(d.Record.Bytes()) != len(advice.Data.(wire.Advice).Record.Bytes()) {
		t.Errorf("the reversal carries kind %02X", d.RecordKind)
	}
	if !bytes.Contains(d.Record.Bytes(), []byte{0xDF, 0x8B, 0x31, 0x01, 0x04}) {
		t.Errorf("the record itself is %X", d.Record.Bytes())
	}
	if held := s.journal.Counts(); len(held) != 0 {
		t.Errorf("exposure %v", held)
	}
	if p := s.is(p.ID, terminal.Stored, terminal.Queued); p.End() != "" {
		t.Errorf("ended %s before the wallet has confirmed", p.End())
	}
	// The advice was on its way after all: a fact, and the reversal answers it.
	s.deliver(receipt(advice, p.ID, wire.Accepted, wire.StateTaken, 0, p.AmountMinor))
	if p := s.is(p.ID, terminal.Stored, terminal.Queued); p.WalletRef == "" {
		t.Error("the late receipt is not kept as a fact")
	}
	s.deliver(receipt(m, p.ID, wire.Accepted, wire.StateReversed, 0, p.AmountMinor))
	p = s.is(p.ID, terminal.Stored, terminal.Reversed)
	if p.End() != terminal.NotPaid || s.box() != "[]" {
		t.Errorf("end %s, outbox %s", p.End(), s.box())
	}
	for _, back := range p.Refunds {
		if back.State != terminal.RefundDone || !back.Reversal {
			t.Errorf("refund %+v", back)
		}
	}
	if next, err := s.terminal.Open(t.Context(), request(p.OrderRef, p.AmountMinor)); err != nil || next.Attempt != 2 {
		t.Errorf("the order cannot be paid again: %v", err)
	}
}

// TestRefundUnsentBesideATap: what a phone has not agreed to give back is not
// reversed with the rest.
func TestRefundUnsentBesideATap(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	p := s.stored()
	tapped, err := s.terminal.Refund(t.Context(), terminal.RefundRequest{Payment: p.ID, Key: "tap", AmountMinor: 500, Tap: true})
	if err != nil {
		t.Fatal(err)
	}
	if back := s.refund(p, "rest", 0); back.Reversal || back.AmountMinor != 2000 || s.box() != "[advice refund]" {
		t.Errorf("the rest: %+v, outbox %s", back, s.box())
	}
	if p, err = s.terminal.Cancel(t.Context(), tapped.ID); err != nil || p.Refunds[0].State != terminal.RefundRefused {
		t.Fatalf("%+v %v", p.Refunds, err)
	}
	if back := s.refund(p, "last", 0); !back.Reversal || back.AmountMinor != 500 || s.box() != "[reversal]" {
		t.Errorf("nobody is to be asked any more: %+v, outbox %s", back, s.box())
	}
}

// TestRefundTapThatDoesNotFit: a phone that says what the journal cannot keep gets
// nothing back, and does not stop the terminal (I14).
func TestRefundTapThatDoesNotFit(t *testing.T) {
	s := open(t, &terminaltest.Journal{})
	p := s.payment(terminal.Approved)
	p.Settlement = terminal.Settled
	p.Refunds = []terminal.Refund{{ID: terminal.ID{1}, Message: terminal.ID{2}, AmountMinor: 500, State: terminal.RefundAwaitingTap, BusinessDay: p.BusinessDay, Tap: true}}
	p = s.put(p)
	s.journal.Fail = func(c terminal.Commit) error {
		for _, r := range c.Records {
			if r.Kind == "record" {
				return errors.New("value of 40000 bytes: at most 32768")
			}
		}
		return nil
	}
	out := emv.Outcome{Result: emv.Online, RecordKind: emv.RecordRefund, Record: terminal.SomeRecord}
	if err := s.terminal.ConcludeRefund(p, p.Refunds[0].ID, out); err != nil || s.terminal.Fatal() != nil {
		t.Fatalf("%v, %v", err, s.terminal.Fatal())
	}
	if back := s.is(p.ID, terminal.Approved, terminal.Settled).Refunds[0]; back.State != terminal.RefundRefused || back.Reason != emv.ReasonProtocol || s.box() != "[]" {
		t.Errorf("%+v, outbox %s", back, s.box())
	}
}

// TestRefundTapOnAFullDisk: a phone that has to be tapped again is waited for
// until there is room, as with a payment.
func TestRefundTapOnAFullDisk(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	p := s.paid(2500)
	for !s.terminal.Running() {
		time.Sleep(time.Millisecond)
	}
	full := 2
	s.journal.Fail = func(terminal.Commit) error {
		if full--; full > 0 {
			return terminal.ErrStorage
		}
		return nil
	}
	if err := s.terminal.DropRefundPending(p, terminal.ID{1}); err != nil || full != 0 {
		t.Errorf("given up after %d tries: %v", 2-full, err)
	}
}

// TestRefundBehindRefusedAdvice: what waits behind an advice that the wallet
// refuses does not leave.
func TestRefundBehindRefusedAdvice(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	p := s.stored()
	advice := s.entry(wire.KindAdvice)
	s.refund(p, "part", 500)
	s.deliver(receipt(advice, p.ID, wire.Refused, wire.StateRefused, 0x33, 0))
	p = s.is(p.ID, terminal.Stored, terminal.Rejected)
	if back := p.Refunds[0]; back.State != terminal.RefundRefused || s.box() != "[advice parked]" {
		t.Errorf("%+v, outbox %s", back, s.box())
	}
	if _, err := s.terminal.Refund(t.Context(), terminal.RefundRequest{Payment: p.ID, Key: "r"}); !errors.Is(err, terminal.ErrNotPaid) {
		t.Errorf("a refund of what was not paid: %v", err)
	}
}

// TestRefundNeedsManager: the sum counts, not the single refund.
func TestRefundNeedsManager(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	p := s.paid(1000_00)
	s.refund(p, "a", 499_00)
	r := terminal.RefundRequest{Payment: p.ID, Key: "b", AmountMinor: 2_00}
	if _, err := s.terminal.Refund(t.Context(), r); !errors.Is(err, terminal.ErrManager) {
		t.Fatalf("501 yuan in two parts: %v", err)
	}
	r.Manager = true
	if back, err := s.terminal.Refund(t.Context(), r); err != nil || !back.Manager {
		t.Errorf("with a manager: %+v, %v", back, err)
	}
}

// TestRefundRace: 64 callers ask for parts of one payment, a restart in between;
// together they never get more than was paid.
func TestRefundRace(t *testing.T) {
	journal := &terminaltest.Journal{}
	s := open(t, journal).run()
	p := s.paid(100)
	race := func(s *shop, from int) {
		var callers sync.WaitGroup
		for n := range 64 {
			callers.Go(func() {
				_, _ = s.terminal.Refund(t.Context(), terminal.RefundRequest{Payment: p.ID, Key: fmt.Sprint(from + n%40), AmountMinor: 3})
			})
		}
		callers.Wait()
	}
	race(s, 0)
	sum := func(s *shop) (minor int64) {
		for _, back := range s.is(p.ID, terminal.Approved, terminal.Settled).Refunds {
			minor += back.AmountMinor
		}
		return minor
	}
	if got, entries := sum(s), len(journal.Outbox()); got != 99 || entries != 33 {
		t.Errorf("%d of 100 go back in %d messages", got, entries)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	next := open(t, journal).run()
	race(next, 20)
	if got := sum(next); got != 99 {
		t.Errorf("after a restart %d of 100 go back", got)
	}
	// Two processes on one journal cannot be; the guard holds all the same.
	if _, err := next.terminal.Refund(t.Context(), terminal.RefundRequest{Payment: p.ID, Key: "last", AmountMinor: 1}); err != nil {
		t.Error(err)
	}
}

// Only what is paid, or is going to be, can be given back.
func TestRefundOfOtherStates(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	for _, state := range []terminal.State{terminal.AwaitingTap, terminal.Reading, terminal.Authorising, terminal.Unknown,
		terminal.Declined, terminal.Cancelled, terminal.Expired, terminal.Failed} {
		p := s.put(s.payment(state))
		if _, err := s.terminal.Refund(t.Context(), terminal.RefundRequest{Payment: p.ID, Key: string(state)}); !errors.Is(err, terminal.ErrNotPaid) {
			t.Errorf("%s: %v", state, err)
		}
	}
}

// A refund that waited for a tap when the process died has moved nothing.
func TestRefundByTapAfterRestart(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	p := s.paid(2500)
	r := terminal.RefundRequest{Payment: p.ID, Key: "r1", AmountMinor: 1000, Tap: true}
	back, err := s.terminal.Refund(t.Context(), r)
	if err != nil || back.State != terminal.RefundAwaitingTap || s.box() != "[]" {
		t.Fatalf("%+v, %v, outbox %s", back, err, s.box())
	}
	next := open(t, s.journal.Clone()).run()
	again, err := next.terminal.Refund(t.Context(), r)
	if err != nil || again.ID != back.ID || again.State != terminal.RefundRefused || again.Reason != 0x2B {
		t.Errorf("after a restart: %+v, %v", again, err)
	}
	if _, err := next.terminal.Refund(t.Context(), terminal.RefundRequest{Payment: p.ID, Key: "r2", AmountMinor: 2500}); err != nil {
		t.Errorf("all of it, without a tap: %v", err)
	}
	// Without a restart it has the reader, and its time.
	var busy *terminal.BusyError
	if _, err := s.terminal.Open(t.Context(), request("1001", 100)); !errors.As(err, &busy) || busy.Payment != back.ID {
		t.Errorf("the reader: %v", err)
	}
	if _, err := s.terminal.Cancel(t.Context(), back.ID); err != nil {
		t.Error(err)
	}
	if b := s.is(p.ID, terminal.Approved, terminal.Settled).Refunds[0]; b.State != terminal.RefundRefused || b.Reason != 0x2C {
		t.Errorf("cancelled: %+v", b)
	}
}
