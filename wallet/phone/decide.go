package phone

import (
	"bytes"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/tlv"
)

// CID and P1 of GENERATE AC share their coding (scheme 4.2, 5.1).
const (
	aac  = 0x00
	tc   = 0x40
	arqc = 0x80
)

// Reasons that a phone gives (scheme 10).
const (
	reasonNone       = 0x00
	reasonRestricted = 0x01
	reasonSpent      = 0x03
	reasonPerTap     = 0x04
	reasonNoGrant    = 0x05
	reasonUnlock     = 0x07
	reasonDuplicate  = 0x09
	reasonCurrency   = 0x0A
	reasonExpired    = 0x0C
	reasonKind       = 0x0E
	reasonOther      = 0x13
)

const (
	typePurchase = 0x00
	typeRefund   = 0x20
)

// request is what a terminal asks, read from the CDOL1 data.
type request struct {
	asked       byte
	amount      int64
	amountBCD   []byte
	currency    []byte
	date        []byte // n6
	clock       []byte // n6
	kind        byte
	un          []byte
	merchant    []byte
	transaction []byte
	terminal    []byte
	original    []byte
	wanted      []byte // DF8B26
}

func (r request) cvmRequired() bool { return r.wanted[0]&0x80 != 0 }

// minute is 9A and 9F21 as the grant's dates are written (scheme 2.3).
func (r request) minute() cert.Minute {
	return cert.Minute{0x20, r.date[0], r.date[1], r.date[2], r.clock[0], r.clock[1]}
}

func (r request) connected() bool { return r.wanted[0]&0x20 != 0 }

// decision is how the phone answers: which cryptogram, why, and whether the
// customer is to unlock and tap again.
type decision struct {
	cid     byte
	reason  byte
	restart bool
}

// decide walks the decision table of scheme 7.4; the first match wins.
func (c *card) decide(r request, s CardState, reference []byte, verified bool) decision {
	switch {
	case r.asked == aac: // row 1
		return decision{cid: aac}
	case alreadyPaid(s, r.transaction): // row 2
		return decision{cid: aac, reason: reasonDuplicate}
	case s.Blocked: // row 3
		return decision{cid: aac, reason: reasonRestricted}
	case bytes.Compare(r.date, c.Expiry) > 0: // row 4
		return decision{cid: aac, reason: reasonExpired}
	case r.kind == typeRefund && !allZero(r.original) && !bytes.Equal(r.original, reference): // row 5
		return decision{cid: aac, reason: reasonOther}
	case r.kind == typeRefund: // row 6
		return decision{cid: arqc}
	case r.kind != typePurchase: // row 7
		return decision{cid: aac, reason: reasonKind}
	case !bytes.Equal(r.currency, c.Currency): // row 8
		return decision{cid: aac, reason: reasonCurrency}
	case r.cvmRequired() && !verified: // row 9
		return decision{cid: aac, reason: reasonUnlock, restart: true}
	case r.asked == arqc: // row 10
		return decision{cid: arqc}
	}
	why := c.whyNotOffline(r, s)
	switch {
	case why == reasonNone: // row 15
		return decision{cid: tc}
	case r.connected(): // row 16
		return decision{cid: arqc}
	default: // row 17
		return decision{cid: aac, reason: why}
	}
}

// whyNotOffline is rows 11 to 14 of scheme 7.4.
func (c *card) whyNotOffline(r request, s CardState) byte {
	if c.grant == nil || c.AIP[1]&0x08 == 0 || !c.grant.InForce(r.minute()) {
		return reasonNoGrant
	}
	perTap, _ := tlv.Number(c.grant.PerTap[:]) // newCard kept a numeric grant only
	total, _ := tlv.Number(c.grant.Total[:])
	switch {
	case !bytes.Equal(c.grant.Currency[:], r.currency):
		return reasonCurrency
	case r.amount > int64(perTap):
		return reasonPerTap
	case s.Spent+r.amount > int64(total) || s.Index >= c.grant.MaxTaps:
		return reasonSpent
	}
	return reasonNone
}

// alreadyPaid says whether the transaction has a TC or ARQC among the kept answers.
func alreadyPaid(s CardState, transaction []byte) bool {
	for _, a := range s.Answers {
		if a.CID != aac && bytes.Equal(a.Transaction, transaction) {
			return true
		}
	}
	return false
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
