package wire

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// ItemState is a payment's or a refund's state at the close of its day.
type ItemState string

// The states that a day's item can have; a refund has the last.
const (
	ItemPaid     ItemState = "paid"
	ItemReversed ItemState = "reversed"
	ItemRefunded ItemState = "refunded"
)

// Item is one payment of a business day, under the day of its acceptance, or one
// refund, under the day on which it was asked for.
type Item struct {
	PaymentID   ID        `json:"payment_id"`
	RefundID    ID        `json:"refund_id,omitzero"` // of a refund
	AmountMinor int64     `json:"amount_minor"`
	State       ItemState `json:"state"`
}

// Key is what the item is sorted and found by: the refund's id, or the payment's.
func (i Item) Key() ID {
	if i.RefundID != (ID{}) {
		return i.RefundID
	}
	return i.PaymentID
}

// CompareItems orders items by their keys.
func CompareItems(a, b Item) int { return bytes.Compare(keyOf(a), keyOf(b)) }

func keyOf(i Item) []byte { k := i.Key(); return k[:] }

// Summary is what both sides compare first. Hash covers every item, Count and
// SumMinor those that are paid or refunded.
type Summary struct {
	Count    int64  `json:"count"`
	SumMinor int64  `json:"sum_minor"`
	Hash     Digest `json:"hash"`
}

// Summarise makes the summary of one currency's items. The hash is SHA-256 over
// a line `key|amount|currency|state` and a line feed for each, sorted by key.
func Summarise(currency string, items []Item) Summary {
	sorted := slices.Clone(items)
	slices.SortFunc(sorted, CompareItems)
	var sum Summary
	h := sha256.New()
	for _, i := range sorted {
		fmt.Fprintf(h, "%s|%d|%s|%s\n", i.Key(), i.AmountMinor, currency, i.State)
		if i.State != ItemReversed {
			sum.Count++
			sum.SumMinor += i.AmountMinor
		}
	}
	sum.Hash = Digest(h.Sum(nil))
	return sum
}

// Book says which of a day's items are meant.
type Book string

// The two books of a day.
const (
	BookPayments Book = "payments"
	BookRefunds  Book = "refunds"
)

// Range is a part of a book: the items from a key on, up to another. An end that
// is missing is that of the book.
type Range struct {
	Of   Book `json:"of"`
	From *ID  `json:"from,omitempty"` // the first key of the range
	To   *ID  `json:"to,omitempty"`   // the first key after it
	Summary
}

// Within picks the range's items out of sorted ones.
func (r Range) Within(sorted []Item) []Item {
	at := func(key *ID, otherwise int) int {
		if key == nil {
			return otherwise
		}
		n, _ := slices.BinarySearchFunc(sorted, *key, func(i Item, k ID) int { return bytes.Compare(keyOf(i), k[:]) })
		return n
	}
	from := at(r.From, 0)
	return sorted[from:max(from, at(r.To, len(sorted)))]
}

// RangeAnswer is the wallet's side of a range: its summary, and where that does
// not match, its items when they are few, or the key that halves them.
type RangeAnswer struct {
	Match bool `json:"match"`
	Summary
	Items  []Item `json:"items,omitempty"`  // all, at most MaxLeaf
	Middle *ID    `json:"middle,omitempty"` // ask again for what comes before it and from it on
}

// Reconciliation (Up) compares one currency of a business day; with Ranges, those
// parts of it. Through leaves out what came later, so that a day can be narrowed
// down while payments go on.
type Reconciliation struct {
	BusinessDay string  `json:"business_day"`
	Currency    string  `json:"currency"`
	Summary             // of the payments
	Refunds     Summary `json:"refunds"`
	Through     uint64  `json:"through,omitempty"` // largest number of a message that counts; 0: all
	Ranges      []Range `json:"ranges,omitempty"`
	Heads
}

// ReconciliationAnswer (Down) is the wallet's own summaries, and its answers to
// the ranges in their order. First and Last are the lowest and the highest number
// of the messages behind its items, 0 without items.
type ReconciliationAnswer struct {
	Answer
	BusinessDay string `json:"business_day"`
	Currency    string `json:"currency"`
	Match       bool   `json:"match"`
	Summary
	Refunds Summary       `json:"refunds"`
	First   uint64        `json:"first,omitempty"`
	Last    uint64        `json:"last,omitempty"`
	Ranges  []RangeAnswer `json:"ranges,omitempty"`
	Head    *Head         `json:"head,omitempty"`
}

// Kind of the data.
func (Reconciliation) Kind() Kind { return KindReconciliation }

// Kind of the data.
func (ReconciliationAnswer) Kind() Kind { return KindReconciliationAnswer }

func (r Reconciliation) subject() string       { return r.BusinessDay }
func (r ReconciliationAnswer) subject() string { return r.BusinessDay }

func (r Reconciliation) check() error {
	if err := checkDayOf(r.BusinessDay, r.Currency, r.Summary, r.Refunds); err != nil {
		return err
	}
	if r.Through > MaxSequence {
		return errors.New("through: out of range")
	}
	if len(r.Ranges) > MaxRanges {
		return fmt.Errorf("ranges: more than %d", MaxRanges)
	}
	for n, part := range r.Ranges {
		if err := part.check(); err != nil {
			return fmt.Errorf("ranges[%d]: %w", n, err)
		}
	}
	return r.Heads.check()
}

func (r Range) check() error {
	switch {
	case r.Of != BookPayments && r.Of != BookRefunds:
		return errors.New("of: not payments or refunds")
	case r.From != nil && r.To != nil && bytes.Compare(r.From[:], r.To[:]) >= 0:
		return errors.New("to: not above from")
	}
	return r.Summary.check()
}

func (r ReconciliationAnswer) check() error {
	if err := r.Answer.check(); err != nil {
		return err
	}
	if r.First > r.Last || r.Last > MaxSequence {
		return errors.New("first and last: out of range")
	}
	if len(r.Ranges) > MaxRanges {
		return fmt.Errorf("ranges: more than %d", MaxRanges)
	}
	for n, part := range r.Ranges {
		if err := part.check(); err != nil {
			return fmt.Errorf("ranges[%d]: %w", n, err)
		}
	}
	if err := r.Head.check(); err != nil {
		return err
	}
	return checkDayOf(r.BusinessDay, r.Currency, r.Summary, r.Refunds)
}

func (r RangeAnswer) check() error {
	switch {
	case r.Match && (len(r.Items) > 0 || r.Middle != nil):
		return errors.New("items and middle: none belong to a match")
	case len(r.Items) > 0 && r.Middle != nil:
		return errors.New("middle: not beside items")
	case len(r.Items) > MaxLeaf:
		return fmt.Errorf("items: more than %d", MaxLeaf)
	}
	for n, i := range r.Items {
		if err := i.check(); err != nil {
			return fmt.Errorf("items[%d]: %w", n, err)
		}
		if n > 0 && CompareItems(r.Items[n-1], i) >= 0 {
			return fmt.Errorf("items[%d]: not in the order of ids", n)
		}
	}
	return r.Summary.check()
}

func checkDayOf(day, currency string, payments, refunds Summary) error {
	return cmp.Or(checkDay(day), checkCurrency(currency), payments.check(), refunds.check())
}

func (s Summary) check() error {
	switch {
	case s.Count < 0 || s.SumMinor < 0:
		return errors.New("count and sum_minor: not below 0")
	case s.Hash == (Digest{}):
		return errors.New("hash: missing")
	}
	return nil
}

func (i Item) check() error {
	if err := checkPaymentID(i.PaymentID); err != nil {
		return err
	}
	if i.AmountMinor <= 0 || i.AmountMinor > MaxAmountMinor {
		return errors.New("amount_minor: want 1 to 999999999999")
	}
	refund := i.RefundID != (ID{})
	switch i.State {
	case ItemRefunded:
		if refund {
			return nil
		}
	case ItemPaid, ItemReversed:
		if !refund {
			return nil
		}
	}
	return errors.New("state: want paid or reversed, refunded for a refund")
}
