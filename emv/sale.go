package emv

import (
	"fmt"
	"time"
	"unique"

	"tapkeeper/emv/channel"
)

// Secret holds bytes that cannot be printed; Bytes opens it.
type Secret = channel.Secret

// Kind is the type of a sale, tag 9C.
type Kind byte

// Kinds of sale.
const (
	Purchase Kind = 0x00
	Refund   Kind = 0x20
)

// Sale is what is to be paid. It stays the same over all taps.
type Sale struct {
	ID                [16]byte // the payment's id; the scheme's transaction id
	Amount            Amount
	Kind              Kind
	Currency          Code
	OriginalReference Secret // of a refund: Outcome.Reference of the original sale, or nothing
	ForceOnline       bool   // the cashier wants the wallet to be asked
}

// Moment is what is taken once for each field activation (scheme 5.3).
type Moment struct {
	Local        time.Time // the store's local time
	ClockTrusted bool
	CRLAgeDays   int
	Connected    bool
}

// DeviceID is a phone's device id. It compares, and prints masked.
type DeviceID struct{ handle unique.Handle[[8]byte] }

// NewDeviceID wraps the eight bytes.
func NewDeviceID(b [8]byte) DeviceID { return DeviceID{unique.Make(b)} }

// Bytes returns the id, zeros when there is none.
func (d DeviceID) Bytes() [8]byte {
	if d == (DeviceID{}) {
		return [8]byte{}
	}
	return d.handle.Value()
}

// Format prints the first two bytes and the length (scheme 4.2, "masked").
func (d DeviceID) Format(f fmt.State, _ rune) {
	if d == (DeviceID{}) {
		fmt.Fprint(f, "none")
		return
	}
	b := d.Bytes()
	fmt.Fprintf(f, "%X..(8)", b[:2])
}

// MarshalText writes what Format prints.
func (d DeviceID) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v", d), nil }

// Seen is what a terminal remembers of a device for at least 60 days (scheme
// 7.3).
type Seen struct {
	Device DeviceID
	ATC    uint16
	Epoch  uint32
	Index  uint16
	Spent  Amount
}

// Lookups are what the kernel asks while a phone waits: each answers from
// memory, and all are required. One that does not know answers so that the
// sale is refused: revoked, listed, full, or seen with the highest ATC.
type Lookups struct {
	Revocations Revocations
	Exceptions  Exceptions
	History     History
	Exposure    Exposure
}

// Revocations is the scheme's revocation list.
type Revocations interface {
	// Revoked reports an entry for the issuer certificate, or with a device
	// serial for that device certificate only (scheme 2.5 steps 5, 10).
	Revoked(rid [5]byte, index byte, issuerSerial uint32, device *[6]byte) bool
}

// Exceptions is the list of blocked devices.
type Exceptions interface {
	Listed(DeviceID) bool
}

// History is the terminal's memory of devices.
type History interface {
	Seen(DeviceID) (Seen, bool)
}

// Exposure guards the terminal's own offline limits (B4b3 of scheme 5.4).
type Exposure interface {
	// Full reports whether one more offline approval of that amount would
	// exceed a limit. The device is the zero DeviceID when it is not known.
	Full(device DeviceID, amount Amount) bool
}
