package wire

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Payment is the common data of the messages that concern money.
type Payment struct {
	PaymentID   ID         `json:"payment_id"`
	OrderRef    string     `json:"order_ref"`
	AmountMinor int64      `json:"amount_minor"`
	Currency    string     `json:"currency"`     // ISO 4217 alpha-3
	BusinessDay string     `json:"business_day"` // YYYY-MM-DD, terminal.md "Clock and day"
	AcceptedAt  Time       `json:"accepted_at"`
	RecordKind  RecordKind `json:"kind,omitempty"`
	Record      Record     `json:"-"` // travels sealed, in the field "record"
	sealedRecord
	// Abandoned are earlier attempts of the payment, of whatever phone, that may
	// have spent an allowance for nothing: the wallet can return it at once.
	Abandoned []Abandoned `json:"abandoned,omitempty"`
}

// sealedRecord is the record as it came, until it is opened.
type sealedRecord struct {
	Sealed *string `json:"record,omitempty"`
}

// Authorisation (Up) asks whether an online payment may be made; record 02.
type Authorisation struct{ Payment }

// Advice (Up) tells of a payment approved offline; record 01.
type Advice struct{ Payment }

// Report (Up) tells of a decline or a suspect tap; record 03 or 05.
type Report struct{ Payment }

// Reversal (Up) takes a payment back, known to the wallet or not; record 04 or none.
type Reversal struct{ Payment }

// Refund (Up) gives AmountMinor of a taken payment back; record 06 or none.
type Refund struct {
	Payment
	RefundID ID `json:"refund_id"`
}

// Query (Up) asks what the wallet knows of a payment.
type Query struct {
	PaymentID ID `json:"payment_id"`
}

// Echo (Up) asks for a sign of life, and tells how far the journal is.
type Echo struct{ Heads }

// State (Up) is the terminal's retained birth, heartbeat and last will.
type State struct {
	Online  bool   `json:"online"`
	Session uint64 `json:"session"` // rises with every connection; a lower one is out of date
	Since   Time   `json:"since"`   // when this session began
	Version string `json:"version"`
	Waiting int64  `json:"waiting"` // entries without a receipt
	// Applied is what this terminal holds: the wallet sends what is newer. Nil
	// says nothing.
	Applied *Applied `json:"applied,omitempty"`
}

// Applied are the highest numbers that a terminal has taken, 0 for none: the
// serial of its Config, the versions of both lists of a Hotlist, the number of
// the last Command, carried out or not.
type Applied struct {
	Config      uint64 `json:"config"`
	Revocations uint64 `json:"revocations"`
	Exceptions  uint64 `json:"exceptions"`
	Command     uint64 `json:"command"`
}

// Kind of the data; likewise below.
func (Authorisation) Kind() Kind { return KindAuthorisation }

// Kind of the data.
func (Advice) Kind() Kind { return KindAdvice }

// Kind of the data.
func (Report) Kind() Kind { return KindReport }

// Kind of the data.
func (Reversal) Kind() Kind { return KindReversal }

// Kind of the data.
func (Refund) Kind() Kind { return KindRefund }

// Kind of the data.
func (Query) Kind() Kind { return KindQuery }

// Kind of the data.
func (Echo) Kind() Kind { return KindEcho }

// Kind of the data.
func (State) Kind() Kind { return KindState }

func (p Payment) subject() string    { return p.PaymentID.String() }
func (q Query) subject() string      { return q.PaymentID.String() }
func (Echo) subject() string         { return "" }
func (State) subject() string        { return "" }
func (p *Payment) payment() *Payment { return p }

// clear gives what travels sealed.
func (p Payment) clear() (ID, Record) { return p.PaymentID, p.Record }

func (m Authorisation) check() error { return m.Payment.check(2) }
func (m Advice) check() error        { return m.Payment.check(1) }
func (m Report) check() error        { return m.Payment.check(3, 5) }
func (e Echo) check() error          { return e.Heads.check() }

func (m Reversal) check() error { return m.Payment.check(4, 0) }

func (m Refund) check() error {
	if m.RefundID == (ID{}) {
		return errors.New("refund_id: missing")
	}
	return m.Payment.check(6, 0)
}

func (q Query) check() error { return checkPaymentID(q.PaymentID) }

func (s State) check() error {
	switch {
	case s.Session == 0 || s.Session > MaxSequence:
		return errors.New("session: out of range")
	case s.Since.IsZero():
		return errors.New("since: missing")
	case !printable(s.Version, 64):
		return errors.New("version: want 1 to 64 printable bytes")
	case s.Waiting < 0:
		return errors.New("waiting: negative")
	case s.Applied != nil && max(s.Applied.Config, s.Applied.Revocations, s.Applied.Exceptions, s.Applied.Command) > MaxSequence:
		return errors.New("applied: out of range")
	}
	return nil
}

// check holds the common rules and that the record is one of the given kinds.
func (p Payment) check(kinds ...RecordKind) error {
	if err := checkPaymentID(p.PaymentID); err != nil {
		return err
	}
	if !printable(p.OrderRef, MaxOrderRef) {
		return fmt.Errorf("order_ref: want 1 to %d printable bytes", MaxOrderRef)
	}
	if p.AmountMinor <= 0 || p.AmountMinor > MaxAmountMinor {
		return errors.New("amount_minor: want 1 to 999999999999")
	}
	if err := checkCurrency(p.Currency); err != nil {
		return err
	}
	if err := checkDay(p.BusinessDay); err != nil {
		return err
	}
	if p.AcceptedAt.IsZero() {
		return errors.New("accepted_at: missing")
	}
	if (p.RecordKind == 0) != (p.Record.Bytes() == nil) {
		return errors.New("record: record and kind go together")
	}
	if len(p.Record.Bytes()) > MaxRecord {
		return errors.New("record: too large")
	}
	if len(p.Abandoned) > MaxAbandoned {
		return fmt.Errorf("abandoned: more than %d", MaxAbandoned)
	}
	for _, k := range kinds {
		if p.RecordKind == k {
			return nil
		}
	}
	return fmt.Errorf("kind: %02X does not belong in this message", byte(p.RecordKind))
}

func checkPaymentID(id ID) error {
	if id == (ID{}) {
		return errors.New("payment_id: missing")
	}
	return nil
}

func checkCurrency(c string) error {
	if len(c) != 3 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return errors.New("currency: want three letters of ISO 4217")
	}
	return nil
}

func checkDay(d string) error {
	if _, err := time.Parse(time.DateOnly, d); err != nil {
		return errors.New("business_day: want YYYY-MM-DD")
	}
	return nil
}

// printable refuses what could disturb a log line or a receipt.
func printable(s string, limit int) bool {
	if len(s) == 0 || len(s) > limit || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
