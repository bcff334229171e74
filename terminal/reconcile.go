package terminal

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tapkeeper/uplink/wire"
)

// Side is what one of the two books has of a day: its payments, its refunds, and
// the lowest and highest number of the messages behind them.
type Side struct {
	wire.Summary
	Refunds wire.Summary `json:"refunds"`
	First   uint64       `json:"first_sequence,omitempty"`
	Last    uint64       `json:"last_sequence,omitempty"`
}

// Reconciliation compares one currency of a business day with the wallet.
type Reconciliation struct {
	Day         string       `json:"business_day"`
	With        string       `json:"with,omitempty"` // CardTerminal; empty: the wallet
	Currency    string       `json:"currency"`
	At          time.Time    `json:"at"`
	Match       bool         `json:"match"`
	Here        Side         `json:"here"`
	There       Side         `json:"there"`
	Waiting     int          `json:"waiting"`   // payments and refunds of the day without the wallet's receipt
	Questions   int          `json:"questions"` // that it took to find what differs
	Differences []Difference `json:"differences,omitempty"`
	Left        int          `json:"left_out,omitempty"` // differences that the journal's copy does not list
}

const (
	// maxQuestions bounds the narrowing of one day: ten times what 10,000
	// differing payments take.
	maxQuestions = 2000
	// keptDifferences bounds what the journal keeps of a reconciliation, whose records
	// are small; whoever asked has all.
	keptDifferences = 40
)

// Reconcile compares a business day with the wallet's ledger, once for each
// currency that was used (one, when nothing was). Where they differ, it halves the
// day until single payments are left, and does what each of them needs.
func (t *Terminal) Reconcile(ctx context.Context, day string) ([]Reconciliation, error) {
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return nil, &RequestError{"day", "YYYY-MM-DD"}
	}
	through := t.through() // before the books are read: what comes later is for the next time
	books, err := t.booksOf(day, through)
	if err != nil {
		return nil, err
	}
	var all []Reconciliation
	for currency, b := range books {
		r := Reconciliation{Day: day, Currency: currency, At: time.Now(), Here: b.side(currency), Waiting: b.waiting}
		if err := t.reconcile(ctx, &r, b, through); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	if t.acceptor != nil {
		r, err := t.reconcileCards(ctx, day)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Reconciliation) int { return cmp.Compare(a.Currency, b.Currency) })
	if err := t.keepReconciliation(ctx, day, all); err != nil {
		return nil, fmt.Errorf("store the reconciliation: %w", err)
	}
	return all, nil
}

// keepReconciliation writes down what was found, and what was done about it.
func (t *Terminal) keepReconciliation(ctx context.Context, day string, all []Reconciliation) error {
	kept := slices.Clone(all)
	differ, room := 0, keptDifferences
	for i := range kept {
		r := &kept[i]
		n := len(r.Differences)
		r.Differences, r.Left = r.Differences[:min(n, room)], n-min(n, room)
		differ, room = differ+n, room-min(n, room)
	}
	_, err := t.commit(ctx, Commit{
		Records: []Record{{kindRecon, day, mustJSON(kept)}},
		Event:   mustJSON(Step{At: time.Now(), Why: fmt.Sprintf("reconciled business day %s: %d differences", day, differ)}),
	})
	return err
}

// reconcile asks for one currency. It narrows down to what differs and acts on it.
func (t *Terminal) reconcile(ctx context.Context, r *Reconciliation, here *books, through uint64) error {
	answer, err := t.askDay(ctx, r, through, nil)
	if err != nil {
		return err
	}
	if err := t.anchored(ctx, answer.Head); err != nil {
		return err
	}
	if t.isOldCopy() && through != 0 {
		through = 0 // what an older copy has lost has higher numbers than it knows
		if answer, err = t.askDay(ctx, r, through, nil); err != nil {
			return err
		}
	}
	r.There = Side{answer.Summary, answer.Refunds, answer.First, answer.Last}
	r.Match = r.There.Summary == r.Here.Summary && r.There.Refunds == r.Here.Refunds
	if r.Match {
		return nil
	}
	if r.Differences, err = t.narrow(ctx, r, here, through); err != nil {
		return err
	}
	t.actOn(ctx, r.Day, r.Differences)
	return nil
}

// narrow halves what differs until both sides' items of it are known.
func (t *Terminal) narrow(ctx context.Context, r *Reconciliation, here *books, through uint64) ([]Difference, error) {
	var open []wire.Range
	ask := func(of wire.Book, from, to *ID) {
		part := wire.Range{Of: of, From: from, To: to}
		part.Summary = wire.Summarise(r.Currency, part.Within(here.items(of)))
		open = append(open, part)
	}
	if r.Here.Summary != r.There.Summary {
		ask(wire.BookPayments, nil, nil)
	}
	if r.Here.Refunds != r.There.Refunds {
		ask(wire.BookRefunds, nil, nil)
	}
	var found []Difference
	for len(open) > 0 {
		batch := open[:min(len(open), wire.MaxRanges)]
		open = open[len(batch):]
		answer, err := t.askDay(ctx, r, through, batch)
		if err != nil {
			return nil, err
		}
		for i, part := range batch {
			switch a := answer.Ranges[i]; {
			case a.Match && a.Summary == part.Summary:
			case a.Middle == nil:
				found = append(found, compare(part.Within(here.items(part.Of)), a.Items)...)
			case !inside(part, *a.Middle):
				return nil, fmt.Errorf("%w: it halves a range outside of it", ErrWalletAway)
			default:
				ask(part.Of, part.From, a.Middle)
				ask(part.Of, a.Middle, part.To)
			}
		}
	}
	slices.SortStableFunc(found, byPayment)
	return found, nil
}

// byPayment puts a payment before its refunds: the wallet gives nothing back of
// a payment that it has lost.
func byPayment(a, b Difference) int {
	rank := func(d Difference) int {
		if d.Refund != nil {
			return 1
		}
		return 0
	}
	return cmp.Or(bytes.Compare(a.Payment[:], b.Payment[:]), cmp.Compare(rank(a), rank(b)))
}

// inside says that a key divides a range into two smaller ones.
func inside(part wire.Range, key ID) bool {
	return (part.From == nil || bytes.Compare(key[:], part.From[:]) > 0) && (part.To == nil || bytes.Compare(key[:], part.To[:]) < 0)
}

// askDay asks one question of a reconciliation.
func (t *Terminal) askDay(ctx context.Context, r *Reconciliation, through uint64, ranges []wire.Range) (wire.ReconciliationAnswer, error) {
	var none wire.ReconciliationAnswer
	if r.Questions++; r.Questions > maxQuestions {
		return none, fmt.Errorf("%w: %d questions do not find what differs", ErrWalletAway, maxQuestions)
	}
	now := time.Now()
	id, err := newID(now, t.random)
	if err != nil {
		return none, err
	}
	message, err := t.keys.Seal(wire.Header{ID: id, Time: now}, wire.Reconciliation{
		BusinessDay: r.Day, Currency: r.Currency, Summary: r.Here.Summary, Refunds: r.Here.Refunds,
		Through: through, Ranges: ranges, Heads: t.Heads(),
	})
	if err != nil {
		return none, fmt.Errorf("seal the reconciliation: %w", err)
	}
	m, err := t.wallet.Ask(ctx, wire.KindReconciliation, id, message)
	if err != nil {
		return none, fmt.Errorf("%w: %w", ErrWalletAway, err)
	}
	answer, ok := m.Data.(wire.ReconciliationAnswer)
	if !ok || answer.BusinessDay != r.Day || answer.Currency != r.Currency || len(answer.Ranges) != len(ranges) {
		return none, fmt.Errorf("%w: it answered another question", ErrWalletAway)
	}
	return answer, nil
}

// through is the largest number of a message that the journal has sealed.
func (t *Terminal) through() uint64 {
	if t.chain == nil {
		return 0
	}
	seq, _ := t.chain.Head()
	return messageNumber(seq, messagesPerCommit-1)
}
