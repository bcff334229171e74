package terminal_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
)

func request(order string, minor int64) terminal.Request {
	return terminal.Request{OrderRef: order, AmountMinor: minor, Currency: "CNY", Offline: terminal.OfflineAllow}
}

// TestOneOrder: the same order is one payment, whoever asks and how often.
func TestOneOrder(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	var wg sync.WaitGroup
	ids := make([]terminal.ID, 20)
	for i := range ids {
		wg.Go(func() {
			p, err := s.terminal.Open(t.Context(), request("1001", 2500))
			if err != nil {
				t.Error(err)
			}
			ids[i] = p.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("two payments for one order: %s and %s", ids[0], id)
		}
	}
	if _, err := s.terminal.Open(t.Context(), request("1001", 2600)); !errors.Is(err, terminal.ErrKeyReused) {
		t.Errorf("another amount for an open order: %v", err)
	}
	keyed := request("1001", 2500)
	keyed.Key = "k"
	var order *terminal.OrderError
	if _, err := s.terminal.Open(t.Context(), keyed); !errors.As(err, &order) || order.Payment.ID != ids[0] {
		t.Errorf("a second till with a key of its own: %v", err)
	}
	var busy *terminal.BusyError
	if _, err := s.terminal.Open(t.Context(), request("1002", 100)); !errors.As(err, &busy) || busy.Payment != ids[0] {
		t.Errorf("another order while the reader waits: %v", err)
	}
}

// TestCancelAndAgain: a cancelled payment frees reader and order; the next is
// linked to it, and the key keeps naming the first for ever, also after a restart.
func TestCancelAndAgain(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	first := request("1001", 2500)
	first.Key = "till-7/1"
	p, err := s.terminal.Open(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	cancelled, err := s.terminal.Cancel(t.Context(), p.ID)
	if err != nil || cancelled.State != terminal.Cancelled || cancelled.End() != terminal.NotPaid {
		t.Fatalf("cancel: %v %s", err, cancelled.State)
	}
	if _, err := s.terminal.Cancel(t.Context(), p.ID); err != nil {
		t.Errorf("cancel again: %v", err)
	}
	next, err := s.terminal.Open(t.Context(), request("1001", 2500))
	if err != nil || next.ID == p.ID || next.Attempt != 2 || next.Previous == nil || *next.Previous != p.ID {
		t.Fatalf("next attempt: %v %+v", err, next)
	}
	_ = s.stop()

	again := open(t, s.journal)
	if _, err := again.terminal.Open(t.Context(), first); !errors.Is(err, terminal.ErrNotReady) {
		t.Errorf("open before recovery: %v", err)
	}
	again.run()
	same, err := again.terminal.Open(t.Context(), first)
	if err != nil || same.ID != p.ID || same.State != terminal.Cancelled {
		t.Errorf("the key after a restart: %v %s %s", err, same.ID, same.State)
	}
	changed := first
	changed.AmountMinor++
	if _, err := again.terminal.Open(t.Context(), changed); !errors.Is(err, terminal.ErrKeyReused) {
		t.Errorf("the key with another amount: %v", err)
	}
	orders, err := again.terminal.Order("1001")
	if err != nil || len(orders) != 2 || orders[1].State != terminal.Expired {
		t.Errorf("order after a restart: %v %+v", err, orders)
	}
}

// TestExpires: a payment that nobody taps ends by itself.
func TestExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &terminaltest.Journal{}).run()
		r := request("1001", 2500)
		r.ExpiresIn = 10 * time.Second
		p, err := s.terminal.Open(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if p.Hint = s.is(p.ID, terminal.AwaitingTap, terminal.NotSettled).Hint; p.Hint != terminal.HintPresentPhone {
			t.Errorf("hint is %q", p.Hint)
		}
		out, err := s.terminal.Wait(t.Context(), p.ID, p.Revision)
		if err != nil || out.State != terminal.Expired || time.Since(p.CreatedAt) != 10*time.Second {
			t.Errorf("%v %s after %s", err, out.State, time.Since(p.CreatedAt))
		}
		_ = s.stop()
	})
}

func TestRequests(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	for name, change := range map[string]func(*terminal.Request){
		"amount_minor":    func(r *terminal.Request) { r.AmountMinor = 0 },
		"order_ref":       func(r *terminal.Request) { r.OrderRef = strings.Repeat("x", 33) },
		"currency":        func(r *terminal.Request) { r.Currency = "XXX" },
		"offline":         func(r *terminal.Request) { r.Offline = "maybe" },
		"expires_in":      func(r *terminal.Request) { r.ExpiresIn = time.Hour },
		"idempotency key": func(r *terminal.Request) { r.Key = "line\nbreak" },
	} {
		r := request("1001", 2500)
		change(&r)
		var wrong *terminal.RequestError
		if _, err := s.terminal.Open(t.Context(), r); !errors.As(err, &wrong) || wrong.Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(s.journal.Events()) != 0 {
		t.Error("a refused request left something behind")
	}
}
