package terminal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tapkeeper/emv"
)

// cardReady says whether a payment could be taken now: by the card terminal, or
// by the field.
func (t *Terminal) cardReady(ctx context.Context) error {
	if t.acceptor == nil {
		return t.fieldReady(ctx)
	}
	return t.acceptor.Ready(ctx)
}

// attendCard has the card terminal for one payment, or for a refund of it, until
// it is known what has become of it or the terminal stops.
func (t *Terminal) attendCard(ctx context.Context, p Payment) {
	switch {
	case p.Card != nil && p.Card.Work != nil:
		t.giveBack(ctx, p)
	case p.State == AwaitingTap:
		t.takeCard(ctx, p)
	case !p.State.Ended():
		t.findOut(p.ID)
	}
}

// takeCard asks the card terminal for a payment:
//
//  1. that it is asked is on disk, with its last booking before;
//  2. its booking is on disk before it is acknowledged (terminal.md, ZVT payments);
//  3. the outcome is on disk before anybody hears of it.
//
// Between 1 and 3 a crash leaves a payment whose outcome the card terminal knows.
func (t *Terminal) takeCard(ctx context.Context, p Payment) {
	ctx, cancel := context.WithDeadlineCause(ctx, p.ExpiresAt, errNoTap)
	defer cancel()
	before, err := t.lastBooking(ctx)
	if err == nil && ctx.Err() == nil {
		next := p
		next.State, next.Card = Reading, &Card{Before: before}
		c := t.change(p, &next, "the card terminal is asked")
		c.Records = append(c.Records, Record{kindCard, keyLast, []byte(before)})
		_, err = t.commit(ctx, c)
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil { // nothing was asked
		t.endCard(p.ID, stopped(ctx, Failed), Booking{Why: "it was not asked: " + err.Error()}, nil)
		return
	}
	w := &witness{t: t, id: p.ID, store: func(b Booking) error { return t.noteBooking(p.ID, b) }}
	b, err := t.acceptor.Pay(ctx, p.AmountMinor, p.Currency, w)
	switch {
	case err == nil && b.Done:
		t.endCard(p.ID, Approved, b, w.slip)
	case err == nil && b.Stopped:
		t.endCard(p.ID, stopped(ctx, Cancelled), b, w.slip)
	case err == nil:
		t.endCard(p.ID, Declined, b, w.slip)
	case errors.Is(err, ErrNotAsked):
		t.endCard(p.ID, stopped(ctx, Failed), Booking{Why: err.Error()}, nil)
	default:
		t.unknownCard(p, "the line to the card terminal was cut: "+err.Error())
		t.findOut(p.ID)
	}
}

// stopped is the state of a payment that did not come to pass: by its time, by the
// cashier, or as the caller has it.
func stopped(ctx context.Context, state State) State {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errNoTap):
		return Expired
	case errors.Is(cause, errCancelled):
		return Cancelled
	}
	return state
}

// lastBooking is the card terminal's last booking as the journal knows it; a
// journal without one asks.
func (t *Terminal) lastBooking(ctx context.Context) (string, error) {
	raw, ok, err := t.journal.Get(kindCard, keyLast)
	if err != nil || ok {
		return string(raw), err
	}
	b, found, err := t.acceptor.Last(ctx)
	if err != nil || !found {
		return "", err
	}
	return b.Ident, nil
}

// errLate: a booking came to the disk after the payment had come to another end.
var errLate = errors.New("the payment is no longer waiting for a booking")

// errOther: a booking is not the one that was asked for.
var errOther = errors.New("the booking is not the one that was asked for")

// mayKeep refuses a booking of another amount, and the one of before once more. An
// amount that is not told is negative.
func mayKeep(b *Booking, before string, minor int64) error {
	switch {
	case b.AmountMinor >= 0 && b.AmountMinor != minor:
		return fmt.Errorf("%w: it is of %d, not of %d", errOther, b.AmountMinor, minor)
	case b.Ident != "" && b.Ident == before:
		return fmt.Errorf("%w: it is the one before", errOther)
	}
	return nil
}

// noteBooking makes a booking durable before it is acknowledged. From here on the
// payment cannot be cancelled.
func (t *Terminal) noteBooking(id ID, b Booking) error {
	if !b.Done {
		return nil // no money moves: the outcome alone is kept
	}
	t.spendCard(id)
	defer t.locks.lock("payment/" + id.String())()
	p, err := t.load(id)
	if err != nil {
		return err
	}
	if p.State != Reading {
		return errLate // a disk that was too slow: the line has been given up meanwhile
	}
	if err := mayKeep(&b, p.Card.Before, p.AmountMinor); err != nil {
		return err
	}
	next, card := p, *p.Card
	card.Booking = &b
	next.State, next.Card = Authorising, &card
	_, err = t.commit(context.Background(), t.change(p, &next, "the card terminal has booked it, and is told to keep it"))
	return err
}

// spendCard notes that the payment can no longer be cancelled.
func (t *Terminal) spendCard(id ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.active; a != nil && a.id == id {
		a.spent = true
	}
}

// endCard commits what the card terminal has said, and only then lets anybody
// hear of it (I4).
func (t *Terminal) endCard(id ID, state State, b Booking, slip []string) {
	defer t.locks.lock("payment/" + id.String())()
	p, err := t.load(id)
	if err != nil {
		t.fail(fmt.Errorf("store the outcome of %s: %w", id, err))
		return
	}
	now := time.Now()
	next := p
	card := Card{}
	if p.Card != nil {
		card = *p.Card
	}
	card.Booking = &b
	next.State, next.Card, next.Settlement = state, &card, NotSettled
	next.AcceptedAt, next.BusinessDay = now, t.cfg.businessDay(now)
	why := "the card terminal: " + b.Why
	switch state {
	case Approved:
		next.LastDigits, why = b.LastDigits, "the card terminal keeps its booking"
	case Expired:
		next.Reason = emv.ReasonTimeout
	case Cancelled:
		next.Reason = emv.ReasonCancelled
	}
	c := t.change(p, &next, why)
	if state == Approved {
		c.Records = append(c.Records, bookedRecords(&b, p.ID, p.AmountMinor)...)
	}
	if len(slip) > 0 {
		c.Records = append(c.Records, Record{kindCardSlip, p.ID.String(), mustJSON(slip)})
	}
	t.unclaim(p.ID) // whoever hears of the outcome may open the next payment at once
	if _, err := t.insist(c); err != nil {
		t.fail(fmt.Errorf("store the outcome of %s: %w", p.ID, err))
	}
}

// openBooking is one booking of the card terminal's open day.
type openBooking struct {
	Payment ID    `json:"payment"`
	Minor   int64 `json:"minor"` // negative: money went back
}

func bookedRecords(b *Booking, id ID, minor int64) []Record {
	return []Record{{kindCard, keyLast, []byte(b.Ident)}, {kindCardOpen, b.Ident, mustJSON(openBooking{id, minor})}}
}

// unknownCard says that only the card terminal knows, and does so before it is
// asked again.
func (t *Terminal) unknownCard(p Payment, why string) {
	defer t.locks.lock("payment/" + p.ID.String())()
	now, err := t.load(p.ID)
	if err != nil || now.State.Ended() || now.State == Unknown {
		return
	}
	next := now
	next.State = Unknown
	t.setHint(p.ID, "") // the customer can do nothing about it
	if _, err := t.insist(t.change(now, &next, why)); err != nil {
		t.fail(fmt.Errorf("store that %s is unknown: %w", p.ID, err))
	}
}

// findOut asks the card terminal for its last booking until it is known what has
// become of a payment. Nothing else is asked of it meanwhile.
func (t *Terminal) findOut(id ID) {
	p, err := t.load(id)
	if err != nil || p.State.Ended() || p.Card == nil {
		return
	}
	b, known := t.askLast(t.lifetime(), p.Card.Before, p.Card.Booking, p.CreatedAt)
	switch {
	case known && b.Done:
		t.endCard(p.ID, Approved, b, nil)
	case known:
		t.endCard(p.ID, Failed, b, nil)
	}
}

// lifetime ends when Run does; a payment's own time does not bound what is asked
// about it.
func (t *Terminal) lifetime() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.life
}

// maxStrange is how often a last booking may be one that can be neither before a
// person has to look.
const maxStrange = 3

// askLast asks until the answer says whether a booking was made; false when the
// terminal stops before, or when somebody else has booked since. Then the payment
// stays unknown, the shop goes on, and the day's totals will show it.
func (t *Terminal) askLast(ctx context.Context, before string, seen *Booking, since time.Time) (Booking, bool) {
	pauses := t.cfg.Bounds.Queries
	strange := 0
	for i := 0; ; i++ {
		if last, found, err := t.acceptor.Last(ctx); err == nil {
			b, known := judgeLast(last, found, before, seen)
			if known && (found || seen == nil || !t.forgotten(before, since)) {
				return b, true
			}
			if strange++; strange == maxStrange {
				t.noteLast(last.Ident)
				return Booking{}, false
			}
		}
		pause := retryField
		if len(pauses) > 0 && i > 0 {
			pause = pauses[min(i-1, len(pauses)-1)]
		}
		select {
		case <-ctx.Done():
			return Booking{}, false
		case <-time.After(pause):
		}
	}
}

// forgotten says that a card terminal that tells of no booking has had some: its
// open day has the one of before, or a day was closed since. A booking that the
// journal has seen may have gone with them.
func (t *Terminal) forgotten(before string, since time.Time) bool {
	open, err := false, error(nil)
	if before != "" {
		_, open, err = t.journal.Get(kindCardOpen, before)
	}
	closed := false
	if err == nil && !open {
		from := "card-" + since.UTC().Format(time.RFC3339)
		err = t.journal.Each(kindRecon, "card-", func(at string, _ []byte) error {
			closed = closed || at >= from
			return nil
		})
	}
	return err != nil || open || closed
}

// noteLast keeps what the card terminal's last booking is, so that the next payment
// is compared with it.
func (t *Terminal) noteLast(ident string) {
	_, err := t.insist(Commit{
		Records: []Record{{kindCard, keyLast, []byte(ident)}},
		Event:   mustJSON(Step{At: time.Now(), Why: "the card terminal has a booking of somebody else; a payment stays unknown until a person has looked"}),
	})
	if err != nil {
		t.fail(fmt.Errorf("store the card terminal's last booking: %w", err))
	}
}

// judgeLast compares the card terminal's last booking with what it was asked for.
// It keeps what was acknowledged to it and nothing else, and we acknowledge what is
// on disk: so a booking that the journal has not seen is not this one, whatever its
// amount. It may be by hand, or the card terminal's own record of a reversal.
func judgeLast(last Booking, found bool, before string, seen *Booking) (Booking, bool) {
	const notMade = "its last booking is an earlier one: it has not kept this"
	switch {
	case !found, last.Ident != "" && last.Ident == before:
		return Booking{Why: notMade}, true
	case seen == nil:
		return Booking{Why: notMade}, !last.Done
	case seen.Ident == "": // it has said that it is done, and nothing more
		return last, last.Done && last.Ident != "" && last.AmountMinor == seen.AmountMinor
	case last.Ident != seen.Ident:
		return Booking{}, false // also a later one that was refused: it says nothing of this
	case !last.Done:
		return Booking{Why: notMade}, true
	}
	return last, true
}

// resolveCard takes up at a start what the last process has left: only the card
// terminal knows, and it is asked as soon as Run does. Until then it belongs to
// this payment.
func (t *Terminal) resolveCard(p Payment) error {
	if p.State != Unknown {
		next := p
		next.State = Unknown
		if _, err := t.commit(context.Background(), t.change(p, &next, "restarted while the card terminal was asked; it is asked what has become of it")); err != nil {
			return err
		}
	}
	if t.acceptor == nil {
		return nil // it stays unknown until one is joined again
	}
	return t.resume(p.ID, p.ID)
}

// resume gives the card terminal to a payment that is taken up again. One is enough:
// another is a person's, and is asked about at the next start.
func (t *Terminal) resume(id, claim ID) error {
	if err := t.claim(claim); err != nil {
		if errors.As(err, new(*BusyError)) {
			return nil
		}
		return err
	}
	t.spendCard(claim)
	t.armed <- id // never blocks: the claim is held by this payment alone
	return nil
}

// resumeWork takes up the refund that was under way.
func (t *Terminal) resumeWork() error {
	raw, ok, err := t.journal.Get(kindCard, keyWork)
	if err != nil || !ok || t.acceptor == nil {
		return err
	}
	id, err := ParseID(string(raw))
	if err != nil {
		return err
	}
	p, err := t.load(id)
	if err != nil || p.Card == nil || p.Card.Work == nil {
		return err
	}
	return t.resume(id, p.Card.Work.Refund)
}

func unmarshal(raw []byte, into any) error { return json.Unmarshal(raw, into) }
