package emv

import "tapkeeper/emv/apdu"

// recover asks the phone for the answer that was lost (scheme 8.6.3). It
// changes nothing on the phone, and is as good as the first answer.
func (x *activation) recover(p *pending) Step {
	x.work = append(x.work, func() { p.qs.get(p.verifyKey) })
	return x.send(&exchange{
		name: "RECOVER", command: apdu.Recover(p.Transaction, p.UN, p.TerminalID), limit: commitLimit,
		done: func(sw apdu.SW, data []byte) Step {
			if sw != apdu.OK { // forget nothing, go on (scheme 8.6.5)
				return x.gpo()
			}
			o, failed := x.a.judge(p, data, true)
			if failed != nil { // steps 1 to 3 of scheme 5.5: as 6A88 (scheme 8.6.4)
				return x.gpo()
			}
			x.app = nil // the outcome is about the pending activation, not this one
			return x.concluded(o)
		},
		over: x.gpo,
	})
}
