package terminal

import (
	"tapkeeper/emv"
	"tapkeeper/uplink/wire"
)

// plan is what a difference needs.
type plan struct {
	action string
	kind   outgoing // of what is sent again
	why    string
}

// planOf decides about one difference. It is the whole table and does nothing.
func planOf(day string, p *Payment, d *Difference) plan {
	switch {
	case d.Class == AmountDiffer:
		return plan{action: doPerson, why: "the amounts differ; compare the receipt with the wallet"}
	case p.Resent != nil && p.Resent.Parked:
		return plan{action: doPerson, why: "it was sent again, and the wallet refused it; its message is parked"}
	case p.Resent != nil:
		return plan{action: doWait, why: "it was sent again; the wallet has not answered yet"}
	case d.Refund != nil:
		return planOfRefund(day, p, d)
	case d.Class == OnlyHere:
		return planOnlyHere(p, d)
	case d.Class == OnlyThere:
		return planOnlyThere(day, p, d)
	case d.Here.State == wire.ItemReversed:
		return plan{doResend, sendReversal, "the wallet's reversal is not in its books; it is sent again"}
	}
	return plan{action: doPerson, why: "the wallet has reversed what its receipt says was taken; compare the receipt with the wallet"}
}

// planOnlyHere: the wallet has given a receipt, and its books have lost it.
func planOnlyHere(p *Payment, d *Difference) plan {
	const lost = "the wallet's books have lost what its receipt says; it is sent again"
	switch {
	case d.Here.State == wire.ItemReversed:
		return plan{doResend, sendReversal, lost}
	case p.Advice != nil:
		return plan{doResend, sendAdvice, lost}
	case p.Request != nil:
		return plan{doResend, sendAuthorisation, lost}
	}
	return plan{action: doPerson, why: "there is no record to send again; compare the receipt with the wallet"}
}

// planOnlyThere: the wallet has what this side does not count.
func planOnlyThere(day string, p *Payment, d *Difference) plan {
	paid := d.There.State == wire.ItemPaid
	_, counts := itemOf(p)
	switch {
	case p.BusinessDay != day:
		return plan{action: doPerson, why: "the wallet has it on another day than the journal, which says " + p.BusinessDay}
	case counts || p.Settlement == Queued || p.State == Authorising || p.State == Unknown || !p.State.Ended():
		return plan{action: doWait, why: "the receipt has not come yet; the message is in the outbox and goes again"}
	case p.State == Stored && p.Settlement == Rejected && p.Reversal == nil && paid:
		return plan{action: doAccept, why: "it was refused before and is taken now"}
	case p.Settlement == Rejected:
		return plan{action: doPerson, why: "a message of it is parked; a person must release it"}
	case paid:
		return plan{doReverse, sendReversal, "the till was told not paid, and the wallet has the money"}
	}
	return plan{action: doAccept, why: "no money moved: the wallet has it as reversed"}
}

// planOfRefund is the same for refunds.
func planOfRefund(day string, p *Payment, d *Difference) plan {
	var back *Refund
	for i := range p.Refunds {
		if p.Refunds[i].ID == *d.Refund {
			back = &p.Refunds[i]
		}
	}
	switch {
	case back == nil:
		return plan{action: doPerson, why: "the journal does not hold this refund; compare it with the wallet's receipt"}
	case back.BusinessDay != day:
		return plan{action: doPerson, why: "the wallet has it on another day than the journal, which says " + back.BusinessDay}
	case d.Class == OnlyHere:
		return plan{doResend, sendRefund, "the wallet's books have lost what its receipt says; it is sent again"}
	case back.State == RefundQueued:
		return plan{action: doWait, why: "the receipt has not come yet; the message is in the outbox and goes again"}
	case back.Reason != emv.ReasonOK:
		return plan{action: doAccept, why: "it was refused before and is made now"}
	}
	return plan{action: doPerson, why: "compare the receipt with the wallet"}
}
