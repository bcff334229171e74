package lane

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tapkeeper/emv"
	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
	"tapkeeper/uplink/wire"
)

// The first message of a boot may be the receipt of days ago, sent again: the
// wallet's time is not in it, and a wrong clock must not be trusted by it.
func TestFirstReceiptIsNoClock(t *testing.T) {
	w, err := terminaltest.NewWallet()
	if err != nil {
		t.Fatal(err)
	}
	limit := emv.Amount(1)
	l := &Lane{clock: &clock{}, log: zerolog.Nop()}
	l.terminal, err = terminal.New(terminal.Config{
		Kernel: &emv.Terminal{ID: "TERM0001", MerchantID: "shop", Relay: emv.StandardRelay(), AIDs: []emv.AID{{
			AID: []byte{0xF0, 0x54, 0x41, 0x50, 0x4B, 1, 1}, Enabled: true, Currency: 156, Country: 156, TxLimit: &limit, FloorLimit: &limit,
			TACDenial: emv.TVR{0xFF, 0x78, 0xC0, 0x00, 0x10},
		}}},
		Zone: time.UTC, Limits: terminal.DefaultLimits(), Bounds: terminal.DefaultBounds(),
	}, terminal.Parts{Journal: &terminaltest.Journal{}, Wallet: w, Keys: w.Keys, Clock: l.clock})
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-48 * time.Hour)
	m := &wire.Message{Header: wire.Header{Time: old}, Kind: wire.KindReceipt, Data: wire.Receipt{PaymentID: wire.ID{1}}}
	if err := l.handle(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if l.clock.seen.Boot != "" {
		t.Errorf("the wallet's time is believed to be %s", l.clock.seen.Wallet)
	}
}
