package terminal_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
)

// desk is a card terminal whose answers a test writes.
type desk struct {
	mu   sync.Mutex
	pay  func(w terminal.Witness) (terminal.Booking, error)
	last func() (terminal.Booking, bool, error)
}

func (d *desk) Ready(context.Context) error { return nil }

func (d *desk) Pay(_ context.Context, _ int64, _ string, w terminal.Witness) (terminal.Booking, error) {
	d.mu.Lock()
	pay := d.pay
	d.mu.Unlock()
	return pay(w)
}

func (d *desk) Last(context.Context) (terminal.Booking, bool, error) {
	d.mu.Lock()
	last := d.last
	d.mu.Unlock()
	if last == nil {
		return terminal.Booking{}, false, nil
	}
	return last()
}

func (d *desk) Reverse(context.Context, string, terminal.Witness) (terminal.Booking, error) {
	return terminal.Booking{}, terminal.ErrNotAsked
}

func (d *desk) Refund(context.Context, int64, string, terminal.Witness) (terminal.Booking, error) {
	return terminal.Booking{Why: "card is not accepted"}, nil
}

func (d *desk) CloseDay(context.Context, terminal.Witness) (terminal.Booking, error) {
	return terminal.Booking{}, errors.New("cut")
}

func (d *desk) says(pay func(w terminal.Witness) (terminal.Booking, error), last func() (terminal.Booking, bool, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pay, d.last = pay, last
}

// openDesk is a shop with a card terminal.
func openDesk(t *testing.T, journal *terminaltest.Journal, d *desk) *shop {
	t.Helper()
	w, err := terminaltest.NewWallet()
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{T: t, journal: journal, wallet: w, stop: func() error { return nil }}
	cfg := config()
	cfg.Bounds.Queries = []time.Duration{time.Millisecond}
	s.terminal, err = terminal.New(cfg, terminal.Parts{
		Journal: journal, Acceptor: d, Wallet: w, Keys: w.Keys, Trust: noList{}, Clock: goodClock{}, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.run()
}

func (s *shop) card(order string, state terminal.State) terminal.Payment {
	s.Helper()
	p, err := s.terminal.Open(s.Context(), terminal.Request{OrderRef: order, AmountMinor: 500, Currency: "CNY", Offline: terminal.OfflineAllow})
	if err != nil {
		s.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); p.State != state; time.Sleep(time.Millisecond) {
		if p, err = s.terminal.Payment(p.ID); err != nil || time.Now().After(end) {
			s.Fatalf("order %s is %s, want %s: %v", order, p.State, state, err)
		}
	}
	return p
}

func booked(ident string, minor int64) terminal.Booking {
	return terminal.Booking{Done: true, AmountMinor: minor, Ident: ident, Receipt: "0001"}
}

func keeps(b terminal.Booking) func(terminal.Witness) (terminal.Booking, error) {
	return func(w terminal.Witness) (terminal.Booking, error) { return b, w.Store(b) }
}

var errLine = errors.New("the line was cut")

func cut(terminal.Witness) (terminal.Booking, error) { return terminal.Booking{}, errLine }

// Somebody has booked at the card terminal by hand: nobody guesses. The payment stays unknown and keeps its order, and
// the shop goes on, also after a restart.
func TestStrangeBookingLeavesItUnknown(t *testing.T) {
	journal, d := &terminaltest.Journal{}, &desk{}
	s := openDesk(t, journal, d)
	d.says(keeps(booked("first", 500)), nil)
	s.card("tea-0", terminal.Approved)
	d.says(cut, func() (terminal.Booking, bool, error) { return booked("by-hand", 7777), true, nil })
	p := s.card("tea-1", terminal.Unknown)
	d.says(keeps(booked("next", 500)), func() (terminal.Booking, bool, error) { return booked("by-hand", 7777), true, nil })
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		_, err := s.terminal.Open(t.Context(), terminal.Request{OrderRef: "tea-2", AmountMinor: 500, Currency: "CNY", Offline: terminal.OfflineAllow})
		if err == nil {
			break
		}
		if busy := (*terminal.BusyError)(nil); !errors.As(err, &busy) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
	s.card("tea-2", terminal.Approved)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	again := openDesk(t, journal, d)
	if p, err := again.terminal.Payment(p.ID); err != nil || p.State != terminal.Unknown || p.End() != "" {
		t.Errorf("%s, %v", p.State, err)
	}
}

// A booking that reaches the disk after the line was given up must not bring the payment back.
func TestLateBookingIsRefused(t *testing.T) {
	d := &desk{}
	s := openDesk(t, &terminaltest.Journal{}, d)
	late := make(chan error, 1)
	var witness terminal.Witness
	d.says(func(w terminal.Witness) (terminal.Booking, error) { witness = w; return terminal.Booking{}, errLine }, nil)
	p := s.card("tea-1", terminal.Failed)
	go func() { late <- witness.Store(booked("late", 500)) }()
	if err := <-late; err == nil {
		t.Error("it was kept")
	}
	s.is(p.ID, terminal.Failed, terminal.NotSettled)
}

// A double answer is one payment, and what is unknown is found out by the booking that the journal has seen.
func TestSeenBookingDecides(t *testing.T) {
	for name, c := range map[string]struct {
		last  string
		state terminal.State
	}{"it stands": {"mine", terminal.Approved}, "it was undone": {"before", terminal.Failed}} {
		d := &desk{}
		s := openDesk(t, &terminaltest.Journal{}, d)
		d.says(keeps(booked("before", 500)), nil)
		s.card("tea-0", terminal.Approved)
		d.says(func(w terminal.Witness) (terminal.Booking, error) {
			return terminal.Booking{}, errors.Join(w.Store(booked("mine", 500)), errLine)
		}, func() (terminal.Booking, bool, error) { return booked(c.last, 500), true, nil })
		if p := s.card("tea-1", c.state); p.Card.Before != "before" {
			t.Errorf("%s: %+v", name, p.Card)
		}
	}
}

func TestRefusedCardRefund(t *testing.T) {
	d := &desk{}
	s := openDesk(t, &terminaltest.Journal{}, d)
	d.says(keeps(booked("one", 500)), nil)
	p := s.card("tea-1", terminal.Approved)
	request := terminal.RefundRequest{Payment: p.ID, Key: "tapped", AmountMinor: 200, Tap: true}
	if _, err := s.terminal.Refund(t.Context(), request); !errors.As(err, new(*terminal.RequestError)) {
		t.Errorf("a refund with a tap where there is no field: %v", err)
	}
	for _, minor := range []int64{200, 500} { // with the card; and as a reversal, which is not asked for
		back, err := s.terminal.Refund(t.Context(), terminal.RefundRequest{Payment: p.ID, Key: time.Now().String(), AmountMinor: minor})
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(5 * time.Second); back.State == terminal.RefundQueued; time.Sleep(time.Millisecond) {
			now, err := s.terminal.Payment(p.ID)
			if err != nil || time.Now().After(end) {
				t.Fatal(now.Refunds, err)
			}
			back = now.Refunds[len(now.Refunds)-1]
		}
		if back.State != terminal.RefundRefused {
			t.Errorf("%+v", back)
		}
	}
	if p = s.is(p.ID, terminal.Approved, terminal.NotSettled); p.End() != terminal.Paid {
		t.Errorf("end %s", p.End())
	}
	if _, err := s.terminal.CloseCards(t.Context()); err == nil {
		t.Error("a day that was not ended is ended")
	}
}

// What the journal has not seen was not acknowledged, so a last booking of the same amount is somebody else's: one by
// hand, or the card terminal's own record of a reversal that it has made by itself. And one that was refused later
// does not undo what the journal has seen.
func TestBookingOfSomebodyElseIsNotTaken(t *testing.T) {
	for name, c := range map[string]struct {
		pay  func(terminal.Witness) (terminal.Booking, error)
		last terminal.Booking
	}{
		"same amount, never seen": {cut, booked("its-own-reversal", 500)},
		"refused later, by hand": {func(w terminal.Witness) (terminal.Booking, error) {
			return terminal.Booking{}, errors.Join(w.Store(booked("mine", 500)), errLine)
		}, terminal.Booking{Why: "card is not accepted", AmountMinor: 700, Ident: "by-hand"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{}
			s := openDesk(t, &terminaltest.Journal{}, d)
			d.says(keeps(booked("before", 500)), nil)
			s.card("tea-0", terminal.Approved)
			d.says(c.pay, func() (terminal.Booking, bool, error) { return c.last, true, nil })
			p := s.card("tea-1", terminal.Unknown)
			time.Sleep(50 * time.Millisecond) // it has been asked for often enough
			if p, err := s.terminal.Payment(p.ID); err != nil || p.State != terminal.Unknown {
				t.Errorf("%s, %v", p.State, err)
			}
		})
	}
}

// A booking of another amount is no payment of this one, and neither is the booking of before that is told once more.
func TestOtherBookingIsNotKept(t *testing.T) {
	for name, other := range map[string]terminal.Booking{"of less": booked("mine", 499), "of before": booked("before", 500)} {
		t.Run(name, func(t *testing.T) {
			d := &desk{}
			s := openDesk(t, &terminaltest.Journal{}, d)
			d.says(keeps(booked("before", 500)), nil)
			s.card("tea-0", terminal.Approved)
			d.says(keeps(other), func() (terminal.Booking, bool, error) { return booked("before", 500), true, nil })
			s.card("tea-1", terminal.Failed)
		})
	}
}

// A card terminal whose day was ended by hand tells of no booking. One that the journal has seen may stand all the
// same; the first one of a day that is asked for has not been kept.
func TestForgottenBookingStaysUnknown(t *testing.T) {
	none := func() (terminal.Booking, bool, error) { return terminal.Booking{}, false, nil }
	seen := func(w terminal.Witness) (terminal.Booking, error) {
		return terminal.Booking{}, errors.Join(w.Store(booked("mine", 500)), errLine)
	}
	for name, first := range map[string]bool{"first of the day": true, "one was before": false} {
		t.Run(name, func(t *testing.T) {
			d := &desk{}
			s := openDesk(t, &terminaltest.Journal{}, d)
			if !first {
				d.says(keeps(booked("before", 500)), nil)
				s.card("tea-0", terminal.Approved)
			}
			d.says(seen, none)
			if first {
				s.card("tea-1", terminal.Failed)
				return
			}
			p := s.card("tea-1", terminal.Unknown)
			time.Sleep(50 * time.Millisecond)
			s.is(p.ID, terminal.Unknown, p.Settlement)
		})
	}
}
