package terminal

import (
	"time"

	"tapkeeper/emv"
)

// Clock says whether the time may decide about money.
type Clock interface {
	// Trusted says whether now is good for certificates, grants and CRL age
	// (terminal.md, Clock and day).
	Trusted(now time.Time) bool
}

// moment is what a tap takes from the world, once for each activation.
func (t *Terminal) moment(lists Trust) emv.Moment {
	now := time.Now()
	_, connected := t.wallet.Link()
	return emv.Moment{
		Local:        now.In(t.cfg.Zone),
		ClockTrusted: t.clock.Trusted(now),
		CRLAgeDays:   lists.CRLAgeDays(now),
		Connected:    connected,
	}
}

// sale is what a payment is for the kernel.
func (t *Terminal) sale(p *Payment) emv.Sale {
	currency, _ := numericCurrency(p.Currency)
	return emv.Sale{
		ID: p.ID, Amount: emv.Amount(p.AmountMinor), Kind: emv.Purchase, Currency: currency,
		ForceOnline: p.Offline == OfflineNever,
	}
}
