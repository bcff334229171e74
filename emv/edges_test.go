package emv

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"tapkeeper/emv/emvtest"
	"tapkeeper/emv/tlv"
)

// TestWords: what has no row of a table has words all the same.
func TestWords(t *testing.T) {
	if got := Message(0x99).Text(English); got != MsgError.Text(English) {
		t.Errorf("unknown message reads %q", got)
	}
	if got := Result(0).String() + Result(99).String(); got != "Result(0)Result(99)" {
		t.Errorf("unknown results read %q", got)
	}
	if got := describeAsk(0x7F); got != "7F" {
		t.Errorf("unknown request reads %q", got)
	}
	if r := (TVR{}).explain(); r != ReasonRisk {
		t.Errorf("no bit explains as %02X", byte(r))
	}
	none, some := DeviceID{}, NewDeviceID([8]byte{0xAB, 0xCD, 3, 4, 5, 6, 7, 8})
	if got := fmt.Sprint(none, some, none.Bytes()); got != "none ABCD..(8) [0 0 0 0 0 0 0 0]" {
		t.Errorf("device ids print as %s", got)
	}
	if b, err := some.MarshalText(); err != nil || string(b) != "ABCD..(8)" {
		t.Errorf("a device id is written as %s (%v)", b, err)
	}
}

// TestNoKeyPair: a failing source gives no key pair, and no key pair ahead.
func TestNoKeyPair(t *testing.T) {
	if k, err := NewKeyPair(brokenSource{}); err == nil || k != nil {
		t.Errorf("a key pair from a broken source: %v", err)
	}
}

// TestNoRelayEntropy: ERRD is not sent with entropy that could not be drawn.
func TestNoRelayEntropy(t *testing.T) {
	d := one(t, "an approval", approved)
	s, sale := newStage(d), d.Sales[0]
	sale.Draws.TRRE = nil
	attempt, _ := Begin(s.terminal, saleOf(sale), s.lookups())
	random := &draws{TerminalDraws: sale.Draws}
	x := attempt.Activate(s.moment(t, sale), random)
	step := x.Start()
	for _, st := range sale.Taps[0].Steps {
		if step.Outcome == nil {
			random.last = st.CAPDU[1]
			step = x.Answer(st.RAPDU, 0)
		}
	}
	if o := step.Outcome; o == nil || o.Fault == nil || o.Result != End || o.Answered {
		t.Errorf("%+v", o)
	}
}

// TestTooLong: an answer in too many parts ends each command as scheme 5.1 says.
func TestTooLong(t *testing.T) {
	for ins, want := range map[byte]struct {
		result  Result
		message Message
		reason  Reason
	}{
		0xA4: {End, MsgOtherCard, ReasonNoWallet},
		0xA8: {End, MsgError, ReasonProtocol},
		0xEA: {End, MsgError, ReasonProtocol},
		0xB2: {End, MsgError, ReasonProtocol},
		0xAE: {TryAgain, MsgPresentAgain, ReasonUnknown},
	} {
		step, _ := slow(t, nil, func(command, _ []byte) []byte {
			if command[1] == ins {
				return append(make([]byte, maxAnswer+1), 0x90, 0x00)
			}
			return nil
		})
		if o := step.Outcome; o.Result != want.result || o.Message != want.message || o.Reason != want.reason {
			t.Errorf("%02X: %v %02X %02X (%s)", ins, o.Result, byte(o.Message), byte(o.Reason), o.Detail)
		}
	}
}

// TestRestartWithoutReason: a restart indicator whose refusal gives no reason
// asks for the unlock (scheme 5.5 step 5).
func TestRestartWithoutReason(t *testing.T) {
	d := one(t, "an approval", func(d emvtest.Dialogue) bool { return approved(d) && len(d.Phone.Cards) == 1 })
	attempt, _, step, _ := halfway(t, newStage(d), d, storing)
	p := step.Store.in()
	for reason, want := range map[Reason]Reason{ReasonOK: ReasonUnlock, ReasonRestricted: ReasonRestricted} {
		root, err := tlv.ParseOne(refusal(t, p, d.Phone.Cards[0], reason))
		if err != nil {
			t.Fatal(err)
		}
		b := resigned(t, p, d.Phone.Cards[0], tlv.Append(nil, 0x77, tlv.Append(bytes.Clone(root.Value), 0x9F8108, []byte{0x20, 0x21})))
		o, failed := attempt.in().judge(p, b, false)
		if failed != nil || o.Result != TryAgain || o.Message != MsgPresentAgain || o.Reason != want || o.Seen != nil || o.RecordKind != RecordNone {
			t.Errorf("reason %02X: %v %02X %02X", byte(reason), o.Result, byte(o.Message), byte(o.Reason))
		}
	}
}

// TestLabelIsSanitised: what is no printable ASCII does not reach the display
// (scheme 3.5).
func TestLabelIsSanitised(t *testing.T) {
	o := tamper(t, 0xA4, func(b []byte) []byte {
		at := bytes.Index(b, []byte{0x50})
		if at < 0 || at+3 >= len(b) || !strings.Contains(string(b), "\x9F\x38") {
			return b
		}
		b[at+2], b[at+3] = 0x1B, 0xE9
		return b
	})
	if strings.ContainsFunc(o.Label, func(r rune) bool { return r < 0x20 || r > 0x7E }) || o.Label == "" {
		t.Errorf("label %q", o.Label)
	}
}

// TestResumeOfWhatIsNotAllowed: a sale that the configuration no longer allows
// is not resumed.
func TestResumeOfWhatIsNotAllowed(t *testing.T) {
	d := one(t, "a recovery", recovered)
	s := newStage(d)
	_, _, step, _ := halfway(t, s, d, storing)
	for i := range s.terminal.AIDs {
		s.terminal.AIDs[i].Enabled = false
	}
	if a, o, err := Resume(s.terminal, saleOf(d.Sales[0]), s.lookups(), step.Store); a != nil || o == nil || err != nil || o.Result != OtherInterface {
		t.Errorf("%v %+v %v", a, o, err)
	}
	if _, err := LoadPending(make([]byte, maxPending+1)); err == nil {
		t.Error("a pending record beyond the limit was read")
	}
}

// TestIncoherentTC: a TC whose objects do not fit together may have cost the
// payer: it is reversed (scheme 9.3). The history needs a device id.
func TestIncoherentTC(t *testing.T) {
	d := one(t, "an offline approval", func(d emvtest.Dialogue) bool { return approved(d) && len(d.Phone.Cards) == 1 })
	attempt, _, step, next := halfway(t, newStage(d), d, func(s Step) bool { return s.Send != nil && s.Send.Bytes()[1] == 0xAE })
	if step.Send == nil {
		t.Fatal("no GENERATE AC")
	}
	p := attempt.in().pending
	answer := d.Sales[0].Taps[0].Steps[next].RAPDU
	root, err := tlv.ParseOne(answer[:len(answer)-2])
	if err != nil {
		t.Fatal(err)
	}
	without := func(tag tlv.Tag) (b []byte) {
		for _, n := range root.Kids {
			if n.Tag != tag {
				b = append(b, n.Raw...)
			}
		}
		return resigned(t, p, d.Phone.Cards[0], tlv.Append(nil, 0x77, b))
	}
	o, failed := attempt.in().judge(p, without(0xDF8B10), false)
	if failed == nil || o.Result != End || o.Reason != ReasonProtocol || o.RecordKind != RecordReversal || o.Seen != nil {
		t.Errorf("a TC without its state: %v %02X kind %d", o.Result, byte(o.Reason), o.RecordKind)
	}
	if o, failed = attempt.in().judge(p, without(0x9F26), false); failed == nil || o.RecordKind != RecordNone {
		t.Errorf("without a cryptogram: %v kind %d", o.Result, o.RecordKind)
	}
	p.DeviceID = nil
	if o, failed = attempt.in().judge(p, without(0), false); failed != nil || o.Seen != nil {
		t.Errorf("without a device id: %v, %v", o.Seen, failed)
	}
}

// TestKnownInCDOL1: a CDOL1 that asks for the terminal's key gets it, as any
// known object (scheme 0.1 rule 9, 4.1).
func TestKnownInCDOL1(t *testing.T) {
	d := one(t, "an approval", approved)
	_, x, _, _ := halfway(t, newStage(d), d, storing)
	app := x.in().app
	app.cdol1 = append(app.cdol1, tlv.Element{Tag: 0x9E, Length: 64})
	step := x.in().ask()
	data := step.Store.in().CDOL1Data
	if !bytes.Equal(data[len(data)-64:], app.key.XY()) {
		t.Error("9E in the CDOL1 is not the terminal's key")
	}
}

// TestNoNeedlessCryptography: a refund verifies no grant, and behind an issuer
// certificate that fails nothing is verified.
func TestNoNeedlessCryptography(t *testing.T) {
	kind := func(k Kind) func(emvtest.Dialogue) bool {
		return func(d emvtest.Dialogue) bool {
			if len(d.Sales) == 0 || Kind(d.Sales[0].Type.Byte()) != k || !d.Phone.Honest || len(d.Sales[0].Taps) != 1 || len(d.Phone.Cards) != 1 {
				return false
			}
			steps := d.Sales[0].Taps[0].Steps
			return len(d.Phone.Cards[0].Grant) > 0 && len(steps) > 0 && steps[len(steps)-1].CAPDU[1] == 0xAE
		}
	}
	play := func(s *stage, d emvtest.Dialogue) *chain {
		_, x, _, _ := halfway(t, s, d, func(step Step) bool {
			if step.Work != nil {
				step.Work()
			}
			return step.Store != nil
		})
		return &x.in().app.chain
	}
	refund, purchase := one(t, "a refund", kind(Refund)), one(t, "a purchase", kind(Purchase))
	if c := play(newStage(refund), refund); c.grant == nil || c.granted.done || !c.deviceKeys.value.good {
		t.Error("a refund verified a grant, or not the device")
	}
	if c := play(newStage(purchase), purchase); !c.granted.value || !c.blinded.value {
		t.Error("a purchase did not verify its grant")
	}
	s := newStage(purchase)
	s.terminal.CAKeys = nil
	if c := play(s, purchase); c.issuerKey.value.good || c.deviceKeys.value.good || c.granted.value || c.blinded.value {
		t.Error("something was verified without a CA key")
	}
}
