package backend

import (
	"errors"
	"fmt"

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
	if !x.granted() || !state.Consistent(e.part[tagGrant], e.link()) {
		return failed(9, reasonAllowance), nil
	}
	tap := x.tap(state)
	_, err = tx.Tap(tap.Device, tap.Epoch, tap.Index)
	switch {
	case err == nil:
		// The ATC is new, so this is other evidence for the same step of the allowance.
		return x.caught(tx, failed(8, reasonCounter))
	case !errors.Is(err, ledger.ErrNone):
		return Verdict{}, fmt.Errorf("read tap: %w", err)
	}
	fits, err := x.fits(tx, tap)
	if err != nil {
		return Verdict{}, err
	}
	if !fits {
		return x.caught(tx, failed(10, reasonAllowance))
	}
	if err := tx.PutTap(tap); err != nil {
		return Verdict{}, fmt.Errorf("keep tap: %w", err)
	}
	return Verdict{}, nil
}

// granted is steps 30 to 35 of scheme 2.5 at the moment of the tap.
func (x *Examined) granted() bool {
	e := x.evidence
	grant, err := cert.ParseGrant(e.part[tagGrant])
	if err != nil || e.part[tagAIP][1]&0x08 == 0 { // 30
		return false
	}
	if !x.issuer.MayIssueGrants() || !grant.Belongs(x.issuer.Serial, *e.device) || !x.deviceCert.MayApproveOffline() { // 31
		return false
	}
	amount, numeric := tlv.Number(e.cdol1[tagAmount])
	return grant.SignedBy(x.grantsKey) && grant.InForce(e.minute()) && // 32, 33
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

// fits is step 10: the chain and the sums of the taps before and after, where
// they are known, and the sum of all taps of the epoch (scheme 7.6).
func (x *Examined) fits(tx *ledger.Tx, tap ledger.Tap) (bool, error) {
	grant, err := cert.ParseGrant(x.evidence.part[tagGrant])
	if err != nil {
		return false, fmt.Errorf("read grant: %w", err)
	}
	total, _ := tlv.Number(grant.Total[:])
	sum, err := tx.EpochSum(tap.Device, tap.Epoch)
	if err != nil {
		return false, fmt.Errorf("add up the epoch: %w", err)
	}
	if sum+tap.AmountMinor > int64(total) {
		return false, nil
	}
	before, err := tx.Tap(tap.Device, tap.Epoch, tap.Index-1)
	if err == nil && !follows(before, tap) {
		return false, nil
	}
	if err != nil && !errors.Is(err, ledger.ErrNone) {
		return false, fmt.Errorf("read tap before: %w", err)
	}
	after, err := tx.Tap(tap.Device, tap.Epoch, tap.Index+1)
	if err == nil && !follows(tap, after) {
		return false, nil
	}
	if err != nil && !errors.Is(err, ledger.ErrNone) {
		return false, fmt.Errorf("read tap after: %w", err)
	}
	return true, nil
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
