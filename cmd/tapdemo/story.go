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
	for _, part := range []func() error{t.opening, t.connected, t.offline, t.killed, t.healed, t.balance, t.look} {
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

func (t *teller) opening() error {
	reader := "virtual reader on a unix socket"
	if t.PCSCD != nil {
		reader = "PC/SC reader " + t.PCSCD.Reader + " of a real pcscd"
	}
	if t.Serial != nil {
		reader = "PN532 in software on a real pty, " + t.Serial.Path()
	}
	t.say("小茶馆 Tea House: daemon, broker, wallet and phones, in %s", t.dir)
	t.say("   reader   %s", reader)
	t.say("   wallet   %s %s, %s %s", liLei.Name, yuan(liLei.BalanceMinor), hanMeimei.Name, yuan(hanMeimei.BalanceMinor))
	t.say("   limits   above ¥200.00 the wallet is asked; without its receipt at most %s are accepted", yuan(storyLimits.SumMinor))
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

// swap is longer than pcscd takes to notice that a phone has gone (it looks
// every 0.4 s), and shorter than a person takes to bring the next one. Nobody
// else takes note of it while the daemon is dead.
const swap = 600 * time.Millisecond

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
	if t.PCSCD != nil {
		time.Sleep(swap)
	}
	t.row(p, liLei.Name, "daemon killed (kill -9)", "")
	began := time.Now()
	if err := t.start(t.ctx); err != nil {
		return err
	}
	if p, err = t.outcome(t.ctx, p); err != nil {
		return err
	}
	ready := time.Since(began).Round(time.Millisecond)
	const waiting = 4 // two stored payments, a report, the reversal
	if err := t.until(t.ctx, "the reversal is in the outbox", func(s till.Status) bool { return s.Waiting == waiting }); err != nil {
		return err
	}
	t.row(p, "daemon restarted", p.Words().String(), ready.String())
	t.below("没有手机的应答就没有凭证:撤销已先写入发件箱,钱包不会收这笔钱,可以重新收款")
	t.below("No answer of the phone, no proof: the reversal was in the outbox before the till heard")
	t.below("\"not paid\". Whatever the phone has promised, the wallet takes nothing; the order can be paid anew")
	return t.check(p, want{terminal.Failed, terminal.Queued, "29"})
}

func (t *teller) healed() error {
	t.chapter("The network returns; the outbox drains")
	queue, err := t.client.Queue(t.ctx, "")
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
	if err := t.settled(queue.Waiting); err != nil {
		return err
	}
	t.chapter("And on it goes")
	_, err = t.sale(liLei, "tea-8", 12_50, want{terminal.Approved, terminal.Settled, ""})
	return err
}

// sale runs one payment from the till to its outcome.
func (t *teller) sale(who lanetest.Person, order string, minor int64, w want) (till.Payment, error) {
	began := time.Now()
	p, err := t.pay(t.ctx, t.Phones[who.ID].Ready(), order, minor)
	if err != nil {
		return p, err
	}
	t.row(p, who.Name, p.Words().String(), time.Since(began).Round(time.Millisecond).String())
	if p.Reason != nil {
		t.below("%s: %s (%s)", p.Reason.ID, p.Reason.Words(), p.Reason.Side)
		t.below("再试 / try again: %s", p.Reason.Retry)
	}
	return p, t.check(p, w)
}

// settled shows what became of the payments whose messages waited.
func (t *teller) settled(waited []till.Entry) error {
	shown := map[string]bool{}
	for _, e := range waited {
		if shown[e.Payment] {
			continue
		}
		shown[e.Payment] = true
		p, err := t.client.Get(t.ctx, e.Payment, 0, 0)
		if err != nil {
			return err
		}
		what := p.Words().String()
		if p.Settlement == string(terminal.Reversed) {
			what = "撤销已确认,未收款 / Reversal confirmed, nothing was taken"
		}
		t.row(p, "", what, "")
	}
	return nil
}

// check ends the story when a payment is not what it must be.
func (t *teller) check(p till.Payment, w want) error {
	got := want{terminal.State(p.State), terminal.Settlement(p.Settlement), ""}
	if p.Reason != nil {
		got.reason = p.Reason.ID
	}
	if got != w {
		return fmt.Errorf("payment %s came to %v, it must be %v", p.ID, got, w)
	}
	return nil
}
