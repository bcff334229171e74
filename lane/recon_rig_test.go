package lane_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tapkeeper/emv"
	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

// twoBooks are a terminal with a journal in memory and the wallet's real backend
// on a real ledger, one call apart: what is in the one and not in the other is the
// test's to plant.
type twoBooks struct {
	*testing.T
	journal  *terminaltest.Journal
	ledger   *ledger.Ledger
	service  *backend.Service
	keys     *wire.Terminal
	terminal *terminal.Terminal
	phone    *phone.Wallet
	device   [8]byte
	now      time.Time
	day      string

	mu      sync.Mutex
	planted []terminal.Payment
	largest int // message of a reconciliation, in bytes
}

const (
	reconMerchant = "tea-house"
	reconTerminal = "till-1"
	payerAccount  = "payer:alice"
)

func newTwoBooks(t *testing.T) *twoBooks {
	t.Helper()
	b := &twoBooks{T: t, journal: &terminaltest.Journal{}, now: time.Now()}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	b.ledger, err = ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
	must(err)
	t.Cleanup(func() { _ = b.ledger.Close() })
	issuer, err := backend.NewIssuer(b.now, rand.Reader)
	must(err)
	wallet, err := backend.NewKeys(issuer, rand.Reader)
	must(err)
	verifier, err := issuer.Verifier()
	must(err)
	b.service, err = backend.NewService(backend.Config{Ledger: b.ledger, Verifier: verifier, Signing: wallet.Signing, Decryption: wallet.Decryption})
	must(err)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	address := wire.Address{Merchant: reconMerchant, Terminal: reconTerminal}
	must(backend.EnrolTerminal(t.Context(), b.ledger, backend.Enrolment{
		Address: address, MerchantName: "Tea House", SchemeTerminal: "TERM0001", PublicKey: public, Currency: "CNY"}))
	must(backend.OpenPayer(t.Context(), b.ledger, payerAccount, "Alice", "CNY", 1_000_000_00, b.now))
	allowance := backend.Allowance{TotalMinor: 5_000_00, PerTapMinor: 200_00, MaxTaps: 60_000}
	profile, err := issuer.IssueCard(t.Context(), b.ledger, backend.Card{Account: payerAccount, Kind: backend.WalletBalance,
		Suffix: []byte{1}, Label: "TapKeeper", Allowance: &allowance}, b.now, rand.Reader)
	must(err)
	b.device = [8]byte(profile.DeviceID)
	b.phone, err = backendtest.New(profile, time.Now)
	must(err)
	signing, err := wire.NewSigningKey(private)
	must(err)
	b.keys, err = wire.NewTerminal(wire.TerminalKeys{Address: address, Signing: signing,
		WalletSigning: []ed25519.PublicKey{wallet.Signing.Public()}, WalletEncryption: wallet.Decryption.Public()})
	must(err)
	limit := emv.Amount(1)
	bounds := terminal.DefaultBounds()
	bounds.DayStart = 0
	b.terminal, err = terminal.New(terminal.Config{
		Kernel: &emv.Terminal{ID: "TERM0001", MerchantID: reconMerchant, Relay: emv.StandardRelay(), AIDs: []emv.AID{{
			AID: []byte{0xF0, 0x54, 0x41, 0x50, 0x4B, 1, 1}, Enabled: true, Currency: 156, Country: 156, TxLimit: &limit, FloorLimit: &limit,
			TACDenial: emv.TVR{0xFF, 0x78, 0xC0, 0x00, 0x10}}}},
		Zone: time.Local, Limits: terminal.DefaultLimits(), Bounds: bounds,
	}, terminal.Parts{Journal: b.journal, Wallet: b, Keys: b.keys, Chain: b.journal, Random: rand.Reader})
	must(err)
	must(b.terminal.Recover(t.Context()))
	b.day = b.terminal.BusinessDay(b.now)
	return b
}

// Ask implements terminal.Wallet without a network.
func (b *twoBooks) Ask(ctx context.Context, kind wire.Kind, _ terminal.ID, message []byte) (*wire.Message, error) {
	if kind == wire.KindReconciliation {
		b.mu.Lock()
		b.largest = max(b.largest, len(message))
		b.mu.Unlock()
	}
	m, err := b.handle(ctx, b.keys.Address().UpTopic(kind), message)
	if err != nil {
		return nil, err
	}
	return m, b.terminal.Receive(ctx, m)
}

func (b *twoBooks) handle(ctx context.Context, topic string, message []byte) (*wire.Message, error) {
	out, err := b.service.Handle(ctx, topic, message)
	if err != nil {
		return nil, err
	}
	if len(out) != 1 {
		return nil, errors.New("the wallet does not answer")
	}
	return b.keys.Open(out[0].Topic, out[0].Payload)
}

func (b *twoBooks) Link() (up, connected bool) { return true, true }
func (b *twoBooks) MissedDeadline()            {}

// drain forwards the outbox until nothing waits but what is parked.
func (b *twoBooks) drain() {
	b.Helper()
	for {
		first := map[string]terminaltest.Entry{}
		for _, e := range b.journal.Outbox() {
			if _, ok := first[e.Group]; !ok && e.Parked == "" {
				first[e.Group] = e
			}
		}
		if len(first) == 0 {
			return
		}
		entries := make(chan terminaltest.Entry)
		var senders sync.WaitGroup
		for range 16 {
			senders.Go(func() {
				for e := range entries {
					m, err := b.handle(b.Context(), b.keys.Address().UpTopic(wire.Kind(e.Kind)), e.Body)
					if err == nil {
						err = b.terminal.Receive(b.Context(), m)
					}
					if err != nil {
						b.Errorf("forward %s: %v", e.Kind, err)
					}
				}
			})
		}
		for _, e := range first {
			entries <- e
		}
		close(entries)
		senders.Wait()
		if b.Failed() {
			b.FailNow()
		}
	}
}

func (b *twoBooks) id() (id terminal.ID) {
	if _, err := rand.Read(id[:]); err != nil {
		b.Fatal(err)
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

// here is a payment of the day for the journal.
func (b *twoBooks) here(state terminal.State, settlement terminal.Settlement) terminal.Payment {
	id := b.id()
	return terminal.Payment{ID: id, OrderRef: id.String()[4:36], Attempt: 1, AmountMinor: 2, Currency: "CNY", Offline: terminal.OfflineAllow,
		State: state, Settlement: settlement, Revision: 1, CreatedAt: b.now, ExpiresAt: b.now, AcceptedAt: b.now, BusinessDay: b.day}
}

// record is the evidence of a real tap for a payment.
func (b *twoBooks) record(p *terminal.Payment) []byte {
	b.Helper()
	record, _, err := backendtest.Tap{Payment: p.ID, Amount: p.AmountMinor, Ask: backendtest.AskTC, Merchant: reconMerchant,
		Terminal: "TERM0001", At: b.now, Kind: 1}.Do(b.phone)
	if err != nil {
		b.Fatal(err)
	}
	return record
}

// write puts a payment into the journal as it would be there.
func (b *twoBooks) write(p terminal.Payment, record []byte, entries ...terminal.Entry) {
	b.Helper()
	coded := func(v any) []byte {
		raw, err := json.Marshal(v)
		if err != nil {
			b.Fatal(err)
		}
		return raw
	}
	id := p.ID.String()
	c := terminal.Commit{
		Event: []byte(`{"why":"planted"}`), Entries: entries,
		Records: []terminal.Record{{Kind: "payment", Key: id, Value: coded(p)}, {Kind: "order", Key: p.OrderRef, Value: coded([]terminal.ID{p.ID})},
			{Kind: "day-" + p.BusinessDay, Key: id, Value: []byte(id)}},
	}
	if record != nil {
		c.Records = append(c.Records, terminal.Record{Kind: "record", Key: id, Value: record})
	}
	for _, back := range p.Refunds {
		c.Records = append(c.Records, terminal.Record{Kind: "refunds-" + back.BusinessDay, Key: back.ID.String(), Value: []byte(id)})
	}
	if _, err := b.journal.Commit(b.Context(), c); err != nil {
		b.Fatal(err)
	}
	b.planted = append(b.planted, p)
}

// row is the ledger's row of a payment.
func (b *twoBooks) row(p *terminal.Payment) ledger.Payment {
	return ledger.Payment{ID: p.ID, Merchant: reconMerchant, Terminal: reconTerminal, OrderRef: p.OrderRef, AmountMinor: p.AmountMinor,
		Currency: p.Currency, BusinessDay: p.BusinessDay, Sequence: 1, Account: payerAccount, WalletRef: "W1", RecordKind: 1}
}

// keep changes the ledger.
func (b *twoBooks) keep(tx func(tx *ledger.Tx) error) {
	b.Helper()
	if err := b.ledger.Update(b.Context(), tx); err != nil {
		b.Fatal(err)
	}
}

// reconcile compares the day, in its only currency.
func (b *twoBooks) reconcile() terminal.Reconciliation {
	b.Helper()
	all, err := b.terminal.Reconcile(b.Context(), b.day)
	if err != nil {
		b.Fatal(err)
	}
	if len(all) != 1 {
		b.Fatalf("%d reconciliations", len(all))
	}
	return all[0]
}

// count lists differences as "class action: number".
func count(differences []terminal.Difference) map[string]int {
	n := map[string]int{}
	for _, d := range differences {
		what := "payment"
		if d.Refund != nil {
			what = "refund"
		}
		n[fmt.Sprintf("%s %s: %s", what, d.Class, d.Action)]++
	}
	return n
}
