package conform

import (
	"time"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
)

func reversalCases() []testCase {
	const rule = "Exactly once, 3"
	return []testCase{
		{40, "a payment that never came can be reversed", rule, true, func(s *scene) {
			s.accepted(s.receipt(s.seal(wire.Reversal{Payment: s.about(500)})), wire.StateReversed, 0)
		}},
		{41, "an authorisation later than its reversal takes nothing", rule, true, func(s *scene) {
			before, d := s.books(), s.online(500)
			s.accepted(s.receipt(s.seal(wire.Reversal{Payment: bare(d.Payment)})), wire.StateReversed, 0)
			s.refused(s.receipt(s.seal(d)), wire.StateReversed)
			s.stands(d.PaymentID, wire.StateReversed)
			s.grew(before, 0, 0)
		}},
		{42, "an advice later than its reversal takes nothing", rule, true, func(s *scene) {
			before, d := s.books(), s.offline(500)
			s.accepted(s.receipt(s.seal(wire.Reversal{Payment: bare(d.Payment)})), wire.StateReversed, 0)
			s.refused(s.receipt(s.seal(d)), wire.StateReversed)
			s.grew(before, 0, 0)
		}},
		{43, "a taken payment is reversed, and its money goes back", rule, true, func(s *scene) {
			before, p := s.books(), s.taken(620)
			s.accepted(s.receipt(s.seal(wire.Reversal{Payment: p})), wire.StateReversed, 620)
			s.stands(p.PaymentID, wire.StateReversed)
			s.grew(before, 0, 0)
		}},
		{44, "a reversal repeated gets the same bytes", "Exactly once, 2", true, func(s *scene) {
			m := s.seal(wire.Reversal{Payment: s.taken(330)})
			first := s.ask(m)
			s.again(m, first)
		}},
		{45, "a second reversal moves nothing", rule, true, func(s *scene) {
			p := s.taken(330)
			s.accepted(s.receipt(s.seal(wire.Reversal{Payment: p})), wire.StateReversed, 330)
			s.accepted(s.receipt(s.seal(wire.Reversal{Payment: p})), wire.StateReversed, 0)
		}},
		{46, "a reversed payment is not taken again", rule, true, func(s *scene) {
			before, d := s.books(), s.offline(410)
			s.accepted(s.receipt(s.seal(d)), wire.StateTaken, 410)
			s.accepted(s.receipt(s.seal(wire.Reversal{Payment: bare(d.Payment)})), wire.StateReversed, 410)
			s.refused(s.receipt(s.seal(d)), wire.StateReversed)
			s.grew(before, 0, 0)
		}},
		{47, "a reversal with evidence is a reversal", rule, true, func(s *scene) {
			p := s.tapped(s.about(350), cardPayer, backendtest.AskTC, 4)
			s.accepted(s.receipt(s.seal(wire.Reversal{Payment: p})), wire.StateReversed, 0)
		}},
		{48, "the original authorisation, repeated after its reversal, gets its old receipt and takes nothing", "Exactly once, 2", true, func(s *scene) {
			before, d := s.books(), s.online(275)
			m := s.seal(d)
			first := s.ask(m)
			s.accepted(s.receipt(s.seal(wire.Reversal{Payment: bare(d.Payment)})), wire.StateReversed, 275)
			s.again(m, first)
			s.stands(d.PaymentID, wire.StateReversed)
			s.grew(before, 0, 0)
		}},
	}
}

// bare is a payment without its evidence.
func bare(p wire.Payment) wire.Payment {
	p.RecordKind, p.Record = 0, wire.Record{}
	return p
}

// refund gives some of a payment back.
func refund(p wire.Payment, amount int64) wire.Refund {
	p.AmountMinor, p.AcceptedAt = amount, wire.At(time.Now())
	return wire.Refund{Payment: p, RefundID: newID(time.Now())}
}

func refundCases() []testCase {
	const rule = "Exactly once, 3"
	return []testCase{
		{50, "a part is refunded", rule, true, func(s *scene) {
			s.accepted(s.receipt(s.seal(refund(s.taken(1000), 300))), wire.StateTaken, 300)
		}},
		{51, "a payment is refunded in full, in two parts", rule, true, func(s *scene) {
			p := s.taken(1000)
			s.accepted(s.receipt(s.seal(refund(p, 300))), wire.StateTaken, 300)
			s.accepted(s.receipt(s.seal(refund(p, 700))), wire.StateRefunded, 700)
			s.stands(p.PaymentID, wire.StateRefunded)
		}},
		{52, "a refund above the amount is refused", rule, true, func(s *scene) {
			p := s.taken(500)
			s.refused(s.receipt(s.seal(refund(p, 501))), wire.StateTaken)
			s.stands(p.PaymentID, wire.StateTaken)
		}},
		{53, "partial refunds together above the amount are refused", rule, true, func(s *scene) {
			p := s.taken(500)
			s.accepted(s.receipt(s.seal(refund(p, 300))), wire.StateTaken, 300)
			s.refused(s.receipt(s.seal(refund(p, 201))), wire.StateTaken)
			s.accepted(s.receipt(s.seal(refund(p, 200))), wire.StateRefunded, 200)
		}},
		{54, "a refund repeated gets the same bytes", "Exactly once, 2", true, func(s *scene) {
			p := s.taken(500)
			m := s.seal(refund(p, 300))
			s.again(m, s.ask(m))
			s.accepted(s.receipt(s.seal(refund(p, 200))), wire.StateRefunded, 200) // not more than was left
		}},
		{55, "the same refund in a new message is made once", rule, true, func(s *scene) {
			p := s.taken(500)
			d := refund(p, 250)
			s.accepted(s.receipt(s.seal(d)), wire.StateTaken, 250)
			s.accepted(s.receipt(s.seal(d)), wire.StateTaken, 0)
			s.accepted(s.receipt(s.seal(refund(p, 250))), wire.StateRefunded, 250)
		}},
		{56, "a known refund with another amount is refused", rule, true, func(s *scene) {
			d := refund(s.taken(500), 250)
			s.accepted(s.receipt(s.seal(d)), wire.StateTaken, 250)
			d.AmountMinor = 100
			s.refused(s.receipt(s.seal(d)), wire.StateTaken)
		}},
		{57, "a refund of an unknown payment is refused", rule, true, func(s *scene) {
			s.refused(s.receipt(s.seal(refund(s.about(500), 500))), wire.StateUnknown)
		}},
		{58, "a refund of a reversed payment is refused", rule, true, func(s *scene) {
			p := s.taken(500)
			s.accepted(s.receipt(s.seal(wire.Reversal{Payment: p})), wire.StateReversed, 500)
			s.refused(s.receipt(s.seal(refund(p, 500))), wire.StateReversed)
		}},
		{59, "a refund in another currency is refused", rule, true, func(s *scene) {
			d := refund(s.taken(500), 200)
			d.Currency = "XTS" // ISO 4217: reserved for tests
			s.refused(s.receipt(s.seal(d)), wire.StateTaken)
		}},
		{60, "a reversal after a partial refund gives back the rest", rule, true, func(s *scene) {
			p := s.taken(500)
			s.accepted(s.receipt(s.seal(refund(p, 200))), wire.StateTaken, 200)
			s.accepted(s.receipt(s.seal(wire.Reversal{Payment: p})), wire.StateReversed, 300)
		}},
	}
}

func queryCases() []testCase {
	return []testCase{
		{61, "an unknown payment is unknown, and asking creates nothing", "Down: status", true, func(s *scene) {
			d := s.offline(150)
			s.stands(d.PaymentID, wire.StateUnknown)
			s.accepted(s.receipt(s.seal(d)), wire.StateTaken, 150)
		}},
		{62, "the status of a payment has its latest receipt", "Down: status", true, func(s *scene) {
			p := s.taken(340)
			m := s.seal(wire.Reversal{Payment: p})
			want := s.receipt(m)
			st := s.stands(p.PaymentID, wire.StateReversed)
			if st.Receipt == nil || *st.Receipt != want {
				s.fail("the status does not carry the reversal's receipt")
			}
		}},
		{63, "a refused payment's status tells the reason", "Down: status", false, func(s *scene) {
			p := s.tapped(s.about(500), cardRestricted, backendtest.AskARQC, 2)
			r := s.receipt(s.seal(wire.Authorisation{Payment: p}))
			if st := s.stands(p.PaymentID, wire.StateRefused); st.Reason != r.Reason {
				s.fail("the status has reason %s, the receipt had %s", st.Reason, r.Reason)
			}
		}},
	}
}
