package dispute

import (
	"errors"
	"fmt"
	"slices"

	"tapkeeper/uplink/wire"
)

// receipts is question (b): what the wallet has signed.
func (v *verification) receipts() {
	switch {
	case v.keys.Wallet == nil:
		for range v.e.Receipts {
			v.skip(CheckReceipt, "no wallet key was given")
		}
		v.skip(CheckSettlement, "no wallet key was given")
		return
	case len(v.e.Receipts) == 0 && v.p.claimsWallet():
		v.say(CheckSettlement, fmt.Errorf("the payment is %s, settlement %s, and no receipt is there", v.p.State, v.p.Settlement), "")
		return
	case len(v.e.Receipts) == 0:
		v.say(CheckReceipt, errors.New("there is none to check: the wallet has signed nothing about this payment"), "")
		return
	}
	var good []wire.Receipt
	for _, r := range v.e.Receipts {
		receipt, about, err := v.receipt(r)
		name := CheckReceipt
		if about != "" {
			name += " (" + about + ")"
		}
		v.say(name, err, fmt.Sprintf("the wallet has signed: %s, state %s, %d minor units, reason %s, reference %s",
			receipt.Result, receipt.State, receipt.AmountMinor, receipt.Reason, receipt.WalletRef))
		if err == nil {
			good = append(good, receipt)
			v.report.Says = append(v.report.Says, saying(about, receipt))
		}
	}
	v.say(CheckSettlement, v.settled(good), fmt.Sprintf("the payment is %s, settlement %s, which is what the wallet has signed", v.p.State, v.p.Settlement))
}

// receipt verifies one answer of the wallet, and tells which message it answers.
func (v *verification) receipt(r Receipt) (wire.Receipt, string, error) {
	to := wire.Address{Merchant: v.e.Merchant, Terminal: v.e.Terminal}
	m, err := wire.ReadAnswer([]byte(r.JWS), to, v.keys.Wallet)
	if err != nil {
		return wire.Receipt{}, "", fmt.Errorf("not a receipt that the key given has signed for this terminal: %w", err)
	}
	var receipt wire.Receipt
	switch d := m.Data.(type) {
	case wire.Receipt:
		receipt = d
	case wire.Status: // the answer to a question after it
		if d.Receipt == nil {
			return receipt, "", errors.New("an answer without a receipt")
		}
		receipt = *d.Receipt
	default:
		return receipt, "", errors.New("another kind of answer")
	}
	about := v.p.message(receipt.Answers)
	switch {
	case receipt.PaymentID != v.p.ID:
		return receipt, about, errors.New("it is of another payment")
	case receipt.Answers.String() != r.Answers || about == "":
		return receipt, about, errors.New("it answers no message of this payment")
	}
	return receipt, about, v.amount(about, receipt)
}

// amount holds a receipt's amount against what its message was about.
func (v *verification) amount(about string, r wire.Receipt) error {
	want := v.p.AmountMinor
	switch about {
	case aboutFormer: // of the payment, or of one of its refunds
		if r.AmountMinor <= want {
			return nil
		}
	case aboutRefund:
		for _, back := range v.p.Refunds {
			if back.Message == r.Answers {
				want = back.AmountMinor
			}
		}
	}
	if r.AmountMinor != want && (r.AmountMinor != 0 || takes(about, r)) {
		return fmt.Errorf("the wallet speaks of %d minor units, the message was of %d", r.AmountMinor, want)
	}
	return nil
}

// What a receipt can be about beside the payment's own messages.
const (
	aboutRefund = "refund"
	aboutFormer = "former message" // that another has replaced
)

// message names the message of the payment that has this id.
func (p *payment) message(id wire.ID) string {
	for _, m := range []struct {
		id   *wire.ID
		name string
	}{{p.Request, "authorisation"}, {p.Advice, "advice"}, {p.Reversal, "reversal"}, {p.Report, "report"}} {
		if m.id != nil && *m.id == id {
			return m.name
		}
	}
	for _, back := range p.Refunds {
		if back.Message == id {
			return aboutRefund
		}
	}
	if slices.Contains(p.Former, id) || p.Resent != nil && p.Resent.Message == id {
		return aboutFormer
	}
	return ""
}

// claimsWallet says that the payment stands where only the wallet could put it.
func (p *payment) claimsWallet() bool {
	return p.State == "approved" || p.Settlement == "settled" || p.Settlement == "reversed" || p.Settlement == "rejected"
}

// settled compares the payment's settlement with what the wallet has signed.
func (v *verification) settled(receipts []wire.Receipt) error {
	has := func(name string, result wire.Result, state wire.PaymentState) bool {
		for _, r := range receipts {
			if v.p.message(r.Answers) == name && r.Result == result && (state == "" || r.State == state) {
				return true
			}
		}
		return false
	}
	taken := has("authorisation", wire.Accepted, wire.StateTaken) || has("advice", wire.Accepted, wire.StateTaken)
	reversed := has("reversal", wire.Accepted, wire.StateReversed)
	ok := true
	switch {
	case v.p.Settlement == "settled":
		ok = taken && !reversed
	case v.p.State == "approved": // approved is settled, by the wallet's word (terminal.md)
		ok = false
	case v.p.Settlement == "reversed":
		ok = reversed
	case v.p.Settlement == "rejected":
		ok = has("advice", wire.Refused, "") || has("reversal", wire.Refused, "")
	case v.p.State == "declined" && v.p.Request != nil:
		ok = has("authorisation", wire.Refused, "")
	}
	if !ok {
		return fmt.Errorf("the payment is %s, settlement %s, and no good receipt says so", v.p.State, v.p.Settlement)
	}
	return nil
}

func saying(about string, r wire.Receipt) Saying {
	amount := fmt.Sprintf("%d.%02d", r.AmountMinor/100, r.AmountMinor%100)
	switch {
	case r.Result == wire.Refused:
		return Saying{
			fmt.Sprintf("钱包已签名:拒绝(%s,原因 %s),未扣款,凭证号 %s。", about, r.Reason, r.WalletRef),
			fmt.Sprintf("The wallet has signed that it refused the %s, reason %s, and moved no money (reference %s).", about, r.Reason, r.WalletRef),
		}
	case about == aboutRefund:
		return Saying{
			fmt.Sprintf("钱包已签名:已退款 %s,凭证号 %s。", amount, r.WalletRef),
			fmt.Sprintf("The wallet has signed that it gave %s back (reference %s).", amount, r.WalletRef),
		}
	case r.State == wire.StateTaken && about != aboutFormer:
		return Saying{
			fmt.Sprintf("钱包已签名:已扣款 %s,凭证号 %s。", amount, r.WalletRef),
			fmt.Sprintf("The wallet has signed that it took %s (reference %s).", amount, r.WalletRef),
		}
	case r.State == wire.StateReversed:
		return Saying{
			fmt.Sprintf("钱包已签名:该付款已冲正,退回 %s,凭证号 %s。", amount, r.WalletRef),
			fmt.Sprintf("The wallet has signed that the payment is reversed; %s went back (reference %s).", amount, r.WalletRef),
		}
	}
	return Saying{
		fmt.Sprintf("钱包已签名:已收到(%s),状态 %s,凭证号 %s。", about, r.State, r.WalletRef),
		fmt.Sprintf("The wallet has signed that it has the %s, state %s (reference %s).", about, r.State, r.WalletRef),
	}
}

// takes says that a receipt claims to have taken this payment's money.
func takes(about string, r wire.Receipt) bool {
	return r.Result == wire.Accepted && r.State == wire.StateTaken && (about == "authorisation" || about == "advice")
}
