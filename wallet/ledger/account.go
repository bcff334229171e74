package ledger

import (
	"fmt"
	"time"
)

// AccountKind says whose money an account holds.
type AccountKind string

// Payer accounts belong to wallet users, merchant accounts hold what the wallet
// owes merchants, funding is where money comes from.
const (
	PayerAccount    AccountKind = "payer"
	MerchantAccount AccountKind = "merchant"
	FundingAccount  AccountKind = "funding"
)

// Account is a balance with an owner. The balance is always the sum of its movements.
type Account struct {
	ID           string      `json:"id"`
	Kind         AccountKind `json:"kind"`
	Owner        string      `json:"owner"`
	Currency     string      `json:"currency"`
	BalanceMinor int64       `json:"balance_minor"`
	Blocked      bool        `json:"blocked"`
}

const accountColumns = `id, kind, owner, currency, balance_minor, blocked`

func (a *Account) fields() []any {
	return []any{&a.ID, &a.Kind, &a.Owner, &a.Currency, &a.BalanceMinor, &a.Blocked}
}

// OpenAccount adds an empty account; ErrExists when the id is taken.
func (tx *Tx) OpenAccount(a Account) error {
	return tx.exec(ErrExists, `INSERT INTO accounts (id, kind, owner, currency) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING`,
		a.ID, string(a.Kind), a.Owner, a.Currency)
}

// Account reads one account; ErrNone when there is none.
func (tx *Tx) Account(id string) (Account, error) {
	var a Account
	err := tx.row(a.fields(), `SELECT `+accountColumns+` FROM accounts WHERE id = $1`, id)
	return a, err
}

// Accounts lists all accounts by id.
func (tx *Tx) Accounts() ([]Account, error) {
	var all []Account
	err := tx.rows(func(r row) error {
		var a Account
		err := r.Scan(a.fields()...)
		all = append(all, a)
		return err
	}, `SELECT `+accountColumns+` FROM accounts ORDER BY id`)
	return all, err
}

// SetBlocked restricts an account or lifts the restriction.
func (tx *Tx) SetBlocked(id string, blocked bool) error {
	return tx.exec(ErrNone, `UPDATE accounts SET blocked = $1 WHERE id = $2`, flag(blocked), id)
}

// Fund moves money from a funding account to another. The reference names the
// top-up: the same one again is ErrExists and moves nothing.
func (tx *Tx) Fund(reference, from, to string, amountMinor int64, at time.Time) error {
	a, err := tx.Account(from)
	if err != nil {
		return fmt.Errorf("fund %s: account %q: %w", reference, from, err)
	}
	return tx.post(posting{kind: "fund", reference: reference, from: from, to: to, currency: a.Currency, amount: amountMinor, at: at})
}

// posting moves an amount from one account to another, both in its currency.
type posting struct {
	kind, reference, payment string
	from, to, currency       string
	amount                   int64
	at                       time.Time
}

// post writes both lines and both balances. The name kind:reference is used
// once; a second time is ErrExists. The balance may go below zero: whether it
// may is the caller's rule, not the book's.
func (tx *Tx) post(p posting) error {
	if p.amount < 0 || p.from == p.to {
		return fmt.Errorf("post %s:%s: not a movement between two accounts", p.kind, p.reference)
	}
	err := tx.must(2, ErrExists, `INSERT INTO movements (posting, line, payment, kind, account, currency, amount_minor, posted_at)
		VALUES ($1, 0, $2, $3, $4, $6, 0 - $7, $8), ($1, 1, $2, $3, $5, $6, $7, $8) ON CONFLICT (posting, line) DO NOTHING`,
		p.kind+":"+p.reference, p.payment, p.kind, p.from, p.to, p.currency, p.amount, stamp(p.at))
	if err != nil {
		return err
	}
	wrong := fmt.Errorf("post %s:%s: %q and %q are not two accounts in %s", p.kind, p.reference, p.from, p.to, p.currency)
	return tx.must(2, wrong, `UPDATE accounts SET balance_minor = balance_minor + CASE WHEN id = $1 THEN 0 - $3 ELSE $3 END
		WHERE id IN ($1, $2) AND currency = $4`, p.from, p.to, p.amount, p.currency)
}

// Pair reads two accounts; ErrNone when one of them does not exist.
func (tx *Tx) Pair(first, second string) (a, b Account, err error) {
	err = tx.rows(func(r row) error {
		var read Account
		if err := r.Scan(read.fields()...); err != nil {
			return err
		}
		if read.ID == first {
			a = read
		} else {
			b = read
		}
		return nil
	}, pairQuery, first, second)
	switch {
	case err != nil:
	case a.ID == "":
		err = fmt.Errorf("account %q: %w", first, ErrNone)
	case b.ID == "":
		err = fmt.Errorf("account %q: %w", second, ErrNone)
	}
	return a, b, err
}

// stamp is how times are written: RFC 3339, UTC, so that text order is time order.
func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// flag is how truth is written: PostgreSQL's INTEGER takes no boolean.
func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
