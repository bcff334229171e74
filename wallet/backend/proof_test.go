package backend

import (
	"bytes"
	"testing"
	"time"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

// A phone that pays twice from one state is caught, and everything after refused.
// The two records prove it to anybody who has the scheme's public key, and the
// terminals hear of the device with their next state.
func TestDoubleSpendIsProvenAndBlocked(t *testing.T) { eachShop(t, doubleSpend) }

func doubleSpend(s *shop) {
	clone := s.clone()
	first := s.tap(1, 500, backendtest.AskTC, 1)
	second, _, err := s.sale(2, 500, backendtest.AskTC, 1).Do(clone)
	s.must(err)
	third := s.tap(3, 500, backendtest.AskTC, 1)
	for n, c := range []struct {
		record []byte
		want   wire.Reason
	}{{first, 0}, {second, 0x31}, {third, 0x01}} {
		if r := s.deliverTap(byte(n+1), 500, c.record); r.Reason != c.want {
			s.Errorf("tap %d: %v, want %v", n+1, r.Reason, c.want)
		}
		if want := n == 1; (len(s.warned) == 1) != want {
			s.Errorf("tap %d: %d terminals are warned at once", n+1, len(s.warned))
		} else if want {
			s.warnedOf([8]byte(s.profile.DeviceID))
		}
	}
	proofs := s.proofs()
	if len(proofs) != 1 || proofs[0].Rule != RuleCounter || !bytes.Equal(proofs[0].First, first) || !bytes.Equal(proofs[0].Second, second) {
		s.Fatalf("%d proofs: %+v", len(proofs), proofs)
	}
	keys := []CAKey{s.keys.Issuer.CAKey()}
	p, err := Prove(keys, first, second)
	if err != nil || p.Rule != RuleCounter || p.Device != [8]byte(s.profile.DeviceID) {
		s.Errorf("for a third party: %+v %v", p, err)
	}
	for name, pair := range map[string][2][]byte{
		"one tap":           {first, first},
		"taps in order":     {first, third},
		"one byte changed":  {first, flipped(second)},
		"nothing":           {first, nil},
		"two devices":       {first, s.strangersTap()},
		"a changed kind is": {first, withKind(first, 4)},
	} {
		if p, err := Prove(keys, pair[0], pair[1]); err == nil {
			s.Errorf("%s: proves %s", name, p.Rule)
		}
	}
	if _, err := Prove(nil, first, second); err == nil {
		s.Error("proven without the scheme's key")
	}
	// What was taken before stays, and can still be taken back.
	if r := s.receipt(wire.Reversal{Payment: about(1, 500, 4, withKind(first, 4))}); r.State != wire.StateReversed || s.balance("alice") != 10000 {
		s.Errorf("reversal: %v, alice has %d", r.State, s.balance("alice"))
	}
	s.hearsOfIt()
}

// warnedOf holds that the last message's answer came with the blocked device for the
// terminal that has no list yet.
func (s *shop) warnedOf(device [8]byte) {
	s.Helper()
	m, err := s.terminal.Open(s.warned[0].Topic, s.warned[0].Payload)
	s.must(err)
	e := m.Data.(wire.Hotlist).Exceptions
	if e == nil || e.Version != 1 || e.Base != 0 || len(e.Added) != 1 || e.Added[0] != lowerHex(device[:]) {
		s.Errorf("the terminals are warned of %+v", e)
	}
}

// hearsOfIt plays a terminal's states until it has the whole list.
func (s *shop) hearsOfIt() {
	s.Helper()
	device := [8]byte(s.profile.DeviceID)
	tell := func(applied *wire.Applied) *wire.Exceptions {
		m := s.seal(wire.State{Online: true, Session: 1, Since: wire.At(noon), Version: "1", Applied: applied})
		out, err := s.service.Handle(s.Context(), m.topic, m.raw)
		s.must(err)
		if len(out) == 0 {
			return nil
		}
		got, err := s.terminal.Open(out[0].Topic, out[0].Payload)
		s.must(err)
		return got.Data.(wire.Hotlist).Exceptions
	}
	if e := tell(nil); e != nil {
		s.Errorf("a terminal without lists got %+v", e)
	}
	e := tell(&wire.Applied{})
	if e == nil || e.Version != 1 || e.Base != 0 || len(e.Added) != 1 || e.Added[0] != lowerHex(device[:]) || len(e.Removed) != 0 {
		s.Fatalf("the blocked device: %+v", e)
	}
	if e := tell(&wire.Applied{Exceptions: 1}); e != nil {
		s.Errorf("told again: %+v", e)
	}
	s.must(s.ledger.Update(s.Context(), func(tx *ledger.Tx) error { return tx.SetDeviceStatus(device, ledger.DeviceActive) }))
	s.must(s.ledger.Update(s.Context(), func(tx *ledger.Tx) error { return tx.SetDeviceStatus(device, ledger.DeviceActive) }))
	if e := tell(&wire.Applied{Exceptions: 1}); e == nil || e.Version != 2 || e.Base != 1 || len(e.Added) != 0 || len(e.Removed) != 1 {
		s.Errorf("the device is free again: %+v", e)
	}
	if e := tell(&wire.Applied{}); e == nil || e.Version != 2 || len(e.Added) != 0 || len(e.Removed) != 1 {
		s.Errorf("blocked and freed in one step: %+v", e)
	}
}

// Two records for one step of the allowance, and two steps that do not follow
// one another, are proofs as well; the counter of a clone runs on its own.
func TestProofsOfTheAllowance(t *testing.T) {
	for _, c := range []struct {
		rule  string
		first []int64 // taps of the first phone before the proof's record
		clone []int64
		want  wire.Reason
	}{
		{RuleIndex, []int64{500}, []int64{0, 500}, 0x31},
		{RuleChain, []int64{500}, []int64{0, 300, 500}, 0x33},
	} {
		t.Run(c.rule, func(t *testing.T) {
			s := newShop(t)
			clone := s.clone()
			one := s.tapAll(s.phone, 1, c.first)
			two := s.tapAll(clone, 10, c.clone)
			s.deliverTap(byte(len(c.first)), 500, one)
			if r := s.deliverTap(byte(9+len(c.clone)), 500, two); r.Reason != c.want {
				t.Errorf("%v, want %v", r.Reason, c.want)
			}
			proofs := s.proofs()
			if len(proofs) != 1 || proofs[0].Rule != c.rule {
				t.Fatalf("proofs: %+v", proofs)
			}
			if p, err := Prove([]CAKey{s.keys.Issuer.CAKey()}, one, two); err != nil || p.Rule != c.rule {
				t.Errorf("%+v %v", p, err)
			}
		})
	}
}

// tapAll makes taps and returns the last record; 0 is a tap that moves the counter only.
func (s *shop) tapAll(p *phone.Wallet, payment byte, amounts []int64) (record []byte) {
	s.Helper()
	for n, amount := range amounts {
		ask := backendtest.AskTC
		if amount == 0 {
			amount, ask = 1, backendtest.AskAAC
		}
		var err error
		record, _, err = s.sale(payment+byte(n), amount, ask, 1).Do(p)
		s.must(err)
	}
	return record
}

// Records lie in the ledger encrypted, each under its own name.
func TestRecordsAreSealed(t *testing.T) {
	s := newShop(t)
	record := s.tap(1, 500, backendtest.AskTC, 1)
	s.deliverTap(1, 500, record)
	x := s.service.verifier.Examine(record, nil)
	var sealed []byte
	s.must(s.ledger.View(t.Context(), func(tx *ledger.Tx) (err error) { sealed, err = tx.Record(x.hash); return err }))
	if bytes.Contains(sealed, s.profile.DeviceID) || bytes.Contains(sealed, record[20:40]) {
		t.Error("the record lies in the clear")
	}
	if got, err := s.service.verifier.open(x.hash, sealed); err != nil || !bytes.Equal(got, record) {
		t.Errorf("open: %v", err)
	}
	for name, bad := range map[string][]byte{"empty": nil, "short": sealed[:5], "flipped": flipped(sealed), "other key": append([]byte{9}, sealed[1:]...)} {
		if _, err := s.service.verifier.open(x.hash, bad); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := s.service.verifier.open([32]byte{1}, sealed); err == nil {
		t.Error("opened under another name")
	}
}

func (s *shop) clone() *phone.Wallet {
	s.Helper()
	clone, err := backendtest.New(s.profile, func() time.Time { return noon })
	s.must(err)
	return clone
}

func (s *shop) proofs() []Proof {
	s.Helper()
	var all []Proof
	s.must(s.ledger.View(s.Context(), func(tx *ledger.Tx) (err error) { all, err = s.service.verifier.Proofs(tx); return err }))
	return all
}

// strangersTap is a tap of another device; the shop's own phone stays.
func (s *shop) strangersTap() []byte {
	s.Helper()
	profile, own := s.profile, s.phone
	s.reissue(s.ledger, "alice", &DefaultAllowance)
	record := s.tap(77, 500, backendtest.AskTC, 1)
	s.profile, s.phone = profile, own
	return record
}

func flipped(b []byte) []byte {
	c := bytes.Clone(b)
	c[len(c)/2] ^= 1
	return c
}

func lowerHex(b []byte) string {
	const digits = "0123456789abcdef"
	var out []byte
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}
