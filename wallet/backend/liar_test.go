package backend

import (
	"testing"
	"time"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/tlv"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

// rebuild makes the shop's phone from changed data or a changed memory.
func (s *shop) rebuild(state phone.State) {
	s.Helper()
	var err error
	s.phone, err = phone.New([]phone.Profile{s.profile}, state, phone.Options{Store: nowhere{}, Now: func() time.Time { return noon }})
	s.must(err)
}

type nowhere struct{}

func (nowhere) Save(phone.State) error { return nil }

// A phone that forgets what it spent between two taps that are not neighbours
// breaks no chain, but the sum of the epoch (scheme 7.6).
func TestEpochSumIsHeld(t *testing.T) {
	s := newShop(t)
	s.reissue(s.ledger, "alice", &Allowance{1000, 1000, 20})
	first := s.tap(1, 600, backendtest.AskTC, 1)
	state := s.phone.State()
	card := &state.Cards[0]
	card.ATC, card.Index, card.Spent, card.Answers, card.Taps = 2, 2, 0, nil, nil
	s.rebuild(state)
	third := s.tap(3, 600, backendtest.AskTC, 1)
	if r := s.receipt(wire.Advice{Payment: about(1, 600, 1, first)}); r.Result != wire.Accepted {
		t.Fatalf("first: %v", r.Reason)
	}
	if r := s.receipt(wire.Advice{Payment: about(3, 600, 1, third)}); r.Reason != reasonAllowance {
		t.Errorf("third: %v, want 33", r.Reason)
	}
	var d ledger.Device
	s.must(s.ledger.View(t.Context(), func(tx *ledger.Tx) (err error) { d, err = tx.Device([8]byte(s.profile.DeviceID)); return err }))
	if d.Status != ledger.DeviceBlocked {
		t.Error("the device may go on")
	}
}

// A grant is worth nothing on a device whose certificate does not allow offline approval (scheme 2.5 step 31).
func TestGrantNeedsAnOfflineDevice(t *testing.T) {
	s := newShop(t)
	old, err := tlv.ParseOne(s.profile.Records[2].Content)
	s.must(err)
	dc, err := cert.ParseDevice(old.Value)
	s.must(err)
	dc.Properties = 0
	s.must(s.keys.Issuer.records(&s.profile, dc, [2]byte{0x43, 0x21}, date(backdated(noon))))
	s.rebuild(phone.State{})
	if r := s.receipt(wire.Advice{Payment: about(1, 500, 1, s.tap(1, 500, backendtest.AskTC, 1))}); r.Reason != reasonAllowance {
		t.Errorf("%v, want 33", r.Reason)
	}
}

// A device registered as a bank card does not pay as a wallet balance (scheme 9.4 step 7).
func TestKindMustBeTheRegistered(t *testing.T) {
	s := newShop(t)
	device := ledger.Device{ID: [8]byte{1}, Account: "alice", Kind: BankCard, Status: ledger.DeviceActive}
	s.must(s.ledger.Update(t.Context(), func(tx *ledger.Tx) error { return tx.PutDevice(device) }))
	x := s.service.verifier.Examine(s.tap(1, 500, backendtest.AskTC, 1), nil)
	x.evidence.device = &device.ID
	var v Verdict
	s.must(s.ledger.Update(t.Context(), func(tx *ledger.Tx) (err error) { v, err = x.Judge(tx); return err }))
	if v.Step != 7 || v.Reason != reasonCryptogram {
		t.Errorf("step %d, reason %02X", v.Step, v.Reason)
	}
}
