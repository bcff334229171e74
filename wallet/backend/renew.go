package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

// Renewal is what a phone tells when it asks for its next grant (scheme 7.4).
type Renewal struct {
	Device [8]byte
	ATC    uint16      // of the phone, the new grant's base
	Log    []phone.Tap // the taps of the epoch that ends
	Policy Allowance   // the most it may get
}

// ErrNoAllowance says that a device gets no grant: it or its account is
// restricted, or all that policy allows is still on its way from terminals.
var ErrNoAllowance = errors.New("no allowance for this device")

// Renew signs the next grant of a device. What the phone has spent and no
// terminal has delivered yet lowers it (scheme 7.6), so that the operator's
// risk is the policy and not a policy an epoch.
func (i *Issuer) Renew(ctx context.Context, l *ledger.Ledger, r Renewal, now time.Time) ([]byte, error) {
	var grant []byte
	err := l.Update(ctx, func(tx *ledger.Tx) error {
		d, err := tx.Device(r.Device)
		if err != nil {
			return fmt.Errorf("device: %w", err)
		}
		account, err := tx.Account(d.Account)
		if err != nil {
			return fmt.Errorf("account %q: %w", d.Account, err)
		}
		if d.Status != ledger.DeviceActive || account.Blocked {
			return ErrNoAllowance
		}
		open, err := undelivered(tx, r)
		if err != nil {
			return err
		}
		a := r.Policy
		a.TotalMinor -= open
		if a.TotalMinor <= 0 {
			return ErrNoAllowance
		}
		a.PerTapMinor = min(a.PerTapMinor, a.TotalMinor)
		epoch, err := tx.NextEpoch(r.Device)
		if err != nil {
			return err
		}
		currency, _ := numericOf(account.Currency)
		grant, err = i.grant(r.Device, epoch, r.ATC, currency, a, now)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("renew the allowance: %w", err)
	}
	return grant, nil
}

// undelivered adds up the taps of the log that no terminal has brought.
func undelivered(tx *ledger.Tx, r Renewal) (int64, error) {
	var sum int64
	for _, t := range r.Log {
		if t.Amount < 0 || t.Amount > amountMax {
			return 0, errors.New("the phone's log: amount out of range")
		}
		_, err := tx.Tap(r.Device, t.Epoch, t.Index)
		switch {
		case errors.Is(err, ledger.ErrNone):
			sum += t.Amount
		case err != nil:
			return 0, fmt.Errorf("read tap: %w", err)
		}
	}
	return sum, nil
}
