package ledger

import "context"

// Payments is Tx.Payments in a View of its own.
func (l *Ledger) Payments(ctx context.Context, merchant, terminal, day string) ([]Payment, error) {
	var all []Payment
	err := l.View(ctx, func(tx *Tx) (err error) {
		all, err = tx.Payments(merchant, terminal, day)
		return err
	})
	return all, err
}

// Accounts is Tx.Accounts in a View of its own.
func (l *Ledger) Accounts(ctx context.Context) ([]Account, error) {
	var all []Account
	err := l.View(ctx, func(tx *Tx) (err error) {
		all, err = tx.Accounts()
		return err
	})
	return all, err
}
