package ledger

import (
	"errors"
	"fmt"
	"time"
)

// State is what the ledger knows of a payment id.
type State string

// A tombstone is a reversal that came before anything else: no later record of
// that id takes money. Every state but Taken is final.
const (
	Taken     State = "taken"
	Refused   State = "refused"
	Reversed  State = "reversed"
	Tombstone State = "tombstone"
)

// Payment is the one row of a payment id.
type Payment struct {
	ID            [16]byte
	Merchant      string
	Terminal      string
	OrderRef      string
	State         State
	Reason        byte // scheme 10, 00 unless refused
	AmountMinor   int64
	RefundedMinor int64
	Currency      string
	BusinessDay   string // YYYY-MM-DD
	Sequence      uint64 // of the message that made the row
	RecordKind    byte   // scheme 9.1, 00 without a record
	RecordSHA256  string
	Device        string
	Account       string // the payer's
	WalletRef     string
	Receipt       string // the latest one given, as JSON
	UpdatedAt     string
}

const paymentColumns = `id, merchant, terminal, order_ref, state, reason, amount_minor, refunded_minor, currency,
	business_day, sequence, record_kind, record_sha256, device, account, wallet_ref, receipt, updated_at`

func scanPayment(scan func(...any) error) (Payment, error) {
	var p Payment
	var id string
	err := scan(&id, &p.Merchant, &p.Terminal, &p.OrderRef, &p.State, &p.Reason, &p.AmountMinor, &p.RefundedMinor, &p.Currency,
		&p.BusinessDay, &p.Sequence, &p.RecordKind, &p.RecordSHA256, &p.Device, &p.Account, &p.WalletRef, &p.Receipt, &p.UpdatedAt)
	if err != nil {
		return p, err
	}
	return p, unhex(p.ID[:], id)
}

// Payment reads the row of a payment id; ErrNone when nothing is known of it.
func (tx *Tx) Payment(id [16]byte) (Payment, error) {
	return scanPayment(func(dest ...any) error {
		return tx.row(dest, paymentQuery, hexed(id[:]))
	})
}

// Take adds the payment as taken and moves its amount from the payer to the
// merchant's account. ErrExists when anything is known of the id.
func (tx *Tx) Take(p Payment, merchantAccount string, at time.Time) error {
	p.State, p.Reason = Taken, 0
	if err := tx.enter(p, at); err != nil {
		return err
	}
	id := hexed(p.ID[:])
	return tx.post(posting{kind: "take", reference: id, payment: id, from: p.Account, to: merchantAccount,
		currency: p.Currency, amount: p.AmountMinor, at: at})
}

// Refuse adds the payment as refused for p.Reason; no money moves, now or later.
func (tx *Tx) Refuse(p Payment, at time.Time) error {
	p.State = Refused
	return tx.enter(p, at)
}

// Bury adds a tombstone for an id of which nothing is known, or in the place of
// a refusal. ErrExists when the id has taken money or is reversed already.
func (tx *Tx) Bury(p Payment, at time.Time) error {
	p.State = Tombstone
	err := tx.exec(ErrExists, insertPayment, p.columns(at)...)
	if !errors.Is(err, ErrExists) {
		return err
	}
	return tx.exec(ErrExists, `UPDATE payments SET state = 'tombstone', reason = 0, receipt = $3, updated_at = $1 WHERE id = $2 AND state = 'refused'`,
		stamp(at), hexed(p.ID[:]), p.Receipt)
}

// enter adds a payment that the caller knows to be new.
func (tx *Tx) enter(p Payment, at time.Time) error {
	return tx.must(1, ErrExists, insertPayment, p.columns(at)...)
}

const insertPayment = `INSERT INTO payments (` + paymentColumns + `)
	VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT (id) DO NOTHING`

func (p Payment) columns(at time.Time) []any {
	return []any{hexed(p.ID[:]), p.Merchant, p.Terminal, p.OrderRef, string(p.State), p.Reason, p.AmountMinor, p.Currency, p.BusinessDay,
		int64(p.Sequence), p.RecordKind, p.RecordSHA256, p.Device, p.Account, p.WalletRef, p.Receipt, stamp(at)}
}

// SetReceipt keeps the latest receipt of a payment for those who ask later.
func (tx *Tx) SetReceipt(id [16]byte, receipt string) error {
	return tx.exec(ErrNone, `UPDATE payments SET receipt = $1 WHERE id = $2`, receipt, hexed(id[:]))
}

// Reverse returns what is left of a taken payment to the payer. ErrNone when
// the payment is not taken.
func (tx *Tx) Reverse(id [16]byte, at time.Time) error {
	err := tx.exec(ErrNone, `UPDATE payments SET state = 'reversed', updated_at = $1 WHERE id = $2 AND state = 'taken'`,
		stamp(at), hexed(id[:]))
	if err != nil {
		return err
	}
	return tx.giveBack("reverse", hexed(id[:]), id, at, func(p Payment) int64 { return p.AmountMinor - p.RefundedMinor })
}

// Refund is money given back of a payment that stays.
type Refund struct {
	ID          string // names the refund; used once
	Payment     [16]byte
	AmountMinor int64
	Currency    string // of the payment; read only
	BusinessDay string
	Sequence    uint64
}

// Refund returns part of a taken payment to the payer. ErrNone when the
// payment is not taken or less than the amount is left of it, ErrExists when
// the refund was made before.
func (tx *Tx) Refund(r Refund, at time.Time) error {
	id := hexed(r.Payment[:])
	err := tx.exec(ErrNone, `UPDATE payments SET refunded_minor = refunded_minor + $1, updated_at = $2
		WHERE id = $3 AND state = 'taken' AND refunded_minor + $1 <= amount_minor`, r.AmountMinor, stamp(at), id)
	if err != nil {
		return err
	}
	err = tx.exec(ErrExists, `INSERT INTO refunds (id, payment, amount_minor, business_day, sequence, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING`, r.ID, id, r.AmountMinor, r.BusinessDay, int64(r.Sequence), stamp(at))
	if err != nil {
		return err
	}
	return tx.giveBack("refund", r.ID, r.Payment, at, func(Payment) int64 { return r.AmountMinor })
}

// FindRefund reads a refund by its id; ErrNone when it was not made.
func (tx *Tx) FindRefund(id string) (Refund, error) {
	r := Refund{ID: id}
	var payment string
	err := tx.row([]any{&payment, &r.AmountMinor, &r.BusinessDay, &r.Sequence},
		`SELECT payment, amount_minor, business_day, sequence FROM refunds WHERE id = $1`, id)
	if err != nil {
		return r, err
	}
	return r, unhex(r.Payment[:], payment)
}

// giveBack posts along the accounts of the taking, in the other direction.
func (tx *Tx) giveBack(kind, reference string, id [16]byte, at time.Time, amount func(Payment) int64) error {
	p, err := tx.Payment(id)
	if err != nil {
		return fmt.Errorf("%s %s: %w", kind, reference, err)
	}
	var merchant string
	err = tx.row([]any{&merchant}, `SELECT account FROM movements WHERE posting = $1 AND line = 1`, "take:"+hexed(id[:]))
	if err != nil {
		return fmt.Errorf("%s %s: find the taking: %w", kind, reference, err)
	}
	return tx.post(posting{kind: kind, reference: reference, payment: hexed(id[:]), from: merchant, to: p.Account,
		currency: p.Currency, amount: amount(p), at: at})
}

// Payments lists a terminal's payments of a business day by sequence number.
// An empty argument selects everything.
func (tx *Tx) Payments(merchant, terminal, day string) ([]Payment, error) {
	var all []Payment
	where, args := only("merchant", merchant, "terminal", terminal, "business_day", day)
	err := tx.rows(func(r row) error {
		p, err := scanPayment(r.Scan)
		all = append(all, p)
		return err
	}, `SELECT `+paymentColumns+` FROM payments`+where+` ORDER BY merchant, terminal, sequence, id`, args...)
	return all, err
}

// Item is of a payment what a reconciliation compares.
type Item struct {
	ID          [16]byte
	State       State
	AmountMinor int64
	Currency    string
	Sequence    uint64
}

// Items lists a terminal's payments of a business day by id, as Payments does,
// for days of many thousands.
func (tx *Tx) Items(merchant, terminal, day string) ([]Item, error) {
	var all []Item
	var id, currency string
	err := tx.rows(func(r row) error {
		var i Item
		if err := r.Scan(&id, &i.State, &i.AmountMinor, &currency, &i.Sequence); err != nil {
			return err
		}
		i.Currency = currency
		err := unhex(i.ID[:], id)
		all = append(all, i)
		return err
	}, `SELECT id, state, amount_minor, currency, sequence FROM payments
		WHERE merchant = $1 AND terminal = $2 AND business_day = $3 ORDER BY id`, merchant, terminal, day)
	return all, err
}

// only makes a condition of columns and values; an empty value is no condition,
// and none at all is the whole table.
func only(pairs ...string) (where string, args []any) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		joint := " AND "
		if len(args) == 0 {
			joint = " WHERE "
		}
		args = append(args, pairs[i+1])
		where += fmt.Sprintf("%s%s = $%d", joint, pairs[i], len(args))
	}
	return where, args
}

// Refunds lists the refunds of a terminal's payments that were made on a
// business day. An empty argument selects everything.
func (tx *Tx) Refunds(merchant, terminal, day string) ([]Refund, error) {
	var all []Refund
	where, args := only("p.merchant", merchant, "p.terminal", terminal, "r.business_day", day)
	err := tx.rows(func(rows row) error {
		var r Refund
		var id string
		if err := rows.Scan(&r.ID, &id, &r.AmountMinor, &r.Currency, &r.BusinessDay, &r.Sequence); err != nil {
			return err
		}
		all = append(all, r)
		return unhex(all[len(all)-1].Payment[:], id)
	}, `SELECT r.id, r.payment, r.amount_minor, p.currency, r.business_day, r.sequence FROM refunds r JOIN payments p ON p.id = r.payment`+
		where+` ORDER BY r.sequence, r.id`, args...)
	return all, err
}
