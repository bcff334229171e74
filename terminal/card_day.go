package terminal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapkeeper/uplink/wire"
)

// CardDay is the day of a card terminal as both sides have it.
type CardDay struct {
	At    time.Time  `json:"at"`
	Match bool       `json:"match"`
	Here  CardTotals `json:"here"`
	There CardTotals `json:"there"`
	Why   string     `json:"why,omitempty"` // they differ
}

// CardTotals are the bookings of a day: their number, and what came in less what
// went back.
type CardTotals struct {
	Count    int   `json:"count"`
	SumMinor int64 `json:"sum_minor"`
}

// ErrNoAcceptor: this terminal takes phones, and no card terminal is joined to it.
var ErrNoAcceptor = errors.New("no card terminal is joined to this terminal")

// CloseCards ends the card terminal's day and compares its totals with the
// journal. The totals are on disk before the card terminal is told that its day
// is over, so that a cut in between loses nothing: a day that it has closed
// already counts nothing the next time, and the totals on disk stand.
func (t *Terminal) CloseCards(ctx context.Context) (CardDay, error) {
	if t.acceptor == nil {
		return CardDay{}, ErrNoAcceptor
	}
	if err := t.accepting(); err != nil {
		return CardDay{}, err
	}
	day := ID{} // no payment's: it has the card terminal for itself
	if err := t.claim(day); err != nil {
		return CardDay{}, err
	}
	defer t.unclaim(day)
	bookings, totals, err := t.openBookings()
	if err != nil {
		return CardDay{}, err
	}
	var before *Booking
	if raw, ok, err := t.journal.Get(kindCard, keyClosing); err != nil {
		return CardDay{}, err
	} else if ok {
		if err := unmarshal(raw, &before); err != nil {
			return CardDay{}, fmt.Errorf("read the card terminal's totals: %w", err)
		}
	}
	w := &witness{t: t, store: func(b Booking) error {
		if before != nil && b.Count == 0 {
			return nil // it was closed before the cut
		}
		_, err := t.commit(context.Background(), Commit{Records: []Record{{kindCard, keyClosing, mustJSON(b)}},
			Event: mustJSON(Step{At: time.Now(), Why: "the card terminal has told its day's totals"})})
		return err
	}}
	b, err := t.acceptor.CloseDay(ctx, w)
	if err != nil {
		return CardDay{}, fmt.Errorf("close the card terminal's day: %w", err)
	}
	if !b.Done {
		return CardDay{}, fmt.Errorf("the card terminal does not close its day: %s", b.Why)
	}
	if before != nil && b.Count == 0 {
		b = *before
	}
	return t.keepCardDay(ctx, bookings, totals, b)
}

func (t *Terminal) openBookings() (idents []string, totals CardTotals, err error) {
	err = t.journal.Each(kindCardOpen, "", func(ident string, raw []byte) error {
		var o openBooking
		if err := unmarshal(raw, &o); err != nil {
			return fmt.Errorf("read booking %s: %w", ident, err)
		}
		idents = append(idents, ident)
		totals.Count++
		totals.SumMinor += o.Minor
		return nil
	})
	return idents, totals, err
}

// CardTerminal is what a reconciliation is with that is not with the wallet.
const CardTerminal = "card terminal"

// reconcileCards ends the card terminal's day as part of a business day's end. It
// counts what was booked since it was ended before.
func (t *Terminal) reconcileCards(ctx context.Context, day string) (Reconciliation, error) {
	d, err := t.CloseCards(ctx)
	if err != nil {
		return Reconciliation{}, err
	}
	return Reconciliation{
		Day: day, With: CardTerminal, Currency: t.Currency(), At: d.At, Match: d.Match, Here: d.Here.side(), There: d.There.side(),
	}, nil
}

func (c CardTotals) side() Side {
	return Side{Summary: wire.Summary{Count: int64(c.Count), SumMinor: c.SumMinor}}
}

// keepCardDay writes down what was found and begins the next day.
func (t *Terminal) keepCardDay(ctx context.Context, bookings []string, here CardTotals, b Booking) (CardDay, error) {
	d := CardDay{At: time.Now(), Here: here, There: CardTotals{b.Count, b.AmountMinor}}
	if d.Match = d.Here == d.There; !d.Match {
		d.Why = fmt.Sprintf("the card terminal has %d bookings of %d in all, the journal %d of %d: compare its receipts with the list of the day",
			d.There.Count, d.There.SumMinor, d.Here.Count, d.Here.SumMinor)
	}
	c := Commit{Event: mustJSON(Step{At: d.At, Why: fmt.Sprintf("closed the card terminal's day: %d bookings, agree: %v", d.There.Count, d.Match)})}
	for _, ident := range bookings {
		c.Records = append(c.Records, Record{kindCardOpen, ident, nil})
	}
	c.Records = append(c.Records, Record{kindCard, keyClosing, nil},
		Record{kindRecon, "card-" + d.At.UTC().Format(time.RFC3339), mustJSON(d)})
	_, err := t.commit(ctx, c)
	return d, err
}
