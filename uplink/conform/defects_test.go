package conform

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend"
)

// liar is the reference wallet with one defect planted between it and the broker.
// It has every key, the terminals' own among them, so that it can do wrong in
// genuine messages.
type liar struct {
	honest handler
	wallet *wire.Wallet
	kit    *Kit
	defect func(l *liar, topic string, raw []byte, m *wire.Message) ([]backend.Publication, bool)
	dead   bool
}

func newLiar(b *bench, k *Kit, defect func(*liar, string, []byte, *wire.Message) ([]backend.Publication, bool)) *liar {
	l := &liar{honest: b.service(), kit: k, defect: defect}
	var err error
	l.wallet, err = wire.NewWallet(wire.WalletKeys{Signing: b.keys.Signing, Decryption: b.keys.Decryption,
		Terminal: func(a wire.Address, _ string) (ed25519.PublicKey, error) {
			if id, ok := l.identity(a); ok {
				return id.key.Public().(ed25519.PublicKey), nil
			}
			return nil, nil
		}})
	b.must(err)
	return l
}

func (l *liar) identity(a wire.Address) (identity, bool) {
	for _, id := range []identity{l.kit.own, l.kit.neighbour, l.kit.stranger} {
		if id.address == a {
			return id, true
		}
	}
	return identity{}, false
}

// Handle lets the defect answer, and the honest wallet where it does not.
func (l *liar) Handle(ctx context.Context, topic string, payload []byte) ([]backend.Publication, error) {
	if l.dead {
		return nil, nil
	}
	messages, err := wire.Split(topic, payload)
	if err != nil || len(messages) != 1 {
		if out, done := l.defect(l, topic, payload, nil); done {
			return out, nil
		}
		return l.honest.Handle(ctx, topic, payload)
	}
	m, _ := l.wallet.Open(topic, payload)
	if out, done := l.defect(l, topic, payload, m); done {
		return out, nil
	}
	return l.honest.Handle(ctx, topic, payload)
}

// forward gives the honest wallet another message of the terminal instead, and
// makes its answer one to the message that came.
func (l *liar) forward(m *wire.Message, h wire.Header, d wire.Data, edit func(wire.Data) wire.Data) []backend.Publication {
	id, _ := l.identity(m.Terminal)
	st, err := newStation(&Config{Kit: l.kit}, id)
	if err != nil {
		panic(err)
	}
	raw, err := st.wire.Seal(h, d)
	if err != nil {
		panic(err)
	}
	out, err := l.honest.Handle(context.Background(), m.Terminal.UpTopic(d.Kind()), raw)
	if err != nil || len(out) == 0 { // beside its answer come warnings
		return nil
	}
	answer, err := st.wire.Open(out[0].Topic, out[0].Payload)
	if err != nil {
		panic(err)
	}
	return l.say(m, edit(answer.Data))
}

// say seals an answer to m.
func (l *liar) say(m *wire.Message, d wire.Data) []backend.Publication {
	switch a := d.(type) {
	case wire.Receipt:
		a.Answer, a.Sequence = m.Reply(), m.Sequence
		d = a
	case wire.Status:
		a.Answer = m.Reply()
		d = a
	case wire.ReconciliationAnswer:
		a.Answer = m.Reply()
		d = a
	}
	return l.seal(m.Terminal, d)
}

func (l *liar) seal(to wire.Address, d wire.Data) []backend.Publication {
	raw, err := l.wallet.Seal(to, wire.Header{ID: newID(time.Now()), Time: time.Now()}, d)
	if err != nil {
		panic(err)
	}
	return []backend.Publication{{Topic: to.DownTopic(d.Kind()), Payload: raw}}
}

// same forwards a message as it is and edits the answer.
func (l *liar) same(m *wire.Message, edit func(wire.Data) wire.Data) []backend.Publication {
	out, err := l.honest.Handle(context.Background(), m.Terminal.UpTopic(m.Kind), m.Raw)
	if err != nil || len(out) == 0 { // beside its answer come warnings
		return nil
	}
	id, _ := l.identity(m.Terminal)
	st, err := newStation(&Config{Kit: l.kit}, id)
	if err != nil {
		panic(err)
	}
	answer, err := st.wire.Open(out[0].Topic, out[0].Payload)
	if err != nil {
		panic(err)
	}
	return l.say(m, edit(answer.Data))
}

func asItIs(d wire.Data) wire.Data { return d }

// defects are what a backend's authors may get wrong, and the case that tells.
var defects = []struct {
	name   string
	caught int
	defect func(l *liar, topic string, raw []byte, m *wire.Message) ([]backend.Publication, bool)
}{
	{"seals a new answer for a repetition", 11, func(l *liar, _ string, _ []byte, m *wire.Message) ([]backend.Publication, bool) {
		if m == nil || m.Kind != wire.KindAuthorisation {
			return nil, false
		}
		return l.same(m, asItIs), true
	}},
	{"names the hash of the payload instead of the message's", 1, func(l *liar, _ string, _ []byte, m *wire.Message) ([]backend.Publication, bool) {
		if m == nil || m.Kind != wire.KindEcho {
			return nil, false
		}
		return l.seal(m.Terminal, wire.EchoAnswer{Answer: wire.Answer{Answers: m.ID, AnswersSHA256: wire.DigestOf([]byte("payload"))}}), true
	}},
	{"answers what nobody has signed", 90, func(l *liar, _ string, raw []byte, m *wire.Message) ([]backend.Publication, bool) {
		var e struct {
			ID   wire.ID    `json:"id"`
			Data wire.Query `json:"data"`
		}
		if m != nil || json.Unmarshal(raw, &e) != nil || e.ID == (wire.ID{}) {
			return nil, false
		}
		return l.say(&wire.Message{Header: wire.Header{ID: e.ID}, Terminal: l.kit.own.address, Raw: raw},
			wire.Status{PaymentID: e.Data.PaymentID, State: wire.StateUnknown}), true
	}},
	{"does not verify signatures", 93, func(l *liar, topic string, raw []byte, m *wire.Message) ([]backend.Publication, bool) {
		part := bytes.Split(raw, []byte("."))
		if m != nil || len(part) != 3 {
			return nil, false
		}
		s := &scene{}
		mended := sign(l.kit.own.key, header(l.kit.own.key), s.payload(raw))
		opened, err := l.wallet.Open(topic, mended)
		if err != nil {
			return nil, false
		}
		opened.Raw = raw
		q, ok := opened.Data.(wire.Query)
		if !ok {
			return nil, false
		}
		return l.say(opened, wire.Status{PaymentID: q.PaymentID, State: wire.StateUnknown}), true
	}},
	{"keeps no tombstone", 41, func(l *liar, _ string, _ []byte, m *wire.Message) ([]backend.Publication, bool) {
		if m == nil || m.Kind != wire.KindReversal {
			return nil, false
		}
		p := m.Data.(wire.Reversal)
		return l.say(m, wire.Receipt{PaymentID: p.PaymentID, Result: wire.Accepted, State: wire.StateReversed, WalletRef: "W"}), true
	}},
	{"reverses in words only", 43, func(l *liar, _ string, _ []byte, m *wire.Message) ([]backend.Publication, bool) {
		if m == nil || m.Kind != wire.KindReversal {
			return nil, false
		}
		p := m.Data.(wire.Reversal)
		return l.say(m, wire.Receipt{PaymentID: p.PaymentID, Result: wire.Accepted, State: wire.StateReversed, AmountMinor: p.AmountMinor, WalletRef: "W"}), true
	}},
	{"does not add refunds up", 53, func(l *liar, _ string, _ []byte, m *wire.Message) ([]backend.Publication, bool) {
		if m == nil || m.Kind != wire.KindRefund {
			return nil, false
		}
		return l.same(m, func(d wire.Data) wire.Data {
			if r := d.(wire.Receipt); r.Result == wire.Refused {
				r.Result, r.Reason, r.AmountMinor = wire.Accepted, 0, m.Data.(wire.Refund).AmountMinor
				return r
			}
			return d
		}), true
	}},
	{"does not know a refund by its id", 55, func(l *liar, _ string, _ []byte, m *wire.Message) ([]backend.Publication, bool) {
		if m == nil || m.Kind != wire.KindRefund {
			return nil, false
		}
		r := m.Data.(wire.Refund)
		r.RefundID = newID(time.Now())
		return l.forward(m, m.Header, r, asItIs), true
	}},
	{"does not look at the number", 71, func(l *liar, _ string, _ []byte, m *wire.Message) ([]backend.Publication, bool) {
		if m == nil || m.Kind != wire.KindAdvice {
			return nil, false
		}
		h := m.Header
		h.Sequence = uint64(time.Now().UnixNano()) % wire.MaxSequence
		return l.forward(m, h, m.Data, asItIs), true
	}},
	{"tells everybody of every payment", 81, func(l *liar, _ string, _ []byte, m *wire.Message) ([]backend.Publication, bool) {
		if m == nil || m.Kind != wire.KindQuery || m.Terminal == l.kit.own.address {
			return nil, false
		}
		return l.say(m, wire.Status{PaymentID: m.Data.(wire.Query).PaymentID, State: wire.StateTaken, AmountMinor: 160}), true
	}},
	{"answers only the first of a batch", 120, func(l *liar, topic string, raw []byte, m *wire.Message) ([]backend.Publication, bool) {
		messages, err := wire.Split(topic, raw)
		if m != nil || err != nil || len(messages) < 2 {
			return nil, false
		}
		out, _ := l.honest.Handle(context.Background(), topic, messages[0])
		return out, true
	}},
	{"drops a batch for one bad message", 122, func(l *liar, topic string, raw []byte, m *wire.Message) ([]backend.Publication, bool) {
		messages, err := wire.Split(topic, raw)
		if m != nil || err != nil || len(messages) < 2 {
			return nil, false
		}
		bad := slices.ContainsFunc(messages, func(one []byte) bool { _, err := l.wallet.Open(topic, one); return err != nil })
		return nil, bad
	}},
	{"leaves bad data unanswered", 117, func(l *liar, topic string, raw []byte, m *wire.Message) ([]backend.Publication, bool) {
		var bad *wire.DataError
		_, err := l.wallet.Open(topic, raw)
		return nil, errors.As(err, &bad)
	}},
	{"reads a later version as its own", 110, func(l *liar, topic string, raw []byte, m *wire.Message) ([]backend.Publication, bool) {
		var bad *wire.DataError
		if m != nil || len(bytes.Split(raw, []byte("."))) != 3 {
			return nil, false
		}
		payload := (&scene{}).payload(raw)
		mended := sign(l.kit.own.key, header(l.kit.own.key), bytes.Replace(payload, []byte("query.v2"), []byte("query.v1"), 1))
		opened, err := l.wallet.Open(topic, mended)
		if err != nil || errors.As(err, &bad) {
			return nil, false
		}
		opened.Raw = raw
		return l.say(opened, wire.Status{PaymentID: opened.Data.(wire.Query).PaymentID, State: wire.StateUnknown}), true
	}},
	{"dies of a large message", 114, func(l *liar, _ string, raw []byte, _ *wire.Message) ([]backend.Publication, bool) {
		l.dead = len(raw) > wire.MaxMessage
		return nil, l.dead
	}},
	{"finds that every day matches", 131, func(l *liar, _ string, _ []byte, m *wire.Message) ([]backend.Publication, bool) {
		if m == nil || m.Kind != wire.KindReconciliation {
			return nil, false
		}
		q := m.Data.(wire.Reconciliation)
		return l.same(m, func(d wire.Data) wire.Data {
			a := d.(wire.ReconciliationAnswer)
			if len(a.Ranges) == 0 {
				a.Match, a.Summary, a.Refunds = true, q.Summary, q.Refunds
			}
			return a
		}), true
	}},
	{"leaves reversed payments out of the items", 136, func(l *liar, _ string, _ []byte, m *wire.Message) ([]backend.Publication, bool) {
		if m == nil || m.Kind != wire.KindReconciliation {
			return nil, false
		}
		return l.same(m, func(d wire.Data) wire.Data {
			a := d.(wire.ReconciliationAnswer)
			for n := range a.Ranges {
				r := &a.Ranges[n]
				if r.Match || r.Middle != nil {
					continue
				}
				r.Items = slices.DeleteFunc(r.Items, func(i wire.Item) bool { return i.State == wire.ItemReversed })
				r.Summary = wire.Summarise(a.Currency, r.Items)
			}
			return a
		}), true
	}},
	{"publishes receipts on the topic of states", 10, func(l *liar, _ string, _ []byte, m *wire.Message) ([]backend.Publication, bool) {
		if m == nil || m.Kind != wire.KindAuthorisation {
			return nil, false
		}
		out := l.same(m, asItIs)
		out[0].Topic = m.Terminal.DownTopic(wire.KindStatus)
		return out, true
	}},
	{"replaces the head by an older journal's", 7, func(l *liar, _ string, _ []byte, m *wire.Message) ([]backend.Publication, bool) {
		if m == nil || m.Kind != wire.KindEcho || m.Data.(wire.Echo).Head == nil {
			return nil, false
		}
		return l.seal(m.Terminal, wire.EchoAnswer{Answer: m.Reply(), Head: m.Data.(wire.Echo).Head}), true
	}},
}

// Each planted defect is caught by the case that is named beside it.
func TestPlantedDefectsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for answers that do not come")
	}
	b := newBench(t)
	k := b.kit()
	cfg := b.config(k)
	cfg.Patience, cfg.Seen = 2*time.Second, nil
	for _, d := range defects {
		b.use(newLiar(b, k, d.defect))
		cfg.Only = []int{d.caught}
		report, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if report.Failed != 1 {
			t.Errorf("a wallet that %s: case %d says %s", d.name, d.caught, report.Cases[0].Outcome)
			continue
		}
		t.Logf("%-55s %3d: %s", d.name, d.caught, report.Cases[0].Why)
	}
}

// A broker keeps what is published retained: the suite hears it on its next connection.
func TestRetainedAnswersAreSeen(t *testing.T) {
	b := newBench(t)
	k := b.kit()
	cfg := b.config(k)
	cfg.Only = []int{8}
	l := newLiar(b, k, nil)
	st, err := newStation(&cfg, k.neighbour)
	b.must(err)
	b.must(st.connect())
	defer st.disconnect()
	for _, p := range l.seal(k.own.address, wire.EchoAnswer{Answer: wire.Answer{Answers: newID(time.Now()), AnswersSHA256: wire.DigestOf(nil)}}) {
		b.must(st.publish(p.Topic, p.Payload, true))
	}
	report, err := Run(t.Context(), cfg)
	b.must(err)
	if report.Failed != 1 {
		t.Errorf("case 8 says %s", report.Cases[0].Outcome)
	}
}
