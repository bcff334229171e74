package terminal

import (
	"fmt"

	"tapkeeper/emv"
)

// Explanation is why a payment ended as it did, for whoever reads it: from the
// closed list of scheme section 10.
type Explanation struct {
	ID    string // two hex digits
	Side  string // whose side: wallet, phone, terminal or backend
	Retry string // whether trying again can help, and what must change first
	ZH    string
	EN    string
}

// Explain explains the payment's reason; nil when there is nothing to explain.
func (p *Payment) Explain() *Explanation {
	if p.Reason == emv.ReasonOK {
		return nil
	}
	if p.State.Ended() && p.Reason == emv.ReasonUnknown {
		// The scheme's text asks for the same phone again; that time is over.
		return &Explanation{
			ID: fmt.Sprintf("%02X", byte(p.Reason)), Side: string(p.Reason.Side()), Retry: string(emv.RetryYes),
			ZH: "结果未知,本次付款已撤销,请重新付款", EN: "Result unknown; this payment is reversed, please pay again",
		}
	}
	return &Explanation{
		ID: fmt.Sprintf("%02X", byte(p.Reason)), Side: string(p.Reason.Side()), Retry: string(p.Reason.Retry()),
		ZH: p.Reason.Text(emv.Chinese), EN: p.Reason.Text(emv.English),
	}
}
