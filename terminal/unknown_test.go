package terminal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tapkeeper/emv"
	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
	"tapkeeper/uplink/wire"
)

// authorising opens a shop with one payment that the wallet is asked about.
func authorising(t *testing.T) (*shop, terminal.Payment) {
	s := open(t, &terminaltest.Journal{}).run()
	synctest.Wait() // Run is under way
	return s, s.put(s.payment(terminal.Authorising))
}

// TestSilence: unknown at the deadline, queries 1, 2, 5, 10 and 30 s after it,
// then a reversal that is in the outbox before the till hears "failed".
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := authorising(t)
		began := time.Now()
		ended := make(chan struct{})
		go func() { s.terminal.Authorise(t.Context(), p, 1); close(ended) }()

		time.Sleep(3*time.Second - time.Millisecond)
		s.is(p.ID, terminal.Authorising, terminal.NotSettled)
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		s.is(p.ID, terminal.Unknown, terminal.NotSettled)
		if _, connected := s.wallet.Link(); connected {
			t.Error("a missed deadline did not clear connected")
		}
		<-ended
		var at []string
		for _, q := range s.wallet.Asked() {
			at = append(at, fmt.Sprintf("%s@%s", q.Message.Kind, q.At.Sub(began).Round(100*time.Millisecond)))
		}
		if got, want := fmt.Sprint(at), "[authorisation@0s query@4s query@5s query@8s query@13s query@33s]"; got != want {
			t.Errorf("asked %s\nwant  %s", got, want)
		}
		if took := time.Since(began); took > 40*time.Second {
			t.Errorf("unknown lasted %s", took)
		}
		failed := s.is(p.ID, terminal.Failed, terminal.Queued)
		if failed.End() != "" {
			t.Errorf("ended %s before the wallet confirmed the reversal", failed.End())
		}
		m := s.entry(wire.KindReversal)
		if r := m.Data.(wire.Reversal); r.PaymentID != p.ID || r.AmountMinor != p.AmountMinor {
			t.Errorf("reversal of %+v", r)
		}
		s.deliver(receipt(m, p.ID, wire.Accepted, wire.StateReversed, 0, 0))
		if end := s.is(p.ID, terminal.Failed, terminal.Reversed).End(); end != terminal.NotPaid {
			t.Errorf("end is %q", end)
		}
		if box := s.journal.Outbox(); len(box) != 0 {
			t.Errorf("outbox still has %v", box)
		}
	})
}

// TestAnswered: each answer of the wallet in time.
func TestAnswered(t *testing.T) {
	for _, c := range []struct {
		name       string
		answer     func(m *wire.Message, p terminal.Payment) wire.Data
		state      terminal.State
		settlement terminal.Settlement
	}{
		{"taken", func(m *wire.Message, p terminal.Payment) wire.Data {
			return receipt(m, p.ID, wire.Accepted, wire.StateTaken, 0, p.AmountMinor)
		}, terminal.Approved, terminal.Settled},
		{"refused", func(m *wire.Message, p terminal.Payment) wire.Data {
			return receipt(m, p.ID, wire.Refused, wire.StateRefused, 0x02, 0)
		}, terminal.Declined, terminal.NotSettled},
		{"another amount", func(m *wire.Message, p terminal.Payment) wire.Data {
			return receipt(m, p.ID, wire.Accepted, wire.StateTaken, 0, p.AmountMinor-1)
		}, terminal.Failed, terminal.Queued}, // nobody's money is called this payment's
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, p := authorising(t)
				s.wallet.Answer = func(m *wire.Message) wire.Data {
					if m.Kind != wire.KindAuthorisation {
						return nil
					}
					return c.answer(m, p)
				}
				s.terminal.Authorise(t.Context(), p, 1)
				s.is(p.ID, c.state, c.settlement)
			})
		})
	}
}

// TestQueryFinds: the answer was lost, the wallet tells it when asked again.
func TestQueryFinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := authorising(t)
		var asked *wire.Message
		queries := 0
		s.wallet.Answer = func(m *wire.Message) wire.Data {
			if m.Kind == wire.KindAuthorisation {
				asked = m
				return nil
			}
			if queries++; queries == 1 {
				return wire.Status{Answer: m.Reply(), PaymentID: p.ID, State: wire.StateUnknown}
			}
			r := receipt(asked, p.ID, wire.Accepted, wire.StateTaken, 0, p.AmountMinor)
			return wire.Status{Answer: m.Reply(), PaymentID: p.ID, State: wire.StateTaken, AmountMinor: p.AmountMinor, Receipt: &r}
		}
		s.terminal.Authorise(t.Context(), p, 1)
		if end := s.is(p.ID, terminal.Approved, terminal.Settled).End(); end != terminal.Paid {
			t.Errorf("end is %q", end)
		}
		if queries != 2 || len(s.journal.Outbox()) != 0 {
			t.Errorf("%d queries, outbox %v", queries, s.journal.Outbox())
		}
	})
}

// TestLinkLost: with the link down there is nobody to ask; the reversal is
// queued at once.
func TestLinkLost(t *testing.T) {
	for _, lost := range []time.Duration{0, time.Second, 4500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s, p := authorising(t)
			time.AfterFunc(lost, func() { s.wallet.SetDown(true) })
			synctest.Wait()
			began := time.Now()
			s.terminal.Authorise(t.Context(), p, 1)
			s.is(p.ID, terminal.Failed, terminal.Queued)
			s.entry(wire.KindReversal)
			if took := time.Since(began); took > lost+3*time.Second+200*time.Millisecond {
				t.Errorf("link lost after %s, reversed after %s", lost, took)
			}
		})
	}
}

// TestLateApproval: it is a fact, and the reversal answers it.
func TestLateApproval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := authorising(t)
		var asked *wire.Message
		s.wallet.Answer = func(m *wire.Message) wire.Data { asked = m; s.wallet.SetDown(true); return nil }
		s.terminal.Authorise(t.Context(), p, 1)
		late := receipt(asked, p.ID, wire.Accepted, wire.StateTaken, 0, p.AmountMinor)
		s.deliver(late)
		s.deliver(late)
		after := s.is(p.ID, terminal.Failed, terminal.Queued)
		if after.WalletRef == "" {
			t.Error("the late answer was ignored")
		}
		s.deliver(receipt(s.entry(wire.KindReversal), p.ID, wire.Accepted, wire.StateReversed, 0, p.AmountMinor))
		s.is(p.ID, terminal.Failed, terminal.Reversed)
	})
}

// TestFullDisk: what must be kept is tried until it fits, and nothing is told
// before; what cannot be known stops the terminal.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := authorising(t)
		full := time.Now().Add(20 * time.Second)
		s.journal.Fail = func(terminal.Commit) error {
			if time.Now().Before(full) {
				return terminal.ErrStorage
			}
			return nil
		}
		s.wallet.SetDown(true)
		go s.terminal.Authorise(t.Context(), p, 1)
		time.Sleep(19 * time.Second)
		s.is(p.ID, terminal.Authorising, terminal.NotSettled)
		if _, err := s.terminal.Open(t.Context(), request("next", 100)); err == nil {
			t.Error("a payment was opened that cannot be kept")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		s.is(p.ID, terminal.Failed, terminal.Queued)
		if err := s.terminal.Fatal(); err != nil {
			t.Errorf("a full disk stopped the terminal: %v", err)
		}
	})
}

// TestUncertain: a commit that nobody knows the fate of ends Run with it.
func TestUncertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &terminaltest.Journal{})
		if err := s.terminal.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.journal.Fail = func(terminal.Commit) error { return terminal.ErrUncertain }
		ended := make(chan error, 1)
		go func() { ended <- s.terminal.Run(context.Background()) }()
		if _, err := s.terminal.Open(t.Context(), request("o", 100)); err == nil {
			t.Error("an uncertain payment was told")
		}
		if err := <-ended; err == nil {
			t.Error("Run ended without saying why")
		}
	})
}

// TestOutcomeThatDoesNotFit: a phone that says what the journal cannot keep is
// not paid, and does not stop the terminal (I14).
func TestOutcomeThatDoesNotFit(t *testing.T) {
	s := open(t, &terminaltest.Journal{})
	p := s.payment(terminal.Reading)
	p.Request = nil
	if err := s.terminal.PutReserved(&p); err != nil {
		t.Fatal(err)
	}
	s.journal.Fail = func(c terminal.Commit) error {
		for _, r := range c.Records {
			if r.Kind == "record" {
				return errors.New("value of 40000 bytes: at most 32768")
			}
		}
		return nil
	}
	s.terminal.Conclude(p, emv.Outcome{Result: emv.Approved, RecordKind: emv.RecordOffline, Record: terminal.SomeRecord})
	s.is(p.ID, terminal.Failed, terminal.Queued)
	s.entry(wire.KindReversal)
	if err := s.terminal.Fatal(); err != nil {
		t.Errorf("the terminal stopped: %v", err)
	}
	if held := s.journal.Counts(); len(held) != 0 {
		t.Errorf("exposure: %v", held)
	}
}
