package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestBatch(t *testing.T) {
	p := newParties(t)
	var up, down [][]byte
	for n := range byte(5) {
		a := Advice{payment(1)}
		a.PaymentID = testID(n + 1)
		h := headerFor(a)
		h.ID, h.Sequence = testID(100+n), uint64(n)+1
		raw, err := p.terminal.Seal(h, a)
		if err != nil {
			t.Fatal(err)
		}
		m, err := p.wallet.Open(till.UpTopic(KindAdvice), raw)
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := p.wallet.Seal(till, headerFor(Echo{}), Receipt{Answer: m.Reply(), PaymentID: a.PaymentID, Sequence: m.Sequence,
			Result: Accepted, State: StateTaken, AmountMinor: 1250, WalletRef: "W-1"})
		if err != nil {
			t.Fatal(err)
		}
		up, down = append(up, raw), append(down, receipt)
	}
	for _, c := range []struct {
		topic string
		sent  [][]byte
		open  func(string, []byte) (*Message, error)
	}{{till.UpTopic(KindBatch), up, p.wallet.Open}, {till.DownTopic(KindBatch), down, p.terminal.Open}} {
		joined, err := Join(c.sent)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Split(c.topic, joined)
		if err != nil || len(got) != len(c.sent) {
			t.Fatalf("%s: %d messages, %v", c.topic, len(got), err)
		}
		for n, raw := range got {
			m, err := c.open(c.topic, raw)
			if err != nil || !bytes.Equal(m.Raw, c.sent[n]) {
				t.Errorf("%s: message %d: %v", c.topic, n, err)
			}
		}
	}
	// One bad message spoils none of the others.
	up[2] = append(bytes.Clone(up[2]), 'A')
	joined, _ := Join(up)
	got, err := Split(till.UpTopic(KindBatch), joined)
	if err != nil {
		t.Fatal(err)
	}
	for n, raw := range got {
		if _, err := p.wallet.Open(till.UpTopic(KindBatch), raw); (err != nil) != (n == 2) {
			t.Errorf("message %d: %v", n, err)
		}
	}
}

func TestBatchBounds(t *testing.T) {
	topic := till.UpTopic(KindBatch)
	many := make([][]byte, MaxBatch+1)
	for n := range many {
		many[n] = fmt.Appendf(nil, "m%d", n)
	}
	if _, err := Join(many); err == nil {
		t.Error("Join takes more than a batch")
	}
	if _, err := Join(nil); err == nil {
		t.Error("Join makes a batch of nothing")
	}
	if _, err := Join([][]byte{make([]byte, MaxMessage), {1}}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Join: %v", err)
	}
	if _, err := Split(topic, bytes.Join(many, []byte("\n"))); Fault(err) != "too_large" {
		t.Errorf("Split takes more than a batch: %v", err)
	}
	if got, err := Split(topic, bytes.Join(many[1:], []byte("\n"))); err != nil || len(got) != MaxBatch {
		t.Errorf("the fullest batch: %d, %v", len(got), err)
	}
	if _, err := Split(topic, make([]byte, MaxMessage+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Split: %v", err)
	}
	for _, bad := range []string{"", "\n", "a\n", "\na", "a\n\nb"} {
		if got, err := Split(topic, []byte(bad)); err == nil {
			t.Errorf("%q: %q", bad, got)
		}
	}
	if got, err := Split(till.UpTopic(KindAdvice), []byte("a\nb")); err != nil || len(got) != 1 {
		t.Errorf("another topic: %q, %v", got, err)
	}
}

// Only money goes up together, only receipts come down together.
func TestWhatMayTravelInABatch(t *testing.T) {
	p := newParties(t)
	for name, d := range everyData() {
		raw, err := p.seal(headerFor(d), d)
		if err != nil {
			t.Fatal(err)
		}
		open, topic := p.terminal.Open, till.DownTopic(KindBatch)
		if upDecoder(d.Kind()) != nil {
			open, topic = p.wallet.Open, till.UpTopic(KindBatch)
		}
		_, err = open(topic, raw)
		if may := d.Kind().money() || d.Kind() == KindReceipt; may != (err == nil) || !may && !errors.Is(err, ErrForeign) {
			t.Errorf("%s in a batch: %v", name, err)
		}
	}
}

func TestFaults(t *testing.T) {
	p := newParties(t)
	terminal, stranger := testEd25519(1), testEd25519(9)
	query := everyData()["query"]
	payload := payloadOf(t, p, query)
	topic := till.UpTopic(KindQuery)
	good, err := p.seal(headerFor(query), query)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		topic string
		raw   []byte
		want  string
	}{
		"no signature at all":         {topic, []byte(payload), "unsigned"},
		"alg none":                    {topic, forge(terminal, `{"alg":"none","kid":"x","typ":"`+jwsType+`"}`, payload), "unsigned"},
		"an evidence file":            {topic, forge(terminal, strings.Replace(goodHeader(terminal), jwsType, evidenceType, 1), payload), "unsigned"},
		"a stranger's key":            {topic, forge(stranger, goodHeader(stranger), payload), "unknown_key"},
		"a stranger under its kid":    {topic, forge(stranger, goodHeader(terminal), payload), "bad_signature"},
		"on another terminal's topic": {other.UpTopic(KindQuery), good, "unknown_key"},
		"from another merchant":       {topic, forge(terminal, goodHeader(terminal), strings.ReplaceAll(payload, "noodle-bar", "tea-house")), "elsewhere"},
		"on another kind's topic":     {till.UpTopic(KindEcho), good, "elsewhere"},
		"of a later version":          {topic, forge(terminal, goodHeader(terminal), strings.Replace(payload, "query.v1", "query.v2", 1)), "unknown_type"},
		"of another contract":         {topic, forge(terminal, goodHeader(terminal), strings.Replace(payload, `"specversion":"1.0"`, `"specversion":"2.0"`, 1)), "malformed"},
		"with bad data":               {topic, forge(terminal, goodHeader(terminal), strings.Replace(payload, `"data":{`, `"data":{"payment_id":"x",`, 1)), "bad_data"},
		"too large":                   {topic, make([]byte, MaxMessage+1), "too_large"},
	} {
		if _, err := p.wallet.Open(c.topic, c.raw); err == nil || Fault(err) != c.want {
			t.Errorf("%s: %q (%v), want %q", name, Fault(err), err, c.want)
		}
	}
}
