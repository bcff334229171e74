package till

import "tapkeeper/terminal"

// Words is a sentence for a cashier or a customer in both languages.
type Words struct{ ZH, EN string }

// String shows both, Chinese first.
func (w Words) String() string { return w.ZH + " / " + w.EN }

var stateWords = map[terminal.State]Words{
	terminal.Created:     {"已创建", "Created"},
	terminal.AwaitingTap: {"请将手机靠近", "Hold phone near reader"},
	terminal.Reading:     {"处理中", "Processing"},
	terminal.Authorising: {"正在授权", "Authorising, please wait"},
	terminal.Unknown:     {"结果未知,正在查询,请勿重复收款", "Result unknown, asking the wallet; do not charge again"},
	terminal.Approved:    {"支付成功", "Approved"},
	terminal.Stored:      {"支付成功(离线,待入账)", "Approved offline, not yet settled"},
	terminal.Declined:    {"未通过", "Not approved"},
	terminal.Cancelled:   {"已取消", "Cancelled"},
	terminal.Expired:     {"超时,未收款", "Timed out, nothing was taken"},
	terminal.Failed:      {"支付失败,未收款", "Failed, not paid"},
}

// settled is a state whose money has moved on since.
type settled struct {
	state      terminal.State
	settlement terminal.Settlement
}

var settledWords = map[settled]Words{
	{terminal.Stored, terminal.Rejected}: {"钱包拒绝入账,未收款", "Refused by the wallet afterwards, not paid"},
	{terminal.Stored, terminal.Reversed}: {"已撤销,未收款", "Reversed, not paid"},
	{terminal.Failed, terminal.Queued}:   {"支付失败,未收款,撤销已在途", "Failed, not paid; a reversal is on its way"},
	{terminal.Failed, terminal.Reversed}: {"支付失败,未收款,撤销已确认", "Failed, not paid; the wallet confirmed the reversal"},
	{terminal.Failed, terminal.Rejected}: {"支付失败,撤销被拒,请人工核对", "Failed, the reversal was refused; a person must look"},
}

var hintWords = map[terminal.Hint]Words{
	terminal.HintPresentPhone: {"请将手机靠近", "Hold phone near reader"},
	terminal.HintHoldStill:    {"请保持手机不动", "Hold the phone still"},
	terminal.HintOnePhoneOnly: {"请只放一部手机", "Present one phone only"},
	terminal.HintUnlockPhone:  {"请解锁手机并确认", "Unlock the phone and confirm"},
	terminal.HintMovedEarly:   {"手机移开过早,请再次靠近", "Phone removed too early, present it again"},
	terminal.HintTryAgain:     {"请再次靠近", "Present again"},
	terminal.HintUseOther:     {"请使用其他方式付款", "Use another way to pay"},
}

// reversing says that the payment goes back as a whole before it was sent.
func (p *Payment) reversing() bool {
	for i := range p.Refunds {
		if p.Refunds[i].Reversal {
			return true
		}
	}
	return false
}

// Words says where the payment stands: the hint while it is tapped, then the state.
func (p *Payment) Words() Words {
	if w, ok := hintWords[terminal.Hint(p.Hint)]; ok {
		return w
	}
	switch {
	case p.End == string(terminal.Refunded):
		return Words{"已全额退款", "Refunded in full"}
	case p.State == string(terminal.Stored) && p.Settlement == string(terminal.Queued) && p.reversing():
		return Words{"已撤销,未收款,撤销已在途", "Taken back before it was sent; a reversal is on its way"}
	}
	w := stateWords[terminal.State(p.State)]
	if more, ok := settledWords[settled{terminal.State(p.State), terminal.Settlement(p.Settlement)}]; ok {
		return more
	}
	return w
}

// Words is the reason in both languages.
func (r *Reason) Words() Words { return Words{r.ZH, r.EN} }
