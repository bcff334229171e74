package emv

import (
	"time"

	"tapkeeper/emv/apdu"
)

// commitLimit is the wait for GENERATE AC and RECOVER (scheme 5.9).
const commitLimit = 2000 * time.Millisecond

// generateAC sends the command that can change the wallet. From here on an
// older pending record is abandoned, and this one counts (scheme 8.6.5).
func (x *activation) generateAC() Step {
	p := x.storing
	x.storing = nil
	x.a.abandon()
	x.a.pending = p
	return x.send(&exchange{
		name: "GENERATE AC " + describeAsk(p.Asked), command: apdu.GenerateAC(p.Asked, p.CDOL1Data),
		limit: commitLimit, sureSend: true,
		done: x.generated,
		over: func() Step { return x.gone("GENERATE AC: answer too long") }, // scheme 5.1: as lost
	})
}

// generated follows the status words of scheme 5.2. One other than 9000 says
// that the phone has not committed: the pending record goes (scheme 8.6.1).
func (x *activation) generated(sw apdu.SW, data []byte) Step {
	p := x.a.pending
	switch sw {
	case apdu.OK:
		o, _ := x.a.judge(p, data, false) // of a first answer every outcome counts
		return x.concluded(o)
	case apdu.SeePhone:
		x.a.resolve()
		return x.again(seePhone(MsgSeePhone, ReasonUnlock))
	case apdu.NotSatisfied:
		x.a.resolve()
		return x.final(ended(MsgOtherCard, ReasonPhoneError, "GENERATE AC: SW 6985"))
	}
	x.a.resolve()
	return x.final(malformed("GENERATE AC: SW " + sw.String()))
}

// concluded ends the activation with what the answer says; the pending record
// is resolved.
func (x *activation) concluded(o Outcome) Step {
	x.a.resolve()
	if o.Result == TryAgain {
		return x.again(o)
	}
	return x.final(o)
}
