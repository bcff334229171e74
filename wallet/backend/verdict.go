package backend

// Reasons of scheme section 10 that the backend gives.
const (
	reasonOK               = 0x00
	reasonRestricted       = 0x01 // account or device restricted
	reasonBalance          = 0x02 // insufficient balance
	reasonDevice           = 0x08 // unknown device
	reasonCurrency         = 0x0A
	reasonLimit            = 0x0F // more refunded than was taken
	reasonOtherPayer       = 0x13 // refund to another wallet
	reasonCertificate      = 0x20
	reasonSignature        = 0x22
	reasonProtocol         = 0x2A
	reasonCancelled        = 0x2C // a tombstone stands in the way
	reasonCounter          = 0x31
	reasonCryptogram       = 0x32
	reasonAllowance        = 0x33
	cidAAC                 = 0x00
	cidTC                  = 0x40
	cidARQC                = 0x80
	kindApproved           = 0x01 // record kinds, scheme 9.1
	kindOnline             = 0x02
	kindDeclined           = 0x03
	kindReversal           = 0x04
	kindSuspect            = 0x05
	kindRefund             = 0x06
	typePurchase      byte = 0x00
)

// Verdict is what scheme 9.4 says of a record. A record that fails is an
// outcome, never an error.
type Verdict struct {
	OK        bool
	Reason    byte // scheme section 10; 00 when OK
	Step      int  // the row of 9.4 that failed; 0 when OK
	Duplicate bool // the very evidence was seen before
	CID       byte
	Device    [8]byte // zero when the record failed before step 6
	Account   string  // of the device
}

func failed(step int, reason byte) Verdict { return Verdict{Step: step, Reason: reason} }
