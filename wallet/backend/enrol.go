package backend

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/ledger"
)

// Enrolment is what the wallet must know of a terminal before it may send.
type Enrolment struct {
	Address        wire.Address
	MerchantName   string
	SchemeTerminal string // tag 9F1C, up to 8 characters, as TERM0001
	PublicKey      ed25519.PublicKey
	Currency       string // of the merchant's claim, ISO 4217
}

// schemeTerminalMax is the length of tag 9F1C (scheme 1.4).
const schemeTerminalMax = 8

// EnrolTerminal registers a terminal, or its new key, and opens the merchant's
// account when it is the first. The merchant's id is that of topic and tap.
func EnrolTerminal(ctx context.Context, l *ledger.Ledger, e Enrolment) error {
	if err := e.Address.Validate(); err != nil {
		return fmt.Errorf("enrol terminal: %w", err)
	}
	if _, known := numericOf(e.Currency); !known {
		return fmt.Errorf("enrol terminal %s: no accounts in %q", e.Address, e.Currency)
	}
	if n := len(e.SchemeTerminal); n == 0 || n > schemeTerminalMax || !alphanumeric(e.SchemeTerminal) {
		return fmt.Errorf("enrol terminal %s: want 1 to 8 letters and digits for the scheme's terminal id", e.Address)
	}
	kid := ""
	if len(e.PublicKey) == ed25519.PublicKeySize {
		kid = wire.KeyID(e.PublicKey)
	}
	if kid == "" {
		return fmt.Errorf("enrol terminal %s: not an Ed25519 public key", e.Address)
	}
	account := "merchant:" + e.Address.Merchant
	err := l.Update(ctx, func(tx *ledger.Tx) error {
		err := tx.OpenAccount(ledger.Account{ID: account, Kind: ledger.MerchantAccount, Owner: e.MerchantName, Currency: e.Currency})
		if err != nil && !errors.Is(err, ledger.ErrExists) {
			return err
		}
		// Its journal may be a new one, or an older copy that the operator lets go on.
		if err := tx.ForgetHead(e.Address.Merchant, e.Address.Terminal); err != nil {
			return err
		}
		return tx.EnrolTerminal(ledger.Terminal{Merchant: e.Address.Merchant, Terminal: e.Address.Terminal,
			MerchantName: e.MerchantName, SchemeTerminal: e.SchemeTerminal, KeyID: kid,
			PublicKey: fmt.Sprintf("%X", []byte(e.PublicKey)), Account: account})
	})
	if err != nil {
		return fmt.Errorf("enrol terminal %s: %w", e.Address, err)
	}
	return nil
}

// OpenPayer opens a payer's account with a first top-up from the currency's
// funding account. ErrExists when the account is there.
func OpenPayer(ctx context.Context, l *ledger.Ledger, id, owner, currency string, amountMinor int64, at time.Time) error {
	funding := "funding:" + currency
	err := l.Update(ctx, func(tx *ledger.Tx) error {
		err := tx.OpenAccount(ledger.Account{ID: funding, Kind: ledger.FundingAccount, Owner: "wallet", Currency: currency})
		if err != nil && !errors.Is(err, ledger.ErrExists) {
			return err
		}
		if err := tx.OpenAccount(ledger.Account{ID: id, Kind: ledger.PayerAccount, Owner: owner, Currency: currency}); err != nil {
			return err
		}
		if amountMinor == 0 {
			return nil
		}
		return tx.Fund("open:"+id, funding, id, amountMinor, at)
	})
	if err != nil {
		return fmt.Errorf("open account %q: %w", id, err)
	}
	return nil
}

func alphanumeric(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
