package emv

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/emvtest"
)

// stage is one dialogue's terminal with its surroundings.
type stage struct {
	terminal *Terminal
	world    emvtest.Terminal
	history  map[DeviceID]Seen
	work     bool // run Step.Work
	reload   bool // take the pending record through its coding
}

func newStage(d emvtest.Dialogue) *stage {
	return &stage{terminal: terminalOf(d.Terminal), world: d.Terminal, history: map[DeviceID]Seen{}, work: true}
}

func terminalOf(v emvtest.Terminal) *Terminal {
	t := &Terminal{
		ID: v.TerminalID, MerchantID: v.MerchantID, OfflineOnly: v.OfflineOnly, Unattended: v.Unattended,
		Relay: Relay{Command: v.Relay.Cx, Answer: v.Relay.Rx, MinGrace: v.Relay.MinGrace, MaxGrace: v.Relay.MaxGrace,
			Accuracy: v.Relay.Acc, Mismatch: v.Relay.Mismatch},
		Issuers: &IssuerCache{},
	}
	for _, a := range v.AIDs {
		if a.Mode != "online_first" && a.Mode != "offline_first" {
			panic("vectors: mode " + a.Mode)
		}
		t.AIDs = append(t.AIDs, AID{
			AID: a.AID, Enabled: a.Enabled, Currency: code(a.Currency), Country: code(a.Country),
			TxLimit: (*Amount)(a.TxLimit), FloorLimit: (*Amount)(a.FloorLimit), CVMLimit: (*Amount)(a.CVMLimit),
			RelayLimit: (*Amount)(a.RelayLimit), ZeroAllowed: a.ZeroAllowed, OnlineFirst: a.Mode == "online_first",
			TACDenial: TVR(a.TACDenial), TACOnline: TVR(a.TACOnline), TACDefault: TVR(a.TACDefault),
			CRLMaxAgeDays: a.CRLMaxAgeDays,
		})
	}
	for _, k := range v.CAKeys {
		t.CAKeys = append(t.CAKeys, CAKey{RID: [5]byte(k.RID), Index: k.Index, Key: [33]byte(k.Key)})
	}
	return t
}

func code(b []byte) Code {
	var c Code
	for _, d := range b {
		c = c*100 + Code(d>>4)*10 + Code(d&0x0F)
	}
	return c
}

func (s *stage) lookups() Lookups { return Lookups{s, s, s, s} }

func (s *stage) Revoked(rid [5]byte, index byte, issuer uint32, device *[6]byte) bool {
	for _, r := range s.world.CRL {
		serial := uint32(0)
		for _, b := range r.IssuerSerial {
			serial = serial<<8 | uint32(b)
		}
		if [5]byte(r.RID) != rid || r.Index != index || serial != issuer {
			continue
		}
		if device == nil && r.DeviceSerial == nil || device != nil && bytes.Equal(r.DeviceSerial, device[:]) {
			return true
		}
	}
	return false
}

func (s *stage) Listed(d DeviceID) bool {
	for _, e := range s.world.Exceptions {
		if NewDeviceID([8]byte(e)) == d {
			return true
		}
	}
	return false
}

func (s *stage) Seen(d DeviceID) (Seen, bool) { e, ok := s.history[d]; return e, ok }

func (s *stage) Full(_ DeviceID, amount Amount) bool {
	e := s.world.Exposure
	return e.Count+1 > e.MaxCount || Amount(e.Sum)+amount > Amount(e.MaxSum)
}

// draws serves a sale's random values: UN and dk after a selection, TRRE after
// a GPO or an ERRD (scheme 5.3).
type draws struct {
	emvtest.TerminalDraws
	last byte // instruction of the last command, GET RESPONSE aside
}

func (d *draws) Read(p []byte) (int, error) {
	list := &d.UN
	switch {
	case len(p) == 32:
		list = &d.DK
	case d.last == 0xA8 || d.last == 0xEA:
		list = &d.TRRE
	}
	if len(*list) == 0 || len((*list)[0]) != len(p) {
		return 0, io.ErrUnexpectedEOF
	}
	copy(p, (*list)[0])
	*list = (*list)[1:]
	return len(p), nil
}

func (d *draws) left() int { return len(d.UN) + len(d.DK) + len(d.TRRE) }

func saleOf(v emvtest.Sale) Sale {
	s := Sale{
		Amount: Amount(v.Amount), Kind: Kind(v.Type.Byte()), Currency: code(v.Currency),
		OriginalReference: channel.NewSecret(v.OriginalReference), ForceOnline: v.ForceOnline,
	}
	if len(v.Draws.TxID) > 0 {
		s.ID = [16]byte(v.Draws.TxID[0])
	}
	return s
}

func (s *stage) moment(t testing.TB, v emvtest.Sale) Moment {
	t.Helper()
	local, err := time.Parse("060102150405", v.Date+v.Time)
	if err != nil {
		t.Fatal(err)
	}
	return Moment{Local: local, ClockTrusted: s.world.ClockTrusted, CRLAgeDays: s.world.CRLAgeDays, Connected: s.world.Connected}
}

// play plays one dialogue; every difference is an error of t.
func (s *stage) play(t testing.TB, d emvtest.Dialogue) {
	t.Helper()
	if err := s.terminal.Validate(); err != nil {
		t.Fatal(err)
	}
	for i, sale := range d.Sales {
		where := fmt.Sprintf("sale %d", i)
		attempt, refused := Begin(s.terminal, saleOf(sale), s.lookups())
		if refused != nil {
			if len(sale.Taps) != 1 || len(sale.Taps[0].Steps) != 0 {
				t.Fatalf("%s: refused before the field", where)
			}
			sameOutcome(t, where, refused, sale.Taps[0].Outcome)
			continue
		}
		random := &draws{TerminalDraws: sale.Draws}
		for j, tap := range sale.Taps {
			attempt = s.tap(t, fmt.Sprintf("%s tap %d", where, j), attempt, sale, tap, random)
		}
		if n := random.left(); n != 0 {
			t.Errorf("%s: %d random values not drawn", where, n)
		}
	}
}

func (s *stage) tap(t testing.TB, where string, attempt *Attempt, sale emvtest.Sale, tap emvtest.Tap, random *draws) *Attempt {
	t.Helper()
	x := attempt.Activate(s.moment(t, sale), random)
	step, next := x.Start(), 0
	var stored []byte
	for step.Outcome == nil {
		if step.Work != nil && s.work {
			step.Work()
		}
		if step.Store != nil {
			var err error
			if stored, err = step.Store.Marshal(); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			step = x.Stored()
			continue
		}
		if next == len(tap.Steps) {
			t.Fatalf("%s: command %d %s %X is too much", where, next, step.Send.Name, step.Send.Bytes())
		}
		want := tap.Steps[next]
		if e := want.Error; e != "" && e != "lost_command" && e != "lost_answer" || (e != "") != (want.RAPDU == nil) {
			t.Fatalf("%s: command %d: the vectors say %q, which nobody understands", where, next, e)
		}
		if !bytes.Equal(step.Send.Bytes(), want.CAPDU) {
			t.Fatalf("%s: command %d %s\n got %X\nwant %X", where, next, step.Send.Name, step.Send.Bytes(), []byte(want.CAPDU))
		}
		if want.CAPDU[1] != 0xC0 {
			random.last = want.CAPDU[1]
		}
		next++
		if took := time.Duration(want.US) * time.Microsecond; want.RAPDU == nil {
			step = x.Lost(took)
		} else {
			step = x.Answer(want.RAPDU, took)
		}
	}
	if next != len(tap.Steps) {
		t.Errorf("%s: %d of %d commands sent (%s)", where, next, len(tap.Steps), step.Outcome.Detail)
	}
	sameOutcome(t, where, step.Outcome, tap.Outcome)
	if seen := step.Outcome.Seen; seen != nil {
		s.history[seen.Device] = *seen
	}
	if s.reload && step.Outcome.KeepPending && stored != nil {
		return s.restart(t, where, sale, stored)
	}
	return attempt
}

// restart goes on as a daemon does that found the pending record in its store.
func (s *stage) restart(t testing.TB, where string, sale emvtest.Sale, stored []byte) *Attempt {
	t.Helper()
	p, err := LoadPending(stored)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	attempt, refused, err := Resume(s.terminal, saleOf(sale), s.lookups(), p)
	if err != nil || refused != nil {
		t.Fatalf("%s: resume: %v %v", where, refused, err)
	}
	return attempt
}

// sameOutcome compares every field that the vectors give.
func sameOutcome(t testing.TB, where string, got *Outcome, want emvtest.Outcome) {
	t.Helper()
	differ := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %s = %v, want %v (%v: %s)", where, what, got, want, got, want)
		}
	}
	optional := func(s *string) string {
		if s == nil {
			return "-"
		}
		return *s
	}
	text := func(set bool, b byte) string {
		if !set {
			return "-"
		}
		return fmt.Sprintf("%02X", b)
	}
	again := got.Result == TryAgain
	start := "-"
	if again {
		start = "B"
	}
	fieldOff := 0
	if want.FieldOff != nil {
		fieldOff = *want.FieldOff
	}
	differ("outcome", got.Result, want.Outcome)
	differ("start", start, optional(want.Start))
	differ("msg", text(got.Message != 0, byte(got.Message)), optional(want.Msg))
	differ("status", text(true, byte(got.Status)), optional(want.Status))
	differ("hold", int(got.Hold/(100*time.Millisecond)), want.Hold)
	differ("restart_msg", text(got.Restart != 0, byte(got.Restart)), optional(want.RestartMsg))
	differ("field_off", int(got.FieldOff/(100*time.Millisecond)), fieldOff)
	differ("reason", text(true, byte(got.Reason)), fmt.Sprintf("%X", []byte(want.Reason)))
	differ("deferred", got.Deferred, want.Deferred)
	differ("answered", got.Answered, want.TVR != nil)
	differ("fault", got.Fault, nil)
	if want.TVR != nil {
		differ("tvr", got.TVR, fmt.Sprintf("%X", []byte(want.TVR)))
		differ("tsi", got.TSI, fmt.Sprintf("%X", []byte(want.TSI)))
		differ("cvm_results", fmt.Sprintf("%X", got.CVM), fmt.Sprintf("%X", []byte(want.CVMResults)))
		differ("asked", text(true, got.Asked), fmt.Sprintf("%X", []byte(want.Asked)))
		differ("cid", text(got.Result != End, got.CID), optionalHex(want.CID))
	}
	if !bytes.Equal(got.Record.Bytes(), want.Record) {
		t.Errorf("%s: record\n got %X\nwant %X", where, got.Record.Bytes(), []byte(want.Record))
	}
	differ("abandoned", abandonedText(got.Abandoned), wantedText(want.Abandoned))
}

func optionalHex(b []byte) string {
	if b == nil {
		return "-"
	}
	return fmt.Sprintf("%X", b)
}

func abandonedText(list []Unanswered) (s string) {
	for _, u := range list {
		s += fmt.Sprintf("%X ", u)
	}
	return s
}

func wantedText(list []emvtest.Hex) (s string) {
	for _, u := range list {
		s += fmt.Sprintf("%X ", []byte(u))
	}
	return s
}
