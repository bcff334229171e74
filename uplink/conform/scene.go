package conform

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
)

// scene is what a case plays on.
type scene struct {
	*runner
	ctx    context.Context
	number int
}

// sent is a message ready to be published, perhaps more than once.
type sent struct {
	from *station
	kind wire.Kind
	head wire.Header
	data wire.Data
	raw  []byte
}

func (m sent) topic() string { return m.from.address.UpTopic(m.kind) }

func (s *scene) fail(format string, args ...any) {
	panic(stopped{Failed, oneLine(fmt.Sprintf(format, args...))})
}

func (s *scene) skip(why string) { panic(stopped{Skipped, why}) }

// must ends the case on trouble of the suite itself: broker, kit or phone.
func (s *scene) must(err error) {
	if err != nil {
		s.fail("the suite itself could not go on: %v", err)
	}
}

func (s *scene) neighbour() *station { return s.others[0] }
func (s *scene) stranger() *station  { return s.others[1] }

// header is that of the next message.
func (s *scene) header(k wire.Kind) wire.Header {
	now := time.Now()
	h := wire.Header{ID: newID(now), Time: now}
	switch k {
	case wire.KindAuthorisation, wire.KindAdvice, wire.KindReport, wire.KindReversal, wire.KindRefund:
		s.sequence++
		h.Sequence = s.sequence
	}
	return h
}

// seal makes a message of the own terminal.
func (s *scene) seal(d wire.Data) sent { return s.sealAs(s.own, s.header(d.Kind()), d) }

func (s *scene) sealAs(st *station, h wire.Header, d wire.Data) sent {
	raw, err := st.wire.Seal(h, d)
	s.must(err)
	return sent{st, d.Kind(), h, d, raw}
}

// day is the business day of all that the suite does.
func (s *scene) day() string { return s.began.Format(time.DateOnly) }

// about is a payment without a tap.
func (s *scene) about(amount int64) wire.Payment {
	now := time.Now()
	id := newID(now)
	return wire.Payment{PaymentID: id, OrderRef: "conform " + id.String()[24:], AmountMinor: amount, Currency: s.cfg.Kit.currency,
		BusinessDay: s.day(), AcceptedAt: wire.At(now)}
}

// tapped adds the evidence of a tap.
func (s *scene) tapped(p wire.Payment, card string, ask byte, kind wire.RecordKind) wire.Payment {
	return s.tappedAt(s.own, p, s.cfg.Kit.phones[card], ask, kind)
}

func (s *scene) tappedAt(st *station, p wire.Payment, phone backendtest.Phone, ask byte, kind wire.RecordKind) wire.Payment {
	currency, ok := currencies[s.cfg.Kit.currency]
	if !ok {
		s.skip("the kit's currency is not one that the test phones know")
	}
	record, _, err := backendtest.Tap{Payment: p.PaymentID, Amount: p.AmountMinor, Currency: currency, Ask: ask, Refund: kind == 6,
		Connected: ask == backendtest.AskARQC, Merchant: st.address.Merchant, Terminal: fmt.Sprintf("%-8s", st.scheme),
		At: p.AcceptedAt.Time, Kind: byte(kind)}.Do(phone)
	s.must(err)
	p.RecordKind, p.Record = kind, wire.NewRecord(record)
	return p
}

// currencies that test phones can have: ISO 4217 letters to numeric.
var currencies = map[string][2]byte{"CNY": {0x01, 0x56}, "HKD": {0x03, 0x44}, "USD": {0x08, 0x40}, "EUR": {0x09, 0x78}}

// online and offline are the two payments that a good card makes.
func (s *scene) online(amount int64) wire.Authorisation {
	return wire.Authorisation{Payment: s.tapped(s.about(amount), cardPayer, backendtest.AskARQC, 2)}
}

func (s *scene) offline(amount int64) wire.Advice {
	return wire.Advice{Payment: s.tapped(s.about(amount), cardPayer, backendtest.AskTC, 1)}
}

// taken makes a payment that the wallet has taken.
func (s *scene) taken(amount int64) wire.Payment {
	p := s.offline(amount).Payment
	s.accepted(s.receipt(s.seal(wire.Advice{Payment: p})), wire.StateTaken, amount)
	p.RecordKind, p.Record = 0, wire.Record{} // whoever names it later needs no evidence
	return p
}

// ask publishes a message and gives the next answer to it. What is lost on the way
// is published again, as a terminal does.
func (s *scene) ask(m sent) arrival {
	n := m.from.count(m.head.ID)
	const tries = 3
	for range tries {
		s.must(m.from.publish(m.topic(), m.raw, false, m.head.ID))
		if a, ok := m.from.await(s.ctx, m.head.ID, n, s.cfg.Patience/tries); ok {
			return s.checked(m, a)
		}
	}
	s.must(s.ctx.Err())
	s.fail("no answer to the %s within %v", m.kind, s.cfg.Patience)
	return arrival{}
}

// checked holds what is true of every answer.
func (s *scene) checked(m sent, a arrival) arrival {
	named, _ := wire.Answers(a.message.Data)
	switch {
	case named.AnswersSHA256 != wire.DigestOf(m.raw):
		s.fail("answers_sha256 is not that of the bytes that were sent")
	case a.message.Terminal != m.from.address:
		s.fail("the answer is addressed to another terminal")
	}
	return a
}

// receipt asks and wants a receipt about the same payment and number.
func (s *scene) receipt(m sent) wire.Receipt { return s.readReceipt(m, s.ask(m)) }

func (s *scene) readReceipt(m sent, a arrival) wire.Receipt {
	r, ok := a.message.Data.(wire.Receipt)
	if !ok {
		s.fail("the %s was answered by %s", m.kind, a.message.Kind)
	}
	if p, ok := paymentOf(m.data); ok && r.PaymentID != p {
		s.fail("the receipt is about payment %s, the message about %s", r.PaymentID, p)
	}
	if r.Sequence != m.head.Sequence {
		s.fail("the receipt names sequence %d, the message had %d", r.Sequence, m.head.Sequence)
	}
	return r
}

func paymentOf(d wire.Data) (wire.ID, bool) {
	switch d := d.(type) {
	case wire.Authorisation:
		return d.PaymentID, true
	case wire.Advice:
		return d.PaymentID, true
	case wire.Report:
		return d.PaymentID, true
	case wire.Reversal:
		return d.PaymentID, true
	case wire.Refund:
		return d.PaymentID, true
	case wire.Query:
		return d.PaymentID, true
	}
	return wire.ID{}, false
}

// accepted holds a receipt that says yes.
func (s *scene) accepted(r wire.Receipt, state wire.PaymentState, moved int64) {
	if r.Result != wire.Accepted || r.State != state || r.AmountMinor != moved {
		s.fail("want accepted, %s and %d moved; got %s, %s, reason %s and %d", state, moved, r.Result, r.State, r.Reason, r.AmountMinor)
	}
}

// refused holds a receipt that says no, with one of the reasons if any is given.
func (s *scene) refused(r wire.Receipt, state wire.PaymentState, reasons ...wire.Reason) {
	if r.Result != wire.Refused || r.State != state || r.AmountMinor != 0 {
		s.fail("want refused, %s and nothing moved; got %s, %s and %d", state, r.Result, r.State, r.AmountMinor)
	}
	for _, want := range reasons {
		if r.Reason == want {
			return
		}
	}
	if len(reasons) > 0 {
		s.fail("refused with reason %s, want %v", r.Reason, reasons)
	}
}

// status asks what is known of a payment.
func (s *scene) status(st *station, payment wire.ID) wire.Status {
	m := s.sealAs(st, s.header(wire.KindQuery), wire.Query{PaymentID: payment})
	a := s.ask(m)
	status, ok := a.message.Data.(wire.Status)
	if !ok || status.PaymentID != payment {
		s.fail("the query was answered by %s", a.message.Kind)
	}
	return status
}

// stands holds what the wallet knows of an own payment.
func (s *scene) stands(payment wire.ID, state wire.PaymentState) wire.Status {
	status := s.status(s.own, payment)
	if status.State != state {
		s.fail("the payment is %s at the wallet, want %s", status.State, state)
	}
	return status
}

// again publishes a message once more and wants the bytes of the first answer.
func (s *scene) again(m sent, first arrival) {
	if a := s.ask(m); !bytes.Equal(a.raw, first.raw) {
		s.fail("the same message got another answer, not the same bytes")
	}
}

// unanswered publishes what nobody may answer, and holds that the backend is
// still there, and silent about it.
func (s *scene) unanswered(st *station, topic string, raw []byte, ids ...wire.ID) {
	for _, id := range ids {
		s.silent[id] = s.number
	}
	s.must(st.publish(topic, raw, false, ids...))
	s.alive()
	time.Sleep(s.cfg.Quiet)
	for _, id := range ids {
		for _, each := range s.stations() {
			if each.count(id) > 0 {
				s.fail("it was answered")
			}
		}
	}
}

// alive holds that the backend answers an echo.
func (s *scene) alive() { s.ask(s.seal(wire.Echo{})) }
