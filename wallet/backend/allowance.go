package backend

import (
	"fmt"
	"slices"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
	"tapkeeper/wallet/ledger"
)

// judgeAllowance is steps 9 and 10 of scheme 9.4, with the part of step 8 that
// follows 9. The verdict is zero when nothing is wrong.
func (x *Examined) judgeAllowance(tx *ledger.Tx) (Verdict, error) {
	e := x.evidence
	coded, has := e.answer[tagState]
	if has != (e.cid() == cidTC) {
		return failed(9, reasonProtocol), nil
	}
	if !has {
		return Verdict{}, nil
	}
	state, err := cert.ParseState(coded)
	if err != nil {
		return failed(9, reasonProtocol), nil
	}
	if !x.granted || !state.Consistent(e.part[tagGrant], e.link()) {
		return failed(9, reasonAllowance), nil
	}
	tap := x.tap(state)
	near, sum, err := tx.Around(tap.Device, tap.Epoch, tap.Index)
	if err != nil {
		return Verdict{}, fmt.Errorf("read taps: %w", err)
	}
	if at := slices.IndexFunc(near, func(t ledger.Tap) bool { return t.Index == tap.Index }); at >= 0 {
		// The ATC is new, so this is other evidence for the same step of the allowance.
		return x.caught(tx, failed(8, reasonCounter), RuleIndex, near[at].Evidence)
	}
	for _, other := range near {
		if other.Index < tap.Index && !follows(other, tap) || other.Index > tap.Index && !follows(tap, other) { // step 10
			return x.caught(tx, failed(10, reasonAllowance), RuleChain, other.Evidence)
		}
	}
	within, err := x.within(sum + tap.AmountMinor)
	if err != nil {
		return Verdict{}, err
	}
	if !within {
		return x.caught(tx, failed(10, reasonAllowance), "", [32]byte{})
	}
	if bad, err := x.told(tx, tap); err != nil || bad.Step != 0 {
		return bad, err
	}
	if err := tx.PutTap(tap); err != nil {
		return Verdict{}, fmt.Errorf("keep tap: %w", err)
	}
	return Verdict{}, nil
}

// grants is steps 30 to 35 of scheme 2.5 at the moment of the tap.
func (v *Verifier) grants(x *Examined) bool {
	e := x.evidence
	grant, err := cert.ParseGrant(e.part[tagGrant])
	if err != nil || e.part[tagAIP][1]&0x08 == 0 { // 30
		return false
	}
	if !x.issuer.MayIssueGrants() || !grant.Belongs(x.issuer.Serial, *e.device) || !x.deviceCert.MayApproveOffline() { // 31
		return false
	}
	if !v.good.remember(func() bool { return grant.SignedBy(x.grantsKey) }, e.part[tagIssuerCert], e.part[tagGrant]) { // 32
		return false
	}
	amount, numeric := tlv.Number(e.cdol1[tagAmount])
	return grant.InForce(e.minute()) && // 33
		grant.Currency == [2]byte(e.cdol1[tagCurrency]) && numeric && grant.Covers(amount) // 34, 35
}

// tap is the step of the allowance that the record proves. The sums are numbers: rule 3 of scheme 7.3 has passed.
func (x *Examined) tap(s cert.State) ledger.Tap {
	link := x.evidence.link()
	amount, _ := tlv.Number(link.Amount[:])
	spent, _, _ := s.Sums()
	return ledger.Tap{Device: *x.evidence.device, Epoch: s.Epoch, Index: s.Index, Chain: s.Chain, Link: packLink(link),
		Evidence: x.hash, Payment: link.Transaction, AmountMinor: int64(amount), SpentMinor: int64(spent)}
}

// within says whether the taps of the epoch stay within the grant (scheme 7.6).
func (x *Examined) within(sum int64) (bool, error) {
	grant, err := cert.ParseGrant(x.evidence.part[tagGrant])
	if err != nil {
		return false, fmt.Errorf("read grant: %w", err)
	}
	total, _ := tlv.Number(grant.Total[:])
	return sum <= int64(total), nil
}

// told holds a tap against what the phone's own log says of it and of the tap
// before (scheme 7.6: the log fills gaps), and against the calendar: what was
// released to the payer is nobody else's any more.
func (x *Examined) told(tx *ledger.Tx, tap ledger.Tap) (Verdict, error) {
	log, err := tx.Reports(tap.Device, tap.Epoch, tap.Index-1, tap.Index)
	if err != nil {
		return Verdict{}, fmt.Errorf("read the phone's log: %w", err)
	}
	for _, r := range log {
		switch {
		case r.Index == tap.Index && r.Chain != tap.Chain,
			r.Index < tap.Index && channel.Chain(r.Chain).Next(unpackLink(tap.Link)) != channel.Chain(tap.Chain):
			return x.caught(tx, failed(10, reasonAllowance), "", [32]byte{}) // also when the lie had the tap released
		case r.Index == tap.Index && r.Released:
			return failed(5, reasonProtocol), nil
		}
	}
	return Verdict{}, nil
}

// follows says whether second is the step of the chain that comes after first.
func follows(first, second ledger.Tap) bool {
	return channel.Chain(first.Chain).Next(unpackLink(second.Link)) == channel.Chain(second.Chain) &&
		first.SpentMinor+second.AmountMinor == second.SpentMinor
}

// packLink writes a link in the order of scheme 7.2.
func packLink(l channel.Link) (b [34]byte) {
	copy(b[:16], l.Transaction[:])
	copy(b[16:22], l.Amount[:])
	copy(b[22:24], l.Currency[:])
	b[24], b[25] = byte(l.ATC>>8), byte(l.ATC)
	copy(b[26:], l.TerminalID[:])
	return b
}

func unpackLink(b [34]byte) channel.Link {
	return channel.Link{Transaction: [16]byte(b[:16]), Amount: [6]byte(b[16:22]), Currency: [2]byte(b[22:24]),
		ATC: uint16(b[24])<<8 | uint16(b[25]), TerminalID: [8]byte(b[26:])}
}
