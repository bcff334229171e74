package terminal_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"tapkeeper/emv"
	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
	"tapkeeper/uplink/wire"
)

// shop is a terminal with a journal in memory, a written wallet and an empty field.
type shop struct {
	*testing.T
	journal  *terminaltest.Journal
	wallet   *terminaltest.Wallet
	terminal *terminal.Terminal
	stop     func() error // stops Run and returns what it said
}

func amount(minor int64) *emv.Amount { a := emv.Amount(minor); return &a }

func config() terminal.Config {
	return terminal.Config{
		Kernel: &emv.Terminal{
			ID: "TERM0001", MerchantID: "shop", Relay: emv.StandardRelay(),
			AIDs: []emv.AID{{
				AID: []byte{0xF0, 0x54, 0x41, 0x50, 0x4B, 1, 1}, Enabled: true, Currency: 156, Country: 156,
				TxLimit: amount(500000), FloorLimit: amount(20000),
				TACDenial: emv.TVR{0xFF, 0x78, 0xC0, 0x00, 0x10}, TACOnline: emv.TVR{0, 0x84, 0, 0xFF, 0x0D}, TACDefault: emv.TVR{0, 0x84, 0, 0xFF, 0x0D},
			}},
		},
		Zone: time.FixedZone("store", 8*3600), Limits: terminal.DefaultLimits(), Bounds: terminal.DefaultBounds(),
	}
}

// open makes the shop; with Run going unless the test wants to look first.
func open(t *testing.T, journal *terminaltest.Journal) *shop {
	t.Helper()
	w, err := terminaltest.NewWallet()
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{T: t, journal: journal, wallet: w, stop: func() error { return nil }}
	s.terminal, err = terminal.New(config(), terminal.Parts{
		Journal: journal, Field: emptyField{}, Wallet: w, Keys: w.Keys, Trust: noList{}, Clock: goodClock{}, Chain: journal, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Deliver = s.terminal.Receive
	return s
}

// reopen joins the shop's terminal with another chain, and runs it.
func (s *shop) reopen(chain terminal.Chain) {
	s.Helper()
	var err error
	s.terminal, err = terminal.New(config(), terminal.Parts{
		Journal: s.journal, Field: emptyField{}, Wallet: s.wallet, Keys: s.wallet.Keys, Trust: noList{}, Clock: goodClock{}, Chain: chain, Random: rand.Reader,
	})
	if err != nil {
		s.Fatal(err)
	}
	s.wallet.Deliver = s.terminal.Receive
	s.run()
}

// run recovers and starts the terminal.
func (s *shop) run() *shop {
	s.Helper()
	if err := s.terminal.Recover(s.Context()); err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.terminal.Run(ctx) }()
	stopped := false
	s.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	s.Cleanup(func() { _ = s.stop() })
	return s
}

// payment is one in a state, with an id and an order of its own.
func (s *shop) payment(state terminal.State) terminal.Payment {
	s.Helper()
	now := time.Now()
	id, err := terminal.NewID(now, rand.Reader)
	if err != nil {
		s.Fatal(err)
	}
	request, err := terminal.NewID(now, rand.Reader)
	if err != nil {
		s.Fatal(err)
	}
	return terminal.Payment{
		ID: id, OrderRef: "order-" + id.String()[:8] + id.String()[24:], Attempt: 1, AmountMinor: 2500, Currency: "CNY",
		Offline: terminal.OfflineAllow, State: state, Settlement: terminal.NotSettled,
		CreatedAt: now, ExpiresAt: now.Add(time.Minute), AcceptedAt: now, BusinessDay: "2026-11-24", Request: &request,
	}
}

// put stores a payment and returns it as stored.
func (s *shop) put(p terminal.Payment) terminal.Payment {
	s.Helper()
	if err := s.terminal.Put(&p); err != nil {
		s.Fatal(err)
	}
	return p
}

// is reads a payment and demands its state and settlement.
func (s *shop) is(id terminal.ID, state terminal.State, settlement terminal.Settlement) terminal.Payment {
	s.Helper()
	p, err := s.terminal.Payment(id)
	if err != nil {
		s.Fatal(err)
	}
	if p.State != state || p.Settlement != settlement {
		s.Fatalf("payment is %s, %s; want %s, %s", p.State, p.Settlement, state, settlement)
	}
	return p
}

// entry demands that the outbox has exactly one entry, of that kind, which the
// wallet can open.
func (s *shop) entry(kind wire.Kind) *wire.Message {
	s.Helper()
	box := s.journal.Outbox()
	if len(box) != 1 || box[0].Kind != string(kind) {
		s.Fatalf("outbox is %v, want one %s", box, kind)
	}
	m, err := s.wallet.Open(box[0])
	if err != nil {
		s.Fatalf("the wallet cannot open the %s: %v", kind, err)
	}
	return m
}

// deliver hands the terminal a message that the wallet signed.
func (s *shop) deliver(d wire.Data) {
	s.Helper()
	m, err := s.wallet.Seal(d)
	if err != nil {
		s.Fatal(err)
	}
	if err := s.terminal.Receive(s.Context(), m); err != nil {
		s.Fatal(err)
	}
}

// receipt is the wallet's word on a message.
func receipt(m *wire.Message, payment terminal.ID, result wire.Result, state wire.PaymentState, reason wire.Reason, minor int64) wire.Receipt {
	return wire.Receipt{
		Answer: m.Reply(), PaymentID: payment, Sequence: max(m.Sequence, 1), Result: result, State: state,
		Reason: reason, AmountMinor: minor, WalletRef: "W-1",
	}
}

type emptyField struct{}

func (emptyField) Await(ctx context.Context) (terminal.Phone, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

type noList struct{}

func (noList) Revoked([5]byte, byte, uint32, *[6]byte) bool { return false }
func (noList) Listed(emv.DeviceID) bool                     { return false }
func (noList) CRLAgeDays(time.Time) int                     { return 0 }

type goodClock struct{}

func (goodClock) Trusted(time.Time) bool { return true }
