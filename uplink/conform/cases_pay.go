package conform

import (
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
)

func paymentCases() []testCase {
	return []testCase{
		{10, "an authorisation is taken", "Exactly once, 3", true, func(s *scene) {
			s.accepted(s.receipt(s.seal(s.online(1250))), wire.StateTaken, 1250)
		}},
		{11, "an authorisation repeated gets the same bytes, and no more money", "Exactly once, 2", true, func(s *scene) {
			s.repeated(s.seal(s.online(700)), 700)
		}},
		{12, "a burst of one authorisation gets one answer, five times", "Exactly once, 2", true, func(s *scene) {
			before := s.books()
			m := s.seal(s.online(300))
			for range 5 {
				s.must(s.own.publish(m.topic(), m.raw, false, m.head.ID))
			}
			for n := range 5 {
				a, ok := s.own.await(s.ctx, m.head.ID, n, s.cfg.Patience)
				if !ok {
					s.fail("%d answers to five publications", n)
				}
				first, _ := s.own.await(s.ctx, m.head.ID, 0, s.cfg.Patience)
				if string(a.raw) != string(first.raw) {
					s.fail("the answers differ")
				}
			}
			s.grew(before, 1, 300)
		}},
		{13, "the same payment in a new message is taken once", "Exactly once, 3", true, func(s *scene) {
			before, d := s.books(), s.online(450)
			s.accepted(s.receipt(s.seal(d)), wire.StateTaken, 450)
			s.accepted(s.receipt(s.seal(d)), wire.StateTaken, 450)
			s.grew(before, 1, 450)
		}},
		{14, "an advice is taken", "Exactly once, 3", true, func(s *scene) {
			before := s.books()
			s.accepted(s.receipt(s.seal(s.offline(800))), wire.StateTaken, 800)
			s.grew(before, 1, 800)
		}},
		{15, "an advice repeated gets the same bytes, and no more money", "Exactly once, 2", true, func(s *scene) {
			s.repeated(s.seal(s.offline(350)), 350)
		}},
		{16, "another amount for a taken payment is refused", "Exactly once, 3", true, func(s *scene) {
			d := s.offline(500)
			s.accepted(s.receipt(s.seal(d)), wire.StateTaken, 500)
			d.AmountMinor = 900
			s.refused(s.receipt(s.seal(d)), wire.StateTaken)
			s.stands(d.PaymentID, wire.StateTaken)
		}},
	}
}

func refusalCases() []testCase {
	return []testCase{
		{17, "a report ends its id without money", "Exactly once, 3", true, func(s *scene) {
			before := s.books()
			p := s.tapped(s.about(600), cardPayer, backendtest.AskAAC, 3)
			s.accepted(s.receipt(s.seal(wire.Report{Payment: p})), wire.StateRefused, 0)
			s.grew(before, 0, 0)
		}},
		{18, "nothing is taken after a report", "Exactly once, 3", true, func(s *scene) {
			p := s.about(600)
			s.accepted(s.receipt(s.seal(wire.Report{Payment: s.tapped(p, cardPayer, backendtest.AskAAC, 3)})), wire.StateRefused, 0)
			s.refused(s.receipt(s.seal(wire.Authorisation{Payment: s.tapped(p, cardPayer, backendtest.AskARQC, 2)})), wire.StateRefused)
			s.stands(p.PaymentID, wire.StateRefused)
		}},
		{19, "an authorisation above the balance is refused", "Exactly once, 3", false, func(s *scene) {
			p := s.tapped(s.about(5000), cardPoor, backendtest.AskARQC, 2)
			s.refused(s.receipt(s.seal(wire.Authorisation{Payment: p})), wire.StateRefused, 0x02)
		}},
		{20, "an authorisation of a restricted account is refused", "Exactly once, 3", false, func(s *scene) {
			p := s.tapped(s.about(500), cardRestricted, backendtest.AskARQC, 2)
			s.refused(s.receipt(s.seal(wire.Authorisation{Payment: p})), wire.StateRefused, 0x01)
		}},
		{21, "an advice of a restricted account is taken: the operator's loss", "Exactly once, 3", false, func(s *scene) {
			p := s.tapped(s.about(500), cardRestricted, backendtest.AskTC, 1)
			s.accepted(s.receipt(s.seal(wire.Advice{Payment: p})), wire.StateTaken, 500)
		}},
		{22, "an advice above the balance is taken: the operator's loss", "Exactly once, 3", false, func(s *scene) {
			p := s.tapped(s.about(5000), cardPoor, backendtest.AskTC, 1)
			s.accepted(s.receipt(s.seal(wire.Advice{Payment: p})), wire.StateTaken, 5000)
		}},
		{23, "abandoned attempts are no obstacle", "Up: money", true, func(s *scene) {
			d := s.offline(275)
			d.Abandoned = []wire.Abandoned{{1, 2, 3}, wire.Abandoned(append(d.PaymentID[:], 9, 9, 9, 9))}
			s.accepted(s.receipt(s.seal(d)), wire.StateTaken, 275)
		}},
	}
}

// repeated sends a message of a good payment four times, twice over a new
// connection, and wants one answer and one payment.
func (s *scene) repeated(m sent, amount int64) {
	before := s.books()
	first := s.ask(m)
	s.accepted(s.readReceipt(m, first), wire.StateTaken, amount)
	s.again(m, first)
	s.own.disconnect() // a terminal that restarts repeats what it has no receipt for
	s.must(s.own.connect())
	s.again(m, first)
	s.again(m, first)
	s.grew(before, 1, amount)
}
