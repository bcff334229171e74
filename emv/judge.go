package emv

import (
	"errors"

	"tapkeeper/emv/channel"
)

// errNotAnAnswer says that steps 1 to 3 of scheme 5.5 failed. The outcome beside
// it counts for a first answer; a recovered one is then none (scheme 8.6.4).
var errNotAnAnswer = errors.New("steps 1 to 3 failed")

// judge puts a GENERATE AC answer through scheme 5.5 and 5.6, in the context of
// the pending record.
func (a *attempt) judge(p *pending, data []byte, recovered bool) (Outcome, error) {
	ans, err := parseAnswer(data)
	if err != nil { // step 1
		return malformed("GENERATE AC: " + err.Error()), errNotAnAnswer
	}
	v := &verdict{a: a, p: p, ans: &ans, tvr: p.TVR, tsi: p.TSI}
	if recovered {
		v.tsi.set(tsiRecovered)
	}
	if !ans.authentic(p) { // step 2: the phone may have committed, so the backend gets it
		return v.outcome(ended(MsgError, ReasonMAC, "GENERATE AC: MAC"), RecordSuspect), errNotAnAnswer
	}
	if !ans.coherent(p) { // step 3
		kind := RecordNone
		if ans.cid == askTC {
			kind = RecordReversal
		}
		return v.outcome(malformed("GENERATE AC: objects do not fit together"), kind), errNotAnAnswer
	}
	evident := ans.evident(p) // step 4
	if evident {
		v.tsi.set(tsiEvidence)
	} else {
		v.tvr.set(bitEvidence)
	}
	if m, ok := ans.restarts(); ok && evident { // step 5: no record, no history
		why := ans.reason
		if why == ReasonOK {
			why = ReasonUnlock
		}
		return seePhone(m, why), nil
	}
	v.cardholder()
	v.history(evident)
	v.allowance()
	o, kind := v.decide()
	o = v.outcome(o, kind)
	return o, nil
}

// verdict is the state of judging one answer.
type verdict struct {
	a   *attempt
	p   *pending
	ans *answer
	tvr TVR
	tsi TSI

	cvmDone bool // step 7 was reached
	seen    *Seen
}

// CVD values (scheme 4.2).
const (
	cvdNone   = 0x00
	cvdCDCVM  = 0x03
	cvdFailed = 0xFF
)

// cardholder is steps 6 and 7.
func (v *verdict) cardholder() {
	cvd := v.ans.cvd
	v.tvr.setIf(cvd != cvdNone && cvd != cvdCDCVM && cvd != cvdFailed, bitCVDUnknown)
	v.tvr.setIf(v.p.CVMRequired && cvd != cvdCDCVM || cvd == cvdFailed, bitCVMNotDone)
	v.tsi.set(tsiCVM)
	v.cvmDone = true
}

// cvm is 9F34 (scheme 5.5).
func (v *verdict) cvm() [3]byte {
	switch {
	case !v.cvmDone || v.tvr.has(bitCVMNotDone, bitCVDUnknown):
		return [3]byte{0x3F, 0x00, 0x01}
	case v.ans.cvd == cvdCDCVM:
		return [3]byte{0x01, 0x00, 0x02}
	}
	return [3]byte{0x1F, 0x00, 0x02}
}

// allowance is step 9: rules 1 to 6 of scheme 7.3.
func (v *verdict) allowance() {
	if v.ans.state == nil {
		return
	}
	tap := channel.Link{
		Transaction: v.p.Transaction, Amount: v.a.sale.Amount.bcd(), Currency: v.a.sale.Currency.bcd(),
		ATC: v.ans.atc, TerminalID: v.p.TerminalID,
	}
	v.tvr.setIf(!v.p.GrantGood || !v.ans.state.Consistent(v.p.Grant, tap), bitAllowance)
}

// decide is the second decision of scheme 5.6.
func (v *verdict) decide() (Outcome, RecordKind) {
	p, ans := v.p, v.ans
	declined := RecordDeclined
	if ans.cid == askTC { // scheme 9.3
		declined = RecordReversal
	}
	switch {
	case v.tvr.hits(p.TACDenial):
		return decline(v.tvr.explain()), declined
	case ans.cid == askAAC:
		return v.refused()
	case ans.cid == askARQC:
		return v.online()
	case p.Connected && v.tvr.hits(p.TACOnline): // the phone has committed, the backend confirms
		return authorise(), RecordOnline
	case !p.Connected && v.tvr.hits(p.TACDefault):
		return decline(v.tvr.explain()), declined
	}
	return Outcome{Result: Approved, Message: MsgApproved, Status: StatusRead}, RecordOffline
}

// refused is CID 00.
func (v *verdict) refused() (Outcome, RecordKind) {
	switch {
	case v.ans.reason == ReasonDuplicate && len(v.a.lost) > 0 && v.p.Asked != askAAC:
		return undetermined(), RecordDeclined
	case v.p.Asked == askAAC:
		return decline(v.tvr.explain()), RecordDeclined
	case v.ans.reason == ReasonOK:
		return decline(ReasonRisk), RecordDeclined
	}
	return decline(v.ans.reason), RecordDeclined
}

// online is CID 80.
func (v *verdict) online() (Outcome, RecordKind) {
	p := v.p
	if v.a.sale.Kind != Refund {
		if !p.Connected {
			return decline(ReasonNeedsConnection), RecordDeclined
		}
		return authorise(), RecordOnline
	}
	original := make([]byte, 16)
	copy(original, v.a.sale.OriginalReference.Bytes())
	reference := channel.NewSecret(v.ans.objects.value(0xDF8B0A))
	none := channel.NewSecret(make([]byte, 16))
	if o := channel.NewSecret(original); !o.Equal(none) && !o.Equal(reference) { // scheme 8.2
		return decline(ReasonOtherWallet), RecordDeclined
	}
	o := authorise()
	o.Deferred = !p.Connected
	return o, RecordRefund
}

func decline(r Reason) Outcome {
	return Outcome{Result: Declined, Reason: r, Message: MsgDeclined, Status: StatusRead}
}

func authorise() Outcome {
	return Outcome{Result: Online, Message: MsgAuthorising, Status: StatusRead}
}

// outcome adds what the answer proved.
func (v *verdict) outcome(o Outcome, kind RecordKind) Outcome {
	o.Answered = true
	o.TVR, o.TSI, o.CVM, o.Asked = v.tvr, v.tsi, v.cvm(), v.p.Asked
	o.Seen = v.seen
	o.Device, o.LastDigits, o.Label = v.p.device(), v.p.LastDigits, v.p.Label
	if o.Result != End {
		o.CID, o.ATC = v.ans.cid, v.ans.atc
		o.Reference = channel.NewSecret(v.ans.objects.value(0xDF8B0A))
	}
	if kind != RecordNone {
		o.RecordKind, o.Record = kind, v.record(kind, o.Reason)
	}
	return o
}
