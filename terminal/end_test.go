package terminal_test

import (
	"testing"

	"tapkeeper/terminal"
	"tapkeeper/terminal/terminaltest"
	"tapkeeper/uplink/wire"
)

// The wallet refused the reversal: nobody knows whether it has the money.
func TestEndOfRefusedReversal(t *testing.T) {
	s := open(t, &terminaltest.Journal{})
	p := s.put(s.payment(terminal.Authorising))
	s.run() // Recover reverses it
	m := s.entry(wire.KindReversal)
	s.deliver(receipt(m, p.ID, wire.Refused, wire.StateTaken, 0x2A, 0)) // the wallet says: I have taken it
	got := s.is(p.ID, terminal.Failed, terminal.Rejected)
	if end := got.End(); end == terminal.NotPaid {
		t.Errorf("end is %q, although the wallet keeps the money", end)
	}
}
