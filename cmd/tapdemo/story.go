package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tapkeeper/lane/lanetest"
	"tapkeeper/terminal"
	"tapkeeper/till"
)

// teller tells the story. The first step that does not come out as it must
// ends it.
type teller struct {
	*store
	ctx   context.Context
	out   io.Writer
	step  int
	first string // the first payment, whose tap can be looked at
}

// tell runs the whole story.
func tell(ctx context.Context, s *store, out io.Writer) error {
	t := &teller{store: s, ctx: ctx, out: out}
	for _, part := range []func() error{t.opening, t.connected, t.offline, t.killed, t.healed} {
		if err := part(); err != nil {
			return fmt.Errorf("%w\nthe daemon's log:\n%s", err, s.daemon.Tail())
		}
	}
	return nil
}

func (t *teller) say(format string, args ...any) { fmt.Fprintf(t.out, format+"\n", args...) }

func (t *teller) chapter(text string) {
	t.step++
	t.say("\n%d. %s", t.step, text)
}

func (t *teller) opening() error {
	reader := "virtual reader on a unix socket"
	if t.PCSCD != nil {
		reader = "PC/SC reader " + t.PCSCD.Reader + " of a real pcscd"
	}
	t.say("小茶馆 Tea House: daemon, broker, wallet and phones, in %s", t.dir)
	t.say("   reader   %s", reader)
	t.say("   wallet   %s %s, %s %s", liLei.Name, yuan(liLei.BalanceMinor), hanMeimei.Name, yuan(hanMeimei.BalanceMinor))
	t.say("   limits   offline at most %s without the wallet's receipt; above ¥200.00 the wallet is asked", yuan(60_00))
	return t.until(t.ctx, "the wallet is connected", func(s till.Status) bool { return s.Wallet.Connected && s.Clock.Trusted })
}

// want is how a payment must come out.
type want struct {
	state      terminal.State
	settlement terminal.Settlement
	reason     string
}

func (t *teller) connected() error {
	t.chapter("A tap under the floor limit, approved by phone and terminal, settled at once")
	p, err := t.sale(liLei, "tea-1", 25_00, want{terminal.Approved, terminal.Settled, ""})
	if err != nil {
		return err
	}
	t.first = p.ID
	t.chapter("A larger one: the wallet is asked")
	if _, err := t.sale(liLei, "tea-2", 320_00, want{terminal.Approved, terminal.Settled, ""}); err != nil {
		return err
	}
	t.chapter("Not enough money")
	_, err = t.sale(hanMeimei, "tea-3", 260_00, want{terminal.Declined, terminal.NotSettled, "02"})
	return err
}

func (t *teller) offline() error {
	t.chapter("The network goes off; the shop stays open")
	if err := t.Network.Refuse(true); err != nil {
		return err
	}
	if err := t.until(t.ctx, "the link is down", func(s till.Status) bool { return !s.Wallet.Up }); err != nil {
		return err
	}
	stored := want{terminal.Stored, terminal.Queued, ""}
	if _, err := t.sale(liLei, "tea-4", 18_00, stored); err != nil {
		return err
	}
	if _, err := t.sale(liLei, "tea-5", 36_50, stored); err != nil {
		return err
	}
	t.chapter("One more would exceed what the terminal may risk offline")
	_, err := t.sale(liLei, "tea-6", 20_00, want{terminal.Declined, terminal.NotSettled, "26"})
	return err
}

// killed cuts the daemon's power after the phone has paid and before the
// terminal has seen it.
func (t *teller) killed() error {
	t.chapter("The power fails in the middle of a tap: the phone has paid, the terminal has not seen it")
	p, err := t.open(t.ctx, "tea-7", 5_00)
	if err != nil {
		return err
	}
	killed := make(chan error, 1)
	phone := t.Phones[liLei.ID].Watched(func() (leave bool) { killed <- t.daemon.Kill(); return true })
	if err := t.Field.Present(phone); err != nil {
		return err
	}
	select {
	case err = <-killed:
	case <-t.ctx.Done():
		err = t.ctx.Err()
	case <-time.After(patience):
		err = errors.New("the phone was not asked to pay")
	}
	t.Field.Remove()
	if err != nil {
		return err
	}
	t.say("   %-8s %-9s daemon killed (kill -9)", yuan(p.AmountMinor), p.OrderRef)
	began := time.Now()
	if err := t.start(t.ctx); err != nil {
		return err
	}
	t.say("   daemon restarted, ready after %s", time.Since(began).Round(time.Millisecond))
	p, err = t.client.Get(t.ctx, p.ID, 0, 0)
	if err != nil {
		return err
	}
	return t.check(p, want{terminal.Failed, terminal.Queued, "29"})
}

func (t *teller) healed() error {
	t.chapter("The network returns; the outbox drains")
	queue, err := t.client.Queue(t.ctx)
	if err != nil {
		return err
	}
	t.say("   %d messages wait for the wallet's receipt", queue.Total)
	began := time.Now()
	if err := t.Network.Refuse(false); err != nil {
		return err
	}
	drained := func(s till.Status) bool { return s.Wallet.Connected && s.Waiting == 0 && s.Parked == 0 }
	if err := t.until(t.ctx, "the outbox is empty", drained); err != nil {
		return err
	}
	t.say("   all have it, %s after the cable was plugged in", time.Since(began).Round(10*time.Millisecond))
	t.chapter("And on it goes")
	if _, err := t.sale(liLei, "tea-8", 12_50, want{terminal.Approved, terminal.Settled, ""}); err != nil {
		return err
	}
	return t.balance()
}

// sale runs one payment from the till to its outcome.
func (t *teller) sale(who lanetest.Person, order string, minor int64, w want) (till.Payment, error) {
	began := time.Now()
	p, err := t.pay(t.ctx, t.Phones[who.ID].Ready(), order, minor)
	if err != nil {
		return p, err
	}
	t.say("   %-8s %-9s %s: %s  (%s)", yuan(minor), order, who.Name, p.Words(), time.Since(began).Round(time.Millisecond))
	return p, t.check(p, w)
}

// check says why, and ends the story when it is not what must be.
func (t *teller) check(p till.Payment, w want) error {
	reason := ""
	if p.Reason != nil {
		reason = p.Reason.ID
		t.say("   %-18s reason %s: %s; try again: %s", "", reason, p.Reason.Words(), p.Reason.Retry)
	}
	t.say("   %-18s state %s, settlement %s", "", p.State, p.Settlement)
	got := want{terminal.State(p.State), terminal.Settlement(p.Settlement), reason}
	if got != w {
		return fmt.Errorf("payment %s came to %v, it must be %v", p.ID, got, w)
	}
	return nil
}
