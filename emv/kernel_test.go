package emv

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"tapkeeper/emv/emvtest"
	"tapkeeper/emv/tlv"
)

// one finds a dialogue by what happens in it, so that no test depends on names.
func one(t testing.TB, what string, fits func(emvtest.Dialogue) bool) emvtest.Dialogue {
	t.Helper()
	for _, d := range dialogues(t) {
		if fits(d) {
			return d
		}
	}
	t.Skipf("these vectors hold no dialogue with %s", what)
	return emvtest.Dialogue{}
}

func approved(d emvtest.Dialogue) bool {
	return d.Phone.Honest && len(d.Sales) == 1 && len(d.Sales[0].Taps) == 1 && d.Sales[0].Taps[0].Outcome.Outcome == "APPROVED" &&
		len(d.Sales[0].Draws.TRRE) == 1
}

// recovered is a lost answer that the next tap recovers.
func recovered(d emvtest.Dialogue) bool {
	taps := d.Sales[0].Taps
	if len(d.Sales) != 1 || len(taps) != 2 || taps[1].Outcome.Outcome != "APPROVED" {
		return false
	}
	last := taps[1].Steps[len(taps[1].Steps)-1]
	return last.CAPDU[1] == 0xD0 && len(last.RAPDU) > 2 && taps[0].Outcome.Reason.Byte() == byte(ReasonUnknown)
}

func TestValidate(t *testing.T) {
	good := func() *Terminal { return terminalOf(one(t, "an approval", approved).Terminal) }
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	below := Amount(-1)
	for field, spoil := range map[string]func(*Terminal){
		"aids:":               func(x *Terminal) { x.AIDs = nil },
		"aids[0].aid":         func(x *Terminal) { x.AIDs[0].AID = x.AIDs[0].AID[:4] },
		"aids[0].cvm_limit":   func(x *Terminal) { x.AIDs[0].CVMLimit = &below },
		"aids[0].currency":    func(x *Terminal) { x.AIDs[0].Currency = 1000 },
		"aids[0].crl_max_age": func(x *Terminal) { x.AIDs[0].CRLMaxAgeDays = -1 },
		"terminal_id":         func(x *Terminal) { x.ID = "123456789" },
		"terminal_id:":        func(x *Terminal) { x.ID = "TERM\x00" },
		"merchant_id":         func(x *Terminal) { x.MerchantID = "" },
		"ca_keys[0].key":      func(x *Terminal) { x.CAKeys[0].Key = [33]byte{} },
		"ca_keys[1]":          func(x *Terminal) { x.CAKeys[1] = x.CAKeys[0] },
		"relay":               func(x *Terminal) { x.Relay.Mismatch = 101 },
	} {
		x := good()
		spoil(x)
		if err := x.Validate(); err == nil || !strings.HasPrefix(err.Error(), field) {
			t.Errorf("%s: error %v does not name the field", field, err)
		}
	}
	for i := range 40 { // every bit of the floor is required (scheme 5.6)
		x := good()
		mask := byte(0x80) >> (i % 8)
		if denialFloor[i/8]&mask == 0 {
			continue
		}
		x.AIDs[0].TACDenial[i/8] &^= mask
		if err := x.Validate(); err == nil || !strings.Contains(err.Error(), "aids[0].tac_denial") {
			t.Errorf("TAC-Denial without bit %d: error %v", i, err)
		}
	}
}

func TestRelayVectors(t *testing.T) {
	p, err := emvtest.LoadPrimitives()
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Relay) == 0 {
		t.Fatal("the vectors hold no relay case")
	}
	t.Logf("%d cases of relay", len(p.Relay))
	for i, c := range p.Relay {
		times := []byte{byte(c.Min >> 8), byte(c.Min), byte(c.Max >> 8), byte(c.Max), byte(c.Est >> 8), byte(c.Est)}
		took := time.Duration(c.ElapsedUS) * time.Microsecond
		m := StandardRelay().measure(took, times)
		if m.t != c.T || m.tooFast != c.TooFast || m.over != c.Over || m.threshold != c.Threshold {
			t.Errorf("case %d: %+v, want %+v", i, m, c)
		}
		calibrated := StandardRelay()
		calibrated.Calibration = 7 * time.Millisecond
		if again := calibrated.measure(took+7*time.Millisecond, times); again != m {
			t.Errorf("case %d: the reader's own time counts: %+v", i, again)
		}
	}
}

func TestTexts(t *testing.T) {
	for r := range Reason(0xFF) {
		row, known := reasons[r]
		if !known {
			if r.Text(Chinese) != ReasonRisk.Text(Chinese) || r.Text(English) != ReasonRisk.Text(English) {
				t.Errorf("unknown reason %02X reads %q", byte(r), r.Text(English))
			}
			continue
		}
		if r.Text(Chinese) == "" || r.Text(English) == "" || r.Text(Chinese) == r.Text(English) || r.Text("fr") != r.Text(English) {
			t.Errorf("reason %02X lacks a text", byte(r))
		}
		if r != ReasonOK && (row.side == SideNone || row.retry == RetryNone) {
			t.Errorf("reason %02X lacks its side or retry", byte(r))
		}
	}
	for m, row := range messages {
		if row.zh == "" || row.en == "" || m.Text(Chinese) != row.zh || m.Text(English) != row.en {
			t.Errorf("message %02X lacks a text", byte(m))
		}
	}
	for _, m := range []Message{MsgApproved, MsgDeclined, MsgError, MsgWelcome, MsgPresent, MsgProcessing, MsgRemove,
		MsgOtherInterface, MsgOneCard, MsgAuthorising, MsgOtherCard, MsgSeePhone, MsgPresentAgain} {
		if _, ok := messages[m]; !ok {
			t.Errorf("message %02X is not in the table", byte(m))
		}
	}
	for _, d := range dialogues(t) { // what ends a tap must have its words
		for _, s := range d.Sales {
			for _, tap := range s.Taps {
				if _, ok := reasons[Reason(tap.Outcome.Reason.Byte())]; !ok {
					t.Errorf("%s: reason %X is not in the table", d.ID, []byte(tap.Outcome.Reason))
				}
			}
		}
	}
}

// halfway plays the first tap of a dialogue until the step that fits.
func halfway(t testing.TB, s *stage, d emvtest.Dialogue, fits func(Step) bool) (*Attempt, *Activation, Step, int) {
	t.Helper()
	sale := d.Sales[0]
	attempt, refused := Begin(s.terminal, saleOf(sale), s.lookups())
	if refused != nil {
		t.Fatalf("refused: %v", refused)
	}
	random := &draws{TerminalDraws: sale.Draws}
	x := attempt.Activate(s.moment(t, sale), random)
	step, next := x.Start(), 0
	for !fits(step) {
		switch {
		case step.Outcome != nil:
			t.Fatalf("ended early: %+v", *step.Outcome)
		case step.Store != nil:
			step = x.Stored()
		default:
			want := sale.Taps[0].Steps[next]
			random.last = want.CAPDU[1]
			next++
			step = x.Answer(want.RAPDU, time.Duration(want.US)*time.Microsecond)
		}
	}
	return attempt, x, step, next
}

func storing(s Step) bool { return s.Store != nil }
func over(s Step) bool    { return s.Outcome != nil }

func TestCapReachedDecidesAgain(t *testing.T) {
	d := one(t, "an offline approval", func(d emvtest.Dialogue) bool { return approved(d) && !d.Terminal.Connected })
	_, x, step, _ := halfway(t, newStage(d), d, storing)
	if step.Store.Asked() != askTC || step.Store.Sale() != saleOf(d.Sales[0]).ID || step.Store.DeviceID() == (DeviceID{}) {
		t.Errorf("pending record asks %02X", step.Store.Asked())
	}
	step = x.CapReached()
	if step.Store == nil || step.Store.Asked() != askAAC || !step.Store.in().TVR.has(bitExposure) {
		t.Fatalf("after the cap: %+v", step)
	}
	step = x.Stored()
	if step.Send == nil || step.Send.Bytes()[2] != askAAC {
		t.Errorf("after storing: %+v", step)
	}
}

func TestGiveUp(t *testing.T) {
	d := one(t, "an approval", approved)
	attempt, _, _, _ := halfway(t, newStage(d), d, storing)
	if attempt.Pending() {
		t.Error("pending before GENERATE AC was sent")
	}
	if o := attempt.GiveUp(ReasonCancelled); o.Result != End || o.Reason != ReasonCancelled || len(o.Abandoned) != 0 {
		t.Errorf("before GENERATE AC: %v %02X", o.Result, byte(o.Reason))
	}
	attempt, x, _, _ := halfway(t, newStage(d), d, func(s Step) bool { return s.Send != nil && s.Send.Bytes()[1] == 0xAE })
	step := x.Lost(time.Second)
	if o := step.Outcome; o == nil || o.Result != TryAgain || !o.KeepPending || o.Final() || !attempt.Pending() {
		t.Fatalf("lost answer: %+v", step)
	}
	o := attempt.GiveUp(ReasonTimeout)
	if o.Result != Undetermined || o.Reason != ReasonUnknown || len(o.Abandoned) != 1 || o.KeepPending {
		t.Errorf("after GENERATE AC: %v %02X %v", o.Result, byte(o.Reason), o.Abandoned)
	}
}

func TestCallsOutOfTurn(t *testing.T) {
	d := one(t, "an approval", approved)
	_, x, first, _ := halfway(t, newStage(d), d, func(Step) bool { return true })
	if x.Start().Send != first.Send || x.Stored().Send != first.Send || x.CapReached().Send != first.Send {
		t.Error("a call out of turn changed the step")
	}
	_, x, last, _ := halfway(t, newStage(d), d, over)
	if x.Answer([]byte{0x90, 0}, 0).Outcome != last.Outcome || x.Lost(0).Outcome != last.Outcome || x.Stored().Outcome != last.Outcome {
		t.Error("a call after the end changed the outcome")
	}
}

func TestResumeRefuses(t *testing.T) {
	d := one(t, "a recovery", recovered)
	s := newStage(d)
	_, _, step, _ := halfway(t, s, d, storing)
	other := saleOf(d.Sales[0])
	other.ID[0] ^= 1
	if _, _, err := Resume(s.terminal, other, s.lookups(), step.Store); err == nil {
		t.Error("another sale took over a pending record")
	}
	b, err := step.Store.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{nil, b[:len(b)-1], []byte("{}"), bytes.Replace(b, []byte(`"Version":1`), []byte(`"Version":2`), 1)} {
		if _, err := LoadPending(bad); err == nil {
			t.Errorf("a pending record of %d bytes was read", len(bad))
		}
	}
}

type brokenSource struct{}

var errSource = errors.New("no randomness")

func (brokenSource) Read([]byte) (int, error) { return 0, errSource }

func TestBrokenRandomness(t *testing.T) {
	d := one(t, "an approval", approved)
	s := newStage(d)
	for about, random := range map[string]interface{ Read([]byte) (int, error) }{
		"failing": brokenSource{}, "zeros": zeros{},
	} {
		attempt, _ := Begin(s.terminal, saleOf(d.Sales[0]), s.lookups())
		x := attempt.Activate(s.moment(t, d.Sales[0]), random)
		step := x.Start()
		for _, st := range d.Sales[0].Taps[0].Steps {
			if step.Outcome == nil {
				step = x.Answer(st.RAPDU, 0)
			}
		}
		if step.Outcome == nil || step.Outcome.Fault == nil || step.Outcome.Result != End {
			t.Errorf("%s: %+v", about, step.Outcome)
		}
	}
}

// TestNumbersDiffer: an unpredictable number is never the one before (scheme
// 4.1), over the activations of a sale.
func TestNumbersDiffer(t *testing.T) {
	d := one(t, "an approval", approved)
	s := newStage(d)
	attempt, _ := Begin(s.terminal, saleOf(d.Sales[0]), s.lookups())
	for tap, want := range []bool{false, true} {
		x := attempt.Activate(s.moment(t, d.Sales[0]), ones{})
		step := x.Start()
		for _, st := range d.Sales[0].Taps[0].Steps[:2] {
			step = x.Answer(st.RAPDU, 0)
		}
		if fault := step.Outcome != nil && step.Outcome.Fault != nil; fault != want {
			t.Errorf("tap %d: fault %v, want %v", tap, fault, want)
		}
		x.Lost(0)
	}
}

// TestPDOLHoldsNoResults: 95 and DF8B23 are zeros in the PDOL data, whatever
// the TVR is by then (scheme 4.1).
func TestPDOLHoldsNoResults(t *testing.T) {
	d := one(t, "an approval", approved)
	s := newStage(d)
	attempt, _ := Begin(s.terminal, saleOf(d.Sales[0]), s.lookups())
	x := attempt.Activate(s.moment(t, d.Sales[0]), &endless{})
	x.Start()
	x.Answer(d.Sales[0].Taps[0].Steps[0].RAPDU, 0)
	pdol := bytes.Clone(d.Phone.Cards[0].PDOL)
	pdol = append(pdol, 0x95, 0x05, 0xDF, 0x8B, 0x23, 0x0E)
	other := []byte{1, 2, 3, 4, 5} // not starting with the AID: B5b5 is set before GPO
	fci := tlv.Append(tlv.Append(tlv.Append(nil, 0x84, other), 0x9F38, pdol), 0x9F2C, d.Phone.Cards[0].CardQualifier)
	step := x.Answer(append(tlv.Append(nil, 0x6F, fci), 0x90, 0x00), 0)
	if step.Send == nil || !x.in().app.tvr.has(bitAIDMismatch) {
		t.Fatalf("%+v", step)
	}
	b := step.Send.Bytes()
	if tail := b[len(b)-1-19 : len(b)-1]; !bytes.Equal(tail, make([]byte, 19)) {
		t.Errorf("95 and DF8B23 are %X", tail)
	}
}

type ones struct{}

func (ones) Read(p []byte) (int, error) { copy(p, bytes.Repeat([]byte{1}, len(p))); return len(p), nil }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestKeyMadeAhead(t *testing.T) {
	d := one(t, "an approval", approved)
	s := newStage(d)
	sale := d.Sales[0]
	ahead, err := NewKeyPair(bytes.NewReader(sale.Draws.DK[0]))
	if err != nil {
		t.Fatal(err)
	}
	sale.Draws.DK = nil
	attempt, _ := Begin(s.terminal, saleOf(sale), s.lookups())
	random := &draws{TerminalDraws: sale.Draws}
	x := attempt.Activate(s.moment(t, sale), random)
	x.UseKey(ahead)
	step := x.Start()
	for _, want := range sale.Taps[0].Steps {
		if step.Store != nil {
			step = x.Stored()
		}
		if !bytes.Equal(step.Send.Bytes(), want.CAPDU) {
			t.Fatalf("%s differs", step.Send.Name)
		}
		random.last = want.CAPDU[1]
		step = x.Answer(want.RAPDU, time.Duration(want.US)*time.Microsecond)
	}
	sameOutcome(t, "key made ahead", step.Outcome, sale.Taps[0].Outcome)
}
