package terminal

import (
	"tapkeeper/emv"
)

// outgoing is a message that an outcome owes the wallet.
type outgoing string

const (
	sendNothing       outgoing = ""
	sendAdvice        outgoing = "advice"
	sendAuthorisation outgoing = "authorisation"
	sendReport        outgoing = "report"
	sendReversal      outgoing = "reversal"
	sendRefund        outgoing = "refund"
)

// verdict is what an outcome of the kernel makes of a payment (terminal.md,
// "From the kernel's outcome to the payment's state").
type verdict struct {
	state      State
	settlement Settlement
	reason     emv.Reason
	messages   []outgoing
	why        string
}

// judge maps the kernel's outcome. It is the whole table and does nothing.
func judge(out *emv.Outcome) verdict {
	v := verdict{settlement: NotSettled, reason: out.Reason}
	switch out.Result {
	case emv.Approved:
		v.state, v.settlement, v.why = Stored, Queued, "approved offline by phone and terminal"
		v.messages = []outgoing{sendAdvice}
		return v
	case emv.Online:
		v.state, v.why = Authorising, "the wallet decides"
		v.messages = []outgoing{sendAuthorisation}
		return v
	case emv.Undetermined:
		v.state, v.settlement, v.why = Failed, Queued, "the phone may have paid and there is no proof; reversed"
		v.messages = []outgoing{sendReversal}
	case emv.Declined:
		v.state, v.why = Declined, "declined by phone or terminal"
	case emv.OtherInterface:
		v.state, v.why = Failed, "cannot be paid by a tap"
	default:
		v.state, v.why = endState(out.Reason), "the tap ended without a decision"
	}
	return v.withAbandoned(out).withRecord(out)
}

// withAbandoned reverses a payment by id when an earlier phone of the same
// sale may have paid: its answer was never obtained (scheme 8.6.5).
func (v verdict) withAbandoned(out *emv.Outcome) verdict {
	if len(out.Abandoned) > 0 && len(v.messages) == 0 {
		v.settlement, v.messages = Queued, []outgoing{sendReversal}
	}
	return v
}

// withRecord adds the message that the outcome's evidence record asks for
// (terminal.md, Messages): a reversal (04) returns the allowance of a TC that
// was not accepted, 03 and 05 are reported.
func (v verdict) withRecord(out *emv.Outcome) verdict {
	switch {
	case out.RecordKind == emv.RecordNone:
	case out.RecordKind == emv.RecordReversal:
		v.settlement = Queued
		if len(v.messages) == 0 {
			v.messages = []outgoing{sendReversal}
		}
	default:
		v.messages = append(v.messages, sendReport)
	}
	return v
}

// endState is the state of an END.
func endState(r emv.Reason) State {
	switch r {
	case emv.ReasonCancelled:
		return Cancelled
	case emv.ReasonTimeout:
		return Expired
	}
	return Failed
}
