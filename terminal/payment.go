package terminal

import (
	"fmt"
	"time"

	"tapkeeper/emv"
	"tapkeeper/uplink/wire"
)

// State is where a payment stands, as the till sees it.
type State string

// The states of a payment (terminal.md, product.md).
const (
	Created     State = "created"
	AwaitingTap State = "awaiting_tap"
	Reading     State = "reading"     // the pending record is on disk, GENERATE AC may have been sent
	Authorising State = "authorising" // the wallet was asked
	Unknown     State = "unknown"     // ask, never repeat; bounded
	Approved    State = "approved"    // the wallet took the money
	Stored      State = "stored"      // accepted offline, not yet money
	Declined    State = "declined"
	Cancelled   State = "cancelled"
	Expired     State = "expired"
	Failed      State = "failed"
)

// Ended says that the state is what the till was told for good; the
// settlement may still move.
func (s State) Ended() bool {
	switch s {
	case Approved, Stored, Declined, Cancelled, Expired, Failed:
		return true
	}
	return false
}

// Settlement is where the money of a payment stands at the wallet.
type Settlement string

// The settlements of a payment.
const (
	NotSettled Settlement = "none"
	Queued     Settlement = "queued" // in the outbox
	Settled    Settlement = "settled"
	Rejected   Settlement = "rejected" // waits for a person, with the reason
	Reversed   Settlement = "reversed"
)

// End is the end of a payment; empty while there is none.
type End string

// The ends of a payment (terminal.md, Ends).
const (
	Paid     End = "PAID"
	NotPaid  End = "NOT PAID"
	Refunded End = "REFUNDED"
)

// Offline says whether a payment may be accepted without the wallet.
type Offline string

// The till's choices for a payment without the wallet.
const (
	OfflineAllow Offline = "allow"
	OfflineNever Offline = "never"
)

// Hint is what helps the customer while tapping. It is shown, never stored.
type Hint string

// The hints of product.md.
const (
	HintPresentPhone Hint = "present_phone"
	HintHoldStill    Hint = "hold_still"
	HintOnePhoneOnly Hint = "one_phone_only"
	HintUnlockPhone  Hint = "unlock_phone"
	HintMovedEarly   Hint = "moved_too_early"
	HintTryAgain     Hint = "try_again"
	HintUseOther     Hint = "use_other_method"
)

// Payment is one attempt to pay one order. Its id is the scheme's transaction id.
type Payment struct {
	ID          ID         `json:"id"`
	OrderRef    string     `json:"order_ref"`
	Attempt     int        `json:"attempt"`
	Previous    *ID        `json:"previous,omitempty"`
	AmountMinor int64      `json:"amount_minor"`
	Currency    string     `json:"currency"`
	Offline     Offline    `json:"offline"`
	State       State      `json:"state"`
	Settlement  Settlement `json:"settlement"`
	Reason      emv.Reason `json:"reason"`
	Hint        Hint       `json:"hint,omitempty"`
	Revision    int        `json:"revision"`

	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at"`
	AcceptedAt  time.Time `json:"accepted_at,omitzero"` // of the outcome: the business day follows it
	BusinessDay string    `json:"business_day,omitempty"`

	LastDigits string `json:"last_digits,omitempty"` // 9F25, for the receipt
	TVR        string `json:"tvr,omitempty"`
	WalletRef  string `json:"wallet_ref,omitempty"`

	Refunds []Refund `json:"refunds,omitempty"` // oldest first
	Card    *Card    `json:"card,omitempty"`    // of a card terminal, instead of the wallet's receipt

	// What is in flight; the till need not look at it.
	Request  *ID      `json:"request,omitempty"`  // message id of the authorisation
	Advice   *ID      `json:"advice,omitempty"`   // message id of the advice
	Reversal *ID      `json:"reversal,omitempty"` // message id of the reversal
	Report   *ID      `json:"report,omitempty"`   // message id of the report
	Resent   *Resent  `json:"resent,omitempty"`   // what a reconciliation sent again
	Former   []ID     `json:"former,omitempty"`   // messages that others have replaced
	Reserved *Reserve `json:"reserved,omitempty"` // exposure held for this payment

	Number    uint64           `json:"number,omitempty"`    // of the message that the wallet took the money by
	Abandoned []wire.Abandoned `json:"abandoned,omitempty"` // attempts without an answer (scheme 8.6)
}

// End says how the payment ended, empty while it has not (I7 of terminal.md's
// ends: a stored payment has ended only when the wallet has answered for it).
func (p Payment) End() End {
	paid := p.State == Approved && (p.Settlement == Settled || p.Card != nil)
	switch {
	case paid && p.RefundedMinor() == p.AmountMinor:
		return Refunded
	case paid:
		return Paid
	case (p.State == Failed || p.State == Stored && p.Reversal != nil) && (p.Settlement == Queued || p.Settlement == Rejected):
		return "" // the reversal has not been confirmed, or was refused: the wallet may have the money
	case p.State == Stored && (p.Settlement == Rejected || p.Settlement == Reversed):
		return NotPaid
	case p.State == Declined, p.State == Cancelled, p.State == Expired, p.State == Failed:
		return NotPaid
	}
	return ""
}

// holdsOrder says whether the order must not be paid by another payment.
func (p *Payment) holdsOrder() bool {
	switch p.State {
	case Declined, Cancelled, Expired, Failed:
		return false
	case Stored:
		return p.Reversal == nil && p.Settlement != Rejected && p.Settlement != Reversed
	}
	return true
}

// Reserve is the exposure that a payment holds in the limits until the wallet
// has answered for it.
type Reserve struct {
	Device string `json:"device"` // counter name: a hash, never the device id
	Minor  int64  `json:"minor"`
}

// Resent is a message of a payment that the wallet had lost, sent again. It
// changes nothing about the payment's end.
type Resent struct {
	Message ID     `json:"message"`
	Kind    string `json:"kind"`
	Refund  *ID    `json:"refund,omitempty"`
	Parked  bool   `json:"parked,omitempty"` // the wallet refused it
}

// Step is one state change, as it stands in the journal's chain.
type Step struct {
	At         time.Time  `json:"at"`
	Payment    string     `json:"payment,omitempty"`
	Revision   int        `json:"revision,omitempty"` // of the payment after it: a missing step shows
	From       State      `json:"from,omitempty"`
	To         State      `json:"to,omitempty"`
	Settlement Settlement `json:"settlement,omitempty"`
	Reason     emv.Reason `json:"reason"`
	By         string     `json:"by,omitempty"` // somebody looked, and nothing changed
	Why        string     `json:"why"`
}

func (s Step) String() string {
	return fmt.Sprintf("%s %s -> %s (%s): %s", s.Payment, s.From, s.To, s.Settlement, s.Why)
}
