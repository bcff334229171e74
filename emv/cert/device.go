package cert

import (
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"tapkeeper/emv/channel"
)

// Device is a device certificate (scheme 2.2).
type Device struct {
	IssuerSerial uint32
	DeviceID     [8]byte
	NotBefore    Date
	NotAfter     Date
	Serial       [6]byte
	Properties   byte
	SDH          [32]byte
	SignKey      [33]byte // Qs
	AgreeKey     [33]byte // Qd
	signature    [channel.SignatureSize]byte
}

// Properties of a device (scheme 2.2).
const (
	SignInHardware  = 0x80
	AgreeInHardware = 0x40
	OfflineAllowed  = 0x20
)

const (
	deviceSize   = 191
	deviceFormat = 0xA4
)

// ParseDevice reads tag 9F46: scheme 2.5 step 8.
func ParseDevice(b []byte) (Device, error) {
	if err := layout(b, deviceSize, deviceFormat); err != nil {
		return Device{}, fmt.Errorf("device certificate: %w", err)
	}
	return Device{
		IssuerSerial: binary.BigEndian.Uint32(b[2:6]), DeviceID: [8]byte(b[6:14]),
		NotBefore: Date(b[14:18]), NotAfter: Date(b[18:22]),
		Serial: [6]byte(b[22:28]), Properties: b[28],
		SDH: [32]byte(b[29:61]), SignKey: [33]byte(b[61:94]), AgreeKey: [33]byte(b[94:127]),
		signature: [64]byte(b[127:191]),
	}, nil
}

func (c Device) body() []byte {
	b := append(make([]byte, 0, deviceSize), deviceFormat, suite)
	b = append(binary.BigEndian.AppendUint32(b, c.IssuerSerial), c.DeviceID[:]...)
	b = append(append(b, c.NotBefore[:]...), c.NotAfter[:]...)
	b = append(append(b, c.Serial[:]...), c.Properties)
	b = append(b, c.SDH[:]...)
	return append(append(b, c.SignKey[:]...), c.AgreeKey[:]...)
}

// Encode codes the certificate with the signature it has.
func (c Device) Encode() []byte { return append(c.body(), c.signature[:]...) }

// Sign signs the certificate by the issuer and codes it.
func (c Device) Sign(issuer channel.SignKey) ([]byte, error) {
	return sign("device certificate", c.body(), issuer)
}

// Belongs reports scheme 2.5 step 9: the issuer's serial, the device id, and
// dates that are BCD.
func (c Device) Belongs(issuerSerial uint32, device [8]byte) bool {
	return c.IssuerSerial == issuerSerial && c.DeviceID == device && bcd(c.NotBefore, c.NotAfter)
}

// Begun and Expired are scheme 2.5 steps 12 and 13.
func (c Device) Begun(date Date) bool { return !date.Before(c.NotBefore) }

// Expired reports a date after the last valid day.
func (c Device) Expired(date Date) bool { return c.NotAfter.Before(date) }

// MayApproveOffline is property b6 (scheme 2.2).
func (c Device) MayApproveOffline() bool { return c.Properties&OfflineAllowed != 0 }

// Keys are the public keys of a device.
type Keys struct {
	Sign  channel.VerifyKey // Qs
	Agree *ecdh.PublicKey   // Qd
}

// Authenticate is scheme 2.5 step 14: it returns the device's keys if the issuer
// has signed the certificate and both keys are points.
func (c Device) Authenticate(issuer channel.VerifyKey) (Keys, bool) {
	if !issuer.Verify(c.signature[:], c.body()) {
		return Keys{}, false
	}
	qs, err1 := c.VerifyKey()
	qd, err2 := c.AgreePoint()
	if err1 != nil || err2 != nil {
		return Keys{}, false
	}
	return Keys{Sign: qs, Agree: qd}, true
}

// SignedBy is Authenticate for who needs no keys.
func (c Device) SignedBy(issuer channel.VerifyKey) bool { _, ok := c.Authenticate(issuer); return ok }

// VerifyKey is Qs.
func (c Device) VerifyKey() (channel.VerifyKey, error) { return channel.NewVerifyKey(c.SignKey[:]) }

// AgreePoint is Qd.
func (c Device) AgreePoint() (*ecdh.PublicKey, error) { return channel.PointCompressed(c.AgreeKey[:]) }

// StaticDataHash is SDH of scheme 2.4. The signed contents are joined in AFL
// order; the four objects are the TLVs as they were transmitted.
func StaticDataHash(signed, aip82, adf84, pdol9F38, qualifier9F2C []byte) [32]byte {
	h := sha256.New()
	for _, p := range [][]byte{signed, aip82, adf84, pdol9F38, qualifier9F2C} {
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}
