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

// isNew is queue.Commit.ends turned round: what a nearly full disk refuses.
func isNew(c terminal.Commit) bool {
	if len(c.Entries)+len(c.Done)+len(c.Park)+len(c.Release) > 0 {
		return false
	}
	for _, r := range c.Records {
		if r.Value == nil {
			return false
		}
	}
	return true
}

// nearlyFull is a shop on a nearly full disk (between the two lines of
// queue/space.go): nothing new is kept, but what brings a payment to its end is.
func nearlyFull(t *testing.T, answer time.Duration) (*shop, terminal.Payment) {
	w, err := terminaltest.NewWallet()
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{T: t, journal: &terminaltest.Journal{}, wallet: w}
	cfg := config()
	cfg.Bounds.Answer, cfg.Bounds.Queries = answer, []time.Duration{answer}
	s.terminal, err = terminal.New(cfg, terminal.Parts{
		Journal: s.journal, Field: emptyField{}, Wallet: w, Keys: w.Keys, Trust: noList{}, Clock: goodClock{}, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.run()
	time.Sleep(10 * time.Millisecond) // Run is under way
	p := s.put(s.payment(terminal.Authorising))
	s.journal.Fail = func(c terminal.Commit) error {
		if isNew(c) {
			return terminal.ErrStorage
		}
		return nil
	}
	return s, p
}

// An unanswered authorisation ends within its bound also on a nearly full disk:
// its reversal is kept where nothing new is.
func TestUnknownOnFullDisk(t *testing.T) {
	s, p := nearlyFull(t, 50*time.Millisecond)
	ended := make(chan struct{})
	go func() { s.terminal.Authorise(t.Context(), p, 1); close(ended) }()
	select {
	case <-ended:
		s.is(p.ID, terminal.Failed, terminal.Queued)
		s.entry(wire.KindReversal)
	case <-time.After(3 * time.Second):
		got, _ := s.terminal.Payment(p.ID)
		t.Errorf("3 s after a bound of 150 ms the payment is %s/%s and no reversal was tried", got.State, got.Settlement)
		_ = s.stop()
		<-ended
	}
}

// Nor does it keep the wallet's answers from being taken: they arrive at one
// worker, and those behind it would make room.
func TestAnswerOnFullDisk(t *testing.T) {
	s, p := nearlyFull(t, 50*time.Millisecond)
	ended := make(chan struct{})
	go func() { s.terminal.Authorise(t.Context(), p, 1); close(ended) }()
	time.Sleep(75 * time.Millisecond) // past the deadline
	m, err := s.wallet.Seal(receipt(s.wallet.Asked()[0].Message, p.ID, wire.Accepted, wire.StateTaken, 0, p.AmountMinor))
	if err != nil {
		t.Fatal(err)
	}
	handled := make(chan error, 1)
	go func() { handled <- s.terminal.Receive(context.Background(), m) }() // as the link's only worker does
	select {
	case err := <-handled:
		if err != nil {
			t.Error(err)
		}
		s.is(p.ID, terminal.Approved, terminal.Settled)
	case <-time.After(3 * time.Second):
		got, _ := s.terminal.Payment(p.ID)
		t.Errorf("the wallet's approval waits for 3 s, the payment is %s", got.State)
	}
	_ = s.stop()
	<-ended
}
