package phone

import (
	"fmt"

	"tapkeeper/emv/channel"
)

// Profile is what an issuer provisions for one card, keys included. Treat it as
// a secret; fmt shows the ADF name only.
type Profile struct {
	ADF       Hex    // 84: AID and instance suffix
	Kind      byte   // application kind, scheme 1.4
	Label     string // 50
	Priority  byte   // 87, 1 is highest
	Qualifier Hex    // 9F2C
	AIP       Hex    // 82
	AFL       Hex    // 94
	PDOL      Hex    // 9F38
	CDOL1     Hex    // 8C, as in the signed record
	Records   []Record
	Grant     Hex // DF8B11, empty for an online-only card

	DeviceID Hex
	KVN      byte // version of the issuer's master key
	Currency Hex  // 9F42, n3
	Expiry   Hex  // 5F24, n6
	Build    Hex  // applet build in the IAD
	Relay    RelayTimes

	SignKey      channel.Secret // ds, P-256 scalar
	AgreeKey     channel.Secret // dc, P-256 scalar
	ACKey        channel.Secret // MKac
	ReferenceKey channel.Secret // Kref
}

// Record is one file record: what template 70 or the encrypted record holds.
type Record struct {
	SFI       byte `json:"sfi"`
	Number    byte `json:"record"`
	Content   Hex  `json:"content"`
	Encrypted bool `json:"encrypted"`
}

// RelayTimes is what the card says in ERRD about its own speed, in 100 µs.
type RelayTimes struct {
	Min uint16 `json:"min"`
	Max uint16 `json:"max"`
	Est uint16 `json:"est"`
}

// Format prints the ADF name for every verb: the rest is secret or personal.
func (p Profile) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "card %X", []byte(p.ADF)) }

// Sizes that the scheme fixes, and limits that keep every answer below the 255
// bytes that one R-APDU carries without GET RESPONSE.
const (
	minADF, maxADF   = 5, 16 // scheme 1.4
	maxLabel         = 16    // scheme 3.5
	maxPDOL          = 64    // scheme 3.5
	maxCDOL1         = 128   // scheme 4.2
	maxRecords       = 16    // scheme 4.3, the most an AFL can name
	maxRecordContent = 250   // 256 less the template's tag and length
	maxAFL           = 64    // bounds the profile; the terminal judges an AFL
	maxCards         = 5     // directory entries of full length that fit one answer
)

// Validate names the first field that makes the card unusable. It judges sizes
// only: whether a certificate is right is the terminal's to find out.
func (p Profile) Validate() error {
	sizes := []struct {
		field    string
		got      int
		min, max int
	}{
		{"ADF", len(p.ADF), minADF, maxADF},
		{"Label", len(p.Label), 1, maxLabel},
		{"Qualifier", len(p.Qualifier), 7, 7},
		{"AIP", len(p.AIP), 2, 2},
		{"AFL", len(p.AFL), 4, maxAFL},
		{"PDOL", len(p.PDOL), 1, maxPDOL},
		{"CDOL1", len(p.CDOL1), 1, maxCDOL1},
		{"Records", len(p.Records), 1, maxRecords},
		{"DeviceID", len(p.DeviceID), 8, 8},
		{"Currency", len(p.Currency), 2, 2},
		{"Expiry", len(p.Expiry), 3, 3},
		{"Build", len(p.Build), 5, 5},
		{"SignKey", p.SignKey.Len(), 32, 32},
		{"AgreeKey", p.AgreeKey.Len(), 32, 32},
		{"ACKey", p.ACKey.Len(), channel.KeySize, channel.KeySize},
		{"ReferenceKey", p.ReferenceKey.Len(), channel.KeySize, channel.KeySize},
	}
	for _, s := range sizes {
		if s.got < s.min || s.got > s.max {
			return fmt.Errorf("phone: %s: %d bytes or items, want %d to %d", s.field, s.got, s.min, s.max)
		}
	}
	if n := len(p.Grant); n != 0 && n != grantSize {
		return fmt.Errorf("phone: Grant: %d bytes, want 0 or %d", n, grantSize)
	}
	for i, r := range p.Records {
		if n := len(r.Content); n > maxRecordContent {
			return fmt.Errorf("phone: Records[%d]: %d bytes, want at most %d", i, n, maxRecordContent)
		}
	}
	return nil
}

const grantSize = 126 // scheme 2.3
