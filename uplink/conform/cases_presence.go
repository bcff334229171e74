package conform

import (
	"bytes"
	"time"

	"tapkeeper/uplink/wire"
)

// clockTolerance is how far the wallet's clock may be from the suite's: terminals
// trust theirs within 60 s of the wallet's (docs/terminal.md).
const clockTolerance = 60 * time.Second

func presenceCases() []testCase {
	return []testCase{
		{1, "an echo is answered, to exactly its bytes", "Down: echo_answer", true, func(s *scene) { s.alive() }},
		{2, "the answer tells the wallet's time", "Down: echo_answer", true, func(s *scene) {
			a := s.ask(s.seal(wire.Echo{}))
			if off := time.Since(a.message.Time).Abs(); off > clockTolerance {
				s.fail("the answer's time is %v away from here", off.Round(time.Second))
			}
		}},
		{3, "every answer has an id of its own", "Envelope", true, func(s *scene) {
			a, b := s.ask(s.seal(wire.Echo{})), s.ask(s.seal(wire.Echo{}))
			if a.message.ID == b.message.ID {
				s.fail("two answers have the id %s", a.message.ID)
			}
		}},
		{4, "answers are published with QoS 1", "Topics", true, func(s *scene) {
			if a := s.ask(s.seal(wire.Echo{})); a.qos != qos {
				s.fail("the answer came with QoS %d", a.qos)
			}
		}},
		{5, "the state message is not answered", "Up: state", true, func(s *scene) {
			m := s.seal(wire.State{Online: true, Session: s.sequence, Since: wire.At(s.began), Version: "conform", Waiting: 0})
			s.silent[m.head.ID] = s.number
			s.must(s.own.publish(m.topic(), m.raw, true, m.head.ID))
			s.alive()
			time.Sleep(s.cfg.Quiet)
			if s.own.count(m.head.ID) > 0 {
				s.fail("it was answered")
			}
		}},
		{6, "the head of the journal is kept, and given back", "Up: echo", true, func(s *scene) {
			kept := s.head(wire.Heads{})
			next := s.next(kept)
			if got := s.head(wire.Heads{Head: &next, Known: kept}); got == nil || *got != next {
				s.fail("a higher head, with what the wallet keeps as known, is not taken: %+v", got)
			}
		}},
		{7, "a head without what the wallet keeps replaces nothing", "Up: echo", true, func(s *scene) {
			first := s.next(s.head(wire.Heads{}))
			kept := s.head(wire.Heads{Head: &first, Known: s.head(wire.Heads{})})
			if kept == nil {
				s.fail("no head is kept")
			}
			higher := s.next(kept)
			wrong := wire.Head{Sequence: kept.Sequence, Hash: wire.DigestOf([]byte("another journal"))}
			for _, h := range []wire.Heads{{Head: &higher}, {Head: &higher, Known: &wrong}, {Head: kept, Known: &higher}} {
				if got := s.head(h); got == nil || *got != *kept {
					s.fail("the head %+v was replaced by %+v", kept, got)
				}
			}
		}},
		{8, "nothing is kept for a terminal that connects anew", "Topics", true, func(s *scene) {
			s.taken(105)
			s.own.disconnect()
			s.must(s.own.connect())
			s.alive()
			time.Sleep(s.cfg.Quiet) // a retained answer would be among the strays
		}},
	}
}

// head sends heads in an echo and gives what the wallet keeps.
func (s *scene) head(h wire.Heads) *wire.Head {
	a, ok := s.ask(s.seal(wire.Echo{Heads: h})).message.Data.(wire.EchoAnswer)
	if !ok {
		s.fail("the echo was answered by something else")
	}
	return a.Head
}

// next is a head above another.
func (s *scene) next(h *wire.Head) wire.Head {
	s.sequence++
	n := wire.Head{Sequence: s.sequence, Hash: wire.DigestOf(bytes.Repeat([]byte{byte(s.sequence)}, 8))}
	if h != nil && h.Sequence >= n.Sequence {
		n.Sequence = h.Sequence + 1
	}
	return n
}
