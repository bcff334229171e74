package cert

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// Minute is n12, YYYYMMDDhhmm.
type Minute [6]byte

// Grant is an allowance grant (scheme 2.3). Its BCD fields are kept as they
// are: whether they are numbers is step 33, not layout.
type Grant struct {
	IssuerSerial uint32
	DeviceID     [8]byte
	Epoch        uint32
	Currency     [2]byte
	Total        [6]byte
	PerTap       [6]byte
	MaxTaps      uint16
	ATCBase      uint16
	ValidFrom    Minute
	ValidTo      Minute
	rfu          [14]byte
	signature    [channel.SignatureSize]byte
}

const (
	grantSize   = 126
	grantFormat = 0xA6
)

// ParseGrant reads tag DF8B11: the layout part of scheme 2.5 step 30.
func ParseGrant(b []byte) (Grant, error) {
	if err := layout(b, grantSize, grantFormat); err != nil {
		return Grant{}, fmt.Errorf("allowance grant: %w", err)
	}
	return Grant{
		IssuerSerial: binary.BigEndian.Uint32(b[2:6]), DeviceID: [8]byte(b[6:14]),
		Epoch: binary.BigEndian.Uint32(b[14:18]), Currency: [2]byte(b[18:20]),
		Total: [6]byte(b[20:26]), PerTap: [6]byte(b[26:32]),
		MaxTaps: binary.BigEndian.Uint16(b[32:34]), ATCBase: binary.BigEndian.Uint16(b[34:36]),
		ValidFrom: Minute(b[36:42]), ValidTo: Minute(b[42:48]),
		rfu: [14]byte(b[48:62]), signature: [64]byte(b[62:126]),
	}, nil
}

func (g Grant) body() []byte {
	b := append(make([]byte, 0, grantSize), grantFormat, suite)
	b = append(binary.BigEndian.AppendUint32(b, g.IssuerSerial), g.DeviceID[:]...)
	b = append(binary.BigEndian.AppendUint32(b, g.Epoch), g.Currency[:]...)
	b = append(append(b, g.Total[:]...), g.PerTap[:]...)
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, g.MaxTaps), g.ATCBase)
	b = append(append(b, g.ValidFrom[:]...), g.ValidTo[:]...)
	return append(b, g.rfu[:]...)
}

// Encode codes the grant with the signature it has.
func (g Grant) Encode() []byte { return append(g.body(), g.signature[:]...) }

// Sign signs the grant by the issuer and codes it.
func (g Grant) Sign(issuer channel.SignKey) ([]byte, error) {
	return sign("allowance grant", g.body(), issuer)
}

// Belongs reports the part of scheme 2.5 step 31 that is in the grant: the
// serial of the issuer certificate and the device id.
func (g Grant) Belongs(issuerSerial uint32, device [8]byte) bool {
	return g.IssuerSerial == issuerSerial && g.DeviceID == device
}

// SignedBy is scheme 2.5 step 32.
func (g Grant) SignedBy(issuer channel.VerifyKey) bool {
	return issuer.Verify(g.signature[:], g.body())
}

// Numeric reports whether every BCD field is one.
func (g Grant) Numeric() bool {
	for _, f := range [][]byte{g.Currency[:], g.Total[:], g.PerTap[:], g.ValidFrom[:], g.ValidTo[:]} {
		if !tlv.IsBCD(f) {
			return false
		}
	}
	return true
}

// InForce is scheme 2.5 step 33.
func (g Grant) InForce(now Minute) bool {
	return g.Numeric() && bytes.Compare(g.ValidFrom[:], now[:]) <= 0 && bytes.Compare(now[:], g.ValidTo[:]) <= 0
}

// Covers is scheme 2.5 step 35: the amount is within the per-tap limit and the
// total. It is false for a grant that is not Numeric.
func (g Grant) Covers(amount uint64) bool {
	total, ok1 := tlv.Number(g.Total[:])
	perTap, ok2 := tlv.Number(g.PerTap[:])
	return ok1 && ok2 && amount <= perTap && amount <= total
}
