package emv

import "fmt"

// TVR is tag 95, and the form of the terminal action codes (scheme 5.4).
type TVR [5]byte

// bit is a bit of the TVR or TSI: byte (from 1) in the high nibble, bit (from
// 1) in the low one, so that 0x27 reads B2b7.
type bit byte

// Bits of the TVR (scheme 5.4).
const (
	bitCAKeyUnknown    bit = 0x17
	bitCertMissing     bit = 0x16
	bitException       bit = 0x15
	bitIssuerCert      bit = 0x14
	bitDeviceCert      bit = 0x13
	bitEvidence        bit = 0x12
	bitBlinding        bit = 0x11
	bitAppletVersion   bit = 0x28
	bitExpired         bit = 0x27
	bitNotEffective    bit = 0x26
	bitUsage           bit = 0x25
	bitRevoked         bit = 0x24
	bitAccountCurrency bit = 0x23
	bitCVMNotDone      bit = 0x38
	bitCVDUnknown      bit = 0x37
	bitFloor           bit = 0x48
	bitNoGrant         bit = 0x47
	bitAllowance       bit = 0x46
	bitRollback        bit = 0x45
	bitForcedOnline    bit = 0x44
	bitExposure        bit = 0x43
	bitClock           bit = 0x42
	bitCRLAge          bit = 0x41
	bitAIDMismatch     bit = 0x55
	bitRelayThreshold  bit = 0x54
	bitRelayLimits     bit = 0x53
	bitRelayDone       bit = 0x52
	bitRelayNotDone    bit = 0x51
	tsiCertificates    bit = 0x18
	tsiCVM             bit = 0x17
	tsiRisk            bit = 0x14
	tsiEvidence        bit = 0x11
	tsiRecovered       bit = 0x28
	tsiRelay           bit = 0x27
)

func (b bit) at() (index int, mask byte) { return int(b>>4) - 1, 1 << (b&0x0F - 1) }

func (t *TVR) set(b bit) { i, m := b.at(); t[i] |= m }

func (t *TVR) setIf(cond bool, b bit) {
	if cond {
		t.set(b)
	}
}

func (t TVR) has(bits ...bit) bool {
	for _, b := range bits {
		if i, m := b.at(); t[i]&m != 0 {
			return true
		}
	}
	return false
}

func (t TVR) and(o TVR) TVR {
	for i := range t {
		t[i] &= o[i]
	}
	return t
}

// hits reports whether a terminal action code applies.
func (t TVR) hits(tac TVR) bool { return t.and(tac) != TVR{} }

// String returns the bytes as hex.
func (t TVR) String() string { return fmt.Sprintf("%X", t[:]) }

// TSI is tag 9B (scheme 5.4).
type TSI [2]byte

func (t *TSI) set(b bit) { i, m := b.at(); t[i] |= m }

// String returns the bytes as hex.
func (t TSI) String() string { return fmt.Sprintf("%X", t[:]) }

// explain is scheme 5.8: the reason shown for a terminal's decision, first
// match wins.
func (t TVR) explain() Reason {
	for _, row := range []struct {
		reason Reason
		bits   []bit
	}{
		{0x20, []bit{bitCAKeyUnknown, bitCertMissing, bitIssuerCert, bitDeviceCert, bitBlinding}},
		{0x23, []bit{bitException, bitRevoked}},
		{0x22, []bit{bitEvidence}},
		{0x0C, []bit{bitExpired, bitNotEffective}},
		{0x06, []bit{bitAppletVersion}},
		{0x0E, []bit{bitUsage}},
		{0x0A, []bit{bitAccountCurrency}},
		{0x07, []bit{bitCVMNotDone, bitCVDUnknown}},
		{0x20, []bit{bitAIDMismatch}},
		{0x24, []bit{bitRelayThreshold, bitRelayLimits, bitRelayNotDone}},
		{0x25, []bit{bitRollback}},
		{0x05, []bit{bitNoGrant}},
		{0x04, []bit{bitAllowance}},
		{0x26, []bit{bitFloor}},
		{0x26, []bit{bitExposure}},
		{0x11, []bit{bitClock, bitCRLAge}},
		{0x27, []bit{bitForcedOnline}},
	} {
		if t.has(row.bits...) {
			return row.reason
		}
	}
	return ReasonRisk
}
