package backend

import (
	"testing"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

// A log that says of a tap that it was for a payment that is reversed has it
// released. The record that comes then shows the lie, and the device is blocked.
func TestLogThatNamesAReversedPayment(t *testing.T) { eachShop(t, namesAReversedPayment) }

func namesAReversedPayment(s *shop) {
	record := s.tap(1, 500, backendtest.AskTC, 1)
	s.receipt(wire.Reversal{Payment: about(9, 500, 0, nil)})
	honest, err := s.phone.Upload(s.profile.ADF, false)
	s.must(err)
	_, err = s.app().Handle(s.Context(), s.signedUpload(honest, func(u *phone.Upload) {
		other := [16]byte{9}
		u.Taps[0].Transaction = other[:]
		u.Taps[0].Chain = s.firstStep(u.Taps[0])
	}))
	s.must(err)
	if r := s.deliverTap(1, 500, record); r.Result != wire.Refused || r.Reason != reasonAllowance {
		s.Errorf("the record: %+v", r)
	}
	if status := s.device().Status; status != ledger.DeviceBlocked {
		s.Errorf("the device is %s", status)
	}
}

// firstStep is the chain after a first tap.
func (s *shop) firstStep(t phone.Tap) phone.Hex {
	s.Helper()
	var g ledger.Grant
	s.must(s.ledger.View(s.Context(), func(tx *ledger.Tx) (err error) { g, err = tx.Grant([8]byte(s.profile.DeviceID), 1); return err }))
	c := channel.FirstChain(g.Body[:]).Next(channel.Link{Transaction: [16]byte(t.Transaction), Amount: [6]byte(tlv.BCD(uint64(t.Amount), 6)),
		Currency: [2]byte{0x01, 0x56}, ATC: t.ATC, TerminalID: [8]byte(t.Terminal)})
	return c[:]
}
