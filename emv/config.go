package emv

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// Amount is an amount in minor units.
type Amount int64

// maxAmount is the largest amount that n12 codes.
const maxAmount Amount = 999_999_999_999

// Code is a numeric currency or country code (n3), as a decimal number: 156.
type Code uint16

func (c Code) bcd() [2]byte          { return [2]byte(tlv.BCD(uint64(c), 2)) }
func (a Amount) bcd() [6]byte        { return [6]byte(tlv.BCD(uint64(a), 6)) }
func (a Amount) over(l *Amount) bool { return l != nil && a > *l } // scheme 0: "limit"

// Terminal is the configuration of one terminal. It is not changed while an
// Attempt uses it, and may serve many at once.
type Terminal struct {
	AIDs        []AID   // in order of preference
	CAKeys      []CAKey // the scheme's public keys
	ID          string  // 8 an, filled with spaces
	MerchantID  string
	OfflineOnly bool // never "connected" (scheme 5.6)
	Unattended  bool
	Relay       Relay
	Issuers     *IssuerCache // optional
}

// AID is the configuration of one application (scheme 3.1).
type AID struct {
	AID           []byte // 5 to 16 bytes
	Enabled       bool
	Currency      Code
	Country       Code
	TxLimit       *Amount // largest amount accepted at all; nil is no limit
	FloorLimit    *Amount // largest amount approved offline
	CVMLimit      *Amount // larger amounts need CDCVM
	RelayLimit    *Amount // larger amounts need a relay check
	ZeroAllowed   bool
	OnlineFirst   bool // mode online_first; otherwise offline_first
	TACDenial     TVR
	TACOnline     TVR
	TACDefault    TVR
	CRLMaxAgeDays int
}

// CAKey is a public key of the scheme.
type CAKey struct {
	RID   [5]byte
	Index byte
	Key   [33]byte // SEC1 compressed
}

// Relay holds the reader's constants for the relay check (scheme 5.7).
type Relay struct {
	Command     int           // expected command time, 100 µs
	Answer      int           // expected answer time, 100 µs
	MinGrace    int           // 100 µs
	MaxGrace    int           // 100 µs
	Accuracy    int           // 100 µs
	Mismatch    int           // percent
	Calibration time.Duration // what the reader itself adds to a measured time
}

// StandardRelay returns the reader constants of scheme 5.7.
func StandardRelay() Relay {
	return Relay{Command: 0x12, Answer: 0x18, MinGrace: 0x14, MaxGrace: 0x32, Accuracy: 0x12C, Mismatch: 50}
}

// denialFloor are the bits that no TAC-Denial may lack (scheme 5.6): without
// them a failed authentication could still be paid.
var denialFloor = TVR{0xFF, 0x08, 0xC0, 0x00, 0x10}

// maxAIDs bounds a configuration: each AID may cost a SELECT within the tap's
// 4 s of card time.
const maxAIDs = 16

// Validate reports the first field that the scheme refuses. A Terminal that
// does not pass must not be given to Begin.
func (t *Terminal) Validate() error {
	switch {
	case len(t.AIDs) == 0 || len(t.AIDs) > maxAIDs:
		return fmt.Errorf("aids: %d applications, want 1 to %d", len(t.AIDs), maxAIDs)
	case len(t.ID) == 0 || len(t.ID) > 8 || !printable(t.ID):
		return errors.New("terminal_id: want 1 to 8 printable ASCII characters")
	case t.MerchantID == "":
		return errors.New("merchant_id: empty")
	case t.Relay.Mismatch < 0 || t.Relay.Mismatch > 100 || t.Relay.Calibration < 0:
		return errors.New("relay: mismatch is a percentage, calibration not negative")
	}
	for i := range t.AIDs {
		if err := t.AIDs[i].validate(); err != nil {
			return fmt.Errorf("aids[%d].%w", i, err)
		}
	}
	for i, k := range t.CAKeys {
		if _, err := channel.NewVerifyKey(k.Key[:]); err != nil {
			return fmt.Errorf("ca_keys[%d].key: %w", i, err)
		}
		for j := range i {
			if t.CAKeys[j].RID == k.RID && t.CAKeys[j].Index == k.Index {
				return fmt.Errorf("ca_keys[%d]: the same key index as ca_keys[%d]", i, j)
			}
		}
	}
	return nil
}

func (a *AID) validate() error {
	if len(a.AID) < 5 || len(a.AID) > 16 {
		return fmt.Errorf("aid: %d bytes, want 5 to 16", len(a.AID))
	}
	if a.TACDenial.and(denialFloor) != denialFloor {
		return fmt.Errorf("tac_denial: %v lacks a bit of %v", a.TACDenial, denialFloor)
	}
	if a.Currency > 999 || a.Country > 999 {
		return errors.New("currency, country: want at most three digits")
	}
	for _, l := range []struct {
		name  string
		limit *Amount
	}{{"tx_limit", a.TxLimit}, {"floor_limit", a.FloorLimit}, {"cvm_limit", a.CVMLimit}, {"relay_limit", a.RelayLimit}} {
		if l.limit != nil && (*l.limit < 0 || *l.limit > maxAmount) {
			return fmt.Errorf("%s: out of range", l.name)
		}
	}
	if a.CRLMaxAgeDays < 0 {
		return errors.New("crl_max_age_days: negative")
	}
	return nil
}

func printable(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7E {
			return false
		}
	}
	return true
}

// id is 9F1C: 8 an.
func (t *Terminal) id() [8]byte {
	id := [8]byte(bytes.Repeat([]byte{' '}, 8))
	copy(id[:], t.ID)
	return id
}

func (t *Terminal) caKey(rid [5]byte, index byte) (CAKey, bool) {
	for _, k := range t.CAKeys {
		if k.RID == rid && k.Index == index {
			return k, true
		}
	}
	return CAKey{}, false
}
