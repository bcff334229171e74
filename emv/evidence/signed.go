package evidence

import (
	"fmt"
	"strings"

	"tapkeeper/emv"
	"tapkeeper/emv/tlv"
)

// Signed is what stands in the data under the phone's signature.
type Signed struct {
	Payment     [16]byte // DF8B22, the payment's id
	AmountMinor int64
	Currency    int // ISO 4217, numeric
	Refund      bool
	Local       string // date and time in the store, YYYY-MM-DD hh:mm:ss
	Terminal    string // 9F1C
	Merchant    [8]byte
	Answer      byte // CID: 40 approved, 80 asks the wallet, 00 declined
	ATC         uint16
	PhoneReason byte // IAD byte 4

	// Not under the signature: what the terminal made of it.
	Kind   byte
	Reason byte
	TVR    [5]byte
}

func (e *record) summary() *Signed {
	amount, _ := tlv.Number(e.cdol1[tagAmount])
	currency, _ := tlv.Number(e.cdol1[tagCurrency])
	d, t := fmt.Sprintf("%X", e.cdol1[tagDate]), fmt.Sprintf("%X", e.cdol1[tagTime])
	return &Signed{
		Payment: [16]byte(e.cdol1[tagPayment]), AmountMinor: int64(amount), Currency: int(currency), Refund: e.refund(),
		Local:    fmt.Sprintf("20%s-%s-%s %s:%s:%s", d[:2], d[2:4], d[4:], t[:2], t[2:4], t[4:]),
		Terminal: printable(e.cdol1[tagTerminal]), Merchant: [8]byte(e.cdol1[tagMerchant]),
		Answer: e.cid(), ATC: e.link().ATC, PhoneReason: e.answer[tagIAD][4],
		Kind: e.kind(), Reason: e.part[tagReason][0], TVR: [5]byte(e.part[tagTVR]),
	}
}

// printable is an an-format value for a person's eyes.
func printable(b []byte) string {
	return strings.TrimRight(strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7E {
			return '?'
		}
		return r
	}, string(b)), " ")
}

// Text is what the record says, in words. It proves what it says only when the
// checks pass.
func (s *Signed) Text(l emv.Language) string {
	zh := l == emv.Chinese
	what, answer := "pay", "declined ("+emv.Reason(s.PhoneReason).Text(emv.English)+")"
	whatZH, answerZH := "付款", "手机拒绝("+emv.Reason(s.PhoneReason).Text(emv.Chinese)+")"
	if s.Refund {
		what, whatZH = "take back", "收取退款"
	}
	switch s.Answer {
	case cidTC:
		answer, answerZH = "approved, and took it from its allowance (TC)", "手机同意并已扣减离线额度(TC)"
	case cidARQC:
		answer, answerZH = "agreed, and left the decision to the wallet (ARQC)", "手机同意并交由钱包决定(ARQC)"
	}
	amount := fmt.Sprintf("%d.%02d", s.AmountMinor/100, s.AmountMinor%100)
	if zh {
		return fmt.Sprintf("手机于 %s(门店时间)在终端 %s 被请求%s %s(货币 %03d),答复:%s。此内容由手机签名。", s.Local, s.Terminal, whatZH, amount, s.Currency, answerZH)
	}
	return fmt.Sprintf("On %s (store's time) terminal %s asked the phone to %s %s (currency %03d); the phone %s. The phone has signed this.",
		s.Local, s.Terminal, what, amount, s.Currency, answer)
}
