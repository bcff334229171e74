package till

import (
	"time"

	"tapkeeper/terminal"
)

// Payment is a payment as a till sees it.
type Payment struct {
	ID          string    `json:"id" doc:"UUIDv7, also the scheme's transaction id"`
	OrderRef    string    `json:"order_ref"`
	Attempt     int       `json:"attempt" doc:"1 for the first payment of the order"`
	Previous    string    `json:"previous,omitempty" doc:"the attempt before"`
	AmountMinor int64     `json:"amount_minor"`
	Currency    string    `json:"currency"`
	State       string    `json:"state" enum:"created,awaiting_tap,reading,authorising,approved,stored,declined,cancelled,expired,failed,unknown"`
	Settlement  string    `json:"settlement" enum:"none,queued,settled,rejected,reversed"`
	End         string    `json:"end,omitempty" enum:"PAID,NOT PAID,REFUNDED" doc:"absent while the payment has not ended with its proof"`
	Hint        string    `json:"hint,omitempty" doc:"what helps the customer while tapping"`
	Reason      *Reason   `json:"reason,omitempty"`
	Revision    int       `json:"revision" doc:"rises with every change of state"`
	CreatedAt   time.Time `json:"created_at"`
	AcceptedAt  time.Time `json:"accepted_at,omitzero"`
	BusinessDay string    `json:"business_day,omitempty"`
	LastDigits  string    `json:"last_digits,omitempty"`
	WalletRef   string    `json:"wallet_ref,omitempty"`
	TVR         string    `json:"tvr,omitempty"`

	Refunds       []Refund `json:"refunds,omitempty"`
	RefundedMinor int64    `json:"refunded_minor,omitempty" doc:"what has gone back, confirmed by the wallet"`
}

// Reason is why a payment ended as it did.
type Reason struct {
	ID    string `json:"id" doc:"two hex digits, scheme section 10"`
	Side  string `json:"side" doc:"whose side: wallet, phone or terminal"`
	ZH    string `json:"zh"`
	EN    string `json:"en"`
	Retry string `json:"retry" doc:"whether trying again can help"`
}

// paymentOf shows a payment.
func paymentOf(p terminal.Payment) Payment {
	out := Payment{
		ID: p.ID.String(), OrderRef: p.OrderRef, Attempt: p.Attempt,
		AmountMinor: p.AmountMinor, Currency: p.Currency,
		State: string(p.State), Settlement: string(p.Settlement), End: string(p.End()),
		Hint: string(p.Hint), Revision: p.Revision,
		CreatedAt: p.CreatedAt, AcceptedAt: p.AcceptedAt, BusinessDay: p.BusinessDay,
		LastDigits: p.LastDigits, WalletRef: p.WalletRef, TVR: p.TVR,
	}
	if p.Previous != nil {
		out.Previous = p.Previous.String()
	}
	out.Reason = reasonOf(&p)
	if len(p.Refunds) > 0 {
		out.Refunds, out.RefundedMinor = refundsOf(&p), p.RefundedMinor()
	}
	return out
}

func reasonOf(p *terminal.Payment) *Reason {
	why := p.Explain()
	if why == nil {
		return nil
	}
	return &Reason{ID: why.ID, Side: why.Side, ZH: why.ZH, EN: why.EN, Retry: why.Retry}
}

// Final says that a till need not wait any longer for the outcome.
func (p *Payment) Final() bool { return terminal.State(p.State).Ended() }
