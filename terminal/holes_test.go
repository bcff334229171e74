package terminal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tapkeeper/emv"
	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
	"tapkeeper/uplink/wire"
)

var lost = emv.Unanswered{1, 2, 3, 19: 4}

// The attempt of another phone, whose answer never came, is told with whatever
// becomes of the payment: else that phone's allowance waits for 31 days.
func TestAbandonedTravels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &terminaltest.Journal{}).run()
		synctest.Wait()
		told := func(kind wire.Kind) []wire.Abandoned {
			for _, e := range s.journal.Outbox() {
				if e.Kind == string(kind) {
					m, err := s.wallet.Open(e)
					if err != nil {
						t.Fatal(err)
					}
					switch d := m.Data.(type) {
					case wire.Advice:
						return d.Abandoned
					case wire.Reversal:
						return d.Abandoned
					}
				}
			}
			return nil
		}
		want := []wire.Abandoned{wire.Abandoned(lost)}
		p := s.put(s.payment(terminal.Reading))
		s.terminal.Conclude(p, emv.Outcome{Result: emv.Approved, RecordKind: emv.RecordOffline, Record: terminal.SomeRecord, Abandoned: []emv.Unanswered{lost}})
		if got := told(wire.KindAdvice); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the advice tells %v", got)
		}
		asked := s.put(s.payment(terminal.Reading))
		s.terminal.Conclude(asked, emv.Outcome{Result: emv.Online, RecordKind: emv.RecordOnline, Record: terminal.SomeRecord, Abandoned: []emv.Unanswered{lost}})
		time.Sleep(time.Minute)
		synctest.Wait()
		if a := s.wallet.Asked()[0].Message.Data.(wire.Authorisation).Abandoned; fmt.Sprint(a) != fmt.Sprint(want) {
			t.Errorf("the authorisation tells %v", a)
		}
		s.is(asked.ID, terminal.Failed, terminal.Queued)
		if got := told(wire.KindReversal); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the reversal after it tells %v", got)
		}
		_ = s.stop()
	})
}

// The same key with another time to wait is another request (I13); a key of the
// first release, whose digest had no such time, keeps its payment.
func TestKeyNamesTheWholeRequest(t *testing.T) {
	s := open(t, &terminaltest.Journal{}).run()
	r := request("1001", 2500)
	r.Key, r.ExpiresIn = "k", 30*time.Second
	p, err := s.terminal.Open(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.terminal.Open(t.Context(), r); err != nil || again.ID != p.ID {
		t.Errorf("the same again: %v", err)
	}
	r.ExpiresIn = 60 * time.Second
	if _, err := s.terminal.Open(t.Context(), r); !errors.Is(err, terminal.ErrKeyReused) {
		t.Errorf("another time to wait: %v", err)
	}
}

// The answer to an authorisation that was reversed meanwhile is a fact, and is
// kept where nothing new is: the link would be cut again and again otherwise.
func TestLateAnswerOnFullDisk(t *testing.T) {
	s, p := nearlyFull(t, 50*time.Millisecond)
	s.terminal.Authorise(t.Context(), p, 1)
	s.is(p.ID, terminal.Failed, terminal.Queued)
	asked := s.wallet.Asked()[0].Message
	s.deliver(receipt(asked, p.ID, wire.Accepted, wire.StateTaken, 0, p.AmountMinor))
	if p := s.is(p.ID, terminal.Failed, terminal.Queued); p.WalletRef == "" {
		t.Error("the late answer is lost")
	}
}

// A limit of nothing allows nothing; to the journal a cap of 0 is none.
func TestLimitOfNothing(t *testing.T) {
	w, err := terminaltest.NewWallet()
	if err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]func(*terminal.Limits){
		"exposure/payments": func(l *terminal.Limits) { l.Payments = 0 },
		"exposure/sum":      func(l *terminal.Limits) { l.SumMinor = 0 },
		"exposure/device":   func(l *terminal.Limits) { l.PerDevice = 0 },
	} {
		cfg := config()
		set(&cfg.Limits)
		s := &shop{T: t, journal: &terminaltest.Journal{}, wallet: w}
		s.terminal, err = terminal.New(cfg, terminal.Parts{Journal: s.journal, Field: emptyField{}, Wallet: w, Keys: w.Keys, Trust: noList{}, Clock: goodClock{}})
		if err != nil {
			t.Fatal(err)
		}
		p := s.payment(terminal.Reading)
		var full *terminal.CapError
		if err := s.terminal.PutReserved(&p); !errors.As(err, &full) || !strings.HasPrefix(full.Counter, name) || p.Reserved != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A payment that has ended does not ask for the same phone again.
func TestReasonOfTheEnded(t *testing.T) {
	p := terminal.Payment{State: terminal.Reading, Reason: emv.ReasonUnknown}
	open := p.Explain()
	p.State = terminal.Failed
	ended := p.Explain()
	if open.Retry != "yes, same phone" || ended.Retry != "yes" || ended.EN == open.EN || ended.ZH == open.ZH {
		t.Errorf("open %+v\nended %+v", open, ended)
	}
}

// Evidence reads the chain, however long, while receipts of the payment are kept.
func TestEvidenceHoldsNobodyUp(t *testing.T) {
	journal := &terminaltest.Journal{}
	s := open(t, journal)
	slow := &slowChain{Journal: journal, reading: make(chan struct{}), read: make(chan struct{})}
	s.reopen(slow)
	p := s.stored()
	m := s.entry(wire.KindAdvice)
	done := make(chan error, 1)
	go func() {
		_, err := s.terminal.Evidence(context.WithoutCancel(t.Context()), p.ID, "somebody")
		done <- err
	}()
	<-slow.reading
	kept := make(chan struct{})
	go func() {
		s.deliver(receipt(m, p.ID, wire.Accepted, wire.StateTaken, 0, p.AmountMinor))
		close(kept)
	}()
	select {
	case <-kept:
	case <-time.After(5 * time.Second):
		t.Error("the receipt waits for the chain")
	}
	close(slow.read)
	<-done
}

// slowChain stops whoever reads it until it is let go.
type slowChain struct {
	*terminaltest.Journal
	reading, read chan struct{}
}

func (c *slowChain) Links(from uint64, fn func(terminal.Link) error) error {
	select {
	case <-c.reading:
	default:
		close(c.reading)
	}
	<-c.read
	return c.Journal.Links(from, fn)
}

// A restored older copy does not hold what the wallet was told: no payment is
// taken on it, also after a restart, until the wallet lets it (I9).
func TestRestoredCopyIsNoticed(t *testing.T) {
	journal := &terminaltest.Journal{}
	s := open(t, journal).run()
	sold := s.paid(100)
	backup := journal.Clone()
	s.paid(200)
	told := s.terminal.Heads()
	echo := func(s *shop, head *wire.Head) {
		s.Helper()
		s.deliver(wire.EchoAnswer{Answer: wire.Answer{Answers: wire.ID{1}, AnswersSHA256: wire.Digest{1}}, Head: head})
	}
	echo(s, told.Head)
	if known := s.terminal.Heads().Known; known == nil || *known != *told.Head {
		t.Errorf("the wallet's head is not known: %v", known)
	}
	if _, err := s.terminal.Open(t.Context(), request("1", 100)); err != nil {
		t.Errorf("with the right journal: %v", err)
	}
	for name, ahead := range map[string]int{"shorter than what the wallet knows": 0, "gone on another way": 5} {
		t.Run(name, func(t *testing.T) {
			old := open(t, backup.Clone()).run()
			for range ahead {
				old.paid(300)
			}
			echo(old, told.Head)
			if _, err := old.terminal.Open(t.Context(), request("1", 100)); !errors.Is(err, terminal.ErrOldCopy) {
				t.Errorf("a payment on an older copy: %v", err)
			}
			if _, err := old.terminal.Refund(t.Context(), terminal.RefundRequest{Payment: sold.ID, Key: "r", AmountMinor: 50}); !errors.Is(err, terminal.ErrOldCopy) {
				t.Errorf("a refund on an older copy, which may have lost the same: %v", err)
			}
			if known := old.terminal.Heads().Known; known != nil {
				t.Errorf("it claims to know %v", known)
			}
			if err := old.stop(); err != nil {
				t.Fatal(err)
			}
			again := open(t, old.journal).run()
			if _, err := again.terminal.Open(t.Context(), request("1", 100)); !errors.Is(err, terminal.ErrOldCopy) {
				t.Errorf("after a restart without the wallet: %v", err)
			}
			echo(again, nil) // enrolled anew
			if _, err := again.terminal.Open(t.Context(), request("1", 100)); err != nil {
				t.Errorf("after the wallet has forgotten: %v", err)
			}
		})
	}
}
