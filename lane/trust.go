package lane

import (
	"tapkeeper/emv"
	"tapkeeper/firmware-config/bundle"
	"tapkeeper/terminal"
	"time"
)

// trust lets a terminal look up what the hotlist says.
type trust struct{ list *bundle.Hotlist }

var _ terminal.Trust = trust{}

func (t trust) Revoked(rid [5]byte, index byte, issuerSerial uint32, device *[6]byte) bool {
	return t.list.Revoked(rid, index, issuerSerial, device)
}

func (t trust) Listed(device emv.DeviceID) bool { return t.list.Listed(device) }

func (t trust) CRLAgeDays(now time.Time) int { return t.list.AgeDays(now) }
