package lane_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"testing"

	"tapkeeper/lane/lanetest"
	"tapkeeper/terminal"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/ledger"
)

func (c *court) refund(p terminal.Payment, key string, minor int64) terminal.Refund {
	c.Helper()
	back, err := c.lane.Terminal().Refund(c.Context(), terminal.RefundRequest{Payment: p.ID, Key: key, AmountMinor: minor})
	if err != nil {
		c.Fatal(err)
	}
	return back
}

// money demands what the payers have spent, and the merchant is owed, to the fen.
func (c *court) money(want int64) {
	c.Helper()
	m, err := c.store.Money(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	if m != (lanetest.Money{SpentMinor: want, ClaimMinor: want}) {
		c.Errorf("the ledger has %+v, want %d", m, want)
	}
}

// returned is what went back to the allowance of a payment's phone.
func (c *court) returned(p terminal.Payment) int64 {
	c.Helper()
	var minor int64
	err := c.store.Ledger.View(c.Context(), func(tx *ledger.Tx) error {
		row, err := tx.Payment(p.ID)
		if err != nil {
			return err
		}
		device, err := hex.DecodeString(row.Device)
		if err == nil {
			minor, err = tx.ReturnedMinor([8]byte(device), 1)
		}
		return err
	})
	if err != nil {
		c.Fatal(err)
	}
	return minor
}

// TestRefunds: with a real reader, link and ledger, connected and not. Money and
// allowance are exact, the day reconciles, and the evidence holds.
func TestRefunds(t *testing.T) {
	c := newCourt(t)
	done := func(n int) func(terminal.Payment) bool {
		return func(p terminal.Payment) bool {
			return len(p.Refunds) == n && p.Refunds[n-1].State == terminal.RefundDone
		}
	}
	p := c.pay(rich, "online", 25_00)
	c.settled(p.ID)
	c.money(25_00)
	c.refund(p, "part", 10_00)
	c.refund(p, "part", 10_00) // the answer was lost, the till asks again
	if p = c.wait(p.ID, done(1)); p.End() != terminal.Paid || p.RefundedMinor() != 10_00 {
		t.Errorf("in part: %q, %d", p.End(), p.RefundedMinor())
	}
	c.money(15_00)
	c.refund(p, "rest", 0)
	if p = c.wait(p.ID, done(2)); p.End() != terminal.Refunded {
		t.Errorf("in full: %q", p.End())
	}
	c.money(0)

	c.connected(false)
	whole := c.pay(rich, "whole", 30_00)
	part := c.pay(rich, "part", 40_00)
	if whole.State != terminal.Stored || part.State != terminal.Stored {
		t.Fatalf("offline: %s, %s", whole.State, part.State)
	}
	if back := c.refund(whole, "whole", 0); !back.Reversal {
		t.Errorf("unsent: %+v", back)
	}
	if back := c.refund(part, "part of an unsent one", 5_00); back.Reversal {
		t.Errorf("a part of an unsent one: %+v", back)
	}
	if s, err := c.lane.Status(); err != nil || s.Exposure.Payments != 1 || s.Exposure.SumMinor != 40_00 {
		t.Errorf("exposed to %+v, %v", s.Exposure, err)
	}
	c.connected(true)
	if p := c.wait(whole.ID, done(1)); p.End() != terminal.NotPaid {
		t.Errorf("given back before it was sent: %q", p.End())
	}
	if p := c.wait(part.ID, done(1)); p.End() != terminal.Paid {
		t.Errorf("given back in part before it was sent: %q", p.End())
	}
	c.money(35_00)
	if back := c.returned(whole); back != 30_00 {
		t.Errorf("%d went back to the allowance", back)
	}
	if row, known, err := c.store.Row(t.Context(), whole.ID); err != nil || !known || row.State != ledger.Tombstone || row.RecordKind != 4 {
		t.Errorf("the ledger has it as %+v, %v", row.State, err)
	}
	all, err := c.lane.Reconcile(t.Context(), part.BusinessDay)
	if err != nil || len(all) != 1 || !all[0].Match || all[0].Here.Refunds.Count != 3 || all[0].Here.Refunds.SumMinor != 30_00 || all[0].Waiting != 0 {
		t.Errorf("the day: %+v, %v", all, err)
	}
	for what, id := range map[string]terminal.ID{"refunded": p.ID, "reversed before it was sent": whole.ID, "refunded in part": part.ID} {
		c.holds(what, c.export(id))
	}
}

// TestRefundRaces: 64 callers on the real journal, for one payment's money.
func TestRefundRaces(t *testing.T) {
	c := newCourt(t)
	p := c.pay(rich, "race", 100)
	c.settled(p.ID)
	var callers sync.WaitGroup
	for n := range 64 {
		callers.Go(func() {
			_, _ = c.lane.Terminal().Refund(t.Context(), terminal.RefundRequest{Payment: p.ID, Key: fmt.Sprint(n % 40), AmountMinor: 7})
		})
	}
	callers.Wait()
	p = c.wait(p.ID, func(p terminal.Payment) bool { return p.RefundedMinor() == 98 })
	c.money(2)
}

// TestRefundOfAdviceInFlight: the wallet has the advice, its receipt is on its
// way, and everything goes back: nothing is taken in the end.
func TestRefundOfAdviceInFlight(t *testing.T) {
	b := newTwoBooks(t)
	p := b.here(terminal.Stored, terminal.Queued)
	record := b.record(&p)
	e := advice(b, &p, record)
	b.write(p, record, e)
	sent := b.journal.Outbox()[0]
	late, err := b.handle(t.Context(), b.keys.Address().UpTopic(wire.KindAdvice), sent.Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.terminal.Refund(t.Context(), terminal.RefundRequest{Payment: p.ID, Key: "all"}); err != nil {
		t.Fatal(err)
	}
	if err := b.terminal.Receive(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	b.drain()
	b.ended(difference{result: reversedBoth}, b.planted)
	if r := b.reconcile(); !r.Match {
		t.Errorf("the books differ: %+v", r.Differences)
	}
	accounts, err := b.ledger.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts {
		if a.ID == payerAccount && a.BalanceMinor != 1_000_000_00 || a.ID == "merchant:"+reconMerchant && a.BalanceMinor != 0 {
			t.Errorf("account %s has %d", a.ID, a.BalanceMinor)
		}
	}
}

// TestReleasedAdvice: what the wallet has refused, and would accept now, is taken
// once a person lets it go out again.
func TestReleasedAdvice(t *testing.T) {
	b := newTwoBooks(t)
	p := b.here(terminal.Stored, terminal.Queued)
	record := b.record(&p)
	e := advice(b, &p, record)
	b.write(p, record, e)
	block := func(status ledger.DeviceStatus) {
		b.keep(func(tx *ledger.Tx) error { return tx.SetDeviceStatus(b.device, status) })
	}
	block(ledger.DeviceBlocked)
	b.drain()
	if p, err := b.terminal.Payment(p.ID); err != nil || p.Settlement != terminal.Rejected {
		t.Fatalf("refused: %s, %v", p.Settlement, err)
	}
	block(ledger.DeviceActive)
	if err := b.terminal.Release(t.Context(), p.ID, *p.Advice); err != nil {
		t.Fatal(err)
	}
	b.drain()
	b.ended(difference{result: paidBoth}, b.planted)
}

// tapped asks for a refund by tap and holds a phone to the reader.
func (c *court) tapped(p terminal.Payment, key string, who lanetest.Person) terminal.Refund {
	c.Helper()
	back, err := c.lane.Terminal().Refund(c.Context(), terminal.RefundRequest{Payment: p.ID, Key: key, AmountMinor: 3_00, Tap: true})
	if err != nil {
		c.Fatal(err)
	}
	if err := c.store.Field.Present(c.store.Phones[who.ID].Ready()); err != nil {
		c.Fatal(err)
	}
	defer func() { c.store.Field.Remove(); c.store.Field.Wait() }()
	return c.refundIs(p, back.ID, func(r terminal.Refund) bool {
		return r.State == terminal.RefundDone || r.State == terminal.RefundRefused || r.State == terminal.RefundQueued
	})
}

func (c *court) refundIs(p terminal.Payment, id terminal.ID, ok func(terminal.Refund) bool) (r terminal.Refund) {
	c.Helper()
	c.wait(p.ID, func(p terminal.Payment) bool {
		for _, b := range p.Refunds {
			if r = b; b.ID == id {
				return ok(b)
			}
		}
		return false
	})
	return r
}

// TestRefundByTap: the phone that has paid gets it back, connected and not; another
// phone is told so by itself and by the terminal (scheme 8.2).
func TestRefundByTap(t *testing.T) {
	c := newCourt(t)
	p := c.pay(rich, "tap", 20_00)
	c.settled(p.ID)
	if r := c.tapped(p, "stranger", poor); r.State != terminal.RefundRefused || r.Reason != 0x13 {
		t.Errorf("another phone: %+v", r)
	}
	c.money(20_00)
	r := c.tapped(p, "own", rich)
	c.refundIs(p, r.ID, func(r terminal.Refund) bool { return r.State == terminal.RefundDone })
	c.money(17_00)
	c.connected(false)
	r = c.tapped(p, "deferred", rich)
	if r.State != terminal.RefundQueued {
		t.Errorf("without the wallet: %+v", r)
	}
	c.money(17_00)
	c.connected(true)
	c.refundIs(p, r.ID, func(r terminal.Refund) bool { return r.State == terminal.RefundDone })
	c.money(14_00)

	back, err := c.lane.Terminal().Refund(t.Context(), terminal.RefundRequest{Payment: p.ID, Key: "nobody", AmountMinor: 1, Tap: true})
	if err != nil || back.State != terminal.RefundAwaitingTap {
		t.Fatalf("%+v, %v", back, err)
	}
	var busy *terminal.BusyError
	if _, err := c.lane.Terminal().Refund(t.Context(), terminal.RefundRequest{Payment: p.ID, Key: "second", AmountMinor: 1, Tap: true}); !errors.As(err, &busy) {
		t.Errorf("a second tap: %v", err)
	}
	if _, err := c.lane.Terminal().Cancel(t.Context(), back.ID); err != nil {
		t.Error(err)
	}
	if r := c.refundIs(p, back.ID, func(terminal.Refund) bool { return true }); r.State != terminal.RefundRefused || r.Reason != 0x2C {
		t.Errorf("cancelled: %+v", r)
	}
	c.money(14_00)
	c.holds("refunded by tap", c.export(p.ID))
	all, err := c.lane.Reconcile(t.Context(), p.BusinessDay)
	if err != nil || !all[0].Match || all[0].Here.Refunds.Count != 2 {
		t.Errorf("the day: %+v, %v", all, err)
	}
}
