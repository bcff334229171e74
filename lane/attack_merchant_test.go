package lane_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"testing"
	"time"

	"tapkeeper/emv"
	"tapkeeper/emv/tlv"
	"tapkeeper/wallet/phone"
)

func persona(t *testing.T, name string) phone.Persona {
	t.Helper()
	p, ok := phone.PersonaNamed(name)
	if !ok {
		t.Fatalf("no persona %s", name)
	}
	return p
}

// part changes one object of an evidence record (scheme 9.1).
func part(t *testing.T, record []byte, tag tlv.Tag, change func(value []byte)) []byte {
	t.Helper()
	outer, err := tlv.ParseFlat(record)
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := tlv.ParseFlat(outer[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for _, n := range nodes {
		value := bytes.Clone(n.Value)
		if n.Tag == tag {
			change(value)
		}
		b = tlv.Append(b, n.Tag, value)
	}
	return tlv.Append(nil, outer[0].Tag, b)
}

// TestMerchantAlters is the row "merchant replays or alters records": what the
// record says of the sale is signed by the phone (9.4 step 4), what stands in it
// twice must agree (step 5), and the same evidence counts once (step 8). The
// offsets are those of the reference CDOL1 (scheme 4.1).
func TestMerchantAlters(t *testing.T) {
	i := newIssuer(t)
	record := i.play(t, persona(t, "honest")).outcomes[0].Record.Bytes()
	if v := i.judge(record); !v.OK || !v.Duplicate {
		t.Errorf("the same record again: %+v, want a repetition", v)
	}
	flip := func(n int) func([]byte) { return func(b []byte) { b[n] ^= 1 } }
	for _, c := range []struct {
		name string
		tag  tlv.Tag
		at   int
		step int
	}{
		{"amount", 0xDF8B33, 5, 4},
		{"currency", 0xDF8B33, 13, 4},
		{"date", 0xDF8B33, 18, 4},
		{"UN", 0xDF8B33, 23, 4},
		{"terminal id", 0xDF8B33, 33, 4},
		{"merchant", 0xDF8B33, 40, 4},
		{"transaction id", 0xDF8B33, 50, 4},
		{"relay data", 0xDF8B33, 66, 4},
		{"amount in the PDOL data", 0xDF8B32, 77, 4},
		{"terminal's key in the PDOL data", 0xDF8B32, 20, 4},
		{"the phone's decision", 0xDF8B34, 6, 4},
		{"kind", 0xDF8B31, 0, 5},
		{"AID", 0x9F06, 6, 5},
		{"ADF name", 0x84, 6, 3},
		{"PDOL", 0x9F38, 1, 3},
		{"AIP", 0x82, 1, 3},
		{"grant", 0xDF8B11, 25, 9},
	} {
		w := i.phone("alice", func() time.Time { return noon })
		outcomes, _ := i.counter("TERM0001", phone.Setting{}).sale(t, saleOf(500), w, &watch{}, func() {})
		v := i.judge(part(t, outcomes[0].Record.Bytes(), c.tag, flip(c.at))) // the issuer has not seen it unaltered
		if v.OK || v.Step != c.step {
			t.Errorf("%s altered: ok %v, step %d, reason %02X; want step %d", c.name, v.OK, v.Step, v.Reason, c.step)
		}
	}
}

// TestMerchantClaims is the row "merchant claims a decline as approved": the kind
// of a record is not signed, but the phone's decision is.
func TestMerchantClaims(t *testing.T) {
	i := newIssuer(t)
	record := i.play(t, persona(t, "restricted")).outcomes[0].Record.Bytes()
	approved := part(t, record, 0xDF8B31, func(b []byte) { b[0] = byte(emv.RecordOffline) })
	if v := i.judge(approved); v.OK || v.Step != 5 {
		t.Errorf("kind 01 over a decline: %+v", v)
	}
	forged := part(t, approved, 0xDF8B34, func(b []byte) {
		b[bytes.Index(b, []byte{0x9F, 0x27, 0x01})+3] = 0x40
	})
	if v := i.judge(forged); v.OK || v.Step != 4 {
		t.Errorf("with the CID changed too: %+v", v)
	}
}

// TestOverheard is the row "tracking of customers over the air": of two taps of
// one phone at two merchants nothing is the same that is not the same for every
// phone.
func TestOverheard(t *testing.T) {
	i := newIssuer(t)
	at := func() time.Time { return noon }
	tap := func(p *phone.Wallet, merchant string) (air []byte) {
		c := i.counter("TERM0001", phone.Setting{})
		c.terminal.MerchantID = merchant
		outcomes, d := c.sale(t, saleOf(500), p, &watch{}, func() {})
		if outcomes[0].Result != emv.Approved {
			t.Fatal(outcomes[0].Result)
		}
		return bytes.Join(d.answers, []byte("|"))
	}
	const window = 6 // bytes; shorter ones meet by chance
	shared := func(a, b []byte) map[string]bool {
		all, both := map[string]bool{}, map[string]bool{}
		for n := range len(a) - window {
			all[string(a[n:n+window])] = true
		}
		for n := range len(b) - window {
			if w := string(b[n : n+window]); all[w] {
				both[w] = true
			}
		}
		return both
	}
	// Counters are compared with another phone's at the same count.
	alice, bob := i.phone("alice", at), i.phone("mallory", at)
	one, two := tap(alice, "tea"), tap(alice, "bakery")
	first, second := tap(bob, "tea"), tap(bob, "bakery")
	ordinary := shared(first, second)
	for w := range shared(one, first) {
		ordinary[w] = true
	}
	for w := range shared(two, second) {
		ordinary[w] = true
	}
	identical := shared(one, two)
	if len(identical) < 100 {
		t.Fatalf("only %d windows are the same: the issuer certificate alone has more", len(identical))
	}
	for w := range identical {
		if !ordinary[w] {
			t.Errorf("%X comes in both taps of one phone, and in no other's", w)
		}
	}
}

// TestTerminalKeepsNoKeys is the row "key extraction from a terminal": when a tap
// has ended, the session key of its pending record is gone (scheme 8.6.1, 9.2),
// and it never was in the evidence.
func TestTerminalKeepsNoKeys(t *testing.T) {
	i := newIssuer(t)
	for _, name := range []string{"honest", "restricted", "evidence-spoiled", "wrong-cryptogram-between", "recover", "recover-altered"} {
		a := i.play(t, persona(t, name))
		key := func(coded []byte) []byte {
			var p struct{ SKi []byte }
			if err := json.Unmarshal(coded, &p); err != nil {
				t.Fatal(err)
			}
			return p.SKi
		}
		if a.last.pending == nil { // the last tap recovered the answer, and stored nothing
			continue
		}
		before := key(a.last.stored)
		now, err := a.last.pending.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if len(before) != 16 || bytes.Equal(before, make([]byte, 16)) {
			t.Errorf("%s: no key was stored: %X", name, len(before))
		}
		if !bytes.Equal(key(now), make([]byte, 16)) {
			t.Errorf("%s: the key outlives its tap", name)
		}
		for _, o := range a.outcomes {
			if bytes.Contains(o.Record.Bytes(), before) {
				t.Errorf("%s: the key is in the evidence", name)
			}
		}
	}
}

// constant is a terminal's randomness that was predicted.
type constant struct{}

func (constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0x42
	}
	return len(p), nil
}

// TestPrePlay is the row "pre-play, weak UN", with its own proof of the opposite:
// a recorded dialogue pays again at a terminal whose numbers repeat themselves,
// for the same sale, and is worth nothing where they are fresh (scheme 6.8).
func TestPrePlay(t *testing.T) {
	i := newIssuer(t)
	p := persona(t, "dialogue-replayed")
	for _, c := range []struct {
		name  string
		first reading
		again reading
		want  emv.Result
	}{
		{"fresh numbers", rand.Reader, rand.Reader, emv.End},
		{"a weak terminal", constant{}, constant{}, emv.Approved},
	} {
		w := &watch{}
		actor, err := p.Play(i.phone("alice", func() time.Time { return noon }), phone.Tools{Sleep: w.sleep})
		if err != nil {
			t.Fatal(err)
		}
		sale := saleOf(500)
		for n, random := range []reading{c.first, c.again} {
			counter := i.counter("TERM0001", phone.Setting{}) // without history: another lane of the same shop
			attempt, refused := emv.Begin(counter.terminal, sale, counter.lookups())
			if refused != nil {
				t.Fatal(refused.Reason)
			}
			o, _ := counter.tap(t, attempt, actor, w, emv.Moment{Local: noon, ClockTrusted: true}, random)
			want := emv.Approved
			if n == 1 {
				want = c.want
			}
			if o.Result != want {
				t.Errorf("%s, tap %d: %v, reason %02X %s; want %v", c.name, n+1, o.Result, byte(o.Reason), o.Detail, want)
			}
		}
	}
}

// TestRefundNamesItsPayer: a phone that signs another account's reference gets as
// far as the wallet, which posts to the account of the device and so refuses
// (terminal.md, "What the wallet posts"; reason 13).
func TestRefundNamesItsPayer(t *testing.T) {
	i := newIssuer(t)
	a := i.play(t, persona(t, "refund-copies-reference"))
	payer, refunded := a.verdicts[0], a.verdicts[len(a.verdicts)-1]
	if !payer.OK || !refunded.OK || payer.Account == refunded.Account || refunded.Device == payer.Device {
		t.Errorf("paid by %q (%v), refunded to %q (%v): the wallet could not tell them apart", payer.Account, payer.OK, refunded.Account, refunded.OK)
	}
	if o := a.outcomes[0]; !o.Deferred || o.RecordKind != emv.RecordRefund {
		t.Errorf("%v, record %02X, deferred %v", o.Result, byte(o.RecordKind), o.Deferred)
	}
}
