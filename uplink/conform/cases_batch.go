package conform

import (
	"bytes"
	"time"

	"tapkeeper/uplink/wire"
)

func batchCases() []testCase {
	const rule = "Batches"
	return []testCase{
		{120, "a batch of payments is taken, with a receipt for each", rule, true, func(s *scene) {
			before := s.books()
			var batch []sent
			for range 8 {
				batch = append(batch, s.seal(s.offline(100)))
			}
			for n, a := range s.askBatch(batch) {
				s.accepted(s.readReceipt(batch[n], a), wire.StateTaken, 100)
			}
			s.grew(before, 8, 800)
		}},
		{121, "a batch repeated, and its messages alone, get the same bytes", rule, true, func(s *scene) {
			before := s.books()
			batch := []sent{s.seal(s.offline(100)), s.seal(s.offline(100)), s.seal(s.online(100))}
			first := s.askBatch(batch)
			for n, a := range s.askBatch(batch) {
				if !bytes.Equal(a.raw, first[n].raw) {
					s.fail("the repeated batch got another receipt")
				}
			}
			s.again(batch[1], first[1])
			s.grew(before, 3, 300)
		}},
		{122, "a bad message in a batch spoils none of the others", rule, true, func(s *scene) {
			before := s.books()
			good := []sent{s.seal(s.offline(100)), s.seal(s.offline(100))}
			bad := s.seal(s.offline(100))
			bad.raw = sign(s.stranger().key, header(s.own.key), s.payload(bad.raw))
			s.silent[bad.head.ID] = s.number
			raw, err := wire.Join([][]byte{good[0].raw, bad.raw, []byte("nonsense"), good[1].raw})
			s.must(err)
			s.must(s.own.publish(s.own.address.UpTopic(wire.KindBatch), raw, false, good[0].head.ID, bad.head.ID, good[1].head.ID))
			for _, m := range good {
				a, ok := s.own.await(s.ctx, m.head.ID, 0, s.cfg.Patience)
				if !ok {
					s.fail("a good message beside a bad one was not answered")
				}
				s.accepted(s.readReceipt(m, s.checked(m, a)), wire.StateTaken, 100)
			}
			s.grew(before, 2, 200)
		}},
		{123, "what goes back travels in a batch too", rule, true, func(s *scene) {
			before := s.books()
			one, two, never := s.taken(400), s.taken(500), s.about(600)
			batch := []sent{s.seal(refund(one, 100)), s.seal(wire.Reversal{Payment: two}), s.seal(wire.Reversal{Payment: never})}
			got := s.askBatch(batch)
			s.accepted(s.readReceipt(batch[0], got[0]), wire.StateTaken, 100)
			s.accepted(s.readReceipt(batch[1], got[1]), wire.StateReversed, 500)
			s.accepted(s.readReceipt(batch[2], got[2]), wire.StateReversed, 0)
			s.grew(before, 1, 400)
		}},
	}
}

func batchBoundCases() []testCase {
	const rule = "Batches"
	return []testCase{
		{124, "the same message twice in a batch is one message", rule, true, func(s *scene) {
			before := s.books()
			m := s.seal(s.offline(100))
			raw, err := wire.Join([][]byte{m.raw, m.raw})
			s.must(err)
			s.must(s.own.publish(s.own.address.UpTopic(wire.KindBatch), raw, false, m.head.ID))
			first, ok := s.own.await(s.ctx, m.head.ID, 0, s.cfg.Patience)
			if !ok {
				s.fail("not answered")
			}
			s.accepted(s.readReceipt(m, s.checked(m, first)), wire.StateTaken, 100)
			s.again(m, first)
			s.grew(before, 1, 100)
		}},
		{125, "a query does not travel in a batch", rule, true, func(s *scene) {
			m := s.seal(wire.Query{PaymentID: newID(time.Now())})
			s.unanswered(s.own, s.own.address.UpTopic(wire.KindBatch), m.raw, m.head.ID)
		}},
		{126, "a batch of 33 is dropped whole, and harms nothing", rule, true, func(s *scene) {
			m := s.seal(wire.Reversal{Payment: s.about(100)})
			raw := m.raw
			for range wire.MaxBatch {
				raw = append(append([]byte{}, raw...), "\n."...)
			}
			s.unanswered(s.own, s.own.address.UpTopic(wire.KindBatch), raw, m.head.ID)
		}},
		{127, "what came alone is answered alone", rule, true, func(s *scene) {
			if a := s.ask(s.seal(s.offline(115))); a.topic != s.own.address.DownTopic(wire.KindReceipt) {
				s.fail("the receipt for a single message came on %s", a.topic)
			}
		}},
	}
}

// askBatch publishes messages as one and gives the next answer to each.
func (s *scene) askBatch(batch []sent) []arrival {
	var raws [][]byte
	var ids []wire.ID
	before := make([]int, len(batch))
	for n, m := range batch {
		raws, ids = append(raws, m.raw), append(ids, m.head.ID)
		before[n] = m.from.count(m.head.ID)
	}
	raw, err := wire.Join(raws)
	s.must(err)
	s.must(s.own.publish(s.own.address.UpTopic(wire.KindBatch), raw, false, ids...))
	answers := make([]arrival, len(batch))
	for n, m := range batch {
		a, ok := s.own.await(s.ctx, m.head.ID, before[n], s.cfg.Patience)
		if !ok {
			s.fail("message %d of %d in the batch was not answered within %v", n+1, len(batch), s.cfg.Patience)
		}
		answers[n] = s.checked(m, a)
	}
	return answers
}
