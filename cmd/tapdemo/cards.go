package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"tapkeeper/reader/readertest/zvtsim"
	"tapkeeper/reader/zvt"
	"tapkeeper/terminal"
	"tapkeeper/till"
)

// tellCards tells the story of a card terminal that decides by itself.
func tellCards(ctx context.Context, s *store, out io.Writer) error {
	t := &teller{store: s, ctx: ctx, out: out}
	for _, part := range []func() error{t.cardsOpen, t.cards, t.cardsCut, t.cardsKilled, t.cardsBack, t.cardsDay} {
		err := part()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("%w\nthe daemon's log:\n%s", err, s.daemon.Tail())
		}
	}
	return nil
}

func (t *teller) cardsOpen() error {
	t.say("小茶馆 Tea House: daemon and a ZVT card terminal on a real pty, %s", t.Serial.Path())
	t.say("   the terminal decides by itself; a booking is on our disk before it is told that it may keep it")
	return t.until(t.ctx, "the card terminal is registered", func(s till.Status) bool { return s.Reader.Ready && s.Clock.Trusted && s.Wallet.Connected })
}

const hostSaysNo = 0x05

func (t *teller) cards() error {
	t.chapter("A card, approved by the terminal; another, declined by its bank")
	if _, err := t.card("tea-1", 12_50, terminal.Approved); err != nil {
		return err
	}
	t.Cards.SetDecide(func(int64) byte { return hostSaysNo })
	defer t.Cards.SetDecide(nil)
	_, err := t.card("tea-2", 99_00, terminal.Declined)
	return err
}

// once strikes at the first message of its kind, and calls along.
func once(control zvt.Control, f zvtsim.Fault, along func()) func(zvtsim.Message) zvtsim.Fault {
	var only sync.Once
	return func(m zvtsim.Message) (now zvtsim.Fault) {
		if m.Control == control {
			only.Do(func() { along(); now = f })
		}
		return now
	}
}

func (t *teller) cardsCut() error {
	t.chapter("The line is cut right after 04 0F: our acknowledgement does not reach the terminal")
	t.Cards.SetFault(once(zvt.StatusInfo, zvtsim.CutAfter, func() {}))
	dropped := t.Cards.Dropped()
	if _, err := t.card("tea-3", 7_00, terminal.Failed); err != nil {
		return err
	}
	if t.Cards.Dropped() != dropped+1 {
		return errors.New("the card terminal has not undone its booking")
	}
	t.below("没有收到确认,终端自动冲正;06 20 的回答确认未收款 / unacknowledged, the terminal has undone it; 06 20 says so")
	t.chapter("The line is cut after the last acknowledgement: the booking stands")
	t.Cards.SetFault(once(zvt.Completion, zvtsim.CutBefore, func() {}))
	if _, err := t.card("tea-4", 8_00, terminal.Approved); err != nil {
		return err
	}
	t.below("06 20 再次报出同一笔,只记一次 / 06 20 tells of it once more, and it is one payment")
	return nil
}

// cardsKilled kills the daemon when the card terminal has booked everything and says so.
func (t *teller) cardsKilled() error {
	t.chapter("The daemon is killed (kill -9) while the terminal books; the next one asks it what happened")
	killed := make(chan error, 1)
	t.Cards.SetFault(once(zvt.Completion, zvtsim.CutBefore, func() { killed <- t.daemon.Kill() }))
	p, err := t.open(t.ctx, "tea-5", 5_50)
	if err != nil {
		return err
	}
	select {
	case err = <-killed:
	case <-t.ctx.Done():
		err = t.ctx.Err()
	case <-time.After(patience):
		err = errors.New("the card terminal did not book")
	}
	if err != nil {
		return err
	}
	t.row(p, "daemon killed", "", "")
	began := time.Now()
	if err := t.start(t.ctx); err != nil {
		return err
	}
	if p, err = t.outcome(t.ctx, p); err == nil {
		p, err = t.known(p)
	}
	if err != nil {
		return err
	}
	t.row(p, "daemon restarted", p.Words().String(), time.Since(began).Round(time.Millisecond).String())
	return t.check(p, want{terminal.Approved, terminal.NotSettled, ""})
}

func (t *teller) cardsBack() error {
	t.chapter("Money goes back: a whole payment is reversed without its card")
	orders, err := t.client.Order(t.ctx, "tea-4")
	if err != nil || len(orders) != 1 {
		return fmt.Errorf("order tea-4 has %d payments: %w", len(orders), err)
	}
	back, err := t.client.Refund(t.ctx, till.RefundRequest{Payment: orders[0].ID, Key: "back-4"}, patience)
	if err != nil {
		return err
	}
	t.say("   tea-4   %9s  %s", yuan(back.AmountMinor), back.State)
	if back.State != string(terminal.RefundDone) {
		return fmt.Errorf("the refund came to %s", back.State)
	}
	return nil
}

// cardsDay ends the day on both sides and compares them booking by booking.
func (t *teller) cardsDay() error {
	t.chapter("The day ends; journal and card terminal agree")
	status, err := t.client.Status(t.ctx)
	if err != nil {
		return err
	}
	all, err := t.client.Reconcile(t.ctx, status.Day)
	if err != nil {
		return err
	}
	closed := false
	for _, r := range all {
		if !r.Match {
			return fmt.Errorf("the reconciliation of %s does not match: %+v", r.Day, r)
		}
		if r.With == terminal.CardTerminal {
			closed = true
			t.say("   journal        %d bookings, %s", r.Here.Count, yuan(r.Here.SumMinor))
			t.say("   card terminal  %d bookings, %s", r.There.Count, yuan(r.There.SumMinor))
		}
	}
	if !closed {
		return errors.New("the card terminal's day was not ended")
	}
	payments, err := t.client.Day(t.ctx, status.Day)
	if err != nil {
		return err
	}
	if err := t.cardBooks(payments); err != nil {
		return err
	}
	t.say("\nAll agree: till, journal and card terminal. To try it by hand: phonesim --zvt /tmp/terminal")
	return nil
}

// cardBooks shows journal and card terminal side by side.
func (t *teller) cardBooks(payments []till.Payment) error {
	left := t.Cards.Bookings()
	t.say("")
	for _, p := range payments {
		there := "-"
		for i, b := range left {
			if b.Kind == zvtsim.Payment && b.AmountMinor == p.AmountMinor {
				there = fmt.Sprintf("receipt %04d %s", b.Receipt, map[bool]string{true: "reversed", false: "stands"}[b.Reversed])
				if b.Reversed != (p.End == string(terminal.Refunded)) {
					return fmt.Errorf("%s is %s, and the card terminal's receipt %04d is reversed: %v", p.OrderRef, p.End, b.Receipt, b.Reversed)
				}
				left = append(left[:i:i], left[i+1:]...)
				break
			}
		}
		paid := p.End == string(terminal.Paid) || p.End == string(terminal.Refunded)
		if paid != (there != "-") {
			return fmt.Errorf("%s is %s, and the card terminal has %s", p.OrderRef, p.End, there)
		}
		t.say("   %-7s%9s   %-9s %-9s  %-22s agree", p.OrderRef, yuan(p.AmountMinor), p.State, p.End, there)
	}
	for _, b := range left {
		if b.Kind == zvtsim.Payment {
			return fmt.Errorf("receipt %04d is in the card terminal alone", b.Receipt)
		}
	}
	return nil
}

// known waits until the card terminal has told what became of a payment that is unknown, and shows it.
func (t *teller) known(p till.Payment) (till.Payment, error) {
	if p.State != string(terminal.Unknown) {
		return p, nil
	}
	began, err := time.Now(), error(nil)
	for p.State == string(terminal.Unknown) {
		if p, err = t.client.Get(t.ctx, p.ID, p.Revision, patience); err != nil {
			return p, err
		}
		if time.Since(began) > patience {
			return p, fmt.Errorf("payment %s stays unknown", p.ID)
		}
	}
	t.row(p, "06 20 asked", p.Words().String(), time.Since(began).Round(time.Millisecond).String())
	return p, nil
}

// card runs one payment by card.
func (t *teller) card(order string, minor int64, state terminal.State) (till.Payment, error) {
	began := time.Now()
	p, err := t.open(t.ctx, order, minor)
	if err == nil {
		p, err = t.outcome(t.ctx, p)
	}
	if err != nil {
		return p, err
	}
	t.row(p, "card", p.Words().String(), time.Since(began).Round(time.Millisecond).String())
	if p, err = t.known(p); err != nil {
		return p, err
	}
	return p, t.check(p, want{state, terminal.NotSettled, ""})
}
