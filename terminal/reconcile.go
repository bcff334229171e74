package terminal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tapkeeper/uplink/wire"
)

// ErrWalletAway: the wallet cannot be asked, or did not answer in time.
var ErrWalletAway = errors.New("the wallet cannot be reached")

// Class is how a payment differs between the two books.
type Class string

// The four classes of architecture.md, step 8.
const (
	OnlyHere     Class = "only_here"
	OnlyThere    Class = "only_there"
	AmountDiffer Class = "amount_differs"
	StateDiffers Class = "state_differs"
)

// Difference is one payment that the two books do not agree on.
type Difference struct {
	Payment ID         `json:"payment_id"`
	Class   Class      `json:"class"`
	Here    *wire.Item `json:"here,omitempty"`
	There   *wire.Item `json:"there,omitempty"`
	Action  string     `json:"action"`
}

// Reconciliation compares one currency of a business day with the wallet.
type Reconciliation struct {
	Day         string       `json:"business_day"`
	Currency    string       `json:"currency"`
	At          time.Time    `json:"at"`
	Match       bool         `json:"match"`
	Here        wire.Summary `json:"here"`
	There       wire.Summary `json:"there"`
	Waiting     int          `json:"waiting"` // payments of the day whose message has no receipt yet
	Differences []Difference `json:"differences,omitempty"`
}

// maxPages bounds the item pages fetched for one day: 400 items each, far above
// what one terminal takes in a day.
const maxPages = 100

// Reconcile compares a business day with the wallet's ledger, once for each
// currency that was used (one, when nothing was).
func (t *Terminal) Reconcile(ctx context.Context, day string) ([]Reconciliation, error) {
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return nil, &RequestError{"day", "YYYY-MM-DD"}
	}
	payments, err := t.Day(day)
	if err != nil {
		return nil, err
	}
	items, waiting := itemsOf(payments)
	if len(items) == 0 {
		items[t.currency()] = nil
	}
	var all []Reconciliation
	for currency, here := range items {
		r, err := t.reconcile(ctx, Reconciliation{
			Day: day, Currency: currency, At: time.Now(),
			Here: wire.Summarise(currency, here), Waiting: waiting[currency],
		}, here)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Reconciliation) int { return bytes.Compare([]byte(a.Currency), []byte(b.Currency)) })
	c := Commit{
		Records: []Record{{kindRecon, day, mustJSON(all)}},
		Event:   mustJSON(Step{At: time.Now(), Why: "reconciled business day " + day}),
	}
	if _, err := t.commit(ctx, c); err != nil {
		return nil, fmt.Errorf("store the reconciliation: %w", err)
	}
	return all, nil
}

// reconcile asks for one currency, and for the wallet's items when the
// summaries differ.
func (t *Terminal) reconcile(ctx context.Context, r Reconciliation, here []wire.Item) (Reconciliation, error) {
	var there []wire.Item
	var after *ID
	for range maxPages {
		answer, err := t.askDay(ctx, r, after)
		if err != nil {
			return r, err
		}
		r.There, r.Match = answer.Summary, answer.Match && answer.Summary == r.Here
		there = append(there, answer.Items...)
		if r.Match || !answer.More {
			break
		}
		after = &answer.Items[len(answer.Items)-1].PaymentID
	}
	if !r.Match {
		r.Differences = compare(here, there)
	}
	return r, nil
}

func (t *Terminal) askDay(ctx context.Context, r Reconciliation, after *ID) (wire.ReconciliationAnswer, error) {
	now := time.Now()
	id, err := newID(now, t.random)
	if err != nil {
		return wire.ReconciliationAnswer{}, err
	}
	message, err := t.keys.Seal(wire.Header{ID: id, Time: now}, wire.Reconciliation{
		BusinessDay: r.Day, Currency: r.Currency, Summary: r.Here, After: after,
	})
	if err != nil {
		return wire.ReconciliationAnswer{}, fmt.Errorf("seal the reconciliation: %w", err)
	}
	m, err := t.wallet.Ask(ctx, wire.KindReconciliation, id, message)
	if err != nil {
		return wire.ReconciliationAnswer{}, fmt.Errorf("%w: %w", ErrWalletAway, err)
	}
	answer, ok := m.Data.(wire.ReconciliationAnswer)
	if !ok || answer.BusinessDay != r.Day || answer.Currency != r.Currency {
		return wire.ReconciliationAnswer{}, fmt.Errorf("%w: it answered another question", ErrWalletAway)
	}
	return answer, nil
}

// itemsOf sorts a day's payments into what the wallet must have, by currency,
// and counts those that still wait for its receipt.
func itemsOf(payments []Payment) (items map[string][]wire.Item, waiting map[string]int) {
	items, waiting = map[string][]wire.Item{}, map[string]int{}
	for _, p := range payments {
		if _, ok := items[p.Currency]; !ok {
			items[p.Currency] = nil // asked for also when the wallet must have nothing
		}
		item := wire.Item{PaymentID: p.ID, AmountMinor: p.AmountMinor}
		switch {
		case p.State == Approved && p.Settlement == Settled:
			item.State = wire.ItemPaid
		case p.Settlement == Reversed:
			item.State = wire.ItemReversed
		case p.Settlement == Queued || p.State == Authorising || p.State == Unknown:
			waiting[p.Currency]++
			continue
		default:
			continue // the wallet's money was never involved
		}
		items[p.Currency] = append(items[p.Currency], item)
	}
	return items, waiting
}

// compare classifies every payment that is not the same in both books.
func compare(here, there []wire.Item) []Difference {
	byID := map[ID]*wire.Item{}
	for i := range there {
		byID[there[i].PaymentID] = &there[i]
	}
	var out []Difference
	for i := range here {
		h := &here[i]
		o := byID[h.PaymentID]
		delete(byID, h.PaymentID)
		switch {
		case o == nil:
			out = append(out, Difference{h.PaymentID, OnlyHere, h, nil, "a person must compare the receipt with the wallet"})
		case o.AmountMinor != h.AmountMinor:
			out = append(out, Difference{h.PaymentID, AmountDiffer, h, o, "a person must compare the receipt with the wallet"})
		case o.State != h.State:
			out = append(out, Difference{h.PaymentID, StateDiffers, h, o, "wait for the outbox; then a person must look"})
		}
	}
	for id, o := range byID {
		out = append(out, Difference{id, OnlyThere, nil, o, "wait for the outbox: the receipt has not come yet"})
	}
	slices.SortFunc(out, func(a, b Difference) int { return bytes.Compare(a.Payment[:], b.Payment[:]) })
	return out
}
