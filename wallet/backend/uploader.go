package backend

import (
	"bytes"
	"time"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
	"tapkeeper/wallet/ledger"
)

const (
	// recordDaysMax is how old a record may be (scheme 9.4 step 5). Unclaimed
	// allowance goes back to the payer after 31 days, so no day belongs to both.
	recordDaysMax = 30
	// recordDaysAhead leaves room for a store in another time zone.
	recordDaysAhead = 1
)

// Uploader is who delivers a record, and what he says about it.
type Uploader struct {
	terminal [8]byte
	merchant [8]byte
	kind     byte
	purchase bool // type 00, otherwise 20
	ids      [][16]byte
	amount   int64
	currency string
	now      time.Time
}

// delivers is the policy of scheme 9.4 step 5: the signed data must be the
// uploader's own, recent, and about the payment that the message is about. The
// record's kind is not signed, so the signed type of the sale is held against
// the message: a tap for a refund must not become a purchase.
func (u *Uploader) delivers(e *evidence) bool {
	c := e.cdol1
	kindOfSale := byte(0x20)
	if u.purchase {
		kindOfSale = typePurchase
	}
	amount, numeric := tlv.Number(c[tagAmount])
	if !bytes.Equal(c[tagTerminalID], u.terminal[:]) || !bytes.Equal(c[tagMerchant], u.merchant[:]) ||
		e.kind() != u.kind || c[tagType][0] != kindOfSale || !numeric || int64(amount) != u.amount ||
		u.currency != currencyOf([2]byte(c[tagCurrency])) {
		return false
	}
	return u.names([16]byte(c[tagTransaction])) && u.recent(e)
}

func (u *Uploader) names(transaction [16]byte) bool {
	for _, id := range u.ids {
		if id == transaction {
			return true
		}
	}
	return false
}

func (u *Uploader) recent(e *evidence) bool {
	day := e.day()
	y, ok1 := tlv.Number(day[:2])
	m, ok2 := tlv.Number(day[2:3])
	d, ok3 := tlv.Number(day[3:])
	if !ok1 || !ok2 || !ok3 {
		return false
	}
	tapped := time.Date(int(y), time.Month(m), int(d), 0, 0, 0, 0, time.UTC)
	today := u.now.UTC().Truncate(24 * time.Hour)
	return !tapped.Before(today.AddDate(0, 0, -recordDaysMax)) && !tapped.After(today.AddDate(0, 0, recordDaysAhead))
}

// uploader makes the policy of a claim.
func uploader(c claim, now time.Time) *Uploader {
	u := &Uploader{merchant: channel.MerchantHash(c.from.Merchant), kind: byte(c.RecordKind), purchase: c.RecordKind != kindRefund,
		ids: [][16]byte{c.PaymentID}, amount: c.AmountMinor, currency: c.Currency, now: now}
	if !u.purchase { // a refund's tap is a sale of its own at the phone, with the refund's id
		u.ids = append(u.ids, c.refund)
	}
	copy(u.terminal[:], schemeTerminal(c.from))
	return u
}

// schemeTerminal is the id in format an: left-justified, filled with spaces (scheme 0).
func schemeTerminal(t ledger.Terminal) []byte {
	return append([]byte(t.SchemeTerminal), "        "...)[:8]
}

// currencies are the ones that this backend keeps accounts in: ISO 4217 numeric to letters.
var currencies = map[[2]byte]string{
	{0x01, 0x56}: "CNY",
	{0x03, 0x44}: "HKD",
	{0x08, 0x40}: "USD",
	{0x09, 0x78}: "EUR",
}

func currencyOf(numeric [2]byte) string { return currencies[numeric] }
