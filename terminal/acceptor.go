package terminal

import (
	"context"
	"errors"
)

// ErrNotAsked: the card terminal has not taken a command, so no money has moved.
var ErrNotAsked = errors.New("the card terminal was not asked")

// Acceptor is a card terminal that decides by itself (terminal.md, ZVT
// payments). Each method but Ready asks it one thing and returns what it said.
// An error that is not ErrNotAsked leaves open what has become of the command.
type Acceptor interface {
	// Ready returns an error that is ErrNoField when it cannot be asked now.
	Ready(ctx context.Context) error
	// Pay takes money from a card. A ctx that ends asks the card terminal to
	// stop; what became of the payment is returned all the same.
	Pay(ctx context.Context, minor int64, currency string, w Witness) (Booking, error)
	// Reverse undoes the booking of a receipt, whole, without a card; Refund
	// gives money to a card.
	Reverse(ctx context.Context, receipt string, w Witness) (Booking, error)
	Refund(ctx context.Context, minor int64, currency string, w Witness) (Booking, error)
	// Last is the card terminal's last booking, false when it has none. It moves
	// no money.
	Last(ctx context.Context) (Booking, bool, error)
	// CloseDay ends the card terminal's day and tells its totals.
	CloseDay(ctx context.Context, w Witness) (Booking, error)
}

// Witness is told what a card terminal says while it works.
type Witness interface {
	// Store makes a booking durable; only then is the card terminal told to keep
	// it. After an error it is told to undo it.
	Store(Booking) error
	Hint(Hint)
	Printed(lines []string)
}

// Booking is what a card terminal says of money that it has moved, or has not.
type Booking struct {
	Done        bool   `json:"done"`
	Stopped     bool   `json:"stopped,omitempty"` // by the customer, by us or by its own time-out
	Why         string `json:"why,omitempty"`     // it is not done
	AmountMinor int64  `json:"amount_minor"`
	Ident       string `json:"ident,omitempty"` // the same for the same booking
	Receipt     string `json:"receipt,omitempty"`
	TerminalID  string `json:"terminal_id,omitempty"`
	Card        string `json:"card,omitempty"`
	LastDigits  string `json:"last_digits,omitempty"`
	Approval    string `json:"approval,omitempty"`
	Count       int    `json:"count,omitempty"` // bookings of a day
}

// Card is what the payment of a card terminal carries instead of a wallet's proof.
type Card struct {
	Before  string    `json:"before,omitempty"`  // the card terminal's last booking before it was asked
	Booking *Booking  `json:"booking,omitempty"` // its proof, acknowledged to it once the payment is approved
	Work    *CardWork `json:"work,omitempty"`    // a refund under way
}

// CardWork is a refund that the card terminal is asked for.
type CardWork struct {
	Refund  ID       `json:"refund"`
	Asked   bool     `json:"asked"` // on disk before it is
	Before  string   `json:"before,omitempty"`
	Booking *Booking `json:"booking,omitempty"`
}

// Records of a card terminal.
const (
	kindCard     = "card"      // "last": its last booking; "work": the payment with a refund under way; "closing": a day's totals
	kindCardOpen = "card-open" // booking -> payment and amount: of the card terminal's open day
	kindCardSlip = "card-slip" // payment -> the lines that it printed
	keyLast      = "last"
	keyWork      = "work"
	keyClosing   = "closing"
)

const (
	// maxSlip bounds the lines of a receipt that are kept, and maxSlipLine their
	// length: paper has 24 to 48 characters.
	maxSlip     = 200
	maxSlipLine = 80
)

// witness makes a booking durable in the way that its command needs.
type witness struct {
	t     *Terminal
	id    ID // whose hints these are
	store func(Booking) error
	slip  []string
}

func (w *witness) Store(b Booking) error { return w.store(b) }

func (w *witness) Hint(h Hint) {
	if w.id != (ID{}) {
		w.t.setHint(w.id, h)
	}
}

func (w *witness) Printed(lines []string) {
	for _, l := range lines {
		if len(w.slip) < maxSlip {
			r := []rune(l)
			w.slip = append(w.slip, string(r[:min(len(r), maxSlipLine)]))
		}
	}
}

// Slip is what the card terminal has printed of a payment; nothing for others.
func (t *Terminal) Slip(id ID) ([]string, error) {
	raw, ok, err := t.journal.Get(kindCardSlip, id.String())
	if err != nil || !ok {
		return nil, err
	}
	var lines []string
	err = unmarshal(raw, &lines)
	return lines, err
}
