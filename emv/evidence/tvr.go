package evidence

// tvr is tag 95 (scheme 5.4).
type tvr [5]byte

// bit names a bit of the TVR: byte in the high nibble, bit in the low one, both from 1.
type bit byte

const (
	bitEvidence        bit = 0x12
	bitDeviceCert      bit = 0x13
	bitAppletVersion   bit = 0x28
	bitExpired         bit = 0x27
	bitNotEffective    bit = 0x26
	bitUsage           bit = 0x25
	bitAccountCurrency bit = 0x23
	bitCVMNotDone      bit = 0x38
	bitCVDUnknown      bit = 0x37
	bitFloor           bit = 0x48
	bitNoGrant         bit = 0x47
	bitAllowance       bit = 0x46
	bitRollback        bit = 0x45
	bitAIDMismatch     bit = 0x55
	bitRelayDone       bit = 0x52
	bitRelayNotDone    bit = 0x51
)

func (t tvr) has(b bit) bool { return t[b>>4-1]&(1<<(b&0x0F-1)) != 0 }

func (t tvr) with(bits ...bit) tvr {
	for _, b := range bits {
		t[b>>4-1] |= 1 << (b&0x0F - 1)
	}
	return t
}

func (t tvr) minus(o tvr) tvr {
	for i := range t {
		t[i] &^= o[i]
	}
	return t
}

func (t tvr) hits(o tvr) bool {
	for i := range t {
		if t[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// afterAnswer are the bits that the answer to GENERATE AC may add (scheme 5.5).
func afterAnswer() tvr {
	return tvr{}.with(bitEvidence, bitCVMNotDone, bitCVDUnknown, bitRollback, bitAllowance)
}

// profile are the terminal action codes of scheme 5.6.
type profile struct{ denial, online, fallback tvr }

func profileOf(offlineOnly bool) profile {
	if offlineOnly {
		return profile{denial: tvr{0xFF, 0xFC, 0xC0, 0xFF, 0x1D}}
	}
	online := tvr{0x00, 0x84, 0x00, 0xFF, 0x0D}
	return profile{denial: tvr{0xFF, 0x78, 0xC0, 0x00, 0x10}, online: online, fallback: online}
}

// Reasons of scheme 10 that the decision can give.
const (
	reasonDuplicate   = 0x09
	reasonRisk        = 0x0B
	reasonOtherWallet = 0x13
	reasonOffline     = 0x27
	reasonUnknown     = 0x29
	reasonProtocol    = 0x2A
)

// shown is scheme 5.8: the first row that a TVR hits gives the reason.
var shown = [...]struct {
	mask   tvr
	reason byte
}{
	{tvr{0: 0x6D}, 0x20}, {tvr{0: 0x10, 1: 0x08}, 0x23}, {tvr{0: 0x02}, 0x22}, {tvr{1: 0x60}, 0x0C}, {tvr{1: 0x80}, 0x06},
	{tvr{1: 0x10}, 0x0E}, {tvr{1: 0x04}, 0x0A}, {tvr{2: 0xC0}, 0x07}, {tvr{4: 0x10}, 0x20}, {tvr{4: 0x0D}, 0x24},
	{tvr{3: 0x10}, 0x25}, {tvr{3: 0x40}, 0x05}, {tvr{3: 0x20}, 0x04}, {tvr{3: 0x84}, 0x26}, {tvr{3: 0x03}, 0x11},
	{tvr{3: 0x08}, 0x27},
}

func (t tvr) explain() byte {
	for _, row := range shown {
		if t.hits(row.mask) {
			return row.reason
		}
	}
	return reasonRisk
}
