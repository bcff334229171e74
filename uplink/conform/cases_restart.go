package conform

import "tapkeeper/uplink/wire"

func restartCases() []testCase {
	return []testCase{
		{150, "what was answered before the backend's restart gets the same bytes after it", "Exactly once, 2", true, func(s *scene) {
			before := s.books()
			m := s.seal(s.offline(230))
			first := s.ask(m)
			s.accepted(s.readReceipt(m, first), wire.StateTaken, 230)
			s.restart()
			s.again(m, first)
			s.grew(before, 1, 230)
		}},
		{151, "a tombstone outlives the backend's restart", "Exactly once, 3", true, func(s *scene) {
			d := s.online(230)
			s.accepted(s.receipt(s.seal(wire.Reversal{Payment: bare(d.Payment)})), wire.StateReversed, 0)
			s.restart()
			s.refused(s.receipt(s.seal(d)), wire.StateReversed)
		}},
		{152, "numbers outlive the backend's restart", "Exactly once, 4", true, func(s *scene) {
			m := s.seal(s.offline(230))
			s.accepted(s.receipt(m), wire.StateTaken, 230)
			s.restart()
			h := s.header(wire.KindAdvice)
			h.Sequence = m.head.Sequence
			s.refused(s.receipt(s.sealAs(s.own, h, s.offline(240))), wire.StateUnknown, protocol)
		}},
		{153, "a refund outlives the backend's restart", "Exactly once, 3", true, func(s *scene) {
			p := s.taken(500)
			s.accepted(s.receipt(s.seal(refund(p, 300))), wire.StateTaken, 300)
			s.restart()
			s.refused(s.receipt(s.seal(refund(p, 300))), wire.StateTaken)
		}},
	}
}

// restart restarts the backend, or skips the case.
func (s *scene) restart() {
	if s.cfg.Restart == nil {
		s.skip("nothing was named that restarts the backend")
	}
	s.must(s.cfg.Restart(s.ctx))
}
