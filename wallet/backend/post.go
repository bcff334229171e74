package backend

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/ledger"
)

// claim is what a message says about money, whichever its kind.
type claim struct {
	kind     wire.Kind
	from     ledger.Terminal
	sequence uint64
	wire.Payment
	refund wire.ID
	sha256 string // of the record, empty without one
	answer wire.Answer
	payer  string // whose device made the record, when it is known
}

// posted is what the ledger did about a claim.
type posted struct {
	result wire.Result
	state  wire.PaymentState
	reason byte
	amount int64 // that moved
	kept   bool  // the receipt is in the payment's row already
}

// receipt is the wallet's word on a claim.
func (c claim) receipt(p posted) wire.Receipt {
	return wire.Receipt{Answer: c.answer, PaymentID: c.PaymentID, Sequence: c.sequence, Result: p.result, State: p.state,
		Reason: wire.Reason(p.reason), AmountMinor: p.amount, WalletRef: walletRef(c.PaymentID)}
}

// post does what terminal.md's table "What the wallet posts" says, by payment
// id. The verdict is nil when the message carried no record.
func post(tx *ledger.Tx, c claim, v *Verdict, at time.Time) (posted, error) {
	known, err := tx.Payment(c.PaymentID)
	if err != nil && !errors.Is(err, ledger.ErrNone) {
		return posted{}, fmt.Errorf("read payment %s: %w", c.PaymentID, err)
	}
	fresh := errors.Is(err, ledger.ErrNone)
	if !fresh && (known.Merchant != c.from.Merchant || known.Terminal != c.from.Terminal) {
		// Somebody else's payment: nothing happens to it and nothing is told of it.
		return done(wire.Refused, wire.StateUnknown, reasonProtocol, 0), nil
	}
	switch c.kind {
	case wire.KindAdvice:
		return postAdvice(tx, c, v, known, fresh, at)
	case wire.KindAuthorisation:
		return postAuthorisation(tx, c, v, known, fresh, at)
	case wire.KindReport:
		return postReport(tx, c, v, known, fresh, at)
	case wire.KindReversal:
		return postReversal(tx, c, v, known, fresh, at)
	case wire.KindRefund:
		return postRefund(tx, c, v, known, fresh, at)
	}
	return posted{}, fmt.Errorf("post: %s does not concern money", c.kind)
}

// postAdvice: a record that passed is guaranteed to the merchant. An empty or
// blocked account is the operator's loss.
func postAdvice(tx *ledger.Tx, c claim, v *Verdict, known ledger.Payment, fresh bool, at time.Time) (posted, error) {
	switch {
	case fresh:
	case known.State == ledger.Refused && known.RecordKind == kindApproved:
		// An advice was refused. That message gets its old receipt when it is repeated;
		// this is another one, which a person at the terminal has released.
		if err := tx.Reconsider(c.PaymentID); err != nil {
			return posted{}, fmt.Errorf("judge %s anew: %w", c.PaymentID, err)
		}
	default:
		return again(tx, c, known)
	}
	if !v.OK {
		return refuse(tx, c, v, v.Reason, at)
	}
	_, ok, err := payer(tx, c, v)
	switch {
	case err != nil:
		return posted{}, err
	case !ok:
		return refuse(tx, c, v, reasonCurrency, at)
	}
	return take(tx, c, v, at)
}

// postAuthorisation: the wallet decides, also when the phone has committed (CID
// 40): then a refusal returns the allowance.
func postAuthorisation(tx *ledger.Tx, c claim, v *Verdict, known ledger.Payment, fresh bool, at time.Time) (posted, error) {
	if !fresh {
		return again(tx, c, known)
	}
	if !v.OK {
		return refuse(tx, c, v, v.Reason, at)
	}
	account, ok, err := payer(tx, c, v)
	switch {
	case err != nil:
		return posted{}, err
	case !ok:
		return refuse(tx, c, v, reasonCurrency, at)
	case account.Blocked:
		return refuse(tx, c, v, reasonRestricted, at)
	case account.BalanceMinor < c.AmountMinor:
		return refuse(tx, c, v, reasonBalance, at)
	}
	return take(tx, c, v, at)
}

// postReport takes notice of a decline or a suspect tap: it ends the id
// without money. A suspect record returns the allowance (scheme 9.4).
func postReport(tx *ledger.Tx, c claim, v *Verdict, known ledger.Payment, fresh bool, at time.Time) (posted, error) {
	if !fresh {
		return done(wire.Accepted, stateOf(known), reasonOK, 0), nil
	}
	p := done(wire.Accepted, wire.StateRefused, reasonOK, 0)
	if err := enter(tx.Refuse, c, v, &p, at); err != nil {
		return posted{}, fmt.Errorf("note the report of %s: %w", c.PaymentID, err)
	}
	return p, returnAllowance(tx, c)
}

// postReversal needs no good record: the payment id is enough, and the terminal
// has signed. What the evidence adds is the allowance that goes back.
func postReversal(tx *ledger.Tx, c claim, v *Verdict, known ledger.Payment, fresh bool, at time.Time) (posted, error) {
	p := done(wire.Accepted, wire.StateReversed, reasonOK, 0)
	var err error
	switch {
	case fresh || known.State == ledger.Refused:
		err = enter(tx.Bury, c, v, &p, at)
	case known.State == ledger.Taken:
		p.amount = known.AmountMinor - known.RefundedMinor
		err = tx.Reverse(c.PaymentID, at)
	}
	if err != nil {
		return posted{}, fmt.Errorf("reverse %s: %w", c.PaymentID, err)
	}
	return p, returnAllowance(tx, c)
}

// postRefund gives back up to the amount taken, summed over all refunds.
func postRefund(tx *ledger.Tx, c claim, v *Verdict, known ledger.Payment, fresh bool, at time.Time) (posted, error) {
	no := func(reason byte) (posted, error) { return done(wire.Refused, stateOf(known), reason, 0), nil }
	if fresh {
		return done(wire.Refused, wire.StateUnknown, reasonProtocol, 0), nil
	}
	before, err := tx.FindRefund(c.refund.String())
	switch {
	case err == nil && before.Payment == known.ID && before.AmountMinor == c.AmountMinor:
		return done(wire.Accepted, stateOf(known), reasonOK, 0), nil // the same again
	case err == nil:
		return no(reasonProtocol)
	case !errors.Is(err, ledger.ErrNone):
		return posted{}, fmt.Errorf("read refund %s: %w", c.refund, err)
	case known.State != ledger.Taken:
		return no(reasonProtocol)
	case known.Currency != c.Currency:
		return no(reasonCurrency)
	case c.AmountMinor > known.AmountMinor-known.RefundedMinor:
		return no(reasonLimit)
	case v != nil && !v.OK:
		return no(v.Reason)
	case v != nil && v.Account != known.Account: // scheme 8.2
		return no(reasonOtherPayer)
	}
	err = tx.Refund(ledger.Refund{ID: c.refund.String(), Payment: c.PaymentID, AmountMinor: c.AmountMinor,
		BusinessDay: c.BusinessDay, Sequence: c.sequence}, at)
	if err != nil {
		return posted{}, fmt.Errorf("refund %s: %w", c.refund, err)
	}
	known.RefundedMinor += c.AmountMinor
	return done(wire.Accepted, stateOf(known), reasonOK, c.AmountMinor), nil
}

// again answers a claim for a payment that the ledger knows. No money moves;
// unless it was taken, a tap that the phone committed goes back to its allowance.
func again(tx *ledger.Tx, c claim, known ledger.Payment) (posted, error) {
	same := known.AmountMinor == c.AmountMinor && known.Currency == c.Currency
	switch {
	case known.State == ledger.Taken && same:
		return done(wire.Accepted, stateOf(known), reasonOK, known.AmountMinor), nil
	case known.State == ledger.Taken:
		return done(wire.Refused, stateOf(known), reasonProtocol, 0), nil
	}
	reason := byte(reasonCancelled)
	if known.State == ledger.Refused && known.Reason != reasonOK {
		reason = known.Reason
	}
	return done(wire.Refused, stateOf(known), reason, 0), returnAllowance(tx, c)
}

func take(tx *ledger.Tx, c claim, v *Verdict, at time.Time) (posted, error) {
	p := done(wire.Accepted, wire.StateTaken, reasonOK, c.AmountMinor)
	into := func(r ledger.Payment, at time.Time) error { return tx.Take(r, c.from.Account, at) }
	if err := enter(into, c, v, &p, at); err != nil {
		return posted{}, fmt.Errorf("take %s: %w", c.PaymentID, err)
	}
	return p, nil
}

func refuse(tx *ledger.Tx, c claim, v *Verdict, reason byte, at time.Time) (posted, error) {
	p := done(wire.Refused, wire.StateRefused, reason, 0)
	if err := enter(tx.Refuse, c, v, &p, at); err != nil {
		return posted{}, fmt.Errorf("refuse %s: %w", c.PaymentID, err)
	}
	return p, returnAllowance(tx, c)
}

// enter adds the row of a payment together with its first receipt.
func enter(into func(ledger.Payment, time.Time) error, c claim, v *Verdict, p *posted, at time.Time) error {
	text, err := json.Marshal(c.receipt(*p))
	if err != nil {
		return fmt.Errorf("write receipt: %w", err)
	}
	r := row(c, v, p.reason)
	r.Receipt, p.kept = string(text), true
	return into(r, at)
}

func done(result wire.Result, state wire.PaymentState, reason byte, amount int64) posted {
	return posted{result: result, state: state, reason: reason, amount: amount}
}

func returnAllowance(tx *ledger.Tx, c claim) error {
	if err := tx.ReturnAllowance(c.PaymentID); err != nil {
		return fmt.Errorf("return the allowance of %s: %w", c.PaymentID, err)
	}
	return nil
}

// payer reads the account of the device; false when a currency does not fit.
func payer(tx *ledger.Tx, c claim, v *Verdict) (ledger.Account, bool, error) {
	from, to, err := tx.Pair(v.Account, c.from.Account)
	if err != nil {
		return from, false, fmt.Errorf("read the payer's and the merchant's account: %w", err)
	}
	return from, from.Currency == c.Currency && to.Currency == c.Currency, nil
}

func row(c claim, v *Verdict, reason byte) ledger.Payment {
	p := ledger.Payment{ID: c.PaymentID, Merchant: c.from.Merchant, Terminal: c.from.Terminal, OrderRef: c.OrderRef,
		Reason: reason, AmountMinor: c.AmountMinor, Currency: c.Currency, BusinessDay: c.BusinessDay, Sequence: c.sequence,
		RecordKind: byte(c.RecordKind), RecordSHA256: c.sha256, WalletRef: walletRef(c.PaymentID)}
	if v != nil && v.Account != "" {
		p.Account, p.Device = v.Account, fmt.Sprintf("%X", v.Device)
	}
	return p
}

// stateOf is a payment's state as terminals know it: they are not told a
// tombstone from a reversal.
func stateOf(p ledger.Payment) wire.PaymentState {
	switch {
	case p.State == ledger.Taken && p.RefundedMinor == p.AmountMinor:
		return wire.StateRefunded
	case p.State == ledger.Taken:
		return wire.StateTaken
	case p.State == ledger.Refused:
		return wire.StateRefused
	}
	return wire.StateReversed
}

// walletRef is what support asks for: short, and the same for every message of a payment.
func walletRef(id wire.ID) string {
	sum := sha256.Sum256(id[:])
	return "W" + base32.StdEncoding.EncodeToString(sum[:10])
}
