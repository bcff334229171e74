package conform

import (
	"bytes"
	"time"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/phone"
)

func evidenceCases() []testCase {
	const rule = "scheme.md 9.4"
	return []testCase{
		{30, "evidence of another payment is refused", rule, false, func(s *scene) {
			d := s.offline(400)
			d.PaymentID = newID(time.Now())
			s.refused(s.receipt(s.seal(d)), wire.StateRefused, 0x2A)
		}},
		{31, "evidence of another amount is refused", rule, false, func(s *scene) {
			d := s.online(400)
			d.AmountMinor = 4000
			s.refused(s.receipt(s.seal(d)), wire.StateRefused, 0x2A)
		}},
		{32, "evidence of another terminal's tap is refused", rule, false, func(s *scene) {
			p := s.tappedAt(s.neighbour(), s.about(400), s.cfg.Kit.phones[cardPayer], backendtest.AskTC, 1)
			s.refused(s.receipt(s.seal(wire.Advice{Payment: p})), wire.StateRefused, 0x2A)
		}},
		{33, "evidence with one changed byte is refused", rule, false, func(s *scene) {
			d := s.offline(400)
			d.Record = wire.NewRecord(damaged(d.Record.Bytes()))
			s.refused(s.receipt(s.seal(d)), wire.StateRefused)
		}},
		{34, "a card whose certificate has expired is refused", rule, false, func(s *scene) {
			p := s.tapped(s.about(400), cardExpired, backendtest.AskARQC, 2)
			s.refused(s.receipt(s.seal(wire.Authorisation{Payment: p})), wire.StateRefused, 0x20)
		}},
		{35, "a card of an unknown issuer is refused", rule, false, func(s *scene) {
			p := s.tapped(s.about(400), cardForeign, backendtest.AskARQC, 2)
			s.refused(s.receipt(s.seal(wire.Authorisation{Payment: p})), wire.StateRefused, 0x20)
		}},
		{36, "evidence older than 30 days is refused", rule, false, func(s *scene) {
			p := s.about(400)
			p.AcceptedAt = wire.At(p.AcceptedAt.AddDate(0, 0, -40))
			p = s.tapped(p, cardPayer, backendtest.AskTC, 1)
			s.refused(s.receipt(s.seal(wire.Advice{Payment: p})), wire.StateRefused, 0x2A, 0x20, 0x33)
		}},
		{37, "an offline record is no authorisation of a refund, nor the other way round", rule, false, func(s *scene) {
			paid := s.taken(900)
			tap := s.tapped(paid, cardPayer, backendtest.AskARQC, 2) // a purchase
			tap.RecordKind = 6
			tap.AcceptedAt = wire.At(time.Now())
			s.refused(s.receipt(s.seal(wire.Refund{Payment: tap, RefundID: newID(time.Now())})), wire.StateTaken)
		}},
		{38, "a cloned card is caught by its second tap, and blocked", rule, false, cloned},
	}
}

// damaged flips a byte in the middle of the device certificate.
func damaged(record []byte) []byte {
	copied := bytes.Clone(record)
	copied[bytes.Index(copied, []byte{0x9F, 0x46})+40] ^= 1
	return copied
}

// cloned lets one card live twice: both halves begin with the same counter.
func cloned(s *scene) {
	f, err := phone.LoadFile(s.cfg.Kit.files[cardCloned])
	s.must(err)
	var halves [2]*phone.Wallet
	for i := range halves {
		halves[i], err = phone.New(f.Cards, f.State, phone.Options{Store: forgetful{}})
		s.must(err)
	}
	first := s.tappedAt(s.own, s.about(200), halves[0], backendtest.AskTC, 1)
	r := s.receipt(s.seal(wire.Advice{Payment: first}))
	if r.Result == wire.Refused && r.Reason == 0x01 {
		s.skip("an earlier run has used this card up: make a new kit")
	}
	s.accepted(r, wire.StateTaken, 200)
	second := s.tappedAt(s.own, s.about(300), halves[1], backendtest.AskTC, 1)
	s.refused(s.receipt(s.seal(wire.Advice{Payment: second})), wire.StateRefused, 0x31)
	third := s.tappedAt(s.own, s.about(100), halves[0], backendtest.AskARQC, 2)
	s.refused(s.receipt(s.seal(wire.Authorisation{Payment: third})), wire.StateRefused, 0x01)
}

type forgetful struct{}

func (forgetful) Save(phone.State) error { return nil }
