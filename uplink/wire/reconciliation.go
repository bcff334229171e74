package wire

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// ItemState is a payment's state at the close of its day.
type ItemState string

// The two states that a day's item can have.
const (
	ItemPaid     ItemState = "paid"
	ItemReversed ItemState = "reversed"
)

// Item is one payment of a business day, under the day of its acceptance.
type Item struct {
	PaymentID   ID        `json:"payment_id"`
	AmountMinor int64     `json:"amount_minor"`
	State       ItemState `json:"state"`
}

// Summary is what both sides compare first. Hash covers every item, Count and
// SumMinor those that are paid.
type Summary struct {
	Count    int64  `json:"count"`
	SumMinor int64  `json:"sum_minor"`
	Hash     Digest `json:"hash"`
}

// Summarise makes the summary of one currency's items. The hash is SHA-256 over
// a line `id|amount|currency|state` and a line feed for each, sorted by id.
func Summarise(currency string, items []Item) Summary {
	sorted := slices.Clone(items)
	slices.SortFunc(sorted, func(a, b Item) int { return bytes.Compare(a.PaymentID[:], b.PaymentID[:]) })
	var sum Summary
	h := sha256.New()
	for _, i := range sorted {
		fmt.Fprintf(h, "%s|%d|%s|%s\n", i.PaymentID, i.AmountMinor, currency, i.State)
		if i.State == ItemPaid {
			sum.Count++
			sum.SumMinor += i.AmountMinor
		}
	}
	sum.Hash = Digest(h.Sum(nil))
	return sum
}

// Reconciliation (Up) compares one currency of a business day. Items may be
// given when the whole day fits; After asks for the wallet's items behind that id.
type Reconciliation struct {
	BusinessDay string `json:"business_day"`
	Currency    string `json:"currency"`
	Summary
	Items []Item `json:"items,omitempty"`
	After *ID    `json:"after,omitempty"`
}

// ReconciliationAnswer (Down) is the wallet's own summary, and where it does not
// match, a page of its items in the order of their ids. More: ask again, After
// the last one.
type ReconciliationAnswer struct {
	Answer
	BusinessDay string `json:"business_day"`
	Currency    string `json:"currency"`
	Match       bool   `json:"match"`
	Summary
	Items []Item `json:"items,omitempty"`
	More  bool   `json:"more,omitempty"`
}

// Kind of the data.
func (Reconciliation) Kind() Kind { return KindReconciliation }

// Kind of the data.
func (ReconciliationAnswer) Kind() Kind { return KindReconciliationAnswer }

func (r Reconciliation) subject() string       { return r.BusinessDay }
func (r ReconciliationAnswer) subject() string { return r.BusinessDay }

func (r Reconciliation) check() error {
	if err := checkDayOf(r.BusinessDay, r.Currency, r.Summary, r.Items); err != nil {
		return err
	}
	if len(r.Items) > 0 && Summarise(r.Currency, r.Items) != r.Summary {
		return errors.New("items: not those of the summary")
	}
	if r.After != nil && *r.After == (ID{}) {
		return errors.New("after: missing")
	}
	return nil
}

func (r ReconciliationAnswer) check() error {
	if err := r.Answer.check(); err != nil {
		return err
	}
	if r.Match && (len(r.Items) > 0 || r.More) {
		return errors.New("items: none belong to a match")
	}
	if r.More && len(r.Items) == 0 {
		return errors.New("more: without items")
	}
	return checkDayOf(r.BusinessDay, r.Currency, r.Summary, r.Items)
}

func checkDayOf(day, currency string, s Summary, items []Item) error {
	if err := checkDay(day); err != nil {
		return err
	}
	if err := checkCurrency(currency); err != nil {
		return err
	}
	switch {
	case s.Count < 0 || s.SumMinor < 0:
		return errors.New("count and sum_minor: not below 0")
	case s.Hash == (Digest{}):
		return errors.New("hash: missing")
	case len(items) > MaxItems:
		return fmt.Errorf("items: more than %d", MaxItems)
	}
	for n, i := range items {
		if err := i.check(); err != nil {
			return fmt.Errorf("items[%d]: %w", n, err)
		}
		if n > 0 && bytes.Compare(items[n-1].PaymentID[:], i.PaymentID[:]) >= 0 {
			return fmt.Errorf("items[%d]: not in the order of ids", n)
		}
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
	if i.State != ItemPaid && i.State != ItemReversed {
		return errors.New("state: not paid or reversed")
	}
	return nil
}
