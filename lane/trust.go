package lane

import (
	"time"

	"tapkeeper/emv"
	"tapkeeper/firmware-config/bundle"
	"tapkeeper/terminal"
)

// trust lets a terminal look up what a hotlist says.
type trust struct{ list *bundle.Hotlist }

var _ terminal.Trust = trust{}

func (t trust) Revoked(rid [5]byte, index byte, issuerSerial uint32, device *[6]byte) bool {
	return t.list.Revoked(rid, index, issuerSerial, device)
}

func (t trust) Listed(device emv.DeviceID) bool { return t.list.Listed(device) }

func (t trust) CRLAgeDays(now time.Time) int { return t.list.AgeDays(now) }

// changingTrust is of the list in force; a payment takes it once (terminal.Changing).
type changingTrust struct{ hotlist *hotlist }

var _ terminal.Changing = changingTrust{}

func (t changingTrust) Now() terminal.Trust { return trust{t.hotlist.inForce()} }

func (t changingTrust) Revoked(rid [5]byte, index byte, issuerSerial uint32, device *[6]byte) bool {
	return t.Now().Revoked(rid, index, issuerSerial, device)
}

func (t changingTrust) Listed(device emv.DeviceID) bool { return t.Now().Listed(device) }

func (t changingTrust) CRLAgeDays(now time.Time) int { return t.Now().CRLAgeDays(now) }
