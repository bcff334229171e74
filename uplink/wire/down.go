package wire

import (
	"cmp"
	"errors"
)

// Result is the wallet's word on a message.
type Result string

// Accepted and Refused are final for the message they answer.
const (
	Accepted Result = "accepted"
	Refused  Result = "refused"
)

// PaymentState is what the wallet's ledger holds for a payment.
type PaymentState string

// The states; StateUnknown means that the ledger has nothing under that id.
const (
	StateTaken    PaymentState = "taken"
	StateReversed PaymentState = "reversed"
	StateRefused  PaymentState = "refused"
	StateUnknown  PaymentState = "unknown"
	StateRefunded PaymentState = "refunded"
)

// Receipt (Down) is the wallet's signed word on a message that concerns money.
// It alone removes an entry from the outbox.
type Receipt struct {
	Answer
	PaymentID   ID           `json:"payment_id"`
	Sequence    uint64       `json:"sequence"` // of the message answered
	Result      Result       `json:"result"`
	State       PaymentState `json:"state"` // of the payment, after this message
	Reason      Reason       `json:"reason"`
	AmountMinor int64        `json:"amount_minor"` // taken, reversed or refunded by it; 0 when no money moved
	WalletRef   string       `json:"wallet_ref"`
}

// Status (Down) answers a Query. Receipt is the latest receipt of the payment,
// if one was given.
type Status struct {
	Answer
	PaymentID   ID           `json:"payment_id"`
	State       PaymentState `json:"state"`
	AmountMinor int64        `json:"amount_minor"`
	Reason      Reason       `json:"reason"`
	Receipt     *Receipt     `json:"receipt,omitempty"`
}

// EchoAnswer (Down) answers an Echo; its header's time is the wallet's clock, Head
// what the wallet keeps of the terminal's journal.
type EchoAnswer struct {
	Answer
	Head *Head `json:"head,omitempty"`
}

// Kind of the data.
func (Receipt) Kind() Kind { return KindReceipt }

// Kind of the data.
func (Status) Kind() Kind { return KindStatus }

// Kind of the data.
func (EchoAnswer) Kind() Kind { return KindEchoAnswer }

func (r Receipt) subject() string  { return r.PaymentID.String() }
func (s Status) subject() string   { return s.PaymentID.String() }
func (EchoAnswer) subject() string { return "" }

func (e EchoAnswer) check() error { return cmp.Or(e.Answer.check(), e.Head.check()) }

func (r Receipt) check() error {
	if err := r.Answer.check(); err != nil {
		return err
	}
	if err := checkPaymentID(r.PaymentID); err != nil {
		return err
	}
	switch {
	case r.Sequence == 0 || r.Sequence > MaxSequence:
		return errors.New("sequence: out of range")
	case r.Result != Accepted && r.Result != Refused:
		return errors.New("result: not accepted or refused")
	case (r.Result == Accepted) != (r.Reason == 0):
		return errors.New("reason: 00 belongs to accepted, and only to it")
	case r.AmountMinor < 0 || r.AmountMinor > MaxAmountMinor:
		return errors.New("amount_minor: want 0 to 999999999999")
	case !printable(r.WalletRef, 64):
		return errors.New("wallet_ref: want 1 to 64 printable bytes")
	}
	return r.State.check()
}

func (s Status) check() error {
	if err := s.Answer.check(); err != nil {
		return err
	}
	if err := checkPaymentID(s.PaymentID); err != nil {
		return err
	}
	if s.AmountMinor < 0 || s.AmountMinor > MaxAmountMinor {
		return errors.New("amount_minor: want 0 to 999999999999")
	}
	if s.Receipt != nil {
		if err := s.Receipt.check(); err != nil {
			return err
		}
		if s.Receipt.PaymentID != s.PaymentID {
			return errors.New("receipt: of another payment")
		}
	}
	return s.State.check()
}

func (s PaymentState) check() error {
	switch s {
	case StateTaken, StateReversed, StateRefused, StateUnknown, StateRefunded:
		return nil
	}
	return errors.New("state: not in the list")
}
