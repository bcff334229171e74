package lane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"tapkeeper/reader"
	"tapkeeper/reader/zvt"
	"tapkeeper/terminal"
)

// acceptor lets a terminal take payments by a ZVT card terminal.
type acceptor struct{ client *zvt.Client }

var _ terminal.Acceptor = acceptor{}

// Ready implements terminal.Acceptor.
func (a acceptor) Ready(ctx context.Context) error {
	return field{reader: standby{a.client}}.Ready(ctx)
}

// Pay implements terminal.Acceptor.
func (a acceptor) Pay(ctx context.Context, minor int64, currency string, w terminal.Witness) (terminal.Booking, error) {
	s, err := a.client.Pay(ctx, minor, zvt.Currency(currency), watching{w, zvt.Currency(currency)})
	return bookingOf(s), notAsked(err)
}

// Reverse implements terminal.Acceptor.
func (a acceptor) Reverse(ctx context.Context, receipt string, w terminal.Witness) (terminal.Booking, error) {
	s, err := a.client.Reverse(ctx, receipt, watching{w: w})
	return bookingOf(s), notAsked(err)
}

// Refund implements terminal.Acceptor.
func (a acceptor) Refund(ctx context.Context, minor int64, currency string, w terminal.Witness) (terminal.Booking, error) {
	s, err := a.client.Refund(ctx, minor, zvt.Currency(currency), watching{w, zvt.Currency(currency)})
	return bookingOf(s), notAsked(err)
}

// Last implements terminal.Acceptor.
func (a acceptor) Last(ctx context.Context) (terminal.Booking, bool, error) {
	s, found, err := a.client.Repeat(ctx)
	return bookingOf(s), found, notAsked(err)
}

// CloseDay implements terminal.Acceptor.
func (a acceptor) CloseDay(ctx context.Context, w terminal.Witness) (terminal.Booking, error) {
	s, err := a.client.EndOfDay(ctx, watching{w: w})
	return bookingOf(s), notAsked(err)
}

// notAsked tells a command that was not taken from one whose outcome is open.
func notAsked(err error) error {
	if errors.Is(err, zvt.ErrUntouched) {
		return fmt.Errorf("%w: %w", terminal.ErrNotAsked, err)
	}
	return err
}

func bookingOf(s zvt.Status) terminal.Booking {
	b := terminal.Booking{
		Done: s.Code == zvt.CodeDone, Stopped: s.Code == zvt.CodeTimeout, AmountMinor: s.AmountMinor,
		Ident: s.Ident(), Receipt: s.Receipt, TerminalID: s.TerminalID, Card: s.Card, LastDigits: s.LastDigits, Approval: s.Approval,
	}
	if !b.Done {
		b.Why = zvt.Words(s.Code)
		if s.Text != "" {
			b.Why += ": " + strings.Join(strings.Fields(s.Text), " ")
		}
	}
	for _, t := range s.Totals {
		b.Count += t.Count
	}
	return b
}

// watching passes on what a card terminal says while it works.
type watching struct {
	w        terminal.Witness
	currency uint16 // that was asked for; 0: none was
}

// errCurrency: the same number of another currency is another amount.
var errCurrency = errors.New("the card terminal has booked in another currency")

// Store implements zvt.Witness.
func (w watching) Store(s zvt.Status) error {
	if s.Code == zvt.CodeDone && s.Currency != 0 && w.currency != 0 && s.Currency != w.currency {
		return fmt.Errorf("%w: %d, not %d", errCurrency, s.Currency, w.currency)
	}
	return w.w.Store(bookingOf(s))
}

// Printed implements zvt.Witness.
func (w watching) Printed(lines []string) { w.w.Printed(lines) }

// Hint implements zvt.Witness. What product.md has no word for is a matter between the card terminal's own display and
// the customer.
func (w watching) Hint(h zvt.Hint) {
	switch h.Code {
	case 0x0A:
		w.w.Hint(terminal.HintPresentPhone)
	case 0x0C:
		w.w.Hint(terminal.HintTryAgain)
	default:
		w.w.Hint(terminal.HintHoldStill)
	}
}

// standby is a card terminal among readers: it has a name and a state, and phones are its own matter.
type standby struct{ *zvt.Client }

var _ reader.Stater = standby{}

// Await implements reader.Reader.
func (s standby) Await(ctx context.Context) (reader.Card, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// maxPassword is far above six digits; what is longer is another file.
const maxPassword = 64

func (l *Lane) openZVT() error {
	r := l.cfg.Reader
	o := zvt.Options{Baud: r.Baud, OneStop: r.OneStop, Currency: zvt.Currency(r.Currency)}
	if r.PasswordFile != "" {
		raw, err := os.ReadFile(r.PasswordFile)
		if err != nil || len(raw) > maxPassword {
			return &KeyError{"reader.password_file", r.PasswordFile, "cannot be read, or is no password of six digits"}
		}
		o.Password = strings.TrimSpace(string(raw))
	}
	client, err := zvt.Open(r.Device, o)
	if err != nil {
		return &FieldError{"reader.password_file", "six digits", r.PasswordFile}
	}
	l.reader, l.acceptor = standby{client}, acceptor{client}
	l.closing = append(l.closing, client.Close)
	return nil
}
