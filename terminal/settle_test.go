package terminal_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"tapkeeper/emv"
	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
	"tapkeeper/uplink/wire"
)

// TestJudge is the table of terminal.md, row by row.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		out  emv.Outcome
		want string
	}{
		{emv.Outcome{Result: emv.Approved, RecordKind: emv.RecordOffline}, "{stored queued [advice]}"},
		{emv.Outcome{Result: emv.Online, RecordKind: emv.RecordOnline}, "{authorising none [authorisation]}"},
		{emv.Outcome{Result: emv.Declined}, "{declined none []}"},
		{emv.Outcome{Result: emv.Declined, RecordKind: emv.RecordDeclined}, "{declined none [report]}"},
		{emv.Outcome{Result: emv.Declined, RecordKind: emv.RecordReversal}, "{declined queued [reversal]}"},
		{emv.Outcome{Result: emv.Undetermined, Reason: emv.ReasonUnknown}, "{failed queued [reversal]}"},
		{emv.Outcome{Result: emv.Undetermined, RecordKind: emv.RecordDeclined}, "{failed queued [reversal report]}"},
		{emv.Outcome{Result: emv.End, Reason: emv.ReasonCancelled}, "{cancelled none []}"},
		{emv.Outcome{Result: emv.End, Reason: emv.ReasonTimeout}, "{expired none []}"},
		{emv.Outcome{Result: emv.End, Reason: emv.ReasonProtocol}, "{failed none []}"},
		{emv.Outcome{Result: emv.End, Reason: emv.ReasonProtocol, RecordKind: emv.RecordReversal}, "{failed queued [reversal]}"},
		{emv.Outcome{Result: emv.End, Reason: emv.ReasonMAC, RecordKind: emv.RecordSuspect}, "{failed none [report]}"},
		{emv.Outcome{Result: emv.Declined, RecordKind: emv.RecordDeclined, Abandoned: []emv.Unanswered{{1}}}, "{declined queued [reversal report]}"},
		{emv.Outcome{Result: emv.End, Reason: emv.ReasonNoWallet, Abandoned: []emv.Unanswered{{1}}}, "{failed queued [reversal]}"},
		{emv.Outcome{Result: emv.OtherInterface, Reason: emv.ReasonLimits}, "{failed none []}"},
	} {
		if got := fmt.Sprint(terminal.Judge(&c.out)); got != c.want {
			t.Errorf("%s %02X record %02X: %s, want %s", c.out.Result, byte(c.out.Reason), byte(c.out.RecordKind), got, c.want)
		}
	}
}

// TestReceipts: only the wallet's word on the advice settles a stored payment.
func TestReceipts(t *testing.T) {
	for _, c := range []struct {
		name       string
		answer     func(m *wire.Message, p terminal.Payment) wire.Receipt
		state      terminal.State
		settlement terminal.Settlement
		end        terminal.End
		parked     bool
	}{
		{"taken", func(m *wire.Message, p terminal.Payment) wire.Receipt {
			return receipt(m, p.ID, wire.Accepted, wire.StateTaken, 0, p.AmountMinor)
		}, terminal.Approved, terminal.Settled, terminal.Paid, false},
		{"refused", func(m *wire.Message, p terminal.Payment) wire.Receipt {
			return receipt(m, p.ID, wire.Refused, wire.StateRefused, 0x33, 0)
		}, terminal.Stored, terminal.Rejected, terminal.NotPaid, true},
		{"another amount", func(m *wire.Message, p terminal.Payment) wire.Receipt {
			return receipt(m, p.ID, wire.Accepted, wire.StateTaken, 0, 1)
		}, terminal.Stored, terminal.Rejected, terminal.NotPaid, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, &terminaltest.Journal{}).run()
			p := s.payment(terminal.Reading)
			if err := s.terminal.PutStored(&p); err != nil {
				t.Fatal(err)
			}
			if held := s.journal.Counts(); len(held) != 3 {
				t.Fatalf("exposure is %v", held)
			}
			r := c.answer(s.entry(wire.KindAdvice), p)
			s.deliver(r)
			events := len(s.journal.Events())
			s.deliver(r) // repeated: nothing changes
			after := s.is(p.ID, c.state, c.settlement)
			if after.End() != c.end || len(s.journal.Events()) != events {
				t.Errorf("end %q, want %q; %d events after a repetition, want %d", after.End(), c.end, len(s.journal.Events()), events)
			}
			box := s.journal.Outbox()
			if parked := len(box) == 1 && box[0].Parked != ""; parked != c.parked || (!parked && len(box) != 0) {
				t.Errorf("outbox %+v", box)
			}
			if held := s.journal.Counts(); len(held) != 0 {
				t.Errorf("exposure after the receipt: %v", held)
			}
		})
	}
}

// TestRecover: what a dead process left, in each state.
func TestRecover(t *testing.T) {
	for _, c := range []struct {
		left       terminal.State
		state      terminal.State
		settlement terminal.Settlement
		reversed   bool
	}{
		{terminal.AwaitingTap, terminal.Expired, terminal.NotSettled, false},
		{terminal.Reading, terminal.Failed, terminal.Queued, true},
		{terminal.Authorising, terminal.Failed, terminal.Queued, true},
		{terminal.Unknown, terminal.Failed, terminal.Queued, true},
	} {
		t.Run(string(c.left), func(t *testing.T) {
			s := open(t, &terminaltest.Journal{})
			p := s.payment(c.left)
			if err := s.terminal.PutReserved(&p); err != nil {
				t.Fatal(err)
			}
			s.run()
			s.is(p.ID, c.state, c.settlement)
			if c.reversed {
				s.entry(wire.KindReversal)
			} else if box := s.journal.Outbox(); len(box) != 0 {
				t.Errorf("outbox %v", box)
			}
			if held := s.journal.Counts(); len(held) != 0 {
				t.Errorf("exposure after recovery: %v", held)
			}
			// The order is free again, and the new attempt knows the old one.
			next, err := s.terminal.Open(t.Context(), request(p.OrderRef, p.AmountMinor))
			if err != nil || next.Attempt != 2 {
				t.Errorf("next attempt: %v %+v", err, next)
			}
		})
	}
}

// TestCaps: a reservation over a cap fails as a whole and names the counter.
func TestCaps(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	for n := 0; ; n++ {
		p := s.payment(terminal.Reading)
		p.AmountMinor = 100_00
		err := s.terminal.PutReserved(&p)
		if err == nil {
			continue
		}
		var limit *terminal.CapError
		if !errors.As(err, &limit) || n != 5 || limit.Cap != 500_00 {
			t.Fatalf("after %d payments of one device: %v", n, err)
		}
		held, most, err := s.terminal.Exposure()
		if err != nil || held != (terminal.Held{Payments: 5, SumMinor: 500_00}) || most.Payments != 1000 {
			t.Fatalf("exposure %+v of %+v, %v", held, most, err)
		}
		return
	}
}

func TestCompare(t *testing.T) {
	id := func(b byte) terminal.ID { return terminal.ID{b} }
	item := func(b byte, minor int64, state wire.ItemState) wire.Item {
		return wire.Item{PaymentID: id(b), AmountMinor: minor, State: state}
	}
	here := []wire.Item{item(1, 100, wire.ItemPaid), item(2, 200, wire.ItemPaid), item(3, 300, wire.ItemPaid), item(4, 400, wire.ItemPaid)}
	there := []wire.Item{item(1, 100, wire.ItemPaid), item(2, 201, wire.ItemPaid), item(3, 300, wire.ItemReversed), item(5, 500, wire.ItemPaid)}
	var got []string
	for _, d := range terminal.Compare(here, there) {
		got = append(got, fmt.Sprintf("%d %s", d.Payment[0], d.Class))
	}
	if want := "[2 amount_differs 3 state_differs 4 only_here 5 only_there]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestBusinessDay(t *testing.T) {
	s := open(t, &terminaltest.Journal{})
	for moment, day := range map[string]string{
		"2026-11-24T03:59:59+08:00": "2026-11-23", "2026-11-24T04:00:00+08:00": "2026-11-24", "2026-11-24T19:59:59Z": "2026-11-24",
	} {
		at, err := time.Parse(time.RFC3339, moment)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.terminal.BusinessDay(at); got != day {
			t.Errorf("%s belongs to %s, want %s", moment, got, day)
		}
	}
}

func TestNewID(t *testing.T) {
	at := time.UnixMilli(0x0123456789AB)
	a, err := terminal.NewID(at, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if s := a.String(); s[:13] != "01234567-89ab" || s[14] != '7' || (s[19] != '8' && s[19] != '9' && s[19] != 'a' && s[19] != 'b') {
		t.Errorf("%s is no UUIDv7 of its moment", s)
	}
	if b, _ := terminal.NewID(at, rand.Reader); a == b {
		t.Error("the same id twice")
	}
}
