package lane_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"tapkeeper/emv"
	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/phone"
)

// attack is a persona at the terminals that its setting asks for.
type attack struct {
	*issuer
	persona  phone.Persona
	watch    *watch
	actor    *phone.Actor
	outcomes []emv.Outcome // of the last sale
	last     dialogue
	verdicts []backend.Verdict // of all records, in order
}

// play lets the persona make its sales, all but the last of which are approved.
func (i *issuer) play(t testing.TB, p phone.Persona) *attack {
	t.Helper()
	at := func() time.Time { return noon }
	a := &attack{issuer: i, persona: p, watch: &watch{}}
	w := i.phone("alice", at)
	tools := phone.Tools{Sleep: a.watch.sleep, Issuer: &i.operator}
	for n := range p.Setting.Others {
		tools.Others = append(tools.Others, i.phone("mallory", at, make([]byte, n)...))
	}
	var err error
	if a.actor, err = p.Play(w, tools); err != nil {
		t.Fatal(err)
	}
	s := p.Setting
	calm := s
	calm.Full, calm.Revoked = false, false // what the earlier sales must not meet
	c := i.counter("TERM0001", calm)
	amount := s.AmountMinor
	if amount == 0 {
		amount = phone.DefaultAmount
	}
	unlock := func() {
		if s.Unlocked {
			a.actor.Unlock(noon)
		}
	}
	var first emv.Outcome
	for n := 1; n < s.Sales; n++ {
		outcomes, _ := c.sale(t, saleOf(amount), a.actor, a.watch, unlock)
		if first = outcomes[0]; first.Result != emv.Approved {
			t.Fatalf("sale %d before the attack: %v, reason %02X, %s", n, first.Result, byte(first.Reason), first.Detail)
		}
		a.verdicts = append(a.verdicts, i.judge(first.Record.Bytes()))
	}
	if c.setting = s; s.Elsewhere {
		c = i.counter("TERM0002", s)
	}
	sale := saleOf(amount)
	if s.Refund {
		sale.Kind, sale.OriginalReference = emv.Refund, first.Reference
	}
	a.outcomes, a.last = c.sale(t, sale, a.actor, a.watch, unlock)
	for _, o := range a.outcomes {
		if o.RecordKind != emv.RecordNone {
			a.verdicts = append(a.verdicts, i.judge(o.Record.Bytes()))
		}
	}
	return a
}

// TestPersonas gives every persona to the kernel, with the certificates of a
// real issuer, and what it leaves behind to the issuer's verifier. What stops
// each is in its Check.
func TestPersonas(t *testing.T) {
	i := newIssuer(t)
	ran, lies, verdicts := 0, 0, 0
	for _, p := range phone.Personas() {
		t.Run(p.Name, func(t *testing.T) {
			a := i.play(t, p)
			a.compare(t)
			if a.actor.Idle() {
				t.Error("the persona did nothing that a genuine phone does not do")
			}
			ran++
			if !p.Harmless {
				lies++
			}
			verdicts += len(a.verdicts)
		})
	}
	t.Logf("%d personas, %d of them lies, %d records judged by the issuer", ran, lies, verdicts)
	if all := len(phone.Personas()); ran != all && !chosen() || all < 300 {
		t.Errorf("%d of %d personas ran, want all of at least 300", ran, all)
	}
}

// chosen says that -run asks for single personas, so that no count is due.
func chosen() bool { return strings.Contains(flag.Lookup("test.run").Value.String(), "/") }

// compare holds outcomes and verdict against what the persona expects.
func (a *attack) compare(t *testing.T) {
	t.Helper()
	p := a.persona
	if len(a.outcomes) != len(p.Terminal) {
		t.Errorf("%d taps, want %d", len(a.outcomes), len(p.Terminal))
	}
	for n, o := range a.outcomes {
		if n >= len(p.Terminal) {
			t.Errorf("tap %d: %v, reason %02X, TVR %v, record %02X: %s", n+1, o.Result, byte(o.Reason), o.TVR, byte(o.RecordKind), o.Detail)
			continue
		}
		want := p.Terminal[n]
		missing := false
		for i, bits := range want.TVR {
			missing = missing || o.TVR[i]&bits != bits
		}
		if o.Result.String() != want.Result || byte(o.Reason) != want.Reason || missing || byte(o.RecordKind) != want.Record || o.KeepPending != want.Pending || o.Fault != nil {
			t.Errorf("tap %d: %v, reason %02X, TVR %v, record %02X, pending %v: %s %v\nwant %s, reason %02X, TVR %X, record %02X, pending %v",
				n+1, o.Result, byte(o.Reason), o.TVR, byte(o.RecordKind), o.KeepPending, o.Detail, o.Fault,
				want.Result, want.Reason, want.TVR, want.Record, want.Pending)
		}
	}
	a.compareVerdict(t)
}

func (a *attack) compareVerdict(t *testing.T) {
	t.Helper()
	last := a.outcomes[len(a.outcomes)-1]
	if last.RecordKind == emv.RecordNone {
		if a.persona.Backend != nil {
			t.Errorf("no record for the issuer to judge")
		}
		return
	}
	want := phone.Verdict{} // a fault that the terminal bears leaves a genuine record
	if a.persona.Backend != nil {
		want = *a.persona.Backend
	}
	got := a.verdicts[len(a.verdicts)-1]
	if got.Step != want.Step || got.Reason != want.Reason || got.OK != (want.Step == 0) {
		t.Errorf("the issuer: ok %v, step %d, reason %02X; want step %d, reason %02X", got.OK, got.Step, got.Reason, want.Step, want.Reason)
	}
}

// TestAttackTable: each row of scheme 11 is claimed by a persona, and no persona
// claims a row that is not there.
func TestAttackTable(t *testing.T) {
	text, err := os.ReadFile("../docs/scheme.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## 11. ")
	section, _, ended := strings.Cut(section, "\n## ")
	if !found || !ended {
		t.Fatal("docs/scheme.md has no section 11")
	}
	claimed := map[string][]string{}
	for _, p := range phone.Personas() {
		for _, row := range p.Attacks {
			claimed[row] = append(claimed[row], p.Name)
		}
	}
	rows := 0
	for _, line := range strings.Split(section, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.HasPrefix(cells[1], "---") || strings.TrimSpace(cells[1]) == "attack" {
			continue
		}
		row := strings.TrimSpace(cells[1])
		rows++
		if len(claimed[row]) == 0 {
			t.Errorf("no persona is an example of %q", row)
		}
		delete(claimed, row)
	}
	for row, names := range claimed {
		t.Errorf("%v claim %q, which is no row of scheme 11", names, row)
	}
	if rows < 22 {
		t.Errorf("%d rows found: the table was not read", rows)
	}
}
