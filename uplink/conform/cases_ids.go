package conform

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"time"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
)

// protocol is the reason for what is genuine and not acceptable (scheme.md 10).
const protocol wire.Reason = 0x2A

func numberCases() []testCase {
	return []testCase{
		{70, "the same message id with other content is refused", "Exactly once, 2", true, func(s *scene) {
			before := s.books()
			m := s.seal(s.offline(220))
			first := s.ask(m)
			other := s.offline(240)
			h := s.header(wire.KindAdvice)
			h.ID = m.head.ID
			r := s.receipt(s.sealAs(s.own, h, other))
			s.refused(r, wire.StateUnknown, protocol)
			s.stands(other.PaymentID, wire.StateUnknown)
			s.again(m, first)
			s.grew(before, 1, 220)
		}},
		{71, "a known number with other content is refused", "Exactly once, 4", true, func(s *scene) {
			before := s.books()
			m := s.seal(s.offline(220))
			s.accepted(s.receipt(m), wire.StateTaken, 220)
			other := s.offline(240)
			h := s.header(wire.KindAdvice)
			h.Sequence = m.head.Sequence
			s.refused(s.receipt(s.sealAs(s.own, h, other)), wire.StateUnknown, protocol)
			s.stands(other.PaymentID, wire.StateUnknown)
			s.grew(before, 1, 220)
		}},
		{72, "what was refused for its number can be sent under another", "Exactly once, 4", true, func(s *scene) {
			m := s.seal(s.offline(220))
			s.accepted(s.receipt(m), wire.StateTaken, 220)
			other := s.offline(240)
			h := s.header(wire.KindAdvice)
			h.Sequence = m.head.Sequence
			s.refused(s.receipt(s.sealAs(s.own, h, other)), wire.StateUnknown, protocol)
			s.accepted(s.receipt(s.seal(other)), wire.StateTaken, 240)
		}},
		{73, "numbers may fall, and have gaps", "Exactly once, 4", true, func(s *scene) {
			s.sequence += 1000
			for _, back := range []uint64{0, 500, 900, 100} {
				d := s.offline(110)
				h := s.header(wire.KindAdvice)
				h.Sequence -= back
				s.accepted(s.receipt(s.sealAs(s.own, h, d)), wire.StateTaken, 110)
			}
		}},
		{74, "ten payments in any order, each sent three times, are taken once", "Exactly once", true, func(s *scene) {
			before := s.books()
			var all []sent
			for range 10 {
				all = append(all, s.seal(s.offline(100)))
			}
			shuffled := append(append(append([]sent{}, all...), all...), all...)
			rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			for _, m := range shuffled {
				s.must(m.from.publish(m.topic(), m.raw, false, m.head.ID))
			}
			for _, m := range all {
				first, ok := m.from.await(s.ctx, m.head.ID, 0, s.cfg.Patience)
				if !ok {
					s.fail("a payment was not answered")
				}
				s.accepted(s.readReceipt(m, s.checked(m, first)), wire.StateTaken, 100)
			}
			s.grew(before, 10, 1000)
		}},
	}
}

func otherCases() []testCase {
	const rule = "Who may say what"
	return []testCase{
		{80, "another terminal may use the same numbers and the same message ids", "Exactly once, 2", true, func(s *scene) {
			m := s.seal(s.offline(180))
			s.accepted(s.receipt(m), wire.StateTaken, 180)
			p := s.tappedAt(s.neighbour(), s.about(190), s.cfg.Kit.phones[cardPayer], backendtest.AskTC, 1)
			s.accepted(s.receipt(s.sealAs(s.neighbour(), m.head, wire.Advice{Payment: p})), wire.StateTaken, 190)
		}},
		{81, "another terminal learns nothing of a payment", rule, true, func(s *scene) {
			p := s.taken(160)
			for _, st := range s.others {
				status := s.status(st, p.PaymentID)
				if status.State != wire.StateUnknown || status.Receipt != nil || status.AmountMinor != 0 {
					s.fail("%s was told %s of a payment that is not its own", st.address, status.State)
				}
			}
		}},
		{82, "another terminal reverses nothing", rule, true, func(s *scene) {
			p := s.taken(160)
			for _, st := range s.others {
				r := s.receipt(s.sealAs(st, s.header(wire.KindReversal), wire.Reversal{Payment: p}))
				s.refused(r, wire.StateUnknown, protocol)
			}
			s.stands(p.PaymentID, wire.StateTaken)
		}},
		{83, "another terminal refunds nothing", rule, true, func(s *scene) {
			p := s.taken(160)
			for _, st := range s.others {
				r := s.receipt(s.sealAs(st, s.header(wire.KindRefund), refund(p, 160)))
				s.refused(r, wire.StateUnknown, protocol)
			}
			s.stands(p.PaymentID, wire.StateTaken)
		}},
		{84, "the books of another terminal are its own", "Reconciliation", true, func(s *scene) {
			s.taken(160)
			mine := s.books()
			theirs := s.booksOf(s.stranger())
			if theirs.Count >= mine.Count {
				s.fail("the stranger's day has %d payments, the suite's own %d", theirs.Count, mine.Count)
			}
		}},
	}
}

func genuineCases() []testCase {
	const rule = "Signature"
	query := func(s *scene) sent { return s.seal(wire.Query{PaymentID: newID(time.Now())}) }
	// changed publishes a query under another header, signed by a key.
	changed := func(h func(s *scene) string) func(*scene) {
		return func(s *scene) {
			m := query(s)
			s.unanswered(s.own, m.topic(), sign(s.own.key, h(s), s.payload(m.raw)), m.head.ID)
		}
	}
	return []testCase{
		{90, "what is not signed is dropped", rule, true, func(s *scene) {
			m := query(s)
			s.unanswered(s.own, m.topic(), s.payload(m.raw), m.head.ID)
		}},
		{91, "alg none is dropped", rule, true, func(s *scene) {
			m := query(s)
			raw := sign(s.own.key, `{"alg":"none","kid":"`+wire.KeyID(s.own.key.Public())+`","typ":"`+messageType+`"}`, s.payload(m.raw))
			s.unanswered(s.own, m.topic(), raw[:len(raw)-86], m.head.ID)
		}},
		{92, "a stranger's signature is dropped", rule, true, func(s *scene) {
			m, k := query(s), s.stranger().key
			s.unanswered(s.own, m.topic(), sign(k, header(k), s.payload(m.raw)), m.head.ID)
		}},
		{93, "a stranger's signature under the terminal's kid is dropped", rule, true, func(s *scene) {
			m := query(s)
			s.unanswered(s.own, m.topic(), sign(s.stranger().key, header(s.own.key), s.payload(m.raw)), m.head.ID)
		}},
		{94, "a changed payload is dropped", rule, true, func(s *scene) {
			d := s.offline(100)
			m := s.seal(d)
			raw := append([]byte{}, m.raw...)
			raw[len(raw)/2] ^= 1
			s.unanswered(s.own, m.topic(), raw, m.head.ID)
			s.stands(d.PaymentID, wire.StateUnknown)
		}},
		{95, "a further member in the header is dropped", rule, true, changed(func(s *scene) string {
			return `{"alg":"EdDSA","kid":"` + wire.KeyID(s.own.key.Public()) + `","typ":"` + messageType + `","crit":["x"],"x":1}`
		})},
		{96, "another type of signature is dropped", rule, true, changed(func(s *scene) string {
			return `{"alg":"EdDSA","kid":"` + wire.KeyID(s.own.key.Public()) + `","typ":"tapkeeper.evidence.v1"}`
		})},
		{97, "a terminal's message on another terminal's topic is dropped", "Who may say what", true, func(s *scene) {
			m := query(s)
			s.unanswered(s.neighbour(), s.neighbour().address.UpTopic(m.kind), m.raw, m.head.ID)
		}},
		{98, "a terminal that calls itself another is dropped", "Who may say what", true, func(s *scene) {
			m := query(s)
			forged := s.edit(m, s.own.address.String(), s.stranger().address.String())
			s.unanswered(s.own, m.topic(), forged.raw, m.head.ID)
		}},
		{99, "a message on another kind's topic is dropped", "Who may say what", true, func(s *scene) {
			m := query(s)
			s.unanswered(s.own, s.own.address.UpTopic(wire.KindEcho), m.raw, m.head.ID)
		}},
		{100, "the wallet's own words, sent back to it, are dropped", "Who may say what", true, func(s *scene) {
			a := s.ask(query(s))
			s.unanswered(s.own, s.own.address.UpTopic(wire.KindReceipt), a.raw, a.message.ID)
		}},
	}
}

func malformedCases() []testCase {
	return []testCase{
		{110, "an unknown type is dropped, and harms nothing", "Later versions", true, func(s *scene) {
			m := s.edit(s.seal(wire.Query{PaymentID: newID(time.Now())}), "tapkeeper.query.v1", "tapkeeper.query.v2")
			s.unanswered(s.own, m.topic(), m.raw, m.head.ID)
		}},
		{111, "fields that are not known are ignored", "Later versions", true, func(s *scene) {
			m := s.field(s.seal(s.offline(130)), "a_later_field", map[string]any{"deep": []int{1, 2}})
			s.accepted(s.receipt(m), wire.StateTaken, 130)
		}},
		{112, "duplicate names are dropped", "Envelope", true, func(s *scene) {
			m := s.seal(wire.Query{PaymentID: newID(time.Now())})
			m = s.edit(m, `"specversion":"1.0"`, `"specversion":"1.0","specversion":"1.0"`)
			s.unanswered(s.own, m.topic(), m.raw, m.head.ID)
		}},
		{113, "what is not UTF-8 is dropped", "Envelope", true, func(s *scene) {
			m := s.seal(wire.Query{PaymentID: newID(time.Now())})
			m = s.edit(m, `"specversion":"1.0"`, "\"x\":\"\xff\",\"specversion\":\"1.0\"")
			s.unanswered(s.own, m.topic(), m.raw, m.head.ID)
		}},
		{114, "a message above 65,536 bytes is dropped, and harms nothing", "Signature", true, func(s *scene) {
			m := s.seal(wire.Query{PaymentID: newID(time.Now())})
			raw := s.oversized(m)
			s.unanswered(s.own, m.topic(), raw, m.head.ID)
		}},
		{115, "bytes that are no message are dropped, and harm nothing", "Signature", true, func(s *scene) {
			good := s.seal(wire.Query{PaymentID: newID(time.Now())}).raw
			for _, raw := range [][]byte{{}, {0}, []byte("."), []byte(".."), []byte("..."), []byte("{}"), []byte("null"), {0xff, 0xfe, 0xfd},
				append([]byte(" "), good...), append(append([]byte{}, good...), '='), append(append([]byte{}, good...), '\n'),
				good[:len(good)-1], good[:len(good)/2], append(append([]byte{}, good...), ".AAAA"...)} {
				s.must(s.own.publish(s.own.address.UpTopic(wire.KindQuery), raw, false))
			}
			s.alive()
		}},
		{116, "payloads that are no event are dropped, and harm nothing", "Envelope", true, func(s *scene) {
			for _, payload := range []string{"", "{}", "[]", "null", "7", `"x"`, "{", `{"specversion":"1.0"}`, `{"data":{}}`, "[[[[[[[[[[", `{"specversion":1}`} {
				s.must(s.own.publish(s.own.address.UpTopic(wire.KindQuery), sign(s.own.key, header(s.own.key), []byte(payload)), false))
			}
			s.alive()
		}},
		{117, "a genuine message with bad data is refused, not left unanswered", "Envelope", true, func(s *scene) {
			for name, value := range map[string]any{"amount_minor": 0, "currency": "cny", "business_day": "2026-02-30", "order_ref": "", "accepted_at": nil} {
				d := s.offline(120)
				s.refused(s.receipt(s.field(s.seal(d), name, value)), wire.StateUnknown, protocol)
				s.stands(d.PaymentID, wire.StateUnknown)
			}
		}},
		{118, "a record that cannot be opened is refused", "Up: money", true, func(s *scene) {
			d := s.offline(120)
			m := s.seal(d)
			broken := s.field(m, "record", "e30..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA")
			s.refused(s.receipt(broken), wire.StateUnknown, protocol)
		}},
		{119, "a sealed record moved to another payment is refused", "Up: money", true, func(s *scene) {
			d := s.offline(120)
			m := s.seal(d)
			other := newID(time.Now())
			moved := s.edit(s.edit(m, d.PaymentID.String(), other.String()), `"payment_id":"`+d.PaymentID.String(), `"payment_id":"`+other.String())
			moved.data = wire.Advice{Payment: wire.Payment{PaymentID: other}}
			s.refused(s.receipt(moved), wire.StateUnknown, protocol)
			s.stands(other, wire.StateUnknown)
		}},
	}
}

// oversized is a genuine message that is a few bytes too large.
func (s *scene) oversized(m sent) []byte {
	h := header(s.own.key)
	const signature, dots = 86, 2
	room := wire.MaxMessage - base64.RawURLEncoding.EncodedLen(len(h)) - signature - dots
	payload := s.payload(m.raw)
	filler := room*3/4 + 3 - len(payload) - len(`"filler":"",`)
	payload = append([]byte(`{"filler":"`+strings.Repeat("x", filler)+`",`), payload[1:]...)
	raw := sign(s.own.key, h, payload)
	if len(raw) <= wire.MaxMessage || len(raw) > wire.MaxMessage+16 {
		s.fail("the suite itself could not go on: made %d bytes", len(raw))
	}
	return raw
}
