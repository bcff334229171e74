package terminal_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
	"tapkeeper/uplink/wire"
)

// slowField is a watched reader whose Ready takes its time, as a real one does
// after it was plugged in: meanwhile somebody does something else.
type slowField struct {
	emptyField
	meanwhile func()
}

func (f *slowField) Ready(context.Context) error {
	if f.meanwhile != nil {
		f.meanwhile()
	}
	return nil
}

// A person lets a refused advice go out again while the till opens the order's
// next payment: one of the two must lose, or the order is paid twice.
func TestReleaseWhileOrderIsOpened(t *testing.T) {
	w, err := terminaltest.NewWallet()
	if err != nil {
		t.Fatal(err)
	}
	f := &slowField{}
	s := &shop{T: t, journal: &terminaltest.Journal{}, wallet: w}
	s.terminal, err = terminal.New(config(), terminal.Parts{
		Journal: s.journal, Field: f, Wallet: w, Keys: w.Keys, Trust: noList{}, Clock: goodClock{}, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.run()
	p := s.payment(terminal.Reading)
	if err := s.terminal.PutStored(&p); err != nil {
		t.Fatal(err)
	}
	m := s.entry(wire.KindAdvice)
	s.deliver(receipt(m, p.ID, wire.Refused, wire.StateRefused, 0x33, 0))
	s.is(p.ID, terminal.Stored, terminal.Rejected)

	released := make(chan error, 1)
	f.meanwhile = func() {
		ended := make(chan struct{})
		go func() {
			released <- s.terminal.Release(t.Context(), p.ID, m.ID)
			close(ended)
		}()
		waitAWhile(ended)
	}
	next, openErr := s.terminal.Open(t.Context(), terminal.Request{
		OrderRef: p.OrderRef, AmountMinor: p.AmountMinor, Currency: p.Currency, Offline: terminal.OfflineAllow,
	})
	releaseErr := <-released
	if openErr == nil && next.ID != p.ID && releaseErr == nil {
		first, _ := s.terminal.Payment(p.ID)
		t.Errorf("order %s can be paid twice: %s is %s/%s with its advice on the way, and %s is %s",
			p.OrderRef, first.ID, first.State, first.Settlement, next.ID, next.State)
	}
}

// waitAWhile gives another goroutine the time to do what it can, unless it is locked out.
func waitAWhile(ended <-chan struct{}) {
	select {
	case <-ended:
	case <-time.After(200 * time.Millisecond):
	}
}
