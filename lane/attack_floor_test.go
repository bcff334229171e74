package lane_test

import (
	"context"
	"crypto/rand"
	"testing"
	"testing/synctest"
	"time"

	"tapkeeper/emv"
	"tapkeeper/lane"
	"tapkeeper/reader/readertest"
	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/phone"
)

// floor is a whole terminal in a bubble of virtual time: the lane's field on a
// reader in the process, the kernel with a real issuer's key, a journal in
// memory, and no link to the wallet.
type floor struct {
	t        *testing.T
	reader   *readertest.Reader
	journal  *terminaltest.Journal
	wallet   *terminaltest.Wallet
	terminal *terminal.Terminal
	payment  terminal.ID
}

// onFloor runs f on a floor at noon, with one payment that waits for a tap.
func onFloor(t *testing.T, i *issuer, minor int64, f func(*floor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(noon)) // a bubble begins in the year 2000
		s := &floor{t: t, reader: readertest.NewReader("floor"), journal: &terminaltest.Journal{}}
		defer s.reader.Close()
		var err error
		s.wallet, err = terminaltest.NewWallet()
		s.must(err)
		s.wallet.SetDown(true)
		s.terminal, err = terminal.New(terminal.Config{
			Kernel: i.terminal("TERM0001"), Zone: time.UTC, Limits: terminal.DefaultLimits(), Bounds: terminal.DefaultBounds(),
		}, terminal.Parts{
			Journal: s.journal, Field: lane.FieldOf(s.reader), Wallet: s.wallet, Keys: s.wallet.Keys,
			Trust: nobodyRevoked{}, Clock: trusted{}, Random: rand.Reader,
		})
		s.must(err)
		s.must(s.terminal.Recover(t.Context()))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.terminal.Run(ctx) }()
		defer func() {
			stop()
			s.must(<-ended)
		}()
		p, err := s.terminal.Open(t.Context(), terminal.Request{OrderRef: "1", AmountMinor: minor, Currency: "CNY", Offline: terminal.OfflineAllow})
		s.must(err)
		s.payment = p.ID
		f(s)
	})
}

func (s *floor) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// tapTime is longer than any tap and its field-off time.
const tapTime = 10 * time.Second

// now is the payment when everything has come to rest.
func (s *floor) now() terminal.Payment {
	s.t.Helper()
	synctest.Wait()
	p, err := s.terminal.Payment(s.payment)
	s.must(err)
	return p
}

// isPending says whether the journal holds the kernel's pending record.
func (s *floor) isPending() bool {
	_, found, err := s.journal.Get("pending", s.payment.String())
	s.must(err)
	return found
}

// sent is what waits for the wallet, as the wallet reads it.
type sent struct {
	kinds     []wire.Kind
	records   [][]byte
	abandoned int
	messages  []*wire.Message
}

func (s *floor) sent() (all sent) {
	s.t.Helper()
	for _, e := range s.journal.Outbox() {
		m, err := s.wallet.Open(e)
		s.must(err)
		all.kinds = append(all.kinds, m.Kind)
		all.messages = append(all.messages, m)
		var record []byte
		switch d := m.Data.(type) {
		case wire.Advice:
			record = d.Record.Bytes()
		case wire.Report:
			record = d.Record.Bytes()
		case wire.Reversal:
			record = d.Record.Bytes()
			all.abandoned += len(d.Abandoned)
		}
		if len(record) > 0 {
			all.records = append(all.records, record)
		}
	}
	return all
}

// receive lets the wallet accept everything that waits for it.
func (s *floor) receive() {
	s.t.Helper()
	for _, m := range s.sent().messages {
		state, minor := wire.StateReversed, int64(0)
		if m.Kind == wire.KindAdvice {
			p, err := s.terminal.Payment(s.payment)
			s.must(err)
			state, minor = wire.StateTaken, p.AmountMinor
		}
		answer, err := s.wallet.Seal(wire.Receipt{
			Answer: m.Reply(), PaymentID: s.payment, Sequence: max(m.Sequence, 1), Result: wire.Accepted, State: state,
			AmountMinor: minor, WalletRef: "W-1",
		})
		s.must(err)
		s.must(s.terminal.Receive(s.t.Context(), answer))
	}
	if left := s.journal.Outbox(); len(left) != 0 {
		s.t.Errorf("the outbox still has %d entries", len(left))
	}
}

// debits is how often the payment stands in a phone's own tap log, and holds
// the log against what the phone says it has spent.
func (s *floor) debits(w *phone.Wallet) (n int) {
	s.t.Helper()
	for _, c := range w.State().Cards {
		sum := int64(0)
		for _, tap := range c.Taps {
			sum += tap.Amount
			if terminal.ID(tap.Transaction) == s.payment {
				n++
			}
		}
		if sum != c.Spent || len(c.Taps) != int(c.Index) {
			s.t.Errorf("the phone has spent %d in %d taps, its log says %d in %d", c.Spent, c.Index, sum, len(c.Taps))
		}
	}
	return n
}

type nobodyRevoked struct{}

func (nobodyRevoked) Revoked([5]byte, byte, uint32, *[6]byte) bool { return false }
func (nobodyRevoked) Listed(emv.DeviceID) bool                     { return false }
func (nobodyRevoked) CRLAgeDays(time.Time) int                     { return 0 }

type trusted struct{}

func (trusted) Trusted(time.Time) bool { return true }
