package lane_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tapkeeper/reader/readertest"
	"tapkeeper/terminal"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/phone"
)

// lastCommand is GENERATE AC of an honest tap; the commands before it commit
// nothing.
const lastCommand = 9

// tear is one way to lose a phone, and what happens then.
type tear struct {
	command int  // of the first tap
	after   bool // the phone has carried it out
	then    string
}

// What happens after a tear.
const (
	sameAgain = "the same phone again"
	nobody    = "nobody again"
	another   = "another phone"
	cancelled = "the cashier cancels"
)

// commits says that the torn phone has paid.
func (c tear) commits() bool { return c.command == lastCommand && c.after }

// TestTears loses the phone before and after each command of the tap, and goes
// on in every way that people do (scheme 8.5, 8.6): the payment, the phones' own
// books and the outbox must tell one story.
func TestTears(t *testing.T) {
	i := newIssuer(t)
	ran := 0
	var records [][]byte
	for command := 1; command <= lastCommand; command++ {
		for _, after := range []bool{false, true} {
			for _, then := range []string{sameAgain, nobody, another, cancelled} {
				c := tear{command, after, then}
				t.Run(fmt.Sprintf("command %d after %v, %s", command, after, then), func(t *testing.T) {
					alice, bob := i.phone("alice", time.Now), i.phone("mallory", time.Now)
					onFloor(t, i, phone.DefaultAmount, func(s *floor) {
						records = append(records, s.tear(c, alice, bob)...)
					})
				})
				ran++
			}
		}
	}
	for _, r := range records {
		if v := i.judge(r); !v.OK {
			t.Errorf("the issuer refuses a record: step %d, reason %02X", v.Step, v.Reason)
		}
	}
	t.Logf("%d tears, %d records that the issuer found genuine", ran, len(records))
	if want := lastCommand * 2 * 4; !chosen() && (ran != want || len(records) < want/2) {
		t.Errorf("%d tears with %d records, want %d with at least %d", ran, len(records), want, want/2)
	}
}

func (s *floor) tear(c tear, alice, bob *phone.Wallet) [][]byte {
	faults := readertest.Faults{RemoveBefore: c.command}
	if c.after {
		faults = readertest.Faults{RemoveAfter: c.command}
	}
	s.must(s.reader.PresentWith(alice, faults))
	time.Sleep(time.Second)
	waiting := terminal.AwaitingTap
	if c.command == lastCommand {
		waiting = terminal.Reading
	}
	if p := s.now(); p.State != waiting || s.isPending() != (c.command == lastCommand) {
		s.t.Fatalf("after the tear the payment is %s, pending %v; want %s", p.State, s.isPending(), waiting)
	}
	if torn := s.debits(alice) == 1; torn != c.commits() {
		s.t.Fatalf("the torn phone has paid: %v", torn)
	}
	switch c.then {
	case sameAgain:
		s.must(s.reader.Present(alice))
		time.Sleep(time.Second)
		s.paidOnce(alice)
	case another:
		s.must(s.reader.Present(bob))
		time.Sleep(time.Second)
		s.paidOnce(bob)
		if own := s.debits(alice); own > 1 || own == 1 != c.commits() {
			s.t.Errorf("the torn phone has paid %d times", own)
		}
	case nobody:
		time.Sleep(2 * time.Minute)
		s.notPaid(c, terminal.Expired, alice)
	case cancelled:
		_, err := s.terminal.Cancel(s.t.Context(), s.payment)
		if err != nil && !errors.Is(err, terminal.ErrTooLate) {
			s.t.Fatal(err)
		}
		s.notPaid(c, terminal.Cancelled, alice)
	}
	records := s.sent().records
	s.receive()
	end := s.now().End()
	if want := map[bool]terminal.End{true: terminal.Paid, false: terminal.NotPaid}[c.then == sameAgain || c.then == another]; end != want {
		s.t.Errorf("in the end it is %q, want %q", end, want)
	}
	if left := s.journal.Counts(); len(left) != 0 {
		s.t.Errorf("in the end exposure is held: %v", left)
	}
	return records
}

// paidOnce: stored, one advice, one debit.
func (s *floor) paidOnce(by *phone.Wallet) {
	s.t.Helper()
	p, sent := s.now(), s.sent()
	if p.State != terminal.Stored || p.Settlement != terminal.Queued || s.isPending() {
		s.t.Errorf("the payment is %s, %s, reason %02X, pending %v; want stored", p.State, p.Settlement, byte(p.Reason), s.isPending())
	}
	if !slices.Equal(sent.kinds, []wire.Kind{wire.KindAdvice}) || len(sent.records) != 1 {
		s.t.Errorf("the wallet hears %v with %d records, want one advice", sent.kinds, len(sent.records))
	}
	if n := s.debits(by); n != 1 {
		s.t.Errorf("the phone has paid %d times", n)
	}
}

// notPaid: what may have been paid is reversed, with the answers that were
// never obtained; what was not asked simply ends.
func (s *floor) notPaid(c tear, quiet terminal.State, torn *phone.Wallet) {
	s.t.Helper()
	p, sent := s.now(), s.sent()
	if s.isPending() {
		s.t.Error("the pending record outlives the payment")
	}
	if c.command < lastCommand {
		if p.State != quiet || len(sent.kinds) != 0 || s.debits(torn) != 0 {
			s.t.Errorf("the payment is %s and the wallet hears %v; want %s and nothing", p.State, sent.kinds, quiet)
		}
		return
	}
	if p.State != terminal.Failed || p.Settlement != terminal.Queued || p.End() != "" {
		s.t.Errorf("the payment is %s, %s; want failed with a reversal on its way", p.State, p.Settlement)
	}
	if !slices.Equal(sent.kinds, []wire.Kind{wire.KindReversal}) || sent.abandoned != 1 {
		s.t.Errorf("the wallet hears %v with %d abandoned answers, want one reversal with one", sent.kinds, sent.abandoned)
	}
}

// TestLateAnswers holds the answer to GENERATE AC back beyond its limit, at the
// reader: the phone has paid, stays in the field, and is asked again.
func TestLateAnswers(t *testing.T) {
	i := newIssuer(t)
	for _, delay := range []time.Duration{2010 * time.Millisecond, 2200 * time.Millisecond, 5 * time.Second} {
		alice := i.phone("alice", time.Now)
		onFloor(t, i, phone.DefaultAmount, func(s *floor) {
			s.must(s.reader.PresentWith(alice, readertest.Faults{Delay: delay, DelayFrom: lastCommand}))
			time.Sleep(tapTime)
			s.paidOnce(alice)
		})
	}
}

// TestPersonasAtTheTill gives the personas of one offline sale to the whole
// terminal: what the till is told, what the wallet hears and what the phone has
// in its books must agree with what the kernel had to answer.
func TestPersonasAtTheTill(t *testing.T) {
	i := newIssuer(t)
	ran, verdicts := 0, 0
	for _, p := range phone.Personas() {
		s := p.Setting
		if s.Sales > 1 || s.Connected || s.Full || s.Revoked || s.CRLAgeDays > 0 {
			continue // what a terminal in a bubble has not
		}
		t.Run(p.Name, func(t *testing.T) {
			var sent sent
			w := i.phone("alice", time.Now)
			tools := phone.Tools{Sleep: time.Sleep, Issuer: &i.operator}
			for n := range s.Others {
				tools.Others = append(tools.Others, i.phone("mallory", time.Now, make([]byte, n)...))
			}
			onFloor(t, i, max(s.AmountMinor, phone.DefaultAmount), func(f *floor) {
				actor, err := p.Play(w, tools)
				f.must(err)
				sent = f.perform(p, actor, tools)
			})
			for _, r := range sent.records {
				v, want := i.judge(r), phone.Verdict{}
				if p.Backend != nil {
					want = *p.Backend
				}
				if v.Step != want.Step || v.Reason != want.Reason {
					t.Errorf("the issuer: step %d, reason %02X; want %d, %02X", v.Step, v.Reason, want.Step, want.Reason)
				}
				verdicts++
			}
			ran++
		})
	}
	t.Logf("%d personas, %d records judged", ran, verdicts)
	if ran < 280 && !chosen() {
		t.Errorf("only %d personas ran", ran)
	}
}

// perform holds the persona to the reader until the payment has ended.
func (s *floor) perform(p phone.Persona, actor *phone.Actor, tools phone.Tools) sent {
	for range 10 {
		if s.now().State.Ended() {
			break
		}
		s.reader.Remove()
		if p.Setting.Unlocked {
			actor.Unlock(time.Now())
		}
		s.must(s.reader.Present(actor))
		time.Sleep(tapTime)
	}
	want := p.Terminal[len(p.Terminal)-1]
	state, kinds := terminal.Failed, []wire.Kind(nil)
	switch want.Result {
	case "APPROVED":
		state, kinds = terminal.Stored, []wire.Kind{wire.KindAdvice}
	case "DECLINED":
		state = terminal.Declined
	case "UNDETERMINED":
		kinds = []wire.Kind{wire.KindReversal}
	}
	switch want.Record {
	case 0x03, 0x05:
		kinds = append(kinds, wire.KindReport)
	case 0x04:
		kinds = append(kinds, wire.KindReversal)
	}
	got, sent := s.now(), s.sent()
	if got.State != state || byte(got.Reason) != want.Reason || !slices.Equal(sent.kinds, kinds) {
		s.t.Errorf("the payment is %s, reason %02X, the wallet hears %v; want %s, %02X, %v",
			got.State, byte(got.Reason), sent.kinds, state, want.Reason, kinds)
	}
	if s.isPending() {
		s.t.Error("the pending record outlives the payment")
	}
	held := len(s.journal.Counts()) > 0
	if held != (state == terminal.Stored) {
		s.t.Errorf("exposure is held: %v", s.journal.Counts())
	}
	if state == terminal.Stored && p.Harmless { // somebody has paid, and nobody more than the persona says
		debits := s.debits(actor.Wallet)
		for _, w := range tools.Others {
			debits += s.debits(w)
		}
		if debits < 1 || debits > 2 || debits == 2 && p.Section != "8.6" {
			s.t.Errorf("the phones have paid %d times", debits)
		}
	}
	return sent
}
