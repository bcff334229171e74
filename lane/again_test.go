package lane_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"tapkeeper/terminal"
)

// sameOrderAgain kills at each point, and lets the till ask again after the
// restart: with the same key, which names the payment for ever (I13), and with
// a new one, which makes a second payment only when the first is not paid (I10).
func sameOrderAgain(t *testing.T) (points int) {
	r := run{"same-order-again", rich, 1_00, true, terminal.Approved}
	s := newShop(t)
	began := time.Now()
	s.open()
	for k := 1; ; k += stride() {
		order := fmt.Sprintf("again-%d", k)
		told, killed := s.pay(r, order, strconv.Itoa(k))
		if !killed {
			s.audit(order, told)
			break
		}
		points++
		dying := s.heard.dying
		if err := s.start(""); err != nil {
			t.Fatal(err)
		}
		s.heard.dying = dying
		first := s.sameKey(r, order, told)
		told = append(told, s.heard.toldOf(order)...)
		s.newKey(r, order, first)
		s.audit(order, append(told, s.heard.toldOf(order)...))
	}
	s.stop()
	t.Logf("%s: %d points, %s", r.name, points, time.Since(began).Round(time.Millisecond))
	return points
}

// sameKey repeats the request at once, and returns the payment that it names.
func (s *shop) sameKey(r run, order string, told []terminal.Payment) terminal.Payment {
	s.t.Helper()
	before := s.must("order %s", order).Order
	s.pay(r, order, "")
	again := s.heard.toldOf(order)
	if len(again) == 0 {
		refused, _ := s.heard.refusal(order)
		s.t.Fatalf("killed at %s: the same request was refused: %s", s.heard.dying, refused.Text)
	}
	for _, known := range append(before, told...) {
		if known.ID != again[0].ID {
			s.t.Fatalf("killed at %s: the same key made payment %s beside %s", s.heard.dying, again[0].ID, known.ID)
		}
	}
	return again[len(again)-1]
}

// newKey asks for the same order with another key.
func (s *shop) newKey(r run, order string, first terminal.Payment) {
	s.t.Helper()
	s.tap(r.who)
	defer s.away()
	s.tell("pay %s %d key-%s-2", order, r.minor, order)
	paid := first.State == terminal.Approved || first.State == terminal.Stored
	_, err := s.until("the second request is answered", func(answer) bool {
		_, refused := s.heard.refusal(order)
		last, _ := s.heard.last(order)
		return refused || last.ID != first.ID && last.End() != ""
	})
	if err != nil {
		s.t.Fatal(err)
	}
	refused, wasRefused := s.heard.refusal(order)
	switch {
	case wasRefused != paid:
		s.t.Fatalf("killed at %s: the first payment is %s, a second one was refused: %v %s", s.heard.dying, first.State, wasRefused, refused.Text)
	case wasRefused && (refused.Holder == nil || *refused.Holder != first.ID):
		s.t.Fatalf("killed at %s: refused with %s, want the payment that has the order", s.heard.dying, refused.Text)
	}
	if last, _ := s.heard.last(order); !wasRefused && (last.Attempt != first.Attempt+1 || last.End() != terminal.Paid) {
		s.t.Fatalf("killed at %s: the second payment is attempt %d, %s", s.heard.dying, last.Attempt, last.State)
	}
}

// killedAgain kills at a point, and then at each point of the recovery and of
// what the wallet has to say about it.
func killedAgain(t *testing.T, first string) (points int) {
	r := run{"killed-again", rich, 250_00, true, terminal.Failed}
	if first == "after "+generateAC {
		r.minor = 1_00
	}
	s := newShop(t)
	began := time.Now()
	s.open()
	for k := 1; ; k += stride() {
		order := fmt.Sprintf("twice-%d", k)
		told, killed := s.pay(r, order, first)
		if !killed {
			t.Fatalf("point %q was not reached", first)
		}
		err := s.start(strconv.Itoa(k))
		if err == nil {
			_, err = s.until("the outbox is empty", func(a answer) bool { return a.Waiting == 0 })
		}
		if err == nil {
			err = s.quiet()
		}
		if err != nil {
			points++
			dying := s.heard.dying
			if err := s.start(""); err != nil {
				t.Fatal(err)
			}
			s.heard.dying = first + ", then " + dying
		}
		payments := s.audit(order, told)
		s.knows(payments)
		if last := payments[len(payments)-1]; last.End() != terminal.NotPaid || last.Settlement != terminal.Reversed {
			t.Fatalf("killed at %s: want it reversed:%s", s.heard.dying, describe(payments))
		}
		if err == nil {
			break
		}
	}
	s.stop()
	t.Logf("killed again %s: %d points, %s", first, points, time.Since(began).Round(time.Millisecond))
	return points
}
